//! Inputs of a result in addition to spec and code: databases, exact numbers, folders, planned values.

use crate::harness::{NOISE, Project};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;
use terrace_pipelines::run::batch::{self, BatchEnd, HoldReason, Options};
use terrace_pipelines::run::{RunRequest, Runner, State, Target};
use terrace_provider::conformance::Instance;
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, Path, Recorded, Value};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

const ENGINE: &str = "DPP_DB_ENGINE";
const RUN: &str = "pipelines_run";
/// Reads the database's address, and writes nothing.
const TABLES: &str = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
spew(package, resources, {'engine': os.environ['DPP_DB_ENGINE'].split(':')[0]})
";

/// Provider, for planning and calling by hand.
async fn instance(project: &Project) -> Instance<PipelinesProvider> {
    Instance::open(PipelinesProvider::new(), &project.settings(), Limits::default(), "s@test:x.run").await.unwrap()
}

/// Row of the last run.
async fn recorded(instance: &Instance<PipelinesProvider>, name: &str) -> Recorded {
    let identity = [("folder", "."), ("name", name)].map(|(key, value)| (key.to_owned(), Value::from(value)));
    let prior = Recorded { identity: identity.into_iter().collect(), ..Recorded::default() };
    instance.read(RUN, &prior).await.unwrap().unwrap()
}

fn with_engine(project: &Project, engine: &str) -> Runner {
    let mut runner = project.runner.clone();
    runner.variables.insert(ENGINE.to_owned(), engine.to_owned());
    runner
}

#[tokio::test]
async fn another_database_makes_only_its_writers_dirty() {
    let mut project =
        Project::new("tables:\n  pipeline: [{run: noise}, {run: tables}]\nplain:\n  pipeline: [{run: noise}]\n");
    project.write("tables.py", TABLES);
    project.runner = with_engine(&project, "");
    for id in ["./tables", "./plain"] {
        assert_eq!(project.run(id).await.state, State::Succeeded);
        assert_eq!(project.reasons(id), Vec::<String>::new());
    }
    let other = ["it writes into another database"];
    project.runner = with_engine(&project, "postgresql://ada:one@db.example.com/x");
    assert_eq!((project.reasons("./tables"), project.reasons("./plain")), (other.map(str::to_owned).to_vec(), vec![]));
    // Its environment has the driver, the other one does not.
    assert_eq!(project.run("./tables").await.stats["engine"], json!("postgresql+psycopg2"));
    let specs = project.specs();
    let requirements = |id: &str| project.runner.recipe(&specs.root, specs.pipeline(id).unwrap()).requirements.len();
    assert_eq!((requirements("./tables"), requirements("./plain")), (1, 0));
    project.runner = with_engine(&project, "postgres://bob:two@db.example.com/x");
    assert_eq!(project.reasons("./tables"), Vec::<String>::new());
    project.runner = with_engine(&project, "postgres://bob:two@db.example.com/y");
    assert_eq!(project.reasons("./tables"), other);
    // A recreated database counts as another database, even at the same address.
    project.runner = with_engine(&project, "sqlite://");
    for (id, reasons) in [("1", vec![other[0]]), ("1", vec![]), ("2", vec![other[0]])] {
        project.runner.target = Target::Database(id.to_owned());
        assert_eq!(project.reasons("./tables"), reasons);
        project.runner.target = Target::Database("1".to_owned());
        project.run("./tables").await;
    }
}

#[tokio::test]
async fn plan_runs_again_after_change_of_secret_or_database() {
    let spec =
        |pin: &str| format!("x:\n  pipeline:\n  - run: noise\n    parameters: {{pin-token: {pin}}}\n  - run: tables\n");
    let project = Project::new(&spec("1234"));
    project.write("tables.py", TABLES);
    project.run("./x").await;
    let instance = instance(&project).await;
    let prior = recorded(&instance, "./x").await;
    let config = json!({"name": "./x"});
    let same = instance.plan(RUN, Some(&prior), &config).await.unwrap();
    assert_eq!((same.planned.get("runId"), same.because.len()), (prior.attributes.get("runId"), 0));
    project.write("pipeline-spec.yaml", &spec("1235"));
    let secret = instance.plan(RUN, Some(&prior), &config).await.unwrap();
    assert_eq!(secret.because, ["the spec changed: step 1 (`noise`)"]);
    assert_eq!(secret.planned["runId"], Value::Unknown);
    assert_eq!(secret.planned["specHash"], prior.attributes["specHash"]);
    project.write("pipeline-spec.yaml", &spec("1234"));
    let into = json!({"name": "./x", "engineUrl": "sqlite:////elsewhere.db"});
    let database = instance.plan(RUN, Some(&prior), into).await.unwrap();
    assert_eq!(database.because, ["it writes into another database"]);
    assert_eq!(database.planned["runId"], Value::Unknown);
}

