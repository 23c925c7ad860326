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
    /// Remove the finalizer, so that the object goes.
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
    /// Record that the plan must not be applied.
    Refuse(String),
    /// Record the begin of an operation, before it is sent.
    Begin,
    /// Send the recorded operation, which applies this plan.
    Apply(String),
    /// Read an operation of the server.
    ReadOperation(String),
    /// Read the newest drift scan of the stack.
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
    // A started operation ends first: it may be changing objects.
    if let Some(operation) = &status.operation {
        match (operation.state, &operation.id) {
            (OperationState::Starting, _) => {
                return paused(status, now).unwrap_or_else(|| Next::Apply(operation.plan.clone()));
            }
            (OperationState::Running, Some(id)) => {
                return paused(status, now).unwrap_or_else(|| Next::ReadOperation(id.clone()));
            }
            (OperationState::Running | OperationState::Completed | OperationState::Failed, _) => {}
        }
    }
    // Without an operation the `Stack` has created nothing.
    if is_deleted && (stack.spec.deletion == Deletion::Orphan || status.operation.is_none()) {
        return Next::RemoveFinalizer;
    }
    let inputs = inputs::digest(stack, is_deleted);
    let is_same = status.retry.as_ref().is_some_and(|retry| retry.inputs == inputs);
    let pause = if is_same { paused(status, now) } else { None };
    let plan_again = || Next::Plan { destroy: is_deleted, inputs: inputs.clone() };
    let Some(plan) = status.plan.as_ref().filter(|plan| plan.inputs == inputs) else {
        return pause.unwrap_or_else(plan_again);
    };
    match (plan.state, &plan.id) {
        (PlanState::Running, Some(id)) => pause.unwrap_or_else(|| Next::ReadPlan(id.clone())),
        (PlanState::Failed | PlanState::Running, _) => pause.unwrap_or_else(plan_again),
        (PlanState::Refused, _) => Next::Nothing,
        (PlanState::Empty, _) if is_deleted => Next::RemoveFinalizer,
        (PlanState::Empty, _) => rest(status, pause),
        (PlanState::Made, _) => match outcome(status, plan) {
            Some(OperationState::Completed) if is_deleted => Next::RemoveFinalizer,
            Some(OperationState::Completed) => rest(status, pause),
            Some(_) => pause.unwrap_or_else(plan_again),
            None => match rival {
                Some(rival) => Next::Refuse(format!(
                    "`{rival}` has the stack `{}` already: delete one of the two",
                    status.stack.as_deref().unwrap_or_default()
                )),
                None if is_approved(stack, plan) => pause.unwrap_or(Next::Begin),
                None => Next::Nothing,
            },
        },
    }
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
    let Some(digest) = plan.digest.as_deref() else { return false };
    let annotation = stack.metadata.annotations.as_ref().and_then(|all| all.get(APPROVE));
    annotation.is_some_and(|approved| approved.trim() == digest)
        || (stack.spec.approval == ApprovalMode::Automatic && is_harmless(plan))
}

/// Whether a plan deletes and replaces nothing. Without a review, a descriptor that lost its content would delete all.
pub(crate) fn is_harmless(plan: &PlanRecord) -> bool {
    !plan.destroy && plan.counts.is_some_and(|counts| counts.destroy == 0)
}
