//! Runs as Jobs of a cluster: outages, replaced pods, and processes that die.

use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::{Project, Recorder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::json;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::executor::kubernetes::KubernetesExecutor;
use terrace_pipelines::executor::kubernetes::install::{TokenSecret, ensure_token};
use terrace_pipelines::executor::{
    ClusterPlace, ClusterPodState, Elsewhere, End, Executor, Interrupted, Job, JobObserver, Outcome, Place, Program,
    StepOutcome,
};
use terrace_pipelines::run::{NotRun, Record, RunRequest, State};
use terrace_provider::conformance::{self, Instance};
use terrace_provider::wrap::Limits;
use terrace_provider::{Attributes, ErrorKind, Provider, Recorded, Settings, Severity, Value};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

/// Name of the Job of [`job`].
const NAME: &str = "terrace-run-1";

/// Notes, lines of steps, and warnings, which are also notes.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>, Mutex<Vec<String>>, Mutex<Vec<String>>);

impl JobObserver for Notes {
    fn line(&self, _step: usize, _at: Timestamp, line: &str) {
        self.1.lock().unwrap().push(line.to_owned());
    }
    fn progress(&self, _step: usize, _rows: u64, _bytes: u64) {}
    fn ended(&self, _step: usize, _outcome: &StepOutcome) {}
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn warned(&self, line: &str) {
        self.2.lock().unwrap().push(line.to_owned());
        self.note(line);
    }
}

impl Notes {
    fn contain(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|note| note.contains(text))
    }
}

fn executor(cluster: &ClusterStandIn) -> KubernetesExecutor {
    let folder = std::path::Path::new("/project");
    let settings = conformance::settings_with(&json!({"server": cluster.url}), &json!({})).unwrap();
    let settings = Settings { project_folder: folder.to_owned(), ..settings };
    let mut options = ExecutionOptions::default();
    options.set(ExecutionOption::Image, "r/i@sha256:00");
    KubernetesExecutor::open(&settings, "shop", options).unwrap()
}

fn job(timeout: Option<Duration>) -> Job {
    Job {
        run: "run-1".to_owned(),
        folder: "/project".into(),
        environment: [("PASSWORD".to_owned(), "hunter2".to_owned())].into(),
        steps: vec![Program { name: "load".to_owned(), program: "python".into(), arguments: Vec::new() }],
        dependencies: Default::default(),
        timeout,
        grace: Duration::from_secs(1),
        elsewhere: Elsewhere {
            pipeline: "./load".to_owned(),
            home: Some("4711".to_owned()),
            folders: vec!["/project".into()],
            ..Elsewhere::default()
        },
    }
}

/// Report of a run that succeeded, and wrote this many files.
fn succeeded(files: usize) -> serde_json::Value {
    let steps = [json!({"rows": 3, "bytes": 9, "exit_code": 0, "signal": null})];
    json!({"end": {
        "outcome": {"end": "succeeded", "stats": {"hash": "a"}, "rows": 3, "steps": steps, "failure": null},
        "results": {"files": files, "bytes": files, "digest": ""},
    }})
}

async fn execute(executor: &KubernetesExecutor) -> Outcome {
    executor.execute(&job(None), &Notes::default(), &CancellationToken::new()).await
}

fn message(outcome: &Outcome) -> &str {
    outcome.failure.as_ref().map_or("", |failure| failure.message.as_str())
}

#[tokio::test]
async fn cancelled_run_ends_only_after_its_job() {
    let cluster = ClusterStandIn::start();
    let executor = executor(&cluster);
    let (notes, cancel) = (Notes::default(), CancellationToken::new());
    let job = job(None);
    let running = executor.execute(&job, &notes, &cancel);
    let cancelling = async {
        cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
        cluster.set_down(true);
        cancel.cancel();
        // More requests than a short outage needs.
        cluster.until(|cluster| cluster.count("DELETE", "/jobs/") > 5).await;
        assert_eq!(cluster.names("jobs"), [NAME]);
        assert!(notes.contain("cancelling: terrace tries again until the cluster answers"), "{:?}", notes.0);
        cluster.set_down(false);
    };
    let (outcome, ()) = tokio::join!(running, cancelling);
    assert_eq!((outcome.end, message(&outcome)), (End::Cancelled, "it was cancelled"));
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn end_of_a_run_is_unknown_if_its_cancellation_is_refused() {
    let cluster = ClusterStandIn::start();
    let executor = executor(&cluster);
    let (notes, cancel) = (Notes::default(), CancellationToken::new());
    let job = job(None);
    let running = executor.execute(&job, &notes, &cancel);
    let cancelling = async {
        cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
        cluster.fails("DELETE", "/jobs/", 403, 1);
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(running, cancelling);
    assert_eq!(outcome.end, End::Unknown);
    assert!(message(&outcome).contains("its Job `terrace-run-1` may still run"), "{outcome:?}");
}

#[tokio::test]
async fn end_of_a_run_is_unknown_while_its_job_is_being_deleted() {
    let cluster = ClusterStandIn::start();
    cluster.hold_pods();
    let executor = executor(&cluster).with_ending_time(Duration::ZERO);
    let (notes, cancel) = (Notes::default(), CancellationToken::new());
    let job = job(None);
    let running = executor.execute(&job, &notes, &cancel);
    let cancelling = async {
        cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(running, cancelling);
    assert_eq!(outcome.end, End::Unknown);
    assert!(message(&outcome).contains("the cluster has not removed it within 1 s"), "{outcome:?}");
    assert_eq!(cluster.names("jobs"), [NAME]);
}

#[tokio::test]
async fn end_of_a_run_that_cannot_go_on_is_unknown_until_its_job_is_gone() {
    let stuck = json!({"state": {"waiting": {"reason": "InvalidImageName", "message": "no"}}});
    for (holds, end) in [(false, End::Failed), (true, End::Unknown)] {
        let cluster = ClusterStandIn::start();
        cluster.set_container(stuck.clone());
        if holds {
            cluster.hold_pods();
        }
        let outcome = execute(&executor(&cluster).with_ending_time(Duration::ZERO)).await;
        assert_eq!(outcome.end, end, "{outcome:?}");
        assert_eq!(cluster.names("jobs").is_empty(), !holds);
    }
}

#[tokio::test]
async fn attempt_does_not_start_beside_the_one_before_it() {
    let cluster = ClusterStandIn::start();
    cluster.loses_answers("PATCH", "/jobs/", usize::MAX);
    let executor = executor(&cluster).with_creation_time(Duration::from_millis(500));
    let outcome = execute(&executor).await;
    assert_eq!(outcome.end, End::Broken, "{outcome:?}");
    cluster.heal();
    cluster.set_log(&[succeeded(0)]);
    assert_eq!(execute(&executor).await.end, End::Succeeded);
    assert_eq!(cluster.overlaps(), 0);
}

#[tokio::test]
async fn started_job_of_another_attempt_is_not_taken_over() {
    let cluster = ClusterStandIn::start();
    let other = json!({"metadata": {"name": NAME, "uid": "other"}, "spec": {"suspend": false}});
    cluster.put(&format!("/apis/batch/v1/namespaces/shop/jobs/{NAME}"), other);
    let executor = executor(&cluster).with_creation_time(Duration::from_millis(500));
    let outcome = execute(&executor).await;
    assert_eq!(outcome.end, End::Broken);
    assert!(message(&outcome).contains("of an earlier attempt is not gone yet"), "{outcome:?}");
}

#[tokio::test]
async fn failed_job_ends_its_run_although_its_node_is_lost() {
    let cluster = ClusterStandIn::start();
    cluster.add_condition("FailureTarget", "DeadlineExceeded");
    for has_log in [true, false] {
        if !has_log {
            cluster.fails("GET", "/log", 503, usize::MAX);
        }
        let outcome = execute(&executor(&cluster).with_ending_time(Duration::ZERO)).await;
        assert_eq!(outcome.end, End::TimedOut, "{outcome:?}");
        let log = &outcome.failure.as_ref().unwrap().log;
        assert!(log[0].contains("the node `node1` has not ended the pod `terrace-run-1-x` within 1 s"), "{log:?}");
        cluster.remove_jobs();
    }
}

#[tokio::test]
async fn number_of_pods_that_a_run_may_lose_is_limited() {
    let cluster = ClusterStandIn::start();
    cluster.set_container(json!({"state": {"terminated": {"exitCode": 143, "reason": "Error"}}}));
    cluster.replace_pods();
    let (executor, notes, job) = (executor(&cluster), Notes::default(), job(None));
    let outcome = executor.execute(&job, &notes, &CancellationToken::new()).await;
    assert_eq!(outcome.end, End::Broken);
    assert!(message(&outcome).starts_with("it lost 10 pods; the last one, `terrace-run-1-x-"), "{outcome:?}");
    assert!(message(&outcome).ends_with(": it was asked to end"), "{outcome:?}");
    assert_eq!(notes.0.lock().unwrap().iter().filter(|note| note.contains("its Job replaces it")).count(), 9);
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn job_that_left_after_its_end_was_not_cancelled() {
    let cluster = ClusterStandIn::start();
    cluster.set_container(json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}));
    cluster.fails("GET", "/log", 503, usize::MAX);
    cluster.add_condition("Complete", "CompletionsReached");
    let executor = executor(&cluster);
    let leaving = async {
        cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
        cluster.remove_jobs();
    };
    let (outcome, ()) = tokio::join!(execute(&executor), leaving);
    assert_eq!(outcome.end, End::Broken);
    assert!(message(&outcome).contains("removed its Job after its end"), "{outcome:?}");
}

#[tokio::test]
async fn events_that_a_log_from_a_time_lacks_are_read_from_its_start() {
    let cluster = ClusterStandIn::start();
    let line = |line: &str| json!({"line": {"step": 0, "line": line}});
    cluster.set_log(&[line("one")]);
    cluster.hide_events(2);
    let (executor, notes, job) = (executor(&cluster), Notes::default(), job(None));
    let growing = async {
        cluster.until(|cluster| cluster.count("GET", "sinceTime") > 0).await;
        cluster.set_log(&[line("one"), line("two"), line("three"), succeeded(0)]);
    };
    let cancel = CancellationToken::new();
    let (outcome, ()) = tokio::join!(executor.execute(&job, &notes, &cancel), growing);
    assert_eq!(outcome.end, End::Succeeded);
    assert_eq!(*notes.1.lock().unwrap(), ["one", "two", "three"]);
    assert!(!notes.contain("events are missing"), "{:?}", notes.0);
}

#[tokio::test]
async fn report_that_a_log_from_a_time_lacks_is_read_from_its_start() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[json!({"line": {"step": 0, "line": "one"}})]);
    cluster.hide_events(9);
    let executor = executor(&cluster);
    let ending = async {
        cluster.until(|cluster| cluster.count("GET", "sinceTime") > 0).await;
        cluster.set_log(&[json!({"line": {"step": 0, "line": "one"}}), succeeded(0)]);
        cluster.change_containers(&json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}));
    };
    assert_eq!(tokio::join!(execute(&executor), ending).0.end, End::Succeeded);
}

