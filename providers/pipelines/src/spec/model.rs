//! What a pipeline is, once it is read.

use super::wrapper::Wrapper;
use serde_json::{Map, Value};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that was found.
#[derive(Debug, Clone)]
pub struct SpecFile {
    /// Its path relative to the folder that was searched.
    pub path: PathBuf,
    /// Its text; empty where it could not be read.
    pub text: String,
}

/// One pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// `./` and the folder and name: `./committees/dump-to-db`.
    pub id: String,
    /// The file that it stands in, by its position in [`super::Specs::files`].
    pub file: usize,
    /// The folder of that file, relative to the folder that was searched; steps run there.
    pub folder: PathBuf,
    /// Where its name stands.
    pub at: Range<usize>,
    /// A title for people.
    pub title: Option<String>,
    /// A description for people, in Markdown.
    pub description: Option<String>,
    /// What it does, in order; never empty.
    pub steps: Vec<Step>,
    /// What has to be there before.
    pub dependencies: Vec<Dependency>,
    /// When it runs by itself.
    pub schedule: Option<Schedule>,
    /// Variables of its processes.
    pub environment: Vec<(String, String)>,
    /// Who is told how it goes: addresses that are called.
    pub hooks: Vec<String>,
    /// What its environment needs beside what a file of its folder says.
    pub requirements: Vec<String>,
    /// Pipelines whose results it reads without saying so.
    pub reads_from: Vec<String>,
    /// Folders that processors are looked for in, after its own.
    pub processors: Arc<[PathBuf]>,
}

/// One step of a pipeline.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its number in the spec, counted from 1.
    pub number: usize,
    /// How it is called: the processor, or the module of a flow.
    pub name: String,
    /// Where it begins.
    pub at: Range<usize>,
    /// What it is.
    pub kind: StepKind,
    /// What the processor is given.
    pub parameters: Map<String, Value>,
    /// Its result is kept and taken again when nothing that it depends on has changed.
    pub is_cached: bool,
    /// Rows are checked against their schema before the step sees them.
    pub is_validated: bool,
    /// The runner of `dpp-runners.yaml` that starts it.
    pub runner: Option<String>,
    /// What that runner wraps it in.
    pub wrapper: Option<Wrapper>,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepKind {
    /// A processor by its name: `dump.to_path`.
    Processor,
    /// A module with a function `flow`.
    Flow,
    /// Python text of the spec itself.
    Code(String),
}

/// What has to be there before a pipeline can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// What.
    pub on: DependsOn,
    /// Where it stands.
    pub at: Range<usize>,
}

/// What a pipeline depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependsOn {
    /// Another pipeline, by its id.
    Pipeline(String),
    /// A data package, by its path or address.
    DataPackage(String),
}

/// When a pipeline runs by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Minute, hour, day of the month, month, day of the week: the order of cron, unless the third field names a weekday.
    pub crontab: String,
    /// Where it stands.
    pub at: Range<usize>,
}

/// A file that a plugin makes pipelines of.
#[derive(Debug, Clone)]
pub struct SourceSpec {
    /// The plugin: `knesset` of `knesset.source-spec.yaml`.
    pub module: String,
    /// The file, by its position in [`super::Specs::files`].
    pub file: usize,
    /// The top-level keys: what the plugin makes pipelines of.
    pub keys: Vec<String>,
    /// What it says.
    pub content: Value,
    /// So many pipelines the plugin made of it; nothing while it was not asked.
    pub made: Option<usize>,
    /// A digest of all that the plugin's answer depends on.
    pub(super) key: String,
}

impl Pipeline {
    /// The ids of the pipelines that are run before it, said or not.
    pub fn all_before(&self) -> impl Iterator<Item = &str> {
        self.pipelines_before().chain(self.reads_from.iter().map(String::as_str))
    }

    /// The ids of the pipelines that it depends on.
    pub fn pipelines_before(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter_map(|dependency| match &dependency.on {
            DependsOn::Pipeline(id) => Some(id.as_str()),
            DependsOn::DataPackage(_) => None,
        })
    }
}
