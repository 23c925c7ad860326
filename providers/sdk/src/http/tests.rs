//! Tests of the client against a scripted server.

mod unreached;

use super::*;
use crate::ErrorKind;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The server's reaction to the next request.
enum Reaction {
    /// Answers with status, headers and body.
    Answer(u16, Vec<(&'static str, String)>, Json),
    /// Announces more bytes than it sends, and closes the connection.
    BreakOff,
    /// Answers with this number of bytes.
    Bytes(usize),
    /// Answers with 200 after this time.
    After(Duration),
}

#[derive(Debug, Clone)]
struct ReceivedRequest {
    method: Method,
    uri: String,
    headers: HeaderMap,
    body: String,
    at: Instant,
}

impl ReceivedRequest {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Default)]
struct Script {
    next: VecDeque<Reaction>,
    received: Vec<ReceivedRequest>,
    concurrent: usize,
    max_concurrent: usize,
    /// Number of issued tokens; only the last one is valid.
    tokens: usize,
}

#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<Script>>,
    url: String,
}

impl Server {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/base", listener.local_addr().unwrap());
        let server = Self { url, ..Self::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        server
    }

    fn react(&self, reactions: impl IntoIterator<Item = Reaction>) -> &Self {
        self.script.lock().unwrap().next.extend(reactions);
        self
    }

    fn received(&self) -> Vec<ReceivedRequest> {
        std::mem::take(&mut self.script.lock().unwrap().received)
    }

    fn client(&self) -> Client {
        Client::new(Options { concurrency: 3, max_bytes: 1000, ..Options::default() }).unwrap()
    }

    fn api(&self, auth: Auth) -> Api {
        self.client().api(Base::parse(&self.url).unwrap(), auth, VENDOR, vec!["hunter2hunter2".into()])
    }
}

const VENDOR: Vendor = Vendor {
    name: "Shop",
    parse_error: |reply| {
        let json = reply.json_or_null();
        let text = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        ParsedError { code: text("code"), message: text("message"), ..ParsedError::default() }
    },
    had_no_effect: |reply| reply.status == 409 && reply.json_or_null()["code"] == "try-again-later",
    reach: "look at `url` of the instance",
    sign_in: "look at `token` of the instance",
};

async fn answer(State(server): State<Server>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let (reaction, is_token) = {
        let mut script = server.script.lock().unwrap();
        let is_token = uri.path().ends_with("/token");
        script.concurrent += 1;
        script.max_concurrent = script.max_concurrent.max(script.concurrent);
        let uri = uri.to_string();
        script.received.push(ReceivedRequest { method, uri, headers: headers.clone(), body, at: Instant::now() });
        if is_token {
            script.tokens += 1;
        }
        (if is_token { None } else { script.next.pop_front() }, is_token)
    };
    let answer = |status: u16, body: Body| Response::builder().status(status).body(body).unwrap();
    let response = match reaction {
        _ if is_token => {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let token = format!("token-number-{}", server.script.lock().unwrap().tokens);
            answer(200, json!({"access_token": token, "expires_in": 3600}).to_string().into())
        }
        Some(Reaction::Answer(status, headers, json)) => {
            let builder = headers
                .into_iter()
                .fold(Response::builder().status(status), |it, (name, value)| it.header(name, value));
            builder.body(if json.is_null() { Body::empty() } else { json.to_string().into() }).unwrap()
        }
        Some(Reaction::BreakOff) => {
            let parts = [Ok("half".to_owned()), Err(std::io::Error::other("gone"))];
            answer(200, Body::from_stream(futures_util::stream::iter(parts)))
        }
        Some(Reaction::Bytes(count)) => answer(200, Body::from(vec![b' '; count])),
        Some(Reaction::After(time)) => {
            tokio::time::sleep(time).await;
            answer(200, "{}".into())
        }
        None => answer(200, json!({"ok": true}).to_string().into()),
    };
    server.script.lock().unwrap().concurrent -= 1;
    response
}

fn json_answer(status: u16, json: Json) -> Reaction {
    Reaction::Answer(status, Vec::new(), json)
}

fn within() -> Within {
    Within::time(Duration::from_secs(20))
}

