//! Databases of clusters: pipelines that a cluster's workers run write into them by default.

use super::database_spec::DatabaseSpec;
use super::kubernetes::{ClusterDatabases, DEFAULT_SIZE};
use super::record::{Access, DataClaim, Record};
use super::{DatabaseError, DatabaseErrorKind, ProjectDatabases, Status};
use crate::queue::cluster::Cluster;
use crate::queue::{Queue, QueueError};
use crate::run::Runner;
use std::path::Path;
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

/// The mark of a cluster's databases. In Kubernetes, a mark names one creation, too: its owner continues it.
fn mark(kind: &str, creation: Option<&str>) -> String {
    let creation = creation.map(|creation| format!(" {creation}"));
    format!("{MARK}{kind}{}", creation.unwrap_or_default())
}

impl Record {
    /// Kind of the cluster that created it.
    #[must_use]
    pub fn cluster_kind(&self) -> Option<&str> {
        self.mark.as_deref()?.strip_prefix(MARK)?.split(' ').next()
    }

    /// The mark of its next creation by any caller: nothing for a database that is not one of a cluster.
    pub(super) fn next_mark(&self) -> Option<String> {
        Some(mark(self.cluster_kind()?, Some(&uuid::Uuid::now_v7().to_string())))
    }
}

/// The command that leaves a cluster as it is, but without databases.
fn without_databases(cluster: &Cluster) -> String {
    format!("`terrace pipelines init {} --workers {} --databases 0`", cluster.kind, cluster.workers)
}

impl ProjectDatabases {
    /// The databases of Kubernetes for a cluster that is there.
    fn in_kubernetes(&self, cluster: &Cluster) -> Result<Option<&ClusterDatabases>, DatabaseError> {
        if cluster.is_here() {
            return Ok(None);
        }
        self.cluster.as_deref().map(Some).ok_or_else(|| {
            let kind = &cluster.kind;
            let message = format!("databases of the cluster `{kind}` need the setting `databaseImage`");
            DatabaseError::new(DatabaseErrorKind::Invalid, message).hint(format!(
                "write `databaseImage: docker.io/library/postgres@sha256:DIGEST` in terrace.yaml, or use the cluster without \
                 databases: {}",
                without_databases(cluster)
            ))
        })
    }

    /// Makes sure that a database of a cluster runs: creates a missing one, starts a stopped one, recreates an expired
    /// one. `creation` names a creation in Kubernetes that only one caller begins and continues; other callers wait for it.
    ///
    /// # Errors
    /// When another owner has a database of that name, or it does not start.
    pub async fn ensure_for_cluster(
        &self,
        cluster: &Cluster,
        name: &str,
        creation: Option<&str>,
        cancel: &CancellationToken,
    ) -> Result<(Record, Access), DatabaseError> {
        let kubernetes = self.in_kubernetes(cluster)?;
        let any = uuid::Uuid::now_v7().to_string();
        let spec = DatabaseSpec {
            name: name.to_owned(),
            ttl: cluster.ttl.map(|ttl| format!("{}s", ttl.as_secs())),
            has_page: true,
            is_fresh: cluster.ttl.is_some(),
            mark: Some(mark(&cluster.kind, kubernetes.map(|_| creation.unwrap_or(&any)))),
            claim: kubernetes.map(|_| DataClaim { size: DEFAULT_SIZE.to_owned(), storage_class: None }),
            ..DatabaseSpec::default()
        };
        let find = async || match kubernetes {
            Some(kubernetes) => kubernetes.find(name).await,
            None => self.here.get(name),
        };
        let found = find().await?;
        let is_own_creation = |record: &Record| {
            kubernetes.is_some() && !record.is_whole && creation.is_some() && record.mark == spec.mark
        };
        if found.as_ref().is_none_or(is_own_creation) {
            match self.create(&spec, kubernetes.is_some(), cancel).await {
                // Another worker was first.
                Err(error)
                    if error.kind == DatabaseErrorKind::AlreadyExists
                        || (kubernetes.is_some() && error.kind.is_temporary()) => {}
                result => drop(result?),
            }
        }
        if find().await?.is_some_and(|record| record.cluster_kind() != Some(cluster.kind.as_str())) {
            let message = format!("`{name}` is a database of this project, and not of the cluster");
            return Err(DatabaseError::new(DatabaseErrorKind::AlreadyExists, message).hint(format!(
                "give it another name, or use the cluster without databases: {}",
                without_databases(cluster)
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
            let (record, access) = self.ensure_for_cluster(cluster, &name, None, cancel).await?;
            runner.write_into(&record, &access);
        }
        Ok(runner)
    }

    /// The existing databases of a cluster, and those that are left over from when it had more.
    ///
    /// # Errors
    /// When a record cannot be read, or Kubernetes does not answer.
    pub async fn of_cluster(&self, cluster: &Cluster) -> Result<(Vec<Record>, Vec<Record>), DatabaseError> {
        let names = cluster.database_names();
        if names.is_empty() && !cluster.is_here() {
            return Ok((Vec::new(), Vec::new()));
        }
        let all = match self.in_kubernetes(cluster)? {
            Some(kubernetes) => kubernetes.list().await?,
            None => self.here.list()?,
        };
        let all = all.into_iter().filter(|record| record.cluster_kind() == Some(cluster.kind.as_str()));
        Ok(all.partition(|record| names.contains(&record.name)))
    }

    /// Stops databases of this machine that are left over from when a cluster had more; their data stays. Returns their
    /// names. In Kubernetes, other projects may use them.
    ///
    /// # Errors
    /// When a server does not end.
    pub async fn stop_surplus(&self, cluster: &Cluster) -> Result<Vec<String>, DatabaseError> {
        let mut stopped = Vec::new();
        if !cluster.is_here() {
            return Ok(stopped);
        }
        for record in self.of_cluster(cluster).await?.1 {
            if self.status(&record) == Status::Running {
                self.stop(&record.name).await?;
                stopped.push(record.name);
            }
        }
        Ok(stopped)
    }
}
