//! Databases of clusters: pipelines that a cluster's workers run write into them by default.

use super::database_spec::DatabaseSpec;
use super::record::{Access, Record};
use super::{DatabaseError, DatabaseErrorKind, Databases, Extension, Status};
use crate::queue::cluster::Cluster;
use crate::queue::{Queue, QueueError};
use crate::run::Runner;
use async_trait::async_trait;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Database of the active cluster for the pipelines of a folder, by the folder's name in records; nothing without an
/// active cluster, or if it has no databases.
///
/// # Errors
/// When the queue cannot be read.
pub fn for_active_cluster(records: &Path, folder: &str) -> Result<Option<(Cluster, String)>, QueueError> {
    let cluster = active_cluster(records)?;
    Ok(cluster.and_then(|cluster| cluster.database_of(folder).map(|name| (cluster, name))))
}

/// The active cluster.
///
/// # Errors
/// When the queue cannot be read.
pub fn active_cluster(records: &Path) -> Result<Option<Cluster>, QueueError> {
    Queue::open_read_only(records)?.map_or(Ok(None), |queue| queue.active_cluster())
}

/// Prefix of the mark of a cluster's databases.
const MARK: &str = "cluster ";

fn mark(cluster: &Cluster) -> String {
    format!("{MARK}{}", cluster.kind)
}

impl Record {
    /// Kind of the cluster that created it.
    #[must_use]
    pub fn cluster_kind(&self) -> Option<&str> {
        self.mark.as_deref()?.strip_prefix(MARK)
    }
}

impl Databases {
    /// Makes sure that a database of a cluster runs: creates a missing one, starts a stopped one, recreates an expired
    /// one.
    ///
    /// # Errors
    /// When another owner has a database of that name, or it does not start.
    pub async fn ensure_for_cluster(
        &self,
        cluster: &Cluster,
        name: &str,
        cancel: &CancellationToken,
    ) -> Result<(Record, Access), DatabaseError> {
        let spec = DatabaseSpec {
            name: name.to_owned(),
            ttl: cluster.ttl.map(|ttl| format!("{}s", ttl.as_secs())),
            has_page: true,
            is_fresh: cluster.ttl.is_some(),
            mark: Some(mark(cluster)),
            ..DatabaseSpec::default()
        };
        if self.get(name)?.is_none() {
            match self.create(&spec, cancel).await {
                // Another worker was first.
                Err(error) if error.kind == DatabaseErrorKind::AlreadyExists => {}
                result => drop(result?),
            }
        }
        if self.get(name)?.is_some_and(|record| record.mark != spec.mark) {
            let message = format!("`{name}` is a database of this project, and not of the cluster");
            return Err(DatabaseError::new(DatabaseErrorKind::AlreadyExists, message).hint(format!(
                "give it another name, or use the cluster without databases: `terrace pipelines init {} --databases 0`",
                cluster.kind
            )));
        }
        self.ensure(name, cancel).await
    }

    /// Runner that writes into the active cluster's database for the pipelines of a folder; unchanged without such a
    /// database.
    ///
    /// # Errors
    /// When the queue cannot be read, or the database does not start.
    pub async fn runner_for_active_cluster(
        &self,
        runner: &Runner,
        folder: &str,
        cancel: &CancellationToken,
    ) -> Result<Runner, DatabaseError> {
        let (records, requested) = (runner.store.folder().to_owned(), folder.to_owned());
        let failed =
            |error: String| DatabaseError::new(DatabaseErrorKind::Failed, format!("the queue of runs: {error}"));
        let read = tokio::task::spawn_blocking(move || for_active_cluster(&records, &requested)).await;
        let found = read.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        match found {
            Some((cluster, _)) => self.runner_for_cluster(runner, &cluster, folder, cancel).await,
            None => Ok(runner.clone()),
        }
    }

    /// Runner that writes into a cluster's database for the pipelines of a folder; unchanged if the cluster has none.
    ///
    /// # Errors
    /// When the database does not start.
    pub async fn runner_for_cluster(
        &self,
        runner: &Runner,
        cluster: &Cluster,
        folder: &str,
        cancel: &CancellationToken,
    ) -> Result<Runner, DatabaseError> {
        let mut runner = runner.clone();
        if let Some(name) = cluster.database_of(folder) {
            let (record, access) = self.ensure_for_cluster(cluster, &name, cancel).await?;
            runner.write_into(&record, &access);
        }
        Ok(runner)
    }

    /// Databases of a cluster, and those left over from when it had more.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn cluster_databases(&self, cluster: &Cluster) -> Result<(Vec<Record>, Vec<Record>), DatabaseError> {
        let names = cluster.database_names();
        let all = self.list()?.into_iter().filter(|record| record.mark == Some(mark(cluster)));
        Ok(all.partition(|record| names.contains(&record.name)))
    }

    /// Stops databases left over from when a cluster had more; their data stays. Returns their names.
    ///
    /// # Errors
    /// When a server does not end.
    pub async fn stop_surplus(&self, cluster: &Cluster) -> Result<Vec<String>, DatabaseError> {
        let mut stopped = Vec::new();
        for record in self.cluster_databases(cluster)?.1 {
            if self.status(&record) == Status::Running {
                self.stop(&record.name).await?;
                stopped.push(record.name);
            }
        }
        Ok(stopped)
    }

    /// Waits for a run, and extends the lifetime of its database: at least `remaining` is left after the run.
    pub async fn extend_during<T>(&self, name: &str, remaining: Option<Duration>, run: impl Future<Output = T>) -> T {
        extend_during(self, name, remaining, run).await
    }
}

/// Databases with lifetimes.
#[async_trait]
pub(super) trait Extend: Sync {
    /// Extends the lifetime of a database.
    async fn extend_life(&self, name: &str, by: Extension) -> Result<(), DatabaseError>;
}

#[async_trait]
impl Extend for Databases {
    async fn extend_life(&self, name: &str, by: Extension) -> Result<(), DatabaseError> {
        self.extend(name, by).await.map(drop)
    }
}

/// Waits for a run, and extends the lifetime of its database at intervals.
pub(super) async fn extend_during<T>(
    databases: &dyn Extend,
    name: &str,
    remaining: Option<Duration>,
    run: impl Future<Output = T>,
) -> T {
    let Some(remaining) = remaining else { return run.await };
    let renew = async || {
        if let Err(error) = databases.extend_life(name, Extension::AtLeast(remaining)).await {
            tracing::warn!(name, %error, "the lifetime of the run's database cannot be extended");
        }
    };
    let renewing = async {
        loop {
            renew().await;
            tokio::time::sleep(remaining / 3).await;
        }
    };
    let done = tokio::select! {
        done = run => done,
        () = renewing => std::future::pending().await,
    };
    renew().await;
    done
}
