//! Commits: lock the affected rows, check the leases, then apply the records in order, all in one transaction.

use super::batch::{Batch, Ended, LogEntry, Target};
use super::error::Failure;
use super::rows::{Change, ExpectedChange, RowKey};
use super::server::Context;
use super::session::{Parameters, Session};
use super::write::Writer;
use super::{columns, lease, lock, read};
use crate::{misuse, values};
use std::collections::{BTreeSet, HashMap};
use terrace_store::{ComponentRead, Lease, NewOperation, OperationStatus, Read, Record, Sealed, StoreError, Write};
use uuid::Uuid;

/// Applies all records, or fails; the caller rolls back.
pub(super) async fn commit(
    session: &Session,
    context: &Context,
    leases: &[Lease],
    records: &[Record],
) -> Result<(), Failure> {
    let stacks = lock::for_commit(session, leases, records).await?;
    let checked = lease::check(session, &stacks, leases).await?;
    // The time is read after everything is locked, however long that took.
    let (operations, now) = lock::operations(session, context, &operations(records)).await?;
    // An earlier attempt holds these locks until it has ended: from here on its result is known.
    if context.is_repeated {
        match is_done(session, &operations, records).await? {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => return Err(Failure::UnknownCommit),
        }
    }
    if records.iter().any(|record| matches!(record, Record::Intent(_))) {
        checked.are_current(now)?;
    }
    let target = Target { session, stacks: &stacks, leases, now };
    let writer = Writer { session, stacks: &stacks, now };
    let mut commit = Commit { target, writer, operations, batch: Batch::default() };
    let (before, end) = match records {
        [before @ .., Record::End { operation, status, summary }] => {
            (before, Some((*operation, *status, summary.as_str())))
        }
        all => (all, None),
    };
    for record in before {
        commit.apply(record).await?;
    }
    // The last statement is sent together with the commit, if a lost answer can be resolved.
    match (end, is_repeatable(records)) {
        (None, true) => commit.batch.flush_last(&commit.target).await,
        (None, false) => commit.batch.flush(&commit.target).await,
        (Some(end), is_last) => {
            commit.batch.flush(&commit.target).await?;
            commit.end(end, is_last).await
        }
    }
}

/// Whether the store can find out if the records were written before, or writing them twice is harmless.
fn is_repeatable(records: &[Record]) -> bool {
    let is_once = |record| matches!(record, &Record::SpendPlan { .. } | &Record::Intent(_) | &Record::Outcome { .. });
    records.iter().any(is_once) || records.iter().all(is_same_when_repeated)
}

/// Whether an earlier attempt wrote the same records, by their unique traces: a plan is spent once, a step is opened
/// and closed once, and no other process does so while the writer has the leases. `None` if the records leave no unique
/// trace.
async fn is_done(
    session: &Session,
    operations: &HashMap<Uuid, i64>,
    records: &[Record],
) -> Result<Option<bool>, Failure> {
    for record in records {
        let (operation, step, sql) = match record {
            Record::SpendPlan { plan, .. } => {
                return session.exists("SELECT 1 FROM spent_plan WHERE plan = $1", &[plan]).await.map(Some);
            }
            Record::Intent(intent) => {
                (intent.operation, intent.step, "SELECT 1 FROM step WHERE operation = $1 AND step = $2")
            }
            Record::Outcome { operation, step, .. } => {
                let sql = "SELECT 1 FROM step WHERE operation = $1 AND step = $2 AND result IS NOT NULL";
                (*operation, *step, sql)
            }
            Record::Partial { .. } | Record::Write { .. } | Record::Log { .. } | Record::End { .. } => continue,
        };
        let number = operations.get(&operation).copied();
        return session.exists(sql, &[&number, &i64::from(step)]).await.map(Some);
    }
    // Writing the other records again is harmless; a line of a log may occur twice.
    Ok(records.iter().all(is_same_when_repeated).then_some(false))
}

/// Whether a record is harmless when written twice. An unchanged component gets no new version. A row has another
/// generation then, so that the store refuses the second write.
const fn is_same_when_repeated(record: &Record) -> bool {
    match record {
        Record::Write { write, .. } => match write {
            Write::Component { .. }
            | Write::DropComponent { .. }
            | Write::PutOwner(_)
            | Write::DropOwner { .. }
            | Write::Reseal { .. }
            | Write::ResealComponent { .. }
            | Write::ResealRequest { .. }
            | Write::Follow { .. }
            | Write::FollowReads { .. } => true,
            Write::Put { .. }
            | Write::Delete { .. }
            | Write::Forget { .. }
            | Write::Depose { .. }
            | Write::Move { .. } => false,
        },
        Record::Partial { .. } | Record::Log { .. } | Record::End { .. } => true,
        Record::SpendPlan { .. } | Record::Intent(_) | Record::Outcome { .. } => false,
    }
}

