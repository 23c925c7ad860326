//! Groups from Microsoft Graph: 250 of them on three pages, caching, and outages.

use crate::mapper::{TestMapper, query, serve};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use terrace_role_mapper::GraphSettings;

const TENANT: &str = "contoso.onmicrosoft.com";
const PAGE: usize = 100;

/// A fake Microsoft Graph with its token endpoint.
#[derive(Default)]
struct Graph {
    url: String,
    requested_users: Vec<String>,
    /// The status of all further answers.
    status: Option<u16>,
    /// Whether the next page is on another host.
    next_link_elsewhere: bool,
    /// The number of calls that get 429 with `retry-after: 1`.
    refuses: usize,
    /// The users of refused calls, with the time.
    refused: Vec<(String, Instant)>,
    /// The users of answered calls, with the time.
    answered: Vec<(String, Instant)>,
}

type Shared = State<Arc<Mutex<Graph>>>;
type Answer = Result<Body<Json>, StatusCode>;

async fn token(State(graph): Shared, Path(tenant): Path<String>, form: String) -> Answer {
    let uri = format!("/?{form}").parse().unwrap();
    let Query(form) = Query::<BTreeMap<String, String>>::try_from_uri(&uri).unwrap();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let url = graph.lock().unwrap().url.clone();
    assert_eq!((tenant.as_str(), field("grant_type"), field("client_id")), (TENANT, "client_credentials", "mapper"));
    assert_eq!(field("scope"), format!("{url}/.default"));
    match field("client_secret") {
        "hidden" => Ok(Body(json!({"access_token": "graph token", "expires_in": 3600}))),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

async fn member_of(
    State(graph): Shared,
    Path(user): Path<String>,
    headers: HeaderMap,
    Query(query): Query<BTreeMap<String, String>>,
) -> Result<Body<Json>, Response> {
    let mut graph = graph.lock().unwrap();
    graph.requested_users.push(user.clone());
    if let Some(status) = graph.status {
        return Err(StatusCode::from_u16(status).unwrap().into_response());
    }
    if graph.refuses > 0 {
        graph.refuses -= 1;
        graph.refused.push((user, Instant::now()));
        return Err((StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response());
    }
    graph.answered.push((user.clone(), Instant::now()));
    if headers.get("authorization").is_none_or(|shown| shown != "Bearer graph token") {
        return Err(StatusCode::UNAUTHORIZED.into_response());
    }
    assert!(query["$select"].contains("displayName"));
    let from: usize = query.get("$skiptoken").map_or(0, |token| token.parse().unwrap());
    let of = |number: usize| match number {
        // A directory role is not a group, regardless of its name.
        7 => json!({"@odata.type": "#microsoft.graph.directoryRole", "displayName": "group 249"}),
        _ => {
            json!({"@odata.type": "#microsoft.graph.group", "id": number.to_string(), "displayName": format!("group {number}")})
        }
    };
    let until = (from + PAGE).min(250);
    let mut page = json!({"value": (from..until).map(of).collect::<Vec<_>>()});
    if until < 250 {
        let host = if graph.next_link_elsewhere { "http://127.0.0.1:1" } else { graph.url.as_str() };
        let select = "%24select=id%2CdisplayName";
        page["@odata.nextLink"] =
            format!("{host}/v1.0/users/{user}/transitiveMemberOf?{select}&%24skiptoken={until}").into();
    }
    Ok(Body(page))
}

async fn graph() -> Arc<Mutex<Graph>> {
    let graph = Arc::<Mutex<Graph>>::default();
    let routes = Router::new()
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .route("/v1.0/users/{user}/transitiveMemberOf", get(member_of))
        .with_state(Arc::clone(&graph));
    let url = serve(routes).await;
    graph.lock().unwrap().url = url;
    graph
}

async fn start_mapper(graph: &Arc<Mutex<Graph>>, claim: Option<&str>, cache_time: Duration) -> TestMapper {
    let url = graph.lock().unwrap().url.clone();
    let mapper = TestMapper::with(|settings| {
        settings.groups_claim = claim.map(str::to_owned);
        settings.graph = Some(GraphSettings {
            url: url.clone(),
            login_url: url,
            tenant: TENANT.to_owned(),
            client_id: "mapper".to_owned(),
            client_secret: "hidden".into(),
            user_claim: "oid".to_owned(),
            name: "displayName".to_owned(),
            cache_time,
        });
    })
    .await;
    mapper.role("last", &["orders"], &[], &["group:group 249"]).await;
    mapper.role("first", &["machines"], &[], &["group:group 0", "group:of the token"]).await;
    mapper.role("role", &["items"], &[], &["group:group 7"]).await;
    mapper
}

const LONG: Duration = Duration::from_secs(300);

#[tokio::test]
async fn groups_of_all_pages_count() {
    let graph = graph().await;
    let mapper = start_mapper(&graph, None, LONG).await;
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await.as_deref(), Ok("last"));
    assert_eq!(graph.lock().unwrap().requested_users.len(), 3, "three pages");
    assert_eq!(mapper.role_for(&json!({}), query("{ machines }")).await.as_deref(), Ok("first"));
    assert_eq!(mapper.role_for(&json!({}), query("{ items }")).await, Err(401), "a directory role is not a group");
    assert_eq!(graph.lock().unwrap().requested_users.len(), 3, "groups are cached");
    let other = json!({"oid": "another"});
    assert_eq!(mapper.role_for(&other, query("{ orders }")).await.as_deref(), Ok("last"));
    assert_eq!(graph.lock().unwrap().requested_users[3..], ["another", "another", "another"]);
}

#[tokio::test]
async fn groups_of_token_and_graph_both_count() {
    let graph = graph().await;
    let mapper = start_mapper(&graph, Some("groups"), LONG).await;
    let claims = json!({"groups": ["of the token"]});
    assert_eq!(mapper.role_for(&claims, query("{ machines }")).await.as_deref(), Ok("first"));
    assert_eq!(mapper.role_for(&claims, query("{ orders }")).await.as_deref(), Ok("last"));
}

#[tokio::test]
async fn cached_groups_expire() {
    let graph = graph().await;
    let mapper = start_mapper(&graph, None, Duration::ZERO).await;
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await.as_deref(), Ok("last"));
    // A user who left gets no role any more.
    graph.lock().unwrap().status = Some(404);
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await, Err(401));
}

