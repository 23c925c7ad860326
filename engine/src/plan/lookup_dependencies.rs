//! Dependencies of lookups on objects that the same run creates, also for other stacks.
//!
//! The stack that creates the object is planned and applied before the stack that looks it up. Planning finds out which object
//! that is. If a stack that was planned later creates it, the stack with the lookup is planned again, and so are all stacks
//! that were planned from its plan.

use super::cross_stack_outputs::StackNeed;
use super::object_identity::{ObjectKey, called, keys_of, owned};
use super::{Change, Part, SharedName, StackPlan};
use crate::action::Action;
use crate::address::{Address, InstanceKey, StackId};
use crate::compile::CompiledStack;
use crate::diagnostic::{Diagnostic, Label};
use crate::graph::{Block, Readers};
use crate::registry::Registry;
use crate::source::Span;
use crate::store::StackRead;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use terrace_provider::{Attributes, ProviderError};

/// The objects of one run, and what is looked at.
#[derive(Default)]
pub(crate) struct LookupDependencies {
    /// Where the objects that are looked at have their names. Of others nothing is kept.
    spaces: HashSet<&'static str>,
    /// The objects of what is planned, the stack that is being planned included, by each of their names.
    objects: HashMap<ObjectKey<'static>, Arc<MadeObject>>,
    /// Their names by stack.
    names: HashMap<StackId, Vec<ObjectKey<'static>>>,
    /// What was asked, by who did.
    asked: HashMap<StackId, Vec<LookupRequest>>,
    /// Who asked, by what that may look at.
    askers: HashMap<ObjectKey<'static>, BTreeSet<StackId>>,
    /// What the stack that is being planned waits for.
    needs: Vec<StackNeed>,
    /// The stacks whose objects it looks at.
    looked_at: BTreeSet<StackId>,
    /// Answers by instance, lookup and arguments: components of one kind ask the same.
    answers: HashMap<(String, &'static str, String), Result<Attributes, ProviderError>>,
    /// Declarations of a stack, each with a lookup that turned out to look at what it makes.
    put_off: HashMap<StackId, BTreeSet<(Block, Block)>>,
}

/// What the stacks of a run declare, by what comes after their lookups.
pub(super) struct Declared<'s> {
    stacks: HashMap<&'s StackId, &'s CompiledStack>,
    readers: HashMap<&'s StackId, Readers>,
}

impl<'s> Declared<'s> {
    pub(super) fn of(stacks: &'s [CompiledStack]) -> Self {
        Self { stacks: stacks.iter().map(|stack| (&stack.stack, stack)).collect(), readers: HashMap::new() }
    }

    /// The declarations that come after a lookup.
    fn readers(&mut self, asked: &LookupRequest) -> BTreeSet<Block> {
        let Some((stack, compiled)) = self.stacks.get_key_value(&asked.stack) else { return BTreeSet::new() };
        let readers = self.readers.entry(stack).or_insert_with(|| Readers::of(&compiled.components));
        readers.of_lookup(asked.block)
    }
}

/// An object of a stack of the run.
pub(super) struct MadeObject {
    stack: StackId,
    pub(super) address: Address,
    /// The declaration in its stack.
    block: Block,
    pub(super) attributes: Attributes,
    /// The plan makes it, or makes it another one.
    is_changed: bool,
}

impl MadeObject {
    /// True when that stack has it, be it with others.
    pub(super) fn is_of(&self, stack: &StackId) -> bool {
        self.stack == *stack || self.address.is_shared()
    }
}

/// A lookup whose question is known.
pub(super) struct LookupRequest {
    pub(super) stack: StackId,
    pub(super) component: String,
    pub(super) address: Address,
    pub(super) block: Block,
    /// The types of the objects that it may look at.
    pub(super) types: &'static [&'static str],
    /// What they are called.
    pub(super) keys: Vec<ObjectKey<'static>>,
    pub(super) span: Span,
    /// Where that is for people.
    pub(super) places: Vec<Label>,
    /// It is answered by what is planned.
    pub(super) is_planned: bool,
    /// Where among the diagnostics of its stack it is told that there is no answer.
    pub(super) failed: Option<usize>,
}

