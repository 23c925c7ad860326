//! A product with every kind of Databricks component, with the built-in blueprints on the stand-in, from the first
//! plan to its destruction.

mod adapters; // defaults of the adapters
mod moving; // objects of an earlier provisioner are adopted without a write
mod named; // omitted names, and names that differ from the rule
mod ports; // sources of a port: existing and missing tables, views of the same plan, inherited columns
mod removed; // unmanaged objects, removed by name
mod served; // components by name, each through all calls of a coordinator
mod wrong; // refused credentials, missing objects

use serde_json::{Value as Json, json};
use terrace_test_databricks::StandIn;
use terrace_tests::{Project, Ran};

const PRODUCT: &str = "data-product.yaml";

/// A project with the product, and its workspace.
struct World {
    stand_in: StandIn,
    project: Project,
}

impl World {
    /// A world with these blueprint settings.
    fn with(settings: &str) -> Self {
        let stand_in = StandIn::start();
        stand_in.add_table("main.raw.orders", &[("id", "int"), ("price", "decimal(10,2)"), ("name", "string")]);
        let (project, url) = (Project::new(), stand_in.url());
        project.write(PRODUCT, include_str!("databricks/product.yaml").replace("@URL@", url));
        project.write(
            "terrace.yaml",
            format!(
                "environments:\n  prod:\n    settings: {{databricks: {{workspaces: {{shop: '{url}'}}, {settings}}}}}\n    providers:\n      \
                 databricks: {{host: '{url}', git: {{username: bot, token: {{secret: \"${{{{ env.GIT_TOKEN }}}}\"}}}}}}\n"
            ),
        );
        Self { stand_in, project }
    }

    fn new() -> Self {
        Self::with(
            "repo: {owner: CAN_MANAGE, developers: CAN_EDIT}, job: {owner: CAN_MANAGE, developers: CAN_MANAGE_RUN}, \
             pipeline: {developers: CAN_RUN}, catalog: {owner: [CREATE_SCHEMA]}, outputPort: {owner: [SELECT]}",
        )
    }

    fn run<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        self.project.run_with(&[("DATABRICKS_TOKEN", "secret"), ("GIT_TOKEN", "glpat-s3cr3t")], words)
    }

    fn apply(&self) -> Ran {
        self.run(["apply", PRODUCT, "--auto-approve"])
    }

    /// Checks that the second plan is empty.
    #[track_caller]
    fn assert_settled(&self) {
        let plan = self.run(["plan", PRODUCT, "--detailed-exitcode"]);
        assert_eq!(plan.code, 0, "the second plan has changes:\n{plan}");
    }

    /// The principals that may read the view.
    fn readers(&self) -> Vec<String> {
        let grants = self.stand_in.inventory().into_iter();
        let of_view = grants.filter_map(|line| {
            Some(line.strip_prefix("grant SELECT on table sales.shop_0.orders_view to ")?.to_owned())
        });
        of_view.collect()
    }

    fn job(&self, name: &str) -> Json {
        let found = self.stand_in.call("GET", &format!("/api/2.2/jobs/list?name={name}&expand_tasks=true"), Json::Null);
        found["jobs"][0].clone()
    }
}

#[test]
fn product_is_created_changed_corrected_and_destroyed() {
    let world = World::new();
    let before = world.stand_in.inventory();
    world.run(["validate", PRODUCT]).done();
    world.run(["plan", PRODUCT]).done().prints("to add");
    assert_eq!(world.stand_in.inventory(), before, "planning changed something");
    world.apply().done();
    let made: Vec<String> = world.stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    insta::assert_snapshot!("made", made.join("\n"));
    world.assert_settled();
    // Names in tasks are replaced by ids.
    let tasks = world.job("sales_shop_0_steps_prod")["settings"]["tasks"].clone();
    assert_eq!(tasks[0]["notebook_task"]["warehouse_id"], "abc123");
    assert_eq!(tasks[1]["existing_cluster_id"], "0612-101010-cluster1");

    world.project.edit(PRODUCT, "numWorkers: 2", "numWorkers: 5");
    world.apply().done().prints("1 changed");
    world.assert_settled();

    let job = world.job("sales_shop_0_nightly_prod")["job_id"].clone();
    world.stand_in.call("POST", "/api/2.2/jobs/update", json!({"job_id": job, "fields_to_remove": ["schedule"]}));
    world.run(["drift", PRODUCT]).prints("schedule");
    world.apply().done().prints("1 changed");
    assert!(!world.job("sales_shop_0_nightly_prod")["settings"]["schedule"].is_null());

    world.run(["destroy", PRODUCT, "--auto-approve"]).done();
    let left: Vec<String> = world.stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    insta::assert_snapshot!("left", left.join("\n"));
}

