//! Clusters: the active one, and whether it is complete. The pool of its workers has its kind as name; the names of its
//! databases contain the kind.

use super::clock::{Moment, milliseconds};
use super::{Queue, QueueError};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Kinds whose workers and databases are processes of this machine. Databases of other kinds are in Kubernetes.
const KINDS_HERE: [&str; 2] = ["local", "public"];

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Kind, and name of its pool: `local`.
    pub kind: String,
    /// Number of workers.
    pub workers: u32,
    /// Number of databases.
    pub databases: u32,
    /// Lifetime of its pods; nothing if they stay.
    pub ttl: Option<Duration>,
    /// All parts were created once.
    pub is_ready: bool,
}

/// Beginning of the names of databases.
const DATABASE: &str = "dppctl-db-";

impl Cluster {
    /// True if its databases are processes of this machine.
    #[must_use]
    pub fn is_here(&self) -> bool {
        KINDS_HERE.contains(&self.kind.as_str())
    }

    /// Names of its databases.
    #[must_use]
    pub fn database_names(&self) -> Vec<String> {
        (1..=self.databases).map(|number| format!("{DATABASE}{}-{number}", self.kind)).collect()
    }

    /// The kind of the cluster in Kubernetes whose databases have names such as this one, and the number of the database.
    #[must_use]
    pub fn in_kubernetes_with(database: &str) -> Option<(&str, u32)> {
        let (kind, number) = database.strip_prefix(DATABASE)?.rsplit_once('-')?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        (!kind.is_empty() && !KINDS_HERE.contains(&kind)).then_some((kind, number))
    }

    /// Database for the pipelines of a folder, by the folder's name in records; nothing if the cluster has none.
    ///
    /// The choice is constant, since runs read what earlier ones wrote. Folders are spread over all databases, and a
    /// new database moves as few folders as possible (rendezvous hashing).
    #[must_use]
    pub fn database_of(&self, folder: &str) -> Option<String> {
        let weight = |name: &String| Sha256::new().chain_update(name).chain_update([0]).chain_update(folder).finalize();
        self.database_names().into_iter().max_by_key(weight)
    }
}

impl Queue {
    /// Starts or continues to create a cluster, and makes it the active one.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn begin_cluster(&self, cluster: &Cluster) -> Result<(), QueueError> {
        let now = Moment::now();
        self.write(|transaction| {
            transaction.execute("UPDATE cluster SET is_active = 0 WHERE kind <> ?1", [&cluster.kind])?;
            transaction.execute(
                "INSERT INTO cluster (kind, is_active, workers, databases, ttl, is_ready, created_at)
                 VALUES (?1, 1, ?2, ?3, ?4, 0, ?5)
                 ON CONFLICT (kind) DO UPDATE SET is_active = 1, workers = excluded.workers,
                   databases = excluded.databases, ttl = excluded.ttl, is_ready = 0",
                params![cluster.kind, cluster.workers, cluster.databases, cluster.ttl.map(milliseconds), now.at],
            )?;
            Ok(())
        })
    }

    /// Marks a cluster as complete.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn mark_ready(&self, kind: &str) -> Result<(), QueueError> {
        self.write(|transaction| {
            transaction.execute("UPDATE cluster SET is_ready = 1 WHERE kind = ?1", [kind])?;
            Ok(())
        })
    }

    /// The active cluster.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn active_cluster(&self) -> Result<Option<Cluster>, QueueError> {
        self.cluster_where("is_active = 1 AND ?1 = ''", "")
    }

    /// Returns a cluster, complete or not.
    ///
    /// # Errors
    /// When the queue cannot be read.
    pub fn cluster(&self, kind: &str) -> Result<Option<Cluster>, QueueError> {
        self.cluster_where("kind = ?1", kind)
    }

    fn cluster_where(&self, condition: &'static str, argument: &str) -> Result<Option<Cluster>, QueueError> {
        self.read(|transaction| {
            let query = format!("SELECT kind, workers, databases, ttl, is_ready FROM cluster WHERE {condition}");
            let found = transaction.query_row(&query, [argument], |row| {
                let ttl: Option<i64> = row.get(3)?;
                Ok(Cluster {
                    kind: row.get(0)?,
                    workers: row.get(1)?,
                    databases: row.get(2)?,
                    ttl: ttl.map(|ttl| Duration::from_millis(u64::try_from(ttl).unwrap_or_default())),
                    is_ready: row.get(4)?,
                })
            });
            Ok(found.optional()?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(databases: u32) -> Cluster {
        Cluster { kind: "local".to_owned(), workers: 2, databases, ttl: None, is_ready: true }
    }

    #[test]
    fn name_of_a_database_leads_to_its_cluster() {
        let name = Cluster { kind: "minikube-public".to_owned(), ..cluster(12) }.database_names().pop().unwrap();
        assert_eq!(Cluster::in_kubernetes_with(&name), Some(("minikube-public", 12)));
        for other in
            ["dppctl-db-local-1", "dppctl-db-koejijdif48jo", "dppctl-db-kubernetes-0", "dppctl-db--1", "orders-1"]
        {
            assert_eq!(Cluster::in_kubernetes_with(other), None, "{other}");
        }
    }

    #[test]
    fn folders_keep_their_database_and_spread() {
        assert_eq!(cluster(0).database_of("."), None);
        assert_eq!(cluster(1).database_of("."), Some("dppctl-db-local-1".to_owned()));
        let folders: Vec<String> = (0..300).map(|number| format!("orders/{number}")).collect();
        let chosen =
            |databases| folders.iter().map(|folder| cluster(databases).database_of(folder)).collect::<Vec<_>>();
        let (three, four) = (chosen(3), chosen(4));
        for name in cluster(3).database_names() {
            assert!(three.iter().filter(|chosen| **chosen == Some(name.clone())).count() > 50, "{name}");
        }
        // A folder moves only to the new database.
        let fourth = Some("dppctl-db-local-4".to_owned());
        assert!(three.iter().zip(&four).all(|(before, after)| before == after || *after == fourth));
        assert!(four.contains(&fourth));
    }
}
