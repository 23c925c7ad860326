//! What holds data and is deleted with it, because somebody asked for that: the plan says so, and how much goes.

use super::compute::Planner;
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
    /// What goes, in words.
    pub reasons: Vec<String>,
    /// How much: `3 rows`; absent when nothing is there to be lost.
    pub amount: Option<String>,
    /// How much in numbers, where that was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// It was consented to.
    pub is_allowed: bool,
    /// Why consent alone does not do, and what does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_empty: Option<String>,
}

/// How much goes where nobody can count it.
pub(crate) const UNKNOWN_AMOUNT: &str = "an unknown amount of data";

impl DataLossNote {
    /// What goes, and how much: `column evil is dropped (1 row)`.
    #[must_use]
    pub fn in_words(&self) -> String {
        format!("{} ({})", self.reasons.join(", "), self.amount.as_deref().unwrap_or("no data"))
    }

    /// True when there is data that goes.
    #[must_use]
    pub const fn destroys(&self) -> bool {
        self.amount.is_some()
    }

    /// True when data goes and it could not be told how much: whoever consents to that consents to all there is.
    #[must_use]
    pub fn is_uncounted(&self) -> bool {
        self.count.is_none() && self.amount.as_deref() == Some(UNKNOWN_AMOUNT)
    }

    /// True when this much is no more than was shown.
    #[must_use]
    pub fn covers(&self, count: u64, text: &str) -> bool {
        match (&self.amount, self.count) {
            (None, _) => false,
            (Some(_), Some(shown)) => count <= shown,
            // A plan that was saved without a number says it in words alone.
            (Some(shown), None) => self.is_uncounted() || shown == text,
        }
    }
}

/// How many objects are counted at once; the limits of their instances hold besides.
const AT_ONCE: usize = 16;

/// Counts what the deletions of a plan destroy.
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

/// Takes back that an object goes only once it is empty where something that is made within goes before it: that may be
/// all it holds.
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

/// What changes that remove objects may empty: what those objects were made after, and within for all that is known.
#[must_use]
pub fn emptied<'p>(registry: &Registry, removed: impl Iterator<Item = &'p Change>) -> HashSet<Address> {
    // What lives in the state alone is in nothing.
    let is_object = |change: &&Change| registry.resource_type(&change.address.ty).is_some_and(|(_, ty)| !ty.state_only);
    let priors = removed.filter(is_object).filter_map(|change| change.prior.as_ref());
    priors.flat_map(|prior| &prior.dependencies).cloned().collect()
}

async fn show(planner: &Planner<'_>, stack: &StackId, change: &mut Change) {
    let Some((_, ty)) = planner.registry.resource_type(&change.address.ty) else { return };
    if !(ty.holds_data || ty.spares_data && planner.options.remove_data) {
        return;
    }
    let Some(prior) = &change.prior else { return };
    let stack = row_stack(stack, &change.address);
    let recorded = record::recorded(&stack, &change.address, prior);
    let reason = if ty.holds_data { "the object is deleted" } else { "the object is deleted with its data" };
    let reasons = vec![reason.to_owned()];
    let loss = lost_data(planner, (&stack, &change.address), &change.provider, ty, &recorded, reasons).await;
    // What would stay otherwise goes with the consent of who asked for its removal.
    change.data_loss = Some(DataLossNote { is_allowed: true, ..loss });
}
