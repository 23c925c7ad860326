//! Grants, permissions and Git credentials: preexisting access is kept.

use crate::conformance::{grant, prepared, privilege};
use crate::harness::{Instance, attributes, recorded};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Found, Recorded, Value};
use terrace_test_databricks::{Fault, StandIn};

const GRANT: &str = "databricks_grant";
const PRIVILEGE: &str = "databricks_privilege";
const PERMISSION: &str = "databricks_permission";
const CREDENTIAL: &str = "databricks_git_credential";

fn held(stand_in: &StandIn, principal: &str) -> Vec<String> {
    let path = format!("/api/2.1/unity-catalog/permissions/table/main.raw.orders?principal={principal}");
    let answer = stand_in.call("GET", &path, Json::Null);
    let items = answer["privilege_assignments"][0]["privileges"].as_array().cloned().unwrap_or_default();
    items.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

fn grant_privileges(stand_in: &StandIn, principal: &str, privileges: Json) {
    let changes = json!({"changes": [{"principal": principal, "add": privileges}]});
    stand_in.call("PATCH", "/api/2.1/unity-catalog/permissions/table/main.raw.orders", changes);
}

async fn adopted(instance: &Instance, ty: &str, config: &Json) -> Recorded {
    let Found::Foreign(found) = instance.find(ty, config, None).await.unwrap() else { panic!("it is there") };
    recorded(&attributes(config.clone()), found)
}

#[tokio::test]
async fn preexisting_privileges_are_kept() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    grant_privileges(&stand_in, "dev", json!(["SELECT", "MODIFY"]));
    let config = grant(&stand_in, "dev", json!(["SELECT", "APPLY_TAG"]));
    let error = instance.create(GRANT, config.clone()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
    let found = adopted(&instance, GRANT, &config).await;
    let created = instance.update(GRANT, &found, config.clone()).await.unwrap();
    instance.assert_settled(GRANT, &created, &config).await;
    assert_eq!(held(&stand_in, "dev"), ["APPLY_TAG", "MODIFY", "SELECT"]);
    instance.delete(GRANT, &created).await.unwrap();
    assert_eq!(held(&stand_in, "dev"), ["MODIFY", "SELECT"]);
    let is_adopted = instance.ty(GRANT).is_adopted;
    assert!(!is_adopted(&created.attributes, &created.private), "a part of the privileges is ours");
}

/// A privilege that was revoked outside terrace and granted again belongs to terrace.
#[tokio::test]
async fn privilege_granted_again_belongs_to_terrace() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    grant_privileges(&stand_in, "dev", json!(["SELECT", "MODIFY"]));
    let config = grant(&stand_in, "dev", json!(["SELECT", "APPLY_TAG"]));
    let found = adopted(&instance, GRANT, &config).await;
    let created = instance.update(GRANT, &found, config.clone()).await.unwrap();
    let changes = json!({"changes": [{"principal": "dev", "remove": ["SELECT"]}]});
    stand_in.call("PATCH", "/api/2.1/unity-catalog/permissions/table/main.raw.orders", changes);
    let read = instance.read(GRANT, &created).await.unwrap().unwrap();
    let repaired = instance.update(GRANT, &read, config.clone()).await.unwrap();
    assert_eq!(held(&stand_in, "dev"), ["APPLY_TAG", "MODIFY", "SELECT"]);
    instance.delete(GRANT, &repaired).await.unwrap();
    assert_eq!(held(&stand_in, "dev"), ["MODIFY"]);
}

/// The schema exists although its owner is invalid, and a search finds it.
#[tokio::test]
async fn schema_with_invalid_owner_is_found() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = json!({"workspaceUrl": stand_in.url(), "metastoreId": crate::conformance::METASTORE, "catalog": "main",
        "name": "late", "owner": "nobody@example.com"});
    let error = instance.create("databricks_schema", config.clone()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Ambiguous, "{error}");
    assert!(
        error.problems.iter().any(|it| it.contains("was created, but `nobody@example.com` is not its owner")),
        "{error:?}"
    );
    let found = instance.find("databricks_schema", &config, Some(std::time::Duration::from_secs(1))).await.unwrap();
    assert!(matches!(found, Found::Own(_)), "{found:?}");
}