#[tokio::test]
async fn run_that_cannot_be_seen_goes_on() {
    let cluster = ClusterStandIn::start();
    let executor = executor(&cluster);
    let refusing = async {
        cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
        cluster.fails("GET", "/pods", 403, usize::MAX);
    };
    let (outcome, ()) = tokio::join!(execute(&executor), refusing);
    assert_eq!(outcome.end, End::Unknown);
    assert!(message(&outcome).starts_with("its Job `terrace-run-1` may still run: "), "{outcome:?}");
    assert_eq!(cluster.names("jobs"), [NAME]);
}

#[tokio::test]
async fn events_of_the_cluster_are_not_needed() {
    let cluster = ClusterStandIn::start();
    cluster.fails("GET", "/events", 403, usize::MAX);
    cluster.set_container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}}));
    cluster.set_log(&[succeeded(0)]);
    let executor = executor(&cluster);
    let starting = async {
        cluster.until(|cluster| cluster.count("GET", "/events") > 1).await;
        cluster.change_containers(&json!({"state": {"running": {}}}));
    };
    assert_eq!(tokio::join!(execute(&executor), starting).0.end, End::Succeeded);
}

#[tokio::test]
async fn only_the_answer_of_a_quota_counts_as_a_quota() {
    let cluster = ClusterStandIn::start();
    let executor = executor(&cluster);
    let refusal = async |message: &str| {
        cluster.heal();
        cluster.refuses("POST", "/jobs", 403, message);
        execute(&executor).await.end
    };
    assert_eq!(refusal("jobs.batch \"x\" is forbidden: exceeded quota: none, requested: 1").await, End::Broken);
    assert_eq!(refusal("jobs.batch \"quota\" is forbidden: User \"quota\" cannot create").await, End::Failed);
}

#[tokio::test]
async fn run_that_has_reported_its_end_cannot_start_again() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let executor = executor(&cluster);
    assert_eq!(execute(&executor).await.end, End::Succeeded);
    // Without this Secret no other pod of the Job starts.
    assert_eq!(cluster.names("secrets"), ["terrace-run-1-files"]);
    assert_eq!(cluster.names("jobs"), [NAME], "its end is not recorded yet");
    executor.release("run-1", 0).await;
    assert_eq!(cluster.lasting_names("jobs"), [] as [&str; 0]);
    // The controller creates no pods for a Job that is being deleted.
    assert_eq!(cluster.count("DELETE", "\"propagationPolicy\":\"Foreground\""), 1);
}

#[tokio::test]
async fn files_that_are_lost_with_their_pod_end_the_run() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(1)]);
    cluster.set_container(json!({"state": {"terminated": {"exitCode": 143, "reason": "Error"}}}));
    let outcome = execute(&executor(&cluster)).await;
    assert_eq!(outcome.end, End::Broken);
    assert!(message(&outcome).contains("its files are lost: the pod `terrace-run-1-x` ended"), "{outcome:?}");
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn outage_while_a_run_is_created_only_delays_it() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    cluster.fails("POST", "/secrets", 503, 6);
    assert_eq!(execute(&executor(&cluster)).await.end, End::Succeeded);
}

