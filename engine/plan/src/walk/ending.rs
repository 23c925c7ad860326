//! Ends components, whose outputs are then known, and the stack, whose remaining rows are undeclared.

use super::{ComponentPart, Walk, Walked, block_address};
use crate::failure::PlanFailure;
use crate::loaded::{DeposedRow, LoadedRow};
use crate::{SharedName, moved, orphans, outputs};
use std::collections::{BTreeMap, HashMap};
use terrace_language::action::Reason;
use terrace_language::address::{Address, InstanceKey};
use terrace_language::descriptor::OutputDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::expression::{ReferenceStep, Template};
use terrace_language::scope::BlockValue;
use terrace_provider::Value;

impl Walk<'_, '_> {
    /// Evaluates the outputs of a component after all its resources.
    pub(super) fn end(&mut self, position: usize, diagnostics: &mut Vec<Diagnostic>) {
        if !self.parts.get(position).is_some_and(|part| part.is_chosen) {
            return;
        }
        self.defer_component(position);
        let Some(part) = self.parts.get(position) else { return };
        let scope = self.scope(part, None);
        let kept = self.kept_outputs(part);
        let is_faulty = |output: usize| self.faults.outputs.contains(&(position, output));
        let planned = outputs::evaluate(self.planner, part.component, &is_faulty, &scope, &kept, diagnostics);
        let values = planned.iter().map(|output| (output.name.clone(), output.value.clone())).collect();
        let checks = self.stack_checks(part, diagnostics);
        self.component_outputs.insert(part.component.key.clone(), values);
        self.outputs.extend(planned);
        self.checks.extend(checks);
    }

    /// The recorded values of outputs that read unplanned values. In a plan of access only, the outputs that do not read access.
    fn kept_outputs(&self, part: &ComponentPart<'_>) -> HashMap<String, Option<Value>> {
        if self.targeting.is_whole() && !self.has_deferred() {
            return HashMap::new();
        }
        let is_about_access = self.planner.options.access.is_some();
        let stays = |output: &&OutputDeclaration| {
            self.reads_unplanned(part, &output.value) || is_about_access && !reads_access(&output.value)
        };
        let recorded = self.recorded_outputs.get(&part.component.key);
        let recorded = |name: &str| recorded.and_then(|outputs| outputs.get(name)).cloned();
        let outputs = part.component.declarations.outputs.iter().filter(stays);
        outputs.map(|output| (output.name.value.clone(), recorded(&output.name.value))).collect()
    }

    /// True if a template reads values that the plan does not compute: excluded resources, skipped lookups, or deferred values.
    pub(super) fn reads_unplanned(&self, part: &ComponentPart<'_>, template: &Template) -> bool {
        let declarations = &part.component.declarations;
        if self.is_deferred_whole(part) || self.reads_deferred(part, template) {
            return true;
        }
        !self.targeting.is_whole()
            && template.references().any(|reference| match (reference.root.as_str(), reference.steps.first()) {
                ("resources", Some(ReferenceStep::Key(name))) => {
                    let declaration = part.names.get(name.as_str()).and_then(|at| declarations.resources.get(*at));
                    let address = declaration.map(|declaration| block_address(part, declaration));
                    address.is_none_or(|address| !self.targeting.has_whole_block(&address))
                }
                ("data", Some(ReferenceStep::Key(name))) => !self.is_read(part, name),
                ("resources" | "data", _) => true,
                _ => false,
            })
    }

