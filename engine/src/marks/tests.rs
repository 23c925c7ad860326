use super::*;
use terrace_provider::AttributeType;

/// A value from JSON in which texts that begin with `!` are sensitive.
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
fn what_did_not_move_is_marked_where_it_was() {
    check(found(&columns().revealed(), &columns()), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    // Only the secret is another one.
    let rotated = json!([{"name": "a"}, {"name": "b", "default": "hunter3"}]);
    check(found(&rotated, &columns()), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    check(found(&json!(["x", "y"]), &json!(["x", "!z"])), r#"["x", (sensitive value)]"#);
}

#[test]
fn what_is_whole_is_recognised_wherever_it_went() {
    let dropped = json!([{"name": "b", "default": "hunter2"}]);
    check(found(&dropped, &columns()), r#"[{"name": "b", "default": (sensitive value)}]"#);
    let added = json!([{"name": "c"}, {"name": "b", "default": "hunter2"}, {"name": "a", "type": "TEXT"}]);
    let expected = r#"[{"name": "c"}, {"name": "b", "default": (sensitive value)}, {"name": "a", "type": "TEXT"}]"#;
    check(found(&added, &columns()), expected);
    check(found(&json!(["b", "a"]), &json!(["!a", "b"])), r#"["b", (sensitive value)]"#);
}

#[test]
fn what_cannot_be_recognised_is_sensitive_as_a_whole() {
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
fn entries_are_told_by_their_keys() {
    let marked = json!({"a": "!hunter2", "b": "x"});
    check(found(&json!({"a": "hunter3", "b": "y"}), &marked), r#"{"a": (sensitive value), "b": "y"}"#);
    check(found(&json!({"a": "hunter2", "c": "y"}), &marked), r#"{"a": (sensitive value), "c": "y"}"#);
}

#[test]
fn of_two_versions_with_their_own_marks_only_what_one_of_them_hides_is_looked_for() {
    // A column more, with a secret of its own: nothing of it was there before.
    let more = json!([{"name": "c", "default": "!other-hunter"}, {"name": "b", "default": "!hunter2"}]);
    check(beside(&columns(), &more), r#"[{"name": "a"}, {"name": "b", "default": (sensitive value)}]"#);
    check(
        beside(&more, &columns()),
        r#"[{"name": "c", "default": (sensitive value)}, {"name": "b", "default": (sensitive value)}]"#,
    );
    // The value was there in the clear, and elsewhere.
    let clear = json!([{"name": "z", "default": "'hunter2'"}, {"name": "a"}]);
    check(beside(&clear, &columns()), "(sensitive value)");
    check(
        beside(&json!({"z": "hunter2", "y": "1"}), &json!({"a": "!hunter2"})),
        r#"{"z": (sensitive value), "y": "1"}"#,
    );
}

#[test]
fn the_unknown_stays_unknown_and_nothing_is_no_secret() {
    check(found(&Value::Unknown, &columns()), "(known after apply)");
    check(found(&Value::Null, &json!("!hunter2")), "null");
    let planned = Value::List(vec![Value::Unknown, Value::sensitive("hunter2".into())]);
    check(found(&json!(["x", "hunter2"]), &planned), r#"["x", (sensitive value)]"#);
}

#[test]
fn what_a_provider_computes_of_a_secret_is_one() {
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
fn what_was_given_as_a_secret_is_one_in_whatever_is_computed_of_it() {
    let text = |name| Attribute::new(name, AttributeType::String, "A text.");
    let hidden = |name| Attribute { write_only: true, ..text(name) };
    let schema = Object(vec![text("user"), hidden("password"), text("url").computed(), text("note").computed()]);
    let Value::Map(given) = json!({"user": "!jane1", "password": "hunter2"}) else { panic!("a map") };
    // The provider tells of the user in another form, and of the password not at all.
    let mut attributes = json!({"user": "***", "url": "db://jane1@x", "note": "hunter2!"});
    let Value::Map(attributes) = &mut attributes else { panic!("a map") };
    spread(&schema, &given, attributes);
    check(Value::Map(attributes.clone()), r#"{"user": "***", "url": (sensitive value), "note": (sensitive value)}"#);
}

#[test]
fn a_mark_that_is_new_is_told_and_one_that_goes_is_not() {
    let attributes = |value: Value| value.as_map().unwrap().clone();
    let before = attributes(json!({"a": "x", "b": ["y", "!z"], "c": "!w", "d": "v", "e": "u"}));
    let after = attributes(json!({"a": "!x", "b": ["!y", "z"], "c": "w", "d": "v", "e": "!other"}));
    let names: Vec<String> = added(&before, &after).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a", "b"]);
}
