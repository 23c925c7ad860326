use super::answers::{Failed, Item};
use super::calls::faults;
use super::list::parameters;
use super::picker::Picker;
use axum::response::IntoResponse;
use serde_json::{Map, Value as JsonValue, json};
use terrace_provider::{Attribute, AttributeType, Attributes, Lookup, Object};

fn picker(parameters: &[&str], list: Option<&str>) -> Picker {
    Picker {
        environment: "local".to_owned(),
        lookup: "x_things".to_owned(),
        provider: None,
        arguments: Attributes::default(),
        parameters: parameters.iter().map(|name| (*name).to_owned()).collect(),
        list: list.map(str::to_owned),
        id: Picker::ID.to_owned(),
        value: Picker::VALUE.to_owned(),
        cache: Picker::CACHE,
    }
}

/// The body of a failed call.
async fn body(failed: Failed) -> JsonValue {
    let response = failed.into_response();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[tokio::test]
async fn parameter_is_text_or_an_object_of_another_picker() {
    let picker = picker(&["schema"], None);
    let given = |fields: JsonValue| {
        let JsonValue::Object(fields) = fields else { panic!("{fields}") };
        parameters(&picker, &fields)
    };
    for fields in [
        json!({"schema": "a"}),
        json!({"schema": {"id": "a", "value": "A"}, "other": 1}),
        json!({"schema": [{"id": "a"}]}),
        json!({"schema": ["a"]}),
    ] {
        assert_eq!(given(fields.clone()).unwrap()["schema"], "a", "{fields}");
    }
    for (fields, error) in [
        (json!({}), "`schema` is missing: choose it first"),
        (json!({"schema": null}), "`schema` is missing: choose it first"),
        (json!({"schema": ""}), "`schema` is empty: choose it first"),
        (json!({"schema": 1}), "`schema` has to be text, or an object with a text `id`"),
        (json!({"schema": ["a", "b"]}), "`schema` has to be text, or an object with a text `id`"),
        (json!({"schema": {"value": "a"}}), "`schema` has to be text, or an object with a text `id`"),
        (json!({"schema": "x".repeat(1_001)}), "`schema` is too long"),
    ] {
        assert_eq!(body(given(fields.clone()).unwrap_err()).await, json!({"errors": [error]}), "{fields}");
    }
}

#[test]
fn list_is_the_only_one_or_the_chosen_one() {
    let text = || AttributeType::list(AttributeType::String);
    let lookup = |names: &[&'static str]| Lookup {
        name: "x_things",
        doc: "",
        arguments: Object(Vec::new()),
        result: Object(names.iter().map(|name| Attribute::new(name, text(), "")).collect()),
        objects: &[],
    };
    assert_eq!(picker(&[], None).list_of(&lookup(&["a"])), Ok("a"));
    assert_eq!(picker(&[], Some("b")).list_of(&lookup(&["a", "b"])), Ok("b"));
    for (list, names) in [(None, &[] as &[&'static str]), (None, &["a", "b"]), (Some("c"), &["a"])] {
        assert!(picker(&[], list).list_of(&lookup(names)).is_err(), "{list:?} {names:?}");
    }
}

#[test]
fn filter_looks_at_every_text() {
    let more: Map<String, JsonValue> =
        [("comment".to_owned(), json!("Über")), ("n".to_owned(), json!(5))].into_iter().collect();
    let item = Item { id: "A.b".to_owned(), value: "Name".to_owned(), more };
    for filter in ["a.b", "nam", "über"] {
        assert!(item.matches(filter), "{filter}");
    }
    assert!(!item.matches("5") && !item.matches("x"));
    assert_eq!(serde_json::to_value(&item).unwrap(), json!({"id": "A.b", "value": "Name", "comment": "Über", "n": 5}));
}

#[tokio::test]
async fn errors_of_a_validation_are_objects() {
    let failed = Failed::bad_request("no").of_validation();
    assert_eq!(body(failed).await, json!({"errors": [{"error": "no"}]}));
    let failed = Failed::from(crate::answer::Refusal::NoPath).of_validation();
    assert!(body(failed).await["errors"][0].is_string());
}

#[test]
fn only_the_first_errors_search_a_similar_object() {
    let item = |id: &str| Item { id: id.to_owned(), value: id.to_owned(), more: Map::new() };
    let missing = vec!["warehose"; 1_000];
    let faults = faults(&[item("warehouse")], &missing);
    assert_eq!(faults.len(), missing.len());
    let similar = faults.iter().filter(|fault| fault.suggestion.as_deref() == Some("did you mean `warehouse`?"));
    assert_eq!(similar.count(), 10);
}
