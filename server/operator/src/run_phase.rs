//! The progress of a run, from the words of the server.

use crate::server::RunAnswer;
use serde::{Deserialize, Serialize};

/// The progress of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
pub enum RunPhase {
    /// It waits in the cluster, or in the queue of the server.
    #[default]
    Pending,
    /// A worker has it.
    Assigned,
    /// Its steps run.
    Running,
    /// It ended with a valid result.
    Succeeded,
    /// It ended otherwise, or the server refuses it.
    Failed,
    /// It was stopped, or not started.
    Cancelled,
    /// A word of another version of the operator: this one reads the run from the server.
    #[serde(other)]
    Unknown,
}

impl RunPhase {
    /// The words of this version.
    pub const KNOWN: [Self; 6] =
        [Self::Pending, Self::Assigned, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    /// Whether the run has ended.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// The phase of a run of the server, its reason as one word, and the reason for people.
pub(crate) fn progress(run: &RunAnswer) -> (RunPhase, &'static str, &str) {
    let why = run.error.as_deref().unwrap_or_default();
    match run.state.as_str() {
        "queued" => (RunPhase::Pending, "Queued", "the server queued the run"),
        "assigned" => (RunPhase::Assigned, "Assigned", "a worker has the run"),
        "preparing" => (RunPhase::Running, "Preparing", ""),
        "running" => (RunPhase::Running, "Running", ""),
        "publishing" => (RunPhase::Running, "Publishing", ""),
        "succeeded" => (RunPhase::Succeeded, "Succeeded", ""),
        "clean" => (RunPhase::Succeeded, "Clean", "no input changed since the last run"),
        "cancelled" => (RunPhase::Cancelled, "Cancelled", why),
        "timedout" => (RunPhase::Failed, "TimedOut", why),
        "lost" => (RunPhase::Failed, "Lost", why),
        "held" => (RunPhase::Failed, "Held", why),
        "not_run" => (RunPhase::Failed, "NotRun", why),
        "failed" => (RunPhase::Failed, "Failed", why),
        // A word of another version of the server: it goes on until the server reports an end.
        _ if run.finished_at.is_none() => (RunPhase::Running, "Running", ""),
        _ => (RunPhase::Failed, "Failed", why),
    }
}

/// The rows after the last step of a run; `None` before its start.
pub(crate) fn rows(run: &RunAnswer) -> Option<i64> {
    i64::try_from(run.rows).ok().filter(|_| run.started_at.is_some())
}
