//! Present status of a database.

use super::clock::Moment;
use super::record::{Engine, Record};
use super::{Databases, lock, server};

/// Status of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being created, or its creation was interrupted.
    Creating,
    /// It can be used.
    Running,
    /// Its server is stopped; its data remains.
    Stopped,
    /// It has expired: its data is gone, or about to be removed.
    Expired,
}

impl Status {
    /// Its word for people and attributes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Creating => "making",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Expired => "expired",
        }
    }
}

impl Databases {
    /// Returns the present status of a database.
    #[must_use]
    pub fn status(&self, record: &Record) -> Status {
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
