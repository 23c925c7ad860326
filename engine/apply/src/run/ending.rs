//! Ends a run: completes outputs, records components and owners, and collects unfinished work.

use super::super::values::Values;
use super::super::{ApplyError, Blocked, Done, Failed, FailedCheck, Report};
use super::state::{Run, State};
use crate::writes::{Unfinished, closing_writes};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_plan::shared::comparable;
use terrace_plan::steps::Step;
use terrace_plan::{InDoubt, OutputChange, OwnerAction, OwnerChange, Plan, SharedDeclaration};
use terrace_provider::Value;
use terrace_store::{OwnersOf, Ownership, Record, Rows, StoreError};

impl Run<'_> {
    /// Evaluates the deferred outputs of a component after its last step.
    pub(super) fn evaluate_outputs(&mut self, stack: usize, component: usize) {
        let Some(plan) = self.plan.stacks.get(stack) else { return };
        let Some(component) = plan.components.get(component) else { return };
        let mut failed = Vec::new();
        for output in self.deferred_outputs.remove(&(stack, component.key.as_str())).unwrap_or_default() {
            let (Some(deferred), Some(values)) = (&output.deferred, self.values.get_mut(stack)) else { continue };
            match values.evaluate(deferred, &self.applier.functions) {
                // The plan has the sensitivity mark around the unknown value.
                Ok(value) if matches!(output.after, Some(Value::Sensitive(_))) => {
                    values.set_output(output, Value::sensitive(value));
                }
                Ok(value) if value.has_sensitive() => {
                    let error = "it exposes a sensitive value without `sensitive: true`".to_owned();
                    failed.push(failed_output(&plan.stack, output, error));
                }
                Ok(value) => values.set_output(output, value),
                Err(messages) => failed.push(failed_output(&plan.stack, output, messages.join("; "))),
            }
        }
        self.report.failed.extend(failed);
        let Some(values) = self.values.get(stack) else { return };
        let outputs = values.outputs(&component.key);
        Values::publish_outputs(&mut self.values, self.plan, &plan.stack, &component.key, &outputs);
        self.report.outputs.insert((plan.stack.clone(), component.key.clone()), outputs);
    }

    /// Records components and owners, and collects unfinished work.
    pub(super) async fn close(mut self) -> Result<Report, ApplyError> {
        let unfinished = self.gather_unfinished();
        let halves = std::mem::take(&mut self.halves);
        let half = |((stack, address), action)| Done { stack, address, action, is_aligned: false };
        self.report.done.extend(halves.into_iter().map(half));
        self.check_stacks();
        let declared = self.declared();
        let (outputs, seal) = (&self.report.outputs, &self.applier.seal);
        let writes =
            closing_writes(self.plan, outputs, &declared, self.components, &unfinished, &self.outputs_now, seal);
        let operation = self.operation;
        let mut records: Vec<Record> = writes.into_iter().map(|write| Record::Write { operation, write }).collect();
        records.extend(self.unjournalled.iter().map(|line| self.log_error(line.clone())));
        // A plan without any started step stays valid and may be applied later.
        let is_begun = self.is_spent || !self.is_stopping;
        let is_written = self.store_error.is_none() && is_begun && (!records.is_empty() || !self.is_spent);
        if is_written && let Err(error) = self.submit(records).await {
            self.store_error.get_or_insert(error);
        }
        if let Some(error) = self.store_error.or(self.lease_error) {
            // Some of these steps may still be open, and only this process knows that their calls have ended.
            self.applier.registry.ended_calls().add(operation, self.ended);
            return Err(error.into());
        }
        self.report.still_owned = still_owned(self.applier.store.as_ref(), self.plan, &unfinished).await?;
        Ok(self.report)
    }

    /// Evaluates the deferred checks of stacks. After a stop they are skipped, because unknown values are not their fault.
    fn check_stacks(&mut self) {
        if self.is_stopping {
            return;
        }
        for (plan, values) in self.plan.stacks.iter().zip(&self.values) {
            for check in &plan.checks {
                let Some(deferred) = &check.deferred else { continue };
                if let Err(problem) = values.check(deferred, None, &self.applier.functions) {
                    self.report.failed_checks.push(FailedCheck {
                        stack: plan.stack.clone(),
                        error: check.error.clone(),
                        problem,
                        place: check.place.clone(),
                    });
                }
            }
        }
    }

    /// The owners' declarations of shared resources, with the values that are known now.
    fn declared(&self) -> BTreeMap<Ownership, OwnerChange> {
        let mut declared = BTreeMap::new();
        for (stack, values) in self.plan.stacks.iter().zip(&self.values) {
            for owner in &stack.owners {
                let Some(declaration) = &owner.declaration else { continue };
                let Some(deferred) = &declaration.deferred else { continue };
                let config = values.evaluate(deferred, &self.applier.functions);
                // A declaration with unknown values is not compared.
                let Ok(Value::Map(config)) = config else { continue };
                let ty = self.applier.registry.resource_type(&owner.ownership.address.ty);
                let Some((_, ty)) = ty else { continue };
                let config = comparable(&config, ty);
                let declaration = SharedDeclaration { config, deferred: None, ..declaration.clone() };
                let known = OwnerChange { declaration: Some(declaration), ..owner.clone() };
                declared.insert(owner.ownership.clone(), known);
            }
        }
        declared
    }

    /// Collects the changes that were blocked or did not start.
    pub(super) fn gather_unfinished(&mut self) -> Unfinished {
        let mut unfinished = Unfinished::default();
        let mut blocked: BTreeMap<(usize, usize), String> = BTreeMap::new();
        let mut not_started = BTreeSet::new();
        for (step, state) in self.states.iter().enumerate() {
            let Some(Step::Forward { stack, change } | Step::Remove { stack, change }) =
                self.steps.all.get(step).copied()
            else {
                continue;
            };
            match state {
                State::Done => continue,
                State::Failed(by) => {
                    blocked.insert((stack, change), by.clone());
                }
                State::Waiting | State::Running => {
                    not_started.insert((stack, change));
                }
            }
            if let Some((plan, change)) = self.change(stack, change) {
                unfinished.components.insert((plan.stack.clone(), change.address.component.clone()));
                unfinished.addresses.insert((change.stack(&plan.stack), change.address.clone()));
                // A row in doubt or held back did not move.
                let from = change.moved_from.iter().filter(|_| change.in_doubt.is_some());
                unfinished.components.extend(from.map(|from| (plan.stack.clone(), from.component.clone())));
            }
        }
        let failed: BTreeSet<(StackId, Address)> =
            self.report.failed.iter().map(|failed| (failed.stack.clone(), failed.address.clone())).collect();
        for ((stack, change), reason) in blocked {
            let Some((plan, change)) = self.change(stack, change) else { continue };
            let is_failed = failed.contains(&(change.stack(&plan.stack), change.address.clone()));
            if !is_failed && (change.is_change() || change.has_refreshed()) {
                let stack = change.stack(&plan.stack);
                let mut reason = match &change.in_doubt {
                    Some(InDoubt::Own(text)) => format!("in doubt: {text}"),
                    Some(InDoubt::Held(text)) => text.clone(),
                    None => format!("waits for {reason}"),
                };
                if self.halves.get(&(stack.clone(), change.address.clone())) == Some(&Action::Delete) {
                    reason.push_str("; the object that it replaces is deleted");
                }
                self.report.blocked.push(Blocked { stack, address: change.address.clone(), reason });
            }
        }
        for (stack, change) in not_started {
            let Some((plan, change)) = self.change(stack, change) else { continue };
            if change.is_change() {
                self.report.not_started.push((change.stack(&plan.stack), change.address.clone()));
            }
        }
        unfinished
    }
}

