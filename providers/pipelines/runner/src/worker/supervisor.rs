//! Looks after workers: settles the runs of dead workers, starts missing workers, and ends runs that no worker can
//! take. Any number of processes do this at once: only one of them gets the lock of a dead worker.

use super::launch::{Launch, Start};
use super::{MARK, execute};
use crate::executor::local;
use crate::queue::lock::{self, LockState};
use crate::queue::{Ending, Entry, Queue, QueueError};
use crate::run::store::LockError;
use crate::run::{Record, Runner};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// Time without a heartbeat after which a live worker counts as hanging, and is killed.
const LEASE: Duration = Duration::from_secs(30);
/// Time that a worker has to end after the request.
const GRACE: Duration = Duration::from_secs(1);
/// Time to wait for another run of the pipeline that a dead worker executed.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
/// Time to wait for the end of a dead worker's run that goes on elsewhere. The next check waits again.
const SETTLEMENT: Duration = Duration::from_secs(10);
/// Number of attempts after which an interrupted run ends: it may kill its workers.
pub const MOST_ATTEMPTS: u32 = 20;

/// Supervisor of a project's workers.
pub struct Supervisor {
    queue: Queue,
    runner: Runner,
    launch: Arc<dyn Launch>,
    /// Last heartbeat of each worker, with the time at which it was first seen.
    heartbeats: Mutex<HashMap<String, (Option<SystemTime>, Instant)>>,
}

impl Supervisor {
    /// Creates a supervisor.
    #[must_use]
    pub fn new(queue: Queue, runner: Runner, launch: Arc<dyn Launch>) -> Self {
        Self { queue, runner, launch, heartbeats: Mutex::default() }
    }

    /// Queue of the workers.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Checks all workers once.
    ///
    /// # Errors
    /// When the queue cannot be used, or no process can be started.
    pub async fn check_workers(&self) -> Result<(), QueueError> {
        for worker in self.queue.call(Queue::workers).await? {
            match lock::check(self.queue.folder(), &worker) {
                Ok(LockState::Free(lock)) => {
                    match self.settle(&worker).await {
                        Ok(true) => {
                            let gone = worker.clone();
                            self.queue.call(move |queue| queue.remove_worker(&gone)).await?;
                            lock::remove(self.queue.folder(), &worker);
                        }
                        Ok(false) => {}
                        // An unreadable record must not prevent the check of other workers.
                        Err(error) => tracing::warn!(worker, %error, "the run of a dead worker cannot be settled"),
                    }
                    drop(lock);
                }
                Ok(LockState::Held) if self.is_hung(&worker) => {
                    tracing::warn!(worker, "the worker has sent no heartbeat for too long, and is killed");
                    if let Err(error) = local::end_marked(MARK, &worker, GRACE).await {
                        tracing::warn!(worker, %error, "the worker cannot be killed");
                    }
                }
                Ok(LockState::Held) => {}
                Err(error) => return Err(self.io_error(&error)),
            }
        }
        self.queue.call(Queue::end_unassignable).await?;
        self.queue.call(Queue::remove_closed).await?;
        self.start_missing().await
    }

