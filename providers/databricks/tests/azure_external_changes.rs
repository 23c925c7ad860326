//! Changes to Azure objects outside terrace, and answers that lead to other hosts.

use crate::azure::{create_external_workspace, default_instance, instance_of, workspace};
use crate::harness::{Instance, attributes, recorded};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_provider::{ErrorKind, Finding, Found, Severity};
use terrace_test_azure::{ACCOUNT, Azure, CLIENT, Fault, GROUP, METASTORE, SUBSCRIPTION};
use terrace_test_databricks::{Fault as Loss, StandIn};

const OTHER: &str = "0bb0bb00-0000-4000-8000-00000000b0b0";
const ROLE: &str = "databricks_azure_role_assignment";
const ASSIGNMENT: &str = "databricks_metastore_assignment";
const ENTRY: &str = "databricks_workspace_assignment";

fn role(azure: &Azure, scope: &str) -> Json {
    let jane = azure.object_id("jane.roe@example.com");
    json!({"scope": scope, "role": "Reader", "principalId": jane, "principalKind": "user"})
}

/// Assigns the same role outside terrace.
fn assign_external_role(azure: &Azure, scope: &str) {
    let reader = format!(
        "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
    );
    let at = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/55555555-5555-4555-8555-555555555555");
    let body = json!({"roleDefinitionId": reader, "principalId": azure.object_id("jane.roe@example.com")});
    azure.call("PUT", &at, json!({"properties": body}));
}

fn metastore(azure: &Azure, method: &str, workspace: &str, id: &str) {
    let path = format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{workspace}/metastores/{id}");
    azure.call(method, &path, json!({"metastore_assignment": {"metastore_id": id}}));
}

#[tokio::test]
async fn role_reassigned_outside_terrace_is_kept() {
    let azure = Azure::start();
    let (_, scope) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let created = instance.create(ROLE, role(&azure, &scope)).await.unwrap();
    let own =
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", created.text("assignmentId").unwrap());
    azure.call("DELETE", &own, Json::Null);
    assign_external_role(&azure, &scope);
    let before = azure.inventory();
    // The new id was recorded by a read, which does not make it ours.
    let read = instance.read(ROLE, &created).await.unwrap().unwrap();
    assert_eq!(read.text("assignmentId"), Some("55555555-5555-4555-8555-555555555555"));
    let _ = azure.take_writes();
    instance.delete(ROLE, &read).await.unwrap();
    assert_eq!((azure.take_writes(), azure.inventory()), (Vec::new(), before));
}

#[tokio::test]
async fn role_of_lost_answer_is_ours_despite_conflict() {
    let azure = Azure::start();
    azure.refuse_repeats();
    let (_, scope) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    azure.faults().by_text.push(("PUT ".to_owned(), Fault::LostAfter));
    let config = role(&azure, &scope);
    let created = instance.create(ROLE, config.clone()).await.unwrap();
    instance.assert_settled(ROLE, &created, &config).await;
    instance.delete(ROLE, &created).await.unwrap();
    assert!(!azure.inventory().iter().any(|line| line.starts_with("role")));
}

#[tokio::test]
async fn assignment_of_deleted_role_is_absent() {
    let azure = Azure::start();
    let (_, scope) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let created = instance.create(ROLE, role(&azure, &scope)).await.unwrap();
    azure.remove_role("Reader");
    assert!(instance.read(ROLE, &created).await.unwrap().is_none());
    instance.delete(ROLE, &created).await.unwrap();
    // A planned assignment of a missing role is an error.
    let error = instance.find(ROLE, role(&azure, &scope), None).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("role".parse().unwrap()) }, "{error}");
}

#[tokio::test]
async fn metastore_assigned_outside_terrace_is_kept() {
    let azure = Azure::start();
    let (number, _) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let config = |id: &str| json!({"workspaceId": number, "metastoreId": id, "takeExisting": true});
    let created = instance.create(ASSIGNMENT, config(METASTORE)).await.unwrap();
    metastore(&azure, "PUT", &number, OTHER);
    instance.delete(ASSIGNMENT, &created).await.unwrap();
    assert!(azure.inventory().contains(&format!("metastore {OTHER} of others")), "{:?}", azure.inventory());
    // A replaced metastore is restored.
    let adopted = instance.create(ASSIGNMENT, config(OTHER)).await.unwrap();
    let changed = instance.update(ASSIGNMENT, &adopted, config(METASTORE)).await.unwrap();
    assert!(azure.inventory().contains(&format!("metastore {METASTORE} of others")));
    instance.delete(ASSIGNMENT, &changed).await.unwrap();
    assert!(azure.inventory().contains(&format!("metastore {OTHER} of others")), "{:?}", azure.inventory());
}

