//! Order of grants and revocations of access. No access is revoked before all grants were tried. If a grant fails, the revocation
//! that it replaces, which has the same `forEach` key, does not run. Other revocations run even if some grants failed. A grant
//! without a key gives access to everyone: if it fails, nothing is revoked. An updated grant replaces no other.

use super::{Nodes, Step, StepId, Steps};
use crate::{ComponentPlan, StackPlan};
use std::collections::{BTreeMap, HashMap};
use terrace_language::action::Action;
use terrace_language::address::InstanceKey;

/// The grants and revocations of a component.
struct Access<'p> {
    component: &'p ComponentPlan,
    granted: Vec<Granted<'p>>,
    revoked: Vec<(StepId, Option<&'p InstanceKey>)>,
}

struct Granted<'p> {
    step: StepId,
    key: Option<&'p InstanceKey>,
    /// The grant existed before.
    is_changed: bool,
}

impl Steps {
    /// Orders the grants of a component before its revocations.
    pub(super) fn grant_first<'p>(&mut self, stack: &'p StackPlan, nodes: &Nodes<'_>) {
        let with_grants = stack.components.iter().filter(|component| !component.grants.is_empty());
        let of = |component: &'p ComponentPlan| Access { component, granted: Vec::new(), revoked: Vec::new() };
        let mut all: BTreeMap<&str, Access<'p>> =
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
            if change.leaves_state() {
                // An early removal makes room for a grant.
                let removal = nodes.remove.get(address).filter(|removal| !removal.is_early);
                access.revoked.extend(removal.map(|removal| (removal.step, address.key.as_ref())));
            } else if change.action != Action::NoOp {
                let is_changed = change.action == Action::Update;
                let granted = nodes.forward.get(address);
                access.granted.extend(granted.map(|step| Granted {
                    step: *step,
                    key: address.key.as_ref(),
                    is_changed,
                }));
            }
        }
        for Access { granted, revoked, .. } in all.into_values().filter(|access| !access.granted.is_empty()) {
            let afterwards = self.add(Step::Afterwards);
            // A resource without a key grants or revokes the access of everyone.
            let (all_granted, all_kept) = (self.barrier(), self.barrier());
            let mut of_same: HashMap<&InstanceKey, Vec<StepId>> = HashMap::new();
            for Granted { step, key, is_changed } in granted {
                self.order(step, afterwards);
                self.order(step, all_granted);
                match key {
                    Some(key) => of_same.entry(key).or_default().push(step),
                    None if is_changed => {}
                    None => self.order(step, all_kept),
                }
            }
            for (step, key) in revoked {
                self.order(afterwards, step);
                self.order(all_kept, step);
                match key {
                    Some(key) => of_same.get(key).into_iter().flatten().for_each(|grant| self.order(*grant, step)),
                    None => self.order(all_granted, step),
                }
            }
        }
    }
}
