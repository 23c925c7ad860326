//! Where resources moved: what descriptors and blueprints say, followed from each recorded address to the present one.

use crate::address::{Address, InstanceKey, StackId};
use crate::descriptor::transitions::Move;
use crate::diagnostic::Diagnostic;
use crate::plan::shared::SharedDeclaration;
use crate::record;
use crate::rekey::RekeyError;
use crate::render::shell_word;
use crate::seal::Seal;
use crate::selector::{Selector, is_same_block};
use crate::store::{Generation, OwnerRow, OwnersOf, Ownership, Row, Selection, StateStore, Write};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The moves of a stack, found by the address that they begin at.
#[derive(Debug, Clone, Default)]
pub struct Moves {
    all: Vec<Move>,
    /// Positions by component, type and name of what moves.
    resources: HashMap<(String, String, String), Vec<usize>>,
    /// Positions by the component that moves.
    components: HashMap<String, usize>,
    /// The components whose move ends the way of an object: all of these take place at the same time, and one may go where
    /// another one leaves.
    last: BTreeSet<String>,
}

impl Moves {
    /// The moves, all of which hold together; what does not is reported.
    #[must_use]
    pub fn new(all: Vec<Move>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut moves = Self::default();
        let mut origins: HashMap<&Selector, &Move> = HashMap::new();
        for one in &all {
            if let Some(first) = origins.insert(&one.from.value, one) {
                diagnostics.push(
                    Diagnostic::error("moved_twice", format!("`{}` moves twice", one.from.value))
                        .at_with(one.from.span, "again here")
                        .at_with(first.from.span, "first here")
                        .hint("what had an address has one now: remove one of the two"),
                );
            }
        }
        for (position, one) in all.iter().enumerate() {
            match &one.from.value {
                Selector::Component(component) => {
                    moves.components.insert(component.clone(), position);
                }
                Selector::Resource(address) => moves.resources.entry(block(address)).or_default().push(position),
            }
        }
        moves.all = all;
        moves.check_loops(diagnostics);
        moves
    }

    /// These moves, and moves of components that take place at the same time, after all others.
    #[must_use]
    pub(crate) fn with_last(&self, last: Vec<Move>, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut moves = Self::new(self.all.iter().cloned().chain(last.iter().cloned()).collect(), &mut Vec::new());
        let stated: HashSet<&Selector> = self.all.iter().map(|one| &one.from.value).collect();
        let twice = last.iter().filter(|one| stated.contains(&one.from.value));
        diagnostics.extend(twice.map(|one| {
            Diagnostic::error("moved_twice", format!("`{}` moves twice", one.from.value))
                .at(self
                    .all
                    .iter()
                    .find(|other| other.from.value == one.from.value)
                    .map_or(one.from.span, |it| it.from.span))
                .hint("remove this move: the objects say themselves which component they belong to")
        }));
        moves.last = last.iter().map(|one| one.from.value.component().to_owned()).collect();
        moves
    }

    /// True for a move of [`Moves::with_last`].
    #[must_use]
    pub(crate) fn is_last(&self, one: &Move) -> bool {
        matches!(&one.from.value, Selector::Component(component) if self.last.contains(component))
    }

    /// True when nothing moves.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All moves.
    pub fn iter(&self) -> impl Iterator<Item = &Move> {
        self.all.iter()
    }

    /// The move of a resource, the one that says the most about it, and the address that it leads to.
    #[must_use]
    pub fn next(&self, address: &Address) -> Option<(&Move, Address)> {
        let of_block = self.resources.get(&block(address)).into_iter().flatten();
        let of_component = self.components.get(&address.component);
        let candidates = of_block.chain(of_component).filter_map(|position| self.all.get(*position));
        let applied = candidates.filter_map(|one| Some((one, one.apply(address)?)));
        applied.min_by_key(|(one, _)| match &one.from.value {
            Selector::Resource(from) if from.key.is_some() => 0,
            Selector::Resource(_) => 1,
            Selector::Component(_) => 2,
        })
    }

    /// The address that a resource has at last, with the number of moves on the way; `None` when it does not move.
    #[must_use]
    pub fn destination(&self, address: &Address) -> Option<(Address, usize)> {
        let (mut at, mut hops) = (address.clone(), 0);
        while let Some((one, to)) = self.next(&at).filter(|_| hops < self.all.len()) {
            (at, hops) = (to, hops + 1);
            if self.is_last(one) {
                break;
            }
        }
        (hops > 0 && at != *address).then_some((at, hops))
    }

