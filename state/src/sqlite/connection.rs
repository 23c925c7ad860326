//! Opens connections: flags, pragmas, and clear words for what cannot be opened.

use super::error::{Failure, unavailable};
use super::migrate;
use crate::{Access, StoreUrl};
use jiff::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use terrace_engine::store::StoreError;
use uuid::Uuid;

/// How long a connection waits for another process to finish its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// Statements kept prepared on a connection; there are some fifty different ones.
const STATEMENTS: usize = 64;

/// How much of the file the writer keeps in memory, in KiB below zero: enough that the indexes of a hundred thousand
/// rows are not read again for each commit.
const WRITER_CACHE: &str = "-32768";

/// What is at a path.
pub(super) enum Found {
    /// A file that may be a store.
    File,
    /// Nothing, in a folder that exists; for a reader, in one that need not exist.
    Nothing,
}

/// Looks at a path before SQLite does, whose own words for these cases do not help.
pub(super) fn look_at(path: &Path, access: Access) -> Result<Found, StoreError> {
    let refuse = |reason: String| StoreError::Unavailable { doing: "opened", reason };
    match fs::metadata(path) {
        // Terrace makes no such file, see `make`.
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Err(emptied(path)),
        Ok(metadata) if metadata.is_file() && metadata.len() < SMALLEST => Err(cut_short(path)),
        Ok(metadata) if metadata.is_file() => Ok(Found::File),
        Ok(metadata) if metadata.is_dir() => Err(refuse(format!("`{}` is a folder, not a file", path.display()))),
        Ok(_) => Err(refuse(format!("`{}` is not a regular file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(folder) if access == Access::ReadWrite && !folder.as_os_str().is_empty() && !folder.is_dir() => {
                Err(refuse(format!("the folder `{}` does not exist", folder.display())))
            }
            _ => Ok(Found::Nothing),
        },
        Err(error) => Err(refuse(format!("`{}`: {error}", path.display()))),
    }
}

/// Opens the writer's connection of a file, which is made where there is none and brought to the newest format.
pub(super) fn writer(path: &Path, url: &str, now: Timestamp) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if matches!(look_at(path, Access::ReadWrite)?, Found::Nothing) {
        make(path, flags)?;
    }
    let mut connection = open(path, flags)?;
    // Before anything is written: another program's file must stay as it is.
    migrate::inspect(&connection, url)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(|error| unavailable("opened", connection.path(), &error))? {
        let reason = format!("`{}` is read-only", path.display());
        return Err(StoreError::Unavailable { doing: "opened", reason });
    }
    write_ahead(&connection)?;
    for (pragma, value) in [
        ("cache_size", WRITER_CACHE),
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        ("journal_size_limit", "1048576"),
        ("wal_autocheckpoint", "128"),
        // What is pruned may have been recorded before anybody said that it is a secret.
        ("secure_delete", "ON"),
    ] {
        set(&connection, pragma, value)?;
    }
    migrate::run(&mut connection, url, now)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path, url: &str) -> Result<Connection, StoreError> {
    // Not opened read-only: the last connection to close could not fold the log into the file, and would leave it
    // lying about. On a file that cannot be written SQLite falls back by itself.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    set(&connection, "query_only", "ON")?;
    match migrate::inspect(&connection, url) {
        Err(StoreError::Unavailable { .. }) if is_left_alone(path) => {
            let connection = immutable(path)?;
            migrate::inspect(&connection, url)?;
            Ok(connection)
        }
        result => result.map(|_| connection),
    }
}

/// Opens a database of its own that lives in memory.
pub(super) fn memory(url: &str, access: Access, now: Timestamp) -> Result<Connection, StoreError> {
    let mut connection = Connection::open_in_memory().map_err(|error| unavailable("opened", None, &error))?;
    configure(&connection)?;
    set(&connection, "foreign_keys", "ON")?;
    migrate::run(&mut connection, url, now)?;
    if access == Access::ReadOnly {
        set(&connection, "query_only", "ON")?;
    }
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| unavailable("opened", path.to_str(), &error))?;
    configure(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Without it the planner peeks at what is bound to `stack = ?1`, and whoever binds another value has the statement
    // compiled again: three quarters of the time of a commit.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|error| unavailable("opened", connection.path(), &error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| unavailable("opened", connection.path(), &error))
}

fn set(connection: &Connection, pragma: &str, value: &str) -> Result<(), StoreError> {
    connection.pragma_update(None, pragma, value).map_err(|error| unavailable("opened", connection.path(), &error))
}

