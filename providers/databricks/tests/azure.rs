//! Workspaces in Azure, and the sign-in to Azure.

use crate::harness::{Instance, attributes, provider};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::conformance::{Fixture, Suite};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found, ProviderError, Recorded, Settings, conformance};
use terrace_provider_databricks::DatabricksProvider;
use terrace_test_azure::{ACCOUNT, Azure, CLIENT, Fault, GROUP, METASTORE, SECRET, SUBSCRIPTION, TENANT};
use terrace_test_databricks::StandIn;

/// Settings of an instance with a service principal; `of_azure` overrides the default settings.
pub(crate) fn settings_of(azure: &Azure, of_azure: &Json, more: Json) -> Settings {
    let url = azure.url();
    let mut azure_settings = json!({
        "tenantId": TENANT, "clientId": CLIENT, "clientSecret": SECRET, "subscriptionId": SUBSCRIPTION,
        "resourceGroup": GROUP, "location": "westeurope", "loginHost": url, "managementHost": url, "graphHost": url,
    });
    for (name, value) in of_azure.as_object().into_iter().flatten() {
        azure_settings[name] = value.clone();
    }
    azure_settings.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let mut settings = conformance::settings(std::path::Path::new("."));
    settings.instance = "databricks".to_owned();
    settings.values = attributes(json!({"accountId": ACCOUNT, "accountHost": url, "azure": azure_settings}));
    settings.values.extend(attributes(more));
    settings
}

pub(crate) async fn instance_of(azure: &Azure, of_azure: Json, more: Json) -> Instance {
    let settings = settings_of(azure, &of_azure, more);
    Instance::open(settings, Limits { retries: 0, ..Limits::default() }).await
}

pub(crate) async fn default_instance(azure: &Azure) -> Instance {
    instance_of(azure, json!({}), json!({})).await
}

pub(crate) fn workspace(name: &str) -> Json {
    json!({"subscriptionId": SUBSCRIPTION, "resourceGroup": GROUP, "name": name, "location": "westeurope"})
}

pub(crate) fn path(name: &str) -> String {
    format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.Databricks/workspaces/{name}")
}

/// Creates a workspace outside terrace, and waits for it.
pub(crate) fn create_external_workspace(azure: &Azure, name: &str) -> (String, String) {
    azure.take_questions(0);
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{name}-rg");
    let body =
        json!({"location": "westeurope", "sku": {"name": "premium"}, "properties": {"managedResourceGroupId": group}});
    azure.call("PUT", &path(name), body);
    let workspace = azure.call("GET", &path(name), Json::Null);
    azure.take_questions(1);
    (workspace["properties"]["workspaceId"].as_str().unwrap().to_owned(), workspace["id"].as_str().unwrap().to_owned())
}

fn fixtures(azure: &Arc<Azure>, number: &str, scope: &str) -> Vec<Fixture> {
    let external_call = |method: &'static str, at: fn(&Recorded) -> String, body: Json| {
        let azure = Arc::clone(azure);
        move |recorded: Recorded| {
            let _ = azure.try_call(method, &at(&recorded), body.clone());
            // The second request ends any long-running operation.
            let _ = azure.try_call("GET", &at(&recorded), Json::Null);
            async {}
        }
    };
    let at = |recorded: &Recorded| path(recorded.text("name").unwrap());
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/shop_0-rg");
    let standard =
        json!({"location": "westeurope", "sku": {"name": "trial"}, "properties": {"managedResourceGroupId": group}});
    let mut upgraded = workspace("shop_0");
    upgraded["sku"] = json!("standard");
    let metastore = |id: &str| attributes(json!({"workspaceId": number, "metastoreId": id}));
    let other = "0bb0bb00-0000-4000-8000-00000000b0b0";
    let (jane, dev) = (azure.account_id("jane.roe@example.com"), azure.account_id("dev"));
    let entered = |principal: &str, permission: &str| {
        attributes(json!({"workspaceId": number, "principalId": principal, "permissions": [permission]}))
    };
    let role = |role: &str, principal: &str, kind: &str| {
        attributes(
            json!({"scope": scope, "role": role, "principalId": azure.object_id(principal), "principalKind": kind}),
        )
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
            .tamper(external_call("PUT", at, standard))
            .remove(external_call("DELETE", at, Json::Null)),
        Fixture::new("databricks_metastore_assignment", "made", metastore(METASTORE))
            .update(metastore(other))
            .tamper(external_call("PUT", other_at, json!({"metastore_assignment": {"metastore_id": other}})))
            .remove(external_call("DELETE", metastore_at, Json::Null)),
        Fixture::new("databricks_workspace_assignment", "made", entered(&jane, "ADMIN"))
            .update(entered(&jane, "USER"))
            .replace(entered(&dev, "USER"))
            .tamper(external_call("PUT", principal_at, json!({"permissions": ["USER"]})))
            .remove(external_call("DELETE", principal_at, Json::Null)),
        Fixture::new("databricks_azure_role_assignment", "made", role("Contributor", "jane.roe@example.com", "user"))
            .replace(role("Reader", "dev", "group"))
            .remove(external_call("DELETE", role_at, Json::Null)),
    ]
}

