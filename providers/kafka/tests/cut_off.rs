use crate::harness::{ACL, Brokers, Reports, TOPIC, attributes, call};
use crate::stand_in::{Fault, Says, Side, When};
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

/// How many objects the broker has.
fn objects(brokers: &Brokers) -> usize {
    let side = brokers.side();
    side.topics.len() + side.acls.len()
}

/// Every call of a create fails once, before and after its effect; what is there then is known, and is made once.
#[tokio::test]
async fn a_call_that_is_cut_off_anywhere_is_found_out() {
    for (ty, config) in [(TOPIC, topic()), (ACL, entry())] {
        let brokers = Brokers::standing_in(Side::default()).await;
        brokers.instance().await.create(ty, config.clone()).await;
        let calls = brokers.side().log.len();
        assert!(calls >= 5, "{:?}", brokers.side().log);
        for (fault, when) in (0..calls).flat_map(|at| [(at, When::Before), (at, When::After)]) {
            let fault = Some(Fault { call: fault, when });
            let brokers = Brokers::standing_in(Side { fault, ..Side::default() }).await;
            let instance = brokers.instance().await;
            let config = attributes(config.clone());
            let reports = Arc::new(Reports::default());
            let lost = call(&reports);
            let made = instance.try_create(ty, &lost, &config).await;
            // The next run knows no more than the journal.
            let next = brokers.instance().await;
            let found = next.find(ty, &lost, reports.private(), &config).await;
            match (made, found) {
                (made, Found::Ours(_)) => {
                    assert_eq!(objects(&brokers), 1, "{fault:?}");
                    // Whoever calls again, or takes it for a refusal, would take what is there for a stranger's.
                    let kind = made.err().map(|error| error.kind);
                    assert!(kind.as_ref().is_none_or(|kind| *kind == ErrorKind::Ambiguous), "{fault:?}: {kind:?}");
                }
                (Err(error), Found::Absent) => {
                    assert_eq!(objects(&brokers), 0, "{fault:?}: {error}");
                    next.try_create(ty, &call(&Arc::default()), &config).await.unwrap();
                    assert_eq!(objects(&brokers), 1, "{fault:?}");
                }
                (made, found) => panic!("{fault:?}: {made:?}, {found:?}"),
            }
        }
    }
}

#[tokio::test]
async fn what_was_there_before_a_call_is_not_ours() {
    let brokers = Brokers::standing_in(Side::default()).await;
    brokers.instance().await.create(TOPIC, topic()).await;
    let instance = brokers.instance().await;
    let (reports, config) = (Arc::new(Reports::default()), attributes(topic()));
    let lost = call(&reports);
    let error = instance.try_create(TOPIC, &lost, &config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("t".to_owned()) });
    assert!(matches!(instance.find(TOPIC, &lost, reports.private(), &config).await, Found::Strangers(_)));
    // A call that was cut off before it said that it goes out.
    let never = call(&Arc::default());
    assert!(matches!(instance.find(TOPIC, &never, Private::default(), &config).await, Found::Strangers(_)));
    // One that went out, and what is there is another topic.
    let other = attributes(json!({"name": "t", "partitions": 7}));
    let sent = Private(b"sent".to_vec());
    assert!(matches!(instance.find(TOPIC, &never, sent, &other).await, Found::Strangers(_)));
}

#[tokio::test]
async fn brokers_that_are_behind_are_waited_for() {
    let brokers = Brokers::standing_in(Side { lag: 4, ..Side::default() }).await;
    let instance = brokers.instance().await;
    let made = instance.create(TOPIC, topic()).await;
    assert_eq!(brokers.side().topics["t"].hidden, 0);
    assert!(instance.read(TOPIC, &made).await.is_some());
}

#[tokio::test]
async fn another_controller_is_found() {
    let brokers = Brokers::standing_in(Side { elsewhere: 1, ..Side::default() }).await;
    let instance = brokers.instance().await;
    // The first call is the question which keys there are, which is left open then.
    instance.create(TOPIC, topic()).await;
    assert_eq!(brokers.side().elsewhere, 0);
    brokers.side().elsewhere = 1;
    instance.create(TOPIC, json!({"name": "u"})).await;
    assert_eq!(brokers.side().topics.len(), 2);
}