/// Turns the write-ahead log on. Two processes that do so at once make one of them fail without waiting, whatever the
/// busy timeout: it tries again.
fn write_ahead(connection: &Connection) -> Result<(), StoreError> {
    let give_up = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                let reason = "its file system cannot share memory between processes: keep the state on a local disk";
                return Err(StoreError::Unavailable { doing: "opened", reason: reason.to_owned() });
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(unavailable("opened", connection.path(), &error)),
        }
    }
}

/// Makes a database without any table where there is no file. It comes there as a whole: an empty file at that place is
/// one that lost what it had, and never one that is being made.
fn make(path: &Path, flags: OpenFlags) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", Uuid::now_v7()));
    let unfinished = PathBuf::from(name);
    let made = make_private_for(&unfinished, path).and_then(|()| {
        let connection = open(&unfinished, flags)?;
        // Nobody else has it: what is cut off here leaves nothing at the place.
        set(&connection, "journal_mode", "OFF")?;
        let marked = connection.pragma_update(None, "application_id", migrate::APPLICATION_ID);
        marked.map_err(|error| unavailable("opened", path.to_str(), &error))
    });
    // Another process may have been faster: that one's is left. Not every file system has links.
    let linked = made.and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => make_private(path),
        _ => Ok(()),
    });
    let _ = fs::remove_file(&unfinished);
    linked
}

/// What an empty file is at the place of a state.
fn emptied(path: &Path) -> StoreError {
    let url = StoreUrl::Sqlite(path.to_owned());
    let reason = format!(
        "{url} is damaged, it is empty: restore it from a backup, and remove what ends in `-wal` and `-shm` beside it; \
         to begin anew, remove it"
    );
    StoreError::Unavailable { doing: "opened", reason }
}

/// The smallest page of a SQLite database, in bytes. SQLite takes a file of one byte for a new database.
const SMALLEST: u64 = 512;

/// How every SQLite database begins.
const BEGINNING: &[u8] = b"SQLite format 3\0";

/// The error of a file that is smaller than any database: a damaged state, or another file.
fn cut_short(path: &Path) -> StoreError {
    let url = StoreUrl::Sqlite(path.to_owned());
    let is_of_sqlite = |text: Vec<u8>| text.starts_with(BEGINNING) || BEGINNING.starts_with(&text);
    if !fs::read(path).is_ok_and(is_of_sqlite) {
        let reason = "it is not a SQLite database".to_owned();
        return StoreError::NotAStore { url: url.to_string(), reason };
    }
    let reason = format!(
        "{url} is damaged, it is cut short: restore it from a backup, and remove its files with `-wal` and `-shm`"
    );
    StoreError::Unavailable { doing: "opened", reason }
}

/// Makes an empty file that only its owner may read: the state may hold what others must not see. SQLite gives its
/// log the same permissions.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    make_private_for(path, path)
}

/// The same for what is to become another file, which is the one that is spoken of.
fn make_private_for(path: &Path, named: &Path) -> Result<(), StoreError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable {
            doing: "opened",
            reason: format!("`{}` cannot be created: {error}", named.display()),
        }),
    }
}

/// True when no process has the file open: a log lies beside it as long as one does.
fn is_left_alone(path: &Path) -> bool {
    ["-wal", "-shm"].iter().all(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        fs::exists(&name).is_ok_and(|is_there| !is_there)
    })
}

/// Opens a file in a folder where SQLite cannot put its log, such as a read-only file system.
fn immutable(path: &Path) -> Result<Connection, StoreError> {
    let path = std::path::absolute(path)
        .map_err(|error| StoreError::Unavailable { doing: "opened", reason: error.to_string() })?;
    let Some(path) = path.to_str() else {
        let reason = format!("`{}` is not UTF-8, which a file in a read-only folder must be", path.display());
        return Err(StoreError::Unavailable { doing: "opened", reason });
    };
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .map_err(|error| unavailable("opened", Some(path), &error))?;
    configure(&connection)?;
    Ok(connection)
}

/// Reads the store's identity; nil while there is no store yet.
pub(super) fn identity(connection: &Connection) -> Result<uuid::Uuid, Failure> {
    let bytes: Option<[u8; 16]> =
        rusqlite::OptionalExtension::optional(connection.query_row("SELECT id FROM store", [], |row| row.get(0)))?;
    Ok(bytes.map_or(uuid::Uuid::nil(), uuid::Uuid::from_bytes))
}
