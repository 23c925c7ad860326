//! Lookups that planning deferred: read after their prerequisites, and checked against the plan. They change nothing, so the
//! journal does not contain them.

use super::super::Failed;
use super::state::{Finished, LookedUp, PreparedStep, Run, State};
use crate::event::Event;
use std::time::Instant;
use terrace_language::action::Action;
use terrace_plan::deadline;
use terrace_plan::steps::StepId;
use terrace_plan::walk::lookups::answer;
use terrace_plan::{Lookup, StackPlan};
use terrace_provider::plan::with_defaults;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, ProviderError, Session, Value};
use terrace_store::diff::is_same;

impl<'a> Run<'a> {
    /// Starts a lookup.
    pub(super) fn look_up(&mut self, step: StepId, stack: usize, lookup: usize) {
        let Some((plan, lookup)) = self.planned_lookup(stack, lookup) else { return };
        let arguments = match self.arguments(stack, lookup) {
            Ok(arguments) => arguments,
            Err(messages) => return self.fail(step, failed(plan, lookup, &ProviderError::bug(messages)), true),
        };
        self.set(step, State::Running);
        let (applier, writer) = (self.applier, self.writer.clone());
        let answer = async move {
            let (stack, address) = (plan.stack.clone(), lookup.address.clone());
            let (name, timeout) = (lookup.name(), Timeouts::default().read);
            let started = Instant::now();
            let answer = async {
                deadline::call_reading(timeout, applier.registry.session(&lookup.provider)).await?;
                let name_in_words = format!("{stack}:{address}");
                let waits = |message| writer.send_event(Event::StepWaiting { address: name_in_words, message });
                let session = applier.registry.admitted(&lookup.provider, name, 1, waits).await?;
                writer.send_event(Event::StepStarted { stack, address, action: Action::Read });
                deadline::call_reading(timeout, session.lookup(name, &arguments)).await
            };
            let result = answer.await;
            Finished::LookedUp { step, found: Box::new(LookedUp { arguments, result, took: started.elapsed() }) }
        };
        let stopped = self.stopped();
        self.futures.push(Box::pin(async move {
            tokio::select! {
                biased;
                finished = answer => finished,
                // A lookup changes nothing, so its answer may be lost.
                () = stopped => Finished::PreparedStep(PreparedStep::stopped(step)),
            }
        }));
    }

    /// Publishes the result of a lookup.
    pub(super) fn looked_up(&mut self, step: StepId, (stack, lookup): (usize, usize), found: LookedUp) {
        let LookedUp { arguments, result, took } = found;
        let Some((plan, lookup)) = self.planned_lookup(stack, lookup) else { return };
        let found = result.and_then(|result| {
            let (_, schema) = self
                .applier
                .registry
                .lookup(lookup.name())
                .ok_or_else(|| ProviderError::bug(format!("this terrace has no lookup `{}`", lookup.name())))?;
            let found = answer(schema, &arguments, &result);
            match disagreement(&lookup.result, &found) {
                None => Ok(found),
                Some(name) => {
                    Err(ProviderError::bug(format!("the plan is stale: `{name}` differs from its planned value")))
                }
            }
        });
        match found {
            Ok(found) => {
                if let Some(values) = self.values.get_mut(stack) {
                    values.set_lookup(&lookup.address, found);
                }
                self.complete(step);
                let (stack, address) = (plan.stack.clone(), lookup.address.clone());
                self.writer.send_event(Event::StepDone { stack, address, action: Action::Read, took });
            }
            Err(error) => self.fail(step, failed(plan, lookup, &error), true),
        }
    }

    fn arguments(&self, stack: usize, lookup: &Lookup) -> Result<Attributes, String> {
        let Some(deferred) = &lookup.deferred else { return Ok(lookup.arguments.clone()) };
        let Some(values) = self.values.get(stack) else { return Ok(lookup.arguments.clone()) };
        let config = values.evaluate(deferred, &self.applier.functions).map_err(|messages| messages.join("; "))?;
        let config = config.as_map().cloned().unwrap_or_default();
        match self.applier.registry.lookup(lookup.name()) {
            Some((_, schema)) => Ok(with_defaults(&schema.arguments, &config)),
            None => Ok(config),
        }
    }

    fn planned_lookup(&self, stack: usize, lookup: usize) -> Option<(&'a StackPlan, &'a Lookup)> {
        let plan = self.plan.stacks.get(stack)?;
        Some((plan, plan.lookups.get(lookup)?))
    }
}

/// The first attribute with a planned value that differs now.
fn disagreement(planned: &Value, found: &Value) -> Option<String> {
    let (planned, found) = (planned.exposed().as_map()?, found.exposed().as_map());
    planned
        .iter()
        .find(|(name, value)| !holds(value, found.and_then(|found| found.get(*name))))
        .map(|(name, _)| name.clone())
}

/// True if all planned values hold. The result may have more than the plan, which contains only the configured part of a resource.
fn holds(planned: &Value, found: Option<&Value>) -> bool {
    match (planned.exposed(), found.map(Value::exposed)) {
        (Value::Unknown | Value::Null, _) => true,
        (Value::Map(planned), Some(Value::Map(found))) => {
            planned.iter().all(|(name, value)| holds(value, found.get(name)))
        }
        (Value::List(planned), Some(Value::List(found))) => {
            planned.len() == found.len()
                && planned.iter().zip(found).all(|(planned_item, found_item)| holds(planned_item, Some(found_item)))
        }
        (planned, found) => is_same(Some(planned), found),
    }
}

fn failed(plan: &StackPlan, lookup: &Lookup, error: &ProviderError) -> Failed {
    Failed {
        stack: plan.stack.clone(),
        address: lookup.address.clone(),
        action: Action::Read,
        error: error.to_string(),
        problems: error.problems.clone(),
        solutions: error.solutions.clone(),
    }
}