    /// The key that a component has at last; `None` when it does not move.
    #[must_use]
    pub fn component(&self, key: &str) -> Option<String> {
        let any = representative(&Selector::Component(key.to_owned()));
        self.destination(&any).map(|(address, _)| address.component)
    }

    /// Moves that lead back to where they began lead nowhere.
    fn check_loops(&self, diagnostics: &mut Vec<Diagnostic>) {
        let mut reported: HashSet<&Selector> = HashSet::new();
        for start in &self.all {
            let mut at = representative(&start.from.value);
            let mut way: Vec<&Move> = Vec::new();
            while let Some((one, to)) = self.next(&at) {
                let has_closed = way.first().is_some_and(|first| std::ptr::eq(*first, one));
                if has_closed && !way.iter().any(|one| reported.contains(&one.from.value)) {
                    reported.extend(way.iter().map(|one| &one.from.value));
                    diagnostics.push(going_round(&way));
                }
                if way.len() > self.all.len() || has_closed {
                    break;
                }
                way.push(one);
                at = to;
            }
        }
    }
}

fn going_round(way: &[&Move]) -> Diagnostic {
    let mut names: Vec<String> = way.iter().map(|one| one.from.value.to_string()).collect();
    names.extend(names.first().cloned());
    let message = format!("moves go round in a loop: {}", names.join(" → "));
    let diagnostic = Diagnostic::error("move_loop", message).hint("remove the one that leads back");
    way.iter().fold(diagnostic, |diagnostic, one| diagnostic.at(one.from.span))
}

/// An address that moves as the selector says.
fn representative(selector: &Selector) -> Address {
    match selector {
        Selector::Resource(address) => address.clone(),
        Selector::Component(component) => {
            Address { component: component.clone(), ty: String::new(), name: String::new(), key: None }
        }
    }
}

fn block(address: &Address) -> (String, String, String) {
    (address.component.clone(), address.ty.clone(), address.name.clone())
}

/// What stands for all instances.
fn all_instances(address: &Address) -> Address {
    Address { key: Some(InstanceKey::All), ..address.clone() }
}

/// One recorded row that gets another address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moving {
    /// The address that it has.
    pub from: Address,
    /// The address that it gets.
    pub to: Address,
    /// The version of the row.
    pub generation: Generation,
}

/// What is to be written so that rows get other addresses, and that whatever depended on them, or read the component that
/// they were in, follows.
#[must_use]
pub fn writes(stack: &StackId, moving: &[Moving]) -> Vec<Write> {
    let moving = &in_order(moving);
    let rename = |one: &Moving| Write::Move {
        stack: stack.clone(),
        from: one.from.clone(),
        to: one.to.clone(),
        expected: one.generation,
    };
    let follow = following(moving.iter().map(|one| (&one.from, &one.to)));
    let follow = follow.into_iter().flat_map(|(block, targets)| {
        let stack = stack.clone();
        targets.into_iter().map(move |to| Write::Follow { stack: stack.clone(), block: block.clone(), to })
    });
    let mut between: Vec<(&str, &str)> = moving.iter().filter_map(|one| between(&one.from, &one.to)).collect();
    let mut seen = HashSet::new();
    between.retain(|pair| seen.insert(*pair));
    let reads = between.into_iter().map(|(from, to)| Write::FollowReads {
        stack: stack.clone(),
        from: from.to_owned(),
        to: to.to_owned(),
    });
    moving.iter().map(rename).chain(follow).chain(reads).collect()
}

/// The rows in an order in which each one finds its new address free.
fn in_order(moving: &[Moving]) -> Vec<Moving> {
    let mut ordered = Vec::with_capacity(moving.len());
    let mut waiting: Vec<&Moving> = moving.iter().collect();
    while !waiting.is_empty() {
        let taken: HashSet<&Address> = waiting.iter().map(|one| &one.from).collect();
        let (blocked, free): (Vec<&Moving>, Vec<&Moving>) =
            waiting.iter().copied().partition(|one| one.to != one.from && taken.contains(&one.to));
        // The store refuses what goes round.
        let (free, blocked) = if free.is_empty() { (blocked, Vec::new()) } else { (free, blocked) };
        ordered.extend(free.into_iter().cloned());
        waiting = blocked;
    }
    ordered
}

