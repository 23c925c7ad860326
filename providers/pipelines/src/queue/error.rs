//! What can be wrong with the queue, in words that a person can act on.

use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done with the queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The file is damaged, or is another thing.
    #[error("the queue of runs `{}` is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// The file is a database of something else.
    #[error("`{}` is a database, and not the queue of runs", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was made by a newer terrace.
    #[error("the queue of runs `{}` was made by a newer terrace", path.display())]
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
    /// There is no room.
    #[error("the disk is full: the queue of runs `{}` cannot be written", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else writes, and does not end.
    #[error("another process keeps the queue of runs `{}` locked", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// There is no pool of that name.
    #[error("there is no worker pool `{name}`")]
    NoPool {
        /// The name.
        name: String,
        /// Those that are there.
        there: Vec<String>,
    },
    /// The time of a pool is over.
    #[error("the worker pool `{name}` expired")]
    Expired {
        /// The name.
        name: String,
    },
    /// A pool of that name is there already.
    #[error("there is a worker pool `{name}` already")]
    Exists {
        /// The name.
        name: String,
    },
    /// A run is no more whose it was.
    #[error("run {run} was taken away from its worker")]
    TakenAway {
        /// The run.
        run: String,
    },
    /// Anything else.
    #[error("the queue of runs `{}` cannot be used: {why}", path.display())]
    Other {
        /// The file or folder.
        path: PathBuf,
        /// Why.
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

    /// An error of the folder that the queue lies in.
    pub(super) fn folder(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            _ => Self::Other { path, why: error.to_string() },
        }
    }

    /// True for what may be another way in a moment.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. })
    }

    /// What a person can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Damaged { path, .. } => format!(
                "move `{0}` away, and what ends in `-wal` and `-shm` beside it: what ended is recorded elsewhere, what \
                 waited is to be queued again; `terrace run --no-queue` runs pipelines without it",
                path.display()
            ),
            Self::Foreign { .. } => "put it elsewhere: the queue has to lie there".to_owned(),
            Self::Newer { .. } => "use a newer terrace".to_owned(),
            Self::ReadOnly { .. } => "runs that are not queued (`--no-queue`) need no queue".to_owned(),
            Self::Full { .. } => "free some space and try again; what is queued stays".to_owned(),
            Self::Busy { .. } => "try again".to_owned(),
            Self::NoPool { name, there } => {
                let there: Vec<&str> = there.iter().map(String::as_str).collect();
                match terrace_provider::names::closest(name, there.iter().copied()) {
                    Some(other) => format!("did you mean `{other}`?"),
                    None if there.is_empty() => {
                        "`terrace init local` makes workers, and so does a `pipelines_worker_pool`".to_owned()
                    }
                    None => format!("there are {}", terrace_provider::names::listed(&there)),
                }
            }
            Self::Expired { .. } => "`terrace init` or `terrace apply` makes it anew".to_owned(),
            Self::Exists { .. } | Self::TakenAway { .. } | Self::Other { .. } => return None,
        })
    }
}
