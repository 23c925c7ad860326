//! Data that a plan deletes with its objects on request: the plan shows the amount.

use super::data_loss::{DataLossNote, UNKNOWN_AMOUNT};
use super::planner::Planner;
use super::{Change, StackPlan, row_stack};
use crate::deadline;
use futures_util::{StreamExt, stream};
use std::collections::HashSet;
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_language::registry::Registry;
use terrace_provider::{DataAmount, ResourceType};
use terrace_store::record;

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
    let priors = removed.filter(is_object).filter_map(|change| change.basis.prior.as_ref());
    priors.flat_map(|prior| &prior.dependencies).cloned().collect()
}

async fn show(planner: &Planner<'_>, stack: &StackId, change: &mut Change) {
    let Some((_, ty)) = planner.registry.resource_type(&change.address.ty) else { return };
    let Some(prior) = &change.basis.prior else { return };
    let holds_data = ty.is_holding_data(&prior.attributes);
    if !(holds_data || ty.keeps_data_on_delete && planner.options.remove_data) {
        return;
    }
    let stack = row_stack(stack, &change.address);
    let recorded = record::recorded(&stack, &change.address, prior);
    let reason = if holds_data { "the object is deleted" } else { "the object is deleted with its data" };
    let reasons = vec![reason.to_owned()];
    let loss = lost_data(planner, (&stack, &change.address), &change.how.provider, ty, &recorded, reasons).await;
    // The removal was requested with `--remove-data`, which is the consent.
    change.data_loss = Some(DataLossNote { is_allowed: true, ..loss });
}

/// The data of an object to delete, for these reasons.
pub(crate) async fn lost_data(
    planner: &Planner<'_>,
    (stack, address): (&StackId, &Address),
    provider: &str,
    ty: &ResourceType,
    recorded: &terrace_provider::Recorded,
    reasons: Vec<String>,
) -> DataLossNote {
    let counted = match planner.registry.session(provider).await {
        Ok(session) => deadline::call_reading(ty.timeouts.read, session.count_data(ty, recorded)).await,
        Err(error) => Err(error),
    };
    let (amount, count) = match counted {
        Ok(DataAmount::Empty) => (None, None),
        Ok(DataAmount::Some { count, text }) => (Some(text), Some(count)),
        Ok(DataAmount::Unknown) | Err(_) => (Some(UNKNOWN_AMOUNT.to_owned()), None),
    };
    let is_allowed = planner.options.allow_data_loss.covers(stack, address);
    DataLossNote { reasons, amount, count, is_allowed, only_empty: None }
}
