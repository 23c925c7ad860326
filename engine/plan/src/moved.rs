//! Applies `moved` to rows before planning: each row moves to its new address if that is free.

use super::failure::PlanFailure;
use super::loaded::{Loaded, LoadedRow};
use super::planner::Planner;
use super::targeting::Targeting;
use crate::Change;
use crate::row_moves::following;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::compile::CompiledStack;
use terrace_language::descriptor::transitions::Move;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::moves::Moves;
use terrace_language::selector::Selector;
use terrace_language::source::{Located, Span};
use terrace_language::text::shell_word;
use terrace_store::{Read, Selection};

/// Adds the moves of components whose objects are recorded under other keys.
pub(crate) fn identified<'c>(
    compiled: &'c CompiledStack,
    loaded: &Loaded,
    diagnostics: &mut Vec<Diagnostic>,
) -> Cow<'c, CompiledStack> {
    let transitions = &compiled.transitions;
    let keys: BTreeMap<(&str, &str), &ComponentKey> =
        transitions.identified.iter().map(|it| ((it.attribute, it.value.as_str()), &it.component)).collect();
    let attributes: BTreeSet<&str> = keys.keys().map(|(attribute, _)| *attribute).collect();
    let mut moves: BTreeMap<&ComponentKey, &ComponentKey> = BTreeMap::new();
    for (address, row) in &loaded.rows {
        let names = attributes.iter().filter_map(|attribute| {
            keys.get(&(*attribute, row.opened.prior.attributes.get(*attribute)?.as_str()?)).copied()
        });
        moves.extend(names.filter(|key| **key != address.component).map(|key| (&address.component, key)));
    }
    if moves.is_empty() {
        return Cow::Borrowed(compiled);
    }
    let component = |key: &ComponentKey| Located { value: Selector::Component(key.clone()), span: Span::default() };
    let moved = moves.into_iter().map(|(from, to)| Move { from: component(from), to: component(to) }).collect();
    let mut compiled = compiled.clone();
    compiled.transitions.moves = transitions.moves.with_final(moved, diagnostics);
    Cow::Owned(compiled)
}

/// Moves rows to their new addresses.
pub(crate) fn relocate(stack: &StackId, moves: &Moves, loaded: &mut Loaded, diagnostics: &mut Vec<Diagnostic>) {
    if moves.is_empty() {
        return;
    }
    let mut pending_moves: BTreeMap<Address, Vec<(usize, Address)>> = BTreeMap::new();
    for address in loaded.rows.keys() {
        if let Some((to, hops)) = moves.destination(address) {
            pending_moves.entry(to).or_default().push((hops, address.clone()));
        }
    }
    let recorded: BTreeSet<Address> = loaded.rows.keys().cloned().collect();
    // A row waits until another row leaves its new address.
    loop {
        let is_taken = |to: &Address, loaded: &Loaded| loaded.rows.contains_key(to);
        let (waiting, ready): (BTreeMap<_, _>, BTreeMap<_, _>) =
            pending_moves.into_iter().partition(|(to, _)| is_taken(to, loaded));
        let is_stuck = ready.is_empty();
        for (to, mut candidates) in if is_stuck { waiting.clone() } else { ready } {
            // Of several candidates the row with the fewest hops moved there last.
            candidates.sort();
            for (_, from) in candidates {
                if is_taken(&to, loaded) {
                    diagnostics.push(blocked(stack, moves, &from, &to));
                    continue;
                }
                if !recorded.contains(&to) {
                    loaded.reads.push(Read::absent(stack, &to));
                }
                loaded.relocate(from, to.clone());
            }
        }
        if is_stuck {
            return;
        }
        pending_moves = waiting;
    }
}

