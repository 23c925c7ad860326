//! `terrace cancel`: stops a run, wherever it goes on.

use super::{find, runner_here};
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use std::time::Duration;
use terrace_provider_pipelines::run::Record;
use terrace_provider_pipelines::run::store::NoTurn;
use tokio_util::sync::CancellationToken;

/// How often the run is looked at.
const PERIOD: Duration = Duration::from_millis(100);

/// Stops a run and waits until nothing of it is left.
///
/// # Errors
/// When there is no such run, it is over, or it does not end in time.
pub(in crate::commands) async fn cancel(
    context: &Context<'_>,
    arguments: &crate::args::CancelArguments,
) -> Result<Exit, Failure> {
    let runner = runner_here(context)?;
    let record = find(&runner, &arguments.run)?;
    if record.state.is_over() {
        return Err(Failure::new(format!(
            "run {} of {} is over: it {}",
            record.run,
            record.pipeline,
            record.state.in_words()
        )));
    }
    let broken = |error: std::io::Error| Failure::new(format!("run {} cannot be stopped: {error}", record.run));
    runner.store.ask_to_stop(&record.run).map_err(broken)?;
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < context.global.lock_timeout {
        let cancel = CancellationToken::new();
        match runner.store.turn(&record.folder, &record.pipeline, Duration::ZERO, &cancel).await {
            // Whoever ran it is done, or gone: what was left is settled, which may be another run by now.
            Ok(turn) => {
                if let Some(left) = turn.left() {
                    runner.settle(&left).await.map_err(broken)?;
                    turn.hold(None).map_err(broken)?;
                }
            }
            Err(NoTurn::Io(error)) => return Err(broken(error)),
            Err(NoTurn::Taken { .. } | NoTurn::Cancelled) => {}
        }
        match runner.store.run(&record.run).map_err(broken)? {
            Some(ended) if ended.state.is_over() => return tell(context, &ended),
            Some(_) => tokio::time::sleep(PERIOD).await,
            None => return tell(context, &record),
        }
    }
    Err(Failure::refused(format!("run {} of {} still goes on", record.run, record.pipeline))
        .hint("it was asked to stop; wait longer with `--lock-timeout`"))
}

fn tell(context: &Context<'_>, record: &Record) -> Result<Exit, Failure> {
    context.ui.print(&format!("{}: {}, run {}\n", record.pipeline, record.state.word().to_uppercase(), record.run))?;
    Ok(Exit::Done)
}
