use crate::harness::{Brokers, Instance, Reports, SUBJECT, attributes, call, unique};
use crate::registry::Fault;
use crate::stand_in::BrokerState;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{DataAmount, ErrorKind, Found, Severity, Value};

fn avro(fields: &str) -> String {
    record("Order", fields)
}

/// A schema. Tests with a real registry use different names: Apicurio in memory stores equal schemas once, and can lose the
/// schema that a test registers while another test deletes it.
fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "{name}", "fields": [{fields}]}}"#)
}

const A: &str = r#"{"name": "a", "type": "int"}"#;
const B: &str = r#"{"name": "b", "type": "int"}"#;
const B_WITH_DEFAULT: &str = r#"{"name": "b", "type": "int", "default": 0}"#;

#[tokio::test]
async fn subject_is_created_extended_and_deleted() {
    let brokers = Brokers::start().await;
    let (instance, subject) = (brokers.instance().await, unique("orders") + "-value");
    let created = instance.create(SUBJECT, json!({"subject": subject, "schema": record("Created", A)})).await;
    assert_eq!(created.attributes["version"], Value::Int(1));
    // White space makes no new version.
    let spaced = record("Created", A).replace(": ", " :\n");
    let same = instance.update(SUBJECT, &created, json!({"subject": subject, "schema": spaced})).await.unwrap();
    assert_eq!(same.attributes["version"], Value::Int(1));
    let read = instance.read(SUBJECT, &same).await.unwrap();
    assert_eq!(read.attributes, same.attributes);
    let fields = format!("{A}, {B_WITH_DEFAULT}");
    let grown = instance
        .update(SUBJECT, &read, json!({"subject": subject, "schema": record("Created", &fields)}))
        .await
        .unwrap();
    assert_eq!(grown.attributes["version"], Value::Int(2));
    assert_ne!(grown.attributes["schemaId"], created.attributes["schemaId"]);
    instance.delete(SUBJECT, &grown).await;
    assert!(instance.read(SUBJECT, &grown).await.is_none());
    instance.delete(SUBJECT, &grown).await;
}

#[tokio::test]
async fn validation_reports_incompatible_schema() {
    let brokers = Brokers::start().await;
    let (instance, subject) = (brokers.instance().await, unique("orders") + "-value");
    let with = |schema: &str| json!({"subject": subject, "schema": schema, "compatibility": "BACKWARD"});
    assert_eq!(
        instance.findings(SUBJECT, with(&record("Validated", A))).await,
        [],
        "a first version has no compatibility check"
    );
    let created = instance.create(SUBJECT, with(&record("Validated", A))).await;
    let wider = record("Validated", &format!("{A}, {B}"));
    let findings = instance.findings(SUBJECT, with(&wider)).await;
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!((finding.severity, finding.path.as_ref().unwrap().to_string()), (Severity::Error, "schema".to_owned()));
    assert!(
        finding.message.contains("not compatible with the latest version") && finding.hint.is_some(),
        "{finding:?}"
    );
    let error = instance.update(SUBJECT, &created, with(&wider)).await.unwrap_err();
    assert_eq!((error.kind.code(), error.vendor_code.as_deref()), ("invalid_input", Some("409")));
    assert_eq!(instance.read(SUBJECT, &created).await.unwrap().attributes, created.attributes, "nothing was changed");
    // A new level is applied before the new version.
    let mut allowed = with(&wider);
    allowed["compatibility"] = json!("NONE");
    let grown = instance.update(SUBJECT, &created, allowed).await.unwrap();
    assert_eq!((&grown.attributes["version"], grown.text("compatibility")), (&Value::Int(2), Some("NONE")));
    // Without a level, the registry's own level applies, and is not drift.
    let without = json!({"subject": subject, "schema": wider});
    let back = instance.update(SUBJECT, &grown, without).await.unwrap();
    assert_eq!(back.text("compatibility"), None);
    instance.delete(SUBJECT, &back).await;
}

