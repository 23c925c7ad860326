//! Renames of list items, such as columns of a table: the former item of each item, and the order of the statements.
//!
//! An item may keep its `previousName` after the rename. A rename is done once the recorded item has the same `previousName`, or
//! once the list has the new name and lacks the old name. In a circle, one item gets a temporary name first; an interrupted change
//! resumes from it.

use crate::{Map, Value};
use sha2::Digest;

/// The key of a list item, such as a column of a table, that holds its previous name. Plans show such an item as
/// renamed.
pub const PREVIOUS_NAME: &str = "previousName";

/// The name of an item, and its previous name where it has one.
pub type Named<'a> = (&'a str, Option<&'a str>);

/// The first invalid previous name and the reason: another item still has that name, or two items claim it. `is_same`
/// compares names.
pub fn invalid_previous_name(items: &[Named<'_>], is_same: impl Fn(&str, &str) -> bool) -> Option<(usize, String)> {
    items.iter().enumerate().find_map(|(index, (_, previous))| {
        let previous = (*previous)?;
        let keeps_it =
            |(name, other): &Named<'_>| is_same(name, previous) && other.is_none_or(|other| is_same(other, name));
        if items.iter().any(keeps_it) {
            let message = format!("`{previous}` is still a column of the table, so nothing was renamed from it");
            return Some((index, message));
        }
        let mut before = items.iter().take(index).filter_map(|(_, previous)| *previous);
        let message = || format!("another column was `{previous}` already: only one can be renamed from it");
        before.any(|other| is_same(other, previous)).then(|| (index, message()))
    })
}

/// The index of the old item of each new item; `None` for a new item. Each old item is used at most once.
///
/// An item with the name of an old item is that item, unless the old item is renamed: in `b, c` with the previous names `a, b`,
/// the item `b` was `a`.
#[must_use]
pub fn former(old: &[Named<'_>], new: &[Named<'_>], is_same: impl Fn(&str, &str) -> bool) -> Vec<Option<usize>> {
    let position = |name: &str| old.iter().position(|(known, _)| is_same(known, name));
    let namesake: Vec<Option<usize>> = new.iter().map(|(name, _)| position(name)).collect();
    // Two long names may share one older temporary name: then it belongs to neither.
    let is_shared = |name: &str, previous: &str| {
        let mut others = new.iter().filter_map(|(_, other)| *other).filter(|other| !is_same(other, previous));
        others.any(|other| temporaries(other).any(|other| is_same(&other, name)))
    };
    let left_as = |previous: &str| {
        let mut names = temporaries(previous).filter(|name| !is_shared(name, previous));
        names.find_map(|name| position(&name).filter(|at| !namesake.contains(&Some(*at))))
    };
    let wanted: Vec<Option<usize>> = new
        .iter()
        .map(|(name, previous)| {
            let previous = previous.filter(|previous| !is_same(previous, name))?;
            left_as(previous).or_else(|| position(previous))
        })
        .collect();
    let is_done = |at: usize| {
        let recorded =
            namesake.get(at).copied().flatten().and_then(|was| old.get(was)).and_then(|(_, previous)| *previous);
        let previous = new.get(at).and_then(|(_, previous)| *previous);
        recorded.zip(previous).is_some_and(|(recorded, previous)| is_same(recorded, previous))
    };
    let mut source: Vec<Option<usize>> =
        wanted.iter().enumerate().map(|(at, wanted)| wanted.filter(|_| !is_done(at))).collect();
    // A done rename is repeated if another item takes the name that it led to.
    loop {
        let is_claimed = |at: usize| namesake.get(at).is_some_and(|was| was.is_some() && source.contains(was));
        let again = (0..source.len())
            .find(|at| source.get(*at) == Some(&None) && wanted.get(*at) != Some(&None) && is_claimed(*at));
        match again.and_then(|at| source.get_mut(at).zip(wanted.get(at))) {
            Some((source, wanted)) => *source = *wanted,
            None => break,
        }
    }
    // A rename is blocked if its new name stays in use, or if its old item keeps its name. Removing one rename may block another.
    loop {
        let stays = |at: &Option<usize>| at.is_some() && !source.contains(at);
        let keeps_name = |at: usize| {
            namesake.iter().zip(&source).any(|(namesake, source)| *namesake == Some(at) && source.is_none())
        };
        let blocked = namesake
            .iter()
            .zip(&source)
            .position(|(namesake, source)| source.is_some_and(|at| stays(namesake) || keeps_name(at)));
        match blocked.and_then(|at| source.get_mut(at)) {
            Some(source) => *source = None,
            None => break,
        }
    }
    let was = |(namesake, renamed): (&Option<usize>, &Option<usize>)| {
        renamed.or_else(|| namesake.filter(|_| !source.contains(namesake)))
    };
    namesake.iter().zip(&source).map(was).collect()
}

/// True if the rename from `previous` is done, given the present names and the known names.
pub fn is_done(previous: &str, mut present: impl FnMut(&str) -> bool, mut known: impl FnMut(&str) -> bool) -> bool {
    let is_left = temporaries(previous).any(|name| present(&name) && !known(&name));
    !is_left && (!present(previous) || known(previous))
}

/// True if items exchange their names: the names alone do not show whether the exchange is done.
#[must_use]
pub fn has_circle(renames: &[(String, String)]) -> bool {
    let next = |name: &str| renames.iter().find(|(from, _)| from == name).map(|(_, to)| to.as_str());
    let returns = |start: &str| {
        std::iter::successors(next(start), |name| next(name)).take(renames.len()).any(|name| name == start)
    };
    renames.iter().any(|(from, _)| returns(from))
}

/// True if items of a list attribute exchange their names: the object has the same names before and after.
#[must_use]
pub fn exchanges_names(before: &Map, after: &Map) -> bool {
    renamed_items(before, after).any(|renames| has_circle(&renames))
}

/// True if items of a list attribute are renamed.
#[must_use]
pub fn has_renames(before: &Map, after: &Map) -> bool {
    renamed_items(before, after).any(|renames| !renames.is_empty())
}

/// The renames of each list attribute with named items.
fn renamed_items(before: &Map, after: &Map) -> impl Iterator<Item = Vec<(String, String)>> {
    fn named(value: &Value) -> Option<Vec<Named<'_>>> {
        let item = |item: &Value| item.get(PREVIOUS_NAME).and_then(Value::as_str).is_some();
        let items = value.as_list().filter(|items| items.iter().any(item))?;
        plain(items)
    }
    fn plain(items: &[Value]) -> Option<Vec<Named<'_>>> {
        let named = items
            .iter()
            .map(|item| Some((item.get("name")?.as_str()?, item.get(PREVIOUS_NAME).and_then(Value::as_str))));
        named.collect()
    }
    after.iter().filter_map(|(name, now)| {
        let (now, was) = (named(now)?, plain(before.get(name)?.as_list()?)?);
        Some(renames(&was, &now, &former(&was, &now, str::eq)))
    })
}

