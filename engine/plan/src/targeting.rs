//! Targeting: which resources a plan covers.
//!
//! It covers the resources of the chosen components, or the targets among them with all their dependencies, less the excluded
//! resources and their dependents. A removal includes the dependents of the removed resource. Other resources are neither read
//! nor changed.

use super::loaded::LoadedRow;
use super::planner::Planner;
use super::{ComponentPlan, Part};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use terrace_language::address::{Address, BlockName, ComponentKey, InstanceKey, StackId};
use terrace_language::compile::{CompiledComponent, CompiledStack};
use terrace_language::graph::{self, Block, Towards};
use terrace_language::selector::{Selector, is_same_block};

/// The resources of a stack that a plan covers.
#[derive(Debug, Default)]
pub(crate) struct Targeting {
    /// The chosen components; all of them if empty.
    components: BTreeSet<ComponentKey>,
    /// True if the request has targets, in this stack or another.
    has_targets: bool,
    targets: Vec<Selector>,
    excludes: Vec<Selector>,
    /// The covered instances of each declared resource, by component, type and name.
    declared: HashMap<BlockName, Instances>,
    /// Undeclared rows that are removed with targets, or that stay with excluded resources.
    removed: BTreeSet<Address>,
    kept: BTreeSet<Address>,
    /// Resources that the plan does not touch and whose recorded values others read.
    needed: BTreeSet<Block>,
}

/// The covered instances of a declared resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Instances {
    /// If set, only these instances; a single resource has no key.
    only: Option<BTreeSet<Option<InstanceKey>>>,
    except: BTreeSet<Option<InstanceKey>>,
}

impl Instances {
    fn none() -> Self {
        Self { only: Some(BTreeSet::new()), except: BTreeSet::new() }
    }

    fn is_empty(&self) -> bool {
        self.only.as_ref().is_some_and(BTreeSet::is_empty)
    }

    fn is_all(&self) -> bool {
        self.only.is_none() && self.except.is_empty()
    }

    fn has(&self, key: &Option<InstanceKey>) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(key)) && !self.except.contains(key)
    }
}

impl Targeting {
    fn requested(planner: &Planner<'_>, stack: &StackId) -> Self {
        let of_stack = |chosen: &[(Option<StackId>, Selector)]| {
            let matching = chosen.iter().filter(|(of, _)| of.as_ref().is_none_or(|of| of == stack));
            matching.map(|(_, selector)| selector.clone()).collect()
        };
        Self {
            components: planner.options.components.clone(),
            has_targets: !planner.options.targets.is_empty() || planner.options.access.is_some(),
            targets: of_stack(&planner.options.targets),
            excludes: of_stack(&planner.options.excludes),
            ..Self::default()
        }
    }

    /// The targeting of a described stack. The compiler reports invalid references.
    pub(crate) fn of_descriptor(planner: &Planner<'_>, compiled: &CompiledStack) -> Self {
        let targeting = Self::requested(planner, &compiled.stack);
        match &planner.options.access {
            Some(_) => targeting.of_access(&compiled.components),
            None => targeting.of_declared(&compiled.components, Towards::Dependencies),
        }
    }

    /// The targeting of a removal of described resources: the dependents of a removed object are removed too, and the dependencies
    /// of a kept object are kept.
    pub(crate) fn of_described_removal(planner: &Planner<'_>, compiled: &CompiledStack) -> Self {
        Self::requested(planner, &compiled.stack).of_declared(&compiled.components, Towards::Dependents)
    }

