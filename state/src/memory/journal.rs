//! Journal and leases of the store in memory.

use super::{OpenStep, Operation, State, refused};
use crate::clock::{elapsed, later};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{
    Acquired, Cancelled, ComponentRead, Generation, HistoryEntry, Intent, Lease, LeaseInfo, LeaseRequest, LogLine,
    NewOperation, OpenIntent, OperationRow, OperationStatus, Pruned, Read, Record, Row, StaleRead, StepRow, StoreError,
};
use uuid::Uuid;

impl State {
    pub(super) fn request_cancel(
        &mut self,
        id: Uuid,
        by: &str,
        now: Timestamp,
    ) -> Result<Option<Cancelled>, StoreError> {
        // The operation of a request runs until the request has its result.
        let runs = |it: &&Operation| it.row.ended_at.is_none();
        let Some(mut operation) = self.operations.get(&id).filter(runs).cloned() else { return Ok(None) };
        operation.row.cancelled_by.get_or_insert_with(|| by.to_owned());
        self.operations.insert(id, operation);
        Ok(Some(if self.cancel_unstarted(id, now)? { Cancelled::Ended } else { Cancelled::Notified }))
    }

    pub(super) fn prune(&mut self, moment: Timestamp, now: Timestamp) -> Pruned {
        let mut newest: BTreeMap<(StackId, Address), Generation> = BTreeMap::new();
        // The time at which the next version replaced each version.
        let mut replaced: BTreeMap<(StackId, Address, Generation), Timestamp> = BTreeMap::new();
        let mut before: Option<&(StackId, Address, Generation)> = None;
        for (key, (deposed, entry)) in self.versions.iter() {
            newest.insert((key.0.clone(), key.1.clone()), key.2);
            if deposed.is_none() {
                if let Some(before) = before.filter(|before| (&before.0, &before.1) == (&key.0, &key.1)) {
                    replaced.insert(before.clone(), entry.at);
                }
                before = Some(key);
            }
        }
        let current: BTreeSet<_> = self
            .rows
            .iter()
            .map(|((stack, address, _), row)| (stack.clone(), address.clone(), row.generation))
            .collect();
        let is_old = |(key, (_, entry)): &(&(StackId, Address, Generation), &(Option<String>, HistoryEntry))| {
            let is_newest = newest.get(&(key.0.clone(), key.1.clone())) == Some(&key.2);
            // Users can roll back to versions that were current at that moment.
            let was_current = replaced.get(*key).is_some_and(|at| *at >= moment);
            entry.at < moment && !is_newest && !current.contains(*key) && !was_current
        };
        let versions: Vec<_> = self.versions.iter().filter(is_old).map(|(key, _)| key.clone()).collect();
        versions.iter().for_each(|key| drop(self.versions.remove(key)));
        let mut newest: BTreeMap<(&StackId, &str), &(StackId, u64)> = BTreeMap::new();
        let mut of_components: Vec<(StackId, u64)> = Vec::new();
        for (key, entry) in self.component_versions.iter() {
            let before = newest.insert((&key.0, &entry.key), key);
            of_components.extend(before.filter(|_| entry.at < moment).cloned());
        }
        of_components.iter().for_each(|key| drop(self.component_versions.remove(key)));
        let is_open = |id: &Uuid| self.open_steps.iter().any(|((operation, _), _)| operation == id);
        // An abandoned operation has no end: its start counts.
        let is_over = |it: &Operation| match it.row.ended_at {
            Some(ended) => ended < moment,
            None => it.row.started_at < moment && self.current_row(it, now).is_abandoned,
        };
        let over = self.operations.iter().filter(|(_, it)| is_over(it));
        let is_over = |id: &Uuid| !is_open(id) && !self.is_open_request(*id);
        let operations: BTreeSet<Uuid> = over.map(|(id, _)| *id).filter(is_over).collect();
        let steps: Vec<_> = self.steps.iter().map(|(key, _)| *key).filter(|(id, _)| operations.contains(id)).collect();
        let logs: Vec<_> = self.logs.iter().map(|(key, _)| *key).filter(|(id, _)| operations.contains(id)).collect();
        steps.iter().for_each(|key| drop(self.steps.remove(key)));
        logs.iter().for_each(|key| drop(self.logs.remove(key)));
        operations.iter().for_each(|id| drop(self.requests.remove(id)));
        operations.iter().for_each(|id| drop(self.operations.remove(id)));
        Pruned { versions: versions.len(), operations: operations.len() }
    }