#[tokio::test]
async fn workspace_assignment_waits_for_the_metastore() {
    let azure = Azure::start();
    let (number, _) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let dev = azure.account_id("dev");
    let config = json!({"workspaceId": number, "principalId": dev, "permissions": ["USER"]});
    // A workspace without a metastore has no assignments: that is not an error.
    assert!(matches!(instance.find(ENTRY, &config, None).await.unwrap(), Found::Absent));
    metastore(&azure, "POST", &number, METASTORE);
    // One of these requests is a read.
    azure.federate_after(3);
    instance.create(ENTRY, config.clone()).await.unwrap();
    assert!(azure.inventory().contains(&"dev is USER in others".to_owned()));
    for wrong in [json!(["USER", "ADMIN"]), json!(["ADMIN", "ADMIN"])] {
        let config = json!({"workspaceId": number, "principalId": dev, "permissions": wrong});
        let error = instance.plan(ENTRY, None, &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some("permissions[1]".parse().unwrap()) }, "{error}");
    }
}

async fn findings(instance: &Instance, ty: &str, config: Json) -> Vec<Finding> {
    let planned = instance.plan(ty, None, &config).await.unwrap().planned;
    let ty = instance.ty(ty);
    instance.session.validate_remote(ty, &planned).unwrap().await
}

#[tokio::test]
async fn validation_finds_missing_groups_and_roles() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let with = |name: &str, value: &str| {
        let mut config = workspace("shop_0");
        config[name] = json!(value);
        config
    };
    let kind = "databricks_workspace";
    assert_eq!(findings(&instance, kind, workspace("shop_0")).await.len(), 0);
    for (name, value, expected) in [("resourceGroup", "nothing", "'nothing'"), ("subscriptionId", "s", "'s'")] {
        let findings = findings(&instance, kind, with(name, value)).await;
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.severity, finding.path.as_ref()), (Severity::Error, Some(&name.parse().unwrap())));
        assert!(finding.message.contains(expected), "{finding:?}");
        let error = instance.create(kind, with(name, value)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(name.parse().unwrap()) }, "{error:?}");
    }
    // Also if the scope is a workspace that does not exist yet.
    let (_, scope) = create_external_workspace(&azure, "others");
    let mut wrong = role(&azure, &scope);
    wrong["role"] = json!("Raeder");
    let found = findings(&instance, ROLE, wrong).await;
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(finding.path, Some("role".parse().unwrap()), "{finding:?}");
    let planned = attributes(json!({"role": "Raeder", "principalKind": "user"}));
    let found = instance.session.validate_remote(instance.ty(ROLE), &planned).unwrap().await;
    assert_eq!(found.len(), 1, "{found:?}");
    // A missing right to read is not a finding.
    azure.faults().denied.push("/resource".to_owned());
    assert_eq!(findings(&instance, kind, workspace("shop_0")).await.len(), 0);
}

#[tokio::test]
async fn workspace_of_deleted_resource_group_is_absent() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let created = instance.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    azure.remove_group(GROUP);
    assert!(instance.read("databricks_workspace", &created).await.unwrap().is_none());
    instance.delete("databricks_workspace", &created).await.unwrap();
}

#[tokio::test]
async fn next_page_on_another_host_is_refused() {
    let azure = Azure::start();
    let other_host = StandIn::start();
    let (_, scope) = create_external_workspace(&azure, "others");
    create_external_workspace(&azure, "more");
    azure.add_group("Analysts");
    assign_external_role(&azure, &scope);
    let instance = default_instance(&azure).await;
    let mut owner = role(&azure, &scope);
    owner["role"] = json!("Owner");
    let created = instance.create(ROLE, owner).await.unwrap();
    // The assignment is on the second page.
    assert!(instance.read(ROLE, &created).await.unwrap().is_some());
    azure.set_next_link_base(other_host.url());
    let error = instance.read(ROLE, &created).await.unwrap_err();
    assert!(error.message.contains("on another host"), "{error}");
    let error = instance
        .session
        .lookup("databricks_azure_principal", &attributes(json!({"kind": "group", "name": "Analysts"})))
        .await
        .unwrap_err();
    assert!(error.message.contains("on another host"), "{error}");
    assert_eq!(other_host.count(), 0);
}

