//! `terrace pr`: plans in pull requests, applies after the merge, and issues about drift.
//!
//! Read in this order: `plan`, `apply` and `drift` (the commands), `scope` (the changed products), `units` (the products of
//! a repository), `planned` (the plan of a product), `untrusted` and `preview` (requests that must reach no secret),
//! `page` (comments), `job_state`, `publish` (comment, check, summary, files and log), `commits` (Git), `merge` (the commits of a merge).

mod apply;
mod commits;
mod drift;
mod job_state;
mod merge;
mod page;
mod plan;
mod planned;
mod preview;
mod publish;
mod scope;
mod units;
mod untrusted;

use crate::args::PrCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use publish::QuietLog;

/// Runs a command of the group.
///
/// # Errors
/// When the command fails.
pub(super) async fn run(context: &Context<'_>, command: PrCommand, signals: &Signals) -> Result<Exit, Failure> {
    let _quiet = match command {
        PrCommand::Preview(ref arguments) => return preview::run(context, arguments).await,
        _ => QuietLog::begin(context.ui, context.variables)?,
    };
    let result = match command {
        PrCommand::Plan(arguments) => plan::run(context, &arguments).await,
        PrCommand::Apply(arguments) => apply::run(context, &arguments, signals).await,
        PrCommand::Drift(arguments) => drift::run(context, &arguments).await,
        PrCommand::Preview(_) => Ok(Exit::Done),
    };
    // The failure belongs to the quiet part of the log, too.
    result.map_err(|failure| {
        publish::report(context.ui, &failure);
        Failure::reported(failure.exit)
    })
}
