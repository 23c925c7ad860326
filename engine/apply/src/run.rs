//! The scheduler: starts steps as they become ready, up to the allowed number, until all are done or the user stops.

mod calls;
mod ending;
mod finish_step;
mod launch;
mod lookup;
mod prepare_step;
mod progress;
mod shared;
pub(crate) mod state;

use super::lease::Held;
use super::outputs::OutputsNow;
use super::values::Values;
use super::writer::{Ack, Writer};
use super::writes::{Components, opening_writes};
use super::{Applier, ApplyError, Failed, Report, moves};
use crate::event::Event;
use calls::Calls;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use prepare_step::Starting;
use shared::SharedLeases;
use state::{Finished, Run, State};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use terrace_language::action::Action;
use terrace_plan::steps::{Step, StepId, Steps};
use terrace_plan::{Change, Plan, StackPlan};
use terrace_provider::wrap::Moment;
use terrace_store::{Record, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Runs the steps of a plan under held leases.
pub(super) async fn run(
    applier: &Applier,
    plan: &Plan,
    operation: Uuid,
    components: &Components,
    held: &Held,
    outputs_now: OutputsNow,
) -> Result<Report, ApplyError> {
    let steps = Steps::of(&applier.registry, &plan.stacks);
    if !steps.is_complete() {
        return Err(ApplyError::Cycle);
    }
    let first_step = applier.step_number(steps.all.len());
    let moved = moves::carry_out(applier, plan, operation, components, held, &outputs_now, first_step).await?;
    let is_spent = moved.is_some();
    let plan = moved.as_ref().unwrap_or(plan);
    let (writer, writing) = Writer::start(held.leases().clone(), Arc::clone(&applier.events));
    let mut run = Run::new(applier, plan, operation, components, held, steps, writer);
    run.is_spent = is_spent;
    run.outputs_now = outputs_now;
    let result = run.finish().await;
    // The task ends when the end of the run closes its queue.
    let _ = writing.await;
    result
}

/// About the number of records in one commit: a small part of memory, and worth a flush of the disk.
const BATCH: usize = 512;

impl<'a> Run<'a> {
    fn new(
        applier: &'a Applier,
        plan: &'a Plan,
        operation: Uuid,
        components: &'a Components,
        held: &'a Held,
        steps: Steps,
        writer: Writer,
    ) -> Self {
        let values = Values::of(plan, &applier.registry);
        let shared = SharedLeases::of(plan, components, &steps);
        let states = vec![State::Waiting; steps.all.len()];
        let ready = steps.ready();
        let lookups = plan.stacks.iter().flat_map(|stack| &stack.lookups).filter(|lookup| lookup.reason.is_some());
        let total = plan.changes().map(|(_, change)| reported_steps(change)).sum::<usize>() + lookups.count();
        applier.registry.ended_calls().begin(operation, applier.attempt.first_step);
        applier.events.take(Event::Started { operation, steps: total });
        Self {
            applier,
            plan,
            operation,
            components,
            held,
            steps,
            states,
            ready,
            earlier_changes: HashMap::new(),
            calls: Calls::new(applier.parallelism),
            futures: FuturesUnordered::new(),
            prepared_steps: Vec::new(),
            values,
            shared,
            writer,
            halves: BTreeMap::new(),
            recorded: Vec::new(),
            is_spent: false,
            deferred_outputs: ending::deferred_outputs(plan),
            outputs_now: OutputsNow::default(),
            unjournalled: Vec::new(),
            ended: Vec::new(),
            store_error: None,
            is_store_failed: CancellationToken::new(),
            lease_error: None,
            report: Report { operation, ..Report::default() },
            is_stopping: false,
        }
    }

    async fn finish(mut self) -> Result<Report, ApplyError> {
        loop {
            self.notice_stop();
            let mut records = Vec::new();
            self.advance(&mut records).await;
            let starting = self.start_calls(&mut records).await;
            if !records.is_empty() {
                let since = Moment::now();
                let ack = self.submit(records);
                self.launch(starting, &ack, since);
            }
            self.release_shared();
            let cancel = self.applier.cancel.clone();
            let lost = self.held.lost.clone();
            let is_stopping = self.is_stopping;
            tokio::select! {
                finished = self.futures.next() => match finished {
                    Some(finished) => self.take(finished),
                    None if self.ready.is_empty() && (self.calls.is_empty() || !self.may_start()) => break,
                    None => {}
                },
                () = cancel.cancelled(), if !is_stopping => {}
                () = lost.cancelled(), if !is_stopping => {}
            }
        }
        self.close().await
    }

    /// No step starts after a stop, a lost lease or a failed write.
    fn may_start(&self) -> bool {
        !self.is_stopping && self.store_error.is_none()
    }

    fn store_failed(&mut self, error: StoreError) {
        self.is_store_failed.cancel();
        self.store_error.get_or_insert(error);
    }

    fn notice_stop(&mut self) {
        let is_stopped = self.applier.cancel.is_cancelled();
        if let Err(error) = self.held.check() {
            self.lease_error.get_or_insert(error);
        }
        if (is_stopped || self.lease_error.is_some()) && !self.is_stopping {
            self.is_stopping = true;
            self.report.is_interrupted = is_stopped;
            self.applier.events.take(Event::Stopping { running: self.calls.running() });
        }
    }

    /// Completes steps without calls, and queues calls. Stops at a full batch; the rest follows in the next round.
    async fn advance(&mut self, records: &mut Vec<Record>) {
        let mut since_yield = 0_u32;
        while records.len() < BATCH
            && let Some(step) = self.ready.pop_front()
        {
            since_yield += 1;
            if since_yield.is_multiple_of(256) {
                // Yields, so that a stop is noticed during a long stretch without calls.
                tokio::task::yield_now().await;
                self.notice_stop();
            }
            if !self.may_start() {
                continue;
            }
            match self.steps.all.get(step).copied() {
                Some(Step::Barrier | Step::Afterwards) | None => self.complete(step),
                Some(Step::ComponentDone { stack, component }) => {
                    self.evaluate_outputs(stack, component);
                    self.complete(step);
                }
                Some(Step::Lookup { stack, lookup }) => self.look_up(step, stack, lookup),
                Some(Step::Forward { stack, change }) => {
                    let Some((plan, change)) = self.change(stack, change) else { continue };
                    if change.in_doubt.is_some() {
                        self.set_failed(step, change.address.to_string());
                    } else if change.action == Action::NoOp && !change.is_rewritten() {
                        self.check_unchanged(step, plan, change);
                    } else if self.is_recorded_only(change) {
                        self.end_without_call(step, records).await;
                    } else {
                        self.queue_call(step, change);
                    }
                }
                Some(Step::Remove { stack, change }) => {
                    let Some((_, change)) = self.change(stack, change) else { continue };
                    if change.in_doubt.is_some() {
                        self.set_failed(step, change.address.to_string());
                    } else if let Some(failed) = self.known_failure(step) {
                        // Failures are reported in the order of the plan, with or without a call.
                        self.fail(step, *failed, true);
                    } else if self.is_removed_by_call(change) {
                        self.queue_call(step, change);
                    } else {
                        self.end_without_call(step, records).await;
                    }
                }
            }
        }
    }

    /// Starts a step without a remote change, and ends it unless its provider takes time.
    async fn end_without_call(&mut self, step: StepId, records: &mut Vec<Record>) {
        if let Some(prepared_step) = self.prepare_step(step, None).await {
            self.process_prepared(prepared_step, records);
        }
    }

    /// Prepares as many calls as there are free slots. Adds the intents of ready calls to the records.
    async fn start_calls(&mut self, records: &mut Vec<Record>) -> Vec<Starting> {
        let mut starting = self.resume_prepared(records);
        while self.may_start() {
            let Some((step, lane)) = self.calls.start() else { break };
            if let Some(prepared_step) = self.prepare_step(step, Some(lane)).await {
                starting.extend(self.process_prepared(prepared_step, records));
            }
        }
        starting
    }

    fn queue_call(&mut self, step: StepId, change: &'a Change) {
        let limits = self.applier.registry.limits(&change.how.provider);
        let most = limits.map_or(1, |limits| limits.concurrency);
        let of_type = limits.and_then(|limits| limits.lane_of(&change.address.ty));
        let of_type = of_type.map(|most| (change.address.ty.as_str(), most));
        self.calls.push(step, (&change.how.provider, most), of_type);
    }

    fn take(&mut self, finished: Finished) {
        match finished {
            Finished::PreparedStep(prepared_step) => self.prepared_steps.push(prepared_step),
            Finished::Called { step, lane, outcome, prepared } => {
                self.calls.end(lane);
                // A call in doubt may still be running.
                self.ended.extend((!outcome.is_in_doubt).then(|| self.applier.step_number(step)));
                self.outcome(step, *outcome, &prepared);
            }
            Finished::NotCalled { step, lane, error } => {
                self.calls.end(lane);
                self.ended.push(self.applier.step_number(step));
                self.set_failed(step, error.to_string());
                self.store_failed(error);
            }
            Finished::LookedUp { step, found } => {
                if let Some(Step::Lookup { stack, lookup }) = self.steps.all.get(step).copied() {
                    self.looked_up(step, (stack, lookup), *found);
                }
            }
            Finished::Recorded(Ok(())) => {}
            Finished::Recorded(Err(error)) => {
                tracing::debug!(target: "terrace_engine::apply::run", %error, "the outcome could not be recorded");
                self.store_failed(error);
            }
        }
    }

    fn submit(&mut self, mut records: Vec<Record>) -> Ack {
        if !self.is_spent {
            self.is_spent = true;
            let operation = self.operation;
            let components = self.outputs_now.reads.clone();
            let spent = Record::SpendPlan { plan: self.plan.id, reads: self.plan.reads.clone(), components };
            let opening = opening_writes(self.plan, self.components, &self.outputs_now, &self.applier.seal);
            let opening = opening.into_iter().map(|write| Record::Write { operation, write });
            records = std::iter::once(spent).chain(opening).chain(records).collect();
        }
        let ack = self.writer.submit(records, std::mem::take(&mut self.recorded));
        // The future reports a failed write even if no step waits for it.
        let written = ack.clone();
        self.futures.push(Box::pin(async move { Finished::Recorded(written.await) }));
        ack
    }

    fn complete(&mut self, step: StepId) {
        self.set(step, State::Done);
        self.release(step);
    }

    /// Releases the dependents of a step that ended.
    fn release(&mut self, step: StepId) {
        let failed_by = match self.states.get(step) {
            Some(State::Failed(by)) => Some(by.clone()),
            _ => None,
        };
        let changed = self.changed_instances(step);
        for dependent in self.steps.dependents.get(step).cloned().unwrap_or_default() {
            if !changed.is_empty() {
                self.earlier_changes.entry(dependent).or_default().extend(&changed);
            }
            if let Some(by) = failed_by.as_ref().filter(|_| !self.steps.is_afterwards(dependent)) {
                self.block(dependent, by);
            }
            self.finish_prerequisite(dependent);
        }
    }

    /// The instances whose objects this step or an earlier step changed.
    fn changed_instances(&mut self, step: StepId) -> BTreeSet<&'a str> {
        let mut changed = self.earlier_changes.remove(&step).unwrap_or_default();
        let own = self.change_of(step).map(|(_, change)| change);
        // A create leaves other objects unchanged.
        let own = own.filter(|change| !matches!(change.action, Action::NoOp | Action::Create | Action::Forget));
        changed.extend(own.map(|change| change.how.provider.as_str()));
        changed
    }

    /// One prerequisite of the step has ended.
    fn finish_prerequisite(&mut self, step: StepId) {
        let Some(left) = self.steps.waits_for.get_mut(step) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 && matches!(self.states.get(step), Some(State::Waiting)) {
            self.ready.push_back(step);
        }
    }

    /// Blocks a step and all its dependents.
    fn block(&mut self, step: StepId, by: &str) {
        let mut queue = VecDeque::from([step]);
        while let Some(step) = queue.pop_front() {
            if !matches!(self.states.get(step), Some(State::Waiting)) {
                continue;
            }
            self.set(step, State::Failed(by.to_owned()));
            for dependent in self.steps.dependents.get(step).cloned().unwrap_or_default() {
                match self.steps.is_afterwards(dependent) {
                    true => self.finish_prerequisite(dependent),
                    false => queue.push_back(dependent),
                }
            }
        }
    }

    fn set_failed(&mut self, step: StepId, by: String) {
        self.set(step, State::Failed(by));
        self.release(step);
    }

    fn fail(&mut self, step: StepId, failed: Failed, is_shown: bool) {
        if is_shown {
            let line = format!("{}:{} failed: {}", failed.stack, failed.address, failed.reason());
            self.unjournalled.push(line);
            let Failed { stack, address, action, error, problems, .. } = failed.clone();
            let event = Event::StepFailed { stack, address, action, error, problems };
            // After the events of earlier outcomes.
            match self.recorded.is_empty() {
                true => self.writer.send_event(event),
                false => self.recorded.push(event),
            }
        }
        let by = failed.address.to_string();
        self.report.failed.push(failed);
        self.set_failed(step, by);
    }

    fn set(&mut self, step: StepId, state: State) {
        if let Some(slot) = self.states.get_mut(step) {
            *slot = state;
        }
    }

    fn change(&self, stack: usize, change: usize) -> Option<(&'a StackPlan, &'a Change)> {
        let plan = self.plan.stacks.get(stack)?;
        Some((plan, plan.changes.get(change)?))
    }

    fn change_of(&self, step: StepId) -> Option<(&'a StackPlan, &'a Change)> {
        match self.steps.all.get(step).copied()? {
            Step::Forward { stack, change } | Step::Remove { stack, change } => self.change(stack, change),
            Step::ComponentDone { .. } | Step::Lookup { .. } | Step::Barrier | Step::Afterwards => None,
        }
    }

    fn is_state_only(&self, change: &Change) -> bool {
        self.applier.registry.resource_type(&change.address.ty).is_some_and(|(_, ty)| ty.state_only)
    }

    fn is_recorded_only(&self, change: &Change) -> bool {
        change.action == Action::NoOp || self.is_state_only(change)
    }

    fn is_removed_by_call(&self, change: &Change) -> bool {
        change.action.removes_object() && !self.is_state_only(change)
    }
}

impl Applier {
    /// The number of a step in the journal.
    fn step_number(&self, step: StepId) -> u32 {
        self.attempt.first_step.saturating_add(u32::try_from(step).unwrap_or(u32::MAX))
    }
}

/// The number of reported step ends of a change: 2 for a replacement, 0 for a change that is only recorded.
fn reported_steps(change: &Change) -> usize {
    match change.action {
        Action::NoOp => 0,
        Action::Replace | Action::ReplaceCreateFirst => 2,
        _ => 1,
    }
}
