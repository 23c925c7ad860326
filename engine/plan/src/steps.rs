//! The steps of a plan and their order.
//!
//! A change has a forward step (which creates or keeps an object), a removing step, or both (a replacement). Components have
//! barriers, so that the number of edges stays linear:
//!
//! - forward after forward: along dependencies, from component to component;
//! - removing after removing: against *recorded* dependencies, because the descriptor may not contain them any more;
//! - a removal follows the updates of the objects that used the object, and the components that used its component;
//! - the same order holds between components of different stacks, if one reads outputs or looks up objects of the other;
//! - the dependents of an object that is replaced delete-first are removed before it, and wait for nothing else;
//! - an object that is replaced delete-first stays until the prerequisites of its successor are done, unless these need its
//!   removal;
//! - revocations of access follow all grants, even failed ones; a revocation follows the success of the grant that replaces it
//!   (`grants`);
//! - a new object follows the removal of its obstacles: an object of its name, or a file in the place of its folder (`obstacles`);
//! - within a component, a replaced object is removed before a dependency, or an item of it, is renamed;
//! - an object is renamed before another object takes its name;
//! - a replacement removes first, unless it creates first. Then the old object is removed after its users have switched. The same
//!   holds for a deposed object of an earlier replacement (`deposed`).

mod blocks;
mod cycle_breaking;
mod deposed;
mod grants;
mod obstacles;
mod reading;
mod step;

pub use step::{Step, StepId};

use crate::key::{Position, RowKey, row_key};
use crate::{Change, Part, StackPlan};
use blocks::{Blocks, is_own};
use cycle_breaking::Cycles;
use deposed::Deposed;
use obstacles::{Obstacle, obstacles, users};
use std::collections::{HashMap, HashSet, VecDeque};
use step::Removal;
use terrace_language::action::Action;
use terrace_language::address::{Address, InstanceKey};
use terrace_language::registry::Registry;
use terrace_provider::Value;
use terrace_provider::renames::has_renames;

/// The steps of a plan, each with its dependents.
#[derive(Debug, Default)]
pub struct Steps {
    /// The steps.
    pub all: Vec<Step>,
    /// The steps that wait for each step.
    pub dependents: Vec<Vec<StepId>>,
    /// The number of prerequisites of each step.
    pub waits_for: Vec<usize>,
    /// The obstacles that are removed before the objects that they obstruct.
    cleared: HashSet<Obstacle>,
}

/// Additional order by the names of objects.
#[derive(Debug, Clone, Default)]
struct Names {
    obstacles: Vec<Obstacle>,
    /// Each object that needs a removed object, with that object.
    users: Vec<(Position, Position)>,
    /// Obstacles are removed before any create.
    clear_first: bool,
}

impl Names {
    fn is_empty(&self) -> bool {
        self.obstacles.is_empty() && self.users.is_empty()
    }
}

/// The barriers of a component.
#[derive(Clone, Copy)]
struct Barriers {
    begin: StepId,
    done: StepId,
    remove_begin: StepId,
    remove_done: StepId,
}

impl Steps {
    /// The steps of a plan.
    pub fn of(registry: &Registry, stacks: &[StackPlan]) -> Self {
        let names =
            Names { obstacles: obstacles(registry, stacks), users: users(registry, stacks), clear_first: false };
        // By default obstacles are removed late, after their users. If that creates a cycle, they are removed first.
        let first = Names { clear_first: true, ..names.clone() };
        let orders = if names.is_empty() { vec![names] } else { vec![names, first, Names::default()] };
        let mut steps = Self::default();
        for names in &orders {
            steps = Self::build(stacks, |_| Cycles::default(), names);
            if !steps.is_complete() {
                // Cycles of recorded dependencies are rare, and their search is expensive.
                steps = Self::build(stacks, Cycles::of, names);
            }
            if steps.is_complete() {
                break;
            }
        }
        steps
    }

    /// The steps, without the recorded dependencies that `cycles` leaves out.
    fn build<'p>(stacks: &'p [StackPlan], cycles: impl Fn(&'p StackPlan) -> Cycles<'p>, names: &Names) -> Self {
        let mut steps = Self::default();
        let early = removed_early(stacks, names);
        let mut nodes: Vec<Nodes<'_>> =
            stacks.iter().enumerate().map(|(position, stack)| steps.add_stack(position, stack, &early)).collect();
        share(&mut nodes);
        steps.order_stacks(stacks, &nodes);
        for (stack, nodes) in stacks.iter().zip(&nodes) {
            steps.order_stack(stack, nodes, &cycles(stack));
            steps.grant_first(stack, nodes);
        }
        steps.order_names(stacks, &nodes, names);
        steps.keep_until_replaceable(stacks, &nodes);
        steps
    }

