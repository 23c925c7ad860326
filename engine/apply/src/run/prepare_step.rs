//! Preparation of a step before its call: the provider plans deferred values again, and the call waits for the limits of its
//! instance, which all runs of a server share.
//!
//! Both may take long and delay only this step: it has no intent yet, and no timeout runs. They change nothing, so a stop does not
//! wait for them.

use super::super::execute::{self, Draft};
use super::super::writer::Writer;
use super::super::{Applier, Failed};
use super::calls::LaneId;
use super::state::{Admission, Finished, Next, PreparedStep, Ready, Run, State};
use crate::event::Event;
use crate::execute::step::Prepared;
use futures_util::future::{BoxFuture, poll_immediate};
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_language::action::Action;
use terrace_language::address::StackId;
use terrace_plan::Change;
use terrace_plan::deadline;
use terrace_plan::steps::{Step, StepId};
use terrace_provider::wrap::Guarded;
use terrace_store::Record;
use tokio::task::coop::unconstrained;
use uuid::Uuid;

/// A call whose intent is being written.
pub(super) struct Starting {
    pub(super) step: StepId,
    pub(super) lane: LaneId,
    pub(super) prepared: Prepared,
    pub(super) admission: Admission,
}

/// The inputs of a preparation.
struct Preparation<'a> {
    applier: &'a Applier,
    writer: Writer,
    stack: &'a StackId,
    change: &'a Change,
    operation: Uuid,
    step: StepId,
    /// The forward step and its number. Before a removal: the forward step whose failure keeps the old object.
    forward: Option<(Draft<'a>, StepId)>,
    is_removal: bool,
    /// The object to remove is its successor's object.
    is_successor_object: bool,
}

impl Preparation<'_> {
    async fn run(self, has_slot: bool) -> Result<Box<Ready>, Box<Failed>> {
        let Self { applier, writer, stack, change, operation, step, forward, is_removal, is_successor_object } = self;
        let forward = match forward {
            Some((draft, step)) => Some(draft.prepare(operation, applier.step_number(step)).await?),
            None => None,
        };
        let prepared = match forward.filter(|_| !is_removal) {
            Some(prepared) => prepared,
            None => execute::prepare_removal(
                applier,
                stack,
                change,
                operation,
                applier.step_number(step),
                is_successor_object,
            )?,
        };
        let next = match &prepared.intent {
            Some(_) if !has_slot => Next::Queue,
            Some(_) => {
                let address = format!("{}:{}", prepared.stack, change.address);
                let waits = |message| writer.send_event(Event::StepWaiting { address, message });
                let calls = 1 + execute::Precheck::before(applier, &prepared).calls();
                let (registry, instance, ty) = (&applier.registry, &change.how.provider, &change.address.ty);
                // Only the connection has a time limit; the wait for a slot has none.
                Next::Call(match deadline::call_reading(change.how.timeouts.read, registry.session(instance)).await {
                    Ok(_) => registry.admitted(instance, ty, calls, waits).await,
                    Err(error) => Err(error),
                })
            }
            // A planned call may turn out to change nothing remote.
            None => Next::Ended(Box::new(execute::record_step(applier, &prepared, operation).await)),
        };
        Ok(Box::new(Ready { prepared, next }))
    }
}

