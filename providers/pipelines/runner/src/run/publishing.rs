//! The end of a run: its outputs are moved into place or discarded. Also settles interrupted runs.

use super::elsewhere::{Cancellation, Settled};
use super::observer::{NoObserver, RunObserver};
use super::outputs::{self, Output};
use super::record::{Record, State};
use super::runner::{GRACE, Runner};
use crate::executor::Failed;
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest wait for the end of an interrupted run that goes on elsewhere.
const LONGEST: Duration = Duration::from_secs(60);

impl Runner {
    /// Moves the outputs of a run into place. If that fails before the first move, the run has failed. After the first
    /// move, the run stays unfinished until it is settled, which repeats the rest.
    pub(super) fn publish(&self, record: &mut Record) {
        if let Err((has_moved, error)) = self.move_outputs(record) {
            let message = format!("its outputs cannot be moved into place: {error}");
            record.failure = Some(Failed::new(message));
            if !has_moved {
                record.state = State::Failed;
                record.discard();
            }
        } else {
            record.failure = None;
            record.state = State::Succeeded;
            // A possible database that was never created was not used.
            record.databases.retain(|database| database.is_file());
        }
    }

    fn move_outputs(&self, record: &mut Record) -> Result<(), (bool, io::Error)> {
        let nothing_moved = |error| (false, error);
        // Files in the record were listed before an interruption: some may have been moved since.
        let is_first = record.outputs.iter().all(|output| output.files.is_empty());
        if is_first {
            record.outputs.iter_mut().try_for_each(Output::list_files).map_err(nothing_moved)?;
        }
        self.store.write(record).map_err(nothing_moved)?;
        let surplus = self.surplus(record).map_err(|error| (!is_first, error))?;
        let mut has_moved = !is_first;
        for (output, surplus) in record.outputs.iter().zip(&surplus) {
            output.publish(surplus).map_err(|(moved, error)| (moved || has_moved, error))?;
            has_moved = true;
        }
        Ok(())
    }

    /// Returns files that only the last good run of the pipeline wrote to each place, and no other pipeline.
    pub(super) fn surplus(&self, record: &Record) -> io::Result<Vec<BTreeSet<PathBuf>>> {
        // Results at another place stay there.
        let is_at_same_place = |former: &Record| former.fingerprint.claim == record.fingerprint.claim;
        let former = self.store.succeeded(&record.folder, &record.pipeline)?.filter(is_at_same_place);
        let files_of = |record: &Record, place: &Path| -> BTreeSet<PathBuf> {
            let outputs = record.outputs.iter().filter(|output| output.place == place);
            outputs.flat_map(|output| output.files.keys().cloned()).collect()
        };
        let mut others: Option<Vec<Record>> = None;
        let mut surplus = Vec::with_capacity(record.outputs.len());
        for output in &record.outputs {
            let before = former.as_ref().map(|former| files_of(former, &output.place)).unwrap_or_default();
            let mut files: BTreeSet<PathBuf> =
                before.into_iter().filter(|file| !output.files.contains_key(file)).collect();
            if !files.is_empty() {
                let others = match &mut others {
                    Some(others) => others,
                    none => none.insert(self.store.other_successes(record)?),
                };
                for other in others {
                    let other_files = files_of(other, &output.place);
                    files.retain(|file| !other_files.contains(file));
                }
            }
            surplus.push(files);
        }
        Ok(surplus)
    }

    /// Settles an interrupted run: determines its outcome, ends its remaining processes, and records the outcome. The
    /// caller holds the pipeline's lock. Waits at most a minute for a run that goes on elsewhere.
    ///
    /// # Errors
    /// When the outcome cannot be recorded, or the outputs cannot be moved. [`io::ErrorKind::TimedOut`] if the run goes on
    /// elsewhere, and [`io::ErrorKind::HostUnreachable`] if that is unknown: the message names the run and its place.
    pub async fn settle(&self, run: &str) -> io::Result<Option<Record>> {
        self.settle_within(run, LONGEST).await
    }

    /// As [`Runner::settle`], with another limit for a run that goes on elsewhere.
    ///
    /// # Errors
    /// As [`Runner::settle`].
    pub async fn settle_within(&self, run: &str, limit: Duration) -> io::Result<Option<Record>> {
        let cancel = CancellationToken::new();
        let settled = self.settle_observed(run, Some(limit), &NoObserver, Cancellation::Run(&cancel)).await?;
        Ok(settled.map(|settled| settled.record))
    }

