//! A project with specs and the stand-in of dpp, and its runner.

use crate::stand_in;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use tempfile::TempDir;
use terrace_pipelines::database::Databases;
use terrace_pipelines::run::batch::{self, Options, PipelineOutcome};
use terrace_pipelines::run::{Record, RunObserver, RunRequest, Runner};
use terrace_pipelines::spec::{self, Specs};
use terrace_provider::{Settings, Value, conformance};
use terrace_provider_pipelines::settings::{databases, runner};
use tokio_util::sync::CancellationToken;

/// Processor that generates rows, for both releases and the stand-in.
pub(crate) const NOISE: &str = "\
from datapackage_pipelines.wrapper import ingest, spew
parameters, package, resources = ingest()
stats = {'noise': 0}
def rows():
    for i in range(parameters.get('rows', 500)):
        stats['noise'] += 1
        yield {'i': i}
package['resources'].append({'name': 'noise', 'path': 'noise.csv', 'dpp:streaming': True,
    'schema': {'fields': [{'name': 'i', 'type': 'integer'}]}})
spew(package, resources + [rows()], stats)
";

pub(crate) struct Project {
    pub(crate) folder: TempDir,
    pub(crate) caches: TempDir,
    pub(crate) runner: Runner,
}

impl Project {
    pub(crate) fn new(spec: &str) -> Self {
        Self::within(&std::env::temp_dir(), spec)
    }

    /// Creates a project in this folder.
    pub(crate) fn within(folder: &std::path::Path, spec: &str) -> Self {
        let (folder, caches) = (tempfile::tempdir_in(folder).unwrap(), tempfile::tempdir().unwrap());
        stand_in::create(caches.path());
        let runner = runner(&settings(&folder, &caches)).unwrap();
        let project = Self { folder, caches, runner };
        project.write("noise.py", NOISE);
        project.write("pipeline-spec.yaml", spec);
        project
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&self.folder, &self.caches)
    }

    /// Databases of the project, without a guard program.
    pub(crate) fn databases(&self) -> Databases {
        databases(&self.settings(), None)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn specs(&self) -> Specs {
        spec::read(self.folder.path()).unwrap()
    }

    /// Runs a pipeline.
    pub(crate) async fn run(&self, id: &str) -> Record {
        self.run_as(id, RunRequest::default(), &CancellationToken::new()).await
    }

    pub(crate) async fn run_as(&self, id: &str, request: RunRequest, cancel: &CancellationToken) -> Record {
        let specs = self.specs();
        let pipeline = specs.pipeline(id).unwrap_or_else(|| panic!("{id}: {:?}", specs.problems));
        self.runner.run(&specs, pipeline, request, &Recorder::default(), cancel).await.unwrap()
    }

    /// Runs all pipelines.
    pub(crate) async fn run_all(&self, only_dirty: bool) -> Vec<PipelineOutcome> {
        let specs = self.specs();
        let chosen: Vec<usize> = (0..specs.pipelines.len()).collect();
        let options = Options { only_dirty, max_parallel: 2, ..Options::default() };
        batch::run(&self.runner, &specs, &chosen, &options, &Recorder::default(), &CancellationToken::new())
            .await
            .unwrap()
    }

    pub(crate) fn reasons(&self, id: &str) -> Vec<String> {
        let specs = self.specs();
        self.runner.reasons(&specs, specs.pipeline(id).unwrap()).unwrap()
    }
}

fn settings(folder: &TempDir, caches: &TempDir) -> Settings {
    let mut settings = conformance::settings(folder.path());
    let Value::Map(values) = Value::from(json!({"executor": "local", "cacheDir": caches.path(), "maxParallel": 2}))
    else {
        panic!("settings are a map")
    };
    settings.values = values;
    settings
}

/// Observer that records warnings, lines, and the runs for whose ends a run waits, with the limits.
#[derive(Default)]
pub(crate) struct Recorder {
    lines: Mutex<Vec<String>>,
    pub(crate) waits: Mutex<Vec<String>>,
    pub(crate) limits: Mutex<Vec<Duration>>,
    pub(crate) warnings: Mutex<Vec<String>>,
}

impl RunObserver for Recorder {
    fn preparing(&self, _pipeline: &str, _done: usize, _of: usize, _what: &str) {
        panic!("the environment of the stand-in exists already");
    }

    fn started(&self, _pipeline: &str, _run: &str) {}

    fn line(&self, _pipeline: &str, _step: usize, name: &str, line: &str) {
        self.lines.lock().unwrap().push(format!("{name}: {line}"));
    }

    fn warned(&self, _pipeline: &str, what: &str) {
        self.warnings.lock().unwrap().push(what.to_owned());
    }

    fn progress(&self, _pipeline: &str, _step: usize, _of: usize, _rows: u64, _bytes: u64) {}

    fn waits(&self, _pipeline: &str, run: Option<&str>, most: Duration) {
        self.waits.lock().unwrap().push(run.unwrap_or_default().to_owned());
        self.limits.lock().unwrap().push(most);
    }
}

/// Returns true while a process of a run exists.
pub(crate) fn runs(run: &str) -> bool {
    let mark = format!("TERRACE_RUN={run}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|entry| fs::read(entry.path().join("environ")).ok());
    environments.into_iter().any(|it| it.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()))
}