#[tokio::test]
async fn azure_types_pass_the_conformance_suite() {
    let azure = Arc::new(Azure::start());
    let (number, scope) = create_external_workspace(&azure, "others");
    let (entered, _) = create_external_workspace(&azure, "entered");
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
    // Workspace assignments need a workspace with a metastore.
    suite = suite.fixture(fixtures(&azure, &entered, &scope).remove(2));
    let report = suite.run().await;
    // Other types have no fixtures here.
    let failed: Vec<String> =
        report.failures().into_iter().filter(|line| !line.contains("every type has a fixture")).collect();
    assert!(report.shown() > 60 && failed.is_empty(), "{report}");
    assert_eq!(azure.inventory(), before, "the suite must clean up");
}

/// Finds the outcome of a create, as `apply` does.
pub(crate) async fn find_lost(instance: &Instance, ty: &str, config: &Json) -> Found {
    instance.find(ty, config, Some(Duration::from_secs(1))).await.unwrap()
}

fn puts(azure: &Azure) -> usize {
    azure.take_writes().iter().filter(|it| it.starts_with("PUT")).count()
}

/// Creates a certificate and its key with openssl.
fn certificate() -> String {
    let words = "req -x509 -newkey rsa:2048 -nodes -keyout - -out - -subj /CN=terrace -days 2";
    let created = std::process::Command::new("openssl").args(words.split(' ')).output();
    let created = created.unwrap_or_else(|error| panic!("this test needs openssl to create keys: {error}"));
    String::from_utf8(created.stdout).unwrap()
}

#[tokio::test]
async fn service_principal_signs_in_with_secret_certificate_or_token() {
    let azure = Azure::start();
    let folder = tempfile::tempdir().unwrap();
    let (pem, token) = (folder.path().join("client.pem"), folder.path().join("token"));
    let text = certificate();
    std::fs::write(&pem, &text).unwrap();
    azure.trust_certificate(text.as_bytes());
    std::fs::write(&token, "of-yesterday").unwrap();
    azure.trust_token("of-today");
    let of_file = json!({"clientSecret": null, "federatedTokenFile": token});
    for proof in [json!({}), json!({"clientSecret": null, "certificateFile": pem}), of_file.clone()] {
        // The issuer renews the token file.
        if proof == of_file {
            let instance = instance_of(&azure, proof.clone(), json!({})).await;
            let error = instance.session.lookup("databricks_account_group", &attributes(json!({"name": "dev"}))).await;
            let error = error.unwrap_err();
            assert_eq!(
                (error.kind, error.vendor_code.as_deref()),
                (ErrorKind::PermissionDenied, Some("invalid_client"))
            );
            std::fs::write(&token, "of-today\n").unwrap();
        }
        let instance = instance_of(&azure, proof.clone(), json!({})).await;
        let found = instance.session.lookup("databricks_account_group", &attributes(json!({"name": "DEV"}))).await;
        assert_eq!(found.unwrap()["name"].as_str(), Some("dev"), "{proof}");
    }
    std::fs::write(&pem, certificate()).unwrap();
    let instance = instance_of(&azure, json!({"clientSecret": null, "certificateFile": pem}), json!({})).await;
    let error =
        instance.session.lookup("databricks_account_group", &attributes(json!({"name": "dev"}))).await.unwrap_err();
    assert!(error.message.contains("AADSTS700027"), "{error}");
}