#[tokio::test]
async fn run_that_cannot_be_created_leaves_no_job() {
    let cluster = ClusterStandIn::start();
    cluster.fails("POST", "/secrets", 503, usize::MAX);
    let executor = executor(&cluster).with_creation_time(Duration::from_millis(500));
    assert_eq!(execute(&executor).await.end, End::Broken);
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
    // If it cannot be deleted, the next start finds it by its label.
    cluster.fails("DELETE", "/jobs/", 503, usize::MAX);
    assert_eq!(execute(&executor).await.end, End::Broken);
    assert_eq!(cluster.names("jobs"), [NAME]);
    cluster.heal();
    executor.remove_ended("4711", &|_| false).await;
    executor.remove_ended("other", &|_| true).await;
    assert_eq!(cluster.names("jobs"), [NAME]);
    executor.remove_ended("4711", &|run| run == "run-1").await;
    assert_eq!(cluster.lasting_names("jobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn end_of_a_run_is_unknown_if_its_start_was_not_answered() {
    let cluster = ClusterStandIn::start();
    cluster.fails("PATCH", "/jobs/", 503, usize::MAX);
    cluster.fails("DELETE", "/jobs/", 503, usize::MAX);
    let executor = executor(&cluster).with_creation_time(Duration::from_millis(500)).with_ending_time(Duration::ZERO);
    let outcome = execute(&executor).await;
    assert_eq!(outcome.end, End::Unknown);
    assert!(message(&outcome).contains("may have started"), "{outcome:?}");
}

#[tokio::test]
async fn secrets_of_a_run_belong_to_its_job() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let executor = executor(&cluster);
    let job = job(Some(Duration::from_secs(900)));
    executor.execute(&job, &Notes::default(), &CancellationToken::new()).await;
    assert_eq!(cluster.count("POST", "/configmaps"), 0);
    let created = cluster.object("jobs", NAME).unwrap();
    let files = cluster.object("secrets", "terrace-run-1-files").unwrap();
    assert_eq!(files["metadata"]["ownerReferences"][0]["uid"], created["metadata"]["uid"]);
    assert_eq!((&files["immutable"], &files["kind"]), (&json!(true), &json!("Secret")));
    assert_eq!(created["spec"]["activeDeadlineSeconds"], json!(900 + 1 + 600 + 3600));
}

#[tokio::test]
async fn reason_of_a_pending_pod_is_shown_once() {
    let cluster = ClusterStandIn::start();
    cluster.set_container(json!({"state": {"waiting": {"reason": "ContainerCreating"}}}));
    cluster.set_events(vec![json!({
        "involvedObject": {"kind": "Pod", "name": "terrace-run-1-x"}, "type": "Warning", "reason": "FailedMount",
        "message": "no such secret", "lastTimestamp": "2026-11-28T06:00:00Z",
    })]);
    let (executor, notes, cancel) = (executor(&cluster), Notes::default(), CancellationToken::new());
    let job = job(None);
    let running = executor.execute(&job, &notes, &cancel);
    let looking = async {
        let reason = "no pod of it runs yet: the pod cannot start: FailedMount: no such secret";
        cluster.until(|_| notes.contain(reason)).await;
        let looks = cluster.count("GET", "/jobs/");
        cluster.until(|cluster| cluster.count("GET", "/jobs/") > looks + 2).await;
        cancel.cancel();
        assert_eq!(*notes.2.lock().unwrap(), [reason]);
    };
    assert_eq!(tokio::join!(running, looking).0.end, End::Cancelled);
}

fn interrupted(limit: Option<Duration>) -> Interrupted {
    Interrupted {
        run: "run-1".to_owned(),
        attempt: 0,
        object: None,
        steps: 1,
        folders: vec!["/project".into()],
        grace: Duration::from_secs(1),
        limit,
    }
}

#[tokio::test]
async fn wait_for_an_interrupted_run_has_a_limit() {
    let cluster = ClusterStandIn::start();
    let executor = executor(&cluster);
    let job = job(None);
    let (notes, cancel) = (Notes::default(), CancellationToken::new());
    tokio::select! {
        outcome = executor.execute(&job, &notes, &cancel) => panic!("{outcome:?}"),
        () = cluster.until(|cluster| cluster.count("GET", "/log") > 0) => {}
    }
    let error = executor.resume(&interrupted(Some(Duration::from_millis(300))), &notes, &cancel).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    cluster.set_log(&[succeeded(0)]);
    let outcome = executor.resume(&interrupted(Some(Duration::from_secs(60))), &notes, &cancel).await.unwrap().unwrap();
    assert_eq!(outcome.end, End::Succeeded);
}

#[tokio::test]
async fn log_that_is_read_again_reports_rows_at_most_once_a_second() {
    struct Rows(Mutex<Vec<u64>>);

    impl JobObserver for Rows {
        fn line(&self, _step: usize, _at: Timestamp, _line: &str) {}
        fn progress(&self, _step: usize, rows: u64, _bytes: u64) {
            self.0.lock().unwrap().push(rows);
        }
        fn ended(&self, _step: usize, _outcome: &StepOutcome) {
            assert_eq!(self.0.lock().unwrap().last(), Some(&5000), "the last rows come before the end of the step");
        }
    }

    let cluster = ClusterStandIn::start();
    let (executor, job, cancel) = (executor(&cluster), job(None), CancellationToken::new());
    let notes = Notes::default();
    tokio::select! {
        outcome = executor.execute(&job, &notes, &cancel) => panic!("{outcome:?}"),
        () = cluster.until(|cluster| cluster.count("GET", "/log") > 0) => {}
    }
    let reports = (1..=5000).map(|rows| json!({"progress": {"step": 0, "rows": rows, "bytes": rows}}));
    let ended = json!({"ended": {"step": 0, "outcome": {"rows": 5000, "bytes": 9, "exit_code": 0, "signal": null}}});
    cluster.set_log(&reports.chain([ended, succeeded(0)]).collect::<Vec<_>>());
    let (rows, begun) = (Rows(Mutex::default()), Instant::now());
    let outcome = executor.resume(&interrupted(None), &rows, &cancel).await.unwrap().unwrap();
    assert_eq!(outcome.end, End::Succeeded);
    let (reported, seconds) = (rows.0.into_inner().unwrap().len() as u64, begun.elapsed().as_secs());
    assert!(reported <= seconds + 1, "{reported} reports in {seconds} s");
}

const LOAD: &str = "load:\n  pipeline:\n  - run: noise\n";

/// A project with a run in this cluster, whose terrace has died. Returns the id of the run.
async fn project_with_a_run(cluster: &ClusterStandIn) -> (Project, String) {
    let mut project = Project::new(LOAD);
    project.runner.executor = Arc::new(executor(cluster));
    let record = interrupt(&project, cluster, "./load").await;
    let place = ClusterPlace {
        cluster: cluster.url.clone(),
        namespace: "shop".to_owned(),
        kubeconfig: None,
        context: None,
        in_cluster: false,
    };
    assert_eq!((record.state, record.place), (State::Running, Some(Place::Kubernetes(place))));
    (project, record.run)
}

/// Starts a run in this cluster, whose terrace dies.
async fn interrupt(project: &Project, cluster: &ClusterStandIn, id: &str) -> Record {
    let before = cluster.count("GET", "/log");
    tokio::select! {
        record = project.run(id) => panic!("{record:?}"),
        () = cluster.until(|cluster| cluster.count("GET", "/log") > before) => {}
    }
    project.runner.store.last(".", id).unwrap().unwrap()
}

#[tokio::test]
async fn pods_of_runs_are_listed_with_their_states() {
    let cluster = ClusterStandIn::start();
    let project = Project::new("a: {pipeline: [{run: noise}]}\n");
    let runner = terrace_provider_pipelines::settings::runner(&settings(&project, &cluster)).unwrap();
    let pod = |name: &str, phase: &str, created: &str| {
        json!({
            "metadata": {
                "name": name, "creationTimestamp": created,
                "labels": {"app.kubernetes.io/managed-by": "terrace", "terrace.dev/role": "worker", "terrace.dev/run": "r"},
                "annotations": {"terrace.dev/pipeline-id": "./a"},
                "ownerReferences": [{"kind": "Job", "name": name}],
            },
            "spec": {"nodeName": (phase != "Pending").then_some("node-1")},
            "status": {"phase": phase},
        })
    };
    for (name, phase, created) in [
        ("c", "Succeeded", "2026-11-28T06:00:02Z"),
        ("b", "Running", "2026-11-28T06:00:01Z"),
        ("a", "Pending", "2026-11-28T06:00:03Z"),
    ] {
        cluster.put(&format!("/api/v1/namespaces/shop/pods/{name}"), pod(name, phase, created));
    }
    let pods = runner.executor.pods().unwrap().list().await.unwrap();
    let states: Vec<(&str, ClusterPodState)> = pods.iter().map(|pod| (pod.name.as_str(), pod.state)).collect();
    let expected = [("b", ClusterPodState::Running), ("c", ClusterPodState::Ended), ("a", ClusterPodState::Pending)];
    assert_eq!(states, expected);
    assert_eq!((pods[0].role.as_str(), pods[0].namespace.as_str()), ("worker", "shop"));
    assert_eq!(pods[0].run, Some(("r".to_owned(), "./a".to_owned())));
    assert_eq!((pods[0].node.as_deref(), pods[2].node.as_deref()), (Some("node-1"), None));
    cluster.change("pods", "b", |pod| pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]));
    let pods = runner.executor.pods().unwrap().list().await.unwrap();
    assert_eq!(pods[0].state, ClusterPodState::Pending);
    // A copy of a pod for a shell has its labels.
    let mut copy = pod("d", "Running", "2026-11-28T06:00:04Z");
    copy["metadata"]["ownerReferences"] = json!(null);
    cluster.put("/api/v1/namespaces/shop/pods/d", copy);
    let mut scheduled = pod("e", "Running", "2026-11-28T06:00:05Z");
    let uid = "00000000-0000-4000-8000-000000000001";
    scheduled["metadata"]["labels"] = json!({
        "app.kubernetes.io/managed-by": "terrace", "terrace.dev/role": "worker", "terrace.dev/cron-job": "terrace-nightly",
        "batch.kubernetes.io/controller-uid": uid,
    });
    cluster.put("/api/v1/namespaces/shop/pods/e", scheduled);
    let job = json!({"metadata": {
        "name": "terrace-nightly-1", "uid": uid, "creationTimestamp": "2026-11-28T06:00:05Z",
        "labels": {"terrace.dev/cron-job": "terrace-nightly"},
    }});
    cluster.put("/apis/batch/v1/namespaces/shop/jobs/terrace-nightly-1", job);
    let runs: Vec<_> = runner.executor.pods().unwrap().list().await.unwrap().into_iter().map(|pod| pod.run).collect();
    assert_eq!(runs[3], None);
    let started = runner.executor.timed().unwrap().started("terrace-nightly").await.unwrap();
    assert_eq!(runs[4], Some((started[0].run.clone(), "./a".to_owned())));
    cluster.refuses("GET", "/pods", 403, "the user cannot list resource");
    let refused = runner.executor.pods().unwrap().list().await.unwrap_err();
    assert!(refused.contains("may not list pods in the namespace `shop`"), "{refused}");
    assert!(refused.contains(BINDING), "{refused}");
}