    pub(super) fn commit(&mut self, leases: &[Lease], records: &[Record], now: Timestamp) -> Result<(), StoreError> {
        self.check(leases)?;
        if records.iter().any(|record| matches!(record, Record::Intent(_))) {
            self.check_current(leases, now)?;
        }
        records.iter().try_for_each(|record| self.apply(leases, record, now))
    }

    fn apply(&mut self, leases: &[Lease], record: &Record, now: Timestamp) -> Result<(), StoreError> {
        match record {
            Record::SpendPlan { plan, reads, components } => self.spend(*plan, reads, components),
            Record::Intent(intent) => self.open(leases, intent, now),
            Record::Partial { operation, step, identity, private } => {
                let key = (*operation, *step);
                let mut open =
                    self.open_steps.get(&key).cloned().ok_or_else(|| refused(crate::not_open(*operation, *step)))?;
                let row = &mut open.intent.row;
                row.identity = identity.clone().unwrap_or_else(|| row.identity.clone());
                row.private = private.clone().unwrap_or_else(|| row.private.clone());
                self.open_steps.insert(key, open);
                Ok(())
            }
            Record::Outcome { operation, step, stack, address, action, result, writes } => {
                self.operation(*operation)?;
                let key = (*operation, *step);
                let before = self.steps.get(&key);
                if before.is_some_and(|step| step.result.is_some()) {
                    return Err(refused(crate::not_open(*operation, *step)));
                }
                let opened = before.cloned().unwrap_or_else(|| StepRow {
                    step: *step,
                    stack: stack.clone(),
                    address: address.clone(),
                    action: *action,
                    result: None,
                    started_at: now,
                    ended_at: None,
                });
                let row = StepRow { result: Some(result.clone()), ended_at: Some(now), ..opened };
                self.steps.insert(key, row);
                self.open_steps.remove(&key);
                writes.iter().try_for_each(|write| self.write(write, *operation, now))
            }
            Record::Write { operation, write } => self.write(write, *operation, now),
            Record::Log { operation, level, phase, message } => {
                self.operation(*operation)?;
                let number = self.next_number();
                let (level, phase, message) = (level.clone(), phase.clone(), message.clone());
                self.logs.insert((*operation, number), LogLine { at: now, level, phase, message });
                Ok(())
            }
            Record::End { operation, status, summary } => {
                let is_over = self.operation(*operation)?.row.ended_at.is_some();
                match is_over || self.requests.has(operation) {
                    true => Ok(()),
                    false => self.end(*operation, *status, summary, now),
                }
            }
        }
    }

    fn spend(&mut self, plan: Uuid, reads: &[Read], components: &[ComponentRead]) -> Result<(), StoreError> {
        if self.spent.has(&plan) {
            return Err(StoreError::PlanSpent);
        }
        self.spent.insert(plan, ());
        let stale: Vec<StaleRead> = reads
            .iter()
            .map(|read| StaleRead {
                now: self.generation(&(read.stack.clone(), read.address.clone(), read.deposed.clone())),
                read: read.clone(),
            })
            .filter(|stale| stale.now != stale.read.generation)
            .collect();
        if !stale.is_empty() {
            return Err(StoreError::Stale(stale));
        }
        let has_changed = |read: &&ComponentRead| self.component_read(&read.stack, &read.component) != **read;
        let changed: Vec<ComponentRead> = components.iter().filter(has_changed).cloned().collect();
        if changed.is_empty() { Ok(()) } else { Err(StoreError::StaleOutputs(changed)) }
    }

