//! `ignoreChanges`: replaces ignored parts of the configuration with the object's values, so that they do not count as changes.

use std::borrow::Cow;
use terrace_provider::{Attributes, Path, ResourceType, Step, Value};
use terrace_store::RowStatus;
use terrace_store::marks;
use terrace_store::record::Prior;

/// The configuration, with the object's values at the ignored paths. Unchanged if the object is missing or tainted, because it
/// is replaced.
pub fn settled<'c>(
    ty: &ResourceType,
    config: &'c Attributes,
    prior: Option<&Prior>,
    ignored: &[Path],
) -> Cow<'c, Attributes> {
    let Some(prior) = prior.filter(|prior| !ignored.is_empty() && prior.status != RowStatus::Tainted) else {
        return Cow::Borrowed(config);
    };
    let mut settled = config.clone();
    for attribute in ty.attributes.0.iter().filter(|attribute| attribute.configurable && !attribute.write_only) {
        let recorded = prior.attributes.get(attribute.name);
        for path in ignored {
            match path.0.split_first() {
                Some((Step::Key(name), _)) if name != attribute.name => {}
                None | Some((_, [])) => match recorded {
                    // The object's value takes the sensitivity of the configured value.
                    Some(value) => {
                        let value = config
                            .get(attribute.name)
                            .map_or_else(|| value.clone(), |configured| marks::add_marks(value, configured));
                        settled.insert(attribute.name.to_owned(), value);
                    }
                    None if attribute.required => {}
                    None => drop(settled.shift_remove(attribute.name)),
                },
                Some((_, rest)) => {
                    if let (Some(value), Some(recorded)) = (settled.get_mut(attribute.name), recorded) {
                        settle(value, recorded, rest, false);
                    }
                }
            }
        }
    }
    Cow::Owned(settled)
}

/// True if changes of a whole attribute are ignored for this object.
pub(crate) fn is_ignored(name: &str, prior: Option<&Prior>, ignored: &[Path]) -> bool {
    let attribute = Path::attribute(name);
    prior.is_some_and(|prior| prior.status != RowStatus::Tainted) && ignored.iter().any(|path| path.covers(&attribute))
}

/// Replaces the configured value at a path with the recorded one, if both sides have all steps but the last.
fn settle(value: &mut Value, recorded: &Value, steps: &[Step], is_sensitive: bool) {
    let is_sensitive = is_sensitive || matches!(recorded, Value::Sensitive(_));
    if let Value::Sensitive(inner) = value {
        let mut exposed = inner.expose().clone();
        settle(&mut exposed, recorded, steps, is_sensitive);
        *value = Value::sensitive(exposed);
        return;
    }
    let Some((step, rest)) = steps.split_first() else { return };
    // Parts of a sensitive value are sensitive too.
    let marked = |value: &Value| if is_sensitive { Value::sensitive(value.clone()) } else { value.clone() };
    match (step, value, recorded.exposed()) {
        (Step::Key(key), Value::Map(entries), Value::Map(recorded)) => match (rest, recorded.get(key)) {
            ([], Some(recorded)) => drop(entries.insert(key.clone(), marked(recorded))),
            ([], None) => drop(entries.shift_remove(key)),
            (_, Some(recorded)) => {
                if let Some(value) = entries.get_mut(key) {
                    settle(value, recorded, rest, is_sensitive);
                }
            }
            (_, None) => {}
        },
        (Step::Index(index), Value::List(items), Value::List(recorded)) => {
            if let (Some(value), Some(recorded)) = (items.get_mut(*index), recorded.get(*index)) {
                match rest {
                    [] => *value = marked(recorded),
                    _ => settle(value, recorded, rest, is_sensitive),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(configured: serde_json::Value, recorded: serde_json::Value, path: &str, expected: &str) {
        let mut value = Value::from(configured);
        let path: Path = path.parse().unwrap();
        settle(&mut value, &Value::from(recorded), &path.0, false);
        assert_eq!(format!("{value:?}"), expected);
    }

    #[test]
    fn ignored_path_is_settled_if_both_sides_have_its_parent() {
        let json = |text: &str| serde_json::from_str(text).unwrap();
        check(json(r#"{"a": 1, "b": 2}"#), json(r#"{"a": 9}"#), "a", r#"{"a": 9, "b": 2}"#);
        check(json(r#"{"a": 1, "b": 2}"#), json(r#"{"b": 9}"#), "a", r#"{"b": 2}"#);
        check(json(r#"{"b": 2}"#), json(r#"{"a": 9}"#), "a", r#"{"b": 2, "a": 9}"#);
        check(
            json(r#"{"a": [{"k x": {"c": 1}}]}"#),
            json(r#"{"a": [{"k x": {"c": 9}}]}"#),
            r#"a[0]["k x"].c"#,
            r#"{"a": [{"k x": {"c": 9}}]}"#,
        );
        check(json(r#"{"a": [1]}"#), json(r#"{"a": [8, 9]}"#), "a[1]", r#"{"a": [1]}"#);
        check(json(r#"{"a": null}"#), json(r#"{"a": {"b": 9}}"#), "a.b", r#"{"a": null}"#);
    }

    #[test]
    fn part_of_recorded_secret_stays_secret() {
        let mut value = Value::from(serde_json::json!({"a": 1}));
        let recorded = Value::sensitive(Value::from(serde_json::json!({"a": "hunter2"})));
        settle(&mut value, &recorded, &"a".parse::<Path>().unwrap().0, false);
        assert_eq!(format!("{value:?}"), r#"{"a": (sensitive value)}"#);
    }
}
