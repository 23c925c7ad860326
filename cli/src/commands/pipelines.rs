//! `terrace pipelines`: data pipelines of the working directory, their runs, and the clusters whose workers run them.
//! These commands need no plan and no state.

mod cancel;
mod chart;
mod cluster_databases;
mod databases;
mod deploy;
mod dppctl_yaml;
mod failing_workers;
mod fallback;
mod format;
mod image;
mod init;
mod kinds;
mod list;
mod logs;
mod objects;
mod pod;
mod pod_site;
mod pods;
mod project;
mod queued;
mod remote;
mod run;
mod run_id;
mod runs;
mod scheduled;
mod schedules;
mod screen;
mod served;
mod setting_place;
mod shell;
mod shell_pod;
mod ssh;
mod syncing;
mod transcript;
mod waits;
mod worker;

pub(super) use databases::{guarded, pages};
pub(super) use deploy::DeploymentServer;
pub(super) use fallback::check_cluster_of;
pub(crate) use kinds::KINDS;
pub(super) use remote::check_server;
pub(super) use scheduled::ScheduledRuns;
pub(super) use served::served;
pub(super) use worker::supervise;

use crate::args::{DatabasesCommand, PipelinesCommand};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;

/// Runs a command of pipelines.
///
/// # Errors
/// When the command fails.
pub(super) async fn run(context: &Context<'_>, command: PipelinesCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        PipelinesCommand::Run(arguments) => {
            // Other programs of terrace start these runs in their own project.
            let is_here = arguments.no_queue || arguments.mark.is_some() || arguments.cluster_of.is_some();
            let server = if is_here { None } else { remote::server_of(context, &arguments.server)? };
            match server {
                Some(server) => remote::run(context, &arguments, signals, &server).await,
                None => run::run(context, &arguments, signals).await,
            }
        }
        PipelinesCommand::Image => image::run(context, signals).await,
        PipelinesCommand::List(arguments) => match remote::server_of(context, &arguments.server)? {
            Some(server) => remote::list(context, &arguments, &server).await,
            None => list::run(context, &arguments),
        },
        PipelinesCommand::Logs(arguments) => match remote::server_of(context, &arguments.server)? {
            Some(server) => remote::logs(context, &arguments, signals, &server).await,
            None => logs::run(context, &arguments, signals).await,
        },
        PipelinesCommand::Runs(arguments) => match remote::server_of(context, &arguments.server)? {
            Some(server) => remote::runs(context, &arguments, &server).await,
            None => runs::run(context, &arguments).await,
        },
        PipelinesCommand::Schedules(arguments) => {
            remote::refuse_server(context)?;
            schedules::run(context, &arguments).await
        }
        PipelinesCommand::Cancel(arguments) => match remote::server_of(context, &arguments.server)? {
            Some(server) => remote::cancel(context, &arguments, &server).await,
            None => cancel::run(context, &arguments).await,
        },
        PipelinesCommand::Pods(arguments) => match remote::server_of(context, &arguments.server)? {
            Some(server) => remote::pods(context, arguments.format, &server).await,
            None => pods::run(context, arguments.format).await,
        },
        PipelinesCommand::Login(arguments) => remote::login(context, &arguments).await,
        PipelinesCommand::Logout(arguments) => remote::logout(context, &arguments).await,
        PipelinesCommand::Ssh(arguments) => {
            remote::refuse_server(context)?;
            ssh::run(context, &arguments, signals).await
        }
        PipelinesCommand::Databases(arguments) => {
            let command = arguments.command();
            let server = match command.server() {
                Some(named) => remote::server_of(context, named)?,
                // terrace starts this command itself, for databases of this machine.
                None if matches!(command, DatabasesCommand::Keep { .. }) => None,
                None => {
                    remote::refuse_server(context)?;
                    None
                }
            };
            match server {
                Some(server) => remote::databases(context, &command, &server).await,
                None => databases::run(context, command, signals).await,
            }
        }
        PipelinesCommand::Deploy(arguments) => deploy::run(context, &arguments, signals).await,
        PipelinesCommand::Chart(arguments) => chart::run(context, &arguments).await,
        PipelinesCommand::Init(arguments) => init::run(context, &arguments, signals).await,
        PipelinesCommand::Worker(arguments) => worker::run(&arguments, signals).await,
        PipelinesCommand::Pod(arguments) => pod::run(arguments.work, signals).await,
    }
}
