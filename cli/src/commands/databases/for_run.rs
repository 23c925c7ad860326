//! The database that `terrace run` has pipelines write into: one that is there, or one that is made for them.

use super::{databases_of, failure, shown};
use crate::args::DatabaseChoice;
use crate::commands::Context;
use crate::failure::Failure;
use secrecy::SecretString;
use std::time::Duration;
use terrace_provider::Settings as InstanceSettings;
use terrace_provider_pipelines::database::{Databases, Extension, Record, Wanted, time_to_live, words};
use terrace_provider_pipelines::run::Runner;
use terrace_provider_pipelines::settings::default_database;
use tokio_util::sync::CancellationToken;

/// The database of a run.
pub(in crate::commands) struct RunDatabase {
    databases: Databases,
    record: Record,
    /// How long it is kept after the run, where it was made for it.
    kept: Option<Duration>,
    /// What is told of it once, when the run begins, with its password.
    pub(in crate::commands) beginning: Vec<SecretString>,
}

impl RunDatabase {
    /// Has the steps of a runner write into the chosen database; nothing where none is chosen.
    ///
    /// # Errors
    /// When there is no such database, or it does not come up.
    pub(in crate::commands) async fn ready(
        context: &Context<'_>,
        instance: &InstanceSettings,
        choice: &DatabaseChoice,
        runner: &mut Runner,
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let name = choice.database.clone().or_else(|| default_database(instance));
        if let Some(ttl) = &choice.new_database {
            let kept = time_to_live(ttl).map_err(|why| Failure::new(format!("`--new-database={ttl}`: {why}")))?;
            let databases = databases_of(context, instance).await;
            let wanted = Wanted::fresh(ttl.clone()).map_err(failure)?;
            let record = databases.make(&wanted, cancel).await.map_err(failure)?;
            let access = databases.access(&record).map_err(failure)?;
            let page = shown::page(&databases, &record, true).map_err(failure)?;
            let beginning = words::beginning(&record, &access, page.as_deref());
            let beginning = beginning.into_iter().map(SecretString::from).collect();
            runner.write_into(&record, &access);
            return Ok(Some(Self { databases, record, kept: Some(kept), beginning }));
        }
        let Some(name) = name else { return Ok(None) };
        let databases = databases_of(context, instance).await;
        let (record, access) = databases.ensure(&name, cancel).await.map_err(failure)?;
        runner.write_into(&record, &access);
        Ok(Some(Self { databases, record, kept: None, beginning: Vec::new() }))
    }

    /// Waits for a run, and keeps the database that was made for it for as long as that takes.
    pub(in crate::commands) async fn during<T>(&self, run: impl Future<Output = T>) -> T {
        let Some(kept) = self.kept else { return run.await };
        let renewing = async {
            loop {
                tokio::time::sleep(kept / 3).await;
                self.renew(kept).await;
            }
        };
        tokio::select! {
            done = run => done,
            () = renewing => std::future::pending().await,
        }
    }

    async fn renew(&self, kept: Duration) {
        if let Err(error) = self.databases.extend(&self.record.name, Extension::To(kept)).await {
            tracing::warn!(%error, "the database of the run cannot be kept for longer");
        }
    }

    /// The name of a database that was made for a run.
    pub(in crate::commands) fn made(&self) -> Option<&str> {
        self.kept.map(|_| self.record.name.as_str())
    }

    /// Has a database that was made for a run kept from now on; answers for how long, in words.
    pub(in crate::commands) async fn end(&self) -> Option<String> {
        let kept = self.kept?;
        self.renew(kept).await;
        Some(words::ending(kept, self.record.has_page))
    }
}
