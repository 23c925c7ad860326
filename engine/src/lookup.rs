//! What expressions name, looked up before anything is evaluated: variables and locals, resources and their attributes
//! by the providers' schemas, components and their outputs. It needs neither state nor network, so that a slip is told
//! when a descriptor or a blueprint is checked, and all of them at once when it is planned.

use crate::compile::{CompiledComponent, CompiledStack, REQUEST, by_name};
use crate::descriptor::{Check, CheckTime, Declarations, OutputDeclaration, ResourceDeclaration};
use crate::diagnostic::{Diagnostic, did_you_mean, has_errors};
use crate::expression::{Reference, ReferenceStep, Template};
use crate::graph::{Block, names, templates};
use crate::plan::{ignored, typecheck};
use crate::quick::QuickMap;
use crate::registry::Registry;
use crate::source::Span;
use std::collections::{BTreeSet, HashSet};
use terrace_provider::{Path, ResourceType, Step, Value};

/// The variables of expressions: those that every declaration of a stack may read, then those of blueprints besides, then
/// what is there where it is known who has access. That others than the resources of `acl` do not ask for the last is checked
/// with the blueprint.
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
/// So many of them every declaration of a stack may read.
const OF_STACKS: usize = 9;
/// So many those that a blueprint declares.
const OF_BLUEPRINTS: usize = 12;

/// What is wrong with the declarations of a stack.
#[derive(Debug, Default)]
pub struct Faults {
    /// All of it, in the order of the declarations.
    pub diagnostics: Vec<Diagnostic>,
    /// The resources that have an error: they are not evaluated, which would tell it again.
    pub(crate) resources: HashSet<Block>,
    /// The outputs that have one, by the positions of their component and their own.
    pub(crate) outputs: HashSet<(usize, usize)>,
}

/// The first so many variables.
fn roots(count: usize) -> &'static [&'static str] {
    ROOTS.get(..count).unwrap_or(&ROOTS)
}

/// Looks up all that the chosen components of a stack name; no component chosen stands for all of them.
#[must_use]
pub fn check(stack: &CompiledStack, chosen: &BTreeSet<String>, registry: &Registry) -> Faults {
    let is_chosen = |key: &str| chosen.is_empty() || chosen.contains(key);
    let components = by_name(&stack.components);
    let outputs_of = |wanted: &str| {
        let component = stack.components.get(*components.get(wanted)?)?;
        // What was not chosen was not compiled: its outputs are those that are recorded.
        let outputs = is_chosen(&component.key).then_some(&component.declarations.outputs)?;
        Some(outputs.iter().map(|output| output.name.value.as_str()).collect())
    };
    let variables: BTreeSet<&str> = stack.variables.keys().map(String::as_str).collect();
    let locals: BTreeSet<&str> = stack.locals.keys().map(String::as_str).collect();
    let of_blueprints: Vec<_> = stack.components.iter().map(names_of_locals).collect();
    let mut faults = Faults::default();
    for (position, component) in stack.components.iter().enumerate().filter(|(_, it)| is_chosen(&it.key)) {
        let lookup = Lookup {
            roots: roots(match (&component.blueprint, &component.granted) {
                (_, Some(_)) => ROOTS.len(),
                (Some(_), None) => OF_BLUEPRINTS,
                (None, None) => OF_STACKS,
            }),
            variables: Some(&variables),
            locals: of_blueprints.get(position).and_then(Option::as_ref).or(Some(&locals)),
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
                lookup.template(template, Here::default(), &mut found);
            }
            if has_errors(&found) {
                faults.outputs.insert((position, output));
            }
            faults.diagnostics.extend(found);
        }
        for check in &component.declarations.checks {
            lookup.template(&check.assert, Here::default(), &mut faults.diagnostics);
        }
    }
    faults
}

/// The names of the locals of a component's blueprint, where it has one.
fn names_of_locals(component: &CompiledComponent) -> Option<BTreeSet<&str>> {
    component.locals.as_ref().map(|locals| locals.keys().map(String::as_str).collect())
}

/// All templates of an output.
pub(crate) fn output_templates(output: &OutputDeclaration) -> impl Iterator<Item = &Template> {
    std::iter::once(&output.value).chain(&output.label)
}

/// What is known where a template stands, beside what is known everywhere.
#[derive(Clone, Copy, Default)]
pub(crate) struct Here<'t> {
    /// `each`.
    pub(crate) has_each: bool,
    /// `self`: a resource of that type.
    pub(crate) own: Option<&'t ResourceType>,
}

/// What the expressions of some declarations may name.
pub(crate) struct Lookup<'a> {
    /// The variables in scope; `each` is known where there is a `forEach`.
    pub(crate) roots: &'a [&'a str],
    /// The names of declared variables, where they are known.
    pub(crate) variables: Option<&'a BTreeSet<&'a str>>,
    /// The names of declared locals, where they are known.
    pub(crate) locals: Option<&'a BTreeSet<&'a str>>,
    /// Positions of resources by name.
    pub(crate) names: QuickMap<&'a str, usize>,
    /// The resources.
    pub(crate) declarations: &'a Declarations,
    /// Their types.
    pub(crate) registry: &'a Registry,
    /// The names of the outputs of a component by its key or URN; nothing when they are not known.
    pub(crate) outputs_of: &'a dyn Fn(&str) -> Option<Vec<&'a str>>,
}

