//! What the steps of a pipeline see, for a person who looks around there.

use super::job;
use super::single::Runner;
use crate::environment::Environment;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl Runner {
    /// The folder that the steps of a pipeline run in, and all variables that they see, passwords included. `dpp` itself is
    /// on the path.
    #[must_use]
    pub fn surroundings(
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
