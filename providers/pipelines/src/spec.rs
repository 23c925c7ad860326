//! What people write: `pipeline-spec.yaml` and its neighbours, found as dpp finds them and read with places.
//!
//! [`read`] finds the files below a folder and reads them: pipelines, and every mistake at once, each with file, line,
//! pipeline and step. One file that is no YAML does not stop the others. Nothing here runs anything, asks the network or
//! looks into an environment.
//!
//! Read in this order: [`model`] (what a pipeline is), `ignored` and `discovery` (which files), `yaml` (text to a tree),
//! `decode` (tree to pipelines), `source` (pipelines that plugins make), [`surroundings`] (what variables say of all that), [`processor`]
//! (which program a step is), `requirements` (which packages it needs), `runners` and [`wrapper`] (what starts it), [`order`] (what comes after what), [`cron`]
//! (when), [`selection`] (which pipelines are meant), [`problem`].

pub mod cron;
mod decode;
mod discovery;
mod graph;
mod ignored;
pub mod model;
pub mod order;
pub mod problem;
pub mod processor;
mod reading;
pub(crate) mod requirements;
mod runners;
pub mod selection;
pub(crate) mod source;
pub mod surroundings;
pub mod wrapper;
pub(crate) mod yaml;

pub use model::{Dependency, Pipeline, Schedule, SourceSpec, SpecFile, Step, StepKind};
pub use problem::{Problem, Severity};
pub(crate) use reading::places as output_folders;
pub use surroundings::Surroundings;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What a folder has.
#[derive(Debug, Clone, Default)]
pub struct Specs {
    /// The folder, without symbolic links.
    pub root: PathBuf,
    /// The files, in the order in which they were found.
    pub files: Vec<SpecFile>,
    /// The pipelines, in the order written; those with mistakes that leave nothing to run are not among them.
    pub pipelines: Vec<Pipeline>,
    /// Descriptions that a plugin makes pipelines of.
    pub sources: Vec<SourceSpec>,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// Files that would be specs if their names ended in `.yaml`, relative to the folder.
    pub misnamed: Vec<PathBuf>,
    /// All ids that the files name, also of pipelines that cannot be run.
    declared: Vec<Declared>,
    /// The way to the folder from where people look at places.
    way: PathBuf,
}

/// A pipeline as a file names it.
#[derive(Debug, Clone)]
struct Declared {
    id: String,
    file: usize,
    at: Range<usize>,
}

impl Specs {
    /// The same, with places as people see them who name the folder so.
    #[must_use]
    pub fn seen_by(mut self, way: &Path) -> Self {
        self.way = way.components().filter(|part| *part != Component::CurDir).collect();
        self
    }

    /// The path of a file from where people look, by its position in [`Specs::files`].
    #[must_use]
    pub fn path_of(&self, file: usize) -> Option<PathBuf> {
        self.files.get(file).map(|file| self.way.join(&file.path))
    }

    /// What to do in a folder that has no pipelines.
    #[must_use]
    pub fn how_to_begin(&self) -> String {
        match self.misnamed.iter().min() {
            Some(path) => format!("rename `{}` to `{}`", path.display(), path.with_extension("yaml").display()),
            None => "a pipeline is described in a file `pipeline-spec.yaml` in this folder or below it".to_owned(),
        }
    }

    /// The pipeline of that id.
    #[must_use]
    pub fn pipeline(&self, id: &str) -> Option<&Pipeline> {
        self.pipelines.iter().find(|pipeline| pipeline.id == id)
    }

    /// The ids that the files name, also of pipelines that cannot be run, each with its file by position in [`Specs::files`].
    pub fn declared(&self) -> impl Iterator<Item = (&str, usize)> {
        self.declared.iter().map(|declared| (declared.id.as_str(), declared.file))
    }

    /// The ids of the pipelines that cannot be run as they stand, and of those that cannot because of them.
    #[must_use]
    pub fn broken(&self) -> Vec<&str> {
        let wrong: BTreeSet<&str> =
            self.problems.iter().filter(|it| it.is_error()).filter_map(|it| it.pipeline.as_deref()).collect();
        let needs_wrong = |pipeline: &Pipeline| {
            wrong.contains(pipeline.id.as_str()) || pipeline.pipelines_before().any(|id| wrong.contains(id))
        };
        let first = self.pipelines.iter().enumerate().filter(|(_, pipeline)| needs_wrong(pipeline));
        let all = graph::Graph::said(self).with_all_after(first.map(|(position, _)| position)).into_iter();
        let ids = all.filter_map(|position| Some(self.pipelines.get(position)?.id.as_str()));
        ids.chain(wrong.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// True when a file could not be read at all: which pipelines it has nobody knows.
    #[must_use]
    pub fn has_unread_file(&self) -> bool {
        self.problems.iter().any(|problem| problem.is_error() && problem.pipeline.is_none())
    }
}

/// True when this is the name of a file that dpp takes for a spec.
#[must_use]
pub fn is_spec_name(name: &str) -> bool {
    name == discovery::PIPELINES || name.ends_with(discovery::SOURCE_SUFFIX)
}

/// True when this is the name of a file that lies beside specs and is no descriptor either: dpp's file of runners.
#[must_use]
pub fn is_beside_specs(name: &str) -> bool {
    name == surroundings::RUNNERS_FILE
}

/// Finds and reads all specs at and below a folder.
///
/// # Errors
/// When the folder cannot be read; what is wrong with files is among the problems.
pub fn read(root: &Path) -> io::Result<Specs> {
    read_with(root, &Surroundings::of_process())
}

/// The same, with what somebody else says of processors and runners.
///
/// # Errors
/// When the folder cannot be read.
pub fn read_with(root: &Path, surroundings: &Surroundings) -> io::Result<Specs> {
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
    let processors: Arc<[PathBuf]> = surroundings.processors_at(&specs.root).into();
    specs.pipelines.iter_mut().for_each(|pipeline| pipeline.processors = Arc::clone(&processors));
    runners::resolve(&mut specs, surroundings);
    decode::check_ids(&mut specs);
    processor::check(&mut specs);
    order::check(&mut specs);
    reading::check(&mut specs);
    specs.problems.sort_by_key(|problem| (problem.file, problem.at.start));
    Ok(specs)
}

#[cfg(test)]
mod tests;
