//! The status after each action. Pure functions from the previous status and an answer of the server.

use crate::condition::{conditions, cut, message};
use crate::decide::{blocked, has_digest, is_harmless, outcome};
use crate::inputs;
use crate::run_phase::{progress, rows};
use crate::server::{CallError, CountsAnswer, DriftAnswer, OperationAnswer, PlanAnswer, RunAnswer, RunsAnswer};
use crate::stack::{
    APPROVE, ApprovalMode, Counts, DriftRecord, GROUP, LastRun, OperationRecord, OperationState, Phase, PlanRecord,
    PlanState, Retry, Stack, StackStatus,
};
use jiff::Timestamp;
use std::time::Duration;

/// Longest text of a plan in the status, in bytes. Objects of a cluster hold about a megabyte.
const LONGEST_TEXT: usize = 16 << 10;
/// Most addresses with drift in the status.
const MOST_DRIFTED: usize = 20;
/// The pause after the first failure; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The problem of a plan that the operator cannot read.
pub(crate) const TOO_LARGE: &str = "the plan is too large for the operator: read it at the server";

/// The pause after so many failures.
pub(crate) fn pause_after(failures: i64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or_default().min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE)
}

/// The pause for these inputs after so many failures.
fn retry(inputs: &str, failures: i64, why: &str, now: Timestamp) -> Retry {
    let after = now.checked_add(pause_after(failures)).unwrap_or(Timestamp::MAX);
    Retry { inputs: inputs.to_owned(), failures, after: Some(after), message: message(why) }
}

/// After a call that failed for now: the same action is due after a pause.
pub(crate) fn unavailable(mut status: StackStatus, inputs: &str, why: &str, now: Timestamp) -> StackStatus {
    let failures = status.retry.as_ref().filter(|retry| retry.inputs == inputs).map_or(0, |retry| retry.failures);
    status.retry = Some(retry(inputs, failures.saturating_add(1), why, now));
    status
}

/// The begin of a plan, with its answer.
pub(crate) struct NewPlan<'a> {
    pub(crate) inputs: &'a str,
    pub(crate) destroy: bool,
}

/// After the call for a new plan. `text` is that of a finished plan.
pub(crate) fn planned(
    mut status: StackStatus,
    new: &NewPlan<'_>,
    answer: &PlanAnswer,
    text: Option<&str>,
    now: Timestamp,
) -> StackStatus {
    status.plans = status.plans.saturating_add(1);
    status.plan = Some(PlanRecord {
        id: Some(answer.id.clone()),
        inputs: new.inputs.to_owned(),
        destroy: new.destroy,
        ..PlanRecord::default()
    });
    read(status, answer, text, now)
}

/// After the server refused to plan.
pub(crate) fn not_planned(mut status: StackStatus, new: &NewPlan<'_>, why: &str, now: Timestamp) -> StackStatus {
    status.plans = status.plans.saturating_add(1);
    status.plan = Some(PlanRecord {
        inputs: new.inputs.to_owned(),
        destroy: new.destroy,
        state: PlanState::Failed,
        problem: Some(message(why)),
        ..PlanRecord::default()
    });
    unavailable(status, new.inputs, why, now)
}

