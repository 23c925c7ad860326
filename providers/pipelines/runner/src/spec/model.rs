//! Model of a decoded spec.

use super::wrapper::Wrapper;
use crate::execution_options::{ExecutionOption, ExecutionOptions};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that was found.
#[derive(Debug, Clone)]
pub struct SpecFile {
    /// Its path relative to the searched folder.
    pub path: PathBuf,
    /// Its text; empty if it could not be read.
    pub text: String,
}

/// A pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// `./`, folder and name: `./committees/dump-to-db`.
    pub id: String,
    /// Its file, by position in [`super::Specs::files`].
    pub file: usize,
    /// Folder of the file, relative to the searched folder; steps run there.
    pub folder: PathBuf,
    /// Position of its name.
    pub at: Range<usize>,
    /// Title for people.
    pub title: Option<String>,
    /// Description for people, in Markdown.
    pub description: Option<String>,
    /// Its steps, in order; never empty.
    pub steps: Vec<Step>,
    /// Its dependencies.
    pub dependencies: Vec<Dependency>,
    /// Its schedule.
    pub schedule: Option<Schedule>,
    /// Environment variables of its processes.
    pub environment: Vec<(String, String)>,
    /// Names of those variables whose values a run may replace.
    pub params: Vec<String>,
    /// Addresses to notify of its progress.
    pub hooks: Vec<String>,
    /// Packages that its environment needs in addition to the requirements file of its folder.
    pub requirements: Vec<String>,
    /// Options of its execution. They replace those of the settings.
    pub execution: ExecutionOptions,
    /// Positions of the values of these options.
    pub execution_places: BTreeMap<ExecutionOption, Range<usize>>,
    /// Pipelines whose results it reads without a declared dependency.
    pub reads_from: Vec<String>,
    /// Folders to search for processors after its own.
    pub processors: Arc<[PathBuf]>,
}

/// A step of a pipeline.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number in the spec, counted from 1.
    pub number: usize,
    /// Its name: the processor, or the module of a flow.
    pub name: String,
    /// Position of its start.
    pub at: Range<usize>,
    /// Its kind.
    pub kind: StepKind,
    /// Parameters of the processor.
    pub parameters: Map<String, Value>,
    /// Cache its result, and reuse it while its inputs are unchanged.
    pub is_cached: bool,
    /// Validate rows against their schema before the step.
    pub is_validated: bool,
    /// Name of its runner in `dpp-runners.yaml`.
    pub runner: Option<String>,
    /// Wrapper command of that runner.
    pub wrapper: Option<Wrapper>,
}

/// Kind of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// A processor by name: `dump.to_path`.
    Processor,
    /// A module with a function `flow`.
    Flow,
    /// Python code in the spec.
    Code(String),
}

/// A dependency with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The dependency.
    pub on: DependsOn,
    /// Its position.
    pub at: Range<usize>,
}

/// Dependency of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependsOn {
    /// Another pipeline, by id.
    Pipeline(String),
    /// A data package, by path or address.
    DataPackage(String),
}

/// Schedule of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week: the order of cron, unless the third field is a weekday.
    pub crontab: String,
    /// Its position.
    pub at: Range<usize>,
}

/// A file from which a plugin generates pipelines.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// Name of the plugin: `knesset` of `knesset.source-spec.yaml`.
    pub module: String,
    /// The file, by position in [`super::Specs::files`].
    pub file: usize,
    /// The top-level keys, from which the plugin generates pipelines.
    pub keys: Vec<String>,
    /// Its content.
    pub content: Value,
    /// Number of pipelines that the plugin generated; nothing until it has run.
    pub generated_count: Option<usize>,
    /// Digest of all inputs of the plugin's result.
    pub(super) key: String,
}

impl Pipeline {
    /// Its parameters with their usual values.
    #[must_use]
    pub fn params_with_values(&self) -> BTreeMap<String, String> {
        let is_param = |(name, _): &&(String, String)| self.params.contains(name);
        self.environment.iter().filter(is_param).cloned().collect()
    }

    /// Ids of declared and detected dependencies.
    pub fn all_before(&self) -> impl Iterator<Item = &str> {
        self.pipelines_before().chain(self.reads_from.iter().map(String::as_str))
    }

    /// Ids of declared dependencies.
    pub fn pipelines_before(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter_map(|dependency| match &dependency.on {
            DependsOn::Pipeline(id) => Some(id.as_str()),
            DependsOn::DataPackage(_) => None,
        })
    }
}
