//! Default planning of a resource from its schema.

use crate::normal::settled;
use crate::{Attribute, AttributeType, Attributes, Map, Object, Path, Private, Recorded, ResourceType, Value};

/// The engine's proposal for a resource.
#[derive(Debug, Clone)]
pub struct ProposedChange<'a> {
    /// The resource's address with its stack.
    pub address: &'a str,
    /// The recorded (and refreshed) object; `None` if the state has none.
    pub prior: Option<&'a Recorded>,
    /// The evaluated configuration. Values that depend on objects of the same plan are unknown.
    pub config: &'a Attributes,
    /// True if the object must be replaced in any case: tainted, `--replace`, `replaceTriggeredBy`.
    pub must_replace: bool,
    /// Write-only attributes whose value differs from the one that the recorded object was created with.
    pub changed_write_only: &'a [String],
}

/// Effect of a proposed change, as the provider plans it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlannedChange {
    /// The attributes after the change; values that the provider will compute are unknown.
    pub planned: Attributes,
    /// The changes that require a replacement.
    pub replace_paths: Vec<Path>,
    /// The provider's bytes, which the engine passes to the call.
    pub private: Private,
    /// The data that the change would destroy, if planning can determine it.
    pub data_loss: Option<DataLoss>,
    /// Reasons for the change that the attributes do not show: `rows.csv changed`. Shown with the plan, and not
    /// recorded.
    pub because: Vec<String>,
}

/// Data that a change destroys.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DataLoss {
    /// The destroyed parts, in words: `column STATUS is dropped`.
    pub reasons: Vec<String>,
}

/// Plans from the schema alone:
///
/// - Configured values get defaults and take the form in which they can be read back.
/// - Computed values stay while the attributes that they follow are unchanged. Otherwise they are unknown.
/// - A changed attribute with `replaces` requires a replacement. So does every change if the type is not updatable.
#[must_use]
pub fn from_schema(ty: &ResourceType, change: &ProposedChange<'_>) -> PlannedChange {
    let mut configured = settled(ty, change.config, change.prior.map(|prior| &prior.attributes));
    let Some(prior) = change.prior else {
        return PlannedChange {
            planned: fill_computed(ty, &configured, |_| Value::Unknown),
            ..PlannedChange::default()
        };
    };
    let recorded_access_path = |attribute: &Attribute| {
        let value = prior.attributes.get(attribute.name).filter(|value| attribute.access_path && !value.is_null())?;
        Some((attribute.name.to_owned(), value.clone()))
    };
    let is_changed = |attribute: &&Attribute| {
        recorded_access_path(attribute).is_none() && is_changed(attribute, &configured, prior, change)
    };
    let changed: Vec<&Attribute> = ty.attributes.0.iter().filter(is_changed).collect();
    let replace_paths: Vec<Path> = changed
        .iter()
        .filter(|attribute| attribute.replaces || !ty.updatable)
        .map(|attribute| Path::attribute(attribute.name))
        .collect();
    let is_replaced = change.must_replace || !replace_paths.is_empty();
    if is_replaced {
        // The new object is created as configured: the order of columns counts again.
        configured = settled(ty, change.config, None);
    } else {
        // The recorded access path leads to the same object.
        configured.extend(ty.attributes.0.iter().filter_map(recorded_access_path));
    }
    let is_touched = |attribute: &Attribute| match attribute.follows {
        _ if attribute.stable || attribute.kept => false,
        [] => !changed.is_empty(),
        sources => changed.iter().any(|changed| sources.contains(&changed.name)),
    };
    let planned = fill_computed(ty, &configured, |attribute| {
        let kept = !is_replaced && !is_touched(attribute);
        match prior.attributes.get(attribute.name) {
            Some(value) if kept => value.clone(),
            None if kept && (changed.is_empty() || !attribute.follows.is_empty()) => Value::Null,
            _ => Value::Unknown,
        }
    });
    PlannedChange { planned, replace_paths, private: prior.private.clone(), ..PlannedChange::default() }
}

/// The configured attributes in schema order, with defaults at every depth, and without nulls and values that count as
/// null.
#[must_use]
pub fn with_defaults(object: &Object, config: &Attributes) -> Attributes {
    let mut filled = Map::with_capacity_and_hasher(object.0.len(), Default::default());
    for attribute in &object.0 {
        let given = config.get(attribute.name).filter(|value| !attribute.is_absent(value));
        let value = match given {
            Some(value) => value_with_defaults(&attribute.ty, value),
            None => match &attribute.default {
                Some(default) => default.clone(),
                None => continue,
            },
        };
        let value = if attribute.sensitive { Value::sensitive(value) } else { value };
        filled.insert(attribute.name.to_owned(), value);
    }
    filled
}

fn value_with_defaults(ty: &AttributeType, value: &Value) -> Value {
    if let Value::Sensitive(inner) = value {
        return Value::sensitive(value_with_defaults(ty, inner.expose()));
    }
    match (ty, value) {
        (AttributeType::Object(object), Value::Map(entries)) => Value::Map(with_defaults(object, entries)),
        (AttributeType::List(item), Value::List(items)) => {
            Value::List(items.iter().map(|value| value_with_defaults(item, value)).collect())
        }
        (AttributeType::Map(item), Value::Map(entries)) => {
            Value::Map(entries.iter().map(|(key, value)| (key.clone(), value_with_defaults(item, value))).collect())
        }
        _ => value.clone(),
    }
}

fn is_changed(attribute: &Attribute, configured: &Attributes, prior: &Recorded, change: &ProposedChange<'_>) -> bool {
    if attribute.write_only {
        return change.changed_write_only.iter().any(|name| name == attribute.name);
    }
    match (configured.get(attribute.name), prior.attributes.get(attribute.name)) {
        (Some(new), Some(old)) => !new.is_same_as(old),
        (Some(_), None) => true,
        // A value that the provider computed for an unconfigured attribute is not a change.
        (None, Some(old)) => !attribute.computed && !old.is_null(),
        (None, None) => false,
    }
}

