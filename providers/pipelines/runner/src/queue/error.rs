//! Errors of the queue, with hints.

use super::limit::Exceeded;
use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// Error of the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file is damaged, or not a database.
    #[error("the queue of runs `{}` is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Message of SQLite.
        why: String,
    },
    /// The file is a database of another program.
    #[error("`{}` is a database, but not a queue of runs", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file comes from a newer terrace.
    #[error("the queue of runs `{}` comes from a newer terrace", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error("the queue of runs `{}` or its folder is read-only", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk is full: the queue of runs `{}` cannot be written", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds a lock for too long.
    #[error("another process keeps the queue of runs `{}` locked", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The pool does not exist.
    #[error("there is no worker pool `{name}`")]
    NoPool {
        /// The name.
        name: String,
        /// Existing pools.
        existing: Vec<String>,
    },
    /// No pool accepts runs.
    #[error("no worker pool is open")]
    NoOpenPool,
    /// The pools that accept the run have no workers.
    #[error("no worker pool that can take the run has workers")]
    NoWorkers,
    /// Another call used the idempotency key.
    #[error("another call was made with that idempotency key")]
    KeyTaken,
    /// A limit of the caller refuses the request.
    #[error("{0}")]
    OverLimit(Box<Exceeded>),
    /// The pool expired.
    #[error("the worker pool `{name}` expired")]
    Expired {
        /// The name.
        name: String,
    },
    /// A pool of that name exists.
    #[error("the worker pool `{name}` exists already")]
    Exists {
        /// The name.
        name: String,
    },
    /// The caller no longer owns the run.
    #[error("run {run} was taken away from its worker")]
    NotOwned {
        /// The run.
        run: String,
    },
    /// Any other error.
    #[error("the queue of runs `{}` cannot be used: {why}", path.display())]
    Other {
        /// The file or folder.
        path: PathBuf,
        /// Message.
        why: String,
    },
}

impl QueueError {
    /// An error of SQLite.
    pub(super) fn sqlite(path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, why: error.to_string() }
            }
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            Some(ErrorCode::DiskFull) => Self::Full { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            _ => Self::Other { path, why: error.to_string() },
        }
    }

    /// An error of the queue's folder.
    pub(super) fn folder(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Other { path, why: error.to_string() },
        }
    }

    /// Returns true for errors that may end by themselves.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }

    /// Hint for the user.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Damaged { path, .. } => format!(
                "move `{0}` and its files `-wal` and `-shm` away: ended runs are recorded elsewhere; queue waiting \
                 runs again; `terrace pipelines run --no-queue` runs pipelines without the queue",
                path.display()
            ),
            Self::Foreign { .. } => "move it away: the queue needs this path".to_owned(),
            Self::Newer { .. } => "use a newer terrace".to_owned(),
            Self::ReadOnly { .. } => "run pipelines without the queue: `--no-queue`".to_owned(),
            Self::Full { .. } => "free some space and try again; queued runs stay".to_owned(),
            Self::Busy { .. } => "try again".to_owned(),
            Self::NoPool { name, existing } => {
                let existing: Vec<&str> = existing.iter().map(String::as_str).collect();
                match terrace_provider::names::closest(name, existing.iter().copied()) {
                    Some(other) => format!("did you mean `{other}`?"),
                    // The pool of a cluster has the name of its kind.
                    None if existing.is_empty() => format!(
                        "create workers with `terrace pipelines init`, or with a `pipelines_worker_pool` of the name `{name}`"
                    ),
                    None => format!("existing pools: {}", terrace_provider::names::listed(&existing)),
                }
            }
            Self::NoOpenPool | Self::NoWorkers => {
                "start workers with `terrace pipelines init local` or a `pipelines_worker_pool`".to_owned()
            }
            Self::KeyTaken => "send a new key for each call".to_owned(),
            Self::Expired { .. } => "recreate it with `terrace pipelines init` or `terrace apply`".to_owned(),
            Self::OverLimit(_) | Self::Exists { .. } | Self::NotOwned { .. } | Self::Other { .. } => return None,
        })
    }
}
