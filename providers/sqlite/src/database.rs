//! Database files: created with a mark in their header, deleted together with SQLite's files next to them.

use crate::connection::{Access, File};
use crate::error::{from_io, from_sqlite};
use crate::identifier::quote;
use crate::mark::Mark;
use rusqlite::{Connection, TransactionBehavior};
use std::path::{Path, PathBuf};
use std::{fs, io};
use terrace_provider::removed_paths::RemovedPaths;
use terrace_provider::{DataAmount, ErrorKind, ProviderError};

/// The suffixes of the files that SQLite keeps beside a database file.
pub(crate) const SIDE_FILES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Creates the file and its folders. It replaces a folder that the operation emptied.
///
/// # Errors
///
/// `AlreadyExists` if there is a database; `InvalidInput` if another folder is at the path; also if the file cannot be
/// created.
pub(crate) fn create(file: &File, mark: &Mark, removed: &RemovedPaths, operation: &str) -> Result<(), ProviderError> {
    if file.location.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        if !is_emptied(&file.location, removed, operation) {
            let message = format!("`path` is `{}`: expected a file, found a folder", file.path);
            return Err(ProviderError::invalid(Some(terrace_provider::Path::attribute("path")), message)
                .solution("name a file in it, or use another path"));
        }
        remove_folders(&file.location)
            .map_err(|error| from_io(&file.path, "removing the empty folder in place of", &error))?;
    }
    if file.exists() {
        return Err(already_there(file));
    }
    let failed = |error: rusqlite::Error| from_sqlite(&file.path, &error);
    let mut connection = file.open(Access::Create)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    if header(&transaction).map_err(failed)? != 0 || !tables(&transaction).map_err(failed)?.is_empty() {
        return Err(already_there(file));
    }
    transaction.pragma_update(None, "application_id", mark.to_application_id()).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// True if this call created the file.
///
/// # Errors
///
/// If the file cannot be read.
pub(crate) fn is_made_by(file: &File, mark: &Mark) -> Result<bool, ProviderError> {
    let connection = file.open(Access::Read)?;
    Ok(header(&connection).map_err(|error| from_sqlite(&file.path, &error))? == mark.to_application_id())
}

/// Checks that the file is a readable database.
///
/// # Errors
///
/// If it is not a database or is damaged.
pub(crate) fn check(file: &File) -> Result<(), ProviderError> {
    let connection = file.open(Access::Read)?;
    tables(&connection).map(drop).map_err(|error| from_sqlite(&file.path, &error))
}

/// Deletes the file and SQLite's files next to it. A database with tables is deleted only if
/// `is_recursive`.
///
/// # Errors
///
/// `InvalidInput` if the database has tables; also if the file cannot be removed.
pub(crate) fn delete(file: &File, is_recursive: bool) -> Result<(), ProviderError> {
    if file.exists() {
        close_down(file, is_recursive)?;
    }
    // The main file is removed last: a call killed before that leaves a complete database.
    for suffix in SIDE_FILES {
        remove(file, suffix)?;
    }
    remove(file, "")
}

/// Counts the rows in the file.
///
/// # Errors
///
/// If the file cannot be read.
pub(crate) fn count_data(file: &File) -> Result<DataAmount, ProviderError> {
    if !file.exists() {
        return Ok(DataAmount::Empty);
    }
    let failed = |error: rusqlite::Error| from_sqlite(&file.path, &error);
    let connection = file.open(Access::Read)?;
    let tables = tables(&connection).map_err(failed)?;
    let mut rows = 0_u64;
    for table in &tables {
        let count = format!("SELECT count(*) FROM {}", quote(table));
        let of_table: i64 = connection.query_row(&count, [], |row| row.get(0)).map_err(failed)?;
        rows = rows.saturating_add(of_table.unsigned_abs());
    }
    Ok(match rows {
        0 => DataAmount::Empty,
        count => DataAmount::Some {
            count,
            text: format!("{} with {}", counted(tables.len() as u64, "table"), counted(count, "row")),
        },
    })
}

/// A number with its noun: `1 row`, `3 rows`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Checks that the database may be deleted and moves all of it into the main file.
fn close_down(file: &File, is_recursive: bool) -> Result<(), ProviderError> {
    let failed = |error: rusqlite::Error| from_sqlite(&file.path, &error);
    let mut connection = file.open(Access::Write)?;
    // No other connection may have an open transaction.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed)?;
    let tables = tables(&transaction).map_err(failed)?;
    drop(transaction);
    if !tables.is_empty() && !is_recursive {
        let message = format!("`{}` still has {}", file.path, counted(tables.len() as u64, "table"));
        return Err(ProviderError::new(ErrorKind::InvalidInput { path: None }, message)
            .problem(format!("it has {}", terrace_provider::names::listed(&tables)))
            .solution("remove the tables first, or set `onDelete: recursive` on the database and apply it"));
    }
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

fn remove(file: &File, suffix: &str) -> Result<(), ProviderError> {
    let mut location = file.location.clone().into_os_string();
    location.push(suffix);
    match fs::remove_file(PathBuf::from(location)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(from_io(&file.path, "removing", &error)),
        _ => Ok(()),
    }
}

/// True if the operation emptied this folder and each folder in it, and none contains a file.
fn is_emptied(folder: &Path, removed: &RemovedPaths, operation: &str) -> bool {
    let has_entry = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok::<bool, io::Error>(entry.file_type()?.is_dir() && is_emptied(&entry.path(), removed, operation))
    };
    removed.has_below(operation, folder)
        && fs::read_dir(folder).is_ok_and(|mut entries| entries.all(|entry| has_entry(entry).unwrap_or_default()))
}

/// Removes a folder and the folders in it. A file that appeared in one of them stays and is an error.
fn remove_folders(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_folders(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

fn already_there(file: &File) -> ProviderError {
    let import_id = Some(terrace_provider::object_id::join([file.path.as_str()]));
    ProviderError::new(ErrorKind::AlreadyExists { import_id }, format!("there is a file `{}` already", file.path))
}

fn header(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// The names of all tables, sorted.
pub(crate) fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let query =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}
