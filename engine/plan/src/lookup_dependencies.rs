//! Dependencies of lookups on objects that the same run creates, also for other stacks.
//!
//! The stack that creates the object is planned and applied before the stack that looks it up. Planning finds out which object that
//! is. If a stack that was planned later creates it, the stack with the lookup is planned again. So are all stacks that were
//! planned from its plan.

use super::needs::StackNeed;
use super::object_identity::{ObjectKey, additional_keys, keys_of, owned};
use super::{Change, Part, SharedName, StackPlan};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use terrace_language::action::Action;
use terrace_language::address::{Address, ComponentKey, InstanceKey, StackId};
use terrace_language::compile::CompiledStack;
use terrace_language::diagnostic::{Diagnostic, Label};
use terrace_language::graph::{Block, Readers};
use terrace_language::registry::Registry;
use terrace_language::source::Span;
use terrace_provider::{Attributes, ProviderError};
use terrace_store::StackRead;

/// The objects of a run and the lookups that may find them.
#[derive(Default)]
pub(crate) struct LookupDependencies {
    /// The identity spaces of the types that lookups may find. Objects of other types are not stored.
    spaces: HashSet<&'static str>,
    /// The objects of the planned stacks, including the stack in progress, by each of their names.
    objects: HashMap<ObjectKey<'static>, Arc<PlannedObject>>,
    /// Their names by stack.
    names: HashMap<StackId, Vec<ObjectKey<'static>>>,
    /// The lookups by stack.
    requests: HashMap<StackId, Vec<LookupRequest>>,
    /// The stacks with lookups, by the object that they may find.
    stacks_by_key: HashMap<ObjectKey<'static>, BTreeSet<StackId>>,
    /// The prerequisites of the stack in progress.
    needs: Vec<StackNeed>,
    /// The stacks whose objects the stack in progress looks up.
    read_stacks: BTreeSet<StackId>,
    /// Results, because components of the same kind make the same lookups.
    answers: HashMap<Question, Result<Attributes, ProviderError>>,
    /// Pairs of a declaration and a lookup that finds its object, by stack. Such a lookup waits for the declaration.
    postponed: HashMap<StackId, BTreeSet<(Block, Block)>>,
}

/// A lookup with its arguments.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// The provider instance.
    pub(super) instance: String,
    /// The lookup.
    pub(super) lookup: &'static str,
    /// The arguments as JSON. May hold secrets: never print it.
    pub(super) arguments: String,
}

/// The declarations of a run's stacks, by the lookups that they depend on.
pub(super) struct Declared<'s> {
    stacks: HashMap<&'s StackId, &'s CompiledStack>,
    readers: HashMap<&'s StackId, Readers>,
}

impl<'s> Declared<'s> {
    pub(super) fn of(stacks: &'s [CompiledStack]) -> Self {
        Self { stacks: stacks.iter().map(|stack| (&stack.stack, stack)).collect(), readers: HashMap::new() }
    }

    /// The declarations that depend on a lookup.
    fn readers(&mut self, request: &LookupRequest) -> BTreeSet<Block> {
        let Some((stack, compiled)) = self.stacks.get_key_value(&request.stack) else { return BTreeSet::new() };
        let readers = self.readers.entry(stack).or_insert_with(|| Readers::of(&compiled.components));
        readers.of_lookup(request.block)
    }
}

/// An object that a stack of the run declares.
pub(super) struct PlannedObject {
    stack: StackId,
    pub(super) address: Address,
    /// The declaration in its stack.
    block: Block,
    pub(super) attributes: Attributes,
    /// The plan creates or changes it.
    is_changed: bool,
}

impl PlannedObject {
    /// True if that stack owns it, alone or with others.
    pub(super) fn is_of(&self, stack: &StackId) -> bool {
        self.stack == *stack || self.address.is_shared()
    }
}

