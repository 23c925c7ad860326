//! Runs on other machines: their files, and runs that go on after terrace died.

use crate::harness::{Project, Recorder};
use async_trait::async_trait;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_pipelines::execution_options::ExecutionOptions;
use terrace_pipelines::executor::{Executor, Interrupted, Job, JobObserver, Outcome};
use terrace_pipelines::run::{NotRun, Record, RunRequest, State, Store};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const NOISE: &str = "noise:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data}\n";

/// Executor of another machine, on which runs go on without terrace.
struct Remote {
    inner: Arc<dyn Executor>,
    environments: PathBuf,
    started: Mutex<Vec<Job>>,
    released: Mutex<Vec<(String, usize)>>,
    /// The records of runs, and the states that they had when their run was released.
    store: Store,
    states: Mutex<Vec<State>>,
    /// terrace dies before the next job ends.
    dies: AtomicBool,
    has_started: Notify,
    /// The machine loses its jobs.
    forgets: AtomicBool,
    refusal: Mutex<Option<String>>,
}

#[async_trait]
impl Executor for Remote {
    async fn execute(&self, job: &Job, observer: &dyn JobObserver, cancel: &CancellationToken) -> Outcome {
        self.started.lock().unwrap().push(job.clone());
        observer.runs_at("machine 1");
        if self.dies.swap(false, Ordering::SeqCst) {
            self.has_started.notify_one();
            std::future::pending().await
        }
        self.inner.execute(job, observer, cancel).await
    }

    async fn end_leftover_processes(&self, _run: &str, _grace: Duration) -> io::Result<usize> {
        Ok(1)
    }

    fn environments(&self) -> Option<&Path> {
        Some(&self.environments)
    }

    async fn check(&self, _options: &ExecutionOptions) -> Result<(), Vec<String>> {
        self.refusal.lock().unwrap().clone().map_or(Ok(()), |refusal| Err(vec![refusal]))
    }

    async fn resume(
        &self,
        run: &Interrupted,
        observer: &dyn JobObserver,
        cancel: &CancellationToken,
    ) -> io::Result<Option<Outcome>> {
        let job = self.started.lock().unwrap().iter().find(|job| job.run == run.run).cloned();
        let Some(job) = job.filter(|_| !self.forgets.load(Ordering::SeqCst)) else { return Ok(None) };
        assert_eq!((run.attempt, run.steps, &run.folders), (0, 2, &job.elsewhere.folders));
        observer.runs_at("machine 1");
        Ok(Some(self.inner.execute(&job, observer, cancel).await))
    }

    async fn release(&self, run: &str, attempt: usize) {
        self.released.lock().unwrap().push((run.to_owned(), attempt));
        self.states.lock().unwrap().push(self.store.run(run).unwrap().unwrap().state);
    }
}

/// A project whose runs are on another machine, which has the environment.
fn project() -> (Project, Arc<Remote>) {
    let mut project = Project::new(NOISE);
    let environments = project.caches.path().join("remote");
    let specs = project.specs();
    let recipe = project.runner.recipe(&specs.root, specs.pipeline("./noise").unwrap());
    let environment = project.runner.environments.existing(&recipe).unwrap();
    std::fs::create_dir_all(environments.join("packages")).unwrap();
    symlink(&environment.folder, environments.join(recipe.key())).unwrap();
    symlink(&environment.packages, environments.join("packages").join(recipe.key())).unwrap();
    let remote = Arc::new(Remote {
        inner: Arc::clone(&project.runner.executor),
        environments,
        started: Mutex::default(),
        released: Mutex::default(),
        store: project.runner.store.clone(),
        states: Mutex::default(),
        dies: AtomicBool::new(false),
        has_started: Notify::new(),
        forgets: AtomicBool::new(false),
        refusal: Mutex::default(),
    });
    project.runner.executor = Arc::<Remote>::clone(&remote);
    (project, remote)
}

/// Starts a run whose terrace dies after the start of the job; returns its id.
async fn interrupt(project: &Project, remote: &Remote) -> String {
    remote.dies.store(true, Ordering::SeqCst);
    tokio::select! {
        record = project.run("./noise") => panic!("it ended: {record:?}"),
        () = remote.has_started.notified() => {}
    }
    let record = project.runner.store.last(".", "./noise").unwrap().unwrap();
    assert_eq!(record.state, State::Running);
    record.run
}

fn record(project: &Project, run: &str) -> Record {
    project.runner.store.run(run).unwrap().unwrap()
}

