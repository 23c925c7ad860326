//! `terrace pipelines run --sync`: copies the results of successful pipelines to a shared place.

use super::format;
use super::screen::Screen;
use super::transcript::{Copied, Line, Slot, Transcript};
use crate::args::PipelineArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::ui::Ui;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use terrace_pipelines::run::batch::{BatchEnd, PipelineOutcome};
use terrace_pipelines::run::{Record, Runner};
use terrace_pipelines::site::SiteStore;
use terrace_pipelines::spec::Specs;
use terrace_pipelines::storage::outputs::{self, Copier, SyncTarget};
use terrace_pipelines::storage::{StorageError, StorageErrorKind, SyncEvent};
use terrace_provider::Settings;
use terrace_provider_pipelines::settings::{copier, default_destination, site_store};
use tokio_util::sync::CancellationToken;

/// The folder of the project with the results of a public cluster.
pub(super) const PUBLIC_STORAGE: &str = ".terrace/public";

/// The destination of results.
pub(super) struct Syncing {
    copier: Copier,
    site_store: SiteStore,
    destination: String,
    is_public: bool,
    /// True if the user requested it: then missing results are an error.
    is_requested: bool,
}

impl Syncing {
    /// Returns `None` without a destination. Results of a public cluster go to the public storage of the project.
    ///
    /// # Errors
    /// When the results of a chosen pipeline, or a site, cannot be copied there.
    pub(super) fn of(
        (instance, runner): (&Settings, &Runner),
        arguments: &PipelineArguments,
        specs: &Specs,
        chosen: &[usize],
        is_public_cluster: bool,
    ) -> Result<Option<Self>, Failure> {
        let requested = arguments.sync.clone().map(|destination| (destination, arguments.public));
        // A detached command does not wait for results.
        let of_cluster = || is_public_cluster.then(|| (PUBLIC_STORAGE.to_owned(), true));
        let configured = || default_destination(instance).or_else(of_cluster).filter(|_| !arguments.detach);
        let is_requested = requested.is_some();
        let is_of_cluster = !is_requested && default_destination(instance).is_none();
        let Some((destination, is_public)) = requested.or_else(configured) else { return Ok(None) };
        let syncing =
            Self { copier: copier(instance)?, site_store: site_store(instance), destination, is_public, is_requested };
        let chosen = chosen.iter().filter_map(|position| specs.pipelines.get(*position));
        let writing: Vec<_> = chosen.filter(|pipeline| !outputs::folders(specs, pipeline).is_empty()).collect();
        let wrong = |what: &str, error: &StorageError| {
            let failure = Failure { exit: Exit::Error, ..failure(what, error) };
            match is_of_cluster && error.kind == StorageErrorKind::Invalid("destination") {
                true => failure.hint("set the destination as `sync` of the provider `pipelines` in terrace.yaml"),
                false => failure,
            }
        };
        for pipeline in &writing {
            let checked = outputs::check(&syncing.copier, runner, specs, pipeline, &syncing.to(&pipeline.id));
            checked.map_err(|error| wrong(&pipeline.id, &error))?;
        }
        // Any step may write a page. Whether there is a site is known only after the runs, so its target is checked
        // now.
        if writing.is_empty() || outputs::has_site(&syncing.copier.storage) {
            let checked = outputs::check_site(&syncing.copier.storage, &syncing.to(outputs::SITE));
            checked.map_err(|error| wrong("the site", &error))?;
        }
        Ok(Some(syncing))
    }

    fn to(&self, pipeline: &str) -> SyncTarget {
        let name = outputs::name(pipeline).to_owned();
        SyncTarget { destination: self.destination.clone(), name, public: self.is_public }
    }

