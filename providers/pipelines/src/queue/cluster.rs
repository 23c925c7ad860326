//! Clusters: which one is active, and how far it has been made. Its workers are a pool that is called as its kind.

use super::clock::{Moment, milliseconds};
use super::{Queue, QueueError};
use rusqlite::{OptionalExtension, params};
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
