use crate::harness::{attributes, provider, settings};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::Recorded;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_test_databricks::{Fault, StandIn};

pub(crate) const METASTORE: &str = "0aa0aa00-0000-4000-8000-00000000a0a0";

/// A request outside terrace: method, path, body. `{…}` stands for an attribute of the object.
type ExternalRequest = (&'static str, &'static str, Json);

fn call(stand_in: &StandIn, (method, path, body): &ExternalRequest, recorded: &Recorded) -> Result<Json, String> {
    let mut path = (*path).to_owned();
    let mut body = body.to_string();
    for (name, value) in &recorded.attributes {
        let Some(text) = value.as_str() else { continue };
        path = path.replace(&format!("{{{name}}}"), text);
        // Ids are numbers in some bodies.
        body = body.replace(
            &format!("\"{{{name}}}\""),
            &text.parse::<i64>().map_or_else(|_| format!("{text:?}"), |it| it.to_string()),
        );
    }
    stand_in.try_call(method, &path, serde_json::from_str(&body).unwrap())
}

fn with(
    stand_in: &Arc<StandIn>,
    fixture: Fixture,
    tamper: Option<ExternalRequest>,
    remove: ExternalRequest,
) -> Fixture {
    let fixture = match tamper {
        Some(tamper) => {
            let stand_in = Arc::clone(stand_in);
            fixture.tamper(move |recorded| {
                call(&stand_in, &tamper, &recorded).unwrap();
                async {}
            })
        }
        None => fixture,
    };
    let stand_in = Arc::clone(stand_in);
    fixture.remove(move |recorded| {
        // The path may have another object or none.
        let _ = call(&stand_in, &remove, &recorded);
        async {}
    })
}

pub(crate) fn task(workers: i64) -> Json {
    json!({
        "task_key": "main", "notebook_task": {"notebook_path": "/Shared/main"},
        "new_cluster": {"spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_D4ds_v5", "num_workers": workers},
    })
}

pub(crate) fn job(stand_in: &StandIn, name: &str, workers: i64) -> Json {
    json!({"workspaceUrl": stand_in.url(), "settings": {"name": name, "tasks": [task(workers)], "tags": {"team": "a"}}})
}

pub(crate) fn pipeline(stand_in: &StandIn, photon: bool) -> Json {
    json!({
        "workspaceUrl": stand_in.url(),
        "settings": {
            "name": "flow_1", "libraries": [{"notebook": {"path": "/Shared/dlt"}}], "edition": "advanced", "photon": photon,
            "clusters": [{"num_workers": 2, "node_type_id": "Standard_D4ds_v5"}], "catalog": "main", "target": "raw",
        },
    })
}

pub(crate) fn view(stand_in: &StandIn, columns: Json) -> Json {
    json!({
        "workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "catalog": "main", "schema": "out", "name": "Orders_View",
        "source": {"catalog": "main", "schema": "raw", "name": "orders"}, "columns": columns, "comment": "it's shown",
        "warehouse": "abc123",
    })
}

pub(crate) fn grant(stand_in: &StandIn, principal: &str, privileges: Json) -> Json {
    json!({
        "workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "securableType": "table", "fullName": "main.raw.orders",
        "principal": principal, "privileges": privileges,
    })
}

/// A single privilege on the schema `main.raw`.
pub(crate) fn privilege(stand_in: &StandIn, name: &str, takes: bool) -> Json {
    json!({
        "workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "securableType": "schema", "fullName": "main.raw",
        "principal": "dev", "privilege": name, "takeExisting": takes,
    })
}

