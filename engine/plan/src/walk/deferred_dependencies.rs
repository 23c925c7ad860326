//! Dependencies of deferred resources: the recorded objects that their own recorded objects depend on.
//!
//! The plan does not remove such an object before the outcome of the deferred resource is known. It defers a removal too. It
//! refuses a replacement, because other resources of the plan would see it.

use super::Walk;
use crate::key::{ObjectName, compared_key, identity_key};
use crate::loaded::LoadedRow;
use crate::{Change, DeferralReason, DeferredChange, Why, orphans};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, ComponentKey, InstanceKey};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::selector::is_same_block;
use terrace_provider::schema::Timeouts;
use terrace_store::RowStatus;

/// The rows that stay as they are, and their dependencies.
#[derive(Default)]
pub(super) struct DeferredDependencies {
    /// The rows, each with the address of a dependent; `None` for rows of deferred resources.
    rows: BTreeMap<Address, Option<Address>>,
    /// Recorded dependencies of these rows, `[*]` for all instances of a resource, each with the dependent row.
    needed: BTreeMap<Address, Address>,
    /// Components that these rows depend on as a whole.
    components: BTreeMap<ComponentKey, Address>,
}

impl DeferredDependencies {
    /// The row that depends on an object.
    fn dependent_of(&self, address: &Address) -> Option<&Address> {
        let all = Address { key: Some(InstanceKey::All), ..address.clone() };
        let needed = self.needed.get(address).or_else(|| self.needed.get(&all));
        needed.or_else(|| self.components.get(&address.component).filter(|_| !address.is_shared()))
    }

    /// True if the row of an address stays as it is.
    pub(super) fn keeps(&self, address: &Address) -> bool {
        self.rows.contains_key(address)
    }

    /// True if a deposed object stays: one of a deferred resource, or of a dependency.
    pub(super) fn keeps_deposed(&self, address: &Address) -> bool {
        self.keeps(address) || self.dependent_of(address).is_some()
    }
}

