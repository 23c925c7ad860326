//! Outputs of runs: several pipelines in one folder, removed files, and runs that are interrupted while they move
//! files.

use crate::harness::{NOISE as PROCESSOR, Project, Recorder, runs};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use terrace_pipelines::run::batch::{self, BatchEnd, HoldReason, Options, PipelineOutcome};
use terrace_pipelines::run::{Output, Record, RunRequest, State};
use terrace_provider::conformance::Instance;
use terrace_provider::wrap::Limits;
use terrace_provider::{Attempt, Attributes, Found, LostCall, Private, Provider, Value};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

const NOISE: &str =
    "noise:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/noise}\n";

/// A project in which two pipelines read the output of `./noise`: one with a declared dependency, one without.
pub(crate) fn with_readers() -> Project {
    let reader = |name: &str, dependencies: &str| {
        format!(
            "{name}:\n{dependencies}  pipeline:\n  - run: load_resource\n    parameters: {{url: data/noise/datapackage.json, resource: .*}}\n"
        )
    };
    let dependencies = "  dependencies: [{pipeline: ./noise}]\n";
    Project::new(&format!("{NOISE}{}{}", reader("said", dependencies), reader("unsaid", "")))
}

/// Writes a record as a killed terrace leaves it: it still holds its pipeline's lock.
async fn interrupt(project: &Project, record: &Record) {
    project.runner.store.write(record).unwrap();
    let pipeline_lock =
        project.runner.store.lock_pipeline(".", "./noise", Duration::ZERO, &CancellationToken::new()).await.unwrap();
    pipeline_lock.set_current_run(Some(&record.run)).unwrap();
}

#[tokio::test]
async fn next_run_ends_processes_of_killed_run() {
    let project = Project::new(NOISE);
    let good = project.run("./noise").await;
    // A process that left its group, and a partial output.
    let mut unfinished = good.clone();
    (unfinished.run, unfinished.state, unfinished.finished_at) =
        (uuid::Uuid::now_v7().to_string(), State::Running, None);
    let run = unfinished.run.clone();
    unfinished.outputs = vec![Output::new(project.path("data/noise"), &run)];
    let partial = unfinished.outputs[0].partial.clone();
    fs::create_dir_all(&partial).unwrap();
    interrupt(&project, &unfinished).await;
    let mut orphan = std::process::Command::new("sleep").arg("600").env("TERRACE_RUN", &run).spawn().unwrap();
    let reaped = std::thread::spawn(move || orphan.wait());
    let next = project.run("./noise").await;
    assert_eq!(next.state, State::Succeeded);
    assert!(!runs(&run), "a process remains");
    assert!(!partial.exists(), "an output remains");
    assert!(!reaped.join().unwrap().unwrap().success());
    let settled = project.runner.store.run(&run).unwrap().unwrap();
    assert_eq!(settled.state, State::Lost);
    assert_eq!(settled.failure.unwrap().message, "its process is gone; a child process that remained was ended");
}

#[tokio::test]
async fn interrupted_move_is_dirty_and_finished_by_next_run() {
    let project = Project::new(NOISE);
    let good = project.run("./noise").await;
    let mut record = good.clone();
    (record.run, record.state, record.finished_at) = (uuid::Uuid::now_v7().to_string(), State::Publishing, None);
    let mut output = Output::new(project.path("data/noise"), &record.run);
    fs::create_dir_all(&output.partial).unwrap();
    fs::write(output.partial.join("datapackage.json"), "{\"name\": \"whole\"}").unwrap();
    // The data was moved already, but not the descriptor.
    fs::write(project.path("data/noise/new.csv"), "1").unwrap();
    output.files = [("datapackage.json".into(), 17), ("new.csv".into(), 1)].into();
    let partial = output.partial.clone();
    record.outputs = vec![output];
    interrupt(&project, &record).await;
    let why = format!("run {} was interrupted while it moved its outputs into place", record.run);
    assert_eq!(project.reasons("./noise"), std::slice::from_ref(&why));
    let store = &project.runner.store;
    assert_eq!(store.partial_publish(".", "./noise").unwrap(), Some(why));
    // While the lock is held, the run is in progress.
    let pipeline_lock = store.lock_pipeline(".", "./noise", Duration::ZERO, &CancellationToken::new()).await.unwrap();
    assert_eq!(store.partial_publish(".", "./noise").unwrap(), None);
    drop(pipeline_lock);
    let settled = project.runner.settle(&record.run).await.unwrap().unwrap();
    assert_eq!(settled.state, State::Succeeded);
    let place = project.path("data/noise");
    assert!(fs::read_to_string(place.join("datapackage.json")).unwrap().contains("whole"));
    assert!(place.join("new.csv").exists() && !place.join("noise.csv").exists() && !partial.exists());
    let last = project.runner.store.succeeded(".", "./noise").unwrap().unwrap();
    assert_eq!(last.run, record.run);
    assert_eq!(project.runner.store.partial_publish(".", "./noise").unwrap(), None);
}