#[test]
fn port_readers_are_the_access_list_and_external_grants() {
    let world = World::new();
    world.apply().done();
    world.run(["acl", "set", PRODUCT, "port", "user:john.doe_example.com", "group:Analysts", "--auto-approve"]).done();
    assert_eq!(world.readers(), ["Analysts", "jane.roe@example.com", "john.doe@example.com"]);
    world.assert_settled();
    let change = json!({"changes": [{"principal": "users", "add": ["SELECT"]}]});
    world.stand_in.call("PATCH", "/api/2.1/unity-catalog/permissions/table/sales.shop_0.orders_view", change);
    let _ = world.stand_in.take_calls();
    let ran = world.run(["acl", "set", PRODUCT, "port", "group:Analysts", "--auto-approve"]).done();
    ran.prints("foreign: users");
    // The owner is not part of the access list; external grants stay.
    assert_eq!(world.readers(), ["Analysts", "jane.roe@example.com", "users"]);
    assert!(!world.stand_in.inventory().iter().any(|line| line.contains("john.doe@example.com")));
}

#[test]
fn externally_changed_workflow_stops_the_plan() {
    let world = World::new();
    world.apply().done();
    let job = world.job("sales_shop_0_steps_prod")["job_id"].clone();
    world.stand_in.call(
        "POST",
        "/api/2.2/jobs/update",
        json!({"job_id": job, "new_settings": {"timeout_seconds": 60}}),
    );
    let _ = world.stand_in.take_calls();
    let plan = world.apply();
    assert_ne!(plan.code, 0, "{plan}");
    plan.prints("the job was changed outside terrace, and `override` is false");
    assert_eq!(world.stand_in.take_writes(), [] as [&str; 0]);
    world.project.edit(PRODUCT, "override: false", "override: true");
    world.apply().done();
    assert_eq!(world.job("sales_shop_0_steps_prod")["settings"]["timeout_seconds"], 0);
}

/// An object of another component has an id only after its creation: the workflow waits for it and refers to it by
/// name.
#[test]
fn workflow_runs_objects_of_the_same_plan() {
    let world = World::new();
    let tasks = "            tasks:\n";
    let more = "              - {task_key: load, run_job_task: {job_id: 1}}\n              - {task_key: flow, pipeline_task: {pipeline_id: x}}\n";
    world.project.edit(PRODUCT, tasks, &format!("{tasks}{more}"));
    // The names alone are the dependency.
    let needs = "dependsOn: [urn:dmb:cmp:sales:shop:0:flow, urn:dmb:cmp:sales:shop:0:nightly]";
    world.project.edit(PRODUCT, needs, "dependsOn: []");
    let entries = "        workflowTasksInfoList:\n";
    let named = |key: &str, kind: &str, name: &str| {
        format!("          - {{taskKey: {key}, referencedTaskType: {kind}, referencedTaskName: {name}}}\n")
    };
    let load = named("load", "job", "sales_shop_0_nightly_prod");
    let flow = named("flow", "pipeline", "sales_shop_0_flow_prod");
    world.project.edit(PRODUCT, entries, &format!("{entries}{load}{flow}"));
    world.run(["validate", PRODUCT]).done();
    world.apply().done();
    let pipelines = world.stand_in.call("GET", "/api/2.0/pipelines", Json::Null)["statuses"].clone();
    let tasks = world.job("sales_shop_0_steps_prod")["settings"]["tasks"].clone();
    assert_eq!(tasks[0]["run_job_task"]["job_id"], world.job("sales_shop_0_nightly_prod")["job_id"]);
    assert_eq!(tasks[1]["pipeline_task"]["pipeline_id"], pipelines[0]["pipeline_id"]);
    world.assert_settled();
    // After a replacement it has another id.
    world.run(["apply", PRODUCT, "--replace", "nightly/databricks_job.job", "--auto-approve"]).done();
    let tasks = world.job("sales_shop_0_steps_prod")["settings"]["tasks"].clone();
    assert_eq!(tasks[0]["run_job_task"]["job_id"], world.job("sales_shop_0_nightly_prod")["job_id"]);
    world.assert_settled();
    // A name without an object is an error with a hint.
    world.project.edit(
        PRODUCT,
        "referencedTaskName: sales_shop_0_nightly_prod",
        "referencedTaskName: sales_shop_0_weekly_prod",
    );
    let ran = world.run(["plan", PRODUCT]);
    assert_ne!(ran.code, 0, "{ran}");
    ran.prints("job `sales_shop_0_weekly_prod` not found").prints("deploy that component first, or both in one run");
}

