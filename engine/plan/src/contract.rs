//! Checks of a provider's promises. Planned values agree with the configuration, results agree with the plan (both in normal form),
//! and all values lie within the schema. A breach is a bug of the provider.

use terrace_provider::normal::settled;
use terrace_provider::{
    Attribute, AttributeType, Attributes, Object, Observed, Path, PlannedChange, ResourceType, Value,
};

/// Lists the differences between a plan and the configuration of its object.
#[must_use]
pub fn planned_agrees_with_config(
    ty: &ResourceType,
    config: &Attributes,
    recorded: Option<&Attributes>,
    planned: &PlannedChange,
) -> Vec<String> {
    let configured = settled(ty, config, recorded);
    let mut breaches = outside_schema(&ty.attributes, &planned.planned);
    for (name, value) in &configured {
        let Some(attribute) = ty.attributes.get(name) else { continue };
        let is_promise = (!attribute.computed || attribute.required) && !attribute.access_path;
        if !is_promise || value.is_unknown() {
            continue;
        }
        let at = Path::attribute(name);
        match planned.planned.get(name) {
            Some(planned) => difference_of(attribute, value, planned, &at).into_iter().for_each(|path| {
                breaches.push(format!("the planned value at `{path}` differs from the configuration"))
            }),
            None if value.is_null() => {}
            None => breaches.push(format!("the plan omits `{at}`, which is configured")),
        }
    }
    breaches
}

/// Lists the differences between a result and the plan.
#[must_use]
pub fn result_agrees_with_plan(ty: &ResourceType, planned: &Attributes, observed: &Observed) -> Vec<String> {
    let mut breaches = outside_schema(&ty.attributes, &observed.attributes);
    let differences = differing_attributes(ty, planned, observed);
    breaches.extend(differences.map(|(_, path)| format!("the result at `{path}` differs from the plan")));
    breaches
}

/// The attributes of a result that differ from the plan, each with the first path at which it does.
pub fn differing_attributes<'a>(
    ty: &'a ResourceType,
    planned: &'a Attributes,
    observed: &'a Observed,
) -> impl Iterator<Item = (&'a str, Path)> {
    planned.iter().filter_map(move |(name, value)| {
        let attribute = ty.attributes.get(name).filter(|attribute| !attribute.write_only)?;
        // A provider omits attributes that it cannot read: they are recorded as planned.
        let result = observed.attributes.get(name)?;
        Some((name.as_str(), difference_of(attribute, value, result, &Path::attribute(name))?))
    })
}

/// Lists the faults of a result independent of the plan: values of another type than the schema's, secrets that come back, and
/// missing identity attributes.
#[must_use]
pub fn result_is_sound(ty: &ResourceType, observed: &Observed) -> Vec<String> {
    let mut breaches = Vec::new();
    for attribute in &ty.attributes.0 {
        let Some(value) = observed.attributes.get(attribute.name).filter(|value| !value.is_null()) else { continue };
        if attribute.write_only {
            breaches.push(format!("the result has `{}`, which is write-only", attribute.name));
        } else if let Some(path) = of_other_type(&attribute.ty, value, &Path::attribute(attribute.name)) {
            breaches.push(format!("the result at `{path}` has another type than the schema"));
        }
    }
    if observed.identity.is_empty() && !ty.identity.is_empty() {
        breaches.push(format!("the result lacks the identity `{}`", ty.identity.join("`, `")));
    }
    breaches
}

/// The first path at which a value does not have its type. An unknown value in a result has no type.
fn of_other_type(ty: &AttributeType, value: &Value, path: &Path) -> Option<Path> {
    match (ty, value.exposed()) {
        (AttributeType::Any, _) | (_, Value::Null) => None,
        (AttributeType::String, Value::String(_))
        | (AttributeType::Int | AttributeType::Float, Value::Int(_))
        | (AttributeType::Float, Value::Number(_))
        | (AttributeType::Bool, Value::Bool(_)) => None,
        (AttributeType::List(item), Value::List(items)) => {
            items.iter().enumerate().find_map(|(position, value)| of_other_type(item, value, &path.index(position)))
        }
        (AttributeType::Map(item), Value::Map(entries)) => {
            entries.iter().find_map(|(key, value)| of_other_type(item, value, &path.key(key)))
        }
        (AttributeType::Object(object), Value::Map(entries)) => entries.iter().find_map(|(key, value)| {
            let path = path.key(key);
            object.get(key).map_or_else(|| Some(path.clone()), |known| of_other_type(&known.ty, value, &path))
        }),
        _ => Some(path.clone()),
    }
}

fn outside_schema(object: &Object, attributes: &Attributes) -> Vec<String> {
    attributes
        .keys()
        .filter(|name| object.get(name).is_none())
        .map(|name| format!("`{name}` is not in the schema"))
        .collect()
}

/// The first path at which two values of an attribute differ in normal form.
fn difference_of(attribute: &Attribute, planned: &Value, result: &Value, path: &Path) -> Option<Path> {
    let difference = first_difference(planned, result, path)?;
    if attribute.has_normal_form() {
        let (planned, result) = (attribute.normal_form(planned), attribute.normal_form(result));
        first_difference(&planned, &result, path)?;
    }
    Some(difference)
}

