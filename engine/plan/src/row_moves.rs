//! Moves of rows: the writes for resources with new addresses.

use crate::rekey::RekeyError;
use crate::shared::SharedDeclaration;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use terrace_language::address::{Address, ComponentKey, InstanceKey, StackId};
use terrace_language::selector::is_same_block;
use terrace_store::record;
use terrace_store::seal::Seal;
use terrace_store::{Generation, OwnerRow, OwnersOf, Ownership, Row, Rows, Selection, Write};

/// A row that moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowMove {
    /// The present address.
    pub from: Address,
    /// The new address.
    pub to: Address,
    /// The generation of the row.
    pub generation: Generation,
}

/// The writes that move rows, and that update the recorded dependencies and reads of others.
#[must_use]
pub fn writes(stack: &StackId, row_moves: &[RowMove]) -> Vec<Write> {
    let row_moves = &in_order(row_moves);
    let rename = |row_move: &RowMove| Write::Move {
        stack: stack.clone(),
        from: row_move.from.clone(),
        to: row_move.to.clone(),
        expected: row_move.generation,
    };
    let follow = following(row_moves.iter().map(|row_move| (&row_move.from, &row_move.to)));
    let follow = follow.into_iter().flat_map(|(block, targets)| {
        let stack = stack.clone();
        targets.into_iter().map(move |to| Write::Follow { stack: stack.clone(), block: block.clone(), to })
    });
    let mut between: Vec<(&ComponentKey, &ComponentKey)> =
        row_moves.iter().filter_map(|row_move| between(&row_move.from, &row_move.to)).collect();
    let mut known = HashSet::new();
    between.retain(|pair| known.insert(*pair));
    let reads = between.into_iter().map(|(from, to)| Write::FollowReads {
        stack: stack.clone(),
        from: from.clone(),
        to: to.clone(),
    });
    row_moves.iter().map(rename).chain(follow).chain(reads).collect()
}

/// Sorts the rows so that each finds its new address free.
fn in_order(row_moves: &[RowMove]) -> Vec<RowMove> {
    let mut ordered = Vec::with_capacity(row_moves.len());
    let mut waiting: Vec<&RowMove> = row_moves.iter().collect();
    while !waiting.is_empty() {
        let taken: HashSet<&Address> = waiting.iter().map(|row_move| &row_move.from).collect();
        let (blocked, free): (Vec<&RowMove>, Vec<&RowMove>) =
            waiting.iter().copied().partition(|row_move| row_move.to != row_move.from && taken.contains(&row_move.to));
        // The store refuses circles.
        let (free, blocked) = if free.is_empty() { (blocked, Vec::new()) } else { (free, blocked) };
        ordered.extend(free.into_iter().cloned());
        waiting = blocked;
    }
    ordered
}

/// The writes after [`writes`]: they seal moved rows, and declarations of moved shared resources, at their new addresses.
///
/// # Errors
/// If the store cannot be read, or a value cannot be decrypted or sealed.
pub async fn resealing(
    store: &dyn Rows,
    seal: &Seal,
    stack: &StackId,
    row_moves: &[RowMove],
) -> Result<Vec<Write>, RekeyError> {
    seal.bind_to(store).await?;
    let targets: BTreeMap<&Address, &Address> = row_moves.iter().map(|entry| (&entry.from, &entry.to)).collect();
    let from: BTreeSet<Address> = targets.keys().map(|from| (*from).clone()).collect();
    let sealed = |record: String| move |error| RekeyError::Sealed { record, error };
    let mut writes = Vec::new();
    for row in store.rows(stack, &Selection::Addresses(from.clone())).await? {
        let Some(to) = targets.get(&row.address) else { continue };
        let record = format!("{stack}:{}", row.address);
        if let Some(row) = record::resealed(row, None, to, seal).map_err(sealed(record))? {
            writes.push(Write::Reseal { row: Box::new(Row { generation: 0, ..row }) });
        }
    }
    if *stack != StackId::shared(&stack.environment) {
        return Ok(writes);
    }
    for OwnerRow { ownership, declaration } in store.owners(&stack.environment, &OwnersOf::Addresses(from)).await? {
        let Some(to) = targets.get(&ownership.address) else { continue };
        let record =
            || format!("declaration by `{}` of {} of {}", ownership.component, ownership.stack, ownership.address);
        let declared = SharedDeclaration::from_stored(&ownership, &declaration, seal).map_err(sealed(record()))?;
        let Some(declared) = declared.filter(SharedDeclaration::has_sensitive) else { continue };
        let moved = Ownership { address: (*to).clone(), ..ownership.clone() };
        let declaration = declared.to_stored(&moved, seal).map_err(sealed(record()))?;
        writes.push(Write::PutOwner(OwnerRow { ownership: moved, declaration }));
    }
    Ok(writes)
}

/// The old and the new component of an object; `None` if the component stays.
pub(crate) fn between<'a>(from: &'a Address, to: &'a Address) -> Option<(&'a ComponentKey, &'a ComponentKey)> {
    let has_moved = from.component != to.component && !from.is_shared();
    has_moved.then_some((&from.component, &to.component))
}

/// New targets of dependencies on all instances of a resource, after instances moved elsewhere. If several instances moved to one
/// resource, the target is that resource as a whole, so that the number of targets stays small.
pub(crate) fn following<'a>(
    moved: impl Iterator<Item = (&'a Address, &'a Address)>,
) -> BTreeMap<Address, BTreeSet<Address>> {
    let mut targets: BTreeMap<(Address, Address), BTreeSet<Address>> = BTreeMap::new();
    for (from, to) in moved.filter(|(from, to)| from.key.is_some() && !(is_same_block(from, to) && to.key.is_some())) {
        targets.entry((all_instances(from), all_instances(to))).or_default().insert(to.clone());
    }
    let mut following: BTreeMap<Address, BTreeSet<Address>> = BTreeMap::new();
    for ((from, to), targets) in targets {
        let target = match targets.first() {
            Some(only) if targets.len() == 1 => only.clone(),
            _ => to,
        };
        following.entry(from).or_default().insert(target);
    }
    following
}

/// The address that stands for all instances.
fn all_instances(address: &Address) -> Address {
    Address { key: Some(InstanceKey::All), ..address.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependency_on_all_instances_follows_moved_instances() {
        let parse = |text: &str| text.parse::<Address>().unwrap();
        let pairs = [("t.a[0]", "t.b[0]"), ("t.a[1]", "t.b[1]"), ("t.c[0]", "t.c[1]"), ("t.d[0]", "t.e")];
        let pairs = pairs.map(|(from, to)| (parse(from), parse(to)));
        let followed = following(pairs.iter().map(|(from, to)| (from, to)));
        let lines: Vec<String> = followed
            .iter()
            .map(|(from, to)| format!("{from} {}", to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
            .collect();
        assert_eq!(lines, ["t.a[*] t.b[*]", "t.d[*] t.e"]);
    }
}
