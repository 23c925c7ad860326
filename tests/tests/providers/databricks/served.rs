//! Components by name, each through all calls of a coordinator: validate, provision, a change, drift, updateacl,
//! reverse provisioning, unprovision. The stand-in is checked after every call.

use serde_json::{Value as Json, json};
use terrace_test_databricks::StandIn;
use terrace_tests::served::{Served, request};
use terrace_tests::{Project, Ran};

/// The coordinator's name for a descriptor of one component.
const COMPONENT: &str = "COMPONENT_DESCRIPTOR";

/// A served project, its workspace, and the component of the calls.
struct ServedProject {
    stand_in: StandIn,
    project: Project,
    server: Served,
    id: &'static str,
    /// The data product, with or without `dataProduct`.
    product: String,
}

impl ServedProject {
    /// A world with these blueprint settings; `prepare` creates earlier objects.
    fn with(id: &'static str, product: &str, settings: &str, prepare: impl FnOnce(&StandIn)) -> Self {
        let (stand_in, project) = (StandIn::start(), Project::new());
        for user in ["ada.lovelace@example.com", "name.surname@example.com", "name.surname@email.com"] {
            stand_in.add_user(user);
        }
        for group in ["shop-data", "agile_lab"] {
            stand_in.add_group(group);
        }
        prepare(&stand_in);
        let url = stand_in.url();
        project.write(
            "terrace.yaml",
            format!(
                "environments:\n  development:\n    providers: {{databricks: {{host: '{url}', git: {{username: bot, token: glpat}}}}}}\n    settings: {{databricks: \
                 {}}}\n",
                settings.replace("@URL@", url)
            ),
        );
        let server = Served::start_with(&project, &[], &[("DATABRICKS_TOKEN", "secret")]);
        Self { stand_in, project, server, id, product: product.to_owned() }
    }

    /// The descriptor to send: the product with the selected component.
    fn descriptor(&self) -> String {
        let lines = self.product.lines().filter(|line| !line.starts_with("componentIdToProvision"));
        let lines: Vec<&str> = lines.collect();
        let product = match lines.first() {
            Some(&"dataProduct:") => lines.join("\n"),
            _ => format!("dataProduct:\n{}", lines.iter().map(|line| format!("  {line}\n")).collect::<String>()),
        };
        format!("{}\ncomponentIdToProvision: {}\n", product.trim_end(), self.id)
    }

    #[track_caller]
    fn edit(&mut self, old: &str, new: &str) {
        assert!(self.product.contains(old), "{old} is not in the descriptor");
        self.product = self.product.replacen(old, new, 1);
    }

    #[track_caller]
    fn assert_valid(&self) {
        let answer = self.server.send("/v1/validate", COMPONENT, &self.descriptor());
        assert_eq!(answer.json()["valid"], true, "{answer:?}");
    }

    fn call(&self, path: &str, removes_data: bool) -> Json {
        let answer = self.server.call("POST", path, &request(COMPONENT, &self.descriptor(), removes_data));
        assert_eq!(answer.status, 202, "{answer:?}");
        self.server.wait_for_end(&answer.body)
    }

    #[track_caller]
    fn provision(&self) -> Json {
        let status = self.call("/v1/provision", false);
        assert_eq!(status["status"], "COMPLETED", "{status:#}");
        status
    }

    /// Checks that another provision writes nothing.
    #[track_caller]
    fn assert_settled(&self) {
        let _ = self.stand_in.take_writes();
        self.provision();
        assert_eq!(self.stand_in.take_writes(), [] as [&str; 0]);
    }

    /// Sets the access list.
    fn access(&self, refs: &[&str]) -> (u16, Json) {
        let body = json!({"refs": refs, "provisionInfo": {"request": self.descriptor(), "result": ""}});
        let answer = self.server.call("POST", "/v1/updateacl", &body.to_string());
        match answer.status {
            202 => (202, self.server.wait_for_end(&answer.body)),
            status => (status, answer.json()),
        }
    }

