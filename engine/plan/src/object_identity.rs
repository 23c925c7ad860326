//! Identity of objects: finds two resources with one object, and the object of a lookup.

use super::Change;
use std::borrow::Cow;
use std::fmt;
use terrace_language::registry::Registry;
use terrace_provider::{Attributes, Lookup, ProposedChange, ResourceType, Session, Value};

/// Comparison key of an object. May hold secrets: never print it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct ObjectKey<'a> {
    /// Its provider instance.
    instance: Cow<'a, str>,
    /// Its identity space.
    space: &'static str,
    /// One of its names.
    name: String,
}

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

    /// The comparison key of the object with this name, of that type and instance.
    pub(super) fn of<'a>(&self, ty: &ResourceType, instance: &'a str) -> ObjectKey<'a> {
        ObjectKey { instance: Cow::Borrowed(instance), space: ty.identity_space, name: self.key() }
    }

    /// The text of the comparison key. May hold secrets: never print it.
    pub(super) fn key(&self) -> String {
        let mut key = String::new();
        for (name, value) in &self.compared {
            // Most values are strings, and each object has a key: avoid JSON for them.
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

/// The names of an object: its identity, and its id if that is known before the object exists. Two identities may lead to one id.
pub(super) fn names(ty: &ResourceType, attributes: &Attributes) -> Vec<Name> {
    let Some(identity) = ty.identity_of(attributes).filter(|identity| !identity.is_empty()) else { return Vec::new() };
    let id = attributes.get("id").filter(|id| id.as_str().is_some());
    let compared = ty.compared(&identity);
    std::iter::once(Name { parts: identity, compared, is_id: false }).chain(id.map(Name::of_id)).collect()
}

/// The comparison keys of a change's object for these attributes, either before or after the change.
pub(super) fn keys_of<'a>(registry: &Registry, change: &'a Change, attributes: &Attributes) -> Vec<ObjectKey<'a>> {
    let Some((_, ty)) = registry.resource_type(&change.address.ty) else { return Vec::new() };
    names(ty, attributes).iter().map(|name| name.of(ty, &change.how.provider)).collect()
}

/// Additional keys for lookups of objects whose identity only the server assigns. They come from the object's attributes or from
/// the lookup's arguments.
pub(super) fn additional_keys<'a>(ty: &ResourceType, attributes: &Attributes, instance: &'a str) -> Vec<ObjectKey<'a>> {
    let key = |name: String| ObjectKey {
        instance: Cow::Borrowed(instance),
        space: ty.identity_space,
        name: format!("called\0{name}"),
    };
    (ty.lookup_names)(attributes).into_iter().map(key).collect()
}

/// The keys of the objects that a lookup's arguments name. A provider may know the id of a future object; planning such an object
/// returns it.
pub(super) async fn argument_keys(
    registry: &Registry,
    session: &dyn Session,
    schema: &Lookup,
    (address, instance): (&str, &str),
    arguments: &Attributes,
) -> Vec<ObjectKey<'static>> {
    let mut keys = Vec::new();
    for (_, ty) in schema.objects.iter().filter_map(|name| registry.resource_type(name)) {
        keys.extend(additional_keys(ty, arguments, instance).into_iter().map(owned));
        let Some(identity) = ty.identity_of(arguments).filter(|identity| !identity.is_empty()) else { continue };
        let mut known = identity.clone();
        // The other attributes are unknown.
        let rest =
            ty.attributes.0.iter().filter(|attribute| !attribute.computed && !identity.contains_key(attribute.name));
        let rest = rest.map(|attribute| (attribute.name.to_owned(), Value::Unknown));
        let config = identity.clone().into_iter().chain(rest).collect();
        let change =
            ProposedChange { address, prior: None, config: &config, must_replace: false, changed_write_only: &[] };
        // The lookup itself reports invalid names.
        if let Ok(planned) = session.plan(ty, &change).await {
            known.extend(planned.planned.get("id").map(|id| ("id".to_owned(), id.clone())));
        }
        keys.extend(names(ty, &known).iter().map(|name| owned(name.of(ty, instance))));
    }
    keys
}

/// The keys of the objects that a lookup found, by the id in its result.
pub(super) fn result_keys(
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

/// The key with an owned instance name.
pub(super) fn owned(ObjectKey { instance, space, name }: ObjectKey<'_>) -> ObjectKey<'static> {
    ObjectKey { instance: Cow::Owned(instance.into_owned()), space, name }
}
