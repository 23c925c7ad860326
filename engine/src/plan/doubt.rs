//! What a step in doubt does to the rest of a plan: nothing of its component is done until it is known what became
//! of it, and nothing that comes after that. The rest goes on; shared resources are each on their own.

use super::steps::{Step, StepId, Steps};
use super::{Change, Plan};
use crate::action::Action;
use crate::address::Address;
use crate::record::Opened;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use terrace_provider::schema::Timeouts;

impl Change {
    /// True when the last step of this very object is in doubt.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.in_doubt.is_some() && !self.is_held_back
    }

    /// Leaves it until it is known what became of another one.
    fn hold_back(&mut self, by: &Address) {
        if self.in_doubt.is_some() || self.action == Action::NoOp {
            return;
        }
        self.in_doubt = Some(format!("waits for {by}, whose last step is in doubt"));
        self.is_held_back = true;
        self.action = Action::NoOp;
        self.data_loss = None;
    }
}

/// Holds back the changes of components that have a step in doubt.
pub(crate) fn hold_back(changes: &mut [Change]) {
    let mut doubted: BTreeMap<String, Address> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.in_doubt.is_some() && !change.address.is_shared()) {
        doubted.entry(change.address.component.clone()).or_insert_with(|| change.address.clone());
    }
    for change in changes.iter_mut() {
        let Some(by) = doubted.get(&change.address.component).filter(|_| !change.address.is_shared()) else { continue };
        change.hold_back(by);
    }
}

/// Holds back what comes after a step in doubt, in other components and stacks: applying would come to it and stop.
pub(crate) fn hold_back_dependents(plan: &mut Plan) {
    if !plan.changes().any(|(_, change)| change.in_doubt.is_some()) {
        return;
    }
    let steps = Steps::of(&plan.stacks);
    let at = |step: StepId| match *steps.all.get(step)? {
        Step::Forward { stack, change } | Step::Remove { stack, change } => Some((stack, change)),
        Step::Lookup { .. } | Step::ComponentDone { .. } | Step::Barrier => None,
    };
    // The step that each has to wait for, by the step that waits.
    let mut waits: BTreeMap<StepId, Address> = BTreeMap::new();
    let mut reached: Vec<(StepId, Address)> = Vec::new();
    for step in 0..steps.all.len() {
        let Some((stack, change)) = at(step) else { continue };
        let doubted = plan.stacks.get(stack).and_then(|stack| stack.changes.get(change));
        reached.extend(doubted.filter(|change| change.is_doubted()).map(|change| (step, change.address.clone())));
    }
    while let Some((step, by)) = reached.pop() {
        for dependent in steps.dependents.get(step).into_iter().flatten() {
            if let Entry::Vacant(waiting) = waits.entry(*dependent) {
                waiting.insert(by.clone());
                reached.push((*dependent, by.clone()));
            }
        }
    }
    for (step, by) in waits {
        let Some((stack, change)) = at(step) else { continue };
        if let Some(change) = plan.stacks.get_mut(stack).and_then(|stack| stack.changes.get_mut(change)) {
            change.hold_back(&by);
        }
    }
}

/// The change of an object that has no row, nor a declaration: only the step that was to make it is on record.
pub(crate) fn attempted(opened: Opened, reason: String) -> Change {
    Change {
        address: opened.address,
        deposed: opened.deposed,
        moved_from: None,
        import_id: None,
        action: Action::NoOp,
        reason: None,
        place: None,
        provider: opened.provider,
        generation: 0,
        lifecycle: opened.prior.lifecycle.clone(),
        prior: Some(Box::new(opened.prior)),
        after: None,
        replace_paths: Vec::new(),
        triggered_by: Vec::new(),
        ignored: Vec::new(),
        checks: Vec::new(),
        drift: Vec::new(),
        depends_on: Vec::new(),
        timeouts: Timeouts::default(),
        data_loss: None,
        in_doubt: Some(reason),
        is_held_back: false,
    }
}
