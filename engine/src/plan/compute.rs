//! Computing a plan: what is declared, what is recorded and what providers say become changes.

use super::shared::SharedRows;
use super::walk::Walk;
use super::{
    Change, ComponentPlan, Mode, Note, Origin, Part, Plan, StackPlan, doubt, orphans, outputs, reads, refresh, twins,
};
use crate::action::{Action, Reason};
use crate::address::{Address, StackId};
use crate::compile::CompiledStack;
use crate::diagnostic::{Diagnostic, Location, has_errors};
use crate::expression::Functions;
use crate::record;
use crate::registry::Registry;
use crate::seal::Seal;
use crate::source::{Sources, Span};
use crate::store::{ComponentRow, Read, Selection, StateStore, StoreError};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::Attributes;
use terrace_provider::value::wire::WireError;
use uuid::Uuid;

/// All that planning works with.
pub struct Planner<'a> {
    /// Where rows are.
    pub store: &'a dyn StateStore,
    /// Who implements what.
    pub registry: &'a Registry,
    /// Functions of expressions.
    pub functions: &'a Functions,
    /// Opens what rows hold sealed.
    pub seal: &'a Seal,
    /// The texts that diagnostics point into.
    pub sources: &'a Sources,
    /// Where things are made.
    pub environment: &'a Environment,
    /// What was asked for.
    pub options: &'a Options,
    /// The time.
    pub now: Timestamp,
    /// Names the plan.
    pub id: Uuid,
    /// The version of this terrace.
    pub version: &'a str,
}

/// Where things are made.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// What the plan's header says of it.
    pub note: Option<String>,
    /// `settings` in expressions.
    pub settings: terrace_provider::Value,
}

/// What was asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Only these components, when there are any.
    pub components: BTreeSet<String>,
    /// Read the objects that state knows.
    pub refresh: bool,
    /// Remove data too.
    pub remove_data: bool,
    /// Changes may destroy data.
    pub allow_data_loss: Consent,
}

impl Default for Options {
    fn default() -> Self {
        Self { components: BTreeSet::new(), refresh: true, remove_data: false, allow_data_loss: Consent::None }
    }
}

/// Where data may be lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Consent {
    /// Nowhere.
    #[default]
    None,
    /// Everywhere.
    All,
    /// At these addresses, of that stack or of any.
    Addresses(BTreeSet<(Option<StackId>, Address)>),
}

impl Consent {
    /// True when data of this resource may be lost.
    #[must_use]
    pub fn covers(&self, stack: &StackId, address: &Address) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Addresses(addresses) => {
                addresses.iter().any(|(of, at)| at == address && of.as_ref().is_none_or(|of| of == stack))
            }
        }
    }
}

/// Planning could not even begin to answer.
#[derive(Debug, thiserror::Error)]
pub enum PlanFailure {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A recorded value cannot be opened.
    #[error("{address} cannot be opened: {error}")]
    Sealed {
        /// The resource.
        address: String,
        /// Why.
        error: WireError,
    },
}

/// A plan and all that is to be said of it. With errors, the plan can be shown and not applied.
#[derive(Debug)]
pub struct Computed {
    /// The plan.
    pub plan: Plan,
    /// Notes, warnings and errors.
    pub diagnostics: Vec<Diagnostic>,
}