    /// Runs a reverse provisioning.
    fn reverse(&self, template: &str, params: Json, catalog: Json) -> (u16, Json) {
        let body = json!({
            "useCaseTemplateId": template, "environment": "development", "params": params, "catalogInfo": catalog,
        });
        let answer = self.server.call("POST", "/v1/reverse-provisioning", &body.to_string());
        match answer.status {
            202 => (202, self.server.wait_for_end_at(&format!("/v1/reverse-provisioning/{}/status", answer.body))),
            status => (status, answer.json()),
        }
    }

    /// The drift of the same state on the command line.
    fn drift(&self) -> Ran {
        self.project.write("sent.yaml", self.descriptor());
        self.project.run_with(&[("DATABRICKS_TOKEN", "secret")], ["drift", "sent.yaml", "--env", "development"])
    }

    fn job(&self, name: &str) -> Json {
        let path = format!("/api/2.2/jobs/list?name={name}&expand_tasks=true");
        self.stand_in.call("GET", &path, Json::Null)["jobs"][0].clone()
    }

    /// The inventory lines that are not in an earlier list.
    fn since(&self, before: &[String]) -> Vec<String> {
        self.stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect()
    }
}

const WORKFLOW: &str = include_str!("../../../../examples/databricks-workflow/data-product.yaml");
const PORTS: &str = include_str!("../../../../examples/databricks-outputport/data-product.yaml");
/// The job of the corpus has no `specific`: this is one for its template.
const JOB: &str = "      specific:
        workspace: @URL@
        repoPath: vaccinations_0/job
        jobName: healthcare_vaccinations_0_job_development
        git: {gitRepoUrl: 'https://gitlab.com/healthcare/job.git', gitReference: v1, gitReferenceType: TAG, gitPath: main}
        cluster: {clusterSparkVersion: 13.3.x-scala2.12, nodeTypeId: Standard_D4ds_v5, numWorkers: 1}
";

const RIGHTS: &str =
    "job: {owner: CAN_MANAGE, developers: CAN_VIEW}, pipeline: {developers: CAN_RUN}, repo: {developers: CAN_READ}";

#[test]
fn pipeline_from_a_foreign_descriptor() {
    let name = "witboost/descriptors/witboost-databricks-python-tech-adapter--dlt_pipeline_descriptor.yaml";
    let Some(file) = terrace_tests::shared(name) else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let settings = format!("{{workspaces: {{healthcare_databricks-test_0_development: '@URL@'}}, {RIGHTS}}}");
    let id = "urn:dmb:cmp:healthcare:databricks-test:0:databricks-dlt";
    let mut called = ServedProject::with(id, &text, &settings, |stand_in| {
        stand_in.add_table("dp_catalog.schema.seen", &[("id", "int")]);
    });
    let before = called.stand_in.inventory();
    called.assert_valid();
    let status = called.provision();
    assert_eq!(status["info"]["publicInfo"]["pipelineURL"]["label"], "Pipeline URL", "{status}");
    assert_eq!(
        called.since(&before),
        [
            "DIRECTORY /databricks_test_0",
            "REPO /databricks_test_0/databricks_dlt",
            "acl pipelines newPipeline: agile_lab CAN_RUN",
            "acl pipelines newPipeline: terrace@example.com IS_OWNER",
            "acl repos /databricks_test_0/databricks_dlt: agile_lab CAN_READ",
            "credential gitLab",
            "pipeline newPipeline",
        ]
    );
    called.assert_settled();
    let pipeline = || {
        let listed = called.stand_in.call("GET", "/api/2.0/pipelines", Json::Null);
        let id = listed["statuses"][0]["pipeline_id"].as_str().unwrap().to_owned();
        called.stand_in.call("GET", &format!("/api/2.0/pipelines/{id}"), Json::Null)
    };
    let clusters = |pipeline: &Json| pipeline["spec"]["clusters"][0]["autoscale"].clone();
    assert_eq!(clusters(&pipeline()), json!({"min_workers": 1, "max_workers": 3, "mode": "LEGACY"}));
    let spec = pipeline();
    let mut theirs = spec["spec"].clone();
    theirs["channel"] = "CURRENT".into();
    let id = spec["pipeline_id"].as_str().unwrap().to_owned();
    called.stand_in.call("PUT", &format!("/api/2.0/pipelines/{id}"), theirs);
    called.drift().prints("CURRENT");
    called.edit("maxWorkers: 3", "maxWorkers: 5");
    called.provision();
    let listed = called.stand_in.call("GET", &format!("/api/2.0/pipelines/{id}"), Json::Null);
    assert_eq!(
        (&listed["spec"]["channel"], &listed["spec"]["clusters"][0]["autoscale"]["max_workers"]),
        (&json!("PREVIEW"), &json!(5))
    );
    assert_refuses_others(&called, "urn:dmb:utm:databricks-workload-dlt-template:0.0.0");
    // Its tables stay without a request to remove them.
    called.stand_in.add_pipeline_table(&id, "dp_catalog.schema.made");
    assert_eq!(called.call("/v1/unprovision", false)["status"], "COMPLETED");
    assert_eq!(
        called.since(&before),
        [
            "DIRECTORY /databricks_test_0",
            "REPO /databricks_test_0/databricks_dlt",
            "credential gitLab",
            "table dp_catalog.schema.made"
        ]
    );
    assert_eq!(called.call("/v1/unprovision", false)["status"], "COMPLETED", "a second call has nothing to do");
}

