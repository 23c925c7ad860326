//! The end of a run: outputs, what is recorded of components and owners, what was not done.

use super::super::steps::Step;
use super::super::{ApplyError, Blocked, Failed, Report, Unfinished, closing_writes};
use super::{Run, State};
use crate::action::Action;
use crate::address::{Address, StackId};
use crate::plan::OutputChange;
use crate::store::Record;
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::Value;

impl Run<'_> {
    pub(super) fn evaluate_outputs(&mut self, stack: usize, component: usize) {
        let Some(plan) = self.plan.stacks.get(stack) else { return };
        let Some(component) = plan.components.get(component) else { return };
        let mut failed = Vec::new();
        for output in plan.outputs.iter().filter(|output| output.component == component.key) {
            let (Some(deferred), Some(values)) = (&output.deferred, self.values.get_mut(stack)) else { continue };
            match values.evaluate(&component.key, deferred, &self.applier.functions) {
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
        self.report.outputs.insert((plan.stack.clone(), component.key.clone()), outputs);
    }

    /// Records components and owners, and gathers what was not done.
    pub(super) async fn close(mut self) -> Result<Report, ApplyError> {
        let unfinished = self.gather_unfinished();
        let writes = closing_writes(self.plan, &self.report.outputs, self.components, &unfinished, &self.applier.seal);
        let operation = self.operation;
        let records: Vec<Record> = writes.into_iter().map(|write| Record::Write { operation, write }).collect();
        // A plan of which nothing was begun stays as it is, and may be applied another time.
        let is_begun = self.is_spent || !self.is_stopping;
        let is_written = self.store_error.is_none() && is_begun && (!records.is_empty() || !self.is_spent);
        if is_written && let Err(error) = self.submit(records).await {
            self.store_error.get_or_insert(error);
        }
        match self.store_error.or(self.lease_error) {
            Some(error) => Err(error.into()),
            None => Ok(self.report),
        }
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
            }
        }
        let failed: BTreeSet<(StackId, Address)> =
            self.report.failed.iter().map(|failed| (failed.stack.clone(), failed.address.clone())).collect();
        for ((stack, change), because) in blocked {
            let Some((plan, change)) = self.change(stack, change) else { continue };
            let is_failed = failed.contains(&(change.stack(&plan.stack), change.address.clone()));
            if !is_failed && (change.is_change() || change.has_refreshed()) {
                let stack = change.stack(&plan.stack);
                let because = change.in_doubt.clone().unwrap_or_else(|| format!("waits for {because}"));
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

/// An output that cannot be told although all it waited for is done.
fn failed_output(stack: &StackId, output: &OutputChange, error: String) -> Failed {
    let address =
        Address { component: output.component.clone(), ty: "output".to_owned(), name: output.name.clone(), key: None };
    Failed { stack: stack.clone(), address, action: Action::Read, error, problems: Vec::new(), solutions: Vec::new() }
}
