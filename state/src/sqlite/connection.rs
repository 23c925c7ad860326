//! Opening of connections: flags, pragmas, and clear errors.

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
use terrace_store::StoreError;
use uuid::Uuid;

/// How long a connection waits for another process to finish its transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(15);

/// Prepared statements of a connection. There are about fifty different ones.
const STATEMENTS: usize = 64;

/// The page cache of the writer, in negative KiB: enough to keep the indexes of a hundred thousand rows between
/// commits.
const WRITER_CACHE: &str = "-32768";

/// The kind of object at a path.
pub(super) enum PathContent {
    /// A file that may be a store.
    File,
    /// Nothing, in an existing folder; for a reader the folder may be missing, too.
    Missing,
}

/// Checks a path before SQLite does, whose errors for these cases are unclear.
pub(super) fn inspect_path(path: &Path, access: Access) -> Result<PathContent, StoreError> {
    let refuse = |reason: String| StoreError::Unavailable { action: "opened", reason };
    match fs::metadata(path) {
        // Terrace never creates such a file, see `make`.
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => Err(emptied_error(path)),
        Ok(metadata) if metadata.is_file() && metadata.len() < SMALLEST => Err(truncated_error(path)),
        Ok(metadata) if metadata.is_file() => Ok(PathContent::File),
        Ok(metadata) if metadata.is_dir() => Err(refuse(format!("`{}` is a folder, not a file", path.display()))),
        Ok(_) => Err(refuse(format!("`{}` is not a regular file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(folder) if access == Access::ReadWrite && !folder.as_os_str().is_empty() && !folder.is_dir() => {
                Err(refuse(format!("the folder `{}` does not exist", folder.display())))
            }
            _ => Ok(PathContent::Missing),
        },
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(refuse(format!("`{}`: permission denied", path.display())))
        }
        Err(error) => Err(refuse(format!("`{}`: {error}", path.display()))),
    }
}

/// Opens the writer's connection of a file. A missing file is created, an older one upgraded to the newest format.
pub(super) fn writer(path: &Path, url: &str, now: Timestamp) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if matches!(inspect_path(path, Access::ReadWrite)?, PathContent::Missing) {
        make(path, flags)?;
    }
    let mut connection = open(path, flags)?;
    // Before any write: the file of another program must stay unchanged.
    migrate::inspect(&connection, url)?;
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(|error| unavailable("opened", connection.path(), &error))? {
        let reason = format!("`{}` is read-only", path.display());
        return Err(StoreError::Unavailable { action: "opened", reason });
    }
    write_ahead(&connection)?;
    for (pragma, value) in [
        ("cache_size", WRITER_CACHE),
        ("synchronous", "FULL"),
        ("foreign_keys", "ON"),
        ("journal_size_limit", "1048576"),
        ("wal_autocheckpoint", "128"),
        // Pruned rows may contain values that were declared sensitive only later.
        ("secure_delete", "ON"),
    ] {
        set(&connection, pragma, value)?;
    }
    migrate::run(&mut connection, url, now)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path, url: &str) -> Result<Connection, StoreError> {
    // Not opened read-only: then the last connection could not checkpoint the log when it closes, and would leave the
    // log behind. For a read-only file SQLite falls back on its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    set(&connection, "query_only", "ON")?;
    match migrate::inspect(&connection, url) {
        Err(StoreError::Unavailable { .. }) if is_unused(path) => {
            let connection = immutable(path)?;
            migrate::inspect(&connection, url)?;
            Ok(connection)
        }
        result => result.map(|_| connection),
    }
}

/// Opens a database in memory.
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
    // Without it, SQLite's query planner looks at the value for `stack = ?1`, and compiles the statement again for each
    // other value: three quarters of the time of a commit.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(|error| unavailable("opened", connection.path(), &error))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|error| unavailable("opened", connection.path(), &error))
}

fn set(connection: &Connection, pragma: &str, value: &str) -> Result<(), StoreError> {
    connection.pragma_update(None, pragma, value).map_err(|error| unavailable("opened", connection.path(), &error))
}

