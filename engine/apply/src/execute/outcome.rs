//! Outcomes of calls: the writes and the report after a success, a failure or a lost reply.

use super::super::Failed;
use super::inconsistent;
use super::recorder::Recorder;
use super::step::{Outcome, Prepared, generation_before_create};
use std::time::{Duration, Instant};
use terrace_language::action::Action;
use terrace_plan::deadline::{self, UnfinishedCall};
use terrace_plan::resource::sent_write_only;
use terrace_plan::{Change, contract};
use terrace_provider::renames::exchanges_names;
use terrace_provider::value::wire::WireError;
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Found, LostCall, Observed, Private, ProviderError, ResourceType, Value,
};
use terrace_store::diff::are_same;
use terrace_store::marks;
use terrace_store::record::storable;
use terrace_store::{Row, RowStatus, StepAction, StepResult, Write};

/// Records a created or updated object, which has to agree with the plan.
pub(super) fn record_object(
    recorder: &Recorder<'_>,
    prepared: &Prepared,
    observed: &Observed,
    expected: u64,
) -> Outcome {
    let attributes = storable(recorder.ty, &prepared.planned.attributes, observed);
    record_object_with(recorder, prepared, observed, expected, attributes)
}

/// The same with the given attributes.
fn record_object_with(
    recorder: &Recorder<'_>,
    prepared: &Prepared,
    observed: &Observed,
    expected: u64,
    attributes: Attributes,
) -> Outcome {
    let ty = recorder.ty;
    let planned = &prepared.planned.attributes;
    let mut breaches = contract::result_agrees_with_plan(ty, planned, observed);
    breaches.extend(contract::result_is_sound(ty, observed));
    let status = match &prepared.change.basis.prior {
        // A row that is only rewritten keeps its status.
        Some(prior) if prepared.change.action == Action::NoOp => prior.status,
        // An object that differs from the plan is complete: replacing it would destroy its data.
        _ => RowStatus::Ready,
    };
    let identity = match observed.identity.is_empty() {
        // Without an identity in the row the object could not be read again.
        true => ty.identity_of(&attributes).unwrap_or_default(),
        false => observed.identity.clone(),
    };
    let detectors = inconsistent::detectors(&recorder.applier.seal, ty, planned, observed);
    let recorder = match detectors.is_empty() {
        true => *recorder,
        false => Recorder { inconsistent: &detectors, ..*recorder },
    };
    let row = recorder.row(status, &identity, &attributes, &observed.private);
    let mut outcome = write_row(prepared, row, expected, Some(attributes.clone()));
    if let (Some((breach, more)), None) = (breaches.split_first(), &outcome.failure) {
        let error = ProviderError::bug(format!("a fault of the provider of `{}`: {breach}", ty.name))
            .solution(
                "the object stays, and the state has its actual values: configure the value that was read, or list the \
                 attribute in `ignoreChanges`",
            )
            .solution("report the difference to the author of the provider");
        let error = ProviderError { problems: more.to_vec(), ..error };
        let values = inconsistent::in_words(ty, planned, observed, &attributes);
        let error = values.into_iter().fold(error, ProviderError::problem);
        outcome = failure(prepared, error, outcome.writes, None);
    }
    outcome
}

pub(super) fn write_row(
    prepared: &Prepared,
    row: Result<Row, WireError>,
    expected: u64,
    attributes: Option<Attributes>,
) -> Outcome {
    match row {
        Ok(row) => done(put(prepared, row, expected), attributes),
        Err(error) => unrecorded(prepared, ProviderError::bug(error.to_string())),
    }
}

/// The outcome if the object's row cannot be sealed. After a call the step stays open, so that the object is not lost.
fn unrecorded(prepared: &Prepared, error: ProviderError) -> Outcome {
    let is_called = prepared.intent.is_some();
    let error = match is_called {
        true => error.solution(
            "the call took effect: record the object with `terrace recover` once there is a state key, or with \
             `terrace apply --plaintext-secrets`",
        ),
        false => error,
    };
    Outcome { is_in_doubt: is_called, ..failure(prepared, error, Vec::new(), None) }
}