fn fill_computed(ty: &ResourceType, configured: &Attributes, computed: impl Fn(&Attribute) -> Value) -> Attributes {
    let mut planned = Map::with_capacity_and_hasher(ty.attributes.0.len(), Default::default());
    for attribute in &ty.attributes.0 {
        let value = match configured.get(attribute.name) {
            Some(value) => value.clone(),
            None if attribute.computed => computed(attribute),
            None => continue,
        };
        if value.is_null() {
            continue;
        }
        let value = if attribute.sensitive { Value::sensitive(value) } else { value };
        planned.insert(attribute.name.to_owned(), value);
    }
    planned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty() -> ResourceType {
        ResourceType::new(
            "test_thing",
            "A thing.",
            &["name"],
            Object(vec![
                Attribute::new("name", AttributeType::String, "Its name.").required().replaces(),
                Attribute::new("size", AttributeType::Int, "Its size.").default_value(3_i64),
                Attribute::new("label", AttributeType::String, "A label."),
                Attribute::new("door", AttributeType::String, "The door of the entrance.").access_path(),
                Attribute::new("id", AttributeType::String, "Its id.").stable(),
                Attribute::new("etag", AttributeType::String, "Changes with each write.").computed(),
                Attribute::new("length", AttributeType::Int, "How long it is.").computed().follows(&["size"]),
                Attribute::new("color", AttributeType::String, "Its color.").or_kept(),
            ]),
        )
    }

    fn attributes(entries: &[(&str, Value)]) -> Attributes {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn plan(prior: Option<&Recorded>, config: &Attributes) -> PlannedChange {
        let change = ProposedChange { address: "a", prior, config, must_replace: false, changed_write_only: &[] };
        from_schema(&ty(), &change)
    }

    fn prior() -> Recorded {
        let attributes = attributes(&[
            ("name", "a".into()),
            ("size", Value::Int(3)),
            ("id", "17".into()),
            ("etag", "x".into()),
            ("length", Value::Int(12)),
            ("color", "red".into()),
        ]);
        Recorded { attributes, ..Recorded::default() }
    }

    #[test]
    fn create_fills_defaults_and_leaves_computed_unknown() {
        let planned = plan(None, &attributes(&[("name", "a".into())])).planned;
        assert_eq!(
            planned,
            attributes(&[
                ("name", "a".into()),
                ("size", Value::Int(3)),
                ("id", Value::Unknown),
                ("etag", Value::Unknown),
                ("length", Value::Unknown),
                ("color", Value::Unknown)
            ])
        );
    }

    #[test]
    fn unchanged_configuration_plans_the_recorded_state() {
        let planned = plan(Some(&prior()), &attributes(&[("name", "a".into()), ("label", Value::Null)]));
        assert_eq!(planned.planned, prior().attributes);
        assert!(planned.replace_paths.is_empty());
    }

    #[test]
    fn update_keeps_stable_values_only() {
        let planned = plan(Some(&prior()), &attributes(&[("name", "a".into()), ("label", "new".into())]));
        assert_eq!(planned.planned.get("id"), Some(&"17".into()));
        assert_eq!(planned.planned.get("etag"), Some(&Value::Unknown));
    }

    #[test]
    fn update_keeps_computed_values_that_it_does_not_touch() {
        let of = |config: &[(&str, Value)]| plan(Some(&prior()), &attributes(config)).planned;
        let labelled = of(&[("name", "a".into()), ("label", "new".into())]);
        assert_eq!((&labelled["length"], &labelled["color"]), (&Value::Int(12), &"red".into()));
        let resized = of(&[("name", "a".into()), ("size", Value::Int(4))]);
        assert_eq!((&resized["length"], &resized["color"]), (&Value::Unknown, &"red".into()));
        let painted = of(&[("name", "a".into()), ("color", "blue".into())]);
        assert_eq!((&painted["length"], &painted["color"]), (&Value::Int(12), &"blue".into()));
        let replaced = of(&[("name", "b".into())]);
        assert_eq!((&replaced["length"], &replaced["color"]), (&Value::Unknown, &Value::Unknown));
    }

    #[test]
    fn unknown_value_of_replacing_attribute_replaces() {
        let planned = plan(Some(&prior()), &attributes(&[("name", Value::Unknown)]));
        assert_eq!(planned.replace_paths, [Path::attribute("name")]);
        assert_eq!(planned.planned.get("id"), Some(&Value::Unknown));
    }

    #[test]
    fn changed_access_path_is_ignored_unless_the_object_is_replaced() {
        let mut prior = prior();
        prior.attributes.insert("door".to_owned(), "left".into());
        let by_right = |name: &str| attributes(&[("name", name.into()), ("door", "right".into())]);
        let kept = plan(Some(&prior), &by_right("a"));
        assert_eq!((&kept.planned["door"], &kept.planned["etag"]), (&"left".into(), &"x".into()));
        let replaced = plan(Some(&prior), &by_right("b"));
        assert_eq!(replaced.planned["door"], "right".into());
        prior.attributes.shift_remove("door");
        assert_eq!(plan(Some(&prior), &by_right("a")).planned["door"], "right".into());
    }

    #[test]
    fn sensitive_mark_is_not_a_change() {
        let mut prior = prior();
        prior.attributes.insert("label".to_owned(), Value::sensitive("x".into()));
        let planned = plan(Some(&prior), &attributes(&[("name", "a".into()), ("label", "x".into())]));
        assert_eq!(planned.planned.get("etag"), Some(&"x".into()));
    }
}
