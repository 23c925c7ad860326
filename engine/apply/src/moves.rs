//! Moves rows to their new addresses in the transaction that spends the plan. Later steps find the rows at the addresses in the
//! plan.

use super::lease::Held;
use super::outputs::OutputsNow;
use super::writes::{Components, opening_writes};
use super::{Applier, ApplyError};
use std::collections::{BTreeSet, HashMap};
use terrace_language::address::StackId;
use terrace_plan::row_moves::{RowMove, resealing, writes};
use terrace_plan::{Plan, StackPlan};
use terrace_store::{Record, Selection, StepAction, StepResult, Write};
use uuid::Uuid;

/// Moves the rows that the plan moves. Returns the plan with the rows' new generations, or `None` if nothing moves. Steps are
/// numbered from `first_step`.
pub(super) async fn carry_out(
    applier: &Applier,
    plan: &Plan,
    operation: Uuid,
    components: &Components,
    held: &Held,
    outputs_now: &OutputsNow,
    first_step: u32,
) -> Result<Option<Plan>, ApplyError> {
    if !plan.stacks.iter().any(|stack| row_moves(stack).next().is_some()) || applier.cancel.is_cancelled() {
        return Ok(None);
    }
    let (reads, read) = (plan.reads.clone(), outputs_now.reads.clone());
    let mut records = vec![Record::SpendPlan { plan: plan.id, reads, components: read }];
    let mut numbers = first_step..;
    for stack in &plan.stacks {
        let row_moves: Vec<RowMove> = row_moves(stack).collect();
        // In the same transaction, because a sealed value can be decrypted only at its own address.
        let resealed = resealing(applier.store.as_ref(), &applier.seal, &stack.stack, &row_moves).await;
        let resealed = resealed.map_err(ApplyError::Moved)?;
        for write in writes(&stack.stack, &row_moves) {
            records.push(match &write {
                Write::Move { to, .. } => Record::Outcome {
                    operation,
                    step: numbers.next().unwrap_or(u32::MAX),
                    stack: stack.stack.clone(),
                    address: to.clone(),
                    action: StepAction::Record,
                    result: StepResult::Done,
                    writes: vec![write],
                },
                _ => Record::Write { operation, write },
            });
        }
        records.extend(resealed.into_iter().map(|write| Record::Write { operation, write }));
    }
    let opening = opening_writes(plan, components, outputs_now, &applier.seal).into_iter();
    records.extend(opening.map(|write| Record::Write { operation, write }));
    held.leases().commit(records).await?;
    Ok(Some(with_versions(applier, plan).await?))
}

/// The rows that move. A row in doubt stays until the outcome is known.
fn row_moves(stack: &StackPlan) -> impl Iterator<Item = RowMove> + '_ {
    let changes = stack.changes.iter().filter(|change| change.in_doubt.is_none() && change.deposed.is_none());
    changes.filter_map(|change| {
        let (from, to) = (change.moved_from.clone()?, change.address.clone());
        Some(RowMove { from, to, generation: change.basis.generation })
    })
}

/// The plan with the present generations of moved rows.
async fn with_versions(applier: &Applier, plan: &Plan) -> Result<Plan, ApplyError> {
    let mut plan = plan.clone();
    for stack in &mut plan.stacks {
        let moved: BTreeSet<_> = row_moves(stack).map(|row_move| row_move.to).collect();
        if moved.is_empty() {
            continue;
        }
        let id: StackId = stack.stack.clone();
        let rows = applier.store.rows(&id, &Selection::Addresses(moved)).await?;
        let versions: HashMap<_, _> =
            rows.into_iter().map(|row| ((row.address, row.deposed), row.generation)).collect();
        for change in &mut stack.changes {
            if let Some(now) = versions.get(&(change.address.clone(), change.deposed.clone())) {
                change.basis.generation = *now;
            }
        }
    }
    Ok(plan)
}
