//! Shared resources: owned by components of any stacks of an environment, made by the first, kept while one is left.
//!
//! One plan has one of these, whatever number of stacks it is of: what one stack declares, another one finds declared;
//! who lets go first leaves it to those that come after.

mod declaration;

pub use declaration::SharedDeclaration;
pub(crate) use declaration::comparable;

use super::compute::{PlanFailure, Planner};
use super::refresh::{self, Loaded, LoadedRow, remembered};
use super::{Change, OwnerAction, OwnerChange, PlannedCheck, orphans};
use crate::action::{Action, Reason};
use crate::address::{Address, StackId};
use crate::descriptor::OnLastRelease;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::store::{OwnerRow, OwnersOf, Ownership, Read, RowStatus, Selection};
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::{ResourceType, Value};

/// The shared rows that a plan has to do with.
pub(crate) struct SharedRows {
    /// The pseudo-stack.
    stack: StackId,
    loaded: Loaded,
    known: BTreeSet<Address>,
    /// Who owns what, as it will be, with how each of them declares it as far as that is recorded.
    owners: BTreeMap<Address, BTreeMap<Owner, Option<SharedDeclaration>>>,
    /// The owners that are recorded now.
    recorded: BTreeSet<Ownership>,
    /// Rows whose owners are all gone: those that are still on record only keep its data.
    retained: BTreeSet<Address>,
    declared: BTreeMap<Address, Vec<Declared>>,
    planned: BTreeMap<Address, Planned>,
    /// What was found of the resources that are planned, for planning them again.
    found: BTreeMap<Address, (Option<LoadedRow>, Option<String>)>,
    /// What was to be told of rows as they were loaded.
    told: Vec<Diagnostic>,
    /// Rows that lose their last owner, with the stack that has it, and owners that stay on record while their data does.
    released: BTreeMap<Address, Released>,
    /// Components that have parts which are deferred: what they will declare is not known, so they let nothing go.
    deferring: BTreeSet<Owner>,
}

/// A component of a stack.
type Owner = (StackId, String);

/// One declaration of this plan.
struct Declared {
    owner: Owner,
    declaration: SharedDeclaration,
    span: Span,
}

/// What was planned for a resource, with the first of the components that declare it.
struct Planned {
    stack: StackId,
    value: Value,
    change: Option<Change>,
}

struct Released {
    by: StackId,
    last_owners: Vec<Ownership>,
}

/// A declaration of a component, as the walk comes upon it.
pub(crate) struct Declaring<'a> {
    pub(crate) stack: &'a StackId,
    pub(crate) component: &'a str,
    pub(crate) address: &'a Address,
    pub(crate) ty: &'a ResourceType,
    pub(crate) declaration: SharedDeclaration,
    pub(crate) span: Span,
}

impl SharedRows {
    /// The shared rows of an environment, none of them looked at yet.
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
            told: Vec::new(),
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

