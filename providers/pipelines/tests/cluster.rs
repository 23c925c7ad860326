//! Runs as Jobs of a cluster: outages, replaced pods, and processes that die.

use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::{Project, Recorder};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_pipelines::executor::kubernetes::{ClusterOptions, KubernetesExecutor};
use terrace_pipelines::executor::{
    ClusterPlace, Elsewhere, End, Executor, Interrupted, Job, JobObserver, Outcome, Place, Program, StepOutcome,
};
use terrace_pipelines::run::{NotRun, RunRequest, State};
use terrace_provider::conformance;
use tokio_util::sync::CancellationToken;

/// Name of the Job of [`job`].
const NAME: &str = "terrace-run-1";

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl JobObserver for Notes {
    fn line(&self, _step: usize, _line: &str) {}
    fn progress(&self, _step: usize, _rows: u64, _bytes: u64) {}
    fn ended(&self, _step: usize, _outcome: &StepOutcome) {}
    fn note(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
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
    let settings = terrace_provider::Settings { project_folder: folder.to_owned(), ..settings };
    let options = ClusterOptions { image: "r/i@sha256:00".to_owned(), cpu: None, memory: None };
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
fn succeeded(files: usize) -> Value {
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
async fn run_that_has_reported_its_end_cannot_start_again() {
    let cluster = ClusterStandIn::start();
    cluster.set_log(&[succeeded(0)]);
    let executor = executor(&cluster);
    assert_eq!(execute(&executor).await.end, End::Succeeded);
    // Without this Secret no other pod of the Job starts.
    assert_eq!(cluster.names("secrets"), ["terrace-run-1-files"]);
    assert_eq!(cluster.names("jobs"), [NAME], "its end is not recorded yet");
    executor.release("run-1", 0).await;
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
    assert_eq!(cluster.count("DELETE", "\"propagationPolicy\":\"Background\""), 2);
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
    assert_eq!(cluster.names("jobs"), [] as [&str; 0]);
}

#[tokio::test]
async fn end_of_a_run_is_unknown_if_its_start_was_not_answered() {
    let cluster = ClusterStandIn::start();
    cluster.fails("PATCH", "/jobs/", 503, usize::MAX);
    cluster.fails("DELETE", "/jobs/", 503, usize::MAX);
    let outcome = execute(&executor(&cluster).with_creation_time(Duration::from_millis(500))).await;
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
async fn reason_of_a_pending_pod_is_in_the_log() {
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
        cluster
            .until(|_| notes.contain("no pod of it runs yet: the pod cannot start: FailedMount: no such secret"))
            .await;
        cancel.cancel();
    };
    assert_eq!(tokio::join!(running, looking).0.end, End::Cancelled);
}

fn interrupted(limit: Option<Duration>) -> Interrupted {
    Interrupted {
        run: "run-1".to_owned(),
        attempt: 0,
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

const LOAD: &str = "load:\n  pipeline:\n  - run: noise\n";

/// A project with a run in this cluster, whose terrace has died. Returns the id of the run.
async fn project_with_a_run(cluster: &ClusterStandIn) -> (Project, String) {
    let mut project = Project::new(LOAD);
    project.runner.executor = Arc::new(executor(cluster));
    tokio::select! {
        record = project.run("./load") => panic!("{record:?}"),
        () = cluster.until(|cluster| cluster.count("GET", "/log") > 0) => {}
    }
    let record = project.runner.store.last(".", "./load").unwrap().unwrap();
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

#[tokio::test]
async fn interrupted_run_is_followed_at_its_recorded_place() {
    let (cluster, other) = (ClusterStandIn::start(), ClusterStandIn::start());
    let (mut project, run) = project_with_a_run(&cluster).await;
    cluster.set_log(&[succeeded(0)]);
    project.runner.executor = Arc::new(executor(&other));
    let followed = project.run("./load").await;
    assert_eq!((followed.run, followed.state), (run, State::Succeeded));
    assert_eq!((cluster.names("jobs").len(), other.count("POST", "/jobs")), (0, 0));
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
    let Err(NotRun::WorkerFailed { message }) = ended else { panic!("{ended:?}") };
    assert!(message.last().unwrap().contains("terrace pipelines cancel"), "{message:?}");
    let record = project.runner.store.last(".", "./load").unwrap().unwrap();
    assert_eq!(record.state, State::Running);
    project.runner.store.request_stop(&record.run).unwrap();
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
    cluster.fails("POST", "/jobs?fieldManager=terrace&dryRun=All", 404, 1);
    check(Some(("as requested", ""))).await;
    cluster.set_rights(false);
    check(Some(("lacks rights in the namespace `shop`", "kubectl create role terrace -n shop"))).await;
    cluster.fails("POST", "selfsubjectaccessreviews", 403, 99);
    check(Some(("selfsubjectaccessreviews", ""))).await;
}
