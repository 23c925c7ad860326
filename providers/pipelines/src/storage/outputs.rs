//! What a run wrote, brought elsewhere by who runs pipelines without plan and state. The resource does the same with both.

use super::source::Filter;
use super::sync::Tell;
use super::{Asked, Storage, StorageError, Synced};
use crate::run::{Record, Runner, State};
use crate::spec::{self, Specs};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

/// Where to, as of [`Asked`].
#[derive(Debug, Clone)]
pub struct To {
    /// The place, as a person wrote it.
    pub destination: String,
    /// What everything is put below, there.
    pub name: String,
    /// Everybody may read it.
    pub public: bool,
}

/// The folders that the last run of a pipeline wrote.
///
/// # Errors
/// When it did not end well, or wrote none.
pub fn folders(specs: &Specs, record: &Record) -> Result<Vec<PathBuf>, StorageError> {
    if record.state != State::Succeeded {
        let message =
            format!("run {} of `{}` {}: nothing is synced", record.run, record.pipeline, record.state.in_words());
        return Err(StorageError::failed(message));
    }
    let pipeline = specs.pipeline(&record.pipeline);
    let mut folders = pipeline.map(|pipeline| spec::output_folders(&specs.root, pipeline)).unwrap_or_default();
    folders.sort();
    folders.dedup();
    match folders.is_empty() {
        true => {
            Err(StorageError::failed(format!("`{}` has no step `dump_to_path` to sync anything of", record.pipeline)))
        }
        false => Ok(folders),
    }
}

/// Brings what a run wrote to a place. It tells, in this order, `Syncing Data Packages to Public Storage` and a line
/// `SOURCE > ADDRESS` for each folder.
///
/// # Errors
/// When the run did not end well, or something could not be sent: another call goes on from there.
pub async fn sync(
    storage: &Storage,
    runner: &Runner,
    specs: &Specs,
    record: &Record,
    to: &To,
    tell: &Tell<'_>,
    cancel: &CancellationToken,
) -> Result<Synced, StorageError> {
    let folders = folders(specs, record)?;
    // What another run is just writing is not read.
    let patience = std::time::Duration::ZERO;
    let turn = runner.store.turn(&record.folder, &record.pipeline, patience, cancel).await;
    let _turn =
        turn.map_err(|_| StorageError::failed(format!("`{}` is being run: nothing is synced", record.pipeline)))?;
    let filter = Filter::new(&[], &[])?;
    let tree = storage.tree(folders.clone(), filter.clone()).await?;
    let tree = tree.ok_or_else(|| StorageError::failed(format!("what `{}` wrote is gone", record.pipeline)))?;
    let asked = Asked {
        public: to.public,
        mark: format!("run {}", record.run),
        ..Asked::new(to.destination.clone(), to.name.clone(), folders, filter)
    };
    storage.sync(&asked, &tree, tell, cancel).await
}
