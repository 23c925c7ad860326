//! Store in memory, for tests of the engine, and as a check that the contract does not depend on a database.
//!
//! Sorted maps behind one lock. The store fulfils the contract and passes the same suite as the others. Its content
//! ends with the process, and leases end only by expiry, because all holders are in one process.

mod audit;
mod journal;
mod request;
mod rows;
mod table;

use crate::clock::{Clock, SystemClock};
use async_trait::async_trait;
use jiff::Timestamp;
use request::Request;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::Table;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{
    Acquired, AuditEntry, AuditLink, AuditLog, AuditPage, Cancelled, Claimant, ComponentEntry, ComponentRead,
    ComponentRow, Enqueued, Generation, HistoryEntry, Intent, Lease, LeaseInfo, LeaseRequest, LogLine, NewOperation,
    NewRequest, OpenIntent, OperationFilter, OperationRow, OwnerRow, OwnersOf, Ownership, Pruned, Record, RequestClaim,
    RequestEnd, RequestQueue, RequestRow, Row, RowStatus, Selection, ServerStore, StackSnapshot, StateStore, StepRow,
    StoreError, StoreIdentity, StoredRequest,
};
use uuid::Uuid;

/// A store in memory.
pub struct MemoryStore {
    id: Uuid,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// A stored operation.
#[derive(Clone)]
struct Operation {
    number: u64,
    row: OperationRow,
    has_held_leases: bool,
}

/// A stored step without an outcome.
#[derive(Clone)]
struct OpenStep {
    number: u64,
    intent: Intent,
    started_at: Timestamp,
    lease: Option<String>,
}

#[derive(Default)]
struct State {
    rows: Table<(StackId, Address, Option<String>), Row>,
    versions: Table<(StackId, Address, Generation), (Option<String>, HistoryEntry)>,
    components: Table<(StackId, String), ComponentRow>,
    component_versions: Table<(StackId, u64), ComponentEntry>,
    owners: Table<Ownership, String>,
    leases: Table<(StackId, String), (u64, Option<LeaseInfo>)>,
    operations: Table<Uuid, Operation>,
    steps: Table<(Uuid, u32), StepRow>,
    open_steps: Table<(Uuid, u32), OpenStep>,
    logs: Table<(Uuid, u64), LogLine>,
    spent: Table<Uuid, ()>,
    requests: Table<Uuid, Request>,
    audit: Table<u64, AuditLink>,
    last_number: u64,
}

impl State {
    fn commit_changes(&mut self) {
        self.rows.commit_changes();
        self.versions.commit_changes();
        self.components.commit_changes();
        self.component_versions.commit_changes();
        self.owners.commit_changes();
        self.leases.commit_changes();
        self.operations.commit_changes();
        self.steps.commit_changes();
        self.open_steps.commit_changes();
        self.logs.commit_changes();
        self.spent.commit_changes();
        self.requests.commit_changes();
        self.audit.commit_changes();
    }

    fn undo(&mut self) {
        self.rows.undo();
        self.versions.undo();
        self.components.undo();
        self.component_versions.undo();
        self.owners.undo();
        self.leases.undo();
        self.operations.undo();
        self.steps.undo();
        self.open_steps.undo();
        self.logs.undo();
        self.spent.undo();
        self.requests.undo();
        self.audit.undo();
    }

    /// The rows of a stack, sorted.
    fn of_stack<'a>(&'a self, stack: &'a StackId) -> impl Iterator<Item = &'a Row> {
        self.from(stack, "").take_while(move |row| row.stack == *stack)
    }

