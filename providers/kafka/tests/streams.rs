//! What streams applications leave in a cluster.

use crate::harness::{ACL, Brokers, Instance, Reports, STREAMS, TOPIC, attributes, call, recorded, unique};
use crate::stand_in::Side;
use kafka_protocol::messages::ApiKey;
use serde_json::json;
use std::sync::Arc;
use terrace_provider::{Attempt, Attributes, Call, DataAmount, ErrorKind, Found, Private};

/// What somebody finds who looks for something to take over.
async fn sought(instance: &Instance, config: &Attributes) -> Found {
    // It says no more than what was configured.
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
async fn an_application_that_left_anything_is_there() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let id = unique("app");
    let config = attributes(json!({"applicationId": id, "properties": {"num.stream.threads": 2, "retries": null}}));
    assert!(matches!(sought(&instance, &config).await, Found::Absent));
    let others = json!({"resourceType": "GROUP", "resourceName": id, "patternType": "PREFIXED", "principal": "User:ada", "operation": "READ"});
    let others = instance.create(ACL, others).await;
    assert!(matches!(sought(&instance, &config).await, Found::Absent), "of many groups that may be others");
    let entry = json!({"resourceType": "GROUP", "resourceName": id, "principal": "User:ada", "operation": "READ"});
    let entry = instance.create(ACL, entry).await;
    let Found::Strangers(found) = sought(&instance, &config).await else { panic!() };
    assert_eq!(found.attributes["rendered"].as_str(), Some("num.stream.threads=2\n"));
    let plan = instance.plan(STREAMS, Some(&recorded(&config, found.clone())), &config).await.unwrap();
    assert_eq!(plan.planned, found.attributes);
    instance.delete(ACL, &entry).await;
    instance.delete(ACL, &others).await;
    let topic = instance.create(TOPIC, json!({"name": format!("{id}-store-changelog"), "partitions": 1})).await;
    assert!(matches!(sought(&instance, &config).await, Found::Strangers(_)));
    instance.delete(TOPIC, &topic).await;
    assert!(matches!(sought(&instance, &config).await, Found::Absent));
}

#[tokio::test]
async fn internal_topics_go_where_data_may_go_and_no_others() {
    let brokers = Brokers::start().await;
    let instance = brokers.instance().await;
    let id = unique("app");
    let made = instance.create(STREAMS, json!({"applicationId": id})).await;
    let mut topics = Vec::new();
    for end in
        ["-store-changelog", "-a.b-repartition", "-notes", "-changelog", "x-store-changelog", "-store-changelog-2"]
    {
        topics.push(instance.create(TOPIC, json!({"name": format!("{id}{end}"), "partitions": 1})).await);
    }
    let ty = instance.ty(STREAMS);
    let left = async || {
        let mut left = 0;
        for topic in &topics {
            left += usize::from(instance.read(TOPIC, topic).await.is_some());
        }
        left
    };
    instance.session.delete(&ty, &call(&Arc::default()), &made).await.unwrap();
    assert_eq!(left().await, 6);
    let reports = Arc::new(Reports::default());
    let call = Call { removes_data: true, ..call(&reports) };
    instance.session.delete(&ty, &call, &made).await.unwrap();
    assert_eq!(left().await, 4);
    let mut told = reports.told.lock().unwrap().clone();
    told.sort();
    assert_eq!(told, [format!("deleting `{id}-a.b-repartition`"), format!("deleting `{id}-store-changelog`")]);
    for topic in &topics {
        instance.delete(TOPIC, topic).await;
    }
}

/// Another application's id may begin with this one's and `-`: its group, or who is let into that, tells it.
#[tokio::test]
async fn internal_topics_of_another_application_stay() {
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    let made = instance.create(STREAMS, json!({"applicationId": "app"})).await;
    for name in ["app-x-changelog", "app-two-x-changelog", "app-three-x-repartition", "app-x-changelog-2"] {
        instance.create(TOPIC, json!({"name": name, "partitions": 1})).await;
    }
    brokers.side().groups = ["app", "app-two", "app-x"].map(str::to_owned).to_vec();
    let group =
        json!({"resourceType": "GROUP", "resourceName": "app-three", "principal": "User:ada", "operation": "READ"});
    instance.create(ACL, group).await;
    // A plan says which they are.
    let ty = instance.ty(STREAMS);
    let counted = instance.session.count_data(&ty, &made).await.unwrap();
    let text = "1 internal topic: `app-x-changelog`".to_owned();
    assert_eq!(counted, DataAmount::Some { count: 1, text });
    let reports = Arc::new(Reports::default());
    let call = Call { removes_data: true, ..call(&reports) };
    // Who may not know the groups deletes nothing.
    brokers.side().denied = vec![ApiKey::DescribeAcls];
    let error = instance.session.delete(&ty, &call, &made).await.unwrap_err();
    assert_eq!((error.kind, brokers.side().topics.len()), (ErrorKind::PermissionDenied, 4));
    assert!(error.solutions[0].ends_with("--operation Describe --cluster`"), "{:?}", error.solutions);
    brokers.side().denied.clear();
    instance.session.delete(&ty, &call, &made).await.unwrap();
    let left: Vec<String> = brokers.side().topics.keys().cloned().collect();
    assert_eq!(left, ["app-three-x-repartition", "app-two-x-changelog", "app-x-changelog-2"]);
    let told = reports.told.lock().unwrap().clone();
    let stays = |name: &str, of: &str| format!("`{name}` stays: it is of the application `{of}`");
    assert_eq!(
        told,
        [
            stays("app-three-x-repartition", "app-three"),
            stays("app-two-x-changelog", "app-two"),
            "deleting `app-x-changelog`".to_owned()
        ]
    );
    assert_eq!(instance.session.count_data(&ty, &made).await.unwrap(), DataAmount::Empty);
}
