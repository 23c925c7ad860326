//! What a pipeline needs and whether it has to be run, where reading that keeps nobody waiting: files may be large, and runs
//! that go on are looked after by the same task.

use super::batch::Why;
use super::single::Runner;
use crate::environment::Recipe;
use crate::fingerprint::Fingerprint;
use crate::spec::Specs;
use crate::spec::model::Pipeline;
use std::collections::BTreeMap;
use std::io;

impl Runner {
    /// The environment that a pipeline needs, and what its result would depend on now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) async fn needs(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<(Recipe, Fingerprint)> {
        self.apart(specs, pipeline, |runner, specs, pipeline| {
            Ok((runner.recipe(&specs.root, pipeline), runner.fingerprint(specs, pipeline)?))
        })
        .await
    }

    /// Why a pipeline has to be run; empty where what it made is still good.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub(super) async fn reasons_now(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Vec<String>> {
        self.apart(specs, pipeline, Self::reasons).await
    }

    /// Why one that others depend on keeps them from being run; nothing where its result is there and good.
    ///
    /// # Errors
    /// When a file or record cannot be read.
    pub(super) async fn keeps_others(&self, specs: &Specs, pipeline: &Pipeline) -> io::Result<Option<Why>> {
        self.apart(specs, pipeline, |runner, specs, pipeline| {
            // That it failed says more than that it has to be run again.
            if runner.store.unwell(&runner.folder_name(&specs.root), &pipeline.id)?.is_some() {
                return Ok(Some(Why::Unsuccessful));
            }
            Ok(if runner.reasons(specs, pipeline)?.is_empty() { None } else { Some(Why::Dirty) })
        })
        .await
    }

    /// Where the pipelines before this one left their data packages.
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
        // Nothing but the folder is asked for: a project may have thousands of pipelines.
        let mut folder = Specs::default();
        folder.root.clone_from(&specs.root);
        let (runner, pipeline) = (self.clone(), pipeline.clone());
        let looked = tokio::task::spawn_blocking(move || look(&runner, &folder, &pipeline)).await;
        looked.map_err(io::Error::other)?
    }
}
