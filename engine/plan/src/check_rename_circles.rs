//! Refuses renames that no order of steps can carry out: each object would take a name that the next object still has.

use super::object_identity::{ObjectKey, names};
use super::steps::is_renamed;
use super::{Change, StackPlan};
use std::collections::{HashMap, HashSet};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::{Attributes, ResourceType};

/// Reports each circle once, at its first resource by address.
pub(super) fn check(registry: &Registry, stacks: &[StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let changes = stacks.iter().flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)));
    let renamed: Vec<Rename<'_>> = changes.filter_map(|(stack, change)| Rename::of(registry, stack, change)).collect();
    let holders: HashMap<&ObjectKey<'_>, usize> =
        renamed.iter().enumerate().flat_map(|(at, rename)| rename.before.iter().map(move |key| (key, at))).collect();
    let next = |at: usize| renamed.get(at)?.after.iter().find_map(|key| holders.get(key).copied());
    let mut visited: HashSet<usize> = HashSet::new();
    for start in 0..renamed.len() {
        let mut path: Vec<usize> = Vec::new();
        let mut at = Some(start);
        while let Some(current) = at.filter(|current| visited.insert(*current)) {
            path.push(current);
            at = next(current);
        }
        // The path ended at a free name, at a reported circle, or at an unrelated rename.
        let Some(begin) = at.and_then(|end| path.iter().position(|visited| *visited == end)) else { continue };
        let circle: Vec<&Rename<'_>> = path.iter().skip(begin).filter_map(|at| renamed.get(*at)).collect();
        diagnostics.extend(circle_error(&circle));
    }
}

/// An update that gives an object another name.
struct Rename<'p> {
    ty: &'p ResourceType,
    stack: &'p StackPlan,
    change: &'p Change,
    before: Vec<ObjectKey<'p>>,
    after: Vec<ObjectKey<'p>>,
}

impl<'p> Rename<'p> {
    /// Returns `None` for any other change, and for another spelling of the same name.
    fn of(registry: &'p Registry, stack: &'p StackPlan, change: &'p Change) -> Option<Self> {
        let (_, ty) = registry.resource_type(&change.address.ty).filter(|(_, ty)| !ty.state_only)?;
        let (prior, after) = (change.basis.prior.as_ref()?, change.after.as_ref()?);
        if !is_renamed(change) {
            return None;
        }
        // An id may stay with its object, so ids do not count.
        let keys = |attributes: &Attributes| -> Vec<ObjectKey<'p>> {
            let names = names(ty, attributes);
            names.iter().filter(|name| !name.is_id).map(|name| name.of(ty, &change.how.provider)).collect()
        };
        let (before, after) = (keys(&prior.attributes), keys(&after.attributes));
        (before != after).then_some(Self { ty, stack, change, before, after })
    }

    fn address(&self) -> String {
        format!("{}:{}", self.change.stack(&self.stack.stack), self.change.address)
    }
}

fn circle_error(circle: &[&Rename<'_>]) -> Option<Diagnostic> {
    let first = circle.iter().min_by_key(|rename| rename.address())?;
    let mut other_members: Vec<String> =
        circle.iter().map(|rename| rename.address()).filter(|address| *address != first.address()).collect();
    other_members.sort();
    let message = format!(
        "{} and {} cannot take each other's names: each new name is still in use when it is taken",
        first.address(),
        other_members.join(", ")
    );
    let error = Diagnostic::error("rename_circle", message).about(first.address());
    let previous = match first.ty.attributes.get(PREVIOUS_NAME) {
        Some(_) => format!(", with the unused name as its `{PREVIOUS_NAME}`"),
        None => String::new(),
    };
    let (stack, address) = (first.stack, &first.change.address);
    Some(stack.at_places(error, address).hint(format!(
        "give {address} an unused name and apply; then give it its final name{previous}, and apply again"
    )))
}