#[tokio::test]
async fn interrupted_run_is_followed_at_its_recorded_place() {
    let (cluster, other) = (ClusterStandIn::start(), ClusterStandIn::start());
    let (mut project, run) = project_with_a_run(&cluster).await;
    cluster.set_log(&[succeeded(0)]);
    project.runner.executor = Arc::new(executor(&other));
    let followed = project.run("./load").await;
    assert_eq!((followed.run, followed.state), (run, State::Succeeded));
    assert_eq!((cluster.lasting_names("jobs").len(), other.count("POST", "/jobs")), (0, 0));
}

#[tokio::test]
async fn interrupted_run_is_in_its_cluster_until_its_job_is_gone() {
    let cluster = ClusterStandIn::start();
    let (project, run) = project_with_a_run(&cluster).await;
    let record = || project.runner.store.run(&run).unwrap().unwrap();
    assert_eq!(project.runner.record_started_runs().await, [] as [&str; 0]);
    assert!(project.runner.is_in_cluster(&record()));
    let in_progress = Some(format!("last run may be in progress in its cluster: run {run}"));
    assert_eq!(project.runner.store.last_failure(".", "./load").unwrap(), in_progress);
    assert_eq!(project.runner.store.last_resolved(".", "./load").unwrap().unwrap().state, State::Running);
    cluster.set_down(true);
    let problems = project.runner.record_started_runs().await;
    assert!(problems[0].starts_with(&format!("the state of run {run} is not known now: ")), "{problems:?}");
    assert!(project.runner.is_in_cluster(&record()));
    cluster.set_down(false);
    cluster.remove_jobs();
    assert_eq!(project.runner.record_started_runs().await, [] as [&str; 0]);
    let lost = record();
    let reason = "its process is gone, and the cluster has no Job of it";
    assert_eq!((lost.state, lost.failure.unwrap().message.as_str()), (State::Lost, reason));
}

#[tokio::test]
async fn end_of_an_interrupted_run_whose_job_has_ended_is_recorded() {
    let cluster = ClusterStandIn::start();
    let (project, run) = project_with_a_run(&cluster).await;
    cluster.set_log(&[succeeded(0)]);
    cluster.change_containers(&json!({"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}));
    cluster.add_condition("Complete", "CompletionsReached");
    assert_eq!(project.runner.record_started_runs().await, [] as [&str; 0]);
    assert_eq!(project.runner.store.run(&run).unwrap().unwrap().state, State::Succeeded);
}

#[tokio::test]
async fn request_for_a_second_run_is_not_sent_to_a_cluster_that_is_gone() {
    let cluster = ClusterStandIn::start();
    let mut project = Project::new("a: {pipeline: [{run: noise}]}\nb: {pipeline: [{run: noise}]}\n");
    project.runner.executor = Arc::new(executor(&cluster));
    let runs = [interrupt(&project, &cluster, "./a").await, interrupt(&project, &cluster, "./b").await];
    cluster.set_down(true);
    let problems = project.runner.record_started_runs().await;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(runs.iter().any(|record| problems[0].contains(&record.run)), "{problems:?}");
    assert!(problems[0].contains("hint: restore the access to that place; if the cluster is gone"), "{problems:?}");
    assert!(runs.iter().all(|record| project.runner.is_in_cluster(record)));
}

#[tokio::test]
async fn run_without_its_folder_is_over_although_its_cluster_is_gone() {
    let cluster = ClusterStandIn::start();
    let (project, run) = project_with_a_run(&cluster).await;
    cluster.set_down(true);
    std::fs::remove_dir_all(project.runner.store.run_folder(&run)).unwrap();
    assert!(project.runner.settle(&run).await.unwrap().is_none());
}

#[tokio::test]
async fn end_of_an_interrupted_run_is_recorded_by_one_of_its_readers() {
    let cluster = ClusterStandIn::start();
    let (project, run) = project_with_a_run(&cluster).await;
    let record = project.runner.store.run(&run).unwrap().unwrap();
    cluster.set_log(&[succeeded(0)]);
    let leave = CancellationToken::new();
    let follow = || project.runner.follow_cluster_run(&record, None, &leave);
    let (first, second) = tokio::join!(follow(), follow());
    first.and(second).unwrap();
    assert_eq!(project.runner.store.run(&run).unwrap().unwrap().state, State::Succeeded);
    assert_eq!(cluster.lasting_names("jobs").len(), 0);
    assert_eq!(cluster.count("DELETE", "/jobs/"), 1);
}

#[tokio::test]
async fn reader_that_leaves_ends_its_wait_but_not_the_record_of_the_end() {
    let cluster = ClusterStandIn::start();
    let (project, run) = project_with_a_run(&cluster).await;
    let runner = &project.runner;
    let record = || runner.store.run(&run).unwrap().unwrap();
    let follow_until = async |method: &'static str, path: &'static str| {
        let leave = CancellationToken::new();
        let leaving = leave.clone();
        cluster.interfere(method, path, 0, move |_| leaving.cancel());
        runner.follow_cluster_run(&record(), None, &leave).await.unwrap();
        assert!(leave.is_cancelled());
    };
    follow_until("GET", "/log").await;
    assert_eq!((record().state, cluster.lasting_names("jobs").len()), (State::Running, 1), "it goes on");
    cluster.set_log(&[succeeded(0)]);
    follow_until("DELETE", "/jobs/").await;
    assert_eq!((record().state, cluster.lasting_names("jobs").len()), (State::Succeeded, 0));
    let cancel = CancellationToken::new();
    let lock = runner.store.lock_pipeline(".", "./load", Duration::ZERO, &cancel).await.unwrap();
    assert_eq!(lock.unfinished_run(), None);
}

#[tokio::test]
async fn interrupted_run_whose_infrastructure_failed_starts_again() {
    for retries in [0, 2] {
        let cluster = ClusterStandIn::start();
        let (mut project, run) = project_with_a_run(&cluster).await;
        project.runner.retries.max = retries;
        cluster.run_out_of_memory();
        cluster.set_log(&[succeeded(0)]);
        let next = project.run("./load").await;
        let interrupted = project.runner.store.run(&run).unwrap().unwrap();
        assert!(interrupted.failure.as_ref().unwrap().message.contains("memory limit"), "{interrupted:?}");
        match retries {
            0 => assert_eq!((next.run, next.state), (run, State::Failed)),
            _ => {
                assert_ne!(next.run, run);
                assert_eq!((next.state, interrupted.state), (State::Succeeded, State::Lost));
            }
        }
        assert_eq!(cluster.overlaps(), 0);
    }
}

#[tokio::test]
async fn jobs_of_unknown_runs_stay() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let mut project = Project::new(LOAD);
    project.runner.executor = Arc::new(executor(&cluster));
    let first = project.run("./load").await;
    for (name, run) in [("left", first.run.as_str()), ("unknown", "of-a-copied-disk"), ("part", &first.run[..9])] {
        let labels = json!({"terrace.dev/home": first.home, "terrace.dev/run": run});
        let job = json!({"metadata": {"name": name, "labels": labels}, "spec": {"suspend": true}});
        cluster.put(&format!("/apis/batch/v1/namespaces/shop/jobs/{name}"), job);
    }
    project.run("./load").await;
    assert_eq!(cluster.lasting_names("jobs"), ["part", "unknown"]);
}

/// Settings of a project whose pipelines run in this cluster. No environment can be created here.
pub(crate) fn settings(project: &Project, cluster: &ClusterStandIn) -> Settings {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "clusters": [{"name": "a", "cluster": {"server": cluster.url}}],
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "users": [{"name": "a", "user": {}}],
    });
    project.write("kubeconfig", &config.to_string());
    let image = format!("r/i@sha256:{}", "0a".repeat(32));
    let values = [
        ("executor", "kubernetes"),
        ("image", image.as_str()),
        ("namespace", "shop"),
        ("kubeconfig", "kubeconfig"),
        ("cacheDir", "/dev/null/none"),
    ];
    let mut settings = project.settings();
    settings.values.extend(values.map(|(name, value)| (name.to_owned(), Value::from(value))));
    settings
}

