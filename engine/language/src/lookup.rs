//! Checks of the names in expressions, without evaluation: variables, locals, resources and their attributes by the
//! providers' schemas, components and their outputs. The checks need neither state nor network. So the check of a
//! descriptor or blueprint reports misspelt names, and a plan reports all of them at once.

use crate::address::ComponentKey;
use crate::compile::names::REQUEST;
use crate::compile::{CompiledComponent, CompiledStack, by_name};
use crate::descriptor::{Check, CheckTime, Declarations, ResourceDeclaration};
use crate::diagnostic::{Diagnostic, did_you_mean, has_errors};
use crate::expression::{Reference, ReferenceStep, Template};
use crate::graph::{Block, names, output_templates, templates};
use crate::quick::QuickMap;
use crate::registry::Registry;
use crate::source::Span;
use crate::typecheck;
use std::collections::{BTreeSet, HashSet};
use terrace_provider::names::listed;
use terrace_provider::{Path, ResourceType, Step, Value};

/// The variables of expressions: first those that every declaration of a stack may read, then those that only
/// blueprints may read, last those that need known principals. The check of the blueprint ensures that only resources
/// of `acl` read the last.
const ROOTS: [&str; 13] = [
    "environment",
    "stack",
    "settings",
    "vars",
    "locals",
    "resources",
    "data",
    "components",
    "stacks",
    "component",
    "product",
    REQUEST,
    "acl",
];
/// The number of variables that every declaration of a stack may read.
const STACK_ROOT_COUNT: usize = 9;
/// The number of variables that a blueprint's declarations may read.
const BLUEPRINT_ROOT_COUNT: usize = 12;

/// The errors in the declarations of a stack.
#[derive(Debug, Default)]
pub struct Faults {
    /// All errors, in the order of the declarations.
    pub diagnostics: Vec<Diagnostic>,
    /// The resources with errors. They are not evaluated, because that would report the same errors again.
    pub resources: HashSet<Block>,
    /// The outputs with errors, by the positions of the component and the output.
    pub outputs: HashSet<(usize, usize)>,
}

/// The first `count` variables.
fn roots(count: usize) -> &'static [&'static str] {
    ROOTS.get(..count).unwrap_or(&ROOTS)
}

/// Checks all names in the chosen components of a stack. An empty set means all components.
#[must_use]
pub fn check(stack: &CompiledStack, chosen: &BTreeSet<ComponentKey>, registry: &Registry) -> Faults {
    let is_chosen = |key: &str| chosen.is_empty() || chosen.contains(key);
    let components = by_name(&stack.components);
    let outputs_of = |name: &str| {
        let component = stack.components.get(*components.get(name)?)?;
        // A component that was not chosen was not compiled: its outputs come from the state.
        let outputs = is_chosen(&component.key).then_some(&component.declarations.outputs)?;
        Some(outputs.iter().map(|output| output.name.value.as_str()).collect())
    };
    let variables: BTreeSet<&str> = stack.variables.keys().map(String::as_str).collect();
    let locals: BTreeSet<&str> = stack.locals.keys().map(String::as_str).collect();
    let blueprint_locals: Vec<_> = stack.components.iter().map(names_of_locals).collect();
    let mut faults = Faults::default();
    for (position, component) in stack.components.iter().enumerate().filter(|(_, component)| is_chosen(&component.key))
    {
        let lookup = Lookup {
            roots: roots(match (&component.blueprint, &component.granted) {
                (_, Some(_)) => ROOTS.len(),
                (Some(_), None) => BLUEPRINT_ROOT_COUNT,
                (None, None) => STACK_ROOT_COUNT,
            }),
            variables: Some(&variables),
            locals: blueprint_locals.get(position).and_then(Option::as_ref).or(Some(&locals)),
            names: names(&component.declarations),
            declarations: &component.declarations,
            registry,
            outputs_of: &outputs_of,
        };
        for (resource, declaration) in component.declarations.resources.iter().enumerate() {
            let mut found = Vec::new();
            lookup.resource(declaration, &mut found);
            if has_errors(&found) {
                faults.resources.insert(Block { component: position, resource });
            }
            faults.diagnostics.extend(found);
        }
        for (output, declaration) in component.declarations.outputs.iter().enumerate() {
            let mut found = Vec::new();
            for template in output_templates(declaration) {
                lookup.template(template, ExtraVariables::default(), &mut found);
            }
            if has_errors(&found) {
                faults.outputs.insert((position, output));
            }
            faults.diagnostics.extend(found);
        }
        for check in &component.declarations.checks {
            lookup.template(&check.assert, ExtraVariables::default(), &mut faults.diagnostics);
        }
    }
    faults
}

