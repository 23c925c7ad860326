//! Begin of operations.

use super::context::Context;
use super::error::Failure;
use super::stacks;
use crate::{misuse, values};
use rusqlite::{OptionalExtension, Transaction, params};
use terrace_store::{NewOperation, OperationStatus};

/// Records the begin of an operation. The operation of a request begins with each claim.
pub(super) fn begin(transaction: &Transaction<'_>, context: &Context, operation: &NewOperation) -> Result<(), Failure> {
    let sql = "SELECT operation.sequence FROM operation JOIN request ON request.operation = operation.sequence
               WHERE id = ?1 AND result IS NULL";
    let queued = transaction.prepare_cached(sql)?.query_row([operation.id.as_bytes()], |row| row.get(0)).optional()?;
    let Some(sequence) = queued else {
        return record(transaction, context, operation, OperationStatus::Running).map(drop);
    };
    let sql = "UPDATE operation SET status = ?2 WHERE sequence = ?1";
    transaction.prepare_cached(sql)?.execute((sequence, values::word(&OperationStatus::Running)?))?;
    set_process(transaction, context, sequence)?;
    transaction.prepare_cached("DELETE FROM operation_stack WHERE operation = ?1")?.execute([sequence])?;
    add_stacks(transaction, sequence, operation)
}

/// Records a new operation of this process, and returns its number.
pub(super) fn record(
    transaction: &Transaction<'_>,
    context: &Context,
    operation: &NewOperation,
    status: OperationStatus,
) -> Result<i64, Failure> {
    // Most operations take their leases first.
    let sql = "INSERT INTO operation (id, kind, actor, status, started_at, has_held_leases)
               VALUES (?1, ?2, ?3, ?4, ?5, EXISTS (SELECT 1 FROM lease WHERE operation = ?1 AND id IS NOT NULL))
               ON CONFLICT (id) DO NOTHING";
    let inserted = transaction.prepare_cached(sql)?.execute(params![
        operation.id.as_bytes(),
        operation.kind,
        operation.actor,
        values::word(&status)?,
        context.clock.now().as_microsecond(),
    ])?;
    if inserted == 0 {
        return Err(Failure::misuse(misuse::begun_twice(operation.id)));
    }
    let sequence = transaction.last_insert_rowid();
    set_process(transaction, context, sequence)?;
    add_stacks(transaction, sequence, operation)?;
    Ok(sequence)
}

/// Records that this process runs an operation.
pub(super) fn set_process(transaction: &Transaction<'_>, context: &Context, sequence: i64) -> Result<(), Failure> {
    let sql = "UPDATE operation SET boot = ?2, pid_namespace = ?3, pid = ?4, process_started = ?5 WHERE sequence = ?1";
    let process = context.process.as_ref();
    transaction.prepare_cached(sql)?.execute(params![
        sequence,
        process.map(|process| &process.boot),
        process.map(|process| process.namespace.cast_signed()),
        process.map(|process| process.pid),
        process.map(|process| process.started.cast_signed()),
    ])?;
    Ok(())
}

fn add_stacks(transaction: &Transaction<'_>, sequence: i64, operation: &NewOperation) -> Result<(), Failure> {
    let mut statement =
        transaction.prepare_cached("INSERT INTO operation_stack (operation, position, stack) VALUES (?1, ?2, ?3)")?;
    for (position, stack) in (0_i64..).zip(&operation.stacks) {
        statement.execute((sequence, position, stacks::get_or_create(transaction, stack)?))?;
    }
    Ok(())
}
