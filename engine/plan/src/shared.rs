//! Shared resources: components of several stacks of an environment own them. The first one creates the resource, and it stays
//! while it has an owner.
//!
//! A plan has one instance for all its stacks. A declaration of a stack is visible to the others, and the last owner to leave
//! decides about the object.

mod declaration;

pub use declaration::SharedDeclaration;
pub use declaration::comparable;

use super::failure::PlanFailure;
use super::loaded::{Loaded, LoadedRow};
use super::planner::Planner;
use super::refresh::{self, recorded_lifecycle};
use super::{Change, OwnerAction, OwnerChange, PlannedCheck, Why, orphans};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, ComponentKey, StackId, owner_in_words};
use terrace_language::descriptor::OnLastRelease;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::source::Span;
use terrace_provider::{ResourceType, Value};
use terrace_store::{OwnerRow, OwnersOf, Ownership, Read, RowStatus, Selection};

/// The shared rows of a plan.
pub(crate) struct SharedRows {
    /// The pseudo-stack.
    stack: StackId,
    loaded: Loaded,
    known: BTreeSet<Address>,
    /// The future owners of each resource, with their declarations as far as these are recorded.
    owners: BTreeMap<Address, BTreeMap<Owner, Option<SharedDeclaration>>>,
    /// The owners in the state.
    recorded: BTreeSet<Ownership>,
    /// Rows without owners: the retained ones, which only keep the data.
    retained: BTreeSet<Address>,
    declared: BTreeMap<Address, Vec<Declared>>,
    planned: BTreeMap<Address, Planned>,
    /// The refreshed rows of planned resources, for planning them again.
    found: BTreeMap<Address, (Option<LoadedRow>, Option<String>)>,
    /// Diagnostics of loading rows.
    diagnostics: Vec<Diagnostic>,
    /// Rows that lose their last owner, with the stack of that owner. The owner stays recorded while the data does.
    released: BTreeMap<Address, Released>,
    /// Components with deferred changes. Their future declarations are unknown, so they release nothing.
    deferring: BTreeSet<Owner>,
}

/// A component of a stack.
type Owner = (StackId, ComponentKey);

/// One declaration of this plan.
struct Declared {
    owner: Owner,
    declaration: SharedDeclaration,
    span: Span,
}

/// The planned change of a resource, with the stack that declares it first.
struct Planned {
    stack: StackId,
    value: Value,
    change: Option<Change>,
}

struct Released {
    by: StackId,
    last_owners: Vec<Ownership>,
}

/// A declaration of a component that the walk reaches.
pub(crate) struct Declaring<'a> {
    pub(crate) stack: &'a StackId,
    pub(crate) component: &'a ComponentKey,
    pub(crate) address: &'a Address,
    pub(crate) ty: &'a ResourceType,
    pub(crate) declaration: SharedDeclaration,
    pub(crate) span: Span,
}

impl SharedRows {
    /// The shared rows of an environment, not loaded yet.
    pub(crate) fn of(environment: &str) -> Self {
        Self {
            stack: StackId::shared(environment),
            loaded: Loaded::default(),
            known: BTreeSet::new(),
            owners: BTreeMap::new(),
            recorded: BTreeSet::new(),
            retained: BTreeSet::new(),
            declared: BTreeMap::new(),
            planned: BTreeMap::new(),
            found: BTreeMap::new(),
            diagnostics: Vec::new(),
            released: BTreeMap::new(),
            deferring: BTreeSet::new(),
        }
    }

    /// Loads the shared rows that a stack owns.
    pub(crate) async fn load(&mut self, planner: &Planner<'_>, stack: &StackId) -> Result<(), PlanFailure> {
        let owned = planner.store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?;
        let addresses = owned.into_iter().map(|owner| owner.ownership.address);
        let addresses = addresses.filter(|address| !self.known.contains(address)).collect();
        self.fetch(planner, addresses).await
    }

    /// The pseudo-stack of shared rows.
    pub(crate) fn stack(&self) -> &StackId {
        &self.stack
    }

