//! Waits for other operations on components that a plan covers but does not change: they are about to change the state.

use super::lease::{Claim, Held};
use super::{Applier, ApplyError};
use crate::plan::{Part, Plan, StackPlan};
use std::collections::BTreeSet;
use uuid::Uuid;

impl Applier {
    /// Waits until nobody works any more on what a plan is about that changes nothing: true when somebody did, and it has
    /// to be planned again, for the plan saw what was recorded before.
    ///
    /// # Errors
    /// When somebody still does after all patience, or the state cannot be read.
    pub async fn wait_for_others(&self, plan: &Plan, operation: Uuid) -> Result<bool, ApplyError> {
        let mut components = BTreeSet::new();
        for lease in self.store.leases().await? {
            let stack = plan.stacks.iter().find(|StackPlan { stack, .. }| *stack == lease.stack);
            // What is not recorded yet and is being made belongs to a plan of everything.
            let is_about = |stack: &StackPlan| match stack.components.iter().find(|it| it.key == lease.component) {
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
            patience: self.patience,
            cancel: &self.cancel,
            events: self.events.as_ref(),
        };
        Held::take(&self.store, claim).await?.release().await?;
        Ok(true)
    }
}
