//! `terrace databases`: databases of data pipelines, without plan and state.

mod for_run;
mod format;
mod keeping;
mod pages;

pub(super) use for_run::{OfCluster, Pipelines, RunDatabase};
pub(super) use pages::{pages, watched};

use super::Context;
use super::pipelines::instance_here;
use crate::args::{DatabasesArguments, DatabasesCommand};
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::wiring;
use std::path::Path;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::database::{DatabaseError, Databases, Extension, Record, Why};
use terrace_provider_pipelines::queue::Queue;
use terrace_provider_pipelines::settings::{databases, runner};

/// The databases of an instance, each with what keeps it.
pub(super) async fn databases_of(context: &Context<'_>, instance: &InstanceSettings) -> Databases {
    let databases = databases(instance, wiring::guard_program()).with_patience(context.global.patience());
    databases.guard_all().await;
    databases
}

/// Lists, shows, starts, stops, keeps for longer, or writes into a file.
///
/// # Errors
/// When there is no such database, or that cannot be done.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: DatabasesArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let command = arguments.command();
    if let DatabasesCommand::Keep { folder, name } = command {
        return keeping::keep(folder, &name, signals).await;
    }
    let instance = instance_here(context)?;
    let databases = databases_of(context, &instance).await;
    let ui = context.ui;
    match command {
        DatabasesCommand::List(format) => {
            let records = databases.list().map_err(failure)?;
            if format.is_json() {
                let all: Vec<_> = records.iter().map(|record| format::json(&databases, record)).collect();
                ui.print_json(&all.into())?;
            } else {
                let lines: String = records.iter().map(|record| format::line(&databases, record)).collect();
                ui.print_list(&lines, "there are no databases")?;
            }
        }
        DatabasesCommand::Show { name, reveal, format } => {
            let record = databases.known(&name).map_err(failure)?;
            let told = format::whole(&databases, &record, reveal, format.is_json()).map_err(failure)?;
            ui.print(&told)?;
        }
        DatabasesCommand::Extend { name, by } => {
            let record = databases.extend(&name, Extension::By(by)).await.map_err(failure)?;
            ui.print(&format!("{name}: {}\n", format::kept(&record)))?;
        }
        DatabasesCommand::Start { name } => {
            signals.begin_changes();
            let record = databases.start(&name, &signals.cancel).await.map_err(failure)?;
            ui.print(&format!("{name}: {}\n", databases.status(&record).word()))?;
        }
        DatabasesCommand::Stop { name } => {
            signals.begin_changes();
            let record = databases.stop(&name).await.map_err(failure)?;
            ui.print(&format!("{name}: {}, {}\n", databases.status(&record).word(), format::kept(&record)))?;
        }
        DatabasesCommand::Remove { name, remove_data } => {
            let record = databases.known(&name).map_err(failure)?;
            check_removable(&record, runner(&instance)?.store.folder(), remove_data)?;
            signals.begin_changes();
            databases.remove(&name).await.map_err(failure)?;
            ui.say(&format!("removed {name}"));
        }
        DatabasesCommand::Dump { name, file } => {
            signals.begin_changes();
            databases.dump(&name, &file, &signals.cancel).await.map_err(failure)?;
            ui.say(&format!("wrote {}", file.display()));
        }
        DatabasesCommand::Keep { .. } => {}
    }
    Ok(Exit::Done)
}

/// Refuses to remove what somebody has, or what holds data that nobody said may go.
fn check_removable(record: &Record, records: &Path, removes_data: bool) -> Result<(), Failure> {
    let name = &record.name;
    if let Some(kind) = record.of_cluster() {
        let cluster = Queue::existing(records)?.map(|queue| queue.cluster(kind)).transpose()?.flatten();
        if cluster.is_some_and(|cluster| cluster.database_names().contains(name)) {
            return Err(Failure::refused(format!("`{name}` is a database that the cluster `{kind}` has"))
                .hint(format!("`terrace init {kind} --databases N` says how many it has, and stops the others")));
        }
    } else if !record.is_fresh {
        return Err(Failure::refused(format!("`{name}` is declared in a descriptor"))
            .hint("take it out there, and `terrace apply --remove-data`; or `terrace destroy --remove-data`"));
    }
    if !removes_data {
        return Err(Failure::refused(format!("what `{name}` holds would be lost"))
            .hint(format!("`terrace databases dump {name} FILE` keeps it; `--remove-data` says that it may go")));
    }
    Ok(())
}

/// What is told of an error, and how the command ends.
pub(super) fn failure(error: DatabaseError) -> Failure {
    let message = error.facts.iter().fold(error.what, |told, fact| format!("{told}\n  {fact}"));
    let exit = match error.why {
        Why::Held => Exit::Refused,
        Why::Cancelled => Exit::Interrupted,
        Why::Missing | Why::There | Why::Wrong | Why::Failed => Exit::Error,
    };
    let failure = Failure { exit, ..Failure::new(message) };
    error.hint.into_iter().fold(failure, Failure::hint)
}
