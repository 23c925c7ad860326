//! Adoption of an earlier provisioner's objects: its calls run first, then terrace plans.

use super::{PRODUCT, World};
use serde_json::{Value as Json, json};

/// Makes that provisioner's calls for a job, a pipeline and an output port, in its order:
/// <https://github.com/agile-lab-dev/witboost-databricks-python-tech-adapter>. It checks out no branch and comments no
/// view.
fn replay(world: &World) {
    let call = |method: &str, path: &str, body: Json| world.stand_in.call_as("terrace@example.com", method, path, body);
    call(
        "POST",
        "/api/2.0/git-credentials",
        json!({"git_provider": "gitLab", "git_username": "bot", "personal_access_token": "x"}),
    );
    call("POST", "/api/2.0/workspace/mkdirs", json!({"path": "/shop_0"}));
    for name in ["nightly", "flow"] {
        let url = format!("https://gitlab.com/sales/{name}.git");
        let repo = call(
            "POST",
            "/api/2.0/repos",
            json!({"url": url, "provider": "gitLab", "path": format!("/shop_0/{name}")}),
        );
        let acl = json!([
            {"user_name": "jane.roe@example.com", "permission_level": "CAN_MANAGE"},
            {"group_name": "dev", "permission_level": "CAN_EDIT"},
        ]);
        call("PUT", &format!("/api/2.0/permissions/repos/{}", repo["id"]), json!({"access_control_list": acl}));
    }
    let job = call(
        "POST",
        "/api/2.2/jobs/create",
        json!({
            "name": "sales_shop_0_nightly_prod", "description": "",
            "run_as": {"service_principal_name": "11111111-2222-4333-8444-555555555555"},
            "parameters": [{"name": "MODE", "default": "fast"}],
            "git_source": {"git_url": "https://gitlab.com/sales/nightly.git", "git_provider": "gitLab", "git_branch": "main"},
            "schedule": {"quartz_cron_expression": "0 0 6 * * ?", "timezone_id": "Europe/Rome"},
            "tasks": [{
                "task_key": "Task1", "description": "",
                "notebook_task": {"notebook_path": "notebooks/main", "source": "GIT", "base_parameters": {}},
                "new_cluster": {
                    "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_D4ds_v5", "num_workers": 2,
                    "azure_attributes": {"availability": "SPOT_AZURE", "spot_bid_max_price": 1.5},
                    "spark_conf": {"spark.a": "1", "spark.b": "two"}, "spark_env_vars": {"MODE": "fast"},
                    "data_security_mode": "SINGLE_USER",
                },
            }],
        }),
    );
    let acl = json!([
        {"user_name": "jane.roe@example.com", "permission_level": "CAN_MANAGE"},
        {"group_name": "dev", "permission_level": "CAN_MANAGE_RUN"},
    ]);
    call("PATCH", &format!("/api/2.0/permissions/jobs/{}", job["job_id"]), json!({"access_control_list": acl}));
    call(
        "POST",
        "/api/2.0/pipelines",
        json!({
            "name": "sales_shop_0_flow_prod", "edition": "advanced", "continuous": false, "catalog": "main", "target": "raw",
            "libraries": [{"notebook": {"path": "/Workspace/shop_0/flow/main"}}],
            "clusters": [{
                "custom_tags": {"team": "a"}, "driver_node_type_id": "Standard_D4ds_v5", "node_type_id": "Standard_D4ds_v5",
                "spark_conf": {"spark.app.name": "test"}, "autoscale": {"min_workers": 1, "max_workers": 3, "mode": "ENHANCED"},
            }],
            "photon": true, "channel": "PREVIEW", "configuration": {"E": "v"},
            "notifications": [{"email_recipients": ["a@example.com"], "alerts": ["on-update-success"]}],
        }),
    );
    call("POST", "/api/2.1/unity-catalog/catalogs", json!({"name": "Sales"}));
    call("POST", "/api/2.1/unity-catalog/schemas", json!({"name": "shop_0", "catalog_name": "Sales"}));
    world.stand_in.sql(
        "CREATE OR REPLACE VIEW `Sales`.`shop_0`.`orders_view` AS SELECT `id`,`price` FROM `main`.`raw`.`orders`;",
    );
    world.stand_in.sql(r"COMMENT ON COLUMN `Sales`.`shop_0`.`orders_view`.`id` IS 'it\'s the \\ number'");
    for principal in ["jane.roe@example.com", "dev"] {
        for (path, privilege) in [
            ("table/Sales.shop_0.orders_view", "SELECT"),
            ("catalog/Sales", "USE_CATALOG"),
            ("schema/Sales.shop_0", "USE_SCHEMA"),
        ] {
            let change = json!({"changes": [{"principal": principal, "add": [privilege]}]});
            call("PATCH", &format!("/api/2.1/unity-catalog/permissions/{path}"), change);
        }
    }
}

