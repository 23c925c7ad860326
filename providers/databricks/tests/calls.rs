//! Lost, late and throttled requests; credentials and allowed hosts.

use crate::conformance::{METASTORE, grant, job, prepared, view};
use crate::harness::{Instance, attributes, recorded};
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found, ProviderError, Recorded};
use terrace_test_databricks::{Fault, StandIn};

fn all(stand_in: &StandIn) -> Vec<(&'static str, Json)> {
    let url = stand_in.url();
    vec![
        ("databricks_directory", json!({"workspaceUrl": url, "path": "/Workspace/shop"})),
        (
            "databricks_repo",
            json!({"workspaceUrl": url, "path": "/Workspace/shop/a", "url": "https://x/a.git", "gitProvider": "gitLab", "tag": "v1"}),
        ),
        ("databricks_job", job(stand_in, "a", 2)),
        ("databricks_pipeline", crate::conformance::pipeline(stand_in, true)),
        ("databricks_schema", json!({"workspaceUrl": url, "metastoreId": METASTORE, "catalog": "main", "name": "s"})),
        ("databricks_view", view(stand_in, json!([{"name": "id", "comment": "x"}]))),
        ("databricks_grant", grant(stand_in, "dev", json!(["SELECT"]))),
    ]
}

/// Creates an object as `apply` does: finds the outcome of a failed call, and repeats the call only if it had no
/// effect.
async fn create_with_retries(instance: &Instance, ty: &str, config: &Json) -> Result<Recorded, ProviderError> {
    let mut last = None;
    for _ in 0..3 {
        match instance.create(ty, config.clone()).await {
            Ok(recorded) => return Ok(recorded),
            Err(error)
                if error.kind == ErrorKind::Ambiguous
                    || error.kind.is_temporary()
                    || error.kind == ErrorKind::Failed =>
            {
                match instance.find(ty, config, Some(Duration::from_secs(1))).await? {
                    Found::Own(found) => return Ok(recorded(&attributes(config.clone()), found)),
                    Found::Absent | Found::NoEffect => last = Some(error),
                    other => panic!("{ty}: {other:?} after {error}"),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap())
}

#[tokio::test]
async fn single_failure_of_any_request_is_survived() {
    let (clean, _) = prepared();
    let instance = Instance::of(&clean).await;
    clean.reset_count();
    for (ty, config) in all(&clean) {
        create_with_retries(&instance, ty, &config).await.unwrap();
    }
    let (calls, expected) = (clean.count(), clean.inventory());
    assert!(calls > 20, "{calls}");
    for number in 1..=calls {
        for fault in [Fault::LostBefore, Fault::LostAfter, Fault::After504, Fault::Unavailable, Fault::Fails] {
            let (stand_in, _) = prepared();
            let instance = Instance::of(&stand_in).await;
            stand_in.reset_count();
            stand_in.faults().by_number.insert(number, fault);
            for (ty, config) in all(&stand_in) {
                let recorded = create_with_retries(&instance, ty, &config)
                    .await
                    .unwrap_or_else(|error| panic!("{fault:?} of {number}, {ty}: {error}"));
                let planned = instance.plan(ty, Some(&recorded), &config).await.unwrap();
                // The next apply completes an incomplete create.
                if planned.planned.iter().any(|(name, value)| {
                    !recorded.attributes.get(name).is_some_and(|it| it.is_same_as(value))
                        && !value.has_unknown()
                        && name != "warehouse"
                }) {
                    instance.update(ty, &recorded, config.clone()).await.unwrap();
                }
            }
            assert_eq!(stand_in.inventory(), expected, "{fault:?} of {number}");
        }
    }
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    stand_in.faults().next = std::iter::repeat_n(Fault::TooMany(Some(1)), 4).collect();
    let start = Instant::now();
    instance.create("databricks_grant", grant(&stand_in, "dev", json!(["SELECT"]))).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(4));
    let requests = stand_in.take_calls();
    for pair in requests.windows(2).filter(|pair| pair[0].status == 429) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(1), "retry came too early");
    }
}

