//! The databases of a project by name: those on this machine, and those in the cluster of its settings.

use super::browse::{Rows, Table};
use super::clock::Extension;
use super::database_spec::DatabaseSpec;
use super::databases::Databases;
use super::error::{DatabaseError, missing};
use super::kubernetes::ClusterDatabases;
use super::record::{Access, Record, Status, check_name};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time for the end of expired databases in the cluster before a command goes on.
const ENDING: Duration = Duration::from_secs(10);

/// The databases of a project. A name of this machine precedes the same name in the cluster.
#[derive(Clone)]
pub struct ProjectDatabases {
    /// Databases on this machine.
    pub here: Databases,
    /// Databases in the cluster; nothing if the settings have none.
    pub cluster: Option<Arc<ClusterDatabases>>,
}

impl From<Databases> for ProjectDatabases {
    fn from(here: Databases) -> Self {
        Self { here, cluster: None }
    }
}

impl ProjectDatabases {
    /// The cluster, if a name that this machine does not know may be there.
    fn elsewhere(&self, name: &str) -> Result<Option<&ClusterDatabases>, DatabaseError> {
        let Some(cluster) = self.cluster.as_deref() else { return Ok(None) };
        // This machine reports a name that is not valid.
        if check_name(name).is_err() {
            return Ok(None);
        }
        Ok(if self.here.get(name)?.is_some() { None } else { Some(cluster) })
    }

    /// Returns true if a name that this machine does not know may be that of a database in the cluster.
    #[must_use]
    pub fn may_be_in_cluster(&self, name: &str) -> bool {
        matches!(self.elsewhere(name), Ok(Some(_)))
    }