/// Turns on the write-ahead log. If two processes do so at once, one fails immediately despite the busy timeout, so it
/// retries.
fn write_ahead(connection: &Connection) -> Result<(), StoreError> {
    let give_up = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(_) => {
                let reason = "its file system cannot share memory between processes: keep the state on a local disk";
                return Err(StoreError::Unavailable { action: "opened", reason: reason.to_owned() });
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err(unavailable("opened", connection.path(), &error)),
        }
    }
}

/// Creates a database without tables for a missing file. The file appears as a whole: an empty file at its path has
/// lost its content, and is never one in creation.
fn make(path: &Path, flags: OpenFlags) -> Result<(), StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".new-{}", Uuid::now_v7()));
    let unfinished = PathBuf::from(name);
    let marked_file = make_private_for(&unfinished, path).and_then(|()| {
        let connection = open(&unfinished, flags)?;
        // No other process uses this file: an interruption leaves nothing at the path.
        set(&connection, "journal_mode", "OFF")?;
        let marked = connection.pragma_update(None, "application_id", migrate::APPLICATION_ID);
        marked.map_err(|error| unavailable("opened", path.to_str(), &error))
    });
    // If another process was faster, its file stays. Not every file system supports links.
    let linked = marked_file.and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => make_private(path),
        _ => Ok(()),
    });
    let _ = fs::remove_file(&unfinished);
    linked
}

/// The error of an empty file at the path of a state.
fn emptied_error(path: &Path) -> StoreError {
    let url = StoreUrl::Sqlite(path.to_owned());
    let reason = format!(
        "{url} is damaged: it is empty; restore it from a backup, and remove its `-wal` and `-shm` files; \
         to start with a new state, remove the empty file"
    );
    StoreError::Unavailable { action: "opened", reason }
}

/// The smallest page of a SQLite database, in bytes. SQLite takes a file of one byte for a new database.
const SMALLEST: u64 = 512;

/// The first bytes of every SQLite database.
const BEGINNING: &[u8] = b"SQLite format 3\0";

/// The error of a file that is smaller than any database: a damaged state, or another file.
fn truncated_error(path: &Path) -> StoreError {
    let url = StoreUrl::Sqlite(path.to_owned());
    let is_of_sqlite = |text: Vec<u8>| text.starts_with(BEGINNING) || BEGINNING.starts_with(&text);
    if !fs::read(path).is_ok_and(is_of_sqlite) {
        let reason = "it is not a SQLite database".to_owned();
        return StoreError::NotAStore { url: url.to_string(), reason };
    }
    let reason =
        format!("{url} is damaged: it is cut short; restore it from a backup, and remove its `-wal` and `-shm` files");
    StoreError::Unavailable { action: "opened", reason }
}

/// Creates an empty file that only its owner may read: the state may be confidential. SQLite gives its log the same
/// permissions.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    make_private_for(path, path)
}

/// Creates such a file under a temporary name. Errors mention the final name.
fn make_private_for(path: &Path, named: &Path) -> Result<(), StoreError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable {
            action: "opened",
            reason: format!("cannot create `{}`: {error}", named.display()),
        }),
    }
}

/// True if no process has the file open: an open file has a log next to it.
fn is_unused(path: &Path) -> bool {
    ["-wal", "-shm"].iter().all(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        fs::exists(&name).is_ok_and(|exists| !exists)
    })
}

/// Opens a file in a folder where SQLite cannot create its log, such as a read-only file system.
fn immutable(path: &Path) -> Result<Connection, StoreError> {
    let path = std::path::absolute(path)
        .map_err(|error| StoreError::Unavailable { action: "opened", reason: error.to_string() })?;
    let Some(path) = path.to_str() else {
        let reason = format!("`{}` is not UTF-8: a file in a read-only folder has to be", path.display());
        return Err(StoreError::Unavailable { action: "opened", reason });
    };
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
        .map_err(|error| unavailable("opened", Some(path), &error))?;
    configure(&connection)?;
    Ok(connection)
}

/// The store's identity; nil if there is no store yet.
pub(super) fn identity(connection: &Connection) -> Result<uuid::Uuid, Failure> {
    let bytes: Option<[u8; 16]> =
        rusqlite::OptionalExtension::optional(connection.query_row("SELECT id FROM store", [], |row| row.get(0)))?;
    Ok(bytes.map_or(uuid::Uuid::nil(), uuid::Uuid::from_bytes))
}
