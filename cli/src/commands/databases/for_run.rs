//! The database of `terrace run`: an existing one, one created for the run, or that of the active cluster.

use super::{databases_of, failure, format};
use crate::args::DatabaseChoice;
use crate::commands::Context;
use crate::failure::Failure;
use secrecy::SecretString;
use std::time::Duration;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::database::of_cluster::of_active;
use terrace_provider_pipelines::database::{Access, Databases, Record, Wanted, time_to_live, words};
use terrace_provider_pipelines::queue::cluster::Cluster;
use terrace_provider_pipelines::run::Runner;
use terrace_provider_pipelines::settings::default_database;
use tokio_util::sync::CancellationToken;

/// A running database of a cluster.
pub(in crate::commands) struct OfCluster {
    record: Record,
    access: Access,
    /// True if its address was not printed before.
    pub(in crate::commands) is_new: bool,
    /// Lines with the addresses of its page and of the database; with the password if it is new.
    pub(in crate::commands) told: Vec<SecretString>,
}

impl OfCluster {
    /// Starts a database of a cluster.
    ///
    /// # Errors
    /// When it does not start.
    pub(in crate::commands) async fn ready(
        databases: &Databases,
        cluster: &Cluster,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let before = databases.get(name).map_err(failure)?;
        let (record, access) = databases.ensure_of(cluster, name, cancel).await.map_err(failure)?;
        let is_new = before.is_none_or(|before| before.id != record.id);
        let page = format::page(databases, &record, is_new).map_err(failure)?;
        let told = if is_new { words::beginning } else { words::again }(&record, &access, page.as_deref());
        Ok(Self { record, access, is_new, told: told.into_iter().map(SecretString::from).collect() })
    }
}

/// The pipelines of a run.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Pipelines<'a> {
    /// Their folder, as named in records.
    pub(in crate::commands) folder: &'a str,
    /// True if an unreadable queue is an error.
    pub(in crate::commands) need_queue: bool,
    /// True if a pipeline uses a database.
    pub(in crate::commands) use_database: bool,
}

/// The database of a run.
pub(in crate::commands) struct RunDatabase {
    databases: Databases,
    record: Record,
    /// Time to live after the run, if it was created for the run.
    kept: Option<Duration>,
    /// True if it was created for this run or belongs to a cluster.
    is_pod: bool,
    /// Lines to print at the start of the run, with the password.
    pub(in crate::commands) beginning: Vec<SecretString>,
}

impl RunDatabase {
    /// Lets the steps of a runner write into the chosen database. Returns `None` without a choice. A run that needs no
    /// queue ignores an unreadable one.
    ///
    /// # Errors
    /// When the database does not exist or does not start.
    pub(in crate::commands) async fn ready(
        context: &Context<'_>,
        instance: &InstanceSettings,
        choice: &DatabaseChoice,
        about: Pipelines<'_>,
        runner: &mut Runner,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let chosen = choice.database.clone().or_else(|| default_database(instance));
        if let Some(ttl) = &choice.new_database {
            let kept = time_to_live(ttl).map_err(|why| Failure::new(format!("`--new-database={ttl}`: {why}")))?;
            let databases = databases_of(context, instance).await;
            let wanted = Wanted::fresh(ttl.clone()).map_err(failure)?;
            let record = databases.make(&wanted, cancel).await.map_err(failure)?;
            let access = databases.access(&record).map_err(failure)?;
            let page = format::page(&databases, &record, true).map_err(failure)?;
            let beginning = words::beginning(&record, &access, page.as_deref());
            let beginning = beginning.into_iter().map(SecretString::from).collect();
            runner.write_into(&record, &access);
            return Ok(Some(Self { databases, record, kept: Some(kept), is_pod: true, beginning }));
        }
        let Some(name) = chosen else {
            if !about.use_database {
                return Ok(None);
            }
            return Self::of_cluster(context, instance, about, runner, cancel).await;
        };
        let databases = databases_of(context, instance).await;
        let (record, access) = databases.ensure(&name, cancel).await.map_err(failure)?;
        runner.write_into(&record, &access);
        Ok(Some(Self { databases, record, kept: None, is_pod: false, beginning: Vec::new() }))
    }

    /// The database of the active cluster, so that results are found there wherever the pipelines run.
    async fn of_cluster(
        context: &Context<'_>,
        instance: &InstanceSettings,
        about: Pipelines<'_>,
        runner: &mut Runner,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let active = match of_active(runner.store.folder(), about.folder) {
            Err(error) if !about.need_queue => {
                context.ui.say(&format!(
                    "warning: {error}; pipelines write into their configured database, not into that of a cluster"
                ));
                None
            }
            active => active?,
        };
        let Some((cluster, name)) = active else { return Ok(None) };
        let databases = databases_of(context, instance).await;
        let OfCluster { record, access, told, .. } = OfCluster::ready(&databases, &cluster, &name, cancel).await?;
        runner.write_into(&record, &access);
        Ok(Some(Self { databases, record, kept: cluster.ttl, is_pod: true, beginning: told }))
    }

    /// Waits for a run, and keeps its database for the time of the run and its time to live.
    pub(in crate::commands) async fn during<T>(&self, run: impl Future<Output = T>) -> T {
        self.databases.during(&self.record.name, self.kept, run).await
    }

    /// The name of a database that the user did not choose.
    pub(in crate::commands) fn pod(&self) -> Option<&str> {
        self.is_pod.then_some(self.record.name.as_str())
    }

    /// The remaining lifetime of the database after the run, in words.
    pub(in crate::commands) fn kept(&self) -> Option<String> {
        self.kept.map(|kept| words::ending(kept, self.record.has_page))
    }
}
