//! Recovery of interrupted steps: determines their outcomes.
//!
//! [`finding`](terrace_plan::finding) queries the provider and changes nothing. [`Recovery`] records the outcome under the
//! component's lease; [`writes`] has the writes.

mod writes;

use crate::event::{Event, Events};
use crate::lease::{Claim, Held, LeaseError};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use terrace_language::address::{Address, StackId};
use terrace_language::registry::Registry;
use terrace_language::text::counted;
use terrace_plan::failure::PlanFailure;
use terrace_plan::finding::{Finding, find_outcome, in_present_form};
use terrace_plan::managed::{Managed, Manager, ObjectOfInstance};
use terrace_plan::upgrade::upgraded;
use terrace_provider::Observed;
use terrace_store::seal::Seal;
use terrace_store::{
    Intent, NewOperation, OpenIntent, OperationRow, OperationStatus, Operations, Record, Row, Selection, StateStore,
    StepResult, StoreError, Write,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use writes::Writes;

/// An interrupted step. An address alone does not identify one, because its deposed objects may have open steps too.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterruptedStep {
    /// The stack of its row.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The deposed object; `None` for the present one.
    pub deposed: Option<String>,
    /// The operation of the step.
    pub operation: Uuid,
    /// Its number within the operation.
    pub step: u32,
}

impl InterruptedStep {
    fn of(intent: &Intent) -> Self {
        let Intent { operation, step, row: Row { stack, address, deposed, .. }, .. } = intent;
        let (stack, address, deposed) = (stack.clone(), address.clone(), deposed.clone());
        Self { stack, address, deposed, operation: *operation, step: *step }
    }

    fn is(&self, open: &OpenIntent) -> bool {
        (open.intent.operation, open.intent.step) == (self.operation, self.step)
    }
}

/// Prints the object of the step.
impl fmt::Display for InterruptedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.stack, self.address)?;
        self.deposed.as_ref().map_or(Ok(()), |key| write!(f, " (deposed {key})"))
    }
}

/// The result of recovery for a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The step.
    pub step: InterruptedStep,
    /// Its object in words: the resource with its stack, and the key of a deposed one.
    pub address: String,
    /// The finding, in words.
    pub found: String,
    /// The outcome is unknown: the step stays open and blocks its component.
    pub is_in_doubt: bool,
    /// The call could still take effect when recovery began, so an earlier refresh may be outdated.
    pub was_open: bool,
    /// The call may still take effect.
    pub is_open: bool,
}

impl Recovered {
    /// The result for a step whose outcome stays unknown.
    fn in_doubt(step: InterruptedStep, found: String, was_open: bool, is_open: bool) -> Self {
        Self { address: step.to_string(), step, found, is_in_doubt: true, was_open, is_open }
    }
}

/// A user's decision about a step in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The call had no effect: the row stays as it is, and no row is created.
    Unchanged,
    /// The object does not exist: its row is removed.
    Absent,
    /// The object exists in an unknown state: it is recorded as tainted, and the next apply replaces it.
    Tainted,
}

/// The kind of a recovering operation.
pub const RECOVER: &str = "recover";

/// The inputs of recovery.
pub struct Recovery<'a> {
    /// The state and the journal.
    pub store: &'a Arc<dyn StateStore>,
    /// The providers.
    pub registry: &'a Registry,
    /// Decrypts and seals values of rows.
    pub seal: &'a Seal,
    /// The receiver of progress events.
    pub events: &'a dyn Events,
    /// Cancelled when the user stops the operation.
    pub cancel: &'a CancellationToken,
    /// How long to wait for leases of other operations, and for calls that may still take effect.
    pub lock_timeout: Duration,
    /// The user or process that recovers, for people.
    pub actor: &'a str,
}

