//! Failing requests to Azure: the outcome is found, nothing is created twice, and pauses are respected.

use crate::azure::{create_external_workspace, default_instance, find_lost, instance_of, path, settings_of, workspace};
use crate::harness::{Instance, attributes, recorded};
use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use std::time::{Duration, Instant};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found, ProviderError, Recorded};
use terrace_test_azure::{Azure, Fault, METASTORE};

const WORKSPACE: &str = "databricks_workspace";

#[tokio::test]
async fn workspace_status_replaces_forbidden_operation_status() {
    let azure = Azure::start();
    azure.take_questions(2);
    azure.faults().denied.push("operationStatuses".to_owned());
    let instance = default_instance(&azure).await;
    let created = instance.create(WORKSPACE, workspace("shop_0")).await.unwrap();
    assert!(created.text("url").is_some());
    assert_eq!(azure.inventory(), ["workspace shop_0 premium westeurope Succeeded"]);
}

#[tokio::test]
async fn failed_status_request_is_ambiguous() {
    for denied in ["GET /subscriptions", "/oauth2/"] {
        let azure = Azure::start();
        azure.take_questions(1_000_000);
        let instance = default_instance(&azure).await;
        let later = async {
            while azure.inventory().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if denied.contains("oauth2") {
                // The secret changes now.
                azure.expire_tokens();
                azure.faults().by_text.push((denied.to_owned(), Fault::Expired));
            } else {
                azure.faults().denied.push(denied.to_owned());
            }
        };
        let (created, ()) = tokio::join!(instance.create(WORKSPACE, workspace("shop_0")), later);
        let error = created.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Ambiguous, "{denied}: {error:?}");
        azure.faults().denied.clear();
        azure.finish();
        let found = find_lost(&default_instance(&azure).await, WORKSPACE, &workspace("shop_0")).await;
        assert!(matches!(found, Found::Own(_)), "{denied}: {found:?}");
    }
}

#[tokio::test]
async fn create_survives_internal_error_of_azure() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    // The first read misses the workspace, as if the failing call had created it.
    create_external_workspace(&azure, "shop_0");
    azure.hide_workspaces(1);
    azure.faults().by_text.push(("PUT ".to_owned(), Fault::Fails));
    let created = instance.create(WORKSPACE, workspace("shop_0")).await.unwrap();
    assert!(created.text("url").is_some());
    let empty = Azure::start();
    empty.faults().by_text.push(("PUT ".to_owned(), Fault::Fails));
    let error = default_instance(&empty).await.create(WORKSPACE, workspace("shop_0")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
}

#[tokio::test]
async fn create_waits_for_the_url_of_the_workspace() {
    for shows_operation in [true, false] {
        let azure = Azure::start();
        azure.end_early(2);
        if !shows_operation {
            azure.faults().denied.push("operationStatuses".to_owned());
        }
        // The first of these reads happens before the create.
        azure.hide_workspaces(3);
        let created = default_instance(&azure).await.create(WORKSPACE, workspace("shop_0")).await.unwrap();
        assert!(created.text("url").is_some() && created.text("workspaceId").is_some(), "{created:?}");
    }
}

#[tokio::test]
async fn cancelled_workspace_is_absent() {
    for shows_operation in [true, false] {
        let azure = Azure::start();
        azure.cancel_next();
        if !shows_operation {
            azure.faults().denied.push("operationStatuses".to_owned());
        }
        let instance = default_instance(&azure).await;
        let error = instance.create(WORKSPACE, workspace("shop_0")).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "{error}");
        assert!(error.message.contains("the operation was cancelled"), "{error}");
        assert!(matches!(find_lost(&instance, WORKSPACE, &workspace("shop_0")).await, Found::Absent));
        instance.create(WORKSPACE, workspace("shop_0")).await.unwrap();
        assert_eq!(azure.inventory(), ["workspace shop_0 premium westeurope Succeeded"]);
    }
}

#[tokio::test]
async fn workspace_without_url_is_not_adopted() {
    let azure = Azure::start();
    azure.take_questions(1_000_000);
    let group = format!("/subscriptions/{}/resourceGroups/shop_0-rg", terrace_test_azure::SUBSCRIPTION);
    let body = json!({"location": "westeurope", "properties": {"managedResourceGroupId": group}});
    azure.call("PUT", &path("shop_0"), body);
    let error = default_instance(&azure).await.find(WORKSPACE, &workspace("shop_0"), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient, "{error}");
    assert!(error.message.contains("Azure is still creating the workspace `shop_0`"), "{error}");
}