#[tokio::test]
async fn token_is_requested_once_and_renewed_on_expiry() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let read = || async {
        let arguments = attributes(json!({"name": "dev"}));
        instance.session.lookup("databricks_account_group", &arguments).await.map(drop)
    };
    for done in futures_util::future::join_all((0..8).map(|_| read())).await {
        done.unwrap();
    }
    let tokens = |azure: &Azure| azure.take_calls().iter().filter(|it| it.path.ends_with("/token")).count();
    assert_eq!(tokens(&azure), 1);
    azure.expire_tokens();
    for done in futures_util::future::join_all((0..8).map(|_| read())).await {
        done.unwrap();
    }
    assert_eq!(tokens(&azure), 1);
}

#[tokio::test]
async fn wrong_secret_is_reported_without_its_value() {
    let azure = Azure::start();
    let instance = instance_of(&azure, json!({"clientSecret": "wr0ng-secret"}), json!({})).await;
    let error = instance.create("databricks_workspace", workspace("shop_0")).await.unwrap_err();
    assert_eq!((&error.kind, error.vendor_code.as_deref()), (&ErrorKind::PermissionDenied, Some("invalid_client")));
    assert!(
        error.message.contains("AADSTS7000215") && error.solutions.iter().any(|it| it.contains("`azure`")),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
    assert_eq!(azure.inventory(), [] as [&str; 0]);
}

async fn opened(provider: &DatabricksProvider, values: Json) -> Option<ProviderError> {
    let mut settings = conformance::settings(std::path::Path::new("."));
    settings.instance = "databricks".to_owned();
    settings.values = attributes(values);
    terrace_provider::Provider::connect(provider, &settings).await.err()
}

#[tokio::test]
async fn only_one_set_of_credentials_is_accepted() {
    let provider = DatabricksProvider::with_variables(
        [("ARM_CLIENT_ID", CLIENT), ("ARM_TENANT_ID", TENANT), ("ARM_CLIENT_SECRET", SECRET)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
    );
    let sign_in = json!({"tenantId": TENANT, "clientId": CLIENT, "clientSecret": SECRET});
    for right in [
        json!({}),
        json!({"token": "dapi"}),
        json!({"azure": sign_in}),
        json!({"azure": {"subscriptionId": SUBSCRIPTION}}),
        json!({"azure": {"federatedTokenFile": "token"}}),
    ] {
        let error = opened(&provider, right.clone()).await;
        assert!(error.is_none(), "{right}: {error:?}");
    }
    let bare = DatabricksProvider::with_variables(std::collections::BTreeMap::new());
    for (wrong, at) in [
        (json!({"token": "dapi", "azure": sign_in}), "azure"),
        (json!({"clientId": "a", "clientSecret": "b", "azure": sign_in}), "azure"),
        (json!({"azure": {"clientId": CLIENT}}), "azure.tenantId"),
        (json!({"azure": {"clientId": CLIENT, "tenantId": TENANT}}), "azure.clientSecret"),
        (
            json!({"azure": {"clientId": CLIENT, "tenantId": TENANT, "clientSecret": "x", "certificateFile": "y"}}),
            "azure.certificateFile",
        ),
        (
            json!({"azure": {"clientId": CLIENT, "tenantId": TENANT, "certificateFile": "nothing.pem"}}),
            "azure.certificateFile",
        ),
        (
            json!({"azure": {"clientId": CLIENT, "tenantId": TENANT, "clientSecret": "x", "environment": "moon"}}),
            "azure.environment",
        ),
        (
            json!({"azure": {"clientId": CLIENT, "tenantId": TENANT, "clientSecret": "x", "loginHost": "ftp://x"}}),
            "azure.loginHost",
        ),
    ] {
        let error = opened(&bare, wrong.clone()).await.unwrap();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(at.parse().unwrap()) }, "{wrong}: {error}");
    }
    // Without a service principal of Azure, the Azure types fail with `NotConfigured`.
    assert!(opened(&bare, json!({"token": "dapi"})).await.is_none());
    let stand_in = StandIn::start();
    let instance = Instance::of(&stand_in).await;
    for (ty, config) in [
        ("databricks_workspace", workspace("shop_0")),
        ("databricks_metastore_assignment", json!({"workspaceId": "1", "metastoreId": METASTORE})),
    ] {
        let error = instance.create(ty, config).await.unwrap_err();
        assert!(error.kind == ErrorKind::NotConfigured && !error.solutions.is_empty(), "{error:?}");
    }
}

