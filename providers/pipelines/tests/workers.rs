//! Workers of the queue, as tasks of this process. Tests of the binary use real workers and kill them.

use crate::cluster_databases;
use crate::cluster_stand_in::ClusterStandIn;
use crate::harness::{NOISE, Project};
use crate::publishing::with_readers;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::database::Databases;
use terrace_pipelines::queue::lock;
use terrace_pipelines::queue::{Ending, Entry, NotRunReason, Options, Phase, PodStatus, PoolSpec, Queue, QueueRequest};
use terrace_pipelines::run::State;
use terrace_pipelines::run::batch::HoldReason;
use terrace_pipelines::worker::{Launch, Start, Supervisor, Worker};
use terrace_provider::{Settings, Value};
use terrace_provider_pipelines::settings::{default_database, from_stored, project_databases, runner, to_stored};
use tokio_util::sync::CancellationToken;

/// Launcher of workers as tasks.
pub(crate) struct Tasks;

impl Launch for Tasks {
    fn launch(&self, start: Start) -> io::Result<()> {
        Stoppable(CancellationToken::new()).launch(start)
    }
}

/// Launcher of workers as tasks, which the token stops.
struct Stoppable(CancellationToken);

impl Launch for Stoppable {
    fn launch(&self, start: Start) -> io::Result<()> {
        let stop = self.0.clone();
        tokio::spawn(async move {
            let queue = Queue::open(&start.folder).unwrap();
            let stored = queue.pool(&start.pool).unwrap().unwrap();
            let settings = from_stored(&start.folder, &stored.settings).unwrap();
            let runner = runner(&settings).unwrap();
            let supervisor = Arc::new(Supervisor::new(queue.clone(), runner.clone(), Arc::new(Tasks)));
            let (databases, database) = (project_databases(&settings, None).unwrap(), default_database(&settings));
            let (name, pool) = (start.worker, start.pool);
            let lock = Some(start.lock);
            let settings = stored.settings;
            let worker = Worker { name, settings, pool, queue, runner, databases, database, supervisor, lock };
            // The folder may be gone if the test has ended.
            let _ = worker.serve(&stop).await;
        });
        Ok(())
    }
}

pub(crate) fn etl(size: u32, settings: &str) -> PoolSpec<'_> {
    PoolSpec { name: "etl", size, ttl: None, settings, mark: None }
}

/// A project with a pool, and its supervisor.
fn pool(spec: &str, size: u32) -> (Project, Supervisor) {
    pool_of(Project::new(spec), size)
}

fn pool_of(project: Project, size: u32) -> (Project, Supervisor) {
    let queue = Queue::open(project.runner.store.folder()).unwrap();
    queue.add_pool(&etl(size, &to_stored(&project.settings()))).unwrap();
    let supervisor = Supervisor::new(queue, project.runner.clone(), Arc::new(Tasks));
    (project, supervisor)
}

pub(crate) fn request(project: &Project, pipeline: &str) -> QueueRequest {
    let root = project.folder.path().canonicalize().unwrap();
    QueueRequest {
        pool: Some("etl".to_owned()),
        folder: project.runner.folder_name(&root),
        root,
        pipeline: pipeline.to_owned(),
        options: Options { lock_timeout: Duration::from_secs(60), ..Options::default() },
        after: Vec::new(),
    }
}

/// Waits for the end of a run.
pub(crate) async fn ended(supervisor: &Supervisor, id: &str) -> Entry {
    for _ in 0..6000 {
        supervisor.check_workers().await.unwrap();
        let entry = supervisor.queue().entry(id).unwrap().unwrap();
        if entry.ending.is_some() {
            return entry;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}", supervisor.queue().entry(id).unwrap())
}

const TWO: &str = "a: {pipeline: [{run: noise}]}\nb: {dependencies: [{pipeline: ./a}], pipeline: [{run: noise}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn workers_execute_queued_runs_in_order() {
    let (project, supervisor) = pool(TWO, 2);
    let requests = [
        request(&project, "./a"),
        QueueRequest { after: vec![0], ..request(&project, "./b") },
        request(&project, "./none"),
    ];
    let ids = supervisor.queue().enqueue(&requests).unwrap();
    let first = ended(&supervisor, &ids[0]).await;
    let Some(Ending::Ran(record)) = &first.ending else { panic!("{first:?}") };
    assert_eq!((record.state, record.run.as_str(), record.rows), (State::Succeeded, ids[0].as_str(), 500));
    let second = ended(&supervisor, &ids[1]).await;
    assert!(second.ending.as_ref().unwrap().is_good(), "{second:?}");
    let none = ended(&supervisor, &ids[2]).await;
    assert!(
        matches!(
            &none.ending,
            Some(Ending::NotRun { why: NotRunReason::Impossible, what, .. }) if what[0].contains("`./none`")
        ),
        "{none:?}"
    );
    let pods = supervisor.queue().pods().unwrap();
    assert_eq!(pods.len(), 2);
    assert!(pods.iter().all(|pod| pod.status == PodStatus::Available && pod.run.is_none()));
}

