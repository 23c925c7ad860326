//! Present status of a database.

use super::clock::Moment;
use super::record::{Engine, Record, Status};
use super::{Databases, lock, server};

impl Databases {
    /// Returns the present status of a database.
    #[must_use]
    pub fn status(&self, record: &Record) -> Status {
        if let Some(cluster) = &record.cluster {
            return cluster.status;
        }
        if record.is_expired || record.is_due(&Moment::now()) {
            return Status::Expired;
        }
        if !record.is_whole {
            return Status::Creating;
        }
        let is_running = match record.engine {
            Engine::Sqlite => !record.is_stopped && record.data.exists(),
            Engine::Postgres => server::running(&record.data).is_some_and(|server| server.is_ready),
        };
        if is_running { Status::Running } else { Status::Stopped }
    }

    /// Returns true while a process works on a database.
    #[must_use]
    pub fn is_held(&self, name: &str) -> bool {
        lock::is_held(&self.lock_path(name))
    }
}
