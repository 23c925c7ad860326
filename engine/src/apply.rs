//! Applying a plan: its steps run in order and in parallel, each journalled before and after.
//!
//! Only what the plan says is done. The intent of a step is durable before its provider is called; its outcome is
//! durable before anything that depends on it is called. A failed step blocks what depends on it, the rest goes on.
//!
//! The parts: [`steps`] is the order, [`execute`] one step, [`writer`] the journal, [`lease`] the right to write,
//! [`values`] what expressions see.

mod execute;
pub mod lease;
mod run;
mod steps;
mod values;
mod writer;

use crate::action::Action;
use crate::address::{Address, StackId};
use crate::event::Events;
use crate::expression::Functions;
use crate::plan::{Part, Plan};
use crate::registry::Registry;
use crate::seal::Seal;
use crate::store::{NewOperation, OperationStatus, Record, Selection, StateStore, StoreError, Write};
use lease::{Claim, Held, LeaseError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use terrace_provider::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// All that applying works with.
pub struct Applier {
    /// Where rows and the journal are.
    pub store: Arc<dyn StateStore>,
    /// Who implements what.
    pub registry: Arc<Registry>,
    /// Functions of expressions.
    pub functions: Arc<Functions>,
    /// Seals what rows hold.
    pub seal: Arc<Seal>,
    /// Where things are shown.
    pub events: Arc<dyn Events>,
    /// Set when the user wants to stop.
    pub cancel: CancellationToken,
    /// How many provider calls at once.
    pub parallelism: usize,
    /// How long to wait for leases of others.
    pub patience: Duration,
    /// Who asks, for people.
    pub actor: String,
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// The operation.
    pub operation: Uuid,
    /// What was done.
    pub done: Vec<Done>,
    /// What failed.
    pub failed: Vec<Failed>,
    /// What was not tried because something before it failed, with that something.
    pub blocked: Vec<Blocked>,
    /// What was not begun because the user stopped.
    pub not_begun: Vec<(StackId, Address)>,
    /// The user stopped.
    pub is_interrupted: bool,
    /// The outputs, by stack and component.
    pub outputs: BTreeMap<(StackId, String), Map>,
}

/// A change that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// What was done.
    pub action: Action,
}

/// A change that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// What was to be done.
    pub action: Action,
    /// Why.
    pub error: String,
    /// Further facts.
    pub problems: Vec<String>,
    /// What a person can do.
    pub solutions: Vec<String>,
}

/// A change that was not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// What it waits for.
    pub because: String,
}

/// A plan could not be applied, or not to the end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The plan is of another state.
    #[error("this plan was made for another state ({plan}, this one is {state})")]
    OtherState {
        /// The state that the plan names.
        plan: Uuid,
        /// The state at hand.
        state: Uuid,
    },
    /// The plan met errors while it was made.
    #[error("this plan has errors and cannot be applied")]
    Errored,
    /// The plan would lose data nobody consented to lose.
    #[error("{address} would lose data: {what}")]
    DataLoss {
        /// The resource.
        address: String,
        /// What would be lost.
        what: String,
    },
    /// A step that a crash left open is in the way.
    #[error("{address} has a step that was cut off: it has to be recovered first")]
    NotRecovered {
        /// The resource.
        address: String,
    },
    /// The plan's steps cannot be ordered.
    #[error("the steps of this plan form a loop")]
    Loop,
    /// Leases could not be had.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The store refused or failed. What was recorded before stays.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Applier {
    /// Applies a plan.
    ///
    /// # Errors
    /// When nothing could be begun, or the state could not be written any more. Steps that failed are in the report.
    pub async fn apply(&self, plan: &Plan, operation: Uuid) -> Result<Report, ApplyError> {
        self.refuse(plan).await?;
        let components = touched(plan);
        let held = Held::take(
            &self.store,
            Claim {
                components,
                operation,
                holder: &self.actor,
                patience: self.patience,
                cancel: &self.cancel,
                events: self.events.as_ref(),
            },
        )
        .await?;
        let result = self.apply_under(plan, operation, &held).await;
        let released = held.release().await;
        let report = result?;
        released?;
        Ok(report)
    }

    async fn apply_under(&self, plan: &Plan, operation: Uuid, held: &Held) -> Result<Report, ApplyError> {
        self.refuse_open_steps(plan).await?;
        let kind = match plan.mode {
            crate::plan::Mode::Apply => "apply",
            crate::plan::Mode::Destroy => "destroy",
        };
        let stacks = plan.stacks.iter().map(|stack| stack.stack.clone()).collect();
        let new = NewOperation { id: operation, kind: kind.to_owned(), stacks, actor: self.actor.clone() };
        self.store.begin(&new).await?;
        let result = run::run(self, plan, operation, held).await;
        let (status, summary) = match &result {
            Ok(report) => (report.status(), report.summary()),
            Err(error) => (OperationStatus::Failed, error.to_string()),
        };
        // What was refused by the store (a stale plan, a lost lease) is still worth an end in the log; when the store
        // cannot be written at all, the first error says so.
        let end = self.store.commit(&[], &[Record::End { operation, status, summary }]).await;
        let report = result?;
        end?;
        Ok(report)
    }

    /// What can be refused before any lease is taken.
    async fn refuse(&self, plan: &Plan) -> Result<(), ApplyError> {
        let state = self.store.identity().await?.id;
        if plan.state != state {
            return Err(ApplyError::OtherState { plan: plan.state, state });
        }
        if plan.is_errored {
            return Err(ApplyError::Errored);
        }
        if let Some((stack, change, loss)) = plan.refused_data_loss().next() {
            return Err(ApplyError::DataLoss {
                address: format!("{}:{}", stack.stack, change.address),
                what: format!("{} ({})", loss.reasons.join(", "), loss.amount.as_deref().unwrap_or("no data")),
            });
        }
        if self.store.is_spent(plan.id).await? {
            return Err(StoreError::PlanSpent.into());
        }
        Ok(())
    }

    /// A plan does not know what became of steps that were cut off: those of its components have to be recovered, but
    /// for components that are blocked by one that cannot be.
    async fn refuse_open_steps(&self, plan: &Plan) -> Result<(), ApplyError> {
        for stack in &plan.stacks {
            for (row_stack, selection) in
                [(stack.stack.clone(), Selection::All), (StackId::shared(&stack.stack.environment), Selection::All)]
            {
                for open in self.store.open_intents(&row_stack, &selection).await? {
                    let address = &open.intent.row.address;
                    let is_planned =
                        stack.changes.iter().any(|change| change.address == *address && change.in_doubt.is_none());
                    if is_planned && open.is_orphaned {
                        return Err(ApplyError::NotRecovered { address: format!("{row_stack}:{address}") });
                    }
                }
            }
        }
        Ok(())
    }
}

