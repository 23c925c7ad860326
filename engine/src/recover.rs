//! What became of steps whose outcome was never recorded.
//!
//! [`look_into`] asks the provider and changes nothing; [`Recovery`] records the answer, under the component's lease;
//! what it writes is in [`writes`].

mod writes;

use crate::address::{Address, StackId};
use crate::apply::lease::{Claim, Held, LeaseError};
use crate::deadline;
use crate::diff::changed_from_recorded;
use crate::event::{Event, Events};
use crate::marks;
use crate::plan::contract::result_agrees_with_plan;
use crate::plan::{Prior, row_stack};
use crate::record;
use crate::registry::Registry;
use crate::render::text::counted;
use crate::seal::Seal;
use crate::store::{
    Intent, NewOperation, OpenIntent, OperationStatus, Record, Row, Selection, StateStore, StepAction, StepResult,
    StoreError, Write,
};
use crate::upgrade::{Outdated, upgraded};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{Attempt, Attributes, Found, LostCall, Observed};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use writes::Writes;

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

/// A step in the form that this build knows: an older terrace may have begun it.
///
/// # Errors
/// When it cannot be brought to that form; the reason for people.
pub(crate) async fn in_present_form(registry: &Registry, seal: &Seal, open: OpenIntent) -> Result<OpenIntent, String> {
    let told = |outdated: Outdated| match (&outdated, outdated.hint()) {
        (Outdated::Closed(_), _) => outdated.to_string(),
        (_, Some(hint)) => format!("its step was {outdated}; {hint}"),
        (_, None) => format!("its step was {outdated}"),
    };
    let row = upgraded(registry, seal, open.intent.row).await.map_err(told)?;
    Ok(OpenIntent { intent: Intent { row, ..open.intent }, ..open })
}