#[tokio::test]
async fn pipelines_of_a_cluster_need_no_environment_here() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let project = Project::new(LOAD);
    let settings = settings(&project, &cluster);
    let instance =
        Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.load").await.unwrap();
    for ty in ["pipelines_pipeline", "pipelines_run"] {
        instance.create(ty, json!({"name": "./load"})).await.unwrap();
    }
    assert_eq!(cluster.count("POST", "/jobs"), 1);
}

fn image(digit: char) -> String {
    format!("r/i@sha256:{}", digit.to_string().repeat(64))
}

/// Applies a run whose log is empty until its Job was seen; returns the container of its Job.
async fn container_of_a_run(
    cluster: &ClusterStandIn,
    applied: impl Future<Output = Recorded>,
) -> (Recorded, serde_json::Value) {
    cluster.set_log(&[]);
    let looking = async {
        cluster.until(|cluster| cluster.lasting_names("jobs").len() == 1).await;
        let job = cluster.object("jobs", &cluster.lasting_names("jobs")[0]).unwrap();
        cluster.set_log(&[succeeded(0)]);
        job["spec"]["template"]["spec"]["containers"][0].clone()
    };
    tokio::join!(applied, looking)
}

#[tokio::test]
async fn options_of_a_pipeline_reach_its_pod_and_the_state() {
    let cluster = ClusterStandIn::start();
    let spec = |image: &str| {
        format!("load:\n  executor: kubernetes\n  image: {image}\n  cpu: 2\n  pipeline:\n  - run: noise\n")
    };
    let project = Project::new(&spec(&image('1')));
    let mut settings = settings(&project, &cluster);
    settings.values.insert("executor".to_owned(), "local".into());
    settings.values.insert("memory".to_owned(), "1Gi".into());
    let instance =
        Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.load").await.unwrap();
    let ty = "pipelines_run";
    let config = json!({"name": "./load", "memory": "3Gi"});
    let created = async { instance.create(ty, config.clone()).await.unwrap() };
    let (created, container) = container_of_a_run(&cluster, created).await;
    assert_eq!(container["image"], json!(image('1')));
    let limits = json!({"cpu": "2", "memory": "3Gi"});
    assert_eq!(container["resources"], json!({"requests": limits, "limits": limits}));
    let state = |recorded: &Recorded| {
        ["executor", "image", "cpu", "memory", "disk"]
            .map(|name| recorded.attributes.get(name).and_then(Value::as_str).unwrap_or("none").to_owned())
    };
    assert_eq!(state(&created), ["kubernetes", &image('1'), "2", "3Gi", "none"]);
    let record = project.runner.store.last(".", "./load").unwrap().unwrap();
    assert_eq!(record.image, Some(image('1')), "the usage log names it");
    assert_eq!(instance.changes(ty, &created, config.clone()).await.unwrap(), [] as [&str; 0]);
    // Another image has other programs; other settings only count for the next run.
    project.write("pipeline-spec.yaml", &spec(&image('2')));
    settings.values.insert("disk".to_owned(), "5Gi".into());
    let instance =
        Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.load").await.unwrap();
    let updated = async { instance.update(ty, &created, config.clone()).await.unwrap() };
    let (updated, container) = container_of_a_run(&cluster, updated).await;
    assert_eq!(container["image"], json!(image('2')));
    assert_eq!(state(&updated), ["kubernetes", &image('2'), "2", "3Gi", "5Gi"]);
    assert_ne!(created.attributes["codeHash"], updated.attributes["codeHash"]);
    assert_ne!(created.attributes["runId"], updated.attributes["runId"]);
    let more = json!({"name": "./load", "memory": "4Gi"});
    let kept = instance.update(ty, &updated, more).await.unwrap();
    assert_eq!(kept.attributes["runId"], updated.attributes["runId"], "it needs no run");
    assert_eq!(state(&kept), ["kubernetes", &image('2'), "2", "4Gi", "5Gi"]);
}

#[tokio::test]
async fn image_of_the_settings_is_an_input_if_it_has_code() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let config = json!({"name": "./load"});
    for has_code in [false, true] {
        let project = Project::new(LOAD);
        let mut settings = settings(&project, &cluster);
        settings.values.insert("imageHasCode".to_owned(), Value::Bool(has_code));
        let mut open = async |digit: char| {
            settings.values.insert("image".to_owned(), image(digit).into());
            Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.load").await.unwrap()
        };
        let before = open('1').await;
        let created = before.create("pipelines_run", config.clone()).await.unwrap();
        assert_eq!(before.changes("pipelines_run", &created, config.clone()).await.unwrap(), [] as [&str; 0]);
        let changes = open('2').await.changes("pipelines_run", &created, config.clone()).await.unwrap();
        assert_eq!(changes.iter().any(|name| name == "codeHash"), has_code, "{changes:?}");
        assert_eq!(changes.iter().any(|name| name == "runId"), has_code, "{changes:?}");
    }
}