#[tokio::test]
async fn update_grants_before_it_revokes() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(GRANT, grant(&stand_in, "dev", json!(["SELECT"]))).await.unwrap();
    let _ = stand_in.take_calls();
    instance.update(GRANT, &created, grant(&stand_in, "dev", json!(["MODIFY"]))).await.unwrap();
    let writes: Vec<Json> = stand_in.take_calls().into_iter().filter(|it| it.is_write()).map(|it| it.body).collect();
    assert_eq!(writes.len(), 2);
    assert_eq!(writes[0]["changes"][0]["add"], json!(["MODIFY"]));
    assert_eq!(writes[1]["changes"][0]["remove"], json!(["SELECT"]));
}

#[tokio::test]
async fn grantees_exclude_the_principal_of_the_instance() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    for principal in ["dev", "Analysts", "terrace@example.com"] {
        grant_privileges(&stand_in, principal, json!(["SELECT"]));
    }
    let config = attributes(grant(&stand_in, "dev", json!(["SELECT"])));
    let access = instance.ty(GRANT).access_of(&config).unwrap();
    let grantees = instance.session.grantees(instance.ty(GRANT), &[access]).await.unwrap();
    let found: Vec<String> = grantees.iter().map(|it| format!("{} {}", it.principal, it.privilege)).collect();
    assert_eq!(found, ["Analysts SELECT", "dev SELECT"]);
    // An external grant can be revoked like our own.
    let foreign = recorded(&attributes(json!({})), grantees[0].grant.clone());
    instance.delete(GRANT, &foreign).await.unwrap();
    assert!(held(&stand_in, "Analysts").is_empty());
}

#[tokio::test]
async fn unknown_principal_is_refused_with_its_path() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let path = || ErrorKind::InvalidInput { path: Some("principal".parse().unwrap()) };
    let error = instance.create(GRANT, grant(&stand_in, "nobody", json!(["SELECT"]))).await.unwrap_err();
    assert_eq!((error.kind, error.vendor_code.as_deref()), (path(), Some("PRINCIPAL_DOES_NOT_EXIST, HTTP 404")));
    let error = instance.create(PERMISSION, permission(&stand_in, &job_id, "group", "nobody", "CAN_VIEW")).await;
    let error = error.unwrap_err();
    assert!(error.message.contains("nobody"), "{error}");
}

fn permission(stand_in: &StandIn, job: &str, kind: &str, principal: &str, level: &str) -> Json {
    json!({
        "workspaceUrl": stand_in.url(), "objectType": "jobs", "objectId": job, "principalKind": kind,
        "principal": principal, "level": level,
    })
}

