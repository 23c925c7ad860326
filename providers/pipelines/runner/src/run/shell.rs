//! Environment of a pipeline's steps, for a person who explores it.

use super::job;
use super::runner::Runner;
use crate::environment::Environment;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl Runner {
    /// Working folder and environment variables of a pipeline's steps, including passwords. `dpp` is in PATH.
    #[must_use]
    pub fn step_environment(
        &self,
        root: &Path,
        pipeline: &Pipeline,
        environment: &Environment,
    ) -> (PathBuf, BTreeMap<String, String>) {
        let folder = root.join(&pipeline.folder);
        let variables = job::variables(environment, self.variables_of(pipeline), root, &folder);
        (folder, variables)
    }
}