/// One rename statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The current name of the item.
    pub from: String,
    /// The next name of the item.
    pub to: String,
    /// The index of the wanted rename.
    pub index: usize,
}

/// Orders renames so that each new name is free. In a circle, one item gets a temporary name that is not in `taken`.
#[must_use]
pub fn steps(renames: &[(String, String)], taken: &[&str], is_same: impl Fn(&str, &str) -> bool) -> Vec<Step> {
    let mut open: Vec<(usize, String, &str)> = renames
        .iter()
        .enumerate()
        .filter(|(_, (from, to))| from != to)
        .map(|(index, (from, to))| (index, from.clone(), to.as_str()))
        .collect();
    let mut steps = Vec::new();
    while !open.is_empty() {
        let is_free =
            |index: usize, to: &str| !open.iter().any(|(other, from, _)| *other != index && is_same(from, to));
        match open.iter().position(|(index, _, to)| is_free(*index, to)) {
            Some(at) => {
                let (index, from, to) = open.remove(at);
                steps.push(Step { from, to: to.to_owned(), index });
            }
            None => {
                let is_taken = |name: &str| {
                    let mut wanted = renames.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()]);
                    wanted.any(|known| is_same(known, name)) || taken.iter().any(|known| is_same(known, name))
                };
                let Some((index, from, _)) = open.first_mut() else { break };
                let name = free(temporary(from), is_taken);
                steps.push(Step { from: std::mem::replace(from, name.clone()), to: name, index: *index });
            }
        }
    }
    steps
}

