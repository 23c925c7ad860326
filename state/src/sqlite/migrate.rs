//! Upgrades of a file to the newest format: numbered SQL files, each in one transaction. A new store is created from
//! their combined result: SQLite reads the whole schema again for each file, which would take most of the time of a
//! small plan.
//!
//! SQLite's `user_version` is the number of the last executed file, its `application_id` distinguishes a store from
//! files of other programs. Executed files never change; a new format is a new file.

use super::error::{Failure, unavailable};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use terrace_store::StoreError;
use uuid::Uuid;

/// `TERR` in ASCII.
pub(super) const APPLICATION_ID: i32 = 0x5445_5252;

/// Bytes that identify the file of a state, and their offset. In SQLite's header the application ID follows the vacuum
/// mode, which is 0 for a state.
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

/// The result of [`MIGRATIONS`] on an empty file.
const NEWEST: &str = include_str!("../../migrations/sqlite/newest.sql");

/// The newest format that this build knows.
pub(crate) const FORMAT: u32 = MIGRATIONS.len() as u32;

/// The format of a file; 0 for an empty one.
///
/// # Errors
/// When the file is not a store, or has a newer format.
pub(super) fn inspect(connection: &Connection, url: &str) -> Result<u32, StoreError> {
    let look = || {
        // In one transaction: another process may be creating the store at this moment.
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

/// Runs the missing files.
pub(super) fn run(connection: &mut Connection, url: &str, now: Timestamp) -> Result<(), StoreError> {
    while inspect(connection, url)? < FORMAT {
        run_next(connection, url, now).map_err(|failure| failure.into_store_error("opened", connection))?;
    }
    Ok(())
}

/// Runs the next file, or creates a new store. Its number is read again inside the transaction: another process may
/// have been faster.
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
    tracing::debug!(url, format = number, "upgraded the state");
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

    /// The schema of a database, in the order of creation.
    fn schema_of(connection: &Connection) -> String {
        let mut statement = connection
            .prepare("SELECT sql || ';' || char(10) FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
            .unwrap();
        statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn new_store_equals_the_result_of_all_migrations() {
        let by_files = Connection::open_in_memory().unwrap();
        for sql in MIGRATIONS {
            by_files.execute_batch(sql).unwrap();
        }
        let statements: String =
            NEWEST.lines().skip_while(|line| line.starts_with("--")).map(|line| format!("{line}\n")).collect();
        assert_eq!(statements, schema_of(&by_files), "copy the right side to migrations/sqlite/newest.sql");

        let mut new = Connection::open_in_memory().unwrap();
        run(&mut new, "sqlite::memory:", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(schema_of(&new), schema_of(&by_files));
        assert_eq!(inspect(&new, "sqlite::memory:").unwrap(), FORMAT);
    }
}
