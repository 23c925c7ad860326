//! What others made, by name.

use crate::conformance::prepared;
use crate::harness::{Instance, attributes};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, ProviderError, Value};

async fn ask(instance: &Instance, name: &str, arguments: Json) -> Result<Json, ProviderError> {
    let answer = instance.session.lookup(name, &attributes(arguments)).await?;
    Ok(Value::Map(answer).to_json())
}

#[tokio::test]
async fn names_lead_to_ids() {
    let (stand_in, kept) = prepared();
    let instance = Instance::of(&stand_in).await;
    let named = |name: &str| json!({"workspaceUrl": stand_in.url(), "name": name});
    for (lookup, name, field, value) in [
        ("databricks_sql_warehouse", "wh", "id", "abc123"),
        ("databricks_cluster", "Databricks-Cluster", "id", "0612-101010-cluster1"),
        ("databricks_group", "analysts", "name", "Analysts"),
        ("databricks_user", "jane.roe@example.com", "name", "jane.roe@example.com"),
        ("databricks_service_principal", "runner", "applicationId", "11111111-2222-4333-8444-555555555555"),
        ("databricks_job_id", "kept", "jobId", kept.as_str()),
    ] {
        let answer = ask(&instance, lookup, named(name)).await.unwrap();
        assert_eq!(answer[field], value, "{lookup}");
    }
    assert_eq!(ask(&instance, "databricks_job_id", named("nothing")).await.unwrap()["jobId"], Json::Null);
    assert_eq!(ask(&instance, "databricks_pipeline_id", named("nothing")).await.unwrap()["pipelineId"], Json::Null);
    // Of the instance's own workspace where none is said.
    assert_eq!(ask(&instance, "databricks_sql_warehouse", json!({"name": "WH"})).await.unwrap()["id"], "abc123");
}

#[tokio::test]
async fn names_that_nobody_has_or_several_have_are_told() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    stand_in.add_group("dev");
    stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "kept"}));
    let named = |name: &str| json!({"workspaceUrl": stand_in.url(), "name": name});
    for (lookup, name) in [
        ("databricks_group", "nobody"),
        ("databricks_user", "nobody"),
        ("databricks_cluster", "databricks-clustr"),
        ("databricks_sql_warehouse", "nothing"),
        ("databricks_service_principal", "nobody"),
    ] {
        let error = ask(&instance, lookup, named(name)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{lookup}: {error}");
    }
    let error = ask(&instance, "databricks_cluster", named("databricks-clustr")).await.unwrap_err();
    assert_eq!(error.solutions, ["did you mean `databricks-cluster`?"]);
    for (lookup, name) in [("databricks_group", "dev"), ("databricks_job_id", "kept")] {
        let error = ask(&instance, lookup, named(name)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("name".parse().unwrap()) }, "{lookup}: {error}");
        assert!(error.message.starts_with("there are 2"), "{error}");
    }
}

#[tokio::test]
async fn tables_tell_their_columns() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let table = |name: &str, optional: bool| json!({"workspaceUrl": stand_in.url(), "catalog": "main", "schema": "raw", "name": name, "optional": optional});
    let answer = ask(&instance, "databricks_table", table("Orders", false)).await.unwrap();
    assert_eq!(answer["exists"], true);
    assert_eq!(answer["columns"][2]["type"], "decimal(10,2)");
    assert_eq!((&answer["columns"][2]["precision"], &answer["columns"][2]["scale"]), (&json!(10), &json!(2)));
    assert_eq!(ask(&instance, "databricks_table", table("nothing", true)).await.unwrap()["exists"], false);
    let error = ask(&instance, "databricks_table", table("nothing", false)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_workspace_without_a_metastore_is_told() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let answer = ask(&instance, "databricks_metastore", json!({"workspaceUrl": stand_in.url()})).await.unwrap();
    assert_eq!(answer["metastoreId"], crate::conformance::METASTORE);
    stand_in.detach_metastore();
    let other = Instance::of(&stand_in).await;
    let error = ask(&other, "databricks_metastore", json!({"workspaceUrl": stand_in.url()})).await.unwrap_err();
    // Nothing is said of what was asked for: that it is not there is no answer.
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
}