/// The writes for an object. A create-before-destroy replacement deposes the old row.
fn put(prepared: &Prepared, row: Row, expected: u64) -> Vec<Write> {
    let change = &prepared.change;
    let deposed = prepared.deposed.clone().map(|key| Write::Depose {
        stack: prepared.stack.clone(),
        address: change.address.clone(),
        key,
        expected: change.basis.generation,
    });
    deposed.into_iter().chain([Write::Put { row: Box::new(row), expected }]).collect()
}

/// The object after a failed create.
pub(super) enum AfterFailure {
    Object(Observed),
    Nothing,
    Unknown,
}

pub(super) async fn find_after_failure(
    session: &dyn terrace_provider::Session,
    ty: &ResourceType,
    prepared: &Prepared,
    call: &Call,
    (identity, private): (Attributes, Private),
    started: Instant,
    unfinished: &UnfinishedCall,
) -> AfterFailure {
    let error = &unfinished.error;
    if let Some(object) = &error.object {
        return AfterFailure::Object((**object).clone());
    }
    // After these errors the object certainly does not exist.
    let is_certain = matches!(
        error.kind,
        ErrorKind::AlreadyExists { .. }
            | ErrorKind::Cancelled
            | ErrorKind::NotBegun
            | ErrorKind::NotConfigured
            | ErrorKind::PermissionDenied
            | ErrorKind::InvalidInput { .. }
    );
    if is_certain {
        return AfterFailure::Nothing;
    }
    let attempt = Attempt {
        address: call.address.clone(),
        identity,
        planned: prepared.planned.attributes.clone(),
        private,
        prior: None,
        lost_call: Some(LostCall {
            operation: call.operation.clone(),
            step: call.step.clone(),
            timeout: call.timeout,
            age: started.elapsed(),
        }),
    };
    match deadline::call_reading(prepared.change.how.timeouts.read, session.find(ty, &attempt)).await {
        Ok(Found::Own(observed)) => AfterFailure::Object(observed),
        Ok(Found::NoEffect) => AfterFailure::Nothing,
        Ok(Found::Absent | Found::Foreign(_)) if error.kind != ErrorKind::Ambiguous || is_settled(ty, unfinished) => {
            AfterFailure::Nothing
        }
        // A temporary error means that the create had no effect; the same error mostly prevents the search too.
        Ok(Found::Absent | Found::Foreign(_) | Found::Unknown) | Err(_) if error.kind.is_temporary() => {
            AfterFailure::Nothing
        }
        Ok(_) | Err(_) => AfterFailure::Unknown,
    }
}

/// True if a call with an unknown outcome can have no effect any more.
fn is_settled(ty: &ResourceType, unfinished: &UnfinishedCall) -> bool {
    ty.settle.is_zero() && !unfinished.may_still_run
}

pub(super) fn create_failed(
    recorder: &Recorder<'_>,
    prepared: &Prepared,
    error: ProviderError,
    found: AfterFailure,
) -> Outcome {
    match found {
        AfterFailure::Nothing => failure(prepared, error, Vec::new(), None),
        AfterFailure::Unknown => in_doubt(prepared, error),
        AfterFailure::Object(observed) if error.kind == ErrorKind::Ambiguous => {
            record_object(recorder, prepared, &observed, generation_before_create(&prepared.change))
        }
        AfterFailure::Object(observed) => {
            let attributes = storable(recorder.ty, &prepared.planned.attributes, &observed);
            match recorder.row(RowStatus::Tainted, &observed.identity, &attributes, &observed.private) {
                Ok(row) => {
                    failure(prepared, error, put(prepared, row, generation_before_create(&prepared.change)), None)
                }
                Err(_) => unrecorded(prepared, error),
            }
        }
    }
}

