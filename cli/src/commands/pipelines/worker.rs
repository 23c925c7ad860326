//! A worker of the queue, which terrace starts as a separate process; and the supervisor of workers.

use super::project::{queue_of, supervisor};
use crate::args::WorkerArguments;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::wiring;
use std::sync::Arc;
use std::time::Duration;
use terrace_pipelines::queue::{Pool, Queue};
use terrace_pipelines::run::Runner;
use terrace_pipelines::worker::{Supervisor, Worker};
use terrace_provider_pipelines::settings::{default_database, from_stored, project_databases, runner};

/// Interval of the checks of workers.
const PERIOD: Duration = Duration::from_secs(2);

/// Runs pipelines until the worker is no longer needed.
///
/// # Errors
/// When the worker does not exist, or the queue cannot be used.
pub(super) async fn run(arguments: &WorkerArguments, signals: &Signals) -> Result<Exit, Failure> {
    // Detaches from the terminal, so that Ctrl-C and its end do not stop the worker. A session leader has no terminal
    // already.
    let _ = rustix::process::setsid();
    signals.begin_changes();
    let folder = arguments.folder.clone();
    let opened = tokio::task::spawn_blocking(move || Queue::existing(&folder)).await;
    let queue = opened.map_err(|error| Failure::new(format!("the queue of runs: {error}")))??;
    let unknown = || {
        Failure::new(format!("`{}` has no worker `{}`", arguments.folder.display(), arguments.worker))
            .hint("let terrace start workers: see `terrace pipelines init local`")
    };
    let queue = queue.ok_or_else(unknown)?;
    let pod = queue.call(Queue::pods).await?.into_iter().find(|pod| pod.name == arguments.worker);
    let name = pod.ok_or_else(unknown)?.pool;
    let pool = queue.call(move |queue| queue.pool(&name)).await?.ok_or_else(unknown)?;
    let settings = from_stored(&arguments.folder, &pool.settings)?;
    let runner = runner(&settings)?;
    let (databases, database) = (project_databases(&settings, wiring::guard_program())?, default_database(&settings));
    let supervisor = Arc::new(supervisor(&runner, &queue));
    let name = arguments.worker.clone();
    let Pool { name: pool, settings, .. } = pool;
    let worker = Worker { name, settings, pool, queue, runner, databases, database, supervisor, lock: None };
    worker.serve(&signals.cancel).await?;
    Ok(Exit::Done)
}

/// Keeps the workers of a project running while the future is polled.
pub(in crate::commands) async fn supervise(runner: Option<Runner>) {
    let Some(runner) = runner else { return std::future::pending().await };
    let mut current: Option<Supervisor> = None;
    loop {
        // The queue may appear later, or be replaced.
        current = current.filter(|supervisor| supervisor.queue().is_current());
        if current.is_none() {
            current = queue_of(&runner).await.ok().flatten().map(|queue| supervisor(&runner, &queue));
        }
        if let Some(supervisor) = &current
            && let Err(error) = supervisor.check_workers().await
        {
            tracing::warn!(%error, "workers cannot be checked");
        }
        tokio::time::sleep(PERIOD).await;
    }
}
