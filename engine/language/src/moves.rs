//! Moves of resources: follows `moved` of descriptors and blueprints from a recorded address to the present one.

use crate::address::{Address, BlockName, ComponentKey, InstanceKey, StackId};
use crate::descriptor::transitions::Move;
use crate::diagnostic::Diagnostic;
use crate::selector::Selector;
use crate::text::shell_word;
use std::collections::{BTreeSet, HashMap, HashSet};

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
    pub fn with_final(&self, final_moves: Vec<Move>, diagnostics: &mut Vec<Diagnostic>) -> Self {
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
    pub fn is_final(&self, entry: &Move) -> bool {
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
pub fn temporary_address(address: &Address, number: u32) -> Address {
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

/// The line of a descriptor that moves a resource.
pub fn as_written(from: &Address, to: &Address) -> String {
    let quoted = |address: &Address| match &address.key {
        None => address.to_string(),
        Some(_) => format!("'{}'", address.to_string().replace('\'', "''")),
    };
    format!("moved: [{{from: {}, to: {}}}]", quoted(from), quoted(to))
}

/// The command that moves a row of a stack. No descriptor can move a shared resource.
pub fn as_command(stack: &StackId, from: &Address, to: &Address) -> String {
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
}
