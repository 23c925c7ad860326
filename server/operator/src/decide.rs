//! The decision: from an object and its recorded status to the next action. Pure, so that a restart decides alike.

use crate::inputs;
use crate::stack::{
    APPROVE, ApprovalMode, Deletion, FINALIZER, OperationState, PlanRecord, PlanState, Stack, StackStatus,
};
use jiff::Timestamp;
use std::time::Duration;

/// The pause between looks at a plan or an operation of the server.
pub(crate) const POLL: Duration = Duration::from_secs(2);

/// The next action for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, before a change of the object.
    Nothing,
    /// Nothing, for this long at most.
    Wait(Duration),
    /// Add the finalizer, before anything that needs it.
    AddFinalizer,
    /// Remove the finalizer, so that the cluster removes the object.
    RemoveFinalizer,
    /// Have the server plan.
    Plan {
        /// Whether to plan the removal.
        destroy: bool,
        /// The digest of the inputs.
        inputs: String,
    },
    /// Read a plan that the server makes.
    ReadPlan(String),
    /// Nothing, while an older object has the same stack of the state. Its removal triggers no work for this object.
    Blocked(String),
    /// Record the begin of an operation, before it is sent.
    Begin,
    /// Send the recorded operation, which applies this plan.
    Apply(String),
    /// Find out whether the server has an operation of this plan. The recorded operation must not be sent any more.
    FindOperation(String),
    /// Read an operation of the server.
    ReadOperation(String),
    /// Read the newest drift scan of the stack, and the newest run of a pipeline.
    ReadDrift(String),
}

/// Decides the next action. `rival` is the name of an older `Stack` with the same stack of the state.
pub(crate) fn next(stack: &Stack, rival: Option<&str>, now: Timestamp) -> Next {
    let nothing = StackStatus::default();
    let status = stack.status.as_ref().unwrap_or(&nothing);
    let is_deleted = stack.metadata.deletion_timestamp.is_some();
    let has_finalizer = stack.metadata.finalizers.iter().flatten().any(|name| name == FINALIZER);
    match (is_deleted, has_finalizer) {
        (true, false) => return Next::Nothing,
        (false, false) => return Next::AddFinalizer,
        _ => {}
    }
    let inputs = inputs::digest(stack, is_deleted);
    let is_same = status.retry.as_ref().is_some_and(|retry| retry.inputs == inputs);
    let pause = if is_same { paused(status, now) } else { None };
    // A started operation ends first: it may be changing objects.
    if let Some(operation) = &status.operation {
        let plan = || operation.plan.clone();
        match (operation.state, &operation.id) {
            (OperationState::Completed | OperationState::Failed, _) => {}
            (_, Some(id)) => return paused(status, now).unwrap_or_else(|| Next::ReadOperation(id.clone())),
            (OperationState::Starting, None) if may_send(stack, status, &inputs, rival) => {
                return paused(status, now).unwrap_or_else(|| Next::Apply(plan()));
            }
            (_, None) => return pause.unwrap_or_else(|| Next::FindOperation(plan())),
        }
    }
    // Without a stack the server made no plan, and of two objects the older one has the stack. A plan without changes
    // takes existing objects over, so an object without an operation may have some.
    let has_nothing = status.operation.is_none() && (status.stack.is_none() || rival.is_some());
    if is_deleted && (stack.spec.deletion == Deletion::Orphan || has_nothing) {
        return Next::RemoveFinalizer;
    }
    let plan_again = || Next::Plan { destroy: is_deleted, inputs: inputs.clone() };
    let Some(plan) = status.plan.as_ref().filter(|plan| plan.inputs == inputs) else {
        return pause.unwrap_or_else(plan_again);
    };
    match (plan.state, &plan.id) {
        (PlanState::Running, Some(id)) => pause.unwrap_or_else(|| Next::ReadPlan(id.clone())),
        (PlanState::Failed | PlanState::Running | PlanState::Unknown, _) => pause.unwrap_or_else(plan_again),
        (PlanState::Refused, _) => Next::Nothing,
        (PlanState::Empty, _) if is_deleted => Next::RemoveFinalizer,
        (PlanState::Empty, _) => rest(status, pause),
        (PlanState::Made, _) => match outcome(status, plan) {
            Some(OperationState::Completed) if is_deleted => Next::RemoveFinalizer,
            Some(OperationState::Completed) => rest(status, pause),
            Some(_) => pause.unwrap_or_else(plan_again),
            None => match blocked(stack, status, rival) {
                Some(why) => Next::Blocked(why),
                None if is_approved(stack, plan) => pause.unwrap_or(Next::Begin),
                None => Next::Nothing,
            },
        },
    }
}

/// Whether the recorded operation may be sent, once more or for the first time.
fn may_send(stack: &Stack, status: &StackStatus, inputs: &str, rival: Option<&str>) -> bool {
    let plan = status.plan.as_ref().filter(|plan| outcome(status, plan).is_some() && plan.inputs == inputs);
    rival.is_none() && plan.is_some_and(|plan| is_approved(stack, plan))
}

/// Why a plan that could be applied is not: an older object has the stack.
pub(crate) fn blocked(stack: &Stack, status: &StackStatus, rival: Option<&str>) -> Option<String> {
    let plan = status.plan.as_ref().filter(|plan| plan.state == PlanState::Made)?;
    let rival = rival.filter(|_| outcome(status, plan).is_none())?;
    let name = status.stack.as_deref().unwrap_or_default();
    Some(match stack.metadata.deletion_timestamp {
        Some(_) => format!("`{rival}` has the stack `{name}`: set `deletion: Orphan` to remove only this object"),
        None => format!("`{rival}` has the stack `{name}` already: delete one of the two objects"),
    })
}

/// Reads drift while there is nothing to do.
fn rest(status: &StackStatus, pause: Option<Next>) -> Next {
    match &status.stack {
        Some(stack) => pause.unwrap_or_else(|| Next::ReadDrift(stack.clone())),
        None => Next::Nothing,
    }
}

/// The rest of the pause after a failure, if any.
fn paused(status: &StackStatus, now: Timestamp) -> Option<Next> {
    let after = status.retry.as_ref()?.after?;
    let left = Duration::try_from(after.duration_since(now)).ok().filter(|left| !left.is_zero())?;
    Some(Next::Wait(left))
}

/// The progress of the operation that applies this plan; `None` without an operation.
pub(crate) fn outcome(status: &StackStatus, plan: &PlanRecord) -> Option<OperationState> {
    let operation = status.operation.as_ref()?;
    (Some(operation.plan.as_str()) == plan.id.as_deref()).then_some(operation.state)
}

/// Whether exactly this plan is approved.
fn is_approved(stack: &Stack, plan: &PlanRecord) -> bool {
    has_digest(stack, plan)
        || (plan.digest.is_some() && stack.spec.approval == ApprovalMode::Automatic && is_harmless(plan))
}

/// Whether the annotation has the digest of this plan.
pub(crate) fn has_digest(stack: &Stack, plan: &PlanRecord) -> bool {
    let annotation = stack.metadata.annotations.as_ref().and_then(|all| all.get(APPROVE));
    annotation.zip(plan.digest.as_deref()).is_some_and(|(approved, digest)| approved.trim() == digest)
}

/// Whether a plan deletes and replaces nothing. Without a review, a descriptor that lost its content would delete all.
pub(crate) fn is_harmless(plan: &PlanRecord) -> bool {
    !plan.destroy && plan.counts.is_some_and(|counts| counts.destroy == 0)
}
