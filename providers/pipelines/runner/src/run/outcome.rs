//! Outcomes of pipelines in a batch.

use super::record::{Record, State};
use super::runner::NotRun;
use serde::{Deserialize, Serialize};

/// Outcome of a pipeline.
#[derive(Debug)]
pub struct PipelineOutcome {
    /// Its id.
    pub pipeline: String,
    /// Its outcome.
    pub end: BatchEnd,
}

/// Outcome of a pipeline in a batch.
#[derive(Debug)]
pub enum BatchEnd {
    /// It was run: the record has the result.
    Ran(Box<Record>),
    /// Its last result is still valid.
    Clean,
    /// A dependency prevented the run.
    Held {
        /// The dependency.
        by: String,
        /// The reason.
        why: HoldReason,
    },
    /// It was not run.
    NotRun(NotRun),
}

/// Reason why a dependency prevents a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldReason {
    /// It must be run first.
    Dirty,
    /// It was run, and failed.
    Unsuccessful,
}

impl BatchEnd {
    /// Returns true if the pipeline has a valid result.
    #[must_use]
    pub fn is_good(&self) -> bool {
        match self {
            Self::Ran(record) => record.state == State::Succeeded,
            Self::Clean => true,
            Self::Held { .. } | Self::NotRun(_) => false,
        }
    }
}