    /// The rows of a component, sorted.
    fn of_component<'a>(&'a self, stack: &'a StackId, component: &'a str) -> impl Iterator<Item = &'a Row> {
        self.from(stack, component).take_while(move |row| row.stack == *stack && row.address.component == component)
    }

    /// All rows from a component on.
    fn from<'a>(&'a self, stack: &StackId, component: &str) -> impl Iterator<Item = &'a Row> + use<'a> {
        let first = Address { component: component.to_owned(), ty: String::new(), name: String::new(), key: None };
        self.rows.range((stack.clone(), first, None)..).map(|(_, row)| row)
    }

    fn rows(&self, stack: &StackId, selection: &Selection) -> Vec<Row> {
        match selection {
            Selection::All => self.of_stack(stack).cloned().collect(),
            Selection::Components(components) => {
                components.iter().flat_map(|component| self.of_component(stack, component)).cloned().collect()
            }
            Selection::Addresses(addresses) => addresses
                .iter()
                .flat_map(|address| {
                    self.rows
                        .range((stack.clone(), address.clone(), None)..)
                        .map(|(_, row)| row)
                        .take_while(move |row| row.stack == *stack && row.address == *address)
                })
                .cloned()
                .collect(),
        }
    }

    fn components(&self, stack: &StackId) -> Vec<ComponentRow> {
        let first = (stack.clone(), String::new());
        let rows = self.components.range(first..).take_while(|((of, _), _)| of == stack);
        rows.map(|(_, component)| component.clone()).collect()
    }

    /// A component with its newest version.
    fn component_read(&self, stack: &StackId, component: &str) -> ComponentRead {
        let versions = self.component_versions.range((stack.clone(), 0)..=(stack.clone(), u64::MAX));
        let newest = versions.rev().find(|(_, entry)| entry.key == component).map(|(_, entry)| entry.version);
        let (stack, component) = (stack.clone(), component.to_owned());
        ComponentRead { stack, component, generation: newest.unwrap_or_default() }
    }

    fn owners(&self, environment: &str, matches: impl Fn(&Ownership) -> bool) -> Vec<OwnerRow> {
        let matches = |owner: &Ownership| owner.stack.environment == environment && matches(owner);
        let owners = self.owners.iter().filter(|(owner, _)| matches(owner));
        let row = |(owner, declaration): (&Ownership, &String)| OwnerRow {
            ownership: owner.clone(),
            declaration: declaration.clone(),
        };
        owners.map(row).collect()
    }

    fn snapshot(&self, stack: StackId, with_history: bool) -> StackSnapshot {
        let mut history: Vec<(Address, HistoryEntry)> = Vec::new();
        if with_history {
            let versions = self.versions.iter().filter(|((of, ..), (deposed, _))| *of == stack && deposed.is_none());
            history.extend(versions.map(|((_, address, _), (_, entry))| (address.clone(), entry.clone())));
            history.sort_by_key(|(_, entry)| entry.at);
        }
        let of_components = self.component_versions.range((stack.clone(), 0)..=(stack.clone(), u64::MAX));
        let of_components = of_components.filter(|_| with_history).map(|(_, entry)| entry.clone());
        StackSnapshot {
            component_history: of_components.collect(),
            rows: self.rows(&stack, &Selection::All),
            components: self.components(&stack),
            owned: self.owners(&stack.environment, |owner| owner.stack == stack),
            history,
            stack,
        }
    }

    /// All stacks that the state has ever had, sorted.
    fn all_stacks(&self) -> Vec<StackId> {
        let versions = self.versions.iter().map(|((stack, ..), _)| stack);
        let components = self.components.iter().map(|((stack, _), _)| stack);
        let owners = self.owners.iter().map(|(owner, _)| &owner.stack);
        let gone = self.component_versions.iter().map(|((stack, _), _)| stack);
        let open = self.open_steps.iter().map(|(_, open)| &open.intent.row.stack);
        let all = versions.chain(components).chain(owners).chain(gone).chain(open);
        let mut stacks: Vec<StackId> = all.cloned().collect();
        stacks.sort();
        stacks.dedup();
        stacks
    }
}

