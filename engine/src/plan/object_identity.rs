//! Identity of objects: by which two resources name one object, and a lookup finds a planned or removed object.

use super::Change;
use crate::registry::Registry;
use std::borrow::Cow;
use std::fmt;
use terrace_provider::{Attributes, Lookup, ProposedChange, ResourceType, Session, Value};

/// What tells an object from others: its provider instance, what its type shares names with, one of its names. Nobody
/// gets to see it: it says what is sensitive.
pub(super) type ObjectKey<'a> = (Cow<'a, str>, &'static str, String);

/// One of the names of an object.
pub(super) struct Name {
    /// The written form.
    parts: Attributes,
    /// The form that the system compares. May hold secrets: never print it.
    compared: Attributes,
    pub(super) is_id: bool,
}

impl Name {
    fn of_id(id: &Value) -> Self {
        let parts = Attributes::from_iter([("id".to_owned(), id.clone())]);
        Self { compared: parts.clone(), parts, is_id: true }
    }

    /// What tells an object of that type and instance from others by this name.
    pub(super) fn of<'a>(&self, ty: &ResourceType, instance: &'a str) -> ObjectKey<'a> {
        (Cow::Borrowed(instance), ty.identity_space, self.key())
    }

    /// What tells it from others. Nobody gets to see it: it says what is sensitive.
    pub(super) fn key(&self) -> String {
        let mut key = String::new();
        for (name, value) in &self.compared {
            // Most are texts, and there are as many as there are objects.
            match value.as_str() {
                Some(text) => key.extend([name, "=", text, "\0"]),
                None => key.extend([name, ":", &value.to_revealed_json().to_string(), "\0"]),
            }
        }
        key
    }
}

impl fmt::Display for Name {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter().map(|(name, value)| format!("{name} {}", value.to_json()));
        to.write_str(&parts.collect::<Vec<_>>().join(", "))
    }
}

/// What names an object: how it is written, and its id, where that is known before the object is there. Two ways of
/// writing may lead to one id.
pub(super) fn names(ty: &ResourceType, attributes: &Attributes) -> Vec<Name> {
    let Some(identity) = ty.identity_of(attributes).filter(|identity| !identity.is_empty()) else { return Vec::new() };
    let id = attributes.get("id").filter(|id| id.as_str().is_some());
    let compared = ty.compared(&identity);
    std::iter::once(Name { parts: identity, compared, is_id: false }).chain(id.map(Name::of_id)).collect()
}

/// What the object of a change is called by these attributes: those before it or those after it.
pub(super) fn keys_of<'a>(registry: &Registry, change: &'a Change, attributes: &Attributes) -> Vec<ObjectKey<'a>> {
    let Some((_, ty)) = registry.resource_type(&change.address.ty) else { return Vec::new() };
    names(ty, attributes).iter().map(|name| name.of(ty, &change.provider)).collect()
}

/// What lookups may ask for an object by besides, whose identity only the server gives: of its attributes, or of what a lookup
/// is asked with.
pub(super) fn called<'a>(ty: &ResourceType, attributes: &Attributes, instance: &'a str) -> Vec<ObjectKey<'a>> {
    let key = |name: String| (Cow::Borrowed(instance), ty.identity_space, format!("called\0{name}"));
    (ty.called)(attributes).into_iter().map(key).collect()
}

/// What the objects that a lookup may look at are called, as far as its arguments name them. Their providers know the ids
/// of what does not exist yet, and planning one that has these names tells them.
pub(super) async fn keys_asked(
    registry: &Registry,
    session: &dyn Session,
    schema: &Lookup,
    (address, instance): (&str, &str),
    arguments: &Attributes,
) -> Vec<ObjectKey<'static>> {
    let mut keys = Vec::new();
    for (_, ty) in schema.objects.iter().filter_map(|name| registry.resource_type(name)) {
        keys.extend(called(ty, arguments, instance).into_iter().map(owned));
        let Some(identity) = ty.identity_of(arguments).filter(|identity| !identity.is_empty()) else { continue };
        let mut known = identity.clone();
        // Of all else nothing is known.
        let rest =
            ty.attributes.0.iter().filter(|attribute| !attribute.computed && !identity.contains_key(attribute.name));
        let rest = rest.map(|attribute| (attribute.name.to_owned(), Value::Unknown));
        let config = identity.clone().into_iter().chain(rest).collect();
        let change =
            ProposedChange { address, prior: None, config: &config, must_replace: false, changed_write_only: &[] };
        // What is wrong with the names is told where they are asked for.
        if let Ok(planned) = session.plan(ty, &change).await {
            known.extend(planned.planned.get("id").map(|id| ("id".to_owned(), id.clone())));
        }
        keys.extend(names(ty, &known).iter().map(|name| owned(name.of(ty, instance))));
    }
    keys
}

/// What the objects that a lookup looks at are called by the id of what it found.
pub(super) fn keys_found(
    registry: &Registry,
    schema: &Lookup,
    instance: &str,
    answer: &Value,
) -> Vec<ObjectKey<'static>> {
    let id = answer.exposed().as_map().and_then(|answer| answer.get("id")).filter(|id| id.as_str().is_some());
    let name = id.map(Name::of_id);
    let types = schema.objects.iter().filter_map(|name| Some(registry.resource_type(name)?.1));
    types.flat_map(|ty| name.iter().map(|name| owned(name.of(ty, instance)))).collect()
}

/// The same for keeping.
pub(super) fn owned((instance, space, name): ObjectKey<'_>) -> ObjectKey<'static> {
    (Cow::Owned(instance.into_owned()), space, name)
}
