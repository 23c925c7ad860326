//! The specs of a folder, with their errors.

use super::model::{Pipeline, SourceSpec, SpecFile};
use super::problem::Problem;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

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
    pub(super) declared: Vec<Declared>,
    /// Path to the folder from the user's directory, for messages.
    pub(super) display_root: PathBuf,
}

/// A pipeline's name in a file.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) id: String,
    pub(super) file: usize,
    pub(super) at: Range<usize>,
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

    /// Returns true if a file could not be read, so that its pipelines are unknown.
    #[must_use]
    pub fn has_unreadable_file(&self) -> bool {
        self.problems.iter().any(|problem| problem.is_error() && problem.pipeline.is_none())
    }
}
