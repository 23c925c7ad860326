//! Workers: processes that execute queued runs, one at a time, with the same [`Runner`] as `terrace pipelines run`. If a worker
//! is killed, its run is found: it ended, or it returns to the queue.
//!
//! Reading order: this file (the loop of a worker), `execute` (one queued run), [`supervisor`] (cleans up after dead
//! workers and replaces them), [`launch`] (starts a worker).

mod execute;
pub mod launch;
pub mod supervisor;

pub use launch::{Launch, Start};
pub use supervisor::Supervisor;

use crate::database::{Access, DatabaseError, DatabaseErrorKind, ProjectDatabases, Record};
use crate::queue::cluster::Cluster;
use crate::queue::{Assignment, Ending, Entry, NotRunReason, Queue, QueueError, lock};
use crate::run::{Runner, Store};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Variable in the environment of a worker's process with the worker's name, so that the process can be found.
pub const MARK: &str = "TERRACE_WORKER";
/// Interval between requests for work.
const POLL: Duration = Duration::from_millis(100);
/// Interval between heartbeats, and pause after each check of the other workers.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Interval between checks for a cancellation of the run.
const CANCEL_POLL: Duration = Duration::from_millis(200);
/// Interval between attempts to write the outcome of a run while the disk is full.
const PERIOD: Duration = Duration::from_secs(1);

/// Pause between attempts to reach a database of the cluster, and the longest outage that a run waits for.
const OUTAGE_POLL: Duration = Duration::from_secs(2);
const LONGEST_OUTAGE: Duration = Duration::from_secs(600);

/// A worker.
pub struct Worker {
    /// Its name.
    pub name: String,
    /// The stored settings of its pool, as it started with them: when they change, it leaves, and another worker replaces it.
    pub settings: String,
    /// Its pool; in the pool of a cluster, runs write into the cluster's databases.
    pub pool: String,
    /// The queue.
    pub queue: Queue,
    /// Runner of pipelines.
    pub runner: Runner,
    /// The databases of the project.
    pub databases: ProjectDatabases,
    /// The database of the settings that runs write into; nothing for that of their cluster.
    pub database: Option<String>,
    /// Checks the other workers.
    pub supervisor: Arc<Supervisor>,
    /// Lock that shows that it is alive; nothing if the process inherited it.
    pub lock: Option<File>,
}

impl Worker {
    /// Works until it is not needed or `stop` is cancelled. A run that this interrupts returns to the queue.
    ///
    /// # Errors
    /// When the queue cannot be used.
    pub async fn serve(self, stop: &CancellationToken) -> Result<(), QueueError> {
        let name = self.name.clone();
        if !self.queue.call(move |queue| queue.mark_started(&name)).await? {
            return Ok(());
        }
        // Heartbeats and checks are separate tasks: slow work must not make the worker look dead.
        let beating = AbortOnDropHandle::new(tokio::spawn(send_heartbeats(self.queue.clone(), self.name.clone())));
        let supervising = AbortOnDropHandle::new(tokio::spawn(supervise(self.supervisor.clone(), self.name.clone())));
        let ended = self.work(stop).await;
        drop((beating, supervising));
        lock::remove(self.queue.folder(), &self.name);
        ended
    }

    async fn work(&self, stop: &CancellationToken) -> Result<(), QueueError> {
        while !stop.is_cancelled() {
            if !self.queue.is_current() {
                return Ok(());
            }
            let name = self.name.clone();
            match self.queue.call(move |queue| queue.assign(&name)).await {
                Ok(Assignment::Run(entry, failed)) => {
                    self.execute(*entry, &failed, stop).await?;
                    if self.is_outdated().await {
                        break;
                    }
                }
                Ok(Assignment::NotNeeded) => return Ok(()),
                Ok(Assignment::Nothing) => pause(POLL, stop).await,
                Err(error) if error.is_transient() => {
                    tracing::warn!(worker = self.name, %error, "no run can be assigned now");
                    pause(PERIOD, stop).await;
                }
                Err(error) => return Err(error),
            }
        }
        let name = self.name.clone();
        self.queue.call(move |queue| queue.remove_worker(&name)).await?;
        if !stop.is_cancelled() {
            // No other process may be there to start its successor.
            self.supervisor.check_workers().await?;
        }
        Ok(())
    }

    /// Returns true if the settings of the pool have changed; false while they cannot be read.
    async fn is_outdated(&self) -> bool {
        let pool = self.pool.clone();
        let pool = self.queue.call(move |queue| queue.pool(&pool)).await;
        pool.is_ok_and(|pool| pool.is_some_and(|pool| pool.settings != self.settings))
    }

