use super::*;
use terrace_provider::AttributeType;

/// A value from JSON; texts that begin with `!` are sensitive.
fn value(json: serde_json::Value) -> Value {
    fn marked(value: Value) -> Value {
        match value {
            Value::String(text) => match text.strip_prefix('!') {
                Some(secret) => Value::sensitive(secret.into()),
                None => Value::String(text),
            },
            Value::List(items) => Value::List(items.into_iter().map(marked).collect()),
            Value::Map(entries) => entries.into_iter().map(|(key, value)| (key, marked(value))).collect(),
            other => other,
        }
    }
    marked(Value::from(json))
}

macro_rules! json { ($($json:tt)*) => { value(serde_json::json!($($json)*)) } }

#[track_caller]
fn check(found: Value, expected: &str) {
    assert_eq!(format!("{found:?}"), expected);
}

fn columns() -> Value {
    json!([{"name": "a"}, {"name": "b", "default": "!hunter2"}])
}

#[test]
fn unmoved_item_is_marked_in_place() {
    check(
        mark_like(&columns().revealed(), &columns()),
        r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#,
    );
    // Only the secret changed.
    let rotated = json!([{"name": "a"}, {"name": "b", "default": "hunter3"}]);
    check(mark_like(&rotated, &columns()), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    check(mark_like(&json!(["x", "y"]), &json!(["x", "!z"])), r#"["x", (sensitive value)]"#);
}

#[test]
fn moved_item_is_recognised_if_complete() {
    let dropped = json!([{"name": "b", "default": "hunter2"}]);
    check(mark_like(&dropped, &columns()), r#"[{"name": "b", "default": (sensitive value)}]"#);
    let added = json!([{"name": "c"}, {"name": "b", "default": "hunter2"}, {"name": "a", "type": "TEXT"}]);
    let expected = r#"[{"name": "c"}, {"name": "b", "default": (sensitive value)}, {"name": "a", "type": "TEXT"}]"#;
    check(mark_like(&added, &columns()), expected);
    check(mark_like(&json!(["b", "a"]), &json!(["!a", "b"])), r#"["b", (sensitive value)]"#);
}

#[test]
fn unrecognised_value_is_sensitive_as_a_whole() {
    let swapped = json!([{"name": "a", "default": "hunter2"}, {"name": "b"}]);
    check(mark_like(&swapped, &columns()), "(sensitive value)");
    let renamed = json!([{"name": "a"}, {"name": "c", "default": "hunter2"}]);
    check(mark_like(&renamed, &columns()), "(sensitive value)");
    let moved_and_rotated = json!([{"name": "b", "default": "hunter3"}]);
    check(mark_like(&moved_and_rotated, &columns()), "(sensitive value)");
    check(mark_like(&json!("hunter2"), &json!({"a": "!hunter2"})), "(sensitive value)");
    check(mark_like(&json!({"b": "hunter2"}), &json!({"a": "!hunter2"})), r#"{"b": (sensitive value)}"#);
}

#[test]
fn entries_are_identified_by_their_keys() {
    let marked = json!({"a": "!hunter2", "b": "x"});
    check(mark_like(&json!({"a": "hunter3", "b": "y"}), &marked), r#"{"a": (sensitive value), "b": "y"}"#);
    check(mark_like(&json!({"a": "hunter2", "c": "y"}), &marked), r#"{"a": (sensitive value), "c": "y"}"#);
}

#[test]
fn marked_versions_gain_only_the_marks_of_the_other() {
    // One more column, with its own secret, which the old version did not contain.
    let more = json!([{"name": "c", "default": "!other-hunter"}, {"name": "b", "default": "!hunter2"}]);
    check(add_marks(&columns(), &more), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    check(
        add_marks(&more, &columns()),
        r#"[{"name": "c", "default": (sensitive value)}, {"name": "b", "default": (sensitive value)}]"#,
    );
    // The value was unmarked before, in another place.
    let clear = json!([{"name": "z", "default": "'hunter2'"}, {"name": "a"}]);
    check(add_marks(&clear, &columns()), "(sensitive value)");
    check(
        add_marks(&json!({"z": "hunter2", "y": "1"}), &json!({"a": "!hunter2"})),
        r#"{"z": (sensitive value), "y": "1"}"#,
    );
}

#[test]
fn unknown_stays_unknown_and_null_is_not_secret() {
    check(mark_like(&Value::Unknown, &columns()), "(known after apply)");
    check(mark_like(&Value::Null, &json!("!hunter2")), "null");
    let planned = Value::List(vec![Value::Unknown, Value::sensitive("hunter2".into())]);
    check(mark_like(&json!(["x", "hunter2"]), &planned), r#"["x", (sensitive value)]"#);
}

#[test]
fn attribute_computed_from_a_secret_is_marked() {
    let text = |name| Attribute::new(name, AttributeType::Any, "A text.");
    let schema = Object(vec![text("path"), text("note"), text("id").stable(), text("size").computed()]);
    let mut attributes = json!({"path": "!hunter2", "note": "hunter2", "id": ["x", "out/hunter2"], "size": 7});
    let Value::Map(attributes) = &mut attributes else { panic!("a map") };
    mark_derived(&schema, &Attributes::default(), attributes);
    check(
        Value::Map(attributes.clone()),
        r#"{"path": (sensitive value), "note": "hunter2", "id": (sensitive value), "size": 7}"#,
    );
}

#[test]
fn given_secret_is_marked_in_computed_attributes() {
    let text = |name| Attribute::new(name, AttributeType::String, "A text.");
    let hidden = |name| Attribute { write_only: true, ..text(name) };
    let schema = Object(vec![text("user"), hidden("password"), text("url").computed(), text("note").computed()]);
    let Value::Map(given) = json!({"user": "!jane1", "password": "hunter2"}) else { panic!("a map") };
    // The provider returns the user in another form, and the password not at all.
    let mut attributes = json!({"user": "***", "url": "db://jane1@x", "note": "hunter2!"});
    let Value::Map(attributes) = &mut attributes else { panic!("a map") };
    mark_derived(&schema, &given, attributes);
    check(Value::Map(attributes.clone()), r#"{"user": "***", "url": (sensitive value), "note": (sensitive value)}"#);
}

#[test]
fn newly_marked_omits_removed_marks() {
    let attributes = |value: Value| value.as_map().unwrap().clone();
    let before = attributes(json!({"a": "x", "b": ["y", "!z"], "c": "!w", "d": "v", "e": "u"}));
    let after = attributes(json!({"a": "!x", "b": ["!y", "z"], "c": "w", "d": "v", "e": "!other"}));
    let names: Vec<String> = newly_marked(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "b"]);
}
