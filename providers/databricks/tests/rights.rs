//! Missing rights are reported before they are needed; a refused operation names the statement that grants the right.

use crate::conformance::{METASTORE, grant, job, pipeline, prepared, view};
use crate::harness::Instance;
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, MissingRight, ProviderError};
use terrace_test_databricks::StandIn;

const ME: &str = "terrace@example.com";
const CATALOGS: &str = "GRANT CREATE CATALOG ON METASTORE TO `terrace@example.com`";

/// The missing rights that `doctor` reports, read without any write.
async fn missing(stand_in: &StandIn) -> Option<Vec<MissingRight>> {
    let instance = Instance::of(stand_in).await;
    let _ = stand_in.take_calls();
    let missing = instance.session.missing_rights().await.unwrap();
    assert_eq!(stand_in.take_writes(), [] as [&str; 0]);
    missing
}

fn metastore(stand_in: &StandIn, change: Json) {
    let path = format!("/api/2.1/unity-catalog/permissions/metastore/{METASTORE}");
    stand_in.call("PATCH", &path, json!({"changes": [change]}));
}

fn without_catalogs(stand_in: &StandIn) {
    metastore(stand_in, json!({"principal": ME, "remove": ["CREATE_CATALOG"]}));
}

#[tokio::test]
async fn missing_workspace_rights_are_reported() {
    let stand_in = StandIn::start();
    assert_eq!(missing(&stand_in).await, Some(Vec::new()));
    stand_in.set_entitlements(ME, &["workspace-access"]);
    without_catalogs(&stand_in);
    let rights = missing(&stand_in).await.unwrap();
    let [clusters, catalogs] = rights.as_slice() else { panic!("{rights:?}") };
    assert_eq!(clusters.operation, "create jobs and pipelines with their own clusters");
    assert!(clusters.statement.starts_with("databricks users patch "), "{clusters:?}");
    assert!(clusters.statement.contains("allow-cluster-create"), "{clusters:?}");
    assert_eq!((catalogs.operation.as_str(), catalogs.statement.as_str()), ("create catalogs", CATALOGS));
}

#[tokio::test]
async fn rights_from_groups_are_not_missing() {
    let bare = || {
        let stand_in = StandIn::start();
        stand_in.set_entitlements(ME, &[]);
        without_catalogs(&stand_in);
        stand_in
    };
    let stand_in = bare();
    stand_in.add_member("dev", ME);
    stand_in.set_entitlements("dev", &["allow-cluster-create"]);
    metastore(&stand_in, json!({"principal": "dev", "add": ["CREATE_CATALOG"]}));
    assert_eq!(missing(&stand_in).await, Some(Vec::new()));
    // Rights of the group of all users.
    let stand_in = bare();
    stand_in.set_entitlements("users", &["allow-cluster-create"]);
    metastore(&stand_in, json!({"principal": "account users", "add": ["CREATE_CATALOG"]}));
    assert_eq!(missing(&stand_in).await, Some(Vec::new()));
    // Another right does not help.
    let stand_in = bare();
    stand_in.set_entitlements(ME, &["allow-cluster-create"]);
    metastore(&stand_in, json!({"principal": ME, "add": ["CREATE_CONNECTION"]}));
    assert_eq!(missing(&stand_in).await.map(|it| it.len()), Some(1));
}

#[tokio::test]
async fn undeterminable_rights_are_not_reported() {
    let stand_in = StandIn::start();
    without_catalogs(&stand_in);
    stand_in.faults().denied.push("GET /api/2.1/unity-catalog/permissions/metastore".to_owned());
    assert_eq!(missing(&stand_in).await, None);
    // A group that the principal may not read.
    stand_in.faults().denied = vec!["GET /api/2.0/preview/scim/v2/Groups".to_owned()];
    metastore(&stand_in, json!({"principal": ME, "add": ["CREATE_CATALOG"]}));
    stand_in.set_entitlements(ME, &[]);
    assert_eq!(missing(&stand_in).await, None);
    // Without a metastore, no right on it is needed.
    stand_in.faults().denied.clear();
    stand_in.set_entitlements(ME, &["allow-cluster-create"]);
    stand_in.detach_metastore();
    assert_eq!(missing(&stand_in).await, Some(Vec::new()));
}

/// Asserts that a refused operation names the statement that grants the right.
#[track_caller]
fn assert_names_statement(error: &ProviderError, statement: &str) {
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    assert!(error.solutions.iter().any(|it| it.contains(statement)), "{statement}: {error:?}");
}