/// A pool whose runs write into a database of a cluster that does not answer, and which these settings describe.
async fn pool_of_silent_cluster(cluster: &ClusterStandIn) -> (Project, Queue, Settings) {
    let (project, mut settings) = cluster_databases::project(cluster);
    project.write("noise.py", &format!("import os\nos.environ['DPP_DB_ENGINE']\n{NOISE}"));
    let database = cluster_databases::databases(&settings);
    database.create(&cluster_databases::orders(None), &CancellationToken::new()).await.unwrap();
    settings.values.insert("database".to_owned(), "orders".into());
    let queue = Queue::open(project.runner.store.folder()).unwrap();
    queue.add_pool(&etl(1, &to_stored(&settings))).unwrap();
    cluster.set_down(true);
    (project, queue, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn run_that_waits_for_a_cluster_returns_to_the_queue_when_its_worker_stops() {
    let cluster = ClusterStandIn::start();
    let (project, queue, settings) = pool_of_silent_cluster(&cluster).await;
    let stop = CancellationToken::new();
    let launch = Arc::new(Stoppable(stop.clone()));
    let supervisor = Supervisor::new(queue.clone(), runner(&settings).unwrap(), launch);
    let id = queue.enqueue(&[request(&project, "./load")]).unwrap().remove(0);
    let before = cluster.count("GET", "/statefulsets/");
    supervisor.check_workers().await.unwrap();
    cluster.until(|cluster| cluster.count("GET", "/statefulsets/") > before).await;
    stop.cancel();
    cluster.until(|_| queue.entry(&id).unwrap().unwrap().phase != Phase::Assigned).await;
    let entry = queue.entry(&id).unwrap().unwrap();
    assert!(entry.phase == Phase::Queued && entry.ending.is_none(), "{entry:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_with_former_settings_leaves_its_run_to_a_successor() {
    let (project, supervisor) = pool(TWO, 1);
    supervisor.check_workers().await.unwrap();
    let first = ended(&supervisor, &supervisor.queue().enqueue(&[request(&project, "./a")]).unwrap()[0]).await;
    let mut settings = project.settings();
    settings.values.insert("retries".to_owned(), Value::Int(0));
    let stored = to_stored(&settings);
    supervisor.queue().change_pool(&etl(1, &stored)).unwrap();
    let second = ended(&supervisor, &supervisor.queue().enqueue(&[request(&project, "./b")]).unwrap()[0]).await;
    assert!(second.ending.as_ref().unwrap().is_good(), "{second:?}");
    assert_ne!(first.worker, second.worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_run_waits_for_the_cluster_of_its_database() {
    let cluster = ClusterStandIn::start();
    let (project, queue, settings) = pool_of_silent_cluster(&cluster).await;
    let supervisor = Supervisor::new(queue.clone(), runner(&settings).unwrap(), Arc::new(Tasks));
    let reads = |cluster: &ClusterStandIn| cluster.count("GET", "/statefulsets/");
    // A run that waits can be cancelled.
    let cancelled = queue.enqueue(&[request(&project, "./load")]).unwrap().remove(0);
    supervisor.check_workers().await.unwrap();
    let before = reads(&cluster);
    cluster.until(|cluster| reads(cluster) > before).await;
    queue.cancel(&cancelled, None).unwrap();
    let ending = ended(&supervisor, &cancelled).await.ending.unwrap();
    assert!(matches!(&ending, Ending::NotRun { why: NotRunReason::Cancelled, .. }), "{ending:?}");
    // An attempt makes one request.
    let waiting = queue.enqueue(&[request(&project, "./load")]).unwrap().remove(0);
    let before = reads(&cluster);
    cluster.until(|cluster| reads(cluster) > before + 2).await;
    assert!(queue.entry(&waiting).unwrap().unwrap().ending.is_none());
    cluster.set_down(false);
    cluster.until(|cluster| !cluster.names("jobs").is_empty()).await;
    queue.cancel(&waiting, None).unwrap();
    ended(&supervisor, &waiting).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_holds_dependent_runs() {
    let (project, supervisor) = pool(TWO, 1);
    project.write("noise.py", "raise SystemExit(3)");
    let requests = [request(&project, "./a"), QueueRequest { after: vec![0], ..request(&project, "./b") }];
    let ids = supervisor.queue().enqueue(&requests).unwrap();
    let second = ended(&supervisor, &ids[1]).await;
    assert!(matches!(&second.ending, Some(Ending::Held { by, .. }) if by == "./a"), "{second:?}");
    // A valid result is reported as clean.
    project.write("noise.py", NOISE);
    let only_dirty = Options { only_dirty: true, ..Options::default() };
    for expected in [false, true] {
        let requests = [QueueRequest { options: only_dirty.clone(), ..request(&project, "./a") }];
        let id = supervisor.queue().enqueue(&requests).unwrap().remove(0);
        let ending = ended(&supervisor, &id).await.ending.unwrap();
        assert_eq!(matches!(ending, Ending::Clean), expected, "{ending:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn undeclared_reader_is_held_only_by_partly_moved_files() {
    let (project, supervisor) = pool_of(with_readers(), 1);
    let after = |pipeline: &str| QueueRequest { after: vec![0], ..request(&project, pipeline) };
    let all = || [request(&project, "./noise"), after("./said"), after("./unsaid")];
    let first = supervisor.queue().enqueue(&all()).unwrap();
    assert!(ended(&supervisor, &first[2]).await.ending.unwrap().is_good());
    project.write("noise.py", "raise SystemExit(3)");
    let ids = supervisor.queue().enqueue(&all()).unwrap();
    let declared = ended(&supervisor, &ids[1]).await;
    assert!(
        matches!(&declared.ending, Some(Ending::Held { by, why: HoldReason::Unsuccessful }) if by == "./noise"),
        "{declared:?}"
    );
    let undeclared = ended(&supervisor, &ids[2]).await;
    assert!(undeclared.ending.as_ref().unwrap().is_good(), "{undeclared:?}");
    // A folder has the place of the descriptor, and the rows are moved already.
    project.write("noise.py", NOISE);
    std::fs::remove_dir_all(project.path("data/noise")).unwrap();
    std::fs::create_dir_all(project.path("data/noise/datapackage.json/in-the-way")).unwrap();
    let ids = supervisor.queue().enqueue(&all()).unwrap();
    let undeclared = ended(&supervisor, &ids[2]).await;
    assert!(
        matches!(&undeclared.ending, Some(Ending::Held { by, why: HoldReason::Dirty }) if by == "./noise"),
        "{undeclared:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_run_ends_and_worker_takes_the_next() {
    let (project, supervisor) = pool("slow: {pipeline: [{run: slow}]}\na: {pipeline: [{run: noise}]}\n", 1);
    project.write("slow.py", "import time\nopen('begun', 'w')\ntime.sleep(600)\n");
    let ids = supervisor.queue().enqueue(&[request(&project, "./slow"), request(&project, "./a")]).unwrap();
    while !project.path("begun").exists() {
        supervisor.check_workers().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    supervisor.queue().cancel(&ids[0], None).unwrap();
    let slow = ended(&supervisor, &ids[0]).await;
    assert!(matches!(&slow.ending, Some(Ending::Ran(record)) if record.state == State::Cancelled), "{slow:?}");
    assert!(ended(&supervisor, &ids[1]).await.ending.unwrap().is_good());
}

/// Assigns a run of `./a` to a dead worker, in a pool that gets another worker; returns its id.
fn assign_to_dead_worker(project: &Project, supervisor: &Supervisor) -> String {
    supervisor.queue().change_pool(&etl(1, &to_stored(&project.settings()))).unwrap();
    assert!(supervisor.queue().add_worker("etl", "dead").unwrap() && supervisor.queue().mark_started("dead").unwrap());
    let ids = supervisor.queue().enqueue(&[request(project, "./a")]).unwrap();
    supervisor.queue().assign("dead").unwrap();
    ids[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_run_of_dead_worker_keeps_its_outcome() {
    let (project, supervisor) = pool(TWO, 0);
    // The worker was killed after it wrote the record, and before it updated the queue.
    let id = assign_to_dead_worker(&project, &supervisor);
    let run_request = terrace_pipelines::run::RunRequest { run: Some(id.clone()), ..Default::default() };
    let record = project.run_as("./a", run_request, &CancellationToken::new()).await;
    assert_eq!(record.state, State::Succeeded);
    // Other runs of the pipeline would have removed the record.
    for _ in 0..25 {
        project.run("./a").await;
    }
    let entry = ended(&supervisor, &id).await;
    assert_eq!((entry.attempt, entry.ending), (1, Some(Ending::Ran(Box::new(record)))), "it must not run again");
    let names: Vec<String> = supervisor.queue().pods().unwrap().into_iter().map(|pod| pod.name).collect();
    assert!(names.len() == 1 && names[0] != "dead", "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_run_of_dead_worker_runs_again() {
    let (project, supervisor) = pool(TWO, 0);
    supervisor.queue().change_pool(&etl(1, &to_stored(&project.settings()))).unwrap();
    assert!(supervisor.queue().add_worker("etl", "dead").unwrap() && supervisor.queue().mark_started("dead").unwrap());
    let ids = supervisor.queue().enqueue(&[request(&project, "./a")]).unwrap();
    supervisor.queue().assign("dead").unwrap();
    let entry = ended(&supervisor, &ids[0]).await;
    assert_eq!(entry.attempt, 2);
    assert!(entry.ending.unwrap().is_good());
}

/// Launcher that reports a launch, and blocks until the test continues it.
struct Stuck(std::sync::mpsc::Sender<()>, std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Launch for Stuck {
    fn launch(&self, _start: Start) -> io::Result<()> {
        let _ = self.0.send(());
        let _ = self.1.lock().unwrap().recv();
        Err(io::Error::other("no worker is started"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn worker_sends_heartbeats_during_slow_check_of_others() {
    let (project, supervisor) = pool(TWO, 2);
    let (queue, worker) = (supervisor.queue().clone(), "dppctl-worker-one".to_owned());
    let lock::LockState::Free(held) = lock::check(queue.folder(), &worker).unwrap() else { panic!("the lock is held") };
    assert!(queue.add_worker("etl", &worker).unwrap());
    let ((launch_sender, launched), (continue_sender, continued)) =
        (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let runner = project.runner.clone();
    let stuck = Arc::new(Supervisor::new(
        queue.clone(),
        runner.clone(),
        Arc::new(Stuck(launch_sender, std::sync::Mutex::new(continued))),
    ));
    let stop = CancellationToken::new();
    let databases = Databases::new(queue.folder().join("databases"), None, None).into();
    let (name, pool) = (worker.clone(), "etl".to_owned());
    let settings = queue.pool(&pool).unwrap().unwrap().settings;
    let (queue_of_worker, lock) = (queue.clone(), Some(held));
    let serving = Worker {
        name,
        settings,
        pool,
        queue: queue_of_worker,
        runner,
        databases,
        database: None,
        supervisor: stuck,
        lock,
    };
    let ending = stop.clone();
    let serving = tokio::spawn(async move { serving.serve(&ending).await });
    tokio::task::spawn_blocking(move || launched.recv()).await.unwrap().unwrap();
    let before = lock::last_heartbeat(queue.folder(), &worker);
    while lock::last_heartbeat(queue.folder(), &worker) == before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(continue_sender);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn run_with_damaged_record_ends_and_worker_is_removed() {
    let (project, supervisor) = pool(TWO, 0);
    let id = assign_to_dead_worker(&project, &supervisor);
    project.write(&format!(".terrace/pipelines/runs/{id}/run.json"), "{\"run\":");
    let entry = ended(&supervisor, &id).await;
    assert!(
        matches!(
            &entry.ending,
            Some(Ending::NotRun { why: NotRunReason::Impossible, what, .. }) if what[0].contains("run.json")
        ),
        "{entry:?}"
    );
    assert!(!supervisor.queue().workers().unwrap().contains(&"dead".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_run_is_retried_as_requested() {
    let (project, supervisor) = pool(TWO, 0);
    let mut settings = project.settings();
    settings.values.insert("retryOn".to_owned(), "all".into());
    settings.values.insert("retries".to_owned(), 0_i64.into());
    supervisor.queue().change_pool(&etl(1, &to_stored(&settings))).unwrap();
    project.write("noise.py", "raise SystemExit(3)");
    for retries in [None, Some(1)] {
        let requests =
            [QueueRequest { options: Options { retries, ..Options::default() }, ..request(&project, "./a") }];
        let id = supervisor.queue().enqueue(&requests).unwrap().remove(0);
        let ending = ended(&supervisor, &id).await.ending;
        let Some(Ending::Ran(record)) = ending else { panic!("{ending:?}") };
        assert_eq!((record.state, record.attempts.len()), (State::Failed, retries.map_or(0, |most| most as usize)));
    }
}
