//! The steps of a plan and their order.
//!
//! A change has a forward step (what makes or keeps an object), a removing step, or both (a replacement). Components
//! have barriers of their own, so that the number of edges grows with what the plan holds:
//!
//! - forward after forward: along dependencies, from component to component;
//! - removing after removing: against *recorded* dependencies, for the descriptor may not know them any more;
//! - a removal comes after the update of what still used the object, and after the components that used its own;
//! - what was made after an object that is replaced delete-first goes before that, and waits for nothing else;
//! - a replacement removes first, unless it creates first: then the old object goes after all that used it moved on.

mod blocks;

use crate::action::Action;
use crate::address::{Address, InstanceKey};
use crate::plan::{Change, Part, Plan, StackPlan};
use blocks::{Blocks, is_own};
use std::collections::{HashMap, HashSet, VecDeque};

/// The position of a step.
pub(crate) type StepId = usize;

/// One node of the graph of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Makes, changes, takes over or keeps the object of a change.
    Forward { stack: usize, change: usize },
    /// Removes the object of a change: deletes, forgets or retains it.
    Remove { stack: usize, change: usize },
    /// All forward steps of a component are done: its outputs are known.
    ComponentDone { stack: usize, component: usize },
    /// A point in the order, nothing to do.
    Barrier,
}

/// The steps of a plan, each with those that wait for it.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    pub(crate) all: Vec<Step>,
    pub(crate) dependents: Vec<Vec<StepId>>,
    /// How many steps each waits for.
    pub(crate) waits_for: Vec<usize>,
}

/// The barriers of one component.
#[derive(Clone, Copy)]
struct Barriers {
    begin: StepId,
    done: StepId,
    remove_begin: StepId,
    remove_done: StepId,
}

/// The removing step of a change.
#[derive(Clone, Copy)]
struct Removal {
    step: StepId,
    /// It makes room for what forward steps need: see [`removed_early`].
    is_early: bool,
}

impl Steps {
    /// The steps of a plan.
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut steps = Self::default();
        let mut across = Across::default();
        for (position, stack) in plan.stacks.iter().enumerate() {
            steps.add_stack(position, stack, &mut across);
        }
        across.order(&mut steps);
        steps
    }

    /// True when every step can be reached: no loop among them.
    pub(crate) fn is_complete(&self) -> bool {
        let mut waits_for = self.waits_for.clone();
        let mut ready: VecDeque<StepId> = self.ready();
        let mut reached = 0;
        while let Some(step) = ready.pop_front() {
            reached += 1;
            for dependent in self.dependents.get(step).into_iter().flatten() {
                if let Some(left) = waits_for.get_mut(*dependent) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push_back(*dependent);
                    }
                }
            }
        }
        reached == self.all.len()
    }

    /// The steps that wait for none.
    pub(crate) fn ready(&self) -> VecDeque<StepId> {
        self.waits_for.iter().enumerate().filter(|(_, count)| **count == 0).map(|(step, _)| step).collect()
    }

    fn add(&mut self, step: Step) -> StepId {
        self.all.push(step);
        self.dependents.push(Vec::new());
        self.waits_for.push(0);
        self.all.len() - 1
    }

    fn barrier(&mut self) -> StepId {
        self.add(Step::Barrier)
    }

    fn order(&mut self, first: StepId, then: StepId) {
        if first == then {
            return;
        }
        if let (Some(dependents), Some(count)) = (self.dependents.get_mut(first), self.waits_for.get_mut(then)) {
            dependents.push(then);
            *count += 1;
        }
    }

    fn add_stack<'p>(&mut self, position: usize, stack: &'p StackPlan, across: &mut Across<'p>) {
        let barriers = self.add_components(position, stack);
        let mut forward: HashMap<&Address, StepId> = HashMap::with_capacity(stack.changes.len());
        let early = removed_early(stack);
        let mut remove: HashMap<&Address, Removal> = HashMap::new();
        for (at, change) in stack.changes.iter().enumerate() {
            let component = barriers.get(change.address.component.as_str());
            let is_forward = change.deposed.is_none() && change.after.is_some() && change.action.leaves_object();
            if is_forward {
                let step = self.add(Step::Forward { stack: position, change: at });
                forward.insert(&change.address, step);
                if let Some(component) = component {
                    self.order(component.begin, step);
                    self.order(step, component.done);
                }
            }
            let is_removed = is_removed(change);
            if is_removed || change.action.is_replace() {
                let step = self.add(Step::Remove { stack: position, change: at });
                if change.deposed.is_none() {
                    if is_removed && change.address.is_shared() {
                        across.removals.insert((&stack.stack.environment, &change.address), step);
                    }
                    remove.insert(&change.address, Removal { step, is_early: early.contains(&change.address) });
                }
                if let (Some(component), true) = (component, is_removed && !early.contains(&change.address)) {
                    self.order(component.remove_begin, step);
                    self.order(step, component.remove_done);
                }
            }
        }
        let mut blocks = blocks(stack, &forward, &remove);
        for change in stack.changes.iter().filter(|change| change.deposed.is_none()) {
            let own_forward = forward.get(&change.address).copied();
            let own_remove = remove.get(&change.address).map(|removal| removal.step);
            match (own_forward, own_remove, change.action) {
                (Some(forward), Some(remove), Action::Replace) => self.order(remove, forward),
                (Some(forward), Some(remove), _) => self.order(forward, remove),
                _ => {}
            }
            if let Some(step) = own_forward {
                for address in &change.depends_on {
                    match forward.get(address) {
                        Some(needed) => self.order(*needed, step),
                        None if is_own(&change.address, address) => {}
                        None => {
                            if let Some(made) = blocks.made(self, address) {
                                self.order(made, step);
                            }
                        }
                    }
                }
            }
            let recorded = change.prior.as_ref().map(|prior| prior.dependencies.as_slice()).unwrap_or_default();
            for needed in recorded {
                if let Some(own) =
                    own_remove.or(own_forward).filter(|_| needed.is_shared() && !remove.contains_key(needed))
                {
                    across.users.push((&stack.stack.environment, needed, own));
                }
                self.order_removal(remove.get(needed).copied(), own_forward, own_remove);
                if let Some(own) = own_remove.or(own_forward).filter(|_| !is_own(&change.address, needed))
                    && let Some(barrier) = blocks.before_removal(self, needed, own_remove.is_none())
                {
                    self.order(own, barrier);
                }
            }
        }
    }

    /// A removal comes after whatever is done about a resource that was made after the object.
    fn order_removal(&mut self, removal: Option<Removal>, own_forward: Option<StepId>, own_remove: Option<StepId>) {
        let Some(Removal { step: removal, is_early }) = removal else { return };
        match (own_remove, own_forward) {
            (Some(own), _) => self.order(own, removal),
            // What goes early makes room for what the forward step needs: it cannot wait for that.
            (None, Some(own)) if !is_early => self.order(own, removal),
            _ => {}
        }
    }

    fn add_components<'p>(&mut self, position: usize, stack: &'p StackPlan) -> HashMap<&'p str, Barriers> {
        let mut barriers = HashMap::new();
        for (at, component) in stack.components.iter().enumerate() {
            let begin = self.add(Step::Barrier);
            let done = match component.part {
                Part::Planned => self.add(Step::ComponentDone { stack: position, component: at }),
                Part::Untouched | Part::Removed => self.add(Step::Barrier),
            };
            let remove_begin = self.add(Step::Barrier);
            let remove_done = self.add(Step::Barrier);
            self.order(begin, done);
            self.order(remove_begin, remove_done);
            barriers.insert(component.key.as_str(), Barriers { begin, done, remove_begin, remove_done });
        }
        for component in &stack.components {
            let Some(own) = barriers.get(component.key.as_str()).copied() else { continue };
            if component.part == Part::Planned {
                for needed in component.depends_on.iter().filter_map(|key| barriers.get(key.as_str()).copied()) {
                    self.order(needed.done, own.begin);
                }
            }
            for needed in component.depended_on.iter().filter_map(|key| barriers.get(key.as_str()).copied()) {
                self.order(own.remove_done, needed.remove_begin);
                self.order(own.done, needed.remove_begin);
            }
        }
        barriers
    }
}

