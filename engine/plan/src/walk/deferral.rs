//! Deferral, if it is allowed: defers declarations whose expansion is unknown, and their dependents. The walk visits dependencies
//! first, so the direct prerequisites suffice.

use super::expand::Instance;
use super::{ComponentPart, Walk, block_address};
use crate::{DeferralReason, DeferredChange};
use std::collections::BTreeSet;
use terrace_language::action::Action;
use terrace_language::address::{Address, ComponentKey, InstanceKey};
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::expression::{Reference, ReferenceStep, Template};
use terrace_language::graph::{Block, templates};
use terrace_language::repetition::NoItems;

impl Walk<'_, '_> {
    /// Defers a resource if deferral is allowed and the resource cannot be planned yet.
    pub(super) fn defer(&mut self, block: Block, declaration: &ResourceDeclaration) -> bool {
        let Some(part) = self.parts.get(block.component).filter(|_| self.planner.options.allow_deferral) else {
            return false;
        };
        let Some((reason, waits_for)) = self.waits(part, declaration) else { return false };
        let single = block_address(part, declaration);
        let all = Address { key: Some(InstanceKey::All), ..single.clone() };
        let is_recorded = self.rows_of(&all).next().is_some();
        let action = if is_recorded { Action::Update } else { Action::Create };
        let key = declaration.for_each.as_ref().map(|_| InstanceKey::All);
        self.shared.keep_owner(&self.compiled.stack, &single.component);
        self.deferrals.resources.insert((block.component, single.name.clone()));
        self.add_deferred(Address { key, ..single }, reason, action, waits_for, declaration);
        true
    }

    /// Defers a lookup, as [`Walk::defer`] does.
    pub(super) fn defer_lookup(&mut self, block: Block, declaration: &ResourceDeclaration) -> bool {
        let Some(part) = self.parts.get(block.component).filter(|_| self.planner.options.allow_deferral) else {
            return false;
        };
        let Some((reason, waits_for)) = self.waits(part, declaration) else { return false };
        let name = &declaration.name.value;
        let address = Address::lookup(&part.component.key, &declaration.ty.value, name);
        self.deferrals.lookups.insert((block.component, name.clone()));
        self.add_deferred(address, reason, Action::Read, waits_for, declaration);
        true
    }

    fn add_deferred(
        &mut self,
        address: Address,
        reason: DeferralReason,
        action: Action,
        waits_for: BTreeSet<String>,
        declaration: &ResourceDeclaration,
    ) {
        self.deferrals.components.entry(address.component.clone()).or_insert(false);
        self.deferrals.changes.push(DeferredChange {
            address,
            reason,
            action,
            waits_for: waits_for.into_iter().collect(),
            place: self.planner.sources.place(declaration.name.span),
        });
    }

    /// Marks a component as deferred at its end: as a whole if its dependency is deferred, or if its outputs read deferred values.
    /// Consumers of its outputs have to wait too.
    pub(super) fn defer_component(&mut self, position: usize) {
        let Some(part) = self.parts.get(position).filter(|_| self.has_deferred()) else { return };
        let key = part.component.key.clone();
        if self.deferred_components(part).next().is_some() {
            self.deferrals.components.insert(key, true);
        } else if part.component.declarations.outputs.iter().any(|output| self.reads_deferred(part, &output.value)) {
            self.deferrals.components.entry(key).or_insert(false);
        }
    }

    /// True if the component is deferred as a whole.
    pub(super) fn is_deferred_whole(&self, part: &ComponentPart<'_>) -> bool {
        self.deferrals.components.get(&part.component.key) == Some(&true)
    }

    /// True if the resource of that address is deferred.
    pub(super) fn is_deferred(&self, address: &Address) -> bool {
        let position = || self.parts.iter().position(|part| part.component.key == address.component);
        !self.deferrals.is_empty() && position().is_some_and(|at| self.deferrals.has_resource(at, &address.name))
    }

    /// True if a template reads a deferred value.
    pub(super) fn reads_deferred(&self, part: &ComponentPart<'_>, template: &Template) -> bool {
        self.has_deferred() && template.references().any(|reference| self.deferred(part, reference).is_some())
    }

    pub(super) fn has_deferred(&self) -> bool {
        !self.deferrals.is_empty() || self.other_stacks.has_deferred()
    }

    /// The reason why a declaration cannot be planned yet, with its prerequisites.
    fn waits(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
    ) -> Option<(DeferralReason, BTreeSet<String>)> {
        let first = self.prerequisites(part, declaration);
        match first.is_empty() {
            true => self.undecided(part, declaration),
            false => Some((DeferralReason::DeferredPrereq, first)),
        }
    }

    /// The deferred prerequisites of a declaration.
    fn prerequisites(&self, part: &ComponentPart<'_>, declaration: &ResourceDeclaration) -> BTreeSet<String> {
        if !self.has_deferred() {
            return BTreeSet::new();
        }
        let named = declaration.depends_on.iter().map(|name| &name.value);
        let triggers = declaration.replace_triggered_by.iter().map(|trigger| &trigger.name);
        let resources = named.chain(triggers).filter_map(|name| self.deferred_resource(part, name));
        let read = templates(declaration).flat_map(Template::references);
        let read = read.filter_map(|reference| self.deferred(part, reference));
        resources.chain(read).chain(self.deferred_components(part)).collect()
    }