impl MemoryStore {
    /// An empty store with the system clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store with the given clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { id: Uuid::now_v7(), clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state completely, or not at all.
    fn change<T>(&self, change: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.state();
        let result = change(&mut state, self.clock.now());
        if result.is_ok() {
            state.commit_changes()
        } else {
            state.undo()
        }
        result
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

fn refused(reason: String) -> StoreError {
    StoreError::Unavailable { action: "written", reason }
}

#[async_trait]
impl StateStore for MemoryStore {
    async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        Ok(StoreIdentity { id: self.id, url: "memory:".to_owned() })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn stacks(&self) -> Result<Vec<StackId>, StoreError> {
        let state = self.state();
        let of_rows = state.rows.iter().map(|((stack, ..), _)| stack);
        let of_steps = state.open_steps.iter().map(|(_, step)| &step.intent.row.stack);
        let of_owners = state.owners.iter().map(|(owner, _)| &owner.stack);
        let has_outputs = |component: &ComponentRow| component.outputs != crate::NO_OUTPUTS;
        let of_outputs =
            state.components.iter().filter(|(_, component)| has_outputs(component)).map(|((stack, _), _)| stack);
        let stacks: BTreeSet<StackId> = of_rows.chain(of_steps).chain(of_owners).chain(of_outputs).cloned().collect();
        Ok(stacks.into_iter().collect())
    }

    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError> {
        Ok(self.state().all_stacks())
    }

    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError> {
        Ok(self.state().rows(stack, selection))
    }

    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError> {
        let state = self.state();
        let rows = state.rows.iter().map(|(_, row)| row);
        let retained = rows.filter(|row| row.status == RowStatus::Retained && row.stack.environment == environment);
        Ok(retained.cloned().collect())
    }

    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError> {
        Ok(self.state().components(stack))
    }

    async fn component_reads(
        &self,
        stack: &StackId,
        components: &BTreeSet<String>,
    ) -> Result<Vec<ComponentRead>, StoreError> {
        let state = self.state();
        Ok(components.iter().map(|component| state.component_read(stack, component)).collect())
    }

    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError> {
        Ok(self.state().owners(environment, |owner| match of {
            OwnersOf::Addresses(addresses) => addresses.contains(&owner.address),
            OwnersOf::Stack(stack) => owner.stack == *stack,
        }))
    }

    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        let (state, now) = (self.state(), self.clock.now());
        let matches = |row: &Row| row.stack == *stack && crate::selects(selection, &row.address);
        let mut steps: Vec<&OpenStep> =
            state.open_steps.iter().map(|(_, step)| step).filter(|step| matches(&step.intent.row)).collect();
        steps.sort_by_key(|step| step.number);
        Ok(steps.into_iter().map(|step| state.open_intent(step, now)).collect())
    }

    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError> {
        let state = self.state();
        let (first, last) = ((stack.clone(), address.clone(), 0), (stack.clone(), address.clone(), Generation::MAX));
        let versions = state.versions.range(first..=last).rev().map(|(_, version)| version);
        Ok(versions.filter(|(deposed, _)| deposed.is_none()).map(|(_, entry)| entry.clone()).collect())
    }

    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError> {
        let state = self.state();
        let stacks = stack.map_or_else(|| state.all_stacks(), |stack| vec![stack.clone()]);
        Ok(stacks.into_iter().map(|stack| state.snapshot(stack, with_history)).collect())
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError> {
        self.change(|state, now| Ok(state.acquire(request, now)))
    }

    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError> {
        self.change(|state, now| state.renew(leases, term, now))
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.change(|state, _| {
            for lease in leases {
                state.free(&lease.id);
            }
            Ok(())
        })
    }

    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        Ok(self.state().held(self.clock.now()).cloned().collect())
    }

    async fn break_lease(&self, id: &str) -> Result<bool, StoreError> {
        self.change(|state, _| Ok(state.free(id)))
    }

    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError> {
        self.change(|state, now| state.begin(operation, now))
    }

    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError> {
        self.change(|state, now| state.commit(leases, &records, now))
    }

    async fn operations(&self, filter: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        let (state, now) = (self.state(), self.clock.now());
        let OperationFilter { kind, stack, before, limit } = filter;
        let before = before.map(|id| state.operations.get(&id).map(|operation| operation.number));
        let matches = |operation: &&Operation| {
            kind.as_ref().is_none_or(|kind| operation.row.kind == *kind)
                && stack.as_ref().is_none_or(|stack| operation.row.stacks.contains(stack))
                && before.is_none_or(|before| before.is_some_and(|before| operation.number < before))
        };
        let all = state.operations.iter().map(|(_, operation)| operation);
        let mut operations: Vec<&Operation> = all.filter(matches).collect();
        operations.sort_by_key(|operation| std::cmp::Reverse(operation.number));
        Ok(operations.into_iter().take(*limit).map(|operation| state.current_row(operation, now)).collect())
    }

    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        let (state, now) = (self.state(), self.clock.now());
        let all = state.operations.iter().map(|(_, operation)| operation);
        let mut unended: Vec<&Operation> = all.filter(|operation| operation.row.ended_at.is_none()).collect();
        unended.sort_by_key(|operation| std::cmp::Reverse(operation.number));
        Ok(unended.into_iter().map(|operation| state.current_row(operation, now)).collect())
    }

    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        let state = self.state();
        let ids: BTreeSet<Uuid> = state.operations.iter().map(|(id, _)| *id).filter(|id| within.contains(id)).collect();
        Ok(ids.into_iter().take(limit).collect())
    }

    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError> {
        let (state, now) = (self.state(), self.clock.now());
        let Some(operation) = state.operations.get(&id) else { return Ok(None) };
        let steps = state.steps.range((id, 0)..=(id, u32::MAX)).map(|(_, step)| step.clone()).collect();
        Ok(Some((state.current_row(operation, now), steps)))
    }

    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError> {
        Ok(self.state().logs.range((id, 0)..=(id, u64::MAX)).skip(after).map(|(_, line)| line.clone()).collect())
    }

    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError> {
        self.change(|state, now| state.request_cancel(operation, by, now))
    }

    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError> {
        Ok(self.state().operations.get(&operation).is_some_and(|operation| operation.row.cancelled_by.is_some()))
    }

    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError> {
        self.change(|state, now| Ok(state.prune(now.checked_sub(keep).unwrap_or(Timestamp::MIN), now)))
    }

    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError> {
        Ok(self.state().spent.has(&plan))
    }
}