#[test]
fn existing_objects_are_adopted_without_a_change() {
    let world = World::with(
        "repo: {owner: CAN_MANAGE, developers: CAN_EDIT}, job: {owner: CAN_MANAGE, developers: CAN_MANAGE_RUN}, \
         outputPort: {owner: [SELECT], developers: [SELECT]}",
    );
    // The default branch; the view has no comment.
    world.project.edit(PRODUCT, "gitReference: develop", "gitReference: main");
    world.project.edit(PRODUCT, "      description: Orders for everybody\n", "");
    replay(&world);
    let before = world.stand_in.inventory();
    let chosen = ["-c", "nightly", "-c", "flow", "-c", "port"];
    let words = |command: &'static str| [command, PRODUCT].into_iter().chain(chosen);
    world.run(words("plan")).done().prints("0 to add, 0 to change, 0 to destroy").prints("adopted");
    let _ = world.stand_in.take_calls();
    world.run(words("apply").chain(["--auto-approve"])).done();
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0], "nothing was written");
    assert_eq!(world.stand_in.inventory(), before);
    assert_eq!(world.run(words("plan").chain(["--detailed-exitcode"])).code, 0);
    // Earlier grants stay when the port is destroyed.
    world.run(["destroy", PRODUCT, "-c", "port", "--auto-approve"]).done();
    let writes = world.stand_in.take_writes();
    assert!(!writes.iter().any(|it| it.contains("/permissions/")), "{writes:?}");
}

/// The token of an adopted credential counts as the environment's: a changed one is noticed.
#[test]
fn changed_git_token_is_noticed_after_an_adoption() {
    let world = World::new();
    replay(&world);
    let with = |token: &str, words: &[&str]| {
        let variables = [("DATABRICKS_TOKEN", "secret"), ("GIT_TOKEN", token)];
        world.project.run_with(&variables, words.iter().copied())
    };
    let chosen = ["-c", "nightly"];
    let plan = ["plan", PRODUCT, "--detailed-exitcode", "-c", "nightly"];
    world.run(["apply", PRODUCT, "--auto-approve"].into_iter().chain(chosen)).done();
    with("glpat-s3cr3t", &plan).with_code(0);
    with("glpat-r0tated", &plan).with_code(2).prints("1 to change").prints("tokenSent");
    let _ = world.stand_in.take_calls();
    with("glpat-r0tated", &["apply", PRODUCT, "--auto-approve", "-c", "nightly"]).done().prints("1 changed");
    let sent = world.stand_in.take_calls().into_iter().filter(|it| it.is_write());
    let sent: Vec<Json> = sent.map(|it| it.body["personal_access_token"].clone()).collect();
    assert_eq!(sent, ["glpat-r0tated"]);
    with("glpat-r0tated", &plan).with_code(0);
}

/// Keys of shared catalogs, schemas and grants: formerly the workspace's URL, now its metastore.
#[test]
fn rows_keyed_by_workspace_can_be_moved_to_the_metastore() {
    let world = World::new();
    let blueprint = include_str!("../../../../providers/databricks/blueprints/databricks-outputport.yaml");
    let by_metastore = "${{ locals.isManaged ? data.account_metastore.metastoreId : data.metastore.metastoreId }} ";
    let older = blueprint.replace(&format!("shared: \"{by_metastore}"), "shared: \"${{ locals.workspace }} ");
    assert_ne!(older, blueprint);
    let schema = include_str!("../../../../providers/databricks/blueprints/specific/databricks-outputport.json");
    world.project.write("blueprints/databricks-outputport.yaml", older);
    world.project.write("blueprints/specific/databricks-outputport.json", schema);
    let first = world.stand_in.inventory();
    world.apply().done();
    world.run(["acl", "set", PRODUCT, "port", "group:Analysts", "--auto-approve"]).done();
    let before = world.stand_in.inventory();
    std::fs::remove_dir_all(world.project.path("blueprints")).unwrap();
    // Each error has the command that moves the row.
    let plan = world.run(["plan", PRODUCT]).with_code(1);
    plan.prints("if it is the same resource, move it first:").prints("`terrace state mv");
    let listed = world.run(["state", "list"]).done().stdout;
    let rows: Vec<&str> = listed.lines().filter(|line| line.starts_with("shared/databricks_")).collect();
    let of_metastore = |row: &&&str| ["catalog[", "schema[", "privilege["].iter().any(|ty| row.contains(ty));
    let of_metastore = |row: &&&str| of_metastore(row) && row.contains(world.stand_in.url());
    let moved: Vec<&str> = rows.iter().filter(of_metastore).copied().collect();
    assert!(moved.len() > 4, "{listed}");
    let metastore = world.stand_in.call("GET", "/api/2.1/unity-catalog/current-metastore-assignment", Json::Null);
    let metastore = metastore["metastore_id"].as_str().unwrap();
    for row in moved {
        let to = row.replace(world.stand_in.url(), metastore);
        assert_ne!(to, row);
        world.run(["state", "mv", row, &to]).done();
    }
    let _ = world.stand_in.take_calls();
    world.assert_settled();
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0], "nothing was written");
    assert_eq!(world.stand_in.inventory(), before);
    world.run(["destroy", PRODUCT, "--auto-approve"]).done();
    let left = world.stand_in.inventory().into_iter().filter(|line| line.starts_with("grant "));
    let left: Vec<String> = left.filter(|line| !first.contains(line)).collect();
    assert_eq!(left, [] as [&str; 0], "grants are revoked");
}
