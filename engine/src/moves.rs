//! Moves of resources: follows `moved` of descriptors and blueprints from a recorded address to the present one.

use crate::address::{Address, BlockName, ComponentKey, InstanceKey, StackId};
use crate::descriptor::transitions::Move;
use crate::diagnostic::Diagnostic;
use crate::plan::shared::SharedDeclaration;
use crate::record;
use crate::rekey::RekeyError;
use crate::seal::Seal;
use crate::selector::{Selector, is_same_block};
use crate::store::{Generation, OwnerRow, OwnersOf, Ownership, Row, Rows, Selection, Write};
use crate::text::shell_word;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The moves of a stack, by their origin.
#[derive(Debug, Clone, Default)]
pub struct Moves {
    all: Vec<Move>,
    /// Positions of moves by component, type and name of their origin.
    resources: HashMap<BlockName, Vec<usize>>,
    /// Positions of moves by the component that moves.
    components: HashMap<ComponentKey, usize>,
    /// The components that move last. Their moves take place at the same time, so that one may take the key that another leaves.
    final_components: BTreeSet<ComponentKey>,
}

impl Moves {
    /// Indexes the moves; conflicts are reported.
    #[must_use]
    pub fn new(all: Vec<Move>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut moves = Self::default();
        let mut origins: HashMap<&Selector, &Move> = HashMap::new();
        for entry in &all {
            if let Some(first) = origins.insert(&entry.from.value, entry) {
                diagnostics.push(
                    Diagnostic::error("moved_twice", format!("`{}` moves twice", entry.from.value))
                        .at_with(entry.from.span, "again here")
                        .at_with(first.from.span, "first here")
                        .hint("an object can move to only one address: remove one of the two moves"),
                );
            }
        }
        for (position, entry) in all.iter().enumerate() {
            match &entry.from.value {
                Selector::Component(component) => {
                    moves.components.insert(component.clone(), position);
                }
                Selector::Resource(address) => {
                    moves.resources.entry(BlockName::owned(address)).or_default().push(position)
                }
            }
        }
        moves.all = all;
        moves
    }

    /// Adds moves of components that take place at the same time, after all others.
    #[must_use]
    pub(crate) fn with_final(&self, final_moves: Vec<Move>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut moves =
            Self::new(self.all.iter().cloned().chain(final_moves.iter().cloned()).collect(), &mut Vec::new());
        let stated: HashSet<&Selector> = self.all.iter().map(|entry| &entry.from.value).collect();
        let duplicates = final_moves.iter().filter(|entry| stated.contains(&entry.from.value));
        diagnostics.extend(duplicates.map(|entry| {
            Diagnostic::error("moved_twice", format!("`{}` moves twice", entry.from.value))
                .at(self
                    .all
                    .iter()
                    .find(|other| other.from.value == entry.from.value)
                    .map_or(entry.from.span, |other| other.from.span))
                .hint("remove this move: the objects show which component they belong to")
        }));
        moves.final_components = final_moves.iter().map(|entry| entry.from.value.component().clone()).collect();
        moves
    }

    /// True for a move of [`Moves::with_final`].
    #[must_use]
    pub(crate) fn is_final(&self, entry: &Move) -> bool {
        matches!(&entry.from.value, Selector::Component(component) if self.final_components.contains(component))
    }

    /// True if there are no moves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All moves.
    pub fn iter(&self) -> impl Iterator<Item = &Move> {
        self.all.iter()
    }

    /// The most specific move of a resource, and the address that it leads to.
    #[must_use]
    pub fn next(&self, address: &Address) -> Option<(&Move, Address)> {
        let of_block = self.resources.get(&BlockName::owned(address)).into_iter().flatten();
        let of_component = self.components.get(&address.component);
        let candidates = of_block.chain(of_component).filter_map(|position| self.all.get(*position));
        let applied = candidates.filter_map(|entry| Some((entry, entry.apply(address)?)));
        applied.min_by_key(|(entry, _)| match &entry.from.value {
            Selector::Resource(from) if from.key.is_some() => 0,
            Selector::Resource(_) => 1,
            Selector::Component(_) => 2,
        })
    }

    /// The final address of a resource, with the number of moves; `None` if it does not move.
    #[must_use]
    pub fn destination(&self, address: &Address) -> Option<(Address, usize)> {
        let (mut at, mut hops) = (address.clone(), 0);
        while let Some((entry, to)) = self.next(&at).filter(|_| hops < self.all.len()) {
            (at, hops) = (to, hops + 1);
            if self.is_final(entry) {
                break;
            }
        }
        (hops > 0 && at != *address).then_some((at, hops))
    }

    /// The final key of a component; `None` if it does not move.
    #[must_use]
    pub fn component(&self, key: &ComponentKey) -> Option<ComponentKey> {
        let any = representative(&Selector::Component(key.clone()));
        self.destination(&any).map(|(address, _)| address.component)
    }

    /// The circles of moves: each move leads to the origin of the next, and the last one to that of the first.
    pub(crate) fn circles(&self) -> Vec<Vec<&Move>> {
        let mut circles = Vec::new();
        let mut reported: HashSet<&Selector> = HashSet::new();
        for start in &self.all {
            let mut at = representative(&start.from.value);
            let mut path: Vec<&Move> = Vec::new();
            while let Some((entry, to)) = self.next(&at) {
                let has_closed = path.first().is_some_and(|first| std::ptr::eq(*first, entry));
                if has_closed && !path.iter().any(|entry| reported.contains(&entry.from.value)) {
                    reported.extend(path.iter().map(|entry| &entry.from.value));
                    circles.push(path.clone());
                }
                if path.len() > self.all.len() || has_closed {
                    break;
                }
                path.push(entry);
                at = to;
            }
        }
        circles
    }
}

