//! Lookups of existing objects by name.

use crate::conformance::prepared;
use crate::harness::{Instance, attributes};
use serde_json::{Value as Json, json};
use terrace_provider::{ErrorKind, ProviderError, Value};

async fn look_up(instance: &Instance, name: &str, arguments: Json) -> Result<Json, ProviderError> {
    let answer = instance.session.lookup(name, &attributes(arguments)).await?;
    Ok(Value::Map(answer).to_json())
}

#[tokio::test]
async fn lookups_return_ids_by_name() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let named = |name: &str| json!({"workspaceUrl": stand_in.url(), "name": name});
    for (lookup, name, field, value) in [
        ("databricks_sql_warehouse", "wh", "id", "abc123"),
        ("databricks_cluster", "Databricks-Cluster", "id", "0612-101010-cluster1"),
        ("databricks_group", "analysts", "name", "Analysts"),
        ("databricks_user", "jane.roe@example.com", "name", "jane.roe@example.com"),
        ("databricks_service_principal", "runner", "applicationId", "11111111-2222-4333-8444-555555555555"),
        ("databricks_job_id", "kept", "jobId", job_id.as_str()),
    ] {
        let answer = look_up(&instance, lookup, named(name)).await.unwrap();
        assert_eq!(answer[field], value, "{lookup}");
    }
    assert_eq!(look_up(&instance, "databricks_job_id", named("nothing")).await.unwrap()["jobId"], Json::Null);
    assert_eq!(look_up(&instance, "databricks_pipeline_id", named("nothing")).await.unwrap()["pipelineId"], Json::Null);
    // The workspace defaults to the instance's.
    assert_eq!(look_up(&instance, "databricks_sql_warehouse", json!({"name": "WH"})).await.unwrap()["id"], "abc123");
}

#[tokio::test]
async fn lists_return_all_objects_by_name() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    stand_in.add_warehouse("A small one", "STOPPED");
    for number in 0..120 {
        stand_in.add_table(&format!("main.lists.t{number:03}"), &[("id", "bigint")]);
    }
    let warehouses = look_up(&instance, "databricks_sql_warehouses", json!({})).await.unwrap();
    let named = |json: &Json| json.as_array().unwrap().iter().map(|it| it["name"].clone()).collect::<Vec<_>>();
    let first = &warehouses["warehouses"][0];
    assert_eq!((&first["name"], &first["state"]), (&json!("A small one"), &json!("STOPPED")));
    assert!(named(&warehouses["warehouses"]).contains(&json!("WH")));
    let clusters = look_up(&instance, "databricks_clusters", json!({"workspaceUrl": stand_in.url()})).await.unwrap();
    assert!(clusters["clusters"].as_array().unwrap().iter().any(|it| it["id"] == "0612-101010-cluster1"), "{clusters}");
    assert!(!named(&clusters["clusters"]).contains(&json!("job-1-run-1")), "{clusters}");
    // More than a page.
    let of = |schema: &str| json!({"catalog": "main", "schema": schema});
    let tables = look_up(&instance, "databricks_tables", of("lists")).await.unwrap();
    assert_eq!(tables["tables"].as_array().map(Vec::len), Some(120));
    let (id, name) = (&tables["tables"][119]["id"], &tables["tables"][119]["name"]);
    assert_eq!((id, name), (&json!("main.lists.t119"), &json!("t119")));
    let error = look_up(&instance, "databricks_tables", of("missing")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

#[tokio::test]
async fn missing_and_ambiguous_names_are_errors() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    stand_in.add_group("dev");
    stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "kept"}));
    let named = |name: &str| json!({"workspaceUrl": stand_in.url(), "name": name});
    for (lookup, name) in [
        ("databricks_group", "missing"),
        ("databricks_user", "missing"),
        ("databricks_cluster", "databricks-clustr"),
        ("databricks_sql_warehouse", "nothing"),
        ("databricks_service_principal", "missing"),
    ] {
        let error = look_up(&instance, lookup, named(name)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{lookup}: {error}");
    }
    let error = look_up(&instance, "databricks_cluster", named("databricks-clustr")).await.unwrap_err();
    assert_eq!(error.solutions, ["did you mean `databricks-cluster`?"]);
    for (lookup, name) in [("databricks_group", "dev"), ("databricks_job_id", "kept")] {
        let error = look_up(&instance, lookup, named(name)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("name".parse().unwrap()) }, "{lookup}: {error}");
        assert!(error.message.starts_with("there are 2"), "{error}");
    }
}

#[tokio::test]
async fn table_lookup_returns_columns() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let table = |name: &str, optional: bool| json!({"workspaceUrl": stand_in.url(), "catalog": "main", "schema": "raw", "name": name, "optional": optional});
    let answer = look_up(&instance, "databricks_table", table("Orders", false)).await.unwrap();
    assert_eq!(answer["exists"], true);
    assert_eq!(answer["fields"][2]["type"], "decimal(10,2)");
    assert_eq!((&answer["fields"][2]["precision"], &answer["fields"][2]["scale"]), (&json!(10), &json!(2)));
    assert_eq!(look_up(&instance, "databricks_table", table("nothing", true)).await.unwrap()["exists"], false);
    let error = look_up(&instance, "databricks_table", table("nothing", false)).await.unwrap_err();
    assert_eq!(
        (error.kind, error.solutions),
        (ErrorKind::NotFound, vec!["the schema `main.raw` has `orders`".to_owned()])
    );
    let mut advised = table("order", false);
    advised["advice"] = "run the job".into();
    let error = look_up(&instance, "databricks_table", advised.clone()).await.unwrap_err();
    assert_eq!(error.solutions, ["run the job; did you mean `orders`? The schema `main.raw` has `orders`"]);
    advised["schema"] = "nowhere".into();
    let error = look_up(&instance, "databricks_table", advised).await.unwrap_err();
    assert_eq!(error.solutions, ["run the job; the schema `main.nowhere` is missing or not visible"]);
}