/// After a look at the newest plan.
pub(crate) fn read(mut status: StackStatus, answer: &PlanAnswer, text: Option<&str>, now: Timestamp) -> StackStatus {
    let Some(mut plan) = status.plan.take() else { return status };
    if answer.status == "running" {
        status.retry = None;
        status.plan = Some(plan);
        return status;
    }
    plan.digest.clone_from(&answer.digest);
    plan.text = text.map(|text| cut(text, LONGEST_TEXT, "… the rest is on the server"));
    plan.problem = (!answer.problem.is_empty()).then(|| message(&answer.problem));
    // A plan of a removal has none.
    let spec_hash = answer.plan.as_ref().and_then(|plan| plan.spec_hash.clone());
    status.spec_hash = spec_hash.or(status.spec_hash);
    let facts = answer.plan.as_ref().map(|plan| &plan.terrace);
    // Without all numbers it is unknown whether the plan deletes objects, so nothing approves it automatically.
    plan.counts = match facts.map(|facts| &facts.counts) {
        Some(CountsAnswer { add: Some(add), change: Some(change), destroy: Some(destroy) }) => {
            Some(Counts { add: *add, change: *change, destroy: *destroy })
        }
        _ => None,
    };
    plan.summary = plan.counts.map(|counts| format!("+{} ~{} -{}", counts.add, counts.change, counts.destroy));
    // Resources that several stacks share have a stack of their own.
    let mut names = facts.into_iter().flat_map(|facts| &facts.stacks).map(|stack| &stack.stack);
    let name = names.find(|name| !name.is_empty() && !name.starts_with("shared@")).cloned();
    let other = match (&status.stack, &name) {
        (Some(recorded), Some(name)) if recorded != name => Some(format!(
            "the descriptor names the stack `{name}`, and this object has `{recorded}`: create another object for it"
        )),
        _ => None,
    };
    plan.state = if answer.status == "failed" || answer.plan.as_ref().is_none_or(|plan| plan.errored) {
        PlanState::Failed
    } else if let Some(other) = other {
        plan.problem = Some(other);
        PlanState::Refused
    } else if plan.problem.is_some() {
        PlanState::Refused
    } else if facts.and_then(|facts| facts.has_changes) == Some(false) {
        PlanState::Empty
    } else {
        PlanState::Made
    };
    if matches!(plan.state, PlanState::Made | PlanState::Empty) {
        status.stack = status.stack.take().or(name);
    }
    status = match plan.state {
        PlanState::Failed => {
            let why = plan.problem.clone().unwrap_or_else(|| "the server has no plan".to_owned());
            unavailable(status, &plan.inputs, &why, now)
        }
        _ => StackStatus { retry: None, ..status },
    };
    status.plan = Some(plan);
    status
}

/// After a plan that cannot be applied until its inputs change.
pub(crate) fn refused(mut status: StackStatus, why: &str) -> StackStatus {
    status.retry = None;
    if let Some(plan) = &mut status.plan {
        plan.state = PlanState::Refused;
        plan.problem = Some(message(why));
    }
    status
}

/// After the server lost the newest plan: the next one replaces it.
pub(crate) fn lost(mut status: StackStatus, now: Timestamp) -> StackStatus {
    let why = "the server has this plan no more";
    let Some(plan) = &mut status.plan else { return status };
    plan.state = PlanState::Failed;
    plan.problem = Some(why.to_owned());
    let inputs = plan.inputs.clone();
    unavailable(status, &inputs, why, now)
}

/// Before an operation is sent.
pub(crate) fn begun(mut status: StackStatus) -> StackStatus {
    let Some(plan) = &status.plan else { return status };
    let previous = status.operation.take().filter(|operation| operation.state == OperationState::Failed);
    status.operation = Some(OperationRecord {
        plan: plan.id.clone().unwrap_or_default(),
        digest: plan.digest.clone().unwrap_or_default(),
        destroy: plan.destroy,
        failures: previous.map_or(0, |operation| operation.failures),
        ..OperationRecord::default()
    });
    status.drift = None;
    status
}

/// After the server turned out to have no operation of a plan that must not be applied any more.
pub(crate) fn withdrawn(mut status: StackStatus) -> StackStatus {
    status.operation = None;
    status.retry = None;
    status
}

/// After the server accepted an operation.
pub(crate) fn sent(mut status: StackStatus, id: String) -> StackStatus {
    status.retry = None;
    if let Some(operation) = &mut status.operation {
        operation.id = Some(id);
        operation.state = OperationState::Running;
    }
    status
}

/// After a look at the newest operation.
pub(crate) fn operated(mut status: StackStatus, answer: &OperationAnswer, now: Timestamp) -> StackStatus {
    status.retry = None;
    let Some(operation) = &mut status.operation else { return status };
    operation.summary = (!answer.summary.is_empty()).then(|| message(&answer.summary));
    match answer.status.as_str() {
        "queued" | "running" | "abandoned" => {
            operation.state = OperationState::Running;
            status
        }
        "completed" => {
            operation.state = OperationState::Completed;
            operation.ended_at = answer.ended_at;
            operation.failures = 0;
            status
        }
        _ => {
            operation.ended_at = answer.ended_at;
            not_applied(status, &answer.reason(), now)
        }
    }
}

