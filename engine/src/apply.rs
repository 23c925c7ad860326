//! Applies a plan: runs its steps in order and in parallel, and journals each before and after.
//!
//! Apply does only what the plan contains. The intent of a step is durable before its provider is called. Its outcome is durable
//! before a dependent step is called. A failed step blocks its dependents; other steps go on.
//!
//! The parts: [`steps`] is the order, [`execute`] a single step, [`writer`] the journal, [`lease`] the right to write, [`values`]
//! the values of expressions.

mod contention;
mod ended_calls;
mod execute;
pub mod lease;
mod moves;
mod outputs;
mod report;
mod run;
mod values;
mod writer;

pub use ended_calls::EndedCalls;
pub use report::{Blocked, Done, Failed, FailedCheck, Leftover, Report, open_step_prefix};

use crate::address::{Address, StackId, owner_in_words};
use crate::event::Events;
use crate::expression::Functions;
use crate::plan::{Change, ComponentPlan, OutputRead, OwnerAction, OwnerChange, Part, Plan, StackPlan};
use crate::registry::Registry;
use crate::rekey::RekeyError;
use crate::seal::Seal;
use crate::store::{
    NewOperation, OperationStatus, OwnerRow, OwnersOf, Ownership, Read, Record, RowStatus, Selection, StaleRead,
    StateStore, StoreError, StoreIdentity, Write,
};
use lease::{Claim, Held, LeaseError};
use outputs::OutputsNow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use terrace_provider::{Map, ProviderSchema, wrap::stoppable};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The inputs of an apply.
pub struct Applier {
    /// The state and the journal.
    pub store: Arc<dyn StateStore>,
    /// The providers.
    pub registry: Arc<Registry>,
    /// Functions of expressions.
    pub functions: Arc<Functions>,
    /// Seals sensitive values of rows.
    pub seal: Arc<Seal>,
    /// The receiver of progress events.
    pub events: Arc<dyn Events>,
    /// Cancelled when the user stops the operation.
    pub cancel: CancellationToken,
    /// The cause of the stop within this process, for people: a signal.
    pub stopped_by: Arc<OnceLock<&'static str>>,
    /// True if the caller replans when the plan is stale.
    pub replans_if_stale: bool,
    /// The number of concurrent provider calls.
    pub parallelism: usize,
    /// How long to wait for leases of other operations.
    pub lock_timeout: Duration,
    /// The user or process that applies, for people.
    pub actor: String,
    /// The journal's number of the first step; not 0 for an operation that continues an earlier run.
    pub first_step: u32,
    /// True if the plan may be old: objects are read again before they are updated.
    pub rereads_objects: bool,
}