fn at(stand_in: &StandIn, more: Json) -> Json {
    let mut all = json!({"workspaceUrl": stand_in.url()});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn create(ty: &'static str, config: Json) -> Fixture {
    Fixture::new(ty, "made", attributes(config))
}

fn workspace_fixtures(stand_in: &Arc<StandIn>, job_id: &str) -> Vec<Fixture> {
    let s = |more: Json| attributes(at(stand_in, more));
    let credential = json!({"gitProvider": "gitLab", "gitUsername": "bot", "token": "glpat"});
    let repo = |branch: &str, url: &str| json!({"path": "/Workspace/Shared/orders", "url": url, "gitProvider": "gitLab", "branch": branch});
    let permission = |principal: &str, level: &str| json!({"objectType": "jobs", "objectId": job_id, "principalKind": "group", "principal": principal, "level": level});
    let acl = json!({"access_control_list": [{"group_name": "dev", "permission_level": "CAN_MANAGE"}]});
    let owner = json!({"access_control_list": [{"user_name": "admin@example.com", "permission_level": "IS_OWNER"}]});
    let filler = Arc::clone(stand_in);
    let directory = create("databricks_directory", at(stand_in, json!({"path": "/Workspace/shop/area"})))
        .replace(s(json!({"path": "/Workspace/shop/other"})))
        // Parent folders are kept, which the suite does not expect.
        .verbatim(&["path"])
        .fill(move |_| {
            filler.call("POST", "/api/2.0/workspace/mkdirs", json!({"path": "/shop/area/inner"}));
            async {}
        });
    vec![
        with(
            stand_in,
            create("databricks_git_credential", at(stand_in, credential))
                .update(s(json!({"gitProvider": "gitLab", "gitUsername": "other", "token": "glpat"})))
                .replace(s(json!({"gitProvider": "gitHub", "gitUsername": "bot", "token": "glpat"}))),
            Some(("PATCH", "/api/2.0/git-credentials/{credentialId}", json!({"git_provider": "gitLab", "git_username": "x"}))),
            ("DELETE", "/api/2.0/git-credentials/{credentialId}", Json::Null),
        ),
        with(stand_in, directory, None, ("POST", "/api/2.0/workspace/delete", json!({"path": "{path}", "recursive": true}))),
        with(
            stand_in,
            create("databricks_repo", at(stand_in, repo("develop", "https://gitlab.com/a/b.git")))
                .update(s(json!({"path": "/Workspace/Shared/orders", "url": "https://gitlab.com/a/b.git", "gitProvider": "gitLab", "tag": "v1"})))
                .replace(s(repo("develop", "https://gitlab.com/a/other.git"))),
            Some(("PATCH", "/api/2.0/repos/{repoId}", json!({"branch": "x"}))),
            ("DELETE", "/api/2.0/repos/{repoId}", Json::Null),
        ),
        with(
            stand_in,
            create("databricks_job", job(stand_in, "orders_1", 2)).update(attributes(job(stand_in, "orders_2", 4))),
            Some(("POST", "/api/2.2/jobs/update", json!({"job_id": "{jobId}", "new_settings": {"tags": {"team": "b"}}}))),
            ("POST", "/api/2.2/jobs/delete", json!({"job_id": "{jobId}"})),
        ),
        with(
            stand_in,
            create("databricks_pipeline", pipeline(stand_in, false)).update(attributes(pipeline(stand_in, true))),
            Some((
                "PUT",
                "/api/2.0/pipelines/{pipelineId}",
                json!({"name": "flow_1", "libraries": [{"notebook": {"path": "/Shared/dlt"}}], "catalog": "main", "photon": true}),
            )),
            ("DELETE", "/api/2.0/pipelines/{pipelineId}", Json::Null),
        ),
        with(
            stand_in,
            create("databricks_permission", at(stand_in, permission("dev", "CAN_VIEW")))
                .update(s(permission("dev", "CAN_MANAGE_RUN")))
                .replace(s(permission("Analysts", "CAN_VIEW"))),
            Some(("PATCH", "/api/2.0/permissions/jobs/{objectId}", acl)),
            ("PUT", "/api/2.0/permissions/jobs/{objectId}", owner),
        ),
    ]
}

fn catalog_fixtures(stand_in: &Arc<StandIn>) -> Vec<Fixture> {
    let catalog = |name: &str, comment: &str| {
        let properties = json!({"team": comment});
        attributes(at(
            stand_in,
            json!({"metastoreId": METASTORE, "name": name, "comment": comment, "properties": properties}),
        ))
    };
    let schema = |name: &str, comment: &str| {
        attributes(at(stand_in, json!({"metastoreId": METASTORE, "catalog": "main", "name": name, "comment": comment})))
    };
    let (filler, other) = (Arc::clone(stand_in), Arc::clone(stand_in));
    let schema_fixture = Fixture::new("databricks_schema", "made", schema("sales", "x"))
        .update(schema("sales", "it's y"))
        .replace(schema("other", "x"))
        .fill(move |_| {
            filler.add_table("main.sales.t", &[("id", "int")]);
            async {}
        });
    let catalog_fixture = Fixture::new("databricks_catalog", "made", catalog("Shop", "x"))
        .update(catalog("Shop", "y"))
        .replace(catalog("shop_2", "x"))
        .fill(move |_| {
            other.add_table("shop.s.t", &[("id", "int")]);
            async {}
        });
    let columns = json!([{"name": "id", "comment": "its `number`"}, {"name": "Name"}]);
    let mut renamed = view(stand_in, columns.clone());
    renamed["name"] = "other_view".into();
    let revoke = json!({"changes": [{"principal": "dev", "remove": ["SELECT", "MODIFY", "APPLY_TAG"]}]});
    let view_fixture = create("databricks_view", view(stand_in, columns))
        .update(attributes(view(stand_in, json!([{"name": "id", "comment": "another"}]))))
        .replace(attributes(renamed));
    let (tamperer, remover) = (Arc::clone(stand_in), Arc::clone(stand_in));
    vec![
        with(
            stand_in,
            catalog_fixture,
            Some(("PATCH", "/api/2.1/unity-catalog/catalogs/{fullName}", json!({"comment": "tampered"}))),
            ("DELETE", "/api/2.1/unity-catalog/catalogs/{fullName}?force=true", Json::Null),
        ),
        with(
            stand_in,
            schema_fixture,
            Some(("PATCH", "/api/2.1/unity-catalog/schemas/{fullName}", json!({"comment": "tampered"}))),
            ("DELETE", "/api/2.1/unity-catalog/schemas/{fullName}?force=true", Json::Null),
        ),
        view_fixture
            .tamper(move |_| {
                tamperer.sql("ALTER VIEW main.out.orders_view AS SELECT Name FROM main.raw.orders");
                async {}
            })
            .remove(move |recorded| {
                let name: Vec<String> =
                    recorded.text("fullName").unwrap().split('.').map(|part| format!("`{part}`")).collect();
                remover.sql(&format!("DROP VIEW IF EXISTS {}", name.join(".")));
                async {}
            }),
        with(
            stand_in,
            create("databricks_grant", grant(stand_in, "dev", json!(["SELECT"])))
                .update(attributes(grant(stand_in, "dev", json!(["SELECT", "MODIFY"]))))
                .replace(attributes(grant(stand_in, "Analysts", json!(["SELECT"]))))
                .spelled("/privileges", [json!(["SELECT", "MODIFY"]), json!(["MODIFY", "SELECT", "MODIFY"])]),
            Some((
                "PATCH",
                "/api/2.1/unity-catalog/permissions/table/main.raw.orders",
                json!({"changes": [{"principal": "dev", "add": ["APPLY_TAG"]}]}),
            )),
            ("PATCH", "/api/2.1/unity-catalog/permissions/table/main.raw.orders", revoke),
        ),
        with(
            stand_in,
            create("databricks_privilege", privilege(stand_in, "CREATE_TABLE", false))
                .update(attributes(privilege(stand_in, "CREATE_TABLE", true)))
                .replace(attributes(privilege(stand_in, "CREATE_FUNCTION", false))),
            None,
            (
                "PATCH",
                "/api/2.1/unity-catalog/permissions/schema/main.raw",
                json!({"changes": [{"principal": "dev", "remove": ["CREATE_TABLE"]}]}),
            ),
        ),
    ]
}

/// A stand-in with a table, a schema for views, and a job created outside terrace.
pub(crate) fn prepared() -> (Arc<StandIn>, String) {
    let stand_in = StandIn::start();
    stand_in.add_table("main.raw.orders", &[("id", "int"), ("Name", "string"), ("price", "decimal(10,2)")]);
    stand_in.add_table("main.out.keep", &[("id", "int")]);
    let job = stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "kept"}));
    (Arc::new(stand_in), job["job_id"].to_string())
}

