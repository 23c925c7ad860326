//! Lookups in the account and the tenant, and access to new workspaces.

use crate::azure::{default_instance, instance_of, workspace};
use crate::harness::{Instance, attributes};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{ErrorKind, ProviderError, Value};
use terrace_test_azure::{Azure, CLIENT, METASTORE, SUBSCRIPTION};
use terrace_test_databricks::StandIn;

#[tokio::test]
async fn principal_lookup_needs_exactly_one_match() {
    let azure = Azure::start();
    azure.add_group("Analysts");
    azure.add_user("o'neill@example.com");
    let instance = default_instance(&azure).await;
    let look_up = |name: &'static str, arguments: Json| {
        let instance = &instance;
        async move {
            let answer = instance.session.lookup(name, &attributes(arguments)).await?;
            Ok::<_, ProviderError>(Value::Map(answer).to_json())
        }
    };
    for (lookup, arguments, field, value) in [
        ("databricks_account_group", json!({"name": "DEV"}), "id", azure.account_id("dev")),
        (
            "databricks_account_user",
            json!({"name": "jane.roe@example.com"}),
            "id",
            azure.account_id("jane.roe@example.com"),
        ),
        ("databricks_account_service_principal", json!({"name": CLIENT}), "name", "terrace".to_owned()),
        ("databricks_account_metastore", json!({"name": "main"}), "metastoreId", METASTORE.to_owned()),
        ("databricks_azure_principal", json!({"kind": "group", "name": "dev"}), "objectId", azure.object_id("dev")),
        (
            "databricks_azure_principal",
            json!({"kind": "user", "name": "o'neill@example.com"}),
            "objectId",
            azure.object_id("o'neill@example.com"),
        ),
        (
            "databricks_azure_principal",
            json!({"kind": "servicePrincipal", "name": CLIENT}),
            "objectId",
            azure.object_id("terrace"),
        ),
        ("databricks_azure", json!({}), "subscriptionId", SUBSCRIPTION.to_owned()),
    ] {
        assert_eq!(look_up(lookup, arguments.clone()).await.unwrap()[field], value, "{lookup} {arguments}");
    }
    for (lookup, arguments, expected) in [
        ("databricks_account_group", json!({"name": "analysts"}), "there are 2 groups `analysts`"),
        ("databricks_azure_principal", json!({"kind": "group", "name": "Analysts"}), "there are 2 groups `Analysts`"),
        ("databricks_account_user", json!({"name": "nobody@example.com"}), "user `nobody@example.com` not found"),
        (
            "databricks_azure_principal",
            json!({"kind": "user", "name": "nobody@example.com"}),
            "user `nobody@example.com` not found",
        ),
        ("databricks_azure_principal", json!({"kind": "device", "name": "x"}), "`device` is not a kind of principal"),
        ("databricks_account_metastore", json!({"name": "mian"}), "metastore `mian` not found"),
    ] {
        let error = look_up(lookup, arguments.clone()).await.unwrap_err();
        assert!(error.message.contains(expected), "{lookup} {arguments}: {error}");
        let is_lost = error.kind == ErrorKind::NotFound && lookup != "databricks_account_metastore";
        assert_eq!(error.solutions.iter().any(|it| it.contains("`identities.table`")), is_lost, "{error:?}");
    }
    // An empty name needs no request, even without credentials.
    let stand_in = StandIn::start();
    let of_workspace = Instance::of(&stand_in).await;
    let answer =
        of_workspace.session.lookup("databricks_account_group", &attributes(json!({"name": ""}))).await.unwrap();
    assert!(answer["id"].is_null());
    assert!(
        of_workspace.session.lookup("databricks_azure", &attributes(json!({}))).await.unwrap()["clientId"].is_null()
    );
}

#[tokio::test]
async fn manager_of_a_new_workspace_is_admitted() {
    let azure = Azure::start();
    let stand_in = Arc::new(StandIn::start());
    azure.serve(Arc::clone(&stand_in));
    let hosts = json!({"hosts": [stand_in.url()]});
    let manager = instance_of(&azure, json!({}), hosts.clone()).await;
    let created = manager.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    assert_eq!(created.text("url"), Some(stand_in.url()));
    let folder = json!({"workspaceUrl": stand_in.url(), "path": "/Workspace/shop"});
    let non_manager = instance_of(&azure, json!({"subscriptionId": null}), hosts).await;
    let error = non_manager.create("databricks_directory", folder.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied, "{error}");
    manager.create("databricks_directory", folder).await.unwrap();
    // Hosts of the cloud are always allowed; other hosts must be configured.
    for (url, is_right) in [
        ("https://adb-1.2.azuredatabricks.net", true),
        ("https://azuredatabricks.net.evil.example.com", false),
        ("http://adb-1.2.azuredatabricks.net", false),
        ("http://127.0.0.1:1", false),
    ] {
        let planned =
            manager.plan("databricks_directory", None, &json!({"workspaceUrl": url, "path": "/Workspace/x"})).await;
        assert_eq!(planned.is_ok(), is_right, "{url}");
    }
}