/// What stacks have to do with each other: the shared objects that one removes and others used.
#[derive(Default)]
struct Across<'p> {
    /// The removal of a shared object, by its environment.
    removals: HashMap<(&'p str, &'p Address), StepId>,
    /// What the recorded objects of a stack were made after, where it does not remove that itself.
    users: Vec<(&'p str, &'p Address, StepId)>,
}

impl Across<'_> {
    /// A shared object goes after what was made after it, in whichever stack that is.
    fn order(&self, steps: &mut Steps) {
        for (environment, needed, own) in &self.users {
            if let Some(removal) = self.removals.get(&(*environment, *needed)) {
                steps.order(*own, *removal);
            }
        }
    }
}

/// True for the change of an object that goes for good.
fn is_removed(change: &Change) -> bool {
    // What is held back and has nothing to be made was to go.
    let is_held_back = change.in_doubt.is_some() && (change.after.is_none() || change.deposed.is_some());
    is_held_back || matches!(change.action, Action::Delete | Action::Forget | Action::Retain)
}

/// The objects whose removal comes before anything is made: those that are replaced delete-first, and those that go
/// and were made after such a one. All others wait until nothing can use them any more; these cannot, for what uses
/// them may need the replacement.
fn removed_early(stack: &StackPlan) -> HashSet<&Address> {
    let current = || stack.changes.iter().filter(|change| change.deposed.is_none());
    let mut made_after: HashMap<&Address, Vec<&Address>> = HashMap::new();
    for change in current().filter(|change| is_removed(change)) {
        for needed in change.prior.iter().flat_map(|prior| &prior.dependencies) {
            made_after.entry(needed).or_default().push(&change.address);
        }
    }
    let replaced = current().filter(|change| change.action == Action::Replace).map(|change| &change.address);
    let mut waiting: Vec<&Address> = replaced.collect();
    let mut early = HashSet::new();
    while let Some(address) = waiting.pop() {
        if early.insert(address) {
            waiting.extend(made_after.get(address).into_iter().flatten());
            // What was made after all instances was made after this one.
            let block = Address { key: Some(InstanceKey::All), ..address.clone() };
            waiting.extend(made_after.get(&block).into_iter().flatten());
        }
    }
    early
}

/// The blocks that are depended on as a whole, with the steps of their instances.
fn blocks<'p>(
    stack: &'p StackPlan,
    forward: &HashMap<&Address, StepId>,
    remove: &HashMap<&Address, Removal>,
) -> Blocks<'p> {
    let mut blocks = Blocks::default();
    for change in &stack.changes {
        change.depends_on.iter().filter(|address| !forward.contains_key(address)).for_each(|it| blocks.want(it));
        if let Some(prior) = change.prior.as_ref().filter(|_| !remove.is_empty()) {
            prior.dependencies.iter().for_each(|address| blocks.want(address));
        }
    }
    for change in stack.changes.iter().filter(|change| change.deposed.is_none()) {
        let address = &change.address;
        blocks.add(address, forward.get(address).copied(), remove.get(address).copied());
    }
    blocks
}
