//! Texts of other languages in every text of every type: a name or a value as it is, or refused, and never anything else.

use crate::azure::{made_by_others, usual, workspace};
use crate::conformance::{METASTORE, grant, job, pipeline, prepared, privilege, view};
use crate::harness::{Instance, attributes, provider, recorded};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_provider::conformance::variants;
use terrace_provider::{Attribute, AttributeType, ErrorKind, Found, Provider};
use terrace_test_azure::{ACCOUNT, Azure, METASTORE as OF_ACCOUNT};

/// Ends what it may stand in, and then does something else.
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

/// What may become of a text that is no name: its object is refused here or there, or is not there.
const REFUSALS: [&str; 5] = ["invalid_input", "not_found", "permission_denied", "failed", "already_exists"];

/// A type, all that can be said of one, and the beginnings of the paths that calls for it have.
type Said = (&'static str, Json, &'static [&'static str]);

const CATALOG: &[&str] = &["/api/2.1/unity-catalog/", "/api/2.0/sql/", "/api/2.0/preview/scim/"];

/// With every text in the place of every other one: it is made and goes again, or it is refused.
async fn try_all(
    instance: &Instance,
    said: &[Said],
    seen: impl Fn() -> Vec<String>,
    inventory: impl Fn() -> Vec<String>,
) -> (usize, usize) {
    assert_all_is_said(said);
    let before = inventory();
    let (mut made, mut refused) = (0, 0);
    for (ty, config, paths) in said {
        for text in HOSTILE {
            for (path, config) in variants(config, text) {
                let told = format!("{ty}{path}: {text:?}");
                drop(seen());
                match instance.create(ty, &config).await {
                    Ok(row) => {
                        made += 1;
                        instance.assert_settled(ty, &row, &config).await;
                        instance.delete(ty, &row).await.unwrap_or_else(|error| panic!("{told}: {error:?}"));
                    }
                    // It is there, and not as it was described.
                    Err(error) if error.kind == ErrorKind::Ambiguous => {
                        refused += 1;
                        let Found::Ours(half) = instance.find(ty, &config, Some(Duration::ZERO)).await.unwrap() else {
                            panic!("{told}: {error:?}, and nothing is found")
                        };
                        let half = recorded(&attributes(config), half);
                        instance.delete(ty, &half).await.unwrap_or_else(|error| panic!("{told}: {error:?}"));
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(REFUSALS.contains(&error.kind.code()), "{told}: {error:?}");
                    }
                }
                for path in seen() {
                    assert!(paths.iter().any(|it| path.starts_with(it)), "{told}: {path}");
                }
                assert_eq!(inventory(), before, "{told}");
            }
        }
    }
    (made, refused)
}

/// Nothing that may hold a text is left out.
fn assert_all_is_said(said: &[Said]) {
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
    for ty in said.iter().map(|it| it.0) {
        let provider = provider();
        let mut expected = BTreeSet::new();
        texts(&provider.schema().resource(ty).unwrap().attributes.0, "", &mut expected);
        let all = said.iter().filter(|it| it.0 == ty).flat_map(|it| variants(&it.1, "x"));
        let paths: Vec<String> = all
            .map(|(path, _)| path.split('/').filter(|it| it.parse::<u8>().is_err()).collect::<Vec<_>>().join("/"))
            .collect();
        expected.retain(|it| !paths.iter().any(|path| path == it || path.starts_with(&format!("{it}/"))));
        assert_eq!(expected, BTreeSet::new(), "{ty}");
    }
}

#[tokio::test]
async fn no_text_is_more_than_a_name_or_a_value_in_a_workspace() {
    let (stand_in, kept) = prepared();
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
    let (mut taken, mut flow) = (set(job(&stand_in, "h", 1)), set(pipeline(&stand_in, true)));
    taken["jobId"] = kept.clone().into();
    flow["secretSettings"] = json!({"configuration": {"key": "s3cret"}});
    let mut known = set(pipeline(&stand_in, true));
    known["pipelineId"] = "7".into();
    let repo = |reference: &str| {
        let url = "https://gitlab.com/a/b.git";
        of(json!({"path": "/Workspace/Shared/h", "url": url, "gitProvider": "gitLab", reference: "v1"}))
    };
    let permission = json!({"objectType": "jobs", "objectId": kept, "principalKind": "group", "principal": "dev", "level": "CAN_VIEW"});
    let said: [Said; 9] = [
        (
            "databricks_git_credential",
            of(json!({"gitProvider": "gitLab", "gitUsername": "bot", "token": "glpat"})),
            &["/api/2.0/git-credentials"],
        ),
        ("databricks_directory", of(json!({"path": "/Workspace/h/a"})), &["/api/2.0/workspace/"]),
        ("databricks_repo", repo("branch"), &["/api/2.0/repos", "/api/2.0/workspace/"]),
        ("databricks_repo", repo("tag"), &["/api/2.0/repos", "/api/2.0/workspace/"]),
        ("databricks_job", secret, &["/api/2.2/jobs/"]),
        ("databricks_job", taken, &["/api/2.2/jobs/"]),
        ("databricks_pipeline", flow, &["/api/2.0/pipelines"]),
        ("databricks_pipeline", known, &["/api/2.0/pipelines"]),
        ("databricks_permission", of(permission), &["/api/2.0/permissions/", "/api/2.0/preview/scim/"]),
    ];
    let seen = || stand_in.take_seen().into_iter().map(|it| it.path).collect();
    let (made, refused) = try_all(&instance, &said, seen, || stand_in.inventory()).await;
    assert!(made > 5 && refused > 50, "{made} made, {refused} refused");
}

#[tokio::test]
async fn no_text_is_more_than_a_name_or_a_value_in_a_metastore() {
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
    let said = [
        ("databricks_catalog", container(json!({"name": "h"})), CATALOG),
        ("databricks_schema", container(json!({"catalog": "main", "name": "h"})), CATALOG),
        ("databricks_view", view(&stand_in, columns), CATALOG),
        ("databricks_grant", grant(&stand_in, "dev", json!(["SELECT"])), CATALOG),
        ("databricks_privilege", privilege(&stand_in, "USE_SCHEMA", false), CATALOG),
    ];
    let seen = || stand_in.take_seen().into_iter().map(|it| it.path).collect();
    let (made, refused) = try_all(&instance, &said, seen, || stand_in.inventory()).await;
    assert!(made > 5 && refused > 50, "{made} made, {refused} refused");
}

#[tokio::test]
async fn no_text_is_more_than_a_name_or_a_value_around_a_workspace() {
    let azure = Azure::start();
    let (number, scope) = made_by_others(&azure, "others");
    let (entered, _) = made_by_others(&azure, "entered");
    let assignment = json!({"metastore_assignment": {"metastore_id": OF_ACCOUNT}});
    let path = format!("/api/2.0/accounts/{ACCOUNT}/workspaces/{entered}/metastores/{OF_ACCOUNT}");
    azure.call("POST", &path, assignment);
    azure.take_questions(0);
    let instance = usual(&azure).await;
    let mut made = workspace("h");
    made["sku"] = "premium".into();
    made["managedResourceGroup"] = "h-rg".into();
    let who = azure.account_id("jane.roe@example.com");
    let role =
        json!({"scope": scope, "role": "Contributor", "principalId": azure.object_id("dev"), "principalKind": "group"});
    let account: &[&str] = &["/api/2.0/accounts/", "/api/2.1/accounts/"];
    let said: [Said; 4] = [
        ("databricks_workspace", made, &["/subscriptions/"]),
        (
            "databricks_metastore_assignment",
            json!({"workspaceId": number, "metastoreId": OF_ACCOUNT, "defaultCatalog": "main"}),
            account,
        ),
        (
            "databricks_workspace_assignment",
            json!({"workspaceId": entered, "principalId": who, "permissions": ["USER"]}),
            account,
        ),
        ("databricks_azure_role_assignment", role, &["/subscriptions/"]),
    ];
    let seen = || azure.take_seen().into_iter().map(|it| it.path).filter(|it| !it.ends_with("/token")).collect();
    let (made, refused) = try_all(&instance, &said, seen, || azure.inventory()).await;
    assert!(made > 5 && refused > 50, "{made} made, {refused} refused");
}
