//! Lock order. Every write takes its locks in one order: new stacks, stacks, owners, leases, requests, operations, and
//! each kind sorted. So transactions never wait for each other in a cycle.
//!
//! The row of a stack stands for everything in it: a writer has the stack exclusively until its commit, and reads,
//! compares and counts generations as if it were alone. `FOR NO KEY UPDATE` admits transactions that only refer to the
//! stack.

use super::columns::{self, Columns};
use super::error::Failure;
use super::server::Context;
use super::session::{self, Session};
use crate::columns::ReadColumns;
use crate::values;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use terrace_store::address::StackId;
use terrace_store::{Lease, NewOperation, Record, Write};
use uuid::Uuid;

/// The numbers of stacks.
#[derive(Default)]
pub(super) struct Stacks(HashMap<StackId, i64>);

impl Stacks {
    /// The number of a stack; `None` if the state has never had it.
    pub(super) fn get(&self, stack: &StackId) -> Option<i64> {
        self.0.get(stack).copied()
    }

    /// The number of a stack for writing.
    pub(super) fn number(&self, stack: &StackId) -> Result<i64, Failure> {
        self.get(stack).ok_or_else(|| Failure::misuse(format!("{stack} was not locked")))
    }

    /// The numbers of the stacks of an operation, in its order.
    pub(super) fn numbers(&self, operation: &NewOperation) -> Result<Vec<i64>, Failure> {
        operation.stacks.iter().map(|stack| self.number(stack)).collect()
    }

    /// The stacks of an environment in this map.
    pub(super) fn of_environment(&self, environment: &str) -> Vec<StackId> {
        self.0.keys().filter(|stack| stack.environment == environment).cloned().collect()
    }
}

/// The stacks that a commit touches, and its reach beyond them.
#[derive(Default)]
struct LockScope {
    written: BTreeSet<StackId>,
    read: BTreeSet<StackId>,
    environments: BTreeSet<String>,
    is_everything: bool,
    owned: BTreeSet<(String, String)>,
}

impl LockScope {
    fn of(leases: &[Lease], records: &[Record]) -> Result<Self, Failure> {
        let mut scope = Self { read: leases.iter().map(|lease| lease.stack.clone()).collect(), ..Self::default() };
        for record in records {
            match record {
                Record::SpendPlan { reads, components, .. } => {
                    scope.read.extend(reads.iter().map(|read| read.stack.clone()));
                    scope.read.extend(components.iter().map(|read| read.stack.clone()));
                }
                Record::Intent(intent) => scope.writes(&intent.row.stack),
                Record::Outcome { stack, writes, .. } => {
                    scope.writes(stack);
                    writes.iter().try_for_each(|write| scope.add(write))?;
                }
                Record::Write { write, .. } => scope.add(write)?,
                Record::Partial { .. } | Record::Log { .. } | Record::End { .. } => {}
            }
        }
        Ok(scope)
    }

    /// True if all written stacks have a lease, and therefore exist.
    fn is_within(&self, leases: &[Lease]) -> bool {
        let is_leased = |stack: &StackId| leases.iter().any(|lease| lease.stack == *stack);
        !self.is_everything && self.environments.is_empty() && self.written.iter().all(is_leased)
    }

    fn writes(&mut self, stack: &StackId) {
        if !self.written.contains(stack) {
            self.written.insert(stack.clone());
        }
    }

    fn add(&mut self, write: &Write) -> Result<(), Failure> {
        match write {
            Write::Put { row, .. } | Write::Reseal { row } => self.writes(&row.stack),
            Write::Forget { stack, .. } => {
                self.writes(stack);
                if *stack == StackId::shared(&stack.environment) {
                    self.environments.insert(stack.environment.clone());
                }
            }
            Write::Move { stack, from, .. } => {
                self.writes(stack);
                if *stack == StackId::shared(&stack.environment) {
                    self.environments.insert(stack.environment.clone());
                    self.owned.insert((stack.environment.clone(), values::address(from)?));
                }
            }
            // A request does not belong to its stack.
            Write::ResealRequest { .. } => {}
            // Its readers are changed, not the stack itself, which need not exist.
            Write::FollowReads { .. } => self.is_everything = true,
            Write::Delete { stack, .. }
            | Write::Depose { stack, .. }
            | Write::Follow { stack, .. }
            | Write::ResealComponent { stack, .. }
            | Write::Component { stack, .. }
            | Write::DropComponent { stack, .. } => self.writes(stack),
            Write::PutOwner(owner) => self.owns(&owner.ownership)?,
            Write::DropOwner { ownership, .. } => self.owns(ownership)?,
        }
        Ok(())
    }

    fn owns(&mut self, ownership: &terrace_store::Ownership) -> Result<(), Failure> {
        self.writes(&ownership.stack);
        self.owned.insert((ownership.stack.environment.clone(), values::address(&ownership.address)?));
        Ok(())
    }
}