#[tokio::test]
async fn creator_of_a_workspace_is_admitted_without_a_list() {
    let azure = Azure::start();
    let stand_in = Arc::new(StandIn::start());
    azure.serve(Arc::clone(&stand_in));
    azure.forget_lists();
    let manager = instance_of(&azure, json!({}), json!({"hosts": [stand_in.url()]})).await;
    manager.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    let folder = json!({"workspaceUrl": stand_in.url(), "path": "/Workspace/shop"});
    manager.create("databricks_directory", folder).await.unwrap();
}

#[tokio::test]
async fn missing_workspace_is_searched_again_later() {
    let azure = Azure::start();
    let stand_in = Arc::new(StandIn::start());
    let manager = instance_of(&azure, json!({}), json!({"hosts": [stand_in.url()]})).await;
    let folder = json!({"workspaceUrl": stand_in.url(), "path": "/Workspace/shop"});
    // Before its creation, Azure does not list the workspace, and it admits no principal.
    assert!(manager.create("databricks_directory", folder.clone()).await.is_err());
    azure.serve(Arc::clone(&stand_in));
    create_external_workspace(&azure, "shop_0");
    azure.expire_tokens();
    manager.create("databricks_directory", folder).await.unwrap();
}

#[tokio::test]
async fn lookup_waits_for_principals_of_a_new_workspace() {
    let azure = Azure::start();
    let stand_in = Arc::new(StandIn::start());
    azure.serve(Arc::clone(&stand_in));
    let manager = instance_of(&azure, json!({}), json!({"hosts": [stand_in.url()]})).await;
    let arguments = attributes(json!({"workspaceUrl": stand_in.url(), "name": "late@example.com"}));
    manager.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    let later = async {
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        stand_in.add_user("late@example.com");
    };
    let (found, ()) = tokio::join!(manager.session.lookup("databricks_user", &arguments), later);
    assert_eq!(found.unwrap()["name"].as_str(), Some("late@example.com"));
}

#[tokio::test]
async fn missing_azure_rights_are_reported() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let missing = || async { instance.session.missing_rights().await.unwrap() };
    assert_eq!(missing().await, Some(Vec::new()));
    assert_eq!(azure.take_writes(), [] as [&str; 0]);
    azure.allow(&["Microsoft.Databricks/*", "*/read"]);
    azure.faults().denied.extend(["GET /v1.0".to_owned(), "GET /api/".to_owned()]);
    let rights = missing().await.unwrap();
    let statements: Vec<&str> = rights.iter().map(|it| it.statement.as_str()).collect();
    let [roles, graph, account] = statements.as_slice() else { panic!("{rights:?}") };
    let scope = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}");
    assert_eq!(
        *roles,
        format!("az role assignment create --assignee {CLIENT} --role \"User Access Administrator\" --scope {scope}")
    );
    assert!(graph.starts_with("az ad app permission add") && account.contains("account_admin"), "{statements:?}");
    azure.allow(&["*/read"]);
    assert!(missing().await.unwrap()[0].statement.contains("--role \"Contributor\""));
    // Rights that cannot be determined are not reported.
    azure.faults().denied = vec!["Microsoft.Authorization/permissions".to_owned()];
    assert_eq!(missing().await, None);
}

#[tokio::test]
async fn check_of_instance_without_workspace_uses_azure_or_allowed_host() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let folder = |instance: &Instance| instance.ty("databricks_directory").clone();
    let check = |instance: &Instance| {
        let ty = folder(instance);
        let session = Arc::clone(&instance.session);
        async move { session.import(&ty, "-/%2Fterrace-doctor").await }
    };
    assert_eq!(check(&instance).await.unwrap(), None);
    let wrong = instance_of(&azure, json!({"clientSecret": "wr0ng"}), json!({})).await;
    assert_eq!(check(&wrong).await.unwrap_err().kind, ErrorKind::PermissionDenied);
    let stand_in = StandIn::start();
    for (hosts, works) in [(json!(["*.example.com", stand_in.url()]), true), (json!(["*.example.com"]), false)] {
        let sent = Instance::with(&stand_in, json!({"host": null, "hosts": hosts}), Default::default()).await;
        let answer = check(&sent).await;
        assert_eq!(answer.is_ok(), works, "{answer:?}");
    }
}