/// A changed token of the environment is sent, and no token is stored.
#[test]
fn changed_git_token_is_sent_and_none_is_stored() {
    let world = World::new();
    world.apply().done();
    let rotated = |words: &[&str]| {
        let variables = [("DATABRICKS_TOKEN", "secret"), ("GIT_TOKEN", "glpat-r0tated")];
        world.project.run_with(&variables, words.iter().copied())
    };
    let plan = rotated(&["plan", PRODUCT, "--detailed-exitcode"]).with_code(2);
    plan.prints("1 to change").prints("tokenSent");
    let _ = world.stand_in.take_calls();
    rotated(&["apply", PRODUCT, "--auto-approve"]).done().prints("1 changed");
    let calls = world.stand_in.take_calls().into_iter().filter(|it| it.is_write());
    let sent: Vec<Json> = calls.map(|it| it.body["personal_access_token"].clone()).collect();
    assert_eq!(sent, ["glpat-r0tated"]);
    rotated(&["plan", PRODUCT, "--detailed-exitcode"]).with_code(0);
    for (name, content) in world.project.all_files() {
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains("glpat-s3cr3t") && !text.contains("glpat-r0tated"), "{name}");
    }
}

#[test]
fn invalid_product_is_reported_before_any_write() {
    for (old, new, expected) in [
        ("cronExpression: \"0 0 6 * * ?\"", "cronExpression: \"0 0 6 * *\"", "`0 0 6 * *` is not a Quartz expression"),
        ("devGroup: group:dev", "devGroup: group:missing", "group `missing` not found"),
        (
            "workspace: shop\n        repoPath: shop_0/nightly",
            "workspace: other\n        repoPath: shop_0/nightly",
            "the workspace `other` is not a URL",
        ),
        ("minWorkers: 1", "minWorkers: 9", "`minWorkers` is greater than `maxWorkers`"),
        ("sqlWarehouseName: wh", "sqlWarehouseName: nothing", "SQL warehouse `nothing` not found"),
        ("name: price, dataType: DECIMAL", "name: prize, dataType: DECIMAL", "has no column `prize`"),
        ("{name: id, dataType: INT", "{name: id, dataType: DATE", "the type INT instead of DATE in `main.raw.orders`"),
        ("runAsPrincipalName: runner", "runAsPrincipalName: missing", "service principal `missing` not found"),
    ] {
        let world = World::new();
        world.project.edit(PRODUCT, old, new);
        let before = world.stand_in.inventory();
        let ran = world.apply();
        assert_ne!(ran.code, 0, "{new}: {ran}");
        ran.prints(expected);
        assert_eq!(world.stand_in.inventory(), before, "{new}");
    }
}

#[test]
fn secrets_are_neither_shown_nor_stored() {
    let world = World::new();
    world.stand_in.faults().denied.push("POST /api/2.0/git-credentials".to_owned());
    let ran = world.apply();
    assert_ne!(ran.code, 0, "{ran}");
    assert!(!ran.to_string().contains("glpat-s3cr3t"), "{ran}");
    for (name, content) in world.project.all_files() {
        assert!(!String::from_utf8_lossy(&content).contains("glpat-s3cr3t"), "{name}");
    }
}

/// The output of `doctor` about an instance with a token.
fn doctor(url: &str, token: &str) -> Ran {
    let project = Project::new();
    project.write("terrace.yaml", "environments:\n  there: {}\n");
    project.run_with(&[("DATABRICKS_HOST", url), ("DATABRICKS_TOKEN", token)], ["doctor", "--env", "there"])
}

#[test]
fn doctor_checks_a_configured_workspace_and_its_rights() {
    let stand_in = StandIn::start();
    let before = stand_in.inventory();
    let well = doctor(stand_in.url(), "secret").done();
    well.prints("ok    provider databricks of there: it answers, and has all server-wide rights");
    stand_in.set_entitlements("terrace@example.com", &[]);
    let lacking = doctor(stand_in.url(), "secret").done();
    lacking.prints(
        "warn  provider databricks of there: it answers, but may not create jobs and pipelines with their own clusters",
    );
    lacking.prints("run `databricks users patch ");
    assert_eq!(stand_in.inventory(), before, "looking changed something");
    let wrong = doctor(stand_in.url(), "hunter2").with_code(1);
    wrong.prints("fail  provider databricks of there: it does not answer");
    assert!(!wrong.to_string().contains("hunter2"), "{wrong}");
    doctor("http://127.0.0.1:1", "secret")
        .with_code(1)
        .prints("fail  provider databricks of there: it does not answer");
}
