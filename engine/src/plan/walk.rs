//! The walk over declarations in dependency order: each is expanded, evaluated and planned, and its planned values are
//! what the next ones see.

use super::compute::{PlanFailure, Planner, RecordedComponent};
use super::outputs::PlannedOutput;
use super::refresh::Loaded;
use super::resource::{self, Wanted};
use super::scope::{BlockValue, ComponentOutputs, Facts, PlanScope, ResourceValues};
use super::shared::SharedRows;
use super::{Change, Deferred, OwnerChange, orphans, outputs, typecheck};
use crate::action::Reason;
use crate::address::{Address, InstanceKey};
use crate::compile::{CompiledComponent, CompiledStack};
use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::Diagnostic;
use crate::expression::{ReferenceStep, Scope, Template};
use crate::graph::{Block, Visit, names, templates};
use crate::source::Span;
use crate::store::Read;
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attributes, Map, Path, ResourceType, Session, Value};

/// Variables that a saved plan evaluates from what it does, instead of keeping their values.
pub(crate) const KEPT_ROOTS: &[&str] = &["resources", "components"];

/// What a walk found.
pub(crate) struct Walked {
    pub(crate) changes: Vec<Change>,
    /// Addresses of shared resources by the component and the name under which it declares them.
    pub(crate) shared_names: BTreeMap<String, BTreeMap<String, Address>>,
    pub(crate) outputs: Vec<PlannedOutput>,
    pub(crate) owners: Vec<OwnerChange>,
    pub(crate) reads: Vec<Read>,
}

pub(crate) struct Walk<'a, 'p> {
    planner: &'a Planner<'p>,
    compiled: &'a CompiledStack,
    loaded: Loaded,
    shared: SharedRows,
    parts: Vec<ComponentPart<'a>>,
    component_outputs: ComponentOutputs,
    changes: Vec<Change>,
    outputs: Vec<PlannedOutput>,
    absent_reads: Vec<Read>,
}

/// What the walk knows of one component.
struct ComponentPart<'a> {
    component: &'a CompiledComponent,
    is_chosen: bool,
    facts: Facts,
    values: ResourceValues,
    /// Positions of declarations by name.
    names: HashMap<&'a str, usize>,
    /// Addresses of shared resources by name.
    shared: HashMap<String, Address>,
}

/// One instance of a declaration.
struct Instance {
    key: Option<InstanceKey>,
    each: Option<Value>,
}

impl<'a, 'p> Walk<'a, 'p> {
    pub(crate) fn new(
        planner: &'a Planner<'p>,
        compiled: &'a CompiledStack,
        loaded: Loaded,
        shared: SharedRows,
        recorded: &BTreeMap<String, RecordedComponent>,
    ) -> Self {
        let is_chosen = |key: &str| planner.options.components.is_empty() || planner.options.components.contains(key);
        let urns = compiled
            .components
            .iter()
            .filter_map(|component| Some((component.id.clone()?, component.key.clone())))
            .collect();
        let (urns, roots) = (Arc::new(urns), Arc::new(roots(planner, compiled)));
        let parts = compiled
            .components
            .iter()
            .map(|component| ComponentPart {
                component,
                is_chosen: is_chosen(&component.key),
                facts: Facts {
                    component: Some(component.value.clone()),
                    roots: Arc::clone(&roots),
                    urns: Arc::clone(&urns),
                },
                values: ResourceValues::new(),
                names: names(&component.declarations),
                shared: HashMap::new(),
            })
            .collect();
        let component_outputs = recorded
            .iter()
            .filter(|(key, _)| !is_chosen(key))
            .map(|(key, recorded)| (key.clone(), recorded.outputs.clone()))
            .collect();
        Self {
            planner,
            compiled,
            loaded,
            shared,
            parts,
            component_outputs,
            changes: Vec::new(),
            outputs: Vec::new(),
            absent_reads: Vec::new(),
        }
    }

    pub(crate) async fn run(&mut self, order: &[Visit], diagnostics: &mut Vec<Diagnostic>) -> Result<(), PlanFailure> {
        for visit in order {
            match visit {
                Visit::Block(block) => self.block(*block, diagnostics).await?,
                Visit::End(component) => self.end(*component, diagnostics),
            }
        }
        Ok(())
    }

