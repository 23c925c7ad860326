//! Commits: checks the leases, then applies the records in order, all in one transaction.

use super::columns::{self, Columns};
use super::context::Context;
use super::error::Failure;
use super::{lease, read, stacks, write};
use crate::{misuse, rules, values};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};
use std::collections::HashMap;
use terrace_store::address::{Address, StackId};
use terrace_store::{
    ComponentRead, Intent, Lease, OperationStatus, Read, Record, Sealed, StepAction, StepResult, StoreError,
};
use uuid::Uuid;

/// Applies all records, or fails; the caller rolls back.
pub(super) fn commit(
    transaction: &Transaction<'_>,
    context: &Context,
    leases: &[Lease],
    records: &[Record],
) -> Result<(), Failure> {
    lease::check(transaction, leases)?;
    if records.iter().any(|record| matches!(record, Record::Intent(_))) {
        lease::check_current(transaction, context.clock.now(), leases)?;
    }
    let mut commit = Commit { transaction, now: context.clock.now(), leases, operations: HashMap::new() };
    records.iter().try_for_each(|record| commit.apply(record))
}

struct Commit<'a> {
    transaction: &'a Transaction<'a>,
    now: Timestamp,
    leases: &'a [Lease],
    operations: HashMap<Uuid, i64>,
}

