//! Effects of failed runs, and of removed databases.

use crate::harness::{Project, Recorder};
use std::fs;
use std::time::Duration;
use terrace_pipelines::run::batch::{self, BatchEnd, HoldReason, Options};
use terrace_pipelines::run::{RunRequest, State};
use tokio_util::sync::CancellationToken;

const TABLE: &str = "\
import os, sqlite3
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
database = sqlite3.connect(os.environ['DPP_DB_ENGINE'][len('sqlite:///'):])
database.execute('CREATE TABLE IF NOT EXISTS ' + parameters['table'] + ' (i integer)')
database.commit()
spew(package, resources, {})
";

#[tokio::test]
async fn removed_database_makes_its_writers_dirty() {
    let table = |name: &str| format!("{name}:\n  pipeline:\n  - run: table\n    parameters: {{table: {name}}}\n");
    let project = Project::new(&format!("{}{}plain: {{pipeline: [{{run: noise}}]}}\n", table("a"), table("b")));
    project.write("table.py", TABLE);
    for id in ["./a", "./b", "./plain"] {
        assert_eq!(project.run(id).await.state, State::Succeeded);
        assert_eq!(project.reasons(id), Vec::<String>::new());
    }
    let path = project.runner.project.join(".terrace/pipelines/database.db");
    fs::remove_file(&path).unwrap();
    let gone = format!("its database was removed: `{}`", path.display());
    assert_eq!((project.reasons("./a"), project.reasons("./b")), (vec![gone.clone()], vec![gone]));
    assert_eq!(project.reasons("./plain"), Vec::<String>::new());
    project.run("./a").await;
    project.run("./b").await;
    assert_eq!((project.reasons("./a"), project.reasons("./b")), (vec![], vec![]));
}

#[tokio::test]
async fn run_that_never_started_changes_nothing() {
    let project =
        Project::new("a: {pipeline: [{run: noise}]}\nb: {dependencies: [{pipeline: ./a}], pipeline: [{run: noise}]}\n");
    let good = project.run("./a").await;
    // A run that waits for its lock or its environment.
    let (store, cancel) = (&project.runner.store, CancellationToken::new());
    let pipeline_lock = store.lock_pipeline(".", "./a", Duration::ZERO, &cancel).await.unwrap();
    let (specs, recorder) = (project.specs(), Recorder::default());
    let request = RunRequest { lock_timeout: Duration::from_secs(60), ..RunRequest::default() };
    let waiting = project.runner.run(&specs, specs.pipeline("./a").unwrap(), request, &recorder, &cancel);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    };
    assert!(tokio::join!(waiting, stopping).0.is_err());
    drop(pipeline_lock);
    assert_eq!(project.reasons("./a"), Vec::<String>::new());
    for (state, has_begun, is_clean) in [
        (State::Cancelled, false, true),
        (State::Lost, false, true),
        (State::Preparing, false, true),
        (State::Cancelled, true, false),
        (State::Lost, true, false),
        (State::Running, true, false),
        (State::Failed, false, true),
        (State::TimedOut, false, true),
        (State::Failed, true, false),
        (State::TimedOut, true, false),
    ] {
        let mut last = good.clone();
        (last.run, last.state, last.has_begun) = (uuid::Uuid::now_v7().to_string(), state, has_begun);
        store.write(&last).unwrap();
        assert_eq!(project.reasons("./a").is_empty(), is_clean, "{state} {:?}", project.reasons("./a"));
        let (options, cancel) = (Options::default(), CancellationToken::new());
        let end = batch::run_one(&project.runner, &specs, 1, &options, None, &recorder, &cancel).await.unwrap();
        let is_held = matches!(&end, BatchEnd::Held { by, why: HoldReason::Unsuccessful } if by == "./a");
        assert_eq!((end.is_good(), is_held), (is_clean, !is_clean), "{state} {end:?}");
    }
}
