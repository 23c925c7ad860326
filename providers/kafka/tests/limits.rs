//! What an instance is limited to, as its brokers see it.

use crate::harness::{Brokers, Instance, TOPIC, attributes, call};
use crate::stand_in::Side;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::wrap::Limits;

/// Makes so many topics at once.
async fn create(instance: &Instance, count: usize) {
    let made = (0..count).map(|at| async move {
        let config = attributes(json!({"name": format!("t{at}"), "partitions": 1}));
        instance.try_create(TOPIC, &call(&Arc::default()), &config).await
    });
    for made in futures_util::future::join_all(made).await {
        made.unwrap();
    }
}

#[tokio::test]
async fn no_more_calls_come_at_once_than_the_instance_may_make() {
    for limit in [3, 5] {
        let brokers = Brokers::standing_in(Side { gather: 8, ..Side::default() }).await;
        let limits = Limits { concurrency: limit, retries: 0, ..Limits::default() };
        create(&Instance::with(brokers.values(), limits).await, 20).await;
        assert_eq!(brokers.side().topics.len(), 20);
        assert_eq!(brokers.side().most_at_once, limit);
    }
}

#[tokio::test]
async fn whoever_has_to_wait_waits_as_long_as_brokers_say() {
    let pause = Some(Duration::from_millis(700));
    let brokers = Brokers::standing_in(Side { pause, ..Side::default() }).await;
    let limits = Limits { concurrency: 20, retries: 2, ..Limits::default() };
    create(&Instance::with(brokers.values(), limits).await, 20).await;
    let side = brokers.side();
    assert_eq!((side.topics.len(), side.throttled.len()), (20, 20));
    assert_eq!(side.early, Vec::<String>::new());
}
