//! The end of a run: outputs, what is recorded of components and owners, what was not done.

use super::super::values::Values;
use super::super::{ApplyError, Blocked, Done, Failed, FailedCheck, Report, Unfinished, closing_writes};
use super::{Run, State};
use crate::action::Action;
use crate::address::{Address, StackId};
use crate::plan::shared::comparable;
use crate::plan::steps::Step;
use crate::plan::{OutputChange, OwnerAction, OwnerChange, Plan, SharedDeclaration};
use crate::store::{OwnersOf, Ownership, Record, StateStore, StoreError};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_provider::Value;

impl Run<'_> {
    /// Completes the outputs of a component whose last step is done.
    pub(super) fn evaluate_outputs(&mut self, stack: usize, component: usize) {
        let Some(plan) = self.plan.stacks.get(stack) else { return };
        let Some(component) = plan.components.get(component) else { return };
        let mut failed = Vec::new();
        for output in self.deferred_outputs.remove(&(stack, component.key.as_str())).unwrap_or_default() {
            let (Some(deferred), Some(values)) = (&output.deferred, self.values.get_mut(stack)) else { continue };
            match values.evaluate(deferred, &self.applier.functions) {
                // The mark of what was declared sensitive stands around the unknown in the plan.
                Ok(value) if matches!(output.after, Some(Value::Sensitive(_))) => {
                    values.set_output(output, Value::sensitive(value));
                }
                Ok(value) if value.has_sensitive() => {
                    let error = "it exposes a sensitive value and does not say `sensitive: true`".to_owned();
                    failed.push(failed_output(&plan.stack, output, error));
                }
                Ok(value) => values.set_output(output, value),
                Err(messages) => failed.push(failed_output(&plan.stack, output, messages.join("; "))),
            }
        }
        self.report.failed.extend(failed);
        let Some(values) = self.values.get(stack) else { return };
        let outputs = values.outputs(&component.key);
        Values::tell_others(&mut self.values, self.plan, &plan.stack, &component.key, &outputs);
        self.report.outputs.insert((plan.stack.clone(), component.key.clone()), outputs);
    }

    /// Records components and owners, and gathers what was not done.
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
        // A plan of which nothing was begun stays as it is, and may be applied another time.
        let is_begun = self.is_spent || !self.is_stopping;
        let is_written = self.store_error.is_none() && is_begun && (!records.is_empty() || !self.is_spent);
        if is_written && let Err(error) = self.submit(records).await {
            self.store_error.get_or_insert(error);
        }
        if let Some(error) = self.store_error.or(self.lease_error) {
            // Some of these steps may be open still, and only this process knows that their calls have ended.
            self.applier.registry.ended_calls().add(operation, self.ended);
            return Err(error.into());
        }
        self.report.still_owned = still_owned(self.applier.store.as_ref(), self.plan, &unfinished).await?;
        Ok(self.report)
    }

    /// Decides the checks of stacks that waited. What a stop kept from being known is no fault of what is described.
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

    /// How owners declare shared resources, now that what their declarations waited for is known.
    fn declared(&self) -> BTreeMap<Ownership, OwnerChange> {
        let mut declared = BTreeMap::new();
        for (stack, values) in self.plan.stacks.iter().zip(&self.values) {
            for owner in &stack.owners {
                let Some(declaration) = &owner.declaration else { continue };
                let Some(deferred) = &declaration.deferred else { continue };
                let config = values.evaluate(deferred, &self.applier.functions);
                // What is unknown still is compared with nothing.
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

    /// What was blocked or not begun.
    pub(super) fn gather_unfinished(&mut self) -> Unfinished {
        let mut unfinished = Unfinished::default();
        let mut blocked: BTreeMap<(usize, usize), String> = BTreeMap::new();
        let mut not_begun = BTreeSet::new();
        for (step, state) in self.states.iter().enumerate() {
            let Some(Step::Forward { stack, change } | Step::Remove { stack, change }) =
                self.steps.all.get(step).copied()
            else {
                continue;
            };
            match state {
                State::Done => continue,
                State::Broken(by) => {
                    blocked.insert((stack, change), by.clone());
                }
                State::Waiting | State::Running => {
                    not_begun.insert((stack, change));
                }
            }
            if let Some((plan, change)) = self.change(stack, change) {
                unfinished.components.insert((plan.stack.clone(), change.address.component.clone()));
                unfinished.addresses.insert((change.stack(&plan.stack), change.address.clone()));
                // What is in doubt, or waits for that, did not move.
                let from = change.moved_from.iter().filter(|_| change.in_doubt.is_some());
                unfinished.components.extend(from.map(|from| (plan.stack.clone(), from.component.clone())));
            }
        }
        let failed: BTreeSet<(StackId, Address)> =
            self.report.failed.iter().map(|failed| (failed.stack.clone(), failed.address.clone())).collect();
        for ((stack, change), because) in blocked {
            let Some((plan, change)) = self.change(stack, change) else { continue };
            let is_failed = failed.contains(&(change.stack(&plan.stack), change.address.clone()));
            if !is_failed && (change.is_change() || change.has_refreshed()) {
                let stack = change.stack(&plan.stack);
                let mut because = change.in_doubt.clone().unwrap_or_else(|| format!("waits for {because}"));
                if self.halves.get(&(stack.clone(), change.address.clone())) == Some(&Action::Delete) {
                    because.push_str("; the object that it replaces is deleted");
                }
                self.report.blocked.push(Blocked { stack, address: change.address.clone(), because });
            }
        }
        for (stack, change) in not_begun {
            let Some((plan, change)) = self.change(stack, change) else { continue };
            if change.is_change() {
                self.report.not_begun.push((change.stack(&plan.stack), change.address.clone()));
            }
        }
        unfinished
    }
}

/// What was to be let go of and is still owned, for everybody else let go of it at the same time.
async fn still_owned(
    store: &dyn StateStore,
    plan: &Plan,
    unfinished: &Unfinished,
) -> Result<Vec<Ownership>, StoreError> {
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

/// An output that cannot be told although all it waited for is done.
fn failed_output(stack: &StackId, output: &OutputChange, error: String) -> Failed {
    let address =
        Address { component: output.component.clone(), ty: "output".to_owned(), name: output.name.clone(), key: None };
    Failed { stack: stack.clone(), address, action: Action::Read, error, problems: Vec::new(), solutions: Vec::new() }
}

/// The outputs of each component, by the position of its stack and its key, that are known only once it is done.
pub(super) fn deferred_outputs(plan: &Plan) -> HashMap<(usize, &str), Vec<&OutputChange>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for (stack, plan) in plan.stacks.iter().enumerate() {
        for output in plan.outputs.iter().filter(|output| output.deferred.is_some()) {
            found.entry((stack, output.component.as_str())).or_default().push(output);
        }
    }
    found
}