#[tokio::test]
async fn grantees_are_read_through_a_workspace_of_the_metastore() {
    let azure = Azure::start();
    let stand_in = Arc::new(StandIn::start());
    stand_in.add_table("main.raw.orders", &[("id", "int")]);
    azure.serve(Arc::clone(&stand_in));
    let instance = instance_of(&azure, json!({}), json!({"hosts": [stand_in.url()]})).await;
    let created = instance.create("databricks_workspace", workspace("shop_0")).await.unwrap();
    metastore(&azure, "POST", created.text("workspaceId").unwrap(), METASTORE);
    let ty = instance.ty("databricks_grant");
    let access = attributes(json!({"metastoreId": METASTORE, "securableType": "table", "fullName": "main.raw.orders"}));
    stand_in.add_group("dev");
    stand_in.call(
        "PATCH",
        "/api/2.1/unity-catalog/permissions/table/main.raw.orders",
        json!({"changes": [{"principal": "dev", "add": ["SELECT"]}]}),
    );
    // The session has not used any workspace yet.
    assert_eq!(instance.session.grantees(ty, std::slice::from_ref(&access)).await.unwrap().len(), 0);
    let arguments = attributes(json!({"workspaceUrl": stand_in.url()}));
    instance.session.lookup("databricks_workspace", &arguments).await.unwrap();
    let found = instance.session.grantees(ty, &[access]).await.unwrap();
    let [grantee] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((grantee.principal.as_str(), grantee.privilege.as_str()), ("dev", "SELECT"));
}

#[tokio::test]
async fn lookup_finds_a_workspace_by_name() {
    let azure = Azure::start();
    create_external_workspace(&azure, "shop_0");
    let instance = default_instance(&azure).await;
    let look_up = |arguments: Json| {
        let arguments = attributes(arguments);
        let session = Arc::clone(&instance.session);
        async move { session.lookup("databricks_azure_workspace", &arguments).await }
    };
    let found = look_up(json!({"name": "shop_0"})).await.unwrap();
    assert!(found["url"].as_str().unwrap().starts_with("http"), "{found:?}");
    assert_eq!(look_up(json!({"name": "shop_1"})).await.unwrap_err().kind, ErrorKind::NotFound);
    assert!(look_up(json!({"name": ""})).await.unwrap()["url"].is_null());
}

#[tokio::test]
async fn take_existing_adopts_objects_of_the_metastore() {
    let stand_in = StandIn::start();
    stand_in.add_table("main.raw.orders", &[("id", "int")]);
    let grants = |principal: &str, privileges: Json| {
        let path = "/api/2.1/unity-catalog/permissions/schema/main.raw";
        stand_in.call("PATCH", path, json!({"changes": [{"principal": principal, "add": privileges}]}));
    };
    grants("dev", json!(["SELECT"]));
    let instance = Instance::of(&stand_in).await;
    let url = stand_in.url();
    let of = |more: Json| {
        let mut config = json!({"workspaceUrl": url, "metastoreId": METASTORE, "takeExisting": true});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        config
    };
    let before = stand_in.inventory();
    let kinds = [
        ("databricks_catalog", of(json!({"name": "main"}))),
        ("databricks_schema", of(json!({"catalog": "main", "name": "raw"}))),
        (
            "databricks_grant",
            of(
                json!({"securableType": "schema", "fullName": "main.raw", "principal": "dev", "privileges": ["SELECT"]}),
            ),
        ),
    ];
    for (ty, config) in &kinds {
        let mut without_adoption = config.clone();
        without_adoption["takeExisting"] = json!(false);
        let error = instance.create(ty, without_adoption).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{ty}: {error}");
        let _ = stand_in.take_writes();
        let adopted = instance.create(ty, config.clone()).await.unwrap();
        instance.assert_settled(ty, &adopted, config).await;
        assert!((instance.ty(ty).is_adopted)(&adopted.attributes, &adopted.private), "{ty}");
        instance.delete(ty, &adopted).await.unwrap();
        assert_eq!((stand_in.take_writes(), stand_in.inventory()), (Vec::new(), before.clone()), "{ty}");
    }
    // Configured changes are applied; added privileges are revoked again.
    let (ty, mut config) = kinds[0].clone();
    config["comment"] = json!("ours");
    let adopted = instance.create(ty, config.clone()).await.unwrap();
    instance.assert_settled(ty, &adopted, &config).await;
    let (ty, mut config) = kinds[2].clone();
    config["privileges"] = json!(["SELECT", "USE_SCHEMA"]);
    let adopted = instance.create(ty, config.clone()).await.unwrap();
    instance.assert_settled(ty, &adopted, &config).await;
    instance.delete(ty, &adopted).await.unwrap();
    assert_eq!(stand_in.inventory(), before);
}

