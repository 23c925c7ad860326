//! Computes a plan: turns declarations, state and provider answers into changes.

use super::components::{compiled_components, follow_components, not_deployed, order_of, recorded_component};
use super::draft::Draft;
use super::external_grants::GrantTarget;
use super::failure::PlanFailure;
use super::lookup_dependencies::LookupDependencies;
use super::planner::Planner;
use super::targeting::{ReleaseScope, Targeting};
use super::walk::Walk;
use super::{
    Change, ComponentPlan, Mode, Note, Origin, Part, Plan, StackPlan, check_adopt_conflict, check_configured,
    check_duplicate_identity, check_lookup_of_removed, check_rename_circles, check_renamed_stack, cross_stack_outputs,
    in_doubt, moved, needed, orphans, output_reads, outputs, read_set, refresh, removed_data, storable,
};
use futures_util::future;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use terrace_language::action::Reason;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::compile::CompiledStack;
use terrace_language::diagnostic::{Diagnostic, Location, has_errors, remove_repeated};
use terrace_language::lookup;
use terrace_language::source::{Sources, Span};
use terrace_provider::wrap::silence::with_silence_limit;
use terrace_store::{Read, Selection, StoreIdentity};

/// A plan and its diagnostics. With errors, the plan can be shown, not applied.
#[derive(Debug)]
pub struct Computed {
    /// The plan.
    pub plan: Plan,
    /// Notes, warnings and errors.
    pub diagnostics: Vec<Diagnostic>,
}

impl Computed {
    /// Adds a diagnostic to the result and to the plan.
    pub fn add(&mut self, diagnostic: Diagnostic, sources: &Sources) {
        self.plan.notes.push(Note::of(&diagnostic, sources));
        self.diagnostics.push(diagnostic);
    }
}

