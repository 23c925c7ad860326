//! A stand-in of an API server: Jobs, Secrets, pods and their logs, with faults on demand. A Job gets its pod when it is
//! resumed. Objects that are in Jobs go with them. The pods of a deleted Job end some requests later: before the Job if it is
//! deleted in the foreground, else after it. A CronJob starts a Job when a test asks for it, and takes its Jobs and Secrets along
//! when it is deleted. Servers of StatefulSets and Deployments are ready at once.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, DATE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_test_listening::{ANY, Listening};

/// Number of requests after the deletion of a Job before its pods end.
const LINGERING: usize = 5;

type Objects = BTreeMap<String, Value>;

/// A change by another caller, right before a request.
struct Interference {
    method: &'static str,
    /// Part of the path.
    path: &'static str,
    /// Number of such requests before it.
    after: usize,
    change: Box<dyn FnOnce(&mut Objects) + Send>,
}

/// A failure of requests.
struct Fault {
    method: &'static str,
    /// Part of the path.
    path: &'static str,
    code: u16,
    /// Number of requests that fail.
    left: usize,
    /// The request is carried out nevertheless: its answer is lost.
    is_carried_out: bool,
    /// Message of the refusal.
    message: String,
}

#[derive(Default)]
struct Content {
    /// Objects by path.
    objects: Objects,
    requests: Vec<String>,
    faults: Vec<Fault>,
    interferences: Vec<Interference>,
    /// Answers have no valid date.
    hides_date: bool,
    is_down: bool,
    events: Vec<Value>,
    /// State of the container of new pods.
    container: Value,
    /// Conditions of all Jobs.
    conditions: Vec<Value>,
    /// Log of all pods: events.
    log: Vec<Value>,
    /// Number of the last event that logs from any time on lack.
    hidden: u64,
    allows: bool,
    /// Resource that the identity may not use.
    denied: Option<&'static str>,
    /// No namespace exists.
    has_no_namespace: bool,
    count: usize,
    /// Jobs replace pods that ended by a signal.
    replaces: bool,
    /// Paths of deleted objects, and the number of requests after which they are gone.
    leaving: BTreeMap<String, usize>,
    /// Deleted pods do not end.
    holds: bool,
    /// Number of pods that started beside another.
    overlaps: usize,
    /// Servers of StatefulSets and Deployments do not get ready.
    holds_servers: bool,
    /// Field manager that owns `spec.suspend` of all CronJobs.
    manager: Option<&'static str>,
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

    /// Names of the objects of a kind, such as `jobs`.
    pub(crate) fn names(&self, kind: &str) -> Vec<String> {
        self.names_where(kind, |_| true)
    }

    /// Names of the objects of a kind that are not being deleted.
    pub(crate) fn lasting_names(&self, kind: &str) -> Vec<String> {
        self.names_where(kind, |object| object["metadata"]["deletionTimestamp"].is_null())
    }

    fn names_where(&self, kind: &str, is_meant: impl Fn(&Value) -> bool) -> Vec<String> {
        let content = self.content.lock().unwrap();
        let within = format!("/{kind}/");
        let meant = content.objects.iter().filter(|(_, object)| is_meant(object));
        meant.filter_map(|(path, _)| Some(path.split_once(&within)?.1.to_owned())).collect()
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
        let message = "as requested".to_owned();
        let fault = Fault { method, path, code, left: times, is_carried_out: false, message };
        self.content.lock().unwrap().faults.push(fault);
    }

    /// All further requests with this method and this part of a path are refused with this message.
    pub(crate) fn refuses(&self, method: &'static str, path: &'static str, code: u16, message: &str) {
        let fault = Fault { method, path, code, left: usize::MAX, is_carried_out: false, message: message.to_owned() };
        self.content.lock().unwrap().faults.push(fault);
    }

    /// The answers to the next requests with this method and this part of a path are lost.
    pub(crate) fn loses_answers(&self, method: &'static str, path: &'static str, times: usize) {
        let message = "the answer is lost".to_owned();
        let fault = Fault { method, path, code: 503, left: times, is_carried_out: true, message };
        self.content.lock().unwrap().faults.push(fault);
    }

    /// Another caller changes the objects, by path, right before a request with this method and this part of a path; `after`
    /// such requests go before.
    pub(crate) fn interfere(
        &self,
        method: &'static str,
        path: &'static str,
        after: usize,
        change: impl FnOnce(&mut Objects) + Send + 'static,
    ) {
        let interference = Interference { method, path, after, change: Box::new(change) };
        self.content.lock().unwrap().interferences.push(interference);
    }