/// One object of each type of an external workspace.
fn all(azure: &Azure, number: &str, scope: &str) -> [(&'static str, Json); 4] {
    let jane = azure.object_id("jane.roe@example.com");
    [
        (WORKSPACE, workspace("shop_0")),
        ("databricks_metastore_assignment", json!({"workspaceId": number, "metastoreId": METASTORE})),
        (
            "databricks_workspace_assignment",
            json!({"workspaceId": number, "principalId": azure.account_id("dev"), "permissions": ["USER"]}),
        ),
        (
            "databricks_azure_role_assignment",
            json!({"scope": scope, "role": "Reader", "principalId": jane, "principalKind": "user"}),
        ),
    ]
}

/// Creates an object as `apply` does: finds the outcome of a failed attempt before the next attempt.
async fn create_with_retries(instance: &Instance, ty: &str, config: &Json) -> Result<Recorded, ProviderError> {
    let mut last = None;
    for _ in 0..3 {
        let error = match instance.create(ty, config.clone()).await {
            Ok(created) => return Ok(created),
            Err(error) => error,
        };
        match &error.kind {
            // A request before the create failed: the next run starts again.
            ErrorKind::Transient | ErrorKind::Throttled { .. } | ErrorKind::PermissionDenied => last = Some(error),
            ErrorKind::Ambiguous | ErrorKind::Failed => match find_lost(instance, ty, config).await {
                Found::Own(found) => return Ok(recorded(&attributes(config.clone()), found)),
                Found::Absent => last = Some(error),
                other => panic!("{ty}: {other:?} after {error}"),
            },
            _ => return Err(error),
        }
    }
    Err(last.unwrap())
}

async fn prepare() -> (Azure, Instance, [(&'static str, Json); 4]) {
    let azure = Azure::start();
    let (number, scope) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let all = all(&azure, &number, &scope);
    let _ = azure.take_calls();
    azure.reset_count();
    (azure, instance, all)
}

/// Creates and reads one object of each type.
async fn create_all(instance: &Instance, all: &[(&'static str, Json)], case: &str) -> Vec<(&'static str, Recorded)> {
    let mut rows = Vec::new();
    for (ty, config) in all {
        let row =
            create_with_retries(instance, ty, config).await.unwrap_or_else(|error| panic!("{case}, {ty}: {error:?}"));
        let read = match instance.read(ty, &row).await {
            Err(error) => panic!("{case}, {ty}: {error:?}"),
            Ok(read) => read.unwrap_or_else(|| panic!("{case}, {ty} is missing")),
        };
        assert_eq!(read.attributes, row.attributes, "{case}, {ty}");
        rows.push((*ty, row));
    }
    rows
}

#[tokio::test]
async fn single_failure_of_any_request_is_survived() {
    let (clean, instance, all) = prepare().await;
    let rows = create_all(&instance, &all, "clean").await;
    let (calls, expected) = (clean.count(), clean.inventory());
    for (ty, row) in rows.iter().rev() {
        instance.delete(ty, row).await.unwrap();
    }
    let (with_removal, remaining) = (clean.count(), clean.inventory());
    assert!(calls > 15 && with_removal > calls + 8, "{calls} {with_removal}");
    let faults = [Fault::LostBefore, Fault::LostAfter, Fault::After504, Fault::Unavailable, Fault::Fails];
    let runs = (1..=with_removal).flat_map(|number| faults.map(|fault| (number, fault)));
    let (expected, remaining) = (&expected, &remaining);
    futures_util::stream::iter(runs)
        .for_each_concurrent(8, |(number, fault)| async move {
            let (azure, instance, all) = prepare().await;
            let case = format!("{fault:?} of {number}");
            azure.faults().by_number.insert(number, fault);
            let rows = create_all(&instance, &all, &case).await;
            assert_eq!(azure.inventory(), *expected, "{case}");
            for (ty, row) in rows.iter().rev() {
                // A repeated deletion must succeed.
                if instance.delete(ty, row).await.is_err() {
                    instance.delete(ty, row).await.unwrap_or_else(|error| panic!("{case}, {ty}: {error:?}"));
                }
            }
            assert_eq!(azure.inventory(), *remaining, "{case}");
            let writes = azure.take_writes();
            assert!(
                writes.iter().filter(|it| it.starts_with("PUT") && it.ends_with("/shop_0")).count() <= 3,
                "{writes:?}"
            );
        })
        .await;
}

#[tokio::test]
async fn throttling_of_every_api_is_waited_out() {
    let (azure, instance, all) = prepare().await;
    // One fault for each kind of request: tokens, management, roles, account.
    for text in ["/oauth2/", "GET /subscriptions", "PUT /subscriptions", "roleDefinitions", "roleAssignments"] {
        azure.faults().by_text.push((text.to_owned(), Fault::TooMany(Some(1))));
    }
    for text in ["GET /api/", "POST /api/", "PUT /api/", "operationStatuses", "GET /subscriptions", "GET /api/"] {
        azure.faults().by_text.push((text.to_owned(), Fault::TooMany(Some(1))));
    }
    let start = Instant::now();
    create_all(&instance, &all, "a storm").await;
    assert!(azure.faults().by_text.is_empty(), "{:?}", azure.faults().by_text);
    assert!(start.elapsed() >= Duration::from_secs(9), "{:?}", start.elapsed());
    let requests = azure.take_calls();
    for (index, refused) in requests.iter().enumerate().filter(|(_, it)| it.status == 429) {
        let again = requests[index + 1..].iter().find(|it| it.path == refused.path && it.method == refused.method);
        let again = again.unwrap_or_else(|| panic!("{} {} is not repeated", refused.method, refused.path));
        assert!(again.at - refused.at >= Duration::from_millis(990), "retry came too early: {refused:?}");
    }
    let refused = requests.iter().filter(|it| it.status == 429).count();
    assert_eq!(refused, 11);
}

/// Microsoft Graph throttles separately: concurrent lookups wait for its pauses.
#[tokio::test]
async fn throttling_of_graph_is_waited_out() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    for _ in 0..12 {
        azure.faults().by_text.push(("GET /v1.0/users".to_owned(), Fault::TooMany(Some(1))));
    }
    let _ = azure.take_calls();
    let jane = attributes(json!({"kind": "user", "name": "jane.roe@example.com"}));
    let lookups = (0..12).map(|_| instance.session.lookup("databricks_azure_principal", &jane));
    for found in futures_util::future::join_all(lookups).await {
        assert_eq!(found.unwrap()["objectId"], azure.object_id("jane.roe@example.com").into());
    }
    assert!(azure.faults().by_text.is_empty());
    let mut requests: Vec<_> = azure.take_calls().into_iter().filter(|it| it.path.starts_with("/v1.0/")).collect();
    requests.sort_by_key(|it| it.at);
    let at = |status: u16| requests.iter().filter(|it| it.status == status).map(|it| it.at).collect::<Vec<_>>();
    let (refused, answered) = (at(429), at(200));
    assert_eq!((refused.len(), answered.len()), (12, 12));
    for (refused, answered) in refused.into_iter().zip(answered) {
        assert!(answered.saturating_duration_since(refused) >= Duration::from_millis(990), "retry came too early");
    }
}

#[tokio::test]
async fn throttling_of_concurrent_creates_is_waited_out() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    for number in 1..=20 {
        azure.faults().by_number.insert(number, Fault::TooMany(Some(1)));
    }
    let names: Vec<String> = (0..6).map(|number| format!("shop_{number}")).collect();
    let creates = names.iter().map(|name| instance.create(WORKSPACE, workspace(name)));
    for done in futures_util::future::join_all(creates).await {
        done.unwrap();
    }
    assert_eq!(azure.inventory().len(), 6);
}

#[tokio::test]
async fn concurrent_calls_stay_within_the_limit() {
    let azure = Azure::start();
    let settings = settings_of(&azure, &json!({}), json!({}));
    let limits = Limits { concurrency: 3, ..Limits::default() };
    let instance = Instance::open(settings, limits).await;
    azure.faults().takes = Some(Duration::from_millis(5));
    let names: Vec<String> = (0..9).map(|number| format!("shop_{number}")).collect();
    let creates = names.iter().map(|name| instance.create(WORKSPACE, workspace(name)));
    for done in futures_util::future::join_all(creates).await {
        done.unwrap();
    }
    assert!((2..=3).contains(&azure.max_concurrent()), "{}", azure.max_concurrent());
    // Without a configured limit, requests to one host are still limited.
    let unlimited = instance_of(&azure, json!({}), json!({})).await;
    let name = attributes(json!({"name": "main"}));
    let lookups = (0..60).map(|_| unlimited.session.lookup("databricks_account_metastore", &name));
    for done in futures_util::future::join_all(lookups).await {
        done.unwrap();
    }
    assert!((4..=16).contains(&azure.max_concurrent()), "{}", azure.max_concurrent());
}
