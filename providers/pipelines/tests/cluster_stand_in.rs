//! A stand-in of an API server: Jobs, Secrets, pods and their logs, with faults on demand. A Job gets its pod when it is
//! resumed. Objects that are in Jobs go with them.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_test_listening::{ANY, Listening};

/// A failure of requests.
struct Fault {
    method: &'static str,
    /// Part of the path.
    path: &'static str,
    code: u16,
    /// Number of requests that fail.
    left: usize,
}

#[derive(Default)]
struct Content {
    /// Objects by path.
    objects: BTreeMap<String, Value>,
    requests: Vec<String>,
    faults: Vec<Fault>,
    is_down: bool,
    events: Vec<Value>,
    /// State of the container of new pods.
    container: Value,
    /// Log of all pods.
    log: String,
    allows: bool,
    count: usize,
}

pub(crate) struct ClusterStandIn {
    content: Arc<Mutex<Content>>,
    pub(crate) url: String,
    _listening: Listening,
}

impl ClusterStandIn {
    pub(crate) fn start() -> Self {
        let content = Content { allows: true, container: json!({"state": {"running": {}}}), ..Content::default() };
        let content = Arc::new(Mutex::new(content));
        let listening = Listening::new();
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&content));
        let url = listening.on(ANY, |_| routes);
        Self { content, url, _listening: listening }
    }

    /// Paths of the objects of a kind, such as `jobs`.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        let content = self.content.lock().unwrap();
        let within = format!("/{kind}/");
        let names = content.objects.keys().filter_map(|path| path.split_once(&within));
        names.map(|(_, name)| name.to_owned()).collect()
    }

    /// An object of the namespace by kind and name.
    pub(crate) fn object(&self, kind: &str, name: &str) -> Option<Value> {
        let content = self.content.lock().unwrap();
        let end = format!("/{kind}/{name}");
        content.objects.iter().find(|(path, _)| path.ends_with(&end)).map(|(_, object)| object.clone())
    }

    /// Number of requests with this method and this part of a path.
    pub(crate) fn count(&self, method: &str, path: &str) -> usize {
        let content = self.content.lock().unwrap();
        let fits = |request: &&String| request.starts_with(&format!("{method} ")) && request.contains(path);
        content.requests.iter().filter(fits).count()
    }

    /// The next requests with this method and this part of a path fail.
    pub(crate) fn fails(&self, method: &'static str, path: &'static str, code: u16, times: usize) {
        self.content.lock().unwrap().faults.push(Fault { method, path, code, left: times });
    }

    pub(crate) fn heal(&self) {
        self.content.lock().unwrap().faults.clear();
    }

    /// Starts or ends an outage.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.content.lock().unwrap().is_down = is_down;
    }

    pub(crate) fn set_rights(&self, allows: bool) {
        self.content.lock().unwrap().allows = allows;
    }

    pub(crate) fn set_events(&self, events: Vec<Value>) {
        self.content.lock().unwrap().events = events;
    }

    /// Sets the status of the container of new pods.
    pub(crate) fn set_container(&self, container: Value) {
        self.content.lock().unwrap().container = container;
    }

    /// Sets the log of all pods.
    pub(crate) fn set_log(&self, events: &[Value]) {
        let lines = events
            .iter()
            .zip(1..)
            .map(|(event, n)| format!("{}\n", json!({"n": n, "at": "2026-11-28T06:00:00Z", "event": event})));
        self.content.lock().unwrap().log = lines.collect();
    }

    /// Waits until a condition holds.
    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !condition(self) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let happened = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(happened.is_ok(), "it does not happen");
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": message, "code": code,
    });
    (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
}

async fn answer(State(content): State<Arc<Mutex<Content>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let mut content = content.lock().unwrap();
    content.requests.push(format!("{} {path}?{query} {body}", head.method));
    if content.is_down {
        return refusal(503, "ServiceUnavailable", "the server is down");
    }
    let fault = content
        .faults
        .iter_mut()
        .find(|fault| fault.left > 0 && head.method == *fault.method && format!("{path}?{query}").contains(fault.path));
    if let Some(fault) = fault {
        fault.left -= 1;
        let reason = match fault.code {
            403 => "Forbidden",
            404 => "NotFound",
            _ => "ServiceUnavailable",
        };
        return refusal(fault.code, reason, "as requested");
    }
    content.carry_out(&head.method, &path, &query, body)
}

impl Content {
    fn carry_out(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Response {
        if path.ends_with("/selfsubjectaccessreviews") {
            return json!({"status": {"allowed": self.allows}}).to_string().into_response();
        }
        if path.ends_with("/log") {
            return self.log.clone().into_response();
        }
        match *method {
            Method::POST => self.create(path, query, body),
            Method::PATCH => self.resume(path),
            Method::DELETE => self.delete(path),
            _ => self.read(path, query),
        }
    }

    fn create(&mut self, path: &str, query: &str, mut object: Value) -> Response {
        if path.ends_with("/exec") {
            return refusal(404, "NotFound", "the pod does not run");
        }
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let path = format!("{path}/{name}");
        if self.objects.contains_key(&path) {
            return refusal(409, "AlreadyExists", "it exists");
        }
        self.count += 1;
        object["metadata"]["uid"] = format!("uid-{}", self.count).into();
        object["metadata"]["creationTimestamp"] = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        if !query.contains("dryRun=All") {
            self.objects.insert(path, object.clone());
        }
        (StatusCode::CREATED, object.to_string()).into_response()
    }

    /// Resumes a Job, which gets its pod.
    fn resume(&mut self, path: &str) -> Response {
        let Some(job) = self.objects.get_mut(path) else { return refusal(404, "NotFound", "no such Job") };
        job["spec"]["suspend"] = false.into();
        let (answer, name) = (job.to_string(), job["metadata"]["name"].as_str().unwrap().to_owned());
        let mut container = self.container.clone();
        container["name"] = "run".into();
        let pod = json!({
            "metadata": {
                "name": format!("{name}-x"), "labels": {"job-name": name}, "creationTimestamp": "2026-11-28T06:00:00Z",
            },
            "spec": {"nodeName": "node1"},
            "status": {"phase": "Running", "containerStatuses": [container]},
        });
        self.objects.insert(format!("/api/v1/namespaces/shop/pods/{name}-x"), pod);
        answer.into_response()
    }

    fn delete(&mut self, path: &str) -> Response {
        if self.objects.remove(path).is_none() {
            return refusal(404, "NotFound", "no such object");
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if path.contains("/jobs/") {
            let is_of_job = |path: &str| path.contains(&format!("/{name}"));
            self.objects.retain(|path, _| !is_of_job(path));
        }
        json!({"kind": "Status"}).to_string().into_response()
    }

    fn read(&self, path: &str, query: &str) -> Response {
        if let Some(object) = self.objects.get(path) {
            return object.to_string().into_response();
        }
        let kind = path.rsplit('/').next().unwrap_or_default();
        let items: Vec<&Value> = match kind {
            "events" => self.events.iter().collect(),
            "jobs" | "pods" | "nodes" => {
                let selector =
                    query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
                let selector = selector.replace("%3D", "=").replace("%2F", "/");
                let of_kind = self.objects.iter().filter(|(found, _)| found.starts_with(&format!("{path}/")));
                let fits = |object: &&Value| match selector.split_once('=') {
                    Some((label, value)) => object["metadata"]["labels"][label] == value,
                    None => true,
                };
                of_kind.map(|(_, object)| object).filter(fits).collect()
            }
            _ => return refusal(404, "NotFound", "no such object"),
        };
        json!({"items": items}).to_string().into_response()
    }
}
