//! Pipeline specs: `pipeline-spec.yaml` and related files, found as in dpp and parsed with positions.
//!
//! [`read`] finds and parses the files below a folder. It returns the pipelines, and all errors with file, line,
//! pipeline and step. A file that is not YAML does not stop the others. This module starts no process and uses neither
//! network nor environments.
//!
//! Reading order: [`model`] (a pipeline), `ignored` and `discovery` (the files), `yaml` (text to a tree), `decode`
//! (tree to pipelines), `source` (pipelines from plugins), [`spec_environment`] (environment variables), [`processor`]
//! (the program of a step), `requirements` (its packages), `runners` and [`wrapper`] (its start), [`order`] (the order
//! of pipelines), [`cron`] (schedules), [`selection`] (the pipelines to run), [`problem`].

pub mod cron;
mod decode;
mod discovery;
mod graph;
mod ignored;
pub mod model;
pub mod order;
pub mod problem;
pub mod processor;
pub(crate) mod requirements;
mod runners;
pub mod selection;
pub(crate) mod source;
pub mod spec_environment;
mod undeclared_dependencies;
pub mod wrapper;
pub(crate) mod yaml;

pub use model::{Dependency, Pipeline, Schedule, SourceSpec, SpecFile, Step, StepKind};
pub use problem::{Problem, Severity};
pub use spec_environment::SpecEnvironment;
pub(crate) use undeclared_dependencies::output_folders;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Content of a folder.
#[derive(Debug, Clone, Default)]
pub struct Specs {
    /// The folder, without symbolic links.
    pub root: PathBuf,
    /// The files, in the order of discovery.
    pub files: Vec<SpecFile>,
    /// The pipelines, in order; pipelines with severe errors are missing.
    pub pipelines: Vec<Pipeline>,
    /// Source specs, from which plugins generate pipelines.
    pub sources: Vec<SourceSpec>,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
    /// Files that would be specs with the suffix `.yaml`, relative to the folder.
    pub misnamed: Vec<PathBuf>,
    /// All ids in the files, including pipelines that cannot be run.
    declared: Vec<Declared>,
    /// Path to the folder from the user's directory, for messages.
    display_root: PathBuf,
}

/// A pipeline's name in a file.
#[derive(Debug, Clone)]
struct Declared {
    id: String,
    file: usize,
    at: Range<usize>,
}

impl Specs {
    /// Sets the path to the folder with which messages begin.
    #[must_use]
    pub fn with_display_root(mut self, display_root: &Path) -> Self {
        self.display_root = display_root.components().filter(|part| *part != Component::CurDir).collect();
        self
    }

    /// Path of a file for messages, by its position in [`Specs::files`].
    #[must_use]
    pub fn path_of(&self, file: usize) -> Option<PathBuf> {
        self.files.get(file).map(|file| self.display_root.join(&file.path))
    }

    /// Hint for a folder without pipelines.
    #[must_use]
    pub fn no_pipelines_hint(&self) -> String {
        match self.misnamed.iter().min() {
            Some(path) => format!("rename `{}` to `{}`", path.display(), path.with_extension("yaml").display()),
            None => "describe a pipeline in a file `pipeline-spec.yaml` in this folder or below it".to_owned(),
        }
    }

    /// Returns a pipeline by id.
    #[must_use]
    pub fn pipeline(&self, id: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.id == id)
    }

    /// All ids in the files, including pipelines that cannot be run, with the position of the file in [`Specs::files`].
    pub fn declared(&self) -> impl Iterator<Item = (&str, usize)> {
        self.declared.iter().map(|declared| (declared.id.as_str(), declared.file))
    }

    /// Ids of the pipelines with errors, and of those that depend on them.
    #[must_use]
    pub fn broken(&self) -> Vec<&str> {
        let wrong: BTreeSet<&str> =
            self.problems.iter().filter(|it| it.is_error()).filter_map(|it| it.pipeline.as_deref()).collect();
        let needs_wrong = |pipeline: &Pipeline| {
            wrong.contains(pipeline.id.as_str()) || pipeline.pipelines_before().any(|id| wrong.contains(id))
        };
        let first = self.pipelines.iter().enumerate().filter(|(_, pipeline)| needs_wrong(pipeline));
        let all = graph::Graph::declared(self).with_all_after(first.map(|(position, _)| position)).into_iter();
        let ids = all.filter_map(|position| Some(self.pipelines.get(position)?.id.as_str()));
        ids.chain(wrong.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns true if a file could not be read, so that its pipelines are unknown.
    #[must_use]
    pub fn has_unreadable_file(&self) -> bool {
        self.problems.iter().any(|problem| problem.is_error() && problem.pipeline.is_none())
    }
}

/// Returns true for names of files that dpp reads as specs.
#[must_use]
pub fn is_spec_name(name: &str) -> bool {
    name == discovery::PIPELINES || name.ends_with(discovery::SOURCE_SUFFIX)
}

/// Returns true for names of dpp's other files, which are not descriptors either: the list of runners.
#[must_use]
pub fn is_auxiliary_file(name: &str) -> bool {
    name == spec_environment::RUNNERS_FILE
}

/// Finds and reads all specs in a folder and below.
///
/// # Errors
/// When the folder cannot be read; errors in files are returned as problems.
pub fn read(root: &Path) -> io::Result<Specs> {
    read_with(root, &SpecEnvironment::from_process())
}

/// Reads with the given paths of processors and runners.
///
/// # Errors
/// When the folder cannot be read.
pub fn read_with(root: &Path, environment: &SpecEnvironment) -> io::Result<Specs> {
    let root = root.canonicalize()?;
    let mut specs = Specs { root: root.clone(), ..Specs::default() };
    let ignored = match ignored::read(&root) {
        None => ignored::Ignored::default(),
        Some((text, ignored, faults)) => {
            decode::ignored(text, faults, &mut specs);
            ignored
        }
    };
    let found = discovery::find(&root, &ignored)?;
    specs.misnamed = found.misnamed;
    for found in found.specs {
        decode::file(found, &mut specs);
    }
    source::expand(&mut specs);
    let processors: Arc<[PathBuf]> = environment.processors_at(&specs.root).into();
    specs.pipelines.iter_mut().for_each(|pipeline| pipeline.processors = Arc::clone(&processors));
    runners::resolve(&mut specs, environment);
    decode::check_ids(&mut specs);
    processor::check(&mut specs);
    order::check(&mut specs);
    undeclared_dependencies::check(&mut specs);
    specs.problems.sort_by_key(|problem| (problem.file, problem.at.start));
    Ok(specs)
}

#[cfg(test)]
mod tests;