/// A failure that prevents an apply or ends it early.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan belongs to another state.
    #[error("this plan was made for another state\n  planned for  {plan}\n  this one is  {state}")]
    StateMismatch {
        /// The URL and the id of the plan's state.
        plan: String,
        /// The URL and the id of the present state.
        state: String,
    },
    /// A moved row cannot be sealed at its new address.
    #[error("a row cannot be moved: {0}")]
    Moved(RekeyError),
    /// Another version of a provider made the plan.
    #[error("this plan was made with the provider `{plan}`; the instance `{instance}` has `{here}` here")]
    ProviderMismatch {
        /// The instance.
        instance: String,
        /// The provider and version that planned.
        plan: String,
        /// The provider and version that would apply.
        here: String,
    },
    /// The settings of an instance changed: it may be another server now.
    #[error("this plan was made with other settings of the provider instance `{0}`")]
    SettingsMismatch(String),
    /// An instance that the plan needs is not configured.
    #[error("the provider instance `{0}` that this plan needs is not configured")]
    NoInstance(String),
    /// Planning found errors.
    #[error("this plan has errors and cannot be applied")]
    PlanErrored,
    /// The plan would destroy data without the user's consent.
    #[error("{address} would lose data: {loss}")]
    DataLoss {
        /// The resource.
        address: String,
        /// The data that would be destroyed.
        loss: String,
    },
    /// An interrupted step of the resource is still open.
    #[error("{address} has an interrupted step: recover it first")]
    NotRecovered {
        /// The resource.
        address: String,
    },
    /// Another component owns a shared object that the plan changes or removes.
    #[error("{address} would be {effect}, and {} owns it since the plan was made", owner_in_words(stack, component))]
    NewOwner {
        /// `changed` or `removed`.
        effect: &'static str,
        /// The shared resource.
        address: String,
        /// The stack of the new owner.
        stack: StackId,
        /// The component of the new owner.
        component: String,
    },
    /// Recorded outputs that the plan read changed.
    #[error("{} changed since the plan was made", outputs::in_words(.outputs, .rows))]
    ChangedOutputs {
        /// The outputs.
        outputs: Vec<OutputRead>,
        /// Rows of the read set that changed too.
        rows: Vec<StaleRead>,
    },
    /// The access list of a component in the plan changed.
    #[error("the access list of `{component}` of {stack} changed since the plan was made")]
    ChangedAccess {
        /// The stack.
        stack: StackId,
        /// The component.
        component: String,
    },
    /// The plan's steps cannot be ordered.
    #[error("the steps of this plan form a cycle")]
    Cycle,
    /// The leases could not be acquired.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The store refused or failed. Earlier records stay.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
            crate::plan::Mode::Apply | crate::plan::Mode::RefreshOnly => "apply",
            crate::plan::Mode::Destroy => "destroy",
            crate::plan::Mode::Rollback => "rollback",
        };
        let stacks = plan.stacks.iter().map(|stack| stack.stack.clone()).collect();
        let new = NewOperation { id: operation, kind: kind.to_owned(), stacks, actor: self.actor.clone() };
        self.store.begin(&new).await?;
        let result = run::run(self, plan, operation, components, held, outputs_now).await;
        let (status, summary) = match &result {
            Ok(report) => (report.status(), self.summary(report)),
            Err(error) if self.replans_if_stale && error.is_stale() => {
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
        // A plan that was made before the store existed has no store id. Its read set requires that the state is empty.
        if plan.state != id && !plan.state.is_nil() {
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
            let removed: BTreeSet<String> = removed.map(|component| component.key.clone()).collect();
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

/// Components by stack.
pub(crate) type Components = BTreeSet<(StackId, String)>;

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

/// The writes before the first step: owners and the order of components, so that objects that a crash leaves can be found and
/// removed in order.
fn opening_writes(plan: &Plan, components: &Components, now: &OutputsNow, seal: &Seal) -> Vec<Write> {
    let mut writes = Vec::new();
    for stack in &plan.stacks {
        let mut before = outputs_before(stack);
        for component in stack.components.iter().filter(|component| component.part == Part::Planned) {
            if components.contains(&(stack.stack.clone(), component.key.clone())) {
                let values = before.remove(component.key.as_str()).unwrap_or_default();
                writes.extend(component_write(&stack.stack, component, &values, now, seal));
            }
        }
        let added = stack.owners.iter().filter(|owner| owner.action == OwnerAction::Add);
        writes.extend(added.map(|owner| owner_write(owner, seal)));
    }
    writes
}

/// The recorded outputs of each component, as far as the plan changes them.
fn outputs_before(stack: &StackPlan) -> BTreeMap<&str, Map> {
    let mut recorded: BTreeMap<&str, Map> = BTreeMap::new();
    for output in &stack.outputs {
        if let Some(before) = &output.before {
            recorded.entry(&output.component).or_default().insert(output.name.clone(), before.clone());
        }
    }
    recorded
}

/// The work that was not done.
#[derive(Debug, Default)]
struct Unfinished {
    /// The components of unfinished changes.
    components: Components,
    /// The resources of unfinished changes.
    addresses: HashSet<(StackId, Address)>,
}

/// The writes of components and owners after the steps. Components without changes are left out, because the apply does not hold
/// their leases.
fn closing_writes(
    plan: &Plan,
    outputs: &BTreeMap<(StackId, String), Map>,
    declared: &BTreeMap<Ownership, OwnerChange>,
    components: &Components,
    unfinished: &Unfinished,
    now: &OutputsNow,
    seal: &Seal,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for stack in &plan.stacks {
        let mut before = outputs_before(stack);
        for component in &stack.components {
            let name = (stack.stack.clone(), component.key.clone());
            match component.part {
                Part::Planned if components.contains(&name) => {
                    let before = before.remove(component.key.as_str()).unwrap_or_default();
                    let values = outputs.get(&name).cloned().unwrap_or(before);
                    writes.extend(component_write(&stack.stack, component, &values, now, seal));
                }
                Part::Removed if !unfinished.components.contains(&name) => {
                    writes.push(Write::DropComponent { stack: stack.stack.clone(), key: component.key.clone() });
                }
                Part::Planned | Part::Removed | Part::Untouched => {}
            }
        }
        for owner in &stack.owners {
            let Ownership { address, stack, component } = &owner.ownership;
            let name = (stack.clone(), component.clone());
            let is_unfinished = unfinished.addresses.contains(&(StackId::shared(&stack.environment), address.clone()));
            match owner.action {
                // A component that still has something to remove stays an owner, so that a later plan removes it.
                OwnerAction::Drop { is_last } if !is_unfinished && !unfinished.components.contains(&name) => {
                    let ownership = owner.ownership.clone();
                    writes.push(Write::DropOwner { ownership, may_be_last: is_last });
                }
                // A declaration whose change was not applied is not recorded.
                OwnerAction::Declare | OwnerAction::Record if !is_unfinished && components.contains(&name) => {
                    writes.push(owner_write(declared.get(&owner.ownership).unwrap_or(owner), seal));
                }
                OwnerAction::Add => {
                    writes.extend(declared.get(&owner.ownership).map(|owner| owner_write(owner, seal)));
                }
                OwnerAction::Drop { .. } | OwnerAction::Declare | OwnerAction::Record => {}
            }
        }
    }
    writes
}

/// The row of an owner. A declaration that cannot be sealed is left out: it is not compared then.
fn owner_write(owner: &OwnerChange, seal: &Seal) -> Write {
    let declaration =
        owner.declaration.as_ref().and_then(|declaration| declaration.to_stored(&owner.ownership, seal).ok());
    Write::PutOwner(OwnerRow { ownership: owner.ownership.clone(), declaration: declaration.unwrap_or_default() })
}

/// The row of a component.
fn component_write(
    stack: &StackId,
    component: &ComponentPlan,
    outputs: &Map,
    now: &OutputsNow,
    seal: &Seal,
) -> Option<Write> {
    let outputs = now.to_store(stack, &component.key, outputs, seal)?;
    Some(Write::Component {
        stack: stack.clone(),
        component: crate::store::ComponentRow {
            key: component.key.clone(),
            depends_on: component.depends_on.clone(),
            outputs,
            blueprint: component.blueprint.clone(),
            reads: component.reads.clone(),
            access: component.access.clone(),
            ids: component.ids.clone(),
        },
    })
}