    fn open(&mut self, leases: &[Lease], intent: &Intent, now: Timestamp) -> Result<(), StoreError> {
        self.operation(intent.operation)?;
        crate::values::address(&intent.row.address).map_err(|misuse| refused(misuse.0))?;
        let key = (intent.operation, intent.step);
        if self.steps.has(&key) {
            return Err(refused(crate::opened_twice(intent.operation, intent.step)));
        }
        let step = StepRow {
            step: intent.step,
            stack: intent.row.stack.clone(),
            address: intent.row.address.clone(),
            action: intent.action,
            result: None,
            started_at: now,
            ended_at: None,
        };
        self.steps.insert(key, step);
        let lease = crate::covering_lease(leases, &intent.row).map(|lease| lease.id.clone());
        let row = Row {
            generation: intent.prior_generation,
            updated_at: now,
            operation: intent.operation,
            ..intent.row.clone()
        };
        let number = self.next_number();
        self.open_steps
            .insert(key, OpenStep { number, intent: Intent { row, ..intent.clone() }, started_at: now, lease });
        Ok(())
    }

    pub(super) fn begin(&mut self, operation: &NewOperation, now: Timestamp) -> Result<(), StoreError> {
        if !self.is_open_request(operation.id) {
            return self.record(operation, OperationStatus::Running, now);
        }
        let mut queued = self.operation(operation.id)?.clone();
        queued.row.status = OperationStatus::Running;
        queued.row.stacks.clone_from(&operation.stacks);
        self.operations.insert(operation.id, queued);
        Ok(())
    }

    pub(super) fn record(
        &mut self,
        operation: &NewOperation,
        status: OperationStatus,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.operations.has(&operation.id) {
            return Err(refused(crate::begun_twice(operation.id)));
        }
        let row = OperationRow {
            id: operation.id,
            kind: operation.kind.clone(),
            stacks: operation.stacks.clone(),
            actor: operation.actor.clone(),
            status,
            is_abandoned: false,
            is_gone: false,
            is_requested: false,
            started_at: now,
            ended_at: None,
            summary: String::new(),
            cancelled_by: None,
        };
        let number = self.next_number();
        // Most operations take their leases first.
        let has_held_leases = self.held(now).any(|lease| lease.operation == operation.id);
        self.operations.insert(operation.id, Operation { number, row, has_held_leases });
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        operation: Uuid,
        status: OperationStatus,
        summary: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut ended = self.operation(operation)?.clone();
        ended.row.status = status;
        ended.row.ended_at = Some(now);
        summary.clone_into(&mut ended.row.summary);
        self.operations.insert(operation, ended);
        Ok(())
    }

    fn operation(&self, id: Uuid) -> Result<&Operation, StoreError> {
        self.operations.get(&id).ok_or_else(|| refused(crate::never_begun(id)))
    }

    /// The current row of an operation.
    pub(super) fn current_row(&self, operation: &Operation, now: Timestamp) -> OperationRow {
        let is_abandoned = operation.row.status == OperationStatus::Running
            && operation.has_held_leases
            && !self.is_claimed(operation.row.id, now)
            && !self.held(now).any(|lease| lease.operation == operation.row.id);
        let is_requested = self.is_open_request(operation.row.id);
        OperationRow { is_abandoned, is_requested, ..operation.row.clone() }
    }

    /// The current row of an open step.
    pub(super) fn open_intent(&self, step: &OpenStep, now: Timestamp) -> OpenIntent {
        let has_live_lease = self.held(now).any(|lease| match &step.lease {
            Some(id) => lease.id == *id,
            None => lease.operation == step.intent.operation,
        });
        OpenIntent {
            intent: step.intent.clone(),
            started_at: step.started_at,
            age: elapsed(step.started_at, now),
            is_orphaned: !has_live_lease,
            // The holder is in the same process as the caller.
            is_holder_gone: false,
            gone_for: std::time::Duration::ZERO,
        }
    }