impl Planner<'_> {
    /// Plans the removal of stacks, or of the chosen components of them. Needs the state only.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn plan_destroy(&self, stacks: &[StackId], origin: Origin) -> Result<Computed, PlanFailure> {
        self.plan_destroy_described(stacks, &[], origin).await
    }

    /// As [`Planner::plan_destroy`]; also finds and removes described objects that have no row.
    ///
    /// # Errors
    /// As [`Planner::plan`].
    pub async fn plan_destroy_described(
        &self,
        stacks: &[StackId],
        described: &[CompiledStack],
        origin: Origin,
    ) -> Result<Computed, PlanFailure> {
        let work = self.removal_of(stacks, described, origin);
        with_silence_limit(&self.environment.silence_limit, work).await
    }

    async fn removal_of(
        &self,
        stacks: &[StackId],
        described: &[CompiledStack],
        origin: Origin,
    ) -> Result<Computed, PlanFailure> {
        self.seal.bind_to(self.store).await?;
        let mut draft = Draft::of(self, &[]);
        let mut plans = Vec::new();
        let mut release_scopes = Vec::new();
        for stack in stacks {
            self.check_ids_of(stack, described, &mut draft.diagnostics).await?;
            let compiled = described.iter().find(|compiled| compiled.stack == *stack);
            let (mut plan, release_scope) = self.destroy_stack(stack, compiled, &mut draft).await?;
            plan.changes.extend(self.remove_unmanaged(stack, described, &mut draft).await?);
            plans.push(plan);
            release_scopes.push(release_scope);
        }
        self.plan_shared(&mut plans, &release_scopes, &mut draft).await?;
        draft.named.check(self, &plans, &mut draft.diagnostics);
        self.finish(Mode::Destroy, plans, draft.reads, origin, draft.diagnostics, &draft.lookups).await
    }

    /// Plans owner changes and the removal of shared objects without an owner. Owners are released after all stacks of the plan have
    /// declared theirs.
    pub(super) async fn plan_shared(
        &self,
        plans: &mut [StackPlan],
        release_scopes: &[ReleaseScope],
        draft: &mut Draft,
    ) -> Result<(), PlanFailure> {
        let Draft { shared, reads, diagnostics, .. } = draft;
        for (plan, release_scope) in plans.iter_mut().zip(release_scopes) {
            plan.owners = shared.release(&plan.stack, &|component, address| release_scope.covers(component, address));
        }
        for plan in plans.iter_mut() {
            plan.changes.extend(shared.take_changes(&plan.stack));
            plan.changes.extend(shared.plan_releases(self, &plan.stack, &mut plan.owners, diagnostics)?);
            plan.owners.extend(shared.declarations_of(self, &plan.stack, diagnostics));
        }
        if let Some(plan) = plans.first_mut() {
            plan.changes.extend(shared.take_attempts());
        }
        for deposed in shared.remove_deposed(self, diagnostics).await {
            // The deposed object goes to the stack that plans its successor.
            let has_successor = |plan: &StackPlan| plan.changes.iter().any(|change| change.address == deposed.address);
            let at = plans.iter().position(has_successor).unwrap_or_default();
            if let Some(plan) = plans.get_mut(at) {
                plan.changes.push(deposed);
            }
        }
        for plan in plans.iter_mut() {
            let changed: BTreeSet<&Address> =
                plan.changes.iter().map(|change| &change.address).filter(|address| address.is_shared()).collect();
            plan.owned = shared.owners_of(&changed);
            plan.sort();
        }
        reads.extend(shared.take_reads());
        diagnostics.extend(shared.take_diagnostics());
        Ok(())
    }

    pub(super) async fn plan_stack(
        &self,
        compiled: &CompiledStack,
        mut found: cross_stack_outputs::CrossStackReads,
        draft: &mut Draft,
    ) -> Result<(StackPlan, ReleaseScope, Vec<GrantTarget>), PlanFailure> {
        let Draft { shared, lookups, refresh_cache, named, reads, diagnostics } = draft;
        let stack = &compiled.stack;
        let selection = self.selection();
        let recorded = future::join(self.recorded_components(stack), self.store.rows(stack, &selection));
        // The second future is polled while the first one waits for the store.
        let declared = async {
            let faults = lookup::check(compiled, &self.options.components, self.registry);
            (faults, terrace_language::graph::order_with(&compiled.components, lookups.postponed(stack)))
        };
        let ((recorded_components, rows), (faults, order)) = future::join(recorded, declared).await;
        diagnostics.extend(faults.diagnostics.iter().cloned());
        let order = match order {
            Ok(order) => order,
            Err(found) => {
                diagnostics.extend(found);
                return Ok((StackPlan::empty(stack.clone()), ReleaseScope::Nothing, Vec::new()));
            }
        };
        let mut recorded_components = recorded_components?;
        let mut loaded = refresh::opened(self, stack, rows?)?;
        let compiled = &*moved::identified(compiled, &loaded, diagnostics);
        let moved_from = follow_components(&compiled.transitions.moves, &mut recorded_components);
        let mut targeting = Targeting::of_descriptor(self, compiled);
        named.record(stack, loaded.rows.keys());
        targeting.include_undeclared(&loaded.rows, &order_of(&recorded_components));
        let outside = loaded.leave_out(&targeting);
        moved::check_border(self, compiled, &targeting, &loaded, &outside, diagnostics).await?;
        if let Some(cached) = refresh_cache.of_stack(stack) {
            loaded = cached.loaded;
            diagnostics.extend(cached.diagnostics);
        } else {
            let before = diagnostics.len();
            refresh::refresh_loaded(self, stack, &selection, &targeting, &mut loaded, diagnostics).await?;
            refresh_cache.insert(stack, &loaded, diagnostics.get(before..).unwrap_or_default());
        }
        moved::relocate(stack, &compiled.transitions.moves, &mut loaded, diagnostics);
        reads.extend(self.reads_of_untouched(compiled).await?);
        shared.load(self, stack).await?;
        self.check_ids(compiled, &recorded_components, diagnostics);
        let mut components = compiled_components(&targeting, compiled, &recorded_components, self.sources);
        if !self.options.offline && !self.options.components.is_empty() {
            diagnostics.extend(not_deployed(&targeting, compiled, &recorded_components));
        }
        let is_partial = !targeting.is_whole();
        let release_scope = ReleaseScope::of_descriptor(&targeting);
        let other_stacks = &found.other_stacks;
        let mut walk =
            Walk::new(self, compiled, targeting, loaded, shared, lookups, other_stacks, &recorded_components, &faults);
        walk.run(&order, diagnostics).await?;
        let walked = walk.finish(diagnostics).await?;
        let release_scope = walked.granted_shares.map_or(release_scope, ReleaseScope::Grants);
        named.record(stack, walked.passed_over.iter());
        reads.extend(walked.reads);
        reads.extend(found.reads);
        found.needs.extend(lookups.take_needs());
        found.needs.sort();
        found.needs.dedup();
        let described: BTreeSet<&str> = compiled.components.iter().map(|component| component.key.as_str()).collect();
        let mut needs: HashMap<&str, Vec<_>> = HashMap::new();
        for need in &found.needs {
            needs.entry(&need.component).or_default().push(need.read());
        }
        for component in &mut components {
            if let Some(is_whole) = walked.deferring.get(&component.key) {
                component.defer(*is_whole, &compiled.transitions.moves);
            }
            component.shared = walked.shared.get(&component.key).cloned().unwrap_or_default();
            component.reads = needs.remove(component.key.as_str()).unwrap_or_default();
        }
        for (key, recorded) in &recorded_components {
            if described.contains(key.as_str()) {
                continue;
            }
            let mut left = outside.iter().chain(&walked.deferred_rows);
            let is_left = !self.options.components.is_empty() || left.any(|row| row.component == *key);
            let part = if is_left { Part::Untouched } else { Part::Removed };
            components.push(recorded_component(key, recorded, part));
        }
        let parts: HashMap<&str, Part> =
            components.iter().map(|component| (component.key.as_str(), component.part)).collect();
        for (key, recorded) in &recorded_components {
            match parts.get(key.as_str()) {
                Some(Part::Untouched) => recorded.open(stack)?,
                // Outputs that were not evaluated stay as they are.
                Some(Part::Planned) if is_partial || walked.deferring.contains_key(key) => recorded.open(stack)?,
                _ => diagnostics.extend(recorded.drop_undecryptable(stack)),
            }
        }
        let changes = walked.changes;
        // A component without resources cannot show by itself that it moved.
        let origins: HashSet<&str> = match moved_from.is_empty() {
            true => HashSet::new(),
            false => changes.iter().filter_map(|change| Some(change.moved_from.as_ref()?.component.as_str())).collect(),
        };
        let has_moved = |key: &str| moved_from.contains(key) && origins.contains(key);
        let outputs = outputs::changes(walked.outputs, &recorded_components, &components, &has_moved, is_partial);
        let mut plan = StackPlan {
            components,
            changes,
            outputs,
            deferred: walked.deferred,
            checks: walked.checks,
            lookups: walked.lookups,
            needs: found.needs,
            recorded_outputs: found.recorded,
            ..StackPlan::empty(stack.clone())
        };
        plan.output_reads = output_reads::of(self, compiled, &plan);
        Ok((plan, release_scope, walked.grant_targets))
    }

    async fn destroy_stack(
        &self,
        stack: &StackId,
        compiled: Option<&CompiledStack>,
        draft: &mut Draft,
    ) -> Result<(StackPlan, ReleaseScope), PlanFailure> {
        let Draft { shared, named, reads, diagnostics, .. } = draft;
        let recorded = self.recorded_components(stack).await?;
        let mut loaded = refresh::rows(self, stack, &self.selection()).await?;
        named.record(stack, loaded.rows.keys());
        let targeting = Targeting::of_removal(self, stack, &loaded.rows, &order_of(&recorded));
        let outside = loaded.leave_out(&targeting);
        refresh::refresh_loaded(self, stack, &self.selection(), &targeting, &mut loaded, diagnostics).await?;
        shared.load(self, stack).await?;
        let rows = loaded.rows.keys().chain(loaded.deposed.keys().map(|(address, _)| address));
        let touched: BTreeSet<ComponentKey> = rows.map(|address| address.component.clone()).collect();
        reads.extend(std::mem::take(&mut loaded.reads));
        let mut changes = loaded.take_attempts();
        let mut in_doubt = loaded.in_doubt;
        let protections = compiled.map(orphans::Protections::of);
        for (address, row) in loaded.rows {
            let in_doubt_reason = in_doubt.remove(&address);
            let change = orphans::remove(self, stack, &address, row, Reason::Destroy, in_doubt_reason, diagnostics)?;
            if let (Some(change), Some(protections)) = (&change, &protections) {
                diagnostics.extend(protections.refuse(stack, change));
            }
            changes.extend(change);
        }
        changes.extend(orphans::remove_deposed(self, stack, loaded.deposed, diagnostics).await);
        let left: HashSet<&str> = outside.iter().map(|address| address.component.as_str()).collect();
        let is_removed = |key: &ComponentKey| {
            targeting.has_component(key)
                && !left.contains(key.as_str())
                && (targeting.is_whole() || touched.contains(key))
        };
        diagnostics.extend(self.dependents_of_removed(stack, &recorded, &is_removed).await?);
        let components: Vec<ComponentPlan> = recorded
            .iter()
            .map(|(key, row)| {
                recorded_component(key, row, if is_removed(key) { Part::Removed } else { Part::Untouched })
            })
            .collect();
        let removed = recorded.iter().filter(|(key, _)| is_removed(key));
        diagnostics.extend(removed.flat_map(|(_, component)| component.drop_undecryptable(stack)));
        let outputs = outputs::changes(Vec::new(), &recorded, &components, &|_| false, false);
        let release_scope = ReleaseScope::of_removal(&targeting, components.iter());
        Ok((StackPlan { components, changes, outputs, ..StackPlan::empty(stack.clone()) }, release_scope))
    }

    pub(super) async fn finish(
        &self,
        mode: Mode,
        mut stacks: Vec<StackPlan>,
        reads: Vec<Read>,
        mut origin: Origin,
        mut diagnostics: Vec<Diagnostic>,
        lookups: &LookupDependencies,
    ) -> Result<Computed, PlanFailure> {
        needed::settle(self, &mut stacks, &mut diagnostics).await?;
        // Before the checks: a held-back change must not cause errors about other changes.
        in_doubt::hold_back_dependents(self.registry, &mut stacks, &mut diagnostics);
        // A plan without changes depends on all rows that it read.
        let has_changes = Plan::is_any_changed(mode, &stacks);
        let reads = if has_changes { read_set::needed(&stacks, reads) } else { reads };
        stacks.iter_mut().filter(|_| has_changes).for_each(read_set::needed_outputs);
        self.record_instances(&stacks, &mut origin);
        removed_data::count(self, &mut stacks).await;
        stacks.iter_mut().for_each(|stack| removed_data::emptied_before(self.registry, stack));
        storable::check(self, &stacks, &mut diagnostics);
        storable::check_addresses(&stacks, &mut diagnostics);
        check_configured::check(self, &stacks, &mut diagnostics).await;
        check_duplicate_identity::check(self.registry, &stacks, &mut diagnostics);
        check_adopt_conflict::check(self, &stacks, &mut diagnostics).await?;
        check_rename_circles::check(self.registry, &stacks, &mut diagnostics);
        check_adopt_conflict::check_replaced(self, &stacks, &mut diagnostics).await?;
        check_renamed_stack::check(self, &stacks, &mut diagnostics).await?;
        check_lookup_of_removed::check(self.registry, &stacks, lookups, &mut diagnostics);
        remove_repeated(&mut diagnostics);
        // By location; diagnostics without a location come last.
        diagnostics.sort_by_key(|diagnostic| match diagnostic.labels.first().map(|label| &label.at) {
            Some(Location::Span(span)) => (0, *span),
            _ => (1, Span::default()),
        });
        let StoreIdentity { id: state, url: state_url } = self.store.identity().await?;
        let plan = Plan {
            id: self.id,
            timestamp: self.now,
            terrace_version: self.version.to_owned(),
            state,
            state_url,
            environment: self.environment.name.clone(),
            environment_note: self.environment.note.clone(),
            mode,
            is_complete: !self.options.is_partial() && stacks.iter().all(|stack| stack.deferred.is_empty()),
            is_errored: has_errors(&diagnostics),
            origin,
            reads,
            stacks,
            notes: diagnostics.iter().map(|diagnostic| Note::of(diagnostic, self.sources)).collect(),
        };
        Ok(Computed { plan, diagnostics })
    }

    /// Records the provider instances of the plan, because another version may interpret it differently.
    fn record_instances(&self, stacks: &[StackPlan], origin: &mut Origin) {
        for stack in stacks {
            let changes = stack.changes.iter().map(|change| change.how.provider.as_str());
            for instance in changes.chain(stack.lookups.iter().map(|lookup| lookup.provider.as_str())) {
                if !origin.providers.contains_key(instance)
                    && let Some(schema) = self.registry.instance(instance)
                {
                    origin.providers.insert(instance.to_owned(), schema.name_and_version());
                    let settings = self.registry.settings_digest(instance);
                    origin.settings.extend(settings.map(|digest| (instance.to_owned(), digest)));
                }
            }
        }
    }

    /// The rows of untouched components that chosen ones depend on: the chosen components' outputs are computed from them.
    async fn reads_of_untouched(&self, compiled: &CompiledStack) -> Result<Vec<Read>, PlanFailure> {
        let chosen = &self.options.components;
        let untouched: BTreeSet<ComponentKey> = compiled
            .components
            .iter()
            .filter(|component| chosen.contains(&component.key))
            .flat_map(|component| component.depends_on.iter().filter_map(|dependency| dependency.key.clone()))
            .filter(|key| !chosen.contains(key))
            .collect();
        if untouched.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.store.rows(&compiled.stack, &Selection::Components(untouched)).await?;
        let read = |row: terrace_store::Row| Read {
            stack: row.stack,
            address: row.address,
            deposed: row.deposed,
            generation: row.generation,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    pub(super) fn selection(&self) -> Selection {
        match self.options.components.is_empty() {
            true => Selection::All,
            false => Selection::Components(self.options.components.clone()),
        }
    }
}

impl StackPlan {
    pub(super) fn empty(stack: StackId) -> Self {
        Self {
            stack,
            components: Vec::new(),
            changes: Vec::new(),
            outputs: Vec::new(),
            deferred: Vec::new(),
            checks: Vec::new(),
            lookups: Vec::new(),
            needs: Vec::new(),
            recorded_outputs: Vec::new(),
            output_reads: Vec::new(),
            owners: Vec::new(),
            owned: Vec::new(),
        }
    }

    pub(super) fn sort(&mut self) {
        let keys = self.components.iter().map(|component| component.key.as_str());
        let position: BTreeMap<&str, usize> = keys.enumerate().map(|(position, key)| (key, position + 1)).collect();
        self.changes = in_order(std::mem::take(&mut self.changes), &position);
        in_doubt::hold_back(&mut self.changes);
        self.owners.sort_by(|a, b| a.ownership.cmp(&b.ownership));
        self.owned.sort();
    }
}

/// Sorts changes: shared resources first, then by component, then by address. Sorts positions and swaps in place, because a change is
/// large.
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
