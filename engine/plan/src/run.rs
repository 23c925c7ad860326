//! Plans the stacks of a run one after the other, in the order of their dependencies.

use super::compute::Computed;
use super::cross_stack_outputs::{self, StackOrder};
use super::draft::Draft;
use super::external_grants::GrantTarget;
use super::failure::PlanFailure;
use super::lookup_dependencies::Declared;
use super::planner::Planner;
use super::targeting::ReleaseScope;
use super::{Mode, Origin, StackPlan, replacement};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::address::StackId;
use terrace_language::compile::CompiledStack;
use terrace_language::diagnostic::Diagnostic;
use terrace_provider::wrap::silence::with_silence_limit;
use terrace_store::Read;

/// A planned stack with its own diagnostics and reads, because it may have to be planned again.
struct Planned {
    plan: StackPlan,
    release_scope: ReleaseScope,
    grant_targets: Vec<GrantTarget>,
    diagnostics: Vec<Diagnostic>,
    reads: Vec<Read>,
}

impl Planner<'_> {
    /// Plans the stacks' descriptors.
    ///
    /// # Errors
    /// If the store cannot be read, or a recorded value cannot be decrypted.
    pub async fn plan(&self, stacks: &[CompiledStack], origin: Origin) -> Result<Computed, PlanFailure> {
        // Boxed: the future is large, and others contain this one.
        let work = Box::pin(self.plan_of(stacks, origin));
        with_silence_limit(&self.environment.silence_limit, work).await
    }

    async fn plan_of(&self, stacks: &[CompiledStack], origin: Origin) -> Result<Computed, PlanFailure> {
        self.seal.bind_to(self.store).await?;
        let mut refused = Vec::new();
        let stacks = &*self.with_access(stacks, &mut refused).await?;
        let mut draft = Draft::of(self, stacks);
        draft.diagnostics.extend(refused);
        let mut declared = Declared::of(stacks);
        let planned = self.plan_in_order(stacks, &mut declared, &mut draft).await?;
        let (mut plans, mut release_scopes, mut grant_targets) = (Vec::new(), Vec::new(), Vec::new());
        for mut planned in planned.into_values() {
            draft.lookups.check(&mut declared, &planned.plan.stack, &mut planned.diagnostics);
            draft.diagnostics.extend(planned.diagnostics);
            draft.reads.extend(planned.reads);
            plans.push(planned.plan);
            release_scopes.push(planned.release_scope);
            grant_targets.push(planned.grant_targets);
        }
        draft.lookups.record_reads(stacks, self.options.is_partial(), &mut plans);
        self.plan_shared(&mut plans, &release_scopes, &mut draft).await?;
        self.settle_external_grants(&mut plans, grant_targets, &mut draft).await?;
        draft.lookups.record_order(&mut declared, self.options.is_partial(), &mut plans);
        draft.named.check(self, &plans, &mut draft.diagnostics);
        replacement::order(self.registry, &mut plans, &mut draft.diagnostics);
        let mode = if self.options.refresh_only { Mode::RefreshOnly } else { Mode::Apply };
        self.finish(mode, plans, draft.reads, origin, draft.diagnostics, &draft.lookups).await
    }

    /// The plans of the stacks, by their positions in the run.
    async fn plan_in_order(
        &self,
        stacks: &[CompiledStack],
        declared: &mut Declared<'_>,
        draft: &mut Draft,
    ) -> Result<BTreeMap<usize, Planned>, PlanFailure> {
        let run: BTreeSet<&StackId> = stacks.iter().map(|stack| &stack.stack).collect();
        let mut order = StackOrder::of(self, stacks);
        // Stacks of a cycle read unknown values of each other.
        let cycle_errors = order.explain_cycles();
        let is_ordered = cycle_errors.is_empty();
        draft.diagnostics.extend(cycle_errors);
        let mut planned: BTreeMap<usize, Planned> = BTreeMap::new();
        let mut waiting: BTreeSet<usize> = (0..stacks.len()).collect();
        while !waiting.is_empty() {
            let positions = if is_ordered { order.positions(&waiting) } else { waiting.into_iter().collect() };
            waiting = BTreeSet::new();
            for at in positions {
                let Some(stack) = stacks.get(at) else { continue };
                let before = |id: &StackId| Some(&planned.get(&order.position(id)?)?.plan).filter(|_| is_ordered);
                let result = self.plan_one(stack, &run, &before, draft).await?;
                planned.insert(at, result);
                if draft.lookups.postpone_early(declared, &stack.stack) {
                    waiting.insert(at);
                }
                for creator in draft.lookups.take_read_stacks() {
                    order.add(&creator, &stack.stack, Default::default());
                }
                // Plans again the stacks that looked up this stack's objects too early. The new dependency orders them.
                for (reader, span) in draft.lookups.early_lookups(&stack.stack) {
                    let reader_at = order.position(&reader).filter(|at| planned.contains_key(at));
                    waiting.extend(reader_at.filter(|_| is_ordered && order.add(&stack.stack, &reader, span)));
                }
            }
            self.forget(stacks, &order, &mut waiting, draft);
            planned.retain(|at, _| !waiting.contains(at));
        }
        Ok(planned)
    }

    async fn plan_one<'p>(
        &self,
        stack: &CompiledStack,
        run: &BTreeSet<&StackId>,
        before: &impl Fn(&StackId) -> Option<&'p StackPlan>,
        draft: &mut Draft,
    ) -> Result<Planned, PlanFailure> {
        draft.named.declare(stack);
        let earlier_diagnostics = std::mem::take(&mut draft.diagnostics);
        let earlier_reads = std::mem::take(&mut draft.reads);
        let functions = self.functions.of_stack(stack.names);
        let planner = Planner { functions: &functions, ..*self };
        let (plan, release_scope, grant_targets) = if planner.options.refresh_only {
            let (plan, release_scope) = planner.observe_stack(stack, draft).await?;
            (plan, release_scope, Vec::new())
        } else {
            let found = cross_stack_outputs::find(&planner, stack, run, before, &mut draft.diagnostics).await?;
            planner.plan_stack(stack, found, draft).await?
        };
        let diagnostics = std::mem::replace(&mut draft.diagnostics, earlier_diagnostics);
        let reads = std::mem::replace(&mut draft.reads, earlier_reads);
        Ok(Planned { plan, release_scope, grant_targets, diagnostics, reads })
    }

    /// Forgets the plans of the stacks to plan again. Adds the stacks whose plans were computed from them.
    fn forget(
        &self,
        stacks: &[CompiledStack],
        order: &StackOrder<'_>,
        waiting: &mut BTreeSet<usize>,
        draft: &mut Draft,
    ) {
        let mut count = 0;
        while waiting.len() > count {
            count = waiting.len();
            waiting.extend(order.after(waiting));
            let dependents: Vec<usize> = {
                let ids = ids(stacks, waiting);
                draft.shared.stacks_sharing_with(&ids).filter_map(|stack| order.position(stack)).collect()
            };
            waiting.extend(dependents);
        }
        let ids = ids(stacks, waiting);
        if !ids.is_empty() {
            draft.lookups.forget(&ids);
            draft.shared.forget(&ids);
        }
    }
}

fn ids<'s>(stacks: &'s [CompiledStack], positions: &BTreeSet<usize>) -> BTreeSet<&'s StackId> {
    positions.iter().filter_map(|at| Some(&stacks.get(*at)?.stack)).collect()
}