/// The names of the locals of a component's blueprint, where it has one.
fn names_of_locals(component: &CompiledComponent) -> Option<BTreeSet<&str>> {
    component.locals.as_ref().map(|locals| locals.keys().map(String::as_str).collect())
}

/// The variables known to a template in addition to the roots.
#[derive(Clone, Copy, Default)]
pub(crate) struct ExtraVariables<'t> {
    /// `each` is known.
    pub(crate) has_each: bool,
    /// `self` is known, a resource of this type.
    pub(crate) own: Option<&'t ResourceType>,
}

/// The names that the expressions of some declarations may use.
pub(crate) struct Lookup<'a> {
    /// The variables in scope, without `each` and `self`.
    pub(crate) roots: &'a [&'a str],
    /// The names of declared variables, if known.
    pub(crate) variables: Option<&'a BTreeSet<&'a str>>,
    /// The names of declared locals, if known.
    pub(crate) locals: Option<&'a BTreeSet<&'a str>>,
    /// Positions of resources by name.
    pub(crate) names: QuickMap<&'a str, usize>,
    /// The resources.
    pub(crate) declarations: &'a Declarations,
    /// Their types.
    pub(crate) registry: &'a Registry,
    /// Returns the names of a component's outputs by its key or URN; `None` if they are unknown.
    pub(crate) outputs_of: &'a dyn Fn(&str) -> Option<Vec<&'a str>>,
}

impl Lookup<'_> {
    /// Checks a resource's type and all names in its templates. Checks those attributes that have no expressions.
    pub(crate) fn resource(&self, declaration: &ResourceDeclaration, diagnostics: &mut Vec<Diagnostic>) {
        let Some((_, ty)) = self.registry.resource_type(&declaration.ty.value) else {
            diagnostics.push(self.registry.unknown_type(&declaration.ty.value).at(declaration.ty.span));
            return;
        };
        check_ignored(declaration, ty, diagnostics);
        for template in templates(declaration) {
            let is_post = |check: &Check| check.when == CheckTime::Post && std::ptr::eq(&*check.assert, template);
            let own = declaration.checks.iter().any(is_post).then_some(ty);
            self.template(template, ExtraVariables { has_each: declaration.for_each.is_some(), own }, diagnostics);
        }
        if let Value::Map(config) = declaration.config.outline() {
            let place = |path: &Path| declaration.config.span_at(path);
            typecheck::check(ty.name, &ty.attributes, &config, &place, diagnostics);
        }
    }

    /// Checks all names in a template.
    pub(crate) fn template(&self, template: &Template, extra: ExtraVariables<'_>, diagnostics: &mut Vec<Diagnostic>) {
        for (reference, span) in template.located_references() {
            let mut found = Vec::new();
            self.reference(reference, span, extra, &mut found);
            // An expression may name the same thing twice.
            found.retain(|diagnostic| !diagnostics.contains(diagnostic));
            diagnostics.extend(found);
        }
    }

    fn reference(
        &self,
        reference: &Reference,
        span: Span,
        extra: ExtraVariables<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let first = match reference.steps.first() {
            Some(ReferenceStep::Key(name)) => Some(name.as_str()),
            _ => None,
        };
        match (reference.root.as_str(), first) {
            ("each", _) if extra.has_each => {}
            ("self", _) if extra.own.is_some() => {
                if let Some(ty) = extra.own {
                    typecheck::check_path(ty.name, &ty.attributes, &path_of(reference, 0), span, diagnostics);
                }
            }
            (root, _) if !self.roots.contains(&root) => diagnostics.push(self.unknown_root(root).at(span)),
            ("vars", Some(name)) => {
                diagnostics.extend(unknown("variable", "unknown_variable", name, self.variables, span));
            }
            ("locals", Some(name)) => {
                diagnostics.extend(unknown("local", "unknown_local", name, self.locals, span));
            }
            ("resources", Some(name)) => self.attribute(name, reference, span, diagnostics),
            ("components", Some(key)) => self.output(key, reference, span, diagnostics),
            _ => {}
        }
    }

    fn unknown_root(&self, root: &str) -> Diagnostic {
        let known = || self.roots.iter().copied().chain(["each"]);
        let hint = did_you_mean(root, known())
            .filter(|_| !matches!(root, "each" | "component" | "product" | REQUEST))
            .unwrap_or_else(|| match root {
                "each" => "`each` needs `forEach`".to_owned(),
                "self" => "`self` is available only in a check with `when: post`".to_owned(),
                "component" | "product" | REQUEST => format!("`{root}` is available only in blueprints"),
                "acl" => "`acl` is available only in the resources of `acl:`".to_owned(),
                _ => format!("there are: {}", listed(self.roots)),
            });
        Diagnostic::error("unknown_variable", format!("there is no variable `{root}` here")).hint(hint)
    }

    /// Checks a path into a resource. The graph reports unknown resources.
    fn attribute(&self, name: &str, reference: &Reference, span: Span, diagnostics: &mut Vec<Diagnostic>) {
        let declaration = self.names.get(name).and_then(|position| self.declarations.resources.get(*position));
        let Some(declaration) = declaration else { return };
        let Some((_, ty)) = self.registry.resource_type(&declaration.ty.value) else { return };
        // With `forEach` the first step selects an instance.
        let skipped = if declaration.for_each.is_some() { 2 } else { 1 };
        typecheck::check_path(ty.name, &ty.attributes, &path_of(reference, skipped), span, diagnostics);
    }

    /// Checks an output of a component. The graph reports unknown components.
    fn output(&self, key: &str, reference: &Reference, span: Span, diagnostics: &mut Vec<Diagnostic>) {
        let wanted = match reference.steps.get(1..) {
            Some([ReferenceStep::Key(outputs), ReferenceStep::Key(name), ..]) if outputs == "outputs" => name,
            Some([ReferenceStep::Key(outputs), ..]) if outputs == "outputs" => return,
            _ => {
                let message = "`components` must be read as `components[\"key\"].outputs.name`";
                diagnostics.push(
                    Diagnostic::error("whole_component", message)
                        .at(span)
                        .hint(format!("write `components[\"{key}\"].outputs` and the name of an output")),
                );
                return;
            }
        };
        let Some(known) = (self.outputs_of)(key).filter(|known| !known.contains(&wanted.as_str())) else { return };
        let message = format!("component `{key}` has no output `{wanted}`");
        diagnostics.push(Diagnostic::error("unknown_output", message).at(span).hint(
            did_you_mean(wanted, known.iter().copied()).unwrap_or_else(|| listed_or(&known, "it has no outputs")),
        ));
    }
}