/// What is there after a call that failed: found by the next run, which knows no more than the journal.
async fn found(brokers: &Brokers, ty: &str, lost: &Call, reports: &Reports, config: &Attributes) -> Found {
    brokers.instance().await.find(ty, lost, reports.private(), config).await
}

#[tokio::test]
async fn who_may_not_look_any_more_does_not_take_back_what_was_made() {
    for (ty, config, after, denied) in [
        (TOPIC, topic(), ApiKey::CreateTopics, ApiKey::Metadata),
        (ACL, entry(), ApiKey::CreateAcls, ApiKey::DescribeAcls),
    ] {
        let denied_after = Some((after, denied));
        let brokers = Brokers::standing_in(Side { denied_after, ..Side::default() }).await;
        let (reports, config) = (Arc::new(Reports::default()), attributes(config));
        let lost = call(&reports);
        let error = brokers.instance().await.try_create(ty, &lost, &config).await.unwrap_err();
        assert_eq!((error.kind, objects(&brokers)), (ErrorKind::Ambiguous, 1), "{ty}");
        brokers.side().denied_after = None;
        brokers.side().denied.clear();
        assert!(matches!(found(&brokers, ty, &lost, &reports, &config).await, Found::Ours(_)), "{ty}");
    }
}

#[tokio::test]
async fn a_refusal_that_excludes_no_effect_is_none() {
    for (ty, config, key) in [(TOPIC, topic(), ApiKey::CreateTopics), (ACL, entry(), ApiKey::CreateAcls)] {
        for has_effect in [false, true] {
            let says = vec![Says { key, code: -1, has_effect }];
            let brokers = Brokers::standing_in(Side { says, ..Side::default() }).await;
            let (reports, config) = (Arc::new(Reports::default()), attributes(config.clone()));
            let lost = call(&reports);
            let error = brokers.instance().await.try_create(ty, &lost, &config).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Ambiguous, "{ty}: {error}");
            let found = found(&brokers, ty, &lost, &reports, &config).await;
            assert_eq!(matches!(found, Found::Ours(_)), has_effect, "{ty}: {found:?}");
        }
    }
}

/// A broker passes a request on again where it lost the answer: the controller then knows the topic already.
#[tokio::test]
async fn a_topic_that_is_there_once_it_was_asked_for_may_be_ours() {
    let exists = Says { key: ApiKey::CreateTopics, code: 36, has_effect: true };
    let brokers = Brokers::standing_in(Side { says: vec![exists], ..Side::default() }).await;
    let made = brokers.instance().await.create(TOPIC, topic()).await;
    assert!(brokers.instance().await.read(TOPIC, &made).await.is_some());
    // A controller that resigns may have written it.
    let resigned = Says { code: 41, ..exists };
    let brokers = Brokers::standing_in(Side { says: vec![resigned], ..Side::default() }).await;
    brokers.instance().await.create(TOPIC, topic()).await;
    // Twice: the next attempt of the same call finds it.
    for (ty, config, key) in [(TOPIC, topic(), ApiKey::CreateTopics), (ACL, entry(), ApiKey::CreateAcls)] {
        let says = vec![Says { key, code: 41, has_effect: false }, Says { key, code: 41, has_effect: true }];
        let brokers = Brokers::standing_in(Side { says, ..Side::default() }).await;
        let (instance, config) = (brokers.instance().await, attributes(config));
        let call = call(&Arc::default());
        let error = instance.try_create(ty, &call, &config).await.unwrap_err();
        assert_eq!((error.kind, objects(&brokers)), (ErrorKind::Transient, 1), "{ty}");
        let observed = instance.try_create(ty, &call, &config).await.unwrap();
        assert_ne!(observed.private, Private(b"preexisting".to_vec()), "{ty}");
    }
    // What is there and is another topic is a stranger's.
    let brokers = Brokers::standing_in(Side::default()).await;
    let instance = brokers.instance().await;
    instance.create(TOPIC, json!({"name": "t", "partitions": 1})).await;
    brokers.side().topics.get_mut("t").unwrap().hidden = 1;
    let error = instance.try_create(TOPIC, &call(&Arc::default()), &attributes(topic())).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("t".to_owned()) });
}
