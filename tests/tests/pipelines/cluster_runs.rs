//! Runs in a cluster whose callers are killed: their states, and their logs. The API server is a stand-in.

use crate::pipelines::runs::Pipelines;
use serde_json::{Value, json};
use std::fs;
use std::sync::{Arc, Mutex};
use terrace_tests::{Peer, Ran, Running, until};

/// A cluster with at most one Job.
#[derive(Default)]
pub(super) struct Cluster {
    job: Option<Value>,
    /// Events in the log of its pod.
    pub(super) log: Vec<Value>,
    /// Number of reads of the log.
    reads: usize,
    /// The identity may neither read Jobs nor list pods.
    pub(super) refuses: bool,
    /// Jobs cannot be deleted now.
    holds: bool,
    /// Pods cannot start, because the name of their image is not valid.
    lacks_image: bool,
    /// Number of calls that delete the Job.
    deletions: usize,
    /// Objects with this end of their path cannot be created now.
    fails: Option<&'static str>,
    /// Number of objects that were not created.
    failures: usize,
    /// A database with a lifetime, and its pod.
    pub(super) has_database: bool,
}

impl Cluster {
    /// Answers a call of the API.
    fn answer(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        let gone = || (404, json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}));
        if place.ends_with("/selfsubjectaccessreviews") {
            return (201, json!({"status": {"allowed": true}}));
        }
        if body.is_object() && self.fails.is_some_and(|end| place.ends_with(end)) {
            self.failures += 1;
            return (503, json!({"kind": "Status", "status": "Failure", "code": 503}));
        }
        if place.ends_with("/jobs") && body.is_object() {
            let mut job = body.clone();
            job["metadata"]["uid"] = "uid-1".into();
            self.job = Some(job.clone());
            return (201, job);
        }
        if place.contains("/jobs/") {
            if self.refuses {
                return forbidden();
            }
            if body.pointer("/spec/suspend").is_some()
                && let Some(job) = &mut self.job
            {
                job["spec"]["suspend"] = false.into();
            } else if body.is_object() {
                self.deletions += 1;
                if self.holds {
                    return (503, json!({"kind": "Status", "status": "Failure", "code": 503}));
                }
                self.job = None;
                return (200, json!({"kind": "Status"}));
            }
            return self.job.clone().map_or_else(gone, |job| (200, job));
        }
        if place.contains("/secrets") {
            return (201, body.clone());
        }
        if place.ends_with("/pods") && self.refuses {
            return forbidden();
        }
        let mut items: Vec<Value> = match &self.job {
            Some(job) if place.ends_with("/jobs") => vec![job.clone()],
            Some(job) if place.ends_with("/pods") && !query.is_empty() => vec![pod(job, self.lacks_image)],
            _ => Vec::new(),
        };
        items.extend(database(place).filter(|_| self.has_database));
        (200, json!({"items": items}))
    }

    fn log(&mut self) -> String {
        self.reads += 1;
        let events = self.log.iter().zip(1..);
        events
            .map(|(event, n)| format!("{}\n", json!({"n": n, "at": "2026-11-28T06:00:00Z", "event": event})))
            .collect()
    }
}

/// The pod of a Job.
fn pod(job: &Value, lacks_image: bool) -> Value {
    let mut metadata = job["spec"]["template"]["metadata"].clone();
    let name = job["metadata"]["name"].as_str().unwrap();
    metadata["name"] = format!("{name}-x").into();
    metadata["creationTimestamp"] = "2026-11-28T06:00:00Z".into();
    metadata["ownerReferences"] = json!([{"kind": "Job", "name": name}]);
    let state = match lacks_image {
        true => json!({"waiting": {"reason": "InvalidImageName", "message": "no"}}),
        false => json!({"running": {}}),
    };
    json!({
        "metadata": metadata,
        "spec": {"nodeName": "node"},
        "status": {"phase": "Running", "containerStatuses": [{"name": "run", "image": "i", "state": state}]},
    })
}

/// The part of a database in the list at this place.
fn database(place: &str) -> Option<Value> {
    let labels =
        json!({"app.kubernetes.io/managed-by": "terrace", "terrace.dev/role": "db", "terrace.dev/database": "orders"});
    if place.ends_with("/statefulsets") {
        let annotations = json!({"terrace.dev/expires-at": "2126-01-01T00:00:00Z"});
        return Some(json!({"metadata": {"name": "terrace-db-orders", "labels": labels, "annotations": annotations}}));
    }
    let metadata =
        json!({"name": "terrace-db-orders-0", "labels": labels, "creationTimestamp": "2026-11-28T06:00:00Z"});
    place.ends_with("/pods").then(|| json!({"metadata": metadata, "status": {"phase": "Running"}}))
}

