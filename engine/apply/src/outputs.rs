//! Outputs that a plan depends on: recorded outputs that it reads, and outputs that it changes. Their changes need not change a
//! row.

use super::writes::{Components, outputs_before};
use super::{Applier, ApplyError};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_plan::{ComponentPlan, OutputRead, Part, Plan, StackPlan};
use terrace_provider::{Map, Value};
use terrace_store::record;
use terrace_store::seal::{Place, Seal};
use terrace_store::{ComponentRead, ComponentRow, Generation, Sealed, Selection, StaleRead};

/// The present outputs of the components that a plan depends on.
#[derive(Debug, Default)]
pub(super) struct OutputsNow {
    /// For the transaction that spends the plan, because the outputs may change until then.
    pub(super) reads: Vec<ComponentRead>,
    /// The stored outputs of each component.
    stored: BTreeMap<(StackId, ComponentKey), Sealed>,
}

impl OutputsNow {
    /// The outputs to store for a component. Keeps the stored text if it has the same values under the present key: sealing
    /// again would change the text, and plans that read the component would become stale.
    pub(super) fn to_store(
        &self,
        stack: &StackId,
        component: &ComponentKey,
        outputs: &Map,
        seal: &Seal,
    ) -> Option<Sealed> {
        let stored = self.stored.get(&(stack.clone(), component.clone())).filter(|stored| {
            let is_same = |now: record::Outputs| now.unstored.is_empty() && now.values == *outputs;
            record::open_outputs(stored, &seal.at(Place::Outputs { stack, component }).only_current())
                .is_ok_and(is_same)
        });
        stored.cloned().or_else(|| record::seal_outputs((stack, component), outputs, seal).ok())
    }
}

/// The recorded outputs of a component.
#[derive(Default)]
struct Recorded {
    values: Map,
    /// Outputs that cannot be decrypted or were never stored; the plan does not know them either.
    unknown: BTreeSet<String>,
}

/// True if the access list of a component changed since the plan was made, which would record the old one.
fn has_changed_access(component: &ComponentPlan, now: &ComponentRow) -> bool {
    component.part == Part::Planned && now.access != component.recorded_access
}

impl Applier {
    /// Refuses a plan if outputs that it depends on changed. Counts only components that the plan writes to (`written`), or all of
    /// its components if it writes nothing.
    pub(super) async fn refuse_changed_outputs(
        &self,
        plan: &Plan,
        written: Option<&Components>,
    ) -> Result<OutputsNow, ApplyError> {
        let is_own = |stack: &StackId, component: &ComponentPlan| {
            let name = || (stack.clone(), component.key.clone());
            component.part != Part::Untouched && written.is_none_or(|written| written.contains(&name()))
        };
        let mut needed: BTreeMap<&StackId, BTreeSet<ComponentKey>> = BTreeMap::new();
        let mut own: BTreeMap<(&StackId, &ComponentKey), &ComponentPlan> = BTreeMap::new();
        for stack in &plan.stacks {
            for component in stack.components.iter().filter(|component| is_own(&stack.stack, component)) {
                let keys = needed.entry(&stack.stack).or_default();
                keys.insert(component.key.clone());
                keys.extend(former_keys(stack, component).cloned());
                own.insert((&stack.stack, &component.key), component);
            }
            for read in &stack.output_reads {
                needed.entry(&read.stack).or_default().insert(read.of.clone());
            }
        }
        let mut outputs_now = OutputsNow::default();
        let mut now: BTreeMap<(&StackId, ComponentKey), Recorded> = BTreeMap::new();
        for (stack, keys) in needed {
            // Versions are read first, so that they detect later writes.
            outputs_now.reads.extend(self.store.component_reads(stack, &keys).await?);
            for row in self.store.components(stack).await?.into_iter().filter(|row| keys.contains(&row.key)) {
                if own.get(&(stack, &row.key)).is_some_and(|component| has_changed_access(component, &row)) {
                    return Err(ApplyError::ChangedAccess { stack: stack.clone(), component: row.key });
                }
                // An output that cannot be decrypted does not equal the plan's.
                let opened = record::open_readable_outputs(
                    &row.outputs,
                    &self.seal.at(Place::Outputs { stack, component: &row.key }),
                );
                let recorded = opened.map(|(outputs, undecryptable)| Recorded {
                    values: outputs.values,
                    unknown: undecryptable.into_keys().chain(outputs.unstored).collect(),
                });
                now.insert((stack, row.key.clone()), recorded.unwrap_or_default());
                outputs_now.stored.insert((stack.clone(), row.key), row.outputs);
            }
        }
        let nothing = Recorded::default();
        let mut changed: Vec<OutputRead> = Vec::new();
        for stack in &plan.stacks {
            let differs = |read: &&OutputRead| {
                let now = now.get(&(&read.stack, read.of.clone())).unwrap_or(&nothing);
                !read.is_as_before(stack.as_recorded(read).unwrap_or(&nothing.values), &now.values)
            };
            changed.extend(stack.output_reads.iter().filter(differs).cloned());
            let mut before = outputs_before(stack);
            for component in stack.components.iter().filter(|component| is_own(&stack.stack, component)) {
                let before = before.remove(component.key.as_str()).unwrap_or_default();
                let recorded = |key: &ComponentKey| now.get(&(&stack.stack, key.clone()));
                // The row of a component that moves still has its former key.
                let is_former = |key| {
                    let former: Option<&Recorded> = recorded(key);
                    former.is_some() && self.changed_outputs(stack, component, &before, former).is_empty()
                };
                if !former_keys(stack, component).any(is_former) {
                    changed.extend(self.changed_outputs(stack, component, &before, recorded(&component.key)));
                }
            }
        }
        changed.sort();
        changed.dedup_by(|left, right| (&left.stack, &left.of, &left.name) == (&right.stack, &right.of, &right.name));
        match changed.is_empty() {
            true => Ok(outputs_now),
            false => Err(ApplyError::ChangedOutputs { outputs: changed, rows: self.stale_reads(plan).await? }),
        }
    }