#[tokio::test]
async fn paths_queries_and_bodies_arrive_unchanged() {
    let server = Server::start().await;
    let api = server.api(Auth::None);
    let request = Request::post("/things/{id}/parts", &["a/b ?"]).query("x", "1&2=ü").json(json!({"deep": [1]}));
    let reply = api.send(&request, &within()).await.unwrap();
    assert_eq!(reply.json().unwrap(), json!({"ok": true}));
    let form = Request::post("/form", &[]).form(vec![("a b".to_owned(), "c&d=e+f".into())]);
    api.send(&form, &within()).await.unwrap();
    let received = server.received();
    assert_eq!(received[0].uri, "/base/things/a%2Fb%20%3F/parts?x=1%262%3D%C3%BC");
    assert_eq!((&received[0].method, received[0].body.as_str()), (&Method::POST, r#"{"deep":[1]}"#));
    assert_eq!(received[0].header("content-type"), "application/json");
    assert_eq!(received[1].body, "a%20b=c%26d%3De%2Bf");
    assert_eq!(format!("{request:?}"), "POST /things/{id}/parts");
    let failure = api.send(&Request::delete("/things/{id}", &[".."]), &within()).await.unwrap_err();
    assert!(matches!(failure, Failure::Refused(_)), "{failure:?}");
    assert_eq!(server.received().len(), 0);
}

#[tokio::test]
async fn all_kinds_of_credentials_are_sent() {
    let server = Server::start().await;
    let get = Request::get("/x", &[]);
    let header = "x-hasura-admin-secret".parse().unwrap();
    for (auth, name, expected) in [
        (Auth::None, "authorization", ""),
        (Auth::Bearer("abc".into()), "authorization", "Bearer abc"),
        (Auth::Basic("me".to_owned(), "pass".into()), "authorization", "Basic bWU6cGFzcw=="),
        (Auth::Headers(vec![(header, "admin".into())]), "x-hasura-admin-secret", "admin"),
    ] {
        server.api(auth).send(&get, &within()).await.unwrap();
        assert_eq!(server.received()[0].header(name), expected);
    }
    let failure = server.api(Auth::Bearer("a\nb".into())).send(&get, &within()).await.unwrap_err();
    assert!(matches!(&failure, Failure::Refused(why) if !why.contains('\n')), "{failure:?}");
}

fn tokens(server: &Server) -> Auth {
    let base = Base::parse(&server.url).unwrap();
    let request = TokenRequest::new(&server.client(), &base, "/oidc/token").unwrap();
    Auth::Tokens(Arc::new(request.basic_credentials("me", "client-secret-text".into()).field("scope", "all".into())))
}

#[tokio::test]
async fn concurrent_requests_share_one_token_and_its_renewal() {
    let server = Server::start().await;
    let api = server.api(tokens(&server));
    let (get, time) = (Request::get("/x", &[]), within());
    for reply in join_all((0..10).map(|_| api.send(&get, &time))).await {
        reply.unwrap();
    }
    let received = server.received();
    let token_requests: Vec<&ReceivedRequest> =
        received.iter().filter(|received| received.uri == "/base/oidc/token").collect();
    assert_eq!(token_requests.len(), 1);
    assert_eq!(token_requests[0].body, "grant_type=client_credentials&scope=all");
    assert_eq!(token_requests[0].header("authorization"), "Basic bWU6Y2xpZW50LXNlY3JldC10ZXh0");
    // A write with a rejected token had no effect: it is sent again, once.
    server.react([json_answer(401, json!({})), json_answer(200, json!({}))]);
    api.send(&Request::post("/x", &[]), &time).await.unwrap();
    let received = server.received();
    assert_eq!(
        received.iter().map(|received| received.uri.as_str()).collect::<Vec<_>>(),
        ["/base/x", "/base/oidc/token", "/base/x"]
    );
    assert_eq!(received[2].header("authorization"), "Bearer token-number-2");
    // Three requests with a rejected token share one new token.
    server.react((0..3).map(|_| json_answer(401, json!({}))));
    for reply in join_all((0..3).map(|_| api.send(&get, &time))).await {
        reply.unwrap();
    }
    assert_eq!(server.received().iter().filter(|received| received.uri == "/base/oidc/token").count(), 1);
    // A second 401 with a new token is reported.
    server.react([json_answer(401, json!({})), json_answer(401, json!({"message": "token-number-4 is not known."}))]);
    let failure = api.send(&get, &time).await.unwrap_err();
    let error = api.error(&failure, &Purpose::read("read it"));
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(error.message, "Shop does not let terrace in: (sensitive value) is not known");
    assert_eq!(error.solutions, ["look at `token` of the instance"]);
}

/// Issues its token after a delay.
struct Slow(Duration);

#[async_trait::async_trait]
impl TokenSource for Slow {
    async fn token(&self) -> Result<Token, Failure> {
        tokio::time::sleep(self.0).await;
        Ok(Token { token: "late".into(), lifetime: None, headers: Vec::new() })
    }

    fn secrets(&self) -> Vec<secrecy::SecretString> {
        Vec::new()
    }
}

#[tokio::test]
async fn wait_for_a_token_ends_with_the_call() {
    let server = Server::start().await;
    let api = server.api(Auth::Tokens(Arc::new(Slow(Duration::from_secs(3)))));
    let (get, began) = (Request::get("/x", &[]), Instant::now());
    let (long, short) = (within(), Within::time(Duration::from_millis(200)));
    // The limit also applies to a token that another call requested.
    let brief = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let failure = api.send(&get, &short).await.unwrap_err();
        assert!(matches!(&failure, Failure::NotSent(why) if why.contains("token")), "{failure:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    };
    let stopped = within();
    let write = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        stopped.cancel.cancel();
    };
    let make = Request::post("/x", &[]);
    let (done, (), (), made) = tokio::join!(api.send(&get, &long), brief, write, api.send(&make, &stopped));
    done.unwrap();
    assert!(matches!(made.unwrap_err(), Failure::Cancelled));
    assert_eq!(server.received().len(), 1, "nothing else was sent");
}

#[tokio::test]
async fn refused_token_is_reported_and_nothing_is_sent() {
    let refusing = Server::start().await;
    let base = Base::parse(&refusing.url).unwrap();
    let request = TokenRequest::new(&refusing.client(), &base, "/elsewhere").unwrap();
    let request = request.credentials("me", "client-secret-text".into()).as_json();
    let api = refusing.api(Auth::Tokens(Arc::new(request)));
    let body = json!({"error": "invalid_client", "error_description": "client-secret-text is wrong"});
    refusing.react([json_answer(401, body)]);
    let failure = api.send(&Request::post("/x", &[]), &within()).await.unwrap_err();
    let error = api.error(&failure, &Purpose::to("make it"));
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert_eq!(error.vendor_code.as_deref(), Some("invalid_client"));
    assert!(error.message.contains("(sensitive value) is wrong"), "{error}");
    let received = refusing.received();
    assert_eq!(received.len(), 1);
    let sent = r#"{"grant_type":"client_credentials","client_id":"me","client_secret":"client-secret-text"}"#;
    assert_eq!(received[0].body, sent);
}

#[tokio::test]
async fn throttled_requests_are_retried_after_the_requested_pause() {
    let server = Server::start().await;
    let api = server.api(Auth::None);
    let (time, pause) = (within(), Duration::from_secs(1));
    let later = || Reaction::Answer(429, vec![("retry-after", "1".to_owned())], json!({}));
    server.react((0..6).map(|_| later()));
    let requests: Vec<_> = ["/a", "/b", "/c", "/d", "/e", "/f"].map(|path| Request::post(path, &[])).into();
    for reply in join_all(requests.iter().map(|request| api.send(request, &time))).await {
        reply.unwrap();
    }
    let received = server.received();
    assert_eq!(received.len(), 12);
    for again in &received[6..] {
        let first = received[..6].iter().find(|received| received.uri == again.uri).unwrap();
        assert!(again.at - first.at >= pause, "{} came early", again.uri);
    }
    // The client's own limit on concurrent requests.
    server.react((0..20).map(|_| Reaction::After(Duration::from_millis(20))));
    join_all((0..20).map(|_| api.send(&requests[0], &time))).await;
    assert_eq!(server.script.lock().unwrap().max_concurrent, 3);
    // The requested pause is longer than the call may take.
    server.react([later()]);
    let short = Within::time(Duration::from_millis(500));
    let failure = api.send(&requests[0], &short).await.unwrap_err();
    let error = api.error(&failure, &Purpose::to("make it"));
    assert_eq!(error.kind, ErrorKind::Throttled { retry_after: Some(pause) });
}

#[tokio::test]
async fn write_with_a_lost_answer_is_sent_once_but_reads_are_retried() {
    let server = Server::start().await;
    let api = server.api(Auth::None);
    let post = Request::post("/x", &[]);
    let make = Purpose::to("make it");
    for lost in
        [Reaction::BreakOff, json_answer(502, json!({})), json_answer(503, json!({})), json_answer(504, json!({}))]
    {
        server.react([lost]);
        let failure = api.send(&post, &within()).await.unwrap_err();
        assert_eq!(api.error(&failure, &make).kind, ErrorKind::Ambiguous, "{failure:?}");
        assert_eq!(server.received().len(), 1);
    }
    for request in [Request::get("/x", &[]), post.clone().reads(), post.clone().idempotent()] {
        server.react([Reaction::BreakOff, json_answer(503, json!({}))]);
        assert!(
            api.send(&request, &within()).await.unwrap().may_have_run || request.effect != request::Effect::Idempotent
        );
        assert_eq!(server.received().len(), 3);
    }
    // After a lost answer, an answer that says nothing about the request leaves the outcome unknown.
    server.react([Reaction::BreakOff, json_answer(403, json!({}))]);
    let failure = api.send(&post.clone().idempotent(), &within()).await.unwrap_err();
    assert!(matches!(failure, Failure::Lost(_)), "{failure:?}");
    server.react([Reaction::BreakOff, json_answer(409, json!({}))]);
    let failure = api.send(&post.clone().idempotent(), &within()).await.unwrap_err();
    assert_eq!(api.error(&failure, &make).kind, ErrorKind::Ambiguous);
    // The vendor recognises answers without effect.
    let _ = server.received();
    server.react([json_answer(409, json!({"code": "try-again-later"}))]);
    api.send(&post, &within()).await.unwrap();
    assert_eq!(server.received().len(), 2);
    // No server listens: the request had no effect.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = Base::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let api = server.client().api(base, Auth::None, VENDOR, Vec::new());
    let failure = api.send(&post, &Within::time(Duration::from_millis(900))).await.unwrap_err();
    let error = api.error(&failure, &make);
    assert_eq!(error.kind, ErrorKind::Transient);
    assert_eq!(error.solutions, [VENDOR.reach]);
}

#[tokio::test]
async fn late_answer_is_lost_and_cancellation_spares_running_writes() {
    let server = Server::start().await;
    let api = server.api(Auth::None);
    let post = Request::post("/x", &[]);
    server.react([Reaction::After(Duration::from_secs(5))]);
    let failure = api.send(&post.clone().timeout(Duration::from_millis(50)), &within()).await.unwrap_err();
    assert!(matches!(&failure, Failure::Lost(why) if why == "no answer in time"), "{failure:?}");
    let _ = server.received();
    // Cancelled during the wait for an answer: the client still waits for it.
    let time = within();
    server.react([Reaction::After(Duration::from_millis(100))]);
    let (reply, ()) = tokio::join!(api.send(&post, &time), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        time.cancel.cancel();
    });
    reply.unwrap();
    let failure = api.send(&post, &time).await.unwrap_err();
    assert_eq!(api.error(&failure, &Purpose::to("make it")).kind, ErrorKind::Cancelled);
    assert_eq!(server.received().len(), 1);
    // Cancelled during a pause: the request had no effect.
    let time = within();
    server.react([Reaction::Answer(429, vec![("retry-after", "10".to_owned())], json!({}))]);
    let (reply, ()) = tokio::join!(api.send(&post, &time), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        time.cancel.cancel();
    });
    assert_eq!(api.error(&reply.unwrap_err(), &Purpose::to("make it")).kind, ErrorKind::Cancelled);
}