/// The ownerships that should have ended but stay, because all other owners left at the same time.
async fn still_owned(store: &dyn Rows, plan: &Plan, unfinished: &Unfinished) -> Result<Vec<Ownership>, StoreError> {
    let mut left: BTreeMap<&str, BTreeSet<&Ownership>> = BTreeMap::new();
    for owner in plan.stacks.iter().flat_map(|stack| &stack.owners) {
        let Ownership { stack, component, .. } = &owner.ownership;
        let is_done = !unfinished.components.contains(&(stack.clone(), component.clone()));
        if is_done && owner.action == (OwnerAction::Drop { is_last: false }) {
            left.entry(&stack.environment).or_default().insert(&owner.ownership);
        }
    }
    let mut still = Vec::new();
    for (environment, left) in left {
        let addresses = left.iter().map(|ownership| ownership.address.clone()).collect();
        let owners = store.owners(environment, &OwnersOf::Addresses(addresses)).await?;
        still.extend(owners.into_iter().map(|owner| owner.ownership).filter(|ownership| left.contains(ownership)));
    }
    Ok(still)
}

/// The failure of an output that cannot be evaluated although its prerequisites are done.
fn failed_output(stack: &StackId, output: &OutputChange, error: String) -> Failed {
    let address =
        Address { component: output.component.clone(), ty: "output".to_owned(), name: output.name.clone(), key: None };
    Failed { stack: stack.clone(), address, action: Action::Read, error, problems: Vec::new(), solutions: Vec::new() }
}

/// The deferred outputs of each component, by the position of its stack and its key.
pub(super) fn deferred_outputs(plan: &Plan) -> HashMap<(usize, &str), Vec<&OutputChange>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (stack, plan) in plan.stacks.iter().enumerate() {
        for output in plan.outputs.iter().filter(|output| output.deferred.is_some()) {
            found.entry((stack, output.component.as_str())).or_default().push(output);
        }
    }
    found
}
