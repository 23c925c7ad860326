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
    check(found(&columns().revealed(), &columns()), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    // Only the secret changed.
    let rotated = json!([{"name": "a"}, {"name": "b", "default": "hunter3"}]);
    check(found(&rotated, &columns()), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    check(found(&json!(["x", "y"]), &json!(["x", "!z"])), r#"["x", (sensitive value)]"#);
}

#[test]
fn moved_item_is_recognised_if_complete() {
    let dropped = json!([{"name": "b", "default": "hunter2"}]);
    check(found(&dropped, &columns()), r#"[{"name": "b", "default": (sensitive value)}]"#);
    let added = json!([{"name": "c"}, {"name": "b", "default": "hunter2"}, {"name": "a", "type": "TEXT"}]);
    let expected = r#"[{"name": "c"}, {"name": "b", "default": (sensitive value)}, {"name": "a", "type": "TEXT"}]"#;
    check(found(&added, &columns()), expected);
    check(found(&json!(["b", "a"]), &json!(["!a", "b"])), r#"["b", (sensitive value)]"#);
}

#[test]
fn unrecognised_value_is_sensitive_as_a_whole() {
    let swapped = json!([{"name": "a", "default": "hunter2"}, {"name": "b"}]);
    check(found(&swapped, &columns()), "(sensitive value)");
    let renamed = json!([{"name": "a"}, {"name": "c", "default": "hunter2"}]);
    check(found(&renamed, &columns()), "(sensitive value)");
    let moved_and_rotated = json!([{"name": "b", "default": "hunter3"}]);
    check(found(&moved_and_rotated, &columns()), "(sensitive value)");
    check(found(&json!("hunter2"), &json!({"a": "!hunter2"})), "(sensitive value)");
    check(found(&json!({"b": "hunter2"}), &json!({"a": "!hunter2"})), r#"{"b": (sensitive value)}"#);
}

#[test]
fn entries_are_identified_by_their_keys() {
    let marked = json!({"a": "!hunter2", "b": "x"});
    check(found(&json!({"a": "hunter3", "b": "y"}), &marked), r#"{"a": (sensitive value), "b": "y"}"#);
    check(found(&json!({"a": "hunter2", "c": "y"}), &marked), r#"{"a": (sensitive value), "c": "y"}"#);
}

#[test]
fn marked_versions_gain_only_the_marks_of_the_other() {
    // One more column, with its own secret, which the old version did not contain.
    let more = json!([{"name": "c", "default": "!other-hunter"}, {"name": "b", "default": "!hunter2"}]);
    check(beside(&columns(), &more), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    check(
        beside(&more, &columns()),
        r#"[{"name": "c", "default": (sensitive value)}, {"name": "b", "default": (sensitive value)}]"#,
    );
    // The value was unmarked before, in another place.
    let clear = json!([{"name": "z", "default": "'hunter2'"}, {"name": "a"}]);
    check(beside(&clear, &columns()), "(sensitive value)");
    check(
        beside(&json!({"z": "hunter2", "y": "1"}), &json!({"a": "!hunter2"})),
        r#"{"z": (sensitive value), "y": "1"}"#,
    );
}

#[test]
fn unknown_stays_unknown_and_null_is_not_secret() {
    check(found(&Value::Unknown, &columns()), "(known after apply)");
    check(found(&Value::Null, &json!("!hunter2")), "null");
    let planned = Value::List(vec![Value::Unknown, Value::sensitive("hunter2".into())]);
    check(found(&json!(["x", "hunter2"]), &planned), r#"["x", (sensitive value)]"#);
}

#[test]
fn attribute_computed_from_a_secret_is_marked() {
    let text = |name| Attribute::new(name, AttributeType::Any, "A text.");
    let schema = Object(vec![text("path"), text("note"), text("id").stable(), text("size").computed()]);
    let mut attributes = json!({"path": "!hunter2", "note": "hunter2", "id": ["x", "out/hunter2"], "size": 7});
    let Value::Map(attributes) = &mut attributes else { panic!("a map") };
    spread(&schema, &Attributes::default(), attributes);
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
    spread(&schema, &given, attributes);
    check(Value::Map(attributes.clone()), r#"{"user": "***", "url": (sensitive value), "note": (sensitive value)}"#);
}

#[test]
fn added_reports_new_marks_but_not_removed_ones() {
    let attributes = |value: Value| value.as_map().unwrap().clone();
    let before = attributes(json!({"a": "x", "b": ["y", "!z"], "c": "!w", "d": "v", "e": "u"}));
    let after = attributes(json!({"a": "!x", "b": ["!y", "z"], "c": "w", "d": "v", "e": "!other"}));
    let names: Vec<String> = added(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "b"]);
}