/// The path after the first `skipped` steps of a reference, up to the first computed step.
fn path_of(reference: &Reference, skipped: usize) -> Path {
    let steps = reference.steps.iter().skip(skipped).map_while(|step| match step {
        ReferenceStep::Key(key) => Some(Step::Key(key.clone())),
        ReferenceStep::Index(index) => usize::try_from(*index).ok().map(Step::Index),
        ReferenceStep::Path(_) => None,
    });
    Path(steps.collect())
}

/// The error for an unknown name.
fn unknown(
    kind: &str,
    code: &'static str,
    name: &str,
    known: Option<&BTreeSet<&str>>,
    span: Span,
) -> Option<Diagnostic> {
    let known: Vec<&str> = known.filter(|known| !known.contains(name))?.iter().copied().collect();
    let hint = did_you_mean(name, known.iter().copied());
    let hint = hint.unwrap_or_else(|| listed_or(&known, &format!("the descriptor declares no {kind}s")));
    Some(Diagnostic::error(code, format!("there is no {kind} `{name}`")).at(span).hint(hint))
}

fn listed_or(known: &[&str], nothing: &str) -> String {
    if known.is_empty() { nothing.to_owned() } else { format!("there are: {}", listed(known)) }
}

/// Checks the paths of `ignoreChanges`.
fn check_ignored(declaration: &ResourceDeclaration, ty: &ResourceType, diagnostics: &mut Vec<Diagnostic>) {
    for path in &declaration.ignore_changes {
        typecheck::check_path(ty.name, &ty.attributes, &path.value, path.span, diagnostics);
        let attribute = path.value.first_key().and_then(|name| ty.attributes.get(name));
        if attribute.is_some_and(|attribute| !attribute.configurable) {
            diagnostics.push(
                Diagnostic::warning(
                    "nothing_to_ignore",
                    format!("`{}` is computed by the provider, so it has no changes to ignore", path.value),
                )
                .at(path.span)
                .hint("remove it from `ignoreChanges`"),
            );
        }
    }
}