    /// The dependencies of a component that have deferred changes. The stack's own resources are excluded: they depend on
    /// components only by their references.
    fn deferred_components<'s>(&'s self, part: &'s ComponentPart<'_>) -> impl Iterator<Item = String> + 's {
        let named = part.component.depends_on.iter().filter(|_| !part.component.key.is_stack());
        let keys = named.filter_map(|dependency| dependency.key.as_ref());
        keys.filter(|key| self.deferrals.components.contains_key(*key)).map(|key| format!("{key}/"))
    }

    /// The deferred target of a reference, in words.
    fn deferred(&self, part: &ComponentPart<'_>, reference: &Reference) -> Option<String> {
        let name = match reference.steps.first() {
            Some(ReferenceStep::Key(name)) => name,
            _ => return None,
        };
        match reference.root.as_str() {
            "resources" => self.deferred_resource(part, name),
            "data" => {
                let at = self.position(part)?;
                let is_deferred = self.deferrals.lookups.contains(&(at, name.clone()));
                is_deferred.then(|| target_name(part, reference)).flatten()
            }
            "components" => {
                let key = key_of(part, name);
                self.deferrals.components.contains_key(key).then(|| format!("{key}/"))
            }
            "stacks" => self.other_stacks.deferred(&reference.steps),
            _ => None,
        }
    }

    fn deferred_resource(&self, part: &ComponentPart<'_>, name: &str) -> Option<String> {
        let is_deferred = self.deferrals.has_resource(self.position(part)?, name);
        is_deferred.then(|| resource(part, name)).flatten()
    }

    fn position(&self, part: &ComponentPart<'_>) -> Option<usize> {
        self.parts.iter().position(|other| other.component.key == part.component.key)
    }

    /// The unknown values that determine the instances and their provider. Faults are reported when the declaration is planned.
    fn undecided(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
    ) -> Option<(DeferralReason, BTreeSet<String>)> {
        let deciding = [&declaration.for_each, &declaration.when, &declaration.provider, &declaration.shared];
        if deciding.into_iter().flatten().all(Template::is_literal) && declaration.key.is_none() {
            return None;
        }
        let instances = match &declaration.for_each {
            None => vec![Instance { key: None, each: None }],
            Some(template) => match self.items(part, declaration, template) {
                Ok(items) => items,
                Err(NoItems::Unknown(_)) => {
                    let read = [Some(template), declaration.key.as_ref()];
                    return Some((DeferralReason::InstanceCountUnknown, self.read(part, read)));
                }
                Err(NoItems::Invalid(_)) => return None,
            },
        };
        let single = block_address(part, declaration);
        let covered =
            |instance: &&Instance| self.targeting.covers(&Address { key: instance.key.clone(), ..single.clone() });
        for instance in instances.iter().filter(covered) {
            let scope = self.scope(part, instance.each.as_ref());
            let value = |template: &Template| template.evaluate(&scope, self.planner.functions).ok();
            let unknown = |template: &&Template| value(template).is_some_and(|value| value.is_unknown());
            // A sensitive `when` is an error, reported later.
            let sensitive = |template: &&Template| value(template).is_some_and(|value| value.has_sensitive());
            if declaration.when.as_ref().is_some_and(|when| sensitive(&when)) {
                return None;
            }
            if let Some(template) = declaration.when.as_ref().filter(unknown) {
                return Some((DeferralReason::InstanceCountUnknown, self.read(part, [Some(template), None])));
            }
            if declaration.when.as_ref().and_then(value).and_then(|value| value.as_bool()) == Some(false) {
                continue;
            }
            if let Some(template) = declaration.provider.as_ref().filter(unknown) {
                return Some((DeferralReason::ProviderConfigUnknown, self.read(part, [Some(template), None])));
            }
            if let Some(template) = declaration.shared.as_ref().filter(unknown) {
                return Some((DeferralReason::ResourceConfigUnknown, self.read(part, [Some(template), None])));
            }
        }
        None
    }

    /// The targets of the templates' references that an apply determines; excludes variables.
    fn read(&self, part: &ComponentPart<'_>, templates: [Option<&Template>; 2]) -> BTreeSet<String> {
        let references = templates.into_iter().flatten().flat_map(Template::references);
        references.filter_map(|reference| target_name(part, reference)).collect()
    }
}

/// The target of a reference, in words.
fn target_name(part: &ComponentPart<'_>, reference: &Reference) -> Option<String> {
    let Some(ReferenceStep::Key(name)) = reference.steps.first() else { return None };
    match reference.root.as_str() {
        "resources" => resource(part, name),
        "data" => {
            let mut lookups = part.component.declarations.data.iter();
            let lookup = lookups.find(|lookup| lookup.name.value == *name)?;
            Some(Address::lookup(&part.component.key, &lookup.ty.value, name).to_string())
        }
        "components" => Some(format!("{}/", key_of(part, name))),
        "stacks" => Some(format!("stack {name}")),
        _ => None,
    }
}

/// The key of a component that a reference names by its key or its URN.
fn key_of<'p>(part: &'p ComponentPart<'_>, name: &'p str) -> &'p str {
    part.facts.urns.get(name).map_or(name, ComponentKey::as_str)
}

fn resource(part: &ComponentPart<'_>, name: &str) -> Option<String> {
    let declaration = part.component.declarations.resources.get(*part.names.get(name)?)?;
    Some(block_address(part, declaration).to_string())
}
