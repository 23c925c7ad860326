//! Waits for other operations on components that a plan covers but does not change.

use super::lease::{Claim, Held};
use super::{Applier, ApplyError};
use std::collections::BTreeSet;
use terrace_plan::{Part, Plan, StackPlan};
use uuid::Uuid;

impl Applier {
    /// Waits until no other operation works on the plan's components. Returns true if there was one: the caller has to replan,
    /// because the plan has the state before that operation.
    ///
    /// # Errors
    /// If another operation runs longer than the patience allows, or the state cannot be read.
    pub async fn wait_for_contenders(&self, plan: &Plan, operation: Uuid) -> Result<bool, ApplyError> {
        let mut components = BTreeSet::new();
        for lease in self.store.leases().await? {
            let stack = plan.stacks.iter().find(|StackPlan { stack, .. }| *stack == lease.stack);
            // A component without a row may be in creation: it belongs to a complete plan.
            let is_about =
                |stack: &StackPlan| match stack.components.iter().find(|component| component.key == lease.component) {
                    Some(component) => component.part != Part::Untouched,
                    None => plan.is_complete,
                };
            if stack.is_some_and(is_about) {
                components.insert((lease.stack, lease.component));
            }
        }
        if components.is_empty() {
            return Ok(false);
        }
        let claim = Claim {
            components,
            operation,
            holder: &self.actor,
            lock_timeout: self.lock_timeout,
            cancel: &self.cancel,
            events: self.events.as_ref(),
        };
        Held::take(&self.store, claim).await?.release().await?;
        Ok(true)
    }
}