    /// Covers the targets, with the resources that they reach in a direction, less the excluded resources and those that they reach
    /// in the other one.
    fn of_declared(mut self, components: &[CompiledComponent], with: Towards) -> Self {
        if self.is_whole() {
            return self;
        }
        let mut chosen: BTreeMap<Block, Instances> = BTreeMap::new();
        for (block, address) in blocks(components) {
            chosen.insert(block, targeted(&self.targets, &address, !self.has_targets));
        }
        let targets: BTreeSet<Block> =
            chosen.iter().filter(|(_, instances)| !instances.is_empty()).map(|(block, _)| *block).collect();
        for reached in graph::reach(components, &targets, with) {
            if !targets.contains(&reached) {
                chosen.insert(reached, Instances::default());
            }
        }
        let mut excluded = BTreeSet::new();
        for (block, address) in blocks(components) {
            let (is_excluded, except) = excluding(&self.excludes, &address);
            if let Some(instances) = chosen.get_mut(&block) {
                instances.except.extend(except.iter().cloned());
            }
            if is_excluded || !except.is_empty() {
                excluded.insert(block);
            }
            if is_excluded {
                chosen.insert(block, Instances::none());
            }
        }
        let without = if with == Towards::Dependents { Towards::Dependencies } else { Towards::Dependents };
        for reached in graph::reach(components, &excluded, without) {
            if !excluded.contains(&reached) {
                chosen.insert(reached, Instances::none());
            }
        }
        self.declared = blocks(components)
            .filter_map(|(block, address)| Some((BlockName::owned(&address), chosen.get(&block)?.clone())))
            .collect();
        self
    }

    /// Covers the resources of the access list, and nothing else.
    fn of_access(mut self, components: &[CompiledComponent]) -> Self {
        let of_acl = |block: &Block| {
            let component = components.get(block.component).filter(|component| self.has_component(&component.key));
            component
                .and_then(|component| component.granted.as_ref())
                .is_some_and(|granted| block.resource >= granted.begin)
        };
        let chosen: BTreeSet<Block> = blocks(components).map(|(block, _)| block).filter(of_acl).collect();
        self.needed = graph::reach(components, &chosen, Towards::Dependencies);
        self.needed.retain(|block| !chosen.contains(block));
        for (block, address) in blocks(components) {
            let is_chosen = chosen.contains(&block);
            let instances = if is_chosen { Instances::default() } else { Instances::none() };
            self.declared.insert(BlockName::owned(&address), instances);
            self.targets.extend(is_chosen.then_some(Selector::Resource(address)));
        }
        self
    }

    /// The targeting of a stack's removal; `after` has the dependencies of the components.
    pub(crate) fn of_removal(
        planner: &Planner<'_>,
        stack: &StackId,
        rows: &BTreeMap<Address, LoadedRow>,
        after: &BTreeMap<ComponentKey, Vec<ComponentKey>>,
    ) -> Self {
        let mut targeting = Self::requested(planner, stack);
        targeting.include_undeclared(rows, after);
        targeting
    }

    /// Decides on undeclared rows. The dependents of a removed object are removed too, and the dependencies of a kept object are
    /// kept.
    pub(crate) fn include_undeclared(
        &mut self,
        rows: &BTreeMap<Address, LoadedRow>,
        after: &BTreeMap<ComponentKey, Vec<ComponentKey>>,
    ) {
        if self.is_whole() {
            return;
        }
        let undeclared = |address: &&Address| !self.declared.contains_key(&BlockName::owned(address));
        let covered = |selectors: &[Selector]| -> BTreeSet<Address> {
            let rows = rows.keys().filter(undeclared);
            rows.filter(|address| selectors.iter().any(|selector| selector.covers(address))).cloned().collect()
        };
        let order = RecordedOrder::of(rows, after);
        let removed = reach(covered(&self.targets), &order.dependents);
        let kept = reach(covered(&self.excludes), &order.dependencies);
        // Declared resources are decided already.
        self.removed = removed.into_iter().filter(|address| undeclared(&address)).collect();
        self.kept = kept.into_iter().filter(|address| undeclared(&address)).collect();
    }

    /// True if neither targets nor exclusions narrow the components down.
    pub(crate) fn is_whole(&self) -> bool {
        !self.has_targets && self.excludes.is_empty()
    }

