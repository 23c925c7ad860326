//! Walks the declarations in the order of their dependencies. It expands, evaluates and plans each one; later declarations see the
//! planned values.

mod assumed_outputs;
mod checks;
mod deferral;
mod deferred_dependencies;
mod dependencies;
mod ending;
mod expand;
mod external_grants;
pub mod lookups;
mod prepare;
mod recorded;
mod repetition;
mod transitions;
mod triggered;

pub(super) use lookups::LOOKUP_UNANSWERED;

use super::components::{RecordedComponent, order_of};
use super::external_grants::GrantTarget;
use super::failure::PlanFailure;
use super::loaded::Loaded;
use super::lookup_dependencies::LookupDependencies;
use super::managed::Managed;
use super::outputs::PlannedOutput;
use super::planner::Planner;
use super::remote_check::{self, RemoteCheck};
use super::resource_input::ResourceInput;
use super::shared::{Declaring, SharedDeclaration, SharedRows, comparable};
use super::targeting::{GrantedShares, Targeting};
use super::{Change, Deferred, DeferredChange, Lookup, PlannedCheck, SharedName, resource};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use terrace_language::address::{Address, ComponentKey, InstanceKey};
use terrace_language::compile::{CompiledComponent, CompiledStack, blueprint_origin};
use terrace_language::descriptor::ResourceDeclaration;
use terrace_language::diagnostic::Diagnostic;
use terrace_language::graph::{Block, Visit, names};
use terrace_language::limits::TOO_SLOW;
use terrace_language::lookup::Faults;
use terrace_language::quick::QuickMap;
use terrace_language::scope::other_stacks::CrossStackOutputs;
use terrace_language::scope::{
    BlockValue, ComponentOutputs, Facts, LookupValues, PlanScope, ResourceValues, roots, urns,
};
use terrace_provider::{Attributes, ResourceType, Session, Value};
use terrace_store::Read;

/// The result of a walk.
pub(crate) struct Walked {
    pub(crate) changes: Vec<Change>,
    /// The shared resources that components declare.
    pub(crate) shared: BTreeMap<ComponentKey, Vec<SharedName>>,
    pub(crate) outputs: Vec<PlannedOutput>,
    pub(crate) lookups: Vec<Lookup>,
    pub(crate) checks: Vec<PlannedCheck>,
    pub(crate) reads: Vec<Read>,
    /// The objects to which the `acl` of components grants access.
    pub(crate) grant_targets: Vec<GrantTarget>,
    /// The shared resources that depend on the access list, if the plan covers access only.
    pub(crate) granted_shares: Option<GrantedShares>,
    /// The deferred changes.
    pub(crate) deferred: Vec<DeferredChange>,
    /// Components with deferred changes; true if all their changes are deferred.
    pub(crate) deferring: BTreeMap<ComponentKey, bool>,
    /// The addresses of rows that stay as they are because of a deferral.
    pub(crate) deferred_rows: Vec<Address>,
    /// Declared instances that the plan does not cover.
    pub(crate) passed_over: Vec<Address>,
}

pub(crate) struct Walk<'a, 'p> {
    planner: &'a Planner<'p>,
    compiled: &'a CompiledStack,
    targeting: Targeting,
    /// The recorded outputs.
    recorded_outputs: ComponentOutputs,
    /// True if any row belongs to an instance.
    has_instances: bool,
    loaded: Loaded,
    shared: &'a mut SharedRows,
    /// The objects and lookups of the run's stacks.
    lookups: &'a mut LookupDependencies,
    other_stacks: &'a CrossStackOutputs,
    parts: Vec<ComponentPart<'a>>,
    /// Faults that are reported already.
    faults: &'a Faults,
    component_outputs: ComponentOutputs,
    changes: Vec<Change>,
    outputs: Vec<PlannedOutput>,
    /// The stack's own checks.
    checks: Vec<PlannedCheck>,
    absent_reads: Vec<Read>,
    /// Instances whose `when` is false.
    skipped: BTreeSet<Address>,
    /// Addresses whose imports are planned.
    imported: BTreeSet<Address>,
    managed: Managed,
    deferrals: Deferrals,
    /// The recorded dependencies of components, if the plan may defer changes.
    recorded_order: BTreeMap<ComponentKey, Vec<ComponentKey>>,
    /// The addresses of rows that stay as they are because of a deferral.
    deferred_rows: Vec<Address>,
    passed_over: Vec<Address>,
    grant_targets: Vec<GrantTarget>,
    /// Questions to remote systems, with the declarations that they are about.
    remote_checks: Vec<RemoteCheck<'a>>,
    remotely_checked: Vec<Block>,
}