    /// Loads a shared row that no stack of the plan owns yet.
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
                    PlanFailure::Sealed { address: format!("how `{component}` of {stack} declares {address}"), error }
                })?;
            self.recorded.insert(ownership.clone());
            let owners = self.owners.entry(ownership.address).or_default();
            owners.insert((ownership.stack, ownership.component), declaration);
        }
        let selection = Selection::Addresses(addresses.clone());
        let loaded = refresh::load(planner, &self.stack, &selection, &mut self.told).await?;
        for address in addresses.iter().filter(|address| !loaded.rows.contains_key(*address)) {
            self.loaded.reads.push(Read::absent(&self.stack, address));
        }
        let retained = loaded.rows.iter().filter(|(_, row)| row.opened.prior.status == RowStatus::Retained);
        self.retained.extend(retained.map(|(address, _)| address.clone()));
        self.known.extend(addresses);
        self.loaded.extend(loaded);
        Ok(())
    }

    /// Lets a component own what it owns: parts of it are deferred.
    pub(crate) fn keep_owner(&mut self, stack: &StackId, component: &str) {
        self.deferring.insert((stack.clone(), component.to_owned()));
    }

    /// Records that a component declares a shared resource; two that declare it differently are an error.
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
                        format!("two components declare {address} with another `{}`", differing.join("`, `")),
                    )
                    .at_with(span, format!("by {}", name(&owner)))
                    .at_with(first.span, format!("by {}", name(&first.owner)))
                    .hint("a shared resource has to be declared the same everywhere"),
                );
            }
        }
        declared.push(Declared { owner, declaration, span });
    }

    /// The planned value, when another component of the plan declared it before.
    pub(crate) fn value(&self, address: &Address) -> Option<Value> {
        self.planned.get(address).map(|planned| planned.value.clone())
    }

    /// What is recorded of a resource that was loaded.
    pub(crate) fn recorded(&self, address: &Address) -> Option<&LoadedRow> {
        let found = || self.found.get(address).and_then(|(row, _)| row.as_ref());
        self.loaded.rows.get(address).or_else(found)
    }

    /// What is done to a resource that a component of the plan declared before.
    pub(crate) fn change(&self, address: &Address) -> Option<&Change> {
        self.planned.get(address)?.change.as_ref()
    }

    /// Keeps what was planned for the next component that declares it. The change is that stack's.
    pub(crate) fn set_planned(&mut self, address: Address, stack: &StackId, value: Value, change: Option<Change>) {
        self.planned.insert(address, Planned { stack: stack.clone(), value, change });
    }

    /// What is done to all resources that were declared so far.
    pub(crate) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.planned.values().filter_map(|planned| planned.change.as_ref())
    }

    /// Forgets what stacks declare, which are planned again.
    pub(crate) fn forget(&mut self, stacks: &BTreeSet<&StackId>) {
        self.deferring.retain(|(stack, _)| !stacks.contains(stack));
        self.declared.retain(|_, declared| {
            declared.retain(|one| !stacks.contains(&one.owner.0));
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

    /// The stacks that declare what one of these planned for all.
    pub(crate) fn stacks_beside(&self, stacks: &BTreeSet<&StackId>) -> impl Iterator<Item = &StackId> {
        let planned = self.planned.iter().filter(|(_, planned)| stacks.contains(&planned.stack));
        planned.filter_map(|(address, _)| self.declared.get(address)).flatten().map(|declared| &declared.owner.0)
    }

    /// What is to be told of rows as they were loaded.
    pub(crate) fn take_told(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.told)
    }

    /// The changes of the resources that a stack declared first.
    pub(crate) fn take_changes(&mut self, stack: &StackId) -> Vec<Change> {
        let of_stack = self.planned.values_mut().filter(|planned| planned.stack == *stack);
        of_stack.filter_map(|planned| planned.change.take()).collect()
    }

    /// The recorded row, and why it is in doubt when it is.
    fn take_row(&mut self, address: &Address) -> (Option<LoadedRow>, Option<String>) {
        (self.loaded.rows.remove(address), self.loaded.in_doubt.remove(address))
    }

    /// The same for planning it, which may have to be done again.
    pub(crate) fn row_to_plan(&mut self, address: &Address) -> (Option<LoadedRow>, Option<String>) {
        let found = self.take_row(address);
        self.found.insert(address.clone(), found.clone());
        found
    }

    /// What the components of a stack become owners of, or declare anew. Owners that other plans will not hear of have
    /// to agree: one that declares the resource differently is an error.
    ///
    /// Comes after the stacks of the plan were all walked and let go what they do not declare any more.
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
                    // What is recorded in the clear is recorded anew at once.
                    Some(Some(recorded)) if own.declaration.hides_more(recorded) => OwnerAction::Declare,
                    Some(Some(recorded)) if !own.declaration.is_news(recorded, ty) => continue,
                    Some(Some(recorded)) if own.declaration.differences(recorded, ty).is_empty() => OwnerAction::Record,
                    None | Some(None) => OwnerAction::Record,
                    Some(Some(_)) => OwnerAction::Declare,
                };
                let declaration = Some(own.declaration.clone());
                changes.entry(ownership.clone()).or_insert(OwnerChange { ownership, action, declaration });
            }
            let is_first_of_stack = |declared: &&Declared| declared.owner.0 == *stack;
            if let Some(own) = declared.iter().find(is_first_of_stack) {
                self.compare_with_others(address, ty, own, diagnostics);
            }
        }
        changes.into_values().collect()
    }

    /// Compares a declaration with those that owners outside of this plan left on record.
    fn compare_with_others(
        &self,
        address: &Address,
        ty: &ResourceType,
        own: &Declared,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let is_in_plan =
            |owner: &Owner| self.declared.get(address).is_some_and(|all| all.iter().any(|one| one.owner == *owner));
        if self.retained.contains(address) {
            return;
        }
        for (owner, theirs) in self.owners.get(address).into_iter().flatten() {
            let Some(theirs) = theirs.as_ref().filter(|_| !is_in_plan(owner)) else { continue };
            let differing = own.declaration.differences(theirs, ty);
            if differing.is_empty() {
                continue;
            }
            let names = [owner_name(&own.owner, true), owner_name(owner, true)];
            let mut diagnostic = Diagnostic::error(
                "shared_conflict",
                format!(
                    "{} declares {address} with another `{}` than {}, which owns it too",
                    names[0],
                    differing.join("`, `"),
                    names[1]
                ),
            )
            .at_with(own.span, format!("by {}", names[0]));
            if let Some(place) = &theirs.place {
                diagnostic = diagnostic.at_place_with(place.clone(), format!("by {}, when it was applied", names[1]));
            }
            diagnostics.push(diagnostic.hint(format!(
                "to change a shared resource, change it in {} too and plan both stacks in one run",
                owner.0
            )));
        }
    }

    /// Takes ownership from the chosen components of a stack that do not declare it (any more). Comes after the stacks
    /// of the plan were all walked, stack by stack: the last one to let go carries what becomes of the object.
    pub(crate) fn release(&mut self, stack: &StackId, is_chosen: &dyn Fn(&str, &Address) -> bool) -> Vec<OwnerChange> {
        let mut changes = Vec::new();
        for (address, owners) in &mut self.owners {
            // An object that may be there keeps its owners, or nobody would ever remove it.
            if self.loaded.in_doubt.contains_key(address) && !self.loaded.rows.contains_key(address) {
                continue;
            }
            let declared = self.declared.get(address);
            let declares = |owner: &Owner| declared.is_some_and(|all| all.iter().any(|one| one.owner == *owner));
            // What is taken up again belongs to those that do: the others only kept its data.
            let is_taken_up = declared.is_some() && self.retained.contains(address);
            let is_leaving = |owner: &Owner| match is_taken_up {
                true => declared.and_then(|all| all.first()).is_some_and(|first| first.owner.0 == *stack),
                false => owner.0 == *stack && is_chosen(&owner.1, address) && !self.deferring.contains(owner),
            };
            let leaving: Vec<Owner> =
                owners.keys().filter(|owner| is_leaving(owner) && !declares(owner)).cloned().collect();
            let is_last = leaving.len() == owners.len() && !leaving.is_empty();
            let is_deleted_one_day = self
                .loaded
                .rows
                .get(address)
                .is_some_and(|row| remembered(row).on_last_release == OnLastRelease::Delete);
            let ownerships: Vec<Ownership> = leaving
                .into_iter()
                .map(|owner| {
                    owners.remove(&owner);
                    Ownership { address: address.clone(), stack: owner.0, component: owner.1 }
                })
                .collect();
            let is_kept_on_record = is_last && is_deleted_one_day;
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

    /// Plans what becomes of the rows that lost their last owner with a stack. An owner of data that stays for now is
    /// kept on record, so that a later removal of the stack's data finds it.
    pub(crate) fn plan_releases(
        &mut self,
        planner: &Planner<'_>,
        stack: &StackId,
        owner_changes: &mut Vec<OwnerChange>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Vec<Change>, PlanFailure> {
        let mut changes = Vec::new();
        let released: Vec<Address> =
            self.released.iter().filter(|(_, it)| it.by == *stack).map(|(address, _)| address.clone()).collect();
        for address in released {
            let last_owners = self.released.remove(&address).map(|it| it.last_owners).unwrap_or_default();
            let (Some(row), doubt) = self.take_row(&address) else { continue };
            let is_kept = remembered(&row).on_last_release == OnLastRelease::Retain && !row.is_gone;
            if is_kept && row.opened.prior.status == RowStatus::Retained {
                continue;
            }
            let change = orphans::remove(planner, &self.stack, &address, row, Reason::LastRelease, doubt, diagnostics)?;
            if change.as_ref().is_some_and(|change| matches!(change.action, Action::Delete | Action::Forget)) {
                owner_changes.extend(last_owners.into_iter().map(|ownership| dropped(ownership, true)));
            }
            changes.extend(change.map(|change| match is_kept && change.in_doubt.is_none() {
                true => Change { action: Action::Retain, reason: Some(Reason::KeptAtLastRelease), ..change },
                false => change,
            }));
        }
        Ok(changes)
    }

    /// The changes of objects that only a step in doubt knows of.
    pub(crate) fn take_attempts(&mut self) -> Vec<Change> {
        self.loaded.take_attempts()
    }

    /// Who owns these objects, the owners that leave included.
    pub(crate) fn owners_of(&self, addresses: &BTreeSet<&Address>) -> Vec<Ownership> {
        self.recorded.iter().filter(|owner| addresses.contains(&owner.address)).cloned().collect()
    }

    /// The rows that were loaded.
    pub(crate) fn loaded(&mut self) -> &mut Loaded {
        &mut self.loaded
    }

    /// Adds the checks of a shared resource to what is planned of it; those of the first that declares it count.
    pub(crate) fn set_checks(&mut self, address: &Address, checks: Vec<PlannedCheck>) {
        let planned = self.planned.get_mut(address).and_then(|planned| planned.change.as_mut());
        if let Some(change) = planned.filter(|change| change.checks.is_empty()) {
            change.checks = checks;
        }
    }

    /// Plans the removal of shared objects that replacements left over.
    pub(crate) async fn remove_deposed(
        &mut self,
        planner: &Planner<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Vec<Change> {
        let mut deposed = std::mem::take(&mut self.loaded.deposed);
        // What a deferred part stands on stays.
        let is_kept = |address: &Address| {
            let owners = self.owners.get(address).into_iter().flat_map(BTreeMap::keys);
            owners.into_iter().any(|owner| self.deferring.contains(owner))
        };
        deposed.retain(|(address, _), _| !is_kept(address));
        orphans::remove_deposed(planner, &self.stack, deposed, diagnostics).await
    }

    /// What was read, with its generation.
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

/// An owner in words.
fn owner_name((stack, component): &Owner, with_stack: bool) -> String {
    match (with_stack, component.is_empty()) {
        (true, true) => format!("{stack}"),
        (true, false) => format!("`{component}` of {stack}"),
        (false, true) => "the stack itself".to_owned(),
        (false, false) => format!("`{component}`"),
    }
}
