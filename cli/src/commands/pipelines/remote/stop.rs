//! `terrace pipelines cancel --server`: stops a run of a server.

use super::super::project::is_run;
use super::client::Server;
use super::events::{Followed, follow};
use crate::args::CancelArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use tokio::time::timeout;

/// Stops a run, or the unfinished runs of a pipeline, and waits until they have ended.
///
/// # Errors
/// When the run does not exist, has ended or does not end in time, the server refuses the call, or it is not reached.
pub(in crate::commands::pipelines) async fn cancel(
    context: &Context<'_>,
    arguments: &CancelArguments,
    server: &Server,
) -> Result<Exit, Failure> {
    let word = arguments.run.as_str();
    let mut runs = if is_run(word) { Vec::new() } else { server.unfinished(word).await? };
    if runs.is_empty() {
        runs.push(server.find(word).await?);
    }
    for run in &runs {
        server.cancel(&run.run_id).await?;
    }
    let report = |followed: Followed<'_>| {
        if let Followed::Outage(text) = followed {
            context.ui.print_message(text);
        }
    };
    for run in &runs {
        let ended = timeout(context.global.lock_timeout(), follow(server, &run.run_id, report)).await;
        let ended = ended.map_err(|_| {
            Failure::refused(format!("run {} of {} is still running", run.run_id, run.pipeline_id))
                .hint("the run will stop: `terrace pipelines runs --server URL` shows its end")
        })??;
        let state = ended.state.to_uppercase();
        context.ui.print(&harmless(&format!("{}: {state}, run {}\n", ended.pipeline_id, ended.run_id)))?;
    }
    Ok(Exit::Done)
}
