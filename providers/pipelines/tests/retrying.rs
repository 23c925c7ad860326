//! Retries of runs whose executor or network fails for a while.

use crate::harness::Project;
use async_trait::async_trait;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use terrace_pipelines::executor::{End, Executor, Failed, Job, JobObserver, Outcome, StepOutcome};
use terrace_pipelines::run::attempts::{Retries, RetryOn};
use terrace_pipelines::run::{RunRequest, State};
use tokio_util::sync::CancellationToken;

const NOISE: &str = "noise:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data}\n";

/// Executor that fails a number of times before it runs jobs.
struct Failing {
    inner: Arc<dyn Executor>,
    left: AtomicUsize,
    end: End,
}

#[async_trait]
impl Executor for Failing {
    async fn execute(&self, job: &Job, observer: &dyn JobObserver, cancel: &CancellationToken) -> Outcome {
        let is_over = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err();
        if is_over {
            return self.inner.execute(job, observer, cancel).await;
        }
        Outcome {
            end: self.end,
            stats: serde_json::Map::new(),
            rows: 0,
            steps: vec![StepOutcome::default(); job.steps.len()],
            failure: Some(Failed::new("no process can be started")),
            in_place: Vec::new(),
        }
    }

    async fn end_leftover_processes(&self, run: &str, grace: Duration) -> io::Result<usize> {
        self.inner.end_leftover_processes(run, grace).await
    }
}

fn project(failures: usize, end: End, on: RetryOn) -> Project {
    let mut project = Project::new(NOISE);
    let inner = Arc::clone(&project.runner.executor);
    project.runner.executor = Arc::new(Failing { inner, left: AtomicUsize::new(failures), end });
    project.runner.retries = Retries { max: 2, on, pause: Duration::from_millis(1) };
    project
}

#[tokio::test]
async fn infrastructure_failure_is_retried_and_recorded() {
    let project = project(2, End::Broken, RetryOn::Infrastructure);
    let record = project.run("./noise").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 500), "{record:?}");
    let messages: Vec<&str> = record.attempts.iter().map(|attempt| attempt.message.as_str()).collect();
    assert_eq!(messages, ["no process can be started"; 2]);
    assert!(record.attempts.iter().all(|attempt| attempt.started_at <= attempt.finished_at));
    assert_eq!(project.runner.store.run(&record.run).unwrap().unwrap().attempts, record.attempts);
    let log = std::fs::read_to_string(project.runner.store.run_folder(&record.run).join("log.jsonl")).unwrap();
    assert!(log.contains("attempt 2 of 3 failed: no process can be started; the next attempt starts in"), "{log}");
}

#[tokio::test]
async fn retries_are_limited_by_request() {
    let project = project(100, End::Broken, RetryOn::Infrastructure);
    let record = project.run("./noise").await;
    assert_eq!((record.state, record.attempts.len()), (State::Failed, 2));
    let request = RunRequest { retries: Some(4), ..RunRequest::default() };
    assert_eq!(project.run_as("./noise", request, &CancellationToken::new()).await.attempts.len(), 4);
    let request = RunRequest { retries: Some(0), ..RunRequest::default() };
    assert_eq!(project.run_as("./noise", request, &CancellationToken::new()).await.attempts.len(), 0);
}

#[tokio::test]
async fn failed_step_is_retried_only_if_requested() {
    let once = project(1, End::Failed, RetryOn::Infrastructure);
    let record = once.run("./noise").await;
    assert_eq!((record.state, record.attempts.len()), (State::Failed, 0));
    let all = project(1, End::Failed, RetryOn::All);
    let record = all.run("./noise").await;
    assert_eq!((record.state, record.attempts.len()), (State::Succeeded, 1));
}

#[tokio::test]
async fn cancellation_does_not_wait_for_next_attempt() {
    let mut project = project(100, End::Broken, RetryOn::Infrastructure);
    project.runner.retries.pause = Duration::from_secs(3600);
    let cancel = CancellationToken::new();
    let stop = async {
        let has_failed =
            || project.runner.store.last(".", "./noise").ok().flatten().is_some_and(|it| it.state == State::Running);
        while !has_failed() {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    };
    let (record, ()) = tokio::join!(project.run_as("./noise", RunRequest::default(), &cancel), stop);
    assert_eq!(record.state, State::Cancelled);
}