#[tokio::test]
async fn reader_of_partly_moved_files_is_held_without_dependency() {
    let project = with_readers();
    let mut record = project.run("./noise").await;
    (record.run, record.state, record.finished_at) = (uuid::Uuid::now_v7().to_string(), State::Publishing, None);
    interrupt(&project, &record).await;
    let settings = project.settings();
    let instance = Instance::open(PipelinesProvider::new(), &settings, Limits::default(), "s@test:x.run");
    let instance = instance.await.unwrap();
    let (specs, recorder, cancel) = (project.specs(), Recorder::default(), CancellationToken::new());
    for (id, how) in [("./said", "depends on `./noise`"), ("./unsaid", "reads what `./noise` writes")] {
        let position = specs.pipelines.iter().position(|pipeline| pipeline.id == id).unwrap();
        let options = Options::default();
        let end = batch::run_one(&project.runner, &specs, position, &options, None, &recorder, &cancel).await.unwrap();
        assert!(matches!(&end, BatchEnd::Held { by, why: HoldReason::Dirty } if by == "./noise"), "{id}: {end:?}");
        let error = instance.create("pipelines_run", json!({"name": id})).await.unwrap_err();
        let why = format!("run {} was interrupted while it moved its outputs into place", record.run);
        assert_eq!(error.message, format!("`{id}` {how}, of which {why}"));
        assert_eq!(error.solutions, ["apply `./noise` too, or run it first: `terrace pipelines run ./noise`"]);
    }
}

#[tokio::test]
async fn partly_moved_files_are_not_read_in_same_batch() {
    let project = with_readers();
    // The rows are moved before the descriptor, whose place has a folder.
    fs::create_dir_all(project.path("data/noise/datapackage.json/in-the-way")).unwrap();
    let ends = ends(project.run_all(false).await);
    assert!(matches!(&ends["./noise"], BatchEnd::NotRun(_)), "{ends:?}");
    for (id, expected) in [("./said", HoldReason::Unsuccessful), ("./unsaid", HoldReason::Dirty)] {
        assert!(
            matches!(&ends[id], BatchEnd::Held { by, why } if by == "./noise" && *why == expected),
            "{id}: {ends:?}"
        );
    }
}

#[tokio::test]
async fn failure_before_move_does_not_hold_undeclared_reader() {
    let project = with_readers();
    assert!(project.run_all(false).await.iter().all(|done| done.end.is_good()));
    project.write("noise.py", "raise SystemExit(3)");
    let ends = ends(project.run_all(false).await);
    assert!(matches!(&ends["./said"], BatchEnd::Held { by, .. } if by == "./noise"), "{ends:?}");
    assert!(ends["./unsaid"].is_good(), "{ends:?}");
}

fn ends(done: Vec<PipelineOutcome>) -> BTreeMap<String, BatchEnd> {
    done.into_iter().map(|done| (done.pipeline, done.end)).collect()
}

#[tokio::test]
async fn files_that_cannot_be_moved_hold_the_next_run() {
    let project = Project::new(NOISE);
    // The rows are moved before the descriptor, whose place has a folder.
    fs::create_dir_all(project.path("data/noise/datapackage.json/in-the-way")).unwrap();
    let specs = project.specs();
    let pipeline = specs.pipeline("./noise").unwrap();
    let recorder = Recorder::default();
    for _ in 0..2 {
        let cancel = CancellationToken::new();
        let failed = project.runner.run(&specs, pipeline, RunRequest::default(), &recorder, &cancel).await.unwrap_err();
        assert!(format!("{failed:?}").contains("datapackage.json"), "{failed:?}");
        assert!(project.path("data/noise/noise.csv").exists());
    }
    fs::remove_dir_all(project.path("data/noise/datapackage.json")).unwrap();
    assert_eq!(project.run("./noise").await.state, State::Succeeded);
    assert!(project.path("data/noise/datapackage.json").is_file());
}