/// After an operation failed, or the server refused it. A new plan follows after a pause.
pub(crate) fn not_applied(mut status: StackStatus, why: &str, now: Timestamp) -> StackStatus {
    let Some(operation) = &mut status.operation else { return status };
    operation.state = OperationState::Failed;
    operation.failures = operation.failures.saturating_add(1);
    operation.summary = Some(message(why));
    let failures = operation.failures;
    let inputs = status.plan.as_ref().map(|plan| plan.inputs.clone()).unwrap_or_default();
    status.retry = Some(retry(&inputs, failures, why, now));
    status
}

/// After a look at the newest drift scan.
pub(crate) fn scanned(mut status: StackStatus, answer: Option<DriftAnswer>) -> StackStatus {
    status.retry = None;
    let Some(DriftAnswer { operation, at, drifted: Some(drifted), unread }) = answer else { return status };
    // A scan that began before the end of the last operation saw older objects.
    let ended_at = status.operation.as_ref().and_then(|operation| operation.ended_at);
    if ended_at.zip(at).is_some_and(|(ended_at, at)| at < ended_at) {
        return status;
    }
    let addresses = drifted.iter().map(|item| item.address.clone());
    status.drift = Some(DriftRecord {
        operation,
        at,
        count: i64::try_from(drifted.len()).unwrap_or(i64::MAX),
        resources: addresses.take(MOST_DRIFTED).collect(),
        problem: unread.first().map(|error| message(error)),
    });
    status
}

/// After a look at the newest run of a pipeline. A call that failed for now keeps the former run.
pub(crate) fn ran(mut status: StackStatus, answer: Result<RunsAnswer, CallError>) -> StackStatus {
    status.last_run = match answer {
        Ok(RunsAnswer { items, next }) => match items.first() {
            Some(run) => Some(last_run(run)),
            // The page ends after many runs of other pipelines.
            None if next.is_some() => status.last_run,
            None => None,
        },
        Err(CallError::Refused { .. }) => None,
        Err(CallError::Unavailable(_) | CallError::TooLarge) => status.last_run,
    };
    status
}

fn last_run(run: &RunAnswer) -> LastRun {
    let (phase, reason, _) = progress(run);
    LastRun {
        run_id: run.run_id.clone(),
        phase,
        reason: reason.to_owned(),
        rows: rows(run).filter(|_| phase.is_over()),
        started_at: run.started_at,
        finished_at: run.finished_at,
    }
}

/// The status with its conditions and its phase, derived from the rest. `rival` is that of the decision.
pub(crate) fn summarized(mut status: StackStatus, stack: &Stack, rival: Option<&str>, now: Timestamp) -> StackStatus {
    let previous = std::mem::take(&mut status.conditions);
    // A changed `spec` with the same inputs, such as another `approval`, needs no new plan.
    let inputs = inputs::digest(stack, stack.metadata.deletion_timestamp.is_some());
    if status.plan.as_ref().is_some_and(|plan| plan.inputs == inputs) {
        status.observed_generation = stack.metadata.generation;
    }
    let (phase, verdicts) = verdicts(&status, stack, rival);
    status.phase = phase;
    let verdicts = verdicts.map(|(kind, (value, reason, text))| (kind, (value, reason.to_owned(), text)));
    status.conditions = conditions(verdicts, &previous, status.observed_generation, now);
    status
}

/// How a user approves a plan. A removal looks like other plans in its counts.
fn approval_request(stack: &Stack, plan: &PlanRecord) -> String {
    let digest = plan.digest.as_deref().unwrap_or_default();
    if !plan.destroy {
        return format!("set the annotation `{APPROVE}` to `{digest}` to apply this plan");
    }
    let (kinds, metadata) = (stack.kind.plural(), &stack.metadata);
    let (name, namespace) = (metadata.name.as_deref(), metadata.namespace.as_deref());
    let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
    let command =
        format!("kubectl annotate --overwrite {kinds}.{GROUP} {name} --namespace {namespace} {APPROVE}={digest}");
    format!("the removal of the object waits for its approval: `{command}`")
}