#[tokio::test]
async fn oversized_body_is_refused() {
    let server = Server::start().await;
    let api = server.api(Auth::None);
    server.react([Reaction::Bytes(1000)]);
    assert_eq!(api.send(&Request::post("/x", &[]), &within()).await.unwrap().body.len(), 1000);
    server.react([Reaction::Bytes(1001)]);
    let failure = api.send(&Request::post("/x", &[]), &within()).await.unwrap_err();
    assert!(matches!(&failure, Failure::Lost(why) if why.contains("more than 1000 bytes")), "{failure:?}");
}

#[tokio::test]
async fn errors_quote_the_vendor_without_secrets() {
    let server = Server::start().await;
    let api = server.api(Auth::Bearer("bearer-text".into()));
    let error_of = async |status: u16, json: Json, purpose: &Purpose| {
        server.react([json_answer(status, json)]);
        let failure = api.send(&Request::post("/x", &[]), &within()).await.unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        api.error(&failure, purpose)
    };
    let make = Purpose::to("make the thing `a`").creates("things/a").at(crate::Path::attribute("name"));
    let body = json!({"code": "BAD", "message": "hunter2hunter2 and bearer-text are not names."});
    let error = error_of(422, body, &make).await;
    assert_eq!(error.message, "Shop cannot make the thing `a`: (sensitive value) and (sensitive value) are not names");
    assert_eq!(error.vendor_code.as_deref(), Some("BAD, HTTP 422"));
    assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(crate::Path::attribute("name")) });
    let error = error_of(409, json!({}), &make).await;
    assert_eq!(error.kind, ErrorKind::AlreadyExists { import_id: Some("things/a".to_owned()) });
    let error = error_of(403, json!({}), &make.clone().needs("let it make things")).await;
    assert_eq!((error.kind, error.solutions), (ErrorKind::PermissionDenied, vec!["let it make things".to_owned()]));
    assert_eq!(error_of(404, Json::Null, &make).await.kind, ErrorKind::NotFound);
    assert_eq!(error_of(500, Json::Null, &make).await.kind, ErrorKind::Failed);
    server.react([Reaction::Answer(302, vec![("location", "http://127.0.0.1:1/".to_owned())], Json::Null)]);
    let failure = api.send(&Request::get("/x", &[]), &within()).await.unwrap_err();
    assert_eq!(api.error(&failure, &Purpose::read("look")).solutions, [VENDOR.reach]);
    assert!(!format!("{api:?} {:?}", tokens(&server)).contains("secret"));
}