/// A lookup whose arguments are known.
pub(super) struct LookupRequest {
    pub(super) stack: StackId,
    pub(super) component: ComponentKey,
    pub(super) address: Address,
    pub(super) block: Block,
    /// The types of the objects that it may find.
    pub(super) types: &'static [&'static str],
    /// The names of those objects.
    pub(super) keys: Vec<ObjectKey<'static>>,
    pub(super) span: Span,
    /// Its location in the descriptor, for people.
    pub(super) places: Vec<Label>,
    /// The plan answers it.
    pub(super) is_planned: bool,
    /// The position of the error about its missing result among the stack's diagnostics.
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

    /// True if any lookup may find an object.
    pub(super) fn is_any(&self) -> bool {
        !self.spaces.is_empty()
    }

    /// Adds the objects of a declaration that exist after the apply.
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
            // A lookup by such a name finds an unchanged object's known values, unless the object is still to be created.
            let is_created = is_changed && ty.identity_of(&after.attributes).is_none();
            self.name((stack, block), change, additional_keys(ty, &after.attributes, &change.how.provider), is_created);
        }
    }

    /// Adds an object under some of its names.
    fn name(&mut self, (stack, block): (&StackId, Block), change: &Change, keys: Vec<ObjectKey<'_>>, is_changed: bool) {
        if keys.is_empty() {
            return;
        }
        let after = change.after.as_ref().filter(|_| is_changed);
        let object = Arc::new(PlannedObject {
            stack: stack.clone(),
            address: change.address.clone(),
            block,
            // A lookup reads an unchanged object from its system.
            attributes: after.map(|after| after.attributes.clone()).unwrap_or_default(),
            is_changed,
        });
        for key in keys.into_iter().map(owned) {
            self.names.entry(stack.clone()).or_default().push(key.clone());
            self.objects.insert(key, Arc::clone(&object));
        }
    }

    /// True if an object of that name exists after the apply.
    pub(super) fn exists(&self, types: &[&str], key: &ObjectKey<'static>) -> bool {
        self.object(types, key).is_some()
    }

    fn object(&self, types: &[&str], key: &ObjectKey<'static>) -> Option<&Arc<PlannedObject>> {
        self.objects.get(key).filter(|object| types.contains(&object.address.ty.as_str()))
    }

    fn objects_of(&self, request: &LookupRequest) -> impl Iterator<Item = &Arc<PlannedObject>> {
        request.keys.iter().filter_map(|key| self.object(request.types, key))
    }

    /// Returns the planned objects that a component looks up. The component is applied after them.
    pub(super) fn take_from_plan(
        &mut self,
        (stack, component): (&StackId, &ComponentKey),
        types: &[&str],
        keys: &[ObjectKey<'static>],
    ) -> Vec<Arc<PlannedObject>> {
        let mut found: Vec<Arc<PlannedObject>> = Vec::new();
        for object in keys.iter().filter_map(|key| self.object(types, key)).filter(|object| object.is_changed) {
            if !found.iter().any(|other| Arc::ptr_eq(other, object)) {
                found.push(Arc::clone(object));
            }
        }
        for object in found.iter().filter(|object| object.stack != *stack) {
            self.read_stacks.insert(object.stack.clone());
            if !object.address.is_shared() {
                let (stack, of) = (object.stack.clone(), object.address.component.clone());
                self.needs.push(StackNeed { component: component.clone(), stack, of });
            }
        }
        found
    }

    /// The further prerequisites of the stack that was planned last.
    pub(super) fn take_needs(&mut self) -> Vec<StackNeed> {
        std::mem::take(&mut self.needs)
    }

    /// The stacks whose objects the stack that was planned last looks up.
    pub(super) fn take_read_stacks(&mut self) -> BTreeSet<StackId> {
        std::mem::take(&mut self.read_stacks)
    }

    /// The results of earlier lookups.
    pub(super) fn answers(&mut self) -> &mut HashMap<Question, Result<Attributes, ProviderError>> {
        &mut self.answers
    }

    /// Registers a lookup.
    pub(super) fn register(&mut self, request: LookupRequest) {
        for key in &request.keys {
            self.stacks_by_key.entry(key.clone()).or_default().insert(request.stack.clone());
        }
        self.requests.entry(request.stack.clone()).or_default().push(request);
    }

    /// The lookups of a stack.
    pub(super) fn requests_of(&self, stack: &StackId) -> &[LookupRequest] {
        self.requests.get(stack).map(Vec::as_slice).unwrap_or_default()
    }

    /// The other stacks that looked up an object before this stack planned it, with the locations.
    pub(super) fn early_lookups(&self, creator: &StackId) -> Vec<(StackId, Span)> {
        let keys = self.names.get(creator).into_iter().flatten();
        let stacks: BTreeSet<&StackId> =
            keys.filter_map(|key| self.stacks_by_key.get(key)).flatten().filter(|stack| *stack != creator).collect();
        let is_of = |object: &Arc<PlannedObject>| object.stack == *creator && object.is_changed;
        let requests = stacks.into_iter().flat_map(|stack| self.requests_of(stack));
        let early = requests.filter(|request| !request.is_planned && self.objects_of(request).any(is_of));
        early.map(|request| (request.stack.clone(), request.span)).collect()
    }

    /// Makes the stack's early lookups wait for the declarations whose objects they find. Returns true if there are any: the stack
    /// has to be planned again.
    pub(super) fn postpone_early(&mut self, declared: &mut Declared<'_>, stack: &StackId) -> bool {
        let own = |request: &LookupRequest| {
            let object = self.objects_of(request).find(|object| object.stack == *stack && object.is_changed)?;
            (!self.is_read_by(declared, request, object)).then_some((object.block, request.block))
        };
        let early = self.requests_of(stack).iter().filter(|request| !request.is_planned);
        let early: Vec<(Block, Block)> = early.filter_map(own).collect();
        let mut is_any = false;
        for pair in early {
            is_any |= self.postponed.entry(stack.clone()).or_default().insert(pair);
        }
        is_any
    }

    /// The waiting lookups of a stack, each with the declaration that it waits for.
    pub(super) fn postponed(&self, stack: &StackId) -> &BTreeSet<(Block, Block)> {
        static NONE: BTreeSet<(Block, Block)> = BTreeSet::new();
        self.postponed.get(stack).unwrap_or(&NONE)
    }

    /// Forgets the objects and lookups of stacks that are planned again.
    pub(super) fn forget(&mut self, stacks: &BTreeSet<&StackId>) {
        for stack in stacks {
            for key in self.names.remove(*stack).into_iter().flatten() {
                if self.objects.get(&key).is_some_and(|object| object.stack == **stack) {
                    self.objects.remove(&key);
                }
            }
            for key in self.requests.remove(*stack).iter().flatten().flat_map(|request| &request.keys) {
                if let Some(readers) = self.stacks_by_key.get_mut(key) {
                    readers.remove(*stack);
                }
            }
        }
    }

    /// Reports faulty lookups of a stack after all stacks are planned: lookups whose own result changes the object that they find,
    /// and lookups of objects in stacks that are planned later.
    pub(super) fn check(&self, declared: &mut Declared<'_>, stack: &StackId, diagnostics: &mut Vec<Diagnostic>) {
        for request in self.requests_of(stack).iter().filter(|request| !request.is_planned) {
            let Some(object) = self.objects_of(request).find(|object| object.is_changed) else { continue };
            let (creator, address) = (&object.stack, &object.address);
            if self.is_read_by(declared, request, object) {
                let name = if creator == stack { address.to_string() } else { format!("{creator}:{address}") };
                let message = format!("{} looks up {name}, which depends on the result", request.address);
                let diagnostic = request.at_places(Diagnostic::error("lookup_of_reader", message)).hint(
                    "each apply would change the result: look up another object, or read the resource's own attribute \
                     where the value is needed",
                );
                match request.failed.and_then(|at| diagnostics.get_mut(at)) {
                    Some(failed) => *failed = diagnostic,
                    None => diagnostics.push(diagnostic),
                }
            } else if creator != stack {
                let order = format!("{creator} is planned after {stack}, which it reads");
                let remedy = "first, or remove the references of one stack to the other";
                match request.failed.and_then(|at| diagnostics.get_mut(at)) {
                    Some(failed) => {
                        failed.hint =
                            Some(format!("{creator}:{address} creates it, and {order}: apply {creator} {remedy}"));
                    }
                    None => diagnostics.push(
                        request
                            .at_places(Diagnostic::warning(
                                "lookup_before_change",
                                format!("{} reads {creator}:{address} before its change", request.address),
                            ))
                            .hint(format!("{order}: plan again after the apply, apply {creator} {remedy}")),
                    ),
                }
            }
        }
    }

    /// True if an object depends on the result of a lookup, directly or through other lookups.
    fn is_read_by(&self, declared: &mut Declared<'_>, request: &LookupRequest, planned: &PlannedObject) -> bool {
        let mut open = vec![request];
        let mut visited = HashSet::from([(&request.stack, request.block)]);
        while let Some(request) = open.pop() {
            let readers = declared.readers(request);
            if planned.stack == request.stack && readers.contains(&planned.block) {
                return true;
            }
            for key in self.names.get(&request.stack).into_iter().flatten() {
                let is_read = self
                    .objects
                    .get(key)
                    .is_some_and(|object| object.stack == request.stack && readers.contains(&object.block));
                for stack in self.stacks_by_key.get(key).filter(|_| is_read).into_iter().flatten() {
                    let next = self.requests_of(stack).iter().filter(|next| next.keys.contains(key));
                    open.extend(next.filter(|next| visited.insert((&next.stack, next.block))));
                }
            }
        }
        false
    }

    /// Records that the readers of lookups depend on the unchanged objects that these lookups find, so that destroy removes the
    /// readers first. Dependencies outside the plan stay recorded.
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
            for change in plan.changes.iter_mut().filter(|change| !after.is_empty() && change.has_described_object()) {
                let Some(found) = after.get(&named(&change.address)) else { continue };
                let recorded = change.basis.prior.iter().filter(|_| is_partial).flat_map(|prior| &prior.dependencies);
                let outside = recorded.filter(|address| !planned.contains(address)).cloned();
                let all: BTreeSet<Address> = outside.chain(found.iter().cloned()).collect();
                change.add_dependencies(all);
            }
        }
        for plan in plans.iter_mut().filter(|_| !shared.is_empty()) {
            let environment = plan.stack.environment.clone();
            for change in
                plan.changes.iter_mut().filter(|change| change.address.is_shared() && change.has_described_object())
            {
                if let Some(found) = shared.get(&(environment.clone(), change.address.clone())) {
                    change.add_dependencies(found.clone());
                }
            }
        }
    }

    /// The unchanged objects that the readers of a stack's lookups depend on, directly or through other lookups; by component and
    /// name of the reader.
    fn after_lookups(
        &self,
        declared: &mut Declared<'_>,
        plan: &StackPlan,
    ) -> HashMap<(ComponentKey, String), BTreeSet<Address>> {
        let mut found: HashMap<(&str, &str), BTreeSet<Address>> = HashMap::new();
        for request in self.requests_of(&plan.stack).iter().filter(|request| !request.is_planned) {
            for object in self.objects_of(request).filter(|object| object.is_of(&plan.stack) && !object.is_changed) {
                if !self.is_read_by(declared, request, object) {
                    let name = (request.component.as_str(), request.address.name.as_str());
                    found.entry(name).or_default().insert(object.address.clone());
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
        let mut after: HashMap<(ComponentKey, String), BTreeSet<Address>> = HashMap::new();
        for lookup in &plan.lookups {
            let component = &lookup.address.component;
            let found_objects = found.get(&(component.as_str(), lookup.address.name.as_str()));
            for reader in &lookup.needed_by {
                let reader = after.entry((component.clone(), reader.clone())).or_default();
                reader.extend(found_objects.into_iter().flatten().cloned());
            }
        }
        after
    }

    /// Records for each component the components whose objects it looks up, so that they are removed after it. Reads of stacks
    /// outside the plan stay recorded while the component has any lookup.
    pub(super) fn record_reads(&self, stacks: &[CompiledStack], is_partial: bool, plans: &mut [StackPlan]) {
        let run: BTreeSet<&StackId> = stacks.iter().map(|stack| &stack.stack).collect();
        let mut found: BTreeMap<(&StackId, &ComponentKey), BTreeSet<StackRead>> = BTreeMap::new();
        for request in self.requests.values().flatten() {
            for object in self.objects_of(request) {
                if object.stack != request.stack && !object.address.is_shared() {
                    let read = StackRead { stack: object.stack.clone(), component: object.address.component.clone() };
                    found.entry((&request.stack, &request.component)).or_default().insert(read);
                }
            }
        }
        for (compiled, plan) in stacks.iter().zip(plans) {
            let with_lookups =
                compiled.components.iter().filter(|component| component.has_lookups()).map(|component| &component.key);
            let with_lookups: BTreeSet<&ComponentKey> = with_lookups.collect();
            let has_lookup = |key: &ComponentKey| with_lookups.contains(key);
            for component in plan
                .components
                .iter_mut()
                .filter(|component| component.part == Part::Planned && has_lookup(&component.key))
            {
                let recorded = component.recorded_reads.iter().filter(|read| is_partial || !run.contains(&read.stack));
                let mut reads: BTreeSet<StackRead> = recorded.cloned().collect();
                reads.extend(found.remove(&(&compiled.stack, &component.key)).unwrap_or_default());
                reads.extend(std::mem::take(&mut component.reads));
                component.reads = reads.into_iter().collect();
            }
        }
    }
}

impl Change {
    /// True if its object is described and exists after the apply.
    fn has_described_object(&self) -> bool {
        self.after.is_some() && self.deposed.is_none()
    }

    /// Adds dependencies.
    fn add_dependencies(&mut self, found: BTreeSet<Address>) {
        let mut all: BTreeSet<Address> = std::mem::take(&mut self.how.depends_on).into_iter().collect();
        all.extend(found);
        self.how.depends_on = all.into_iter().collect();
    }
}

/// The addresses by which dependencies name the plan's resources: the instance and its whole block.
fn addresses(changes: &[Change]) -> HashSet<Address> {
    let whole = |address: &Address| Address { key: Some(InstanceKey::All), ..address.clone() };
    changes.iter().flat_map(|change| [change.address.clone(), whole(&change.address)]).collect()
}