#[tokio::test]
async fn numbers_reach_a_processor_unchanged() {
    let spec = "x:\n  environment: {LARGE: 123456789012345678901234567890, RATE: 1.0e+20, NONE: .nan}\n  pipeline:\n  - run: noise\n  - run: numbers\n    parameters: {large: -123456789012345678901234567890, hex: 0xffffffffffffffffff, list: [.inf, -.inf, .nan, 1.5, 7]}\n";
    let project = Project::new(spec);
    let numbers = "\
import os
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
stats = {name: repr(value) for name, value in parameters.items()}
stats.update({name: os.environ[name] for name in ('LARGE', 'RATE', 'NONE')})
spew(package, resources, stats)
";
    project.write("numbers.py", numbers);
    let record = project.run("./x").await;
    assert_eq!(record.state, State::Succeeded, "{record:?}");
    for (name, expected) in [
        ("large", "-123456789012345678901234567890"),
        ("hex", "4722366482869645213695"),
        ("list", "[inf, -inf, nan, 1.5, 7]"),
        ("LARGE", "123456789012345678901234567890"),
        ("RATE", "1e+20"),
        ("NONE", "nan"),
    ] {
        assert_eq!(record.stats[name], json!(expected), "{name}");
    }
    assert_eq!(project.reasons("./x"), Vec::<String>::new());
}

#[tokio::test]
async fn folder_outside_of_project_is_refused() {
    let project = Project::new("x: {pipeline: [{run: noise}]}");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("pipeline-spec.yaml"), "x: {pipeline: [{run: noise}]}").unwrap();
    fs::write(outside.path().join("noise.py"), NOISE).unwrap();
    std::os::unix::fs::symlink(outside.path(), project.path("link")).unwrap();
    project.write("sub/pipeline-spec.yaml", "x: {pipeline: [{run: noise}]}");
    project.write("sub/noise.py", NOISE);
    let up = format!("../{}", outside.path().file_name().unwrap().to_str().unwrap());
    let instance = instance(&project).await;
    for folder in ["link", &up, outside.path().to_str().unwrap(), ".."] {
        let error = instance.plan(RUN, None, json!({"folder": folder, "name": "./x"})).await.unwrap_err();
        assert!(
            error.message.contains(&format!("`folder` is `{folder}`, which is outside of the project")),
            "{error:?}"
        );
        assert_eq!(error.kind, ErrorKind::InvalidInput { path: Some(Path::attribute("folder")) });
    }
    for folder in [".", "sub", "./sub/"] {
        instance.plan(RUN, None, json!({"folder": folder, "name": "./x"})).await.unwrap();
    }
}

#[tokio::test]
async fn dependency_missing_until_plugin_runs_blocks_run_and_plan() {
    let project = Project::new(
        "x: {dependencies: [{pipeline: ./made}], pipeline: [{run: noise}]}\ny: {pipeline: [{run: noise}]}\n",
    );
    project.write("nothing.source-spec.yaml", "a: {}\n");
    let specs = project.specs();
    let options = Options::default();
    let (recorder, cancel) = (crate::harness::Recorder::default(), CancellationToken::new());
    let done = batch::run(&project.runner, &specs, &[0, 1], &options, &recorder, &cancel).await.unwrap();
    let held = done.iter().find(|done| done.pipeline == "./x").unwrap();
    assert!(matches!(&held.end, BatchEnd::Held { by, why: HoldReason::Dirty } if by == "./made"), "{held:?}");
    let instance = instance(&project).await;
    let error = instance.plan(RUN, None, json!({"name": "./x"})).await.unwrap_err();
    assert_eq!(error.message, "`./x` depends on `./made`, and there is no such pipeline yet");
    instance.plan(RUN, None, json!({"name": "./y"})).await.unwrap();
}

#[tokio::test]
async fn records_are_private() {
    let project = Project::new("x: {pipeline: [{run: noise}]}");
    project.run("./x").await;
    let mode = |path: &str| fs::metadata(project.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(".terrace/pipelines"), mode(".terrace/pipelines/key")), (0o700, 0o600));
}

#[tokio::test]
async fn outputs_are_written_inside_a_mount() {
    // A file system other than the project's, on every Linux.
    let mount = tempfile::tempdir_in("/dev/shm").unwrap();
    let out = mount.path().display();
    let project = Project::new(&format!(
        "x: {{pipeline: [{{run: noise}}, {{run: dump_to_path, parameters: {{out-path: {out}}}}}]}}"
    ));
    assert_ne!(fs::metadata(mount.path()).unwrap().dev(), fs::metadata(project.path("")).unwrap().dev());
    assert_eq!(project.run("./x").await.state, State::Succeeded);
    let mut names: Vec<_> = fs::read_dir(mount.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["datapackage.json", "noise.csv"]);
    assert_eq!(project.reasons("./x"), Vec::<String>::new());
}

#[tokio::test]
async fn delete_is_refused_during_a_run() {
    let project = Project::new("x: {pipeline: [{run: noise}]}");
    project.run_as("./x", RunRequest::default(), &CancellationToken::new()).await;
    let instance = instance(&project).await;
    let prior = recorded(&instance, "./x").await;
    let store = &project.runner.store;
    let pipeline_lock = store.lock_pipeline(".", "./x", Duration::ZERO, &CancellationToken::new()).await.unwrap();
    let error = instance.delete(RUN, &prior).await.unwrap_err();
    assert!(error.message.starts_with("`./x` is being run"), "{error:?}");
    assert!(store.succeeded(".", "./x").unwrap().is_some());
    drop(pipeline_lock);
    instance.delete(RUN, &prior).await.unwrap();
    assert!(store.succeeded(".", "./x").unwrap().is_none());
}