    /// Answers have no valid date, as behind a proxy.
    pub(crate) fn hide_date(&self) {
        self.content.lock().unwrap().hides_date = true;
    }

    /// Deleted pods do not end, as on a lost node.
    pub(crate) fn hold_pods(&self) {
        self.content.lock().unwrap().holds = true;
    }

    /// Number of pods that started while another pod ran.
    pub(crate) fn overlaps(&self) -> usize {
        self.content.lock().unwrap().overlaps
    }

    /// Adds a condition that is true to all Jobs.
    pub(crate) fn add_condition(&self, name: &str, reason: &str) {
        let condition = json!({"type": name, "status": "True", "reason": reason, "message": "as requested"});
        self.content.lock().unwrap().conditions.push(condition);
    }

    /// Jobs replace pods that ended by a signal.
    pub(crate) fn replace_pods(&self) {
        self.content.lock().unwrap().replaces = true;
    }

    /// Leaves the events up to this number out of logs that begin at a time.
    pub(crate) fn hide_events(&self, last: u64) {
        self.content.lock().unwrap().hidden = last;
    }

    /// Removes all Jobs at once, with their objects.
    pub(crate) fn remove_jobs(&self) {
        self.content.lock().unwrap().objects.clear();
    }

    /// Another field manager owns `spec.suspend` of all CronJobs.
    pub(crate) fn let_manager_own_suspend(&self, manager: &'static str) {
        self.content.lock().unwrap().manager = Some(manager);
    }

    /// Servers of StatefulSets and Deployments do not get ready.
    pub(crate) fn hold_servers(&self) {
        self.content.lock().unwrap().holds_servers = true;
    }

    /// Servers get ready with the next change of their objects.
    pub(crate) fn release_servers(&self) {
        self.content.lock().unwrap().holds_servers = false;
    }

    /// Changes an object of the namespace.
    pub(crate) fn change(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let mut content = self.content.lock().unwrap();
        let end = format!("/{kind}/{name}");
        change(content.objects.iter_mut().find(|(path, _)| path.ends_with(&end)).unwrap().1);
    }

    /// Removes an object of the namespace.
    pub(crate) fn remove(&self, kind: &str, name: &str) {
        let end = format!("/{kind}/{name}");
        self.content.lock().unwrap().objects.retain(|path, _| !path.ends_with(&end));
    }

    /// A CronJob starts a Job for this due time, with a pod whose container has this state. Returns the name of the Job.
    pub(crate) fn start_job(&self, cron_job: &str, due: &str, state: &Value) -> String {
        let mut content = self.content.lock().unwrap();
        content.count += 1;
        let count = content.count;
        let (path, from) = content.objects.iter().find(|(path, _)| path.ends_with(cron_job)).unwrap();
        let name = format!("{cron_job}-{count}");
        let path = path.replace(&format!("cronjobs/{cron_job}"), &format!("jobs/{name}"));
        let template = from["spec"]["jobTemplate"].clone();
        let mut metadata = template["metadata"].clone();
        metadata["name"] = name.as_str().into();
        metadata["uid"] = format!("00000000-0000-4000-8000-{count:012}").into();
        metadata["creationTimestamp"] = due.into();
        metadata["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"] = due.into();
        metadata["ownerReferences"] = json!([{"kind": "CronJob", "name": cron_job}]);
        let mut status = json!({"startTime": due});
        if state["state"]["terminated"].is_object() {
            let is_complete = state["state"]["terminated"]["exitCode"] == 0;
            let end = if is_complete { "Complete" } else { "Failed" };
            status["conditions"] = json!([{"type": end, "status": "True", "lastTransitionTime": due}]);
        }
        content.objects.insert(path, json!({"metadata": metadata, "spec": template["spec"], "status": status}));
        content.container = state.clone();
        content.add_pod(&name);
        name
    }

    /// Stores an object at this path.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.content.lock().unwrap().objects.insert(path.to_owned(), object);
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

    /// Takes away the rights to a resource.
    pub(crate) fn deny(&self, resource: &'static str) {
        self.content.lock().unwrap().denied = Some(resource);
    }

    /// Removes all namespaces.
    pub(crate) fn remove_namespaces(&self) {
        self.content.lock().unwrap().has_no_namespace = true;
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
        let numbered = |(event, n)| json!({"n": n, "at": "2026-11-28T06:00:00Z", "event": event});
        self.content.lock().unwrap().log = events.iter().zip(1..).map(numbered).collect();
    }