impl<'a> Run<'a> {
    /// Prepares a step, with the slot that it holds for a call. A step that needs no wait is ready at once, so that steps keep the
    /// order of the plan.
    pub(super) async fn prepare_step(&mut self, step: StepId, lane: Option<LaneId>) -> Option<PreparedStep> {
        self.set(step, State::Running);
        let preparation = match self.preparation(step) {
            Some(Ok(preparation)) => preparation,
            Some(Err(failed)) => return Some(PreparedStep { step, lane, result: Some(Err(failed)) }),
            None => return Some(PreparedStep { step, lane, result: None }),
        };
        let stopped = self.stopped();
        // Work without external waits finishes at once, without cooperative yields.
        let work = unconstrained(preparation.run(lane.is_some()));
        let mut work: BoxFuture<'a, Finished> = Box::pin(async move {
            let result = tokio::select! {
                biased;
                result = work => Some(result),
                () = stopped => None,
            };
            Finished::PreparedStep(PreparedStep { step, lane, result })
        });
        match poll_immediate(&mut work).await {
            Some(Finished::PreparedStep(prepared_step)) => Some(prepared_step),
            _ => {
                lane.into_iter().for_each(|lane| self.calls.pause(lane));
                self.futures.push(work);
                None
            }
        }
    }

    /// The failure of a step, as far as it is known without its provider.
    pub(super) fn known_failure(&self, step: StepId) -> Option<Box<Failed>> {
        self.preparation(step)?.err()
    }

    fn preparation(&self, step: StepId) -> Option<Result<Preparation<'a>, Box<Failed>>> {
        let (applier, operation) = (self.applier, self.operation);
        let (at, forward, is_removal) = match self.steps.all.get(step).copied()? {
            Step::Forward { stack, change } => ((stack, change), Some(step), false),
            Step::Remove { stack, change } => ((stack, change), self.decides_removal(step, stack, change), true),
            Step::ComponentDone { .. } | Step::Lookup { .. } | Step::Barrier | Step::Afterwards => return None,
        };
        let (plan, change) = self.change(at.0, at.1)?;
        let stack = &plan.stack;
        let forward = match forward {
            Some(forward) => match Draft::of(applier, stack, change, self.values.get(at.0)?) {
                Ok(draft) => {
                    let includes_instance = |changed: &BTreeSet<&str>| changed.contains(change.how.provider.as_str());
                    let follows_change = self.earlier_changes.get(&step).is_some_and(includes_instance);
                    Some((draft.following(follows_change), forward))
                }
                Err(failed) => return Some(Err(failed)),
            },
            None => None,
        };
        let is_successor_object = is_removal && self.is_successor_object(at.0, change);
        let writer = self.writer.clone();
        Some(Ok(Preparation {
            applier,
            writer,
            stack,
            change,
            operation,
            step,
            forward,
            is_removal,
            is_successor_object,
        }))
    }

    /// True if the deposed object is also the successor's object. An object without an identity is known by its id, and its
    /// provider may have converted the old object.
    fn is_successor_object(&self, stack: usize, change: &Change) -> bool {
        let is_unnamed =
            self.applier.registry.resource_type(&change.address.ty).is_some_and(|(_, ty)| ty.identity.is_empty());
        if !is_unnamed || change.removed_key(self.operation).is_none() {
            return false;
        }
        let id = change.basis.prior.as_ref().and_then(|prior| prior.attributes.get("id")?.exposed().as_str());
        id.is_some() && id == self.values.get(stack).and_then(|values| values.id_of(&change.address))
    }

    /// The forward step of a delete-first replacement: if its preparation fails, the old object stays. Known only when all other
    /// prerequisites of the forward step are done.
    fn decides_removal(&self, step: StepId, stack: usize, at: usize) -> Option<StepId> {
        let (_, change) = self.change(stack, at)?;
        if change.action != Action::Replace {
            return None;
        }
        let own = Step::Forward { stack, change: at };
        let mut successors = self.steps.dependents.get(step)?.iter();
        let forward = *successors.find(|successor| self.steps.all.get(**successor) == Some(&own))?;
        (self.steps.waits_for.get(forward) == Some(&1)).then_some(forward)
    }

    /// Resolves when no new step may start: the user stops, a lease is lost, or the state cannot be written.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let (cancel, lost, failed) =
            (self.applier.cancel.clone(), self.held.lost.clone(), self.is_store_failed.clone());
        async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = lost.cancelled() => {}
                () = failed.cancelled() => {}
            }
        }
    }

    /// Continues prepared steps that waited, as far as slots are free.
    pub(super) fn resume_prepared(&mut self, records: &mut Vec<Record>) -> Vec<Starting> {
        let mut starting = Vec::new();
        for mut prepared_step in std::mem::take(&mut self.prepared_steps) {
            match prepared_step.call_lane().filter(|_| self.may_start()) {
                Some(lane) if !self.calls.resume(lane) => {
                    // A running call may need the slot for another attempt, so a step that waits for that call must not hold it.
                    prepared_step.session().iter().for_each(|session| session.release_slot());
                    self.prepared_steps.push(prepared_step);
                }
                Some(lane) => match prepared_step.session().filter(|session| !session.take_slot()) {
                    Some(session) => {
                        self.calls.pause(lane);
                        self.wait_for_slot(prepared_step, session);
                    }
                    None => starting.extend(self.process_prepared(prepared_step, records)),
                },
                None => {
                    prepared_step.lane.take().into_iter().for_each(|lane| self.calls.leave(lane));
                    starting.extend(self.process_prepared(prepared_step, records));
                }
            }
        }
        starting
    }

    /// Waits for another slot, because the step's former slot was taken.
    fn wait_for_slot(&mut self, prepared_step: PreparedStep, session: Arc<Guarded>) {
        let stopped = self.stopped();
        self.futures.push(Box::pin(async move {
            tokio::select! {
                biased;
                () = session.wait_for_slot() => Finished::PreparedStep(prepared_step),
                () = stopped => Finished::PreparedStep(PreparedStep { result: None, ..prepared_step }),
            }
        }));
    }

    /// Processes a prepared step: adds its intent or its outcome to the records, and returns it if it has a call.
    pub(super) fn process_prepared(
        &mut self,
        prepared_step: PreparedStep,
        records: &mut Vec<Record>,
    ) -> Option<Starting> {
        let PreparedStep { step, lane, result } = prepared_step;
        let (ready, lane) = match (result, lane) {
            (Some(Ok(ready)), lane) if self.may_start() => (*ready, lane),
            (result, lane) => {
                lane.into_iter().for_each(|lane| self.calls.end(lane));
                if let Some(Err(failed)) = result {
                    self.fail(step, *failed, true);
                }
                return None;
            }
        };
        match (ready, lane) {
            (Ready { prepared, next: Next::Call(admission) }, Some(lane)) => {
                records.extend(prepared.intent.clone().map(|intent| Record::Intent(Box::new(intent))));
                Some(Starting { step, lane, prepared, admission })
            }
            (Ready { next: Next::Call(_) | Next::Queue, .. }, lane) => {
                lane.into_iter().for_each(|lane| self.calls.end(lane));
                if let Some((_, change)) = self.change_of(step) {
                    self.queue_call(step, change);
                }
                None
            }
            (Ready { prepared, next: Next::Ended(outcome) }, lane) => {
                lane.into_iter().for_each(|lane| self.calls.end(lane));
                self.record(step, *outcome, &prepared, records);
                None
            }
        }
    }
}
