//! The database of `terrace pipelines run`: an existing one, one created for the run, or that of the active cluster.

use super::super::project::required_database_image;
use super::{all_databases_of, failure, format};
use crate::args::DatabaseChoice;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::Ui;
use secrecy::SecretString;
use std::time::Duration;
use terrace_pipelines::database::cluster::for_active_cluster;
use terrace_pipelines::database::{Access, DatabaseSpec, ProjectDatabases, Record, texts, time_to_live};
use terrace_pipelines::queue::cluster::Cluster;
use terrace_pipelines::run::Runner;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::settings::default_database;
use tokio_util::sync::CancellationToken;

/// A running database of a cluster.
pub(in crate::commands::pipelines) struct ClusterDatabase {
    record: Record,
    access: Access,
    /// True if its address was not printed before.
    pub(in crate::commands::pipelines) is_new: bool,
    /// Lines with the addresses of its page and of the database; with the password if it is new.
    pub(in crate::commands::pipelines) address_lines: Vec<SecretString>,
}

impl ClusterDatabase {
    /// Starts a database of a cluster. `creation` names a creation in Kubernetes that this caller continues.
    ///
    /// # Errors
    /// When it does not start.
    pub(in crate::commands::pipelines) async fn start(
        ui: &Ui,
        databases: &ProjectDatabases,
        cluster: &Cluster,
        name: &str,
        creation: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let before = databases.of_cluster(cluster).await.map_err(failure)?.0;
        let is_ready = |record: &Record| record.cluster.as_ref().is_none_or(|cluster| cluster.is_ready);
        if !cluster.is_here() && !before.iter().any(|record| record.name == name && is_ready(record)) {
            ui.print_note(&format!("waiting for the database {name}, which takes some minutes at most"));
        }
        let (record, access) = databases.ensure_for_cluster(cluster, name, creation, cancel).await.map_err(failure)?;
        let is_new = before.iter().all(|before| before.id != record.id);
        let page = format::page(databases, &record, is_new).map_err(failure)?;
        let address_lines = if is_new { texts::new_connection_lines } else { texts::connection_lines }(
            &record,
            &access,
            page.as_deref(),
        );
        Ok(Self { record, access, is_new, address_lines: address_lines.into_iter().map(SecretString::from).collect() })
    }
}

/// The pipelines of a run.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands::pipelines) struct Pipelines<'a> {
    /// Their folder, as named in records.
    pub(in crate::commands::pipelines) folder: &'a str,
    /// True if an unreadable queue is an error.
    pub(in crate::commands::pipelines) need_queue: bool,
    /// True if a pipeline uses a database.
    pub(in crate::commands::pipelines) use_database: bool,
}

/// The database of a run.
pub(in crate::commands::pipelines) struct RunDatabase {
    databases: ProjectDatabases,
    record: Record,
    /// Time to live after the run, if it was created for the run.
    time_to_live: Option<Duration>,
    /// True if it was created for this run or belongs to a cluster.
    is_pod: bool,
    /// Lines to print at the start of the run, with the password.
    pub(in crate::commands::pipelines) start_lines: Vec<SecretString>,
}

impl RunDatabase {
    /// Lets the steps of a runner write into the chosen database. Returns `None` without a choice. A run that needs no
    /// queue ignores an unreadable one.
    ///
    /// # Errors
    /// When the database does not exist or does not start.
    pub(in crate::commands::pipelines) async fn prepare(
        context: &Context<'_>,
        instance: &InstanceSettings,
        choice: &DatabaseChoice,
        pipelines: Pipelines<'_>,
        runner: &mut Runner,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let chosen = choice.database.clone().or_else(|| default_database(instance));
        if let Some(ttl) = &choice.new_database {
            let lifetime = time_to_live(ttl).map_err(|why| Failure::new(format!("`--new-database={ttl}`: {why}")))?;
            let in_cluster = runner.executor.environments().is_some();
            if in_cluster {
                required_database_image(instance)?;
            }
            let databases = all_databases_of(context, instance).await?;
            let spec = DatabaseSpec::for_run(ttl.clone()).map_err(failure)?;
            let record = databases.create(&spec, in_cluster, cancel).await.map_err(failure)?;
            let access = databases.access(&record).await.map_err(failure)?;
            let page = format::page(&databases, &record, true).map_err(failure)?;
            let start_lines = texts::new_connection_lines(&record, &access, page.as_deref());
            let start_lines = start_lines.into_iter().map(SecretString::from).collect();
            runner.write_into(&record, &access);
            return Ok(Some(Self { databases, record, time_to_live: Some(lifetime), is_pod: true, start_lines }));
        }
        let Some(name) = chosen else {
            if !pipelines.use_database {
                return Ok(None);
            }
            return Self::of_cluster(context, instance, pipelines, runner, cancel).await;
        };
        let databases = all_databases_of(context, instance).await?;
        let (record, access) = databases.ensure(&name, cancel).await.map_err(failure)?;
        runner.write_into(&record, &access);
        Ok(Some(Self { databases, record, time_to_live: None, is_pod: false, start_lines: Vec::new() }))
    }

    /// The database of the active cluster, so that results are found there wherever the pipelines run.
    async fn of_cluster(
        context: &Context<'_>,
        instance: &InstanceSettings,
        pipelines: Pipelines<'_>,
        runner: &mut Runner,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let active = match for_active_cluster(runner.store.folder(), pipelines.folder) {
            Err(error) if !pipelines.need_queue => {
                context.ui.print_note(&format!(
                    "warning: {error}; pipelines write into their configured database, not into that of a cluster"
                ));
                None
            }
            active => active?,
        };
        let Some((cluster, name)) = active else { return Ok(None) };
        let databases = all_databases_of(context, instance).await?;
        let ClusterDatabase { record, access, address_lines, .. } =
            ClusterDatabase::start(context.ui, &databases, &cluster, &name, None, cancel).await?;
        runner.write_into(&record, &access);
        Ok(Some(Self { databases, record, time_to_live: cluster.ttl, is_pod: true, start_lines: address_lines }))
    }

    /// Waits for a run, and keeps its database for the time of the run and its time to live.
    pub(in crate::commands::pipelines) async fn during<T>(&self, run: impl Future<Output = T>) -> T {
        self.databases.extend_during(&self.record.name, self.time_to_live, run).await
    }

    /// The name of a database that the user did not choose.
    pub(in crate::commands::pipelines) fn pod(&self) -> Option<&str> {
        self.is_pod.then_some(self.record.name.as_str())
    }

    /// The remaining lifetime of the database after the run, in words.
    pub(in crate::commands::pipelines) fn keep_alive_line(&self) -> Option<String> {
        self.time_to_live.map(|ttl| texts::keep_alive_line(ttl, self.record.has_page && self.record.cluster.is_none()))
    }
}
