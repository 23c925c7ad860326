use crate::harness::{Brokers, SUBJECT, attributes, call, unique};
use crate::stand_in::Side;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Severity, Value};

fn avro(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "Order", "fields": [{fields}]}}"#)
}

const A: &str = r#"{"name": "a", "type": "int"}"#;
const B: &str = r#"{"name": "b", "type": "int"}"#;
const B_WITH_DEFAULT: &str = r#"{"name": "b", "type": "int", "default": 0}"#;

#[tokio::test]
async fn a_subject_comes_grows_and_goes() {
    let brokers = Brokers::start().await;
    let (instance, subject) = (brokers.instance().await, unique("orders") + "-value");
    let made = instance.create(SUBJECT, json!({"subject": subject, "schema": avro(A)})).await;
    assert_eq!(made.attributes["version"], Value::Int(1));
    // White space is no version.
    let spaced = avro(A).replace(": ", " :\n");
    let same = instance.update(SUBJECT, &made, json!({"subject": subject, "schema": spaced})).await.unwrap();
    assert_eq!(same.attributes["version"], Value::Int(1));
    let read = instance.read(SUBJECT, &same).await.unwrap();
    assert_eq!(read.attributes, same.attributes);
    let fields = format!("{A}, {B_WITH_DEFAULT}");
    let grown = instance.update(SUBJECT, &read, json!({"subject": subject, "schema": avro(&fields)})).await.unwrap();
    assert_eq!(grown.attributes["version"], Value::Int(2));
    assert_ne!(grown.attributes["schemaId"], made.attributes["schemaId"]);
    instance.delete(SUBJECT, &grown).await;
    assert!(instance.read(SUBJECT, &grown).await.is_none());
    instance.delete(SUBJECT, &grown).await;
}

#[tokio::test]
async fn an_incompatible_schema_is_told_before() {
    let brokers = Brokers::start().await;
    let (instance, subject) = (brokers.instance().await, unique("orders") + "-value");
    let with = |schema: &str| json!({"subject": subject, "schema": schema, "compatibility": "BACKWARD"});
    assert_eq!(instance.findings(SUBJECT, with(&avro(A))).await, [], "a first version is compatible with nothing");
    let made = instance.create(SUBJECT, with(&avro(A))).await;
    let wider = avro(&format!("{A}, {B}"));
    let findings = instance.findings(SUBJECT, with(&wider)).await;
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!((finding.severity, finding.path.as_ref().unwrap().to_string()), (Severity::Error, "schema".to_owned()));
    assert!(finding.message.contains("not compatible with the latest") && finding.hint.is_some(), "{finding:?}");
    let error = instance.update(SUBJECT, &made, with(&wider)).await.unwrap_err();
    assert_eq!((error.kind.code(), error.vendor_code.as_deref()), ("invalid_input", Some("409")));
    assert_eq!(instance.read(SUBJECT, &made).await.unwrap().attributes, made.attributes, "nothing was changed");
    // With a level that allows it, that comes first.
    let mut allowed = with(&wider);
    allowed["compatibility"] = json!("NONE");
    let grown = instance.update(SUBJECT, &made, allowed).await.unwrap();
    assert_eq!((&grown.attributes["version"], grown.text("compatibility")), (&Value::Int(2), Some("NONE")));
    // Without it, the registry's own level is in force again, and nobody's drift.
    let without = json!({"subject": subject, "schema": wider});
    let back = instance.update(SUBJECT, &grown, without).await.unwrap();
    assert_eq!(back.text("compatibility"), None);
    instance.delete(SUBJECT, &back).await;
}

#[tokio::test]
async fn a_schema_that_is_none_makes_nothing() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    for (config, path) in [
        (json!({"subject": "s", "schema": "{"}), "schema"),
        (json!({"subject": "s", "schema": "{}", "schemaType": "XML"}), "schemaType"),
        (json!({"subject": "", "schema": "{}"}), "subject"),
        (json!({"subject": "s", "schema": "{}", "compatibility": "SOME"}), "compatibility"),
    ] {
        let error = instance.plan(SUBJECT, None, &attributes(config)).await.unwrap_err();
        assert_eq!(
            error.kind,
            terrace_provider::ErrorKind::InvalidInput { path: Some(terrace_provider::Path::attribute(path)) }
        );
    }
    assert_eq!(brokers.registry.subjects.lock().unwrap().writes, 0);
    let mut values = brokers.values();
    values.as_object_mut().unwrap().remove("schemaRegistry");
    let without = crate::harness::Instance::of(values).await;
    let error = without.plan(SUBJECT, None, &attributes(json!({"subject": "s", "schema": "{}"}))).await.unwrap_err();
    assert!(error.solutions[0].contains("schemaRegistry"), "{error:?}");
}

#[tokio::test]
async fn no_subject_leads_anywhere_else() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    for name in ["../../config", "a/b?c#d", "ünï %2e"] {
        let made = instance.create(SUBJECT, json!({"subject": name, "schema": avro(A)})).await;
        let keys: Vec<String> = brokers.registry.subjects.lock().unwrap().versions.keys().cloned().collect();
        assert_eq!(keys, [name]);
        instance.delete(SUBJECT, &made).await;
    }
}

#[tokio::test]
async fn references_and_other_languages_are_sent() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let proto = "syntax = \"proto3\";\nimport \"common.proto\";\nmessage Order { Common c = 1; }";
    let reference: Json = json!({"name": "common.proto", "subject": "common", "version": 1});
    let config =
        json!({"subject": "orders-value", "schemaType": "PROTOBUF", "schema": proto, "references": [reference]});
    let made = instance.create(SUBJECT, config.clone()).await;
    assert_eq!(brokers.registry.subjects.lock().unwrap().versions["orders-value"][0]["references"], json!([reference]));
    let plan = instance.plan(SUBJECT, Some(&instance.read(SUBJECT, &made).await.unwrap()), &attributes(config)).await;
    assert_eq!(plan.unwrap().planned, made.attributes);
    // Half-made is nothing: the level goes with the version that is refused.
    let wrong = attributes(json!({"subject": "x-value", "schema": "string", "compatibility": "FULL"}));
    instance.try_create(SUBJECT, &call(&Arc::default()), &wrong).await.unwrap_err();
    assert!(brokers.registry.subjects.lock().unwrap().levels.is_empty());
}