    /// Plans the remaining rows, which are undeclared.
    pub(crate) async fn finish(mut self, diagnostics: &mut Vec<Diagnostic>) -> Result<Walked, PlanFailure> {
        let stack = &self.compiled.stack;
        let positions: HashMap<&str, usize> =
            self.compiled.components.iter().enumerate().map(|(at, component)| (component.key.as_str(), at)).collect();
        let deferred_dependencies = self.find_deferred_dependencies(&positions, diagnostics);
        for (address, row) in std::mem::take(&mut self.loaded.rows) {
            let part = positions.get(address.component.as_str()).and_then(|position| self.parts.get(*position));
            if part.is_some_and(|part| part.failed.contains(&address.name)) {
                continue;
            }
            if deferred_dependencies.keeps(&address) {
                let in_doubt = self.loaded.in_doubt.remove(&address);
                self.defer_removal(&deferred_dependencies, &address, row, in_doubt);
                continue;
            }
            let reason = match self.skipped.contains(&address) {
                true => Reason::WhenFalse,
                false => orphan_reason(part, &address, &row),
            };
            let in_doubt = self.loaded.in_doubt.remove(&address);
            if self.is_forgotten(&address) {
                self.changes.push(self.forgotten(&address, row, in_doubt));
                continue;
            }
            let change = orphans::remove(self.planner, stack, &address, row, reason, in_doubt, diagnostics)?;
            self.changes.extend(change);
        }
        let (left, deposed): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.loaded.deposed)
            .into_iter()
            .partition(|((address, _), _)| deferred_dependencies.keeps_deposed(address));
        left.keys().for_each(|(address, _)| self.defer_deposed_removal(&deferred_dependencies, address));
        let (forgotten, deposed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            deposed.into_iter().partition(|((address, _), _)| self.is_forgotten(address));
        for ((address, _), DeposedRow { row, in_doubt }) in forgotten {
            self.changes.push(self.forgotten(&address, row, in_doubt));
        }
        self.changes.extend(orphans::remove_deposed(self.planner, stack, deposed, diagnostics).await);
        self.changes.extend(self.loaded.take_attempts());
        self.check_imports(diagnostics);
        moved::follow(&mut self.changes);
        let mut reads = std::mem::take(&mut self.loaded.reads);
        reads.append(&mut self.absent_reads);
        let granted_shares = self.planner.options.access.is_some().then(|| self.granted_shares());
        let lookups = self.parts.iter_mut().flat_map(ComponentPart::take_lookups).collect();
        let shared = self.parts.into_iter().map(|part| (part.component.key.clone(), part.shared_names())).collect();
        let mut deferred = self.deferrals.changes;
        deferred.sort_by(|left, right| left.address.cmp(&right.address));
        Ok(Walked {
            changes: self.changes,
            shared,
            outputs: self.outputs,
            checks: self.checks,
            lookups,
            reads,
            grant_targets: self.grant_targets,
            granted_shares,
            deferred,
            deferring: self.deferrals.components,
            deferred_rows: self.deferred_rows,
            passed_over: self.passed_over,
        })
    }
}

/// True if a template reads the access list or resources; in a plan of access only, these resources are the grants.
fn reads_access(template: &Template) -> bool {
    template.references().any(|reference| matches!(reference.root.as_str(), "acl" | "resources"))
}

impl ComponentPart<'_> {
    fn shared_names(self) -> Vec<SharedName> {
        let named = |(name, addresses): (String, BTreeMap<Option<InstanceKey>, Address>)| {
            addresses.into_iter().map(move |(key, address)| SharedName { name: name.clone(), key, address })
        };
        let mut names: Vec<SharedName> = self.shared.into_iter().flat_map(named).collect();
        names.sort_by(|left, right| (&left.name, &left.key).cmp(&(&right.name, &right.key)));
        names
    }
}

fn orphan_reason(part: Option<&ComponentPart<'_>>, address: &Address, row: &LoadedRow) -> Reason {
    if row.moved_from.is_some() {
        return Reason::NoMoveTarget;
    }
    // A stack's own resources belong to no component.
    let Some(part) = part else {
        return if address.component.is_stack() { Reason::NoConfig } else { Reason::NoComponent };
    };
    match (part.values.get(&address.name), &address.key) {
        (Some(BlockValue::Instances(_)), Some(_)) => Reason::NoKey,
        (Some(BlockValue::Instances(_)), None) | (Some(BlockValue::Single(_)), Some(_)) => Reason::WrongRepetition,
        _ => Reason::NoConfig,
    }
}