#[tokio::test]
async fn invalid_schema_is_refused_before_any_write() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
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
async fn special_characters_in_subjects_do_not_change_the_path() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    for name in ["../../config", "a/b?c#d", "ünï %2e"] {
        let created = instance.create(SUBJECT, json!({"subject": name, "schema": avro(A)})).await;
        let keys: Vec<String> = brokers.registry.subjects.lock().unwrap().versions.keys().cloned().collect();
        assert_eq!(keys, [name]);
        instance.delete(SUBJECT, &created).await;
    }
}

#[tokio::test]
async fn references_and_other_languages_are_sent() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let proto = "syntax = \"proto3\";\nimport \"common.proto\";\nmessage Order { Common c = 1; }";
    let reference: Json = json!({"name": "common.proto", "subject": "common", "version": 1});
    let config =
        json!({"subject": "orders-value", "schemaType": "PROTOBUF", "schema": proto, "references": [reference]});
    let created = instance.create(SUBJECT, config.clone()).await;
    assert_eq!(brokers.registry.subjects.lock().unwrap().versions["orders-value"][0]["references"], json!([reference]));
    let plan =
        instance.plan(SUBJECT, Some(&instance.read(SUBJECT, &created).await.unwrap()), &attributes(config)).await;
    assert_eq!(plan.unwrap().planned, created.attributes);
    // A refused version also restores the level.
    let wrong = attributes(json!({"subject": "x-value", "schema": "string", "compatibility": "FULL"}));
    instance.try_create(SUBJECT, &call(&Arc::default()), &wrong).await.unwrap_err();
    assert!(brokers.registry.subjects.lock().unwrap().levels.is_empty());
}

/// A registry creates no new version for a schema that it has already.
#[tokio::test]
async fn older_version_is_reused() {
    let brokers = Brokers::start().await;
    let (instance, subject) = (brokers.instance().await, unique("orders") + "-value");
    let config = |schema: &str| json!({"subject": subject, "schema": schema});
    let (first, second) = (record("Reused", A), record("Reused", &format!("{A}, {B_WITH_DEFAULT}")));
    let created = instance.create(SUBJECT, config(&first)).await;
    let grown = instance.update(SUBJECT, &created, config(&second)).await.unwrap();
    // The first schema again, as if the change were undone.
    let findings = instance.findings(SUBJECT, config(&first)).await;
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    let expected = format!("the schema is version 1 of `{subject}` already; version 2 stays the latest");
    assert_eq!((finding.severity, finding.message.as_str()), (Severity::Warning, expected.as_str()));
    let back = instance.update(SUBJECT, &grown, config(&first)).await.unwrap();
    assert_eq!(back.attributes["version"], Value::Int(1));
    assert_eq!(back.attributes["schemaId"], created.attributes["schemaId"]);
    let read = instance.read(SUBJECT, &back).await.unwrap();
    assert_eq!(read.attributes, back.attributes);
    let plan = instance.plan(SUBJECT, Some(&read), &attributes(config(&first))).await.unwrap();
    assert_eq!(plan.planned, read.attributes, "the second plan must be empty");
    assert_eq!(instance.findings(SUBJECT, config(&second)).await, [], "the latest version needs no warning");
    instance.delete(SUBJECT, &back).await;
}

#[tokio::test]
async fn schema_in_canonical_form_is_the_same() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    brokers.registry.subjects.lock().unwrap().is_canonical = true;
    let instance = brokers.instance().await;
    let long = avro(r#"{"name": "a", "type": {"type": "string"}}"#);
    let config = json!({"subject": "s", "schema": long});
    let created = instance.create(SUBJECT, config.clone()).await;
    assert_eq!(created.text("schema"), Some(long.as_str()));
    let kept = brokers.registry.subjects.lock().unwrap().versions["s"][0]["schema"].to_string();
    assert!(!kept.contains("{\\\"type\\\":\\\"string\\\"}"), "{kept}");
    let read = instance.read(SUBJECT, &created).await.unwrap();
    let plan = instance.plan(SUBJECT, Some(&read), &attributes(config)).await.unwrap();
    assert_eq!(plan.planned, created.attributes);
    // A different schema is reported as stored.
    let other = attributes(json!({"subject": "s", "schema": "\"string\""}));
    let Found::Foreign(found) = instance.find(SUBJECT, &call(&Arc::default()), Default::default(), &other).await else {
        panic!()
    };
    assert!(found.attributes["schema"].as_str().unwrap().contains("record"));
}

