//! Removal of rows: their declaration is gone, or their component or stack is destroyed.

use super::failure::PlanFailure;
use super::loaded::{DeposedRow, LoadedRow};
use super::planner::Planner;
use super::refresh::recorded_lifecycle;
use super::removed_data::lost_data;
use super::resource::{declared_protected, is_protected, protected};
use super::{Basis, Change, DataLossNote, How, InDoubt, Why};
use std::collections::{BTreeMap, HashMap};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, BlockName, StackId};
use terrace_language::compile::CompiledStack;
use terrace_language::descriptor::Lifecycle;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::moves::Moves;
use terrace_language::source::Span;
use terrace_provider::schema::Timeouts;
use terrace_store::RowStatus;
use terrace_store::record;

/// Plans the removal of the deposed objects, which no descriptor uses any more.
pub(crate) async fn remove_deposed(
    planner: &Planner<'_>,
    stack: &StackId,
    rows: BTreeMap<(Address, String), DeposedRow>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((address, _), DeposedRow { row, in_doubt }) in rows {
        let Some((_, ty)) = planner.registry.resource_type(&address.ty) else {
            diagnostics.push(planner.registry.unknown_type(&address.ty).about(format!("{stack}:{address}")));
            continue;
        };
        let recorded = record::recorded(stack, &address, &row.opened.prior);
        let data_loss = match (&in_doubt, row.is_gone || !ty.is_holding_data(&recorded.attributes)) {
            (None, false) => {
                let reasons = vec!["the object that was replaced is deleted".to_owned()];
                let loss = lost_data(planner, (stack, &address), &row.opened.provider, ty, &recorded, reasons).await;
                Some(DataLossNote { is_allowed: loss.is_allowed || planner.options.remove_data, ..loss })
            }
            _ => None,
        };
        let (action, reason) = match (&in_doubt, row.is_gone) {
            (Some(_), _) => (Action::NoOp, Reason::Deposed),
            (None, true) => (Action::Forget, Reason::Gone),
            (None, false) => (Action::Delete, Reason::Deposed),
        };
        let timeouts = recorded_lifecycle(&row).timeouts(ty);
        changes.push(Change { data_loss, ..deposed(&address, row, action, reason, timeouts, in_doubt) });
    }
    changes
}

/// The change of a deposed object. Its drift does not matter.
pub(crate) fn deposed(
    address: &Address,
    row: LoadedRow,
    action: Action,
    reason: Reason,
    timeouts: Timeouts,
    in_doubt: Option<String>,
) -> Change {
    let removal = removal(address, row, action, reason, timeouts, in_doubt);
    Change { why: Why { drift: Vec::new(), ..removal.why }, moved_from: None, ..removal }
}

/// Plans the removal of a row; `None` without a change.
pub(crate) fn remove(
    planner: &Planner<'_>,
    stack: &StackId,
    address: &Address,
    row: LoadedRow,
    reason: Reason,
    in_doubt: Option<String>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<Change>, PlanFailure> {
    let Some((_, ty)) = planner.registry.resource_type(&address.ty) else {
        diagnostics.push(planner.registry.unknown_type(&address.ty).about(format!("{stack}:{address}")));
        return Ok(None);
    };
    let lifecycle = recorded_lifecycle(&row);
    let is_retained = row.opened.prior.status == RowStatus::Retained;
    let holds_data = ty.is_holding_data(&row.opened.prior.attributes);
    let keeps_data = holds_data && !planner.options.remove_data && !row.is_gone;
    if is_retained && keeps_data {
        return Ok(None);
    }
    let is_adopted = (ty.is_adopted)(&row.opened.prior.attributes, &row.opened.prior.private);
    let action = match (keeps_data, is_adopted) {
        (true, _) => Action::Retain,
        (false, true) => Action::Forget,
        (false, false) => Action::Delete,
    };
    if action == Action::Delete && !row.is_gone && is_protected(&lifecycle, Some(&row.opened.prior)) {
        diagnostics.push(protected(&format!("{stack}:{address}"), None, "deleted"));
    }
    let reason = match (is_retained, row.is_gone) {
        (true, _) => Reason::RemoveData,
        (_, true) => Reason::Gone,
        _ if action == Action::Forget => Reason::PreExisting,
        _ => reason,
    };
    let action = match (&in_doubt, row.is_gone) {
        (Some(_), _) => Action::NoOp,
        // A missing object is only removed from the state.
        (None, true) => Action::Forget,
        (None, false) => action,
    };
    Ok(Some(removal(address, row, action, reason, lifecycle.timeouts(ty), in_doubt)))
}

/// The declarations of a stack that protect their objects.
pub(crate) struct Protections<'a> {
    declared: HashMap<BlockName<&'a str>, Span>,
    moves: &'a Moves,
}

impl<'a> Protections<'a> {
    pub(crate) fn of(compiled: &'a CompiledStack) -> Self {
        let declared = compiled.components.iter().flat_map(|component| {
            let protecting = component.declarations.resources.iter().filter(|it| it.lifecycle.prevent_destroy);
            protecting
                .map(|it| (BlockName { component: &*component.key, ty: &*it.ty.value, name: &*it.name.value }, it.span))
        });
        Self { declared: declared.collect(), moves: &compiled.transitions.moves }
    }

    /// The error for an object to delete whose declaration protects it although its row does not: `unprotect` changes
    /// the row alone.
    pub(crate) fn refuse(&self, stack: &StackId, change: &Change) -> Option<Diagnostic> {
        if change.action != Action::Delete || is_protected(&Lifecycle::default(), change.basis.prior.as_deref()) {
            return None;
        }
        // A destroy does not carry out the moves of the descriptor: the row may have the former address.
        let moved = self.moves.destination(&change.address).map(|(address, _)| address);
        let span = self.declared.get(&BlockName::of(moved.as_ref().unwrap_or(&change.address)))?;
        Some(declared_protected(&format!("{stack}:{}", change.address), *span))
    }
}

/// The change of a row that leaves the state.
pub(crate) fn removal(
    address: &Address,
    row: LoadedRow,
    action: Action,
    reason: Reason,
    timeouts: Timeouts,
    in_doubt: Option<String>,
) -> Change {
    Change {
        address: address.clone(),
        deposed: row.opened.deposed.clone(),
        moved_from: row.moved_from,
        import_id: None,
        action,
        after: None,
        data_loss: None,
        in_doubt: in_doubt.map(InDoubt::Own),
        why: Why { reason: Some(reason), drift: row.drift, ..Why::default() },
        how: How {
            provider: row.opened.provider.clone(),
            lifecycle: row.opened.prior.lifecycle.clone(),
            timeouts,
            ..How::default()
        },
        basis: Basis { generation: row.opened.generation, prior: Some(Box::new(row.opened.prior)), ..Basis::default() },
    }
}