#[tokio::test]
async fn pages_are_followed_on_one_host_only() {
    let server = Server::start().await;
    let api = server.api(Auth::Bearer("t".into()));
    let page = |items: Json, next: &str| json_answer(200, json!({"data": items, "next": next}));
    let (list, time) = (Request::get("/things", &[]).query("limit", 2), within());
    let by_token = |answer: &Json| Next::token(answer, "next", "page_token");
    server.react([page(json!([1, 2]), "b"), page(json!([3]), "")]);
    assert_eq!(api.items(list.clone(), &time, "data", by_token).await.unwrap(), [1, 2, 3]);
    let uris: Vec<String> = server.received().into_iter().map(|it| it.uri).collect();
    assert_eq!(uris, ["/base/things?limit=2", "/base/things?limit=2&page_token=b"]);
    let by_url = |answer: &Json| Next::url(answer, "next");
    server.react([page(json!([1]), &format!("{}/things?offset=1", server.url)), page(json!([2]), "")]);
    assert_eq!(api.items(list.clone(), &time, "data", by_url).await.unwrap(), [1, 2]);
    assert_eq!(server.received()[1].uri, "/base/things?offset=1");
    // A server on another host would receive the token.
    server.react([page(json!([1]), "http://127.0.0.1:1/things")]);
    let failure = api.items(list.clone(), &time, "data", by_url).await.unwrap_err();
    assert!(matches!(&failure, Failure::Refused(why) if why.contains("another host")), "{failure:?}");
    server.react([page(json!([1]), "b"), page(json!([1]), "b")]);
    let failure = api.items(list, &time, "data", by_token).await.unwrap_err();
    assert!(failure.in_words().contains("repeat after"), "{failure:?}");
}