fn fault(call: (&'static str, &'static str), status: u16, code: i64, has_effect: bool) -> Fault {
    Fault { call, status, code, has_effect }
}

/// An error answer after a possible registration is ambiguous.
#[tokio::test]
async fn error_after_possible_registration_is_ambiguous() {
    let register = ("POST", "/versions");
    let read_latest = ("GET", "/versions/latest");
    let config = attributes(json!({"subject": "s", "schema": avro(A)}));
    for (faults, kind) in [
        (vec![fault(register, 500, 50002, true)], Some("ambiguous")),
        (vec![fault(register, 500, 50003, true)], Some("ambiguous")),
        (vec![fault(register, 500, 50001, true)], Some("ambiguous")),
        (vec![fault(register, 502, 502, true)], Some("ambiguous")),
        (vec![fault(register, 503, 503, true)], Some("throttled")),
        // The first fault answers the check before the create.
        (vec![fault(read_latest, 404, 40401, true), fault(read_latest, 401, 40101, true)], Some("ambiguous")),
        (vec![fault(read_latest, 404, 40401, true), fault(read_latest, 403, 40301, true)], Some("ambiguous")),
        (vec![fault(read_latest, 404, 40401, true), fault(read_latest, 429, 42901, true)], Some("ambiguous")),
    ] {
        let brokers = Brokers::with_stand_in(BrokerState::default()).await;
        brokers.registry.subjects.lock().unwrap().faults = faults.clone();
        let instance = brokers.instance().await;
        let reports = Arc::new(Reports::default());
        let lost = call(&reports);
        let created = instance.try_create(SUBJECT, &lost, &config).await;
        assert_eq!(created.as_ref().err().map(|error| error.kind.code()), kind, "{faults:?}: {created:?}");
        let found = brokers.instance().await.find(SUBJECT, &lost, reports.private(), &config).await;
        assert!(matches!(found, Found::Own(_)), "{faults:?}: {found:?}");
        // A retry of the same call recognizes its version.
        instance.try_create(SUBJECT, &lost, &config).await.unwrap();
    }
    // A proven refusal is reported as a refusal.
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    brokers.registry.subjects.lock().unwrap().faults = vec![fault(register, 422, 42201, false)];
    let (instance, reports) = (brokers.instance().await, Arc::new(Reports::default()));
    let refused = call(&reports);
    assert_eq!(instance.try_create(SUBJECT, &refused, &config).await.unwrap_err().kind.code(), "invalid_input");
    brokers.instance().await.create(SUBJECT, json!({"subject": "s", "schema": avro(A)})).await;
    assert!(matches!(instance.find(SUBJECT, &refused, reports.private(), &config).await, Found::Foreign(_)));
}

