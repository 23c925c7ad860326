//! Numbers of stacks.

use super::error::Failure;
use rusqlite::{Connection, OptionalExtension, Transaction};
use terrace_store::address::StackId;

/// The number of a stack; `None` if the state has never had it.
pub(super) fn find(connection: &Connection, stack: &StackId) -> Result<Option<i64>, Failure> {
    Ok(connection
        .prepare_cached("SELECT id FROM stack WHERE name = ?1 AND environment = ?2")?
        .query_row((&stack.name, &stack.environment), |row| row.get(0))
        .optional()?)
}

/// The number of a stack, which is added if necessary.
pub(super) fn get_or_create(transaction: &Transaction<'_>, stack: &StackId) -> Result<i64, Failure> {
    if let Some(number) = find(transaction, stack)? {
        return Ok(number);
    }
    transaction
        .prepare_cached("INSERT INTO stack (name, environment) VALUES (?1, ?2)")?
        .execute((&stack.name, &stack.environment))?;
    Ok(transaction.last_insert_rowid())
}
