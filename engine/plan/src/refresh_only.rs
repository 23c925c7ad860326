//! Refresh-only plans: they record the current values of objects. They apply no change of a descriptor and repair no drift.

use super::components::recorded_component;
use super::draft::Draft;
use super::failure::PlanFailure;
use super::loaded::{DeposedRow, Loaded, LoadedRow};
use super::planner::Planner;
use super::targeting::{ReleaseScope, Targeting};
use super::{After, Change, Part, StackPlan, Why, moved, orphans, refresh};
use std::collections::BTreeMap;
use terrace_language::action::{Action, Reason};
use terrace_language::address::Address;
use terrace_language::compile::CompiledStack;
use terrace_provider::schema::Timeouts;

impl Planner<'_> {
    /// Plans to record the current values of a stack's objects, declared or not.
    pub(super) async fn observe_stack(
        &self,
        compiled: &CompiledStack,
        draft: &mut Draft,
    ) -> Result<(StackPlan, ReleaseScope), PlanFailure> {
        let Draft { shared, named, reads, diagnostics, .. } = draft;
        let stack = &compiled.stack;
        let recorded = self.recorded_components(stack).await?;
        let mut targeting = Targeting::of_descriptor(self, compiled);
        let mut loaded = refresh::rows(self, stack, &self.selection()).await?;
        let compiled = &*moved::identified(compiled, &loaded, diagnostics);
        named.record(stack, loaded.rows.keys());
        targeting.include_undeclared(&loaded.rows, &BTreeMap::new());
        let outside = loaded.leave_out(&targeting);
        moved::check_border(self, compiled, &targeting, &loaded, &outside, diagnostics).await?;
        refresh::refresh_loaded(self, stack, &self.selection(), &targeting, &mut loaded, diagnostics).await?;
        moved::relocate(stack, &compiled.transitions.moves, &mut loaded, diagnostics);
        let mut changes = observed(&mut loaded);
        reads.append(&mut loaded.reads);
        shared.load(self, stack).await?;
        changes.extend(observed(shared.loaded()));
        moved::follow(&mut changes);
        for change in changes.iter_mut().filter(|change| change.after.is_some()) {
            change.how.depends_on =
                change.basis.prior.iter().flat_map(|prior| prior.dependencies.iter().cloned()).collect();
        }
        let components = recorded.iter().map(|(key, component)| recorded_component(key, component, Part::Untouched));
        let plan = StackPlan { components: components.collect(), changes, ..StackPlan::empty(stack.clone()) };
        Ok((plan, ReleaseScope::Nothing))
    }
}

/// The changes that record refreshed rows.
fn observed(loaded: &mut Loaded) -> Vec<Change> {
    let rows = std::mem::take(&mut loaded.rows);
    let mut changes: Vec<Change> = rows
        .into_iter()
        .map(|(address, row)| {
            let in_doubt = loaded.in_doubt.remove(&address);
            observation(&address, row, in_doubt)
        })
        .collect();
    for ((address, _), DeposedRow { row, in_doubt }) in std::mem::take(&mut loaded.deposed) {
        if row.is_gone || in_doubt.is_some() {
            let action = if in_doubt.is_some() { Action::NoOp } else { Action::Forget };
            changes.push(orphans::deposed(&address, row, action, Reason::Gone, Timeouts::default(), in_doubt));
        } else if row.opened.prior.recorded.is_some() {
            changes.push(Change { moved_from: None, ..observation(&address, row, None) });
        }
    }
    changes.extend(loaded.take_attempts());
    changes
}

/// The change of one refreshed object: its row is updated if it drifted, and removed if it is gone.
fn observation(address: &Address, row: LoadedRow, in_doubt: Option<String>) -> Change {
    if row.is_gone && in_doubt.is_none() {
        return orphans::removal(address, row, Action::Forget, Reason::Gone, Timeouts::default(), in_doubt);
    }
    let prior = &row.opened.prior;
    let after = After {
        attributes: prior.attributes.clone(),
        private: prior.private.clone(),
        deferred: None,
        write_only: prior.write_only.clone(),
        newly_sensitive: Vec::new(),
    };
    let removal = orphans::removal(address, row, Action::NoOp, Reason::Drifted, Timeouts::default(), in_doubt);
    Change { after: Some(after), why: Why { reason: None, ..removal.why }, ..removal }
}
