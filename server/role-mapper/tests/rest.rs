//! Roles and their members over REST: the behaviour of the previous service, and additions.

use crate::mapper::{TestMapper, query};
use async_trait::async_trait;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{AuditEntry, AuditLog, AuditPage, StoreError};
use terrace_state::roles::{Members, Put, Role, RoleStore};

fn role(id: &str, component: &str, fields: &[&str]) -> Json {
    json!({"role_id": id, "component_id": component, "graphql_root_field_names": fields})
}

#[tokio::test]
async fn role_is_written_read_and_removed_with_its_members() {
    let mapper = TestMapper::new().await;
    let sent = role("dom1.dp1.0.op.role", "urn:dmb:cmp:dom1:dp1:0:op", &["b", "a"]);
    let stored = role("dom1.dp1.0.op.role", "urn:dmb:cmp:dom1:dp1:0:op", &["a", "b"]);
    assert_eq!(mapper.put("/v1/roles", sent).await, (200, stored.clone()));
    assert_eq!(mapper.get("/v1/roles/dom1.dp1.0.op.role").await, (200, stored.clone()));
    assert_eq!(mapper.get("/v1/roles/component_id/urn:dmb:cmp:dom1:dp1:0:op").await, (200, stored.clone()));
    assert_eq!(mapper.get("/v1/roles").await, (200, json!({"roles": [stored]})));
    let users = json!({"role_id": "dom1.dp1.0.op.role", "users": ["user:a", "user:b"]});
    let groups = json!({"role_id": "dom1.dp1.0.op.role", "groups": ["group:a b"]});
    assert_eq!(mapper.put("/v1/user_roles", users.clone()).await, (200, users.clone()));
    assert_eq!(mapper.put("/v1/group_roles", groups.clone()).await, (200, groups.clone()));
    assert_eq!(mapper.get("/v1/user_roles/dom1.dp1.0.op.role").await, (200, users));
    assert_eq!(mapper.get("/v1/group_roles/dom1.dp1.0.op.role").await, (200, groups));
    assert_eq!(mapper.delete("/v1/roles/dom1.dp1.0.op.role").await, (204, Json::Null));
    let not_found = json!("Role not found for role_id dom1.dp1.0.op.role");
    for path in ["roles", "user_roles", "group_roles"] {
        assert_eq!(mapper.get(&format!("/v1/{path}/dom1.dp1.0.op.role")).await, (404, not_found.clone()), "{path}");
    }
    assert_eq!(mapper.delete("/v1/roles/dom1.dp1.0.op.role").await, (404, not_found));
    let none = json!("Role not found for component_id urn:dmb:cmp:dom1:dp1:0:op");
    assert_eq!(mapper.get("/v1/roles/component_id/urn:dmb:cmp:dom1:dp1:0:op").await, (404, none));
}

#[tokio::test]
async fn names_may_have_any_characters() {
    let mapper = TestMapper::new().await;
    let odd = "a/b%2e ü\"'?#";
    assert_eq!(mapper.put("/v1/roles", role(odd, odd, &[])).await.0, 200);
    let path = "a%2Fb%252e%20%C3%BC%22%27%3F%23";
    assert_eq!(mapper.get(&format!("/v1/roles/{path}")).await.1["role_id"], odd);
    assert_eq!(mapper.get(&format!("/v1/roles/component_id/{path}")).await.1["role_id"], odd);
    assert_eq!(mapper.delete(&format!("/v1/roles/{path}")).await.0, 204);
}

