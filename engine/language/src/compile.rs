//! Compilation of a descriptor and its blueprints into the declarations of each component.
//!
//! Components that were not chosen are neither validated nor matched with a blueprint: another operation deploys them.

pub mod blueprint_origin;
mod compiled;
pub mod facts;
mod imports;
mod inputs;
pub(crate) mod locals;
pub(crate) mod names;
mod request;
mod specific;
pub mod transitions;
mod variables;
mod wrapped;

pub(crate) use compiled::by_name;
pub use compiled::{CompiledComponent, CompiledImport, CompiledStack, CompiledTransitions, Granted};
pub use inputs::{Compiler, Given, GivenValue};
pub use variables::undeclared;

use crate::address::{Address, ComponentKey, StackId};
use crate::blueprint::Blueprint;
use crate::descriptor::{BlueprintUse, Body, Component, Declarations, Dependency, Descriptor, FrontEnd};
use crate::diagnostic::{Diagnostic, did_you_mean, has_errors};
use crate::expression::ReferenceStep;
use crate::graph::component_references;
use crate::naming::NamesRule;
use facts::{FactScope, WithFacts};
use indexmap::IndexMap;
use names::{LOCALS, REQUEST};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_provider::names::listed;
use terrace_provider::{Map, Value};

impl Given {
    /// A value given as text, and its origin.
    #[must_use]
    pub fn text(text: impl Into<String>, by: impl Into<String>) -> Self {
        Self { value: GivenValue::Text(text.into()), by: by.into() }
    }
}

/// The components to act on: the requested ones, else the target of the descriptor, else all (an empty set).
///
/// # Errors
/// When a requested component is not in the descriptor.
pub fn chosen(
    descriptor: &Descriptor,
    requested: &BTreeSet<String>,
) -> Result<BTreeSet<ComponentKey>, Vec<Diagnostic>> {
    if requested.is_empty() {
        return Ok(descriptor.target.iter().cloned().collect());
    }
    let mut keys = BTreeSet::new();
    let mut diagnostics = Vec::new();
    for name in requested {
        let matches = |component: &&Component| component.key == name.as_str() || component.id.as_deref() == Some(name);
        match descriptor.components.iter().find(matches) {
            Some(component) => {
                keys.insert(component.key.clone());
            }
            None => {
                let known = descriptor.components.iter().map(|component| component.key.as_str());
                let named: Vec<&str> = known.clone().filter(|key| !key.is_empty()).collect();
                let hint = did_you_mean(name, known).unwrap_or_else(|| match named.is_empty() {
                    true => "this stack has no components".to_owned(),
                    false => format!("there are: {}", listed(&named)),
                });
                diagnostics.push(
                    Diagnostic::error("unknown_component", format!("`{}` has no component `{name}`", descriptor.stack))
                        .hint(hint),
                );
            }
        }
    }
    if diagnostics.is_empty() { Ok(keys) } else { Err(diagnostics) }
}

