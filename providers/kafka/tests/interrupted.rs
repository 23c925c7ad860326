use crate::harness::{ACL, Brokers, Reports, TOPIC, attributes, call};
use crate::stand_in::{BrokerState, Fault, PreparedError, When};
use kafka_protocol::messages::ApiKey;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{Attributes, Call, ErrorKind, Found, Private};

fn topic() -> Json {
    json!({"name": "t", "partitions": 2, "config": {"retention.ms": "5"}})
}

fn entry() -> Json {
    json!({"resourceType": "TOPIC", "resourceName": "t", "principal": "User:ada", "operation": "READ"})
}

/// Counts the objects of the broker.
fn objects(brokers: &Brokers) -> usize {
    let state = brokers.state();
    state.topics.len() + state.acls.len()
}

/// Interrupts a create at each of its calls, before and after the effect. The outcome must be found, with one object.
#[tokio::test]
async fn outcome_of_interrupted_create_is_found() {
    for (ty, config) in [(TOPIC, topic()), (ACL, entry())] {
        let brokers = Brokers::with_stand_in(BrokerState::default()).await;
        brokers.instance().await.create(ty, config.clone()).await;
        let calls = brokers.state().log.len();
        assert!(calls >= 5, "{:?}", brokers.state().log);
        for (fault, when) in (0..calls).flat_map(|at| [(at, When::Before), (at, When::After)]) {
            let fault = Some(Fault { call: fault, when });
            let brokers = Brokers::with_stand_in(BrokerState { fault, ..BrokerState::default() }).await;
            let instance = brokers.instance().await;
            let config = attributes(config.clone());
            let reports = Arc::new(Reports::default());
            let lost = call(&reports);
            let created = instance.try_create(ty, &lost, &config).await;
            // The next run knows only the journal.
            let next = brokers.instance().await;
            let found = next.find(ty, &lost, reports.private(), &config).await;
            match (created, found) {
                (created, Found::Own(_)) => {
                    assert_eq!(objects(&brokers), 1, "{fault:?}");
                    // Any other kind would lead to a retry that treats the object as another owner's.
                    let kind = created.err().map(|error| error.kind);
                    assert!(kind.as_ref().is_none_or(|kind| *kind == ErrorKind::Ambiguous), "{fault:?}: {kind:?}");
                }
                (Err(error), Found::Absent) => {
                    assert_eq!(objects(&brokers), 0, "{fault:?}: {error}");
                    next.try_create(ty, &call(&Arc::default()), &config).await.unwrap();
                    assert_eq!(objects(&brokers), 1, "{fault:?}");
                }
                (created, found) => panic!("{fault:?}: {created:?}, {found:?}"),
            }
        }
    }
}

#[tokio::test]
async fn preexisting_object_is_not_ours() {
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    brokers.instance().await.create(TOPIC, topic()).await;
    let instance = brokers.instance().await;
    let (reports, config) = (Arc::new(Reports::default()), attributes(topic()));
    let lost = call(&reports);
    let error = instance.try_create(TOPIC, &lost, &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("t".to_owned()) });
    assert!(matches!(instance.find(TOPIC, &lost, reports.private(), &config).await, Found::Foreign(_)));
    // A call that was interrupted before it journalled its request.
    let never = call(&Arc::default());
    assert!(matches!(instance.find(TOPIC, &never, Private::default(), &config).await, Found::Foreign(_)));
    // A request was journalled, but the existing topic differs from the plan.
    let other = attributes(json!({"name": "t", "partitions": 7}));
    let sent = Private(b"sent".to_vec());
    assert!(matches!(instance.find(TOPIC, &never, sent, &other).await, Found::Foreign(_)));
}

#[tokio::test]
async fn create_waits_for_lagging_brokers() {
    let brokers = Brokers::with_stand_in(BrokerState { lag: 4, ..BrokerState::default() }).await;
    let instance = brokers.instance().await;
    let created = instance.create(TOPIC, topic()).await;
    assert_eq!(brokers.state().topics["t"].hidden, 0);
    assert!(instance.read(TOPIC, &created).await.is_some());
}

#[tokio::test]
async fn request_follows_a_new_controller() {
    let brokers = Brokers::with_stand_in(BrokerState { not_controller_calls: 1, ..BrokerState::default() }).await;
    let instance = brokers.instance().await;
    // The first call lists the supported keys; it fails without an error for the create.
    instance.create(TOPIC, topic()).await;
    assert_eq!(brokers.state().not_controller_calls, 0);
    brokers.state().not_controller_calls = 1;
    instance.create(TOPIC, json!({"name": "u"})).await;
    assert_eq!(brokers.state().topics.len(), 2);
}

