//! What a provider promises, checked: planned values agree with the configuration, results agree with the plan,
//! nothing lies outside the schema. A breach is the provider author's to mend and says so.

use terrace_provider::plan::with_defaults;
use terrace_provider::{Attributes, Object, Observed, Path, PlannedChange, ResourceType, Value};

/// Where a planned value differs from the configuration.
#[must_use]
pub fn planned_agrees_with_config(ty: &ResourceType, config: &Attributes, planned: &PlannedChange) -> Vec<String> {
    let configured = with_defaults(&ty.attributes, config);
    let mut breaches = outside_schema(&ty.attributes, &planned.planned);
    for (name, value) in &configured {
        let is_promise = ty.attributes.get(name).is_some_and(|attribute| !attribute.computed || attribute.required);
        if !is_promise || value.is_unknown() {
            continue;
        }
        let at = Path::attribute(name);
        match planned.planned.get(name) {
            Some(planned) => first_difference(value, planned, &at).into_iter().for_each(|path| {
                breaches.push(format!("the planned value at `{path}` differs from the configuration"))
            }),
            None if value.is_null() => {}
            None => breaches.push(format!("the plan leaves out `{at}`, which is configured")),
        }
    }
    breaches
}

/// Where a result differs from the plan.
#[must_use]
pub fn result_agrees_with_plan(ty: &ResourceType, planned: &Attributes, observed: &Observed) -> Vec<String> {
    let mut breaches = outside_schema(&ty.attributes, &observed.attributes);
    for (name, value) in planned {
        if ty.attributes.get(name).is_some_and(|attribute| attribute.write_only) {
            continue;
        }
        // What cannot be read back is left out of a result, and is recorded as planned.
        let Some(result) = observed.attributes.get(name) else { continue };
        if let Some(path) = first_difference(value, result, &Path::attribute(name)) {
            breaches.push(format!("the result at `{path}` differs from the plan"));
        }
    }
    breaches
}

fn outside_schema(object: &Object, attributes: &Attributes) -> Vec<String> {
    attributes
        .keys()
        .filter(|name| object.get(name).is_none())
        .map(|name| format!("`{name}` is not in the schema"))
        .collect()
}

/// The first path at which two values differ; what was unknown may have become anything.
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
    use terrace_provider::{Attribute, AttributeType};

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
    fn a_planned_value_that_is_not_the_configured_one_is_a_breach() {
        let planned = PlannedChange { planned: attributes(&[("val", 2_i64.into())]), ..PlannedChange::default() };
        let breaches = planned_agrees_with_config(&ty(), &attributes(&[("val", 1_i64.into())]), &planned);
        assert_eq!(breaches, ["the planned value at `val` differs from the configuration"]);
    }

    #[test]
    fn what_was_unknown_may_become_anything_and_what_was_known_may_not() {
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
}
