//! Leases. Their rows stay after their holders, because a fence must never decrease.
//!
//! A lease is *live* while it has neither expired nor lost its process. If the process certainly runs, the lease
//! expires only without renewals, independent of the clock (`lease_clock`). Only a live lease blocks other operations.
//! A holder whose lease has ended without a successor may still record results: the fence refuses stale writers.

use super::columns::Columns;
use super::context::Context;
use super::error::Failure;
use super::stacks;
use crate::clock::later;
use crate::columns::{self, ReadColumns};
use crate::process::Process;
use crate::rules;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use std::collections::HashSet;
use std::time::Duration;
use terrace_store::address::{ComponentKey, StackId};
use terrace_store::{Acquired, Lease, LeaseInfo, LeaseRequest};
use uuid::Uuid;

/// A lease that was granted, and neither released nor granted again since.
struct HeldLease {
    info: LeaseInfo,
    process: Option<Process>,
}

impl HeldLease {
    fn is_live(&self, context: &Context, now: Timestamp) -> bool {
        context.term(self.process.as_ref(), &self.info.id, self.info.expires).lasts(now)
    }

    fn is_of_this_process(&self, context: &Context) -> bool {
        self.process.is_some() && self.process == context.process
    }
}

const HELD: &str = "SELECT lease.id, name, environment, component, holder, operation, since, expires,
                            boot, pid_namespace, pid, process_started
                     FROM lease JOIN stack ON stack.id = lease.stack WHERE lease.id IS NOT NULL";

fn held_lease(columns: &mut Columns<'_>) -> rusqlite::Result<HeldLease> {
    Ok(HeldLease { info: columns::lease(columns)?, process: process(columns)? })
}

/// The four columns of a process, all present or all null.
pub(super) fn process(columns: &mut Columns<'_>) -> rusqlite::Result<Option<Process>> {
    let boot: Option<String> = columns.take()?;
    let namespace: Option<i64> = columns.take()?;
    let pid: Option<u32> = columns.take()?;
    let started: Option<i64> = columns.take()?;
    Ok(boot.zip(namespace).zip(pid).zip(started).map(|(((boot, namespace), pid), started)| Process {
        boot,
        namespace: namespace.cast_unsigned(),
        pid,
        started: started.cast_unsigned(),
    }))
}