    /// Loads a shared row that the plan does not have yet.
    pub(crate) async fn ensure(&mut self, planner: &Planner<'_>, address: &Address) -> Result<(), PlanFailure> {
        if self.known.contains(address) {
            return Ok(());
        }
        self.fetch(planner, BTreeSet::from([address.clone()])).await
    }

    async fn fetch(&mut self, planner: &Planner<'_>, addresses: BTreeSet<Address>) -> Result<(), PlanFailure> {
        if addresses.is_empty() {
            return Ok(());
        }
        let owners = planner.store.owners(&self.stack.environment, &OwnersOf::Addresses(addresses.clone())).await?;
        for OwnerRow { ownership, declaration } in owners {
            let declaration =
                SharedDeclaration::from_stored(&ownership, &declaration, planner.seal).map_err(|error| {
                    let Ownership { address, stack, component } = &ownership;
                    PlanFailure::Sealed {
                        address: format!("the declaration of {address} by `{component}` of {stack}"),
                        error,
                    }
                })?;
            self.recorded.insert(ownership.clone());
            let owners = self.owners.entry(ownership.address).or_default();
            owners.insert((ownership.stack, ownership.component), declaration);
        }
        let selection = Selection::Addresses(addresses.clone());
        let loaded = refresh::load(planner, &self.stack, &selection, &mut self.diagnostics).await?;
        for address in addresses.iter().filter(|address| !loaded.rows.contains_key(*address)) {
            self.loaded.reads.push(Read::absent(&self.stack, address));
        }
        let retained = loaded.rows.iter().filter(|(_, row)| row.opened.prior.status == RowStatus::Retained);
        self.retained.extend(retained.map(|(address, _)| address.clone()));
        self.known.extend(addresses);
        self.loaded.extend(loaded);
        Ok(())
    }

    /// Keeps the ownerships of a component with deferred changes.
    pub(crate) fn keep_owner(&mut self, stack: &StackId, component: &ComponentKey) {
        self.deferring.insert((stack.clone(), component.to_owned()));
    }

    /// Records that a component declares a shared resource. Two different declarations are an error.
    pub(crate) fn declare(&mut self, declaring: Declaring<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let Declaring { stack, component, address, ty, declaration, span } = declaring;
        let owner = (stack.clone(), component.to_owned());
        self.owners.entry(address.clone()).or_default().entry(owner.clone()).or_default();
        let declared = self.declared.entry(address.clone()).or_default();
        if let Some(first) = declared.first() {
            let differing = declaration.differences(&first.declaration, ty);
            if !differing.is_empty() {
                let name = |owner: &Owner| owner_name(owner, first.owner.0 != *stack);
                diagnostics.push(
                    Diagnostic::error(
                        "shared_conflict",
                        format!(
                            "two components declare {address} with different values of `{}`",
                            differing.join("`, `")
                        ),
                    )
                    .at_with(span, format!("by {}", name(&owner)))
                    .at_with(first.span, format!("by {}", name(&first.owner)))
                    .hint("declare the shared resource identically in all components"),
                );
            }
        }
        declared.push(Declared { owner, declaration, span });
    }

    /// The planned value, if another component of the plan declared the resource before.
    pub(crate) fn value(&self, address: &Address) -> Option<Value> {
        self.planned.get(address).map(|planned| planned.value.clone())
    }

    /// The refreshed row of a resource.
    pub(crate) fn recorded(&self, address: &Address) -> Option<&LoadedRow> {
        let found = || self.found.get(address).and_then(|(row, _)| row.as_ref());
        self.loaded.rows.get(address).or_else(found)
    }

    /// The change of a resource that a component of the plan declared before.
    pub(crate) fn change(&self, address: &Address) -> Option<&Change> {
        self.planned.get(address)?.change.as_ref()
    }

    /// Stores the planned value for further components that declare the resource. The change belongs to the given stack.
    pub(crate) fn set_planned(&mut self, address: Address, stack: &StackId, value: Value, change: Option<Change>) {
        self.planned.insert(address, Planned { stack: stack.clone(), value, change });
    }

