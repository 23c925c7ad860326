//! Servers that cannot be reached, let nobody in, or go away.

use crate::world::{World, settings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::{ErrorKind, Found, Planned, Provider, ProviderError};
use terrace_provider_postgres::PostgresProvider;
use terrace_state::contract::cluster::{Cluster, PASSWORD};

/// What an instance with these settings answers when it is asked for a role.
async fn asked(values: &[(&str, &str)]) -> Result<Option<terrace_provider::Observed>, ProviderError> {
    let provider = PostgresProvider::new();
    let session = provider.connect(&settings(values)).await?;
    session.import(provider.schema().resource("postgres_role").unwrap(), "terrace").await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_let_in_is_told_so_without_a_password() {
    let url = Cluster::shared().url("postgres");
    assert!(asked(&[("url", &url)]).await.unwrap().is_some());
    let error = asked(&[("url", &url.replace(PASSWORD, "wr0ng-one"))]).await.unwrap_err();
    assert_eq!((&error.kind, error.vendor_code.as_deref()), (&ErrorKind::PermissionDenied, Some("28P01")));
    assert!(error.message.contains("refuses the user or the password"), "{error}");
    assert!(error.solutions[0].contains("`password` of the instance `postgres`"));
    assert!(!format!("{error:?}").contains("wr0ng-one"));
    let error = asked(&[("url", &url.replace("/postgres?", "/nowhere?"))]).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("3D000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let error = asked(&[("host", "127.0.0.1"), ("user", "jane"), ("password", "hunter2")]).await;
    // Nobody listens at the usual port, or somebody who does not know Jane.
    assert!(error.is_err());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("postgres://jane:hunter2@127.0.0.1:{port}/postgres");
    let error = asked(&[("url", &url)]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    assert!(error.message.contains(&format!("jane@127.0.0.1:{port} cannot be reached")), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = asked(&[("url", "postgres://jane:hunter2@no-such-host.invalid/postgres")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: None }, "{error:?}");
    assert!(error.solutions[0].contains("`host` of the instance"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_as_strict_as_it_is_asked_to_be() {
    let cluster = Cluster::encrypted();
    let (port, certificate) = (cluster.port(), cluster.certificate());
    let url = |host: &str, mode: &str| format!("postgres://terrace:{PASSWORD}@{host}:{port}/postgres?sslmode={mode}");
    for (host, mode, file, is_fine) in [
        ("localhost", "require", None, true),
        ("localhost", "verify-full", Some(&certificate), true),
        ("127.0.0.1", "verify-ca", Some(&certificate), true),
        ("127.0.0.1", "verify-full", Some(&certificate), false),
        ("localhost", "disable", None, true),
    ] {
        let url = url(host, mode);
        let mut values = vec![("url", url.as_str())];
        values.extend(file.map(|file| ("caFile", file.as_str())));
        let answer = asked(&values).await;
        assert_eq!(answer.is_ok(), is_fine, "{host} {mode}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error.kind, ErrorKind::InvalidInput { path: None }, "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_in_the_middle_leaves_nothing_half_made() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::alone()));
    let world = Arc::new(World::on(cluster).await);
    let slow = r#"{"database": "$db", "schema": "s", "name": "m", "definition": "SELECT 1 AS a FROM pg_sleep(60)"}"#;
    let ty = world.ty("postgres_materialized_view").clone();
    let plan = world.plan("postgres_materialized_view", None, slow).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let session = Arc::clone(&world.session);
    let call = world.call("step-1");
    let running = tokio::spawn(async move { session.create(&ty, &call, &planned).await });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(world.find("postgres_materialized_view", slow, Some("step-1")).await, Found::Pending(_)) {
        assert!(Instant::now() < deadline, "it was never seen at work");
    }
    tokio::task::spawn_blocking(move || cluster.order("stop")).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "it did not happen: {error:?}");
    let table = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let error = world.create("postgres_table", table).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    tokio::task::spawn_blocking(move || cluster.order("start")).await.unwrap();
    assert_eq!(world.find("postgres_materialized_view", slow, Some("step-1")).await, Found::Absent);
    // The same session goes on.
    world.settled("postgres_table", table).await;
}