/// How many bytes of a name a temporary name holds, so that it is short enough for every system.
const MOST_BYTES: usize = 40;

/// The temporary name of an item. A name that is cut off ends in a digest of the whole, so that two items have two names.
fn temporary(name: &str) -> String {
    const DIGITS: usize = 8;
    if name.len() <= MOST_BYTES {
        return older_temporary(name);
    }
    let digest = sha2::Sha256::digest(name.as_bytes());
    let digits: String = digest.iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect();
    format!("terrace_temporary_{}_{digits}", start(name, MOST_BYTES - DIGITS - 1))
}

/// The temporary name of older versions, which the beginning of a name decides.
fn older_temporary(name: &str) -> String {
    format!("terrace_temporary_{}", start(name, MOST_BYTES))
}

/// The beginning of a text: whole letters of at most so many bytes.
fn start(text: &str, most_bytes: usize) -> &str {
    let ends = text.char_indices().map(|(at, letter)| at + letter.len_utf8()).take_while(|end| *end <= most_bytes);
    text.get(..ends.last().unwrap_or_default()).unwrap_or_default()
}

/// The names that an interrupted change may have left an item under.
fn temporaries(name: &str) -> impl Iterator<Item = String> {
    let name_now = temporary(name);
    let numbered = numbered(name_now.clone()).take(MOST_NUMBERED);
    let older = Some(older_temporary(name)).filter(|older| *older != name_now);
    numbered.chain(older)
}

/// How many numbered temporary names are looked for.
const MOST_NUMBERED: usize = 9;

/// The name, then the name with the numbers from 2.
fn numbered(name: String) -> impl Iterator<Item = String> {
    let with_numbers = (2_u32..).map({
        let name = name.clone();
        move |number| format!("{name}_{number}")
    });
    std::iter::once(name).chain(with_numbers)
}

/// The name, or the name with the first free number.
fn free(name: String, is_taken: impl Fn(&str) -> bool) -> String {
    numbered(name).find(|name| !is_taken(name)).unwrap_or_default()
}

