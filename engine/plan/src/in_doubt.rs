//! Effects of a step in doubt on the plan.
//!
//! The plan holds back all changes of its component, and all changes that depend on them, until the outcome of the step is known.
//! Other changes proceed; a shared resource in doubt holds back only itself.

use super::key::Position;
use super::owner::OwnerAction;
use super::steps::{Step, StepId, Steps};
use super::{Change, InDoubt, Part, StackPlan};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use terrace_language::action::Action;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::diagnostic::Diagnostic;
use terrace_language::registry::Registry;

/// The codes of notes about values to record for unchanged objects.
const RECORDED: [&str; 2] = ["lifecycle_changed", "sensitive_now"];

impl Change {
    /// True if the last step of this object is in doubt.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.in_doubt, Some(InDoubt::Own(_)))
    }

    /// True if a step in doubt of another resource holds the change back.
    #[must_use]
    pub fn is_held_back(&self) -> bool {
        matches!(self.in_doubt, Some(InDoubt::Held(_)))
    }

    /// Holds the change back because another step is in doubt. Returns false without a change.
    fn hold_back(&mut self, by: &str) -> bool {
        if self.in_doubt.is_some() || !(self.is_change() || self.is_rewritten()) {
            return false;
        }
        self.in_doubt = Some(InDoubt::Held(format!("waits for {by}, whose last step is in doubt")));
        self.action = Action::NoOp;
        self.data_loss = None;
        true
    }
}

/// Holds back the changes of components that have a step in doubt.
pub(crate) fn hold_back(changes: &mut [Change]) {
    let causes: BTreeMap<ComponentKey, String> = first_in_doubt(changes)
        .map(|(_, change)| (change.address.component.clone(), change.address.to_string()))
        .collect();
    for change in changes.iter_mut().filter(|change| !change.address.is_shared()) {
        if let Some(by) = causes.get(&change.address.component) {
            change.hold_back(by);
        }
    }
}

/// The changes in doubt in reverse order, so that the first of each component comes last.
fn first_in_doubt(changes: &[Change]) -> impl Iterator<Item = (usize, &Change)> {
    changes.iter().enumerate().rev().filter(|(_, change)| change.is_in_doubt() && !change.address.is_shared())
}

/// Holds back changes of other components and stacks that depend on a step in doubt, because their apply would fail. A change is
/// held back as a whole, even if only one of its steps depends on the step in doubt. The loop ends when it finds no further
/// dependents. The rows of held-back changes stay as they are.
pub(crate) fn hold_back_dependents(registry: &Registry, stacks: &mut [StackPlan], diagnostics: &mut Vec<Diagnostic>) {
    let mut causes = causes(stacks);
    if causes.is_empty() {
        return;
    }
    let (steps, waiting) = loop {
        let steps = Steps::of(registry, stacks);
        let waiting = waiting(&steps, &causes);
        let reached = waiting.iter().filter_map(|(step, cause)| Some((change_of(&steps, *step)?, *cause)));
        let mut found: BTreeMap<Position, Position> = reached.collect();
        found.extend(deposed_of_held_back(stacks, &causes));
        let before = causes.len();
        for (at, cause) in found {
            let Some(by) = name_of(stacks, at, cause) else { continue };
            if change_mut(stacks, at).is_some_and(|change| change.hold_back(&by)) {
                causes.insert(at, cause);
            }
        }
        if causes.len() == before {
            break (steps, waiting);
        }
    };
    Unfinished::of(stacks, &steps, waiting.into_keys()).revert(stacks);
    let held_back: HashSet<String> = stacks
        .iter()
        .flat_map(|stack| stack.changes.iter().map(move |change| (stack, change)))
        .filter(|(_, change)| change.is_held_back())
        .map(|(stack, change)| format!("{}:{}", change.stack(&stack.stack), change.address))
        .collect();
    let is_of_held_back =
        |diagnostic: &Diagnostic| diagnostic.address.as_ref().is_some_and(|address| held_back.contains(address));
    diagnostics.retain(|diagnostic| !(RECORDED.contains(&diagnostic.code) && is_of_held_back(diagnostic)));
}

/// The held-back changes, each with the change in doubt that it waits for, which may be itself.
fn causes(stacks: &[StackPlan]) -> BTreeMap<Position, Position> {
    let mut causes = BTreeMap::new();
    for (stack, of) in stacks.iter().enumerate() {
        let of_component: HashMap<&str, usize> =
            first_in_doubt(&of.changes).map(|(at, change)| (change.address.component.as_str(), at)).collect();
        for (at, change) in of.changes.iter().enumerate().filter(|(_, change)| change.in_doubt.is_some()) {
            let of_component = of_component.get(change.address.component.as_str()).filter(|_| change.is_held_back());
            causes.insert((stack, at), (stack, of_component.copied().unwrap_or(at)));
        }
    }
    causes
}