#[tokio::test]
async fn preexisting_privilege_survives_lost_answer() {
    let stand_in = StandIn::start();
    stand_in.add_table("main.raw.orders", &[("id", "int")]);
    let path = "/api/2.1/unity-catalog/permissions/schema/main.raw";
    stand_in.call("PATCH", path, json!({"changes": [{"principal": "dev", "add": ["SELECT"]}]}));
    let before = stand_in.inventory();
    let instance = Instance::of(&stand_in).await;
    let ty = "databricks_grant";
    let config = json!({
        "workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "takeExisting": true, "securableType": "schema",
        "fullName": "main.raw", "principal": "dev", "privileges": ["SELECT", "USE_SCHEMA"],
    });
    for has_effect in [true, false] {
        stand_in.reset_count();
        let plan = instance.plan(ty, None, &config).await.unwrap();
        assert_eq!(stand_in.count(), 0, "a plan must not send requests");
        let fault = if has_effect { Loss::LostAfter } else { Loss::LostBefore };
        let faults = std::iter::repeat_n(("PATCH ".to_owned(), fault), 10);
        stand_in.faults().by_text.extend(faults);
        let error = instance.create(ty, config.clone()).await.unwrap_err();
        stand_in.faults().by_text.clear();
        assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
        let found = instance.session.find(instance.ty(ty), &instance.crashed(ty, &plan)).await.unwrap();
        if !has_effect {
            assert_eq!(found, Found::Absent, "the next apply must grant the privilege");
            continue;
        }
        let Found::Own(found) = found else { panic!("{found:?}") };
        let row = recorded(&plan.planned, found);
        instance.delete(ty, &row).await.unwrap();
        assert_eq!(stand_in.inventory(), before);
    }
    // A call that was interrupted before its first read granted nothing: the next call adopts grants made meanwhile.
    stand_in.call("PATCH", path, json!({"changes": [{"principal": "dev", "add": ["USE_SCHEMA"]}]}));
    let before = stand_in.inventory();
    let instance = Instance::of(&stand_in).await;
    let plan = instance.plan(ty, None, &config).await.unwrap();
    let found = instance.session.find(instance.ty(ty), &instance.crashed(ty, &plan)).await.unwrap();
    assert_eq!(found, Found::NoEffect);
    let adopted = instance.create(ty, config).await.unwrap();
    instance.delete(ty, &adopted).await.unwrap();
    assert_eq!(stand_in.inventory(), before);
}

#[tokio::test]
async fn preexisting_metastore_survives_lost_answer() {
    let azure = Azure::start();
    azure.assign_automatically(METASTORE);
    let (number, _) = create_external_workspace(&azure, "others");
    let instance = default_instance(&azure).await;
    let ty = "databricks_metastore_assignment";
    let config = json!({"workspaceId": number, "metastoreId": METASTORE, "takeExisting": true});
    let before = azure.inventory();
    let plan = instance.plan(ty, None, &config).await.unwrap();
    let found = instance.session.find(instance.ty(ty), &instance.crashed(ty, &plan)).await.unwrap();
    assert_eq!(found, Found::NoEffect, "no call has read the assignment");
    instance.create(ty, config).await.unwrap();
    let found = instance.session.find(instance.ty(ty), &instance.crashed(ty, &plan)).await.unwrap();
    let Found::Own(found) = found else { panic!("{found:?}") };
    instance.delete(ty, &recorded(&plan.planned, found)).await.unwrap();
    assert_eq!(azure.inventory(), before);
}

#[tokio::test]
async fn object_in_a_planned_workspace_is_not_searched() {
    let azure = Azure::start();
    let instance = default_instance(&azure).await;
    let mut planned = attributes(json!({"metastoreId": METASTORE, "name": "sales"}));
    planned.insert("workspaceUrl".to_owned(), terrace_provider::Value::Unknown);
    let attempt = terrace_provider::Attempt {
        address: crate::harness::ADDRESS.to_owned(),
        identity: attributes(json!({"metastoreId": METASTORE, "name": "sales"})),
        planned,
        private: terrace_provider::Private::default(),
        prior: None,
        lost_call: None,
    };
    let found = instance.session.find(instance.ty("databricks_catalog"), &attempt).await.unwrap();
    assert!(matches!(found, Found::Unknown), "{found:?}");
}
