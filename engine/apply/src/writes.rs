//! The writes of components and owners before the first step and after the last one.

use super::outputs::OutputsNow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_plan::{ComponentPlan, OwnerAction, OwnerChange, Part, Plan, StackPlan};
use terrace_provider::Map;
use terrace_store::seal::Seal;
use terrace_store::{OwnerRow, Ownership, Write};

/// Components by stack.
pub(crate) type Components = BTreeSet<(StackId, ComponentKey)>;

/// The writes before the first step: owners and the order of components, so that objects that a crash leaves can be found and
/// removed in order.
pub(super) fn opening_writes(plan: &Plan, components: &Components, now: &OutputsNow, seal: &Seal) -> Vec<Write> {
    let mut writes = Vec::new();
    for stack in &plan.stacks {
        let mut before = outputs_before(stack);
        for component in stack.components.iter().filter(|component| component.part == Part::Planned) {
            if components.contains(&(stack.stack.clone(), component.key.clone())) {
                let values = before.remove(component.key.as_str()).unwrap_or_default();
                writes.extend(component_write(&stack.stack, component, &values, now, seal));
            }
        }
        let added = stack.owners.iter().filter(|owner| owner.action == OwnerAction::Add);
        writes.extend(added.map(|owner| owner_write(owner, seal)));
    }
    writes
}

/// The recorded outputs of each component, as far as the plan changes them.
pub(super) fn outputs_before(stack: &StackPlan) -> BTreeMap<&str, Map> {
    let mut recorded: BTreeMap<&str, Map> = BTreeMap::new();
    for output in &stack.outputs {
        if let Some(before) = &output.before {
            recorded.entry(&output.component).or_default().insert(output.name.clone(), before.clone());
        }
    }
    recorded
}

/// The work that was not done.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// The components of unfinished changes.
    pub(super) components: Components,
    /// The resources of unfinished changes.
    pub(super) addresses: HashSet<(StackId, Address)>,
}

/// The writes of components and owners after the steps. Components without changes are left out, because the apply does not hold
/// their leases.
pub(super) fn closing_writes(
    plan: &Plan,
    outputs: &BTreeMap<(StackId, ComponentKey), Map>,
    declared: &BTreeMap<Ownership, OwnerChange>,
    components: &Components,
    unfinished: &Unfinished,
    now: &OutputsNow,
    seal: &Seal,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for stack in &plan.stacks {
        let mut before = outputs_before(stack);
        for component in &stack.components {
            let name = (stack.stack.clone(), component.key.clone());
            match component.part {
                Part::Planned if components.contains(&name) => {
                    let before = before.remove(component.key.as_str()).unwrap_or_default();
                    let values = outputs.get(&name).cloned().unwrap_or(before);
                    writes.extend(component_write(&stack.stack, component, &values, now, seal));
                }
                Part::Removed if !unfinished.components.contains(&name) => {
                    writes.push(Write::DropComponent { stack: stack.stack.clone(), key: component.key.clone() });
                }
                Part::Planned | Part::Removed | Part::Untouched => {}
            }
        }
        for owner in &stack.owners {
            let Ownership { address, stack, component } = &owner.ownership;
            let name = (stack.clone(), component.clone());
            let is_unfinished = unfinished.addresses.contains(&(StackId::shared(&stack.environment), address.clone()));
            match owner.action {
                // A component that still has something to remove stays an owner, so that a later plan removes it.
                OwnerAction::Drop { is_last } if !is_unfinished && !unfinished.components.contains(&name) => {
                    let ownership = owner.ownership.clone();
                    writes.push(Write::DropOwner { ownership, may_be_last: is_last });
                }
                // A declaration whose change was not applied is not recorded.
                OwnerAction::Declare | OwnerAction::Record if !is_unfinished && components.contains(&name) => {
                    writes.push(owner_write(declared.get(&owner.ownership).unwrap_or(owner), seal));
                }
                OwnerAction::Add => {
                    writes.extend(declared.get(&owner.ownership).map(|owner| owner_write(owner, seal)));
                }
                OwnerAction::Drop { .. } | OwnerAction::Declare | OwnerAction::Record => {}
            }
        }
    }
    writes
}

/// The row of an owner. A declaration that cannot be sealed is left out: it is not compared then.
pub(super) fn owner_write(owner: &OwnerChange, seal: &Seal) -> Write {
    let declaration =
        owner.declaration.as_ref().and_then(|declaration| declaration.to_stored(&owner.ownership, seal).ok());
    Write::PutOwner(OwnerRow { ownership: owner.ownership.clone(), declaration: declaration.unwrap_or_default() })
}

/// The row of a component.
pub(super) fn component_write(
    stack: &StackId,
    component: &ComponentPlan,
    outputs: &Map,
    now: &OutputsNow,
    seal: &Seal,
) -> Option<Write> {
    let outputs = now.to_store(stack, &component.key, outputs, seal)?;
    Some(Write::Component {
        stack: stack.clone(),
        component: terrace_store::ComponentRow {
            key: component.key.clone(),
            depends_on: component.depends_on.clone(),
            outputs,
            blueprint: component.blueprint.clone(),
            reads: component.reads.clone(),
            access: component.access.clone(),
            ids: component.ids.clone(),
        },
    })
}