#[tokio::test]
async fn long_operation_is_polled_until_it_ends() {
    let server = Server::start().await;
    let api = server.api(Auth::None);
    let poll = Poll { first: Duration::from_millis(5), max: Duration::from_millis(20) };
    let state = |state: &str| json_answer(200, json!({"state": state}));
    let done = |reply: &Reply| {
        let json = reply.json()?;
        Ok((json["state"] == "done").then_some(json))
    };
    server.react([state("running"), json_answer(503, json!({})), state("running"), state("done")]);
    let get = Request::get("/jobs/{id}", &["1"]);
    assert_eq!(api.poll(&get, &within(), poll, done).await.unwrap(), json!({"state": "done"}));
    assert_eq!(server.received().len(), 4);
    // The timeout ends before the next poll.
    server.react([state("running"), state("running")]);
    let seldom = Poll { first: Duration::from_secs(3600), max: Duration::from_secs(3600) };
    let failure = api.poll(&get, &Within::time(Duration::from_secs(60)), seldom, done).await.unwrap_err();
    assert!(matches!(&failure, Failure::Lost(why) if why.contains("end of its timeout")), "{failure:?}");
    let stopped = within();
    stopped.cancel.cancel();
    let failure = api.poll(&get, &stopped, poll, done).await.unwrap_err();
    assert!(matches!(&failure, Failure::Lost(why) if why.contains("was stopped")), "{failure:?}");
}