    /// As [`Runner::settle`], and reports the progress of a run that goes on elsewhere. Without a limit, waits for its end.
    pub(super) async fn settle_observed(
        &self,
        run: &str,
        limit: Option<Duration>,
        observer: &dyn RunObserver,
        cancel: Cancellation<'_>,
    ) -> io::Result<Option<Settled>> {
        let unfollowed = |record| Ok(Some(Settled { record, is_followed: false }));
        let Some(mut record) = self.store.run_or_last(run)? else { return Ok(None) };
        if record.state.is_over() {
            return unfollowed(record);
        }
        if record.home != self.store.folder_identity() {
            return unfollowed(self.record_copied_run(record)?);
        }
        let executor = self.executor_of_record(&record)?;
        if record.state == State::Running
            && let Some(record) = self.follow(&record, &*executor, limit, observer, cancel).await?
        {
            return Ok(Some(Settled { record, is_followed: true }));
        }
        let ended = executor.end_leftover_processes(&record.run, GRACE).await;
        let ended = ended.map_err(|error| self.at_place(&record, error))?;
        if record.state == State::Publishing {
            // All steps had ended well.
            self.publish(&mut record);
            if let (State::Publishing, Some(failure)) = (record.state, &record.failure) {
                return Err(io::Error::other(format!("run {run}: {}", failure.message)));
            }
        } else if self.store.is_stop_requested(run) {
            // Its end came after the call that requested it.
            record.state = State::Cancelled;
            self.name_canceller(&mut record);
            record.discard();
        } else if record.scheduled_job.is_some() {
            record.end_without_job();
        } else {
            let message = match ended {
                _ if executor.environments().is_some() => unfollowed_job(&record, ended).to_owned(),
                0 => "its process is gone".to_owned(),
                1 => "its process is gone; a child process that remained was ended".to_owned(),
                many => format!("its process is gone; {many} child processes that remained were ended"),
            };
            (record.state, record.failure) = (State::Lost, Some(Failed::new(message)));
            record.discard();
        }
        record.finished_at = Some(Timestamp::now());
        self.store.write(&record)?;
        unfollowed(record)
    }

    /// Removes only the outputs of a run. In a copied project, outputs outside of the project belong to the original.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn remove_outputs(&self, record: &Record) -> io::Result<()> {
        if let Some(claim) = &record.fingerprint.claim {
            return Err(io::Error::other(format!(
                "they are on the claim `{claim}`, from which terrace removes nothing"
            )));
        }
        let is_original = record.home == self.store.folder_identity();
        let own = record.outputs.iter().filter(|output| is_original || output.place.starts_with(&self.project));
        own.into_iter().try_for_each(Output::remove)
    }

    /// Records a run that was in progress when the project was copied. Its processes and its outputs outside of the
    /// project belong to the original.
    fn record_copied_run(&self, mut record: Record) -> io::Result<Record> {
        if record.state == State::Publishing {
            // Outputs were moved in part, so the last good result is incomplete.
            self.store.forget_success(&record.folder, &record.pipeline)?;
        }
        record.outputs.retain(|output| output.partial.starts_with(&self.project));
        record.discard();
        record.state = State::Lost;
        record.failure = Some(Failed::new("the project was copied during the run, which belongs to the original"));
        record.finished_at = Some(Timestamp::now());
        self.store.write(&record)?;
        Ok(record)
    }
}

impl Record {
    /// Discards outputs that are not in place.
    pub(super) fn discard(&self) {
        for Output { partial, .. } in &self.outputs {
            if let Err(error) = outputs::discard(partial) {
                tracing::warn!(run = self.run, path = %partial.display(), %error, "temporary outputs of a run cannot be removed");
            }
        }
    }
}

/// Why a run in a cluster does not go on, of which the cluster had this number of Jobs.
const fn unfollowed_job(record: &Record, jobs: usize) -> &'static str {
    match (record.state, jobs) {
        (State::Preparing, _) => "its process ended before it created a Job: nothing started in the cluster",
        (_, 0) => "its process is gone, and the cluster has no Job of it",
        _ => "its process is gone, and its Job had not started or was being deleted",
    }
}

/// Path of the run's data package in its final place.
pub(super) fn package(stats: &Map<String, Value>, outputs: &[Output]) -> Option<PathBuf> {
    let written = Path::new(Record::package(stats)?);
    let in_place = |output: &Output| Some(output.place.join(written.strip_prefix(&output.partial).ok()?));
    Some(outputs.iter().find_map(in_place).unwrap_or_else(|| written.to_owned()))
}