/// Finds the outcome of a failed call in the next run, which knows only the journal.
async fn found(brokers: &Brokers, ty: &str, lost: &Call, reports: &Reports, config: &Attributes) -> Found {
    brokers.instance().await.find(ty, lost, reports.private(), config).await
}

#[tokio::test]
async fn failed_read_after_create_is_ambiguous() {
    for (ty, config, after, denied) in [
        (TOPIC, topic(), ApiKey::CreateTopics, ApiKey::Metadata),
        (ACL, entry(), ApiKey::CreateAcls, ApiKey::DescribeAcls),
    ] {
        let denied_after = Some((after, denied));
        let brokers = Brokers::with_stand_in(BrokerState { denied_after, ..BrokerState::default() }).await;
        let (reports, config) = (Arc::new(Reports::default()), attributes(config));
        let lost = call(&reports);
        let error = brokers.instance().await.try_create(ty, &lost, &config).await.unwrap_err();
        assert_eq!((error.kind, objects(&brokers)), (ErrorKind::Ambiguous, 1), "{ty}");
        brokers.state().denied_after = None;
        brokers.state().denied.clear();
        assert!(matches!(found(&brokers, ty, &lost, &reports, &config).await, Found::Own(_)), "{ty}");
    }
}

#[tokio::test]
async fn unclear_error_of_create_is_ambiguous() {
    for (ty, config, key) in [(TOPIC, topic(), ApiKey::CreateTopics), (ACL, entry(), ApiKey::CreateAcls)] {
        for has_effect in [false, true] {
            let prepared_errors = vec![PreparedError { key, code: -1, has_effect }];
            let brokers = Brokers::with_stand_in(BrokerState { prepared_errors, ..BrokerState::default() }).await;
            let (reports, config) = (Arc::new(Reports::default()), attributes(config.clone()));
            let lost = call(&reports);
            let error = brokers.instance().await.try_create(ty, &lost, &config).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Ambiguous, "{ty}: {error}");
            let found = found(&brokers, ty, &lost, &reports, &config).await;
            assert_eq!(matches!(found, Found::Own(_)), has_effect, "{ty}: {found:?}");
        }
    }
}

/// A broker that lost the answer sends the request again; the controller then has the topic already.
#[tokio::test]
async fn topic_created_by_a_repeated_request_is_ours() {
    let exists = PreparedError { key: ApiKey::CreateTopics, code: 36, has_effect: true };
    let brokers = Brokers::with_stand_in(BrokerState { prepared_errors: vec![exists], ..BrokerState::default() }).await;
    let created = brokers.instance().await.create(TOPIC, topic()).await;
    assert!(brokers.instance().await.read(TOPIC, &created).await.is_some());
    // A resigning controller may have written the topic.
    let resigned = PreparedError { code: 41, ..exists };
    let brokers =
        Brokers::with_stand_in(BrokerState { prepared_errors: vec![resigned], ..BrokerState::default() }).await;
    brokers.instance().await.create(TOPIC, topic()).await;
    // Both attempts fail so: the second attempt of the same call finds the object.
    for (ty, config, key) in [(TOPIC, topic(), ApiKey::CreateTopics), (ACL, entry(), ApiKey::CreateAcls)] {
        let prepared_errors =
            vec![PreparedError { key, code: 41, has_effect: false }, PreparedError { key, code: 41, has_effect: true }];
        let brokers = Brokers::with_stand_in(BrokerState { prepared_errors, ..BrokerState::default() }).await;
        let (instance, config) = (brokers.instance().await, attributes(config));
        let call = call(&Arc::default());
        let error = instance.try_create(ty, &call, &config).await.unwrap_err();
        assert_eq!((error.kind, objects(&brokers)), (ErrorKind::Transient, 1), "{ty}");
        let observed = instance.try_create(ty, &call, &config).await.unwrap();
        assert_ne!(observed.private, Private(b"preexisting".to_vec()), "{ty}");
    }
    // A topic that differs from the plan belongs to another owner.
    let brokers = Brokers::with_stand_in(BrokerState::default()).await;
    let instance = brokers.instance().await;
    instance.create(TOPIC, json!({"name": "t", "partitions": 1})).await;
    brokers.state().topics.get_mut("t").unwrap().hidden = 1;
    let error = instance.try_create(TOPIC, &call(&Arc::default()), &attributes(topic())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("t".to_owned()) });
}