impl Compiler<'_> {
    /// Compiles a descriptor. `chosen` are the components to act on; an empty set means all.
    ///
    /// Returns a stack only without errors.
    #[must_use]
    pub fn compile(
        &self,
        descriptor: &Descriptor,
        chosen: &BTreeSet<ComponentKey>,
    ) -> (Option<CompiledStack>, Vec<Diagnostic>) {
        let compiled = self.compile_by_rule(descriptor, chosen);
        self.compile_by_former_rule(descriptor, chosen, &compiled).unwrap_or(compiled)
    }

    fn compile_by_rule(
        &self,
        descriptor: &Descriptor,
        chosen: &BTreeSet<ComponentKey>,
    ) -> (Option<CompiledStack>, Vec<Diagnostic>) {
        let functions = self.functions.of_stack(descriptor.names);
        Compiler { functions: &functions, ..*self }.compile_stack(descriptor, chosen)
    }

    /// Compiles the stack under the earlier naming rule. Returns the result if only that rule makes it share objects
    /// with other stacks of its domain.
    fn compile_by_former_rule(
        &self,
        descriptor: &Descriptor,
        chosen: &BTreeSet<ComponentKey>,
        (compiled, _): &(Option<CompiledStack>, Vec<Diagnostic>),
    ) -> Option<(Option<CompiledStack>, Vec<Diagnostic>)> {
        let former_shared =
            descriptor.former.as_ref().map(|former| &former.shared).filter(|shared| !shared.is_empty())?;
        let addresses = |compiled: &CompiledStack| -> BTreeSet<Address> {
            let components = compiled.components.iter();
            let shared = components.flat_map(|it| it.declarations.resources.iter().map(move |resource| (it, resource)));
            shared
                .filter_map(|(it, resource)| compiled.shared_address(it, resource, self.environment, self.functions))
                .collect()
        };
        let own = addresses(compiled.as_ref()?);
        let former_descriptor = Descriptor { names: NamesRule::Ascii, ..descriptor.clone() };
        let (former, diagnostics) = self.compile_by_rule(&former_descriptor, chosen);
        let former = former?;
        let shares_former_objects = addresses(&former).difference(&own).any(|address| former_shared.contains(address));
        shares_former_objects.then_some((Some(former), diagnostics))
    }

    fn compile_stack(
        &self,
        descriptor: &Descriptor,
        chosen: &BTreeSet<ComponentKey>,
    ) -> (Option<CompiledStack>, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let variables = variables::resolve(self, descriptor, &mut diagnostics);
        let facts = self.facts(descriptor, &variables, &mut diagnostics);
        let request = match self.request(descriptor, chosen) {
            Ok(request) => request,
            Err(found) => {
                diagnostics.extend(found);
                return (None, diagnostics);
            }
        };
        let known = Known { facts: &facts, request: &request };
        let mut components = Vec::with_capacity(descriptor.components.len());
        for component in &descriptor.components {
            if let Err(late) = self.functions.limits().check_time(component.span) {
                diagnostics.push(late);
                break;
            }
            let is_chosen = chosen.is_empty() || chosen.contains(&component.key);
            let compiled = match (&component.body, is_chosen) {
                (_, false) => Some(uncompiled(component)),
                (Body::Resources(declarations), true) => Some(CompiledComponent {
                    depends_on: dependencies(component, declarations, descriptor),
                    declarations: Arc::clone(declarations),
                    ..uncompiled(component)
                }),
                (Body::Blueprint(wanted), true) => {
                    self.with_blueprint(descriptor, component, wanted, known, &mut diagnostics)
                }
            };
            components.extend(compiled);
        }
        if has_errors(&diagnostics) {
            return (None, diagnostics);
        }
        let declared = &descriptor.transitions;
        let stack = StackId::new(descriptor.stack.as_str(), self.environment.name.as_str());
        let transitions = transitions::compile(self, &stack, declared, &components, &facts, &mut diagnostics);
        if has_errors(&diagnostics) {
            return (None, diagnostics);
        }
        let locals = facts.roots.get(LOCALS).and_then(Value::as_map).cloned().unwrap_or_default();
        let product = descriptor.product_facts();
        (
            Some(CompiledStack {
                stack,
                components,
                product,
                request,
                variables,
                locals,
                transitions,
                names: descriptor.names,
            }),
            diagnostics,
        )
    }

    /// The values that expressions can read before planning.
    fn facts(&self, descriptor: &Descriptor, variables: &Map, diagnostics: &mut Vec<Diagnostic>) -> FactScope {
        let roots = [
            ("product", descriptor.product_facts()),
            ("environment", Value::from(self.environment.name.as_str())),
            ("stack", Value::from(descriptor.stack.as_str())),
            ("settings", self.environment.settings.clone()),
            ("vars", Value::Map(variables.clone())),
        ];
        let mut facts = FactScope { roots: roots.into_iter().map(|(name, value)| (name.to_owned(), value)).collect() };
        let locals = locals::of_stack(descriptor, &facts, self.functions, diagnostics);
        facts.roots.insert(LOCALS.to_owned(), Value::Map(locals));
        facts
    }

    fn with_blueprint(
        &self,
        descriptor: &Descriptor,
        component: &Component,
        wanted: &BlueprintUse,
        known: Known<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<CompiledComponent> {
        let blueprint = match self.library.choose(&component.key, wanted, component.span, self.templates) {
            Ok(blueprint) => blueprint,
            Err(diagnostic) => {
                diagnostics.push(*diagnostic);
                return None;
            }
        };
        diagnostics.extend(self.library.misspelt_template(&component.key, wanted, blueprint, component.span));
        // In a data product everything is the user's text; in a stack `specific` may hold expressions.
        let node = match descriptor.front_end {
            FrontEnd::Witboost => Cow::Borrowed(&*wanted.node),
            FrontEnd::Stack => Cow::Owned(specific::evaluate(self, &wanted.node, known.facts, diagnostics)?),
        };
        let cleaned = blueprint.without_refused_nulls(&node);
        let found = blueprint.validate(&cleaned, component.span);
        let is_valid = !has_errors(&found);
        diagnostics.extend(found);
        if !is_valid {
            return None;
        }
        let value = match blueprint.component_value(&cleaned) {
            Err(endless) => {
                diagnostics.push(
                    Diagnostic::error("endless_defaults", format!("`{}`: {endless}", blueprint.name.value))
                        .at(component.span)
                        .hint("remove a `default` of the blueprint's schema that contains itself through `$ref`"),
                );
                return None;
            }
            Ok(Value::Map(mut entries)) => {
                entries.insert("key".to_owned(), Value::from(component.key.as_str()));
                wrapped::add_reads(&mut entries, blueprint, descriptor, component, &|other, wanted| {
                    let chosen = self.library.choose(&other.key, wanted, other.span, self.templates).ok()?;
                    Some(chosen.name.value.clone())
                });
                Value::Map(entries)
            }
            Ok(other) => other,
        };
        let scope = WithFacts { facts: known.facts, more: [("component", &value), (REQUEST, known.request)] };
        let mut found = Vec::new();
        let locals = locals::resolve(&blueprint.locals, &scope, self.functions, &mut found);
        let all = || descriptor.components.iter().map(|component| component.span);
        let mut parsed_sources = blueprint_origin::ParsedSources::default();
        let mut explain = |found: &mut [Diagnostic]| {
            blueprint_origin::explain((component.span, all), None, found, self.sources, &mut parsed_sources);
        };
        explain(&mut found);
        let is_known = !has_errors(&found);
        diagnostics.extend(found);
        if !is_known {
            return None;
        }
        let locals = Value::Map(locals);
        let more = [("component", &value), (REQUEST, known.request), (LOCALS, &locals)];
        let scope = WithFacts { facts: known.facts, more };
        for check in &blueprint.checks {
            let mut found = check.decide(&scope, self.functions, &node, component.span);
            explain(&mut found);
            diagnostics.extend(found);
        }
        Some(CompiledComponent {
            declarations: Arc::clone(&blueprint.declarations),
            acl: Arc::clone(&blueprint.acl),
            locals: locals.as_map().cloned(),
            value,
            blueprint: Some(blueprint_name(blueprint)),
            moved: blueprint.moved.iter().map(|renamed| renamed.within(&component.key)).collect(),
            ..uncompiled(component)
        })
    }
}