pub(super) fn update_failed(recorder: &Recorder<'_>, prepared: &Prepared, error: ProviderError) -> Outcome {
    let row = match &error.object {
        Some(observed) => {
            let attributes = old_or_new(recorder.ty, prepared, observed);
            let change = with_old_write_only(&prepared.change);
            let recorder = Recorder { change: &change, ..*recorder };
            match recorder.row(RowStatus::Ready, &observed.identity, &attributes, &observed.private) {
                Ok(row) => Some(row),
                Err(_) => return unrecorded(prepared, error),
            }
        }
        None if error.kind == ErrorKind::NotBegun => None,
        None => old_row_with_marks(recorder, prepared),
    };
    let write = row.map(|row| Write::Put { row: Box::new(row), expected: prepared.change.basis.generation });
    failure(prepared, error, write.into_iter().collect(), None)
}

/// The old row after a failed update that sent new sensitive values. It marks their attributes, because part of the update may have
/// arrived. `None` if no mark is missing, or the row cannot be sealed.
fn old_row_with_marks(recorder: &Recorder<'_>, prepared: &Prepared) -> Option<Row> {
    let prior = prepared.change.basis.prior.as_deref().filter(|_| prepared.change.basis.generation > 0)?;
    let recorded = prior.recorded.as_ref().unwrap_or(&prior.attributes);
    let sent = &prepared.planned.attributes;
    let mut hidden = marks::mark_attributes_like(recorded, sent);
    let is_new = |(name, value): &(&String, &Value)| value.has_sensitive() && !recorded.contains_key(*name);
    let is_stored = |name: &str| recorder.ty.attributes.get(name).is_some_and(|attribute| !attribute.write_only);
    // A missing attribute gets a sensitive null, so that a value found later is sensitive.
    let new = sent.iter().filter(is_new).filter(|(name, _)| is_stored(name));
    let new: Vec<_> = new.map(|(name, _)| (name.clone(), Value::sensitive(Value::Null))).collect();
    if new.is_empty() && marks::newly_marked(recorded, &hidden).is_empty() {
        return None;
    }
    hidden.extend(new);
    let change = Change { after: None, ..prepared.change.clone() };
    let recorder = Recorder { change: &change, ..*recorder };
    recorder.row(prior.status, &prior.identity, &hidden, &prior.private).ok()
}

/// The change as far as it surely arrived before its call failed. Write-only attributes keep their old digests, so that they are
/// sent again rather than lost.
fn with_old_write_only(change: &Change) -> Change {
    let before = change.basis.prior.as_ref().map(|prior| prior.write_only.clone()).unwrap_or_default();
    let mut change = change.clone();
    if let Some(after) = &mut change.after {
        after.write_only = before;
    }
    change
}

/// The object after an update or a delete with an unknown outcome.
pub(super) enum Reread {
    Object(Observed),
    Nothing,
    Unknown,
}

pub(super) async fn reread(
    session: &dyn terrace_provider::Session,
    prepared: &Prepared,
    ty: &ResourceType,
    recorded: &terrace_provider::Recorded,
) -> Reread {
    let planned = &prepared.planned.attributes;
    let is_update = prepared.action == StepAction::Update;
    // An exchange of names looks the same before and after.
    if !ty.readable || is_update && exchanges_names(&recorded.attributes, planned) {
        return Reread::Unknown;
    }
    // The object may have its new name.
    let is_renamed =
        || is_update && ty.identity_of(planned).is_some_and(|identity| !are_same(&identity, &recorded.identity));
    match deadline::call_reading(prepared.change.how.timeouts.read, session.read(ty, recorded)).await {
        Ok(Some(observed)) => Reread::Object(observed),
        Ok(None) if is_renamed() => Reread::Unknown,
        Ok(None) => Reread::Nothing,
        Err(_) => Reread::Unknown,
    }
}

/// The attributes after an update with an unknown outcome. They may be the old values, so the old sensitivity marks apply too.
fn old_or_new(ty: &ResourceType, prepared: &Prepared, observed: &Observed) -> Attributes {
    let attributes = storable(ty, &prepared.planned.attributes, observed);
    match &prepared.change.basis.prior {
        Some(prior) => marks::mark_attributes_like(&attributes, &prior.attributes),
        None => attributes,
    }
}

