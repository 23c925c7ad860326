//! The queue of a project: worker pools, and runs that wait for a worker. It is a SQLite file next to the records of
//! runs, which any number of processes read and write.
//!
//! A run is `queued`, `assigned` to a worker, `ended`. Each transition is one transaction, and a trigger of the
//! database refuses changes of an ended run. The database does not record whether a worker is alive. Each worker holds
//! a file lock of the operating system ([`lock`]), which ends with its process in every case. So a live worker keeps
//! its run, and nothing waits for a dead one. [`crate::worker`] has the code of workers, and replaces them.
//!
//! Reading order: `error`, [`clock`] (monotonic time), [`pool`] (pools and workers), [`entry`] (waiting runs),
//! `assignment` (how runs are assigned and end), [`request`] (runs that callers of a server request), [`limit`]
//! and `caller_use` (limits of these callers), [`cluster`],
//! [`lock`], `name`.

mod assignment;
mod caller_use;
pub mod clock;
pub mod cluster;
pub mod entry;
mod error;
pub mod limit;
pub mod lock;
mod name;
pub mod pool;
pub mod request;

pub use assignment::{Assignment, CancelOutcome};
pub use caller_use::Lifetime;
pub use entry::{Ending, Entry, NotRunReason, Options, Phase, QueueRequest};
pub use error::QueueError;
pub use pool::{Pod, PodStatus, Pool, PoolSpec};
pub use request::{RequestedRun, Requester};

use crate::private;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Name of the file, next to the records.
const FILE: &str = "queue.db";
/// Migrations in order; `user_version` of a file is the number of applied ones.
const MIGRATIONS: [&str; 5] = [
    include_str!("../migrations/queue/0001_init.sql"),
    include_str!("../migrations/queue/0002_request.sql"),
    include_str!("../migrations/queue/0003_record_index.sql"),
    include_str!("../migrations/queue/0004_usage.sql"),
    include_str!("../migrations/queue/0005_pipeline_index.sql"),
];
/// Time to wait for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
/// Number of ended runs that are kept.
const MAX_ENDED_RUNS: i64 = 5000;

/// The queue of a project.
#[derive(Clone)]
pub struct Queue {
    folder: PathBuf,
    /// Identity of the file, which another file may replace later.
    file: Option<(u64, u64)>,
    connection: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue in the folder of run records, and creates it if it is missing.
    ///
    /// # Errors
    /// When the file cannot be created, is not a queue, or comes from a newer terrace.
    pub fn open(folder: &Path) -> Result<Self, QueueError> {
        let path = folder.join(FILE);
        private::folder(&folder.join(lock::FOLDER)).map_err(|error| QueueError::folder(folder, &error))?;
        // SQLite gives its additional files the permissions of this one. If this fails, SQLite reports why.
        drop(private::file().append(true).open(&path));
        let failed = |error: rusqlite::Error| QueueError::sqlite(&path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
            return Err(QueueError::ReadOnly { path });
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        migrate(&mut connection, &path)?;
        Ok(Self { folder: folder.to_owned(), file: file_identity(&path), connection: Arc::new(Mutex::new(connection)) })
    }

    /// Opens the queue if it exists.
    ///
    /// # Errors
    /// As [`Queue::open`].
    pub fn existing(folder: &Path) -> Result<Option<Self>, QueueError> {
        match folder.join(FILE).try_exists() {
            Ok(false) => Ok(None),
            Ok(true) => Self::open(folder).map(Some),
            Err(error) => Err(QueueError::folder(folder, &error)),
        }
    }

    /// Opens the queue for reads: it creates no folder, and works on a full or read-only disk. Only a queue of an older
    /// terrace needs a disk that it can migrate on.
    ///
    /// # Errors
    /// When the file cannot be read, is not a queue, or comes from a newer terrace.
    pub fn open_read_only(folder: &Path) -> Result<Option<Self>, QueueError> {
        let path = folder.join(FILE);
        match path.try_exists() {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => return Err(QueueError::folder(folder, &error)),
        }
        let connection = match read_only_connection(&path, "mode=ro") {
            // SQLite's additional files cannot be created. They are not needed: the file itself is complete.
            Err(_) if is_checkpointed(&path) => read_only_connection(&path, "immutable=1"),
            opened => opened,
        };
        let failed = |error: rusqlite::Error| QueueError::sqlite(&path, &error);
        let (connection, version) = connection.map_err(failed)?;
        match version {
            0 if has_tables(&connection).map_err(failed)? => Err(QueueError::Foreign { path }),
            // Another process is creating it.
            0 => Ok(None),
            version if version > MIGRATIONS.len() => Err(QueueError::Newer { path }),
            version if version < MIGRATIONS.len() => Self::open(folder).map(Some),
            _ => Ok(Some(Self {
                folder: folder.to_owned(),
                file: file_identity(&path),
                connection: Arc::new(Mutex::new(connection)),
            })),
        }
    }

    /// Returns true while the path still has the opened file: a user may remove a project, or start with a new queue.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.file.is_none() || file_identity(&self.folder.join(FILE)) == self.file
    }