impl LookupDependencies {
    pub(super) fn of(registry: &Registry, stacks: &[CompiledStack]) -> Self {
        let components = || stacks.iter().flat_map(|stack| &stack.components);
        let data = components().flat_map(|component| &component.declarations.data);
        let schemas = data.filter_map(|declaration| Some(registry.lookup(&declaration.ty.value)?.1));
        let types = schemas.flat_map(|schema| schema.objects).filter_map(|name| registry.resource_type(name));
        Self { spaces: types.map(|(_, ty)| ty.identity_space).collect(), ..Self::default() }
    }

    /// True when any object may be looked at.
    pub(super) fn is_any(&self) -> bool {
        !self.spaces.is_empty()
    }

    /// Adds what the plan of a stack makes and keeps of one declaration.
    pub(super) fn add<'c>(
        &mut self,
        registry: &Registry,
        (stack, block): (&StackId, Block),
        changes: impl Iterator<Item = &'c Change>,
    ) {
        if !self.is_any() {
            return;
        }
        for change in changes.filter(|change| change.action.leaves_object() && change.deposed.is_none()) {
            let Some(after) = &change.after else { continue };
            let Some((_, ty)) = registry.resource_type(&change.address.ty) else { continue };
            if !self.spaces.contains(ty.identity_space) {
                continue;
            }
            let is_changed = change.action != Action::NoOp && change.in_doubt.is_none();
            self.name((stack, block), change, keys_of(registry, change, &after.attributes), is_changed);
            // Who asks by these asks for what is known already, unless the object is yet to be made.
            let is_made = is_changed && ty.identity_of(&after.attributes).is_none();
            self.name((stack, block), change, called(ty, &after.attributes, &change.provider), is_made);
        }
    }

    /// Adds an object under some of its names.
    fn name(&mut self, (stack, block): (&StackId, Block), change: &Change, keys: Vec<ObjectKey<'_>>, is_changed: bool) {
        if keys.is_empty() {
            return;
        }
        let after = change.after.as_ref().filter(|_| is_changed);
        let made = Arc::new(MadeObject {
            stack: stack.clone(),
            address: change.address.clone(),
            block,
            // Nobody looks at more of what stays as it is.
            attributes: after.map(|after| after.attributes.clone()).unwrap_or_default(),
            is_changed,
        });
        for key in keys.into_iter().map(owned) {
            self.names.entry(stack.clone()).or_default().push(key.clone());
            self.objects.insert(key, Arc::clone(&made));
        }
    }

    /// True when an object of that name is there once the plan is applied.
    pub(super) fn is_there(&self, types: &[&str], key: &ObjectKey<'static>) -> bool {
        self.object(types, key).is_some()
    }

    fn object(&self, types: &[&str], key: &ObjectKey<'static>) -> Option<&Arc<MadeObject>> {
        self.objects.get(key).filter(|made| types.contains(&made.address.ty.as_str()))
    }

    fn objects_of(&self, asked: &LookupRequest) -> impl Iterator<Item = &Arc<MadeObject>> {
        asked.keys.iter().filter_map(|key| self.object(asked.types, key))
    }

    /// The objects that a component looks at, as far as what is planned so far makes them. The component begins after what
    /// makes them.
    pub(super) fn take_from_plan(
        &mut self,
        (stack, component): (&StackId, &str),
        types: &[&str],
        keys: &[ObjectKey<'static>],
    ) -> Vec<Arc<MadeObject>> {
        let mut found: Vec<Arc<MadeObject>> = Vec::new();
        for made in keys.iter().filter_map(|key| self.object(types, key)).filter(|made| made.is_changed) {
            if !found.iter().any(|other| Arc::ptr_eq(other, made)) {
                found.push(Arc::clone(made));
            }
        }
        for made in found.iter().filter(|made| made.stack != *stack) {
            self.looked_at.insert(made.stack.clone());
            if !made.address.is_shared() {
                let (stack, of) = (made.stack.clone(), made.address.component.clone());
                self.needs.push(StackNeed { component: component.to_owned(), stack, of });
            }
        }
        found
    }

    /// What the stack that was planned last waits for besides.
    pub(super) fn take_needs(&mut self) -> Vec<StackNeed> {
        std::mem::take(&mut self.needs)
    }

    /// The stacks whose objects the one that was planned last looks at.
    pub(super) fn take_looked_at(&mut self) -> BTreeSet<StackId> {
        std::mem::take(&mut self.looked_at)
    }

    /// The answers to the questions that were asked so far.
    pub(super) fn answers(
        &mut self,
    ) -> &mut HashMap<(String, &'static str, String), Result<Attributes, ProviderError>> {
        &mut self.answers
    }

    /// Remembers a question.
    pub(super) fn ask(&mut self, asked: LookupRequest) {
        for key in &asked.keys {
            self.askers.entry(key.clone()).or_default().insert(asked.stack.clone());
        }
        self.asked.entry(asked.stack.clone()).or_default().push(asked);
    }

    /// What a stack asked.
    pub(super) fn asked_by(&self, stack: &StackId) -> &[LookupRequest] {
        self.asked.get(stack).map(Vec::as_slice).unwrap_or_default()
    }

    /// The other stacks that asked for what a stack turns out to make, and where.
    pub(super) fn early(&self, maker: &StackId) -> Vec<(StackId, Span)> {
        let keys = self.names.get(maker).into_iter().flatten();
        let askers: BTreeSet<&StackId> =
            keys.filter_map(|key| self.askers.get(key)).flatten().filter(|asker| *asker != maker).collect();
        let is_of = |made: &Arc<MadeObject>| made.stack == *maker && made.is_changed;
        let asked = askers.into_iter().flat_map(|asker| self.asked_by(asker));
        let early = asked.filter(|asked| !asked.is_planned && self.objects_of(asked).any(is_of));
        early.map(|asked| (asked.stack.clone(), asked.span)).collect()
    }

    /// Puts off the lookups of a stack that were answered before it was known that the stack makes what they look at. True
    /// when there are any: it is to be planned again.
    pub(super) fn put_off_early(&mut self, declared: &mut Declared<'_>, stack: &StackId) -> bool {
        let own = |asked: &LookupRequest| {
            let made = self.objects_of(asked).find(|made| made.stack == *stack && made.is_changed)?;
            (!self.is_read_by(declared, asked, made)).then_some((made.block, asked.block))
        };
        let early = self.asked_by(stack).iter().filter(|asked| !asked.is_planned);
        let early: Vec<(Block, Block)> = early.filter_map(own).collect();
        let mut is_any = false;
        for one in early {
            is_any |= self.put_off.entry(stack.clone()).or_default().insert(one);
        }
        is_any
    }

    /// The lookups of a stack that are put off, each with the declaration that it comes after.
    pub(super) fn put_off(&self, stack: &StackId) -> &BTreeSet<(Block, Block)> {
        static NONE: BTreeSet<(Block, Block)> = BTreeSet::new();
        self.put_off.get(stack).unwrap_or(&NONE)
    }

    /// Forgets what stacks make and ask, which are planned again.
    pub(super) fn forget(&mut self, stacks: &BTreeSet<&StackId>) {
        for stack in stacks {
            for key in self.names.remove(*stack).into_iter().flatten() {
                if self.objects.get(&key).is_some_and(|made| made.stack == **stack) {
                    self.objects.remove(&key);
                }
            }
            for key in self.asked.remove(*stack).iter().flatten().flat_map(|asked| &asked.keys) {
                if let Some(askers) = self.askers.get_mut(key) {
                    askers.remove(*stack);
                }
            }
        }
    }

    /// Tells what is wrong with the lookups of a stack once all stacks are planned: those that look at what reads them,
    /// and those that could not wait for who makes or changes what they look at.
    pub(super) fn check(&self, declared: &mut Declared<'_>, stack: &StackId, told: &mut Vec<Diagnostic>) {
        for asked in self.asked_by(stack).iter().filter(|asked| !asked.is_planned) {
            let Some(made) = self.objects_of(asked).find(|made| made.is_changed) else { continue };
            let (maker, address) = (&made.stack, &made.address);
            if self.is_read_by(declared, asked, made) {
                let name = if maker == stack { address.to_string() } else { format!("{maker}:{address}") };
                let message = format!("{} looks at {name}, which waits for what it finds", asked.address);
                let diagnostic = asked.tell(Diagnostic::error("lookup_of_reader", message)).hint(
                    "each apply would change what it finds: look at another object, or read the resource's own attribute \
                     where something else needs it",
                );
                match asked.failed.and_then(|at| told.get_mut(at)) {
                    Some(failed) => *failed = diagnostic,
                    None => told.push(diagnostic),
                }
            } else if maker != stack {
                let order = format!("{maker} is planned after {stack}, which it reads");
                let way = "first, or let one of the two read nothing of the other";
                match asked.failed.and_then(|at| told.get_mut(at)) {
                    Some(failed) => {
                        failed.hint =
                            Some(format!("{maker}:{address} makes it, and {order}: apply what makes it {way}"));
                    }
                    None => told.push(
                        asked
                            .tell(Diagnostic::warning(
                                "lookup_before_change",
                                format!("{} finds {maker}:{address} as it is before the change", asked.address),
                            ))
                            .hint(format!("{order}: plan again afterwards, apply what changes it {way}")),
                    ),
                }
            }
        }
    }

    /// True when an object is made of what a lookup finds, be it by lookups of others.
    fn is_read_by(&self, declared: &mut Declared<'_>, asked: &LookupRequest, made: &MadeObject) -> bool {
        let mut open = vec![asked];
        let mut seen = HashSet::from([(&asked.stack, asked.block)]);
        while let Some(asked) = open.pop() {
            let readers = declared.readers(asked);
            if made.stack == asked.stack && readers.contains(&made.block) {
                return true;
            }
            for key in self.names.get(&asked.stack).into_iter().flatten() {
                let is_read =
                    self.objects.get(key).is_some_and(|it| it.stack == asked.stack && readers.contains(&it.block));
                for asker in self.askers.get(key).filter(|_| is_read).into_iter().flatten() {
                    let next = self.asked_by(asker).iter().filter(|next| next.keys.contains(key));
                    open.extend(next.filter(|next| seen.insert((&next.stack, next.block))));
                }
            }
        }
        false
    }

    /// Lets what reads lookups come after what they look at where that stays as it is, too: one day it is removed before
    /// that. What is not in the plan stays recorded.
    pub(super) fn record_order(&self, declared: &mut Declared<'_>, is_partial: bool, plans: &mut [StackPlan]) {
        let mut shared: HashMap<(String, Address), BTreeSet<Address>> = HashMap::new();
        for plan in plans.iter_mut() {
            let after = self.after_lookups(declared, plan);
            for component in plan.components.iter().filter(|_| !after.is_empty()) {
                for SharedName { name, address, .. } in &component.shared {
                    let found = after.get(&(component.key.clone(), name.clone())).into_iter().flatten().cloned();
                    let key = (plan.stack.environment.clone(), address.clone());
                    shared.entry(key).or_default().extend(found);
                }
            }
            let planned = if is_partial { addresses(&plan.changes) } else { HashSet::new() };
            let named = |address: &Address| (address.component.clone(), address.name.clone());
            for change in plan.changes.iter_mut().filter(|it| !after.is_empty() && it.is_standing()) {
                let Some(found) = after.get(&named(&change.address)) else { continue };
                let recorded = change.prior.iter().filter(|_| is_partial).flat_map(|prior| &prior.dependencies);
                let outside = recorded.filter(|address| !planned.contains(address)).cloned();
                let all: BTreeSet<Address> = outside.chain(found.iter().cloned()).collect();
                change.come_after(all);
            }
        }
        for plan in plans.iter_mut().filter(|_| !shared.is_empty()) {
            let environment = plan.stack.environment.clone();
            for change in plan.changes.iter_mut().filter(|change| change.address.is_shared() && change.is_standing()) {
                if let Some(found) = shared.get(&(environment.clone(), change.address.clone())) {
                    change.come_after(found.clone());
                }
            }
        }
    }

    /// What the readers of lookups of a stack come after, by component and name: what stays as it is and is looked at, be
    /// it by lookups that those read.
    fn after_lookups(
        &self,
        declared: &mut Declared<'_>,
        plan: &StackPlan,
    ) -> HashMap<(String, String), BTreeSet<Address>> {
        let mut found: HashMap<(&str, &str), BTreeSet<Address>> = HashMap::new();
        for asked in self.asked_by(&plan.stack).iter().filter(|asked| !asked.is_planned) {
            for made in self.objects_of(asked).filter(|made| made.is_of(&plan.stack) && !made.is_changed) {
                if !self.is_read_by(declared, asked, made) {
                    let name = (asked.component.as_str(), asked.address.name.as_str());
                    found.entry(name).or_default().insert(made.address.clone());
                }
            }
        }
        let count = |found: &HashMap<_, BTreeSet<Address>>| found.values().map(BTreeSet::len).sum::<usize>();
        let mut before = 0;
        while before < count(&found) {
            before = count(&found);
            for lookup in plan.lookups.iter().filter(|lookup| !lookup.reads.is_empty()) {
                let component = lookup.address.component.as_str();
                let read = lookup.reads.iter().filter_map(|name| found.get(&(component, name.as_str())));
                let read: Vec<Address> = read.flatten().cloned().collect();
                found.entry((component, lookup.address.name.as_str())).or_default().extend(read);
            }
        }
        let mut after: HashMap<(String, String), BTreeSet<Address>> = HashMap::new();
        for lookup in &plan.lookups {
            let component = &lookup.address.component;
            let looked_at = found.get(&(component.as_str(), lookup.address.name.as_str()));
            for reader in &lookup.needed_by {
                let reader = after.entry((component.clone(), reader.clone())).or_default();
                reader.extend(looked_at.into_iter().flatten().cloned());
            }
        }
        after
    }

    /// Records with components whose objects they look at: those go after them. What is not in the plan stays recorded
    /// as long as anything is looked up.
    pub(super) fn record_reads(&self, stacks: &[CompiledStack], is_partial: bool, plans: &mut [StackPlan]) {
        let run: BTreeSet<&StackId> = stacks.iter().map(|stack| &stack.stack).collect();
        let mut found: BTreeMap<(&StackId, &str), BTreeSet<StackRead>> = BTreeMap::new();
        for asked in self.asked.values().flatten() {
            for made in self.objects_of(asked) {
                if made.stack != asked.stack && !made.address.is_shared() {
                    let read = StackRead { stack: made.stack.clone(), component: made.address.component.clone() };
                    found.entry((&asked.stack, &asked.component)).or_default().insert(read);
                }
            }
        }
        for (compiled, plan) in stacks.iter().zip(plans) {
            let looking = compiled.components.iter().filter(|it| it.looks_up()).map(|component| component.key.as_str());
            let looking: BTreeSet<&str> = looking.collect();
            let is_looking = |key: &str| looking.contains(key);
            for component in plan.components.iter_mut().filter(|it| it.part == Part::Planned && is_looking(&it.key)) {
                let recorded = component.recorded_reads.iter().filter(|it| is_partial || !run.contains(&it.stack));
                let mut reads: BTreeSet<StackRead> = recorded.cloned().collect();
                reads.extend(found.remove(&(&compiled.stack, component.key.as_str())).unwrap_or_default());
                reads.extend(std::mem::take(&mut component.reads));
                component.reads = reads.into_iter().collect();
            }
        }
    }
}

impl Change {
    /// True when it is of an object that is described and there once the plan is applied.
    fn is_standing(&self) -> bool {
        self.after.is_some() && self.deposed.is_none()
    }

    /// Comes after these, too.
    fn come_after(&mut self, found: BTreeSet<Address>) {
        let mut all: BTreeSet<Address> = std::mem::take(&mut self.depends_on).into_iter().collect();
        all.extend(found);
        self.depends_on = all.into_iter().collect();
    }
}

/// How dependencies name what a plan is about: each by itself, or with its block.
fn addresses(changes: &[Change]) -> HashSet<Address> {
    let whole = |address: &Address| Address { key: Some(InstanceKey::All), ..address.clone() };
    changes.iter().flat_map(|change| [change.address.clone(), whole(&change.address)]).collect()
}
