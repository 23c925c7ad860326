//! The provider `hasura` with this role mapper. It detects without configuration that this role mapper returns root
//! fields and members, and removes roles.

use crate::mapper::TestMapper;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use terrace_provider::conformance::{Instance, settings};
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Value};
use terrace_provider_hasura::HasuraProvider;
use terrace_server::auth::{Auth, Scope, Token};
use terrace_test_hasura::{Mapper, StandIn};

const ROLE: &str = "hasura_role";
const BINDING: &str = "hasura_role_binding";
/// The SHA-256 of `secret`.
const DIGEST: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

fn role(id: &str) -> Json {
    json!({"roleId": id, "componentId": format!("urn:dmb:cmp:sales:{id}"), "rootFields": [format!("{id}_select")]})
}

fn members(users: &[&str], groups: &[&str]) -> Json {
    json!({"roleId": "r", "users": users, "groups": groups})
}

async fn instance(hasura: &StandIn, mapper: &TestMapper, token: &str) -> Instance<HasuraProvider> {
    let provider = HasuraProvider::with_variables(BTreeMap::new()).with_export_max_age(Duration::ZERO);
    let mut settings = settings(Path::new("."));
    let values =
        json!({"url": hasura.url(), "adminSecret": "secret", "roleMapper": {"url": mapper.url, "token": token}});
    let Value::Map(values) = Value::from(values) else { panic!("settings are a map") };
    settings.values = values;
    let limits = Limits { retries: 0, ..Limits::default() };
    Instance::open(provider, &settings, limits, "shop@test:port/hasura.a").await.unwrap()
}

#[tokio::test]
async fn provider_manages_roles_and_their_members() {
    let hasura = StandIn::start(Mapper::Old);
    let mapper = TestMapper::with(|settings| {
        let (name, sha256) = ("provider".to_owned(), DIGEST.to_owned());
        let token = Token { name, sha256, organisation: None, grant: Scope::Admin.into(), minimum_length: 1 };
        settings.auth = Auth::Tokens(vec![token]);
    })
    .await;
    let instance = instance(&hasura, &mapper, "secret").await;
    let made = instance.create(ROLE, role("r")).await.unwrap();
    assert_eq!(instance.unsettled(ROLE, &made, role("r")).await.unwrap(), [] as [String; 0]);
    let bound = instance.create(BINDING, members(&["user:b", "user:a"], &["group:dev"])).await.unwrap();
    let config = members(&["user:b", "user:a"], &["group:dev"]);
    assert_eq!(instance.unsettled(BINDING, &bound, config).await.unwrap(), [] as [String; 0]);
    // Import finds existing roles by their ID.
    for (ty, is_whole) in [(ROLE, "rootFields"), (BINDING, "users")] {
        let ty = instance.resource_type(ty).unwrap();
        let imported = instance.session.import(ty, "r").await.unwrap().unwrap();
        assert!(imported.attributes.contains_key(is_whole), "{imported:?}");
        assert!(instance.session.import(ty, "gone").await.unwrap().is_none());
    }
    // Changes by other clients are drift.
    let headers = [("authorization", "Bearer secret")];
    let put = async |path: &str, body: Json| {
        let answer = crate::mapper::call("PUT", &format!("{}{path}", mapper.url), &headers, Some(&body)).await;
        assert_eq!(answer.0, 200, "{answer:?}");
    };
    put("/v1/group_roles", json!({"role_id": "r", "groups": ["group:theirs"]})).await;
    let config = members(&["user:b", "user:a"], &["group:dev"]);
    assert_eq!(instance.unsettled(BINDING, &bound, &config).await.unwrap(), ["groups"]);
    let bound =
        instance.update(BINDING, &instance.read(BINDING, &bound).await.unwrap().unwrap(), &config).await.unwrap();
    assert_eq!(instance.unsettled(BINDING, &bound, &config).await.unwrap(), [] as [String; 0]);
    let foreign = json!({"role_id": "r", "component_id": "urn:dmb:cmp:sales:r", "graphql_root_field_names": ["x"]});
    put("/v1/roles", foreign).await;
    assert_eq!(instance.unsettled(ROLE, &made, role("r")).await.unwrap(), ["rootFields"]);
    instance.delete(ROLE, &made).await.unwrap();
    assert!(instance.read(ROLE, &made).await.unwrap().is_none());
    assert!(instance.read(BINDING, &bound).await.unwrap().is_none());
    instance.delete(BINDING, &bound).await.unwrap();
    assert!(instance.reports.messages().is_empty(), "{:?}", instance.reports.messages());
}

#[tokio::test]
async fn foreign_and_missing_roles_are_errors() {
    let hasura = StandIn::start(Mapper::Old);
    let mapper = TestMapper::new().await;
    let instance = instance(&hasura, &mapper, "ignored").await;
    let foreign = json!({"role_id": "r", "component_id": "urn:theirs", "graphql_root_field_names": ["x"]});
    assert_eq!(mapper.put("/v1/roles", foreign.clone()).await.0, 200);
    let error = instance.create(ROLE, role("r")).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::AlreadyExists { .. }), "{error}");
    assert!(error.message.contains("`urn:theirs`"), "{error}");
    let second = json!({"roleId": "second", "componentId": "urn:theirs"});
    let error = instance.create(ROLE, second).await.unwrap_err();
    assert!(matches!(error.kind, ErrorKind::InvalidInput { .. }), "{error}");
    assert_eq!(mapper.get("/v1/roles").await.1["roles"], json!([foreign]));
    let error =
        instance.create(BINDING, json!({"roleId": "none", "users": ["user:a"], "groups": []})).await.unwrap_err();
    assert_eq!(error.message, "role `none` does not exist");
}

#[tokio::test]
async fn unknown_token_is_an_error_with_a_hint() {
    let hasura = StandIn::start(Mapper::Old);
    let mapper = TestMapper::with(|settings| {
        let (name, sha256) = ("provider".to_owned(), DIGEST.to_owned());
        let token = Token { name, sha256, organisation: None, grant: Scope::Admin.into(), minimum_length: 1 };
        settings.auth = Auth::Tokens(vec![token]);
    })
    .await;
    let instance = instance(&hasura, &mapper, "wrong").await;
    let error = instance.create(ROLE, role("r")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.solutions.join(" ").contains("roleMapper.token"), "{error:?}");
}
