//! Applies a plan: runs its steps in order and in parallel, and journals each before and after.
//!
//! Apply does only what the plan contains. The intent of a step is durable before its provider is called. Its outcome is durable
//! before a dependent step is called. A failed step blocks its dependents; other steps go on.
//!
//! The parts: [`steps`](terrace_plan::steps) is the order, [`execute`] a single step, [`writer`] the journal, [`lease`] the
//! right to write, [`values`] the values of expressions.
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

mod applier;
mod contention;
mod error;
pub mod event;
mod execute;
pub mod lease;
mod moves;
mod outputs;
pub mod recover;
mod report;
mod run;
mod values;
mod writer;
pub(crate) mod writes;

pub use applier::{Applier, Attempt};
pub use error::ApplyError;
pub use report::{Blocked, Done, Failed, FailedCheck, Leftover, Report, open_step_prefix};

use lease::{Claim, Held};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Component, Path};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_plan::{Change, ComponentPlan, OwnerAction, Part, Plan, StackPlan};
use terrace_provider::{ProviderSchema, wrap::stoppable};
use terrace_store::{
    NewOperation, OperationStatus, OwnersOf, Ownership, Read, Record, RowStatus, Selection, StaleRead, StoreError,
    StoreIdentity,
};
use uuid::Uuid;
use writes::Components;

impl Applier {
    /// Applies a plan.
    ///
    /// # Errors
    /// If nothing could be started, or the state became unwritable. Failed steps are in the report.
    pub async fn apply(&self, plan: &Plan, operation: Uuid) -> Result<Report, ApplyError> {
        self.refuse(plan).await?;
        let components = touched(plan);
        let held = Held::take(
            &self.store,
            Claim {
                components: components.clone(),
                operation,
                holder: &self.actor,
                lock_timeout: self.lock_timeout,
                cancel: &self.cancel,
                events: self.events.as_ref(),
            },
        )
        .await?;
        let result = stoppable(self.cancel.clone(), self.apply_under(plan, operation, &components, &held)).await;
        let released = held.release().await;
        let report = result?;
        released?;
        Ok(report)
    }

    /// Marks a plan without changes as applied, if its read set is unchanged.
    ///
    /// # Errors
    /// If the read set changed, or the plan was applied before.
    pub async fn spend(&self, plan: &Plan) -> Result<(), ApplyError> {
        self.refuse(plan).await?;
        let components = self.refuse_changed_outputs(plan, None).await?.reads;
        let spent = Record::SpendPlan { plan: plan.id, reads: plan.reads.clone(), components };
        Ok(self.store.commit(&[], vec![spent]).await?)
    }

    async fn apply_under(
        &self,
        plan: &Plan,
        operation: Uuid,
        components: &Components,
        held: &Held,
    ) -> Result<Report, ApplyError> {
        self.refuse_open_steps(plan, components).await?;
        self.refuse_new_owners(plan).await?;
        self.refuse_new_rows(plan).await?;
        let outputs_now = self.refuse_changed_outputs(plan, Some(components)).await?;
        let kind = match plan.mode {
            terrace_plan::Mode::Apply | terrace_plan::Mode::RefreshOnly => "apply",
            terrace_plan::Mode::Destroy => "destroy",
            terrace_plan::Mode::Rollback => "rollback",
        };
        let stacks = plan.stacks.iter().map(|stack| stack.stack.clone()).collect();
        let new = NewOperation { id: operation, kind: kind.to_owned(), stacks, actor: self.actor.clone() };
        self.store.begin(&new).await?;
        let result = run::run(self, plan, operation, components, held, outputs_now).await;
        let (status, summary) = match &result {
            Ok(report) => (report.status(), self.summary(report)),
            Err(error) if self.attempt.replans_if_stale && error.is_stale() => {
                (OperationStatus::Superseded, format!("nothing was done, planned again: {error}"))
            }
            Err(error) => (OperationStatus::Failed, error.to_string()),
        };
        // An operation that the store refused (a stale plan, a lost lease) still gets an end in the log. If the store is
        // unwritable, the first error is returned.
        let end = held.end(operation, status, summary).await;
        let report = result?;
        end?;
        Ok(report)
    }