/// The value of a condition, its reason, and its message.
type Verdict = (&'static str, &'static str, String);

fn verdicts(status: &StackStatus, stack: &Stack, rival: Option<&str>) -> (Phase, [(&'static str, Verdict); 5]) {
    let nothing = PlanRecord::default();
    let plan = status.plan.as_ref().unwrap_or(&nothing);
    // The status does not record a rival: it may go at any time.
    let blocked = blocked(stack, status, rival);
    let state = if blocked.is_some() { PlanState::Refused } else { plan.state };
    let problem = || blocked.clone().or_else(|| plan.problem.clone()).unwrap_or_default();
    let failure = || status.retry.as_ref().map(|retry| retry.message.clone()).unwrap_or_default();
    let text = |text: &str| text.to_owned();
    let operation = outcome(status, plan);
    let summary = || status.operation.as_ref().and_then(|it| it.summary.clone()).unwrap_or_default();
    let planned = match state {
        PlanState::Made => ("True", "Planned", plan.summary.clone().unwrap_or_default()),
        PlanState::Empty => ("True", "NoChanges", text("the objects are as described")),
        PlanState::Refused => ("False", "Refused", problem()),
        PlanState::Failed => ("False", "Failed", problem()),
        PlanState::Running | PlanState::Unknown => ("Unknown", "Planning", failure()),
    };
    let how = || match stack.spec.approval {
        _ if has_digest(stack, plan) => format!("the annotation `{APPROVE}` has the digest"),
        ApprovalMode::Automatic if is_harmless(plan) => text("`spec.approval` is Automatic, and nothing is deleted"),
        _ => text("the plan was approved when its operation began"),
    };
    let request = || approval_request(stack, plan);
    let approved = match (state, operation) {
        (PlanState::Empty, _) => ("True", "NothingToApprove", String::new()),
        (PlanState::Made, Some(_)) => ("True", "Approved", how()),
        (PlanState::Made, None) => ("False", "AwaitingApproval", request()),
        _ => ("False", "NoPlan", String::new()),
    };
    let applied = match (state, operation) {
        (PlanState::Empty, _) => ("True", "NoChanges", String::new()),
        (_, Some(OperationState::Completed)) => ("True", "Applied", summary()),
        (_, Some(OperationState::Failed)) => ("False", "Failed", summary()),
        (_, Some(OperationState::Starting | OperationState::Running | OperationState::Unknown)) => {
            ("Unknown", "Applying", failure())
        }
        (_, None) => ("False", "NotApplied", String::new()),
    };
    let drifted = match &status.drift {
        Some(DriftRecord { count, resources, .. }) if *count > 0 => ("True", "Drift", resources.join(", ")),
        Some(DriftRecord { problem: Some(problem), .. }) => ("Unknown", "NotRead", problem.clone()),
        Some(_) => ("False", "NoDrift", String::new()),
        None => ("Unknown", "NoScan", text("no scan since the last operation; `server.drift.every` sets the interval")),
    };
    let phase = match (state, operation) {
        (_, Some(OperationState::Starting | OperationState::Running | OperationState::Unknown)) => Phase::Applying,
        (_, Some(OperationState::Completed)) | (PlanState::Empty, _) => Phase::Ready,
        (_, Some(OperationState::Failed)) => Phase::ApplyFailed,
        (PlanState::Made, None) => Phase::AwaitingApproval,
        (PlanState::Refused | PlanState::Failed, None) => Phase::PlanFailed,
        (PlanState::Running | PlanState::Unknown, None) => Phase::Planning,
    };
    let ready = match phase {
        Phase::Ready => ("True", "Ready", String::new()),
        Phase::PlanFailed => ("False", "PlanFailed", problem()),
        Phase::ApplyFailed => ("False", "ApplyFailed", summary()),
        Phase::AwaitingApproval => ("False", "AwaitingApproval", request()),
        Phase::Planning | Phase::Unknown => ("False", "Planning", failure()),
        Phase::Applying => ("False", "Applying", failure()),
    };
    let all =
        [("Planned", planned), ("Approved", approved), ("Applied", applied), ("Drifted", drifted), ("Ready", ready)];
    (phase, all)
}
