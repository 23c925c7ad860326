//! Validation of targets: reports targets that match no resource, and warns that the plan is partial.

use super::options::Consent;
use super::planner::Planner;
use super::{Change, Plan, StackPlan};
use std::collections::BTreeSet;
use terrace_language::address::{Address, InstanceKey, SHARED, StackId};
use terrace_language::compile::CompiledStack;
use terrace_language::diagnostic::{Diagnostic, did_you_mean, first_of, has_errors};
use terrace_language::selector::{Selector, is_same_block};

const ALL: Option<InstanceKey> = Some(InstanceKey::All);

/// The addresses that targets may name: declared, recorded and planned resources. Collected only if an option names resources.
#[derive(Debug)]
pub(crate) struct TargetNames {
    /// True if an option names resources.
    is_requested: bool,
    /// Declared resources, without instance keys.
    blocks: BTreeSet<(StackId, Address)>,
    /// The declared resources with `forEach`.
    with_instances: BTreeSet<(StackId, Address)>,
    /// Single resources and instances.
    known: BTreeSet<(StackId, Address)>,
    /// The planned stacks.
    stacks: BTreeSet<StackId>,
}

impl TargetNames {
    pub(crate) fn of(planner: &Planner<'_>) -> Self {
        let options = planner.options;
        let is_empty = options.targets.is_empty() && options.excludes.is_empty() && options.replace.is_empty();
        let is_requested = !is_empty || matches!(options.allow_data_loss, Consent::Addresses(_));
        let (blocks, with_instances, known) = Default::default();
        Self { is_requested, blocks, with_instances, known, stacks: BTreeSet::new() }
    }

    pub(crate) fn declare(&mut self, compiled: &CompiledStack) {
        if !self.is_requested {
            return;
        }
        self.stacks.insert(compiled.stack.clone());
        // A resource that moved earlier has no row under its old name, which stays valid.
        for moved in compiled.transitions.moves.iter() {
            if let Selector::Resource(address) = &moved.from.value {
                self.blocks.insert((compiled.stack.clone(), address.clone()));
            }
        }
        for component in &compiled.components {
            for resource in &component.declarations.resources {
                let address = Address {
                    component: component.key.clone(),
                    ty: resource.ty.value.clone(),
                    name: resource.name.value.clone(),
                    key: None,
                };
                if resource.for_each.is_some() {
                    self.with_instances.insert((compiled.stack.clone(), address.clone()));
                }
                self.blocks.insert((compiled.stack.clone(), address));
            }
        }
    }