impl Commit<'_> {
    fn apply(&mut self, record: &Record) -> Result<(), Failure> {
        match record {
            Record::SpendPlan { plan, reads, components } => self.spend(*plan, reads, components),
            Record::Intent(intent) => self.intent(intent),
            Record::Partial { operation, step, identity, private } => {
                self.partial((*operation, *step), identity.as_ref().map(Sealed::as_str), private.as_deref())
            }
            Record::Outcome { operation, step, stack, address, action, result, writes } => {
                self.outcome((*operation, *step), (stack, address), *action, result)?;
                writes.iter().try_for_each(|write| write::apply(self.transaction, write, *operation, self.now))
            }
            Record::Write { operation, write } => write::apply(self.transaction, write, *operation, self.now),
            Record::Log { operation, level, phase, message } => {
                let sql = "INSERT INTO log (operation, at, level, phase, message) VALUES (?1, ?2, ?3, ?4, ?5)";
                let operation = self.operation(*operation)?;
                let parameters = (operation, self.now.as_microsecond(), level, phase, message);
                self.transaction.prepare_cached(sql)?.execute(parameters)?;
                Ok(())
            }
            Record::End { operation, status, summary } => self.end(*operation, *status, summary),
        }
    }

    /// Ends an operation that has not ended and has no request.
    fn end(&mut self, id: Uuid, status: OperationStatus, summary: &str) -> Result<(), Failure> {
        let (operation, now) = (self.operation(id)?, self.now.as_microsecond());
        let sql = "UPDATE operation SET status = ?2, ended_at = ?3, summary = ?4
                   WHERE sequence = ?1 AND ended_at IS NULL
                     AND NOT EXISTS (SELECT 1 FROM request WHERE request.operation = sequence)";
        self.transaction.prepare_cached(sql)?.execute((operation, values::word(&status)?, now, summary))?;
        Ok(())
    }

    fn spend(&self, plan: Uuid, reads: &[Read], components: &[ComponentRead]) -> Result<(), Failure> {
        let spent = self
            .transaction
            .prepare_cached("INSERT INTO spent_plan (plan, spent_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute((plan.as_bytes(), self.now.as_microsecond()))?;
        if spent == 0 {
            return Err(StoreError::PlanSpent.into());
        }
        let stale = read::stale_rows(self.transaction, reads)?;
        if !stale.is_empty() {
            return Err(StoreError::Stale(stale).into());
        }
        let changed = read::changed(self.transaction, components)?;
        if changed.is_empty() { Ok(()) } else { Err(StoreError::StaleOutputs(changed).into()) }
    }

    fn intent(&mut self, intent: &Intent) -> Result<(), Failure> {
        let row = &intent.row;
        let operation = self.operation(intent.operation)?;
        let stack = stacks::get_or_create(self.transaction, &row.stack)?;
        let address = values::address(&row.address)?;
        let action = values::word(&intent.action)?;
        let now = self.now.as_microsecond();
        let sql = "INSERT INTO step (operation, step, stack, address, action, started_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
        let parameters = (operation, intent.step, stack, &address, &action, now);
        if self.transaction.prepare_cached(sql)?.execute(parameters)? == 0 {
            return Err(Failure::misuse(misuse::opened_twice(intent.operation, intent.step)));
        }
        let sql = "INSERT INTO intent (operation, step, stack, component, address, deposed, action, lease,
                                       prior_generation, deposes, timeout, settle, started_at, status, provider,
                                       provider_version, schema_version, identity, attributes, private, dependencies,
                                       lifecycle, boot, pid_namespace, pid, process_started)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                          ?22, boot, pid_namespace, pid, process_started
                   FROM operation WHERE sequence = ?1";
        self.transaction.prepare_cached(sql)?.execute(params![
            operation,
            intent.step,
            stack,
            row.address.component.as_str(),
            address,
            values::deposed(row.deposed.as_deref()),
            action,
            rules::covering_lease(self.leases, row).map(|lease| &lease.id),
            columns::integer(intent.prior_generation),
            intent.deposes,
            values::microseconds(intent.timeout),
            values::microseconds(intent.settle),
            now,
            values::word(&row.status)?,
            row.provider,
            row.provider_version,
            row.schema_version,
            row.identity.as_str(),
            row.attributes.as_str(),
            row.private,
            values::list(&row.dependencies)?,
            row.lifecycle,
        ])?;
        Ok(())
    }

    fn partial(
        &mut self,
        (operation, step): (Uuid, u32),
        identity: Option<&str>,
        private: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let sql = "UPDATE intent SET identity = coalesce(?3, identity), private = coalesce(?4, private)
                   WHERE operation = ?1 AND step = ?2";
        let parameters = (self.operation(operation)?, step, identity, private);
        if self.transaction.prepare_cached(sql)?.execute(parameters)? == 0 {
            return Err(Failure::misuse(misuse::not_open(operation, step)));
        }
        Ok(())
    }

    fn outcome(
        &mut self,
        (operation, step): (Uuid, u32),
        (stack, address): (&StackId, &Address),
        action: StepAction,
        result: &StepResult,
    ) -> Result<(), Failure> {
        let (result, message) = values::of_step_result(result);
        let sql = "INSERT INTO step (operation, step, stack, address, action, result, message, started_at, ended_at)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)
                   ON CONFLICT DO UPDATE SET result = excluded.result, message = excluded.message,
                                             ended_at = excluded.ended_at
                   WHERE step.result IS NULL";
        let sequence = self.operation(operation)?;
        let stack = stacks::get_or_create(self.transaction, stack)?;
        let (address, action) = (values::address(address)?, values::word(&action)?);
        let parameters = (sequence, step, stack, address, action, result, message, self.now.as_microsecond());
        if self.transaction.prepare_cached(sql)?.execute(parameters)? == 0 {
            return Err(Failure::misuse(misuse::not_open(operation, step)));
        }
        self.transaction
            .prepare_cached("DELETE FROM intent WHERE operation = ?1 AND step = ?2")?
            .execute((sequence, step))?;
        Ok(())
    }

    /// The number of an operation.
    fn operation(&mut self, id: Uuid) -> Result<i64, Failure> {
        if let Some(sequence) = self.operations.get(&id) {
            return Ok(*sequence);
        }
        let sequence = self
            .transaction
            .prepare_cached("SELECT sequence FROM operation WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| Columns::of(row).take())
            .optional()?
            .ok_or_else(|| Failure::misuse(misuse::never_begun(id)))?;
        self.operations.insert(id, sequence);
        Ok(sequence)
    }
}