    /// The changes of all resources that were declared so far.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.planned.values().filter_map(|planned| planned.change.as_ref())
    }

    /// Forgets the declarations of stacks that are planned again.
    pub(crate) fn forget(&mut self, stacks: &BTreeSet<&StackId>) {
        self.deferring.retain(|(stack, _)| !stacks.contains(stack));
        self.declared.retain(|_, declared| {
            declared.retain(|entry| !stacks.contains(&entry.owner.0));
            !declared.is_empty()
        });
        let recorded = &self.recorded;
        for (address, owners) in &mut self.owners {
            owners.retain(|(stack, component), _| {
                let (stack, component) = (stack.clone(), component.clone());
                !stacks.contains(&stack) || recorded.contains(&Ownership { address: address.clone(), stack, component })
            });
        }
        for (address, _) in self.planned.extract_if(.., |_, planned| stacks.contains(&planned.stack)) {
            let (row, in_doubt) = self.found.remove(&address).unwrap_or_default();
            self.loaded.rows.extend(row.map(|row| (address.clone(), row)));
            self.loaded.in_doubt.extend(in_doubt.map(|reason| (address, reason)));
        }
    }

    /// The stacks that declare a resource that one of these stacks planned for all.
    pub(crate) fn stacks_sharing_with(&self, stacks: &BTreeSet<&StackId>) -> impl Iterator<Item = &StackId> {
        let planned = self.planned.iter().filter(|(_, planned)| stacks.contains(&planned.stack));
        planned.filter_map(|(address, _)| self.declared.get(address)).flatten().map(|declared| &declared.owner.0)
    }

    /// Takes the diagnostics of loading rows.
    pub(crate) fn take_diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics)
    }

    /// Takes the changes of the resources that a stack declared first.
    pub(crate) fn take_changes(&mut self, stack: &StackId) -> Vec<Change> {
        let of_stack = self.planned.values_mut().filter(|planned| planned.stack == *stack);
        of_stack.filter_map(|planned| planned.change.take()).collect()
    }

    /// Takes the refreshed row, and the reason if it is in doubt.
    fn take_row(&mut self, address: &Address) -> (Option<LoadedRow>, Option<String>) {
        (self.loaded.rows.remove(address), self.loaded.in_doubt.remove(address))
    }

    /// The same for planning the row, which may be repeated.
    pub(crate) fn row_to_plan(&mut self, address: &Address) -> (Option<LoadedRow>, Option<String>) {
        let found = self.take_row(address);
        self.found.insert(address.clone(), found.clone());
        found
    }

    /// Returns the stack's new owners and changed declarations. A declaration that differs from a recorded owner outside the plan
    /// is an error.
    ///
    /// Call it after all stacks of the plan were walked and released their ownerships.
    pub(crate) fn declarations_of(
        &self,
        planner: &Planner<'_>,
        stack: &StackId,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<OwnerChange> {
        let mut changes: BTreeMap<Ownership, OwnerChange> = BTreeMap::new();
        for (address, declared) in &self.declared {
            let Some((_, ty)) = planner.registry.resource_type(&address.ty) else { continue };
            for own in declared.iter().filter(|declared| declared.owner.0 == *stack) {
                let ownership = own.ownership(address);
                let recorded = self.owners.get(address).and_then(|owners| owners.get(&own.owner));
                let action = match recorded {
                    _ if !self.recorded.contains(&ownership) => OwnerAction::Add,
                    // A value recorded in plain text is recorded again without delay.
                    Some(Some(recorded)) if own.declaration.is_more_sensitive(recorded) => OwnerAction::Declare,
                    Some(Some(recorded)) if !own.declaration.differs_from(recorded, ty) => continue,
                    Some(Some(recorded)) if own.declaration.differences(recorded, ty).is_empty() => OwnerAction::Record,
                    None | Some(None) => OwnerAction::Record,
                    Some(Some(_)) => OwnerAction::Declare,
                };
                let declaration = Some(own.declaration.clone());
                changes.entry(ownership.clone()).or_insert(OwnerChange { ownership, action, declaration });
            }
            let is_first_of_stack = |declared: &&Declared| declared.owner.0 == *stack;
            if let Some(own) = declared.iter().find(is_first_of_stack) {
                self.compare_with_recorded(address, ty, own, diagnostics);
            }
        }
        changes.into_values().collect()
    }

    /// Compares a declaration with those of recorded owners outside this plan.
    fn compare_with_recorded(
        &self,
        address: &Address,
        ty: &ResourceType,
        own: &Declared,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let is_in_plan =
            |owner: &Owner| self.declared.get(address).is_some_and(|all| all.iter().any(|entry| entry.owner == *owner));
        if self.retained.contains(address) {
            return;
        }
        for (owner, other) in self.owners.get(address).into_iter().flatten() {
            let Some(other) = other.as_ref().filter(|_| !is_in_plan(owner)) else { continue };
            let differing = own.declaration.differences(other, ty);
            if differing.is_empty() {
                continue;
            }
            let names = [owner_name(&own.owner, true), owner_name(owner, true)];
            let mut diagnostic = Diagnostic::error(
                "shared_conflict",
                format!(
                    "{} declares {address} with a different `{}` than {}, which owns it too",
                    names[0],
                    differing.join("`, `"),
                    names[1]
                ),
            )
            .at_with(own.span, format!("by {}", names[0]));
            if let Some(place) = &other.place {
                diagnostic = diagnostic.at_place_with(place.clone(), format!("by {}, when it was applied", names[1]));
            }
            diagnostics.push(
                diagnostic
                    .hint(format!("change the shared resource in {} too, and plan both stacks in one run", owner.0)),
            );
        }
    }

    /// Removes the ownerships of chosen components that do not declare the resource any more. Call it stack by stack after all
    /// stacks were walked: the last stack to release plans the change of the object.
    pub(crate) fn release(
        &mut self,
        stack: &StackId,
        is_chosen: &dyn Fn(&ComponentKey, &Address) -> bool,
    ) -> Vec<OwnerChange> {
        let mut changes = Vec::new();
        for (address, owners) in &mut self.owners {
            // An object in doubt keeps its owners, so that a later plan removes it.
            if self.loaded.in_doubt.contains_key(address) && !self.loaded.rows.contains_key(address) {
                continue;
            }
            let declared = self.declared.get(address);
            let declares = |owner: &Owner| declared.is_some_and(|all| all.iter().any(|entry| entry.owner == *owner));
            // A retained resource that is declared again belongs to the new owners only.
            let is_readopted = declared.is_some() && self.retained.contains(address);
            let is_leaving = |owner: &Owner| match is_readopted {
                true => declared.and_then(|all| all.first()).is_some_and(|first| first.owner.0 == *stack),
                false => owner.0 == *stack && is_chosen(&owner.1, address) && !self.deferring.contains(owner),
            };
            let leaving: Vec<Owner> =
                owners.keys().filter(|owner| is_leaving(owner) && !declares(owner)).cloned().collect();
            let is_last = leaving.len() == owners.len() && !leaving.is_empty();
            let is_deleted_later = self
                .loaded
                .rows
                .get(address)
                .is_some_and(|row| recorded_lifecycle(row).on_last_release == OnLastRelease::Delete);
            let ownerships: Vec<Ownership> = leaving
                .into_iter()
                .map(|owner| {
                    owners.remove(&owner);
                    Ownership { address: address.clone(), stack: owner.0, component: owner.1 }
                })
                .collect();
            let is_kept_on_record = is_last && is_deleted_later;
            if is_last {
                let last_owners = if is_kept_on_record { ownerships.clone() } else { Vec::new() };
                self.released.insert(address.clone(), Released { by: stack.clone(), last_owners });
            }
            if !is_kept_on_record {
                changes.extend(ownerships.into_iter().map(|ownership| dropped(ownership, is_last)));
            }
        }
        changes
    }

    /// Plans the changes of rows whose last owner was in this stack. The owner of retained data stays recorded, so that a later
    /// removal of the stack's data finds it.
    pub(crate) fn plan_releases(
        &mut self,
        planner: &Planner<'_>,
        stack: &StackId,
        owner_changes: &mut Vec<OwnerChange>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Vec<Change>, PlanFailure> {
        let mut changes = Vec::new();
        let released: Vec<Address> = self
            .released
            .iter()
            .filter(|(_, released)| released.by == *stack)
            .map(|(address, _)| address.clone())
            .collect();
        for address in released {
            let last_owners = self.released.remove(&address).map(|released| released.last_owners).unwrap_or_default();
            let (Some(row), in_doubt) = self.take_row(&address) else { continue };
            let is_kept = recorded_lifecycle(&row).on_last_release == OnLastRelease::Retain && !row.is_gone;
            if is_kept && row.opened.prior.status == RowStatus::Retained {
                continue;
            }
            let change =
                orphans::remove(planner, &self.stack, &address, row, Reason::LastRelease, in_doubt, diagnostics)?;
            if change.as_ref().is_some_and(|change| matches!(change.action, Action::Delete | Action::Forget)) {
                owner_changes.extend(last_owners.into_iter().map(|ownership| dropped(ownership, true)));
            }
            changes.extend(change.map(|change| match is_kept && change.in_doubt.is_none() {
                true => {
                    let why = Why { reason: Some(Reason::RetainedAtLastRelease), ..change.why };
                    Change { action: Action::Retain, why, ..change }
                }
                false => change,
            }));
        }
        Ok(changes)
    }

    /// The changes of objects that are known only from a step in doubt.
    pub(crate) fn take_attempts(&mut self) -> Vec<Change> {
        self.loaded.take_attempts()
    }

    /// The owners of these resources, including those that leave.
    pub(crate) fn owners_of(&self, addresses: &BTreeSet<&Address>) -> Vec<Ownership> {
        self.recorded.iter().filter(|owner| addresses.contains(&owner.address)).cloned().collect()
    }

    /// The refreshed rows.
    pub(crate) fn loaded(&mut self) -> &mut Loaded {
        &mut self.loaded
    }

    /// Adds the checks of a shared resource to its change. The checks of the first declaring component count.
    pub(crate) fn set_checks(&mut self, address: &Address, checks: Vec<PlannedCheck>) {
        let planned = self.planned.get_mut(address).and_then(|planned| planned.change.as_mut());
        if let Some(change) = planned.filter(|change| change.how.checks.is_empty()) {
            change.how.checks = checks;
        }
    }

    /// Plans the removal of deposed shared objects.
    pub(crate) async fn remove_deposed(
        &mut self,
        planner: &Planner<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<Change> {
        let mut deposed = std::mem::take(&mut self.loaded.deposed);
        // Objects that a deferred component may use stay.
        let is_kept = |address: &Address| {
            let owners = self.owners.get(address).into_iter().flat_map(BTreeMap::keys);
            owners.into_iter().any(|owner| self.deferring.contains(owner))
        };
        deposed.retain(|(address, _), _| !is_kept(address));
        orphans::remove_deposed(planner, &self.stack, deposed, diagnostics).await
    }

    /// Takes the rows read, with their generations.
    pub(crate) fn take_reads(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.loaded.reads)
    }
}

impl Declared {
    fn ownership(&self, address: &Address) -> Ownership {
        let (stack, component) = self.owner.clone();
        Ownership { address: address.clone(), stack, component }
    }
}

fn dropped(ownership: Ownership, is_last: bool) -> OwnerChange {
    OwnerChange { ownership, action: OwnerAction::Drop { is_last }, declaration: None }
}

/// The owner in words.
fn owner_name((stack, component): &Owner, with_stack: bool) -> String {
    match component.is_stack() {
        _ if with_stack => owner_in_words(stack, component),
        true => "the stack itself".to_owned(),
        false => format!("`{component}`"),
    }
}