    /// True if the plan covers this resource.
    pub(crate) fn covers(&self, address: &Address) -> bool {
        if !self.has_component(&address.component) && !address.is_shared() {
            return false;
        }
        if self.is_whole() {
            return true;
        }
        if let Some(instances) = self.declared.get(&BlockName::owned(address)) {
            return instances.has(&address.key);
        }
        let is_covered = |selectors: &[Selector]| selectors.iter().any(|selector| selector.covers(address));
        let is_removed = self.removed.contains(address) || is_covered(&self.targets);
        let is_kept = self.kept.contains(address) || is_covered(&self.excludes);
        (is_removed || !self.has_targets) && !is_kept
    }

    /// True if the plan covers any instance of a declared resource.
    pub(crate) fn has_block(&self, block: &Address) -> bool {
        self.is_whole() || self.declared.get(&BlockName::owned(block)).is_some_and(|instances| !instances.is_empty())
    }

    /// True if the plan does not touch the resource but reads its recorded values.
    pub(crate) fn is_needed(&self, block: Block) -> bool {
        self.needed.contains(&block)
    }

    /// True if the plan covers all instances of a declared resource.
    pub(crate) fn has_whole_block(&self, block: &Address) -> bool {
        self.is_whole() || self.declared.get(&BlockName::owned(block)).is_some_and(Instances::is_all)
    }

    /// True if the plan covers anything that a component declares.
    pub(crate) fn plans_component(&self, component: &str) -> bool {
        let has_any = || self.declared.iter().any(|(of, instances)| of.component == component && !instances.is_empty());
        self.has_component(component) && (self.is_whole() || has_any())
    }

    /// True if the request has targets; otherwise resources are left out by exclusions.
    pub(crate) fn has_targets(&self) -> bool {
        self.has_targets
    }

    pub(crate) fn has_component(&self, component: &str) -> bool {
        self.components.is_empty() || self.components.contains(component)
    }
}

/// The shared resources that a stack may release because it does not declare them.
pub(crate) enum ReleaseScope {
    /// None, because the declarations are unknown.
    Nothing,
    /// The resources of the chosen components. In a partial plan only the named ones, because the declarations of the rest are
    /// unknown.
    Undeclared { components: BTreeSet<ComponentKey>, named: Option<Vec<Selector>> },
    /// All resources of the components that are removed.
    Removed(BTreeSet<ComponentKey>),
    /// The shared resources of the access list, if the plan covers access only.
    Grants(GrantedShares),
}

/// The shared resources of chosen components that depend on the access list: the types by component. A type is included if the
/// component shares no other resource of the type, or if all of these are known.
#[derive(Default)]
pub(crate) struct GrantedShares {
    pub(crate) types: BTreeMap<ComponentKey, BTreeSet<String>>,
    /// Shared resources that do not depend on the access list.
    pub(crate) independent: BTreeSet<(ComponentKey, Address)>,
}

impl ReleaseScope {
    pub(crate) fn of_descriptor(targeting: &Targeting) -> Self {
        let named = (!targeting.is_whole()).then(|| targeting.targets.clone());
        Self::Undeclared { components: targeting.components.clone(), named }
    }

    pub(crate) fn of_removal<'a>(targeting: &Targeting, components: impl Iterator<Item = &'a ComponentPlan>) -> Self {
        if targeting.is_whole() {
            return Self::of_descriptor(targeting);
        }
        let removed = components.filter(|component| component.part == Part::Removed);
        Self::Removed(removed.map(|component| component.key.clone()).collect())
    }

    /// True if the component may release the resource.
    pub(crate) fn covers(&self, component: &ComponentKey, address: &Address) -> bool {
        match self {
            Self::Nothing => false,
            Self::Undeclared { components, named } => {
                let is_chosen = components.is_empty() || components.contains(component);
                is_chosen && named.as_ref().is_none_or(|named| named.iter().any(|selector| selector.covers(address)))
            }
            Self::Removed(components) => components.contains(component),
            Self::Grants(GrantedShares { types, independent }) => {
                types.get(component).is_some_and(|types| types.contains(&address.ty))
                    && !independent.contains(&(component.clone(), address.clone()))
            }
        }
    }
}