    /// All pods end for lack of memory, before they write a log.
    pub(crate) fn run_out_of_memory(&self) {
        self.change_containers(&json!({"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}));
        let mut content = self.content.lock().unwrap();
        for (_, pod) in content.objects.iter_mut().filter(|(path, _)| path.contains("/pods/")) {
            pod["metadata"]["isSilent"] = true.into();
        }
    }

    /// Sets the status of the container of all pods.
    pub(crate) fn change_containers(&self, container: &Value) {
        let mut content = self.content.lock().unwrap();
        let pods = content.objects.iter_mut().filter(|(path, _)| path.contains("/pods/"));
        for (_, pod) in pods {
            pod["status"]["containerStatuses"][0]["state"] = container["state"].clone();
        }
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
    let hides_date = content.lock().unwrap().hides_date;
    let mut response = answer_to(content, request).await;
    if hides_date {
        response.headers_mut().insert(DATE, HeaderValue::from_static("unknown"));
    }
    response
}

async fn answer_to(content: Arc<Mutex<Content>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, 1 << 24).await.unwrap();
    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let mut content = content.lock().unwrap();
    content.requests.push(format!("{} {path}?{query} {body}", head.method));
    if content.is_down {
        return refusal(503, "ServiceUnavailable", "the server is down");
    }
    content.end_pods();
    content.interfere(&head.method, &path);
    if head.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/merge-patch+json")
        && !path.contains("/jobs/")
    {
        body = match content.merged(&path, &body) {
            Some(merged) => merged,
            None => return refusal(404, "NotFound", "no such object"),
        };
    }
    let fault = content
        .faults
        .iter_mut()
        .find(|fault| fault.left > 0 && head.method == *fault.method && format!("{path}?{query}").contains(fault.path));
    if let Some(fault) = fault {
        fault.left -= 1;
        let (code, message) = (fault.code, fault.message.clone());
        if fault.is_carried_out {
            content.carry_out(&head.method, &path, &query, body);
        }
        let reason = match code {
            403 => "Forbidden",
            // An API that the server does not serve.
            404 if message == "404 page not found" => "",
            404 => "NotFound",
            _ => "ServiceUnavailable",
        };
        return refusal(code, reason, &message);
    }
    content.carry_out(&head.method, &path, &query, body)
}

impl Content {
    fn carry_out(&mut self, method: &Method, path: &str, query: &str, body: Value) -> Response {
        if path.ends_with("/selfsubjectaccessreviews") {
            let of = body["spec"]["resourceAttributes"]["resource"].as_str();
            let allowed = self.allows && (self.denied.is_none() || self.denied != of);
            return json!({"status": {"allowed": allowed}}).to_string().into_response();
        }
        if path.ends_with("/selfsubjectreviews") {
            let identity = json!({"username": "system:serviceaccount:shop:runner"});
            return json!({"status": {"userInfo": identity}}).to_string().into_response();
        }
        if path.strip_prefix("/api/v1/namespaces/").is_some_and(|name| !name.contains('/')) && !self.has_no_namespace {
            return json!({"kind": "Namespace"}).to_string().into_response();
        }
        if let Some(pod) = path.strip_suffix("/log") {
            if self.objects.get(pod).is_some_and(|pod| pod["metadata"]["isSilent"] == true) {
                return String::new().into_response();
            }
            let hidden = if query.contains("since") { self.hidden } else { 0 };
            let events = self.log.iter().filter(|event| event["n"].as_u64().unwrap() > hidden);
            return events.map(|event| format!("{event}\n")).collect::<String>().into_response();
        }
        match *method {
            Method::POST => self.create(path, query, body),
            Method::PATCH if path.contains("/jobs/") => self.resume(path, &body),
            Method::PATCH => self.apply(path, query, body),
            Method::DELETE => self.delete(path, &body),
            _ => self.read(path, query),
        }
    }

    /// Makes the change of another caller for which it is time.
    fn interfere(&mut self, method: &Method, path: &str) {
        let fits = |it: &Interference| *method == *it.method && path.contains(it.path);
        let Some(at) = self.interferences.iter().position(fits) else { return };
        if self.interferences[at].after > 0 {
            self.interferences[at].after -= 1;
            return;
        }
        let interference = self.interferences.remove(at);
        (interference.change)(&mut self.objects);
    }

    /// An object after a merge patch (RFC 7396), with the version of the patch.
    fn merged(&self, path: &str, patch: &Value) -> Option<Value> {
        fn merge(target: &mut Value, patch: &Value) {
            let Value::Object(fields) = patch else {
                *target = patch.clone();
                return;
            };
            for (name, value) in fields {
                match value {
                    Value::Null => drop(target.as_object_mut().and_then(|target| target.remove(name))),
                    value => merge(&mut target[name], value),
                }
            }
        }
        let mut object = self.objects.get(path)?.clone();
        merge(&mut object, patch);
        Some(object)
    }

    /// Removes the deleted objects whose time is over.
    fn end_pods(&mut self) {
        if self.holds {
            return;
        }
        self.leaving.values_mut().for_each(|left| *left -= 1);
        let objects = &mut self.objects;
        self.leaving.retain(|path, left| {
            if *left == 0 {
                objects.remove(path);
            }
            *left > 0
        });
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
        object["metadata"]["resourceVersion"] = self.count.to_string().into();
        object["metadata"]["creationTimestamp"] = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
        if !query.contains("dryRun=All") {
            self.objects.insert(path, object.clone());
        }
        (StatusCode::CREATED, object.to_string()).into_response()
    }

    /// Creates or replaces an object. The server of a StatefulSet or a Deployment is ready at once.
    fn apply(&mut self, path: &str, query: &str, mut object: Value) -> Response {
        if let (Some(manager), false) = (self.manager, query.contains("force=true")) {
            let cause = json!({
                "reason": "FieldManagerConflict", "field": ".spec.suspend",
                "message": format!("conflict with \"{manager}\" using batch/v1"),
            });
            let status = json!({
                "kind": "Status", "reason": "Conflict", "message": "1 conflict", "code": 409, "details": {"causes": [cause]},
            });
            return (StatusCode::CONFLICT, status.to_string()).into_response();
        }
        self.count += 1;
        let former = self.objects.get(path).map(|former| former["metadata"].clone()).unwrap_or_default();
        let version = &object["metadata"]["resourceVersion"];
        if !version.is_null() && *version != former["resourceVersion"] {
            return refusal(409, "Conflict", "the object has been modified");
        }
        let uid = &object["metadata"]["uid"];
        if !uid.is_null() && *uid != former["uid"] {
            return refusal(409, "Conflict", "the object has another uid");
        }
        let metadata = &mut object["metadata"];
        metadata["uid"] = match &former["uid"] {
            Value::Null => format!("uid-{}", self.count).into(),
            uid => uid.clone(),
        };
        metadata["resourceVersion"] = self.count.to_string().into();
        metadata["creationTimestamp"] = match &former["creationTimestamp"] {
            Value::Null => Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into(),
            time => time.clone(),
        };
        if path.contains("/statefulsets/") || path.contains("/deployments/") {
            metadata["generation"] = self.count.into();
            let replicas = object["spec"]["replicas"].clone();
            let ready = if self.holds_servers { json!(0) } else { replicas.clone() };
            object["status"] = json!({
                "observedGeneration": self.count, "replicas": replicas, "readyReplicas": ready, "updatedReplicas": ready,
            });
        }
        if !query.contains("dryRun=All") {
            self.objects.insert(path.to_owned(), object.clone());
        }
        object.to_string().into_response()
    }

    /// Resumes a Job, which gets its pod.
    fn resume(&mut self, path: &str, patch: &Value) -> Response {
        let Some(job) = self.objects.get_mut(path) else { return refusal(404, "NotFound", "no such Job") };
        let uid = &patch["metadata"]["uid"];
        if !uid.is_null() && *uid != job["metadata"]["uid"] {
            return refusal(409, "Conflict", "the object has another uid");
        }
        let was_suspended = job["spec"]["suspend"] == true;
        job["spec"]["suspend"] = false.into();
        let (answer, name) = (job.to_string(), job["metadata"]["name"].as_str().unwrap().to_owned());
        if was_suspended {
            self.add_pod(&name);
        }
        answer.into_response()
    }

    /// Starts a pod of a Job.
    fn add_pod(&mut self, job: &str) {
        let is_running = |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["running"].is_object();
        let mut pods = self.objects.iter().filter(|(path, _)| path.contains("/pods/"));
        self.overlaps += usize::from(pods.any(|(_, pod)| is_running(pod)));
        let number = self.pods_of(job).len();
        let of_job = self.objects.iter().find(|(path, _)| path.ends_with(&format!("/jobs/{job}")));
        let uid = of_job.map(|(_, job)| job["metadata"]["uid"].clone()).unwrap_or_default();
        let mut container = self.container.clone();
        container["name"] = "run".into();
        let name = format!("{job}-x{}", if number == 0 { String::new() } else { format!("-{number}") });
        let pod = json!({
            "metadata": {
                "name": name, "labels": {"job-name": job, "controller-uid": uid},
                "creationTimestamp": format!("2026-11-28T06:00:{number:02}Z"),
            },
            "spec": {"nodeName": "node1"},
            "status": {"phase": "Running", "containerStatuses": [container]},
        });
        let path = format!("/api/v1/namespaces/shop/pods/{name}");
        self.leaving.remove(&path);
        self.objects.insert(path, pod);
    }

    /// Paths of the pods of a Job.
    fn pods_of(&self, job: &str) -> Vec<String> {
        let is_of_job = |object: &Value| object["metadata"]["labels"]["job-name"] == job;
        self.objects.iter().filter(|(_, object)| is_of_job(object)).map(|(path, _)| path.clone()).collect()
    }

    fn delete(&mut self, path: &str, options: &Value) -> Response {
        let Some(found) = self.objects.get(path) else { return refusal(404, "NotFound", "no such object") };
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && *uid != found["metadata"]["uid"] {
            return refusal(409, "Conflict", "the object has another uid");
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let is_foreground = path.contains("/jobs/") && options["propagationPolicy"] == "Foreground";
        if path.contains("/jobs/") {
            let pods = self.pods_of(&name);
            let all = pods.iter().map(String::as_str).chain(is_foreground.then_some(path));
            for path in all.map(str::to_owned).collect::<Vec<_>>() {
                self.leaving.entry(path.clone()).or_insert(LINGERING);
                if let Some(object) = self.objects.get_mut(&path) {
                    object["metadata"]["deletionTimestamp"] = "2026-11-28T06:10:00Z".into();
                }
            }
            let is_of_job = |object: &Value| object["metadata"]["ownerReferences"][0]["name"] == name.as_str();
            self.objects.retain(|_, object| !is_of_job(object));
        }
        if ["/cronjobs/", "/statefulsets/", "/deployments/"].iter().any(|kind| path.contains(kind)) {
            let is_owned = |object: &Value| object["metadata"]["ownerReferences"][0]["name"] == name.as_str();
            self.objects.retain(|_, object| !is_owned(object));
        }
        if !is_foreground {
            self.objects.remove(path);
        }
        json!({"kind": "Status"}).to_string().into_response()
    }

    fn read(&mut self, path: &str, query: &str) -> Response {
        if let Some(object) = self.objects.get(path) {
            let mut object = object.clone();
            if path.contains("/jobs/") {
                object["status"]["conditions"] = self.conditions.clone().into();
            }
            return object.to_string().into_response();
        }
        if path.ends_with("/pods") && self.replaces {
            self.replace_ended_pods();
        }
        let kind = path.rsplit('/').next().unwrap_or_default();
        let items: Vec<&Value> = match kind {
            "events" => self.events.iter().collect(),
            "jobs" | "pods" | "nodes" | "statefulsets" => {
                let selector =
                    query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
                let selector = selector.replace("%3D", "=").replace("%2F", "/").replace("%2C", ",");
                let of_kind = self.objects.iter().filter(|(found, _)| found.starts_with(&format!("{path}/")));
                let has = |object: &Value, (label, value): (&str, &str)| object["metadata"]["labels"][label] == value;
                let fits = |object: &&Value| {
                    selector.split(',').filter_map(|part| part.split_once('=')).all(|part| has(object, part))
                };
                of_kind.map(|(_, object)| object).filter(fits).collect()
            }
            _ => return refusal(404, "NotFound", "no such object"),
        };
        json!({"items": items}).to_string().into_response()
    }

    /// Starts a pod for each Job whose pods have all ended by a signal.
    fn replace_ended_pods(&mut self) {
        let ended = |path: &String| {
            let code =
                self.objects.get(path)?["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"].as_i64();
            Some(code == Some(143))
        };
        let jobs = self.objects.keys().filter_map(|path| Some(path.split_once("/jobs/")?.1.to_owned()));
        let jobs: Vec<String> =
            jobs.filter(|job| self.pods_of(job).iter().all(|path| ended(path) == Some(true))).collect();
        for job in jobs {
            self.add_pod(&job);
        }
    }
}
