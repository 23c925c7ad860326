//! Finds the outcome of an interrupted step. Changes nothing.

use super::contract::result_agrees_with_plan;
use crate::deadline;
use crate::upgrade::{UpgradeError, upgraded};
use terrace_language::registry::Registry;
use terrace_provider::renames::exchanges_names;
use terrace_provider::value::wire::WireError;
use terrace_provider::{Attempt, Attributes, Found, LostCall, Observed};
use terrace_store::diff::{are_same, changed_from_recorded};
use terrace_store::marks;
use terrace_store::record::Prior;
use terrace_store::record::{self, Memory};
use terrace_store::seal::Seal;
use terrace_store::{Intent, OpenIntent, Row, StepAction};

/// The outcome of a step.
#[derive(Debug)]
pub enum Finding {
    /// The object exists as planned or, for a delete, still exists; with the attributes to record.
    Object {
        /// The attributes.
        attributes: Attributes,
        /// The object as its provider sees it.
        observed: Box<Observed>,
        /// How much of the step's values arrived.
        applied: AppliedValues,
    },
    /// The object does not exist.
    Nothing,
    /// The call had no effect: the row is right.
    Unchanged,
    /// The outcome is unknown; the reason for people.
    InDoubt(String),
    /// The outcome is unknown, because the lost call may still take effect; the reason for people.
    TooEarly(String),
}

/// How much of a step's values is known to have arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppliedValues {
    /// All values.
    All,
    /// All values that can be read back. Other values count as unchanged, so that they are sent again rather than lost.
    Readable,
    /// The object differs from the plan.
    Partial,
}

impl AppliedValues {
    /// True if the object is as planned, as far as it can be read.
    pub fn is_as_planned(self) -> bool {
        self != Self::Partial
    }

    /// The memory to record for the object, from the memory of the step's row and of the row before.
    pub fn merged_memory(self, sent: &Row, before: Option<&Row>) -> Result<String, WireError> {
        let sent = record::memory(sent)?;
        let before = before.map(record::memory).transpose()?.unwrap_or_default();
        record::stored_memory(&self.of(sent, before))
    }

    /// The same for decrypted memories.
    pub fn of(self, sent: Memory, before: Memory) -> Memory {
        match self {
            Self::All => sent,
            Self::Readable => Memory { write_only: before.write_only, ..sent },
            Self::Partial => before,
        }
    }
}

/// Upgrades a step that an older terrace began.
///
/// # Errors
/// If it cannot be upgraded; the reason for people.
pub async fn in_present_form(registry: &Registry, seal: &Seal, open: OpenIntent) -> Result<OpenIntent, String> {
    let in_words = |outdated: UpgradeError| match (&outdated, outdated.hint()) {
        (UpgradeError::Unreadable(_), _) => outdated.to_string(),
        (_, Some(hint)) => format!("its step was {outdated}; {hint}"),
        (_, None) => format!("its step was {outdated}"),
    };
    let row = upgraded(registry, seal, open.intent.row).await.map_err(in_words)?;
    Ok(OpenIntent { intent: Intent { row, ..open.intent }, ..open })
}

