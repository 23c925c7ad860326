//! Pipeline specs: `pipeline-spec.yaml` and related files, found as in dpp and parsed with positions.
//!
//! [`read`] finds and parses the files below a folder. It returns the pipelines, and all errors with file, line,
//! pipeline and step. A file that is not YAML does not stop the others. This module starts no process and uses neither
//! network nor environments.
//!
//! Reading order: [`model`] (a pipeline), `specs` (the specs of a folder), `ignored` and
//! `discovery` (the files), `yaml` (text to a tree), `decode`
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
pub mod params;
pub mod problem;
pub mod processor;
pub(crate) mod requirements;
mod runners;
pub mod selection;
pub(crate) mod source;
pub mod spec_environment;
mod specs;
mod undeclared_dependencies;
pub mod wrapper;
pub(crate) mod yaml;

pub use discovery::is_spec_name;
pub use model::{Dependency, Pipeline, Schedule, SourceSpec, SpecFile, Step, StepKind};
pub use problem::{Problem, Severity};
pub use spec_environment::SpecEnvironment;
pub use specs::Specs;
pub use undeclared_dependencies::output_folders;

use specs::Declared;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
