//! Workers: processes that wait for runs of the queue and run them, one at a time, by the [`Runner`] that `terrace run`
//! uses, too. Whatever kills one, the run that it had is found: it ended, or it is put back.
//!
//! Read in this order: this file (what a worker does), `execute` (one run of the queue), [`keeper`] (what becomes of what
//! dead workers left, and who comes after them), [`launch`] (how a worker is started).

mod execute;
pub mod keeper;
pub mod launch;

pub use keeper::Keeper;
pub use launch::{Launch, Start};

use crate::database::{DatabaseError, Databases, Why};
use crate::queue::{Ending, Entry, Queue, QueueError, Taken, WhyNot, lock};
use crate::run::Runner;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// The variable that names the worker in the environment of its process, so that it is found.
pub const MARK: &str = "TERRACE_WORKER";
/// How often it is looked for work.
const POLL: Duration = Duration::from_millis(100);
/// How often it says that it is well, and how long after it looked after the others it does so again.
const BEAT: Duration = Duration::from_secs(2);
/// How often it looks whether somebody called off what it runs.
const HEED: Duration = Duration::from_millis(200);
/// How often the end of a run is tried to be written while the disk is full.
const PERIOD: Duration = Duration::from_secs(1);

/// A worker.
pub struct Worker {
    /// Its name.
    pub name: String,
    /// The pool that it is of; where that is a cluster's, its runs write into the cluster's databases.
    pub pool: String,
    /// The queue.
    pub queue: Queue,
    /// Runs pipelines.
    pub runner: Runner,
    /// The databases of the project.
    pub databases: Databases,
    /// Looks after the other workers.
    pub keeper: Arc<Keeper>,
    /// The lock that says that it lives; nothing where the process was born with it.
    pub lock: Option<File>,
}

impl Worker {
    /// Works until nobody needs it any more, or it is told to stop. A run that is stopped by that goes back to the queue.
    ///
    /// # Errors
    /// When the queue cannot be used.
    pub async fn serve(self, stop: &CancellationToken) -> Result<(), QueueError> {
        let name = self.name.clone();
        if !self.queue.call(move |queue| queue.come_up(&name)).await? {
            return Ok(());
        }
        // Apart from what it runs, and from each other: what takes long must not make it look dead.
        let beating = AbortOnDropHandle::new(tokio::spawn(beat(self.queue.clone(), self.name.clone())));
        let keeping = AbortOnDropHandle::new(tokio::spawn(keep(self.keeper.clone(), self.name.clone())));
        let ended = self.work(stop).await;
        drop((beating, keeping));
        lock::remove(self.queue.folder(), &self.name);
        ended
    }

    async fn work(&self, stop: &CancellationToken) -> Result<(), QueueError> {
        while !stop.is_cancelled() {
            if !self.queue.is_still_there() {
                return Ok(());
            }
            let name = self.name.clone();
            match self.queue.call(move |queue| queue.take(&name)).await {
                Ok(Taken::Run(entry, failed)) => self.carry_out(*entry, &failed, stop).await?,
                Ok(Taken::Leave) => return Ok(()),
                Ok(Taken::Nothing) => pause(POLL, stop).await,
                Err(error) if error.is_passing() => {
                    tracing::warn!(worker = self.name, %error, "no run can be taken right now");
                    pause(PERIOD, stop).await;
                }
                Err(error) => return Err(error),
            }
        }
        let name = self.name.clone();
        self.queue.call(move |queue| queue.remove_worker(&name)).await
    }

    /// Runs it, by a worker of a cluster into a database of that; nothing where it was cut off and has to be run again.
    async fn run(
        &self,
        entry: &Entry,
        failed: &[String],
        called_off: &CancellationToken,
        stop: &CancellationToken,
    ) -> Option<Ending> {
        // A run that does not begin needs no database, nor does a pipeline that writes into none.
        let chosen = match execute::chosen(entry, failed).await {
            Ok(chosen) => chosen,
            Err(ending) => return Some(*ending),
        };
        let pool = self.pool.clone();
        let cluster = match self.queue.call(move |queue| queue.cluster(&pool)).await {
            Ok(cluster) => cluster,
            Err(error) if error.is_passing() => return None,
            Err(error) => return Some(Ending::impossible(error.to_string())),
        };
        let (specs, position) = &chosen;
        let uses_database =
            specs.pipelines.get(*position).is_some_and(|pipeline| self.runner.uses_database(&specs.root, pipeline));
        let cluster = cluster.filter(|_| uses_database);
        let database = cluster.and_then(|cluster| cluster.database_of(&entry.folder).map(|name| (cluster, name)));
        let Some((cluster, name)) = database else {
            return execute::run(&self.runner, entry, &chosen, called_off, stop).await;
        };
        let (record, access) = match self.databases.ensure_of(&cluster, &name, stop).await {
            Ok(there) => there,
            Err(error) if error.why == Why::Cancelled => return None,
            Err(error) => return Some(not_there(error)),
        };
        let mut runner = self.runner.clone();
        runner.write_into(&record, &access);
        let running = execute::run(&runner, entry, &chosen, called_off, stop);
        self.databases.during(&name, cluster.ttl, running).await
    }

    /// Brings a run to its end, and says so.
    async fn carry_out(&self, entry: Entry, failed: &[String], stop: &CancellationToken) -> Result<(), QueueError> {
        let called_off = CancellationToken::new();
        let heeding = AbortOnDropHandle::new(tokio::spawn(heed(self.queue.clone(), entry.clone(), called_off.clone())));
        let ending = self.run(&entry, failed, &called_off, stop).await;
        drop(heeding);
        let entry = Arc::new(entry);
        let ending = Arc::new(ending);
        loop {
            let (entry, ending) = (Arc::clone(&entry), Arc::clone(&ending));
            let told = self.queue.call(move |queue| match ending.as_ref() {
                Some(ending) => queue.end(&entry, ending),
                None => queue.give_back(&entry),
            });
            match told.await {
                // What became of it is recorded: whoever finds this worker dead would find that, too.
                Err(error) if error.is_passing() && !stop.is_cancelled() => {
                    tracing::warn!(worker = self.name, %error, "the end of a run cannot be told right now");
                    pause(PERIOD, stop).await;
                }
                told => return told,
            }
        }
    }
}

/// What is told of a database that does not come up.
fn not_there(error: DatabaseError) -> Ending {
    let what = [error.what].into_iter().chain(error.facts).chain(error.hint).collect();
    Ending::not_run(WhyNot::Impossible, what)
}

async fn pause(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = stop.cancelled() => {}
    }
}

/// Says that a worker is well, as long as it lives.
async fn beat(queue: Queue, name: String) {
    for number in (1..=u32::MAX).cycle() {
        if let Err(error) = lock::beat(queue.folder(), &name, number) {
            tracing::warn!(worker = name, %error, "the worker cannot say that it is well");
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Looks after the other workers, as long as a worker lives.
async fn keep(keeper: Arc<Keeper>, name: String) {
    loop {
        if let Err(error) = keeper.keep().await {
            tracing::warn!(worker = name, %error, "the other workers cannot be looked after");
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// Waits for somebody to call off a run.
async fn heed(queue: Queue, entry: Entry, called_off: CancellationToken) {
    let Some(worker) = entry.worker else { return };
    loop {
        let worker = worker.clone();
        let cancelled = queue.call(move |queue| queue.cancelled_of(&worker)).await;
        if cancelled.is_ok_and(|run| run.as_ref() == Some(&entry.id)) {
            called_off.cancel();
            return;
        }
        tokio::time::sleep(HEED).await;
    }
}