    /// The cluster that has a database; nothing for this machine.
    async fn place(&self, name: &str) -> Result<Option<&ClusterDatabases>, DatabaseError> {
        let Some(cluster) = self.elsewhere(name)? else { return Ok(None) };
        match cluster.find(name).await? {
            Some(_) => Ok(Some(cluster)),
            None => Err(missing(name, &self.names().await?)),
        }
    }

    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(self.list().await?.into_iter().map(|record| record.name).collect())
    }

    /// Finds a database.
    ///
    /// # Errors
    /// When the name is not valid, or its record cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<Record>, DatabaseError> {
        match self.elsewhere(name)? {
            Some(cluster) => cluster.find(name).await,
            None => self.here.get(name),
        }
    }

    /// Finds an existing database.
    ///
    /// # Errors
    /// When it does not exist.
    pub async fn existing(&self, name: &str) -> Result<Record, DatabaseError> {
        match self.elsewhere(name)? {
            Some(cluster) => match cluster.find(name).await? {
                Some(record) => Ok(record),
                None => Err(missing(name, &self.names().await?)),
            },
            None => self.here.existing(name),
        }
    }

    /// All databases, those of this machine first.
    ///
    /// # Errors
    /// When a record cannot be read, or the cluster does not answer.
    pub async fn list(&self) -> Result<Vec<Record>, DatabaseError> {
        let mut records = self.here.list()?;
        if let Some(cluster) = &self.cluster {
            records.extend(cluster.list().await?);
        }
        Ok(records)
    }

    /// Returns the present status of a database.
    #[must_use]
    pub fn status(&self, record: &Record) -> Status {
        self.here.status(record)
    }

    /// Returns the present status in a word: that of [`Self::status`], or `starting` for a pod that is not ready.
    #[must_use]
    pub fn status_word(&self, record: &Record) -> &'static str {
        let is_starting = record.cluster.as_ref().is_some_and(|cluster| !cluster.is_ready);
        match self.status(record) {
            Status::Running if is_starting => "starting",
            status => status.word(),
        }
    }

    /// Address and password of a database.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn access(&self, record: &Record) -> Result<Access, DatabaseError> {
        match (&record.cluster, &self.cluster) {
            (Some(_), Some(cluster)) => cluster.access(record).await,
            _ => self.here.access(record),
        }
    }

    /// Creates a database in the cluster, or on this machine.
    ///
    /// # Errors
    /// As [`Databases::create`] and [`ClusterDatabases::create`].
    pub async fn create(
        &self,
        spec: &DatabaseSpec,
        in_cluster: bool,
        cancel: &CancellationToken,
    ) -> Result<Record, DatabaseError> {
        match self.cluster.as_ref().filter(|_| in_cluster) {
            Some(cluster) => cluster.create(spec, cancel).await,
            None => self.here.create(spec, cancel).await,
        }
    }

    /// Makes sure that a database runs: starts a stopped one, recreates an expired one.
    ///
    /// # Errors
    /// When it does not exist, or does not start.
    pub async fn ensure(&self, name: &str, cancel: &CancellationToken) -> Result<(Record, Access), DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.ensure(name, cancel).await,
            None => self.here.ensure(name, cancel).await,
        }
    }

    /// Starts a stopped database.
    ///
    /// # Errors
    /// When it does not exist or has expired, or its server does not start.
    pub async fn start(&self, name: &str, cancel: &CancellationToken) -> Result<Record, DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.start(name, cancel).await,
            None => self.here.start(name, cancel).await,
        }
    }

    /// Stops the server of a database; its data and its deadline stay.
    ///
    /// # Errors
    /// When it does not exist, its data would be lost, or its server does not end.
    pub async fn stop(&self, name: &str) -> Result<Record, DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.stop(name).await,
            None => self.here.stop(name).await,
        }
    }

    /// Extends the lifetime of a database.
    ///
    /// # Errors
    /// When it does not exist, has no deadline, or has expired.
    pub async fn extend(&self, name: &str, by: Extension) -> Result<Record, DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.extend(name, by).await,
            None => self.here.extend(name, by).await,
        }
    }

    /// Removes a database with its data.
    ///
    /// # Errors
    /// When its server does not end, or an object or a file cannot be removed.
    pub async fn remove(&self, name: &str) -> Result<(), DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.remove(name).await,
            None => self.here.remove(name).await,
        }
    }

    /// Writes the content of a database to a new file.
    ///
    /// # Errors
    /// When the file exists, the database does not run, or the file cannot be written: then no file remains.
    pub async fn dump(&self, name: &str, file: &Path, cancel: &CancellationToken) -> Result<(), DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.dump(name, file, cancel).await,
            None => self.here.dump(name, file, cancel).await,
        }
    }

    /// Tables and views of a running database.
    ///
    /// # Errors
    /// When it does not exist, is not running, or does not answer.
    pub async fn tables(&self, name: &str) -> Result<Vec<Table>, DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.tables(name).await,
            None => self.here.tables(name).await,
        }
    }

    /// A page of a table's rows; pages count from 0.
    ///
    /// # Errors
    /// As [`ProjectDatabases::tables`], and when the table does not exist.
    pub async fn rows(&self, name: &str, schema: &str, table: &str, page: u64) -> Result<Rows, DatabaseError> {
        match self.place(name).await? {
            Some(cluster) => cluster.rows(name, schema, table, page).await,
            None => self.here.rows(name, schema, table, page).await,
        }
    }

    /// Waits for a run, and extends the lifetime of its database at intervals: at least `remaining` is left after the run.
    pub async fn extend_during<T>(&self, name: &str, remaining: Option<Duration>, run: impl Future<Output = T>) -> T {
        let Some(remaining) = remaining else { return run.await };
        let renew = async || {
            if let Err(error) = self.extend(name, Extension::AtLeast(remaining)).await {
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

    /// Starts missing guards, and ends expired databases in the cluster. A failure is logged: the next call tries again.
    pub async fn guard_all(&self) {
        self.here.guard_all().await;
        let Some(cluster) = &self.cluster else { return };
        match tokio::time::timeout(ENDING, cluster.end_expired()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "expired databases in the cluster cannot be ended"),
            Err(_) => tracing::warn!("expired databases in the cluster are not ended yet"),
        }
    }
}
