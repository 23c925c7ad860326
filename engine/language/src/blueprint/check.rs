//! Checks of a blueprint without a component: unknown names, unknown types and attributes, wrong types.
//!
//! Paths into `component.specific` are checked against its JSON Schema, resource types and attributes against the
//! providers. Then every expression is evaluated over a sample from the schema. Failures there are warnings, because
//! the sample may differ from every real component.

mod fields;
pub(super) mod sample;

use super::Blueprint;
use super::checks::each;
use crate::address::InstanceKey;
use crate::compile::names::{LOCALS, REQUEST};
use crate::compile::{CompiledComponent, locals};
use crate::descriptor::{Declarations, ResourceDeclaration, Trigger};
use crate::diagnostic::{Diagnostic, Severity, did_you_mean, has_errors, remove_repeated};
use crate::expression::{Functions, Reference, ReferenceStep, Template};
use crate::graph::{self, Block, Visit, lookup_name, output_templates, templates};
use crate::lookup::{ExtraVariables, Lookup};
use crate::registry::Registry;
use crate::repetition::{self, NoItems};
use crate::scope::{BlockValue, ComponentOutputs, Facts, LookupValues, PlanScope, ResourceValues};
use crate::source::Span;
use crate::typecheck;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use terrace_provider::names::listed;
use terrace_provider::plan::with_defaults;
use terrace_provider::{Map, Path, ResourceType, Value};

/// Variables that a blueprint may read everywhere.
const ROOTS: [&str; 11] = [
    "component",
    "product",
    REQUEST,
    "environment",
    "stack",
    "settings",
    LOCALS,
    "resources",
    "data",
    "components",
    "stacks",
];

/// Variables that a local may read.
const LOCAL_ROOTS: [&str; 7] = ["component", "product", REQUEST, "environment", "stack", "settings", LOCALS];

/// Maximum number of instances of a sample; with more, the keys are unknown.
const MAX_INSTANCES: usize = 100;

/// Returns the errors and warnings of a blueprint.
#[must_use]
pub fn check(blueprint: &Blueprint, registry: &Registry, functions: &Functions) -> Vec<Diagnostic> {
    // Expressions of built-in blueprints are compiled late: names and values say nothing about an invalid one.
    let faults = blueprint.faults();
    if !faults.is_empty() {
        return faults;
    }
    let mut checker = Checker { blueprint, registry, functions, diagnostics: Vec::new() };
    checker.diagnostics.extend(blueprint.specific.as_ref().and_then(|schema| schema.check()));
    checker.locals();
    checker.checks();
    checker.declarations(&blueprint.declarations, None);
    checker.access();
    checker.diagnostics.extend(blueprint.reverse.iter().flat_map(|reverse| reverse.check(registry)));
    checker.diagnostics
}

struct Checker<'a> {
    blueprint: &'a Blueprint,
    registry: &'a Registry,
    functions: &'a Functions,
    diagnostics: Vec<Diagnostic>,
}

/// A `forEach` over the sample.
struct Repeated {
    /// `each` of the first item; unknown if there is no item.
    each: Value,
    /// The keys of all items; `None` if they are unknown.
    keys: Option<BTreeSet<InstanceKey>>,
    /// The keys are the same for every component.
    is_certain: bool,
}

