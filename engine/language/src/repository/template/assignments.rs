//! Assignments in loops whose effect in Nunjucks goes beyond the iteration.
//!
//! In Nunjucks, a `set` in a loop changes the variable of the same name around the loop, and its value stays for the next
//! iteration. minijinja forgets it at the end of the iteration. The output differs only if the template reads the variable
//! before it is set in the iteration, or after the loop: this is an error, because another text would be worse.
//! <https://mozilla.github.io/nunjucks/templating.html#set>

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// A part of a template. Ranges are those of names in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A loop with its variables.
    Loop(Vec<Range<usize>>),
    EndLoop,
    If,
    /// The next branch of a condition; true for `else`.
    Branch(bool),
    EndIf,
    /// A macro with its parameters.
    Macro(Vec<Range<usize>>),
    EndMacro,
    Set(Range<usize>),
    Read(Range<usize>),
}

/// The name and the place of the first assignment whose effect differs.
pub(super) fn first_lost<'t>(text: &'t str, events: &[Event]) -> Option<(&'t str, Range<usize>)> {
    let name = |range: &Range<usize>| text.get(range.clone()).unwrap_or_default();
    let mut frames = vec![Frame::default()];
    for event in events {
        match event {
            Event::Loop(names) => {
                let names: BTreeSet<&str> = names.iter().map(name).collect();
                frames.push(Frame { is_loop: true, names: names.clone(), known: names, ..Frame::default() });
            }
            Event::Macro(names) => {
                let names: BTreeSet<&str> = names.iter().map(name).collect();
                frames.push(Frame { is_macro: true, names: names.clone(), known: names, ..Frame::default() });
            }
            Event::EndMacro if frames.len() > 1 => drop(frames.pop()),
            Event::EndLoop if frames.len() > 1 => {
                let ended = frames.pop()?;
                if let Some((name, at)) = ended.assigned.iter().find(|(name, _)| ended.unknown.contains(*name)) {
                    return Some((*name, at.clone()));
                }
                end_loop(&mut frames, ended);
            }
            Event::EndMacro | Event::EndLoop => {}
            Event::If => frames.last_mut()?.branches.push(Branches::default()),
            Event::Branch(is_else) => {
                if let Some(branches) = frames.last_mut()?.branches.last_mut() {
                    branches.end_branch();
                    branches.has_else |= is_else;
                }
            }
            Event::EndIf => frames.last_mut()?.end_if(),
            Event::Set(range) => set(&mut frames, name(range), range),
            Event::Read(range) => {
                if let Some(at) = read(&mut frames, name(range)) {
                    return Some((name(range), at));
                }
            }
        }
    }
    None
}

/// The variables of the template, of a loop or of a macro.
#[derive(Debug, Default)]
struct Frame<'t> {
    is_loop: bool,
    /// A macro sees no variables around it that it could change.
    is_macro: bool,
    /// The names that are defined here.
    names: BTreeSet<&'t str>,
    /// The names that surely have a value of this iteration at this point.
    known: BTreeSet<&'t str>,
    branches: Vec<Branches<'t>>,
    /// The assignments.
    assigned: BTreeMap<&'t str, Range<usize>>,
    /// The names that were read while they were not known.
    unknown: BTreeSet<&'t str>,
    /// The names with another value in Nunjucks, by the assignments in loops.
    changed: BTreeMap<&'t str, Range<usize>>,
}

/// The branches of a condition.
#[derive(Debug, Default)]
struct Branches<'t> {
    has_else: bool,
    /// The names that this branch sets.
    current: BTreeSet<&'t str>,
    /// The names that all earlier branches set.
    common: Option<BTreeSet<&'t str>>,
}

impl<'t> Branches<'t> {
    fn end_branch(&mut self) {
        let current = std::mem::take(&mut self.current);
        self.common = Some(match self.common.take() {
            Some(common) => common.intersection(&current).copied().collect(),
            None => current,
        });
    }
}

impl<'t> Frame<'t> {
    fn is_known(&self, name: &str) -> bool {
        self.known.contains(name) || self.branches.iter().any(|branches| branches.current.contains(name))
    }

    fn add_known(&mut self, names: impl IntoIterator<Item = &'t str>) {
        match self.branches.last_mut() {
            Some(branches) => branches.current.extend(names),
            None => self.known.extend(names),
        }
    }

    fn end_if(&mut self) {
        let Some(mut branches) = self.branches.pop() else { return };
        branches.end_branch();
        if let Some(common) = branches.common.filter(|_| branches.has_else) {
            self.add_known(common);
        }
    }
}

fn set<'t>(frames: &mut [Frame<'t>], name: &'t str, at: &Range<usize>) {
    let is_outer = outer(frames, name).is_some();
    let Some(frame) = frames.last_mut() else { return };
    frame.add_known([name]);
    frame.assigned.entry(name).or_insert_with(|| at.clone());
    if !is_outer {
        frame.names.insert(name);
    }
    if frame.branches.is_empty() {
        frame.changed.remove(name);
    }
}

/// The frame outside of the last frame that defines a name.
fn outer(frames: &[Frame<'_>], name: &str) -> Option<usize> {
    let (last, around) = frames.split_last()?;
    if last.is_macro || last.names.contains(name) {
        return None;
    }
    let begin = around.iter().rposition(|frame| frame.is_macro).unwrap_or(0);
    around
        .iter()
        .enumerate()
        .skip(begin)
        .rev()
        .find(|(_, frame)| frame.names.contains(name))
        .map(|(position, _)| position)
}

fn end_loop<'t>(frames: &mut [Frame<'t>], ended: Frame<'t>) {
    for (name, at) in ended.assigned {
        if ended.names.contains(name) {
            continue;
        }
        let begin = frames.iter().rposition(|frame| frame.is_macro).unwrap_or(0);
        for frame in frames.iter_mut().skip(begin).rev() {
            frame.assigned.entry(name).or_insert_with(|| at.clone());
            if frame.names.contains(name) {
                frame.changed.insert(name, at);
                break;
            }
        }
    }
}

/// Notes a read. Returns the assignment whose value the template would miss.
fn read<'t>(frames: &mut [Frame<'t>], name: &'t str) -> Option<Range<usize>> {
    for frame in frames.iter_mut().rev() {
        if let Some(at) = frame.changed.get(name) {
            return Some(at.clone());
        }
        if frame.is_known(name) {
            return None;
        }
        if frame.is_loop {
            frame.unknown.insert(name);
        }
        if frame.is_macro {
            return None;
        }
    }
    None
}