/// The outcome of an update with a lost reply: the values read count, once the call can have no further effect.
pub(super) fn update_in_doubt(
    recorder: &Recorder<'_>,
    prepared: &Prepared,
    unfinished: UnfinishedCall,
    reread: Reread,
) -> Outcome {
    let ty = recorder.ty;
    let (is_settled, error) = (is_settled(ty, &unfinished), unfinished.error);
    match reread {
        Reread::Object(observed) => {
            let breaches = contract::result_agrees_with_plan(ty, &prepared.planned.attributes, &observed);
            let unread = sent_write_only(&prepared.change);
            match (breaches.is_empty() && unread.is_empty(), is_settled) {
                (true, _) => {
                    let attributes = old_or_new(ty, prepared, &observed);
                    record_object_with(recorder, prepared, &observed, prepared.change.basis.generation, attributes)
                }
                (false, true) => {
                    let names: Vec<String> = unread.iter().map(|name| format!("`{name}`")).collect();
                    let error = match names.is_empty() {
                        true => error,
                        false => error.solution(format!(
                            "{} cannot be read back, so the next apply sends it again",
                            names.join(", ")
                        )),
                    };
                    update_failed(recorder, prepared, error.with_object(observed))
                }
                (false, false) => in_doubt(prepared, error),
            }
        }
        Reread::Nothing => failure(prepared, error, delete_row(prepared), None),
        Reread::Unknown => in_doubt(prepared, error),
    }
}

/// The outcome of a delete with a lost reply.
pub(super) fn delete_in_doubt(
    prepared: &Prepared,
    ty: &ResourceType,
    unfinished: UnfinishedCall,
    reread: &Reread,
) -> Outcome {
    match reread {
        Reread::Nothing => done(delete_row(prepared), None),
        Reread::Object(_) if is_settled(ty, &unfinished) => failure(prepared, unfinished.error, Vec::new(), None),
        Reread::Object(_) | Reread::Unknown => in_doubt(prepared, unfinished.error),
    }
}

pub(super) fn in_doubt(prepared: &Prepared, error: ProviderError) -> Outcome {
    let error = error.solution(
        "the step is in doubt: terrace sent the call, and does not know whether it took effect; resolve it with \
         `terrace recover`, which asks the provider again",
    );
    Outcome { is_in_doubt: true, ..failure(prepared, error, Vec::new(), None) }
}

/// Removes the row of a change; an object without a row has none.
pub(super) fn delete_row(prepared: &Prepared) -> Vec<Write> {
    if prepared.change.basis.generation == 0 {
        return Vec::new();
    }
    let (stack, address) = (prepared.stack.clone(), prepared.change.address.clone());
    let (deposed, expected) = (prepared.deposed.clone(), prepared.change.basis.generation);
    // Dependents of a replaced object depend on its successor.
    vec![match prepared.change.action.is_replace() {
        true => Write::Delete { stack, address, deposed, expected },
        false => Write::Forget { stack, address, deposed, expected },
    }]
}

pub(super) fn done(writes: Vec<Write>, attributes: Option<Attributes>) -> Outcome {
    Outcome {
        result: StepResult::Done,
        writes,
        attributes,
        failure: None,
        failed_check: None,
        is_in_doubt: false,
        took: Duration::ZERO,
    }
}

pub(super) fn failure(
    prepared: &Prepared,
    error: ProviderError,
    writes: Vec<Write>,
    attributes: Option<Attributes>,
) -> Outcome {
    // A plan has no locations of single attributes, so their names are added if the message lacks them.
    let at = match &error.kind {
        ErrorKind::InvalidInput { path: Some(path) } => Some(format!("`{path}`"))
            .filter(|named| !error.message.contains(named.as_str()))
            .map(|named| format!("at {named}")),
        _ => None,
    };
    let failed = Failed {
        stack: prepared.stack.clone(),
        address: prepared.change.address.clone(),
        action: prepared.change.action,
        error: error.to_string(),
        problems: at.into_iter().chain(error.problems).collect(),
        solutions: error.solutions,
    };
    Outcome {
        result: StepResult::Failed(failed.reason()),
        writes,
        attributes,
        failure: Some(failed),
        failed_check: None,
        is_in_doubt: false,
        took: Duration::ZERO,
    }
}