fn direct(stand_in: &StandIn, job: &str) -> Vec<String> {
    let list = stand_in.call("GET", &format!("/api/2.0/permissions/jobs/{job}"), Json::Null);
    let mut found = Vec::new();
    for row in list["access_control_list"].as_array().unwrap() {
        let own = row["all_permissions"].as_array().unwrap().iter().find(|it| it["inherited"] == false);
        if let Some(own) = own {
            let name =
                row["user_name"].as_str().or(row["group_name"].as_str()).or(row["service_principal_name"].as_str());
            found.push(format!("{} {}", name.unwrap(), own["permission_level"].as_str().unwrap()));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn deleting_an_entry_keeps_the_others() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let acl = json!({"access_control_list": [{"group_name": "admins", "permission_level": "CAN_VIEW"}]});
    stand_in.call("PATCH", &format!("/api/2.0/permissions/jobs/{job_id}"), acl);
    let before = direct(&stand_in, &job_id);
    let config = permission(&stand_in, &job_id, "group", "dev", "CAN_VIEW");
    let created = instance.create(PERMISSION, config.clone()).await.unwrap();
    instance.assert_settled(PERMISSION, &created, &config).await;
    assert_eq!(direct(&stand_in, &job_id), ["admin@example.com IS_OWNER", "admins CAN_VIEW", "dev CAN_VIEW"]);
    instance.delete(PERMISSION, &created).await.unwrap();
    assert_eq!(direct(&stand_in, &job_id), before);
}

#[tokio::test]
async fn principal_of_the_instance_keeps_its_permission() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let job = instance.create("databricks_job", crate::conformance::job(&stand_in, "a", 1)).await.unwrap();
    let id = job.text("jobId").unwrap();
    let own = permission(&stand_in, id, "user", "terrace@example.com", "IS_OWNER");
    let found = adopted(&instance, PERMISSION, &own).await;
    assert!((instance.ty(PERMISSION).is_adopted)(&found.attributes, &found.private));
    instance.delete(PERMISSION, &found).await.unwrap();
    assert_eq!(direct(&stand_in, id), ["terrace@example.com IS_OWNER"]);
    // Another user becomes the owner, and loses the ownership again.
    let other = permission(&stand_in, id, "user", "jane.roe@example.com", "IS_OWNER");
    let created = instance.create(PERMISSION, other).await.unwrap();
    assert_eq!(direct(&stand_in, id), ["jane.roe@example.com IS_OWNER"]);
    instance.delete(PERMISSION, &created).await.unwrap();
    assert_eq!(direct(&stand_in, id), ["terrace@example.com IS_OWNER"]);
}

#[tokio::test]
async fn preexisting_level_is_restored() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let acl = json!({"access_control_list": [{"group_name": "dev", "permission_level": "CAN_VIEW"}]});
    stand_in.call("PATCH", &format!("/api/2.0/permissions/jobs/{job_id}"), acl);
    let config = permission(&stand_in, &job_id, "group", "dev", "CAN_MANAGE");
    let found = adopted(&instance, PERMISSION, &config).await;
    let created = instance.update(PERMISSION, &found, config).await.unwrap();
    assert!(direct(&stand_in, &job_id).contains(&"dev CAN_MANAGE".to_owned()));
    instance.delete(PERMISSION, &created).await.unwrap();
    assert!(direct(&stand_in, &job_id).contains(&"dev CAN_VIEW".to_owned()));
}

#[tokio::test]
async fn invalid_access_is_refused_with_its_path() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let grant_of = |ty: &str, name: &str, privileges: Json| {
        let mut config = grant(&stand_in, "dev", privileges);
        (config["securableType"], config["fullName"]) = (ty.into(), name.into());
        config
    };
    let cases = [
        (GRANT, grant_of("view", "a.b.c", json!(["SELECT"])), "securableType"),
        (GRANT, grant_of("schema", "a.b.c", json!(["SELECT"])), "fullName"),
        (GRANT, grant_of("table", "a..c", json!(["SELECT"])), "fullName"),
        (GRANT, grant_of("table", "a.b.c", json!(["use catalog"])), "privileges[0]"),
        (GRANT, grant_of("table", "a.b.c", json!([])), "privileges"),
        (PERMISSION, permission(&stand_in, &job_id, "role", "dev", "CAN_VIEW"), "principalKind"),
        (PERMISSION, permission(&stand_in, &job_id, "group", "dev", "CAN_READ"), "level"),
        (PERMISSION, permission(&stand_in, &job_id, "group", "dev", "IS_OWNER"), "level"),
    ];
    stand_in.reset_count();
    for (ty, config, path) in cases {
        let error = instance.plan(ty, None, &config).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(path.parse().unwrap()) }, "{error}");
    }
    assert_eq!(stand_in.count(), 0);
}

#[tokio::test]
async fn git_token_of_the_instance_is_never_repeated() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    // The error contains the request path, which contains the token.
    stand_in.faults().denied = vec!["glpat-usual".to_owned()];
    let config = json!({"workspaceUrl": stand_in.url(), "gitProvider": "gitLab"});
    let credential = instance.create("databricks_git_credential", config).await.unwrap();
    assert!(!format!("{credential:?}").contains("glpat"), "{credential:?}");
    let wrong = permission(&stand_in, "glpat-usual", "group", "dev", "CAN_VIEW");
    let error = instance.create(PERMISSION, wrong).await.unwrap_err();
    assert!(!format!("{error:?}").contains("glpat"), "{error:?}");
}