/// A level from before terrace is restored.
#[tokio::test]
async fn level_from_before_terrace_is_restored() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let set = |level: &str| brokers.registry.subjects.lock().unwrap().levels.insert("s".to_owned(), level.to_owned());
    let level = || brokers.registry.subjects.lock().unwrap().levels.get("s").cloned();
    let config = |level: Option<&str>| json!({"subject": "s", "schema": avro(A), "compatibility": level});
    let instance = brokers.instance().await;
    // When the subject is deleted.
    set("FORWARD");
    let created = instance.create(SUBJECT, config(Some("FULL"))).await;
    assert_eq!(level().as_deref(), Some("FULL"));
    let read = instance.read(SUBJECT, &created).await.unwrap();
    instance.delete(SUBJECT, &read).await;
    assert_eq!(level().as_deref(), Some("FORWARD"));
    // When the attribute is removed, even if it was added by an update.
    let created = instance.create(SUBJECT, config(None)).await;
    let created = instance.update(SUBJECT, &created, config(Some("FULL"))).await.unwrap();
    let created = instance.update(SUBJECT, &created, config(Some("NONE"))).await.unwrap();
    let created = instance.update(SUBJECT, &created, config(None)).await.unwrap();
    assert_eq!(level().as_deref(), Some("FORWARD"));
    // When a version is refused.
    let wrong = attributes(json!({"subject": "s", "schema": "string", "compatibility": "FULL"}));
    let prior = created.clone();
    let planned = instance.plan(SUBJECT, Some(&prior), &wrong).await.unwrap();
    let planned = terrace_provider::Planned { attributes: planned.planned, private: planned.private };
    let updated = instance.session.update(&instance.ty(SUBJECT), &call(&Arc::default()), &prior, &planned).await;
    updated.unwrap_err();
    assert_eq!(level().as_deref(), Some("FORWARD"));
    instance.delete(SUBJECT, &created).await;
    assert_eq!(level().as_deref(), Some("FORWARD"), "an unmanaged level is kept");
    instance.try_create(SUBJECT, &call(&Arc::default()), &wrong).await.unwrap_err();
    assert_eq!(level().as_deref(), Some("FORWARD"));
    // After an interrupted create that only the journal knows, and in a retry after the level was set.
    let reports = Arc::new(Reports::default());
    let lost = call(&reports);
    let config_with_level = attributes(config(Some("FULL")));
    let register = ("POST", "/versions");
    brokers.registry.subjects.lock().unwrap().faults = vec![fault(register, 503, 503, false)];
    instance.try_create(SUBJECT, &lost, &config_with_level).await.unwrap_err();
    brokers.registry.subjects.lock().unwrap().faults = vec![fault(register, 502, 502, true)];
    instance.try_create(SUBJECT, &lost, &config_with_level).await.unwrap_err();
    assert_eq!(level().as_deref(), Some("FULL"));
    for finder in [&instance, &brokers.instance().await] {
        let found = finder.find(SUBJECT, &lost, reports.private(), &config_with_level).await;
        let Found::Own(found) = found else { panic!("{found:?}") };
        finder.delete(SUBJECT, &crate::harness::recorded(&config_with_level, found)).await;
        assert_eq!(level().as_deref(), Some("FORWARD"));
        instance.create(SUBJECT, config(None)).await;
        set("FULL");
    }
    // When a subject with its own level is adopted.
    let found = instance.find(SUBJECT, &call(&Arc::default()), Default::default(), &config_with_level).await;
    let Found::Foreign(found) = found else { panic!("{found:?}") };
    instance.delete(SUBJECT, &crate::harness::recorded(&config_with_level, found)).await;
    assert_eq!(level().as_deref(), Some("FULL"));
}

/// A URL with a wrong path answers 404, but that does not mean missing subjects.
#[tokio::test]
async fn wrong_path_is_not_an_empty_registry() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let created = instance.create(SUBJECT, json!({"subject": "s", "schema": avro(A)})).await;
    let mut values = brokers.values();
    values["schemaRegistry"]["url"] = json!(format!("{}/wrong", brokers.registry.url));
    let wrong = Instance::of(values).await;
    let ty = wrong.ty(SUBJECT);
    let error = wrong.session.read(&ty, &created).await.unwrap_err();
    assert!(error.solutions[0].contains("schemaRegistry.url"), "{error:?}");
    assert_eq!(error.kind, ErrorKind::Failed, "the answer proves nothing about the subject");
    wrong.session.count_data(&ty, &created).await.unwrap_err();
    // Otherwise the delete would count a missing subject as deleted.
    let error = wrong.session.delete(&ty, &call(&Arc::default()), &created).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    let config = attributes(json!({"subject": "s", "schema": avro(A)}));
    wrong.try_create(SUBJECT, &call(&Arc::default()), &config).await.unwrap_err();
    // Another service that answers with JSON.
    let site = axum::Router::new().fallback(|| async { axum::Json(json!({"hello": "world"})) });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, site).await });
    let mut values = brokers.values();
    values["schemaRegistry"]["url"] = json!(url);
    let wrong = Instance::of(values).await;
    assert_eq!(wrong.session.count_data(&ty, &created).await.unwrap(), DataAmount::Unknown);
    wrong.session.read(&ty, &created).await.unwrap_err();
}
