//! Reads of the journal: open intents, operations with their steps, logs.

use super::columns::Columns;
use super::context::Context;
use super::error::Failure;
use super::lease::{self, Live, process};
use super::{request, stacks};
use crate::clock::elapsed;
use crate::columns::{self, ReadColumns};
use crate::rules::{self, Worker};
use crate::sql::content_columns;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, ToSql, Transaction, params};
use std::ops::RangeInclusive;
use std::time::Duration;
use terrace_store::address::StackId;
use terrace_store::{Cancelled, LogLine, OpenIntent, OperationFilter, OperationRow, Selection, StepRow};
use uuid::Uuid;

/// Intents without an outcome, oldest first.
pub(super) fn open_intents(
    connection: &Connection,
    context: &Context,
    of: &StackId,
    selection: &Selection,
) -> Result<Vec<OpenIntent>, Failure> {
    let Some(stack) = stacks::find(connection, of)? else { return Ok(Vec::new()) };
    let live = lease::live(connection, context)?;
    let now = context.clock.now();
    let sql = concat!(
        "SELECT intent.lease, coalesce(intent.boot, operation.boot),
                coalesce(intent.pid_namespace, operation.pid_namespace), coalesce(intent.pid, operation.pid),
                coalesce(intent.process_started, operation.process_started), operation.id, intent.step, intent.action,
                intent.prior_generation, intent.deposes, intent.timeout, intent.settle, intent.started_at,
                intent.address, intent.deposed, ",
        content_columns!("intent"),
        " FROM intent JOIN operation ON operation.sequence = intent.operation WHERE intent.stack = ?1
          ORDER BY intent.id"
    );
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([stack], |row| {
        let mut columns = Columns::of(row);
        let lease = columns.optional_text()?;
        let is_holder_gone = context.is_gone(process(&mut columns)?.as_ref());
        let (intent, started_at) = columns::intent(&mut columns, of)?;
        let has_live_lease = match lease {
            Some(id) => live.leases.contains(&id),
            None => live.operations.contains(&intent.operation),
        };
        Ok(OpenIntent {
            intent,
            started_at,
            age: elapsed(started_at, now),
            is_orphaned: !has_live_lease,
            is_holder_gone,
            gone_for: Duration::ZERO,
        })
    })?;
    // Filtered here: the table has only the work in flight.
    let mut found = Vec::new();
    for intent in rows {
        let intent = intent?;
        if rules::selects(selection, &intent.intent.row.address) {
            found.push(intent);
        }
    }
    Ok(found)
}

const OPERATION: &str = "SELECT sequence, id, kind, actor, status, started_at, ended_at, summary, cancelled_by,
                                request.operation IS NOT NULL, has_held_leases, boot, pid_namespace, pid,
                                process_started, holder IS NOT NULL, expires
                         FROM operation
                         LEFT JOIN request ON request.operation = operation.sequence AND result IS NULL";

/// Operations, newest first.
pub(super) fn operations(
    connection: &Connection,
    context: &Context,
    filter: &OperationFilter,
) -> Result<Vec<OperationRow>, Failure> {
    let live = lease::live(connection, context)?;
    let OperationFilter { kind, stack, before, limit } = filter;
    let stack = match stack {
        None => None,
        Some(of) => match stacks::find(connection, of)? {
            Some(number) => Some(number),
            None => return Ok(Vec::new()),
        },
    };
    let before = before.as_ref().map(Uuid::as_bytes);
    let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
    let of_stack = "sequence IN (SELECT operation FROM operation_stack WHERE stack = ?)";
    let older = "sequence < (SELECT sequence FROM operation WHERE id = ?)";
    let conditions: [(&str, Option<&dyn ToSql>); 3] = [
        (of_stack, stack.as_ref().map(|stack| stack as &dyn ToSql)),
        ("kind = ?", kind.as_ref().map(|kind| kind as &dyn ToSql)),
        (older, before.as_ref().map(|before| before as &dyn ToSql)),
    ];
    let (mut sql, mut values) = (OPERATION.to_owned(), Vec::new());
    for (condition, value) in conditions {
        let Some(value) = value else { continue };
        sql.push_str(if values.is_empty() { " WHERE " } else { " AND " });
        sql.push_str(condition);
        values.push(value);
    }
    sql.push_str(" ORDER BY sequence DESC LIMIT ?");
    values.push(&limit);
    listed(connection, context, &live, &sql, &values)
}

/// Operations that have not ended, newest first.
pub(super) fn unended(connection: &Connection, context: &Context) -> Result<Vec<OperationRow>, Failure> {
    let live = lease::live(connection, context)?;
    let sql = format!("{OPERATION} WHERE ended_at IS NULL ORDER BY sequence DESC");
    listed(connection, context, &live, &sql, &[])
}

fn listed(
    connection: &Connection,
    context: &Context,
    live: &Live,
    sql: &str,
    values: &[&dyn ToSql],
) -> Result<Vec<OperationRow>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(values, |row| operation_row(&mut Columns::of(row), context, live))?;
    let mut found = Vec::new();
    for row in rows {
        let (sequence, mut row) = row?;
        row.stacks = stacks_of(connection, sequence)?;
        found.push(row);
    }
    Ok(found)
}

