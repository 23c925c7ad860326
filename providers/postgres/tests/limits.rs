//! Limits of an instance, as the server sees them.

use crate::harness::{Harness, settings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::wrap::{Guarded, Limits, guarded};
use terrace_provider::{Planned, ProviderError, Session};

/// A session with limits.
async fn limited(harness: &Harness, url: &str, limits: Limits) -> Arc<Guarded> {
    guarded(harness.provider(), &settings(&[("url", url)]), limits).await.unwrap()
}

/// Creates twenty tables at once with this prefix, perhaps with a reference to `s.parent`.
async fn create(
    harness: &Harness,
    session: &Arc<Guarded>,
    begin: &str,
    foreign: &str,
) -> Vec<Result<(), ProviderError>> {
    let made = (0..20).map(|at| async move {
        let config = format!(
            r#"{{"database": "$db", "schema": "s", "name": "{begin}{at}", "columns": [{{"name": "a", "type": "int"}}], "foreignKeys": [{foreign}]}}"#
        );
        let plan = harness.plan("postgres_table", None, &config).await?;
        let planned = Planned { attributes: plan.planned, private: plan.private };
        session.create(harness.ty("postgres_table"), &harness.call(&format!("step-{at}")), &planned).await.map(|_| ())
    });
    futures_util::future::join_all(made).await
}

/// While all calls wait, exactly the allowed number is at the server.
#[tokio::test(flavor = "multi_thread")]
async fn instance_limits_concurrent_calls() {
    let harness = Harness::new().await;
    harness.execute("CREATE TABLE s.parent (a int PRIMARY KEY)").await;
    let session =
        limited(&harness, &harness.cluster.url("postgres"), Limits { concurrency: 3, ..Limits::default() }).await;
    harness.execute("BEGIN; LOCK TABLE s.parent IN ACCESS EXCLUSIVE MODE").await;
    let watching = async {
        let client = harness.cluster.connect(&harness.database).await;
        let sql = "SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FILTER (WHERE state <> 'idle')
                   FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let (mut most, mut full_reads, deadline) = (0, 0, Instant::now() + Duration::from_secs(20));
        while full_reads < 50 {
            assert!(Instant::now() < deadline, "three calls never ran at once");
            let row = client.query_one(sql, &[]).await.unwrap();
            let (waiting, busy): (i64, i64) = (row.try_get(0).unwrap(), row.try_get(1).unwrap());
            most = most.max(busy - 1);
            full_reads += usize::from(waiting == 3);
        }
        harness.execute("COMMIT").await;
        most
    };
    let foreign = r#"{"columns": ["a"], "references": {"schema": "s", "table": "parent", "columns": ["a"]}}"#;
    let (most, made) = tokio::join!(watching, create(&harness, &session, "t", foreign));
    assert_eq!(most, 3, "without the holder of the lock");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(harness.query("SELECT count(*) FROM pg_tables WHERE schemaname = 's'").await, ["21"]);
}

/// A server without a free connection is retried.
#[tokio::test(flavor = "multi_thread")]
async fn call_without_a_connection_is_retried() {
    let harness = Harness::new().await;
    harness
        .execute("CREATE ROLE \"$db_few\" LOGIN PASSWORD 'x' CONNECTION LIMIT 2; GRANT ALL ON SCHEMA s TO \"$db_few\"")
        .await;
    let url = harness.cluster.url("postgres").replace(
        &format!("terrace:{}", terrace_state::contract::cluster::PASSWORD),
        &format!("{}_few:x", harness.database),
    );
    let without_retries = limited(&harness, &url, Limits { concurrency: 8, retries: 0, ..Limits::default() }).await;
    let made = create(&harness, &without_retries, "i", "").await;
    let refused = made.into_iter().filter_map(Result::err).next().expect("not all calls get a connection");
    assert_eq!((refused.kind.code(), refused.vendor_code.as_deref()), ("throttled", Some("53300")), "{refused}");
    drop(without_retries);
    let session = limited(&harness, &url, Limits { concurrency: 8, retries: 10, ..Limits::default() }).await;
    let made = create(&harness, &session, "t", "").await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(
        harness.query("SELECT count(*) FROM pg_tables WHERE tablename ~ '^t' AND schemaname = 's'").await,
        ["20"]
    );
}