/// The blocked steps, each with the change in doubt that it waits for.
fn waiting(steps: &Steps, causes: &BTreeMap<Position, Position>) -> BTreeMap<StepId, Position> {
    let own = (0..steps.all.len()).filter_map(|step| Some((step, *causes.get(&change_of(steps, step)?)?)));
    let mut waiting: BTreeMap<StepId, Position> = own.collect();
    let mut reached: Vec<(StepId, Position)> = waiting.iter().map(|(step, cause)| (*step, *cause)).collect();
    while let Some((step, cause)) = reached.pop() {
        for dependent in
            steps.dependents.get(step).into_iter().flatten().filter(|dependent| !steps.is_afterwards(**dependent))
        {
            waiting.entry(*dependent).or_insert_with(|| {
                reached.push((*dependent, cause));
                cause
            });
        }
    }
    waiting
}

/// The deposed objects of held-back moves: the row keeps its address, so its deposed objects stay with it.
fn deposed_of_held_back(stacks: &[StackPlan], causes: &BTreeMap<Position, Position>) -> Vec<(Position, Position)> {
    let mut staying: HashMap<(usize, &Address), Position> = HashMap::new();
    for ((stack, at), cause) in causes {
        let change = stacks.get(*stack).and_then(|of| of.changes.get(*at));
        let change = change.filter(|change| change.moved_from.is_some());
        staying.extend(change.map(|change| ((*stack, &change.address), *cause)));
    }
    let mut found = Vec::new();
    for (stack, of) in stacks.iter().enumerate().filter(|_| !staying.is_empty()) {
        let deposed = of.changes.iter().enumerate().filter(|(_, change)| change.deposed.is_some());
        let causes = deposed.map(|(at, change)| (at, staying.get(&(stack, &change.address))));
        found.extend(causes.filter_map(|(at, cause)| Some(((stack, at), *cause?))));
    }
    found
}

/// The address that a change waits for, with its stack if that differs.
fn name_of(stacks: &[StackPlan], at: Position, cause: Position) -> Option<String> {
    let (stack, change) = change_at(stacks, at)?;
    let (of, cause_change) = change_at(stacks, cause)?;
    let (own, of) = (change.stack(stack), cause_change.stack(of));
    let address = &cause_change.address;
    // The address of a shared resource needs no stack.
    Some(if own == of || address.is_shared() { address.to_string() } else { format!("{of}:{address}") })
}

fn change_of(steps: &Steps, step: StepId) -> Option<Position> {
    match *steps.all.get(step)? {
        Step::Forward { stack, change } | Step::Remove { stack, change } => Some((stack, change)),
        Step::Lookup { .. } | Step::ComponentDone { .. } | Step::Barrier | Step::Afterwards => None,
    }
}

fn change_at(stacks: &[StackPlan], (stack, change): Position) -> Option<(&StackId, &Change)> {
    let stack = stacks.get(stack)?;
    Some((&stack.stack, stack.changes.get(change)?))
}

fn change_mut(stacks: &mut [StackPlan], (stack, change): Position) -> Option<&mut Change> {
    stacks.get_mut(stack)?.changes.get_mut(change)
}

/// The parts of a plan that its apply does not finish, and whose records stay.
#[derive(Default)]
struct Unfinished {
    /// Components with an unfinished change.
    components: BTreeSet<(StackId, ComponentKey)>,
    /// Components whose outputs depend on an unfinished change.
    unfinished_outputs: BTreeSet<(StackId, ComponentKey)>,
    /// Shared resources.
    shared: BTreeSet<Address>,
}

impl Unfinished {
    fn of(stacks: &[StackPlan], steps: &Steps, waiting: impl Iterator<Item = StepId>) -> Self {
        let mut unfinished = Self::default();
        for step in waiting {
            if let Some(Step::ComponentDone { stack, component }) = steps.all.get(step) {
                let stack = stacks.get(*stack);
                let name = stack.and_then(|of| Some((of.stack.clone(), of.components.get(*component)?.key.clone())));
                unfinished.unfinished_outputs.extend(name);
            }
            let change = change_of(steps, step).and_then(|at| change_at(stacks, at));
            let Some((stack, change)) = change else { continue };
            let address = &change.address;
            let from = change.moved_from.iter().filter(|_| change.in_doubt.is_some());
            let components = from.chain([address]).map(|address| (stack.clone(), address.component.clone()));
            unfinished.components.extend(components);
            unfinished.shared.extend(address.is_shared().then(|| address.clone()));
        }
        unfinished
    }

    /// Reverts the changes of outputs and owners that the apply does not reach.
    fn revert(&self, stacks: &mut [StackPlan]) {
        for StackPlan { stack, components, outputs, owners, .. } in stacks {
            let part =
                |key: &str| components.iter().find(|component| component.key == key).map(|component| component.part);
            outputs.retain_mut(|output| {
                let name = (stack.clone(), output.component.clone());
                let stays = match part(&output.component) {
                    Some(Part::Removed) => self.components.contains(&name),
                    _ => self.unfinished_outputs.contains(&name),
                };
                if stays {
                    output.after = output.before.clone();
                    output.deferred = None;
                }
                !stays || output.after.is_some()
            });
            owners.retain(|owner| {
                let of = &owner.ownership;
                let is_left = self.shared.contains(&of.address);
                match owner.action {
                    OwnerAction::Add => true,
                    OwnerAction::Declare | OwnerAction::Record => !is_left,
                    OwnerAction::Drop { .. } => {
                        !is_left && !self.components.contains(&(of.stack.clone(), of.component.clone()))
                    }
                }
            });
        }
    }
}