#[tokio::test]
async fn no_caller_gets_a_role_while_graph_fails() {
    let graph = graph().await;
    let mapper = start_mapper(&graph, None, LONG).await;
    for status in [403, 429, 500] {
        graph.lock().unwrap().status = Some(status);
        assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await, Err(503), "{status}");
    }
    graph.lock().unwrap().status = None;
    graph.lock().unwrap().next_link_elsewhere = true;
    assert_eq!(
        mapper.role_for(&json!({}), query("{ orders }")).await,
        Err(503),
        "the token is not sent to another host"
    );
    graph.lock().unwrap().next_link_elsewhere = false;
    assert_eq!(mapper.role_for(&json!({}), query("{ orders }")).await.as_deref(), Ok("last"));
    for claims in [json!({"oid": null}), json!({"oid": ""}), json!({"oid": 7})] {
        assert_eq!(mapper.role_for(&claims, query("{ orders }")).await, Err(401), "{claims}");
    }
    // An ID that would change the path is not sent.
    let requests = graph.lock().unwrap().requested_users.len();
    assert_eq!(mapper.role_for(&json!({"oid": ".."}), query("{ orders }")).await, Err(503));
    assert_eq!(graph.lock().unwrap().requested_users.len(), requests);
}

/// Graph throttles heavy use: all callers wait, and all get an answer.
#[tokio::test]
async fn throttled_calls_are_retried_until_answered() {
    let graph = graph().await;
    let mapper = start_mapper(&graph, None, LONG).await;
    graph.lock().unwrap().refuses = 20;
    let claims: Vec<Json> = (0..20).map(|number| json!({"oid": format!("user-{number}")})).collect();
    let calls = claims.iter().map(|claims| mapper.role_for(claims, query("{ orders }")));
    for verdict in futures_util::future::join_all(calls).await {
        assert_eq!(verdict.as_deref(), Ok("last"));
    }
    let graph = graph.lock().unwrap();
    assert_eq!(graph.refused.len(), 20);
    for (user, at) in &graph.refused {
        let again = graph.answered.iter().chain(&graph.refused).filter(|(other, then)| other == user && then > at);
        let first = again.map(|(_, then)| *then).min().unwrap_or_else(|| panic!("{user} was not retried"));
        assert!(first - *at >= Duration::from_millis(990), "{user} was retried too early");
    }
}
