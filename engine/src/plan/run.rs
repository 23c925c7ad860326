//! The stacks of one run: planned one after the other, in the order in which they need each other.

use super::choice::LettingGo;
use super::compute::{Computed, Draft, PlanFailure, Planner};
use super::looking::Looking;
use super::others::{self, StackOrder};
use super::{Mode, Origin, StackPlan, replacement};
use crate::address::StackId;
use crate::compile::CompiledStack;
use std::collections::BTreeSet;

/// The stacks of a run, by their position in it.
type Planned = Vec<(usize, StackPlan, LettingGo)>;

impl Planner<'_> {
    /// Plans what the stacks describe.
    ///
    /// # Errors
    /// When the store cannot be read or what it holds cannot be opened.
    pub async fn plan(&self, stacks: &[CompiledStack], origin: Origin) -> Result<Computed, PlanFailure> {
        let mut order = StackOrder::of(self, stacks);
        // Each time, one more stack is known to come after another one.
        let (mut planned, mut draft) = loop {
            let mut draft = Draft::of(self, Looking::of(stacks));
            let planned = self.plan_in_order(stacks, &order, &mut draft).await?;
            let in_order: Vec<&StackId> = planned.iter().map(|(_, plan, _)| &plan.stack).collect();
            let Draft { looking, shared, diagnostics, .. } = &mut draft;
            if !looking.reorder(self.registry, shared, &in_order, &mut order, diagnostics) {
                break (planned, draft);
            }
        };
        planned.sort_by_key(|(at, ..)| *at);
        let (mut plans, letting_go): (Vec<_>, Vec<_>) =
            planned.into_iter().map(|(_, plan, lets_go)| (plan, lets_go)).unzip();
        draft.looking.record_reads(stacks, self.options.is_partial(), &mut plans);
        self.plan_shared(&mut plans, &letting_go, &mut draft).await?;
        draft.named.check(self, &plans, &mut draft.diagnostics);
        replacement::order(self.registry, &mut plans, &mut draft.diagnostics);
        let mode = if self.options.refresh_only { Mode::RefreshOnly } else { Mode::Apply };
        self.finish(mode, plans, draft.reads, origin, draft.diagnostics).await
    }

    async fn plan_in_order(
        &self,
        stacks: &[CompiledStack],
        order: &StackOrder<'_>,
        draft: &mut Draft,
    ) -> Result<Planned, PlanFailure> {
        let run: BTreeSet<&StackId> = stacks.iter().map(|stack| &stack.stack).collect();
        let positions = order.positions();
        // What stacks of a loop would read of each other is unknown.
        let is_ordered = positions.is_ok();
        let positions = positions.unwrap_or_else(|found| {
            draft.diagnostics.extend(found);
            (0..stacks.len()).collect()
        });
        let mut planned: Planned = Vec::new();
        for at in positions {
            let Some(stack) = stacks.get(at) else { continue };
            draft.named.declare(stack);
            let (plan, lets_go) = if self.options.refresh_only {
                self.observe_stack(stack, draft).await?
            } else {
                let before = planned.iter().filter(|_| is_ordered).map(|(_, plan, _)| (&plan.stack, plan)).collect();
                let found = others::find(self, stack, &run, &before, &mut draft.diagnostics).await?;
                self.plan_stack(stack, found, draft).await?
            };
            draft.looking.add(self.registry, &plan);
            planned.push((at, plan, lets_go));
        }
        Ok(planned)
    }
}
