//! The decision about a run: from an object and its recorded status to the next action. Pure, so that a restart decides
//! alike.

use crate::pipeline_run::{PipelineRun, RunStatus, STOP};
use crate::run_record;
use crate::run_values::RunValues;
use crate::server::RunAnswer;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

/// The pipeline of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// It can be run: its id in the server's project.
    Pipeline(String),
    /// Its object does not exist, or is not ready. The message for people.
    Missing(String),
}

impl Target {
    /// The id of the pipeline, if it can be run.
    const fn id(&self) -> Option<&String> {
        match self {
            Self::Pipeline(id) => Some(id),
            Self::Missing(_) => None,
        }
    }
}

/// The input of a decision beside the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Circumstances {
    /// Its pipeline.
    pub(crate) target: Target,
    /// Name and uid of the `Pipeline` that it names, if this exists.
    pub(crate) owner: Option<(String, String)>,
    /// The values in place of those of the pipeline's spec.
    pub(crate) values: RunValues,
    /// The newest facts of its run; `None` before the first look.
    pub(crate) facts: Option<RunFacts>,
    /// Whether it is its turn to start; `None` before the first look at it.
    pub(crate) may_start: Option<bool>,
    /// Whether calls about this run wait for the end of a pause.
    pub(crate) is_paused: bool,
}

/// The newest look at a run of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunFacts {
    /// The run.
    Found(Box<RunAnswer>),
    /// The server has it no more.
    Lost,
}

/// The next action for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RunNext {
    /// Nothing, before a change of the object or of the circumstances.
    Nothing,
    /// Record that a changed object needs no action.
    Observe,
    /// Record why it waits.
    Hold {
        /// The reason as one word.
        reason: &'static str,
        /// The reason for people.
        message: String,
        /// The id of the pipeline, if it is known.
        pipeline: Option<String>,
    },
    /// Add the finalizer and the owner, before the run can start.
    AddFinalizer,
    /// Add the owner: the removal of the pipeline's object also removes a run that waits.
    AddOwner,
    /// Remove the finalizer: no run has to be stopped any more.
    RemoveFinalizer,
    /// Record the pipeline and the begin of the start, before it is sent.
    Begin(String),
    /// Send the start of this pipeline.
    Start(String),
    /// Record the newest facts of the run.
    Follow(RunFacts),
    /// Have the server stop this run.
    Stop(String),
    /// Record that the run does not start any more.
    Withdraw,
    /// Delete the object: it has ended long ago.
    Delete,
}

/// Decides the next action.
pub(crate) fn next(run: &PipelineRun, here: &Circumstances, now: Timestamp) -> RunNext {
    let is_new = |status: &RunStatus| status.observed_generation != run.metadata.generation;
    match action(run, here, now) {
        RunNext::Nothing if run.status.as_ref().is_some_and(is_new) => RunNext::Observe,
        action => action,
    }
}

fn action(run: &PipelineRun, here: &Circumstances, now: Timestamp) -> RunNext {
    let nothing = RunStatus::default();
    let status = run.status.as_ref().unwrap_or(&nothing);
    let is_deleted = run.metadata.deletion_timestamp.is_some();
    let has_finalizer = run.metadata.finalizers.iter().flatten().any(|name| name == STOP);
    if status.phase.is_over() {
        let is_due = !is_deleted && end_of_life(run, status).is_some_and(|end| end <= now);
        return match has_finalizer {
            true => RunNext::RemoveFinalizer,
            false if is_due => RunNext::Delete,
            false => RunNext::Nothing,
        };
    }
    let is_unwanted = is_deleted || run.spec.cancel;
    if let Some(id) = &status.run_id {
        return match &here.facts {
            Some(facts) if run_record::followed(status.clone(), facts, now) != *status => {
                RunNext::Follow(facts.clone())
            }
            _ if is_unwanted && !status.stopping && !here.is_paused => RunNext::Stop(id.clone()),
            _ => RunNext::Nothing,
        };
    }
    // The server may have the run: it answers the same start with the same id.
    if let Some(pipeline) = status.pipeline.as_ref().filter(|_| status.starting) {
        return if here.is_paused { RunNext::Nothing } else { RunNext::Start(pipeline.clone()) };
    }
    let is_owner = |uid: &String| run.owner_references().iter().any(|owner| owner.uid == *uid);
    match &here.target {
        _ if is_deleted && has_finalizer => RunNext::RemoveFinalizer,
        _ if is_deleted => RunNext::Nothing,
        _ if is_unwanted => RunNext::Withdraw,
        Target::Pipeline(_) if !has_finalizer && !run.is_suspended() => RunNext::AddFinalizer,
        _ if here.owner.as_ref().is_some_and(|(_, uid)| !is_owner(uid)) => RunNext::AddOwner,
        target if run.is_suspended() => hold(status, "Suspended", "`spec.suspend` is true", target.id()),
        Target::Missing(why) => hold(status, "PipelineNotReady", why, None),
        Target::Pipeline(id) if here.may_start == Some(true) => RunNext::Begin(id.clone()),
        Target::Pipeline(_) if here.may_start.is_none() => RunNext::Nothing,
        // The reason of an earlier refusal says more.
        Target::Pipeline(_) if run_record::is_refused(status) => RunNext::Nothing,
        Target::Pipeline(id) => hold(status, "Waiting", "older runs start first", Some(id)),
    }
}

/// Records why a run waits, unless the status has that reason already.
fn hold(status: &RunStatus, reason: &'static str, message: &str, pipeline: Option<&String>) -> RunNext {
    let held = run_record::held(status.clone(), reason, message, pipeline.cloned());
    match held == *status {
        true => RunNext::Nothing,
        false => RunNext::Hold { reason, message: message.to_owned(), pipeline: pipeline.cloned() },
    }
}

/// When an ended run's object is deleted.
fn end_of_life(run: &PipelineRun, status: &RunStatus) -> Option<Timestamp> {
    let ttl = run.spec.ttl_seconds_after_finished?;
    status.finished_at?.checked_add(SignedDuration::from_secs(ttl.into())).ok()
}