/// The declared resources, with their addresses.
fn blocks(components: &[CompiledComponent]) -> impl Iterator<Item = (Block, Address)> + '_ {
    components.iter().enumerate().flat_map(|(component, compiled)| {
        compiled.declarations.resources.iter().enumerate().map(move |(resource, declaration)| {
            let address = Address {
                component: compiled.key.clone(),
                ty: declaration.ty.value.clone(),
                name: declaration.name.value.clone(),
                key: None,
            };
            (Block { component, resource }, address)
        })
    })
}

/// The instances of a declared resource that are targets.
fn targeted(targets: &[Selector], block: &Address, is_all: bool) -> Instances {
    if is_all {
        return Instances::default();
    }
    let mut instances = Instances::none();
    for target in targets {
        match target {
            Selector::Resource(address) if address.key.is_some() && is_same_block(address, block) => {
                instances.only.get_or_insert_default().insert(address.key.clone());
            }
            target if target.covers(block) => return Instances::default(),
            _ => {}
        }
    }
    instances
}

/// Returns whether a declared resource is excluded as a whole, and its excluded instances.
fn excluding(excludes: &[Selector], block: &Address) -> (bool, BTreeSet<Option<InstanceKey>>) {
    let mut except = BTreeSet::new();
    for exclude in excludes {
        match exclude {
            Selector::Resource(address) if address.key.is_some() && is_same_block(address, block) => {
                except.insert(address.key.clone());
            }
            exclude if exclude.covers(block) => return (true, except),
            _ => {}
        }
    }
    (false, except)
}

/// A node of recorded dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Node {
    Row(Address),
    /// All instances of a resource.
    All(Address),
    /// A whole component.
    Component(ComponentKey),
}

/// Recorded dependencies. Whole resources and whole components are nodes, so that the number of edges stays linear.
#[derive(Default)]
struct RecordedOrder {
    dependents: HashMap<Node, Vec<Node>>,
    dependencies: HashMap<Node, Vec<Node>>,
}

impl RecordedOrder {
    fn of(rows: &BTreeMap<Address, LoadedRow>, after: &BTreeMap<ComponentKey, Vec<ComponentKey>>) -> Self {
        let mut order = Self::default();
        for (address, row) in rows {
            let own = Node::Row(address.clone());
            if address.key.is_some() {
                order.add(own.clone(), Node::All(Address { key: Some(InstanceKey::All), ..address.clone() }));
            }
            order.add(own.clone(), Node::Component(address.component.clone()));
            for dependency in &row.opened.prior.dependencies {
                let needed = match dependency.key {
                    Some(InstanceKey::All) => Node::All(dependency.clone()),
                    _ => Node::Row(dependency.clone()),
                };
                order.add(needed, own.clone());
            }
            for component in after.get(&address.component).into_iter().flatten() {
                order.add(Node::Component(component.clone()), own.clone());
            }
        }
        order
    }

    fn add(&mut self, first: Node, then: Node) {
        self.dependencies.entry(then.clone()).or_default().push(first.clone());
        self.dependents.entry(first).or_default().push(then);
    }
}

/// The rows that can be reached.
fn reach(from: BTreeSet<Address>, edges: &HashMap<Node, Vec<Node>>) -> BTreeSet<Address> {
    let mut waiting: Vec<Node> = from.into_iter().map(Node::Row).collect();
    let mut reached: HashSet<Node> = HashSet::new();
    while let Some(node) = waiting.pop() {
        if reached.insert(node.clone()) {
            waiting.extend(edges.get(&node).into_iter().flatten().cloned());
        }
    }
    let rows = reached.into_iter().filter_map(|node| if let Node::Row(address) = node { Some(address) } else { None });
    rows.collect()
}
