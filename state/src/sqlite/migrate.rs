//! Brings a file to the newest format: numbered SQL files, each in one transaction. A new store is made in one, from what
//! they come to: each of them has SQLite read all that is there again, which is most of what a small plan would take.
//!
//! SQLite's `user_version` is the number of the last file that ran, its `application_id` tells a store from the files
//! of other programs. Files that ran are never changed; a new format is a new file.

use super::error::{Failure, unavailable};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use terrace_engine::store::StoreError;
use uuid::Uuid;

/// `TERR` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x5445_5252;

/// Bytes by which the file of a state is recognised, and where they begin: in the header of SQLite the application
/// follows the mode of vacuuming, which no state has.
pub const SQLITE_MARK: (u64, &[u8]) = (64, b"\0\0\0\0TERR");

const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_init.sql"),
    include_str!("../../migrations/sqlite/0002_owner_declaration.sql"),
    include_str!("../../migrations/sqlite/0003_cancel.sql"),
    include_str!("../../migrations/sqlite/0004_deposed.sql"),
    include_str!("../../migrations/sqlite/0005_component_version.sql"),
    include_str!("../../migrations/sqlite/0006_provider_version.sql"),
    include_str!("../../migrations/sqlite/0007_component_generation.sql"),
    include_str!("../../migrations/sqlite/0008_component_generation_index.sql"),
    include_str!("../../migrations/sqlite/0009_cancelled_by.sql"),
    include_str!("../../migrations/sqlite/0010_request.sql"),
    include_str!("../../migrations/sqlite/0011_principals.sql"),
    include_str!("../../migrations/sqlite/0012_idempotency.sql"),
    include_str!("../../migrations/sqlite/0013_operation_of_stack.sql"),
    include_str!("../../migrations/sqlite/0014_process_of_intent.sql"),
    include_str!("../../migrations/sqlite/0015_can_wait.sql"),
    include_str!("../../migrations/sqlite/0016_access_fields.sql"),
    include_str!("../../migrations/sqlite/0017_queue.sql"),
    include_str!("../../migrations/sqlite/0018_request_key.sql"),
    include_str!("../../migrations/sqlite/0019_ids.sql"),
    include_str!("../../migrations/sqlite/0020_request_death.sql"),
    include_str!("../../migrations/sqlite/0021_request_quota.sql"),
    include_str!("../../migrations/sqlite/0022_audit.sql"),
];

/// What [`MIGRATIONS`] make of an empty file.
const NEWEST: &str = include_str!("../../migrations/sqlite/newest.sql");

/// The newest format that this build knows.
pub(crate) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// Tells which format a file has; 0 for an empty one.
///
/// # Errors
/// When the file is no store, or one of a newer format.
pub(super) fn inspect(connection: &Connection, url: &str) -> Result<u32, StoreError> {
    let look = || {
        // In one transaction: another process may be making the store at this very moment.
        let snapshot = connection.unchecked_transaction()?;
        format_of(&snapshot, url)
    };
    look().map_err(|failure: Failure| match failure {
        Failure::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            not_a_store(url, "it is not a SQLite database")
        }
        Failure::Sqlite(error) => unavailable("opened", connection.path(), &error),
        Failure::Refused(error) => error,
    })
}

/// Runs what a file lacks.
pub(super) fn run(connection: &mut Connection, url: &str, now: Timestamp) -> Result<(), StoreError> {
    while inspect(connection, url)? < FORMAT {
        run_next(connection, url, now).map_err(|failure| failure.into_store_error("opened", connection))?;
    }
    Ok(())
}

/// Runs the next file, or makes a new store. Its number is read again inside the transaction: another process may have been faster.
fn run_next(connection: &mut Connection, url: &str, now: Timestamp) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let format = format_of(&transaction, url)?;
    let next = match format {
        0 => Some((FORMAT, NEWEST)),
        _ => (1..).zip(MIGRATIONS.iter().copied()).nth(usize::try_from(format).unwrap_or(usize::MAX)),
    };
    let Some((number, sql)) = next else { return Ok(()) };
    transaction.execute_batch(sql)?;
    if format == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.execute(
            "INSERT INTO store (singleton, id, made_at) VALUES (1, ?1, ?2)",
            (Uuid::now_v7().as_bytes(), now.as_microsecond()),
        )?;
    }
    transaction.pragma_update(None, "user_version", number)?;
    transaction.commit()?;
    tracing::debug!(url, format = number, "the state has a new format");
    Ok(())
}

fn format_of(connection: &Connection, url: &str) -> Result<u32, Failure> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let application = number("application_id")?;
    let format = u32::try_from(number("user_version")?).unwrap_or(u32::MAX);
    if application != i64::from(APPLICATION_ID) {
        let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if application != 0 || format != 0 || objects != 0 {
            return Err(not_a_store(url, "it is another program's SQLite database").into());
        }
    }
    if format > FORMAT {
        return Err(StoreError::NewerFormat { url: url.to_owned(), found: format, known: FORMAT }.into());
    }
    Ok(format)
}

fn not_a_store(url: &str, reason: &str) -> StoreError {
    StoreError::NotAStore { url: url.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a database consists of, in the order in which it was made.
    fn made(connection: &Connection) -> String {
        let mut statement = connection
            .prepare("SELECT sql || ';' || char(10) FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
            .unwrap();
        statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_new_store_is_what_all_files_come_to() {
        let by_files = Connection::open_in_memory().unwrap();
        for sql in MIGRATIONS {
            by_files.execute_batch(sql).unwrap();
        }
        let statements: String =
            NEWEST.lines().skip_while(|line| line.starts_with("--")).map(|line| format!("{line}\n")).collect();
        assert_eq!(statements, made(&by_files), "the right side belongs into migrations/sqlite/newest.sql");

        let mut new = Connection::open_in_memory().unwrap();
        run(&mut new, "sqlite::memory:", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(made(&new), made(&by_files));
        assert_eq!(inspect(&new, "sqlite::memory:").unwrap(), FORMAT);
    }
}
