//! An output port in its product's own workspace, through all calls of a coordinator: validate, provision, a change,
//! drift, updateacl, reverse provisioning, another owner, unprovision. The stand-ins are checked after every call.

use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_test_azure::{ACCOUNT, Azure, CLIENT, GROUP, METASTORE, SECRET, SUBSCRIPTION, TENANT};
use terrace_test_databricks::StandIn;
use terrace_tests::served::{Served, request};
use terrace_tests::{Project, Ran};

const PRODUCT: &str = include_str!("../../../../examples/databricks-managed/data-product.yaml");
const PORT: &str = "urn:dmb:cmp:shop:orders:0:port";
const LOAD: &str = "urn:dmb:cmp:shop:orders:0:load";
const TEMPLATE: &str = "urn:dmb:utm:databricks-outputport-template:0.0.0";
const VARIABLES: [(&str, &str); 4] = [
    ("ARM_CLIENT_ID", CLIENT),
    ("ARM_TENANT_ID", TENANT),
    ("ARM_CLIENT_SECRET", SECRET),
    ("DATABRICKS_ACCOUNT_ID", ACCOUNT),
];

/// The stand-in of the next workspace, with existing objects in its metastore.
pub(super) fn next_workspace(azure: &Azure) -> Arc<StandIn> {
    let stand_in = Arc::new(StandIn::start());
    stand_in.add_table("main.raw.orders", &[("id", "int"), ("price", "decimal(10,2)"), ("status", "string")]);
    stand_in.add_service_principal("terrace-azure", CLIENT);
    for (securable, privileges) in [
        (format!("metastore/{METASTORE}"), json!(["CREATE_CATALOG"])),
        ("catalog/main".to_owned(), json!(["USE_CATALOG", "USE_SCHEMA", "SELECT"])),
    ] {
        let path = format!("/api/2.1/unity-catalog/permissions/{securable}");
        stand_in.call("PATCH", &path, json!({"changes": [{"principal": CLIENT, "add": privileges}]}));
    }
    azure.serve(Arc::clone(&stand_in));
    for user in ["ada.lovelace@example.com", "grace.hopper@example.com"] {
        azure.add_user(user);
    }
    azure.add_group("shop-data");
    // Unity Catalog knows all people of the account, with or without access to the workspace.
    for user in ["ada.lovelace@example.com", "grace.hopper@example.com", "john.doe@example.com"] {
        stand_in.add_user(user);
    }
    for group in ["shop-data", "Analysts"] {
        stand_in.add_group(group);
    }
    stand_in
}

struct ServedProject {
    azure: Azure,
    stand_in: Arc<StandIn>,
    project: Project,
    server: Served,
    product: String,
}

impl ServedProject {
    fn new() -> Self {
        let (azure, project) = (Azure::start(), Project::new());
        let stand_in = next_workspace(&azure);
        let url = azure.url();
        project.write(
            "terrace.yaml",
            format!(
                "environments:\n  development:\n    settings:\n      databricks: {{managedWorkspace: {{metastore: main}}, workspaceRole: {{owner: Contributor}}, \
                 schema: {{owner: [CREATE_TABLE]}}, outputPort: {{owner: [SELECT]}}}}\n    providers:\n      databricks:\n        hosts: ['{}']\n        \
                 accountHost: '{url}'\n        git: {{username: bot, token: glpat}}\n        azure: {{subscriptionId: {SUBSCRIPTION}, resourceGroup: {GROUP}, \
                 location: westeurope, loginHost: '{url}', managementHost: '{url}', graphHost: '{url}'}}\n",
                stand_in.url()
            ),
        );
        let server = Served::start_with(&project, &[], &VARIABLES);
        Self { azure, stand_in, project, server, product: PRODUCT.to_owned() }
    }

    fn descriptor(&self, component: &str) -> String {
        let product: String = self.product.lines().map(|line| format!("  {line}\n")).collect();
        format!("dataProduct:\n{product}componentIdToProvision: {component}\n")
    }