impl Walk<'_, '_> {
    /// Finds the rows that stay as they are. Empty if nothing is deferred.
    pub(super) fn find_deferred_dependencies(
        &self,
        positions: &HashMap<&str, usize>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> DeferredDependencies {
        let mut found_rows = DeferredDependencies::default();
        if self.deferrals.is_empty() {
            return found_rows;
        }
        let is_deferred = |address: &&Address| {
            let position = positions.get(address.component.as_str());
            position.is_some_and(|position| self.deferrals.has_resource(*position, &address.name))
        };
        let mut waiting: Vec<Address> = self.loaded.rows.keys().filter(is_deferred).cloned().collect();
        found_rows.rows.extend(waiting.iter().map(|address| (address.clone(), None)));
        while let Some(address) = waiting.pop() {
            let Some(row) = self.loaded.rows.get(&address) else { continue };
            let mut found: Vec<&Address> = Vec::new();
            for needed in &row.opened.prior.dependencies {
                found_rows.needed.entry(needed.clone()).or_insert_with(|| address.clone());
                found.extend(self.rows_of(needed));
            }
            let recorded_in = row.moved_from.as_ref().map_or(&address.component, |from| &from.component);
            for component in self.recorded_order.get(recorded_in).into_iter().flatten() {
                let moved = self.compiled.transitions.moves.component(component);
                let component = moved.unwrap_or_else(|| component.clone());
                if let Entry::Vacant(entry) = found_rows.components.entry(component) {
                    found.extend(self.rows_in(entry.key().clone()));
                    entry.insert(address.clone());
                }
            }
            for needed in found {
                if !found_rows.rows.contains_key(needed) && !self.is_forgotten(needed) {
                    found_rows.rows.insert(needed.clone(), Some(address.clone()));
                    waiting.push(needed.clone());
                }
            }
        }
        self.refuse_replacements(&found_rows, diagnostics);
        self.refuse_names(&found_rows, diagnostics);
        found_rows
    }

    /// The remaining rows of a component.
    fn rows_in(&self, component: ComponentKey) -> impl Iterator<Item = &Address> {
        let first = Address { component: component.clone(), ty: String::new(), name: String::new(), key: None };
        let rows = self.loaded.rows.range(first..).map(|(row, _)| row);
        rows.take_while(move |row| row.component == component)
    }

    /// The remaining rows that an address covers.
    pub(super) fn rows_of<'s>(&'s self, address: &'s Address) -> impl Iterator<Item = &'s Address> {
        let first = match address.key {
            Some(InstanceKey::All) => Address { key: None, ..address.clone() },
            _ => address.clone(),
        };
        let rows = self.loaded.rows.range(first..).map(|(row, _)| row);
        let rows = rows.take_while(move |row| is_same_block(row, address));
        rows.filter(move |row| address.key == Some(InstanceKey::All) || *row == address)
    }

    /// Keeps a row as it is, and defers its removal.
    pub(super) fn defer_removal(
        &mut self,
        deferred: &DeferredDependencies,
        address: &Address,
        row: LoadedRow,
        in_doubt: Option<String>,
    ) {
        self.deferred_rows.push(row.moved_from.clone().unwrap_or_else(|| address.clone()));
        let ty = self.planner.registry.resource_type(&address.ty);
        let holds_data = ty.is_some_and(|(_, ty)| ty.is_holding_data(&row.opened.prior.attributes));
        let is_retained = holds_data && !self.planner.options.remove_data;
        if let Some(Some(by)) = deferred.rows.get(address)
            && !(is_retained && row.opened.prior.status == RowStatus::Retained)
        {
            let action = if is_retained { Action::Retain } else { Action::Delete };
            self.deferrals.changes.push(removal(address, action, by));
        }
        if in_doubt.is_some() {
            // The caller has to learn that the step is open.
            let change = orphans::removal(address, row, Action::NoOp, Reason::NoConfig, Timeouts::default(), in_doubt);
            self.changes.push(Change { why: Why { reason: None, ..change.why }, moved_from: None, ..change });
        }
    }

    /// Keeps a deposed object and defers its removal.
    pub(super) fn defer_deposed_removal(&mut self, deferred: &DeferredDependencies, address: &Address) {
        self.deferred_rows.push(address.clone());
        let is_reported = self.deferrals.changes.iter().any(|change| change.address == *address);
        if let Some(by) = deferred.dependent_of(address).filter(|_| !is_reported) {
            self.deferrals.changes.push(removal(address, Action::Delete, by));
        }
    }

    /// Refuses to replace objects that deferred resources may depend on, because the order of the steps is unknown.
    fn refuse_replacements(&self, deferred: &DeferredDependencies, diagnostics: &mut Vec<Diagnostic>) {
        let is_object = |change: &&Change| {
            let ty = self.planner.registry.resource_type(&change.address.ty);
            change.action.removes_object() && ty.is_none_or(|(_, ty)| !ty.state_only)
        };
        for change in self.changes.iter().chain(self.shared.changes()).filter(is_object) {
            let Some(by) = deferred.dependent_of(&change.address) else { continue };
            let message =
                format!("`{}` would be replaced, and `{by}`, which is deferred, may depend on it", change.address);
            let error = Diagnostic::error("deferred_stands_on", message).hint(format!(
                "to replace only this resource first, run `terrace apply … --target '{}'`",
                change.address
            ));
            diagnostics.push(match &change.basis.place {
                Some(place) => error.at_place(place.clone()),
                None => error,
            });
        }
    }

    /// Refuses to create an object with the name of an object that stays.
    fn refuse_names(&self, deferred: &DeferredDependencies, diagnostics: &mut Vec<Diagnostic>) {
        let left = deferred.rows.keys().filter_map(|address| Some((address, self.loaded.rows.get(address)?)));
        let mut owners = HashMap::new();
        for (address, row) in left.filter(|(_, row)| !row.is_gone && !row.opened.prior.identity.is_empty()) {
            let name = ObjectName {
                ty: address.ty.clone(),
                instance: row.opened.provider.clone(),
                identity: compared_key(self.planner.registry, &address.ty, &row.opened.prior.identity),
            };
            owners.insert(name, address);
        }
        let is_created = |change: &&Change| change.basis.generation == 0 || change.action.is_replace();
        for change in self.changes.iter().filter(is_created) {
            let (Some(after), Some((_, ty))) = (&change.after, self.planner.registry.resource_type(&change.address.ty))
            else {
                continue;
            };
            let Some(identity) = ty.identity_of(&after.attributes) else { continue };
            let name = ObjectName {
                ty: change.address.ty.clone(),
                instance: change.how.provider.clone(),
                identity: identity_key(&ty.compared(&identity)),
            };
            let Some(owner) = owners.get(&name) else { continue };
            let message = format!("`{}` would be the object of `{owner}`, which is deferred", change.address);
            let error = Diagnostic::error("deferred_object", message)
                .hint(format!("exclude it until the deferred resource is planned: `--exclude '{}'`", change.address));
            diagnostics.push(match &change.basis.place {
                Some(place) => error.at_place(place.clone()),
                None => error,
            });
        }
    }
}

/// A deferred removal.
fn removal(address: &Address, action: Action, by: &Address) -> DeferredChange {
    DeferredChange {
        address: address.clone(),
        reason: DeferralReason::DeferredPrereq,
        action,
        waits_for: vec![by.to_string()],
        place: None,
    }
}
