//! What an instance is limited to, as its server sees it.

use crate::world::{World, settings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::wrap::{Guarded, Limits, guarded};
use terrace_provider::{Planned, ProviderError, Session};

/// A session within limits.
async fn limited(world: &World, url: &str, limits: Limits) -> Arc<Guarded> {
    guarded(world.provider(), &settings(&[("url", url)]), limits).await.unwrap()
}

/// Makes twenty tables at once, whose names begin so; each refers to `s.parent` if that is said.
async fn create(world: &World, session: &Arc<Guarded>, begin: &str, foreign: &str) -> Vec<Result<(), ProviderError>> {
    let made = (0..20).map(|at| async move {
        let config = format!(
            r#"{{"database": "$db", "schema": "s", "name": "{begin}{at}", "columns": [{{"name": "a", "type": "int"}}], "foreignKeys": [{foreign}]}}"#
        );
        let plan = world.plan("postgres_table", None, &config).await?;
        let planned = Planned { attributes: plan.planned, private: plan.private };
        session.create(world.ty("postgres_table"), &world.call(&format!("step-{at}")), &planned).await.map(|_| ())
    });
    futures_util::future::join_all(made).await
}

/// While nobody gets on, as many calls as may be made are at the server, and no more.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_calls_come_at_once_than_the_instance_may_make() {
    let world = World::new().await;
    world.execute("CREATE TABLE s.parent (a int PRIMARY KEY)").await;
    let session = limited(&world, &world.cluster.url("postgres"), Limits { concurrency: 3, ..Limits::default() }).await;
    world.execute("BEGIN; LOCK TABLE s.parent IN ACCESS EXCLUSIVE MODE").await;
    let watching = async {
        let client = world.cluster.connect(&world.database).await;
        let sql = "SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FILTER (WHERE state <> 'idle')
                   FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let (mut most, mut seen, deadline) = (0, 0, Instant::now() + Duration::from_secs(20));
        while seen < 50 {
            assert!(Instant::now() < deadline, "never were there three");
            let row = client.query_one(sql, &[]).await.unwrap();
            let (waiting, busy): (i64, i64) = (row.try_get(0).unwrap(), row.try_get(1).unwrap());
            most = most.max(busy - 1);
            seen += usize::from(waiting == 3);
        }
        world.execute("COMMIT").await;
        most
    };
    let foreign = r#"{"columns": ["a"], "references": {"schema": "s", "table": "parent", "columns": ["a"]}}"#;
    let (most, made) = tokio::join!(watching, create(&world, &session, "t", foreign));
    assert_eq!(most, 3, "besides the one that keeps the lock");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(world.query("SELECT count(*) FROM pg_tables WHERE schemaname = 's'").await, ["21"]);
}

/// A server that has no connection left is asked again.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_gets_no_connection_tries_again() {
    let world = World::new().await;
    world
        .execute("CREATE ROLE \"$db_few\" LOGIN PASSWORD 'x' CONNECTION LIMIT 2; GRANT ALL ON SCHEMA s TO \"$db_few\"")
        .await;
    let url = world.cluster.url("postgres").replace(
        &format!("terrace:{}", terrace_state::contract::cluster::PASSWORD),
        &format!("{}_few:x", world.database),
    );
    let impatient = limited(&world, &url, Limits { concurrency: 8, retries: 0, ..Limits::default() }).await;
    let made = create(&world, &impatient, "i", "").await;
    let refused = made.into_iter().filter_map(Result::err).next().expect("there are too few for all");
    assert_eq!((refused.kind.code(), refused.vendor_code.as_deref()), ("throttled", Some("53300")), "{refused}");
    drop(impatient);
    let session = limited(&world, &url, Limits { concurrency: 8, retries: 10, ..Limits::default() }).await;
    let made = create(&world, &session, "t", "").await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert_eq!(world.query("SELECT count(*) FROM pg_tables WHERE tablename ~ '^t' AND schemaname = 's'").await, ["20"]);
}