    #[track_caller]
    fn edit(&mut self, old: &str, new: &str) {
        assert!(self.product.contains(old), "{old} is not in the descriptor");
        self.product = self.product.replacen(old, new, 1);
    }

    fn call(&self, path: &str, component: &str, removes_data: bool) -> Json {
        let body = request("COMPONENT_DESCRIPTOR", &self.descriptor(component), removes_data);
        let answer = self.server.call("POST", path, &body);
        assert_eq!(answer.status, 202, "{answer:?}");
        self.server.wait_for_end(&answer.body)
    }

    #[track_caller]
    fn done(&self, path: &str, component: &str) -> Json {
        let status = self.call(path, component, false);
        assert_eq!(status["status"], "COMPLETED", "{status:#}");
        status
    }

    /// Checks that another provision writes nothing.
    #[track_caller]
    fn assert_settled(&self) {
        let _ = (self.stand_in.take_writes(), self.azure.take_writes());
        self.done("/v1/provision", PORT);
        assert_eq!((self.stand_in.take_writes(), self.azure.take_writes()), (Vec::new(), Vec::new()));
    }

    fn drift(&self) -> Ran {
        self.project.write("sent.yaml", self.descriptor(PORT));
        self.project.run_with(&VARIABLES, ["drift", "sent.yaml", "--env", "development"])
    }

    fn access(&self, refs: &[&str]) -> Json {
        let body = json!({"refs": refs, "provisionInfo": {"request": self.descriptor(PORT), "result": ""}});
        let answer = self.server.call("POST", "/v1/updateacl", &body.to_string());
        assert_eq!(answer.status, 202, "{answer:?}");
        self.server.wait_for_end(&answer.body)
    }

    /// The principals that may read the view.
    fn readers(&self) -> Vec<String> {
        let lines = self.stand_in.inventory().into_iter();
        lines
            .filter_map(|it| Some(it.strip_prefix("grant SELECT on table shop_orders.ports_0.orders to ")?.to_owned()))
            .collect()
    }

