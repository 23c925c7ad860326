//! Where a person wrote what is in a plan: the component in a descriptor where a blueprint makes the rest of it, which need
//! not be a file of anybody's, else the declaration itself.

use super::lookup_dependencies::LookupRequest;
use super::{Plan, StackPlan};
use crate::address::{Address, StackId};
use crate::compile::blueprint_origin::{READ_HERE, WRITTEN_HERE};
use crate::diagnostic::{Diagnostic, Label, Location};
use crate::source::{Place, Sources, Span};

impl Plan {
    /// Where a person wrote what became of a resource or of a lookup.
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
    /// Where the descriptor describes a component of which a blueprint makes resources.
    fn component_place(&self, key: &str) -> Option<&Place> {
        let component = self.components.iter().find(|it| it.key == *key && it.blueprint.is_some());
        component.and_then(|component| component.place.as_ref())
    }

    /// Where a resource or a lookup is declared, be it in a blueprint.
    fn declared_at(&self, address: &Address) -> Option<&Place> {
        let change = || self.changes.iter().find(|change| change.address == *address)?.place.as_ref();
        let lookup = || self.lookups.iter().find(|lookup| lookup.address == *address)?.place.as_ref();
        change().or_else(lookup)
    }

    /// Adds the places of a resource: that of its component in a descriptor, and where a blueprint declares it.
    pub(super) fn tell(&self, diagnostic: Diagnostic, address: &Address) -> Diagnostic {
        let of_shared = || self.owners.iter().find(|owner| owner.ownership.address == *address);
        let component = match address.is_shared() {
            true => of_shared().map(|owner| owner.ownership.component.as_str()),
            false => Some(address.component.as_str()),
        };
        let places = [component.and_then(|key| self.component_place(key)), self.declared_at(address)];
        places.into_iter().flatten().fold(diagnostic, |told, place| told.at_place(place.clone()))
    }
}

impl LookupRequest {
    /// Adds the places of the lookup: where it is declared, and its component in a descriptor where that is a blueprint.
    pub(super) fn tell(&self, mut diagnostic: Diagnostic) -> Diagnostic {
        diagnostic.labels.extend(self.places.iter().cloned());
        diagnostic
    }
}

/// The places of what a component's declarations say at `at`, the nearest to whom it is told first; `own` is the place in the
/// descriptor. Of a built-in blueprint nobody has a file; in one of the user's either may be the mistake.
pub(super) fn places(at: Span, own: Span, sources: &Sources) -> Vec<Label> {
    let label = |at: Span, text: &str| Label { at: Location::Span(at), text: text.to_owned() };
    match (at.source == own.source, sources.is_built_in(at.source)) {
        (true, _) => vec![label(at, "")],
        (false, true) => vec![label(own, ""), label(at, READ_HERE)],
        (false, false) => vec![label(at, ""), label(own, WRITTEN_HERE)],
    }
}