#[tokio::test]
async fn pipeline_runs_where_its_spec_says() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let project = Project::new(LOAD);
    let mut settings = settings(&project, &cluster);
    settings.values.insert("cacheDir".to_owned(), project.caches.path().to_str().unwrap().into());
    let run = async |spec: &str, settings: &Settings| {
        project.write("pipeline-spec.yaml", &format!("load:\n  {spec}pipeline:\n  - run: noise\n"));
        let runner = terrace_provider_pipelines::settings::runner(settings).unwrap();
        let (specs, recorder) = (project.specs(), Recorder::default());
        let pipeline = specs.pipeline("./load").unwrap();
        runner.run(&specs, pipeline, RunRequest::default(), &recorder, &CancellationToken::new()).await
    };
    let place = |record: Record| matches!(record.place, Some(Place::Kubernetes(_)));
    assert!(place(run("", &settings).await.unwrap()));
    assert!(!place(run("executor: local\n  ", &settings).await.unwrap()));
    settings.values.insert("executor".to_owned(), "local".into());
    assert!(!place(run("", &settings).await.unwrap()));
    assert!(place(run("executor: kubernetes\n  ", &settings).await.unwrap()));
    settings.values.shift_remove("image");
    match run("executor: kubernetes\n  ", &settings).await {
        Err(NotRun::WorkerFailed { message }) => {
            assert_eq!(message[0], "the executor `kubernetes` needs `image`");
            assert!(message[1].starts_with("hint: write a `Dockerfile`"), "{message:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn wrong_options_of_a_run_are_errors_of_the_plan() {
    let project = Project::new(LOAD);
    let instance = Instance::open(PipelinesProvider::new(), &project.settings(), Limits::default(), "s@test:x.load")
        .await
        .unwrap();
    let refused = async |name: &str, value: &str| {
        let config = json!({"name": "./load", "executor": "kubernetes", name: value});
        let error = instance.plan("pipelines_run", None, config).await.unwrap_err();
        let ErrorKind::InvalidInput { path: Some(path) } = &error.kind else { panic!("{error:?}") };
        (path.to_string(), error.message.clone(), error.hint().unwrap())
    };
    let (path, message, hint) = refused("cpu", "1Gi").await;
    assert_eq!((path.as_str(), message.as_str()), ("cpu", "`cpu` is `1Gi`: expected a number of cores"));
    assert!(hint.contains("`500m`"), "{hint}");
    let (path, message, _) = refused("image", "r/i:1").await;
    assert!(path == "image" && message.contains("without a digest"), "{message}");
    let (path, message, _) = refused("cpu", "1").await;
    assert!(path == "image" && message.contains("needs `image`"), "{message}");
}

const TWO: &str = "\
load:
  pipeline:
  - run: noise
  - {run: dump_to_path, parameters: {out-path: data/load}}
next:
  dependencies: [{pipeline: ./load}]
  pipeline:
  - {run: load, parameters: {from: data/load/datapackage.json}}
  - {run: dump_to_path, parameters: {out-path: data/next}}
";

/// A project whose results are to be on the claim `results`, in the folder `shop`.
fn project_with_a_claim(cluster: &ClusterStandIn) -> (Project, Settings) {
    let project = Project::new(TWO);
    let mut settings = settings(&project, cluster);
    settings.values.insert("claim".to_owned(), "results/shop".into());
    settings.values.insert("cacheDir".to_owned(), project.caches.path().to_str().unwrap().into());
    (project, settings)
}

/// Stores the claim `results` with this status.
fn put_claim(cluster: &ClusterStandIn, phase: &str) {
    let path = "/api/v1/namespaces/shop/persistentvolumeclaims/results";
    cluster.put(path, json!({"metadata": {"name": "results"}, "spec": {}, "status": {"phase": phase}}));
}

/// Report of a run that has stored a file in this folder of the project.
fn kept(project: &Project, folder: &str) -> serde_json::Value {
    let place = project.runner.project.join(folder);
    let output = json!({"partial": place.join(".terrace-r"), "place": place, "files": {"datapackage.json": 2}});
    let mut report = succeeded(0);
    report["end"]["outcome"]["in_place"] = json!([output]);
    report
}

/// Runs a pipeline with these settings.
async fn run_with(project: &Project, settings: &Settings, id: &str) -> Result<Record, NotRun> {
    let runner = terrace_provider_pipelines::settings::runner(settings).unwrap();
    let (specs, recorder) = (project.specs(), Recorder::default());
    let request = RunRequest { retries: Some(0), ..RunRequest::default() };
    runner.run(&specs, specs.pipeline(id).unwrap(), request, &recorder, &CancellationToken::new()).await
}

#[tokio::test]
async fn pod_of_a_shell_belongs_to_no_run() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project_with_a_claim(&cluster);
    put_claim(&cluster, "Bound");
    tokio::select! {
        record = run_with(&project, &settings, "./load") => panic!("{record:?}"),
        () = cluster.until(|cluster| cluster.count("GET", "/log") > 0) => {}
    }
    let in_progress = project.runner.store.last(".", "./load").unwrap().unwrap();
    assert_eq!(in_progress.outputs.len(), 1);
    let runner = terrace_provider_pipelines::settings::runner(&settings).unwrap();
    let specs = project.specs();
    let pod = runner.shell_pod(&specs, specs.pipeline("./load").unwrap()).unwrap();
    let (notes, end) = (Notes::default(), CancellationToken::new());
    let living = pod.executor.execute(&pod.job, &notes, &end);
    let shell = async {
        let name = format!("terrace-{}", pod.job.run);
        let read = format!("/pods/{name}-x/log");
        cluster.until(|cluster| cluster.count("GET", &read) > 0).await;
        let job = cluster.object("jobs", &name).unwrap();
        assert_eq!(job["metadata"]["labels"]["terrace.dev/role"], "shell");
        assert!(job["spec"]["activeDeadlineSeconds"].as_u64() > Some(8 * 3600), "{job}");
        let secret = cluster.object("secrets", &name).unwrap();
        let text = STANDARD.decode(secret["data"]["job.json"].as_str().unwrap()).unwrap();
        let text: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(text["folder"], project.runner.project.to_str().unwrap());
        // Those of the run in progress.
        assert_eq!(text["elsewhere"]["claim"]["partials"], json!([]));
        // The next run of the project removes the Jobs of ended runs.
        pod.executor.remove_ended(in_progress.home.as_deref().unwrap(), &|_| true).await;
        assert_eq!(cluster.lasting_names("jobs"), [name]);
        end.cancel();
    };
    let (outcome, ()) = tokio::join!(living, shell);
    assert_eq!((outcome.end, message(&outcome)), (End::Cancelled, "it was cancelled"));
    assert_eq!(cluster.lasting_names("jobs"), [] as [&str; 0]);
    assert_eq!(project.runner.store.last(".", "./load").unwrap().unwrap().run, in_progress.run);
}

#[tokio::test]
async fn results_on_a_claim_stay_there() {
    let cluster = ClusterStandIn::start();
    let (project, mut settings) = project_with_a_claim(&cluster);
    put_claim(&cluster, "Bound");
    cluster.set_log(&[kept(&project, "data/load")]);
    let loaded = run_with(&project, &settings, "./load").await.unwrap();
    assert_eq!((loaded.state, loaded.outputs[0].files.len()), (State::Succeeded, 1), "{:?}", loaded.failure);
    assert!(!project.path("data").exists(), "nothing is copied");
    let reasons = |settings: &Settings| {
        let specs = project.specs();
        let runner = terrace_provider_pipelines::settings::runner(settings).unwrap();
        runner.reasons(&specs, specs.pipeline("./load").unwrap()).unwrap()
    };
    assert_eq!(reasons(&settings), [] as [&str; 0]);
    // The next pipeline finds them by a link.
    cluster.set_log(&[]);
    let looking = async {
        cluster.until(|cluster| cluster.names("secrets").len() == 2).await;
        let name = &cluster.names("jobs")[0];
        let secret = cluster.object("secrets", name).unwrap();
        let job = STANDARD.decode(secret["data"]["job.json"].as_str().unwrap()).unwrap();
        let job: serde_json::Value = serde_json::from_slice(&job).unwrap();
        cluster.set_log(&[kept(&project, "data/next")]);
        (cluster.object("jobs", name).unwrap(), job["elsewhere"].clone())
    };
    let (next, (object, elsewhere)) = tokio::join!(run_with(&project, &settings, "./next"), looking);
    assert_eq!(next.unwrap().state, State::Succeeded);
    let place = |folder: &str| project.runner.project.join(folder);
    let links = ["data/load", "data/next"].map(|folder| (place(folder), format!("shop/{folder}")));
    assert_eq!(elsewhere["claim"]["links"], json!(links));
    assert_eq!(elsewhere["claim"]["outputs"][0]["place"], json!(place("data/next")));
    let volumes = object["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == "results"), "{volumes:?}");
    // Without the claim, the results are out of reach.
    settings.values.insert("claim".to_owned(), Value::Null);
    assert_eq!(reasons(&settings), ["its results are on the claim `results/shop`"]);
    settings.values.insert("executor".to_owned(), "local".into());
    let refused = run_with(&project, &settings, "./next").await.unwrap();
    let message = refused.failure.unwrap().message;
    assert!(
        message.starts_with("it reads the results of `./load`, which are on the claim `results/shop`"),
        "{message}"
    );
}

#[tokio::test]
async fn image_without_support_for_claims_fails_the_run() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project_with_a_claim(&cluster);
    put_claim(&cluster, "Bound");
    cluster.set_log(&[succeeded(0)]);
    let record = run_with(&project, &settings, "./load").await.unwrap();
    assert_eq!(record.state, State::Failed);
    assert!(record.failure.unwrap().message.contains("the image has an older terrace"));
}

#[tokio::test]
async fn unusable_claim_is_reported_before_a_run() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project_with_a_claim(&cluster);
    let provider = PipelinesProvider::new();
    let ty = provider.schema().resource("pipelines_run").unwrap();
    let check = async |message: &str, hint: &str| {
        match run_with(&project, &settings, "./load").await {
            Err(NotRun::WorkerFailed { message: lines }) => {
                assert_eq!(lines[0], message);
                assert!(lines[1].starts_with(&format!("hint: {hint}")), "{lines:?}");
            }
            other => panic!("{other:?}"),
        }
        let session = provider.connect(&settings).await.unwrap();
        let findings = session.validate_remote(ty, &Attributes::default()).unwrap().await;
        assert_eq!((findings[0].severity, findings[0].message.as_str()), (Severity::Warning, message));
        assert!(findings[0].hint.as_ref().is_some_and(|found| found.starts_with(hint)), "{findings:?}");
    };
    check("the claim `results` of the namespace `shop` does not exist", "create a PersistentVolumeClaim").await;
    put_claim(&cluster, "Pending");
    let pending = "is pending without a storage class: the cluster makes no volume for it";
    check(&format!("the claim `results` of the namespace `shop` {pending}"), "if a PersistentVolume fits, repeat")
        .await;
    assert_eq!(cluster.count("POST", "/jobs?fieldManager=terrace "), 0, "no run has started");
}