/// User names ignore case, group names do not.
#[tokio::test]
async fn only_group_names_are_case_sensitive() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let config = grant(&stand_in, "Jane.Roe@Example.com", json!(["SELECT"]));
    let created = instance.create(GRANT, config.clone()).await.unwrap();
    instance.assert_settled(GRANT, &created, &config).await;
    let lower = grant(&stand_in, "jane.roe@example.com", json!(["SELECT"]));
    let plan = instance.plan(GRANT, Some(&created), &lower).await.unwrap();
    assert!(plan.replace_paths.is_empty());
    assert_eq!(plan.planned["id"], created.attributes["id"], "it is the same row");
    let error = instance.create(GRANT, lower).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
    let access = instance.ty(GRANT).access_of(&created.attributes).unwrap();
    let grantees = instance.session.grantees(instance.ty(GRANT), &[access]).await.unwrap();
    assert_eq!(grantees[0].grant.attributes["id"], created.attributes["id"], "there is only one grantee");
    instance.delete(GRANT, &created).await.unwrap();
    assert_eq!(held(&stand_in, "jane.roe@example.com"), [""; 0]);
    let error = instance.create(GRANT, grant(&stand_in, "DEV", json!(["SELECT"]))).await.unwrap_err();
    assert!(error.message.contains("Could not find principal with name DEV"), "{error}");
    // The same for permissions.
    for (kind, principal) in [("user", "Jane.Roe@EXAMPLE.com"), ("servicePrincipal", "Terrace-Client")] {
        let config = permission(&stand_in, &job_id, kind, principal, "CAN_VIEW");
        let created = instance.create(PERMISSION, config.clone()).await.unwrap();
        instance.assert_settled(PERMISSION, &created, &config).await;
        instance.delete(PERMISSION, &created).await.unwrap();
        assert_eq!(direct(&stand_in, &job_id), ["admin@example.com IS_OWNER"]);
    }
}

/// A changed token of the instance is sent again. The row never contains the token.
#[tokio::test]
async fn changed_git_token_is_sent_again() {
    let (stand_in, _) = prepared();
    let config = json!({"workspaceUrl": stand_in.url(), "gitProvider": "gitLab"});
    let sent = |stand_in: &StandIn| -> Vec<Json> {
        let writes = stand_in.take_calls().into_iter().filter(|it| it.is_write());
        writes.map(|it| it.body["personal_access_token"].clone()).collect()
    };
    let instance = Instance::of(&stand_in).await;
    let created = instance.create(CREDENTIAL, config.clone()).await.unwrap();
    instance.assert_settled(CREDENTIAL, &created, &config).await;
    assert_eq!(sent(&stand_in), ["glpat-usual"]);
    let rotated = Instance::with(&stand_in, json!({"git": {"token": "glpat-rotated"}}), Limits::default()).await;
    let plan = rotated.plan(CREDENTIAL, Some(&created), &config).await.unwrap();
    assert!(plan.planned["tokenSent"].has_unknown());
    let changed = rotated.update(CREDENTIAL, &created, config.clone()).await.unwrap();
    assert_eq!(sent(&stand_in), ["glpat-rotated"]);
    rotated.assert_settled(CREDENTIAL, &changed, &config).await;
    assert_eq!(instance.unsettled(CREDENTIAL, &changed, &config).await.unwrap(), ["tokenSent", "tokenSent"]);
    for row in [&created, &changed] {
        assert!(!format!("{row:?}{}", String::from_utf8_lossy(&row.private.0)).contains("glpat"), "{row:?}");
    }
    // A credential with its own token ignores the instance's. An adopted credential is assumed to have the current
    // token.
    let own = json!({"workspaceUrl": stand_in.url(), "gitProvider": "gitHub", "token": "ghp-own"});
    let mine = instance.create(CREDENTIAL, own.clone()).await.unwrap();
    assert_eq!(rotated.unsettled(CREDENTIAL, &mine, &own).await.unwrap(), [""; 0]);
    let row = adopted(&instance, CREDENTIAL, &config).await;
    let plan = instance.plan(CREDENTIAL, Some(&row), &config).await.unwrap();
    assert!(!plan.planned.values().any(Value::has_unknown), "{:?}", plan.planned);
    let adopted_row = Recorded { private: plan.private, ..row };
    assert!(rotated.plan(CREDENTIAL, Some(&adopted_row), &config).await.unwrap().planned["tokenSent"].has_unknown());
    // The same after a lost answer.
    let lost = json!({"workspaceUrl": stand_in.url(), "gitProvider": "awsCodeCommit"});
    stand_in.faults().by_text.push(("POST /api/2.0/git-credentials".to_owned(), Fault::LostAfter));
    instance.create(CREDENTIAL, lost.clone()).await.unwrap_err();
    let Found::Own(found) = instance.find(CREDENTIAL, &lost, Some(Duration::from_secs(5))).await.unwrap() else {
        panic!("the credential exists");
    };
    let row = recorded(&attributes(lost.clone()), found);
    instance.assert_settled(CREDENTIAL, &row, &lost).await;
    assert!(rotated.plan(CREDENTIAL, Some(&row), &lost).await.unwrap().planned["tokenSent"].has_unknown());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_deletions_all_succeed() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let before = direct(&stand_in, &job_id);
    let given = [("group", "dev"), ("user", "jane.roe@example.com")];
    for _ in 0..100 {
        let mut created = Vec::new();
        for (kind, principal) in given {
            let config = permission(&stand_in, &job_id, kind, principal, "CAN_VIEW");
            created.push(instance.create(PERMISSION, config).await.unwrap());
        }
        let results =
            futures_util::future::join_all(created.iter().map(|created| instance.delete(PERMISSION, created))).await;
        results.into_iter().for_each(|results| results.unwrap());
        assert_eq!(direct(&stand_in, &job_id), before);
    }
}