impl Checker<'_> {
    /// Checks the resources of `acl` together with the others, which they may read. Errors of the other resources were
    /// reported before.
    fn access(&mut self) {
        if self.blueprint.acl.resources.is_empty() {
            return;
        }
        let mut all = Declarations::clone(&self.blueprint.declarations);
        all.outputs.clear();
        all.resources.extend(self.blueprint.acl.resources.iter().cloned());
        let mut known = std::mem::take(&mut self.diagnostics);
        self.declarations(&all, Some(sample::access()));
        known.append(&mut self.diagnostics);
        // The same error may have another hint here, because resources of `acl` add more candidates.
        remove_repeated(&mut known);
        self.diagnostics = known;
    }

    fn locals(&mut self) {
        for local in &self.blueprint.locals {
            let empty = Declarations::default();
            self.check_names(&empty, &LOCAL_ROOTS, |lookup, diagnostics| {
                lookup.template(&local.value, ExtraVariables::default(), diagnostics);
            });
            self.descriptor_paths(&local.value);
        }
        let found = self.locals_of(&self.facts(None)).1;
        self.warn(found);
    }

    /// The values of the locals over the sample, with their errors.
    fn locals_of(&self, facts: &Facts) -> (Map, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let values = locals::resolve(&self.blueprint.locals, &scope(facts, None), self.functions, &mut found);
        (values, found)
    }

    fn checks(&mut self) {
        let facts = self.facts(None);
        for check in &self.blueprint.checks {
            let empty = Declarations::default();
            let extra = ExtraVariables { has_each: check.for_each.is_some(), ..ExtraVariables::default() };
            for template in check.templates() {
                self.check_names(&empty, &ROOTS, |lookup, diagnostics| lookup.template(template, extra, diagnostics));
                self.descriptor_paths(template);
            }
            if let Some((path, span)) = check.fixed_path() {
                self.specific_path(&path, span);
            }
            let plain = scope(&facts, None);
            let items = check.for_each.as_ref().map(|template| self.evaluate(template, &plain));
            let first = match items {
                Some(Some(Value::List(items))) => items.into_iter().next().map(|item| each(Value::Int(0), item)),
                Some(_) => Some(each(Value::Unknown, Value::Unknown)),
                None => None,
            };
            self.evaluate(&check.assert, &scope(&facts, first.as_ref()));
        }
    }

    fn declarations(&mut self, declarations: &Declarations, acl: Option<Value>) {
        let roots: Vec<&str> = ROOTS.into_iter().chain(acl.is_some().then_some("acl")).collect();
        for declaration in &declarations.resources {
            self.check_names(declarations, &roots, |lookup, diagnostics| lookup.resource(declaration, diagnostics));
            for trigger in &declaration.replace_triggered_by {
                self.trigger(trigger, declarations);
            }
            for template in templates(declaration) {
                self.descriptor_paths(template);
                self.lookup_paths(template, declarations);
            }
        }
        for declaration in &declarations.data {
            if self.registry.lookup(&declaration.ty.value).is_none() {
                self.diagnostics.push(self.registry.unknown_lookup(&declaration.ty.value).at(declaration.ty.span));
            }
            for template in templates(declaration) {
                self.check_names(declarations, &roots, |lookup, diagnostics| {
                    lookup.template(template, ExtraVariables::default(), diagnostics)
                });
                self.descriptor_paths(template);
                self.lookup_paths(template, declarations);
            }
        }
        for template in declarations.outputs.iter().flat_map(output_templates) {
            self.check_names(declarations, &roots, |lookup, diagnostics| {
                lookup.template(template, ExtraVariables::default(), diagnostics)
            });
            self.descriptor_paths(template);
            self.lookup_paths(template, declarations);
        }
        self.walk(declarations, acl);
    }

    /// Checks the path of a trigger. Instances of a `forEach` depend on the component, so they are skipped.
    fn trigger(&mut self, trigger: &Trigger, declarations: &Declarations) {
        let named = declarations.resources.iter().find(|resource| resource.name.value == trigger.name);
        let Some(named) = named.filter(|named| named.for_each.is_none()) else { return };
        if let Some((_, ty)) = self.registry.resource_type(&named.ty.value) {
            typecheck::check_path(ty.name, &ty.attributes, &trigger.path, trigger.span, &mut self.diagnostics);
        }
    }

    /// Evaluates all declarations over a sample, in their order.
    fn walk(&mut self, declarations: &Declarations, acl: Option<Value>) {
        let component = CompiledComponent {
            key: "sample".into(),
            id: None,
            depends_on: Vec::new(),
            declarations: Arc::new(declarations.clone()),
            acl: Arc::default(),
            granted: None,
            value: Value::Null,
            locals: None,
            blueprint: None,
            moved: Vec::new(),
            span: self.blueprint.span,
        };
        let named = named_keys(declarations);
        let order = match graph::order(&[component]) {
            Ok(order) => order,
            Err(found) => {
                // Outputs of other components are unknown here, which is not an error of the blueprint.
                self.diagnostics.extend(found.into_iter().filter(|found| found.code != "unknown_component"));
                return;
            }
        };
        let facts = self.facts(acl);
        let mut values = ResourceValues::default();
        let data = self.lookup_results(declarations);
        for visit in order {
            if let Visit::Lookup(lookup) = visit {
                let scope = PlanScope { resources: &values, data: &data, ..scope(&facts, None) };
                self.arguments(declarations, lookup, &scope);
            }
            let Visit::Block(block) = visit else { continue };
            let Some(declaration) = declarations.resources.get(block.resource) else { continue };
            let Some((_, ty)) = self.registry.resource_type(&declaration.ty.value) else { continue };
            let value = self.resource(&named, declaration, ty, &facts, &values, &data);
            values.insert(declaration.name.value.clone(), value);
        }
        let scope = PlanScope { resources: &values, data: &data, ..scope(&facts, None) };
        for output in &declarations.outputs {
            self.evaluate(&output.value, &scope);
        }
    }

    fn resource(
        &mut self,
        named: &NamedKeys<'_>,
        declaration: &ResourceDeclaration,
        ty: &ResourceType,
        facts: &Facts,
        values: &ResourceValues,
        data: &LookupValues,
    ) -> BlockValue {
        let plain = PlanScope { resources: values, data, ..scope(facts, None) };
        let repeated = declaration.for_each.as_ref().map(|template| self.repeated(declaration, template, &plain));
        let scope =
            PlanScope { resources: values, data, ..scope(facts, repeated.as_ref().map(|repeated| &repeated.each)) };
        for template in
            [&declaration.when, &declaration.key, &declaration.provider, &declaration.shared].into_iter().flatten()
        {
            self.evaluate(template, &scope);
        }
        // A configuration that fails over the sample is reported once, and unknown to other resources.
        let Some(Value::Map(config)) = self.evaluate(&declaration.config, &scope) else {
            return BlockValue::Single(Value::Unknown);
        };
        let mut found = Vec::new();
        typecheck::check(ty.name, &ty.attributes, &config, &|path| declaration.config.span_at(path), &mut found);
        downgrade_type_errors(&mut found, declaration);
        // Errors that do not depend on the sample were reported before.
        found.retain(|diagnostic| !self.diagnostics.contains(diagnostic));
        self.diagnostics.extend(found);
        let filled = with_defaults(&ty.attributes, &config);
        let value: Value = ty
            .attributes
            .0
            .iter()
            .map(|attribute| {
                let given = filled.get(attribute.name).cloned();
                let missing = if attribute.computed { Value::Unknown } else { Value::Null };
                (attribute.name.to_owned(), given.unwrap_or(missing))
            })
            .collect();
        match repeated {
            None => BlockValue::Single(value),
            Some(Repeated { keys: Some(mut keys), is_certain, .. }) => {
                if !is_certain {
                    // Other components may have the instances that expressions name.
                    keys.extend(keys_of(named, &declaration.name.value, ty));
                }
                BlockValue::Instances(keys.into_iter().map(|key| (key, value.clone())).collect())
            }
            Some(_) => BlockValue::Single(Value::Unknown),
        }
    }

    /// The results of lookups as far as their schemas define them: names with unknown values.
    fn lookup_results(&self, declarations: &Declarations) -> LookupValues {
        let answer = |declaration: &ResourceDeclaration| {
            let (_, lookup) = self.registry.lookup(&declaration.ty.value)?;
            let value = lookup.result.names().map(|name| (name.to_owned(), Value::Unknown)).collect();
            Some((declaration.name.value.clone(), value))
        };
        declarations.data.iter().filter_map(answer).collect()
    }

    /// Checks the arguments of a lookup over the sample.
    fn arguments(&mut self, declarations: &Declarations, lookup: Block, scope: &PlanScope<'_>) {
        let Some(declaration) = declarations.data.get(lookup.resource) else { return };
        let Some((_, schema)) = self.registry.lookup(&declaration.ty.value) else { return };
        let Some(Value::Map(arguments)) = self.evaluate(&declaration.config, scope) else { return };
        let place = |path: &Path| declaration.config.span_at(path);
        let mut found = Vec::new();
        typecheck::check(schema.name, &schema.arguments, &arguments, &place, &mut found);
        downgrade_type_errors(&mut found, declaration);
        self.diagnostics.extend(found);
    }

    /// Checks the fields that a template reads from lookups.
    fn lookup_paths(&mut self, template: &Template, declarations: &Declarations) {
        for (reference, span) in template.located_references() {
            let Some(name) = lookup_name(reference) else { continue };
            let declared = declarations.data.iter().find(|declaration| declaration.name.value == name);
            let Some((_, schema)) = declared.and_then(|it| self.registry.lookup(&it.ty.value)) else { continue };
            let Some(ReferenceStep::Key(field)) = reference.steps.get(1) else { continue };
            if schema.result.get(field).is_none() {
                let names: Vec<&str> = schema.result.names().collect();
                let hint = did_you_mean(field, names.iter().copied())
                    .unwrap_or_else(|| format!("it returns: {}", listed(&names)));
                let error =
                    Diagnostic::error("unknown_field", format!("the lookup `{name}` does not return `{field}`"));
                self.diagnostics.push(error.at(span).hint(hint));
            }
        }
    }

    /// Evaluates a `forEach` over the sample. Items without a key may be due to the sample; only plans report them.
    fn repeated(&mut self, declaration: &ResourceDeclaration, for_each: &Template, plain: &PlanScope<'_>) -> Repeated {
        let value = self.evaluate(for_each, plain).unwrap_or(Value::Unknown);
        let first = match &value {
            Value::List(items) => items.first().cloned(),
            _ => None,
        };
        let key_of = |key: &Template, each: &Value| {
            let scope = PlanScope { each: Some(each), ..scope(plain.facts, None) };
            match key.evaluate(&PlanScope { resources: plain.resources, data: plain.data, ..scope }, self.functions) {
                Ok(Value::String(text)) => Ok(text),
                _ => Err(NoItems::Unknown("key")),
            }
        };
        let items = repetition::items(for_each, value, declaration.key.as_ref(), &key_of).ok();
        let keys = items.as_ref().filter(|items| items.len() <= MAX_INSTANCES);
        let keys = keys.map(|items| items.iter().map(|item| item.key.clone()).collect());
        let each = items.and_then(|items| items.into_iter().next()).map(|item| item.each).unwrap_or_else(|| {
            let value = first.unwrap_or(Value::Unknown);
            [("key".to_owned(), Value::Unknown), ("value".to_owned(), value)].into_iter().collect()
        });
        let reads = |template: &Template| template.references().any(|reference| reference.root != "each");
        Repeated { each, keys, is_certain: !reads(for_each) && !declaration.key.as_ref().is_some_and(reads) }
    }

    fn evaluate(&mut self, template: &Template, scope: &PlanScope<'_>) -> Option<Value> {
        match template.evaluate(scope, self.functions) {
            Ok(value) => Some(value),
            Err(found) => {
                self.warn(found);
                None
            }
        }
    }

    /// Reports failures over the sample as warnings, unless there are errors: schema errors explain a wrong path
    /// better.
    fn warn(&mut self, found: Vec<Diagnostic>) {
        if has_errors(&self.diagnostics) {
            return;
        }
        self.diagnostics.extend(found.into_iter().map(|diagnostic| {
            let message = format!("with a sample generated from the schema: {}", diagnostic.message);
            Diagnostic { severity: Severity::Warning, message, ..diagnostic }
        }));
    }

    /// Checks names in expressions. Outputs of other components are unknown here.
    fn check_names(
        &mut self,
        declarations: &Declarations,
        roots: &[&str],
        check: impl FnOnce(&Lookup<'_>, &mut Vec<Diagnostic>),
    ) {
        let lookup = Lookup {
            roots,
            variables: None,
            locals: Some(&self.blueprint.locals.iter().map(|local| local.name.value.as_str()).collect()),
            names: graph::names(declarations),
            declarations,
            registry: self.registry,
            outputs_of: &|_| None,
        };
        check(&lookup, &mut self.diagnostics);
    }

    /// Checks the paths into `component` and `product` that a template reads.
    fn descriptor_paths(&mut self, template: &Template) {
        for (reference, span) in template.located_references() {
            self.diagnostics.extend(fields::check_misspelt(reference, span));
            if let Some(path) = specific_path(reference) {
                self.specific_path(&path, span);
            }
        }
    }

    /// Checks a path that begins with `specific` against the schema.
    fn specific_path(&mut self, path: &Path, span: Span) {
        let (Some(schema), Some((_, rest))) = (&self.blueprint.specific, path.0.split_first()) else { return };
        if path.first_key() != Some("specific") {
            return;
        }
        if let Err(missing) = sample::resolve(schema.json(), rest) {
            let hint = did_you_mean(&missing.name, missing.known.iter().map(String::as_str))
                .unwrap_or_else(|| format!("it has: {}", listed(&missing.known)));
            self.diagnostics.push(
                Diagnostic::error("unknown_field", format!("the schema of `specific` has no `{}`", missing.name))
                    .at(span)
                    .hint(hint),
            );
        }
    }

    fn facts(&self, acl: Option<Value>) -> Facts {
        let specific = self.blueprint.specific.as_ref().map(|schema| schema.sample()).unwrap_or_default();
        let mut roots: Map = [
            ("component", sample::component(specific)),
            ("product", sample::product()),
            (REQUEST, sample::request()),
            ("environment", Value::from("sample")),
            ("stack", Value::from("domain.sample.0")),
            ("settings", Value::Unknown),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
        roots.extend(acl.map(|acl| ("acl".to_owned(), acl)));
        let facts = Facts { roots: roots.into(), ..Facts::default() };
        let locals = Value::Map(self.locals_of(&facts).0);
        Facts { locals: Some(locals), ..facts }
    }
}

/// The steps that expressions write after the name of a resource, which may be keys of instances.
type NamedKeys<'d> = HashMap<&'d str, Vec<&'d ReferenceStep>>;

fn named_keys(declarations: &Declarations) -> NamedKeys<'_> {
    let resources = declarations.resources.iter().chain(&declarations.data).flat_map(templates);
    let outputs = declarations.outputs.iter().flat_map(output_templates);
    let mut named = NamedKeys::new();
    for reference in resources.chain(outputs).flat_map(Template::references) {
        if let [ReferenceStep::Key(of), key, ..] = reference.steps.as_slice()
            && reference.root == "resources"
        {
            named.entry(of).or_default().push(key);
        }
    }
    named
}