    pub(crate) fn record<'a>(&mut self, stack: &StackId, addresses: impl Iterator<Item = &'a Address>) {
        if self.is_requested {
            self.known.extend(addresses.map(|address| (stack.clone(), address.clone())));
        }
    }

    fn plan(&mut self, plan: &StackPlan) {
        self.stacks.insert(plan.stack.clone());
        let of = |change: &Change| (change.stack(&plan.stack), change.address.clone());
        self.known.extend(plan.changes.iter().map(of));
    }

    /// Reports targets without a resource, and warns about a partial plan. Skipped after other errors, because then some resources
    /// were not planned.
    pub(crate) fn check(&mut self, planner: &Planner<'_>, plans: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
        if !self.is_requested || has_errors(diagnostics) {
            return;
        }
        plans.iter().for_each(|plan| self.plan(plan));
        let options = planner.options;
        for (stack, target) in &options.targets {
            if !self.declares(stack.as_ref(), target) && !self.has(stack.as_ref(), target) {
                diagnostics.push(self.unknown("--target", stack.as_ref(), &target.to_string()));
            }
        }
        for (stack, exclude) in &options.excludes {
            let is_instance =
                matches!(exclude, Selector::Resource(address) if self.may_be_instance(stack.as_ref(), address));
            if !is_instance && !self.declares(stack.as_ref(), exclude) && !self.has(stack.as_ref(), exclude) {
                diagnostics.push(self.unknown("--exclude", stack.as_ref(), &exclude.to_string()));
            }
        }
        for (stack, address) in &options.replace {
            let is_here = |of: &StackId| stack.as_ref().is_none_or(|stack| stack == of);
            let here = plans.iter().filter(|plan| is_here(&plan.stack)).flat_map(|plan| &plan.deferred);
            let covers =
                |deferred: &Address| deferred == address || (deferred.key == ALL && is_same_block(deferred, address));
            if let Some(deferred) = here.into_iter().find(|deferred| covers(&deferred.address)) {
                let message = format!("`--replace {address}` names a deferred resource ({})", deferred.text());
                diagnostics.push(
                    Diagnostic::error("replace_deferred", message)
                        .hint("apply without `--replace` first, then replace the resource with another apply"),
                );
            } else if self.with_instances.iter().any(|(of, block)| is_here(of) && block == address) {
                let instances = self.known.iter().filter(|(of, known)| is_here(of) && is_same_block(known, address));
                let names: Vec<String> = instances.map(|(_, known)| known.to_string()).collect();
                let hint = match names.is_empty() {
                    true => "it has no instances".to_owned(),
                    false => format!("name instances: {}", first_of(&names)),
                };
                let message = format!("`--replace {address}` names all instances of a resource");
                diagnostics.push(Diagnostic::error("replace_without_key", message).hint(hint));
            } else if !self.known.iter().any(|(of, known)| is_here(of) && known == address) {
                diagnostics.push(self.unknown("--replace", stack.as_ref(), &address.to_string()));
            }
        }
        if let Consent::Addresses(addresses) = &options.allow_data_loss {
            for (stack, address) in addresses {
                diagnostics.extend(self.wrong_consent(stack.as_ref(), address, plans));
            }
        }
        if !(options.targets.is_empty() && options.excludes.is_empty()) {
            diagnostics.push(
                Diagnostic::warning("partial_plan", "the plan is partial: all other resources stay as they are")
                    .hint("plan without `--target` and `--exclude` to see all changes"),
            );
        }
    }

    /// The error for a consent that names no resource, or objects of several stacks: the user may have seen only one of them.
    fn wrong_consent(&self, stack: Option<&StackId>, address: &Address, plans: &[StackPlan]) -> Option<Diagnostic> {
        let is_here = |of: &StackId| stack.is_none_or(|stack| stack == of);
        if !self.known.iter().any(|(of, known)| is_here(of) && known == address) {
            return Some(self.unknown("--allow-data-loss", stack, &address.to_string()));
        }
        let loses = |plan: &&StackPlan| {
            plan.changes.iter().any(|change| change.address == *address && change.data_loss.is_some())
        };
        let stacks: Vec<&StackId> = plans.iter().filter(loses).map(|plan| &plan.stack).collect();
        let [first, _, ..] = stacks.as_slice() else { return None };
        if stack.is_some() || address.is_shared() {
            return None;
        }
        let names: Vec<String> = stacks.iter().map(ToString::to_string).collect();
        let message = format!("`--allow-data-loss={address}` names objects of several stacks: {}", first_of(&names));
        let hint = format!("name the stack: `--allow-data-loss={first}:{address}`");
        Some(Diagnostic::error("ambiguous_consent", message).hint(hint))
    }

    /// True if declared resources match the selector, with or without instances.
    fn declares(&self, stack: Option<&StackId>, selector: &Selector) -> bool {
        self.blocks.iter().any(|(of, block)| stack.is_none_or(|stack| stack == of) && selector.covers(block))
    }

    /// True for an instance of a declared resource without known instances, because an excluded resource is not expanded.
    fn may_be_instance(&self, stack: Option<&StackId>, address: &Address) -> bool {
        let is_block =
            |(of, known): &(StackId, Address)| stack.is_none_or(|stack| stack == of) && is_same_block(address, known);
        self.blocks.iter().any(is_block) && !self.known.iter().any(is_block)
    }

    fn has(&self, stack: Option<&StackId>, selector: &Selector) -> bool {
        let is_covered =
            |(of, known): &(StackId, Address)| stack.is_none_or(|stack| stack == of) && selector.covers(known);
        self.known.iter().any(is_covered)
    }

    fn unknown(&self, option: &str, stack: Option<&StackId>, name: &str) -> Diagnostic {
        let shown = stack.map_or_else(|| name.to_owned(), |stack| format!("{stack}:{name}"));
        if let Some(stack) = stack.filter(|stack| stack.name != SHARED && !self.stacks.contains(stack)) {
            let planned: Vec<String> = self.stacks.iter().map(ToString::to_string).collect();
            let message = format!("`{option} {shown}`: the plan does not cover the stack `{stack}`");
            return Diagnostic::error("unknown_resource", message)
                .hint(format!("the plan covers {}", first_of(&planned)));
        }
        let is_here = |of: &StackId| stack.is_none_or(|stack| stack == of);
        let all = self.known.iter().chain(&self.blocks).filter(|(of, _)| is_here(of));
        let names: BTreeSet<String> = all.map(|(_, address)| address.to_string()).collect();
        let names: Vec<String> = names.into_iter().collect();
        let hint = match names.is_empty() {
            true => "there are no resources".to_owned(),
            false => format!("there are: {}", first_of(&names)),
        };
        Diagnostic::error("unknown_resource", format!("`{option} {shown}` names no resource"))
            .hint(hint)
            .maybe_hint(did_you_mean(name, names.iter().map(String::as_str)))
    }
}

impl Plan {
    /// The name of a change for `--allow-data-loss`; with the stack if the plan has several.
    #[must_use]
    pub fn consent_name(&self, stack: &StackPlan, change: &Change) -> String {
        match self.stacks.len() > 1 && !change.address.is_shared() {
            true => format!("{}:{}", stack.stack, change.address),
            false => change.address.to_string(),
        }
    }
}
