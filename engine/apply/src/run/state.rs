//! The state of a run and of its steps.

use super::calls::{Calls, LaneId};
use super::shared::SharedLeases;
use crate::event::Event;
use crate::execute::step::{Outcome, Prepared};
use crate::lease::Held;
use crate::outputs::OutputsNow;
use crate::values::Values;
use crate::writer::Writer;
use crate::writes::Components;
use crate::{Applier, Failed, Report};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_plan::steps::{StepId, Steps};
use terrace_plan::{OutputChange, Plan};
use terrace_provider::wrap::Guarded;
use terrace_provider::{Attributes, ProviderError};
use terrace_store::StoreError;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The state of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Running,
    Done,
    /// It failed or was blocked; the name of the cause.
    Failed(String),
}

/// The result of a running future.
pub(super) enum Finished {
    /// A step is ready to be called, or ended without a call.
    PreparedStep(PreparedStep),
    /// A provider call ended.
    Called { step: StepId, lane: LaneId, outcome: Box<Outcome>, prepared: Box<Prepared> },
    /// The intent of a step could not be written; the step was not called.
    NotCalled { step: StepId, lane: LaneId, error: StoreError },
    /// A lookup ended.
    LookedUp { step: StepId, found: Box<LookedUp> },
    /// Submitted records are durable, or the write failed.
    Recorded(Result<(), StoreError>),
}

pub(super) struct Run<'a> {
    pub(super) applier: &'a Applier,
    pub(super) plan: &'a Plan,
    pub(super) operation: Uuid,
    /// The components to write, whose leases are held.
    pub(super) components: &'a Components,
    pub(super) held: &'a Held,
    pub(super) steps: Steps,
    pub(super) states: Vec<State>,
    pub(super) ready: VecDeque<StepId>,
    /// For each waiting step: the provider instances whose objects an earlier step changed.
    pub(super) earlier_changes: HashMap<StepId, BTreeSet<&'a str>>,
    /// Waiting calls, and the number of running ones.
    pub(super) calls: Calls<'a>,
    pub(super) futures: FuturesUnordered<BoxFuture<'a, Finished>>,
    /// Steps that became ready since the last records.
    pub(super) prepared_steps: Vec<PreparedStep>,
    pub(super) values: Vec<Values>,
    pub(super) writer: Writer,
    /// The leases of shared resources that are still held.
    pub(super) shared: SharedLeases,
    /// Replacements with one completed half, with that half's action.
    pub(super) halves: BTreeMap<(StackId, Address), Action>,
    /// The events to send once the present records are durable.
    pub(super) recorded: Vec<Event>,
    /// The first write also spends the plan.
    pub(super) is_spent: bool,
    /// Outputs with unknown values, by the position of the stack and the component.
    pub(super) deferred_outputs: HashMap<(usize, &'a str), Vec<&'a OutputChange>>,
    /// The outputs that the plan depends on, at the beginning of the run.
    pub(super) outputs_now: OutputsNow,
    /// Log lines of steps that failed before their journal record.
    pub(super) unjournalled: Vec<String>,
    /// The journal numbers of steps whose calls have ended or were not made.
    pub(super) ended: Vec<u32>,
    pub(super) store_error: Option<StoreError>,
    /// Tells waiting steps that the state cannot be written.
    pub(super) is_store_failed: CancellationToken,
    /// A lease was lost: another operation continues.
    pub(super) lease_error: Option<StoreError>,
    pub(super) report: Report,
    pub(super) is_stopping: bool,
}

/// The result of a lookup.
pub(super) struct LookedUp {
    pub(super) arguments: Attributes,
    pub(super) result: Result<Attributes, ProviderError>,
    pub(super) took: Duration,
}

/// A step without unknown values: it is ready to be called, or ended without a call.
pub(super) struct Ready {
    pub(super) prepared: Prepared,
    pub(super) next: Next,
}

pub(super) enum Next {
    /// Ready to be called, within the limits of its instance.
    Call(Admission),
    /// Needs a call after all, and has to be queued.
    Queue,
    /// Needs no call; its outcome.
    Ended(Box<Outcome>),
}

/// The admitted session of a call, or the error.
pub(super) type Admission = Result<Arc<Guarded>, ProviderError>;

/// The result of a preparation.
pub(super) struct PreparedStep {
    pub(super) step: StepId,
    /// The lane of its slot.
    pub(super) lane: Option<LaneId>,
    /// `None` if it was stopped.
    pub(super) result: Option<Result<Box<Ready>, Box<Failed>>>,
}

impl PreparedStep {
    /// A step that was stopped before it was ready.
    pub(super) fn stopped(step: StepId) -> Self {
        Self { step, lane: None, result: None }
    }

    /// The lane in which the step needs a slot, which it released while it waited; `None` without a call.
    pub(super) fn call_lane(&self) -> Option<LaneId> {
        let ready = self.result.as_ref()?.as_ref().ok()?;
        self.lane.filter(|_| matches!(ready.next, Next::Call(_)))
    }

    /// The session of its call.
    pub(super) fn session(&self) -> Option<Arc<Guarded>> {
        match &self.result.as_ref()?.as_ref().ok()?.next {
            Next::Call(Ok(session)) => Some(Arc::clone(session)),
            Next::Call(Err(_)) | Next::Queue | Next::Ended(_) => None,
        }
    }
}
