//! A running role mapper, and helpers for tests.

use crate::issuer::{Issuer, Key};
use axum::Router;
use axum::http::Method;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use terrace_role_mapper::{RoleMapper, Settings};
use terrace_server::auth::Auth;
use terrace_server::jwt::{Accepted, Algorithm, Trust};
use terrace_state::StoreUrl;
use terrace_state::roles::RoleStore;

/// Serves routes on a port of their own during the test; returns their URL.
pub(crate) async fn serve(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

/// A role mapper with its own store in memory and its own issuer.
pub(crate) struct TestMapper {
    pub(crate) store: Arc<dyn RoleStore>,
    pub(crate) url: String,
    pub(crate) issuer: Issuer,
    pub(crate) key: Key,
}

/// A status and a body; null without a body.
pub(crate) type Answer = (u16, Json);

/// Sends a call.
pub(crate) async fn call(method: &str, url: &str, headers: &[(&str, &str)], body: Option<&Json>) -> Answer {
    let client = terrace_provider::http::builder(None).unwrap().build().unwrap();
    let request = client.request(method.parse::<Method>().unwrap(), url);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    let reply = request.send().await.unwrap();
    let (status, text) = (reply.status().as_u16(), reply.text().await.unwrap());
    (status, if text.is_empty() { Json::Null } else { serde_json::from_str(&text).expect(&text) })
}

impl TestMapper {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// A role mapper with changed settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::over(terrace_state::roles::open(&StoreUrl::SqliteMemory).await.unwrap(), change).await
    }

    /// A role mapper over this store.
    pub(crate) async fn over(store: Arc<dyn RoleStore>, change: impl FnOnce(&mut Settings)) -> Self {
        let key = Key::new("first");
        let issuer = Issuer::with(&key).await;
        let mut settings = Settings {
            auth: Auth::ThisMachine,
            trust: Trust {
                issuers: vec![issuer.url.clone()],
                audiences: vec!["hasura".to_owned()],
                jwks_url: Some(format!("{}/keys", issuer.url)),
                algorithms: vec![Algorithm::ES256],
                types: Accepted::Any,
                clients: Accepted::Any,
            },
            header_names: vec!["authorization".to_owned(), "x-token".to_owned()],
            user_claim: "unique_name".to_owned(),
            groups_claim: Some("groups".to_owned()),
            graph: None,
            allowed: terrace_role_mapper::Allowed::default(),
            certificate: None,
        };
        change(&mut settings);
        let mapper = RoleMapper::new(Arc::clone(&store), settings).unwrap();
        let url = serve(mapper.routes(Router::new())).await;
        Self { store, url, issuer, key }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call("GET", &format!("{}{path}", self.url), &[], None).await
    }

    pub(crate) async fn put(&self, path: &str, body: Json) -> Answer {
        call("PUT", &format!("{}{path}", self.url), &[], Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        call("DELETE", &format!("{}{path}", self.url), &[], None).await
    }

    /// Creates a role with these users and groups.
    pub(crate) async fn role(&self, id: &str, fields: &[&str], users: &[&str], groups: &[&str]) {
        let role = json!({"role_id": id, "component_id": format!("urn:{id}"), "graphql_root_field_names": fields});
        assert_eq!(self.put("/v1/roles", role).await.0, 200);
        assert_eq!(self.put("/v1/user_roles", json!({"role_id": id, "users": users})).await.0, 200);
        assert_eq!(self.put("/v1/group_roles", json!({"role_id": id, "groups": groups})).await.0, 200);
    }

    /// The answer to Hasura for a request with these headers.
    pub(crate) async fn authenticate(&self, headers: Json, request: Json) -> Answer {
        let body = json!({"headers": headers, "request": request});
        call("POST", &format!("{}/v1/authenticate", self.url), &[], Some(&body)).await
    }

    /// The answer for a request of `ada` with these further claims in the token.
    pub(crate) async fn authenticate_as(&self, claims: &Json, request: Json) -> Answer {
        let token = self.key.sign(&self.issuer.claims(claims));
        self.authenticate(json!({"Authorization": format!("Bearer {token}")}), request).await
    }

    /// The role that a query gets, or the status of the refusal.
    pub(crate) async fn role_for(&self, claims: &Json, request: Json) -> Result<String, u16> {
        match self.authenticate_as(claims, request).await {
            (200, body) => Ok(body["X-Hasura-Role"].as_str().unwrap().to_owned()),
            (status, _) => Err(status),
        }
    }
}

/// A query as Hasura forwards it.
pub(crate) fn query(text: &str) -> Json {
    json!({"query": text, "variables": null, "operationName": null})
}
