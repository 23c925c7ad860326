//! What a step in doubt does to the rest of a plan: nothing of its component is done until it is known what became
//! of it. Other components go on; shared resources are each on their own.

use super::Change;
use crate::action::Action;
use crate::address::Address;
use crate::record::Opened;
use std::collections::BTreeMap;
use terrace_provider::schema::Timeouts;

impl Change {
    /// True when the last step of this very object is in doubt.
    #[must_use]
    pub fn is_doubted(&self) -> bool {
        self.in_doubt.is_some() && !self.is_held_back
    }
}

/// Holds back the changes of components that have a step in doubt.
pub(crate) fn hold_back(changes: &mut [Change]) {
    let mut doubted: BTreeMap<String, Address> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.in_doubt.is_some() && !change.address.is_shared()) {
        doubted.entry(change.address.component.clone()).or_insert_with(|| change.address.clone());
    }
    for change in changes.iter_mut().filter(|change| change.in_doubt.is_none() && change.action != Action::NoOp) {
        let Some(by) = doubted.get(&change.address.component).filter(|_| !change.address.is_shared()) else { continue };
        change.in_doubt = Some(format!("waits for {by}, whose last step is in doubt"));
        change.is_held_back = true;
        change.action = Action::NoOp;
        change.data_loss = None;
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