/// The commands that move the rows of a circle: the first row moves aside, each other one to the address that is free now.
pub(crate) fn rotation(stack: &StackId, circle: &[&Address]) -> Vec<String> {
    let [first, others @ ..] = circle else { return Vec::new() };
    let aside = temporary_address(first, 1);
    let mut free = *first;
    let mut commands = vec![as_command(stack, first, &aside)];
    for from in others.iter().rev() {
        commands.push(as_command(stack, from, free));
        free = from;
    }
    commands.push(as_command(stack, &aside, free));
    commands
}

/// A temporary address derived from a recorded address.
pub(crate) fn temporary_address(address: &Address, number: u32) -> Address {
    match &address.key {
        Some(_) => Address { key: Some(InstanceKey::Text(format!("aside{number}"))), ..address.clone() },
        None => Address { name: format!("{}_aside{number}", address.name), ..address.clone() },
    }
}

/// An address that the selector's move applies to.
fn representative(selector: &Selector) -> Address {
    match selector {
        Selector::Resource(address) => address.clone(),
        Selector::Component(component) => {
            Address { component: component.clone(), ty: String::new(), name: String::new(), key: None }
        }
    }
}

/// The address that stands for all instances.
fn all_instances(address: &Address) -> Address {
    Address { key: Some(InstanceKey::All), ..address.clone() }
}

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

/// The line of a descriptor that moves a resource.
pub(crate) fn as_written(from: &Address, to: &Address) -> String {
    let quoted = |address: &Address| match &address.key {
        None => address.to_string(),
        Some(_) => format!("'{}'", address.to_string().replace('\'', "''")),
    };
    format!("moved: [{{from: {}, to: {}}}]", quoted(from), quoted(to))
}

/// The command that moves a row of a stack. No descriptor can move a shared resource.
pub(crate) fn as_command(stack: &StackId, from: &Address, to: &Address) -> String {
    let stack = if from.is_shared() { StackId::shared(&stack.environment) } else { stack.clone() };
    format!("terrace state mv {} {}", shell_word(&format!("{stack}:{from}")), shell_word(&to.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Located, Span};

    fn moves(lines: &[&str]) -> (Moves, Vec<String>) {
        let located = |text: &str| Located { value: text.trim().parse().unwrap(), span: Span::default() };
        let all = lines.iter().map(|line| line.split_once("->").unwrap());
        let all = all.map(|(from, to)| Move { from: located(from), to: located(to) }).collect();
        let mut diagnostics = Vec::new();
        let moves = Moves::new(all, &mut diagnostics);
        (moves, diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect())
    }

    fn end(moves: &Moves, address: &str) -> Option<String> {
        moves.destination(&address.parse().unwrap()).map(|(address, _)| address.to_string())
    }

    #[test]
    fn destination_follows_all_moves_in_any_order() {
        let (moves, faults) = moves(&["t.b -> t.c", "t.a -> t.b", "old/ -> new/", "t.x[\"1\"] -> t.y", "t.x -> t.z"]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(end(&moves, "t.a").as_deref(), Some("t.c"));
        assert_eq!(end(&moves, "t.a[\"k\"]").as_deref(), Some("t.c[\"k\"]"));
        assert_eq!(end(&moves, "old/t.q[0]").as_deref(), Some("new/t.q[0]"));
        assert_eq!(end(&moves, "t.x[\"1\"]").as_deref(), Some("t.y"), "the more precise one counts");
        assert_eq!(end(&moves, "t.x[\"2\"]").as_deref(), Some("t.z[\"2\"]"));
        assert_eq!(end(&moves, "t.c"), None);
    }

    #[test]
    fn single_resource_moves_to_instance_and_instances_stay() {
        let (moves, faults) = moves(&["t.a -> t.a[\"x\"]"]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(end(&moves, "t.a").as_deref(), Some("t.a[\"x\"]"));
        assert_eq!(end(&moves, "t.a[\"y\"]"), None);
    }

    #[test]
    fn circle_of_moves_is_found_once() {
        let (moves_in_circle, _) = moves(&["t.a -> t.b", "t.b -> t.c", "t.c -> t.a", "t.start -> t.a"]);
        let circles = moves_in_circle.circles();
        let names: Vec<Vec<String>> =
            circles.iter().map(|circle| circle.iter().map(|entry| entry.from.value.to_string()).collect()).collect();
        assert_eq!(names, [["t.a", "t.b", "t.c"]]);
        let (_, faults) = moves(&["t.a -> t.b", "t.a -> t.c"]);
        assert_eq!(faults, ["`t.a` moves twice"]);
    }

    #[test]
    fn rotation_moves_each_row_to_a_free_address() {
        let parse = |text: &str| text.parse::<Address>().unwrap();
        let circle = ["t.a", "t.b", "t.c"].map(parse);
        let commands = rotation(&StackId::new("demo", "local"), &circle.iter().collect::<Vec<_>>());
        assert_eq!(
            commands,
            [
                "terrace state mv demo@local:t.a t.a_aside1",
                "terrace state mv demo@local:t.c t.a",
                "terrace state mv demo@local:t.b t.c",
                "terrace state mv demo@local:t.a_aside1 t.b",
            ]
        );
    }

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