/// Queries the provider for the outcome of an upgraded step.
///
/// `recorded` is the object before an update. If the outcome of an update is uncertain, the present values are read. Values that
/// cannot be read count as unchanged, so that they are sent again rather than lost.
pub async fn find_outcome(registry: &Registry, seal: &Seal, open: &OpenIntent, recorded: Option<&Prior>) -> Finding {
    let intent = &open.intent;
    let address = &intent.row.address;
    let Some((_, ty)) = registry.resource_type(&address.ty) else {
        return Finding::InDoubt(format!("this terrace has no resource type `{}`", address.ty));
    };
    let opened = match record::open(intent.row.clone(), seal) {
        Ok(opened) => opened,
        Err(error) => return Finding::InDoubt(error.to_string()),
    };
    if let Err(error) = record::check_marked(ty, &opened, seal) {
        return Finding::InDoubt(error.to_string());
    }
    let session = match registry.session(&intent.row.provider).await {
        Ok(session) => session,
        Err(error) => return Finding::InDoubt(error.to_string()),
    };
    let planned = &opened.prior.attributes;
    // An exchange of names looks the same before and after, and a renamed object is missing under its old name: only the provider
    // can find out.
    let before = recorded.filter(|_| intent.action == StepAction::Update);
    let is_exchange = before.is_some_and(|prior| exchanges_names(&prior.attributes, planned));
    let new_identity = ty.identity_of(planned).filter(|identity| !are_same(identity, &opened.prior.identity));
    let mut attempted = record::recorded(&intent.row.stack, address, &opened.prior);
    if let Some(prior) = before.filter(|_| is_exchange) {
        attempted.attributes.clone_from(&prior.attributes);
    }
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
    let object = |applied: AppliedValues, unread: &Attributes, observed: Observed| {
        let attributes = record::storable(ty, unread, &observed);
        // It is unknown whether the values changed, so the old sensitivity marks apply too.
        let attributes = match recorded {
            Some(prior) => marks::mark_attributes_like(&attributes, &prior.attributes),
            None => attributes,
        };
        Finding::Object { attributes, observed: Box::new(observed), applied }
    };
    let found = deadline::call_reading(ty.timeouts.read, session.find(ty, &attempt)).await;
    let too_early = |reason: &str| {
        let left = open.settles_in()?;
        let left = left.as_secs().max(1);
        Some(Finding::TooEarly(format!("{reason}, and the lost call may still take effect for {left} s")))
    };
    let finding = match (intent.action, found) {
        (StepAction::Delete, Ok(Found::Own(_) | Found::Foreign(_))) => {
            too_early("the object is still there").unwrap_or(Finding::Unchanged)
        }
        (StepAction::Update, Ok(Found::Own(found)))
            if is_exchange || new_identity.as_ref().is_some_and(|identity| are_same(identity, &found.identity)) =>
        {
            let is_as_planned = result_agrees_with_plan(ty, planned, &found).is_empty();
            object(if is_as_planned { AppliedValues::Readable } else { AppliedValues::Partial }, planned, found)
        }
        (StepAction::Update, Ok(Found::Own(found))) => {
            let is_as_planned = result_agrees_with_plan(ty, &opened.prior.attributes, &found).is_empty();
            match recorded.filter(|_| ty.readable) {
                None if recorded.is_none() && intent.prior_generation == 0 && is_as_planned => {
                    object(AppliedValues::Readable, &opened.prior.attributes, found)
                }
                // Only `find` knows the outcome: the object cannot be read.
                None if !ty.readable && is_as_planned => object(AppliedValues::All, &opened.prior.attributes, found),
                None => too_early("the object is not known to match the plan").unwrap_or(Finding::Unchanged),
                Some(prior) => {
                    let before = record::recorded(&intent.row.stack, address, prior);
                    let now = match deadline::call_reading(ty.timeouts.read, session.read(ty, &before)).await {
                        Ok(Some(now)) => now,
                        Ok(None) => return Finding::Nothing,
                        Err(error) => return Finding::InDoubt(error.to_string()),
                    };
                    // An unchanged object did not receive the update, even if `find` returned it as planned.
                    let attributes = record::storable(ty, &prior.attributes, &now);
                    let is_as_before = changed_from_recorded(ty, &prior.attributes, &attributes).is_empty();
                    match (is_as_before, is_as_planned) {
                        (false, true) => object(AppliedValues::Readable, &opened.prior.attributes, found),
                        (true, _) => too_early("the object is unchanged").unwrap_or(Finding::Unchanged),
                        (false, false) => {
                            // Part of the values arrived: their sensitivity marks apply to the present values.
                            let sent = &opened.prior.attributes;
                            let mut attributes = marks::mark_attributes_like(&attributes, sent);
                            marks::mark_derived(&ty.attributes, sent, &mut attributes);
                            too_early("the object does not match the plan").unwrap_or(Finding::Object {
                                attributes,
                                observed: Box::new(now),
                                applied: AppliedValues::Partial,
                            })
                        }
                    }
                }
            }
        }
        (_, Ok(Found::Own(observed))) => object(AppliedValues::All, &opened.prior.attributes, observed),
        (StepAction::Create, Ok(Found::Absent)) => too_early("no object exists yet").unwrap_or(Finding::Nothing),
        (_, Ok(Found::Absent)) => Finding::Nothing,
        (StepAction::Create, Ok(Found::NoEffect)) => Finding::Nothing,
        (_, Ok(Found::NoEffect)) => Finding::Unchanged,
        (_, Ok(Found::Foreign(_))) => {
            Finding::InDoubt("an object with that identity exists, but this step did not create it".to_owned())
        }
        (_, Ok(Found::Pending(reason))) => Finding::TooEarly(reason),
        (_, Ok(Found::Unknown)) => Finding::InDoubt("terrace sent the call; its effect is unknown".to_owned()),
        (_, Err(error)) => Finding::InDoubt(error.to_string()),
    };
    match finding {
        Finding::Object { attributes, .. } if !attributes.values().all(|value| seal.can_store(value)) => {
            Finding::InDoubt(UNSTORABLE.to_owned())
        }
        finding => finding,
    }
}

/// The reason why a step stays open although its object is known.
const UNSTORABLE: &str = "the object exists, but a sensitive value of it cannot be stored: provide a state key, or \
                          record it with `terrace apply --plaintext-secrets`";
