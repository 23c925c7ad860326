//! Access to roles: with the token, or from this machine if none is configured. The webhook and the health check are
//! open.

use crate::mapper::{TestMapper, call, query};
use serde_json::{Value as Json, json};
use std::time::Duration;
use terrace_engine::digest::sha256;
use terrace_server::auth::{Auth, Scope, Token};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The SHA-256 of `secret`.
const DIGEST: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

const GUARDED: [(&str, &str); 9] = [
    ("GET", "/v1/roles"),
    ("PUT", "/v1/roles"),
    ("GET", "/v1/roles/a"),
    ("DELETE", "/v1/roles/a"),
    ("GET", "/v1/roles/component_id/a"),
    ("PUT", "/v1/user_roles"),
    ("GET", "/v1/user_roles/a"),
    ("PUT", "/v1/group_roles"),
    ("GET", "/v1/group_roles/a"),
];

async fn guarded() -> TestMapper {
    TestMapper::with(|settings| {
        let (name, sha256) = ("provisioner".to_owned(), DIGEST.to_owned());
        let token = Token { name, sha256, organisation: None, grant: Scope::Admin.into(), minimum_length: 1 };
        settings.auth = Auth::Tokens(vec![token]);
    })
    .await
}

#[tokio::test]
async fn routes_of_roles_need_the_token() {
    let mapper = guarded().await;
    let role =
        json!({"role_id": "a", "component_id": "a", "graphql_root_field_names": ["orders"], "users": [], "groups": []});
    for (method, path) in GUARDED {
        let url = format!("{}{path}", mapper.url);
        for headers in [&[][..], &[("authorization", "Bearer wrong")], &[("authorization", "Basic secret")]] {
            let (status, body) = call(method, &url, headers, Some(&role)).await;
            assert_eq!(status, 401, "{method} {path} {headers:?}");
            assert!(body["errors"][0].as_str().unwrap().contains("send `Authorization: Bearer TOKEN`"), "{body}");
        }
    }
    let with = [("authorization", "Bearer secret")];
    let order = [1, 2, 4, 5, 6, 7, 8, 0, 3];
    for (method, path) in order.map(|at| GUARDED[at]) {
        let (status, _) = call(method, &format!("{}{path}", mapper.url), &with, Some(&role)).await;
        assert!(matches!(status, 200 | 204), "{method} {path} {status}");
    }
    assert_eq!(mapper.get("/v1/health").await.0, 200);
    // The webhook accepts only the token of the caller.
    let (status, body) = mapper.authenticate_as(&json!({}), query("{ orders }")).await;
    assert_eq!((status, body), (401, json!("Unauthorized")));
}

#[tokio::test]
async fn token_below_admin_cannot_read_or_write_roles() {
    let mapper = TestMapper::with(|settings| {
        let token = |(word, scope): (&str, Scope)| Token {
            name: word.to_owned(),
            sha256: sha256(word.as_bytes()),
            organisation: None,
            grant: scope.into(),
            minimum_length: 1,
        };
        settings.auth = Auth::Tokens(Scope::WORDS.into_iter().map(token).collect());
    })
    .await;
    let role =
        json!({"role_id": "a", "component_id": "a", "graphql_root_field_names": ["orders"], "users": [], "groups": []});
    let ask = async |word: &str, (method, path): (&str, &str)| {
        let shown = format!("Bearer {word}");
        call(method, &format!("{}{path}", mapper.url), &[("authorization", &shown)], Some(&role)).await
    };
    for (word, _) in Scope::WORDS.into_iter().filter(|(_, scope)| *scope != Scope::Admin) {
        for route in GUARDED {
            let (status, body) = ask(word, route).await;
            assert_eq!(status, 403, "{word} {route:?}");
            assert!(body["errors"][0].as_str().unwrap().contains("`admin`"), "{word} {route:?}: {body}");
        }
    }
    assert_eq!(ask("admin", ("GET", "/v1/roles")).await, (200, json!({"roles": []})), "nothing was written");
    for at in [1, 2, 4, 5, 6, 7, 8, 0, 3] {
        let (status, _) = ask("admin", GUARDED[at]).await;
        assert!(matches!(status, 200 | 204), "{:?} {status}", GUARDED[at]);
    }
}

