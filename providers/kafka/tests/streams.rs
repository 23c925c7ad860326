//! Internal topics of Kafka Streams applications.

use crate::harness::{ACL, Brokers, Instance, Reports, STREAMS, TOPIC, attributes, call, recorded, unique};
use crate::stand_in::BrokerState;
use kafka_protocol::messages::ApiKey;
use serde_json::json;
use std::sync::Arc;
use terrace_provider::{Attempt, Attributes, Call, DataAmount, ErrorKind, Found, Private};

/// Finds an application to adopt.
async fn find_to_adopt(instance: &Instance, config: &Attributes) -> Found {
    // An adoption knows only the configured attributes.
    let planned = config.clone();
    let attempt = Attempt {
        address: "demo@local:kafka.a".to_owned(),
        identity: instance.ty(STREAMS).identity_of(&planned).unwrap(),
        planned,
        private: Private::default(),
        prior: None,
        lost_call: None,
    };
    instance.session.find(&instance.ty(STREAMS), &attempt).await.unwrap()
}

#[tokio::test]
async fn application_with_traces_in_the_cluster_is_found() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let id = unique("app");
    let config = attributes(json!({"applicationId": id, "properties": {"num.stream.threads": 2, "retries": null}}));
    assert!(matches!(find_to_adopt(&instance, &config).await, Found::Absent));
    let group_acl = json!({"resourceType": "GROUP", "resourceName": id, "patternType": "PREFIXED", "principal": "User:ada", "operation": "READ"});
    let group_acl = instance.create(ACL, group_acl).await;
    assert!(matches!(find_to_adopt(&instance, &config).await, Found::Absent), "a prefix may mean other groups");
    let entry = json!({"resourceType": "GROUP", "resourceName": id, "principal": "User:ada", "operation": "READ"});
    let entry = instance.create(ACL, entry).await;
    let Found::Foreign(found) = find_to_adopt(&instance, &config).await else { panic!() };
    assert_eq!(found.attributes["rendered"].as_str(), Some("num.stream.threads=2\n"));
    let plan = instance.plan(STREAMS, Some(&recorded(&config, found.clone())), &config).await.unwrap();
    assert_eq!(plan.planned, found.attributes);
    instance.delete(ACL, &entry).await;
    instance.delete(ACL, &group_acl).await;
    let topic = instance.create(TOPIC, json!({"name": format!("{id}-store-changelog"), "partitions": 1})).await;
    assert!(matches!(find_to_adopt(&instance, &config).await, Found::Foreign(_)));
    instance.delete(TOPIC, &topic).await;
    assert!(matches!(find_to_adopt(&instance, &config).await, Found::Absent));
}

#[tokio::test]
async fn delete_removes_only_internal_topics_with_the_data() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let id = unique("app");
    let created = instance.create(STREAMS, json!({"applicationId": id})).await;
    let mut topics = Vec::new();
    for end in
        ["-store-changelog", "-a.b-repartition", "-notes", "-changelog", "x-store-changelog", "-store-changelog-2"]
    {
        topics.push(instance.create(TOPIC, json!({"name": format!("{id}{end}"), "partitions": 1})).await);
    }
    let ty = instance.ty(STREAMS);
    let remaining = async || {
        let mut remaining = 0;
        for topic in &topics {
            remaining += usize::from(instance.read(TOPIC, topic).await.is_some());
        }
        remaining
    };
    instance.session.delete(&ty, &call(&Arc::default()), &created).await.unwrap();
    assert_eq!(remaining().await, 6);
    let reports = Arc::new(Reports::default());
    let call = Call { removes_data: true, ..call(&reports) };
    instance.session.delete(&ty, &call, &created).await.unwrap();
    assert_eq!(remaining().await, 4);
    let mut messages = reports.messages();
    messages.sort();
    assert_eq!(messages, [format!("deleting `{id}-a.b-repartition`"), format!("deleting `{id}-store-changelog`")]);
    for topic in &topics {
        instance.delete(TOPIC, topic).await;
    }
}

/// Another application's id may begin with this id and `-`. Its consumer group, or access to that group, identifies it.
#[tokio::test]
async fn internal_topics_of_another_application_are_kept() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    let created = instance.create(STREAMS, json!({"applicationId": "app"})).await;
    for name in ["app-x-changelog", "app-two-x-changelog", "app-three-x-repartition", "app-x-changelog-2"] {
        instance.create(TOPIC, json!({"name": name, "partitions": 1})).await;
    }
    brokers.state().groups = ["app", "app-two", "app-x"].map(str::to_owned).to_vec();
    let group =
        json!({"resourceType": "GROUP", "resourceName": "app-three", "principal": "User:ada", "operation": "READ"});
    instance.create(ACL, group).await;
    // The plan lists the topics.
    let ty = instance.ty(STREAMS);
    let counted = instance.session.count_data(&ty, &created).await.unwrap();
    let text = "1 internal topic: `app-x-changelog`".to_owned();
    assert_eq!(counted, DataAmount::Some { count: 1, text });
    let reports = Arc::new(Reports::default());
    let call = Call { removes_data: true, ..call(&reports) };
    // Without the right to list groups, nothing is deleted.
    brokers.state().denied = vec![ApiKey::DescribeAcls];
    let error = instance.session.delete(&ty, &call, &created).await.unwrap_err();
    assert_eq!((error.kind, brokers.state().topics.len()), (ErrorKind::PermissionDenied, 4));
    assert!(error.solutions[0].ends_with("--operation Describe --cluster`"), "{:?}", error.solutions);
    brokers.state().denied.clear();
    instance.session.delete(&ty, &call, &created).await.unwrap();
    let remaining: Vec<String> = brokers.state().topics.keys().cloned().collect();
    assert_eq!(remaining, ["app-three-x-repartition", "app-two-x-changelog", "app-x-changelog-2"]);
    let messages = reports.messages();
    let kept = |name: &str, of: &str| format!("`{name}` is kept: it belongs to the application `{of}`");
    assert_eq!(
        messages,
        [
            kept("app-three-x-repartition", "app-three"),
            kept("app-two-x-changelog", "app-two"),
            "deleting `app-x-changelog`".to_owned()
        ]
    );
    assert_eq!(instance.session.count_data(&ty, &created).await.unwrap(), DataAmount::Empty);
}
