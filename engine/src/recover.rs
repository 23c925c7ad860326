//! What became of steps whose outcome was never recorded.
//!
//! [`look_into`] asks the provider and changes nothing; [`run`] records the answer, under the component's lease.

use crate::address::{Address, StackId};
use crate::apply::lease::{Claim, Held, LeaseError};
use crate::deadline;
use crate::diff::changed_from_recorded;
use crate::event::{Event, Events};
use crate::plan::contract::result_agrees_with_plan;
use crate::plan::{Prior, deposed_key, row_stack};
use crate::record;
use crate::registry::Registry;
use crate::seal::Seal;
use crate::store::{
    Intent, NewOperation, OpenIntent, OperationStatus, Record, Row, RowStatus, Selection, StateStore, StepAction,
    StepResult, StoreError, Write,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::value::wire::{WireError, encode_map};
use terrace_provider::{Attempt, Attributes, Found, LostCall, Observed};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What became of a step.
#[derive(Debug)]
pub enum Finding {
    /// The object is there as planned (or, for a delete, is still there): its attributes as they would be recorded.
    Object {
        /// The attributes.
        attributes: Attributes,
        /// As the provider sees it.
        observed: Box<Observed>,
        /// It is what the step was to make of it.
        is_as_planned: bool,
    },
    /// There is no object.
    Nothing,
    /// The call had no effect: the row stands as it is.
    Unchanged,
    /// It cannot be told; the reason for people.
    InDoubt(String),
    /// It cannot be told yet, for the lost call may still take effect; the reason for people.
    TooEarly(String),
}

/// Asks the provider what became of a step.
///
/// `recorded` is the object that the step was to update. Of an update that may or may not have taken effect, what is
/// there now is read as it was recorded, and what cannot be read counts as it was: at worst it is sent once more,
/// never taken for done.
pub async fn look_into(registry: &Registry, seal: &Seal, open: &OpenIntent, recorded: Option<&Prior>) -> Finding {
    let intent = &open.intent;
    let address = &intent.row.address;
    let Some((_, ty)) = registry.resource_type(&address.ty) else {
        return Finding::InDoubt(format!("this terrace has no resource type `{}`", address.ty));
    };
    let opened = match record::open(intent.row.clone(), seal) {
        Ok(opened) => opened,
        Err(error) => return Finding::InDoubt(error.to_string()),
    };
    let session = match registry.session(&intent.row.provider).await {
        Ok(session) => session,
        Err(error) => return Finding::InDoubt(error.to_string()),
    };
    let attempted = record::recorded(&intent.row.stack, address, &opened.prior);
    let attempt = Attempt {
        address: attempted.address.clone(),
        identity: opened.prior.identity.clone(),
        planned: opened.prior.attributes.clone(),
        private: opened.prior.private.clone(),
        prior: (intent.action != StepAction::Create).then_some(attempted),
        lost_call: Some(LostCall {
            operation: intent.operation.to_string(),
            step: intent.step.to_string(),
            timeout: intent.timeout,
            age: open.age,
        }),
    };
    let object = |unread: &Attributes, observed: Observed| Finding::Object {
        attributes: record::storable(ty, unread, &observed),
        observed: Box::new(observed),
        is_as_planned: true,
    };
    let found = deadline::reading(ty.timeouts.read, session.find(ty, &attempt)).await;
    let too_early = |what: &str| {
        let left = settles_in(intent, open.age)?;
        let left = left.as_secs().max(1);
        Some(Finding::TooEarly(format!("{what}, and the lost call may still take effect for {left} s")))
    };
    match (intent.action, found) {
        (StepAction::Delete, Ok(Found::Ours(_) | Found::Strangers(_))) => {
            too_early("the object is still there").unwrap_or(Finding::Unchanged)
        }
        (StepAction::Update, Ok(Found::Ours(found))) => {
            let Some(prior) = recorded.filter(|_| ty.readable) else { return Finding::Unchanged };
            let before = record::recorded(&intent.row.stack, address, prior);
            let now = match deadline::reading(ty.timeouts.read, session.read(ty, &before)).await {
                Ok(Some(now)) => now,
                Ok(None) => return Finding::Nothing,
                Err(error) => return Finding::InDoubt(error.to_string()),
            };
            // An object that is as it was recorded saw nothing of the update, whatever `find` makes of the plan.
            let attributes = record::storable(ty, &prior.attributes, &now);
            let is_as_before = changed_from_recorded(ty, &prior.attributes, &attributes).is_empty();
            let is_as_planned = result_agrees_with_plan(ty, &opened.prior.attributes, &found).is_empty();
            match (is_as_before, is_as_planned) {
                (false, true) => object(&opened.prior.attributes, found),
                (true, _) => too_early("the object is as it was before").unwrap_or(Finding::Unchanged),
                (false, false) => too_early("the object is not as it was to be").unwrap_or(Finding::Object {
                    attributes,
                    observed: Box::new(now),
                    is_as_planned: false,
                }),
            }
        }
        (_, Ok(Found::Ours(observed))) => object(&opened.prior.attributes, observed),
        (StepAction::Create, Ok(Found::Absent)) => too_early("nothing is there yet").unwrap_or(Finding::Nothing),
        (_, Ok(Found::Absent)) => Finding::Nothing,
        (_, Ok(Found::Strangers(_))) => {
            Finding::InDoubt("an object of that identity is there, and it does not come from this attempt".to_owned())
        }
        (_, Ok(Found::Pending(what))) => Finding::TooEarly(what),
        (_, Ok(Found::Unknown)) => Finding::InDoubt("the provider cannot tell whether the call took effect".to_owned()),
        (_, Err(error)) => Finding::InDoubt(error.to_string()),
    }
}

/// How long the lost call may still take effect; `None` when it cannot any more. A type that settles at once has
/// its effects within the process that called, which is gone.
fn settles_in(intent: &Intent, age: Duration) -> Option<Duration> {
    if intent.settle.is_zero() {
        return None;
    }
    intent.timeout.saturating_add(intent.settle).checked_sub(age).filter(|left| !left.is_zero())
}

/// What recovery did about one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The resource with its stack.
    pub address: String,
    /// What was found, in words.
    pub found: String,
    /// It could not be told: the step stays open and blocks its component.
    pub is_in_doubt: bool,
    /// Its call could still take effect when recovery began: what was known of it before that is worth nothing.
    pub was_open: bool,
}

