//! Reads of the journal: open intents, operations with their steps, logs.

use super::columns::{self, Columns};
use super::error::Failure;
use super::lease::{self, Live};
use super::server::Context;
use super::session::Session;
use super::{read, request};
use crate::beacon::Beacon;
use crate::clock::elapsed;
use crate::columns::ReadColumns;
use crate::rules::{self, Term, Worker};
use crate::sql::content_columns;
use jiff::Timestamp;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use terrace_store::address::StackId;
use terrace_store::{Cancelled, LogLine, OpenIntent, OperationFilter, OperationRow, RequestEnd, Selection, StepRow};
use uuid::Uuid;

/// Intents without an outcome, oldest first, in one statement.
pub(super) async fn open_intents(
    session: &Session,
    context: &Context,
    of: &StackId,
    selection: &Selection,
) -> Result<Vec<OpenIntent>, Failure> {
    let sql = concat!(
        "SELECT now,
                CASE WHEN intent.lease IS NULL
                     THEN EXISTS (SELECT 1 FROM lease
                                  WHERE lease.operation = operation.id AND lease.id IS NOT NULL AND expires > now)
                     ELSE EXISTS (SELECT 1 FROM lease WHERE lease.id = intent.lease AND expires > now) END,
                boot, network_namespace, beacon, gone_at, operation.id, intent.step, intent.action,
                intent.prior_generation, intent.deposes, intent.timeout, intent.settle, intent.started_at,
                intent.address, intent.deposed, ",
        content_columns!("intent"),
        " FROM coalesce($3, clock_timestamp()) AS now, intent JOIN operation ON operation.sequence = intent.operation
          WHERE intent.stack = (SELECT id FROM stack WHERE name = $1 AND environment = $2) ORDER BY intent.id"
    );
    let (name, environment) = (columns::text(&of.name), columns::text(&of.environment));
    let found = session
        .list(sql, &[&name, &environment, &context.test_time()], |columns| {
            let now = columns.time()?;
            let has_live_lease = columns.flag()?;
            let holder = beacon(columns)?;
            let gone_at = columns.optional_time()?;
            let (intent, started_at) = crate::columns::intent(columns, of)?;
            Ok(OpenIntent {
                intent,
                started_at,
                age: elapsed(started_at, now),
                is_orphaned: !has_live_lease,
                // A server on the machine of the process may have recorded its end.
                is_holder_gone: gone_at.is_some() || holder.is_some_and(|holder| holder.is_gone()),
                gone_for: gone_at.map(|at| elapsed(at, now)).unwrap_or_default(),
            })
        })
        .await?;
    // Filtered here: the table has only the work in flight.
    Ok(found.into_iter().filter(|open| rules::selects(selection, &open.intent.row.address)).collect())
}

/// The three columns of a beacon, all present or all null.
fn beacon(columns: &mut Columns<'_>) -> Result<Option<Beacon>, Failure> {
    let (boot, network) = (columns.optional_text()?, columns.take::<Option<i64>>()?);
    let name = columns.optional_text()?;
    Ok(boot.zip(network).zip(name).map(|((boot, network), name)| Beacon {
        boot,
        network: network.cast_unsigned(),
        name,
    }))
}

/// Records dead processes with open steps, as far as this process can see them. The settle time of their calls starts
/// then, and other machines can read it.
pub(super) async fn record_dead_processes(session: &Session, context: &Context) -> Result<(), Failure> {
    let Some(own) = Beacon::own() else { return Ok(()) };
    let sql = "SELECT DISTINCT boot, network_namespace, beacon FROM intent
               WHERE gone_at IS NULL AND boot = $1 AND network_namespace = $2";
    let known = session.list(sql, &[&own.boot, &own.network.cast_signed()], beacon).await?;
    let gone: Vec<String> = known.into_iter().flatten().filter(Beacon::is_gone).map(|gone| gone.name).collect();
    if gone.is_empty() {
        session.roll_back_at_end();
        return Ok(());
    }
    let sql = "UPDATE intent SET gone_at = coalesce($2, clock_timestamp()) WHERE beacon = ANY($1) AND gone_at IS NULL";
    session.execute(sql, &[&gone, &context.test_time()]).await?;
    Ok(())
}