/// The walk's data of a component.
struct ComponentPart<'a> {
    component: &'a CompiledComponent,
    is_chosen: bool,
    facts: Facts,
    values: ResourceValues,
    /// Results of its lookups, by name.
    data: LookupValues,
    /// Its lookups, by name.
    lookups: HashMap<String, Lookup>,
    /// The ranges of each declaration's changes in `Walk::changes`, by name.
    changes: QuickMap<String, Range<usize>>,
    /// Positions of declarations by name.
    names: QuickMap<&'a str, usize>,
    /// The shared resources that it declares, by name and key.
    shared: HashMap<String, BTreeMap<Option<InstanceKey>, Address>>,
    /// Declarations that could not be planned, by name: their rows must not be removed.
    failed: HashSet<String>,
}

impl<'a, 'p> Walk<'a, 'p> {
    #[expect(clippy::too_many_arguments, reason = "each is a different input of the walk")]
    pub(crate) fn new(
        planner: &'a Planner<'p>,
        compiled: &'a CompiledStack,
        targeting: Targeting,
        loaded: Loaded,
        shared: &'a mut SharedRows,
        lookups: &'a mut LookupDependencies,
        other_stacks: &'a CrossStackOutputs,
        recorded: &BTreeMap<ComponentKey, RecordedComponent>,
        faults: &'a Faults,
    ) -> Self {
        let is_chosen = |key: &str| targeting.plans_component(key);
        let (urns, roots) = (Arc::new(urns(compiled)), Arc::new(roots(planner.environment, compiled)));
        let parts = compiled
            .components
            .iter()
            .map(|component| ComponentPart {
                component,
                is_chosen: is_chosen(&component.key),
                facts: Facts {
                    component: Some(component.value.clone()),
                    acl: component.granted.as_ref().map(|granted| granted.access.to_value()),
                    locals: component.locals.clone().map(Value::Map),
                    roots: Arc::clone(&roots),
                    urns: Arc::clone(&urns),
                },
                values: ResourceValues::default(),
                data: LookupValues::new(),
                lookups: HashMap::new(),
                changes: QuickMap::default(),
                names: names(&component.declarations),
                shared: HashMap::new(),
                failed: HashSet::new(),
            })
            .collect();
        let mut component_outputs: ComponentOutputs = recorded
            .iter()
            .filter(|(key, _)| !is_chosen(key))
            .map(|(key, recorded)| (key.clone(), recorded.outputs.clone()))
            .collect();
        if planner.options.offline || planner.options.assumes_siblings {
            let is_known =
                |key: &str| !planner.options.offline && component_outputs.get(key).is_some_and(|it| !it.is_empty());
            let left_out = compiled.components.iter().map(|component| component.key.as_str());
            let assumed = left_out.filter(|key| !is_chosen(key) && !is_known(key)).collect();
            assumed_outputs::add_unknown_outputs(compiled, &urns, &assumed, &mut component_outputs);
        }
        let recorded_outputs: ComponentOutputs =
            recorded.iter().map(|(key, recorded)| (key.clone(), recorded.outputs.clone())).collect();
        let declared = compiled.components.iter().map(|component| component.declarations.resources.len()).sum();
        let expected = loaded.rows.len().max(declared);
        Self {
            planner,
            compiled,
            targeting,
            has_instances: loaded.rows.keys().any(|address| address.key.is_some()),
            recorded_outputs,
            loaded,
            shared,
            lookups,
            other_stacks,
            parts,
            faults,
            component_outputs,
            changes: Vec::with_capacity(expected),
            outputs: Vec::new(),
            checks: Vec::new(),
            absent_reads: Vec::new(),
            skipped: BTreeSet::new(),
            imported: BTreeSet::new(),
            managed: Managed::default(),
            deferrals: Deferrals::default(),
            recorded_order: if planner.options.allow_deferral { order_of(recorded) } else { BTreeMap::new() },
            deferred_rows: Vec::new(),
            passed_over: Vec::new(),
            grant_targets: Vec::new(),
            remote_checks: Vec::new(),
            remotely_checked: Vec::new(),
        }
    }