/// The writes that follow [`writes`]: they seal moved rows, and declarations of a moved shared resource, for their new
/// addresses.
///
/// # Errors
/// When the store cannot be read, or something cannot be opened or sealed.
pub async fn resealing(
    store: &dyn StateStore,
    seal: &Seal,
    stack: &StackId,
    moving: &[Moving],
) -> Result<Vec<Write>, RekeyError> {
    seal.bind_to(store).await?;
    let targets: BTreeMap<&Address, &Address> = moving.iter().map(|one| (&one.from, &one.to)).collect();
    let from: BTreeSet<Address> = targets.keys().map(|from| (*from).clone()).collect();
    let sealed = |what: String| move |error| RekeyError::Sealed { what, error };
    let mut writes = Vec::new();
    for row in store.rows(stack, &Selection::Addresses(from.clone())).await? {
        let Some(to) = targets.get(&row.address) else { continue };
        let what = format!("{stack}:{}", row.address);
        if let Some(row) = record::resealed(row, None, to, seal).map_err(sealed(what))? {
            writes.push(Write::Reseal { row: Box::new(Row { generation: 0, ..row }) });
        }
    }
    if *stack != StackId::shared(&stack.environment) {
        return Ok(writes);
    }
    for OwnerRow { ownership, declaration } in store.owners(&stack.environment, &OwnersOf::Addresses(from)).await? {
        let Some(to) = targets.get(&ownership.address) else { continue };
        let what = || format!("how `{}` of {} declares {}", ownership.component, ownership.stack, ownership.address);
        let declared = SharedDeclaration::from_stored(&ownership, &declaration, seal).map_err(sealed(what()))?;
        let Some(declared) = declared.filter(SharedDeclaration::has_sensitive) else { continue };
        let moved = Ownership { address: (*to).clone(), ..ownership.clone() };
        let declaration = declared.to_stored(&moved, seal).map_err(sealed(what()))?;
        writes.push(Write::PutOwner(OwnerRow { ownership: moved, declaration }));
    }
    Ok(writes)
}

/// The component that an object leaves, and the one that it goes to.
pub(crate) fn between<'a>(from: &'a Address, to: &'a Address) -> Option<(&'a str, &'a str)> {
    let is_other = from.component != to.component && !from.is_shared();
    is_other.then_some((from.component.as_str(), to.component.as_str()))
}

/// What comes after all instances of a resource, and where it comes after when instances went elsewhere. Several
/// instances that went to one resource are that resource as a whole, so that the answer does not grow with them.
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

/// The command that moves the row of a stack. What is shared is in no descriptor that could say it.
pub(crate) fn as_command(stack: &StackId, from: &Address, to: &Address) -> String {
    let stack = if from.is_shared() { StackId::shared(&stack.environment) } else { stack.clone() };
    format!("terrace state mv {} {}", shell_word(&format!("{stack}:{from}")), shell_word(&to.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Located;
    use crate::source::Span;

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
    fn moves_are_followed_to_the_end_in_whatever_order_they_stand() {
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
    fn a_single_resource_becomes_an_instance_and_instances_stay() {
        let (moves, faults) = moves(&["t.a -> t.a[\"x\"]"]);
        assert!(faults.is_empty(), "{faults:?}");
        assert_eq!(end(&moves, "t.a").as_deref(), Some("t.a[\"x\"]"));
        assert_eq!(end(&moves, "t.a[\"y\"]"), None);
    }

    #[test]
    fn moves_that_lead_back_are_told_once() {
        let (_, faults) = moves(&["t.a -> t.b", "t.b -> t.c", "t.c -> t.a", "t.start -> t.a"]);
        assert_eq!(faults, ["moves go round in a loop: t.a → t.b → t.c → t.a"]);
        let (_, faults) = moves(&["t.a -> t.b", "t.a -> t.c"]);
        assert_eq!(faults, ["`t.a` moves twice"]);
    }

    #[test]
    fn what_depends_on_all_instances_follows_those_that_went_elsewhere() {
        let parse = |text: &str| text.parse::<Address>().unwrap();
        let pairs = [("t.a[0]", "t.b[0]"), ("t.a[1]", "t.b[1]"), ("t.c[0]", "t.c[1]"), ("t.d[0]", "t.e")];
        let pairs = pairs.map(|(from, to)| (parse(from), parse(to)));
        let followed = following(pairs.iter().map(|(from, to)| (from, to)));
        let told: Vec<String> = followed
            .iter()
            .map(|(from, to)| format!("{from} {}", to.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
            .collect();
        assert_eq!(told, ["t.a[*] t.b[*]", "t.d[*] t.e"]);
    }
}