const OPERATION: &str = "SELECT sequence, id, kind, actor, status, started_at, ended_at, summary, cancelled_by,
                                request.operation IS NOT NULL, has_held_leases, holder IS NOT NULL, expires
                         FROM operation
                         LEFT JOIN request ON request.operation = operation.sequence AND result IS NULL";

/// Operations, newest first.
pub(super) async fn operations(
    session: &Session,
    context: &Context,
    filter: OperationFilter,
) -> Result<Vec<OperationRow>, Failure> {
    let live = lease::live(session, context.now(session).await?).await?;
    let OperationFilter { kind, stack, before, limit } = filter;
    let stack = match stack {
        None => None,
        Some(of) => match read::stack(session, &of).await? {
            Some(number) => Some(number),
            None => return Ok(Vec::new()),
        },
    };
    let kind = kind.as_deref().map(columns::text);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!(
        "{OPERATION}
         WHERE ($1::bigint IS NULL OR sequence IN (SELECT operation FROM operation_stack WHERE stack = $1))
           AND ($2::text IS NULL OR kind = $2)
           AND ($3::uuid IS NULL OR sequence < (SELECT sequence FROM operation WHERE id = $3))
         ORDER BY sequence DESC LIMIT $4"
    );
    let found = session.list(&sql, &[&stack, &kind, &before, &limit], |columns| operation_row(columns, &live)).await?;
    with_stacks(session, found).await
}

/// Operations that have not ended, newest first.
pub(super) async fn unended(session: &Session, context: &Context) -> Result<Vec<OperationRow>, Failure> {
    let live = lease::live(session, context.now(session).await?).await?;
    let sql = format!("{OPERATION} WHERE ended_at IS NULL ORDER BY sequence DESC");
    let found = session.list(&sql, &[], |columns| operation_row(columns, &live)).await?;
    with_stacks(session, found).await
}