#[tokio::test]
async fn privileges_are_granted_and_revoked_one_by_one() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let before = stand_in.inventory();
    let (first, second) = (privilege(&stand_in, "USE_SCHEMA", false), privilege(&stand_in, "CREATE_TABLE", false));
    let using = instance.create(PRIVILEGE, first.clone()).await.unwrap();
    let first_grant = instance.create(PRIVILEGE, second.clone()).await.unwrap();
    instance.assert_settled(PRIVILEGE, &using, &first).await;
    instance.assert_settled(PRIVILEGE, &first_grant, &second).await;
    let error = instance.create(PRIVILEGE, first.clone()).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
    instance.delete(PRIVILEGE, &using).await.unwrap();
    assert!(instance.read(PRIVILEGE, &using).await.unwrap().is_none());
    instance.assert_settled(PRIVILEGE, &first_grant, &second).await;
    // Grants are read once per object, and returned by privilege.
    let access = instance.ty(PRIVILEGE).access_of(&first_grant.attributes).unwrap();
    let grantees = instance.session.grantees(instance.ty(PRIVILEGE), &[access]).await.unwrap();
    let found: Vec<_> = grantees.iter().map(|it| (it.principal.as_str(), it.privilege.as_str())).collect();
    assert_eq!(found, [("dev", "CREATE_TABLE")]);
    assert_eq!(grantees[0].grant.identity, first_grant.identity);
    instance.delete(PRIVILEGE, &first_grant).await.unwrap();
    assert_eq!(stand_in.inventory(), before);
    // A preexisting privilege is kept, also after a lost answer of the adopting call.
    instance.create(PRIVILEGE, first.clone()).await.unwrap();
    let held = stand_in.inventory();
    let adopting = privilege(&stand_in, "USE_SCHEMA", true);
    let adopted = instance.create(PRIVILEGE, adopting.clone()).await.unwrap();
    assert!((instance.ty(PRIVILEGE).is_adopted)(&adopted.attributes, &adopted.private));
    let found = instance.find(PRIVILEGE, adopting, Some(Duration::from_secs(1))).await.unwrap();
    let Found::Own(found) = found else { panic!("{found:?}") };
    for row in [adopted, recorded(&attributes(first), found)] {
        instance.delete(PRIVILEGE, &row).await.unwrap();
        assert_eq!(stand_in.inventory(), held);
    }
}