#[tokio::test]
async fn two_pipelines_in_one_folder_keep_each_others_files() {
    let step = |name: &str| {
        format!(
            "{name}:\n  pipeline:\n  - run: noise\n    parameters: {{name: {name}}}\n  - run: dump_to_path\n    parameters: {{out-path: data}}\n"
        )
    };
    let project = Project::new(&format!("{}{}", step("a"), step("b")));
    project.write("noise.py", &PROCESSOR.replace("'path': 'noise.csv'", "'path': parameters['name'] + '.csv'"));
    project.write("data/by-hand.csv", "1");
    for _ in 0..2 {
        project.run("./a").await;
        project.run("./b").await;
        for file in ["a.csv", "b.csv", "by-hand.csv", "datapackage.json"] {
            assert!(project.path("data").join(file).exists(), "{file}");
        }
        assert_eq!((project.reasons("./a"), project.reasons("./b")), (vec![], vec![]));
    }
    // A former file of `a` is removed, but no file of `b`.
    project.write("noise.py", &PROCESSOR.replace("'path': 'noise.csv'", "'path': parameters['name'] + '-2.csv'"));
    project.run("./a").await;
    assert!(!project.path("data/a.csv").exists() && project.path("data/a-2.csv").exists());
    assert!(project.path("data/b.csv").exists() && project.path("data/by-hand.csv").exists());
}

#[tokio::test]
async fn missing_or_emptied_files_make_a_pipeline_dirty() {
    let project = Project::new(NOISE);
    project.run("./noise").await;
    let file = project.runner.project.join("data/noise/noise.csv");
    let expected = vec![format!("its output is missing or changed: `{}`", file.display())];
    fs::write(&file, "").unwrap();
    assert_eq!(project.reasons("./noise"), expected);
    fs::remove_file(&file).unwrap();
    assert_eq!(project.reasons("./noise"), expected);
    project.run("./noise").await;
    assert!(project.reasons("./noise").is_empty() && file.exists());
}

#[tokio::test]
async fn cached_result_never_replaces_a_step_that_writes_files() {
    let spec = "x:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/first}\n  - run: noise\n    cache: true\n  - run: dump_to_path\n    parameters: {out-path: data/second}\n";
    let project = Project::new(spec);
    let request = || RunRequest { uses_cache: true, ..RunRequest::default() };
    let cancel = CancellationToken::new();
    project.run_as("./x", request(), &cancel).await;
    fs::remove_dir_all(project.path("data/first")).unwrap();
    assert_eq!(project.run_as("./x", request(), &cancel).await.state, State::Succeeded);
    assert!(project.path("data/first/noise.csv").exists());
    assert!(project.reasons("./x").is_empty());
}

#[tokio::test]
async fn pipelines_that_read_from_each_other_both_run() {
    let step = |name: &str| {
        format!(
            "{name}:\n  pipeline:\n  - run: noise\n    parameters: {{url: data/{name}.in}}\n  - run: dump_to_path\n    parameters: {{out-path: data}}\n"
        )
    };
    let project = Project::new(&format!("{}{}", step("a"), step("b")));
    let done = project.run_all(false).await;
    let ran = done.iter().filter(|done| matches!(&done.end, BatchEnd::Ran(record) if record.state == State::Succeeded));
    assert_eq!(ran.count(), 2, "{done:?}");
}

#[tokio::test]
async fn plan_settles_no_run() {
    let project = Project::new(NOISE);
    let mut record = project.run("./noise").await;
    (record.run, record.state, record.finished_at) = (uuid::Uuid::now_v7().to_string(), State::Running, None);
    record.mark = Some("operation/step".to_owned());
    interrupt(&project, &record).await;
    let provider = PipelinesProvider::new();
    let session = provider.connect(&project.settings()).await.unwrap();
    let ty = provider.schema().resources.iter().find(|ty| ty.name == "pipelines_run").unwrap();
    let identity: Attributes = [("folder", "."), ("name", "./noise")]
        .map(|(name, text)| (name.to_owned(), Value::from(text)))
        .into_iter()
        .collect();
    let lost_call = LostCall {
        operation: "operation".to_owned(),
        step: "step".to_owned(),
        timeout: Duration::from_secs(60),
        age: Duration::from_secs(1),
    };
    let attempt = Attempt {
        address: "stack:noise.run".to_owned(),
        planned: identity.clone(),
        identity,
        private: Private::default(),
        prior: None,
        lost_call: Some(lost_call),
    };
    let found = session.find(ty, &attempt).await.unwrap();
    assert_eq!(found, Found::NoEffect);
    assert_eq!(project.runner.store.run(&record.run).unwrap().unwrap().state, State::Running);
}