    /// Executes a run with the database of the settings, or that of the cluster of these workers. Returns nothing if the run was
    /// interrupted, or is for a worker with newer settings, and must run again.
    async fn run(
        &self,
        entry: &Entry,
        failed: &[String],
        cancelled: &CancellationToken,
        stop: &CancellationToken,
    ) -> Option<Ending> {
        if self.is_outdated().await {
            return None;
        }
        // A run that does not start needs no database, and neither does a pipeline that uses none.
        let chosen = match execute::find_pipeline(entry, failed).await {
            Ok(chosen) => chosen,
            Err(ending) => return Some(*ending),
        };
        let (specs, position) = &chosen;
        let uses_database =
            specs.pipelines.get(*position).is_some_and(|pipeline| self.runner.uses_database(&specs.root, pipeline));
        let database = match (&self.database, uses_database) {
            (_, false) => None,
            (Some(name), true) => Some((name.clone(), None)),
            (None, true) => match self.database_of_cluster(entry).await {
                Ok(found) => found.map(|(cluster, name)| (name, Some(cluster))),
                Err(error) if error.is_transient() => return None,
                Err(error) => return Some(Ending::impossible(error.to_string())),
            },
        };
        let Some((name, cluster)) = database else {
            return execute::run(&self.runner, entry, &chosen, cancelled, stop).await;
        };
        let ready = self.ensure_through_outage(&name, cluster.as_ref(), cancelled, stop).await;
        let (record, access) = match ready {
            Ok(ready) => ready,
            Err(_) if cancelled.is_cancelled() => return Some(execute::cancelled_before_start()),
            // A read of a cluster does not end by the stop.
            Err(_) if stop.is_cancelled() => return None,
            Err(error) if error.kind == DatabaseErrorKind::Cancelled => return None,
            Err(error) => return Some(database_failure(error)),
        };
        let mut runner = self.runner.clone();
        runner.write_into(&record, &access);
        let running = execute::run(&runner, entry, &chosen, cancelled, stop);
        self.databases.extend_during(&name, cluster.and_then(|cluster| cluster.ttl), running).await
    }

    /// Makes sure that a database runs, which may be one of a cluster; waits while Kubernetes does not answer, or another
    /// caller creates it.
    async fn ensure_through_outage(
        &self,
        name: &str,
        cluster: Option<&Cluster>,
        cancelled: &CancellationToken,
        stop: &CancellationToken,
    ) -> Result<(Record, Access), DatabaseError> {
        let begun = Instant::now();
        loop {
            let ensured = match cluster {
                Some(cluster) => self.databases.ensure_for_cluster(cluster, name, None, stop).await,
                None => self.databases.ensure(name, stop).await,
            };
            match ensured {
                Err(error)
                    if error.kind.is_temporary()
                        && self.databases.may_be_in_cluster(name)
                        && begun.elapsed() < LONGEST_OUTAGE
                        && !cancelled.is_cancelled()
                        && !stop.is_cancelled() =>
                {
                    tracing::warn!(worker = self.name, %error, "a run waits for its database");
                }
                ended => return ended,
            }
            tokio::select! {
                () = pause(OUTAGE_POLL, stop) => {}
                () = cancelled.cancelled() => {}
            }
        }
    }

    /// The cluster of these workers, and its database for the folder of a run; nothing without one.
    async fn database_of_cluster(&self, entry: &Entry) -> Result<Option<(Cluster, String)>, QueueError> {
        let pool = self.pool.clone();
        let cluster = self.queue.call(move |queue| queue.cluster(&pool)).await?;
        Ok(cluster.and_then(|cluster| cluster.database_of(&entry.folder).map(|name| (cluster, name))))
    }

    /// Executes a run and records its outcome.
    async fn execute(&self, entry: Entry, failed: &[String], stop: &CancellationToken) -> Result<(), QueueError> {
        let cancelled = CancellationToken::new();
        let watching = AbortOnDropHandle::new(tokio::spawn(watch_cancellation(
            self.queue.clone(),
            self.runner.store.clone(),
            entry.clone(),
            cancelled.clone(),
        )));
        let ending = self.run(&entry, failed, &cancelled, stop).await;
        drop(watching);
        let entry = Arc::new(entry);
        let ending = Arc::new(ending);
        loop {
            let (entry, ending) = (Arc::clone(&entry), Arc::clone(&ending));
            let recorded = self.queue.call(move |queue| match ending.as_ref() {
                Some(ending) => queue.end(&entry, ending),
                None => queue.requeue(&entry),
            });
            match recorded.await {
                // The record has the outcome, so a supervisor can finish this if the worker dies.
                Err(error) if error.is_transient() && !stop.is_cancelled() => {
                    tracing::warn!(worker = self.name, %error, "the outcome of a run cannot be recorded now");
                    pause(PERIOD, stop).await;
                }
                recorded => return recorded,
            }
        }
    }
}

/// Outcome for a database that does not start.
fn database_failure(error: DatabaseError) -> Ending {
    let what = [error.message].into_iter().chain(error.facts).chain(error.hint).collect();
    Ending::not_run(NotRunReason::Impossible, what)
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

/// Sends heartbeats of a worker.
async fn send_heartbeats(queue: Queue, name: String) {
    for number in (1..=u32::MAX).cycle() {
        if let Err(error) = lock::write_heartbeat(queue.folder(), &name, number) {
            tracing::warn!(worker = name, %error, "the worker cannot send a heartbeat");
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Checks the other workers at intervals.
async fn supervise(supervisor: Arc<Supervisor>, name: String) {
    loop {
        if let Err(error) = supervisor.check_workers().await {
            tracing::warn!(worker = name, %error, "the other workers cannot be checked");
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Waits until a run is cancelled, and leaves the principal for its record.
async fn watch_cancellation(queue: Queue, store: Store, entry: Entry, is_cancelled: CancellationToken) {
    let Some(worker) = entry.worker else { return };
    loop {
        let worker = worker.clone();
        let cancelled = queue.call(move |queue| queue.cancelled_run_of(&worker)).await;
        if let Ok(Some((run, by))) = cancelled
            && run == entry.id
        {
            // A run that is about to start has no folder yet. The queue names the principal, too.
            let _ = entry.record.map(|record| store.request_stop(&record, by.as_deref()));
            is_cancelled.cancel();
            return;
        }
        tokio::time::sleep(CANCEL_POLL).await;
    }
}
