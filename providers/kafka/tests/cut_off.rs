use crate::harness::{ACL, Brokers, Reports, TOPIC, attributes, call};
use crate::stand_in::{Fault, Side, When};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{ErrorKind, Found, Private};

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
                (_, Found::Ours(_)) => assert_eq!(objects(&brokers), 1, "{fault:?}"),
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