/// The operations that must exist.
fn operations(records: &[Record]) -> BTreeSet<Uuid> {
    let named = |record: &Record| match record {
        Record::Intent(intent) => Some(intent.operation),
        Record::Partial { operation, .. }
        | Record::Outcome { operation, .. }
        | Record::Log { operation, .. }
        | Record::End { operation, .. } => Some(*operation),
        Record::SpendPlan { .. } | Record::Write { .. } => None,
    };
    records.iter().filter_map(named).collect()
}

/// Records the begin of an operation. The operation of a request begins with each claim.
pub(super) async fn begin(session: &Session, context: &Context, operation: &NewOperation) -> Result<(), Failure> {
    let sql = "SELECT operation.sequence,
                      ARRAY(SELECT stack FROM operation_stack WHERE operation = operation.sequence ORDER BY position)
               FROM operation JOIN request ON request.operation = operation.sequence
               WHERE id = $1 AND result IS NULL";
    let queued: Option<(i64, Vec<i64>)> =
        session.first(sql, &[&operation.id], |columns| Ok((columns.take()?, columns.take()?))).await?;
    let Some((sequence, before)) = queued else {
        if context.is_repeated && session.exists("SELECT 1 FROM operation WHERE id = $1", &[&operation.id]).await? {
            return Ok(());
        }
        return record(session, context, operation).await;
    };
    let stacks = lock::get_or_create(session, &operation.stacks.iter().cloned().collect()).await?;
    let sql = "UPDATE operation SET status = $2 WHERE sequence = $1";
    let status = values::word(&OperationStatus::Running)?;
    let numbers = stacks.numbers(operation)?;
    if numbers == before {
        session.last(sql, &[&sequence, &status]).await?;
        return Ok(());
    }
    session.execute(sql, &[&sequence, &status]).await?;
    session.execute("DELETE FROM operation_stack WHERE operation = $1", &[&sequence]).await?;
    let sql = "INSERT INTO operation_stack (operation, stack, position)
               SELECT $1::bigint, * FROM unnest($2::bigint[]) WITH ORDINALITY";
    session.execute(sql, &[&sequence, &numbers]).await?;
    Ok(())
}

/// Records a new operation.
async fn record(session: &Session, context: &Context, operation: &NewOperation) -> Result<(), Failure> {
    let stacks = lock::get_or_create(session, &operation.stacks.iter().cloned().collect()).await?;
    let stacks = stacks.numbers(operation)?;
    // Most operations take their leases first.
    let sql = "WITH begun AS (
                   INSERT INTO operation (id, kind, actor, status, started_at, has_held_leases)
                   VALUES ($1, $2, $3, $4, coalesce($5, clock_timestamp()),
                           EXISTS (SELECT 1 FROM lease WHERE operation = $1 AND id IS NOT NULL))
                   ON CONFLICT (id) DO NOTHING RETURNING sequence),
               of_stacks AS (
                   INSERT INTO operation_stack (operation, stack, position)
                   SELECT sequence, stack, position FROM begun, unnest($6::bigint[]) WITH ORDINALITY AS of (stack, position))
               SELECT sequence FROM begun";
    let (kind, actor) = (columns::text(&operation.kind), columns::text(&operation.actor));
    let (status, now) = (values::word(&OperationStatus::Running)?, context.test_time());
    match session.exists(sql, &[&operation.id, &kind, &actor, &status, &now, &stacks]).await? {
        true => Ok(()),
        false => Err(Failure::misuse(misuse::begun_twice(operation.id))),
    }
}

struct Commit<'a> {
    target: Target<'a>,
    writer: Writer<'a>,
    operations: HashMap<Uuid, i64>,
    batch: Batch<'a>,
}

impl<'a> Commit<'a> {
    async fn apply(&mut self, record: &'a Record) -> Result<(), Failure> {
        match record {
            Record::SpendPlan { plan, reads, components } => self.spend(*plan, reads, components).await,
            Record::Intent(intent) => {
                let operation = self.operation(intent.operation)?;
                self.batch.intent(&self.target, operation, intent).await
            }
            Record::Partial { operation, step, identity, private } => {
                self.partial((*operation, *step), identity.as_ref().map(Sealed::as_str), private.as_deref()).await
            }
            Record::Outcome { operation, step, stack, address, action, result, writes } => {
                let (result, message) = values::of_step_result(result);
                let ended = Ended {
                    operation: (*operation, self.operation(*operation)?),
                    step: *step,
                    stack: self.target.stacks.number(stack)?,
                    address: values::address(address)?,
                    action: values::word(action)?,
                    result,
                    message,
                };
                self.batch.ended(&self.target, ended).await?;
                for write in writes {
                    self.write(*operation, write).await?;
                }
                Ok(())
            }
            Record::Write { operation, write } => self.write(*operation, write).await,
            Record::Log { operation, level, phase, message } => {
                let operation = self.operation(*operation)?;
                self.batch.line(&self.target, LogEntry { operation, level, phase, message }).await
            }
            Record::End { operation, status, summary } => self.end((*operation, *status, summary), false).await,
        }
    }

