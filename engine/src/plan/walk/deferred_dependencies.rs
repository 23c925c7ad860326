//! Dependencies of deferred resources: the recorded objects that their own recorded objects depend on.
//!
//! The plan does not remove such an object before the outcome of the deferred resource is known. It defers a removal too, and
//! refuses a replacement, because other resources of the plan would see it.

use super::Walk;
use crate::action::{Action, Reason};
use crate::address::{Address, InstanceKey};
use crate::diagnostic::Diagnostic;
use crate::plan::key::{compared_key, identity_key};
use crate::plan::refresh::LoadedRow;
use crate::plan::{Change, DeferralReason, DeferredChange, orphans};
use crate::selector::is_same_block;
use crate::store::RowStatus;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use terrace_provider::schema::Timeouts;

/// The rows that are left as they are, and what they stand on.
#[derive(Default)]
pub(super) struct DeferredDependencies {
    /// The rows, with the one that stands on them; none for those of deferred resources themselves.
    rows: BTreeMap<Address, Option<Address>>,
    /// Whatever any of them was made after, `[*]` for all instances of a resource, with the one that was.
    needed: BTreeMap<Address, Address>,
    /// Components all of which any of them was made after.
    components: BTreeMap<String, Address>,
}

impl DeferredDependencies {
    /// Who stands on an object.
    fn on(&self, address: &Address) -> Option<&Address> {
        let all = Address { key: Some(InstanceKey::All), ..address.clone() };
        let needed = self.needed.get(address).or_else(|| self.needed.get(&all));
        needed.or_else(|| self.components.get(&address.component).filter(|_| !address.is_shared()))
    }

    /// True when the row of an address is left as it is.
    pub(super) fn keeps(&self, address: &Address) -> bool {
        self.rows.contains_key(address)
    }

    /// True when an object that was replaced is left where it is: of a deferred resource, or of what one stands on.
    pub(super) fn keeps_deposed(&self, address: &Address) -> bool {
        self.keeps(address) || self.on(address).is_some()
    }
}

