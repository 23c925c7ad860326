//! `terrace pipelines`: data pipelines of the working directory, their runs, and the clusters whose workers run them.
//! These commands need no plan and no state.

mod cancel;
mod cluster_databases;
mod databases;
mod deploy;
mod dppctl_yaml;
mod fallback;
mod format;
mod init;
mod kinds;
mod list;
mod logs;
mod pod;
mod pods;
mod project;
mod queued;
mod run;
mod runs;
mod schedules;
mod screen;
mod served;
mod ssh;
mod syncing;
mod transcript;
mod worker;

pub(super) use databases::{guarded, pages};
pub(super) use deploy::DeploymentServer;
pub(crate) use kinds::KINDS;
pub(super) use served::served;
pub(super) use worker::supervise;

use crate::args::PipelinesCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;

/// Runs a command of pipelines.
///
/// # Errors
/// When the command fails.
pub(super) async fn run(context: &Context<'_>, command: PipelinesCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        PipelinesCommand::Run(arguments) => run::run(context, &arguments, signals).await,
        PipelinesCommand::List(arguments) => list::run(context, &arguments),
        PipelinesCommand::Logs(arguments) => logs::run(context, &arguments, signals).await,
        PipelinesCommand::Runs(arguments) => runs::run(context, &arguments).await,
        PipelinesCommand::Schedules(format) => schedules::run(context, format).await,
        PipelinesCommand::Cancel(arguments) => cancel::run(context, &arguments).await,
        PipelinesCommand::Pods(format) => pods::run(context, format).await,
        PipelinesCommand::Ssh(arguments) => ssh::run(context, &arguments).await,
        PipelinesCommand::Databases(arguments) => databases::run(context, arguments, signals).await,
        PipelinesCommand::Deploy(arguments) => deploy::run(context, &arguments, signals).await,
        PipelinesCommand::Init(arguments) => init::run(context, &arguments, signals).await,
        PipelinesCommand::Worker(arguments) => worker::run(&arguments, signals).await,
        PipelinesCommand::Pod(arguments) => pod::run(arguments.work, signals).await,
    }
}
