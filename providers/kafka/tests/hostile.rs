//! Hostile text in every string of every type: it is stored unchanged or refused, and has no other effect.

use crate::harness::{ACL, Brokers, SUBJECT, TOPIC, attributes, call, recorded};
use crate::stand_in::BrokerState;
use serde_json::json;
use std::sync::Arc;
use terrace_provider::ErrorKind;
use terrace_provider::conformance::variants;

/// Strings that try to escape their context and inject a second command.
const HOSTILE: [&str; 6] = [
    "x'; DROP TABLE keep; --",
    "x\"}, {\"name\": \"keep\"",
    "../../subjects/keep?permanent=true#",
    "x\r\nDELETE /subjects/keep HTTP/1.1\r\n",
    "*",
    "x\u{0}keep",
];

#[tokio::test]
async fn hostile_text_is_stored_unchanged_or_refused() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let schema = r#"{"type": "string"}"#;
    let kept = instance.create(TOPIC, json!({"name": "keep"})).await;
    instance.create(SUBJECT, json!({"subject": "keep", "schema": schema})).await;
    let reader = json!({"resourceType": "TOPIC", "resourceName": "keep", "principal": "User:ada", "operation": "READ"});
    instance.create(ACL, reader).await;
    let objects = || {
        let subjects = brokers.registry.subjects.lock().unwrap();
        let names: Vec<String> = subjects.versions.keys().cloned().collect();
        let state = brokers.state();
        (state.topics.keys().cloned().collect::<Vec<_>>(), state.acls.clone(), names, subjects.levels.clone())
    };
    let before = objects();
    let types = [
        (TOPIC, json!({"name": "h", "config": {"cleanup.policy": "compact", "compression.type": "zstd"}})),
        (
            ACL,
            json!({"resourceType": "TOPIC", "resourceName": "h", "patternType": "LITERAL", "principal": "User:eve", "host": "10.0.0.1",
                "operation": "READ", "permission": "ALLOW"}),
        ),
        (SUBJECT, json!({"subject": "h", "schema": schema, "schemaType": "AVRO", "compatibility": "FULL"})),
    ];
    let (mut created, mut refused) = (0, 0);
    for (ty, config) in types {
        for text in HOSTILE {
            for (path, config) in variants(&config, text) {
                let case = format!("{ty}{path}: {text:?}");
                let config = attributes(config);
                match instance.try_create(ty, &call(&Arc::default()), &config).await {
                    Ok(observed) => {
                        created += 1;
                        let row = recorded(&config, observed);
                        let attribute = path.split('/').nth(1).unwrap();
                        assert_eq!(row.attributes.get(attribute), config.get(attribute), "{case}");
                        instance.delete(ty, &row).await;
                    }
                    Err(error) => {
                        refused += 1;
                        let ErrorKind::InvalidInput { path: at } = &error.kind else { panic!("{case}: {error:?}") };
                        let attribute = path.split('/').nth(1).unwrap();
                        let at = at.as_ref().and_then(|at| at.first_key());
                        assert!(at.is_some_and(|at| at == attribute), "{case}: {error:?} has the path {at:?}");
                    }
                }
                assert_eq!(objects(), before, "{case}");
            }
        }
    }
    assert!(created > 20 && refused > 40, "{created} made, {refused} refused");
    assert!(instance.read(TOPIC, &kept).await.is_some());
}