fn held_leases(connection: &Connection) -> Result<Vec<HeldLease>, Failure> {
    let mut statement = connection.prepare_cached(HELD)?;
    let rows = statement.query_map([], |row| held_lease(&mut Columns::of(row)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The live leases, sorted by stack and component.
pub(super) fn held(connection: &Connection, context: &Context) -> Result<Vec<LeaseInfo>, Failure> {
    let now = context.clock.now();
    let mut held: Vec<LeaseInfo> = held_leases(connection)?
        .into_iter()
        .filter(|lease| lease.is_live(context, now))
        .map(|lease| lease.info)
        .collect();
    held.sort_by(|a, b| (&a.stack, &a.component).cmp(&(&b.stack, &b.component)));
    Ok(held)
}

/// The live leases by ID, and their operations.
pub(super) struct Live {
    /// The leases.
    pub(super) leases: HashSet<String>,
    /// Their operations.
    pub(super) operations: HashSet<Uuid>,
}

/// Reads the live leases.
pub(super) fn live(connection: &Connection, context: &Context) -> Result<Live, Failure> {
    let held = held(connection, context)?;
    Ok(Live {
        operations: held.iter().map(|lease| lease.operation).collect(),
        leases: held.into_iter().map(|lease| lease.id).collect(),
    })
}

/// Grants all requested leases, or none. Each grant has a new ID and a higher fence: open steps of an earlier run of
/// the same operation become orphaned, and that run cannot write any more.
pub(super) fn acquire(
    transaction: &Transaction<'_>,
    context: &Context,
    request: &LeaseRequest,
) -> Result<Acquired, Failure> {
    let now = context.clock.now();
    let mut held = Vec::new();
    for (stack, component) in &request.components {
        let held_lease = find(transaction, stack, component)?.filter(|lease| lease.is_live(context, now));
        held.extend(
            held_lease
                .filter(|lease| rules::blocks(&lease.info, lease.is_of_this_process(context), request))
                .map(|lease| lease.info),
        );
    }
    if !held.is_empty() {
        return Ok(Acquired::Held(held));
    }
    let term = (now, later(now, request.term));
    let mut leases = Vec::with_capacity(request.components.len());
    for (stack, component) in &request.components {
        leases.push(grant(transaction, context, request, (stack, component), term)?);
    }
    transaction
        .prepare_cached("UPDATE operation SET has_held_leases = 1 WHERE id = ?1")?
        .execute([request.operation.as_bytes()])?;
    Ok(Acquired::Granted(leases))
}

fn find(connection: &Connection, stack: &StackId, component: &str) -> Result<Option<HeldLease>, Failure> {
    let sql = format!("{HELD} AND name = ?1 AND environment = ?2 AND component = ?3");
    Ok(connection
        .prepare_cached(&sql)?
        .query_row((&stack.name, &stack.environment, component), |row| held_lease(&mut Columns::of(row)))
        .optional()?)
}

fn grant(
    transaction: &Transaction<'_>,
    context: &Context,
    request: &LeaseRequest,
    (stack, component): (&StackId, &ComponentKey),
    (now, expires): (Timestamp, Timestamp),
) -> Result<Lease, Failure> {
    let number = stacks::get_or_create(transaction, stack)?;
    let id = Uuid::now_v7().to_string();
    let sql = "INSERT INTO lease (stack, component, fence, id, holder, operation, since, expires,
                                  boot, pid_namespace, pid, process_started)
               VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (stack, component) DO UPDATE SET
                   fence = fence + 1, id = excluded.id, holder = excluded.holder, operation = excluded.operation,
                   since = excluded.since, expires = excluded.expires, boot = excluded.boot,
                   pid_namespace = excluded.pid_namespace, pid = excluded.pid,
                   process_started = excluded.process_started
               RETURNING fence";
    let process = context.process.as_ref();
    let fence = transaction.prepare_cached(sql)?.query_row(
        params![
            number,
            component.as_str(),
            id,
            request.holder,
            request.operation.as_bytes(),
            now.as_microsecond(),
            expires.as_microsecond(),
            process.map(|process| &process.boot),
            process.map(|process| process.namespace.cast_signed()),
            process.map(|process| process.pid),
            process.map(|process| process.started.cast_signed()),
        ],
        |row| Columns::of(row).count(),
    )?;
    Ok(Lease { id, stack: stack.clone(), component: component.clone(), fence })
}

fn extend(transaction: &Transaction<'_>, id: &str, expires: Timestamp) -> Result<(), Failure> {
    transaction
        .prepare_cached("UPDATE lease SET expires = ?2 WHERE id = ?1")?
        .execute((id, expires.as_microsecond()))?;
    Ok(())
}

/// Fails if one of the leases was released, broken or granted again.
pub(super) fn check(connection: &Connection, leases: &[Lease]) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("SELECT id, fence FROM lease WHERE stack = ?1 AND component = ?2")?;
    for lease in leases {
        let found: Option<(Option<String>, u64)> = match stacks::find(connection, &lease.stack)? {
            Some(stack) => statement
                .query_row((stack, lease.component.as_str()), |row| {
                    let mut columns = Columns::of(row);
                    Ok((columns.optional_text()?, columns.count()?))
                })
                .optional()?,
            None => None,
        };
        rules::check_fence(lease, found.as_ref().map(|(id, fence)| (id.as_deref(), *fence)))?;
    }
    Ok(())
}

/// Fails if one of the leases has expired, even without a successor.
pub(super) fn check_current(connection: &Connection, now: Timestamp, leases: &[Lease]) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached("SELECT expires FROM lease WHERE id = ?1")?;
    for lease in leases {
        let expires = statement.query_row([&lease.id], |row| Columns::of(row).optional_time()).optional()?;
        rules::check_term(lease, expires.flatten(), now)?;
    }
    Ok(())
}

/// Renews leases for another term.
pub(super) fn renew(
    transaction: &Transaction<'_>,
    now: Timestamp,
    leases: &[Lease],
    term: Duration,
) -> Result<(), Failure> {
    check(transaction, leases)?;
    for lease in leases {
        extend(transaction, &lease.id, later(now, term))?;
    }
    Ok(())
}

/// Releases the lease with that ID; false if it does not exist.
pub(super) fn free(transaction: &Transaction<'_>, id: &str) -> Result<bool, Failure> {
    let sql = "UPDATE lease SET id = NULL, holder = NULL, operation = NULL, since = NULL, expires = NULL,
                                boot = NULL, pid_namespace = NULL, pid = NULL, process_started = NULL
               WHERE id = ?1";
    Ok(transaction.prepare_cached(sql)?.execute([id])? > 0)
}