#[tokio::test]
async fn outcome_of_lost_workspace_create_is_found() {
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::After504] {
        let azure = Azure::start();
        azure.take_questions(2);
        let instance = default_instance(&azure).await;
        azure.faults().by_text.push(("PUT ".to_owned(), fault));
        let config = workspace("shop_0");
        match instance.create("databricks_workspace", config.clone()).await {
            Ok(_) => assert_eq!(fault, Fault::LostBefore, "a second PUT must be refused while the first one runs"),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Ambiguous, "{fault:?}: {error}");
                let Found::Own(found) = find_lost(&instance, "databricks_workspace", &config).await else {
                    panic!("{fault:?}")
                };
                assert!(
                    found.attributes["url"].as_str().is_some(),
                    "the search must wait for the workspace: {found:?}"
                );
            }
        }
        assert_eq!(azure.inventory(), ["workspace shop_0 premium westeurope Succeeded"], "{fault:?}");
    }
}

#[tokio::test]
async fn interrupted_workspace_create_is_found_later() {
    let azure = Azure::start();
    azure.take_questions(1_000_000);
    let instance = default_instance(&azure).await;
    let config = workspace("shop_0");
    let accepted = async {
        while azure.inventory().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        created = instance.create("databricks_workspace", config.clone()) => panic!("{created:?}"),
        () = accepted => {}
    }
    azure.call("GET", &path("shop_0"), Json::Null);
    assert_eq!(azure.inventory(), ["workspace shop_0 premium westeurope Accepted"]);
    // A workspace of another owner is not ours, even while it is being created.
    let later = default_instance(&azure).await;
    let found = tokio::time::timeout(Duration::from_millis(500), find_lost(&later, "databricks_workspace", &config));
    assert!(found.await.is_err(), "the search must wait for the workspace");
}

#[tokio::test]
async fn failed_workspace_is_reported_and_created_again() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    azure.fail_next("ApplianceProvisioningFailed", "The quota of the region is used up.");
    let error = instance.create("databricks_workspace", workspace("shop_0")).await.unwrap_err();
    assert_eq!((&error.kind, error.vendor_code.as_deref()), (&ErrorKind::Failed, Some("ApplianceProvisioningFailed")));
    assert!(error.message.contains("quota of the region"), "{error}");
    assert!(matches!(find_lost(&instance, "databricks_workspace", &workspace("shop_0")).await, Found::Absent));
    instance.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    assert_eq!(puts(&azure), 2);
}

#[tokio::test]
async fn plan_refuses_invalid_attributes_without_a_request() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let with = |name: &str, value: &str| {
        let mut config = workspace("shop_0");
        config[name] = json!(value);
        config
    };
    let role = |name: &str, value: &str| {
        let mut config = json!({"scope": path("a"), "role": "Reader", "principalId": azure.object_id("dev"), "principalKind": "group"});
        config[name] = json!(value);
        config
    };
    let entered = |permissions: Json| json!({"workspaceId": "1", "principalId": "1", "permissions": permissions});
    for (ty, config, at) in [
        ("databricks_workspace", with("name", "a"), "name"),
        ("databricks_workspace", with("name", "x/y z"), "name"),
        ("databricks_workspace", with("location", "West Europe"), "location"),
        ("databricks_workspace", with("sku", "gold"), "sku"),
        (
            "databricks_workspace",
            with("managedResourceGroup", "/subscriptions/x/resourceGroups/y"),
            "managedResourceGroup",
        ),
        ("databricks_azure_role_assignment", role("scope", "/x/../y"), "scope"),
        ("databricks_azure_role_assignment", role("principalId", "dev"), "principalId"),
        ("databricks_azure_role_assignment", role("principalKind", "device"), "principalKind"),
        ("databricks_workspace_assignment", entered(json!([])), "permissions"),
        ("databricks_workspace_assignment", entered(json!(["USER", "OWNER"])), "permissions[1]"),
    ] {
        let error = instance.plan(ty, None, &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(at.parse().unwrap()) }, "{config}: {error}");
    }
    assert_eq!(azure.count(), 0);
}

