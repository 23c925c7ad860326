//! Limits of an instance, as brokers see them.

use crate::harness::{Brokers, Instance, TOPIC, attributes, call};
use crate::stand_in::Side;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::wrap::Limits;

/// Creates topics concurrently.
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
async fn concurrent_calls_stay_within_the_limit() {
    for limit in [3, 5] {
        let brokers = Brokers::standing_in(Side { gather: 8, ..Side::default() }).await;
        let limits = Limits { concurrency: limit, retries: 0, ..Limits::default() };
        create(&Instance::with(brokers.values(), limits).await, 20).await;
        assert_eq!(brokers.side().topics.len(), 20);
        assert_eq!(brokers.side().most_at_once, limit);
    }
}

#[tokio::test]
async fn throttled_call_waits_for_the_requested_pause() {
    let pause = Some(Duration::from_millis(700));
    let brokers = Brokers::standing_in(Side { pause, ..Side::default() }).await;
    let limits = Limits { concurrency: 20, retries: 2, ..Limits::default() };
    create(&Instance::with(brokers.values(), limits).await, 20).await;
    let side = brokers.side();
    assert_eq!((side.topics.len(), side.throttled.len()), (20, 20));
    assert_eq!(side.early, Vec::<String>::new());
}
