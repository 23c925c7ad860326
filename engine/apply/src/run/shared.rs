//! Leases of shared resources, released as soon as the steps of the resource end, because many stacks use them.

use super::state::{Run, State};
use crate::writes::Components;
use std::collections::{BTreeMap, HashMap};
use terrace_language::address::{ComponentKey, StackId};
use terrace_plan::Plan;
use terrace_plan::steps::{Step, StepId, Steps};

/// The leases of shared resources that are still held.
#[derive(Default)]
pub(super) struct SharedLeases {
    leases: Vec<SharedLease>,
}

struct SharedLease {
    stack: StackId,
    component: ComponentKey,
    /// The steps that need it; without steps, only the first write needs it.
    steps: Vec<StepId>,
}

impl SharedLeases {
    /// The shared leases of a run.
    pub(super) fn of(plan: &Plan, components: &Components, steps: &Steps) -> Self {
        let mut by_resource: HashMap<(StackId, ComponentKey), Vec<StepId>> = HashMap::new();
        let shared: BTreeMap<&str, StackId> = plan
            .stacks
            .iter()
            .map(|stack| (stack.stack.environment.as_str(), StackId::shared(&stack.stack.environment)))
            .collect();
        for (id, step) in steps.all.iter().enumerate() {
            let (Step::Forward { stack, change } | Step::Remove { stack, change }) = *step else { continue };
            let Some(stack) = plan.stacks.get(stack) else { continue };
            let Some(change) = stack.changes.get(change).filter(|change| change.address.is_shared()) else { continue };
            if let Some(pseudo) = shared.get(stack.stack.environment.as_str()) {
                by_resource.entry((pseudo.clone(), change.address.lease_key())).or_default().push(id);
            }
        }
        let leases = components.iter().filter(|(stack, _)| shared.values().any(|shared| shared == stack));
        let lease = |(stack, component): &(StackId, ComponentKey)| SharedLease {
            steps: by_resource.remove(&(stack.clone(), component.clone())).unwrap_or_default(),
            stack: stack.clone(),
            component: component.clone(),
        };
        Self { leases: leases.map(lease).collect() }
    }
}

impl Run<'_> {
    /// Releases the leases whose steps have ended. Their records are submitted before and are written first.
    pub(super) fn release_shared(&mut self) {
        if !self.is_spent {
            return;
        }
        let states = &self.states;
        let has_ended = |step: &StepId| matches!(states.get(*step), Some(State::Done | State::Failed(_)));
        let writer = &self.writer;
        self.shared.leases.retain(|lease| {
            let is_over = lease.steps.iter().all(has_ended);
            if is_over {
                writer.release(&lease.stack, &lease.component);
            }
            !is_over
        });
    }
}