    /// Folder of the queue.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs work in a write transaction.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, TransactionError>) -> Result<T, QueueError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(TransactionError::from);
        let done = done.and_then(|transaction| {
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        });
        drop(connection);
        done.map_err(|failure| self.queue_error(failure))
    }

    /// Runs work in a read transaction.
    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, TransactionError>) -> Result<T, QueueError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = connection.transaction().map_err(TransactionError::from).and_then(|transaction| work(&transaction));
        drop(connection);
        done.map_err(|failure| self.queue_error(failure))
    }

    fn queue_error(&self, failure: TransactionError) -> QueueError {
        match failure {
            TransactionError::Sqlite(error) => QueueError::sqlite(&self.folder.join(FILE), &error),
            TransactionError::Queue(error) => error,
        }
    }

    /// Runs work on the queue outside of the async threads.
    ///
    /// # Errors
    /// The errors of the work.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let queue = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&queue)).await;
        done.map_err(|error| QueueError::Other { path: self.folder.join(FILE), why: error.to_string() })?
    }
}

/// Opens a read-only connection; returns the number of applied migrations too.
fn read_only_connection(path: &Path, how: &str) -> Result<(Connection, usize), rusqlite::Error> {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => address.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => address.push(char::from(*byte)),
            byte => address.push_str(&format!("%{byte:02X}")),
        }
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("{address}?{how}"), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // The first query shows whether the file can be read.
    let version = applied_migrations(&connection)?;
    Ok((connection, version))
}

/// Returns true if the file is complete, without changes in the write-ahead log.
fn is_checkpointed(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).metadata().map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |log| log.len() == 0)
}

/// Number of migrations that a file has.
fn applied_migrations(connection: &Connection) -> Result<usize, rusqlite::Error> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// Returns true if the file has tables.
fn has_tables(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Identity of a file, independent of its name.
fn file_identity(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Records of runs whose outcome is not reported yet, so they must not be removed. Empty without a queue; nothing if it
/// cannot be read.
pub(crate) fn unreported_records(folder: &Path) -> Option<BTreeSet<String>> {
    match Queue::open_read_only(folder) {
        Ok(None) => Some(BTreeSet::new()),
        Ok(Some(queue)) => queue.assigned_records().ok(),
        Err(_) => None,
    }
}

/// Error of a transaction.
enum TransactionError {
    Sqlite(rusqlite::Error),
    Queue(QueueError),
}

impl From<rusqlite::Error> for TransactionError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<QueueError> for TransactionError {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

/// Applies missing migrations; concurrent calls wait for each other.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), QueueError> {
    let failed = |error: rusqlite::Error| QueueError::sqlite(path, &error);
    let newest = MIGRATIONS.len();
    let before = applied_migrations(connection).map_err(failed)?;
    if before > newest {
        return Err(QueueError::Newer { path: path.to_owned() });
    }
    if before == newest {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let before = applied_migrations(&transaction).map_err(failed)?;
    if before == 0 && has_tables(&transaction).map_err(failed)? {
        return Err(QueueError::Foreign { path: path.to_owned() });
    }
    for migration in MIGRATIONS.iter().skip(before) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    let newest = i64::try_from(newest).unwrap_or(i64::MAX);
    transaction.pragma_update(None, "user_version", newest).map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests;