#[tokio::test]
async fn concurrent_calls_stay_within_the_limit() {
    let (stand_in, _) = prepared();
    let limits = Limits { concurrency: 3, ..Limits::default() };
    let instance = Instance::with(&stand_in, json!({}), limits).await;
    stand_in.faults().takes = Some(Duration::from_millis(5));
    let creates = (0..12).map(|number| instance.create("databricks_job", job(&stand_in, &format!("job {number}"), 1)));
    for done in futures_util::future::join_all(creates).await {
        done.unwrap();
    }
    assert!((2..=3).contains(&stand_in.max_concurrent()), "{}", stand_in.max_concurrent());
}

#[tokio::test]
async fn service_principal_renews_an_expired_token() {
    let (stand_in, _) = prepared();
    let settings = json!({"token": null, "clientId": "terrace-client", "clientSecret": "client-secret"});
    let instance = Instance::with(&stand_in, settings, Limits::default()).await;
    let config = json!({"workspaceUrl": stand_in.url(), "path": "/Workspace/shop"});
    let created = instance.create("databricks_directory", config).await.unwrap();
    stand_in.expire_tokens();
    assert!(instance.read("databricks_directory", &created).await.unwrap().is_some());
    let wrong = json!({"token": null, "clientId": "terrace-client", "clientSecret": "wr0ng-secret"});
    let instance = Instance::with(&stand_in, wrong, Limits { retries: 0, ..Limits::default() }).await;
    let error = instance.read("databricks_directory", &created).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
}

/// A token with an endless lifetime is used until it is refused.
#[tokio::test]
async fn token_with_endless_lifetime_is_renewed_on_refusal() {
    let (stand_in, _) = prepared();
    stand_in.faults().life = Some(u64::MAX);
    let settings = json!({"token": null, "clientId": "terrace-client", "clientSecret": "client-secret"});
    let instance = Instance::with(&stand_in, settings, Limits::default()).await;
    let config = json!({"workspaceUrl": stand_in.url(), "path": "/Workspace/shop"});
    let created = instance.create("databricks_directory", config).await.unwrap();
    stand_in.expire_tokens();
    assert!(instance.read("databricks_directory", &created).await.unwrap().is_some());
}

#[tokio::test]
async fn wrong_token_is_reported_without_its_value() {
    let (stand_in, _) = prepared();
    let instance =
        Instance::with(&stand_in, json!({"token": "dapi-wrong"}), Limits { retries: 0, ..Limits::default() }).await;
    let error = instance.create("databricks_grant", grant(&stand_in, "dev", json!(["SELECT"]))).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.solutions.iter().any(|it| it.contains("`token`")), "{error:?}");
    assert!(!format!("{error:?}").contains("dapi-wrong"), "{error:?}");
}

#[tokio::test]
async fn token_is_sent_only_to_allowed_hosts() {
    let (stand_in, _) = prepared();
    let (other_host, _) = prepared();
    let hosts = json!({"hosts": ["*.azuredatabricks.net", "dbc-1.cloud.databricks.com"]});
    let instance = Instance::with(&stand_in, hosts, Limits::default()).await;
    let plan = |url: String| {
        let config = json!({"workspaceUrl": url, "path": "/Workspace/shop"});
        let instance = &instance;
        async move { instance.plan("databricks_directory", None, &config).await }
    };
    for right in ["https://adb-1.2.azuredatabricks.net", "dbc-1.cloud.databricks.com", &format!("{}/", stand_in.url())]
    {
        plan(right.to_owned()).await.unwrap();
    }
    for wrong in [
        other_host.url(),
        "https://evil.example.com",
        "https://azuredatabricks.net.evil.example.com",
        "https://evilazuredatabricks.net",
        "http://adb-1.2.azuredatabricks.net",
        "https://adb-1.2.azuredatabricks.net/path",
        "https://user@adb-1.2.azuredatabricks.net",
        "no url at all",
    ] {
        let error = plan(wrong.to_owned()).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("workspaceUrl".parse().unwrap()) }, "{wrong}");
    }
    assert_eq!(other_host.count(), 0);
}

#[tokio::test]
async fn workspace_of_another_metastore_is_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = json!({"workspaceUrl": stand_in.url(), "metastoreId": "other", "name": "c"});
    let error = instance.create("databricks_catalog", config).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("metastoreId".parse().unwrap()) });
}

#[tokio::test]
async fn unreachable_workspace_is_reported() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create("databricks_job", job(&stand_in, "a", 1)).await.unwrap();
    drop(stand_in);
    let error = instance.read("databricks_job", &created).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(error.message.contains("cannot be reached"), "{error}");
}