/// Asks the provider what became of a step that is in the form that this build knows.
///
/// `recorded` is the object that the step was to update. Of an update that may or may not have taken effect, what is
/// there now is read as it was recorded, and what cannot be read counts as it was: at worst it is sent once more,
/// never taken for done.
pub(crate) async fn look_into(
    registry: &Registry,
    seal: &Seal,
    open: &OpenIntent,
    recorded: Option<&Prior>,
) -> Finding {
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
    let object = |unread: &Attributes, observed: Observed| {
        let attributes = record::storable(ty, unread, &observed);
        // Who knows whether it was changed: what was more sensitive before is so.
        let attributes = match recorded {
            Some(prior) => marks::found_attributes(&attributes, &prior.attributes),
            None => attributes,
        };
        Finding::Object { attributes, observed: Box::new(observed), is_as_planned: true }
    };
    let found = deadline::reading(ty.timeouts.read, session.find(ty, &attempt)).await;
    let too_early = |what: &str| {
        let left = settles_in(open)?;
        let left = left.as_secs().max(1);
        Some(Finding::TooEarly(format!("{what}, and the lost call may still take effect for {left} s")))
    };
    let finding = match (intent.action, found) {
        (StepAction::Delete, Ok(Found::Ours(_) | Found::Strangers(_))) => {
            too_early("the object is still there").unwrap_or(Finding::Unchanged)
        }
        (StepAction::Update, Ok(Found::Ours(found))) => {
            let is_as_planned = result_agrees_with_plan(ty, &opened.prior.attributes, &found).is_empty();
            match recorded.filter(|_| ty.readable) {
                // What was being taken over has no row yet.
                None if recorded.is_none() && intent.prior_generation == 0 && is_as_planned => {
                    object(&opened.prior.attributes, found)
                }
                None => too_early("the object is not known to be as it was to be").unwrap_or(Finding::Unchanged),
                Some(prior) => {
                    let before = record::recorded(&intent.row.stack, address, prior);
                    let now = match deadline::reading(ty.timeouts.read, session.read(ty, &before)).await {
                        Ok(Some(now)) => now,
                        Ok(None) => return Finding::Nothing,
                        Err(error) => return Finding::InDoubt(error.to_string()),
                    };
                    // An object that is as it was recorded saw nothing of the update, whatever `find` makes of the plan.
                    let attributes = record::storable(ty, &prior.attributes, &now);
                    let is_as_before = changed_from_recorded(ty, &prior.attributes, &attributes).is_empty();
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
    };
    match finding {
        Finding::Object { attributes, .. } if !attributes.values().all(|value| seal.can_store(value)) => {
            Finding::InDoubt(UNSTORABLE.to_owned())
        }
        finding => finding,
    }
}

/// How long the lost call may still take effect; `None` when it cannot any more. A type that settles at once has
/// its effects within the process that called: they end with it. But a lease may also have ended because its holder was
/// suspended, or because somebody took it away: such a holder still has all the time that a call is waited for.
fn settles_in(open: &OpenIntent) -> Option<Duration> {
    let intent = &open.intent;
    let longer = match (intent.settle.is_zero(), open.is_holder_gone) {
        (true, true) => return None,
        (true, false) => deadline::GRACE,
        (false, _) => intent.settle,
    };
    intent.timeout.saturating_add(longer).checked_sub(open.age).filter(|left| !left.is_zero())
}

/// Why a step stays open whose object is known.
const UNSTORABLE: &str = "the object is there, and a sensitive value of it cannot be stored: give a state key, or \
                          record it with `terrace apply --plaintext-secrets`";

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
            let mut closed = BTreeSet::new();
            for open in self.orphaned(stack, selection).await? {
                let of = open.intent.operation;
                let step = self.resolve(&held, open, begun).await?;
                closed.extend((!step.is_in_doubt).then_some(of));
                recovered.push(step);
            }
            let in_doubt = recovered.iter().filter(|step| step.is_in_doubt).count();
            let status = if in_doubt == 0 { OperationStatus::Completed } else { OperationStatus::Failed };
            let summary = format!("{} looked into, {in_doubt} in doubt", counted(recovered.len(), "steps"));
            let mut records = self.endings(closed).await?;
            records.push(Record::End { operation, status, summary });
            held.commit(records).await
        }
        .await;
        let released = held.release().await;
        result?;
        released?;
        Ok(recovered)
    }

    /// The ends of operations that were cut off and have no step left that is open: nobody else will write them.
    async fn endings(&self, operations: BTreeSet<Uuid>) -> Result<Vec<Record>, StoreError> {
        let mut ends = Vec::new();
        for id in operations {
            let Some((operation, steps)) = self.store.operation(id).await? else { continue };
            if operation.is_abandoned && steps.iter().all(|step| step.result.is_some()) {
                let summary = "it was cut off; what became of its steps is recorded".to_owned();
                ends.push(Record::End { operation: id, status: OperationStatus::Interrupted, summary });
            }
        }
        Ok(ends)
    }

    /// Closes a step that nobody can tell about as a person says; false when there is no such step.
    ///
    /// # Errors
    /// When leases cannot be had or the store fails.
    pub async fn decide(&self, stack: &StackId, address: &Address, verdict: Verdict) -> Result<bool, LeaseError> {
        let stack = row_stack(stack, address);
        let selection = Selection::Addresses(BTreeSet::from([address.clone()]));
        let orphaned = self.orphaned(&stack, &selection).await?;
        if orphaned.is_empty() {
            return Ok(false);
        }
        let (held, operation) = self.begin(&stack, &orphaned).await?;
        let result = async {
            // Another one may have been quicker: what is still open counts.
            let open = self.orphaned(&stack, &selection).await?.pop();
            let is_decided = open.is_some();
            let mut summary = format!("{address}: nothing was in doubt any more");
            if let Some(open) = open {
                let found = match verdict {
                    Verdict::Absent => "a person said that there is no such object",
                    Verdict::Tainted => "a person said that it is there, half-made",
                };
                let writes = Writes::new(&open.intent, self.row(&open.intent).await?, self.seal);
                let writes = match verdict {
                    Verdict::Absent => writes.dropped()?,
                    Verdict::Tainted => writes
                        .tainted()?
                        .ok_or_else(|| StoreError::Occupied { stack: stack.clone(), address: address.clone() })?,
                };
                summary = format!("{address}: {found}");
                held.commit(vec![closing(&open.intent, found, writes)]).await?;
                let ends = self.endings(BTreeSet::from([open.intent.operation])).await?;
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
    async fn resolve(&self, held: &Held, open: OpenIntent, begun: Instant) -> Result<Recovered, StoreError> {
        let address = format!("{}:{}", open.intent.row.stack, open.intent.row.address);
        let mut told = String::new();
        let may_take_effect = settles_in(&open).is_some();
        let mut open = match in_present_form(self.registry, self.seal, open).await {
            Ok(open) => open,
            Err(found) => return Ok(Recovered { address, found, is_in_doubt: true, was_open: may_take_effect }),
        };
        // As it is now, under the lease, whatever was done to the row since the step was begun.
        let row = match self.row(&open.intent).await? {
            Some(row) => match upgraded(self.registry, self.seal, row).await {
                Ok(row) => Some(row),
                Err(outdated) => {
                    let found = format!("what is recorded of it was {outdated}");
                    return Ok(Recovered { address, found, is_in_doubt: true, was_open: may_take_effect });
                }
            },
            None => None,
        };
        let writes = Writes::new(&open.intent, row, self.seal);
        let recorded = writes.updated()?;
        let mut was_open = false;
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
            let age = open.age.saturating_add(pause);
            open.is_holder_gone = self.is_holder_gone(&open).await?;
            open.age = age;
        };
        let (found, writes) = match finding {
            Finding::InDoubt(reason) | Finding::TooEarly(reason) => {
                return Ok(Recovered { address, found: reason, is_in_doubt: true, was_open });
            }
            Finding::Unchanged => ("it did not take effect".to_owned(), Vec::new()),
            Finding::Nothing => ("there is no such object".to_owned(), writes.dropped()?),
            Finding::Object { attributes, observed, is_as_planned } => {
                match writes.recorded(&attributes, &observed, is_as_planned)? {
                    Some(writes) if writes.is_empty() => {
                        ("it is there, and not recorded any more".to_owned(), Vec::new())
                    }
                    Some(writes) if is_as_planned => ("it took effect and is recorded now".to_owned(), writes),
                    Some(writes) => ("it is recorded as it is now".to_owned(), writes),
                    None => {
                        let found = "it took effect, and another object is recorded there by now".to_owned();
                        return Ok(Recovered { address, found, is_in_doubt: true, was_open });
                    }
                }
            }
        };
        let outcome = closing(&open.intent, &found, writes);
        held.commit(vec![outcome]).await?;
        self.events.take(Event::Recovering { message: format!("{address}: {found}") });
        Ok(Recovered { address, found, is_in_doubt: false, was_open })
    }

    /// What is recorded where a step worked.
    async fn row(&self, intent: &Intent) -> Result<Option<Row>, StoreError> {
        let address = &intent.row.address;
        let rows = self.store.rows(&intent.row.stack, &Selection::Addresses(BTreeSet::from([address.clone()]))).await?;
        Ok(rows.into_iter().find(|row| row.deposed == intent.row.deposed))
    }

    /// Whether the process that made a call has ended meanwhile.
    async fn is_holder_gone(&self, open: &OpenIntent) -> Result<bool, StoreError> {
        let Intent { operation, step, row, .. } = &open.intent;
        let selection = Selection::Addresses(BTreeSet::from([row.address.clone()]));
        let now = self.store.open_intents(&row.stack, &selection).await?;
        let is_same = |open: &OpenIntent| (open.intent.operation, open.intent.step) == (*operation, *step);
        Ok(now.iter().any(|open| is_same(open) && open.is_holder_gone))
    }
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
