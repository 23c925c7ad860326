//! Checks of values: they match the schema, the configuration and the plan.

use super::report::Verdict;
use crate::normal::settled;
use crate::plan::PlannedChange;
use crate::{
    Attribute, AttributeType, Attributes, Object, Observed, Path, ProviderSchema, Recorded, ResourceType, Value,
};

/// Checks the declaration of a type.
pub(super) fn check_type(schema: &ProviderSchema, ty: &ResourceType) -> Result<Verdict, String> {
    let prefix = format!("{}_", schema.name);
    if !ty.name.starts_with(&prefix) {
        return Err(format!("its name does not begin with `{prefix}`"));
    }
    if ty.doc.is_empty() {
        return Err("it has no doc".to_owned());
    }
    if let Some(name) = ty.identity.iter().find(|name| ty.attributes.get(name).is_none()) {
        return Err(format!("the identity names `{name}`, which is not an attribute"));
    }
    if schema.resources.iter().filter(|other| other.name == ty.name).count() > 1 {
        return Err("it is declared twice".to_owned());
    }
    check_needs(schema, ty)?;
    check_object(&ty.attributes, &Path::default())?;
    let mut computed = ty.attributes.0.iter().filter(|attribute| attribute.computed);
    computed.try_for_each(|attribute| check_computed(ty, attribute)).map(|()| Verdict::Shown)
}

/// Checks that a computed attribute declares how updates affect it: unknown values spread to all consumers.
fn check_computed(ty: &ResourceType, attribute: &Attribute) -> Result<(), String> {
    let name = attribute.name;
    let declared = [attribute.stable, attribute.kept, !attribute.follows.is_empty(), attribute.volatile.is_some()];
    match declared.iter().filter(|is_declared| **is_declared).count() {
        0 if ty.updatable => Err(format!("`{name}` is computed without `stable`, `kept`, `follows` or `volatile`")),
        0 | 1 => match attribute.follows.iter().find(|source| ty.attributes.get(source).is_none()) {
            Some(source) => Err(format!("`{name}` follows `{source}`, which does not exist")),
            None => Ok(()),
        },
        _ => Err(format!("`{name}` is more than one of stable, kept, following and volatile")),
    }
}

/// Checks that a type returns complete identities of the objects that it needs.
fn check_needs(schema: &ProviderSchema, ty: &ResourceType) -> Result<(), String> {
    let named: Attributes = ty.attributes.names().map(|name| (name.to_owned(), "one/two".into())).collect();
    for need in ty.needs {
        let Some(needed) = schema.resource(need.ty) else {
            return Err(format!("it needs a `{}`, and the schema has no such type", need.ty));
        };
        let identities = (need.identities)(&named);
        if identities.is_empty() || identities.iter().any(|identity| needed.identity_of(identity).is_none()) {
            return Err(format!("it does not name the `{}` that it needs", need.ty));
        }
    }
    Ok(())
}

fn check_object(object: &Object, at: &Path) -> Result<(), String> {
    for attribute in &object.0 {
        let path = at.key(attribute.name);
        let is_camel_case = attribute.name.starts_with(|first: char| first.is_ascii_lowercase())
            && attribute.name.chars().all(|c| c.is_ascii_alphanumeric());
        let problem = if !is_camel_case {
            Some("is not camelCase")
        } else if attribute.doc.is_empty() {
            Some("has no doc")
        } else if attribute.required && (attribute.default.is_some() || attribute.computed) {
            Some("is required and yet has a default or is computed")
        } else if attribute.computed && !attribute.configurable && attribute.default.is_some() {
            // A configurable attribute may have a default that the provider replaces while it plans.
            Some("is computed and yet has a default")
        } else if attribute.write_only && (attribute.computed || !attribute.sensitive) {
            Some("is write-only and yet computed or not sensitive")
        } else if object.0.iter().filter(|other| other.name == attribute.name).count() > 1 {
            Some("is declared twice")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(format!("`{path}` {problem}"));
        }
        if let Some(default) = &attribute.default {
            check_value(attribute, default, &path).map_err(|problem| format!("the default of {problem}"))?;
        }
        check_inner(&attribute.ty, &path)?;
    }
    Ok(())
}

fn check_inner(ty: &AttributeType, at: &Path) -> Result<(), String> {
    match ty {
        AttributeType::Object(object) => check_object(object, at),
        AttributeType::List(item) | AttributeType::Map(item) => check_inner(item, at),
        _ => Ok(()),
    }
}

/// Checks a plan: all values lie within the schema, only the spelling of configured values differs, and sensitive values are
/// marked.
pub(super) fn check_planned(
    ty: &ResourceType,
    config: &Attributes,
    recorded: Option<&Attributes>,
    planned: &Attributes,
) -> Result<(), String> {
    check_attributes(ty, planned).map_err(|problem| format!("the plan has {problem}"))?;
    // A provider may replace the default of an attribute that it can compute.
    let is_free = |name: &str| {
        config.get(name).is_none_or(Value::is_null)
            && ty.attributes.get(name).is_some_and(|attribute| attribute.computed)
    };
    for (name, wanted) in settled(ty, config, recorded).into_iter().filter(|(name, _)| !is_free(name)) {
        match planned.get(&name) {
            None => return Err(format!("the plan lacks `{name}`, which is configured")),
            Some(value) if !agrees_in_normal_form(ty, &name, &wanted, value) => {
                return Err(format!("the plan has {value:?} for `{name}`, which is configured as {wanted:?}"));
            }
            Some(_) => {}
        }
    }
    for attribute in ty.attributes.0.iter().filter(|attribute| attribute.sensitive) {
        if planned.get(attribute.name).is_some_and(|value| !matches!(value, Value::Sensitive(_))) {
            return Err(format!("the plan shows `{}`, which is sensitive", attribute.name));
        }
    }
    Ok(())
}

