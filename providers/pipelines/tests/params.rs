//! Values of runs in place of those of their specs.

use crate::harness::{NOISE, Project, Recorder};
use serde_json::json;
use std::collections::BTreeMap;
use terrace_pipelines::execution_options::{ExecutionOption, ExecutionOptions};
use terrace_pipelines::run::batch::{self, BatchEnd, Options};
use terrace_pipelines::run::{NotRun, Overrides, Record, State};
use terrace_pipelines::spec::params;
use terrace_provider::conformance::Instance;
use terrace_provider::wrap::Limits;
use terrace_provider::{ErrorKind, ProviderError};
use terrace_provider_pipelines::PipelinesProvider;
use tokio_util::sync::CancellationToken;

const SPEC: &str = "\
count:
  params: {COUNT: 3, LABEL: a}
  environment: {COLOR: red}
  pipeline: [{run: count}]
after:
  dependencies: [{pipeline: ./count}]
  pipeline: [{run: noise}]
";

/// A project with a pipeline of as many rows as its parameter says.
fn project() -> Project {
    let project = Project::new(SPEC);
    let count = NOISE.replace("parameters.get('rows', 500)", "int(os.environ['COUNT'])");
    project.write("count.py", &format!("import os\n{count}"));
    project
}

fn values(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Runs one pipeline with these parameters.
async fn run(project: &Project, id: &str, only_dirty: bool, params: &[(&str, &str)]) -> BatchEnd {
    let specs = project.specs();
    assert_eq!(specs.problems, []);
    let position = specs.pipelines.iter().position(|pipeline| pipeline.id == id).unwrap();
    let overrides = Overrides { params: values(params), ..Overrides::default() };
    let options = Options { only_dirty, overrides, ..Options::default() };
    let cancel = CancellationToken::new();
    batch::run_one(&project.runner, &specs, position, &options, None, &Recorder::default(), &cancel).await.unwrap()
}

fn ran(end: BatchEnd) -> Record {
    let BatchEnd::Ran(record) = end else { panic!("{end:?}") };
    assert_eq!(record.state, State::Succeeded, "{:?}", record.failure);
    *record
}

#[tokio::test]
async fn run_has_its_own_values_of_parameters() {
    let project = project();
    assert_eq!(ran(run(&project, "./count", false, &[]).await).rows, 3);
    let record = ran(run(&project, "./count", true, &[("COUNT", "7")]).await);
    assert_eq!((record.rows, record.overrides.params), (7, values(&[("COUNT", "7")])));
    let again = run(&project, "./count", true, &[("COUNT", "7")]).await;
    assert!(matches!(again, BatchEnd::Clean), "{again:?}");
    // Its result is valid for others.
    ran(run(&project, "./after", false, &[]).await);
    assert_eq!(ran(run(&project, "./count", true, &[]).await).rows, 3, "the usual values are a change");
}

#[tokio::test]
async fn run_with_a_parameter_that_the_spec_lists_no_more_is_refused() {
    // As by a worker, after a change of the spec.
    let project = project();
    let end = run(&project, "./count", false, &[("COLOR", "blue")]).await;
    let BatchEnd::NotRun(NotRun::WorkerFailed { message }) = end else { panic!("{end:?}") };
    assert_eq!(message, ["`COLOR` is not a parameter of `./count`: expected `COUNT`, `LABEL`"]);
}

#[test]
fn parameter_is_not_a_variable_of_the_spec_as_well() {
    let project = Project::new("a:\n  environment: {LABEL: a}\n  params: {LABEL: b}\n  pipeline: [{run: noise}]\n");
    let problems = project.specs().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].message.contains("`LABEL` is both in `environment` and in `params`"), "{problems:?}");
}

#[test]
fn parameters_are_those_that_the_spec_lists() {
    let project = project();
    let specs = project.specs();
    let refused = |id: &str, name: &str| {
        params::check(specs.pipeline(id).unwrap(), &values(&[(name, "1")])).unwrap_err().to_string()
    };
    let nul = params::check(specs.pipeline("./count").unwrap(), &values(&[("LABEL", "a\0b")])).unwrap_err();
    assert_eq!(nul.to_string(), "the value of `LABEL` contains a NUL character");
    params::check(specs.pipeline("./count").unwrap(), &values(&[("COUNT", "1"), ("LABEL", "b")])).unwrap();
    assert_eq!(refused("./count", "COUNTS"), "`COUNTS` is not a parameter of `./count`: did you mean `COUNT`?");
    assert_eq!(refused("./count", "COLOR"), "`COLOR` is not a parameter of `./count`: expected `COUNT`, `LABEL`");
    assert_eq!(refused("./after", "COUNT"), "`COUNT` is not a parameter of `./after`: its spec has no `params`");
}

#[test]
fn options_of_pods_are_for_pipelines_of_a_cluster() {
    let project = project();
    let specs = project.specs();
    let mut options = ExecutionOptions::default();
    options.set(ExecutionOption::Memory, "1Gi");
    let refused = project.runner.check_run_options(specs.pipeline("./count").unwrap(), &options).unwrap_err();
    let (option, wrong) = refused;
    assert_eq!(option, ExecutionOption::Memory);
    assert!(wrong.message.contains("`memory` is an option of pods, and `./count` runs on the machine"), "{wrong:?}");
    assert!(wrong.hint.unwrap().contains("`executor: kubernetes`"));
}

#[tokio::test]
async fn schedule_refuses_values_that_its_pipeline_does_not_have() {
    let project = project();
    let provider = PipelinesProvider::new();
    let instance = Instance::open(provider, &project.settings(), Limits::default(), "s@test:x.load").await.unwrap();
    let config = |extra: serde_json::Value| {
        let mut config = json!({"name": "nightly", "pipeline": "./count", "cron": "30 2 * * *"});
        config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        config
    };
    let at = |error: &ProviderError| match &error.kind {
        ErrorKind::InvalidInput { path } => path.as_ref().map(ToString::to_string),
        kind => panic!("{kind:?}"),
    };
    let wrong = instance.create("pipelines_schedule", config(json!({"params": {"COLOR": "blue"}}))).await.unwrap_err();
    assert_eq!(at(&wrong).as_deref(), Some("params"), "{wrong:?}");
    let wrong = instance.create("pipelines_schedule", config(json!({"memory": "1 GB"}))).await.unwrap_err();
    assert_eq!(at(&wrong).as_deref(), Some("memory"), "{wrong:?}");
    let wrong = instance.create("pipelines_schedule", config(json!({"memory": "1Gi"}))).await.unwrap_err();
    assert!(wrong.message.contains("`memory` is an option of pods"), "{wrong:?}");
    let row = instance.create("pipelines_schedule", config(json!({"params": {"COUNT": "9"}}))).await.unwrap();
    assert_eq!(instance.read("pipelines_schedule", &row).await.unwrap().unwrap().attributes, row.attributes);
    let schedule = project.runner.schedules().get("nightly").unwrap().unwrap();
    assert_eq!(schedule.overrides.params, values(&[("COUNT", "9")]));
}
