//! Shared resources: owned by components of any stacks of an environment, made by the first, kept while one is left.

use super::compute::{PlanFailure, Planner};
use super::refresh::{self, Loaded, LoadedRow, remembered};
use super::{Change, OwnerChange, orphans};
use crate::action::{Action, Reason};
use crate::address::{Address, StackId};
use crate::descriptor::OnLastRelease;
use crate::diagnostic::Diagnostic;
use crate::diff::changed_attributes;
use crate::source::Span;
use crate::store::{OwnersOf, Ownership, Read, RowStatus, Selection};
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::{Attributes, Value};

/// The shared rows that a plan has to do with.
pub(crate) struct SharedRows {
    stack: StackId,
    loaded: Loaded,
    known: BTreeSet<Address>,
    owners: BTreeMap<Address, BTreeSet<(StackId, String)>>,
    declared: BTreeMap<Address, Declared>,
    values: BTreeMap<Address, Value>,
    added: Vec<OwnerChange>,
    /// Rows that lose their last owner, with owners that stay on record while their data does.
    released: BTreeMap<Address, Vec<Ownership>>,
}

struct Declared {
    config: Attributes,
    span: Span,
    components: BTreeSet<String>,
}

impl SharedRows {
    /// Loads the shared rows that a stack owns.
    pub(crate) async fn load(
        planner: &Planner<'_>,
        stack: &StackId,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Self, PlanFailure> {
        let mut shared = Self {
            stack: StackId::shared(&stack.environment),
            loaded: Loaded::default(),
            known: BTreeSet::new(),
            owners: BTreeMap::new(),
            declared: BTreeMap::new(),
            values: BTreeMap::new(),
            added: Vec::new(),
            released: BTreeMap::new(),
        };
        let owned = planner.store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?;
        let addresses: BTreeSet<Address> = owned.into_iter().map(|ownership| ownership.address).collect();
        shared.fetch(planner, addresses, diagnostics).await?;
        Ok(shared)
    }

    /// The pseudo-stack of shared rows.
    pub(crate) fn stack(&self) -> &StackId {
        &self.stack
    }

    /// Loads a shared row that the stack does not own yet.
    pub(crate) async fn ensure(
        &mut self,
        planner: &Planner<'_>,
        address: &Address,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        if self.known.contains(address) {
            return Ok(());
        }
        self.fetch(planner, BTreeSet::from([address.clone()]), diagnostics).await
    }

    async fn fetch(
        &mut self,
        planner: &Planner<'_>,
        addresses: BTreeSet<Address>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        if addresses.is_empty() {
            return Ok(());
        }
        let owners = planner.store.owners(&self.stack.environment, &OwnersOf::Addresses(addresses.clone())).await?;
        for owner in owners {
            self.owners.entry(owner.address).or_default().insert((owner.stack, owner.component));
        }
        let selection = Selection::Addresses(addresses.clone());
        let loaded = refresh::load(planner, &self.stack, &selection, diagnostics).await?;
        for address in addresses.iter().filter(|address| !loaded.rows.contains_key(*address)) {
            self.loaded.reads.push(Read::absent(&self.stack, address));
        }
        self.known.extend(addresses);
        self.loaded.rows.extend(loaded.rows);
        self.loaded.reads.extend(loaded.reads);
        self.loaded.in_doubt.extend(loaded.in_doubt);
        Ok(())
    }

    /// Records that a component declares a shared resource; two that declare it differently are an error.
    pub(crate) fn declare(
        &mut self,
        stack: &StackId,
        component: &str,
        address: &Address,
        config: &Attributes,
        span: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let owner = (stack.clone(), component.to_owned());
        if self.owners.entry(address.clone()).or_default().insert(owner) {
            let ownership =
                Ownership { address: address.clone(), stack: stack.clone(), component: component.to_owned() };
            self.added.push(OwnerChange { ownership, is_added: true });
        }
        match self.declared.get_mut(address) {
            None => {
                let components = BTreeSet::from([component.to_owned()]);
                self.declared.insert(address.clone(), Declared { config: config.clone(), span, components });
            }
            Some(declared) => {
                let differing: Vec<String> =
                    changed_attributes(&declared.config, config).iter().map(ToString::to_string).collect();
                if !differing.is_empty() {
                    diagnostics.push(
                        Diagnostic::error(
                            "shared_conflict",
                            format!("two components declare {address} with another `{}`", differing.join("`, `")),
                        )
                        .at_with(span, format!("by `{component}`"))
                        .at_with(declared.span, "and here")
                        .hint("a shared resource has to be declared the same everywhere"),
                    );
                }
                declared.components.insert(component.to_owned());
            }
        }
    }

    /// The planned value, when another component of the plan declared it before.
    pub(crate) fn value(&self, address: &Address) -> Option<Value> {
        self.values.get(address).cloned()
    }

    /// Keeps the planned value for the next component that declares it.
    pub(crate) fn set_value(&mut self, address: Address, value: Value) {
        self.values.insert(address, value);
    }

    /// The recorded row, and why it is in doubt when it is.
    pub(crate) fn take_row(&mut self, address: &Address) -> (Option<LoadedRow>, Option<String>) {
        (self.loaded.rows.remove(address), self.loaded.in_doubt.remove(address))
    }

    /// Who becomes an owner.
    pub(crate) fn added(&mut self) -> Vec<OwnerChange> {
        std::mem::take(&mut self.added)
    }

    /// Which component declares what.
    pub(crate) fn declared(&self) -> BTreeSet<(Address, String)> {
        let pairs = |(address, declared): (&Address, &Declared)| {
            declared.components.iter().map(|component| (address.clone(), component.clone())).collect::<Vec<_>>()
        };
        self.declared.iter().flat_map(pairs).collect()
    }

    /// Counts owners no more that other stacks of the same plan let go.
    pub(crate) fn forget_owners(&mut self, released: &BTreeSet<Ownership>) {
        for Ownership { address, stack, component } in released {
            if let Some(owners) = self.owners.get_mut(address) {
                owners.remove(&(stack.clone(), component.clone()));
            }
        }
    }

    /// Takes ownership from the chosen components of a stack that do not declare it (any more).
    pub(crate) fn release_others(
        &mut self,
        stack: &StackId,
        declared: &BTreeSet<(Address, String)>,
        is_chosen: &dyn Fn(&str) -> bool,
    ) -> Vec<OwnerChange> {
        let mut changes = Vec::new();
        for (address, owners) in &mut self.owners {
            // An object that may be there keeps its owners, or nobody would ever remove it.
            if self.loaded.in_doubt.contains_key(address) && !self.loaded.rows.contains_key(address) {
                continue;
            }
            let leaving: Vec<(StackId, String)> = owners
                .iter()
                .filter(|(owner, component)| owner == stack && is_chosen(component))
                .filter(|(_, component)| !declared.contains(&(address.clone(), component.clone())))
                .cloned()
                .collect();
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
            match (is_last, is_deleted_one_day) {
                (true, true) => {
                    self.released.insert(address.clone(), ownerships);
                }
                (true, false) => {
                    self.released.insert(address.clone(), Vec::new());
                    changes.extend(ownerships.into_iter().map(dropped));
                }
                (false, _) => changes.extend(ownerships.into_iter().map(dropped)),
            }
        }
        changes
    }

    /// Plans what becomes of the rows that lost their last owner. An owner of data that stays for now is kept on
    /// record, so that a later removal of the stack's data finds it.
    pub(crate) fn plan_releases(
        &mut self,
        planner: &Planner<'_>,
        owner_changes: &mut Vec<OwnerChange>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Vec<Change>, PlanFailure> {
        let mut changes = self.loaded.take_attempts();
        for (address, last_owners) in std::mem::take(&mut self.released) {
            let (Some(row), doubt) = self.take_row(&address) else { continue };
            let is_kept = remembered(&row).on_last_release == OnLastRelease::Retain && !row.is_gone;
            if is_kept && row.opened.prior.status == RowStatus::Retained {
                continue;
            }
            let change = orphans::remove(planner, &self.stack, &address, row, Reason::LastRelease, doubt, diagnostics)?;
            if change.as_ref().is_some_and(|change| matches!(change.action, Action::Delete | Action::Forget)) {
                owner_changes.extend(last_owners.into_iter().map(dropped));
            }
            changes.extend(change.map(|change| match is_kept && change.in_doubt.is_none() {
                true => Change { action: Action::Retain, ..change },
                false => change,
            }));
        }
        Ok(changes)
    }

    /// What was read, with its generation.
    pub(crate) fn take_reads(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.loaded.reads)
    }
}

fn dropped(ownership: Ownership) -> OwnerChange {
    OwnerChange { ownership, is_added: false }
}