/// What a person says of a step that nobody can tell about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There is no such object: nothing is kept.
    Absent,
    /// It is there, in whatever state: it is recorded, and replaced by the next apply.
    Tainted,
}

/// All that recovery works with.
pub struct Recovery<'a> {
    /// Where rows and the journal are.
    pub store: &'a Arc<dyn StateStore>,
    /// Who implements what.
    pub registry: &'a Registry,
    /// Opens and seals what rows hold.
    pub seal: &'a Seal,
    /// Where progress is shown.
    pub events: &'a dyn Events,
    /// Set when the user wants to stop.
    pub cancel: &'a CancellationToken,
    /// How long to wait for leases of others, and for calls that may still take effect.
    pub patience: Duration,
    /// Who asks, for people.
    pub actor: &'a str,
}

impl Recovery<'_> {
    /// Resolves the orphaned steps of a stack and of the shared resources of its environment, under the leases of
    /// their components. Steps of live operations are left alone.
    ///
    /// # Errors
    /// When leases cannot be had or the store fails.
    pub async fn run(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Recovered>, LeaseError> {
        let mut recovered = self.run_one(stack, selection).await?;
        let shared = StackId::shared(&stack.environment);
        if *stack != shared {
            recovered.extend(self.run_one(&shared, &Selection::All).await?);
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
            // Another one may have been quicker: what is still open counts.
            let begun = Instant::now();
            for open in self.orphaned(stack, selection).await? {
                recovered.push(self.resolve(&held, open, begun).await?);
            }
            let in_doubt = recovered.iter().filter(|step| step.is_in_doubt).count();
            let status = if in_doubt == 0 { OperationStatus::Completed } else { OperationStatus::Failed };
            let summary = format!("{} steps looked into, {in_doubt} in doubt", recovered.len());
            held.commit(&[Record::End { operation, status, summary }]).await
        }
        .await;
        let released = held.release().await;
        result?;
        released?;
        Ok(recovered)
    }

    /// Closes a step that nobody can tell about as a person says; false when there is no such step.
    ///
    /// # Errors
    /// When leases cannot be had or the store fails.
    pub async fn decide(&self, stack: &StackId, address: &Address, verdict: Verdict) -> Result<bool, LeaseError> {
        let stack = row_stack(stack, address);
        let mut orphaned = self.orphaned(&stack, &Selection::Addresses(BTreeSet::from([address.clone()]))).await?;
        let Some(open) = orphaned.pop() else { return Ok(false) };
        let (held, operation) = self.begin(&stack, std::slice::from_ref(&open)).await?;
        let (found, writes) = match verdict {
            Verdict::Absent => ("a person said that there is no such object", Ok(self.dropped(&open))),
            Verdict::Tainted => ("a person said that it is there, half-made", self.tainted(&open)),
        };
        let result = async {
            let mut records = vec![closing(&open.intent, found, writes?)];
            let (status, summary) = (OperationStatus::Completed, format!("{address}: {found}"));
            records.push(Record::End { operation, status, summary });
            held.commit(&records).await
        }
        .await;
        let released = held.release().await;
        result?;
        released?;
        Ok(true)
    }

    /// Takes the leases of the components of steps, and begins an operation under them.
    async fn begin(&self, stack: &StackId, steps: &[OpenIntent]) -> Result<(Held, Uuid), LeaseError> {
        let operation = Uuid::now_v7();
        let claim = Claim {
            components: steps.iter().map(|open| (stack.clone(), open.intent.row.address.leased_as())).collect(),
            operation,
            holder: self.actor,
            patience: self.patience,
            cancel: self.cancel,
            events: self.events,
        };
        let held = Held::take(self.store, claim).await?;
        let new = NewOperation {
            id: operation,
            kind: "recover".to_owned(),
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
        Ok(open.into_iter().filter(|open| open.is_orphaned).collect())
    }

    /// Finds out what became of one step, waiting while its call may still take effect, and records it.
    async fn resolve(&self, held: &Held, mut open: OpenIntent, begun: Instant) -> Result<Recovered, StoreError> {
        let address = format!("{}:{}", open.intent.row.stack, open.intent.row.address);
        let mut told = String::new();
        let mut was_open = false;
        let row = self.updated_row(&open.intent).await?;
        let failed = |error: WireError| StoreError::Unavailable { doing: "read", reason: error.to_string() };
        let recorded = row.clone().map(|row| record::open(row, self.seal)).transpose().map_err(failed)?;
        let recorded = recorded.map(|opened| opened.prior);
        let finding = loop {
            let finding = look_into(self.registry, self.seal, &open, recorded.as_ref()).await;
            let left = self.patience.saturating_sub(begun.elapsed());
            let Finding::TooEarly(reason) = &finding else { break finding };
            was_open = true;
            if left.is_zero() || self.cancel.is_cancelled() {
                break finding;
            }
            // The time left counts down in the reason: the same but for numbers is told once.
            let told_now: String = reason.chars().filter(|c| !c.is_ascii_digit()).collect();
            if told_now != told {
                self.events.take(Event::Recovering { message: format!("{address}: {reason}; looking again") });
                told = told_now;
            }
            let pause = Duration::from_secs(1).min(left);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cancel.cancelled() => {}
            }
            open.age = open.age.saturating_add(pause);
        };
        let (found, writes) = match finding {
            Finding::InDoubt(reason) | Finding::TooEarly(reason) => {
                return Ok(Recovered { address, found: reason, is_in_doubt: true, was_open });
            }
            Finding::Unchanged => ("it did not take effect".to_owned(), Vec::new()),
            Finding::Nothing => ("there is no such object".to_owned(), self.dropped(&open)),
            Finding::Object { attributes, observed, is_as_planned: true } => {
                ("it took effect and is recorded now".to_owned(), self.recorded(&open, None, &attributes, &observed)?)
            }
            Finding::Object { attributes, observed, is_as_planned: false } => {
                ("it is recorded as it is now".to_owned(), self.recorded(&open, row.as_ref(), &attributes, &observed)?)
            }
        };
        let outcome = closing(&open.intent, &found, writes);
        held.commit(&[outcome]).await?;
        self.events.take(Event::Recovering { message: format!("{address}: {found}") });
        Ok(Recovered { address, found, is_in_doubt: false, was_open })
    }

    fn dropped(&self, open: &OpenIntent) -> Vec<Write> {
        let intent = &open.intent;
        // Nothing was recorded yet, or what is recorded is what was to be replaced: it stands.
        if intent.prior_generation == 0 || intent.deposes {
            return Vec::new();
        }
        vec![Write::Delete {
            stack: intent.row.stack.clone(),
            address: intent.row.address.clone(),
            deposed: intent.row.deposed.clone(),
            expected: intent.prior_generation,
        }]
    }

    /// The row that an update was about.
    async fn updated_row(&self, intent: &Intent) -> Result<Option<Row>, StoreError> {
        if intent.action != StepAction::Update {
            return Ok(None);
        }
        let address = &intent.row.address;
        let rows = self.store.rows(&intent.row.stack, &Selection::Addresses(BTreeSet::from([address.clone()]))).await?;
        Ok(rows.into_iter().find(|row| row.deposed == intent.row.deposed))
    }

    fn recorded(
        &self,
        open: &OpenIntent,
        updated: Option<&Row>,
        attributes: &Attributes,
        observed: &Observed,
    ) -> Result<Vec<Write>, StoreError> {
        let intent = &open.intent;
        let failed = |error: WireError| StoreError::Unavailable { doing: "written", reason: error.to_string() };
        let mut row = intent.row.clone();
        row.status = RowStatus::Ready;
        row.identity = encode_map(&observed.identity, self.seal).map_err(failed)?.to_string();
        row.attributes = encode_map(attributes, self.seal).map_err(failed)?.to_string();
        row.private = record::seal_private(&observed.private, self.seal).map_err(failed)?;
        if let Some(updated) = updated {
            // What was sent last is not known to have arrived.
            row.lifecycle.clone_from(&updated.lifecycle);
        }
        Ok(put(intent, row))
    }

    /// The object as it was planned, as far as that is known, to be replaced by the next apply.
    fn tainted(&self, open: &OpenIntent) -> Result<Vec<Write>, StoreError> {
        let intent = &open.intent;
        let failed = |error: WireError| StoreError::Unavailable { doing: "written", reason: error.to_string() };
        let mut attributes = record::open_attributes(&intent.row.attributes, self.seal).map_err(failed)?;
        attributes.retain(|_, value| !value.has_unknown());
        let mut row = intent.row.clone();
        row.status = RowStatus::Tainted;
        row.attributes = encode_map(&attributes, self.seal).map_err(failed)?.to_string();
        Ok(put(intent, row))
    }
}

/// Records the object of a step; one that it was to replace is kept beside it.
fn put(intent: &Intent, row: Row) -> Vec<Write> {
    let expected = intent.prior_generation;
    if !intent.deposes {
        return vec![Write::Put { row: Box::new(row), expected }];
    }
    let (stack, address) = (row.stack.clone(), row.address.clone());
    let depose = Write::Depose { stack, address, key: deposed_key(intent.operation), expected };
    vec![depose, Write::Put { row: Box::new(row), expected: 0 }]
}

/// Closes a step that recovery has an answer to.
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