    /// The rows of the read set that changed: they mostly explain changed outputs.
    async fn stale_reads(&self, plan: &Plan) -> Result<Vec<StaleRead>, ApplyError> {
        let mut needed: BTreeMap<&StackId, BTreeSet<Address>> = BTreeMap::new();
        for read in &plan.reads {
            needed.entry(&read.stack).or_default().insert(read.address.clone());
        }
        let mut now: BTreeMap<(StackId, Address, Option<String>), Generation> = BTreeMap::new();
        for (stack, addresses) in needed {
            let rows = self.store.rows(stack, &Selection::Addresses(addresses)).await?;
            now.extend(rows.into_iter().map(|row| ((row.stack, row.address, row.deposed), row.generation)));
        }
        let moved = plan.reads.iter().filter_map(|read| {
            let name = (read.stack.clone(), read.address.clone(), read.deposed.clone());
            let now = now.get(&name).copied().unwrap_or_default();
            (now != read.generation).then(|| StaleRead { read: read.clone(), now })
        });
        Ok(moved.collect())
    }

    /// The outputs of a component that differ from those in the plan.
    fn changed_outputs(
        &self,
        stack: &StackPlan,
        component: &ComponentPlan,
        before: &Map,
        now: Option<&Recorded>,
    ) -> Vec<OutputRead> {
        let before = match component.part {
            // The plan lists no single outputs of a component that it removes.
            Part::Removed => &component.recorded_outputs,
            Part::Planned | Part::Untouched => before,
        };
        let nothing = Recorded::default();
        if now.is_none() && (before.is_empty() || has_moved(stack, before)) {
            return Vec::new();
        }
        let now = now.unwrap_or(&nothing);
        // Without a key the value of a secret is not recorded, and the plan assumes its planned value.
        let is_known = |value: &Value| !value.has_unknown() && self.seal.can_store(value);
        let names: BTreeSet<&String> = before.keys().chain(now.values.keys()).collect();
        let differs = |name: &&&String| match (before.get(**name), now.values.get(**name)) {
            _ if now.unknown.contains(**name) => false,
            (Some(before), now) if is_known(before) => now.is_none_or(|now| !before.is_same_as(now)),
            (Some(_), _) => false,
            (None, now) => now.is_some(),
        };
        let read = |name: &String| OutputRead {
            stack: stack.stack.clone(),
            of: component.key.clone(),
            name: Some(name.clone()),
            by: component.key.clone(),
        };
        names.iter().filter(differs).map(|name| read(name)).collect()
    }
}

/// Keys of the components that resources of this component move from.
fn former_keys<'p>(stack: &'p StackPlan, component: &'p ComponentPlan) -> impl Iterator<Item = &'p ComponentKey> {
    let own = stack.changes.iter().filter(|change| change.address.component == component.key);
    let former = own.filter_map(|change| change.moved_from.as_ref()).map(|from| &from.component);
    former.filter(|former| **former != component.key)
}

/// True if a removed component has these outputs: the component was only renamed.
fn has_moved(stack: &StackPlan, outputs: &Map) -> bool {
    let is_of = |component: &ComponentPlan| {
        outputs.iter().all(|(name, value)| component.recorded_outputs.get(name).is_some_and(|it| it.is_same_as(value)))
    };
    stack.components.iter().any(|component| component.part == Part::Removed && is_of(component))
}