/// The renames that [`former`] found: from and to.
#[must_use]
pub fn renames(old: &[Named<'_>], new: &[Named<'_>], former: &[Option<usize>]) -> Vec<(String, String)> {
    let pair = |((name, _), was): (&Named<'_>, &Option<usize>)| {
        let (before, _) = old.get((*was)?)?;
        (before != name).then(|| ((*before).to_owned(), (*name).to_owned()))
    };
    new.iter().zip(former).filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn of(old: &[Named<'_>], new: &[Named<'_>]) -> Vec<Option<usize>> {
        former(old, new, str::eq)
    }

    fn plain<'a>(names: &[&'a str]) -> Vec<Named<'a>> {
        names.iter().map(|name| (*name, None)).collect()
    }

    #[test]
    fn chain_and_swap_find_the_former_items() {
        let old = plain(&["a", "b"]);
        assert_eq!(of(&old, &[("b", Some("a")), ("c", Some("b"))]), [Some(0), Some(1)]);
        assert_eq!(of(&old, &[("b", Some("a")), ("a", Some("b"))]), [Some(0), Some(1)]);
        assert_eq!(of(&old, &[("c", Some("b")), ("b", Some("a")), ("d", None)]), [Some(1), Some(0), None]);
    }

    #[test]
    fn interrupted_exchange_resumes() {
        let swap = [("b", Some("a")), ("a", Some("b"))];
        let steps_from = |old: &[&str]| {
            let old = plain(old);
            let left = renames(&old, &swap, &of(&old, &swap));
            steps(&left, &[], str::eq).into_iter().map(|step| format!("{} {}", step.from, step.to)).collect::<Vec<_>>()
        };
        let [first, second, third] = ["a terrace_temporary_a", "b a", "terrace_temporary_a b"];
        assert_eq!(steps_from(&["a", "b"]), [first, second, third]);
        assert_eq!(steps_from(&["terrace_temporary_a", "b"]), [second, third]);
        assert_eq!(steps_from(&["terrace_temporary_a", "a"]), [third]);
    }

    #[test]
    fn interrupted_swap_of_long_names_resumes() {
        let (first, last) =
            ("customer_lifetime_value_in_euro_per_quarter_first", "customer_lifetime_value_in_euro_per_quarter_last");
        for (one, other) in [(first, last), (last, first), ("a", "b")] {
            let swap = [(other, Some(one)), (one, Some(other))];
            for taken in [&[][..], &["terrace_temporary_a"], &["terrace_temporary_a", "terrace_temporary_a_2"]] {
                // The items by their present names, with the item that each of them is.
                let mut names = vec![(one.to_owned(), one), (other.to_owned(), other)];
                names.extend(taken.iter().map(|name| ((*name).to_owned(), *name)));
                let new: Vec<Named<'_>> = swap.into_iter().chain(taken.iter().map(|name| (*name, None))).collect();
                for _ in 0..3 {
                    // Each run is interrupted after its first step.
                    let old: Vec<Named<'_>> = names.iter().map(|(name, _)| (name.as_str(), None)).collect();
                    let left = renames(&old, &new, &of(&old, &new));
                    let step = steps(&left, &plain(taken).iter().map(|it| it.0).collect::<Vec<_>>(), str::eq).remove(0);
                    let is_free = !names.iter().any(|(name, _)| *name == step.to);
                    assert!(is_free, "{step:?} meets a taken name in {names:?}");
                    names.iter_mut().find(|(name, _)| *name == step.from).unwrap().0 = step.to;
                }
                let mut expected = vec![(other.to_owned(), one), (one.to_owned(), other)];
                expected.extend(taken.iter().map(|name| ((*name).to_owned(), *name)));
                assert_eq!(names, expected);
            }
        }
    }

    #[test]
    fn swap_interrupted_by_an_older_version_is_never_undone() {
        let long = |end: &str| format!("customer_lifetime_value_in_euro_per_quarter_{end}");
        let (first, last) = (long("first"), long("last"));
        let temporary = format!("terrace_temporary_{}", &first[..40]);
        let swap = [(last.as_str(), Some(first.as_str())), (first.as_str(), Some(last.as_str()))];
        // The older name is the same for both: neither of them takes it.
        for present in [&last, &first] {
            let found = of(&plain(&[&temporary, present]), &swap);
            assert!(!found.contains(&Some(0)), "{found:?}");
        }
        // The older name of one item alone is its own.
        let swap = [("b", Some(first.as_str())), (first.as_str(), Some("b"))];
        assert_eq!(of(&plain(&[&temporary, "b"]), &swap), [Some(0), Some(1)]);
    }

    #[test]
    fn recorded_rename_is_not_repeated() {
        let swapped = [("b", Some("a")), ("a", Some("b"))];
        assert_eq!(of(&swapped, &swapped), [Some(0), Some(1)]);
        assert_eq!(of(&plain(&["b"]), &[("b", Some("a"))]), [Some(0)]);
    }

    #[test]
    fn exchange_follows_a_recorded_chain() {
        let chain = [("b", Some("a")), ("c", Some("b"))];
        assert_eq!(of(&chain, &[("c", Some("b")), ("b", Some("c"))]), [Some(0), Some(1)]);
        // The previous name of `b` is left from the last rename: `b` keeps its name.
        assert_eq!(of(&[("b", Some("a"))], &[("c", Some("b")), ("b", Some("a"))]), [None, Some(0)]);
    }

    #[test]
    fn rename_cannot_take_a_name_that_stays() {
        // `b` is there and stays: `a` goes.
        assert_eq!(of(&plain(&["a", "b"]), &[("b", Some("a"))]), [Some(1)]);
        // `c` would become `b`, and `b` would become `a`, which stays.
        let old = [("a", Some("x")), ("b", None), ("c", None)];
        assert_eq!(of(&old, &[("a", Some("x")), ("b", Some("c"))]), [Some(0), Some(1)]);
    }

    #[test]
    fn exchange_of_names_is_found_in_any_list() {
        let item = |name: &str, previous: Option<&str>| {
            let entries = [("name", Some(name)), (PREVIOUS_NAME, previous)];
            Value::Map(entries.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text?.into()))).collect())
        };
        let of = |items: Vec<Value>| {
            Map::from_iter([("columns".to_owned(), Value::List(items)), ("x".to_owned(), 1_i64.into())])
        };
        let before = of(vec![item("a", None), item("b", None)]);
        let swap = of(vec![item("b", Some("a")), item("a", Some("b"))]);
        assert!(exchanges_names(&before, &swap) && !exchanges_names(&swap, &swap));
        let chain = of(vec![item("b", Some("a")), item("c", Some("b"))]);
        assert!(!exchanges_names(&before, &chain) && has_renames(&before, &chain) && !has_renames(&chain, &chain));
    }

    #[test]
    fn circle_is_distinct_from_a_chain() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect()
        };
        assert!(has_circle(&pairs(&[("c", "d"), ("a", "b"), ("b", "a")])));
        assert!(!has_circle(&pairs(&[("a", "b"), ("b", "c")])) && !has_circle(&[]));
    }

    #[test]
    fn wrong_previous_name_is_found() {
        let index = |items: &[Named<'_>]| invalid_previous_name(items, str::eq).map(|(index, _)| index);
        assert_eq!(index(&[("a", None), ("b", Some("a"))]), Some(1));
        assert_eq!(index(&[("a", Some("a"))]), Some(0));
        assert_eq!(index(&[("b", Some("a")), ("c", Some("a"))]), Some(1));
        assert_eq!(index(&[("b", Some("a")), ("a", Some("b"))]), None);
        assert_eq!(index(&[("b", Some("a")), ("c", Some("b"))]), None);
    }

    /// Applies steps to names, and fails where a statement would meet a taken name.
    fn run(names: &mut [String], steps: &[Step]) {
        for step in steps {
            assert!(!names.contains(&step.to), "{step:?} meets a taken name in {names:?}");
            let name = names.iter_mut().find(|name| **name == step.from).unwrap();
            name.clone_from(&step.to);
        }
    }

    proptest! {
        /// Items `0..n` go, stay and are renamed to names of the same small alphabet, so that chains and circles are common.
        #[test]
        fn each_item_ends_under_its_new_name(
            choices in proptest::sample::subsequence((0..8_usize).collect::<Vec<_>>(), 0..=8)
                .prop_shuffle()
                .prop_flat_map(|kept| {
                    let targets = proptest::sample::subsequence((0..12_usize).collect::<Vec<_>>(), kept.len()).prop_shuffle();
                    (Just(kept), targets)
                }),
        ) {
            let (kept, targets) = choices;
            let old_names: Vec<String> = (0..8).map(|at| format!("n{at}")).collect();
            let new_names: Vec<String> = targets.iter().map(|at| format!("n{at}")).collect();
            let old: Vec<Named<'_>> = old_names.iter().map(|name| (name.as_str(), None)).collect();
            let new: Vec<Named<'_>> = kept
                .iter()
                .zip(&new_names)
                .map(|(was, name)| {
                    let before = old_names[*was].as_str();
                    (name.as_str(), (before != name).then_some(before))
                })
                .collect();
            prop_assume!(invalid_previous_name(&new, str::eq).is_none());
            let found = of(&old, &new);
            // No two new items come from one old item.
            let claimed: Vec<usize> = found.iter().flatten().copied().collect();
            prop_assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), claimed.len());
            // Each item is its previous name, unless a dropped item has the new name.
            let gone: Vec<&String> = (0..8).filter(|at| !kept.contains(at)).map(|at| &old_names[at]).collect();
            if !new_names.iter().any(|name| gone.contains(&name)) {
                prop_assert_eq!(&claimed, &kept);
            }
            let mut names: Vec<String> = claimed.iter().map(|was| old_names[*was].clone()).collect();
            let steps = steps(&renames(&old, &new, &found), &[], str::eq);
            run(&mut names, &steps);
            let expected: Vec<String> =
                found.iter().zip(&new_names).filter(|(was, _)| was.is_some()).map(|(_, name)| name.clone()).collect();
            prop_assert_eq!(names, expected);
            // Recorded as it is now, nothing is renamed again.
            prop_assert_eq!(of(&new, &new), (0..new.len()).map(Some).collect::<Vec<_>>());
        }
    }
}
