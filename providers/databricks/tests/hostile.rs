//! Hostile text in every string of every type: it is stored unchanged or refused, and has no other effect.

use crate::azure::{create_external_workspace, default_instance, workspace};
use crate::conformance::{METASTORE, grant, job, pipeline, prepared, privilege, view};
use crate::harness::{Instance, attributes, provider, recorded};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_provider::conformance::variants;
use terrace_provider::{Attribute, AttributeType, ErrorKind, Found, Provider};
use terrace_test_azure::{ACCOUNT, Azure, METASTORE as OF_ACCOUNT};

/// Strings that try to escape their context and inject a second command.
const HOSTILE: [&str; 8] = [
    "x'; DROP TABLE main.out.keep; --",
    "x`; DROP TABLE main.out.keep; --",
    "x\\'; DROP TABLE main.out.keep; --",
    "x\"}, {\"name\": \"keep\"",
    "../../../2.1/unity-catalog/tables/main.out.keep?force=true#",
    "x\r\nDELETE /api/2.1/unity-catalog/tables/main.out.keep HTTP/1.1\r\n",
    "*",
    "x\u{0}keep",
];

/// Accepted errors for hostile text: the plan or the server refuses it, or the object is missing.
const REFUSALS: [&str; 5] = ["invalid_input", "not_found", "permission_denied", "failed", "already_exists"];