#[async_trait]
impl AuditLog for MemoryStore {
    async fn audit(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        self.change(|state, now| state.audit(&entries, now))
    }

    async fn audit_page(&self, after: u64, limit: usize) -> Result<AuditPage, StoreError> {
        Ok(self.state().audit_page(after, limit))
    }

    async fn prune_audit(&self, keep: Duration) -> Result<u64, StoreError> {
        let moment = self.clock.now().checked_sub(keep).unwrap_or(Timestamp::MIN);
        let end = self.state().audit_head().map_or(0, |head| head.number);
        let mut pruned = 0;
        loop {
            match self.change(|state, now| state.prune_audit(end, moment, now))? {
                0 => return Ok(pruned),
                removed => pruned += removed,
            }
        }
    }
}

#[async_trait]
impl RequestQueue for MemoryStore {
    fn for_calls(self: Arc<Self>) -> Arc<dyn ServerStore> {
        self
    }

    async fn enqueue(&self, request: &NewRequest, most: usize) -> Result<Enqueued, StoreError> {
        self.change(|state, now| state.enqueue(request, most, now))
    }

    async fn find_by_idempotency_key(&self, key: &str) -> Result<Option<(Uuid, String)>, StoreError> {
        Ok(self.state().find_by_idempotency_key(key))
    }

    async fn claim(&self, claimant: &Claimant, term: Duration) -> Result<Option<RequestClaim>, StoreError> {
        self.change(|state, now| Ok(state.claim(claimant, term, now)))
    }

    async fn release_claims(&self, claimant: &Claimant) -> Result<(), StoreError> {
        self.change(|state, now| {
            state.release_claims(claimant.id, now);
            Ok(())
        })
    }

    async fn renew_claim(&self, claim: &RequestClaim, term: Duration) -> Result<(), StoreError> {
        self.change(|state, now| state.renew_claim(claim, term, now))
    }

    async fn finish(&self, claim: &RequestClaim, end: &RequestEnd) -> Result<(), StoreError> {
        self.change(|state, now| state.finish(claim, end, now))
    }

    async fn release_claim(&self, claim: &RequestClaim, after: Duration) -> Result<(), StoreError> {
        self.change(|state, now| state.release_claim(claim, after, now))
    }

    async fn waiting(&self) -> Result<usize, StoreError> {
        Ok(self.state().waiting())
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.change(|_, _| Ok(()))
    }

    async fn stored_requests(&self) -> Result<Vec<StoredRequest>, StoreError> {
        Ok(self.state().stored_requests())
    }

    async fn request(&self, operation: Uuid) -> Result<Option<RequestRow>, StoreError> {
        Ok(self.state().request(operation))
    }
}
