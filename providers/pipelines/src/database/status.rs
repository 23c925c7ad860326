//! How a database is right now.

use super::clock::Moment;
use super::record::{Engine, Record};
use super::{Databases, lock, server};

/// How a database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is being made, or whoever made it is gone.
    Making,
    /// It can be used.
    Running,
    /// Its server does not run; its data is there.
    Stopped,
    /// Its time is over: its data is gone, or goes now.
    Expired,
}

impl Status {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Making => "making",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Expired => "expired",
        }
    }
}

impl Databases {
    /// How a database is right now.
    #[must_use]
    pub fn status(&self, record: &Record) -> Status {
        if record.is_expired || record.is_due(&Moment::now()) {
            return Status::Expired;
        }
        if !record.is_whole {
            return Status::Making;
        }
        let is_running = match record.engine {
            Engine::Sqlite => !record.is_stopped && record.data.exists(),
            Engine::Postgres => server::running(&record.data).is_some_and(|server| server.is_ready),
        };
        if is_running { Status::Running } else { Status::Stopped }
    }

    /// True while somebody works on a database.
    #[must_use]
    pub fn is_held(&self, name: &str) -> bool {
        lock::is_held(&self.lock_of(name))
    }
}
