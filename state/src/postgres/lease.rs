//! Leases. Their rows stay after their holders, because a fence must never decrease.
//!
//! Holders are on many machines, so that leases end only by expiry. A holder whose lease has ended without a successor
//! may still record results: the fence refuses stale writers. The fence is compared under a lock until the writer's
//! commit, so that a successor gets the lease either before the comparison or after the commit.

use super::columns::{self, Columns};
use super::error::Failure;
use super::lock;
use super::server::Context;
use super::session::Session;
use crate::clock::later;
use crate::columns::ReadColumns;
use crate::rules::{self, Term};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;
use terrace_store::address::{ComponentKey, StackId};
use terrace_store::{Acquired, Lease, LeaseInfo, LeaseRequest};
use uuid::Uuid;

const HELD: &str = "SELECT lease.id, name, environment, component, holder, operation, since, expires
                    FROM lease JOIN stack ON stack.id = lease.stack WHERE lease.id IS NOT NULL AND expires > $1
                    ORDER BY name, environment, component";

/// The live leases, sorted by stack and component.
pub(super) async fn held(session: &Session, now: Timestamp) -> Result<Vec<LeaseInfo>, Failure> {
    let mut held = session.list(HELD, &[&columns::time(now)], |columns| crate::columns::lease(columns)).await?;
    held.sort_by(|a, b| (&a.stack, &a.component).cmp(&(&b.stack, &b.component)));
    Ok(held)
}

/// The operations that hold leases.
pub(super) struct Live {
    /// The operations of the live leases.
    pub(super) operations: HashSet<Uuid>,
    /// The time of the check.
    pub(super) now: Timestamp,
}

/// Reads the live leases.
pub(super) async fn live(session: &Session, now: Timestamp) -> Result<Live, Failure> {
    let operations = held(session, now).await?.into_iter().map(|lease| lease.operation).collect();
    Ok(Live { operations, now })
}

/// The row of a lease, held or free.
struct Found {
    fence: u64,
    id: Option<String>,
    operation: Option<Uuid>,
    holder: Option<String>,
    origin: Option<String>,
    since: Option<Timestamp>,
    expires: Option<Timestamp>,
}

impl Found {
    fn read(columns: &mut Columns<'_>) -> Result<((i64, ComponentKey), Self), Failure> {
        let key = (columns.take()?, columns.component()?);
        let found = Self {
            fence: columns.count()?,
            id: columns.optional_text()?,
            operation: columns.take()?,
            holder: columns.optional_text()?,
            origin: columns.take()?,
            since: columns.optional_time()?,
            expires: columns.optional_time()?,
        };
        Ok((key, found))
    }

    /// The lease, if it blocks other operations.
    fn live(&self, (stack, component): (&StackId, &ComponentKey), now: Timestamp) -> Option<LeaseInfo> {
        let expires = self.expires.filter(|expires| Term::until(*expires).lasts(now))?;
        Some(LeaseInfo {
            id: self.id.clone()?,
            stack: stack.clone(),
            component: component.clone(),
            holder: self.holder.clone().unwrap_or_default(),
            operation: self.operation?,
            since: self.since?,
            expires,
        })
    }
}

/// The kinds of row locks.
#[derive(Clone, Copy)]
enum Lock {
    Share,
    Update,
}

/// Locks the rows of leases, in order.
async fn locked(
    session: &Session,
    keys: &BTreeSet<(i64, &str)>,
    lock: Lock,
) -> Result<BTreeMap<(i64, ComponentKey), Found>, Failure> {
    let (stacks, components): (Vec<_>, Vec<_>) =
        keys.iter().map(|(stack, component)| (*stack, columns::text(component))).unzip();
    let sql = match lock {
        Lock::Share => {
            "SELECT stack, component, fence, id, operation, holder, origin, since, expires FROM lease
             WHERE (stack, component) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
             ORDER BY stack, component FOR SHARE OF lease"
        }
        Lock::Update => {
            "SELECT stack, component, fence, id, operation, holder, origin, since, expires FROM lease
             WHERE (stack, component) IN (SELECT * FROM unnest($1::bigint[], $2::text[]))
             ORDER BY stack, component FOR UPDATE OF lease"
        }
    };
    Ok(session.list(sql, &[&stacks, &components], Found::read).await?.into_iter().collect())
}