/// The first path at which two values differ; an unknown value agrees with any value.
fn first_difference(planned: &Value, result: &Value, path: &Path) -> Option<Path> {
    match (planned.exposed(), result.exposed()) {
        (Value::Unknown, _) => None,
        (Value::Map(planned), Value::Map(result)) => {
            let missing = result.keys().find(|key| !planned.contains_key(*key)).map(|key| path.key(key));
            let differing = planned.iter().find_map(|(key, value)| match result.get(key) {
                Some(other) => first_difference(value, other, &path.key(key)),
                None if value.is_null() => None,
                None => Some(path.key(key)),
            });
            differing.or(missing)
        }
        (Value::List(planned), Value::List(result)) if planned.len() == result.len() => planned
            .iter()
            .zip(result)
            .enumerate()
            .find_map(|(position, (value, other))| first_difference(value, other, &path.index(position))),
        (planned, result) => (!planned.is_same_as(result)).then(|| path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::normal;

    fn ty() -> ResourceType {
        let attributes = vec![
            Attribute::new("val", AttributeType::Any, "A value."),
            Attribute::new("id", AttributeType::String, "Its id.").stable(),
        ];
        ResourceType::new("test_thing", "A thing.", &["val"], Object(attributes))
    }

    fn attributes(entries: &[(&str, Value)]) -> Attributes {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    #[test]
    fn planned_value_must_equal_configured_value() {
        let planned = PlannedChange { planned: attributes(&[("val", 2_i64.into())]), ..PlannedChange::default() };
        let breaches = planned_agrees_with_config(&ty(), &attributes(&[("val", 1_i64.into())]), None, &planned);
        assert_eq!(breaches, ["the planned value at `val` differs from the configuration"]);
    }

    #[test]
    fn values_equal_in_normal_form_are_no_breach() {
        let val = Attribute::new("val", AttributeType::list(AttributeType::String), "Values.").normal(normal::set);
        let note = Attribute::new("note", AttributeType::String, "A note.").normal(normal::non_empty);
        let ty = ResourceType::new("test_thing", "A thing.", &[], Object(vec![val, note]));
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).into()).collect());
        let config = attributes(&[("val", list(&["b", "a", "a"])), ("note", "".into())]);
        let planned = attributes(&[("val", list(&["a", "b"]))]);
        let change = PlannedChange { planned: planned.clone(), ..PlannedChange::default() };
        assert!(planned_agrees_with_config(&ty, &config, None, &change).is_empty());
        let observed = |items| Observed { attributes: attributes(&[("val", list(items))]), ..Observed::default() };
        assert!(result_agrees_with_plan(&ty, &planned, &observed(&["b", "a"])).is_empty());
        assert_eq!(
            result_agrees_with_plan(&ty, &planned, &observed(&["a"])),
            ["the result at `val` differs from the plan"]
        );
    }

    #[test]
    fn result_may_differ_from_plan_only_if_value_was_unknown() {
        let planned = attributes(&[("val", 1_i64.into()), ("id", Value::Unknown)]);
        let good =
            Observed { attributes: attributes(&[("val", 1_i64.into()), ("id", "x".into())]), ..Observed::default() };
        assert!(result_agrees_with_plan(&ty(), &planned, &good).is_empty());
        let bad =
            Observed { attributes: attributes(&[("val", 2_i64.into()), ("odd", 1_i64.into())]), ..Observed::default() };
        assert_eq!(
            result_agrees_with_plan(&ty(), &planned, &bad),
            ["`odd` is not in the schema", "the result at `val` differs from the plan"]
        );
    }

    #[test]
    fn result_must_have_schema_types_and_identity() {
        let secret = Attribute::new("secret", AttributeType::String, "A secret.").write_only();
        let rows = Attribute::new("rows", AttributeType::list(AttributeType::Int), "Rows.");
        let Object(mut all) = ty().attributes;
        all.extend([secret, rows]);
        let ty = ResourceType::new("test_thing", "A thing.", &["val"], Object(all));
        let observed = |entries: &[(&str, Value)], identity: &[(&str, Value)]| Observed {
            attributes: attributes(entries),
            identity: attributes(identity),
            ..Observed::default()
        };
        let named = [("val", Value::Int(1))];
        let good = observed(&[("id", "x".into()), ("rows", vec![Value::Int(1)].into())], &named);
        assert!(result_is_sound(&ty, &good).is_empty());
        assert_eq!(result_is_sound(&ty, &observed(&[], &[])), ["the result lacks the identity `val`"]);
        let odd = [("id", 1_i64.into()), ("secret", "s".into()), ("rows", vec![Value::Int(1), "two".into()].into())];
        assert_eq!(
            result_is_sound(&ty, &observed(&odd, &named)),
            [
                "the result at `id` has another type than the schema",
                "the result has `secret`, which is write-only",
                "the result at `rows[1]` has another type than the schema",
            ]
        );
    }
}