/// Checks the result of a call: matches the schema and the plan, no unknown values, no write-only attributes, complete
/// identity.
pub(super) fn check_observed(
    ty: &ResourceType,
    planned: Option<&Attributes>,
    observed: &Observed,
) -> Result<(), String> {
    check_attributes(ty, &observed.attributes)?;
    for (name, value) in &observed.attributes {
        if value.has_unknown() {
            return Err(format!("an unknown value for `{name}`"));
        }
        if ty.attributes.get(name).is_some_and(|attribute| attribute.write_only) {
            return Err(format!("`{name}`, which is write-only"));
        }
        let differs = |wanted: &&Value| !agrees_in_normal_form(ty, name, wanted, value);
        if let Some(wanted) = planned.and_then(|planned| planned.get(name)).filter(differs) {
            return Err(format!("{value:?} for `{name}`, which is planned as {wanted:?}"));
        }
    }
    let mut names = ty.identity.iter().filter(|name| !observed.identity.contains_key(**name));
    if let Some(name) = names.next() {
        return Err(format!("an identity without `{name}`"));
    }
    match observed.identity.keys().find(|name| !ty.identity.contains(&name.as_str())) {
        Some(name) => Err(format!("an identity with `{name}`, which does not belong to it")),
        None => Ok(()),
    }
}

/// True if the plan changes nothing.
pub(super) fn is_no_change(ty: &ResourceType, prior: &Recorded, plan: &PlannedChange) -> bool {
    plan.replace_paths.is_empty() && first_change(ty, &prior.attributes, &plan.planned).is_none()
}

/// The first attribute that differs, in words.
pub(super) fn first_change(ty: &ResourceType, before: &Attributes, after: &Attributes) -> Option<String> {
    ty.attributes.0.iter().filter(|attribute| !attribute.write_only).find_map(|attribute| {
        let before = before.get(attribute.name).filter(|value| !value.is_null());
        let after = after.get(attribute.name).filter(|value| !value.is_null());
        let is_same = match (before, after) {
            (Some(before), Some(after)) => before.is_same_as(after),
            (None, None) => true,
            _ => false,
        };
        (!is_same).then(|| format!("`{}` is {before:?} and then {after:?}", attribute.name))
    })
}

fn agrees_in_normal_form(ty: &ResourceType, name: &str, planned: &Value, value: &Value) -> bool {
    agrees(planned, value)
        || ty
            .attributes
            .get(name)
            .filter(|attribute| attribute.has_normal_form())
            .is_some_and(|attribute| agrees(&attribute.normal_form(planned), &attribute.normal_form(value)))
}

/// True if a value matches its plan; an unknown planned value matches anything.
fn agrees(planned: &Value, value: &Value) -> bool {
    match (planned.exposed(), value.exposed()) {
        (Value::Unknown, _) => true,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            b.keys().all(|key| a.contains_key(key))
                && a.iter().all(|(key, a)| b.get(key).map_or(a.is_null() || a.is_unknown(), |b| agrees(a, b)))
        }
        (a, b) => a.is_same_as(b),
    }
}

fn check_attributes(ty: &ResourceType, attributes: &Attributes) -> Result<(), String> {
    for (name, value) in attributes {
        let Some(attribute) = ty.attributes.get(name) else {
            return Err(format!("`{name}`, which is not in the schema"));
        };
        check_value(attribute, value, &Path::attribute(name))?;
    }
    Ok(())
}

fn check_value(attribute: &Attribute, value: &Value, at: &Path) -> Result<(), String> {
    if attribute.vendor_json { Ok(()) } else { check_is(&attribute.ty, value, at) }
}

fn check_is(ty: &AttributeType, value: &Value, at: &Path) -> Result<(), String> {
    match (ty, value.exposed()) {
        (AttributeType::Any, _)
        | (_, Value::Null | Value::Unknown)
        | (AttributeType::String, Value::String(_))
        | (AttributeType::Int, Value::Int(_))
        | (AttributeType::Float, Value::Int(_) | Value::Number(_))
        | (AttributeType::Bool, Value::Bool(_)) => Ok(()),
        (AttributeType::List(item), Value::List(items)) => {
            items.iter().enumerate().try_for_each(|(index, value)| check_is(item, value, &at.index(index)))
        }
        (AttributeType::Map(item), Value::Map(entries)) => {
            entries.iter().try_for_each(|(key, value)| check_is(item, value, &at.key(key)))
        }
        (AttributeType::Object(object), Value::Map(entries)) => entries.iter().try_for_each(|(key, value)| {
            let path = at.key(key);
            match object.get(key) {
                Some(attribute) => check_value(attribute, value, &path),
                None => Err(format!("`{path}`, which is not in the schema")),
            }
        }),
        (expected, other) => Err(format!("`{at}` as {}, which should be {}", other.kind(), expected.describe())),
    }
}