/// Reports moves between planned and untouched resources: planning one side alone would lose the object or create it twice.
pub(crate) async fn check_border(
    planner: &Planner<'_>,
    compiled: &CompiledStack,
    targeting: &Targeting,
    loaded: &Loaded,
    outside: &[Address],
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<(), PlanFailure> {
    let moves = &compiled.transitions.moves;
    if moves.is_empty() || !planner.options.is_partial() {
        return Ok(());
    }
    let sources = moves.iter().map(|moved| moved.from.value.component());
    let untouched: BTreeSet<ComponentKey> =
        sources.filter(|component| !targeting.has_component(component)).cloned().collect();
    let mut recorded: Vec<Address> = loaded.rows.keys().chain(outside).cloned().collect();
    if !untouched.is_empty() {
        let rows = planner.store.rows(&compiled.stack, &Selection::Components(untouched)).await?;
        recorded.extend(rows.into_iter().map(|row| row.address));
    }
    for from in &recorded {
        let Some(((entry, _), (to, _))) = moves.next(from).zip(moves.destination(from)) else { continue };
        let missing = match (targeting.covers(from), targeting.covers(&to)) {
            (true, false) => &to,
            (false, true) => from,
            _ => continue,
        };
        let planned = if missing == from { &to } else { from };
        let (missing, hint) = match targeting.has_component(&missing.component) {
            false => (missing.component.to_string(), format!("plan both: add `-c {}`", missing.component)),
            true if targeting.has_targets() => (missing.to_string(), format!("plan both: add `--target '{missing}'`")),
            true => (missing.to_string(), format!("leave out both: add `--exclude '{planned}'`")),
        };
        diagnostics.push(
            Diagnostic::error("move_leaves_plan", format!("{from} moves to {to}, and `{missing}` is not planned"))
                .at(entry.from.span)
                .about(format!("{}:{from}", compiled.stack))
                .hint(hint),
        );
    }
    Ok(())
}

impl Loaded {
    /// Gives a row another address, with its drift, doubt and deposed objects.
    pub(crate) fn relocate(&mut self, from: Address, to: Address) {
        let Some(mut row) = self.rows.remove(&from) else { return };
        row.opened.address = to.clone();
        if let Some(reason) = self.in_doubt.remove(&from) {
            self.in_doubt.insert(to.clone(), reason);
        }
        // The deposed objects of the row move too.
        let deposed = std::mem::take(&mut self.deposed).into_iter();
        self.deposed = deposed
            .map(|((address, key), mut deposed)| {
                if address == from {
                    deposed.row.opened.address = to.clone();
                }
                ((if address == from { to.clone() } else { address }, key), deposed)
            })
            .collect();
        // A row may move again, as the first instance of its block. The state still records it under the first address.
        let origin = row.moved_from.take().unwrap_or(from);
        let moved_from = Some(origin).filter(|origin| *origin != to);
        self.rows.insert(to, LoadedRow { moved_from, ..row });
    }
}

fn blocked(stack: &StackId, moves: &Moves, from: &Address, to: &Address) -> Diagnostic {
    if moves.next(from).is_some_and(|(entry, _)| moves.is_final(entry)) {
        // The recorded object at that address belongs to another component and would be replaced.
        let message = format!("{from} belongs to `{}`, and {to} has a row already", to.component);
        let command = shell_word(&format!("{stack}:{from}"));
        return Diagnostic::error("move_blocked", message)
            .about(format!("{stack}:{from}"))
            .hint(format!("`terrace state rm {command}` forgets the row and keeps its object"));
    }
    let message = format!("{from} cannot move to {to}, which has a row already: it counts as not declared");
    let diagnostic = Diagnostic::warning("move_blocked", message).about(format!("{stack}:{from}")).hint(format!(
        "`terrace state rm` forgets one of the two rows and keeps its object; or remove `moved` of {from}"
    ));
    match moves.next(from) {
        Some((entry, _)) => diagnostic.at(entry.from.span),
        None => diagnostic,
    }
}

/// Updates recorded dependencies to the new addresses of moved objects.
pub(crate) fn follow(changes: &mut [Change]) {
    let moved: BTreeMap<Address, Address> = changes
        .iter()
        .filter_map(|change| Some((change.moved_from.clone()?, change.address.clone())))
        .filter(|(from, to)| !from.is_shared() && !to.is_shared())
        .collect();
    if moved.is_empty() {
        return;
    }
    let blocks = following(moved.iter());
    let is_left = |block: &Address, changes: &[Change]| {
        changes.iter().any(|change| {
            change.basis.prior.is_some() && terrace_language::selector::is_same_block(&change.address, block)
        })
    };
    let left: BTreeMap<&Address, bool> = blocks.keys().map(|block| (block, is_left(block, changes))).collect();
    for prior in changes.iter_mut().filter_map(|change| change.basis.prior.as_mut()) {
        let is_touched = |address: &Address| moved.contains_key(address) || blocks.contains_key(address);
        if !prior.dependencies.iter().any(is_touched) {
            continue;
        }
        let mut followed = Vec::with_capacity(prior.dependencies.len());
        for address in std::mem::take(&mut prior.dependencies) {
            match (moved.get(&address), blocks.get(&address)) {
                (Some(to), _) => followed.push(to.clone()),
                (None, Some(targets)) => {
                    followed.extend(targets.iter().cloned());
                    if left.get(&address).copied().unwrap_or(true) {
                        followed.push(address);
                    }
                }
                (None, None) => followed.push(address),
            }
        }
        followed.sort();
        followed.dedup();
        prior.dependencies = followed;
    }
}