impl Planner<'_> {
    /// Plans what the stacks describe.
    ///
    /// # Errors
    /// When the store cannot be read or what it holds cannot be opened.
    pub async fn plan(&self, stacks: &[CompiledStack], origin: Origin) -> Result<Computed, PlanFailure> {
        let mut diagnostics = Vec::new();
        let mut plans = Vec::new();
        let mut reads = Vec::new();
        let mut shared = SharedRows::of(&self.environment.name);
        for stack in stacks {
            plans.push(self.plan_stack(stack, &mut shared, &mut reads, &mut diagnostics).await?);
        }
        self.plan_shared(&mut shared, &mut plans, &mut reads, &mut diagnostics)?;
        self.finish(Mode::Apply, plans, reads, origin, diagnostics).await
    }

    /// Plans the removal of stacks, or of the chosen components of them. Needs the state only.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn plan_destroy(&self, stacks: &[StackId], origin: Origin) -> Result<Computed, PlanFailure> {
        let mut diagnostics = Vec::new();
        let mut plans = Vec::new();
        let mut reads = Vec::new();
        let mut shared = SharedRows::of(&self.environment.name);
        for stack in stacks {
            plans.push(self.destroy_stack(stack, &mut shared, &mut reads, &mut diagnostics).await?);
        }
        self.plan_shared(&mut shared, &mut plans, &mut reads, &mut diagnostics)?;
        self.finish(Mode::Destroy, plans, reads, origin, diagnostics).await
    }

    /// Plans what becomes of owners, and of shared objects that nobody owns any more. Who lets go is asked once it is
    /// known who declares what, in whichever stack of the plan.
    fn plan_shared(
        &self,
        shared: &mut SharedRows,
        plans: &mut [StackPlan],
        reads: &mut Vec<Read>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<(), PlanFailure> {
        for plan in plans.iter_mut() {
            plan.owners = shared.release(&plan.stack, &|key| self.is_chosen(key));
        }
        for plan in plans.iter_mut() {
            plan.changes.extend(shared.take_changes(&plan.stack));
            plan.changes.extend(shared.plan_releases(self, &plan.stack, &mut plan.owners, diagnostics)?);
            plan.owners.extend(shared.declarations_of(self, &plan.stack, diagnostics));
        }
        if let Some(plan) = plans.first_mut() {
            plan.changes.extend(shared.take_attempts());
        }
        for plan in plans.iter_mut() {
            let changed: BTreeSet<&Address> =
                plan.changes.iter().map(|change| &change.address).filter(|address| address.is_shared()).collect();
            plan.owned = shared.owners_of(&changed);
            plan.sort();
        }
        reads.extend(shared.take_reads());
        Ok(())
    }

    fn is_chosen(&self, component: &str) -> bool {
        self.options.components.is_empty() || self.options.components.contains(component)
    }

    async fn plan_stack(
        &self,
        compiled: &CompiledStack,
        shared: &mut SharedRows,
        reads: &mut Vec<Read>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<StackPlan, PlanFailure> {
        let stack = &compiled.stack;
        let order = match crate::graph::order(&compiled.components) {
            Ok(order) => order,
            Err(found) => {
                diagnostics.extend(found);
                return Ok(StackPlan::empty(stack.clone()));
            }
        };
        let recorded_components = self.recorded_components(stack).await?;
        let selection = self.selection();
        let loaded = refresh::load(self, stack, &selection, diagnostics).await?;
        reads.extend(self.reads_of_others(compiled).await?);
        shared.load(self, stack, diagnostics).await?;
        let mut walk = Walk::new(self, compiled, loaded, shared, &recorded_components);
        walk.run(&order, diagnostics).await?;
        let walked = walk.finish(diagnostics).await?;
        reads.extend(walked.reads);
        let described: BTreeSet<&str> = compiled.components.iter().map(|component| component.key.as_str()).collect();
        let mut components = compiled_components(self, compiled, &recorded_components);
        for component in &mut components {
            component.shared = walked.shared.get(&component.key).cloned().unwrap_or_default();
        }
        for (key, recorded) in &recorded_components {
            if described.contains(key.as_str()) {
                continue;
            }
            let part = if self.options.components.is_empty() { Part::Removed } else { Part::Untouched };
            components.push(recorded_component(key, recorded, part));
        }
        let outputs = outputs::changes(walked.outputs, &recorded_components, &components);
        Ok(StackPlan { components, changes: walked.changes, outputs, ..StackPlan::empty(stack.clone()) })
    }

    async fn destroy_stack(
        &self,
        stack: &StackId,
        shared: &mut SharedRows,
        reads: &mut Vec<Read>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<StackPlan, PlanFailure> {
        let recorded = self.recorded_components(stack).await?;
        let loaded = refresh::load(self, stack, &self.selection(), diagnostics).await?;
        shared.load(self, stack, diagnostics).await?;
        let mut loaded = loaded;
        reads.extend(std::mem::take(&mut loaded.reads));
        let mut changes = loaded.take_attempts();
        let mut in_doubt = loaded.in_doubt;
        for (address, row) in loaded.rows {
            let doubt = in_doubt.remove(&address);
            changes.extend(orphans::remove(self, stack, &address, row, Reason::Destroy, doubt, diagnostics)?);
        }
        let components: Vec<ComponentPlan> = recorded
            .iter()
            .map(|(key, row)| {
                recorded_component(key, row, if self.is_chosen(key) { Part::Removed } else { Part::Untouched })
            })
            .collect();
        let outputs = outputs::changes(Vec::new(), &recorded, &components);
        Ok(StackPlan { components, changes, outputs, ..StackPlan::empty(stack.clone()) })
    }

    async fn finish(
        &self,
        mode: Mode,
        stacks: Vec<StackPlan>,
        reads: Vec<Read>,
        origin: Origin,
        mut diagnostics: Vec<Diagnostic>,
    ) -> Result<Computed, PlanFailure> {
        self.check_storable(&stacks, &mut diagnostics);
        twins::check(self.registry, &stacks, &mut diagnostics);
        remove_repeated(&mut diagnostics);
        // In the order of the text; what has no place comes last.
        diagnostics.sort_by_key(|diagnostic| match diagnostic.labels.first().map(|label| &label.at) {
            Some(Location::Span(span)) => (0, *span),
            _ => (1, Span::default()),
        });
        let plan = Plan {
            id: self.id,
            timestamp: self.now,
            terrace_version: self.version.to_owned(),
            state: self.store.identity().await?.id,
            environment: self.environment.name.clone(),
            environment_note: self.environment.note.clone(),
            mode,
            is_complete: self.options.components.is_empty(),
            is_errored: has_errors(&diagnostics),
            origin,
            reads: reads::needed(&stacks, reads),
            stacks,
            notes: diagnostics.iter().map(|diagnostic| note(diagnostic, self.sources)).collect(),
        };
        Ok(Computed { plan, diagnostics })
    }

    /// What is recorded of components, by key.
    async fn recorded_components(&self, stack: &StackId) -> Result<BTreeMap<String, RecordedComponent>, PlanFailure> {
        let rows = self.store.components(stack).await?;
        rows.into_iter()
            .map(|row| {
                let outputs = record::open_attributes(&row.outputs, self.seal).map_err(|error| {
                    PlanFailure::Sealed { address: format!("the outputs of {stack}:{}", row.key), error }
                })?;
                Ok((row.key.clone(), RecordedComponent { row, outputs }))
            })
            .collect()
    }

    /// The rows of components that are left alone and that chosen ones depend on: their outputs are made of them.
    async fn reads_of_others(&self, compiled: &CompiledStack) -> Result<Vec<Read>, PlanFailure> {
        let chosen = &self.options.components;
        let others: BTreeSet<String> = compiled
            .components
            .iter()
            .filter(|component| chosen.contains(&component.key))
            .flat_map(|component| component.depends_on.iter().filter_map(|dependency| dependency.key.clone()))
            .filter(|key| !chosen.contains(key))
            .collect();
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.rows(&compiled.stack, &Selection::Components(others)).await?;
        let read = |row: crate::store::Row| Read {
            stack: row.stack,
            address: row.address,
            deposed: row.deposed,
            generation: row.generation,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    fn selection(&self) -> Selection {
        match self.options.components.is_empty() {
            true => Selection::All,
            false => Selection::Components(self.options.components.clone()),
        }
    }

    /// Sensitive values need a state key to be stored.
    fn check_storable(&self, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
        if self.seal.can_store() {
            return;
        }
        for (stack, change) in stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change))) {
            let Some(after) = change.after.as_ref().filter(|_| change.action.leaves_object()) else { continue };
            let write_only = |name: &str| {
                let ty = self.registry.resource_type(&change.address.ty);
                ty.and_then(|(_, ty)| ty.attributes.get(name)).is_some_and(|attribute| attribute.write_only)
            };
            let is_stored =
                |(name, value): &(&String, &terrace_provider::Value)| value.has_sensitive() && !write_only(name);
            if change.action == Action::NoOp {
                continue;
            }
            if let Some((name, _)) = after.attributes.iter().find(is_stored) {
                diagnostics.push(
                    Diagnostic::error(
                        "no_state_key",
                        format!("`{name}` of {} is sensitive and there is no state key to seal it with", change.address),
                    )
                    .about(format!("{}:{}", stack.stack, change.address))
                    .hint("make a key with `terrace init --state-key`, or store it in the clear with `--plaintext-secrets`"),
                );
            }
        }
    }
}

/// What is recorded of a component, opened.
pub(crate) struct RecordedComponent {
    pub(crate) row: ComponentRow,
    pub(crate) outputs: Attributes,
}

impl StackPlan {
    fn empty(stack: StackId) -> Self {
        Self {
            stack,
            components: Vec::new(),
            changes: Vec::new(),
            outputs: Vec::new(),
            owners: Vec::new(),
            owned: Vec::new(),
        }
    }

    fn sort(&mut self) {
        let keys = self.components.iter().map(|component| component.key.as_str());
        let position: BTreeMap<&str, usize> = keys.enumerate().map(|(position, key)| (key, position + 1)).collect();
        self.changes = in_order(std::mem::take(&mut self.changes), &position);
        doubt::hold_back(&mut self.changes);
        self.owners.sort_by(|a, b| a.ownership.cmp(&b.ownership));
        self.owned.sort();
    }
}

/// The changes of shared resources first, then by component, then by address. Positions are sorted and each change is
/// moved once, in place: it is large.
fn in_order(mut changes: Vec<Change>, components: &BTreeMap<&str, usize>) -> Vec<Change> {
    let place = |change: &Change| match change.address.is_shared() {
        true => 0,
        false => components.get(change.address.component.as_str()).copied().unwrap_or(usize::MAX),
    };
    let mut keys: Vec<(usize, &Address, &Option<String>, usize)> =
        changes.iter().enumerate().map(|(at, change)| (place(change), &change.address, &change.deposed, at)).collect();
    keys.sort_unstable();
    let mut destination = vec![0; keys.len()];
    for (to, (_, _, _, from)) in keys.into_iter().enumerate() {
        if let Some(destination) = destination.get_mut(from) {
            *destination = to;
        }
    }
    for at in 0..changes.len() {
        while let Some(to) = destination.get(at).copied().filter(|to| *to != at) {
            changes.swap(at, to);
            destination.swap(at, to);
        }
    }
    changes
}

fn compiled_components(
    planner: &Planner<'_>,
    compiled: &CompiledStack,
    recorded: &BTreeMap<String, RecordedComponent>,
) -> Vec<ComponentPlan> {
    let is_chosen = |key: &str| planner.options.components.is_empty() || planner.options.components.contains(key);
    compiled
        .components
        .iter()
        .map(|component| ComponentPlan {
            key: component.key.clone(),
            depends_on: component.depends_on.iter().filter_map(|dependency| dependency.key.clone()).collect(),
            depended_on: recorded.get(&component.key).map(|it| it.row.depends_on.clone()).unwrap_or_default(),
            shared: Vec::new(),
            blueprint: component.blueprint.clone(),
            part: if is_chosen(&component.key) { Part::Planned } else { Part::Untouched },
            recorded_outputs: match is_chosen(&component.key) {
                true => Attributes::new(),
                false => recorded.get(&component.key).map(|recorded| recorded.outputs.clone()).unwrap_or_default(),
            },
        })
        .collect()
}

fn recorded_component(key: &str, recorded: &RecordedComponent, part: Part) -> ComponentPlan {
    ComponentPlan {
        key: key.to_owned(),
        depends_on: recorded.row.depends_on.clone(),
        depended_on: recorded.row.depends_on.clone(),
        shared: Vec::new(),
        blueprint: recorded.row.blueprint.clone(),
        part,
        recorded_outputs: recorded.outputs.clone(),
    }
}

/// Instances of one declaration repeat its mistakes: one of each is enough.
fn remove_repeated(diagnostics: &mut Vec<Diagnostic>) {
    let mut seen = BTreeSet::new();
    diagnostics.retain(|diagnostic| {
        let at = diagnostic.labels.first().map(|label| format!("{:?}", label.at));
        seen.insert((diagnostic.code, diagnostic.message.clone(), at))
    });
}

fn note(diagnostic: &Diagnostic, sources: &Sources) -> Note {
    Note {
        severity: diagnostic.severity,
        code: diagnostic.code.to_owned(),
        message: diagnostic.message.clone(),
        place: diagnostic.place(sources),
        hint: diagnostic.hint.clone(),
        address: diagnostic.address.clone(),
    }
}
