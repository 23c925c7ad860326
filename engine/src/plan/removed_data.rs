//! Data that a plan deletes with its objects on request: the plan shows the amount.

use super::planner::Planner;
use super::resource::lost_data;
use super::{Change, StackPlan, row_stack};
use crate::action::Action;
use crate::address::{Address, StackId};
use crate::record;
use crate::registry::Registry;
use futures_util::{StreamExt, stream};
use std::collections::HashSet;

/// Data that a change destroys.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DataLossNote {
    /// The reasons, in words.
    pub reasons: Vec<String>,
    /// The amount: `3 rows`; absent without data.
    pub amount: Option<String>,
    /// The amount as a number, if it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The user consented.
    pub is_allowed: bool,
    /// Why consent is not enough, with the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_empty: Option<String>,
}

/// The amount if it cannot be counted.
pub(crate) const UNKNOWN_AMOUNT: &str = "an unknown amount of data";

impl DataLossNote {
    /// The reasons and the amount: `column evil is dropped (1 row)`.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{} ({})", self.reasons.join(", "), self.amount.as_deref().unwrap_or("no data"))
    }

    /// True if data would be destroyed.
    #[must_use]
    pub const fn destroys(&self) -> bool {
        self.amount.is_some()
    }

    /// True if the amount is unknown. Consent then covers any amount.
    #[must_use]
    pub fn is_uncounted(&self) -> bool {
        self.count.is_none() && self.amount.as_deref() == Some(UNKNOWN_AMOUNT)
    }

    /// True if this amount does not exceed the amount that the plan showed.
    #[must_use]
    pub fn covers(&self, count: u64, text: &str) -> bool {
        match (&self.amount, self.count) {
            (None, _) => false,
            (Some(_), Some(shown)) => count <= shown,
            // A plan file without a number has the amount in words only.
            (Some(shown), None) => self.is_uncounted() || shown == text,
        }
    }
}

/// Number of objects to count at once, besides the limits of their instances.
const AT_ONCE: usize = 16;

/// Counts the data that the deletions of a plan destroy.
pub(super) async fn count(planner: &Planner<'_>, stacks: &mut [StackPlan]) {
    for plan in stacks {
        let stack = plan.stack.clone();
        let deleted = plan.changes.iter_mut().filter(|change| {
            change.action == Action::Delete && change.in_doubt.is_none() && change.data_loss.is_none()
        });
        let counted = deleted.map(|change| show(planner, &stack, change));
        stream::iter(counted).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

/// Clears the `only_empty` condition of an object if the plan first removes objects within it, which may empty it.
pub(super) fn emptied_before(registry: &Registry, plan: &mut StackPlan) {
    let removed = plan.changes.iter().filter(|change| change.action.removes_object());
    let emptied = emptied(registry, removed);
    for change in &mut plan.changes {
        let is_emptied = change.address.is_among(&emptied);
        if let Some(loss) = change.data_loss.as_mut().filter(|_| is_emptied) {
            loss.only_empty = None;
        }
    }
}

/// The objects that removals may empty: the dependencies of the removed objects, which may contain them.
#[must_use]
pub fn emptied<'p>(registry: &Registry, removed: impl Iterator<Item = &'p Change>) -> HashSet<Address> {
    // A state-only resource is contained in no object.
    let is_object = |change: &&Change| registry.resource_type(&change.address.ty).is_some_and(|(_, ty)| !ty.state_only);
    let priors = removed.filter(is_object).filter_map(|change| change.prior.as_ref());
    priors.flat_map(|prior| &prior.dependencies).cloned().collect()
}

async fn show(planner: &Planner<'_>, stack: &StackId, change: &mut Change) {
    let Some((_, ty)) = planner.registry.resource_type(&change.address.ty) else { return };
    if !(ty.holds_data || ty.keeps_data_on_delete && planner.options.remove_data) {
        return;
    }
    let Some(prior) = &change.prior else { return };
    let stack = row_stack(stack, &change.address);
    let recorded = record::recorded(&stack, &change.address, prior);
    let reason = if ty.holds_data { "the object is deleted" } else { "the object is deleted with its data" };
    let reasons = vec![reason.to_owned()];
    let loss = lost_data(planner, (&stack, &change.address), &change.provider, ty, &recorded, reasons).await;
    // The removal was requested with `--remove-data`, which is the consent.
    change.data_loss = Some(DataLossNote { is_allowed: true, ..loss });
}
