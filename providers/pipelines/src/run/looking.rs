//! Runs checks of pipelines outside of the async threads: files may be large, and the same task looks after other runs.

use super::batch::Why;
use super::single::Runner;
use crate::environment::Recipe;
use crate::fingerprint::Fingerprint;
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::io;

impl Runner {
    /// Recipe of a pipeline's environment, and its present fingerprint.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn needs(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<(Recipe, Fingerprint)> {
        self.apart(specs, pipeline, |runner, specs, pipeline| {
            Ok((runner.recipe(&specs.root, pipeline), runner.fingerprint(specs, pipeline)?))
        })
        .await
    }

    /// Reasons to run a pipeline; empty if its last result is still valid.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub(super) async fn reasons_now(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Vec<String>> {
        self.apart(specs, pipeline, Self::reasons).await
    }

    /// Reason why a dependency prevents runs; nothing if it has a valid result.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub(super) async fn keeps_others(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Option<Why>> {
        self.apart(specs, pipeline, |runner, specs, pipeline| {
            // A failure is more specific than outdated inputs.
            if runner.store.unwell(&runner.folder_name(&specs.root), &pipeline.id)?.is_some() {
                return Ok(Some(Why::Unsuccessful));
            }
            Ok(if runner.reasons(specs, pipeline)?.is_empty() { None } else { Some(Why::Dirty) })
        })
        .await
    }

    /// Data packages of the dependencies.
    pub(super) fn packages_before(&self, folder: &str, pipeline: &Pipeline) -> BTreeMap<String, String> {
        let package = |id: &str| self.store.succeeded(folder, id).ok()??.datapackage;
        let found =
            pipeline.pipelines_before().filter_map(|id| Some((id.to_owned(), package(id)?.display().to_string())));
        found.collect()
    }

    async fn apart<T: Send + 'static>(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        look: impl FnOnce(&Self, &Specs, &Pipeline) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // Only the folder is copied: a project may have thousands of pipelines.
        let mut folder = Specs::default();
        folder.root.clone_from(&specs.root);
        let (runner, pipeline) = (self.clone(), pipeline.clone());
        let result = tokio::task::spawn_blocking(move || look(&runner, &folder, &pipeline)).await;
        result.map_err(io::Error::other)?
    }
}
