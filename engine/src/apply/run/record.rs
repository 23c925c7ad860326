//! The end of a step: its outcome is recorded, its values are taken over, what waited for it becomes ready.

use super::super::Done;
use super::super::execute::{self, Outcome, Prepared};
use super::super::steps::{Step, StepId};
use super::{Run, step_number};
use crate::action::Action;
use crate::event::Event;
use crate::plan::{Change, StackPlan};
use crate::store::{Record, StepAction};

impl<'a> Run<'a> {
    /// Records how a call ended. An outcome in doubt leaves the step open: the next run finds out.
    pub(super) fn outcome(&mut self, step: StepId, outcome: Outcome, prepared: &Prepared) {
        let mut records = Vec::new();
        if !outcome.is_in_doubt {
            records.push(self.outcome_record(step, &outcome, prepared));
        }
        let event = self.settle(step, outcome, prepared);
        if records.is_empty() {
            self.applier.events.take(event);
            return;
        }
        let ack = self.submit(records);
        self.watch(step, ack, Some(event));
    }

    /// Records a step that calls nothing. What waits for it need not wait for the disk: writes are in order.
    pub(super) async fn record(&mut self, step: StepId, prepared: Prepared, records: &mut Vec<Record>) {
        let outcome = execute::record_step(self.applier, &prepared, self.operation).await;
        records.push(self.outcome_record(step, &outcome, &prepared));
        let event = self.settle(step, outcome, &prepared);
        if prepared.change.action != Action::NoOp {
            self.applier.events.take(event);
        }
    }

    pub(super) async fn record_forward(
        &mut self,
        step: StepId,
        plan: &StackPlan,
        change: &'a Change,
        records: &mut Vec<Record>,
    ) {
        let Some(Step::Forward { stack, .. }) = self.steps.all.get(step).copied() else { return };
        let Some(values) = self.values.get(stack) else { return };
        let number = step_number(step);
        match execute::prepare_forward(self.applier, &plan.stack, change, values, self.operation, number).await {
            Ok(prepared) if prepared.intent.is_none() => self.record(step, prepared, records).await,
            Ok(_) => self.queue_call(step, change),
            Err(failed) => self.fail(step, *failed, true),
        }
    }

    pub(super) async fn record_removal(
        &mut self,
        step: StepId,
        plan: &StackPlan,
        change: &Change,
        records: &mut Vec<Record>,
    ) {
        match execute::prepare_removal(self.applier, &plan.stack, change, self.operation, step_number(step)) {
            Ok(prepared) => self.record(step, prepared, records).await,
            Err(failed) => self.fail(step, *failed, true),
        }
    }

    fn outcome_record(&self, step: StepId, outcome: &Outcome, prepared: &Prepared) -> Record {
        Record::Outcome {
            operation: self.operation,
            step: step_number(step),
            stack: prepared.stack.clone(),
            address: prepared.change.address.clone(),
            action: prepared.action,
            result: outcome.result.clone(),
            writes: outcome.writes.clone(),
        }
    }

    /// Takes over what a step did: its values, its place in the report, what it makes ready.
    fn settle(&mut self, step: StepId, outcome: Outcome, prepared: &Prepared) -> Event {
        let change = &prepared.change;
        let is_forward = matches!(self.steps.all.get(step), Some(Step::Forward { .. }));
        match outcome.failure {
            Some(failed) => {
                let event = Event::StepFailed {
                    stack: failed.stack.clone(),
                    address: failed.address.clone(),
                    action: failed.action,
                    error: failed.error.clone(),
                };
                self.fail(step, failed, false);
                event
            }
            None => {
                if let (Some(attributes), Some(Step::Forward { stack, .. })) =
                    (outcome.attributes, self.steps.all.get(step).copied())
                {
                    let is_shared = change.address.is_shared();
                    let concerned = self.values.iter_mut().enumerate().filter(|(at, _)| is_shared || *at == stack);
                    for (_, values) in concerned {
                        values.set(&self.applier.registry, &change.address, &attributes);
                    }
                }
                let is_last_half = match change.action {
                    Action::Replace => is_forward,
                    Action::ReplaceCreateFirst => !is_forward,
                    _ => true,
                };
                if is_last_half && change.action != Action::NoOp {
                    self.report.done.push(Done {
                        stack: prepared.stack.clone(),
                        address: change.address.clone(),
                        action: change.action,
                    });
                }
                self.complete(step);
                let action = match (change.action, prepared.action) {
                    (Action::Replace | Action::ReplaceCreateFirst, StepAction::Delete) => Action::Delete,
                    (Action::Replace | Action::ReplaceCreateFirst, _) => Action::Create,
                    (action, _) => action,
                };
                Event::StepDone {
                    stack: prepared.stack.clone(),
                    address: change.address.clone(),
                    action,
                    took: outcome.took,
                }
            }
        }
    }
}
