//! Clusters: which one is active, and how far it has been made. Its workers are a pool that is called as its kind, and its
//! databases are called after it, too.

use super::clock::{Moment, milliseconds};
use super::{Queue, QueueError};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its kind, and the name of its pool: `local`.
    pub kind: String,
    /// So many workers it has.
    pub workers: u32,
    /// So many databases it has.
    pub databases: u32,
    /// How long its pods live; nothing where they stay.
    pub ttl: Option<Duration>,
    /// All of it was there once.
    pub is_ready: bool,
}

impl Cluster {
    /// The names of its databases.
    #[must_use]
    pub fn database_names(&self) -> Vec<String> {
        (1..=self.databases).map(|number| format!("dppctl-db-{}-{number}", self.kind)).collect()
    }

    /// The database that the pipelines of a folder write into, as records call that folder; nothing where there is none.
    ///
    /// It is the same one each time, or what one run wrote would be missed by the next. Of several, folders are spread over
    /// all, and one more moves as few folders as can be (rendezvous hashing).
    #[must_use]
    pub fn database_of(&self, folder: &str) -> Option<String> {
        let weight = |name: &String| Sha256::new().chain_update(name).chain_update([0]).chain_update(folder).finalize();
        self.database_names().into_iter().max_by_key(weight)
    }
}

impl Queue {
    /// Begins to make a cluster, or goes on, and makes it the active one.
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

    /// Notes that a cluster is there.
    ///
    /// # Errors
    /// When the queue cannot be written.
    pub fn make_ready(&self, kind: &str) -> Result<(), QueueError> {
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

    /// A cluster that was begun.
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
    fn folders_keep_their_database_and_are_spread_over_all() {
        assert_eq!(cluster(0).database_of("."), None);
        assert_eq!(cluster(1).database_of("."), Some("dppctl-db-local-1".to_owned()));
        let folders: Vec<String> = (0..300).map(|number| format!("orders/{number}")).collect();
        let chosen =
            |databases| folders.iter().map(|folder| cluster(databases).database_of(folder)).collect::<Vec<_>>();
        let (three, four) = (chosen(3), chosen(4));
        for name in cluster(3).database_names() {
            assert!(three.iter().filter(|chosen| **chosen == Some(name.clone())).count() > 50, "{name}");
        }
        // Whoever moves does so to the new one.
        let fourth = Some("dppctl-db-local-4".to_owned());
        assert!(three.iter().zip(&four).all(|(before, after)| before == after || *after == fourth));
        assert!(four.contains(&fourth));
    }
}