impl Walk<'_, '_> {
    /// Finds the rows that are left as they are. Nothing is looked at where nothing is deferred.
    pub(super) fn standing(
        &self,
        positions: &HashMap<&str, usize>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> DeferredDependencies {
        let mut standing = DeferredDependencies::default();
        if self.deferrals.is_empty() {
            return standing;
        }
        let is_deferred = |address: &&Address| {
            let position = positions.get(address.component.as_str());
            position.is_some_and(|position| self.deferrals.has_resource(*position, &address.name))
        };
        let mut waiting: Vec<Address> = self.loaded.rows.keys().filter(is_deferred).cloned().collect();
        standing.rows.extend(waiting.iter().map(|address| (address.clone(), None)));
        while let Some(address) = waiting.pop() {
            let Some(row) = self.loaded.rows.get(&address) else { continue };
            let mut found: Vec<&Address> = Vec::new();
            for needed in &row.opened.prior.dependencies {
                standing.needed.entry(needed.clone()).or_insert_with(|| address.clone());
                found.extend(self.rows_of(needed));
            }
            let recorded_in = row.moved_from.as_ref().map_or(&address.component, |from| &from.component);
            for component in self.recorded_order.get(recorded_in).into_iter().flatten() {
                let moved = self.compiled.transitions.moves.component(component);
                let component = moved.unwrap_or_else(|| component.clone());
                if let Entry::Vacant(entry) = standing.components.entry(component) {
                    found.extend(self.rows_in(entry.key().clone()));
                    entry.insert(address.clone());
                }
            }
            for needed in found {
                if !standing.rows.contains_key(needed) && !self.is_forgotten(needed) {
                    standing.rows.insert(needed.clone(), Some(address.clone()));
                    waiting.push(needed.clone());
                }
            }
        }
        self.refuse_replacements(&standing, diagnostics);
        self.refuse_names(&standing, diagnostics);
        standing
    }

    /// The rows left of a component.
    fn rows_in(&self, component: String) -> impl Iterator<Item = &Address> {
        let first = Address { component: component.clone(), ty: String::new(), name: String::new(), key: None };
        let rows = self.loaded.rows.range(first..).map(|(row, _)| row);
        rows.take_while(move |row| row.component == component)
    }

    /// The rows left that an address stands for.
    pub(super) fn rows_of<'s>(&'s self, address: &'s Address) -> impl Iterator<Item = &'s Address> {
        let first = match address.key {
            Some(InstanceKey::All) => Address { key: None, ..address.clone() },
            _ => address.clone(),
        };
        let rows = self.loaded.rows.range(first..).map(|(row, _)| row);
        let rows = rows.take_while(move |row| is_same_block(row, address));
        rows.filter(move |row| address.key == Some(InstanceKey::All) || *row == address)
    }

    /// What becomes of a row that is left as it is: nothing, but that is told.
    pub(super) fn leave(
        &mut self,
        standing: &DeferredDependencies,
        address: &Address,
        row: LoadedRow,
        doubt: Option<String>,
    ) {
        self.left.push(row.moved_from.clone().unwrap_or_else(|| address.clone()));
        let holds_data = self.planner.registry.resource_type(&address.ty).is_some_and(|(_, ty)| ty.holds_data);
        let is_retained = holds_data && !self.planner.options.remove_data;
        if let Some(Some(by)) = standing.rows.get(address)
            && !(is_retained && row.opened.prior.status == RowStatus::Retained)
        {
            let action = if is_retained { Action::Retain } else { Action::Delete };
            self.deferrals.changes.push(removal(address, action, by));
        }
        if doubt.is_some() {
            // Whoever applies the plan has to know that the step is open.
            let change = orphans::removal(address, row, Action::NoOp, Reason::NoConfig, Timeouts::default(), doubt);
            self.changes.push(Change { reason: None, moved_from: None, ..change });
        }
    }

    /// Tells of an object that was replaced and stays where it is.
    pub(super) fn leave_deposed(&mut self, standing: &DeferredDependencies, address: &Address) {
        self.left.push(address.clone());
        let is_told = self.deferrals.changes.iter().any(|change| change.address == *address);
        if let Some(by) = standing.on(address).filter(|_| !is_told) {
            self.deferrals.changes.push(removal(address, Action::Delete, by));
        }
    }

    /// Refuses to replace what deferred objects stand on: which of them go before it is not known yet.
    fn refuse_replacements(&self, standing: &DeferredDependencies, diagnostics: &mut Vec<Diagnostic>) {
        let is_object = |change: &&Change| {
            let ty = self.planner.registry.resource_type(&change.address.ty);
            change.action.removes_object() && ty.is_none_or(|(_, ty)| !ty.state_only)
        };
        for change in self.changes.iter().chain(self.shared.changes()).filter(is_object) {
            let Some(by) = standing.on(&change.address) else { continue };
            let message =
                format!("`{}` would be replaced, and `{by}`, which is deferred, may stand on it", change.address);
            let error = Diagnostic::error("deferred_stands_on", message).hint(format!(
                "to replace it first, and leave the rest as it is: `terrace apply … --target '{}'`",
                change.address
            ));
            diagnostics.push(match &change.place {
                Some(place) => error.at_place(place.clone()),
                None => error,
            });
        }
    }

    /// Refuses to make what has the name of an object that is left as it is.
    fn refuse_names(&self, standing: &DeferredDependencies, diagnostics: &mut Vec<Diagnostic>) {
        let left = standing.rows.keys().filter_map(|address| Some((address, self.loaded.rows.get(address)?)));
        let mut owners = HashMap::new();
        for (address, row) in left.filter(|(_, row)| !row.is_gone && !row.opened.prior.identity.is_empty()) {
            let name = (
                row.opened.provider.as_str(),
                address.ty.as_str(),
                compared_key(self.planner.registry, &address.ty, &row.opened.prior.identity),
            );
            owners.insert(name, address);
        }
        let is_made = |change: &&Change| change.generation == 0 || change.action.is_replace();
        for change in self.changes.iter().filter(is_made) {
            let (Some(after), Some((_, ty))) = (&change.after, self.planner.registry.resource_type(&change.address.ty))
            else {
                continue;
            };
            let Some(identity) = ty.identity_of(&after.attributes) else { continue };
            let name = (change.provider.as_str(), change.address.ty.as_str(), identity_key(&ty.compared(&identity)));
            let Some(owner) = owners.get(&name) else { continue };
            let message = format!("`{}` would be the object of `{owner}`, which is deferred", change.address);
            let error = Diagnostic::error("deferred_object", message)
                .hint(format!("leave it out until that one is planned: `--exclude '{}'`", change.address));
            diagnostics.push(match &change.place {
                Some(place) => error.at_place(place.clone()),
                None => error,
            });
        }
    }
}

/// A removal that waits.
fn removal(address: &Address, action: Action, by: &Address) -> DeferredChange {
    DeferredChange {
        address: address.clone(),
        reason: DeferralReason::DeferredPrereq,
        action,
        waits_for: vec![by.to_string()],
        place: None,
    }
}
