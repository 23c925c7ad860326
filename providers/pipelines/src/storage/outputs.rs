//! What a run wrote, brought elsewhere by who runs pipelines without plan and state. The resource does the same with both.

use super::source::Filter;
use super::sync::{Tell, Told};
use super::{Asked, Storage, StorageError, Synced};
use crate::run::{Record, Runner, State};
use crate::site::{Plan, Shelf};
use crate::spec::{self, Pipeline, Specs};
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

/// Under which name a site is brought somewhere: one that no pipeline has.
pub const SITE: &str = "_site";

/// Under which name what a pipeline wrote is brought somewhere.
#[must_use]
pub fn name(pipeline: &str) -> &str {
    pipeline.strip_prefix("./").unwrap_or(pipeline)
}

/// The folders that the `dump_to_path` steps of a pipeline write; empty where it has none.
#[must_use]
pub fn folders(specs: &Specs, pipeline: &Pipeline) -> Vec<PathBuf> {
    let mut folders = spec::output_folders(&specs.root, pipeline);
    folders.sort();
    folders.dedup();
    folders
}

/// Whether what a pipeline is to write could be brought to a place; nobody is asked.
///
/// # Errors
/// When it could not: the place, the name, a setting.
pub fn check(storage: &Storage, specs: &Specs, pipeline: &Pipeline, to: &To) -> Result<(), StorageError> {
    if to.name == SITE {
        return Err(StorageError::invalid("name", format!("`{SITE}` is where a site goes")).hint("call it otherwise"));
    }
    storage.check(&to.destination, &to.name, to.public)?;
    storage.check_apart(&to.destination, &to.name, &folders(specs, pipeline))
}

/// The folders of a site: what pipelines wrote, and what lies ready.
fn site_folders(storage: &Storage, plan: &Plan) -> Vec<PathBuf> {
    [&plan.content_dir, &plan.overlay_dir].map(|folder| storage.project.join(folder)).to_vec()
}

/// True where pipelines wrote the page that a site begins with.
#[must_use]
pub fn has_site(storage: &Storage) -> bool {
    storage.project.join(&Plan::named(SITE).content_dir).join("index.html").is_file()
}

/// Whether the site of a project could be brought to a place; nobody is asked, and the site need not be there yet.
///
/// # Errors
/// As [`check`].
pub fn check_site(storage: &Storage, to: &To) -> Result<(), StorageError> {
    storage.check(&to.destination, SITE, to.public)?;
    storage.check_apart(&to.destination, SITE, &site_folders(storage, &Plan::named(SITE)))
}

/// The folders that a run wrote.
fn written(specs: &Specs, record: &Record) -> Result<Vec<PathBuf>, StorageError> {
    if record.state != State::Succeeded {
        let message =
            format!("run {} of `{}` {}: nothing is synced", record.run, record.pipeline, record.state.in_words());
        return Err(StorageError::failed(message));
    }
    let folders = specs.pipeline(&record.pipeline).map(|pipeline| folders(specs, pipeline)).unwrap_or_default();
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
    let folders = written(specs, record)?;
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

/// Brings the site of a project to a place, below [`SITE`]: what pipelines wrote into `data`, with `public` over it. Nothing
/// where there is no `data/index.html`. It tells what is opened, and by which address.
///
/// # Errors
/// When a file cannot be read, or something could not be sent: another call goes on from there.
pub async fn sync_site(
    storage: &Storage,
    shelf: &Shelf,
    to: &To,
    tell: &Tell<'_>,
    cancel: &CancellationToken,
) -> Result<Option<Synced>, StorageError> {
    let (plan, from) = (Plan::named(SITE), shelf.clone());
    if !has_site(storage) {
        return Ok(None);
    }
    let folders = site_folders(storage, &plan);
    let asked = Asked {
        public: to.public,
        mark: SITE.to_owned(),
        ..Asked::new(to.destination.clone(), SITE.to_owned(), folders, Filter::new(&[], &[])?)
    };
    let address = storage.address(&to.destination, SITE, None)?;
    let read = tokio::task::spawn_blocking(move || -> Result<_, StorageError> {
        let tree = from.tree(&plan)?;
        Ok(tree.map(|tree| (from.door(&plan, &tree), tree)))
    });
    let read =
        read.await.map_err(|error| StorageError::failed(format!("work on the file system was lost: {error}")))?;
    let Some((page, tree)) = read? else { return Ok(None) };
    tell(Told::Goes { from: &page, to: &address });
    let synced = storage.send(&asked, &tree, cancel).await?;
    Ok(Some(Synced { addresses: vec![address], ..synced }))
}