impl Report {
    /// How the operation ended.
    #[must_use]
    pub fn status(&self) -> OperationStatus {
        match (self.is_interrupted, self.failed.is_empty() && self.blocked.is_empty()) {
            (true, _) => OperationStatus::Interrupted,
            (false, true) => OperationStatus::Completed,
            (false, false) => OperationStatus::Failed,
        }
    }

    /// One sentence on how it ended.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut summary = format!("{} done", self.done.len());
        for (count, word) in
            [(self.failed.len(), "failed"), (self.blocked.len(), "not tried"), (self.not_begun.len(), "not begun")]
        {
            if count > 0 {
                summary.push_str(&format!(", {count} {word}"));
            }
        }
        summary
    }

    /// Added, changed, destroyed: a replacement counts as added and destroyed once both halves are done.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: &[Action]| self.done.iter().filter(|done| wanted.contains(&done.action)).count();
        let replaced = [Action::Replace, Action::ReplaceCreateFirst];
        (
            count(&[Action::Create]) + count(&replaced),
            count(&[Action::Update]),
            count(&[Action::Delete]) + count(&replaced),
        )
    }
}

/// The components that applying a plan writes to.
fn touched(plan: &Plan) -> BTreeSet<(StackId, String)> {
    let mut components = BTreeSet::new();
    for stack in &plan.stacks {
        for change in stack.changes.iter().filter(|change| change.action != Action::NoOp || change.has_refreshed()) {
            components.insert((change.stack(&stack.stack), change.address.component.clone()));
        }
        for output in stack.outputs.iter().filter(|output| output.is_change()) {
            components.insert((stack.stack.clone(), output.component.clone()));
        }
        for owner in &stack.owners {
            components.insert((stack.stack.clone(), owner.ownership.component.clone()));
        }
        for component in stack.components.iter().filter(|component| component.part == Part::Removed) {
            components.insert((stack.stack.clone(), component.key.clone()));
        }
    }
    components
}

/// What is recorded of components and owners once the steps are done.
fn closing_writes(
    plan: &Plan,
    outputs: &BTreeMap<(StackId, String), Map>,
    unfinished: &BTreeSet<(StackId, String)>,
    seal: &Seal,
) -> Vec<Write> {
    let mut writes = Vec::new();
    for stack in &plan.stacks {
        for component in &stack.components {
            let name = (stack.stack.clone(), component.key.clone());
            match component.part {
                Part::Untouched => {}
                Part::Removed if unfinished.contains(&name) => {}
                Part::Removed => {
                    writes.push(Write::DropComponent { stack: stack.stack.clone(), key: component.key.clone() })
                }
                Part::Planned => {
                    let recorded = |output: &&crate::plan::OutputChange| output.component == component.key;
                    let values: Map = match outputs.get(&name) {
                        Some(values) => values.clone(),
                        None => stack
                            .outputs
                            .iter()
                            .filter(recorded)
                            .filter_map(|output| Some((output.name.clone(), output.before.clone()?)))
                            .collect(),
                    };
                    writes.extend(component_write(&stack.stack, component, &values, seal));
                }
            }
        }
        for owner in &stack.owners {
            let name = (stack.stack.clone(), owner.ownership.component.clone());
            if owner.is_added {
                writes.push(Write::AddOwner(owner.ownership.clone()));
            } else if !unfinished.contains(&name) {
                writes.push(Write::DropOwner(owner.ownership.clone()));
            }
        }
    }
    writes
}

/// The row of a component; sensitive outputs are left out where they cannot be sealed: they are computed again.
fn component_write(
    stack: &StackId,
    component: &crate::plan::ComponentPlan,
    outputs: &Map,
    seal: &Seal,
) -> Option<Write> {
    let storable: Map = outputs
        .iter()
        .filter(|(_, value)| !value.has_unknown() && (!value.has_sensitive() || seal.can_store()))
        .map(|(name, value): (&String, &Value)| (name.clone(), value.clone()))
        .collect();
    let outputs = terrace_provider::value::wire::encode_map(&storable, seal).ok()?.to_string();
    Some(Write::Component {
        stack: stack.clone(),
        component: crate::store::ComponentRow {
            key: component.key.clone(),
            depends_on: component.depends_on.clone(),
            outputs,
            blueprint: component.blueprint.clone(),
        },
    })
}