    /// Copies the results of successful pipelines, then the site. Returns the addresses of the copies, and the failure.
    async fn all(
        &self,
        ui: &Ui,
        runner: &Runner,
        specs: &Specs,
        done: &[PipelineOutcome],
        report: &(dyn Fn(Line) + Send + Sync),
        cancel: &CancellationToken,
    ) -> (BTreeMap<String, Vec<String>>, Option<Failure>) {
        let mut addresses = BTreeMap::new();
        for PipelineOutcome { pipeline: id, end } in done {
            let Some(pipeline) = specs.pipeline(id).filter(|_| end.is_good()) else { continue };
            if outputs::folders(specs, pipeline).is_empty() {
                continue;
            }
            let record = match record(runner, specs, id, end) {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(failure) => return (addresses, Some(failure)),
            };
            let package = |event: SyncEvent<'_>| {
                if let Some(copied) = self.copied(ui, event) {
                    report(Line::Package(copied));
                }
            };
            let synced = outputs::sync(&self.copier, runner, specs, &record, &self.to(id), &package, cancel).await;
            match synced {
                Ok(synced) => drop(addresses.insert(id.clone(), synced.addresses)),
                Err(error) => return (addresses, Some(failure(id, &error))),
            }
        }
        let site = |event: SyncEvent<'_>| {
            if let Some(copied) = self.copied(ui, event) {
                report(Line::Site(copied));
            }
        };
        let synced =
            outputs::sync_site(&self.copier.storage, &self.site_store, &self.to(outputs::SITE), &site, cancel).await;
        let failed = match synced {
            Ok(None) if addresses.is_empty() && self.is_requested => Some(nothing()),
            Ok(_) => None,
            Err(error) => Some(failure("the site", &error)),
        };
        (addresses, failed)
    }

    fn copied(&self, ui: &Ui, event: SyncEvent<'_>) -> Option<Copied> {
        match event {
            SyncEvent::Started { .. } => None,
            SyncEvent::Copying { from, to } => {
                Some(Copied { from: from.to_owned(), to: to.to_owned(), is_public: self.is_public })
            }
            SyncEvent::Warned { .. } => {
                ui.print_message(&event.to_string());
                None
            }
        }
    }
}

/// The successful result of a pipeline, even if it did not have to run.
fn record(runner: &Runner, specs: &Specs, pipeline: &str, end: &BatchEnd) -> Result<Option<Record>, Failure> {
    if let BatchEnd::Ran(record) = end {
        return Ok(Some(record.as_ref().clone()));
    }
    let record = runner.store.succeeded(&runner.folder_name(&specs.root), pipeline);
    record.map_err(|error| Failure::new(format!("the record of `{pipeline}` cannot be read: {error}")))
}

/// The failure if the runs have neither a data package nor a site.
fn nothing() -> Failure {
    Failure::new(
        "there is nothing to sync: no successful pipeline has a step `dump_to_path`, and there is no \
         `data/index.html`",
    )
    .hint("leave `--sync` out, or have a pipeline write its data package, or a site into `data`")
}

fn failure(what: &str, error: &StorageError) -> Failure {
    let exit = match error.kind {
        StorageErrorKind::Stopped => Exit::Interrupted,
        StorageErrorKind::Denied | StorageErrorKind::Quota => Exit::Refused,
        StorageErrorKind::Invalid(_) | StorageErrorKind::Temporary | StorageErrorKind::Failed => Exit::PartlyApplied,
    };
    let failure = Failure { exit, ..Failure::new(format!("{what} is not synced: {error}")) };
    error.advice().into_iter().fold(failure, Failure::hint)
}

/// Results of several runs.
pub(super) struct Outcome<'a> {
    pub(super) runner: &'a Runner,
    pub(super) specs: &'a Specs,
    pub(super) done: &'a [PipelineOutcome],
    pub(super) screen: &'a Screen,
}

/// Prints the results of several runs, and copies their data. Returns the failure of copying.
///
/// # Errors
/// When the result cannot be printed.
pub(super) async fn conclude(
    context: &Context<'_>,
    is_json: bool,
    outcome: Outcome<'_>,
    syncing: Option<&Syncing>,
    transcript: &mut Transcript,
    cancel: &CancellationToken,
) -> Result<Option<Failure>, Failure> {
    let Outcome { runner, specs, done, screen } = outcome;
    let cleared = screen.clear();
    if !is_json {
        format::results(context, specs, done);
    }
    let (mut addresses, mut failure) = (BTreeMap::new(), None);
    let has_good = done.iter().any(|done| done.end.is_good());
    if let Some(syncing) = syncing.filter(|_| has_good && !cancel.is_cancelled()) {
        let shared = Mutex::new(transcript);
        let report = |line: Line| {
            let mut transcript = shared.lock().unwrap_or_else(PoisonError::into_inner);
            transcript.push(line);
            transcript.print(context.ui, Slot::Site);
        };
        (addresses, failure) = syncing.all(context.ui, runner, specs, done, &report, cancel).await;
    }
    if is_json {
        context.ui.print_json(&format::json(context.ui, done, &addresses))?;
    }
    if let Some(failure) = &failure {
        context.ui.fail(failure);
    }
    cleared.map(|()| failure)
}

/// The exit code of a command after its runs and copies.
pub(super) fn exit(runs: Exit, failure: Option<&Failure>) -> Exit {
    match failure {
        Some(failure) if runs == Exit::Done => failure.exit,
        _ => runs,
    }
}
