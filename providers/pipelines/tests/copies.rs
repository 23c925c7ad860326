//! Moved and copied projects, and specs that are found from several folders: a pipeline has one identity, and a copy
//! has its own runs.

use crate::harness::{NOISE, Project, Recorder, runs};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use terrace_pipelines::run::store::LockError;
use terrace_pipelines::run::{Output, RunRequest, Runner, State};
use terrace_pipelines::spec;
use terrace_provider_pipelines::settings::runner;
use tokio_util::sync::CancellationToken;

const SPEC: &str =
    "noise:\n  pipeline:\n  - run: noise\n  - run: dump_to_path\n    parameters: {out-path: data/noise}\n";

/// Runner of a project in another folder.
fn runner_at(project: &Project, folder: &Path) -> Runner {
    let mut settings = project.settings();
    settings.project_folder = folder.to_owned();
    runner(&settings).unwrap()
}

fn reasons(runner: &Runner, folder: &Path, id: &str) -> Vec<String> {
    let specs = spec::read(folder).unwrap();
    runner.reasons(&specs, specs.pipeline(id).unwrap()).unwrap()
}

fn copy(project: &Project, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(project.folder.path()).arg(to).status().unwrap();
    assert!(done.success());
}

#[tokio::test]
async fn copied_or_moved_project_keeps_its_results() {
    let project = Project::new(SPEC);
    project.run("./noise").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let copied = elsewhere.path().join("copy");
    copy(&project, &copied);
    let runner = runner_at(&project, &copied);
    assert_eq!(reasons(&runner, &copied, "./noise"), Vec::<String>::new());
    let record = runner.store.succeeded(".", "./noise").unwrap().unwrap();
    assert_eq!(record.datapackage, Some(runner.project.join("data/noise/datapackage.json")));
    // Outputs in the copy belong to the copy; those of the original stay.
    runner.remove_outputs(&record).unwrap();
    assert!(!copied.join("data/noise").exists() && project.path("data/noise/noise.csv").exists());
    assert_eq!(project.reasons("./noise"), Vec::<String>::new());
    let moved = elsewhere.path().join("moved");
    fs::rename(&copied, &moved).unwrap();
    assert!(
        reasons(&runner_at(&project, &moved), &moved, "./noise")[0].starts_with("its output is missing or changed")
    );
}

#[tokio::test]
async fn copy_does_not_touch_runs_of_its_original() {
    let project = Project::new(SPEC);
    for state in [State::Running, State::Publishing] {
        let mut unfinished = project.run("./noise").await;
        (unfinished.run, unfinished.state, unfinished.finished_at) = (uuid::Uuid::now_v7().to_string(), state, None);
        unfinished.outputs = vec![Output::new(project.runner.project.join("data/noise"), &unfinished.run)];
        let partial = unfinished.outputs[0].partial.clone();
        fs::create_dir_all(&partial).unwrap();
        project.runner.store.write(&unfinished).unwrap();
        let pipeline_lock = project
            .runner
            .store
            .lock_pipeline(".", "./noise", Duration::ZERO, &CancellationToken::new())
            .await
            .unwrap();
        pipeline_lock.set_current_run(Some(&unfinished.run)).unwrap();
        let mut process = Command::new("sleep").arg("600").env("TERRACE_RUN", &unfinished.run).spawn().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let copied = elsewhere.path().join("copy");
        copy(&project, &copied);
        let runner = runner_at(&project, &copied);
        let specs = spec::read(&copied).unwrap();
        let pipeline = specs.pipeline("./noise").unwrap();
        let next =
            runner.run(&specs, pipeline, RunRequest::default(), &Recorder::default(), &CancellationToken::new()).await;
        assert_eq!(next.unwrap().state, State::Succeeded);
        let settled = runner.store.run(&unfinished.run).unwrap().unwrap();
        assert_eq!(settled.state, State::Lost);
        assert!(settled.failure.unwrap().message.contains("the project was copied"));
        assert!(runs(&unfinished.run) && process.try_wait().unwrap().is_none(), "the original's process was ended");
        assert!(partial.exists() && !copied.join("data/noise").join(partial.file_name().unwrap()).exists());
        assert_eq!(project.runner.store.run(&unfinished.run).unwrap().unwrap().state, state);
        process.kill().unwrap();
        process.wait().unwrap();
        drop(pipeline_lock);
    }
}

#[tokio::test]
async fn pipeline_has_one_identity_from_any_folder() {
    let project = Project::new("{}");
    project.write("sub/pipeline-spec.yaml", SPEC);
    project.write("sub/noise.py", NOISE);
    let below = spec::read(&project.path("sub")).unwrap();
    let cancel = CancellationToken::new();
    let (pipeline, recorder) = (below.pipeline("./noise").unwrap(), Recorder::default());
    let record = project.runner.run(&below, pipeline, RunRequest::default(), &recorder, &cancel).await.unwrap();
    assert_eq!(project.reasons("./sub/noise"), Vec::<String>::new());
    let store = &project.runner.store;
    assert_eq!(store.succeeded(".", "./sub/noise").unwrap().map(|it| it.run), Some(record.run.clone()));
    assert!(store.is_run_of(&record, ".", "./sub/noise") && !store.is_run_of(&record, ".", "./noise"));
    // Only one run at a time, from any folder.
    let pipeline_lock = store.lock_pipeline(".", "./sub/noise", Duration::ZERO, &cancel).await.unwrap();
    assert!(matches!(
        store.lock_pipeline("sub", "./noise", Duration::ZERO, &cancel).await,
        Err(LockError::InProgress { .. })
    ));
    drop(pipeline_lock);
    project.write("sub/noise.py", &NOISE.replace("500", "501"));
    let expected = ["the code changed: `sub/noise.py`"];
    assert_eq!(project.reasons("./sub/noise"), expected);
    assert_eq!(reasons(&project.runner, &project.path("sub"), "./noise"), expected);
}