/// The instances of a resource that expressions name. The name of an attribute cannot be a key: the key before it is missing.
fn keys_of(named: &NamedKeys<'_>, name: &str, ty: &ResourceType) -> impl Iterator<Item = InstanceKey> {
    named.get(name).into_iter().flatten().filter_map(|key| match key {
        ReferenceStep::Key(key) if ty.attributes.get(key).is_none() => Some(InstanceKey::Text(key.clone())),
        ReferenceStep::Index(index) => Some(InstanceKey::Index(*index)),
        _ => None,
    })
}

/// Downgrades type errors in configurations with expressions, because the sample may cause them.
fn downgrade_type_errors(found: &mut [Diagnostic], declaration: &ResourceDeclaration) {
    for diagnostic in found {
        if diagnostic.code == "wrong_type" && !declaration.config.is_literal() {
            diagnostic.severity = Severity::Warning;
        }
    }
}

fn scope<'a>(facts: &'a Facts, each: Option<&'a Value>) -> PlanScope<'a> {
    static NO_RESOURCES: std::sync::LazyLock<ResourceValues> = std::sync::LazyLock::new(ResourceValues::default);
    static NO_OUTPUTS: std::sync::LazyLock<ComponentOutputs> = std::sync::LazyLock::new(ComponentOutputs::new);
    static NO_DATA: std::sync::LazyLock<LookupValues> = std::sync::LazyLock::new(LookupValues::new);
    PlanScope { facts, resources: &NO_RESOURCES, data: &NO_DATA, outputs: &NO_OUTPUTS, stacks: None, each, own: None }
}

/// The path of a reference into `component.specific`, up to the first computed step.
fn specific_path(reference: &Reference) -> Option<Path> {
    if reference.root != "component" {
        return None;
    }
    let mut path = Path::default();
    for step in &reference.steps {
        path = match step {
            ReferenceStep::Key(key) => path.key(key),
            ReferenceStep::Index(index) => path.index(usize::try_from(*index).ok()?),
            ReferenceStep::Path(_) => break,
        };
    }
    (path.first_key() == Some("specific")).then_some(path)
}