    /// Plans all instances of one declaration.
    async fn block(&mut self, block: Block, diagnostics: &mut Vec<Diagnostic>) -> Result<(), PlanFailure> {
        let Some(part) = self.parts.get(block.component).filter(|part| part.is_chosen) else { return Ok(()) };
        let Some(declaration) = part.component.declarations.resources.get(block.resource) else { return Ok(()) };
        let name = declaration.name.value.clone();
        let value = match self.plan_block(block, declaration, diagnostics).await? {
            Some(value) => value,
            // What could not be planned is unknown to the rest, so that one mistake gives one message.
            None => BlockValue::Single(Value::Unknown),
        };
        if let Some(part) = self.parts.get_mut(block.component) {
            part.values.insert(name, value);
        }
        Ok(())
    }

    async fn plan_block(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Option<BlockValue>, PlanFailure> {
        let planner = self.planner;
        let Some((schema, ty)) = planner.registry.resource_type(&declaration.ty.value) else {
            diagnostics.push(planner.registry.unknown_type(&declaration.ty.value).at(declaration.ty.span));
            return Ok(None);
        };
        if let (Some(for_each), Some(_)) = (&declaration.for_each, &declaration.shared) {
            diagnostics.push(
                Diagnostic::error("shared_for_each", "a shared resource with `forEach` is not supported yet")
                    .at(for_each.span)
                    .hint("declare each shared resource under a name of its own"),
            );
            return Ok(None);
        }
        let Some(instances) = self.expand(block, declaration, diagnostics) else { return Ok(None) };
        let is_single = declaration.for_each.is_none();
        let config = Arc::new(declaration.config.clone());
        let mut values = IndexMap::with_capacity(instances.len());
        let mut single = BlockValue::Absent;
        for instance in instances {
            let part = self.parts.get(block.component);
            let Some(part) = part else { return Ok(None) };
            let scope = self.scope(part, instance.each.as_ref());
            let Some(is_there) = self.is_there(declaration, &scope, diagnostics) else { return Ok(None) };
            if !is_there {
                continue;
            }
            let Some(provider) = self.instance_name(declaration, schema.name, &scope, diagnostics) else {
                return Ok(None);
            };
            let Some(session) = self.session(&provider, declaration, diagnostics).await else { return Ok(None) };
            let Some(prepared) = self.prepare(part, declaration, ty, &config, &scope, diagnostics) else {
                return Ok(None);
            };
            let share_key = match &declaration.shared {
                Some(template) => match self.text(template, &scope, "shared", diagnostics) {
                    Some(key) => Some(key),
                    None => return Ok(None),
                },
                None => None,
            };
            let value = match share_key {
                Some(key) => {
                    let address = Address::shared(ty.name, &key);
                    self.plan_shared(block, declaration, ty, address, provider, prepared, &*session, diagnostics)
                        .await?
                }
                None => {
                    let address = Address {
                        component: part.component.key.clone(),
                        ty: ty.name.to_owned(),
                        name: declaration.name.value.clone(),
                        key: instance.key.clone(),
                    };
                    self.plan_own(declaration, ty, address, provider, prepared, &*session, diagnostics).await?
                }
            };
            match (is_single, instance.key) {
                (false, Some(key)) => {
                    values.insert(key, value);
                }
                _ => single = BlockValue::Single(value),
            }
        }
        Ok(Some(if is_single { single } else { BlockValue::Instances(values) }))
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different thing of one instance")]
    async fn plan_own(
        &mut self,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        address: Address,
        provider: String,
        prepared: Prepared,
        session: &dyn Session,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Value, PlanFailure> {
        let row = self.loaded.rows.remove(&address);
        if row.is_none() {
            self.absent_reads.push(Read {
                stack: self.compiled.stack.clone(),
                address: address.clone(),
                deposed: None,
                generation: 0,
            });
        }
        let in_doubt = self.loaded.in_doubt.remove(&address);
        let wanted = Wanted {
            stack: &self.compiled.stack,
            row,
            in_doubt,
            ..wanted(self.planner, &self.compiled.stack, declaration, ty, address, provider, prepared)
        };
        let change = resource::plan(self.planner, session, wanted, diagnostics).await?;
        let value = planned_value(ty, change.as_ref());
        self.changes.extend(change);
        Ok(value)
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different thing of one instance")]
    async fn plan_shared(
        &mut self,
        block: Block,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        address: Address,
        provider: String,
        prepared: Prepared,
        session: &dyn Session,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Result<Value, PlanFailure> {
        let Some(part) = self.parts.get_mut(block.component) else { return Ok(Value::Unknown) };
        part.shared.insert(declaration.name.value.clone(), address.clone());
        let component = part.component.key.clone();
        self.shared.ensure(self.planner, &address, diagnostics).await?;
        self.shared.declare(
            &self.compiled.stack,
            &component,
            &address,
            &prepared.config,
            declaration.span,
            diagnostics,
        );
        if let Some(value) = self.shared.value(&address) {
            return Ok(value);
        }
        let (row, in_doubt) = self.shared.take_row(&address);
        let shared_stack = self.shared.stack().clone();
        let wanted = Wanted {
            row,
            in_doubt,
            ..wanted(self.planner, &shared_stack, declaration, ty, address.clone(), provider, prepared)
        };
        let change = resource::plan(self.planner, session, wanted, diagnostics).await?;
        let value = planned_value(ty, change.as_ref());
        self.shared.set_value(address, value.clone());
        self.changes.extend(change);
        Ok(value)
    }

    /// Evaluates and checks the configuration of one instance.
    fn prepare(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        template: &Arc<Template>,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Prepared> {
        let value = match template.evaluate(scope, self.planner.functions) {
            Ok(value) => value,
            Err(found) => {
                diagnostics.extend(found);
                return None;
            }
        };
        let config = match value {
            Value::Map(config) => config,
            Value::Null => Map::new(),
            other => {
                diagnostics.push(
                    Diagnostic::error("wrong_type", format!("`config` has to be a map, and is {}", other.kind()))
                        .at(template.span),
                );
                return None;
            }
        };
        let before = diagnostics.len();
        let place = |path: &Path| template.span_at(path);
        typecheck::check(ty.name, &ty.attributes, &config, &place, diagnostics);
        if diagnostics.iter().skip(before).any(Diagnostic::is_error) {
            return None;
        }
        let deferred = if config.values().any(Value::has_unknown) {
            match template.capture(scope, KEPT_ROOTS) {
                Ok(captured) => Some(Deferred { template: Arc::clone(template), captured: Arc::new(captured) }),
                Err(found) => {
                    diagnostics.extend(found);
                    return None;
                }
            }
        } else {
            None
        };
        Some(Prepared { config, deferred, depends_on: self.dependencies(part, declaration, scope) })
    }

    /// The instances of a declaration; `None` when they cannot be told.
    fn expand(
        &self,
        block: Block,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Instance>> {
        let Some(template) = &declaration.for_each else { return Some(vec![Instance { key: None, each: None }]) };
        let part = self.parts.get(block.component)?;
        let value = match template.evaluate(&self.scope(part, None), self.planner.functions) {
            Ok(value) => value,
            Err(found) => {
                diagnostics.extend(found);
                return None;
            }
        };
        if value.has_sensitive() {
            diagnostics.push(
                Diagnostic::error("sensitive_for_each", "`forEach` reads a sensitive value, and its keys are shown")
                    .at(template.span)
                    .hint("use keys that may be shown, and read the sensitive value in `config`"),
            );
            return None;
        }
        match value {
            Value::Map(entries) => Some(entries.into_iter().map(|(key, value)| keyed(key, value)).collect()),
            Value::List(items) => self.expand_list(part, declaration, template, items, diagnostics),
            Value::Null => Some(Vec::new()),
            Value::Unknown => {
                diagnostics.push(unknown_for_each(template.span));
                None
            }
            other => {
                diagnostics.push(
                    Diagnostic::error(
                        "wrong_type",
                        format!("`forEach` has to be a map or a list, and is {}", other.kind()),
                    )
                    .at(template.span)
                    .hint("a map, a list of texts, a list of objects with `key:`, or `range(n)`"),
                );
                None
            }
        }
    }

    fn expand_list(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        template: &Template,
        items: Vec<Value>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Vec<Instance>> {
        let mut instances: Vec<Instance> = Vec::with_capacity(items.len());
        let mut seen = BTreeSet::new();
        for item in items {
            let instance = match (&declaration.key, &item) {
                (Some(key), _) => {
                    let each = each(Value::Null, item.clone());
                    let key = self.text(key, &self.scope(part, Some(&each)), "key", diagnostics)?;
                    keyed(key, item)
                }
                (None, Value::String(text)) => keyed(text.clone(), item.clone()),
                (None, Value::Int(index)) => Instance {
                    key: Some(InstanceKey::Index(*index)),
                    each: Some(each(Value::Int(*index), item.clone())),
                },
                (None, Value::Map(entries)) if entries.get("key").and_then(Value::as_str).is_some() => {
                    let key = entries.get("key").and_then(Value::as_str).unwrap_or_default().to_owned();
                    keyed(key, item.clone())
                }
                (None, Value::Unknown) => {
                    diagnostics.push(unknown_for_each(template.span));
                    return None;
                }
                (None, other) => {
                    diagnostics.push(
                        Diagnostic::error("no_key", format!("an item of `forEach` is {} and has no key", other.kind()))
                            .at(template.span)
                            .hint("give the resource a `key:`, for example `key: ${{ each.value.name }}`"),
                    );
                    return None;
                }
            };
            if !seen.insert(instance.key.clone()) {
                let key = instance.key.as_ref().map(ToString::to_string).unwrap_or_default();
                diagnostics.push(
                    Diagnostic::error("repeated_key", format!("two items of `forEach` have the key {key}"))
                        .at(declaration.key.as_ref().map_or(template.span, |key| key.span))
                        .hint("keys name instances: each has to be its own"),
                );
                return None;
            }
            instances.push(instance);
        }
        Some(instances)
    }

    fn is_there(
        &self,
        declaration: &ResourceDeclaration,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<bool> {
        let Some(template) = &declaration.when else { return Some(true) };
        match template.evaluate(scope, self.planner.functions) {
            Ok(value) if value.as_bool().is_some() => value.as_bool(),
            Ok(other) => {
                let expected = if other.is_unknown() {
                    "`when` depends on a value that is known only after apply".to_owned()
                } else {
                    format!("`when` has to be true or false, and is {}", other.kind())
                };
                diagnostics.push(Diagnostic::error("wrong_type", expected).at(template.span));
                None
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        }
    }

    /// The configured instance that a resource lives in.
    fn instance_name(
        &self,
        declaration: &ResourceDeclaration,
        provider: &str,
        scope: &PlanScope<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        let (name, span) = match &declaration.provider {
            Some(template) => (self.text(template, scope, "provider", diagnostics)?, template.span),
            None => (provider.to_owned(), declaration.ty.span),
        };
        let registry = self.planner.registry;
        if registry.instance(&name).is_some_and(|schema| schema.name == provider) {
            return Some(name);
        }
        let configured: Vec<&str> = registry
            .instance_names()
            .filter(|name| registry.instance(name).is_some_and(|schema| schema.name == provider))
            .collect();
        let environment = &self.planner.environment.name;
        let hint = match configured.is_empty() {
            true => format!("environment `{environment}` configures no instance of provider `{provider}`"),
            false => format!("environment `{environment}` configures: {}", configured.join(", ")),
        };
        diagnostics.push(
            Diagnostic::error("unknown_instance", format!("there is no `{provider}` instance `{name}`"))
                .at(span)
                .hint(hint),
        );
        None
    }

    async fn session(
        &self,
        instance: &str,
        declaration: &ResourceDeclaration,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Arc<dyn Session>> {
        match self.planner.registry.session(instance).await {
            Ok(session) => Some(session),
            Err(error) => {
                let mut diagnostic =
                    Diagnostic::error("cannot_connect", format!("`{instance}` cannot be reached: {error}"))
                        .at(declaration.ty.span);
                if let Some(solution) = error.solutions.first() {
                    diagnostic = diagnostic.hint(solution.clone());
                }
                diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn text(
        &self,
        template: &Template,
        scope: &dyn Scope,
        what: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<String> {
        match template.evaluate(scope, self.planner.functions) {
            Ok(Value::String(text)) => Some(text),
            Ok(other) => {
                let found = if other.is_unknown() { "known only after apply" } else { other.kind() };
                diagnostics.push(
                    Diagnostic::error("wrong_type", format!("`{what}` has to be text, and is {found}"))
                        .at(template.span)
                        .hint("use `string(…)`"),
                );
                None
            }
            Err(found) => {
                diagnostics.extend(found);
                None
            }
        }
    }

    fn scope<'s>(&'s self, part: &'s ComponentPart<'_>, each: Option<&'s Value>) -> PlanScope<'s> {
        PlanScope { facts: &part.facts, resources: &part.values, outputs: &self.component_outputs, each }
    }

    /// The instances that one instance comes after: those that its expressions read, and all of those it names.
    fn dependencies(
        &self,
        part: &ComponentPart<'_>,
        declaration: &ResourceDeclaration,
        scope: &PlanScope<'_>,
    ) -> Vec<Address> {
        let mut found = BTreeSet::new();
        for template in templates(declaration) {
            for reference in template.references().filter(|reference| reference.root == "resources") {
                let Some((ReferenceStep::Key(name), rest)) = reference.steps.split_first() else { continue };
                let key = rest.first().and_then(|step| instance_key(step, scope));
                self.add_instances(part, name, key.as_ref(), &mut found);
            }
        }
        for name in &declaration.depends_on {
            self.add_instances(part, &name.value, None, &mut found);
        }
        found.into_iter().collect()
    }

    fn add_instances(
        &self,
        part: &ComponentPart<'_>,
        name: &str,
        key: Option<&InstanceKey>,
        found: &mut BTreeSet<Address>,
    ) {
        if let Some(address) = part.shared.get(name) {
            found.insert(address.clone());
            return;
        }
        let declaration = part.names.get(name).and_then(|at| part.component.declarations.resources.get(*at));
        let Some(declaration) = declaration else { return };
        let address = |key: Option<&InstanceKey>| Address {
            component: part.component.key.clone(),
            ty: declaration.ty.value.clone(),
            name: name.to_owned(),
            key: key.cloned(),
        };
        match part.values.get(name) {
            Some(BlockValue::Single(_)) => {
                found.insert(address(None));
            }
            Some(BlockValue::Instances(instances)) => match key.filter(|key| instances.contains_key(*key)) {
                Some(key) => {
                    found.insert(address(Some(key)));
                }
                // All of them, and said in one word: each instance of one block after each of another would be as
                // many addresses in every row as there are instances.
                None if instances.is_empty() => {}
                None => {
                    found.insert(address(Some(&InstanceKey::All)));
                }
            },
            Some(BlockValue::Absent) | None => {}
        }
    }

    /// Evaluates the outputs of a component whose resources were all planned.
    fn end(&mut self, position: usize, diagnostics: &mut Vec<Diagnostic>) {
        let Some(part) = self.parts.get(position).filter(|part| part.is_chosen) else { return };
        let scope = self.scope(part, None);
        let planned = outputs::evaluate(self.planner, part.component, &scope, diagnostics);
        let values = planned.iter().map(|output| (output.name.clone(), output.value.clone())).collect();
        self.component_outputs.insert(part.component.key.clone(), values);
        self.outputs.extend(planned);
    }

    /// Plans what is left: rows that nothing declares, shared rows that lose owners.
    pub(crate) async fn finish(mut self, diagnostics: &mut Vec<Diagnostic>) -> Result<Walked, PlanFailure> {
        let stack = &self.compiled.stack;
        let positions: HashMap<&str, usize> =
            self.compiled.components.iter().enumerate().map(|(at, component)| (component.key.as_str(), at)).collect();
        for (address, row) in std::mem::take(&mut self.loaded.rows) {
            let part = positions.get(address.component.as_str()).and_then(|position| self.parts.get(*position));
            let reason = orphan_reason(part, &address);
            let doubt = self.loaded.in_doubt.remove(&address);
            let change = orphans::remove(self.planner, stack, &address, row, reason, doubt, diagnostics)?;
            self.changes.extend(change);
        }
        self.changes.extend(self.loaded.take_attempts());
        let options = &self.planner.options.components;
        let is_chosen = |key: &str| options.is_empty() || options.contains(key);
        let mut owners = self.shared.added();
        let declared = self.shared.declared();
        owners.extend(self.shared.release_others(stack, &declared, &is_chosen));
        self.changes.extend(self.shared.plan_releases(self.planner, &mut owners, diagnostics)?);
        let mut reads = std::mem::take(&mut self.loaded.reads);
        reads.extend(self.shared.take_reads());
        reads.append(&mut self.absent_reads);
        let shared_names = self
            .parts
            .into_iter()
            .map(|part| (part.component.key.clone(), part.shared.into_iter().collect()))
            .collect();
        Ok(Walked { changes: self.changes, shared_names, outputs: self.outputs, owners, reads })
    }
}

fn orphan_reason(part: Option<&ComponentPart<'_>>, address: &Address) -> Reason {
    // A stack's own resources belong to no component that could go.
    let Some(part) = part else {
        return if address.component.is_empty() { Reason::NoConfig } else { Reason::NoComponent };
    };
    match (part.values.get(&address.name), &address.key) {
        (Some(BlockValue::Instances(_)), Some(_)) => Reason::NoKey,
        (Some(BlockValue::Instances(_)), None) | (Some(BlockValue::Single(_)), Some(_)) => Reason::WrongRepetition,
        _ => Reason::NoConfig,
    }
}

/// The evaluated configuration of one instance.
pub(crate) struct Prepared {
    pub(crate) config: Attributes,
    pub(crate) deferred: Option<Deferred>,
    pub(crate) depends_on: Vec<Address>,
}

fn wanted<'w>(
    planner: &Planner<'_>,
    stack: &'w crate::address::StackId,
    declaration: &'w ResourceDeclaration,
    ty: &'w ResourceType,
    address: Address,
    provider: String,
    prepared: Prepared,
) -> Wanted<'w> {
    let given = &declaration.timeouts;
    Wanted {
        stack,
        address,
        ty,
        provider,
        config: prepared.config,
        deferred: prepared.deferred,
        depends_on: prepared.depends_on,
        lifecycle: declaration.lifecycle.clone(),
        adopt: declaration.adopt,
        timeouts: Timeouts {
            create: given.create.unwrap_or(ty.timeouts.create),
            update: given.update.unwrap_or(ty.timeouts.update),
            delete: given.delete.unwrap_or(ty.timeouts.delete),
            read: given.read.unwrap_or(ty.timeouts.read),
        },
        template: &declaration.config,
        span: declaration.name.span,
        place: planner.sources.place(declaration.name.span),
        row: None,
        in_doubt: None,
    }
}

/// The values that others see of a planned resource: every attribute of the schema, null where there is none.
fn planned_value(ty: &ResourceType, change: Option<&Change>) -> Value {
    let Some(after) = change.and_then(|change| change.after.as_ref()) else { return Value::Unknown };
    attributes_value(ty, &after.attributes)
}

/// Attributes as expressions see them: every attribute of the schema, null where there is none.
pub(crate) fn attributes_value(ty: &ResourceType, attributes: &Attributes) -> Value {
    ty.attributes.names().map(|name| (name.to_owned(), attributes.get(name).cloned().unwrap_or_default())).collect()
}

fn unknown_for_each(span: Span) -> Diagnostic {
    Diagnostic::error("unknown_for_each", "`forEach` depends on a value that is known only after apply")
        .at(span)
        .hint("use keys that are known before, or apply what it depends on first with `-c`")
}

fn keyed(key: String, value: Value) -> Instance {
    Instance { each: Some(each(Value::String(key.clone()), value)), key: Some(InstanceKey::Text(key)) }
}

fn each(key: Value, value: Value) -> Value {
    [("key".to_owned(), key), ("value".to_owned(), value)].into_iter().collect()
}

fn instance_key(step: &ReferenceStep, scope: &PlanScope<'_>) -> Option<InstanceKey> {
    match step {
        ReferenceStep::Key(key) => Some(InstanceKey::Text(key.clone())),
        ReferenceStep::Index(index) => Some(InstanceKey::Index(*index)),
        ReferenceStep::Path(path) => match scope.resolve(&path.root, &path.steps).ok()?.exposed() {
            Value::String(text) => Some(InstanceKey::Text(text.clone())),
            Value::Int(index) => Some(InstanceKey::Index(*index)),
            _ => None,
        },
    }
}

/// The variables that are the same for all components.
fn roots(planner: &Planner<'_>, compiled: &CompiledStack) -> Map {
    [
        ("product", compiled.product.clone()),
        ("environment", Value::from(planner.environment.name.as_str())),
        ("stack", Value::from(compiled.stack.name.as_str())),
        ("settings", planner.environment.settings.clone()),
        ("vars", Value::Map(compiled.variables.clone())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