/// The IDs of operations within bounds, sorted.
pub(super) async fn ids(session: &Session, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, Failure> {
    let sql = "SELECT id FROM operation WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    session.list(sql, &[within.start(), within.end(), &limit], |columns| columns.uuid()).await
}

/// The numbers of abandoned operations that started before a moment: they have no end, and no process works on them.
pub(super) async fn abandoned(session: &Session, now: Timestamp, moment: Timestamp) -> Result<Vec<i64>, Failure> {
    let live = lease::live(session, now).await?;
    let sql = format!("{OPERATION} WHERE ended_at IS NULL AND started_at < $1");
    let found = session.list(&sql, &[&columns::time(moment)], |columns| operation_row(columns, &live)).await?;
    Ok(found.into_iter().filter(|(_, row)| rules::is_old(row, moment)).map(|(sequence, _)| sequence).collect())
}

/// The next operations after a number, oldest first, without their stacks.
pub(super) async fn operations_after(
    session: &Session,
    context: &Context,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, OperationRow)>, Failure> {
    let live = lease::live(session, context.now(session).await?).await?;
    let sql = format!("{OPERATION} WHERE sequence > $1 ORDER BY sequence LIMIT $2");
    session.list(&sql, &[&after, &limit], |columns| operation_row(columns, &live)).await
}

/// One operation with its steps.
pub(super) async fn operation(
    session: &Session,
    context: &Context,
    id: Uuid,
) -> Result<Option<(OperationRow, Vec<StepRow>)>, Failure> {
    let live = lease::live(session, context.now(session).await?).await?;
    let found =
        session.first(&format!("{OPERATION} WHERE id = $1"), &[&id], |columns| operation_row(columns, &live)).await?;
    let Some((sequence, row)) = found else { return Ok(None) };
    let row = with_stacks(session, vec![(sequence, row)]).await?.into_iter().next();
    match row {
        Some(row) => Ok(Some((row, steps(session, sequence).await?))),
        None => Ok(None),
    }
}

fn operation_row(columns: &mut Columns<'_>, live: &Live) -> Result<(i64, OperationRow), Failure> {
    let sequence = columns.take()?;
    let mut row = crate::columns::operation(columns)?;
    let (has_held_leases, is_claimed) = (columns.flag()?, columns.flag()?);
    let claim = columns.optional_time()?.map(Term::until);
    let has_live_lease = live.operations.contains(&row.id);
    // Only the machine of a process knows whether it runs.
    let worker = Worker { has_live_lease, has_held_leases, claim, is_claimed, is_gone: false };
    row.is_abandoned = worker.has_abandoned(row.status, live.now);
    Ok((sequence, row))
}

/// The operations with their stacks.
async fn with_stacks(session: &Session, found: Vec<(i64, OperationRow)>) -> Result<Vec<OperationRow>, Failure> {
    let sequences: Vec<i64> = found.iter().map(|(sequence, _)| *sequence).collect();
    let sql = "SELECT operation, name, environment FROM operation_stack JOIN stack ON stack.id = operation_stack.stack
               WHERE operation = ANY($1) ORDER BY operation, position";
    let mut stacks: HashMap<i64, Vec<StackId>> = HashMap::new();
    for (operation, stack) in
        session.list(sql, &[&sequences], |columns| Ok((columns.take()?, columns.stack()?))).await?
    {
        stacks.entry(operation).or_default().push(stack);
    }
    let with = |(sequence, row)| OperationRow { stacks: stacks.remove(&sequence).unwrap_or_default(), ..row };
    Ok(found.into_iter().map(with).collect())
}

async fn steps(session: &Session, operation: i64) -> Result<Vec<StepRow>, Failure> {
    let sql = "SELECT step, name, environment, address, action, result, message, started_at, ended_at
               FROM step JOIN stack ON stack.id = step.stack WHERE operation = $1 ORDER BY step";
    session.list(sql, &[&operation], |columns| crate::columns::step(columns)).await
}

/// The log of an operation, oldest line first, without the first `after` lines.
pub(super) async fn logs(session: &Session, id: Uuid, after: usize) -> Result<Vec<LogLine>, Failure> {
    let sql = "SELECT at, level, phase, message FROM log JOIN operation ON operation.sequence = log.operation
               WHERE operation.id = $1 ORDER BY log.id OFFSET $2";
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    session.list(sql, &[&id, &after], |columns| crate::columns::log_line(columns)).await
}

/// True if that plan was applied, or its apply has started.
pub(super) async fn is_spent(session: &Session, plan: Uuid) -> Result<bool, Failure> {
    session.exists("SELECT 1 FROM spent_plan WHERE plan = $1", &[&plan]).await
}

/// Cancels a running operation; `None` if it has ended. The operation of a request runs until the request has its
/// result.
pub(super) async fn request_cancel(
    session: &Session,
    context: &Context,
    id: Uuid,
    by: &str,
) -> Result<Option<Cancelled>, Failure> {
    if context.is_repeated && request::is_cancelled_unstarted(session, id).await? {
        return Ok(Some(Cancelled::Ended));
    }
    let unbegun = request::unbegun(session, id).await?;
    let sql = "UPDATE operation SET cancelled_by = coalesce(cancelled_by, $2)
               WHERE id = $1 AND ended_at IS NULL";
    if session.execute(sql, &[&id, &columns::text(by)]).await? == 0 {
        return Ok(None);
    }
    let Some(operation) = unbegun else { return Ok(Some(Cancelled::Notified)) };
    request::end(session, context, operation, &RequestEnd::cancelled()).await?;
    Ok(Some(Cancelled::Ended))
}

/// True if the operation was cancelled.
pub(super) async fn is_cancel_requested(session: &Session, id: Uuid) -> Result<bool, Failure> {
    session.exists("SELECT 1 FROM operation WHERE id = $1 AND cancelled_by IS NOT NULL", &[&id]).await
}
