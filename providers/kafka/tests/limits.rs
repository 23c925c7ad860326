//! Limits of an instance, as brokers see them.

use crate::harness::{Brokers, Instance, TOPIC, attributes, call};
use crate::stand_in::BrokerState;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::wrap::Limits;

/// Creates topics concurrently.
async fn create(instance: &Instance, count: usize) {
    let created = (0..count).map(|at| async move {
        let config = attributes(json!({"name": format!("t{at}"), "partitions": 1}));
        instance.try_create(TOPIC, &call(&Arc::default()), &config).await
    });
    for created in futures_util::future::join_all(created).await {
        created.unwrap();
    }
}

#[tokio::test]
async fn concurrent_calls_stay_within_the_limit() {
    for limit in [3, 5] {
        let brokers = Brokers::with_stand_in(BrokerState { min_concurrent: 8, ..BrokerState::default() }).await;
        let limits = Limits { concurrency: limit, retries: 0, ..Limits::default() };
        create(&Instance::with(brokers.values(), limits).await, 20).await;
        assert_eq!(brokers.state().topics.len(), 20);
        assert_eq!(brokers.state().max_concurrent, limit);
    }
}

#[tokio::test]
async fn throttled_call_waits_for_the_requested_pause() {
    let pause = Some(Duration::from_millis(700));
    let brokers = Brokers::with_stand_in(BrokerState { pause, ..BrokerState::default() }).await;
    let limits = Limits { concurrency: 20, retries: 2, ..Limits::default() };
    create(&Instance::with(brokers.values(), limits).await, 20).await;
    let state = brokers.state();
    assert_eq!((state.topics.len(), state.throttled.len()), (20, 20));
    assert_eq!(state.early, Vec::<String>::new());
}
