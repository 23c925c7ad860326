//! `terrace pipelines databases`: databases of data pipelines. Needs no plan and no state.

mod for_run;
pub(super) mod format;
mod guard;
mod instance;
mod pages;
pub(super) mod pod_pages;

pub(super) use for_run::{ClusterDatabase, Pipelines, RunDatabase};
pub(super) use instance::{all_databases_of, failure};
pub(in crate::commands) use pages::{guarded, pages};

use super::project::instance_here;
use crate::args::DatabasesCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use std::path::Path;
use terrace_pipelines::database::{Extension, Record};
use terrace_pipelines::queue::Queue;
use terrace_provider_pipelines::settings::{records, runs_in_cluster};

/// Lists, shows, starts, stops, extends, dumps or removes databases.
///
/// # Errors
/// When the database does not exist, or the action fails.
pub(super) async fn run(context: &Context<'_>, command: DatabasesCommand, signals: &Signals) -> Result<Exit, Failure> {
    if let DatabasesCommand::Keep { folder, name } = command {
        return guard::run(folder, &name, signals).await;
    }
    let instance = instance_here(context)?;
    let databases = all_databases_of(context, &instance).await?;
    let ui = context.ui;
    match command {
        DatabasesCommand::List(list) => {
            if databases.cluster.is_none() && runs_in_cluster(&instance) {
                ui.print_note(
                    "the databases of the cluster are not listed: write `databaseImage` of the provider `pipelines` into terrace.yaml",
                );
            }
            let mut records = databases.here.list().map_err(failure)?;
            let unlisted = match &databases.cluster {
                Some(cluster) => cluster.list().await.map(|others| records.extend(others)).err(),
                None => None,
            };
            if list.format.is_json() {
                let all: Vec<_> = records.iter().map(|record| format::json(&databases, record)).collect();
                ui.print_json(&all.into())?;
            } else {
                let lines: String = records.iter().map(|record| format::line(&databases, record)).collect();
                let is_whole = unlisted.is_none() || !lines.is_empty();
                if is_whole {
                    ui.print_list(&lines, "there are no databases")?;
                }
            }
            // A cluster that does not answer hides no database of this machine.
            return unlisted.map_or(Ok(Exit::Done), |error| Err(failure(error)));
        }
        DatabasesCommand::Show { name, reveal, format, .. } => {
            let record = databases.existing(&name).await.map_err(failure)?;
            let text = format::whole(&databases, &record, reveal, format.is_json()).await.map_err(failure)?;
            ui.print(&text)?;
        }
        DatabasesCommand::Extend { name, by, .. } => {
            let record = databases.extend(&name, Extension::By(by)).await.map_err(failure)?;
            ui.print(&format!("{name}: {}\n", format::kept_of(&record)))?;
        }
        DatabasesCommand::Start { name } => {
            signals.begin_changes();
            let record = databases.start(&name, &signals.cancel).await.map_err(failure)?;
            ui.print(&format!("{name}: {}\n", databases.status(&record).word()))?;
        }
        DatabasesCommand::Stop { name, .. } => {
            signals.begin_changes();
            let record = databases.stop(&name).await.map_err(failure)?;
            ui.print(&format!("{name}: {}, {}\n", databases.status(&record).word(), format::kept_of(&record)))?;
        }
        DatabasesCommand::Remove { name, remove_data } => {
            let record = databases.existing(&name).await.map_err(failure)?;
            check_removable(&record, &records(&instance), remove_data)?;
            signals.begin_changes();
            databases.remove(&name).await.map_err(failure)?;
            ui.print_note(&format!("removed {name}"));
        }
        DatabasesCommand::Dump { name, file } => {
            signals.begin_changes();
            databases.dump(&name, &file, &signals.cancel).await.map_err(failure)?;
            ui.print_note(&format!("wrote {}", file.display()));
        }
        DatabasesCommand::Keep { .. } => {}
    }
    Ok(Exit::Done)
}

/// Refuses to remove a database that is in use, or that holds data, without the user's consent.
fn check_removable(record: &Record, records: &Path, removes_data: bool) -> Result<(), Failure> {
    let name = &record.name;
    if let (Some(_), Some(place)) = (record.cluster_kind(), &record.cluster) {
        let namespace = &place.namespace;
        return Err(Failure::refused(format!("all projects of the namespace `{namespace}` may use `{name}`"))
            .hint(format!("save its data with `terrace pipelines databases dump {name} FILE`"))
            .hint(format!(
                "if no project needs it: `kubectl delete statefulset,service,secret,persistentvolumeclaim terrace-db-{name} --namespace \
                 {namespace}`"
            )));
    }
    if let Some(kind) = record.cluster_kind() {
        let cluster = Queue::existing(records)?.map(|queue| queue.cluster(kind)).transpose()?.flatten();
        if let Some(cluster) = cluster.filter(|cluster| cluster.database_names().contains(name)) {
            return Err(Failure::refused(format!("the cluster `{kind}` uses the database `{name}`")).hint(format!(
                "reduce the number of its databases with `terrace pipelines init {kind} --workers {} --databases N`",
                cluster.workers
            )));
        }
    } else if !record.is_fresh && (record.is_whole || record.cluster.is_none()) {
        return Err(Failure::refused(format!("`{name}` belongs to a stack"))
            .hint("remove its `pipelines_database` from the descriptor, then run `terrace apply FILE --remove-data`")
            .hint(
                "or run `terrace destroy FILE --target ADDRESS --remove-data`; `terrace state list` shows its address",
            )
            .hint("if no descriptor declares it any more: `terrace destroy STACK@ENVIRONMENT --remove-data`"));
    }
    if !removes_data {
        return Err(Failure::refused(format!("the data of `{name}` would be lost"))
            .hint(format!("save it with `terrace pipelines databases dump {name} FILE`, then pass `--remove-data`")));
    }
    Ok(())
}
