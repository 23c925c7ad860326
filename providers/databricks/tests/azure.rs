//! Workspaces of Azure, and how one signs in there.

use crate::harness::{Instance, attributes, provider};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found, ProviderError, Recorded, Settings, Value, conformance};
use terrace_provider_databricks::DatabricksProvider;
use terrace_test_azure::{ACCOUNT, Azure, CLIENT, Fault, GROUP, METASTORE, SECRET, SUBSCRIPTION, TENANT};
use terrace_test_databricks::StandIn;

/// Settings of an instance that works as a service principal; `of_azure` is put over the usual ones.
fn settings_of(azure: &Azure, of_azure: &Json, more: Json) -> Settings {
    let url = azure.url();
    let mut said = json!({
        "tenantId": TENANT, "clientId": CLIENT, "clientSecret": SECRET, "subscriptionId": SUBSCRIPTION,
        "resourceGroup": GROUP, "location": "westeurope", "loginHost": url, "managementHost": url, "graphHost": url,
    });
    for (name, value) in of_azure.as_object().into_iter().flatten() {
        said[name] = value.clone();
    }
    said.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let mut settings = conformance::settings(std::path::Path::new("."));
    settings.instance = "databricks".to_owned();
    settings.values = attributes(json!({"accountId": ACCOUNT, "accountHost": url, "azure": said}));
    settings.values.extend(attributes(more));
    settings
}

async fn instance_of(azure: &Azure, of_azure: Json, more: Json) -> Instance {
    let settings = settings_of(azure, &of_azure, more);
    Instance::open(settings, Limits { retries: 0, ..Limits::default() }).await
}

async fn usual(azure: &Azure) -> Instance {
    instance_of(azure, json!({}), json!({})).await
}

fn workspace(name: &str) -> Json {
    json!({"subscriptionId": SUBSCRIPTION, "resourceGroup": GROUP, "name": name, "location": "westeurope"})
}

fn path(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Databricks/workspaces/{name}")
}

/// A workspace of others, once it is there.
fn made_by_others(azure: &Azure, name: &str) -> (String, String) {
    azure.take_questions(0);
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}-rg");
    let body = json!({"location": "westeurope", "sku": {"name": "premium"}, "properties": {"managedResourceGroupId": group}});
    azure.call("PUT", &path(name), body);
    let there = azure.call("GET", &path(name), Json::Null);
    azure.take_questions(1);
    (there["properties"]["workspaceId"].as_str().unwrap().to_owned(), there["id"].as_str().unwrap().to_owned())
}

fn fixtures(azure: &Arc<Azure>, number: &str, scope: &str) -> Vec<Fixture> {
    let behind = |method: &'static str, at: fn(&Recorded) -> String, body: Json| {
        let azure = Arc::clone(azure);
        move |recorded: Recorded| {
            let _ = azure.try_call(method, &at(&recorded), body.clone());
            // Whatever takes long is done.
            let _ = azure.try_call("GET", &at(&recorded), Json::Null);
            async {}
        }
    };
    let at = |recorded: &Recorded| path(recorded.text("name").unwrap());
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop_0-rg");
    let standard = json!({"location": "westeurope", "sku": {"name": "trial"}, "properties": {"managedResourceGroupId": group}});
    let mut upgraded = workspace("shop_0");
    upgraded["sku"] = json!("standard");
    let of_account = |rest: fn(&Recorded) -> String| {
        move |recorded: &Recorded| {
            format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{}/{}", recorded.text("workspaceId").unwrap(), rest(recorded))
        }
    };
    let _ = of_account;
    let metastore = |id: &str| attributes(json!({"workspaceId": number, "metastoreId": id}));
    let other = "0bb0bb00-0000-4000-8000-00000000b0b0";
    let (jane, dev) = (azure.account_id("jane.roe@example.com"), azure.account_id("dev"));
    let entered = |who: &str, what: &str| attributes(json!({"workspaceId": number, "principalId": who, "permissions": [what]}));
    let role = |role: &str, who: &str, kind: &str| {
        attributes(json!({"scope": scope, "role": role, "principalId": azure.object_id(who), "principalKind": kind}))
    };
    let metastore_at = |recorded: &Recorded| {
        let (workspace, metastore) = (recorded.text("workspaceId").unwrap(), recorded.text("metastoreId").unwrap());
        format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{workspace}/metastores/{metastore}")
    };
    let other_at = |recorded: &Recorded| {
        let workspace = recorded.text("workspaceId").unwrap();
        format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{workspace}/metastores/0bb0bb00-0000-4000-8000-00000000b0b0")
    };
    let principal_at = |recorded: &Recorded| {
        let (workspace, principal) = (recorded.text("workspaceId").unwrap(), recorded.text("principalId").unwrap());
        format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{workspace}/permissionassignments/principals/{principal}")
    };
    let role_at = |recorded: &Recorded| {
        let (scope, id) = (recorded.text("scope").unwrap(), recorded.text("assignmentId").unwrap());
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}")
    };
    vec![
        Fixture::new("databricks_workspace", "made", attributes(workspace("shop_0")))
            .update(attributes(upgraded))
            .replace(attributes(workspace("shop_1")))
            .tamper(behind("PUT", at, standard))
            .remove(behind("DELETE", at, Json::Null)),
        Fixture::new("databricks_metastore_assignment", "made", metastore(METASTORE))
            .update(metastore(other))
            .tamper(behind("PUT", other_at, json!({"metastore_assignment": {"metastore_id": other}})))
            .remove(behind("DELETE", metastore_at, Json::Null)),
        Fixture::new("databricks_workspace_assignment", "made", entered(&jane, "ADMIN"))
            .update(entered(&jane, "USER"))
            .replace(entered(&dev, "USER"))
            .tamper(behind("PUT", principal_at, json!({"permissions": ["USER"]})))
            .remove(behind("DELETE", principal_at, Json::Null)),
        Fixture::new("databricks_azure_role_assignment", "made", role("Contributor", "jane.roe@example.com", "user"))
            .replace(role("Reader", "dev", "group"))
            .remove(behind("DELETE", role_at, Json::Null)),
    ]
}

#[tokio::test]
async fn what_is_around_workspaces_shows_every_behaviour() {
    let azure = Arc::new(Azure::start());
    let (number, scope) = made_by_others(&azure, "others");
    let (entered, _) = made_by_others(&azure, "entered");
    let assignment = json!({"metastore_assignment": {"metastore_id": METASTORE}});
    azure.call("POST", &format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{entered}/metastores/{METASTORE}"), assignment);
    azure.take_questions(0);
    let before = azure.inventory();
    let provider = provider();
    let mut suite = Suite::new(&provider, settings_of(&azure, &json!({}), json!({})));
    for (index, fixture) in fixtures(&azure, &number, &scope).into_iter().enumerate() {
        if index != 2 {
            suite = suite.fixture(fixture);
        }
    }
    // Whoever is let in needs a workspace that has a metastore.
    suite = suite.fixture(fixtures(&azure, &entered, &scope).remove(2));
    let report = suite.run().await;
    // The other types have no fixtures here.
    let failed: Vec<String> =
        report.failures().into_iter().filter(|line| !line.contains("every type has a fixture")).collect();
    assert!(report.shown() > 60 && failed.is_empty(), "{report}");
    assert_eq!(azure.inventory(), before, "nothing is left");
}