#[tokio::test]
async fn changes_of_roles_and_refused_calls_are_in_the_audit_log() {
    let mapper = guarded().await;
    let role = json!({"role_id": "r", "component_id": "c", "graphql_root_field_names": ["orders"],
        "users": ["user:ada"], "groups": ["group:dev"]});
    let ask = async |token: &str, method: &str, path: &str| {
        let headers = [("authorization", token), ("x-request-id", "call 1")];
        call(method, &format!("{}{path}", mapper.url), &headers, Some(&role)).await.0
    };
    assert_eq!(ask("Bearer guess", "PUT", "/v1/roles").await, 401);
    assert_eq!(ask("Bearer guess", "GET", "/v1/roles").await, 401);
    assert_eq!(ask("Bearer secret", "PUT", "/v1/user_roles").await, 400, "the role is missing");
    for path in ["/v1/roles", "/v1/user_roles", "/v1/group_roles"] {
        assert_eq!(ask("Bearer secret", "PUT", path).await, 200);
        assert_eq!(ask("Bearer secret", "GET", &format!("{path}/r")).await, 200);
    }
    assert_eq!(ask("Bearer secret", "DELETE", "/v1/roles/r").await, 204);
    assert_eq!(ask("Bearer secret", "DELETE", "/v1/roles/r").await, 404);
    // The end of the previous call is written with the next change.
    assert_eq!(ask("Bearer secret", "PUT", "/v1/roles").await, 200);
    let links = mapper.store.audit_page(0, 100).await.unwrap().links;
    let entries: Vec<Json> = links.iter().map(|link| serde_json::from_str(&link.entry).unwrap()).collect();
    let shown: Vec<String> = entries
        .iter()
        .map(|entry| {
            let text = |name: &str| entry[name].as_str().unwrap().to_owned();
            format!("{} {} {} ({})", text("actor"), text("action"), text("outcome"), text("target"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "unknown role put refused (PUT /v1/roles)",
            "unknown read refused (GET /v1/roles)",
            "provisioner role users failed (PUT /v1/user_roles)",
            "provisioner role put done (PUT /v1/roles: r)",
            "provisioner role users done (PUT /v1/user_roles: r)",
            "provisioner role groups done (PUT /v1/group_roles: r)",
            "provisioner role remove done (DELETE /v1/roles/r: r)",
            "provisioner role remove failed (DELETE /v1/roles/r)",
            "provisioner role put done (PUT /v1/roles: r)",
        ]
    );
    assert!(entries.iter().all(|entry| entry["request_id"] == "call 1"), "{entries:?}");
}

#[tokio::test]
async fn without_a_token_only_this_machine_may_call() {
    let mapper = TestMapper::new().await;
    let url = format!("{}/v1/roles", mapper.url);
    let role = json!({"role_id": "a", "component_id": "a", "graphql_root_field_names": []});
    assert_eq!(call("PUT", &url, &[], Some(&role)).await.0, 200);
    for headers in [[("origin", "https://evil.example.com")], [("sec-fetch-site", "cross-site")]] {
        let (status, body) = call("PUT", &url, &headers, Some(&role)).await;
        assert_eq!(status, 403, "{headers:?}");
        assert!(body["errors"][0].as_str().unwrap().ends_with("set `ROLE_MAPPER_TOKEN`"), "{body}");
    }
    let (status, _) = call("GET", &url, &[("host", "rebound.example.com")], None).await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn too_long_body_is_refused() {
    let mapper = TestMapper::new().await;
    let long = "x".repeat(5 << 20);
    let body = json!({"headers": {}, "request": query(&long)});
    let (status, body) = call("POST", &format!("{}/v1/authenticate", mapper.url), &[], Some(&body)).await;
    assert_eq!((status, body), (413, json!({"errors": ["the body is too long: at most 4194304 bytes are allowed"]})));
}

#[tokio::test]
async fn large_bodies_need_permits_and_short_ones_do_not() {
    let mapper = TestMapper::new().await;
    mapper.role("sales", &["orders"], &["user:ada_example.com"], &[]).await;
    let address = mapper.url.trim_start_matches("http://");
    let head = "POST /v1/authenticate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let mut slow = Vec::new();
    for length in ["content-length: 4000000", "transfer-encoding: chunked"].into_iter().cycle().take(16) {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(format!("{head}{length}\r\n\r\n").as_bytes()).await.unwrap();
        slow.push(connection);
    }
    // Wait until all of them have a permit.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let short = timeout(Duration::from_secs(10), mapper.role_for(&json!({}), query("{ orders }"))).await;
    assert_eq!(short.unwrap().as_deref(), Ok("sales"));
    let long = query(&format!("{{ orders }} #{}", "x".repeat(100_000)));
    let claims = json!({});
    let mut waiting = std::pin::pin!(mapper.role_for(&claims, long));
    assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err(), "it got a permit beside all others");
    drop(slow);
    assert_eq!(timeout(Duration::from_secs(10), waiting).await.unwrap().as_deref(), Ok("sales"));
}