    /// Refuses a plan before any lease is acquired.
    ///
    /// # Errors
    /// With the reason why the plan does not fit this state or these providers.
    pub async fn refuse(&self, plan: &Plan) -> Result<(), ApplyError> {
        let StoreIdentity { id, url } = self.store.identity().await?;
        self.seal.bind(id);
        // A plan that was made before its state existed has no id of it: the place identifies the state, and the read set
        // refuses rows that were added since.
        let is_same = if plan.state.is_nil() { is_same_place(&plan.state_url, &url) } else { plan.state == id };
        if !is_same {
            let (plan, state) = (place_of_state(&plan.state_url, plan.state), place_of_state(&url, id));
            return Err(ApplyError::StateMismatch { plan, state });
        }
        if plan.is_errored {
            return Err(ApplyError::PlanErrored);
        }
        for (instance, planned) in &plan.origin.providers {
            let Some(here) = self.registry.instance(instance).map(ProviderSchema::name_and_version) else {
                return Err(ApplyError::NoInstance(instance.clone()));
            };
            if here != *planned {
                return Err(ApplyError::ProviderMismatch { instance: instance.clone(), plan: planned.clone(), here });
            }
        }
        for (instance, planned) in &plan.origin.settings {
            if self.registry.settings_digest(instance).is_some_and(|here| here != *planned) {
                return Err(ApplyError::SettingsMismatch(instance.clone()));
            }
        }
        if let Some((stack, change, loss)) = plan.refused_data_loss().next() {
            return Err(ApplyError::DataLoss {
                address: format!("{}:{}", stack.stack, change.address),
                loss: loss.in_words(),
            });
        }
        if self.store.is_spent(plan.id).await? {
            return Err(StoreError::PlanSpent.into());
        }
        Ok(())
    }

    /// Refuses a plan if its components have interrupted steps that it does not know. They have to be recovered first. Steps in
    /// doubt that the plan holds back are allowed.
    async fn refuse_open_steps(&self, plan: &Plan, components: &Components) -> Result<(), ApplyError> {
        let known: HashSet<(StackId, &Address, &Option<String>)> = plan
            .changes()
            .filter(|(_, change)| change.in_doubt.is_some())
            .map(|(stack, change)| (change.stack(&stack.stack), &change.address, &change.deposed))
            .collect();
        let changed: HashSet<&Address> = plan.changes().map(|(_, change)| &change.address).collect();
        for stack in components.iter().map(|(stack, _)| stack).collect::<BTreeSet<_>>() {
            for open in self.store.open_intents(stack, &Selection::All).await?.iter().filter(|open| open.is_orphaned) {
                let address = &open.intent.row.address;
                // Each shared resource is checked by itself.
                let is_touched = match address.is_shared() {
                    true => changed.contains(address),
                    false => components.contains(&(stack.clone(), address.component.clone())),
                };
                if is_touched && !known.contains(&(stack.clone(), address, &open.intent.row.deposed)) {
                    return Err(ApplyError::NotRecovered { address: format!("{stack}:{address}") });
                }
            }
        }
        Ok(())
    }

    /// Refuses a plan that removes a component if the component has new rows, which would lose their component.
    async fn refuse_new_rows(&self, plan: &Plan) -> Result<(), ApplyError> {
        let known: HashSet<(&StackId, &Address, Option<&str>)> =
            plan.reads.iter().map(|read| (&read.stack, &read.address, read.deposed.as_deref())).collect();
        let mut new_rows = Vec::new();
        for StackPlan { stack, components, .. } in &plan.stacks {
            let removed = components.iter().filter(|component| component.part == Part::Removed);
            let removed: BTreeSet<ComponentKey> = removed.map(|component| component.key.clone()).collect();
            if removed.is_empty() {
                continue;
            }
            for row in self.store.rows(stack, &Selection::Components(removed)).await? {
                // Retained rows stay in the state without their component.
                let is_known =
                    row.status == RowStatus::Retained || known.contains(&(stack, &row.address, row.deposed.as_deref()));
                if !is_known {
                    let read = Read { deposed: row.deposed, ..Read::absent(stack, &row.address) };
                    new_rows.push(StaleRead { read, now: row.generation });
                }
            }
        }
        if new_rows.is_empty() { Ok(()) } else { Err(StoreError::Stale(new_rows).into()) }
    }