/// Grants all requested leases, or none. Each grant has a new ID and a higher fence: open steps of an earlier run of
/// the same operation become orphaned, and that run cannot write any more.
pub(super) async fn acquire(session: &Session, context: &Context, request: &LeaseRequest) -> Result<Acquired, Failure> {
    let stacks =
        lock::get_or_create(session, &request.components.iter().map(|(stack, _)| stack.clone()).collect()).await?;
    let mut keys = BTreeSet::new();
    for (stack, component) in &request.components {
        keys.insert((stacks.number(stack)?, component.as_str()));
    }
    // Missing rows cannot be locked, so each row is created first, with a fence that no operation holds.
    let (numbers, components): (Vec<_>, Vec<_>) =
        keys.iter().map(|(stack, component)| (*stack, columns::text(component))).unzip();
    let sql = "INSERT INTO lease (stack, component, fence)
               SELECT stack, component, 0
               FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS wanted (stack, component, position)
               ORDER BY position ON CONFLICT DO NOTHING";
    session.execute(sql, &[&numbers, &components]).await?;
    let found = locked(session, &keys, Lock::Update).await?;
    let now = context.now(session).await?;

    let (mut granted, mut held) = (Vec::new(), Vec::new());
    for (stack, component) in &request.components {
        let number = stacks.number(stack)?;
        let row = found
            .get(&(number, component.clone()))
            .ok_or_else(|| Failure::Unreadable(format!("the lease on `{component}` of {stack} has no row")))?;
        let is_of_this_process = row.origin.as_deref() == Some(&*context.origin);
        match row.live((stack, component), now) {
            Some(lease) if rules::blocks(&lease, is_of_this_process, request) => held.push(lease),
            _ => granted.push((stack, component, row.fence + 1)),
        }
    }
    if !held.is_empty() {
        session.roll_back_at_end();
        return Ok(Acquired::Held(held));
    }
    let leases: Vec<Lease> = granted
        .into_iter()
        .map(|(stack, component, fence)| Lease {
            id: Uuid::now_v7().to_string(),
            stack: stack.clone(),
            component: component.clone(),
            fence,
        })
        .collect();
    grant(session, context, &stacks, request, &leases, now).await?;
    session.last("UPDATE operation SET has_held_leases = true WHERE id = $1", &[&request.operation]).await?;
    Ok(Acquired::Granted(leases))
}

/// Writes the new holder of the leases.
async fn grant(
    session: &Session,
    context: &Context,
    stacks: &lock::Stacks,
    request: &LeaseRequest,
    leases: &[Lease],
    now: Timestamp,
) -> Result<(), Failure> {
    let numbers = leases.iter().map(|lease| stacks.number(&lease.stack)).collect::<Result<Vec<_>, _>>()?;
    let components: Vec<_> = leases.iter().map(|lease| columns::text(&lease.component)).collect();
    let fences: Vec<_> = leases.iter().map(|lease| columns::integer(lease.fence)).collect();
    let ids: Vec<_> = leases.iter().map(|lease| lease.id.as_str()).collect();
    let sql = "UPDATE lease SET since = $7, expires = $8, fence = given.fence, id = given.id, holder = $5,
                                operation = $6, origin = $9
               FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[]) AS given (stack, component, fence, id)
               WHERE lease.stack = given.stack AND lease.component = given.component";
    let (holder, now, expires) =
        (columns::text(&request.holder), columns::time(now), columns::time(later(now, request.term)));
    let (operation, origin) = (&request.operation, &*context.origin);
    session.execute(sql, &[&numbers, &components, &fences, &ids, &holder, operation, &now, &expires, &origin]).await?;
    Ok(())
}

/// Fails if one of the leases was released, broken or granted again; until the end of the transaction none can be.
/// Returns their expiry times, which the caller compares with a time read after this lock.
pub(super) async fn check(session: &Session, stacks: &lock::Stacks, leases: &[Lease]) -> Result<Checked, Failure> {
    checked(session, stacks, leases, Lock::Share).await
}

/// The expiry times of the writer's leases.
pub(super) struct Checked(Vec<(Lease, Option<Timestamp>)>);

impl Checked {
    /// Fails if one of the leases has expired, even without a successor.
    pub(super) fn are_current(&self, now: Timestamp) -> Result<(), Failure> {
        self.0.iter().try_for_each(|(lease, expires)| Ok(rules::check_term(lease, *expires, now)?))
    }
}

async fn checked(session: &Session, stacks: &lock::Stacks, leases: &[Lease], lock: Lock) -> Result<Checked, Failure> {
    let keys = leases.iter().filter_map(|lease| Some((stacks.get(&lease.stack)?, lease.component.as_str()))).collect();
    let found = if leases.is_empty() { BTreeMap::new() } else { locked(session, &keys, lock).await? };
    let mut checked = Vec::with_capacity(leases.len());
    for lease in leases {
        let row = stacks.get(&lease.stack).and_then(|number| found.get(&(number, lease.component.clone())));
        rules::check_fence(lease, row.map(|row| (row.id.as_deref(), row.fence)))?;
        checked.push((lease.clone(), row.and_then(|row| row.expires)));
    }
    Ok(Checked(checked))
}

/// Renews leases for another term.
pub(super) async fn renew(
    session: &Session,
    context: &Context,
    leases: &[Lease],
    term: Duration,
) -> Result<(), Failure> {
    let stacks = lock::find(session, &leases.iter().map(|lease| lease.stack.clone()).collect()).await?;
    checked(session, &stacks, leases, Lock::Update).await?;
    let expires = columns::time(later(context.now(session).await?, term));
    let ids: Vec<_> = leases.iter().map(|lease| lease.id.as_str()).collect();
    session.last("UPDATE lease SET expires = $2 WHERE id = ANY($1)", &[&ids, &expires]).await?;
    Ok(())
}

/// Releases the leases with these IDs; false if none exists.
pub(super) async fn free(session: &Session, ids: &[String]) -> Result<bool, Failure> {
    let ids: Vec<_> = ids.iter().map(|id| columns::text(id)).collect();
    let sql = "SELECT 1 FROM lease WHERE id = ANY($1) ORDER BY stack, component FOR UPDATE";
    session.query(sql, &[&ids]).await?;
    let sql = "UPDATE lease SET id = NULL, holder = NULL, origin = NULL, operation = NULL, since = NULL, expires = NULL
               WHERE id = ANY($1) RETURNING 1";
    Ok(!session.last(sql, &[&ids]).await?.is_empty())
}