/// A type, a configuration with all its attributes, and the allowed prefixes of request paths.
type Case = (&'static str, Json, &'static [&'static str]);

const CATALOG: &[&str] = &["/api/2.1/unity-catalog/", "/api/2.0/sql/", "/api/2.0/preview/scim/"];

/// Puts each hostile text in the place of each string: the object is created and deleted, or refused.
async fn try_all(
    instance: &Instance,
    cases: &[Case],
    request_paths: impl Fn() -> Vec<String>,
    inventory: impl Fn() -> Vec<String>,
) -> (usize, usize) {
    assert_all_strings_are_covered(cases);
    let before = inventory();
    let (mut created, mut refused) = (0, 0);
    for (ty, config, paths) in cases {
        for text in HOSTILE {
            for (path, config) in variants(config, text) {
                let case = format!("{ty}{path}: {text:?}");
                drop(request_paths());
                match instance.create(ty, &config).await {
                    Ok(row) => {
                        created += 1;
                        instance.assert_settled(ty, &row, &config).await;
                        instance.delete(ty, &row).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                    }
                    // The object exists, but differs from the plan.
                    Err(error) if error.kind == ErrorKind::Ambiguous => {
                        refused += 1;
                        let Found::Own(half) = instance.find(ty, &config, Some(Duration::ZERO)).await.unwrap() else {
                            panic!("{case}: {error:?}, but no object is found")
                        };
                        let half = recorded(&attributes(config), half);
                        instance.delete(ty, &half).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(REFUSALS.contains(&error.kind.code()), "{case}: {error:?}");
                    }
                }
                for path in request_paths() {
                    assert!(paths.iter().any(|it| path.starts_with(it)), "{case}: {path}");
                }
                assert_eq!(inventory(), before, "{case}");
            }
        }
    }
    (created, refused)
}

/// Asserts that the cases cover every attribute that may hold a string.
fn assert_all_strings_are_covered(cases: &[Case]) {
    fn texts(object: &[Attribute], at: &str, found: &mut BTreeSet<String>) {
        for attribute in object.iter().filter(|it| it.configurable) {
            let at = format!("{at}/{}", attribute.name);
            let mut ty = &attribute.ty;
            while let AttributeType::List(inner) | AttributeType::Map(inner) = ty {
                ty = inner;
            }
            match ty {
                AttributeType::Object(inner) => texts(&inner.0, &at, found),
                AttributeType::String | AttributeType::Any => drop(found.insert(at)),
                _ => {}
            }
        }
    }
    for ty in cases.iter().map(|it| it.0) {
        let provider = provider();
        let mut expected = BTreeSet::new();
        texts(&provider.schema().resource(ty).unwrap().attributes.0, "", &mut expected);
        let all = cases.iter().filter(|it| it.0 == ty).flat_map(|it| variants(&it.1, "x"));
        let paths: Vec<String> = all
            .map(|(path, _)| path.split('/').filter(|it| it.parse::<u8>().is_err()).collect::<Vec<_>>().join("/"))
            .collect();
        expected.retain(|it| !paths.iter().any(|path| path == it || path.starts_with(&format!("{it}/"))));
        assert_eq!(expected, BTreeSet::new(), "{ty}");
    }
}

#[tokio::test]
async fn hostile_text_in_a_workspace_is_stored_or_refused() {
    let (stand_in, job_id) = prepared();
    let instance = Instance::of(&stand_in).await;
    let of = |mut more: Json| {
        more["workspaceUrl"] = stand_in.url().into();
        more
    };
    let set = |mut config: Json| {
        config["manage"] = "given".into();
        config
    };
    let mut secret = set(job(&stand_in, "h", 1));
    secret["secretSettings"] =
        json!({"tasks": [{"task_key": "main", "notebook_task": {"base_parameters": {"key": "s3cret"}}}]});
    let (mut existing, mut flow) = (set(job(&stand_in, "h", 1)), set(pipeline(&stand_in, true)));
    existing["jobId"] = job_id.clone().into();
    flow["secretSettings"] = json!({"configuration": {"key": "s3cret"}});
    let mut known = set(pipeline(&stand_in, true));
    known["pipelineId"] = "7".into();
    let repo = |reference: &str| {
        let url = "https://gitlab.com/a/b.git";
        of(json!({"path": "/Workspace/Shared/h", "url": url, "gitProvider": "gitLab", reference: "v1"}))
    };
    let permission = json!({"objectType": "jobs", "objectId": job_id, "principalKind": "group", "principal": "dev", "level": "CAN_VIEW"});
    let cases: [Case; 9] = [
        (
            "databricks_git_credential",
            of(json!({"gitProvider": "gitLab", "gitUsername": "bot", "token": "glpat"})),
            &["/api/2.0/git-credentials"],
        ),
        ("databricks_directory", of(json!({"path": "/Workspace/h/a"})), &["/api/2.0/workspace/"]),
        ("databricks_repo", repo("branch"), &["/api/2.0/repos", "/api/2.0/workspace/"]),
        ("databricks_repo", repo("tag"), &["/api/2.0/repos", "/api/2.0/workspace/"]),
        ("databricks_job", secret, &["/api/2.2/jobs/"]),
        ("databricks_job", existing, &["/api/2.2/jobs/"]),
        ("databricks_pipeline", flow, &["/api/2.0/pipelines"]),
        ("databricks_pipeline", known, &["/api/2.0/pipelines"]),
        ("databricks_permission", of(permission), &["/api/2.0/permissions/", "/api/2.0/preview/scim/"]),
    ];
    let request_paths = || stand_in.take_calls().into_iter().map(|it| it.path).collect();
    let (created, refused) = try_all(&instance, &cases, request_paths, || stand_in.inventory()).await;
    assert!(created > 5 && refused > 50, "{created} made, {refused} refused");
}

#[tokio::test]
async fn hostile_text_in_a_metastore_is_stored_or_refused() {
    let (stand_in, _) = prepared();
    let instance = Instance::of(&stand_in).await;
    let container = |mut more: Json| {
        let all = json!({
            "workspaceUrl": stand_in.url(), "metastoreId": METASTORE, "comment": "x", "owner": "dev",
            "storageRoot": "abfss://a@b.dfs.core.windows.net/h", "properties": {"team": "a"},
        });
        more.as_object_mut().unwrap().extend(all.as_object().unwrap().clone());
        more
    };
    let columns = json!([{"name": "id", "comment": "x", "typeName": "INT"}, {"name": "Name"}]);
    let cases = [
        ("databricks_catalog", container(json!({"name": "h"})), CATALOG),
        ("databricks_schema", container(json!({"catalog": "main", "name": "h"})), CATALOG),
        ("databricks_view", view(&stand_in, columns), CATALOG),
        ("databricks_grant", grant(&stand_in, "dev", json!(["SELECT"])), CATALOG),
        ("databricks_privilege", privilege(&stand_in, "USE_SCHEMA", false), CATALOG),
    ];
    let request_paths = || stand_in.take_calls().into_iter().map(|it| it.path).collect();
    let (created, refused) = try_all(&instance, &cases, request_paths, || stand_in.inventory()).await;
    assert!(created > 5 && refused > 50, "{created} made, {refused} refused");
}

#[tokio::test]
async fn hostile_text_in_azure_types_is_stored_or_refused() {
    let azure = Azure::start();
    let (number, scope) = create_external_workspace(&azure, "others");
    let (entered, _) = create_external_workspace(&azure, "entered");
    let assignment = json!({"metastore_assignment": {"metastore_id": OF_ACCOUNT}});
    let path = format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{entered}/metastores/{OF_ACCOUNT}");
    azure.call("POST", &path, assignment);
    azure.take_questions(0);
    let instance = default_instance(&azure).await;
    let mut created = workspace("h");
    created["sku"] = "premium".into();
    created["managedResourceGroup"] = "h-rg".into();
    let principal_id = azure.account_id("jane.roe@example.com");
    let role =
        json!({"scope": scope, "role": "Contributor", "principalId": azure.object_id("dev"), "principalKind": "group"});
    let account: &[&str] = &["/api/2.0/accounts/", "/api/2.1/accounts/"];
    let cases: [Case; 4] = [
        ("databricks_workspace", created, &["/subscriptions/"]),
        (
            "databricks_metastore_assignment",
            json!({"workspaceId": number, "metastoreId": OF_ACCOUNT, "defaultCatalog": "main"}),
            account,
        ),
        (
            "databricks_workspace_assignment",
            json!({"workspaceId": entered, "principalId": principal_id, "permissions": ["USER"]}),
            account,
        ),
        ("databricks_azure_role_assignment", role, &["/subscriptions/"]),
    ];
    let request_paths =
        || azure.take_calls().into_iter().map(|it| it.path).filter(|it| !it.ends_with("/token")).collect();
    let (created, refused) = try_all(&instance, &cases, request_paths, || azure.inventory()).await;
    assert!(created > 5 && refused > 50, "{created} made, {refused} refused");
}