/// The end records of abandoned operations without open steps. Operations that end with their request are excluded.
async fn endings(
    store: &dyn Operations,
    operations: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<Record>, StoreError> {
    let mut ends = Vec::new();
    for id in operations {
        let Some((operation, steps)) = store.operation(id).await? else { continue };
        if operation.is_abandoned && !operation.is_requested && steps.iter().all(|step| step.result.is_some()) {
            let summary = "interrupted; the outcomes of its steps are recorded".to_owned();
            ends.push(Record::End { operation: id, status: OperationStatus::Interrupted, summary });
        }
    }
    Ok(ends)
}

/// Ends matching operations that were interrupted between two steps, and returns them. An operation whose process may only be
/// suspended is left alone, because it may continue; an abandoned recovery is ended in any case.
///
/// # Errors
/// If the store fails.
pub async fn end_interrupted(
    store: &dyn StateStore,
    matches: impl Fn(&OperationRow) -> bool,
) -> Result<Vec<OperationRow>, StoreError> {
    let unended = store.unended_operations().await?;
    let mut ended = Vec::new();
    let is_over = |operation: &OperationRow| operation.is_gone || operation.is_abandoned && operation.kind == RECOVER;
    for operation in unended.into_iter().filter(|operation| is_over(operation) && matches(operation)) {
        let ends = endings(store, [operation.id]).await?;
        if !ends.is_empty() {
            store.commit(&[], ends).await?;
            ended.push(operation);
        }
    }
    Ok(ended)
}

impl Recovery<'_> {
    /// Resolves the orphaned steps of a stack, and of shared resources of its environment, under the leases of their components.
    /// Steps of running operations are left alone.
    ///
    /// # Errors
    /// If leases cannot be acquired or the store fails.
    pub async fn run(
        &self,
        stack: &StackId,
        selection: &Selection,
        shared: &Selection,
    ) -> Result<Vec<Recovered>, LeaseError> {
        self.seal.bind_to(self.store.as_ref()).await?;
        let mut recovered = self.run_one(stack, selection).await?;
        let environment = StackId::shared(&stack.environment);
        if *stack != environment {
            recovered.extend(self.run_one(&environment, shared).await?);
        }
        Ok(recovered)
    }

    async fn run_one(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Recovered>, LeaseError> {
        let orphaned = self.orphaned(stack, selection).await?;
        if orphaned.is_empty() {
            return Ok(Vec::new());
        }
        let (held, operation) = self.begin(stack, &orphaned).await?;
        let mut recovered = Vec::new();
        let result = async {
            // Another recovery may have closed some: only steps that are still open count.
            let started = Instant::now();
            let mut closed = BTreeSet::new();
            for open in self.orphaned(stack, selection).await? {
                let of = open.intent.operation;
                let step = self.resolve(&held, open, started).await?;
                closed.extend((!step.is_in_doubt).then_some(of));
                recovered.push(step);
            }
            let in_doubt = recovered.iter().filter(|step| step.is_in_doubt).count();
            let status = if in_doubt == 0 { OperationStatus::Completed } else { OperationStatus::Failed };
            let summary = format!("{} checked, {in_doubt} in doubt", counted(recovered.len(), "steps"));
            let mut records = endings(self.store.as_ref(), closed).await?;
            records.push(Record::End { operation, status, summary });
            held.commit(records).await
        }
        .await;
        let released = held.release().await;
        result?;
        released?;
        Ok(recovered)
    }

    /// Closes a step in doubt with the user's decision; false if it is not open any more.
    ///
    /// # Errors
    /// If leases cannot be acquired or the store fails.
    pub async fn decide(&self, step: &InterruptedStep, verdict: Verdict) -> Result<bool, LeaseError> {
        self.seal.bind_to(self.store.as_ref()).await?;
        let InterruptedStep { stack, address, .. } = step;
        let Some(open) = self.still_open(step).await? else { return Ok(false) };
        let (held, operation) = self.begin(stack, &[open]).await?;
        let result = async {
            // Another recovery may have closed it.
            let open = self.still_open(step).await?;
            let is_decided = open.is_some();
            let named = step.deposed.as_ref().map(|key| format!(" (deposed {key})")).unwrap_or_default();
            let mut summary = format!("{address}{named}: no step was in doubt any more");
            if let Some(open) = open {
                let found = match verdict {
                    Verdict::Unchanged => "a user decided that the call had no effect",
                    Verdict::Absent => "a user decided that the object does not exist",
                    Verdict::Tainted => "a user decided that the object is partly created",
                };
                let writes = Writes::new(&open.intent, self.row(&open.intent).await?, self.seal);
                let writes = match verdict {
                    Verdict::Unchanged => Vec::new(),
                    Verdict::Absent => writes.dropped()?,
                    Verdict::Tainted => writes
                        .tainted()?
                        .ok_or_else(|| StoreError::Occupied { stack: stack.clone(), address: address.clone() })?,
                };
                summary = format!("{address}{named}: {found}");
                held.commit(vec![closing(&open.intent, found, writes)]).await?;
                let ends = endings(self.store.as_ref(), [open.intent.operation]).await?;
                held.commit(ends).await?;
            }
            held.commit(vec![Record::End { operation, status: OperationStatus::Completed, summary }]).await?;
            Ok::<bool, StoreError>(is_decided)
        }
        .await;
        let released = held.release().await;
        let is_decided = result?;
        released?;
        Ok(is_decided)
    }

    /// The intent of a step while it is open and orphaned.
    async fn still_open(&self, step: &InterruptedStep) -> Result<Option<OpenIntent>, StoreError> {
        let selection = Selection::Addresses(BTreeSet::from([step.address.clone()]));
        Ok(self.orphaned(&step.stack, &selection).await?.into_iter().find(|open| step.is(open)))
    }

    /// Acquires the leases of the steps' components, and begins an operation under them.
    async fn begin(&self, stack: &StackId, steps: &[OpenIntent]) -> Result<(Held, Uuid), LeaseError> {
        let operation = Uuid::now_v7();
        let claim = Claim {
            components: steps.iter().map(|open| (stack.clone(), open.intent.row.address.lease_key())).collect(),
            operation,
            holder: self.actor,
            lock_timeout: self.lock_timeout,
            cancel: self.cancel,
            events: self.events,
        };
        let held = Held::take(self.store, claim).await?;
        let new = NewOperation {
            id: operation,
            kind: RECOVER.to_owned(),
            stacks: vec![stack.clone()],
            actor: self.actor.to_owned(),
        };
        match self.store.begin(&new).await {
            Ok(()) => Ok((held, operation)),
            Err(error) => {
                held.release().await?;
                Err(error.into())
            }
        }
    }

    async fn orphaned(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        let open = self.store.open_intents(stack, selection).await?;
        let orphaned = open.into_iter().filter(|open| open.is_orphaned);
        Ok(orphaned.map(|open| open.after(self.registry.ended_calls())).collect())
    }

    /// Determines the outcome of a step and records it. Waits while its call may still take effect.
    async fn resolve(&self, held: &Held, open: OpenIntent, started: Instant) -> Result<Recovered, StoreError> {
        let step = InterruptedStep::of(&open.intent);
        let address = step.to_string();
        let mut reported = String::new();
        // Steps are checked one after the other, and their age grows meanwhile.
        let listed = open.age;
        let mut open = OpenIntent { age: listed.saturating_add(started.elapsed()), ..open };
        let may_take_effect = open.settles_in().is_some();
        open = match in_present_form(self.registry, self.seal, open).await {
            Ok(open) => open,
            Err(found) => {
                return Ok(Recovered::in_doubt(step, found, may_take_effect, may_take_effect));
            }
        };
        // The present row, under the lease, with any changes since the step began.
        let row = match self.row(&open.intent).await? {
            Some(row) => match upgraded(self.registry, self.seal, row).await {
                Ok(row) => Some(row),
                Err(outdated) => {
                    let found = format!("its row was {outdated}");
                    return Ok(Recovered::in_doubt(step, found, may_take_effect, may_take_effect));
                }
            },
            None => None,
        };
        let writes = Writes::new(&open.intent, row, self.seal);
        let recorded = writes.updated()?;
        let mut was_open = false;
        // Some stores do not record when a process ended.
        let mut first_seen_gone = open.is_holder_gone.then(Instant::now);
        let finding = loop {
            let finding = find_outcome(self.registry, self.seal, &open, recorded.as_ref()).await;
            let left = self.lock_timeout.saturating_sub(started.elapsed());
            let Finding::TooEarly(reason) = &finding else { break finding };
            was_open = true;
            if left.is_zero() || self.cancel.is_cancelled() {
                break finding;
            }
            // The reason contains a countdown: reasons that differ only in numbers are reported once.
            let without_numbers: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
            if without_numbers != reported {
                self.events.take(Event::Recovering { message: format!("{address}: {reason}; looking again") });
                reported = without_numbers;
            }
            let pause = Duration::from_secs(1).min(left);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => {}
            }
            let ended_for = self.gone_for(&open).await?;
            first_seen_gone = first_seen_gone.or_else(|| ended_for.map(|_| Instant::now()));
            open.is_holder_gone = ended_for.is_some();
            open.gone_for =
                ended_for.unwrap_or_default().max(first_seen_gone.map(|at| at.elapsed()).unwrap_or_default());
            open.age = listed.saturating_add(started.elapsed());
        };
        let is_open = matches!(finding, Finding::TooEarly(_));
        let (found, writes) = match finding {
            Finding::InDoubt(reason) | Finding::TooEarly(reason) => {
                return Ok(Recovered::in_doubt(step, reason, was_open, is_open));
            }
            Finding::Unchanged => ("the step did not take effect".to_owned(), Vec::new()),
            Finding::Nothing => ("there is no such object".to_owned(), writes.dropped()?),
            Finding::Object { attributes, observed, applied } => {
                match self.current_manager(&open.intent, &writes, &observed).await? {
                    Err(found) => return Ok(Recovered::in_doubt(step, found, was_open, is_open)),
                    Ok(Some(by)) => {
                        let found = format!("the step took effect, and {by} manages the object now");
                        return self.close(held, &open.intent, found, Vec::new(), was_open).await;
                    }
                    Ok(None) => {}
                }
                match writes.recorded(&attributes, &observed, applied)? {
                    Some(writes) if writes.is_empty() => {
                        ("the object exists, but it has no row any more".to_owned(), Vec::new())
                    }
                    Some(writes) if applied.is_as_planned() => {
                        ("the step took effect and is recorded now".to_owned(), writes)
                    }
                    Some(writes) => ("the object's current values are recorded".to_owned(), writes),
                    None => {
                        let found = "the step took effect, but the row belongs to another object now".to_owned();
                        return Ok(Recovered::in_doubt(step, found, was_open, is_open));
                    }
                }
            }
        };
        self.close(held, &open.intent, found, writes, was_open).await
    }

    /// Records an outcome.
    async fn close(
        &self,
        held: &Held,
        intent: &Intent,
        found: String,
        writes: Vec<Write>,
        was_open: bool,
    ) -> Result<Recovered, StoreError> {
        let step = InterruptedStep::of(intent);
        let address = step.to_string();
        held.commit(vec![closing(intent, &found, writes)]).await?;
        self.events.take(Event::Recovered { message: format!("{address}: {found}") });
        Ok(Recovered { step, address, found, is_in_doubt: false, was_open, is_open: false })
    }

    /// The resource that manages the step's object now; `None` if the step's row has to record it. The inner error is the reason
    /// why this is unknown.
    async fn current_manager(
        &self,
        intent: &Intent,
        writes: &Writes<'_>,
        observed: &Observed,
    ) -> Result<Result<Option<Manager>, String>, StoreError> {
        if writes.has_row() || intent.prior_generation != 0 {
            return Ok(Ok(None));
        }
        let Row { stack, address, provider, .. } = &intent.row;
        let object = ObjectOfInstance { ty: &address.ty, instance: provider, identity: &observed.identity };
        // Read again for each step, because the one before may have recorded the same object.
        match Managed::default()
            .manager_in(self.store.as_ref(), (self.registry, self.seal), &stack.environment, object)
            .await
        {
            Ok(by) => Ok(Ok(by)),
            Err(PlanFailure::Store(error)) => Err(error),
            Err(error @ PlanFailure::Sealed { .. }) => Ok(Err(error.to_string())),
        }
    }

    /// The present row at the step's address.
    async fn row(&self, intent: &Intent) -> Result<Option<Row>, StoreError> {
        let address = &intent.row.address;
        let rows = self.store.rows(&intent.row.stack, &Selection::Addresses(BTreeSet::from([address.clone()]))).await?;
        Ok(rows.into_iter().find(|row| row.deposed == intent.row.deposed))
    }

    /// Time since the call, or the process that made it, is known to have ended; `None` if it may run.
    async fn gone_for(&self, open: &OpenIntent) -> Result<Option<Duration>, StoreError> {
        let step = InterruptedStep::of(&open.intent);
        let selection = Selection::Addresses(BTreeSet::from([step.address.clone()]));
        let now = self.store.open_intents(&step.stack, &selection).await?;
        let open = now.into_iter().find(|open| step.is(open)).map(|open| open.after(self.registry.ended_calls()));
        Ok(open.filter(|open| open.is_holder_gone).map(|open| open.gone_for))
    }
}

/// The record that closes a step.
fn closing(intent: &Intent, found: &str, writes: Vec<Write>) -> Record {
    Record::Outcome {
        operation: intent.operation,
        step: intent.step,
        stack: intent.row.stack.clone(),
        address: intent.row.address.clone(),
        action: intent.action,
        result: StepResult::Recovered(found.to_owned()),
        writes,
    }
}