#[tokio::test]
async fn invalid_requests_get_the_errors_of_the_previous_service() {
    let mapper = TestMapper::new().await;
    let errors = |error: &str| (400, json!({"errors": [error]}));
    mapper.put("/v1/roles", role("a", "urn:a", &["x"])).await;
    let other = mapper.put("/v1/roles", role("a", "urn:b", &["y"])).await;
    assert_eq!(other, errors("Cannot upsert role with role_id a: it belongs to another component_id"));
    let taken = mapper.put("/v1/roles", role("b", "urn:a", &["y"])).await;
    assert_eq!(taken, errors("Cannot upsert role with role_id b: component_id urn:a belongs to the role a"));
    assert_eq!(mapper.get("/v1/roles").await.1["roles"], json!([role("a", "urn:a", &["x"])]));
    for (path, members) in [("/v1/user_roles", "users"), ("/v1/group_roles", "groups")] {
        let answer = mapper.put(path, json!({"role_id": "none", members: []})).await;
        assert_eq!(answer, errors("Role not found for role_id none"));
        for wrong in ["ada", "", "user:", "group:", if members == "users" { "group:a" } else { "user:a" }] {
            let (status, body) = mapper.put(path, json!({"role_id": "a", members: [wrong]})).await;
            assert_eq!(status, 400, "{wrong}");
            assert!(body["errors"][0].as_str().unwrap().contains("is not a reference"), "{body}");
        }
    }
    for (path, body) in [
        ("/v1/roles", json!({"role_id": "c", "component_id": "c"})),
        ("/v1/roles", json!({"role_id": 7, "component_id": "c", "graphql_root_field_names": []})),
        ("/v1/roles", role("", "c", &[])),
        ("/v1/roles", role("c", "", &[])),
        ("/v1/roles", json!([])),
        ("/v1/user_roles", json!({"role_id": "a"})),
        ("/v1/group_roles", json!({"groups": []})),
    ] {
        let (status, answer) = mapper.put(path, body.clone()).await;
        assert_eq!(status, 400, "{path} {body}");
        assert!(answer["errors"][0].is_string(), "{answer}");
    }
    for (body, content_type, why) in [
        ("{", "application/json", "the body is not JSON: it ends too early, at line 1, column 1"),
        ("{}", "application/json", "`role_id` is missing"),
        (r#"{"role_id": 7}"#, "application/json", "`role_id` is a whole number, and has to be text in double quotes"),
        ("{}", "text/plain", "the content type is not JSON: send `content-type: application/json`"),
    ] {
        let client = terrace_provider::http::builder(None).unwrap().build().unwrap();
        let request = client.put(format!("{}/v1/roles", mapper.url)).header("content-type", content_type).body(body);
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 400, "{body}");
        let answer: Json = serde_json::from_str(&reply.text().await.unwrap()).unwrap();
        assert!(answer["errors"][0].as_str().unwrap().starts_with(why), "{answer} {why}");
    }
    // Names that root fields, database indexes or readers cannot handle.
    let long = "x".repeat(513);
    for (role, why) in [
        (role("c", "c", &["ok", "a b"]), "`a b` is not a GraphQL name"),
        (role("c", "c", &[""]), "is not a GraphQL name"),
        (role("c", "c", &["1a"]), "is not a GraphQL name"),
        (role("c", "c", &["\u{e9}"]), "is not a GraphQL name"),
        (role("c", "c", &["a\0"]), "`a\\0` is not a GraphQL name"),
        (role("c", "c", &[&long]), "is not a GraphQL name"),
        (role(&long, "c", &[]), "`role_id` has 513 bytes, and at most 512 are allowed"),
        (role("c", &long, &[]), "`component_id` has 513 bytes"),
        (role("c\0", "c", &[]), "`role_id` has control characters"),
        (role("c", "c\n", &[]), "`component_id` has control characters"),
        // Hasura lets members of this role do everything.
        (role("admin", "c", &["x"]), "the role `admin` is reserved"),
        (role(" Admin", "c", &["x"]), "is reserved"),
    ] {
        let (status, answer) = mapper.put("/v1/roles", role.clone()).await;
        assert_eq!(status, 400, "{role}");
        assert!(answer["errors"][0].as_str().unwrap().contains(why), "{answer} {why}");
    }
    for (path, members, wrong) in [
        ("/v1/user_roles", "users", "user:a\0b".to_owned()),
        ("/v1/group_roles", "groups", "group:a\tb".to_owned()),
        ("/v1/user_roles", "users", format!("user:{long}")),
    ] {
        let (status, answer) = mapper.put(path, json!({"role_id": "a", members: [wrong]})).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["errors"][0].as_str().unwrap().starts_with("a reference has "), "{answer}");
    }
    assert_eq!(mapper.put("/v1/roles", role(&long[1..], "urn:long", &[&long[1..]])).await.0, 200);
    for path in ["/v1/roles/%ff", "/v1/user_roles/%ff", "/v1/roles/component_id/%ff"] {
        let (status, answer) = mapper.get(path).await;
        assert_eq!(status, 400, "{path}");
        assert!(answer["errors"][0].as_str().unwrap().starts_with("the path is not UTF-8"), "{answer}");
    }
    assert_eq!(mapper.get("/v1/nothing").await.0, 404);
    assert_eq!(mapper.delete("/v1/roles").await.0, 405);
}

#[tokio::test]
async fn health_and_readiness_are_reported() {
    let mapper = TestMapper::new().await;
    assert_eq!(mapper.get("/v1/health").await, (200, json!("Alive")));
    assert_eq!(mapper.get("/v1/ready").await, (200, json!("Ready")));
    let mapper = TestMapper::over(Arc::new(UnavailableStore), |_| ()).await;
    assert_eq!(mapper.get("/v1/health").await.0, 200);
    let why = json!({"errors": ["cannot read roles now: try again later"]});
    assert_eq!(mapper.get("/v1/ready").await, (503, why));
    // Other calls reveal no more, and no caller gets a role.
    assert_eq!(mapper.get("/v1/roles").await.0, 500);
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await, Err(500));
}

/// A database that does not answer.
struct UnavailableStore;

fn unavailable<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable { action: "read", reason: "it does not answer".to_owned() })
}

#[async_trait]
impl AuditLog for UnavailableStore {
    async fn audit(&self, _: Vec<AuditEntry>) -> Result<u64, StoreError> {
        unavailable()
    }

    async fn audit_page(&self, _: u64, _: usize) -> Result<AuditPage, StoreError> {
        unavailable()
    }

    async fn prune_audit(&self, _: Duration) -> Result<u64, StoreError> {
        unavailable()
    }
}

#[async_trait]
impl RoleStore for UnavailableStore {
    async fn roles(&self) -> Result<Vec<Role>, StoreError> {
        unavailable()
    }

    async fn role(&self, _: &str) -> Result<Option<Role>, StoreError> {
        unavailable()
    }

    async fn role_of_component(&self, _: &str) -> Result<Option<Role>, StoreError> {
        unavailable()
    }

    async fn put_role(&self, _: &Role) -> Result<Put, StoreError> {
        unavailable()
    }

    async fn remove_role(&self, _: &str) -> Result<bool, StoreError> {
        unavailable()
    }

    async fn members(&self, _: &str, _: Members) -> Result<Option<Vec<String>>, StoreError> {
        unavailable()
    }

    async fn put_members(&self, _: &str, _: Members, _: &BTreeSet<String>) -> Result<bool, StoreError> {
        unavailable()
    }

    async fn covering(
        &self,
        _: &str,
        _: &BTreeSet<String>,
        _: &BTreeSet<String>,
    ) -> Result<Option<String>, StoreError> {
        unavailable()
    }
}