#[tokio::test]
async fn provider_passes_the_conformance_suite() {
    let (stand_in, job_id) = prepared();
    // Deletions keep parent folders: create this one before the inventory.
    stand_in.call("POST", "/api/2.0/workspace/mkdirs", json!({"path": "/shop"}));
    let before = stand_in.inventory();
    let provider = provider();
    let mut suite = Suite::new(&provider, settings(&stand_in, json!({})));
    for fixture in workspace_fixtures(&stand_in, &job_id).into_iter().chain(catalog_fixtures(&stand_in)) {
        suite = suite.fixture(fixture);
    }
    let report = suite.all_types_at_once().run().await;
    // The Azure types have their fixtures in `azure.rs`.
    let missing: Vec<String> =
        report.failures().iter().filter_map(|it| Some(it.split_once(" (schema)")?.0.to_owned())).collect();
    let around = ["workspace", "metastore_assignment", "workspace_assignment", "azure_role_assignment"];
    assert_eq!(missing, around.map(|it| format!("databricks_{it}")), "{report}");
    assert_eq!(report.failures().len(), missing.len(), "{report}");
    assert!(report.shown() > 100, "{report}");
    assert_eq!(stand_in.inventory(), before, "the suite must clean up");
}

/// Runs the suite with delayed visibility, throttling, and polled statements.
#[tokio::test]
async fn conformance_suite_passes_with_slow_answers() {
    let (stand_in, job_id) = prepared();
    stand_in.call("POST", "/api/2.0/workspace/mkdirs", json!({"path": "/shop"}));
    stand_in.faults().lag = 1;
    stand_in.faults().statement_polls = 1;
    for number in (1..3000).step_by(9) {
        stand_in.faults().by_number.insert(number, Fault::TooMany(None));
    }
    let provider = provider();
    let mut suite = Suite::new(&provider, settings(&stand_in, json!({})));
    let fixtures = workspace_fixtures(&stand_in, &job_id).into_iter().skip(3).take(1);
    for fixture in fixtures.chain(catalog_fixtures(&stand_in).into_iter().skip(2)) {
        suite = suite.fixture(fixture);
    }
    let report = suite.all_types_at_once().run().await;
    // Other types have no fixtures here.
    let failed: Vec<String> =
        report.failures().into_iter().filter(|line| !line.contains("every type has a fixture")).collect();
    assert!(report.shown() > 25 && failed.is_empty(), "{report}");
}