    pub(crate) async fn run(&mut self, order: &[Visit], diagnostics: &mut Vec<Diagnostic>) -> Result<(), PlanFailure> {
        let mut parsed_sources = blueprint_origin::ParsedSources::default();
        for visit in order {
            let before = diagnostics.len();
            match visit {
                Visit::Block(block) => self.block(*block, diagnostics).await?,
                Visit::Lookup(lookup) => self.lookup(*lookup, diagnostics).await,
                Visit::End(component) => self.end(*component, diagnostics),
            }
            if let Some(found) = diagnostics.get_mut(before..).filter(|found| !found.is_empty()) {
                self.explain(visit, found, &mut parsed_sources);
            }
        }
        let answers = remote_check::run_all(&std::mem::take(&mut self.remote_checks)).await;
        for (block, mut found) in std::mem::take(&mut self.remotely_checked).into_iter().zip(answers) {
            self.explain(&Visit::Block(block), &mut found, &mut parsed_sources);
            diagnostics.append(&mut found);
        }
        Ok(())
    }

    /// Adds the locations in descriptors to a visit's diagnostics that point into blueprints.
    fn explain(&self, visit: &Visit, found: &mut [Diagnostic], parsed_sources: &mut blueprint_origin::ParsedSources) {
        let (position, resource) = match visit {
            Visit::Block(block) => (block.component, Some(block.resource)),
            Visit::Lookup(lookup) => (lookup.component, None),
            Visit::End(component) => (*component, None),
        };
        let Some(ComponentPart { component, .. }) = self.parts.get(position) else { return };
        let declaration = resource.and_then(|at| component.declarations.resources.get(at));
        let all = || self.parts.iter().map(|part| part.component.span);
        blueprint_origin::explain((component.span, all), declaration, found, self.planner.sources, parsed_sources);
    }

    /// Plans all instances of a declaration.
    async fn block(&mut self, block: Block, diagnostics: &mut Vec<Diagnostic>) -> Result<(), PlanFailure> {
        let Some(part) = self.parts.get(block.component).filter(|part| part.is_chosen) else { return Ok(()) };
        let Some(declaration) = part.component.declarations.resources.get(block.resource) else { return Ok(()) };
        let name = declaration.name.value.clone();
        let before = self.changes.len();
        if !self.targeting.has_block(&block_address(part, declaration)) {
            if self.targeting.is_needed(block) {
                self.publish_recorded(block, declaration, diagnostics).await?;
            }
            return Ok(());
        }
        let is_deferred = self.defer(block, declaration);
        let value = match is_deferred {
            true => None,
            false => self.plan_block(block, declaration, diagnostics).await?,
        };
        self.remotely_checked.resize(self.remote_checks.len(), block);
        if value.is_some() {
            self.gather_grant_targets(block, declaration, before..self.changes.len());
        }
        let changes = self.changes.get(before..).unwrap_or_default();
        self.lookups.add(self.planner.registry, (&self.compiled.stack, block), changes.iter());
        if let Some(part) = self.parts.get_mut(block.component) {
            if value.is_none() && !is_deferred {
                part.failed.insert(name.clone());
            }
            // The value of a failed declaration is unknown, so that one fault causes one message.
            let value = value.unwrap_or(BlockValue::Single(Value::Unknown));
            part.changes.insert(name.clone(), before..self.changes.len());
            part.values.insert(name, value);
        }
        Ok(())
    }