/// One object of each unmarked type, created outside terrace.
fn create_external_objects(stand_in: &StandIn, job: &str) -> Vec<(&'static str, Json)> {
    grant_privileges(stand_in, "dev", json!(["SELECT"]));
    let changes = json!({"changes": [{"principal": "dev", "add": ["USE_SCHEMA"]}]});
    stand_in.call("PATCH", "/api/2.1/unity-catalog/permissions/schema/main.raw", changes);
    let acl = json!({"access_control_list": [{"group_name": "dev", "permission_level": "CAN_VIEW"}]});
    stand_in.call("PATCH", &format!("/api/2.0/permissions/jobs/{job}"), acl);
    stand_in.call("POST", "/api/2.0/workspace/mkdirs", json!({"path": "/Shared/theirs"}));
    let checked_out = json!({"url": "https://gitlab.com/a/b.git", "provider": "gitLab", "path": "/Shared/orders"});
    stand_in.call("POST", "/api/2.0/repos", checked_out);
    let token = json!({"git_provider": "gitLab", "personal_access_token": "glpat-theirs"});
    // Each user has separate credentials: this one was created outside terrace under the same name.
    stand_in.call_as("terrace@example.com", "POST", "/api/2.0/git-credentials", token);
    let (url, path) = (stand_in.url(), "/Workspace/Shared/orders");
    vec![
        (GRANT, grant(stand_in, "dev", json!(["SELECT"]))),
        (PRIVILEGE, privilege(stand_in, "USE_SCHEMA", false)),
        (PERMISSION, permission(stand_in, job, "group", "dev", "CAN_VIEW")),
        (CREDENTIAL, json!({"workspaceUrl": url, "gitProvider": "gitLab"})),
        ("databricks_directory", json!({"workspaceUrl": url, "path": "/Workspace/Shared/theirs"})),
        (
            "databricks_repo",
            json!({"workspaceUrl": url, "path": path, "url": "https://gitlab.com/a/b.git", "gitProvider": "gitLab"}),
        ),
    ]
}

#[tokio::test]
async fn preexisting_object_is_not_ours_after_early_crash() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let mut wrong = Vec::new();
    for (ty, config) in create_external_objects(&stand_in, &job_id) {
        let plan = instance.plan(ty, None, &config).await.unwrap();
        let found = instance.session.find(instance.ty(ty), &instance.crashed(ty, &plan)).await.unwrap();
        wrong.extend((found != Found::NoEffect).then(|| format!("{ty}: {found:?}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn preexisting_object_is_not_ours_after_failed_read() {
    let (stand_in, job_id) = prepared();
    let all = create_external_objects(&stand_in, &job_id);
    let before = stand_in.inventory();
    // Either every request is throttled; or a retry reads the object, which an earlier attempt might have created.
    let mut wrong = Vec::new();
    for (retries, expected) in [(0, "throttled"), (3, "ambiguous")] {
        for (ty, config) in &all {
            let limits = Limits { retries, first_pause: Duration::from_millis(1), ..Limits::default() };
            let instance = Instance::with(&stand_in, json!({}), limits).await;
            stand_in.faults().by_text = vec![("GET /api/".to_owned(), Fault::TooMany(Some(0))); 12];
            let error = instance.create(ty, config.clone()).await.unwrap_err();
            stand_in.faults().by_text.clear();
            assert_eq!(error.kind.code(), expected, "{ty}: {error}");
            let found = instance.find(ty, config, Some(Duration::from_secs(1))).await.unwrap();
            wrong.extend((found != Found::NoEffect).then(|| format!("{ty} after {error}: {found:?}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(stand_in.inventory(), before);
}

#[tokio::test]
async fn object_of_lost_call_is_ours_for_another_process() {
    let (stand_in, job_id) = prepared();
    let before = stand_in.inventory();
    let kinds = [
        (GRANT, grant(&stand_in, "dev", json!(["SELECT"]))),
        (PRIVILEGE, privilege(&stand_in, "USE_SCHEMA", false)),
        (PERMISSION, permission(&stand_in, &job_id, "group", "dev", "CAN_VIEW")),
    ];
    for (ty, config) in kinds {
        let instance = Instance::of(&stand_in).await;
        let plan = instance.plan(ty, None, &config).await.unwrap();
        instance.create(ty, config.clone()).await.unwrap();
        let lost = instance.crashed(ty, &plan);
        let other = Instance::of(&stand_in).await;
        let Found::Own(found) = other.session.find(other.ty(ty), &lost).await.unwrap() else { panic!("{ty}") };
        other.delete(ty, &recorded(&attributes(config), found)).await.unwrap();
        assert_eq!(stand_in.inventory(), before, "{ty}");
    }
}