#[tokio::test]
async fn table_lookup_returns_lengths_and_keys_and_refuses_views() {
    let (stand_in, _) = prepared();
    stand_in.add_table("main.raw.people", &[("code", "char(3)"), ("name", "varchar(20)"), ("note", "string")]);
    stand_in.add_primary_key("main.raw.people", &["code"]);
    stand_in.sql("CREATE VIEW main.raw.shown AS SELECT * FROM main.raw.people");
    let instance = Instance::of(&stand_in).await;
    let table = |name: &str| json!({"workspaceUrl": stand_in.url(), "catalog": "main", "schema": "raw", "name": name, "tableOnly": true});
    let answer = look_up(&instance, "databricks_table", table("people")).await.unwrap();
    let lengths: Vec<&Json> = answer["fields"].as_array().unwrap().iter().map(|it| &it["length"]).collect();
    assert_eq!(lengths, [&json!(3), &json!(20), &Json::Null]);
    assert_eq!(answer["fields"][0]["nullable"], false);
    assert_eq!(answer["primaryKey"], json!(["code"]));
    let error = look_up(&instance, "databricks_table", table("shown")).await.unwrap_err();
    assert_eq!(error.message, "`main.raw.shown` is a view, not a table");
}

#[tokio::test]
async fn workflow_lookup_returns_names_of_referenced_objects() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let pipeline =
        instance.create("databricks_pipeline", crate::conformance::pipeline(&stand_in, false)).await.unwrap();
    let notebook = json!({"notebook_path": "/Shared/n"});
    let tasks = json!([
        {"task_key": "a", "pipeline_task": {"pipeline_id": pipeline.text("pipelineId").unwrap()}},
        {"task_key": "b", "run_job_task": {"job_id": job_id.parse::<i64>().unwrap()}},
        {"task_key": "c", "notebook_task": {"notebook_path": "/Shared/n", "warehouse_id": "abc123"}},
        {"task_key": "d", "notebook_task": notebook, "existing_cluster_id": "0612-101010-cluster1"},
        {"task_key": "e", "notebook_task": notebook, "new_cluster": crate::conformance::task(1)["new_cluster"]},
    ]);
    let runner = json!({"service_principal_name": "11111111-2222-4333-8444-555555555555"});
    let settings = json!({"name": "steps", "tasks": tasks, "run_as": runner, "tags": {"terrace": "0"}});
    stand_in.call("POST", "/api/2.2/jobs/create", settings);
    let arguments = |run_as: Json| json!({"workspaceUrl": stand_in.url(), "name": "steps", "runAs": run_as});
    let answer = look_up(&instance, "databricks_workflow", arguments("Runner".into())).await.unwrap();
    let references: Vec<String> = answer["references"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let name = it["referencedTaskName"].as_str().or(it["referencedClusterName"].as_str()).unwrap();
            format!("{} {} {name}", it["taskKey"].as_str().unwrap(), it["referencedTaskType"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        references,
        ["a pipeline flow_1", "b job kept", "c notebook_warehouse WH", "d notebook_compute databricks-cluster"]
    );
    assert_eq!(answer["creatorUserName"], "admin@example.com");
    assert!(answer["settings"].get("tags").is_none(), "the settings must not contain our mark: {answer}");
    let error = look_up(&instance, "databricks_workflow", arguments("terrace".into())).await.unwrap_err();
    assert!(error.message.ends_with("instead of the service principal `terrace`"), "{error}");
    let missing = json!({"workspaceUrl": stand_in.url(), "name": "nothing"});
    assert_eq!(look_up(&instance, "databricks_workflow", missing).await.unwrap_err().kind, ErrorKind::NotFound);
    stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "steps"}));
    let error = look_up(&instance, "databricks_workflow", arguments(Json::Null)).await.unwrap_err();
    assert!(error.message.starts_with("there are 2 jobs `steps`"), "{error}");
}

#[tokio::test]
async fn lookup_reports_a_workspace_without_metastore() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let answer = look_up(&instance, "databricks_metastore", json!({"workspaceUrl": stand_in.url()})).await.unwrap();
    assert_eq!(answer["metastoreId"], crate::conformance::METASTORE);
    stand_in.detach_metastore();
    let other = Instance::of(&stand_in).await;
    let error = look_up(&other, "databricks_metastore", json!({"workspaceUrl": stand_in.url()})).await.unwrap_err();
    // A missing metastore is an error, not an absent object.
    assert_eq!(error.kind, ErrorKind::Failed, "{error}");
    let optional = json!({"workspaceUrl": stand_in.url(), "required": false});
    let answer = look_up(&other, "databricks_metastore", optional).await.unwrap();
    assert_eq!((&answer["metastoreId"], &answer["workspaceId"]), (&Json::Null, &Json::Null));
}
