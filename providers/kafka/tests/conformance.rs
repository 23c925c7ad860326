use crate::harness::{ACL, Brokers, Instance, STREAMS, SUBJECT, TOPIC, attributes, call, settings, unique};
use serde_json::json;
use std::sync::Arc;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::{Planned, Recorded, Value};
use terrace_provider_kafka::KafkaProvider;

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let brokers = Brokers::start().await;
    let name = unique("conformance");
    let other = unique("conformance-other");
    let topic = |name: &str, partitions: i64, retention: &str| {
        attributes(json!({
            "name": name, "partitions": partitions, "replicationFactor": 1,
            "config": {"retention.ms": retention, "min.cleanable.dirty.ratio": "0.50", "preallocate": false},
        }))
    };
    let values = brokers.values();
    let by_hand = move |values: serde_json::Value| async move { Arc::new(Instance::of(values).await) };
    let (tampering, removing) = (by_hand(values.clone()).await, by_hand(values.clone()).await);
    let topics = Fixture::new(TOPIC, "configured", topic(&name, 2, "1000"))
        .update(topic(&name, 3, "2000"))
        .replace(topic(&name, 1, "1000"))
        .tamper(move |recorded| {
            let instance = Arc::clone(&tampering);
            async move {
                let mut changed = recorded.attributes.clone();
                changed.insert("config".to_owned(), Value::from(json!({"retention.ms": "7", "preallocate": false})));
                let planned = Planned { attributes: changed, ..Planned::default() };
                let call = call(&Arc::default());
                instance.session.update(&instance.ty(TOPIC), &call, &recorded, &planned).await.unwrap();
            }
        })
        .remove(move |recorded: Recorded| {
            let instance = Arc::clone(&removing);
            async move { instance.delete(TOPIC, &recorded).await }
        });
    let acl = |principal: &str| {
        attributes(json!({
            "resourceType": "TOPIC", "resourceName": name, "patternType": "LITERAL", "principal": principal,
            "host": "*", "operation": "READ", "permission": "ALLOW",
        }))
    };
    let removing = by_hand(values.clone()).await;
    let acls =
        Fixture::new(ACL, "reader", acl("User:ada")).replace(acl("User:grace")).remove(move |recorded: Recorded| {
            let instance = Arc::clone(&removing);
            async move { instance.delete(ACL, &recorded).await }
        });
    let application = |id: &str, threads: i64| {
        attributes(json!({"applicationId": id, "properties": {"num.stream.threads": threads}}))
    };
    let streams = Fixture::new(STREAMS, "application", application(&name, 1))
        .update(application(&name, 2))
        .replace(application(&other, 1))
        .not_readable()
        .not_findable()
        .not_importable();
    let subject = |name: &str, more: &str| {
        let schema = format!(r#"{{"type": "record", "name": "R", "fields": [{{"name": "a", "type": "int"}}{more}]}}"#);
        attributes(json!({"subject": format!("{name}-value"), "schema": schema, "compatibility": "BACKWARD"}))
    };
    let with_default = r#", {"name": "b", "type": "int", "default": 0}"#;
    let (tampering, removing) = (by_hand(values.clone()).await, by_hand(values.clone()).await);
    let subjects = Fixture::new(SUBJECT, "schema", subject(&name, ""))
        .update(subject(&name, with_default))
        .replace(subject(&other, ""))
        .tamper(move |recorded| {
            let instance = Arc::clone(&tampering);
            async move {
                let mut changed = recorded.attributes.clone();
                changed.insert("compatibility".to_owned(), "NONE".into());
                let planned = Planned { attributes: changed, ..Planned::default() };
                let call = call(&Arc::default());
                instance.session.update(&instance.ty(SUBJECT), &call, &recorded, &planned).await.unwrap();
            }
        })
        .remove(move |recorded: Recorded| {
            let instance = Arc::clone(&removing);
            async move { instance.delete(SUBJECT, &recorded).await }
        });
    let provider = KafkaProvider::new();
    let suite = Suite::new(&provider, settings(values));
    let report = suite.fixture(topics).fixture(acls).fixture(streams).fixture(subjects).run().await;
    assert!(report.is_clean(), "{report}");
    assert!(report.shown() > 45, "{report}");
}
