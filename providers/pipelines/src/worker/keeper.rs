//! Looks after workers: finds out what became of what dead ones left, starts those that are missing, and ends runs that
//! nobody will take. Whoever has to do with pools does it, any number at once: the lock of a dead worker goes to one of them.

use super::launch::{Launch, Start};
use super::{MARK, execute};
use crate::executor::local;
use crate::queue::lock::{self, Looked};
use crate::queue::{Ending, Entry, Queue, QueueError};
use crate::run::store::NoTurn;
use crate::run::{Record, Runner};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// A worker that lives and does not say so for so long hangs: it is killed.
const LEASE: Duration = Duration::from_secs(30);
/// How long a worker has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(1);
/// How long somebody else is waited for that runs the pipeline of what is left.
const PATIENCE: Duration = Duration::from_millis(500);
/// A run that was cut off so often ends with that: perhaps it is what kills its workers.
pub const MOST_ATTEMPTS: u32 = 20;

/// Looks after the workers of a project.
pub struct Keeper {
    queue: Queue,
    runner: Runner,
    launch: Arc<dyn Launch>,
    /// The last beat of each worker, and when it was new.
    seen: Mutex<HashMap<String, (Option<SystemTime>, Instant)>>,
}

impl Keeper {
    /// A keeper.
    #[must_use]
    pub fn new(queue: Queue, runner: Runner, launch: Arc<dyn Launch>) -> Self {
        Self { queue, runner, launch, seen: Mutex::default() }
    }

    /// The queue whose workers it looks after.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Looks once.
    ///
    /// # Errors
    /// When the queue cannot be used, or no process can be started.
    pub async fn keep(&self) -> Result<(), QueueError> {
        for worker in self.queue.call(Queue::workers).await? {
            match lock::look(self.queue.folder(), &worker) {
                Ok(Looked::Free(lock)) => {
                    match self.settle(&worker).await {
                        Ok(true) => {
                            let gone = worker.clone();
                            self.queue.call(move |queue| queue.remove_worker(&gone)).await?;
                            lock::remove(self.queue.folder(), &worker);
                        }
                        Ok(false) => {}
                        // One record that cannot be read keeps nobody from looking after the others.
                        Err(error) => tracing::warn!(worker, %error, "what it left cannot be told"),
                    }
                    drop(lock);
                }
                Ok(Looked::Held) if self.hangs(&worker) => {
                    tracing::warn!(worker, "it does not say any more that it is well, and is killed");
                    if let Err(error) = local::end_marked(MARK, &worker, GRACE).await {
                        tracing::warn!(worker, %error, "it cannot be killed");
                    }
                }
                Ok(Looked::Held) => {}
                Err(error) => return Err(self.broken(&error)),
            }
        }
        self.queue.call(Queue::end_hopeless).await?;
        self.queue.call(Queue::remove_closed).await?;
        self.start_missing().await
    }

    /// True for a worker whose beat has not changed for too long. By the time that this process has seen: no clock that
    /// somebody sets, and no machine that slept, makes one hang that does not.
    fn hangs(&self, worker: &str) -> bool {
        let beat = lock::last_beat(self.queue.folder(), worker);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, since) = seen.entry(worker.to_owned()).or_insert_with(|| (beat, Instant::now()));
        if *last != beat {
            (*last, *since) = (beat, Instant::now());
        }
        since.elapsed() > LEASE
    }

    /// Finds out what became of the runs that a dead worker had; false while that cannot be told.
    async fn settle(&self, worker: &str) -> Result<bool, QueueError> {
        let name = worker.to_owned();
        let mut is_settled = true;
        for entry in self.queue.call(move |queue| queue.taken_by(&name)).await? {
            is_settled &= self.settle_one(entry).await?;
        }
        Ok(is_settled)
    }

    async fn settle_one(&self, entry: Entry) -> Result<bool, QueueError> {
        let record = match entry.record.as_ref().map(|record| self.runner.store.run(record)).transpose() {
            Ok(record) => record.flatten(),
            // What is damaged stays damaged: who waits for the run need not wait for ever.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let ending = Ending::impossible(format!("what became of it cannot be told: {error}"));
                return self.tell(entry, Some(ending)).await;
            }
            Err(error) => return Err(self.broken(&error)),
        };
        let (record, ending) = match record {
            None => (None, None),
            Some(record) if record.state.is_over() => {
                (Some(record.clone()), execute::found(record, is_wanted(&entry, self)))
            }
            Some(record) => {
                let Some(settled) = self.settle_record(&record.folder, &record.pipeline, &record.run).await? else {
                    return Ok(false);
                };
                (Some(settled.clone()), execute::found(settled, is_wanted(&entry, self)))
            }
        };
        let ending = match (ending, record) {
            (None, Some(record)) if entry.attempt >= MOST_ATTEMPTS => Some(Ending::Ran(Box::new(record))),
            (None, None) if entry.attempt >= MOST_ATTEMPTS => {
                Some(Ending::impossible(format!("it was cut off {} times before it began", entry.attempt)))
            }
            (ending, _) => ending,
        };
        self.tell(entry, ending).await
    }

    /// Tells the queue how a run ended, or puts it back.
    async fn tell(&self, entry: Entry, ending: Option<Ending>) -> Result<bool, QueueError> {
        let told = self.queue.call(move |queue| match &ending {
            Some(ending) => queue.end(&entry, ending),
            None => queue.give_back(&entry),
        });
        match told.await {
            Ok(()) | Err(QueueError::TakenAway { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Ends what is left of a run, unless somebody runs its pipeline: whoever does has done that before.
    async fn settle_record(&self, folder: &str, pipeline: &str, run: &str) -> Result<Option<Record>, QueueError> {
        let store = &self.runner.store;
        match store.turn(folder, pipeline, PATIENCE, &CancellationToken::new()).await {
            Ok(turn) => {
                let settled = self.runner.settle(run).await.map_err(|error| self.broken(&error))?;
                if turn.left().as_deref() == Some(run) {
                    turn.hold(None).map_err(|error| self.broken(&error))?;
                }
                Ok(settled)
            }
            Err(NoTurn::Io(error)) => Err(self.broken(&error)),
            Err(NoTurn::Taken { .. } | NoTurn::Cancelled) => {
                let record = store.run(run).map_err(|error| self.broken(&error))?;
                Ok(record.filter(|record| record.state.is_over()))
            }
        }
    }

    async fn start_missing(&self) -> Result<(), QueueError> {
        for pool in self.queue.call(Queue::short_pools).await? {
            loop {
                let worker = Queue::name_of_new_worker();
                // Locked before anybody knows of it: nobody takes it for dead.
                let lock = match lock::look(self.queue.folder(), &worker) {
                    Ok(Looked::Free(lock)) => lock,
                    Ok(Looked::Held) => continue,
                    Err(error) => return Err(self.broken(&error)),
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
                    return Err(self.broken(&error));
                }
            }
        }
        Ok(())
    }

    fn broken(&self, error: &io::Error) -> QueueError {
        QueueError::Other { path: self.queue.folder().to_owned(), why: error.to_string() }
    }
}

/// True when somebody wants that the run ends.
fn is_wanted(entry: &Entry, keeper: &Keeper) -> bool {
    let asked = |record: &String| keeper.runner.store.is_asked_to_stop(record);
    entry.is_cancelled || entry.record.as_ref().is_some_and(asked)
}
