//! The pipeline whose fingerprint is computed, and the names of its files.

use crate::spec::model::Pipeline;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Inputs of a fingerprint.
#[derive(Clone, Copy)]
pub(crate) struct FingerprintInputs<'a> {
    /// The project folder: paths inside it are relative, so that a copy of the project has the same fingerprint.
    pub(crate) project: &'a Path,
    /// Folder of the specs.
    pub(crate) root: &'a Path,
    pub(crate) pipeline: &'a Pipeline,
    /// More folders in which Python searches for modules.
    pub(crate) modules: &'a [PathBuf],
    /// Image with programs and packages, if its pods have one of their own.
    pub(crate) image: Option<&'a str>,
    /// Claim that keeps the data packages, with a folder.
    pub(crate) claim: Option<&'a str>,
}

/// Names of files: paths inside the project are relative to it.
#[derive(Clone, Copy)]
pub(super) struct Names<'a>(pub(super) &'a Path);

impl Names<'_> {
    pub(super) fn of(self, path: &Path) -> String {
        let path = path.strip_prefix(self.0).unwrap_or(path);
        // A path that is not text gets a unique name too.
        path.to_str().map_or_else(|| path.as_os_str().as_bytes().escape_ascii().to_string(), str::to_owned)
    }
}