    /// Orders new objects after the removal of their obstacles, and removals of needed objects after their users.
    fn order_names(&mut self, stacks: &[StackPlan], nodes: &[Nodes<'_>], names: &Names) {
        let find = |(stack, at): &Position| Some((nodes.get(*stack)?, &stacks.get(*stack)?.changes.get(*at)?.address));
        let removal = |at: &Position| find(at).and_then(|(nodes, address)| nodes.remove.get(address)).copied();
        let forward = |at: &Position| find(at).and_then(|(nodes, address)| nodes.forward.get(address)).copied();
        for obstacle in &names.obstacles {
            if let (Some(removed), Some(created)) = (removal(&obstacle.removed), forward(&obstacle.created)) {
                self.order(removed.step, created);
                self.cleared.insert(*obstacle);
            }
        }
        for (user, needed) in &names.users {
            self.order_removal(removal(needed), forward(user), removal(user).map(|removal| removal.step));
        }
    }

    /// True if the new object is created only after the obstacle is removed.
    pub(crate) fn clears(&self, removed: Position, created: Position) -> bool {
        self.cleared.contains(&Obstacle { removed, created })
    }

    /// Keeps an object that is replaced delete-first until the prerequisites of its successor are done: if one fails, the old
    /// object remains. Steps that wait for a removal themselves are excluded, because they may need the room.
    fn keep_until_replaceable(&mut self, stacks: &[StackPlan], nodes: &[Nodes<'_>]) {
        let mut removals: HashMap<StepId, StepId> = HashMap::new();
        for (stack, nodes) in stacks.iter().zip(nodes) {
            for change in stack.changes.iter().filter(|change| change.action == Action::Replace) {
                let (forward, remove) = (nodes.forward.get(&change.address), nodes.remove.get(&change.address));
                removals.extend(forward.copied().zip(remove.map(|removal| removal.step)));
            }
        }
        if removals.is_empty() {
            return;
        }
        let mut after_removal = vec![false; self.all.len()];
        let is_removal = |step: &StepId| matches!(self.all.get(*step), Some(Step::Remove { .. }));
        let mut waiting: Vec<StepId> = (0..self.all.len()).filter(is_removal).collect();
        while let Some(step) = waiting.pop() {
            for dependent in self.dependents.get(step).into_iter().flatten() {
                if let Some(marked) = after_removal.get_mut(*dependent).filter(|marked| !**marked) {
                    *marked = true;
                    waiting.push(*dependent);
                }
            }
        }
        let is_free = |step: StepId| !is_removal(&step) && after_removal.get(step) == Some(&false);
        let mut found = Vec::new();
        for step in (0..self.all.len()).filter(|step| is_free(*step)) {
            let successors = self.dependents.get(step).into_iter().flatten();
            found.extend(successors.filter_map(|successor| Some((step, *removals.get(successor)?))));
        }
        found.into_iter().for_each(|(step, removal)| self.order(step, removal));
    }

    /// True if every step can be reached, so that there is no cycle.
    pub fn is_complete(&self) -> bool {
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

    /// The steps without prerequisites.
    pub fn ready(&self) -> VecDeque<StepId> {
        self.waits_for.iter().enumerate().filter(|(_, count)| **count == 0).map(|(step, _)| step).collect()
    }

    fn add(&mut self, step: Step) -> StepId {
        self.all.push(step);
        self.dependents.push(Vec::new());
        self.waits_for.push(0);
        self.all.len() - 1
    }

    /// True for a step that does not need the success of its prerequisites.
    pub fn is_afterwards(&self, step: StepId) -> bool {
        matches!(self.all.get(step), Some(Step::Afterwards))
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

    fn add_stack<'p>(&mut self, position: usize, stack: &'p StackPlan, early: &Early<'p>) -> Nodes<'p> {
        let barriers = self.add_components(position, stack);
        let mut forward: HashMap<&Address, StepId> = HashMap::with_capacity(stack.changes.len());
        let mut remove: HashMap<&Address, Removal> = HashMap::new();
        let mut deposed = Deposed::default();
        for (at, change) in stack.changes.iter().enumerate() {
            let component = barriers.get(change.address.component.as_str());
            let is_forward = change.after.is_some() && change.action.leaves_object();
            if is_forward {
                let step = self.add(Step::Forward { stack: position, change: at });
                // The forward step of a deposed object only records it.
                if change.deposed.is_none() {
                    forward.insert(&change.address, step);
                }
                if let Some(component) = component {
                    self.order(component.begin, step);
                    self.order(step, component.done);
                }
            }
            let is_early = early.contains(&object_of(position, change));
            if change.leaves_state() || change.action.is_replace() {
                let step = self.add(Step::Remove { stack: position, change: at });
                let removal = Removal { step, is_early };
                match change.deposed {
                    None => drop(remove.insert(&change.address, removal)),
                    Some(_) => deposed.add(stack, change, removal),
                }
                if let Some(component) = component.filter(|_| !is_early) {
                    self.order(component.remove_begin, step);
                    self.order(step, component.remove_done);
                }
            }
        }
        let mut lookups = HashMap::new();
        for (at, lookup) in stack.lookups.iter().enumerate().filter(|(_, lookup)| lookup.reason.is_some()) {
            let step = self.add(Step::Lookup { stack: position, lookup: at });
            lookups.insert((lookup.address.component.as_str(), lookup.address.name.as_str()), step);
            if let Some(component) = barriers.get(lookup.address.component.as_str()) {
                self.order(component.begin, step);
                self.order(step, component.done);
            }
        }
        Nodes { forward, remove, deposed, lookups, barriers }
    }

    /// A lookup is read after its dependencies and before its readers.
    fn order_lookups<'p>(&mut self, stack: &'p StackPlan, nodes: &Nodes<'_>, blocks: &mut Blocks<'p>) {
        let mut readers: HashMap<(&str, &str), Vec<StepId>> = HashMap::new();
        for lookup in &stack.lookups {
            let component = lookup.address.component.as_str();
            let Some(step) = nodes.lookups.get(&(component, lookup.address.name.as_str())).copied() else { continue };
            for address in &lookup.depends_on {
                match nodes.forward.get(address) {
                    Some(needed) => self.order(*needed, step),
                    None => {
                        if let Some(created) = blocks.after_all_created(self, address) {
                            self.order(created, step);
                        }
                    }
                }
            }
            for name in &lookup.reads {
                if let Some(read) = nodes.lookups.get(&(component, name.as_str())) {
                    self.order(*read, step);
                }
            }
            for name in &lookup.needed_by {
                readers.entry((component, name)).or_default().push(step);
            }
        }
        if readers.is_empty() {
            return;
        }
        let shared = stack.components.iter().flat_map(|component| {
            component.shared.iter().map(|shared| ((component.key.as_str(), shared.name.as_str()), &shared.address))
        });
        let own = stack.changes.iter().filter(|change| change.deposed.is_none());
        let own =
            own.map(|change| ((change.address.component.as_str(), change.address.name.as_str()), &change.address));
        for (name, address) in own.chain(shared) {
            let Some(forward) = nodes.forward.get(address) else { continue };
            for lookup in readers.get(&name).into_iter().flatten() {
                self.order(*lookup, *forward);
            }
        }
    }

    fn order_stack<'p>(&mut self, stack: &'p StackPlan, nodes: &Nodes<'_>, cycles: &Cycles<'p>) {
        let Nodes { forward, remove, deposed, .. } = nodes;
        self.order_renames(stack, forward);
        let mut blocks = blocks(stack, forward, remove, cycles);
        self.order_lookups(stack, nodes, &mut blocks);
        for (at, change) in stack.changes.iter().enumerate() {
            let own_forward = forward.get(&change.address).filter(|_| change.deposed.is_none()).copied();
            let own_remove = match change.deposed {
                None => remove.get(&change.address).map(|removal| removal.step),
                Some(_) => deposed.step(change),
            };
            let successor = successor(stack, at).and_then(|successor| forward.get(&successor.address));
            if let (Some(own), Some(successor)) = (own_remove, successor) {
                self.order(own, *successor);
            }
            match (own_forward, own_remove, change.action) {
                (Some(forward), Some(remove), Action::Replace) => self.order(remove, forward),
                (Some(forward), Some(remove), _) => self.order(forward, remove),
                _ => {}
            }
            if let Some(step) = own_forward {
                for address in change.how.depends_on.iter().filter(|needed| cycles.waits(&change.address, needed)) {
                    match forward.get(address) {
                        Some(needed) => self.order(*needed, step),
                        None if is_own(&change.address, address) => {}
                        None => {
                            if let Some(created) = blocks.after_all_created(self, address) {
                                self.order(created, step);
                            }
                        }
                    }
                }
            }
            let recorded = change.basis.prior.as_ref().map(|prior| prior.dependencies.as_slice()).unwrap_or_default();
            for needed in recorded.iter().filter(|needed| cycles.follows(&change.address, needed)) {
                // A deposed object does not depend on the successor of a dependency that was deposed with it.
                if !deposed.depends_on_sibling(needed, change) {
                    self.order_removal(remove.get(needed).copied(), own_forward, own_remove);
                }
                for deposed_removal in deposed.used(needed, change) {
                    self.order_removal(Some(deposed_removal), own_forward, own_remove);
                }
                // A replaced object is removed before its dependency is renamed: for example a grant that has the old name.
                if let (Action::Replace, Some(own), Some(updated)) = (change.action, own_remove, forward.get(needed))
                    && needed.component == change.address.component
                    && self.is_renaming(*updated, stack, needed)
                {
                    self.order(own, *updated);
                }
                if let Some(own) = own_remove.or(own_forward).filter(|_| !is_own(&change.address, needed))
                    && let Some(barrier) = blocks.before_removal(self, needed, own_remove.is_none())
                {
                    self.order(own, barrier);
                }
            }
        }
    }

    /// Orders a rename before the change that reuses the name.
    fn order_renames(&mut self, stack: &StackPlan, forward: &HashMap<&Address, StepId>) {
        let renamed: Vec<&Change> = stack.changes.iter().filter(|change| is_renamed(change)).collect();
        if renamed.is_empty() {
            return;
        }
        for change in stack.changes.iter().filter(|change| change.deposed.is_none()) {
            let leaves =
                renamed.iter().filter(|renaming| takes_name(change, renaming) && !takes_name(renaming, change));
            let leaves: Vec<StepId> = leaves.filter_map(|left| forward.get(&left.address).copied()).collect();
            let Some(own) = forward.get(&change.address).copied() else { continue };
            leaves.into_iter().for_each(|left| self.order(left, own));
        }
    }

    /// True for the step that renames this resource or an item of it.
    fn is_renaming(&self, step: StepId, stack: &StackPlan, address: &Address) -> bool {
        let Some(Step::Forward { change, .. }) = self.all.get(step) else { return false };
        let Some(change) = stack.changes.get(*change).filter(|change| change.address == *address) else { return false };
        let (Some(prior), Some(after)) = (&change.basis.prior, &change.after) else { return false };
        let renames_items = || change.action == Action::Update && has_renames(&prior.attributes, &after.attributes);
        is_renamed(change) || renames_items()
    }

    /// A removal follows the steps of the object's dependents.
    fn order_removal(&mut self, removal: Option<Removal>, own_forward: Option<StepId>, own_remove: Option<StepId>) {
        let Some(Removal { step: removal, is_early }) = removal else { return };
        match (own_remove, own_forward) {
            (Some(own), _) => self.order(own, removal),
            // An early removal makes room for the forward step, so it cannot follow it.
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

/// The steps of a stack's objects, with the shared objects of all stacks.
struct Nodes<'p> {
    forward: HashMap<&'p Address, StepId>,
    remove: HashMap<&'p Address, Removal>,
    deposed: Deposed<'p>,
    /// The lookups that are read during the apply, by component and name.
    lookups: HashMap<(&'p str, &'p str), StepId>,
    barriers: HashMap<&'p str, Barriers>,
}

/// Makes the steps of shared objects known to all stacks of the plan, because dependents in any stack are created after them and
/// removed before them.
fn share(nodes: &mut [Nodes<'_>]) {
    let mut forward = HashMap::new();
    let mut remove = HashMap::new();
    let mut deposed = Vec::new();
    for stack in nodes.iter() {
        forward.extend(stack.forward.iter().filter(|(address, _)| address.is_shared()).map(|(at, step)| (*at, *step)));
        remove.extend(stack.remove.iter().filter(|(address, _)| address.is_shared()).map(|(at, step)| (*at, *step)));
        deposed.extend(stack.deposed.shared());
    }
    for stack in nodes {
        stack.deposed.extend(&deposed);
        stack.forward.extend(&forward);
        stack.remove.extend(&remove);
    }
}

/// True for an update that renames its object.
pub(super) fn is_renamed(change: &Change) -> bool {
    let (Some(prior), Some(after)) = (&change.basis.prior, &change.after) else { return false };
    let differs = |(name, was): (&String, &Value)| after.attributes.get(name).is_some_and(|now| !now.is_same_as(was));
    change.action == Action::Update && prior.identity.iter().any(differs)
}

/// True if a change gives its object the identity of another change's object.
fn takes_name(change: &Change, other: &Change) -> bool {
    let (Some(after), Some(prior)) = (&change.after, &other.basis.prior) else { return false };
    let is_same = |(name, was): (&String, &Value)| after.attributes.get(name).is_some_and(|now| now.is_same_as(was));
    let is_other_resource = change.address != other.address && change.action != Action::NoOp;
    let of_one_kind = change.address.ty == other.address.ty && change.how.provider == other.how.provider;
    is_other_resource && of_one_kind && prior.identity.iter().all(is_same)
}

/// The change that creates an object with the name of the deposed one at this position. Changes of one address are adjacent, the
/// current one first.
fn successor(stack: &StackPlan, deposed: usize) -> Option<&Change> {
    let change = stack.changes.get(deposed)?;
    let before = stack.changes.get(..deposed)?.iter().rev();
    before.take_while(|other| other.address == change.address).find(|other| other.takes_name_of(change))
}

/// The objects that are removed before any create: those that are replaced delete-first, deposed ones whose name is reused,
/// obstacles that cannot wait, and removed dependents of such objects. All other removals wait for the object's users. These cannot
/// wait, because the users may need the new object.
fn removed_early<'p>(stacks: &'p [StackPlan], names: &Names) -> Early<'p> {
    let mut made_after: HashMap<Object<'_>, Vec<Object<'_>>> = HashMap::new();
    let mut waiting: Vec<Object<'_>> = Vec::new();
    let first = names.obstacles.iter().filter(|_| names.clear_first);
    let deleted = first.filter_map(|Obstacle { removed: (stack, at), .. }| {
        let change = stacks.get(*stack)?.changes.get(*at)?;
        (change.action == Action::Delete).then(|| object_of(*stack, change))
    });
    waiting.extend(deleted);
    let all = || stacks.iter().enumerate().flat_map(|(at, stack)| stack.changes.iter().map(move |change| (at, change)));
    let early_deposed: HashSet<Object<'_>> =
        all().filter(|(_, change)| change.deposed.is_some()).map(|(stack, change)| object_of(stack, change)).collect();
    for (stack, of_stack) in stacks.iter().enumerate() {
        for (at, change) in of_stack.changes.iter().enumerate() {
            let object = object_of(stack, change);
            if change.leaves_state() {
                for needed in change.basis.prior.iter().flat_map(|prior| &prior.dependencies) {
                    // An object that an operation deposed depends on the deposed objects of that operation, not on their
                    // successors.
                    let sibling = (row_key(stack, needed), change.deposed.as_deref());
                    let needed = if early_deposed.contains(&sibling) { sibling } else { (sibling.0, None) };
                    made_after.entry(needed).or_default().push(object);
                }
            }
            let is_obstacle = change.deposed.is_some() && successor(of_stack, at).is_some();
            waiting.extend((is_obstacle || change.action == Action::Replace).then_some(object));
        }
    }
    let mut early = HashSet::new();
    while let Some(object) = waiting.pop() {
        if early.insert(object) {
            let ((stack, address), key) = object;
            for key in [key, None] {
                waiting.extend(made_after.get(&((stack, address), key)).into_iter().flatten());
            }
            // A dependent of all instances depends on this one too.
            let block = Address { key: Some(InstanceKey::All), ..address.clone() };
            waiting.extend(made_after.get(&((stack, &block), None)).into_iter().flatten());
        }
    }
    early
}

/// An object of a plan: its row, and its key if it is deposed.
type Object<'p> = (RowKey<'p>, Option<&'p str>);

/// The objects that are removed early.
type Early<'p> = HashSet<Object<'p>>;

fn object_of(stack: usize, change: &Change) -> Object<'_> {
    (row_key(stack, &change.address), change.deposed.as_deref())
}

/// The blocks that are dependencies as a whole, with the steps of their instances.
fn blocks<'p>(
    stack: &'p StackPlan,
    forward: &HashMap<&Address, StepId>,
    remove: &HashMap<&Address, Removal>,
    cycles: &Cycles<'_>,
) -> Blocks<'p> {
    let mut blocks = Blocks::default();
    stack.lookups.iter().flat_map(|lookup| &lookup.depends_on).for_each(|address| blocks.require(address));
    for change in &stack.changes {
        change
            .how
            .depends_on
            .iter()
            .filter(|address| !forward.contains_key(address))
            .for_each(|address| blocks.require(address));
        if let Some(prior) = change.basis.prior.as_ref().filter(|_| !remove.is_empty()) {
            prior.dependencies.iter().for_each(|address| blocks.require(address));
        }
    }
    for change in stack.changes.iter().filter(|change| change.deposed.is_none()) {
        let address = &change.address;
        let remove = remove.get(address).filter(|_| cycles.is_one_of_all(address));
        blocks.add(address, forward.get(address).copied(), remove.copied());
    }
    blocks
}
