//! Events of the cluster about an object, for `kubectl describe`: one for each new phase, and for new drift.

use crate::stack::{Condition, Phase, StackStatus};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

/// The longest note that the cluster accepts, in bytes.
const LONGEST: usize = 1_000;

/// The events of a change of the status. Most changes have none.
pub(crate) fn of(before: Option<&StackStatus>, after: &StackStatus) -> Vec<Event> {
    let find = |status: &StackStatus, kind: &str| status.conditions.iter().find(|it| it.kind == kind).cloned();
    let mut events = Vec::new();
    if before.map(|before| before.phase) != Some(after.phase)
        && let Some((kind, about)) = described_by(after.phase)
        && let Some(Condition { reason, message, .. }) = find(after, about)
    {
        events.push(event(kind, &reason, &message));
    }
    let is_drifted = |status: &StackStatus| find(status, "Drifted").filter(|it| it.status == "True");
    if before.is_none_or(|before| is_drifted(before).is_none())
        && let Some(Condition { reason, message, .. }) = is_drifted(after)
    {
        events.push(event(EventType::Warning, &reason, &message));
    }
    events
}

/// The kind of a phase's event, and the condition that describes the phase.
fn described_by(phase: Phase) -> Option<(EventType, &'static str)> {
    match phase {
        Phase::AwaitingApproval => Some((EventType::Normal, "Approved")),
        Phase::Applying => Some((EventType::Normal, "Approved")),
        Phase::Ready => Some((EventType::Normal, "Applied")),
        Phase::PlanFailed => Some((EventType::Warning, "Planned")),
        Phase::ApplyFailed => Some((EventType::Warning, "Applied")),
        Phase::Planning | Phase::Unknown => None,
    }
}

/// An event about an object.
pub(crate) fn event(type_: EventType, reason: &str, message: &str) -> Event {
    let end = message.floor_char_boundary(LONGEST);
    let note = message.get(..end).filter(|note| !note.is_empty()).map(str::to_owned);
    Event { type_, reason: reason.to_owned(), note, action: "Reconcile".to_owned(), secondary: None }
}

/// Publishes events. They are for people: without a right to create them, the operator works on.
pub(crate) async fn publish(recorder: &Recorder, object: &ObjectReference, events: Vec<Event>) {
    for event in events {
        if let Err(error) = recorder.publish(&event, object).await {
            tracing::debug!(object = object.name, %error, reason = event.reason, "an event cannot be published");
        }
    }
}
