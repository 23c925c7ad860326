//! Servers that are unreachable, refuse the user, or go away.

use crate::harness::{Harness, settings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use terrace_provider::{ErrorKind, Found, Planned, Provider, ProviderError};
use terrace_provider_postgres::PostgresProvider;
use terrace_state::contract::cluster::{Cluster, PASSWORD};

/// The answer of an instance with these settings to a read of a role.
async fn read_role(values: &[(&str, &str)]) -> Result<Option<terrace_provider::Observed>, ProviderError> {
    let provider = PostgresProvider::new();
    let session = provider.connect(&settings(values)).await?;
    session.import(provider.schema().resource("postgres_role").unwrap(), "terrace").await
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_user_is_reported_without_the_password() {
    let url = Cluster::shared().url("postgres");
    assert!(read_role(&[("url", &url)]).await.unwrap().is_some());
    let error = read_role(&[("url", &url.replace(PASSWORD, "wr0ng-one"))]).await.unwrap_err();
    assert_eq!((&error.kind, error.vendor_code.as_deref()), (&ErrorKind::PermissionDenied, Some("28P01")));
    assert!(error.message.contains("refuses the user or the password"), "{error}");
    assert!(error.solutions[0].contains("`password` of the instance `postgres`"));
    assert!(!format!("{error:?}").contains("wr0ng-one"));
    let error = read_role(&[("url", &url.replace("/postgres?", "/nowhere?"))]).await.unwrap_err();
    assert_eq!(error.vendor_code.as_deref(), Some("3D000"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_server_is_named() {
    let error = read_role(&[("host", "127.0.0.1"), ("user", "jane"), ("password", "hunter2")]).await;
    // At the default port there is no server, or one without the user Jane.
    assert!(error.is_err());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let url = format!("postgres://jane:hunter2@127.0.0.1:{port}/postgres");
    let error = read_role(&[("url", &url)]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    assert!(error.message.contains(&format!("jane@127.0.0.1:{port} cannot be reached")), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = read_role(&[("url", "postgres://jane:hunter2@no-such-host.invalid/postgres")]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: None }, "{error:?}");
    assert!(error.solutions[0].contains("`host` of the instance"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_follows_the_mode() {
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
        let answer = read_role(&values).await;
        assert_eq!(answer.is_ok(), is_fine, "{host} {mode}: {answer:?}");
        if let Err(error) = answer {
            assert_eq!(error.kind, ErrorKind::InvalidInput { path: None }, "{error:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_goes_away_leaves_no_partial_object() {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::alone()));
    let harness = Arc::new(Harness::on(cluster).await);
    let slow = r#"{"database": "$db", "schema": "s", "name": "m", "definition": "SELECT 1 AS a FROM pg_sleep(60)"}"#;
    let ty = harness.ty("postgres_materialized_view").clone();
    let plan = harness.plan("postgres_materialized_view", None, slow).await.unwrap();
    let planned = Planned { attributes: plan.planned, private: plan.private };
    let session = Arc::clone(&harness.session);
    let call = harness.call("step-1");
    let running = tokio::spawn(async move { session.create(&ty, &call, &planned).await });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(harness.find("postgres_materialized_view", slow, Some("step-1")).await, Found::Pending(_)) {
        assert!(Instant::now() < deadline, "it never ran");
    }
    tokio::task::spawn_blocking(move || cluster.order("stop")).await.unwrap();
    let error = running.await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "it had no effect: {error:?}");
    let table = r#"{"database": "$db", "schema": "s", "name": "t", "columns": [{"name": "a", "type": "int"}]}"#;
    let error = harness.create("postgres_table", table).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error:?}");
    tokio::task::spawn_blocking(move || cluster.order("start")).await.unwrap();
    assert_eq!(harness.find("postgres_materialized_view", slow, Some("step-1")).await, Found::Absent);
    // The same session continues.
    harness.create_settled("postgres_table", table).await;
}
