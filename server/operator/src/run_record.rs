//! The status of a run after each action. Pure functions from the previous status and an answer of the server.

use crate::condition::{Verdict, conditions, message};
use crate::pipeline_run::{PipelineRun, RunStatus};
use crate::run_decision::RunFacts;
use crate::run_phase::{RunPhase, progress, rows};
use crate::run_values::RunValues;
use crate::server::{RunAnswer, StartError};
use jiff::Timestamp;

/// The reasons of a refused start. The operator sends it again after a pause.
const REFUSED: [&str; 4] = ["LimitReached", "NoWorkers", "Refused", "ServerUnavailable"];

/// Whether the server refused to start the run, for now.
pub(crate) fn is_refused(status: &RunStatus) -> bool {
    status.reason.as_deref().is_some_and(|reason| REFUSED.contains(&reason))
}

fn because(status: RunStatus, reason: &str, why: &str) -> RunStatus {
    let why = message(why);
    RunStatus { reason: Some(reason.to_owned()), message: (!why.is_empty()).then_some(why), ..status }
}

/// While the run cannot start.
pub(crate) fn held(status: RunStatus, reason: &str, why: &str, pipeline: Option<String>) -> RunStatus {
    RunStatus { pipeline, ..because(status, reason, why) }
}

/// Before the start is sent.
pub(crate) fn begun(status: RunStatus, pipeline: String, values: RunValues) -> RunStatus {
    let values = status.values.or_else(|| values.non_empty());
    RunStatus { pipeline: Some(pipeline), starting: true, values, ..status }
}

/// After the server accepted the run.
pub(crate) fn started(status: RunStatus, id: String) -> RunStatus {
    let status = because(status, "Queued", "the server queued the run");
    RunStatus { starting: false, run_id: Some(id), ..status }
}

/// After the server did not accept the run. `is_unwanted` is true if it shall not start any more, `is_first` if no earlier
/// call may have started it.
pub(crate) fn not_started(
    status: RunStatus,
    error: &StartError,
    is_unwanted: bool,
    is_first: bool,
    now: Timestamp,
) -> RunStatus {
    match error {
        StartError::Invalid(why) => {
            let status = because(status, "Invalid", why);
            RunStatus { starting: false, phase: RunPhase::Failed, finished_at: Some(now), ..status }
        }
        // An earlier call may have started it: the next call has the same key.
        StartError::Refused { is_proof: false, reason, message, .. } if !is_first => because(status, reason, message),
        StartError::Refused { .. } if is_unwanted => withdrawn(status, now),
        StartError::Refused { reason, message, .. } => {
            // No call has started it: the next one takes the present values.
            RunStatus { starting: false, values: None, ..because(status, reason, message) }
        }
        StartError::Unknown { message, .. } => because(status, "ServerUnavailable", message),
    }
}

/// After the user cancelled the run before its start.
pub(crate) fn withdrawn(status: RunStatus, now: Timestamp) -> RunStatus {
    let status = because(status, "Cancelled", "it was cancelled before its start");
    RunStatus { starting: false, phase: RunPhase::Cancelled, finished_at: Some(now), ..status }
}

/// After the server was asked to stop the run.
pub(crate) fn stopping(status: RunStatus) -> RunStatus {
    RunStatus { stopping: true, ..status }
}

/// After the server did not stop the run. The operator asks again after a pause.
pub(crate) fn not_stopped(status: RunStatus, why: &str) -> RunStatus {
    because(status, "NotStopped", why)
}

/// After a look at the run.
pub(crate) fn followed(status: RunStatus, facts: &RunFacts, now: Timestamp) -> RunStatus {
    let RunFacts::Found(run) = facts else {
        let status = because(status, "Lost", "the server has this run no more");
        return RunStatus { phase: RunPhase::Failed, finished_at: Some(now), ..status };
    };
    let RunAnswer { worker, database, started_at, finished_at, stats, .. } = &**run;
    let (phase, reason, why) = progress(run);
    let status = because(status, reason, why);
    RunStatus {
        phase,
        worker: worker.clone(),
        db: database.clone(),
        rows: rows(run),
        stats: stats.clone().filter(|_| phase.is_over()),
        started_at: *started_at,
        finished_at: finished_at.or(phase.is_over().then_some(now)),
        ..status
    }
}

/// The status with its conditions, derived from the rest.
pub(crate) fn summarized(mut status: RunStatus, run: &PipelineRun, now: Timestamp) -> RunStatus {
    let previous = std::mem::take(&mut status.conditions);
    status.observed_generation = run.metadata.generation;
    let reason = || status.reason.clone().unwrap_or_else(|| format!("{:?}", status.phase));
    let verdict = |value| -> Verdict { (value, reason(), status.message.clone().unwrap_or_default()) };
    let accepted = match &status.run_id {
        Some(id) => ("True", "Accepted".to_owned(), format!("the run `{id}` of the server")),
        None => verdict("False"),
    };
    let succeeded = match status.phase {
        RunPhase::Succeeded => verdict("True"),
        RunPhase::Failed | RunPhase::Cancelled => verdict("False"),
        _ => verdict("Unknown"),
    };
    let verdicts = [("Accepted", accepted), ("Succeeded", succeeded)];
    status.conditions = conditions(verdicts, &previous, status.observed_generation, now);
    status
}