/// Has one check for each row of the table in the README.
#[tokio::test]
async fn permission_error_has_the_granting_statement() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let at = |more: Json| {
        let mut all = json!({"workspaceUrl": stand_in.url(), "metastoreId": METASTORE});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let in_workspace = |more: Json| {
        let mut all = at(more);
        all.as_object_mut().unwrap().remove("metastoreId");
        all
    };
    let made_job = instance.create("databricks_job", job(&stand_in, "made", 1)).await.unwrap();
    let made_pipeline = instance.create("databricks_pipeline", pipeline(&stand_in, false)).await.unwrap();
    let made_view = instance.create("databricks_view", view(&stand_in, json!([{"name": "id"}]))).await.unwrap();
    let made_schema =
        instance.create("databricks_schema", at(json!({"catalog": "main", "name": "made"}))).await.unwrap();
    let denied = |text: &str| stand_in.faults().denied = vec![text.to_owned()];

    // Own clusters: the server itself refuses them.
    stand_in.set_entitlements(ME, &[]);
    let error = instance.create("databricks_job", job(&stand_in, "other", 1)).await.unwrap_err();
    assert_names_statement(&error, "grant `terrace@example.com` the entitlement `allow-cluster-create`");
    stand_in.set_entitlements(ME, &["allow-cluster-create"]);
    denied("POST /api/2.0/pipelines");
    let mut other = pipeline(&stand_in, false);
    other["settings"]["name"] = "other".into();
    let error = instance.create("databricks_pipeline", other).await.unwrap_err();
    assert_names_statement(&error, "grant `terrace@example.com` the entitlement `allow-cluster-create`");

    // Changes of jobs and pipelines, and permissions on them.
    denied("POST /api/2.2/jobs/reset");
    let error = instance.update("databricks_job", &made_job, job(&stand_in, "made", 2)).await.unwrap_err();
    let id = made_job.text("jobId").unwrap();
    assert_names_statement(&error, &format!("grant CAN_MANAGE on the job {id}, or IS_OWNER"));
    denied("POST /api/2.2/jobs/delete");
    let error = instance.delete("databricks_job", &made_job).await.unwrap_err();
    assert_names_statement(&error, &format!("grant CAN_MANAGE on the job {id}, or IS_OWNER"));
    denied("PUT /api/2.0/pipelines");
    let error = instance.update("databricks_pipeline", &made_pipeline, pipeline(&stand_in, true)).await.unwrap_err();
    let id = made_pipeline.text("pipelineId").unwrap();
    assert_names_statement(&error, &format!("grant CAN_MANAGE on the pipeline {id}, or IS_OWNER"));
    denied("DELETE /api/2.0/pipelines");
    let error = instance.delete("databricks_pipeline", &made_pipeline).await.unwrap_err();
    assert_names_statement(&error, &format!("grant CAN_MANAGE on the pipeline {id}, or IS_OWNER"));
    denied("PATCH /api/2.0/permissions");
    let permission = in_workspace(json!({
        "objectType": "jobs", "objectId": job_id, "principalKind": "group", "principal": "dev", "level": "CAN_VIEW",
    }));
    let error = instance.create("databricks_permission", permission).await.unwrap_err();
    assert_names_statement(&error, &format!("grant CAN_MANAGE on jobs/{job_id}, or IS_OWNER"));

    // Folders and repositories.
    denied("POST /api/2.0/workspace/mkdirs");
    let error = instance.create("databricks_directory", in_workspace(json!({"path": "/x"}))).await.unwrap_err();
    assert_names_statement(&error, "grant CAN_MANAGE on the parent folder of `/x`");
    denied("POST /api/2.0/repos");
    let repo = in_workspace(json!({"path": "/Shared/r", "url": "https://gitlab.com/a/b.git", "gitProvider": "gitLab"}));
    let error = instance.create("databricks_repo", repo).await.unwrap_err();
    assert_names_statement(&error, "grant CAN_MANAGE on the parent folder of `/Shared/r`");

    // Unity Catalog.
    stand_in.faults().denied.clear();
    without_catalogs(&stand_in);
    let error = instance.create("databricks_catalog", at(json!({"name": "c"}))).await.unwrap_err();
    assert_names_statement(&error, CATALOGS);
    denied("POST /api/2.1/unity-catalog/schemas");
    let error = instance.create("databricks_schema", at(json!({"catalog": "main", "name": "c"}))).await.unwrap_err();
    assert_names_statement(&error, "GRANT CREATE SCHEMA ON CATALOG `main` TO `terrace@example.com`");
    denied("PATCH /api/2.1/unity-catalog/schemas");
    let changed = at(json!({"catalog": "main", "name": "made", "comment": "new"}));
    let error = instance.update("databricks_schema", &made_schema, changed).await.unwrap_err();
    assert_names_statement(&error, "GRANT MANAGE ON SCHEMA `main`.`made` TO `terrace@example.com`");
    denied("PATCH /api/2.1/unity-catalog/permissions");
    let error = instance.create("databricks_grant", grant(&stand_in, "dev", json!(["SELECT"]))).await.unwrap_err();
    assert_names_statement(&error, "GRANT MANAGE ON TABLE `main`.`raw`.`orders` TO `terrace@example.com`");

    // Views: the statement, and the warehouse that runs it.
    stand_in.faults().denied.clear();
    stand_in.deny_sql("VIEW");
    let mut other = view(&stand_in, json!([{"name": "id"}]));
    other["name"] = "other".into();
    let error = instance.create("databricks_view", other.clone()).await.unwrap_err();
    assert_names_statement(&error, "GRANT USE SCHEMA, CREATE TABLE ON SCHEMA `main`.`out` TO `terrace@example.com`");
    assert_names_statement(&error, "SELECT ON TABLE `main`.`raw`.`orders`");
    let changed = view(&stand_in, json!([{"name": "price"}]));
    let error = instance.update("databricks_view", &made_view, changed).await.unwrap_err();
    assert_names_statement(&error, "GRANT MANAGE ON VIEW `main`.`out`.`orders_view` TO `terrace@example.com`");
    denied("POST /api/2.0/sql/statements");
    let error = instance.create("databricks_view", other).await.unwrap_err();
    assert_names_statement(&error, "grant CAN_USE on the SQL warehouse `abc123` to `terrace@example.com`");

    // Running as another principal.
    stand_in.faults().denied.clear();
    stand_in.deny_run_as("11111111-2222-4333-8444-555555555555");
    let mut runs_as = job(&stand_in, "runs", 1);
    runs_as["settings"]["run_as"] = json!({"service_principal_name": "11111111-2222-4333-8444-555555555555"});
    let error = instance.create("databricks_job", runs_as).await.unwrap_err();
    assert_names_statement(&error, "the role `servicePrincipal.user` on `11111111-2222-4333-8444-555555555555`");
}
