//! Runs checks of pipelines outside of the async threads: files may be large, and the same task looks after other runs.

use super::outcome::HoldReason;
use super::runner::Runner;
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
    pub(super) async fn recipe_and_fingerprint(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
    ) -> io::Result<(Recipe, Fingerprint)> {
        self.run_blocking(specs, pipeline, |runner, specs, pipeline| {
            Ok((runner.recipe(&specs.root, pipeline), runner.fingerprint(specs, pipeline)?))
        })
        .await
    }

    /// Reasons to run a pipeline; empty if its last result is still valid.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub(super) async fn check_reasons(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Vec<String>> {
        self.run_blocking(specs, pipeline, Self::reasons).await
    }

    /// Reason why a dependency prevents runs; nothing if it has a valid result.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub(super) async fn hold_reason(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Option<HoldReason>> {
        self.run_blocking(specs, pipeline, |runner, specs, pipeline| {
            // A failure is more specific than outdated inputs.
            if runner.store.last_failure(&runner.folder_name(&specs.root), &pipeline.id)?.is_some() {
                return Ok(Some(HoldReason::Unsuccessful));
            }
            // It stays valid for others with the values of its last run.
            let last = runner.store.succeeded(&runner.folder_name(&specs.root), &pipeline.id)?;
            let overrides = last.map(|last| last.overrides).unwrap_or_default();
            Ok(if runner.reasons(specs, &overrides.of(pipeline))?.is_empty() { None } else { Some(HoldReason::Dirty) })
        })
        .await
    }

    /// Data packages of the dependencies.
    pub(super) fn dependency_packages(&self, folder: &str, pipeline: &Pipeline) -> BTreeMap<String, String> {
        let package = |id: &str| self.store.succeeded(folder, id).ok()??.datapackage;
        let found =
            pipeline.pipelines_before().filter_map(|id| Some((id.to_owned(), package(id)?.display().to_string())));
        found.collect()
    }

    async fn run_blocking<T: Send + 'static>(
        &self,
        specs: &Specs,
        pipeline: &Pipeline,
        check: impl FnOnce(&Self, &Specs, &Pipeline) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // Only the folder is copied: a project may have thousands of pipelines.
        let mut folder = Specs::default();
        folder.root.clone_from(&specs.root);
        let (runner, pipeline) = (self.clone(), pipeline.clone());
        let result = tokio::task::spawn_blocking(move || check(&runner, &folder, &pipeline)).await;
        result.map_err(io::Error::other)?
    }
}