/// Only ports have access lists, and only ports and workflows have reverse provisioning.
#[track_caller]
fn assert_refuses_others(called: &ServedProject, template: &str) {
    let (status, answer) = called.access(&["user:ada.lovelace_example.com"]);
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("has no `acl`"), "{answer}");
    let (status, answer) = called.reverse(template, json!({}), json!({}));
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("has no `reverse`"), "{answer}");
}

#[test]
fn job_from_a_foreign_descriptor() {
    let name = "witboost/descriptors/witboost-databricks-tech-adapter--dlt_workload.yaml";
    let Some(file) = terrace_tests::shared(name) else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let id = "urn:dmb:cmp:healthcare:databricks-provisioner:0:databricks-workload";
    let mut called = ServedProject::with(id, &text, &format!("{{{RIGHTS}}}"), |_| {});
    // Unchanged, the descriptor does not say what the job runs.
    let answer = called.server.send("/v1/validate", COMPONENT, &called.descriptor());
    assert!(answer.body.contains("specific") && !answer.body.contains(r#""valid":true"#), "{answer:?}");
    let own = "      useCaseTemplateId: urn:dmb:utm:databricks-workload-job-template:0.0.0\n";
    let specific = JOB.replace("@URL@", called.stand_in.url());
    called.edit(own, &format!("{own}{specific}"));
    assert_job(
        called,
        "urn:dmb:utm:databricks-workload-job-template:0.0.0",
        "healthcare_vaccinations_0_job_development",
        "CAN_VIEW",
    );
}

#[test]
fn job_from_our_own_descriptor() {
    let called = ServedProject::with(
        "urn:dmb:cmp:shop:orders:0:load",
        WORKFLOW,
        "{workspaces: {shop: '@URL@'}, job: {owner: CAN_MANAGE, developers: CAN_MANAGE_RUN}, repo: {developers: CAN_EDIT}}",
        |_| {},
    );
    assert_job(
        called,
        "urn:dmb:utm:databricks-workload-job-template:0.0.0",
        "shop_orders_0_load_development",
        "CAN_MANAGE_RUN",
    );
}

/// Checks a job from its first validation to its removal.
fn assert_job(mut called: ServedProject, template: &str, name: &str, developers: &str) {
    let before = called.stand_in.inventory();
    called.assert_valid();
    let status = called.provision();
    let id = called.job(name)["job_id"].clone();
    assert_eq!(status["info"]["publicInfo"]["jobURL"]["label"], "Job URL", "{status}");
    let made = called.since(&before);
    assert!(
        made.iter().any(|it| it.starts_with(&format!("acl jobs {name}: ")) && it.ends_with(developers)),
        "{made:?}"
    );
    assert!(made.iter().any(|it| it.starts_with("REPO ")), "{made:?}");
    called.assert_settled();
    let (head, tail) = called.product.split_once("jobName").unwrap();
    called.product = format!("{head}jobName{}", tail.replacen("Standard_D4ds_v5", "Standard_D8ds_v5", 1));
    called.provision();
    assert_eq!(called.job(name)["settings"]["tasks"][0]["new_cluster"]["node_type_id"], "Standard_D8ds_v5");
    assert_eq!(called.job(name)["job_id"], id, "it is the same job");
    let theirs = json!({"job_id": id, "new_settings": {"description": "tampered", "tags": {"team": "theirs"}}});
    called.stand_in.call("POST", "/api/2.2/jobs/update", theirs);
    let is_described = called.job(name)["settings"]["description"] == "tampered";
    assert!(is_described);
    if called.descriptor().contains("description: Reads what was ordered") {
        called.drift().prints("tampered");
    }
    called.provision();
    // External settings that the descriptor does not mention stay.
    assert_eq!(called.job(name)["settings"]["tags"]["team"], "theirs");
    assert_refuses_others(&called, template);
    assert_eq!(called.call("/v1/unprovision", false)["status"], "COMPLETED");
    assert!(called.job(name).is_null());
    assert!(called.since(&before).iter().any(|it| it.starts_with("REPO ")), "the repository stays");
    called.provision();
    assert_eq!(called.call("/v1/unprovision", true)["status"], "COMPLETED");
    let left = called.since(&before);
    assert!(!left.iter().any(|it| it.starts_with("REPO ") || it.starts_with("job ")), "{left:?}");
}

#[test]
fn workflow_through_all_calls() {
    let template = "urn:dmb:utm:databricks-workload-workflow-template:0.0.0";
    let name = "shop_orders_0_report_development";
    let mut called = ServedProject::with(
        "urn:dmb:cmp:shop:orders:0:report",
        WORKFLOW,
        "{workspaces: {shop: '@URL@'}, job: {owner: CAN_MANAGE}}",
        |stand_in| {
            stand_in.call("POST", "/api/2.2/jobs/create", json!({"name": "shop_orders_0_load_development"}));
        },
    );
    let before = called.stand_in.inventory();
    called.assert_valid();
    called.provision();
    let load = called.job("shop_orders_0_load_development")["job_id"].clone();
    let tasks = called.job(name)["settings"]["tasks"].clone();
    assert_eq!(
        (&tasks[0]["run_job_task"]["job_id"], &tasks[1]["notebook_task"]["warehouse_id"]),
        (&load, &json!("abc123"))
    );
    called.assert_settled();
    called.edit("notebook_path: /Shared/report", "notebook_path: /Shared/reports");
    called.provision();
    assert_eq!(called.job(name)["settings"]["tasks"][1]["notebook_task"]["notebook_path"], "/Shared/reports");
    // An external change of the workflow stays until the catalog adopts it.
    let id = called.job(name)["job_id"].clone();
    called.stand_in.call(
        "POST",
        "/api/2.2/jobs/update",
        json!({"job_id": id, "new_settings": {"timeout_seconds": 60}}),
    );
    called.drift().prints("timeout_seconds");
    let status = called.call("/v1/provision", false);
    assert_eq!(status["status"], "FAILED", "{status:#}");
    assert!(status.to_string().contains("the job was changed outside terrace, and `override` is false"), "{status:#}");
    assert_eq!(called.job(name)["settings"]["timeout_seconds"], 60);
    let (status, answer) = called.access(&["user:ada.lovelace_example.com"]);
    assert_eq!(status, 400, "{answer}");
    // Workspace and name default to those of the catalog.
    let catalog = json!({"spec": {"mesh": {"name": "Report", "specific": {
        "workspace": "shop", "workflow": {"settings": {"name": name}}}}}});
    let (_, status) = called.reverse(template, json!({}), catalog.clone());
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    let updates = &status["updates"];
    assert_eq!(updates["spec.mesh.specific.override"], false);
    assert_eq!(updates["spec.mesh.specific.workflow.job_id"], id);
    assert_eq!(updates["spec.mesh.specific.workflow.settings"]["timeout_seconds"], 60);
    assert_eq!(updates["spec.mesh.specific.workflow.settings.name"], name);
    let references = &updates["spec.mesh.specific.workflowTasksInfoList"];
    assert_eq!(references[0]["referencedTaskName"], "shop_orders_0_load_development", "{references}");
    assert_eq!(references[1]["referencedClusterName"], "WH", "{references}");
    // With a name per environment, the catalog's name does not count.
    let specific = json!({"workspace": "shop", "workflow": {"settings": {"name": name}}});
    let (_, status) = called.reverse(template, json!({"environmentSpecificConfig": {"specific": specific}}), json!({}));
    assert_eq!(status["updates"]["spec.mesh.specific.workflow.settings.name"], "IGNORED", "{status:#}");
    let (_, status) = called.reverse(
        template,
        json!({}),
        json!({"spec": {"mesh": {"specific": {
        "workspace": "shop", "workflow": {"settings": {"name": "nothing"}}}}}}),
    );
    assert_eq!(status["status"], "FAILED");
    assert!(status.to_string().contains("job `nothing` not found"), "{status:#}");
    // The catalog's version equals the workflow: nothing stops, and nothing changes.
    let settings = updates["spec.mesh.specific.workflow.settings"].to_string();
    let (head, rest) = called.product.split_once("      workflow:\n").unwrap();
    assert!(rest.contains("workflowTasksInfoList"));
    called.product =
        format!("{head}      workflow: {{settings: {settings}}}\n      workflowTasksInfoList: {references}\n");
    called.provision();
    assert_eq!(called.job(name)["settings"]["timeout_seconds"], 60);
    called.assert_settled();
    assert_eq!(called.call("/v1/unprovision", true)["status"], "COMPLETED");
    let left = called.since(&before);
    assert!(left.iter().all(|it| it.starts_with("credential ") || it.starts_with("DIRECTORY ")), "{left:?}");
}

fn ports() -> ServedProject {
    ServedProject::with(
        "urn:dmb:cmp:shop:sales:0:port",
        PORTS,
        "{workspaces: {shop: '@URL@'}, schema: {owner: [CREATE_TABLE]}, outputPort: {owner: [SELECT]}}",
        |stand_in| {
            let columns = [("id", "int"), ("price", "decimal(10,2)"), ("status", "varchar(20)"), ("note", "string")];
            stand_in.add_table("main.raw.orders", &columns);
            stand_in.add_primary_key("main.raw.orders", &["id"]);
        },
    )
}

const PORT: &str = "urn:dmb:utm:databricks-outputport-template:0.0.0";

#[test]
fn output_port_through_all_calls() {
    let mut called = ports();
    let before = called.stand_in.inventory();
    called.assert_valid();
    let status = called.provision();
    let info = &status["info"]["publicInfo"];
    assert_eq!(info["tableFullName"]["value"], "shop_sales.ports_0.orders", "{status:#}");
    let columns = info["columns"]["value"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Json>(columns).unwrap()[1]["name"], "price", "{status:#}");
    assert_eq!(
        called.since(&before),
        [
            "catalog shop_sales",
            "grant CREATE_TABLE on schema shop_sales.ports_0 to ada.lovelace@example.com",
            "grant SELECT on table shop_sales.ports_0.orders to ada.lovelace@example.com",
            "grant USE_CATALOG on catalog shop_sales to ada.lovelace@example.com",
            "grant USE_SCHEMA on schema shop_sales.ports_0 to ada.lovelace@example.com",
            "schema shop_sales.default",
            "schema shop_sales.information_schema",
            "schema shop_sales.ports_0",
            "table shop_sales.ports_0.orders",
        ]
    );
    called.assert_settled();
    let (code, status) = called.access(&["user:john.doe_example.com", "group:Analysts"]);
    assert_eq!((code, &status["status"]), (202, &json!("COMPLETED")), "{status:#}");
    let readers = |called: &ServedProject| -> Vec<String> {
        let lines = called.stand_in.inventory().into_iter();
        lines
            .filter_map(|it| Some(it.strip_prefix("grant SELECT on table shop_sales.ports_0.orders to ")?.to_owned()))
            .collect()
    };
    assert_eq!(readers(&called), ["Analysts", "ada.lovelace@example.com", "john.doe@example.com"]);
    // A new column keeps the readers of the view.
    called.edit(
        "        - {name: price,",
        "        - {name: status, dataType: VARCHAR, dataLength: 20}\n        - {name: price,",
    );
    called.provision();
    let shown = |called: &ServedProject| -> Vec<Json> {
        let view = called.stand_in.call("GET", "/api/2.1/unity-catalog/tables/shop_sales.ports_0.orders", Json::Null);
        view["columns"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect()
    };
    assert_eq!(shown(&called), ["id", "status", "price"]);
    assert_eq!(readers(&called).len(), 3);
    // An externally recreated view has no readers.
    called.stand_in.sql("CREATE OR REPLACE VIEW shop_sales.ports_0.orders AS SELECT id FROM main.raw.orders");
    called.drift().prints("recreated");
    called.provision();
    assert_eq!(shown(&called), ["id", "status", "price"]);
    assert_eq!(readers(&called), ["Analysts", "ada.lovelace@example.com", "john.doe@example.com"]);
    called.assert_settled();
    let (_, status) = called.access(&["group:Analysts"]);
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    assert_eq!(readers(&called), ["Analysts", "ada.lovelace@example.com"]);
    let left: Vec<String> = called.stand_in.inventory().into_iter().filter(|it| it.contains("john.doe")).collect();
    assert_eq!(left, [] as [&str; 0]);
    assert_eq!(called.call("/v1/unprovision", false)["status"], "COMPLETED");
    let left = called.since(&before);
    assert!(left.iter().all(|it| it.starts_with("catalog ") || it.starts_with("schema ")), "{left:?}");
    assert_eq!(called.call("/v1/unprovision", false)["status"], "COMPLETED", "nothing is left to do");
}

#[test]
fn table_is_imported_into_a_data_contract() {
    let called = ports();
    called.stand_in.sql("CREATE VIEW main.raw.shown AS SELECT * FROM main.raw.orders");
    let params = |table: &str, option: &str| {
        json!({
            "environmentSpecificConfig": {"specific": {"workspace": "shop"}}, "catalogName": "main", "schemaName": "raw",
            "tableName": table, "reverseProvisioningOption": option,
        })
    };
    let catalog = json!({"spec": {"mesh": {"specific": {"tableName": "kept"}}}});
    let (_, status) = called.reverse(PORT, params("orders", "SCHEMA_ONLY"), catalog.clone());
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    let column = |name: &str, ty: &str, length: Json, numbers: [Json; 2], constraint: Json, description: &str| {
        let [precision, scale] = numbers;
        json!({"name": name, "dataType": ty, "dataLength": length, "precision": precision, "scale": scale,
               "constraint": constraint, "description": description})
    };
    let none = || [Json::Null, Json::Null];
    let expected = json!([
        column("id", "INT", Json::Null, none(), "PRIMARY_KEY".into(), "int"),
        column("price", "DECIMAL", Json::Null, [10.into(), 2.into()], Json::Null, "decimal(10,2)"),
        column("status", "VARCHAR", 20.into(), none(), Json::Null, "varchar(20)"),
        column("note", "STRING", 65535.into(), none(), Json::Null, "string"),
    ]);
    assert_eq!(status["updates"]["spec.mesh.dataContract.schema"], expected);
    assert_eq!(status["updates"]["witboost.parameters.schemaDefinition.schemaColumns"], expected);
    assert_eq!(status["updates"]["spec.mesh.specific.tableName"], "kept", "the columns alone");
    let paths: Vec<&String> = status["updates"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "spec.mesh.dataContract.schema",
            "witboost.parameters.schemaDefinition.schemaColumns",
            "spec.mesh.specific.tableName"
        ],
        "updates without a value are left out"
    );
    let (_, status) = called.reverse(PORT, params("orders", "SCHEMA_AND_DETAILS"), catalog.clone());
    assert_eq!(status["updates"]["spec.mesh.specific.tableName"], "orders", "{status:#}");
    assert_eq!(status["updates"]["witboost.parameters.catalogName"], "main", "{status:#}");
    let (_, status) = called.reverse(PORT, params("shown", "SCHEMA_ONLY"), catalog.clone());
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    let (_, status) = called.reverse(PORT, params("shown", "SCHEMA_AND_DETAILS"), catalog);
    assert_eq!(status["status"], "FAILED");
    assert!(status.to_string().contains("is a view, not a table"), "{status:#}");
}
