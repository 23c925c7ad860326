//! `local_value`: marks and ids.

use crate::harness::{Local, attributes};
use serde_json::json;
use terrace_provider::Value;

#[tokio::test]
async fn output_is_unknown_until_the_apply() {
    let local = Local::of("local_value").await;
    let plan = local.plan(None, json!({"input": 3})).await.unwrap();
    assert_eq!(plan.planned.get("output"), Some(&Value::Unknown));
    let created = local.create(json!({"input": 3})).await.unwrap();
    assert_eq!(created.attributes.get("output"), Some(&Value::Int(3)));

    let plan = local.plan(Some(&created), json!({"input": 4})).await.unwrap();
    assert_eq!(plan.planned.get("output"), Some(&Value::Unknown));
    assert_eq!(plan.planned.get("id"), created.attributes.get("id"));
    let updated = local.update(&created, json!({"input": 4})).await.unwrap();
    assert_eq!(updated.attributes.get("output"), Some(&Value::Int(4)));
    assert_eq!(updated.identity, created.identity);
}

#[tokio::test]
async fn removed_input_removes_the_output() {
    let local = Local::of("local_value").await;
    let created = local.create(json!({"input": "x"})).await.unwrap();
    let updated = local.update(&created, json!({})).await.unwrap();
    assert_eq!(updated.attributes.keys().collect::<Vec<_>>(), ["id"]);
    let plan = local.plan(Some(&updated), json!({"input": null})).await.unwrap();
    assert_eq!(plan.planned, updated.attributes);
}

#[tokio::test]
async fn trigger_creates_a_new_id() {
    let local = Local::of("local_value").await;
    let created = local.create(json!({"triggersReplace": [1]})).await.unwrap();
    let plan = local.plan(Some(&created), json!({"triggersReplace": [2]})).await.unwrap();
    assert_eq!(plan.replace_paths.len(), 1);
    assert_eq!(plan.planned.get("id"), Some(&Value::Unknown));
}

#[tokio::test]
async fn sensitive_input_is_sensitive_in_the_output() {
    let local = Local::of("local_value").await;
    let mut config = attributes(json!({}));
    let input: Value = [("user".to_owned(), "svc".into()), ("key".to_owned(), Value::sensitive("hunter2".into()))]
        .into_iter()
        .collect();
    config.insert("input".to_owned(), input.clone());
    let plan = local.plan_values(None, &config, &[]).await.unwrap();
    assert_eq!(plan.planned.get("output"), Some(&Value::sensitive(Value::Unknown)));
    let created = local.create_values(&config, &local.call()).await.unwrap();
    assert_eq!(created.attributes.get("output"), Some(&input));

    // The same value, marked as a whole from now on.
    config.insert("input".to_owned(), Value::sensitive(input.revealed()));
    let plan = local.plan_values(Some(&created), &config, &[]).await.unwrap();
    assert!(matches!(plan.planned.get("output"), Some(Value::Sensitive(_))));
}

#[tokio::test]
async fn value_cannot_be_imported() {
    let local = Local::of("local_value").await;
    let error = local.session.import(&local.ty, "x").await.unwrap_err();
    assert!(error.message.contains("in state only"), "{error}");
}