    async fn plan_block(
        &mut self,
        block: Block,
        declaration: &'a ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Option<BlockValue>, PlanFailure> {
        let planner = self.planner;
        // A plan with too many resources ends early.
        if self.faults.resources.contains(&block) || planner.functions.has_too_many_resources() {
            return Ok(None);
        }
        if let Err(late) = planner.functions.limits().check_time(declaration.name.span) {
            // One error is enough: the walk skips all later declarations.
            if diagnostics.iter().all(|diagnostic| diagnostic.code != TOO_SLOW) {
                diagnostics.push(late);
            }
            return Ok(None);
        }
        if declaration.for_each.is_none()
            && let Err(too_many) = planner.functions.count_resources(1, declaration.name.span)
        {
            diagnostics.push(too_many);
            return Ok(None);
        }
        let Some((schema, ty)) = planner.registry.resource_type(&declaration.ty.value) else { return Ok(None) };
        let Some(triggered_by) = self.triggered_by(block, declaration, diagnostics) else { return Ok(None) };
        let Some(instances) = self.expand(block, declaration, diagnostics) else { return Ok(None) };
        if declaration.shared.is_none() {
            self.follow_repetition_change(block, declaration, ty, &instances, diagnostics);
        }
        let is_single = declaration.for_each.is_none();
        let config = Arc::new(declaration.config.clone());
        let mut values = IndexMap::with_capacity(instances.len());
        let mut single = BlockValue::Absent;
        for instance in instances {
            let part = self.parts.get(block.component);
            let Some(part) = part else { return Ok(None) };
            let own = Address { key: instance.key.clone(), ..block_address(part, declaration) };
            if !self.targeting.covers(&own) {
                self.passed_over.push(own);
                continue;
            }
            let scope = self.scope(part, instance.each.as_ref());
            let Some(is_enabled) = self.is_enabled(part, declaration, &scope, diagnostics) else { return Ok(None) };
            if !is_enabled {
                self.skipped.insert(own);
                continue;
            }
            let Some(provider) = self.instance_name(declaration, schema.name, &scope, diagnostics) else {
                return Ok(None);
            };
            let Some(session) = self.session(&provider, declaration, diagnostics).await else { return Ok(None) };
            let Some(mut prepared) =
                self.prepare(part, declaration, ty.name, &ty.attributes, &config, &scope, diagnostics)
            else {
                return Ok(None);
            };
            prepared.triggered_by.clone_from(&triggered_by);
            let share_key = match &declaration.shared {
                Some(template) => match self.share_key(part, template, &scope, diagnostics) {
                    Some(key) => Some(key),
                    None => return Ok(None),
                },
                None => None,
            };
            let (address, value) = match share_key {
                Some(key) => {
                    let address = Address::shared(ty.name, &key);
                    let named = SharedName {
                        name: declaration.name.value.clone(),
                        key: instance.key.clone(),
                        address: address.clone(),
                    };
                    let value =
                        self.plan_shared(block, declaration, ty, named, provider, prepared, &session, diagnostics);
                    (address, value.await?)
                }
                None => {
                    let address = own.clone();
                    (address, self.plan_own(declaration, ty, own, provider, prepared, &session, diagnostics).await?)
                }
            };
            self.check(block, declaration, &address, instance.each.as_ref(), &value, diagnostics);
            match (is_single, instance.key) {
                (false, Some(key)) => {
                    values.insert(key, value);
                }
                _ => single = BlockValue::Single(value),
            }
        }
        Ok(Some(if is_single { single } else { BlockValue::Instances(values) }))
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different property of an instance")]
    async fn plan_own(
        &mut self,
        declaration: &'a ResourceDeclaration,
        ty: &'a ResourceType,
        address: Address,
        provider: String,
        prepared: Prepared,
        session: &Arc<dyn Session>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Value, PlanFailure> {
        self.check_not_gone(declaration, &address, diagnostics);
        let import = self.take_import(&address);
        let row = self.loaded.rows.remove(&address);
        if row.is_none() {
            self.absent_reads.push(Read::absent(&self.compiled.stack, &address));
        }
        let in_doubt = self.loaded.in_doubt.remove(&address);
        let input = ResourceInput {
            stack: &self.compiled.stack,
            row,
            in_doubt,
            import,
            ..input_of(self.planner, &self.managed, &self.compiled.stack, declaration, ty, address, provider, prepared)
        };
        let change = resource::plan(self.planner, session, input, &mut self.remote_checks, diagnostics).await?;
        let value = planned_value(ty, change.as_ref());
        self.changes.extend(change);
        Ok(value)
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different property of an instance")]
    async fn plan_shared(
        &mut self,
        block: Block,
        declaration: &'a ResourceDeclaration,
        ty: &'a ResourceType,
        named: SharedName,
        provider: String,
        prepared: Prepared,
        session: &Arc<dyn Session>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Value, PlanFailure> {
        let address = named.address.clone();
        let Some(part) = self.parts.get_mut(block.component) else { return Ok(Value::Unknown) };
        part.shared.entry(named.name).or_default().insert(named.key, named.address);
        let component = part.component.key.clone();
        self.shared.ensure(self.planner, &address).await?;
        let declaring = Declaring {
            stack: &self.compiled.stack,
            component: &component,
            address: &address,
            ty,
            declaration: SharedDeclaration {
                provider: provider.clone(),
                config: comparable(&prepared.config, ty),
                deferred: prepared.deferred.clone(),
                write_only: resource::write_only_detectors(self.planner, ty, &prepared.config),
                lifecycle: declaration.lifecycle.clone(),
                place: self.planner.sources.place(declaration.span),
            },
            span: declaration.span,
        };
        self.shared.declare(declaring, diagnostics);
        if let Some(value) = self.shared.value(&address) {
            return Ok(value);
        }
        let (row, in_doubt) = self.shared.row_to_plan(&address);
        let shared_stack = self.shared.stack().clone();
        let input = ResourceInput {
            row,
            in_doubt,
            ..input_of(self.planner, &self.managed, &shared_stack, declaration, ty, address.clone(), provider, prepared)
        };
        let change = resource::plan(self.planner, session, input, &mut self.remote_checks, diagnostics).await?;
        let value = planned_value(ty, change.as_ref());
        self.lookups.add(self.planner.registry, (&self.compiled.stack, block), change.iter());
        self.shared.set_planned(address, &self.compiled.stack, value.clone(), change);
        Ok(value)
    }

    fn scope<'s>(&'s self, part: &'s ComponentPart<'_>, each: Option<&'s Value>) -> PlanScope<'s> {
        PlanScope {
            facts: &part.facts,
            resources: &part.values,
            data: &part.data,
            outputs: &self.component_outputs,
            stacks: Some(self.other_stacks),
            each,
            own: None,
        }
    }
}

/// The address of a declared resource without an instance key.
fn block_address(part: &ComponentPart<'_>, declaration: &ResourceDeclaration) -> Address {
    Address {
        component: part.component.key.clone(),
        ty: declaration.ty.value.clone(),
        name: declaration.name.value.clone(),
        key: None,
    }
}

/// The evaluated configuration of an instance.
pub(crate) struct Prepared {
    pub(crate) config: Attributes,
    pub(crate) deferred: Option<Deferred>,
    pub(crate) depends_on: Vec<Address>,
    pub(crate) triggered_by: Vec<String>,
}

#[expect(clippy::too_many_arguments, reason = "each is a different property of an instance")]
fn input_of<'d, 'w>(
    planner: &Planner<'_>,
    managed: &'w Managed,
    stack: &'w terrace_language::address::StackId,
    declaration: &'d ResourceDeclaration,
    ty: &'d ResourceType,
    address: Address,
    provider: String,
    prepared: Prepared,
) -> ResourceInput<'d, 'w> {
    ResourceInput {
        stack,
        address,
        ty,
        provider,
        config: prepared.config,
        deferred: prepared.deferred,
        depends_on: prepared.depends_on,
        lifecycle: declaration.lifecycle.clone(),
        ignored: declaration.lifecycle.ignore_changes.clone(),
        triggered_by: prepared.triggered_by,
        adopt: declaration.adopt,
        timeouts: declaration.lifecycle.timeouts(ty),
        template: &declaration.config,
        span: declaration.name.span,
        place: planner.sources.place(declaration.name.span),
        row: None,
        in_doubt: None,
        import: None,
        managed,
    }
}

/// The value of a planned resource in expressions: every attribute of the schema, null by default.
pub(super) fn planned_value(ty: &ResourceType, change: Option<&Change>) -> Value {
    let Some(after) = change.and_then(|change| change.after.as_ref()) else { return Value::Unknown };
    attributes_value(ty, &after.attributes)
}

/// The attributes as expressions see them: every attribute of the schema, null by default.
pub fn attributes_value(ty: &ResourceType, attributes: &Attributes) -> Value {
    ty.attributes.names().map(|name| (name.to_owned(), attributes.get(name).cloned().unwrap_or_default())).collect()
}

/// The deferrals of the walk.
#[derive(Default)]
pub(crate) struct Deferrals {
    pub(crate) changes: Vec<DeferredChange>,
    /// Deferred resources, by the position of their component and their name.
    resources: BTreeSet<(usize, String)>,
    lookups: BTreeSet<(usize, String)>,
    /// Components with deferred changes; true if all their changes are deferred.
    pub(crate) components: BTreeMap<ComponentKey, bool>,
}

impl Deferrals {
    pub(crate) fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    pub(crate) fn has_resource(&self, component: usize, name: &str) -> bool {
        !self.is_empty() && self.resources.contains(&(component, name.to_owned()))
    }
}