    /// Returns true if the heartbeat of a worker has not changed for too long, by this process's own clock. So neither
    /// a changed system clock nor a suspended machine makes a worker look hung.
    fn is_hung(&self, worker: &str) -> bool {
        let beat = lock::last_heartbeat(self.queue.folder(), worker);
        let mut heartbeats = self.heartbeats.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, since) = heartbeats.entry(worker.to_owned()).or_insert_with(|| (beat, Instant::now()));
        if *last != beat {
            (*last, *since) = (beat, Instant::now());
        }
        since.elapsed() > LEASE
    }

    /// Settles the runs of a dead worker; returns false while an outcome is unknown.
    async fn settle(&self, worker: &str) -> Result<bool, QueueError> {
        let name = worker.to_owned();
        let mut is_settled = true;
        for entry in self.queue.call(move |queue| queue.assigned_to(&name)).await? {
            is_settled &= self.settle_one(entry).await?;
        }
        Ok(is_settled)
    }

    async fn settle_one(&self, entry: Entry) -> Result<bool, QueueError> {
        let record = match self.record_of(&entry) {
            Ok(record) => record,
            // A damaged record stays damaged: end the run, so that nothing waits for it for ever.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let ending = Ending::impossible(format!("its outcome cannot be read: {error}"));
                return self.record(entry, Some(ending)).await;
            }
            Err(error) => return Err(self.io_error(&error)),
        };
        let (record, ending) = match record {
            None => (None, None),
            Some(record) if record.state.is_over() => {
                (Some(record.clone()), execute::outcome_of(record, should_stop(&entry, self)))
            }
            Some(record) => {
                if entry.is_cancelled {
                    // It may go on elsewhere.
                    self.runner
                        .store
                        .request_stop(&record.run, entry.cancelled_by.as_deref())
                        .map_err(|error| self.io_error(&error))?;
                }
                let Some(settled) = self.settle_record(&record.folder, &record.pipeline, &record.run).await? else {
                    return Ok(false);
                };
                (Some(settled.clone()), execute::outcome_of(settled, should_stop(&entry, self)))
            }
        };
        let ending = match (ending, record) {
            (None, Some(record)) if entry.attempt >= MOST_ATTEMPTS => Some(Ending::Ran(Box::new(record))),
            (None, None) if entry.attempt >= MOST_ATTEMPTS => {
                Some(Ending::impossible(format!("it was interrupted {} times before its start", entry.attempt)))
            }
            (ending, _) => ending,
        };
        self.record(entry, ending).await
    }

    /// The record of the last attempt, or of the schedule's run whose result it took.
    fn record_of(&self, entry: &Entry) -> io::Result<Option<Record>> {
        let Some(id) = &entry.record else { return Ok(None) };
        match self.runner.store.run(id)? {
            None => self.runner.store.marked(&entry.folder, &entry.pipeline, id),
            found => Ok(found),
        }
    }

    /// Records the outcome of a run in the queue, or returns it to the queue.
    async fn record(&self, entry: Entry, ending: Option<Ending>) -> Result<bool, QueueError> {
        let recorded = self.queue.call(move |queue| match &ending {
            Some(ending) => queue.end(&entry, ending),
            None => queue.requeue(&entry),
        });
        match recorded.await {
            Ok(()) | Err(QueueError::NotOwned { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Settles the rest of a run. If another process runs the pipeline, that process has settled it.
    async fn settle_record(&self, folder: &str, pipeline: &str, run: &str) -> Result<Option<Record>, QueueError> {
        let store = &self.runner.store;
        match store.lock_pipeline(folder, pipeline, LOCK_TIMEOUT, &CancellationToken::new()).await {
            Ok(pipeline_lock) => {
                let settled =
                    self.runner.settle_within(run, SETTLEMENT).await.map_err(|error| self.io_error(&error))?;
                if pipeline_lock.unfinished_run().as_deref() == Some(run) {
                    pipeline_lock.set_current_run(None).map_err(|error| self.io_error(&error))?;
                }
                Ok(settled)
            }
            Err(LockError::Io(error)) => Err(self.io_error(&error)),
            Err(LockError::InProgress { .. } | LockError::Cancelled) => {
                let record = store.run(run).map_err(|error| self.io_error(&error))?;
                Ok(record.filter(|record| record.state.is_over()))
            }
        }
    }

    async fn start_missing(&self) -> Result<(), QueueError> {
        for pool in self.queue.call(Queue::understaffed_pools).await? {
            loop {
                let worker = Queue::name_of_new_worker();
                // The lock precedes the row, so a new worker never looks dead.
                let lock = match lock::check(self.queue.folder(), &worker) {
                    Ok(LockState::Free(lock)) => lock,
                    Ok(LockState::Held) => continue,
                    Err(error) => return Err(self.io_error(&error)),
                };
                let (name, new) = (pool.clone(), worker.clone());
                if !self.queue.call(move |queue| queue.add_worker(&name, &new)).await? {
                    lock::remove(self.queue.folder(), &worker);
                    break;
                }
                let start =
                    Start { folder: self.queue.folder().to_owned(), pool: pool.clone(), worker: worker.clone(), lock };
                if let Err(error) = self.launch.launch(start) {
                    self.queue.call(move |queue| queue.remove_worker(&worker)).await?;
                    return Err(self.io_error(&error));
                }
            }
        }
        Ok(())
    }

    fn io_error(&self, error: &io::Error) -> QueueError {
        QueueError::Other { path: self.queue.folder().to_owned(), why: error.to_string() }
    }
}

/// Returns true if the run is to stop.
fn should_stop(entry: &Entry, supervisor: &Supervisor) -> bool {
    let is_requested = |record: &String| supervisor.runner.store.is_stop_requested(record);
    entry.is_cancelled || entry.record.as_ref().is_some_and(is_requested)
}