/// The IDs of operations within bounds, sorted.
pub(super) fn ids(connection: &Connection, within: &RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, Failure> {
    let sql = "SELECT id FROM operation WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let bounds = params![within.start().as_bytes(), within.end().as_bytes(), limit];
    let rows = statement.query_map(bounds, |row| Columns::of(row).uuid())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The numbers of abandoned operations that started before a moment: they have no end, and no process works on them.
pub(super) fn abandoned(connection: &Connection, context: &Context, moment: Timestamp) -> Result<Vec<i64>, Failure> {
    let live = lease::live(connection, context)?;
    let sql = format!("{OPERATION} WHERE ended_at IS NULL AND started_at < ?1");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows =
        statement.query_map([moment.as_microsecond()], |row| operation_row(&mut Columns::of(row), context, &live))?;
    let mut found = Vec::new();
    for row in rows {
        let (sequence, row) = row?;
        found.extend(rules::is_old(&row, moment).then_some(sequence));
    }
    Ok(found)
}

/// One operation with its steps.
pub(super) fn operation(
    connection: &Connection,
    context: &Context,
    id: Uuid,
) -> Result<Option<(OperationRow, Vec<StepRow>)>, Failure> {
    let live = lease::live(connection, context)?;
    let sql = format!("{OPERATION} WHERE id = ?1");
    let found = connection
        .prepare_cached(&sql)?
        .query_row([id.as_bytes()], |row| operation_row(&mut Columns::of(row), context, &live))
        .optional()?;
    let Some((sequence, mut row)) = found else { return Ok(None) };
    row.stacks = stacks_of(connection, sequence)?;
    Ok(Some((row, steps(connection, sequence)?)))
}

fn operation_row(columns: &mut Columns<'_>, context: &Context, live: &Live) -> rusqlite::Result<(i64, OperationRow)> {
    let sequence = columns.take()?;
    let mut row = columns::operation(columns)?;
    let has_held_leases = columns.flag()?;
    let process = process(columns)?;
    let is_claimed = columns.flag()?;
    let claim_ends = columns.optional_time()?;
    let is_gone = context.is_gone(process.as_ref());
    let name = request::lease_clock_key(sequence);
    let claim = claim_ends.map(|expires| context.term(process.as_ref(), &name, expires));
    let has_live_lease = live.operations.contains(&row.id);
    let worker = Worker { has_live_lease, has_held_leases, claim, is_claimed, is_gone };
    row.is_abandoned = worker.has_abandoned(row.status, context.clock.now());
    row.is_gone = row.is_abandoned && is_gone;
    Ok((sequence, row))
}

fn stacks_of(connection: &Connection, operation: i64) -> Result<Vec<StackId>, Failure> {
    let sql = "SELECT name, environment FROM operation_stack JOIN stack ON stack.id = operation_stack.stack
               WHERE operation = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([operation], |row| Columns::of(row).stack())?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn steps(connection: &Connection, operation: i64) -> Result<Vec<StepRow>, Failure> {
    let sql = "SELECT step, name, environment, address, action, result, message, started_at, ended_at
               FROM step JOIN stack ON stack.id = step.stack WHERE operation = ?1 ORDER BY step";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([operation], |row| columns::step(&mut Columns::of(row)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The log of an operation, oldest line first, without the first `after` lines.
pub(super) fn logs(connection: &Connection, id: Uuid, after: usize) -> Result<Vec<LogLine>, Failure> {
    let sql = "SELECT at, level, phase, message FROM log JOIN operation ON operation.sequence = log.operation
               WHERE operation.id = ?1 ORDER BY log.id LIMIT -1 OFFSET ?2";
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![id.as_bytes(), after], |row| columns::log_line(&mut Columns::of(row)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// True if that plan was applied, or its apply has started.
pub(super) fn is_spent(connection: &Connection, plan: Uuid) -> Result<bool, Failure> {
    Ok(connection.prepare_cached("SELECT 1 FROM spent_plan WHERE plan = ?1")?.exists([plan.as_bytes()])?)
}

/// Cancels a running operation; `None` if it has ended. The operation of a request runs until the request has its
/// result.
pub(super) fn request_cancel(
    transaction: &Transaction<'_>,
    context: &Context,
    id: Uuid,
    by: &str,
) -> Result<Option<Cancelled>, Failure> {
    let sql = "UPDATE operation SET cancelled_by = coalesce(cancelled_by, ?2)
               WHERE id = ?1 AND ended_at IS NULL";
    Ok(match transaction.prepare_cached(sql)?.execute(params![id.as_bytes(), by])? {
        0 => None,
        _ if request::cancel_unstarted(transaction, context, id)? => Some(Cancelled::Ended),
        _ => Some(Cancelled::Notified),
    })
}

/// True if the operation was cancelled.
pub(super) fn is_cancel_requested(connection: &Connection, id: Uuid) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM operation WHERE id = ?1 AND cancelled_by IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.exists([id.as_bytes()])?)
}