#[tokio::test]
async fn job_for_another_machine_has_its_files_and_variables() {
    let (mut project, remote) = project();
    project.runner.variables.insert("DPP_HINT".to_owned(), "kept".to_owned());
    project.runner.variables.insert("EDITOR".to_owned(), "of this machine".to_owned());
    let record = project.run("./noise").await;
    assert_eq!((record.state, record.rows), (State::Succeeded, 500), "{record:?}");
    assert!(project.path("data/datapackage.json").exists());
    let started = remote.started.lock().unwrap();
    let job = started.first().unwrap();
    let root = project.folder.path().canonicalize().unwrap();
    assert_eq!(job.elsewhere.folders, std::slice::from_ref(&root));
    assert_eq!(job.elsewhere.results, [root.join("data")]);
    assert!(job.elsewhere.inputs.contains(&root) && job.elsewhere.inputs.contains(&root.join("noise.py")));
    let variable = |name: &str| job.environment.get(name).map(String::as_str);
    assert_eq!((variable("DPP_HINT"), variable("EDITOR"), variable("HOME")), (Some("kept"), None, Some("/tmp")));
    assert_eq!(variable("DPP_DB_ENGINE"), None, "no step reads it");
    assert_eq!(*remote.released.lock().unwrap(), [(record.run, 0)]);
}

#[tokio::test]
async fn end_is_recorded_before_the_executor_forgets_the_run() {
    let (project, remote) = project();
    std::fs::write(project.path("noise.py"), "raise ValueError('no')").unwrap();
    let record = project.run("./noise").await;
    assert_eq!(record.state, State::Failed, "{record:?}");
    assert_eq!(*remote.states.lock().unwrap(), [State::Failed]);
}

#[tokio::test]
async fn next_run_follows_an_interrupted_one() {
    let (project, remote) = project();
    let run = interrupt(&project, &remote).await;
    let followed = project.run("./noise").await;
    assert_eq!((followed.run.as_str(), followed.state, followed.rows), (run.as_str(), State::Succeeded, 500));
    assert!(project.path("data/datapackage.json").exists());
    assert_eq!(remote.started.lock().unwrap().len(), 1);
    assert_eq!(*remote.released.lock().unwrap(), [(run.clone(), 0)]);
    assert_eq!(project.reasons("./noise"), [] as [&str; 0]);
    let log = std::fs::read_to_string(project.runner.store.run_folder(&run).join("log.jsonl")).unwrap();
    assert_eq!(log.matches("machine 1").count(), 1, "{log}");
    assert_ne!(project.run("./noise").await.run, run);
}

#[tokio::test]
async fn changed_pipeline_runs_again_after_an_interrupted_run() {
    let (project, remote) = project();
    let run = interrupt(&project, &remote).await;
    project.write("pipeline-spec.yaml", &NOISE.replace("- run: noise\n", "- run: noise\n    parameters: {rows: 7}\n"));
    let next = project.run("./noise").await;
    assert_ne!(next.run, run);
    assert_eq!((next.state, next.rows), (State::Succeeded, 7));
    assert_eq!(record(&project, &run).state, State::Succeeded);
}

#[tokio::test]
async fn run_that_did_not_go_on_is_lost() {
    let (project, remote) = project();
    let run = interrupt(&project, &remote).await;
    remote.forgets.store(true, Ordering::SeqCst);
    let next = project.run("./noise").await;
    assert_eq!(next.state, State::Succeeded);
    let lost = record(&project, &run);
    assert_eq!(lost.state, State::Lost);
    assert_eq!(lost.failure.unwrap().message, "its process is gone, and its Job had not started or was being deleted");
    assert_eq!(remote.started.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn run_that_ended_after_a_requested_stop_is_cancelled() {
    let (project, remote) = project();
    let run = interrupt(&project, &remote).await;
    project.runner.store.request_stop(&run, Some("ada")).unwrap();
    remote.forgets.store(true, Ordering::SeqCst);
    let settled = project.runner.settle(&run).await.unwrap().unwrap();
    assert_eq!((settled.state, settled.cancelled_by.as_deref()), (State::Cancelled, Some("ada")));
    assert!(!project.path("data").exists());
}

#[tokio::test]
async fn requested_stop_ends_a_followed_run() {
    let (project, remote) = project();
    let run = interrupt(&project, &remote).await;
    project.runner.store.request_stop(&run, Some("ada")).unwrap();
    let settled = project.runner.settle(&run).await.unwrap().unwrap();
    assert_eq!((settled.state, settled.cancelled_by.as_deref()), (State::Cancelled, Some("ada")));
    assert!(!project.path("data").exists());
}

#[tokio::test]
async fn machine_that_refuses_runs_leaves_no_record() {
    let (project, remote) = project();
    *remote.refusal.lock().unwrap() = Some("no rights".to_owned());
    let specs = project.specs();
    let pipeline = specs.pipeline("./noise").unwrap();
    let (recorder, cancel) = (Recorder::default(), CancellationToken::new());
    match project.runner.run(&specs, pipeline, RunRequest::default(), &recorder, &cancel).await {
        Err(NotRun::WorkerFailed { message }) => assert_eq!(message, ["no rights"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(project.runner.store.ids().unwrap(), [] as [&str; 0]);
}
