//! Locations for people. For a resource that a blueprint declares, the location is its component in the descriptor, because users
//! may not have the blueprint's file. For any other resource it is the declaration.

use super::lookup_dependencies::LookupRequest;
use super::{Plan, StackPlan};
use terrace_language::address::{Address, StackId};
use terrace_language::compile::blueprint_origin::{READ_HERE, WRITTEN_HERE};
use terrace_language::diagnostic::{Diagnostic, Label, Location};
use terrace_language::source::{Place, Sources, Span};

impl Plan {
    /// The location of a resource or a lookup.
    #[must_use]
    pub fn place_of(&self, stack: &StackId, address: &Address) -> Option<&Place> {
        let owned = || self.stacks.iter().flat_map(|plan| &plan.owners).map(|owner| &owner.ownership);
        let (stack, component) = match address.is_shared() {
            true => owned().find(|owned| owned.address == *address).map(|owned| (&owned.stack, &owned.component))?,
            false => (stack, &address.component),
        };
        let plan = self.stacks.iter().find(|plan| plan.stack == *stack)?;
        plan.component_place(component).or_else(|| plan.declared_at(address))
    }
}

impl StackPlan {
    /// The component in the descriptor, if a blueprint declares its resources.
    fn component_place(&self, key: &str) -> Option<&Place> {
        let component = self.components.iter().find(|component| component.key == *key && component.blueprint.is_some());
        component.and_then(|component| component.place.as_ref())
    }

    /// The declaration of a resource or a lookup, in a blueprint or a descriptor.
    fn declared_at(&self, address: &Address) -> Option<&Place> {
        let change = || self.changes.iter().find(|change| change.address == *address)?.basis.place.as_ref();
        let lookup = || self.lookups.iter().find(|lookup| lookup.address == *address)?.place.as_ref();
        change().or_else(lookup)
    }

    /// Adds the locations of a resource to a diagnostic: its component in a descriptor, and its declaration in a blueprint.
    pub(super) fn at_places(&self, diagnostic: Diagnostic, address: &Address) -> Diagnostic {
        let of_shared = || self.owners.iter().find(|owner| owner.ownership.address == *address);
        let component = match address.is_shared() {
            true => of_shared().map(|owner| owner.ownership.component.as_str()),
            false => Some(address.component.as_str()),
        };
        let places = [component.and_then(|key| self.component_place(key)), self.declared_at(address)];
        places.into_iter().flatten().fold(diagnostic, |diagnostic, place| diagnostic.at_place(place.clone()))
    }
}

impl LookupRequest {
    /// Adds the locations of the lookup: its declaration, and its component if the declaration is in a blueprint.
    pub(super) fn at_places(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        diagnostic.labels.extend(self.places.iter().cloned());
        diagnostic
    }
}

/// The locations of a component's declaration at `at`, the most relevant first; `own` is the component in the descriptor. Users
/// have no file of a built-in blueprint. In a user's own blueprint the error may be in either file.
pub(super) fn places(at: Span, own: Span, sources: &Sources) -> Vec<Label> {
    let label = |at: Span, text: &str| Label { at: Location::Span(at), text: text.to_owned() };
    match (at.source == own.source, sources.is_built_in(at.source)) {
        (true, _) => vec![label(at, "")],
        (false, true) => vec![label(own, ""), label(at, READ_HERE)],
        (false, false) => vec![label(at, ""), label(own, WRITTEN_HERE)],
    }
}