impl Lookup<'_> {
    /// Looks up a resource's type, and all that it names; its attributes are checked as far as they stand there without
    /// being evaluated.
    pub(crate) fn resource(&self, declaration: &ResourceDeclaration, diagnostics: &mut Vec<Diagnostic>) {
        let Some((_, ty)) = self.registry.resource_type(&declaration.ty.value) else {
            diagnostics.push(self.registry.unknown_type(&declaration.ty.value).at(declaration.ty.span));
            return;
        };
        ignored::check(declaration, ty, diagnostics);
        for template in templates(declaration) {
            let is_post = |check: &Check| check.when == CheckTime::Post && std::ptr::eq(&*check.assert, template);
            let own = declaration.checks.iter().any(is_post).then_some(ty);
            self.template(template, Here { has_each: declaration.for_each.is_some(), own }, diagnostics);
        }
        if let Value::Map(config) = declaration.config.outline() {
            let place = |path: &Path| declaration.config.span_at(path);
            typecheck::check(ty.name, &ty.attributes, &config, &place, diagnostics);
        }
    }

    /// Looks up all that a template names.
    pub(crate) fn template(&self, template: &Template, here: Here<'_>, diagnostics: &mut Vec<Diagnostic>) {
        for (reference, span) in template.located_references() {
            let mut found = Vec::new();
            self.reference(reference, span, here, &mut found);
            // An expression may name the same thing twice.
            found.retain(|diagnostic| !diagnostics.contains(diagnostic));
            diagnostics.extend(found);
        }
    }

    fn reference(&self, reference: &Reference, span: Span, here: Here<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let first = match reference.steps.first() {
            Some(ReferenceStep::Key(name)) => Some(name.as_str()),
            _ => None,
        };
        match (reference.root.as_str(), first) {
            ("each", _) if here.has_each => {}
            ("self", _) if here.own.is_some() => {
                if let Some(ty) = here.own {
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
                "self" => "`self` is known in a check with `when: post` only".to_owned(),
                "component" | "product" | REQUEST => format!("`{root}` is known in blueprints only"),
                "acl" => "`acl` is known in the resources of `acl:` only".to_owned(),
                _ => format!("there are: {}", self.roots.join(", ")),
            });
        Diagnostic::error("unknown_variable", format!("there is no variable `{root}` here")).hint(hint)
    }

    /// Looks up a path into a resource. One that names no resource is told with the graph, which needs it more.
    fn attribute(&self, name: &str, reference: &Reference, span: Span, diagnostics: &mut Vec<Diagnostic>) {
        let declaration = self.names.get(name).and_then(|position| self.declarations.resources.get(*position));
        let Some(declaration) = declaration else { return };
        let Some((_, ty)) = self.registry.resource_type(&declaration.ty.value) else { return };
        // With `forEach` the first step chooses an instance.
        let skipped = if declaration.for_each.is_some() { 2 } else { 1 };
        typecheck::check_path(ty.name, &ty.attributes, &path_of(reference, skipped), span, diagnostics);
    }

    /// Looks up an output of a component. A component that is not there is told with the graph.
    fn output(&self, key: &str, reference: &Reference, span: Span, diagnostics: &mut Vec<Diagnostic>) {
        let wanted = match reference.steps.get(1..) {
            Some([ReferenceStep::Key(outputs), ReferenceStep::Key(name), ..]) if outputs == "outputs" => name,
            Some([ReferenceStep::Key(outputs), ..]) if outputs == "outputs" => return,
            _ => {
                let message = "`components` is read as `components[\"key\"].outputs.name`";
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
        diagnostics.push(
            Diagnostic::error("unknown_output", message).at(span).hint(
                did_you_mean(wanted, known.iter().copied()).unwrap_or_else(|| listed(&known, "it has no outputs")),
            ),
        );
    }
}

/// The steps of a reference behind its first ones, as far as they are plain.
fn path_of(reference: &Reference, skipped: usize) -> Path {
    let steps = reference.steps.iter().skip(skipped).map_while(|step| match step {
        ReferenceStep::Key(key) => Some(Step::Key(key.clone())),
        ReferenceStep::Index(index) => usize::try_from(*index).ok().map(Step::Index),
        ReferenceStep::Path(_) => None,
    });
    Path(steps.collect())
}

/// What to say of a name that is not among those that are known.
fn unknown(
    what: &str,
    code: &'static str,
    name: &str,
    known: Option<&BTreeSet<&str>>,
    span: Span,
) -> Option<Diagnostic> {
    let known: Vec<&str> = known.filter(|known| !known.contains(name))?.iter().copied().collect();
    let hint = did_you_mean(name, known.iter().copied());
    let hint = hint.unwrap_or_else(|| listed(&known, &format!("the descriptor declares no {what}s")));
    Some(Diagnostic::error(code, format!("there is no {what} `{name}`")).at(span).hint(hint))
}

fn listed(known: &[&str], nothing: &str) -> String {
    if known.is_empty() { nothing.to_owned() } else { format!("there are: {}", known.join(", ")) }
}