/// The values known before any component is compiled.
#[derive(Clone, Copy)]
struct Known<'a> {
    facts: &'a FactScope,
    request: &'a Value,
}

/// The dependencies of a component. Those of the stack's own resources follow from the outputs that they read.
fn dependencies(component: &Component, declarations: &Declarations, descriptor: &Descriptor) -> Vec<Dependency> {
    if !component.key.is_stack() {
        return component.depends_on.clone();
    }
    let mut read: IndexMap<&str, Dependency> = IndexMap::new();
    for (reference, span) in component_references(declarations) {
        let Some(ReferenceStep::Key(wanted)) = reference.steps.first() else { continue };
        if let Some(other) = descriptor.components.iter().find(|other| other.key == wanted.as_str()) {
            let dependency = || Dependency { text: wanted.clone(), key: Some(other.key.clone()), span };
            read.entry(&other.key).or_insert_with(dependency);
        }
    }
    read.into_values().collect()
}

/// `name version` of a blueprint.
fn blueprint_name(blueprint: &Blueprint) -> String {
    format!("{} {}", blueprint.name.value, blueprint.version)
}

fn uncompiled(component: &Component) -> CompiledComponent {
    CompiledComponent {
        key: component.key.clone(),
        id: component.id.clone(),
        depends_on: component.depends_on.clone(),
        declarations: Arc::default(),
        acl: Arc::default(),
        granted: None,
        value: Value::Null,
        locals: None,
        blueprint: None,
        moved: Vec::new(),
        span: component.span,
    }
}
