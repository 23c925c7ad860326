//! Copies outputs of a run for calls without plan and state. The resource does the same with them.

use super::kubernetes::ClusterCopies;
use super::source::Filter;
use super::sync::{SyncEvent, SyncReporter};
use super::{Storage, StorageError, SyncRequest, Synced};
use crate::run::{Record, Runner, State};
use crate::site::{Plan, SiteStore};
use crate::spec::{self, Pipeline, Specs};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Destination, as in [`SyncRequest`].
#[derive(Debug, Clone)]
pub struct SyncTarget {
    /// The place, as written by the user.
    pub destination: String,
    /// Path below the place.
    pub name: String,
    /// Make the files public.
    pub public: bool,
}

/// Copies outputs of runs: those on this machine, and those on a claim of a cluster.
#[derive(Debug, Clone)]
pub struct Copier {
    /// Copies from this machine.
    pub storage: Storage,
    /// Copies from claims of the cluster.
    pub cluster: Option<Arc<ClusterCopies>>,
}

/// Name below which a site is copied; no pipeline may use it.
pub const SITE: &str = "_site";

/// Name below which outputs of a pipeline are copied.
#[must_use]
pub fn name(pipeline: &str) -> &str {
    pipeline.strip_prefix("./").unwrap_or(pipeline)
}

/// Folders of a pipeline's `dump_to_path` steps.
#[must_use]
pub fn folders(specs: &Specs, pipeline: &Pipeline) -> Vec<PathBuf> {
    let mut folders = spec::output_folders(&specs.root, pipeline);
    folders.sort();
    folders.dedup();
    folders
}

/// Checks that outputs of a pipeline can be copied to a place, without network calls.
///
/// # Errors
/// When the place, the name or a setting is not valid.
pub fn check(
    copier: &Copier,
    runner: &Runner,
    specs: &Specs,
    pipeline: &Pipeline,
    to: &SyncTarget,
) -> Result<(), StorageError> {
    let storage = &copier.storage;
    if to.name == SITE {
        return Err(
            StorageError::invalid("name", format!("`{SITE}` is reserved for the site")).hint("choose another name")
        );
    }
    if let (Some(claim), Some(cluster)) = (runner.claim_of(pipeline), &copier.cluster) {
        cluster.check(storage, &to.destination, claim)?;
    }
    storage.check(&to.destination, &to.name, to.public)?;
    storage.check_disjoint(&to.destination, &to.name, &folders(specs, pipeline))
}

/// Folders of a site: outputs and static files.
fn site_folders(storage: &Storage, plan: &Plan) -> Vec<PathBuf> {
    [&plan.content_dir, &plan.overlay_dir].map(|folder| storage.project.join(folder)).to_vec()
}

/// Returns true if pipelines wrote the first page of a site.
#[must_use]
pub fn has_site(storage: &Storage) -> bool {
    storage.project.join(&Plan::named(SITE).content_dir).join("index.html").is_file()
}

/// Checks that the site of a project can be copied to a place, without network calls. The site need not exist yet.
///
/// # Errors
/// As [`check`].
pub fn check_site(storage: &Storage, to: &SyncTarget) -> Result<(), StorageError> {
    storage.check(&to.destination, SITE, to.public)?;
    storage.check_disjoint(&to.destination, SITE, &site_folders(storage, &Plan::named(SITE)))
}

/// Folders of a run's outputs.
fn run_output_folders(specs: &Specs, record: &Record) -> Result<Vec<PathBuf>, StorageError> {
    if record.state != State::Succeeded {
        let message =
            format!("run {} of `{}` {}: nothing is synced", record.run, record.pipeline, record.state.predicate());
        return Err(StorageError::failed(message));
    }
    let folders = specs.pipeline(&record.pipeline).map(|pipeline| folders(specs, pipeline)).unwrap_or_default();
    match folders.is_empty() {
        true => {
            Err(StorageError::failed(format!("`{}` has no step `dump_to_path` with outputs to sync", record.pipeline)))
        }
        false => Ok(folders),
    }
}

/// Copies the outputs of a run to a place. It reports `Syncing Data Packages to Public Storage`, and then a line
/// `SOURCE > ADDRESS` for each folder.
///
/// # Errors
/// When the run failed, or a file could not be sent: the next call continues.
pub async fn sync(
    copier: &Copier,
    runner: &Runner,
    specs: &Specs,
    record: &Record,
    to: &SyncTarget,
    report: &SyncReporter<'_>,
    cancel: &CancellationToken,
) -> Result<Synced, StorageError> {
    let folders = run_output_folders(specs, record)?;
    // The lock prevents a read during another run.
    let timeout = std::time::Duration::ZERO;
    let pipeline_lock = runner.store.lock_pipeline(&record.folder, &record.pipeline, timeout, cancel).await;
    let _pipeline_lock = pipeline_lock
        .map_err(|_| StorageError::failed(format!("`{}` is running: nothing is synced", record.pipeline)))?;
    let filter = Filter::new(&[], &[])?;
    let request = SyncRequest {
        public: to.public,
        mark: format!("run {}", record.run),
        ..SyncRequest::new(to.destination.clone(), to.name.clone(), folders.clone(), filter.clone())
    };
    let storage = &copier.storage;
    if let Some(claim) = &record.fingerprint.claim {
        let cluster = copier.cluster.as_deref().ok_or_else(|| {
            let message = format!("the results of `{}` are on the claim `{claim}`: nothing is synced", record.pipeline);
            StorageError::failed(message)
        })?;
        return cluster.copy(storage, claim, &request, report, cancel).await.map(|(synced, _)| synced);
    }
    let tree = storage.tree(folders, filter).await?;
    let tree = tree.ok_or_else(|| StorageError::failed(format!("the outputs of `{}` are gone", record.pipeline)))?;
    storage.sync(&request, &tree, report, cancel).await
}

/// Copies the site of a project to a place, below [`SITE`]: the outputs in `data`, with `public` over them. Does
/// nothing without `data/index.html`. It reports the first page and the address.
///
/// # Errors
/// When a file cannot be read or sent: the next call continues.
pub async fn sync_site(
    storage: &Storage,
    sites: &SiteStore,
    to: &SyncTarget,
    report: &SyncReporter<'_>,
    cancel: &CancellationToken,
) -> Result<Option<Synced>, StorageError> {
    let (plan, from) = (Plan::named(SITE), sites.clone());
    if !has_site(storage) {
        return Ok(None);
    }
    let folders = site_folders(storage, &plan);
    let request = SyncRequest {
        public: to.public,
        mark: SITE.to_owned(),
        ..SyncRequest::new(to.destination.clone(), SITE.to_owned(), folders, Filter::new(&[], &[])?)
    };
    let address = storage.address(&to.destination, SITE, None)?;
    let read = tokio::task::spawn_blocking(move || -> Result<_, StorageError> {
        let tree = from.tree(&plan)?;
        Ok(tree.map(|tree| (from.entry_point(&plan, &tree), tree)))
    });
    let read =
        read.await.map_err(|error| StorageError::failed(format!("work on the file system was lost: {error}")))?;
    let Some((page, tree)) = read? else { return Ok(None) };
    report(SyncEvent::Copying { from: &page, to: &address });
    let synced = storage.send(&request, &tree, report, cancel).await?;
    Ok(Some(Synced { addresses: vec![address], ..synced }))
}