#[tokio::test]
async fn workspace_is_never_replaced_under_its_name() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let created = instance.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    for (name, value) in [("location", "northeurope"), ("managedResourceGroup", "other")] {
        let mut config = workspace("shop_0");
        config[name] = json!(value);
        let error = instance.plan("databricks_workspace", Some(&created), &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(name.parse().unwrap()) }, "{error}");
    }
    let mut config = workspace("shop_0");
    config["managedResourceGroup"] = json!("shop_0-rg");
    instance.assert_settled("databricks_workspace", &created, &config).await;
}

#[tokio::test]
async fn role_assigned_outside_terrace_is_kept() {
    let azure = Azure::start();
    let (_, scope) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let jane = azure.object_id("jane.roe@example.com");
    let reader = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    );
    let at = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/55555555-5555-4555-8555-555555555555");
    azure.call("PUT", &at, json!({"properties": {"roleDefinitionId": reader, "principalId": jane}}));
    let before = azure.inventory();
    let config = |take: bool| json!({"scope": scope, "role": "Reader", "principalId": jane, "principalKind": "user", "takeExisting": take});
    let error = instance.create("databricks_azure_role_assignment", config(false)).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
    let _ = azure.take_writes();
    let adopted = instance.create("databricks_azure_role_assignment", config(true)).await.unwrap();
    let ty = instance.ty("databricks_azure_role_assignment");
    assert!((ty.is_adopted)(&adopted.attributes, &adopted.private));
    instance.delete("databricks_azure_role_assignment", &adopted).await.unwrap();
    assert_eq!((azure.take_writes(), azure.inventory()), (Vec::new(), before));
}

#[tokio::test]
async fn role_is_assigned_once_despite_lost_answers() {
    for fault in [Fault::LostBefore, Fault::LostAfter, Fault::After504, Fault::TooMany(None)] {
        let azure = Azure::start();
        let (_, scope) = create_external_workspace(&azure, "others");
        let instance = default_instance(&azure).await;
        let jane = azure.object_id("jane.roe@example.com");
        let config = json!({"scope": scope, "role": "Contributor", "principalId": jane, "principalKind": "user"});
        azure.faults().by_text.push(("PUT ".to_owned(), fault));
        let created = instance.create("databricks_azure_role_assignment", config.clone()).await.unwrap();
        assert_eq!(azure.inventory().iter().filter(|it| it.starts_with("role")).count(), 1, "{fault:?}");
        instance.assert_settled("databricks_azure_role_assignment", &created, &config).await;
        // Without its row, the assignment is recognized by its id.
        let found = find_lost(&instance, "databricks_azure_role_assignment", &config).await;
        assert!(matches!(found, Found::Own(_)), "{fault:?}: {found:?}");
    }
}

#[tokio::test]
async fn existing_metastore_assignment_is_adopted() {
    let azure = Azure::start();
    azure.assign_automatically(METASTORE);
    let (number, _) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let config = |metastore: &str| json!({"workspaceId": number, "metastoreId": metastore, "takeExisting": true});
    let _ = azure.take_writes();
    let adopted = instance.create("databricks_metastore_assignment", config(METASTORE)).await.unwrap();
    assert_eq!(azure.take_writes(), [] as [&str; 0]);
    assert!((instance.ty("databricks_metastore_assignment").is_adopted)(&adopted.attributes, &adopted.private));
    let other = config("0bb0bb00-0000-4000-8000-00000000b0b0");
    let error = instance.create("databricks_metastore_assignment", other).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }) && error.message.contains(METASTORE), "{error}");
}