fn forbidden() -> (u16, Value) {
    (403, json!({"kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403}))
}

pub(super) struct World {
    pub(super) pipelines: Pipelines,
    pub(super) cluster: Arc<Mutex<Cluster>>,
    /// The API server.
    pub(super) server: Peer,
}

impl World {
    pub(super) fn new() -> Self {
        let cluster = Arc::<Mutex<Cluster>>::default();
        let answering = Arc::clone(&cluster);
        let server = Peer::start_with(move |call, _| {
            let mut cluster = answering.lock().unwrap();
            if call.path.contains("/log?") {
                return (200, "text/plain", cluster.log());
            }
            let body = serde_json::from_slice(&call.body).unwrap_or_default();
            let (code, answer) = cluster.answer(&call.path, &body);
            (code, "application/json", answer.to_string())
        });
        let pipelines = Pipelines::new("quick: {pipeline: [{run: noise}]}\n");
        let url = &server.url;
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: '{url}'}}}}]\nusers: [{{name: a, user: {{}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\ncurrent-context: a\n"
        );
        pipelines.project.write("kubeconfig", kubeconfig);
        let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
        pipelines.project.write(
            "terrace.yaml",
            format!("environments: {{local: {{providers: {{pipelines: {{executor: kubernetes, namespace: p, image: '{image}'}}}}}}}}\n"),
        );
        Self { pipelines, cluster, server }
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.pipelines.command(arguments);
        command.env("KUBECONFIG", self.pipelines.project.path("kubeconfig"));
        self.pipelines.project.start(command)
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Ran {
        self.start(arguments).finish()
    }

    /// Waits for another read of the log by a process.
    fn wait_for_reader(&self) {
        let before = self.cluster.lock().unwrap().reads;
        until("the log is read", || self.cluster.lock().unwrap().reads > before);
    }

    /// Starts a run, and kills its caller while its Job goes on. Returns its id.
    pub(super) fn interrupted(&self, log: Value) -> String {
        self.cluster.lock().unwrap().log = vec![log];
        let running = self.start(&["pipelines", "run", "./quick"]);
        self.wait_for_reader();
        running.kill();
        assert_eq!(running.finish().code, -1);
        self.last()["run_id"].as_str().unwrap().to_owned()
    }

    /// Kills the caller of a run while it creates objects with this end of their path.
    fn killed_before(&self, end: &'static str) {
        self.cluster.lock().unwrap().fails = Some(end);
        let running = self.start(&["pipelines", "run", "./quick"]);
        until("an object is to be created", || self.cluster.lock().unwrap().failures > 0);
        running.kill();
        assert_eq!(running.finish().code, -1);
        self.cluster.lock().unwrap().fails = None;
    }

    /// The last run in the list.
    fn last(&self) -> Value {
        self.run(&["pipelines", "runs", "--json"]).done().json()["runs"][0].clone()
    }
}

pub(super) fn line(text: &str) -> Value {
    json!({"line": {"step": 0, "line": text}})
}

/// The event of the end of a run.
fn end() -> Value {
    let steps = json!([{"rows": 500, "bytes": 9, "exit_code": 0, "signal": null}]);
    let outcome = json!({"end": "succeeded", "stats": {}, "rows": 500, "steps": steps, "failure": null});
    json!({"end": {"outcome": outcome, "results": {"files": 0, "bytes": 0, "digest": ""}}})
}

#[test]
fn run_whose_caller_was_killed_is_followed_to_its_end() {
    let world = World::new();
    let run = world.interrupted(line("500 rows"));
    assert_eq!(world.last()["state"], "running", "its Job goes on");
    world.run(&["pipelines", "logs", &run]).done().prints("noise: 500 rows");
    world.cluster.lock().unwrap().refuses = true;
    let present = world.run(&["pipelines", "logs", &run]).done();
    present.prints("noise: 500 rows").prints(&format!("warning: the last lines of run {run} may be missing: "));
    world.cluster.lock().unwrap().refuses = false;
    let following = world.start(&["pipelines", "logs", "-f", &run]);
    world.wait_for_reader();
    world.cluster.lock().unwrap().log.extend([line("the last line"), end()]);
    let followed = following.finish().done();
    assert_eq!(followed.stdout.matches("500 rows").count(), 1, "{followed}");
    followed.prints("noise: the last line");
    let ended = world.last();
    assert_eq!((&ended["state"], &ended["rows"]), (&json!("succeeded"), &json!(500)));
    world.run(&["pipelines", "logs", "-f", &run]).done().prints("the last line");
    assert_eq!(world.last(), ended, "the end is recorded once");
}

#[test]
fn reader_ends_after_the_job_of_an_ended_run_is_deleted() {
    let world = World::new();
    let run = world.interrupted(line("500 rows"));
    world.cluster.lock().unwrap().holds = true;
    let mut following = world.start(&["pipelines", "logs", "-f", &run]);
    world.wait_for_reader();
    world.cluster.lock().unwrap().log.extend([line("the last line"), end()]);
    until("the Job is being deleted", || world.cluster.lock().unwrap().deletions > 0);
    world.run(&["pipelines", "logs", &run]).done().prints("the last line");
    assert!(!following.has_ended());
    world.cluster.lock().unwrap().holds = false;
    following.finish().done();
    assert!(world.cluster.lock().unwrap().job.is_none());
    let folders = fs::read_dir(world.pipelines.project.path(".terrace/pipelines/pipelines")).unwrap();
    let current: Vec<_> = folders.filter(|folder| folder.as_ref().unwrap().path().join("current").exists()).collect();
    assert!(current.is_empty(), "{current:?}");
}

#[test]
fn reader_ends_with_a_job_that_is_gone() {
    let world = World::new();
    let run = world.interrupted(line("500 rows"));
    let following = world.start(&["pipelines", "logs", "-f", &run]);
    world.wait_for_reader();
    world.cluster.lock().unwrap().job = None;
    following.finish().done().prints("500 rows");
    assert_eq!(world.last()["state"], "cancelled");
    // Without a reader, the list finds that it is gone.
    let run = world.interrupted(line("more rows"));
    world.cluster.lock().unwrap().job = None;
    let lost = world.last();
    assert_eq!((&lost["run_id"], &lost["state"]), (&json!(run), &json!("lost")));
    assert_eq!(lost["error"], "its process is gone, and the cluster has no Job of it");
}

#[test]
fn second_cancellation_reports_the_end_that_the_first_one_requested() {
    let world = World::new();
    let run = world.interrupted(line("500 rows"));
    // A former call requested the end, and did not wait for it.
    world.pipelines.project.write(&format!(".terrace/pipelines/runs/{run}/stop"), "");
    world.cluster.lock().unwrap().job = None;
    world.run(&["pipelines", "cancel", &run]).done().prints(&format!("./quick: CANCELLED, run {run}"));
    world.run(&["pipelines", "cancel", &run]).with_code(1).prints("has ended: it was cancelled");
}

#[test]
fn existing_runs_need_no_right_settings() {
    let world = World::new();
    let run = world.interrupted(line("500 rows"));
    let right = world.pipelines.project.read("terrace.yaml");
    for (setting, wrong, message, pods) in [
        ("namespace: p", "namespace: p, memory: 512", "`memory` of `providers.pipelines`", 1),
        ("namespace: p", "namespace: p, maxParallel: 0", "`maxParallel` is 0", 1),
        ("@sha256:", ":", "without a digest", 1),
        // The cluster of the settings is unknown.
        ("namespace: p", "namespace: Shop", "`Shop` cannot be the name of a namespace", 0),
        ("executor: kubernetes", "executor: kubernets", "did you mean `kubernetes`?", 0),
        ("namespace: p", "namespac: p", "`namespac`", 0),
        ("namespace: p", "namespace: 5", "`namespace` of `providers.pipelines`", 0),
        ("namespace: p", "namespace: p, contxt: a", "`contxt`", 0),
        ("namespace: p", "namespace: p, context: 7", "`context` of `providers.pipelines`", 0),
        ("namespace: p", "namespace: p, inCluster: 'yes'", "`inCluster` of `providers.pipelines`", 0),
        ("namespace: p", "namespace: p, memory: 2 GB", "`memory` is `2 GB`", 1),
    ] {
        world.pipelines.project.write("terrace.yaml", right.replace(setting, wrong));
        let listed = world.run(&["pipelines", "pods", "--json"]).done();
        assert_eq!(listed.json().as_array().unwrap().len(), pods, "{listed}");
        listed.prints(message).prints("terrace.yaml:1:");
        let none = world.run(&["pipelines", "pods", "--format", "human"]).done();
        assert_eq!(none.stderr.contains("no pods are known now"), pods == 0, "{none}");
        let refused = world.run(&["pipelines", "ssh", "none"]).with_code(1);
        assert!(!refused.prints(message).stderr.contains("no pod `none`"), "{refused}");
    }
    assert_eq!(world.last()["state"], "running");
    world.run(&["pipelines", "schedules"]).done();
    world.run(&["pipelines", "logs", &run]).done().prints("noise: 500 rows");
    world.run(&["pipelines", "run", "./quick"]).with_code(1).prints("`memory` is `2 GB`");
    // The record names the cluster.
    world.run(&["pipelines", "cancel", &run]).done().prints(&format!("./quick: CANCELLED, run {run}"));
    assert!(world.cluster.lock().unwrap().job.is_none());
}

#[test]
fn hint_without_pods_names_the_cluster_of_the_settings() {
    let world = World::new();
    let none = world.run(&["pipelines", "pods", "--format", "human"]).done();
    none.prints("no pods: start workers with `terrace pipelines init kubernetes` or a `pipelines_worker_pool`");
    let none = world.run(&["pipelines", "run", "./quick", "--detach"]).with_code(1);
    none.prints("start workers with `terrace pipelines init kubernetes` or a `pipelines_worker_pool`");
}

#[test]
fn image_that_cannot_be_pulled_is_reported_at_its_place() {
    let world = World::new();
    world.cluster.lock().unwrap().lacks_image = true;
    let run = || world.run(&["pipelines", "run", "./quick"]).with_code(3);
    let message = "./quick: the image `i` cannot be pulled: no; look for it with `skopeo inspect docker://IMAGE`";
    run().prints(&format!("error: terrace.yaml:1:84: {message}"));
    let image = format!("r.example.com/x@sha256:{}", "0b".repeat(32));
    let spec = format!("quick:\n  image: {image}\n  pipeline: [{{run: noise}}]\n");
    world.pipelines.project.write("pipeline-spec.yaml", spec);
    run().prints(&format!("error: pipeline-spec.yaml:2:10: {message}"));
}

#[test]
fn run_killed_before_its_job_started_ends_with_that_reason() {
    for (end, reason) in [
        ("/jobs", "its process is gone, and the cluster has no Job of it"),
        ("/secrets", "its process is gone, and its Job had not started or was being deleted"),
    ] {
        let world = World::new();
        world.killed_before(end);
        let lost = world.last();
        assert_eq!((&lost["state"], &lost["error"]), (&json!("lost"), &json!(reason)));
        assert!(world.cluster.lock().unwrap().job.is_none());
    }
}

#[test]
fn run_killed_while_it_was_recorded_ends_with_a_reason_or_as_cancelled() {
    for is_cancelled in [true, false] {
        let world = World::new();
        world.killed_before("/jobs");
        // As if it had been killed between the records of the pipeline and of the run.
        let records = world.pipelines.project.path(".terrace/pipelines");
        let only = |folder: &str| fs::read_dir(records.join(folder)).unwrap().next().unwrap().unwrap().path();
        let (own, last) = (only("runs").join("run.json"), only("pipelines").join("last.json"));
        fs::remove_file(own).unwrap();
        let preparing = fs::read_to_string(&last).unwrap().replace(r#""state":"running""#, r#""state":"preparing""#);
        fs::write(&last, preparing).unwrap();
        let run = only("runs").file_name().unwrap().to_str().unwrap().to_owned();
        if is_cancelled {
            world.run(&["pipelines", "cancel", "./quick"]).done().prints(&format!("./quick: CANCELLED, run {run}"));
            assert_eq!(world.last()["state"], "cancelled");
            continue;
        }
        world.cluster.lock().unwrap().log = vec![end()];
        world.run(&["pipelines", "run", "./quick"]).done();
        let runs = world.run(&["pipelines", "runs", "--json"]).done().json();
        let lost = &runs["runs"][1];
        assert_eq!((&lost["run_id"], &lost["state"]), (&json!(run), &json!("lost")));
        assert_eq!(lost["error"], "its process ended before it created a Job: nothing started in the cluster");
    }
}

#[test]
fn wrong_context_is_reported_at_its_setting() {
    let world = World::new();
    let image = format!("r.example.com/x@sha256:{}", "0a".repeat(32));
    let settings = format!("{{executor: kubernetes, image: '{image}',\n  context: b}}");
    let settings = format!("environments: {{local: {{providers: {{pipelines: {settings}}}}}}}\n");
    world.pipelines.project.write("terrace.yaml", settings);
    let refused = world.run(&["pipelines", "run", "./quick"]).with_code(1);
    refused.prints("the kubeconfig file has no context `b`").prints("terrace.yaml:2:3");
    // Pipelines that are clean need no cluster, so this call starts.
    let refused = world.run(&["pipelines", "run", "./quick", "--dirty"]).with_code(1);
    refused.prints("./quick: NOT RUN, processed 0 rows").prints("INFO    :NOT RUN: ./quick");
    refused.prints("the kubeconfig file has no context `b`");
}
