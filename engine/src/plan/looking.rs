//! Lookups of objects that other stacks of the same run make: who looks is planned after who makes, and begins after it.
//!
//! Which object that is turns out while planning. Where a stack that was planned later makes what was looked at, all are
//! planned again in another order.

use super::key::identity_key;
use super::others::{StackNeed, StackOrder};
use super::shared::SharedRows;
use super::{Change, Part, StackPlan};
use crate::action::Action;
use crate::address::{Address, StackId};
use crate::compile::{CompiledComponent, CompiledStack};
use crate::diagnostic::Diagnostic;
use crate::registry::Registry;
use crate::source::Span;
use crate::store::StackRead;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use terrace_provider::{Attributes, Lookup};

/// What names an object: its type, its provider instance, its identity.
pub(super) type ObjectKey = (String, String, String);

/// The objects of one run, and what is looked at.
#[derive(Default)]
pub(crate) struct Looking {
    /// Several stacks are planned, and one of them looks something up.
    is_needed: bool,
    /// The objects of the stacks that are planned already.
    objects: HashMap<ObjectKey, MadeObject>,
    asked: Vec<Asked>,
    /// What the stack that is being planned waits for.
    needs: Vec<StackNeed>,
}

/// An object of a stack of the run.
struct MadeObject {
    stack: StackId,
    address: Address,
    attributes: Attributes,
    /// The plan makes it, or makes it another one.
    is_changed: bool,
}

/// A question whose answer is no object of the stack that asks.
pub(super) struct Asked {
    pub(super) stack: StackId,
    pub(super) component: String,
    /// The objects that it may look at.
    pub(super) keys: Vec<ObjectKey>,
    pub(super) span: Span,
    /// Where it is told that there is no answer.
    pub(super) failed: Option<usize>,
}

/// The objects that a lookup may look at, as far as its arguments name them.
pub(super) fn asked_keys(
    registry: &Registry,
    schema: &Lookup,
    instance: &str,
    arguments: &Attributes,
) -> Vec<ObjectKey> {
    let key = |name: &&'static str| {
        let (_, ty) = registry.resource_type(name)?;
        let identity = ty.identity_of(arguments).filter(|identity| !identity.is_empty())?;
        Some(((*name).to_owned(), instance.to_owned(), identity_key(&identity)))
    };
    schema.objects.iter().filter_map(key).collect()
}

/// What names the object that is there after a change.
pub(super) fn object_key(registry: &Registry, change: &Change) -> Option<ObjectKey> {
    let (_, ty) = registry.resource_type(&change.address.ty)?;
    let identity = ty.identity_of(&change.after.as_ref()?.attributes).filter(|identity| !identity.is_empty())?;
    Some((change.address.ty.clone(), change.provider.clone(), identity_key(&identity)))
}

impl Looking {
    pub(super) fn of(stacks: &[CompiledStack]) -> Self {
        let mut components = stacks.iter().flat_map(|stack| &stack.components);
        let is_needed = stacks.len() > 1 && components.any(looks_up);
        Self { is_needed, ..Self::default() }
    }

    /// Adds what a stack makes and keeps.
    pub(super) fn add(&mut self, registry: &Registry, plan: &StackPlan) {
        self.add_changes(registry, plan.changes.iter().map(|change| (&plan.stack, change)));
    }

