//! The queue of a project: pools of workers, and the runs that wait for one. A SQLite file beside the records of runs,
//! which any number of processes read and write.
//!
//! A run is `queued`, `assigned` to a worker, `ended`. Each step is one transaction, and a run that ended is never changed
//! again: the file itself refuses that. Whether a worker lives is not in the file: it holds the lock of the operating system
//! on a file of its own ([`lock`]), which goes with it however it goes, so nobody who lives is robbed and nobody who is dead
//! is waited for. [`crate::worker`] is what workers do, and how they are replaced.
//!
//! Read in this order: `error`, [`clock`] (time that nobody sets), [`pool`] (pools and workers), [`entry`] (runs that wait),
//! `taking` (how they are taken and end), [`cluster`], [`lock`], `name`.

pub mod clock;
pub mod cluster;
pub mod entry;
mod error;
pub mod lock;
mod name;
pub mod pool;
mod taking;

pub use entry::{Ask, Ending, Entry, Options, Phase, WhyNot};
pub use error::QueueError;
pub use pool::{Pod, PodStatus, Pool, WantedPool};
pub use taking::{Cancelled, Taken};

use crate::private;
use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The file, beside the records.
const FILE: &str = "queue.db";
/// What the file looks like, in its order; a file knows how many of these it has seen.
const MIGRATIONS: [&str; 1] = [include_str!("../migrations/queue/0001_init.sql")];
/// How long others are waited for that write.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many runs are remembered after they ended.
const REMEMBERED: i64 = 5000;

/// The queue of a project.
#[derive(Clone)]
pub struct Queue {
    folder: PathBuf,
    /// Which file it is: another one may lie in its place later.
    file: Option<(u64, u64)>,
    connection: Arc<Mutex<Connection>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Queue {
    /// Opens the queue in the folder of the records of runs, and makes it where there is none.
    ///
    /// # Errors
    /// When the file cannot be made, is no queue, or is one of a newer terrace.
    pub fn open(folder: &Path) -> Result<Self, QueueError> {
        let path = folder.join(FILE);
        private::folder(&folder.join(lock::FOLDER)).map_err(|error| QueueError::folder(folder, &error))?;
        // Files that SQLite puts beside it are as open to others as it is. What is wrong with it is told by SQLite.
        drop(private::file().append(true).open(&path));
        let failed = |error: rusqlite::Error| QueueError::sqlite(&path, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags).map_err(failed)?;
        connection.busy_timeout(PATIENCE).map_err(failed)?;
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
            return Err(QueueError::ReadOnly { path });
        }
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
        connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
        migrate(&mut connection, &path)?;
        Ok(Self { folder: folder.to_owned(), file: which(&path), connection: Arc::new(Mutex::new(connection)) })
    }

    /// The same where there is one already.
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

    /// The same for whoever only reads: no folder is made, no file is brought to its newest form, and a disk that is full or
    /// read-only keeps nobody from it.
    ///
    /// # Errors
    /// When the file cannot be read, is no queue, or is one of a newer terrace.
    pub fn to_read(folder: &Path) -> Result<Option<Self>, QueueError> {
        let path = folder.join(FILE);
        match path.try_exists() {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) => return Err(QueueError::folder(folder, &error)),
        }
        let connection = match opened_to_read(&path, "mode=ro") {
            // Files that SQLite puts beside it cannot be made, and none of them holds anything: all is in the file itself.
            Err(_) if is_whole(&path) => opened_to_read(&path, "immutable=1"),
            opened => opened,
        };
        let failed = |error: rusqlite::Error| QueueError::sqlite(&path, &error);
        let (connection, version) = connection.map_err(failed)?;
        match version {
            0 if has_tables(&connection).map_err(failed)? => Err(QueueError::Foreign { path }),
            // It is just being made.
            0 => Ok(None),
            version if version > MIGRATIONS.len() => Err(QueueError::Newer { path }),
            _ => Ok(Some(Self {
                folder: folder.to_owned(),
                file: which(&path),
                connection: Arc::new(Mutex::new(connection)),
            })),
        }
    }

    /// True as long as the file lies where it was opened: somebody may remove a whole project, or begin a queue anew.
    #[must_use]
    pub fn is_still_there(&self) -> bool {
        self.file.is_none() || which(&self.folder.join(FILE)) == self.file
    }

    /// The folder that it lies in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One moment of the queue, changed as a whole or not at all.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Refused>) -> Result<T, QueueError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Refused::from);
        let done = done.and_then(|transaction| {
            let answer = work(&transaction)?;
            transaction.commit()?;
            Ok(answer)
        });
        drop(connection);
        done.map_err(|refused| self.told(refused))
    }

    /// One moment of the queue.
    fn read<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T, Refused>) -> Result<T, QueueError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let done = connection.transaction().map_err(Refused::from).and_then(|transaction| work(&transaction));
        drop(connection);
        done.map_err(|refused| self.told(refused))
    }

    fn told(&self, refused: Refused) -> QueueError {
        match refused {
            Refused::Sqlite(error) => QueueError::sqlite(&self.folder.join(FILE), &error),
            Refused::Queue(error) => error,
        }
    }

    /// Work on the queue where it blocks nobody.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let queue = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&queue)).await;
        done.map_err(|error| QueueError::Other { path: self.folder.join(FILE), why: error.to_string() })?
    }
}

/// A connection that changes nothing, and how many migrations the file has seen.
fn opened_to_read(path: &Path, how: &str) -> Result<(Connection, usize), rusqlite::Error> {
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
    connection.busy_timeout(PATIENCE)?;
    // Nothing is read before that, nor is it known whether anything can be.
    let version = seen(&connection)?;
    Ok((connection, version))
}

/// True where everything is in the file, and nothing in the log beside it.
fn is_whole(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).metadata().map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |log| log.len() == 0)
}

/// How many migrations a file has seen.
fn seen(connection: &Connection) -> Result<usize, rusqlite::Error> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
}

/// True for a file that something lies in.
fn has_tables(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM sqlite_master)", [], |row| row.get(0))
}

/// Which file this is, whatever it is called.
fn which(path: &Path) -> Option<(u64, u64)> {
    path.metadata().ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The records of runs that somebody still has to be told of: they are not removed, however old they are. None where there
/// is no queue, or it cannot be read.
pub(crate) fn untold(folder: &Path) -> Option<BTreeSet<String>> {
    match Queue::to_read(folder) {
        Ok(None) => Some(BTreeSet::new()),
        Ok(Some(queue)) => queue.assigned_records().ok(),
        Err(_) => None,
    }
}

/// Why a transaction is not made.
enum Refused {
    Sqlite(rusqlite::Error),
    Queue(QueueError),
}

impl From<rusqlite::Error> for Refused {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<QueueError> for Refused {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

/// Brings a file to the newest form; two at once wait for each other.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), QueueError> {
    let failed = |error: rusqlite::Error| QueueError::sqlite(path, &error);
    let newest = MIGRATIONS.len();
    let before = seen(connection).map_err(failed)?;
    if before > newest {
        return Err(QueueError::Newer { path: path.to_owned() });
    }
    if before == newest {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    let before = seen(&transaction).map_err(failed)?;
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
