//! A worker of the queue, which terrace starts as a process of its own; and whoever looks after workers as long as it runs.

use super::{keeper, queue_of};
use crate::args::WorkerArguments;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::wiring;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider_pipelines::queue::Queue;
use terrace_provider_pipelines::run::Runner;
use terrace_provider_pipelines::settings::{databases, of_kept, runner};
use terrace_provider_pipelines::worker::{Keeper, Worker};

/// How often workers are looked after.
const PERIOD: Duration = Duration::from_secs(2);

/// Works until nobody needs the worker any more.
///
/// # Errors
/// When there is no such worker, or the queue cannot be used.
pub(in crate::commands) async fn worker(arguments: &WorkerArguments, signals: &Signals) -> Result<Exit, Failure> {
    // Neither Ctrl-C nor the end of the terminal that somebody started it from is meant for it. One that leads a session
    // already has no terminal.
    let _ = rustix::process::setsid();
    signals.begin_changes();
    let folder = arguments.folder.clone();
    let opened = tokio::task::spawn_blocking(move || Queue::existing(&folder)).await;
    let queue = opened.map_err(|error| Failure::new(format!("the queue of runs: {error}")))??;
    let unknown = || {
        Failure::new(format!("`{}` knows no worker `{}`", arguments.folder.display(), arguments.worker))
            .hint("workers are started by terrace: see `terrace init local`")
    };
    let queue = queue.ok_or_else(unknown)?;
    let pod = queue.call(Queue::pods).await?.into_iter().find(|pod| pod.name == arguments.worker);
    let name = pod.ok_or_else(unknown)?.pool;
    let pool = queue.call(move |queue| queue.pool(&name)).await?.ok_or_else(unknown)?;
    let settings = of_kept(&arguments.folder, &pool.settings)?;
    let runner = runner(&settings)?;
    let databases = databases(&settings, wiring::guard_program());
    let keeper = Arc::new(keeper(&runner, &queue));
    let name = arguments.worker.clone();
    let worker = Worker { name, pool: pool.name, queue, runner, databases, keeper, lock: None };
    worker.serve(&signals.cancel).await?;
    Ok(Exit::Done)
}

/// Looks after the workers of a project, if it has any, for as long as it is waited for.
pub(in crate::commands) async fn keep(runner: Option<Runner>) {
    let Some(runner) = runner else { return std::future::pending().await };
    let mut kept: Option<Keeper> = None;
    loop {
        // There may be a queue later, or another one in its place.
        kept = kept.filter(|keeper| keeper.queue().is_still_there());
        if kept.is_none() {
            kept = queue_of(&runner).await.ok().flatten().map(|queue| keeper(&runner, &queue));
        }
        if let Some(keeper) = &kept
            && let Err(error) = keeper.keep().await
        {
            tracing::warn!(%error, "workers cannot be looked after");
        }
        tokio::time::sleep(PERIOD).await;
    }
}