    fn add_changes<'c>(&mut self, registry: &Registry, changes: impl Iterator<Item = (&'c StackId, &'c Change)>) {
        if !self.is_needed {
            return;
        }
        for (stack, change) in changes {
            let is_there = change.action.leaves_object() && change.deposed.is_none() && change.in_doubt.is_none();
            let Some(after) = change.after.as_ref().filter(|_| is_there) else { continue };
            let Some(key) = object_key(registry, change) else { continue };
            let made = MadeObject {
                stack: stack.clone(),
                address: change.address.clone(),
                attributes: after.attributes.clone(),
                is_changed: change.action != Action::NoOp,
            };
            self.objects.insert(key, made);
        }
    }

    fn made(&self, keys: &[ObjectKey]) -> Option<&MadeObject> {
        keys.iter().find_map(|key| self.objects.get(key)).filter(|made| made.is_changed)
    }

    /// The object that a component looks at, as planned, when a stack that was planned before makes it. The component
    /// begins after what makes it.
    pub(super) fn take_from_plan(&mut self, component: &str, keys: &[ObjectKey]) -> Option<Attributes> {
        let made = self.made(keys)?;
        let (stack, of) = (made.stack.clone(), made.address.component.clone());
        let attributes = made.attributes.clone();
        self.needs.push(StackNeed { component: component.to_owned(), stack, of });
        Some(attributes)
    }

    /// What the stack that was planned last waits for besides.
    pub(super) fn take_needs(&mut self) -> Vec<StackNeed> {
        std::mem::take(&mut self.needs)
    }

    /// Remembers a question.
    pub(super) fn ask(&mut self, asked: Option<Asked>) {
        self.asked.extend(asked.filter(|asked| self.is_needed && !asked.keys.is_empty()));
    }

    /// Finds the lookups of what stacks make that were planned later, and lets those be planned first. True when that
    /// is another order; where there is none, it is told which stack is to be applied first.
    pub(super) fn reorder(
        &mut self,
        registry: &Registry,
        shared: &SharedRows,
        planned: &[&StackId],
        order: &mut StackOrder<'_>,
        diagnostics: &mut [Diagnostic],
    ) -> bool {
        self.add_changes(registry, shared.planned_changes());
        // Stacks that read each other have no order, which is told already.
        if order.is_loop() {
            return false;
        }
        let position: HashMap<&StackId, usize> = planned.iter().enumerate().map(|(at, stack)| (*stack, at)).collect();
        let mut is_another = false;
        for asked in &self.asked {
            let Some(made) = self.made(&asked.keys) else { continue };
            if position.get(&made.stack) <= position.get(&asked.stack) {
                continue;
            }
            if order.add(&made.stack, &asked.stack, asked.span) {
                is_another = true;
            } else if let Some(told) = asked.failed.and_then(|at| diagnostics.get_mut(at)) {
                let (maker, address, looker) = (&made.stack, &made.address, &asked.stack);
                told.hint = Some(format!(
                    "{maker}:{address} makes it, and {maker} is planned after {looker}, which it reads: apply what makes \
                     it first, or let one of the two read nothing of the other"
                ));
            }
        }
        is_another
    }

    /// Records with components whose objects they look at: those go after them. What is not in the plan stays recorded
    /// as long as anything is looked up.
    pub(super) fn record_reads(&self, stacks: &[CompiledStack], is_partial: bool, plans: &mut [StackPlan]) {
        let run: BTreeSet<&StackId> = stacks.iter().map(|stack| &stack.stack).collect();
        let mut found: BTreeMap<(&StackId, &str), BTreeSet<StackRead>> = BTreeMap::new();
        for asked in &self.asked {
            for made in asked.keys.iter().filter_map(|key| self.objects.get(key)) {
                if made.stack != asked.stack && !made.address.is_shared() {
                    let read = StackRead { stack: made.stack.clone(), component: made.address.component.clone() };
                    found.entry((&asked.stack, &asked.component)).or_default().insert(read);
                }
            }
        }
        for (compiled, plan) in stacks.iter().zip(plans) {
            let looking = compiled.components.iter().filter(|it| looks_up(it)).map(|component| component.key.as_str());
            let looking: BTreeSet<&str> = looking.collect();
            let is_looking = |key: &str| looking.contains(key);
            for component in plan.components.iter_mut().filter(|it| it.part == Part::Planned && is_looking(&it.key)) {
                let recorded = component.recorded_reads.iter().filter(|it| is_partial || !run.contains(&it.stack));
                let mut reads: BTreeSet<StackRead> = recorded.cloned().collect();
                reads.extend(found.remove(&(&compiled.stack, component.key.as_str())).unwrap_or_default());
                reads.extend(std::mem::take(&mut component.reads));
                component.reads = reads.into_iter().collect();
            }
        }
    }
}

fn looks_up(component: &CompiledComponent) -> bool {
    !component.declarations.data.is_empty()
}
