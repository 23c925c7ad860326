//! Runs of the queue beside a run of a CronJob in progress: a worker waits for its end, and takes its result.

use crate::cluster_stand_in::ClusterStandIn;
use crate::cron_jobs::{CRON_JOB, SPEC, TYPE, instance, nightly, project, report};
use crate::harness::{Project, Recorder};
use crate::workers::{Tasks, ended, etl, request};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::queue::{Assignment, Ending, NotRunReason, Queue};
use terrace_pipelines::run::{RunRequest, Runner, State};
use terrace_pipelines::worker::Supervisor;
use terrace_provider_pipelines::settings::{runner, to_stored};
use tokio_util::sync::CancellationToken;

/// A project with a place for a worker, beside a recorded run of its CronJob in progress.
struct Beside {
    cluster: ClusterStandIn,
    project: Project,
    runner: Runner,
    supervisor: Supervisor,
    queue: Queue,
    /// The run of the CronJob.
    run: String,
    /// Its Job.
    job: String,
}

impl Beside {
    async fn start() -> Self {
        let cluster = ClusterStandIn::start();
        let (project, settings) = project(&cluster, SPEC);
        instance(&settings).await.create(TYPE, nightly()).await.unwrap();
        let job = cluster.start_job(CRON_JOB, "2026-11-29T01:30:00Z", &json!({"state": {"running": {}}}));
        let runner = runner(&settings).unwrap();
        assert_eq!(runner.record_started_runs().await, [] as [&str; 0]);
        let run = runner.store.ids().unwrap().remove(0);
        let queue = Queue::open(runner.store.folder()).unwrap();
        queue.add_pool(&etl(1, &to_stored(&settings))).unwrap();
        let supervisor = Supervisor::new(queue.clone(), runner.clone(), Arc::new(Tasks));
        Self { cluster, project, runner, supervisor, queue, run, job }
    }

    fn enqueue(&self) -> String {
        self.queue.enqueue(&[request(&self.project, "./load")]).unwrap().remove(0)
    }

    /// Checks that a queued run took the result of the CronJob's run, at the first attempt, and that nothing else ran.
    async fn check_taken(&self, id: &str) {
        let entry = ended(&self.supervisor, id).await;
        assert_eq!((entry.taken_run(), entry.attempt), (Some(self.run.as_str()), 1), "{entry:?}");
        assert!(matches!(&entry.ending, Some(Ending::Ran(record)) if record.rows == 3), "{entry:?}");
        assert_eq!(entry.record.as_ref(), Some(&self.run), "its record and its log");
        assert_eq!(self.runner.store.ids().unwrap(), std::slice::from_ref(&self.run));
        assert_eq!(self.cluster.names("jobs"), std::slice::from_ref(&self.job), "no other Job was started");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_takes_the_result_of_a_run_of_a_cron_job() {
    let beside = Beside::start().await;
    beside.cluster.set_log(&[report(&beside.project)]);
    let id = beside.enqueue();
    beside.check_taken(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn result_that_a_killed_worker_took_is_that_of_its_run() {
    let beside = Beside::start().await;
    beside.cluster.set_log(&[report(&beside.project)]);
    assert!(beside.queue.add_worker("etl", "dead").unwrap() && beside.queue.mark_started("dead").unwrap());
    let id = beside.enqueue();
    let Assignment::Run(entry, _) = beside.queue.assign("dead").unwrap() else { panic!("it is not assigned") };
    // The worker is killed before it updates the queue.
    let specs = beside.project.specs();
    let request = RunRequest { run: entry.record, lock_timeout: Duration::from_secs(60), ..RunRequest::default() };
    let (recorder, cancel) = (Recorder::default(), CancellationToken::new());
    let run = beside.runner.run(&specs, specs.pipeline("./load").unwrap(), request, &recorder, &cancel);
    assert_eq!(run.await.unwrap().run, beside.run);
    beside.check_taken(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn result_that_a_reader_of_the_log_recorded_is_that_of_the_waiting_run() {
    let beside = Beside::start().await;
    let record = beside.runner.store.run(&beside.run).unwrap().unwrap();
    let (specs, recorder, cancel) = (beside.project.specs(), Recorder::default(), CancellationToken::new());
    let reads = |cluster: &ClusterStandIn| cluster.count("GET", "/log");
    let before = reads(&beside.cluster);
    // `logs -f` follows the run, and keeps the lock of the pipeline.
    let reader = beside.runner.follow_cluster_run(&record, None, &cancel);
    let waiting = async {
        beside.cluster.until(|cluster| reads(cluster) > before).await;
        let request = RunRequest { lock_timeout: Duration::from_secs(60), ..RunRequest::default() };
        let run = beside.runner.run(&specs, specs.pipeline("./load").unwrap(), request, &recorder, &cancel);
        let end = async {
            beside.cluster.until(|_| !recorder.waits.lock().unwrap().is_empty()).await;
            beside.cluster.set_log(&[report(&beside.project)]);
        };
        tokio::join!(run, end).0
    };
    let (read, ran) = tokio::join!(reader, waiting);
    read.unwrap();
    assert_eq!(ran.unwrap().run, beside.run);
    assert_eq!(*recorder.waits.lock().unwrap(), [beside.run]);
    assert_eq!(beside.cluster.names("jobs"), [beside.job], "no other Job was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn run_waits_for_a_run_that_the_cron_job_starts_meanwhile() {
    let beside = Beside::start().await;
    let (specs, recorder, cancel) = (beside.project.specs(), Recorder::default(), CancellationToken::new());
    let request = RunRequest { lock_timeout: Duration::from_secs(60), ..RunRequest::default() };
    let run = beside.runner.run(&specs, specs.pipeline("./load").unwrap(), request, &recorder, &cancel);
    let end = async {
        beside.cluster.until(|_| !recorder.waits.lock().unwrap().is_empty()).await;
        let next = beside.cluster.start_job(CRON_JOB, "2026-11-29T01:31:00Z", &json!({"state": {"running": {}}}));
        beside.cluster.set_log(&[report(&beside.project)]);
        next
    };
    let (ran, next) = tokio::join!(run, end);
    let waits = recorder.waits.lock().unwrap().clone();
    let [first, second] = waits.as_slice() else { panic!("{waits:?}") };
    assert_eq!((first, second), (&beside.run, &ran.unwrap().run), "its result is that of the last one");
    assert_eq!(beside.cluster.names("jobs"), [beside.job, next], "no other Job was started");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellation_ends_the_wait_of_a_worker_and_not_the_run_of_a_cron_job() {
    let beside = Beside::start().await;
    let id = beside.enqueue();
    let reads = |cluster: &ClusterStandIn| cluster.count("GET", "/log");
    let before = reads(&beside.cluster);
    beside.supervisor.check_workers().await.unwrap();
    beside.cluster.until(|cluster| reads(cluster) > before).await;
    beside.queue.cancel(&id, Some("ada")).unwrap();
    let entry = ended(&beside.supervisor, &id).await;
    let is_by_ada = |by: &Option<String>| by.as_deref() == Some("ada");
    assert!(
        matches!(&entry.ending, Some(Ending::NotRun { why: NotRunReason::Cancelled, by, .. }) if is_by_ada(by)),
        "{entry:?}"
    );
    assert_eq!(beside.cluster.lasting_names("jobs"), [beside.job], "it goes on");
    assert_eq!(beside.runner.store.run(&beside.run).unwrap().unwrap().state, State::Running);
}
