//! The end of a step: records its outcome, publishes its values and releases the steps that waited for it.

use super::super::{Done, Failed, Leftover, execute};
use super::state::Run;
use crate::event::Event;
use crate::execute::step::{Outcome, Prepared};
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_language::descriptor::CheckTime;
use terrace_plan::steps::{Step, StepId};
use terrace_plan::walk::attributes_value;
use terrace_plan::{Change, StackPlan};
use terrace_provider::Attributes;
use terrace_store::{Record, RowStatus, StepAction, StepResult, Write};

impl Run<'_> {
    /// Records the outcome of a call. An outcome in doubt leaves the step open for recovery.
    pub(super) fn outcome(&mut self, step: StepId, mut outcome: Outcome, prepared: &Prepared) {
        self.take_values(step, &mut outcome, prepared);
        let mut records = Vec::new();
        match outcome.failure.as_ref().filter(|_| outcome.is_in_doubt) {
            Some(failed) => records.push(self.log_error(failed.open_step_line())),
            None => records.push(self.outcome_record(step, &mut outcome, prepared)),
        }
        let event = self.settle(step, outcome, prepared);
        self.recorded.push(event);
        drop(self.submit(records));
    }

    /// Records a step without a call. Its dependents need not wait for the disk, because writes are in order.
    pub(super) fn record(
        &mut self,
        step: StepId,
        mut outcome: Outcome,
        prepared: &Prepared,
        records: &mut Vec<Record>,
    ) {
        self.take_values(step, &mut outcome, prepared);
        records.push(self.outcome_record(step, &mut outcome, prepared));
        let event = self.settle(step, outcome, prepared);
        if prepared.change.action != Action::NoOp {
            self.recorded.push(event);
        }
    }

    /// Evaluates the deferred checks of an unchanged resource.
    pub(super) fn check_unchanged(&mut self, step: StepId, plan: &StackPlan, change: &Change) {
        let stack = change.stack(&plan.stack);
        let attributes = change.after.as_ref().map(|after| &after.attributes);
        let failed = [CheckTime::Pre, CheckTime::Post]
            .into_iter()
            .find_map(|when| self.failed_check(step, &stack, change, when, attributes));
        match failed {
            Some(failed) => self.fail(step, failed, true),
            None => self.complete(step),
        }
    }

    fn failed_check(
        &self,
        step: StepId,
        stack: &StackId,
        change: &Change,
        when: CheckTime,
        attributes: Option<&Attributes>,
    ) -> Option<Failed> {
        // Avoids building the object's value if no check needs it.
        change.waiting_checks(when).next()?;
        let Some(Step::Forward { stack: position, .. }) = self.steps.all.get(step).copied() else { return None };
        let values = self.values.get(position)?;
        let ty = self.applier.registry.resource_type(&change.address.ty).map(|(_, ty)| ty);
        let own = ty.zip(attributes).map(|(ty, attributes)| attributes_value(ty, attributes));
        execute::failed_check(stack, change, when, own.as_ref(), values, &self.applier.functions)
    }

    /// Publishes the values of a step's object, and evaluates its checks.
    fn take_values(&mut self, step: StepId, outcome: &mut Outcome, prepared: &Prepared) {
        let (None, Some(attributes)) = (&outcome.failure, &outcome.attributes) else { return };
        let Some(Step::Forward { stack, .. }) = self.steps.all.get(step).copied() else { return };
        let change = &prepared.change;
        if change.deposed.is_some() {
            return;
        }
        let is_shared = change.address.is_shared();
        for (_, values) in self.values.iter_mut().enumerate().filter(|(at, _)| is_shared || *at == stack) {
            values.set(&self.applier.registry, &change.address, attributes);
        }
        let failed = self.failed_check(step, &prepared.stack, change, CheckTime::Post, Some(attributes));
        if let Some(failed) = failed {
            outcome.result = StepResult::Failed(failed.error.clone());
            outcome.failed_check = Some(failed);
        }
    }

    /// A line of the operation's log.
    pub(super) fn log_error(&self, message: String) -> Record {
        let (level, phase) = ("ERROR".to_owned(), "apply".to_owned());
        Record::Log { operation: self.operation, level, phase, message }
    }

    fn outcome_record(&mut self, step: StepId, outcome: &mut Outcome, prepared: &Prepared) -> Record {
        self.track_leftovers(outcome, prepared);
        Record::Outcome {
            operation: self.operation,
            step: self.applier.step_number(step),
            stack: prepared.stack.clone(),
            address: prepared.change.address.clone(),
            action: prepared.action,
            result: outcome.result.clone(),
            writes: std::mem::take(&mut outcome.writes),
        }
    }

    /// Tracks tainted and deposed objects.
    fn track_leftovers(&mut self, outcome: &Outcome, prepared: &Prepared) {
        let leftovers = &mut self.report.leftovers;
        let of = |stack: &StackId, address: &Address, deposed: &Option<String>| Leftover {
            stack: stack.clone(),
            address: address.clone(),
            deposed: deposed.clone(),
        };
        for write in &outcome.writes {
            match write {
                Write::Put { row, .. } if row.status == RowStatus::Tainted => {
                    leftovers.insert(of(&row.stack, &row.address, &row.deposed));
                }
                Write::Put { row, .. } => drop(leftovers.remove(&of(&row.stack, &row.address, &row.deposed))),
                Write::Depose { stack, address, key, .. } => {
                    leftovers.insert(of(stack, address, &Some(key.clone())));
                }
                Write::Delete { stack, address, deposed, .. } | Write::Forget { stack, address, deposed, .. } => {
                    leftovers.remove(&of(stack, address, deposed));
                }
                _ => {}
            }
        }
        // An object that an earlier run deposed, and that this run failed to delete.
        if outcome.failure.is_some() && prepared.change.deposed.is_some() {
            leftovers.insert(of(&prepared.stack, &prepared.change.address, &prepared.change.deposed));
        }
    }

    /// Completes a step: its result in the report, and its dependents.
    fn settle(&mut self, step: StepId, outcome: Outcome, prepared: &Prepared) -> Event {
        let change = &prepared.change;
        let is_forward = matches!(self.steps.all.get(step), Some(Step::Forward { .. }));
        match outcome.failure {
            Some(failed) => {
                let Failed { stack, address, action, error, problems, .. } = failed.clone();
                self.fail(step, failed, false);
                Event::StepFailed { stack, address, action, error, problems }
            }
            None => {
                self.count(prepared, is_forward);
                if let Some(failed) = outcome.failed_check {
                    let Failed { stack, address, action, error, problems, .. } = failed.clone();
                    self.fail(step, failed, false);
                    return Event::CheckFailed { stack, address, action, error, problems };
                }
                self.complete(step);
                let action = self.half(step, change.action);
                Event::StepDone {
                    stack: prepared.stack.clone(),
                    address: change.address.clone(),
                    action,
                    took: outcome.took,
                }
            }
        }
    }

    /// The action of a step: for a replacement, the action of its half.
    pub(super) fn half(&self, step: StepId, action: Action) -> Action {
        match (action.is_replace(), self.steps.all.get(step)) {
            (false, _) => action,
            (true, Some(Step::Forward { .. })) => Action::Create,
            (true, _) => Action::Delete,
        }
    }

    /// Counts a completed change; both halves of a replacement count as one.
    fn count(&mut self, prepared: &Prepared, is_forward: bool) {
        let Change { address, action, .. } = &prepared.change;
        let (stack, address, action) = (prepared.stack.clone(), address.clone(), *action);
        let first_half = match (action, is_forward) {
            (Action::Replace, false) => Some(Action::Delete),
            (Action::ReplaceCreateFirst, true) => Some(Action::Create),
            _ => None,
        };
        match first_half {
            Some(half) => drop(self.halves.insert((stack, address), half)),
            None if action == Action::NoOp => {}
            None => {
                self.halves.remove(&(stack.clone(), address.clone()));
                let is_aligned = action == Action::Adopt && prepared.action == StepAction::Update;
                self.report.done.push(Done { stack, address, action, is_aligned });
            }
        }
    }
}