    /// Refuses a plan that changes a shared object if the object has a new owner. A new owner does not change the row's generation.
    /// It holds the object's lease while it is added, as this run does.
    async fn refuse_new_owners(&self, plan: &Plan) -> Result<(), ApplyError> {
        let mut changed: BTreeMap<&str, BTreeSet<Address>> = BTreeMap::new();
        let mut removed: HashSet<&Address> = HashSet::new();
        for (stack, change) in plan.changes() {
            if change.address.is_shared() && change.is_change() && change.in_doubt.is_none() {
                changed.entry(&stack.stack.environment).or_default().insert(change.address.clone());
                let is_removed = change.after.is_none() && change.deposed.is_none();
                removed.extend(is_removed.then_some(&change.address));
            }
        }
        let planned = plan.stacks.iter().flat_map(|stack| &stack.owners).map(|owner| &owner.ownership);
        let known: BTreeSet<&Ownership> = planned.chain(plan.stacks.iter().flat_map(|stack| &stack.owned)).collect();
        for (environment, addresses) in changed {
            let owners = self.store.owners(environment, &OwnersOf::Addresses(addresses)).await?;
            let new = owners.into_iter().map(|owner| owner.ownership).find(|owner| !known.contains(owner));
            if let Some(Ownership { address, stack, component }) = new {
                let effect = if removed.contains(&address) { "removed" } else { "changed" };
                let address = format!("{}:{address}", StackId::shared(environment));
                return Err(ApplyError::NewOwner { effect, address, stack, component });
            }
        }
        Ok(())
    }
}

/// True if both URLs name one state. The user of a database does not matter: planning may need fewer rights than applying.
fn is_same_place(one: &str, other: &str) -> bool {
    fn without_user_and_default_port(url: &str) -> String {
        let Some((_, place)) = url.split_once("://") else { return url.to_owned() };
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let (host, database) = place.split_once('/').unwrap_or((place, ""));
        format!("{}/{database}", host.strip_suffix(":5432").unwrap_or(host))
    }
    fn parts(place: &str) -> Vec<Component<'_>> {
        let mut parts = Vec::new();
        for part in Path::new(place).components() {
            match part {
                Component::ParentDir => drop(parts.pop()),
                Component::CurDir => {}
                part => parts.push(part),
            }
        }
        parts
    }
    let (one, other) = (without_user_and_default_port(one), without_user_and_default_port(other));
    parts(&one) == parts(&other)
}

/// The URL of a state and its id, because another state may be at the same URL now.
fn place_of_state(url: &str, id: Uuid) -> String {
    match (url, id.is_nil()) {
        ("", _) => format!("a state of the id {id}"),
        (url, true) => format!("{url} (nothing is recorded there)"),
        (url, false) => format!("{url} ({id})"),
    }
}

/// The components that an apply of the plan writes to.
fn touched(plan: &Plan) -> Components {
    let mut components = BTreeSet::new();
    for stack in &plan.stacks {
        let is_written = |change: &&Change| change.is_change() || change.is_rewritten();
        for change in stack.changes.iter().filter(is_written) {
            components.insert((change.stack(&stack.stack), change.address.lease_key()));
            let from = change.moved_from.iter();
            components.extend(from.map(|from| (stack.stack.clone(), from.lease_key())));
        }
        for output in stack.outputs.iter().filter(|output| output.is_change()) {
            components.insert((stack.stack.clone(), output.component.clone()));
        }
        for owner in stack.owners.iter().filter(|owner| owner.is_change()) {
            let Ownership { address, stack, component } = &owner.ownership;
            components.insert((stack.clone(), component.clone()));
            // No component can become an owner while the object may be removed.
            if owner.action == OwnerAction::Add {
                components.insert((StackId::shared(&stack.environment), address.lease_key()));
            }
        }
        let is_written = |component: &&ComponentPlan| component.part == Part::Removed || component.has_changed();
        for component in stack.components.iter().filter(is_written) {
            components.insert((stack.stack.clone(), component.key.clone()));
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::is_same_place;

    #[test]
    fn place_of_a_state_is_compared_without_user_and_spelling() {
        assert!(is_same_place("sqlite:/a/b/state.db", "sqlite:/a/./c/../b/state.db"));
        assert!(!is_same_place("sqlite:/a/b/state.db", "sqlite:/a/c/state.db"));
        assert!(is_same_place("postgres://reader@host/db", "postgres://writer@host/db"));
        assert!(is_same_place("postgres://host/db", "postgres://writer@host/db"));
        assert!(!is_same_place("postgres://me@host/db", "postgres://me@other/db"));
        assert!(is_same_place("postgres://host/db", "postgres://host:5432/db"));
        assert!(!is_same_place("postgres://host/db", "postgres://host:5433/db"));
        assert!(!is_same_place("sqlite:/db", "postgres://host/db"));
    }
}