    /// The held leases.
    pub(super) fn held(&self, now: Timestamp) -> impl Iterator<Item = &LeaseInfo> {
        self.leases.iter().filter_map(|(_, (_, current))| current.as_ref()).filter(move |lease| lease.expires > now)
    }

    pub(super) fn acquire(&mut self, request: &LeaseRequest, now: Timestamp) -> Acquired {
        let mut conflicting = Vec::new();
        for key in &request.components {
            let current = self.leases.get(key).and_then(|(_, current)| current.as_ref());
            conflicting
                .extend(current.filter(|lease| lease.expires > now && lease.operation != request.operation).cloned());
        }
        if !conflicting.is_empty() {
            return Acquired::Held(conflicting);
        }
        let granted = request.components.iter().map(|key| self.grant(key, request, now)).collect();
        if let Some(mut operation) = self.operations.get(&request.operation).cloned() {
            operation.has_held_leases = true;
            self.operations.insert(request.operation, operation);
        }
        Acquired::Granted(granted)
    }

    fn grant(
        &mut self,
        key: &(terrace_engine::address::StackId, String),
        request: &LeaseRequest,
        now: Timestamp,
    ) -> Lease {
        let fence = self.leases.get(key).map_or(1, |(fence, _)| fence + 1);
        let id = Uuid::now_v7().to_string();
        let (stack, component) = key.clone();
        let info = LeaseInfo {
            id: id.clone(),
            stack: stack.clone(),
            component: component.clone(),
            holder: request.holder.clone(),
            operation: request.operation,
            since: now,
            expires: later(now, request.term),
        };
        self.leases.insert(key.clone(), (fence, Some(info)));
        Lease { id, stack, component, fence }
    }

    fn check(&self, leases: &[Lease]) -> Result<(), StoreError> {
        for lease in leases {
            let key = (lease.stack.clone(), lease.component.clone());
            let is_current = self.leases.get(&key).is_some_and(|(fence, current)| {
                *fence == lease.fence && current.as_ref().is_some_and(|current| current.id == lease.id)
            });
            if !is_current {
                return Err(StoreError::LeaseLost { stack: key.0, component: key.1 });
            }
        }
        Ok(())
    }

    /// Fails if one of the leases has expired, even without a successor.
    fn check_current(&self, leases: &[Lease], now: Timestamp) -> Result<(), StoreError> {
        let is_current = |lease: &&Lease| self.held(now).any(|held| held.id == lease.id);
        match leases.iter().find(|lease| !is_current(lease)) {
            None => Ok(()),
            Some(lease) => {
                Err(StoreError::LeaseLost { stack: lease.stack.clone(), component: lease.component.clone() })
            }
        }
    }

    pub(super) fn renew(&mut self, leases: &[Lease], term: Duration, now: Timestamp) -> Result<(), StoreError> {
        self.check(leases)?;
        for lease in leases {
            let key = (lease.stack.clone(), lease.component.clone());
            if let Some((fence, Some(current))) = self.leases.get(&key).cloned() {
                self.leases.insert(key, (fence, Some(LeaseInfo { expires: later(now, term), ..current })));
            }
        }
        Ok(())
    }

    /// Releases the lease with that ID; false if it does not exist.
    pub(super) fn free(&mut self, id: &str) -> bool {
        let found = self
            .leases
            .iter()
            .find(|(_, (_, current))| current.as_ref().is_some_and(|current| current.id == id))
            .map(|(key, (fence, _))| (key.clone(), *fence));
        let Some((key, fence)) = found else { return false };
        self.leases.insert(key, (fence, None));
        true
    }

    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}