    fn columns(&self) -> Vec<Json> {
        let path = "/api/2.1/unity-catalog/tables/shop_orders.ports_0.orders";
        let view = self.stand_in.call("GET", path, Json::Null);
        view["columns"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect()
    }
}

const MADE: [&str; 5] = [
    "ada.lovelace@example.com is ADMIN in shop_orders_0",
    "metastore 0aa0aa00-0000-4000-8000-00000000a0a0 of shop_orders_0",
    "role Contributor of ada.lovelace@example.com on shop_orders_0",
    "shop-data is USER in shop_orders_0",
    "workspace shop_orders_0 premium westeurope Succeeded",
];

#[test]
fn output_port_in_its_own_workspace() {
    let mut called = ServedProject::new();
    let before = called.stand_in.inventory();
    let answer = called.server.send("/v1/validate", "COMPONENT_DESCRIPTOR", &called.descriptor(PORT));
    assert_eq!(answer.json()["valid"], true, "{answer:?}");
    assert_eq!((called.azure.count(), called.stand_in.count()), (0, 0), "no server is called");
    let status = called.done("/v1/provision", PORT);
    let info = &status["info"]["publicInfo"];
    assert_eq!(info["tableFullName"]["value"], "shop_orders.ports_0.orders", "{status:#}");
    assert_eq!(info["tableUrl"]["label"], "Table URL", "{status:#}");
    assert_eq!(called.azure.inventory(), MADE);
    let made: Vec<String> = called.stand_in.inventory().into_iter().filter(|line| !before.contains(line)).collect();
    for line in [
        "catalog shop_orders",
        "grant CREATE_TABLE on schema shop_orders.ports_0 to ada.lovelace@example.com",
        "grant SELECT on table shop_orders.ports_0.orders to ada.lovelace@example.com",
        "table shop_orders.ports_0.orders",
    ] {
        assert!(made.contains(&line.to_owned()), "{line}: {made:#?}");
    }
    called.assert_settled();
    // Another component of the product shares the workspace.
    called.done("/v1/provision", LOAD);
    assert_eq!(called.azure.inventory(), MADE);
    called.edit("        - {name: price,", "        - {name: status, dataType: STRING}\n        - {name: price,");
    called.done("/v1/provision", PORT);
    assert_eq!(called.columns(), ["id", "status", "price"]);
    // Changes outside terrace to the workspace, and to the view.
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop_orders_0-rg");
    let path = format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Databricks/workspaces/shop_orders_0"
    );
    let theirs =
        json!({"location": "westeurope", "sku": {"name": "standard"}, "properties": {"managedResourceGroupId": group}});
    called.azure.call("PUT", &path, theirs);
    called.azure.finish();
    called.azure.call("GET", &path, Json::Null);
    called.stand_in.sql("CREATE OR REPLACE VIEW shop_orders.ports_0.orders AS SELECT id FROM main.raw.orders");
    called.drift().prints("standard").prints("recreated");
    called.done("/v1/provision", PORT);
    assert_eq!(called.azure.inventory(), MADE);
    assert_eq!(called.columns(), ["id", "status", "price"]);
    assert_eq!(called.readers(), ["ada.lovelace@example.com"]);
    called.assert_settled();
    let status = called.access(&["user:john.doe_example.com", "group:Analysts"]);
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    assert_eq!(called.readers(), ["Analysts", "ada.lovelace@example.com", "john.doe@example.com"]);
    let status = called.access(&["group:Analysts"]);
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    assert_eq!(called.readers(), ["Analysts", "ada.lovelace@example.com"]);
    let body = json!({
        "useCaseTemplateId": TEMPLATE, "environment": "development", "catalogInfo": {},
        "params": {"environmentSpecificConfig": {"specific": {"workspace": "shop_orders_0"}}, "catalogName": "main",
                   "schemaName": "raw", "tableName": "orders", "reverseProvisioningOption": "SCHEMA_ONLY"},
    });
    let answer = called.server.call("POST", "/v1/reverse-provisioning", &body.to_string());
    let status = called.server.wait_for_end_at(&format!("/v1/reverse-provisioning/{}/status", answer.body));
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    assert_eq!(status["updates"]["spec.mesh.dataContract.schema"][2]["name"], "status", "{status:#}");
    // Each component gets the new owner separately; the old owner goes with the last one.
    called.edit("user:ada.lovelace_example.com", "user:grace.hopper_example.com");
    called.done("/v1/provision", PORT);
    let both = called.azure.inventory();
    assert!(both.contains(&"grace.hopper@example.com is ADMIN in shop_orders_0".to_owned()), "{both:?}");
    assert!(both.contains(&MADE[0].to_owned()), "{both:?}");
    called.done("/v1/provision", LOAD);
    let now = called.azure.inventory();
    assert!(!now.iter().any(|line| line.contains("ada.lovelace")), "{now:?}");
    assert_eq!(now.len(), MADE.len());
    assert_eq!(called.readers(), ["Analysts", "grace.hopper@example.com"]);
    called.assert_settled();
    called.done("/v1/unprovision", PORT);
    assert_eq!(called.azure.inventory(), now, "another component still lives there");
    assert!(called.readers().is_empty());
    called.done("/v1/unprovision", PORT);
    // The workspace and its metastore stay after every request.
    let status = called.call("/v1/unprovision", LOAD, true);
    assert_eq!(status["status"], "COMPLETED", "{status:#}");
    assert_eq!(called.azure.inventory(), [MADE[1], MADE[4]]);
    assert_eq!(
        called
            .azure
            .take_writes()
            .iter()
            .filter(|it| it.starts_with("DELETE") && it.ends_with("shop_orders_0"))
            .count(),
        0
    );
}