/// Locks the rows that a commit touches: its stacks, and the owners of shared rows.
pub(super) async fn for_commit(session: &Session, leases: &[Lease], records: &[Record]) -> Result<Stacks, Failure> {
    let scope = LockScope::of(leases, records)?;
    let known = match scope.is_within(leases) {
        true => leased(session, scope.read.union(&scope.written)).await?,
        false => beyond_leases(session, &scope).await?,
    };
    if !scope.owned.is_empty() {
        let (environments, addresses): (Vec<_>, Vec<_>) = scope
            .owned
            .iter()
            .map(|(environment, address)| (columns::text(environment), columns::text(address)))
            .unzip();
        let sql = "SELECT 1 FROM owner
                   WHERE (environment, address) IN (SELECT * FROM unnest($1::text[], $2::text[]))
                   ORDER BY environment, address, stack, component FOR UPDATE";
        session.query(sql, &[&environments, &addresses]).await?;
    }
    Ok(known)
}

/// Locks existing stacks: leases exist only for those.
async fn leased(session: &Session, stacks: impl Iterator<Item = &StackId>) -> Result<Stacks, Failure> {
    let (names, environments): (Vec<_>, Vec<_>) =
        stacks.map(|stack| (columns::text(&stack.name), columns::text(&stack.environment))).unzip();
    if names.is_empty() {
        return Ok(Stacks::default());
    }
    let sql = "SELECT name, environment, id FROM stack
               WHERE (name, environment) IN (SELECT * FROM unnest($1::text[], $2::text[]))
               ORDER BY id FOR NO KEY UPDATE";
    let locked = session.list(sql, &[&names, &environments], numbered).await?;
    Ok(Stacks(locked.into_iter().collect()))
}

/// Locks stacks that may be new, or whole environments.
async fn beyond_leases(session: &Session, scope: &LockScope) -> Result<Stacks, Failure> {
    let mut known = get_or_create(session, &scope.written).await?;
    let read = scope.read.difference(&scope.written).cloned().collect();
    known.0.extend(find(session, &read).await?.0);
    let numbers: Vec<i64> = known.0.values().copied().collect();
    let environments: Vec<_> = scope.environments.iter().map(|name| columns::text(name)).collect();
    let sql = "SELECT name, environment, id FROM stack WHERE id = ANY($1) OR environment = ANY($2) OR $3::boolean
               ORDER BY id FOR NO KEY UPDATE";
    let locked = session.list(sql, &[&numbers, &environments, &scope.is_everything], numbered).await?;
    known.0.extend(locked);
    Ok(known)
}

/// Locks operations, and returns their numbers; then reads the time.
pub(super) async fn operations(
    session: &Session,
    context: &Context,
    ids: &BTreeSet<Uuid>,
) -> Result<(HashMap<Uuid, i64>, Timestamp), Failure> {
    if ids.is_empty() {
        return Ok((HashMap::new(), context.now(session).await?));
    }
    let ids: Vec<Uuid> = ids.iter().copied().collect();
    let sql = "SELECT id, sequence FROM operation WHERE id = ANY($1) ORDER BY sequence FOR NO KEY UPDATE";
    let (found, now) = context.then_now(session, sql, &[&ids]).await?;
    let found = session::each(&found, |columns| Ok((columns.uuid()?, columns.take()?)))?;
    Ok((found.into_iter().collect(), now))
}

fn numbered(columns: &mut Columns<'_>) -> Result<(StackId, i64), Failure> {
    Ok((columns.stack()?, columns.take()?))
}

/// The numbers of the existing stacks.
pub(super) async fn find(session: &Session, stacks: &BTreeSet<StackId>) -> Result<Stacks, Failure> {
    if stacks.is_empty() {
        return Ok(Stacks::default());
    }
    let (names, environments): (Vec<_>, Vec<_>) =
        stacks.iter().map(|stack| (columns::text(&stack.name), columns::text(&stack.environment))).unzip();
    let sql = "SELECT name, environment, id FROM stack
               WHERE (name, environment) IN (SELECT * FROM unnest($1::text[], $2::text[]))";
    let found = session.list(sql, &[&names, &environments], numbered).await?;
    Ok(Stacks(found.into_iter().collect()))
}

/// The numbers of stacks, which are added if necessary.
pub(super) async fn get_or_create(session: &Session, stacks: &BTreeSet<StackId>) -> Result<Stacks, Failure> {
    let known = find(session, stacks).await?;
    // The order is sorted: two transactions that add the same stacks meet at the first one.
    let missing = stacks.iter().filter(|stack| known.get(stack).is_none());
    let (names, environments): (Vec<_>, Vec<_>) =
        missing.map(|stack| (columns::text(&stack.name), columns::text(&stack.environment))).unzip();
    if names.is_empty() {
        return Ok(known);
    }
    let sql = "INSERT INTO stack (name, environment)
               SELECT name, environment
               FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS missing (name, environment, position)
               ORDER BY position ON CONFLICT DO NOTHING";
    session.execute(sql, &[&names, &environments]).await?;
    find(session, stacks).await
}