#[tokio::test]
async fn data_next_to_a_spec_cannot_be_on_a_claim() {
    let cluster = ClusterStandIn::start();
    let (project, settings) = project_with_a_claim(&cluster);
    put_claim(&cluster, "Bound");
    for (out, named) in [(".", project.runner.project.display().to_string()), ("../out", "/out".to_owned())] {
        let steps = format!("  - run: noise\n  - {{run: dump_to_path, parameters: {{out-path: {out}}}}}\n");
        project.write("pipeline-spec.yaml", &format!("load:\n  pipeline:\n{steps}"));
        let message = run_with(&project, &settings, "./load").await.unwrap().failure.unwrap().message;
        assert!(message.contains(&named) && message.contains("change its `out-path`"), "{message}");
    }
    let instance =
        Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.load").await.unwrap();
    let config = json!({"name": "./load", "deleteOutputs": true});
    let error = instance.plan("pipelines_run", None, config).await.unwrap_err();
    assert!(error.message.contains("removes nothing from the claim `results`"), "{error:?}");
}

#[tokio::test]
async fn plan_checks_the_cluster() {
    let cluster = ClusterStandIn::start();
    let project = Project::new(LOAD);
    let (provider, settings) = (PipelinesProvider::new(), settings(&project, &cluster));
    let ty = provider.schema().resource("pipelines_run").unwrap();
    let planned = Attributes::default();
    let check = async |expected: Option<(Severity, &str)>| {
        let session = provider.connect(&settings).await.unwrap();
        let before = cluster.count("POST", "selfsubjectaccessreviews");
        let findings = session.validate_remote(ty, &planned).unwrap().await;
        let first = cluster.count("POST", "selfsubjectaccessreviews");
        assert_eq!(session.validate_remote(ty, &planned).unwrap().await, findings);
        assert!(first > before && cluster.count("POST", "selfsubjectaccessreviews") == first, "it asks once");
        match (findings.first(), expected) {
            (None, None) => {}
            (Some(found), Some((severity, message))) => {
                assert_eq!(found.severity, severity, "{found:?}");
                assert!(found.message.contains(message) && found.hint.is_some(), "{found:?}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(None).await;
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
    cluster.refuses("POST", "/jobs?fieldManager=terrace&dryRun=All", 403, "policy: no Jobs here");
    check(Some((Severity::Error, "policy: no Jobs here"))).await;
    cluster.set_rights(false);
    check(Some((Severity::Warning, "lacks rights in the namespace `shop`"))).await;
    let local = provider.connect(&project.settings()).await.unwrap();
    assert!(local.validate_remote(ty, &planned).is_none());
    let known = Attributes::from_iter([("runId".to_owned(), "r".into())]);
    let session = provider.connect(&settings).await.unwrap();
    assert!(session.validate_remote(ty, &known).is_none(), "nothing runs");
}

#[tokio::test]
async fn check_of_rights_survives_a_short_outage() {
    let cluster = ClusterStandIn::start();
    cluster.fails("POST", "selfsubjectaccessreviews", 503, 1);
    executor(&cluster).check(&ExecutionOptions::default()).await.unwrap();
}

#[tokio::test]
async fn error_names_the_run_and_the_place_that_does_not_answer() {
    let cluster = ClusterStandIn::start();
    let (project, run) = project_with_a_run(&cluster).await;
    let error = project.runner.settle_within(&run, Duration::from_millis(300)).await.unwrap_err();
    let place = format!("run {run} of ./load is in the namespace `shop` of the cluster `{}`", cluster.url);
    assert!(error.to_string().starts_with(&place), "{error}");
    assert!(error.to_string().contains("has not ended within 0 s"), "{error}");
    cluster.fails("GET", "/jobs/", 403, usize::MAX);
    let specs = project.specs();
    let pipeline = specs.pipeline("./load").unwrap();
    let (recorder, cancel) = (Recorder::default(), CancellationToken::new());
    match project.runner.run(&specs, pipeline, RunRequest::default(), &recorder, &cancel).await {
        Err(NotRun::WorkerFailed { message }) => {
            assert!(message[0].starts_with(&place), "{message:?}");
            assert!(message[1].contains("hint: restore the access to that place"), "{message:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(project.runner.store.run(&run).unwrap().unwrap().state, State::Running);
    assert_eq!(cluster.names("jobs").len(), 1);
}

#[tokio::test]
async fn record_of_a_run_with_an_unknown_end_stays_open() {
    let cluster = ClusterStandIn::start();
    let mut project = Project::new(LOAD);
    project.runner.executor = Arc::new(executor(&cluster));
    let (specs, cancel) = (project.specs(), CancellationToken::new());
    let recorder = Recorder::default();
    let running =
        project.runner.run(&specs, specs.pipeline("./load").unwrap(), RunRequest::default(), &recorder, &cancel);
    let cancelling = async {
        cluster.until(|cluster| cluster.count("GET", "/log") > 0).await;
        cluster.fails("DELETE", "/jobs/", 403, 1);
        cancel.cancel();
    };
    let (ended, ()) = tokio::join!(running, cancelling);
    let Err(NotRun::UnknownEnd { message }) = ended else { panic!("{ended:?}") };
    assert!(message.last().unwrap().contains("terrace pipelines cancel"), "{message:?}");
    let record = project.runner.store.last(".", "./load").unwrap().unwrap();
    assert_eq!(record.state, State::Running);
    project.runner.store.request_stop(&record.run, None).unwrap();
    let settled = project.runner.settle(&record.run).await.unwrap().unwrap();
    assert_eq!(settled.state, State::Cancelled);
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn doctor_checks_the_cluster() {
    let cluster = ClusterStandIn::start();
    let mut project = Project::new(LOAD);
    project.runner.executor = Arc::new(executor(&cluster));
    let check = async |problem: Option<(&str, &str)>| {
        let results = terrace_pipelines::doctor::check(&project.runner).await;
        assert!(!results.iter().any(|result| result.message.contains("Python")), "{results:?}");
        let found = results.iter().find_map(|result| Some((result.message.as_str(), result.remedy.as_deref()?)));
        match (found, problem) {
            (None, None) => {}
            (Some(found), Some(wanted)) => {
                assert!(found.0.contains(wanted.0) && found.1.contains(wanted.1), "{found:?}");
            }
            other => panic!("{other:?}"),
        }
    };
    check(None).await;
    assert_eq!(cluster.names("jobs"), [] as [&str; 0], "the check creates nothing");
    let parts = async || {
        let results = terrace_pipelines::doctor::check(&project.runner).await;
        let is_about_parts = |text: &String| text.starts_with("the identity can create ") || text.starts_with("for ");
        results.into_iter().map(|result| result.message).filter(is_about_parts).collect::<Vec<_>>()
    };
    let all = "the identity can create schedules, databases, sites, sites with `host`";
    assert_eq!(parts().await, [format!("{all}, sites with `gateway`")]);
    cluster.refuses("GET", "/httproutes/", 404, "404 page not found");
    let remedy = "install the API `gateway.networking.k8s.io/v1`, which the cluster does not serve";
    assert_eq!(parts().await, [all.to_owned(), format!("for sites with `gateway`, {remedy}")]);
    cluster.heal();
    cluster.deny("deployments");
    assert_eq!(parts().await[0], "the identity can create schedules, databases", "all sites need Deployments");
    cluster.deny("none");
    cluster.fails("POST", "/jobs?fieldManager=terrace&dryRun=All", 404, 1);
    check(Some(("as requested", ""))).await;
    cluster.set_rights(false);
    check(Some(("that runs need: create, get, list, patch, delete jobs.batch; create, delete secrets", BINDING))).await;
    cluster.remove_namespaces();
    check(Some(("the namespace `shop` does not exist", "`kubectl create namespace shop`"))).await;
    cluster.fails("POST", "selfsubjectaccessreviews", 403, 99);
    check(Some(("selfsubjectaccessreviews", ""))).await;
}

/// The command that gives the rights of runs to the identity of the stand-in.
const BINDING: &str = "kubectl create rolebinding terrace-pipelines-shop:runner -n shop --role=terrace-pipelines \
     --serviceaccount=shop:runner`";

#[tokio::test]
async fn hint_about_missing_rights_creates_a_missing_role_and_binds_it() {
    const REFUSAL: &str = "secrets is forbidden: User \"system:serviceaccount:shop:runner\" cannot create resource \
         \"secrets\" in API group \"\" in the namespace \"shop\"";
    const CREATION: &str = "run `terrace pipelines init kubernetes --namespace shop --workers 0 --databases 0; ";
    let cluster = ClusterStandIn::start();
    cluster.refuses("POST", "/secrets?", 403, REFUSAL);
    let failure = async || {
        let outcome = executor(&cluster).execute(&job(None), &Notes::default(), &CancellationToken::new()).await;
        outcome.failure.unwrap().message
    };
    let message = failure().await;
    assert!(message.contains("may not create secrets in the namespace `shop`"), "{message}");
    assert!(message.contains(&format!("{CREATION}{BINDING} in an empty folder")), "the role does not exist: {message}");
    let role = |verbs: &[&str]| json!({"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]});
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/terrace-pipelines";
    cluster.put(path, role(&["get"]));
    let message = failure().await;
    assert!(message.contains(&format!("{CREATION}{BINDING}")), "the role lacks the right: {message}");
    cluster.put(path, role(&["create"]));
    let message = failure().await;
    assert!(message.contains(&format!("have an administrator run `{BINDING}")), "{message}");
    cluster.fails("POST", "/selfsubjectreviews", 403, 1);
    let message = failure().await;
    assert!(message.contains("--user=USER`, with the user that the cluster knows instead of USER"), "{message}");
}

#[tokio::test]
async fn missing_namespace_is_not_a_missing_right() {
    let cluster = ClusterStandIn::start();
    cluster.set_rights(false);
    cluster.remove_namespaces();
    let mut options = ExecutionOptions::default();
    options.set(ExecutionOption::Claim, "results");
    let lines = executor(&cluster).check(&options).await.unwrap_err();
    assert_eq!(lines[0], "the namespace `shop` does not exist");
    assert!(lines[1].starts_with("hint: create it first: `kubectl create namespace shop`, or have "), "{lines:?}");
    let found = executor(&cluster).findings(&options).await;
    assert_eq!((found[0].severity, found[0].message.as_str()), (Severity::Error, lines[0].as_str()));
    // The identity may not read the namespace.
    cluster.refuses("GET", "/api/v1/namespaces/shop", 403, "no");
    let lines = executor(&cluster).check(&options).await.unwrap_err();
    assert!(lines[0].contains("lacks rights in the namespace `shop`"), "{lines:?}");
}

#[tokio::test]
async fn token_of_another_project_stays() {
    let cluster = ClusterStandIn::start();
    let project = Project::new(LOAD);
    let settings = settings(&project, &cluster);
    let access = ["kubeconfig"].iter().filter_map(|name| settings.values.get_key_value(*name));
    let access =
        Settings { values: access.map(|(name, value)| (name.clone(), value.clone())).collect(), ..settings.clone() };
    let ensure = async |owner, token: Option<&str>| {
        let token = token.map(SecretString::from);
        ensure_token(&access, ("shop", owner), token.as_ref()).await.unwrap()
    };
    assert_eq!(ensure("one", None).await, TokenSecret::Missing);
    assert!(matches!(ensure("one", Some("first")).await, TokenSecret::Present(_)));
    for token in [None, Some("second")] {
        assert_eq!(ensure("two", token).await, TokenSecret::OfOthers);
    }
    let secret = cluster.object("secrets", "terrace-operator").unwrap();
    assert_eq!(secret["data"]["token"], "Zmlyc3Q=");
    assert!(matches!(ensure("one", None).await, TokenSecret::Present(_)));
}