    /// Ends an operation that has not ended and has no request; together with the commit if `is_last`.
    async fn end(
        &self,
        (operation, status, summary): (Uuid, OperationStatus, &str),
        is_last: bool,
    ) -> Result<(), Failure> {
        let sql = "UPDATE operation SET status = $2, ended_at = $3, summary = $4
                   WHERE sequence = $1 AND ended_at IS NULL
                     AND NOT EXISTS (SELECT 1 FROM request WHERE request.operation = sequence)";
        let (operation, status) = (self.operation(operation)?, values::word(&status)?);
        let (session, now) = (self.target.session, columns::time(self.target.now));
        let parameters: Parameters<'_> = &[&operation, &status, &now, &columns::text(summary)];
        session.write(sql, parameters, is_last).await
    }

    async fn spend(&mut self, plan: Uuid, reads: &[Read], components: &[ComponentRead]) -> Result<(), Failure> {
        self.batch.flush(&self.target).await?;
        let Target { session, stacks, now, .. } = self.target;
        let sql = "INSERT INTO spent_plan (plan, spent_at) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        if session.execute(sql, &[&plan, &columns::time(now)]).await? == 0 {
            return Err(StoreError::PlanSpent.into());
        }
        let stale = read::stale_rows(session, stacks, reads).await?;
        if !stale.is_empty() {
            return Err(StoreError::Stale(stale).into());
        }
        let changed = read::changed_components(session, stacks, components).await?;
        if changed.is_empty() { Ok(()) } else { Err(StoreError::StaleOutputs(changed).into()) }
    }

    async fn partial(
        &mut self,
        (operation, step): (Uuid, u32),
        identity: Option<&str>,
        private: Option<&[u8]>,
    ) -> Result<(), Failure> {
        self.batch.flush(&self.target).await?;
        let sql = "UPDATE intent SET identity = coalesce($3, identity), private = coalesce($4, private)
                   WHERE operation = $1 AND step = $2";
        let number = self.operation(operation)?;
        let identity = identity.map(columns::text);
        let updated = self.target.session.execute(sql, &[&number, &i64::from(step), &identity, &private]).await?;
        if updated == 0 { Err(Failure::misuse(misuse::not_open(operation, step))) } else { Ok(()) }
    }

    /// The number of an operation.
    fn operation(&self, id: Uuid) -> Result<i64, Failure> {
        self.operations.get(&id).copied().ok_or_else(|| Failure::misuse(misuse::never_begun(id)))
    }

    async fn write(&mut self, operation: Uuid, write: &'a Write) -> Result<(), Failure> {
        let stacks = self.target.stacks;
        match write {
            Write::Put { row, expected } => {
                let name = RowKey::new(stacks, &row.stack, &row.address, row.deposed.as_deref())?;
                let change = ExpectedChange { name, change: Change::Put(row), expected: *expected, operation };
                return self.batch.change(&self.target, change).await;
            }
            Write::Delete { stack, address, deposed, expected } => {
                let name = RowKey::new(stacks, stack, address, deposed.as_deref())?;
                let change = ExpectedChange { name, change: Change::Remove, expected: *expected, operation };
                return self.batch.change(&self.target, change).await;
            }
            Write::Reseal { row } => {
                let name = RowKey::new(stacks, &row.stack, &row.address, row.deposed.as_deref())?;
                return self.batch.reseal(&self.target, name, row).await;
            }
            Write::ResealComponent { stack, version, outputs } => {
                return self.batch.reseal_component(&self.target, stack, *version, outputs.as_str()).await;
            }
            Write::ResealRequest { request } => return self.batch.reseal_request(&self.target, request).await,
            Write::Component { stack, component } => {
                return self.batch.component(&self.target, stack, component, operation).await;
            }
            Write::PutOwner(owner) => return self.batch.owner(&self.target, owner).await,
            _ => {}
        }
        // The following writes must see the earlier ones.
        self.batch.flush(&self.target).await?;
        let writer = &self.writer;
        match write {
            Write::Forget { stack, address, deposed, expected } => {
                let name = RowKey::new(stacks, stack, address, deposed.as_deref())?;
                writer.forget(operation, &name, *expected).await
            }
            Write::Depose { stack, address, key, expected } => writer.depose(stack, address, key, *expected).await,
            Write::Move { stack, from, to, expected } => writer.rename(operation, stack, (from, to), *expected).await,
            Write::Follow { stack, block, to } => writer.follow(stack, block, to).await,
            Write::FollowReads { stack, from, to } => writer.follow_reads(stack, from, to).await,
            Write::DropComponent { stack, key } => writer.drop_component(operation, stack, key).await,
            Write::DropOwner { ownership, may_be_last } => writer.drop_owner(ownership, *may_be_last).await,
            Write::Put { .. }
            | Write::Delete { .. }
            | Write::Reseal { .. }
            | Write::ResealComponent { .. }
            | Write::ResealRequest { .. }
            | Write::Component { .. }
            | Write::PutOwner(_) => Ok(()),
        }
    }
}
