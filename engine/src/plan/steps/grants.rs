//! Grants come before revocations: nobody is sent away until those are in who are to have access, and when somebody could
//! not be let in nobody is sent away either.

use super::{Nodes, StepId, Steps};
use crate::action::Action;
use crate::plan::{ComponentPlan, StackPlan};
use std::collections::BTreeMap;

/// What grants access to one component, and what takes it away.
struct Access<'p> {
    component: &'p ComponentPlan,
    granted: Vec<StepId>,
    revoked: Vec<StepId>,
}

impl Steps {
    /// Orders what grants access to a component before what takes it away.
    pub(super) fn grant_first(&mut self, stack: &StackPlan, nodes: &Nodes<'_>) {
        let with_grants = stack.components.iter().filter(|component| !component.grants.is_empty());
        let of = |component| Access { component, granted: Vec::new(), revoked: Vec::new() };
        let mut all: BTreeMap<&str, Access<'_>> =
            with_grants.map(|component| (component.key.as_str(), of(component))).collect();
        if all.is_empty() {
            return;
        }
        for change in stack.changes.iter().filter(|change| change.deposed.is_none()) {
            let address = &change.address;
            let Some(access) = all.get_mut(address.component.as_str()) else { continue };
            if !access.component.grants.iter().any(|(ty, name)| *ty == address.ty && *name == address.name) {
                continue;
            }
            if change.is_given_up() {
                // What goes early makes room for what is granted.
                let removal = nodes.remove.get(address).filter(|removal| !removal.is_early);
                access.revoked.extend(removal.map(|removal| removal.step));
            } else if change.action != Action::NoOp {
                access.granted.extend(nodes.forward.get(address));
            }
        }
        for Access { granted, revoked, .. } in all.into_values().filter(|it| !it.granted.is_empty()) {
            let barrier = self.barrier();
            granted.into_iter().for_each(|step| self.order(step, barrier));
            revoked.into_iter().for_each(|step| self.order(barrier, step));
        }
    }
}
