//! The front end for `kind: Stack`, with resources in the stack itself or in named components.
//!
//! All fields are known, so a misspelt field is an error. Files with the same `metadata.name` form one stack.

use super::checks::read_stack_check;
use super::declaration::{check_names, check_unique, read_lookups, read_resources, read_stack_outputs, unknown_name};
use super::templates::{compile, required_plain_text};
use super::transitions::{Transitions, read_forgotten, read_imports, read_moves};
use super::{
    BlueprintUse, Body, Component, Declarations, Dependency, Descriptor, Facts, FormerNames, FrontEnd, Local,
    UNKNOWN_COMPONENT, Validation, Variable, VariableType, literal_templates, names,
};
use crate::address::ComponentKey;
use crate::decode::{Fields, MISSING_FIELD};
use crate::diagnostic::Diagnostic;
use crate::naming::NamesRule;
use crate::source::{Located, Sources, Span};
use crate::yaml::{Entry, Node, NodeKind};
use std::sync::Arc;
use terrace_provider::{Map, Value};

/// The supported `apiVersion` of terrace's own files.
pub const API_VERSION: &str = "terrace.dev/v1";

/// The content of a stack file.
#[derive(Debug, Clone)]
pub struct StackFile {
    /// The stack's name.
    pub name: Located<String>,
    variables: Vec<Variable>,
    locals: Vec<Local>,
    own: Declarations,
    components: Vec<Component>,
    transitions: Transitions,
    span: Span,
}

/// Reads one `kind: Stack` file.
pub fn read_stack(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<StackFile> {
    let mut fields = Fields::open(node, "a stack", diagnostics)?;
    check_api_version(&mut fields);
    fields.optional("kind");
    let name = fields.required("metadata").and_then(|entry| read_metadata(&entry.value, fields.diagnostics));
    let variables = fields.map("variables").iter();
    let variables = variables.filter_map(|entry| read_variable(entry, sources, fields.diagnostics)).collect();
    let locals = fields.map("locals").iter();
    let locals = locals.map(|entry| read_local(entry, sources, fields.diagnostics)).collect();
    let mut own = read_declarations(&mut fields, sources);
    let checks = fields.list("checks").iter();
    own.checks = checks.filter_map(|item| read_stack_check(item, sources, fields.diagnostics)).collect();
    let components = fields.map("components").iter();
    let components = components.filter_map(|entry| read_component(entry, sources, fields.diagnostics)).collect();
    let transitions = Transitions {
        moved: read_moves(fields.list("moved"), fields.diagnostics),
        forget: read_forgotten(&mut fields),
        imports: read_imports(fields.list("imports"), sources, fields.diagnostics),
        identified: Vec::new(),
    };
    fields.finish();
    literal_templates::check_syntax(node, diagnostics);
    Some(StackFile { name: name?, variables, locals, own, components, transitions, span: node.span })
}

/// An example of `outputs`.
const OUTPUTS: &str = "{path: ${{ resources.NAME.path }}}";

/// Reads `apiVersion`, and reports an unsupported version.
pub(crate) fn check_api_version(fields: &mut Fields<'_, '_>) {
    let before = fields.diagnostics.len();
    let Some(version) = fields.required_text("apiVersion") else {
        for missing in fields.diagnostics.iter_mut().skip(before).filter(|found| found.code == MISSING_FIELD) {
            missing.hint = Some(format!("write `apiVersion: {API_VERSION}`"));
        }
        return;
    };
    if version.value != API_VERSION {
        fields.diagnostics.push(
            Diagnostic::error(
                "wrong_version",
                format!("`apiVersion` is `{}`: expected `{API_VERSION}`", version.value),
            )
            .at(version.span)
            .hint(format!("write `apiVersion: {API_VERSION}`")),
        );
    }
}

fn read_metadata(node: &Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Located<String>> {
    let mut fields = Fields::open(node, "`metadata`", diagnostics)?;
    let name = fields.required_text("name");
    fields.finish();
    let name = name?;
    names::check_stack(&name, diagnostics);
    Some(name)
}

fn read_declarations(fields: &mut Fields<'_, '_>, sources: &Sources) -> Declarations {
    let resources = read_resources(fields.list("resources"), sources, fields.diagnostics);
    let outputs = read_stack_outputs(fields.map_such_as("outputs", OUTPUTS), sources, fields.diagnostics);
    let data = read_lookups(fields.list("data"), sources, fields.diagnostics);
    Declarations { resources, data, outputs, ..Declarations::default() }
}

fn read_component(entry: &Entry, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Component> {
    names::check_component(&Located { value: entry.key.clone(), span: entry.key_span }, diagnostics);
    let mut fields = Fields::open(&entry.value, "a component", diagnostics)?;
    let depends_on = fields.texts("dependsOn").into_iter();
    let depends_on = depends_on.map(|text| Dependency { text: text.value, key: None, span: text.span }).collect();
    let blueprint = fields.text("blueprint");
    let body = match blueprint {
        Some(name) => {
            fields.optional("specific");
            Body::Blueprint(Box::new(BlueprintUse {
                name: Some(name),
                facts: Facts::default(),
                node: Arc::new(entry.value.clone()),
            }))
        }
        None => Body::Resources(Arc::new(read_declarations(&mut fields, sources))),
    };
    fields.finish();
    Some(Component { key: entry.key.as_str().into(), id: None, depends_on, body, span: entry.key_span })
}

fn read_variable(entry: &Entry, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Variable> {
    let name = Located { value: entry.key.clone(), span: entry.key_span };
    names::check_bare(&name, "a variable", diagnostics);
    if entry.value.is_null() {
        return Some(Variable {
            name,
            ty: VariableType::Any,
            default: None,
            is_sensitive: false,
            validation: Vec::new(),
        });
    }
    let mut fields = Fields::open(&entry.value, "a variable", diagnostics)?;
    let ty = read_variable_type(&mut fields);
    fields.optional("default");
    let default = entry.value.entry("default").map(|default| {
        check_default(&ty, default, fields.diagnostics);
        default.value.to_value()
    });
    let is_sensitive = fields.is_true("sensitive");
    let mut validation = Vec::new();
    for item in fields.list("validation") {
        validation.extend(read_validation(item, sources, fields.diagnostics));
    }
    fields.finish();
    Some(Variable { name, ty, default, is_sensitive, validation })
}

/// Reads a local.
pub(crate) fn read_local(entry: &Entry, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Local {
    let name = Located { value: entry.key.clone(), span: entry.key_span };
    names::check_bare(&name, "a local", diagnostics);
    Local { name, value: compile(&entry.value, sources, diagnostics) }
}

fn read_variable_type(fields: &mut Fields<'_, '_>) -> VariableType {
    let written = fields.optional("type");
    let words =
        [("string", WordType::String), ("int", WordType::Int), ("float", WordType::Float), ("bool", WordType::Bool)];
    let word = fields.word("type", &words);
    let structure = written.filter(|_| word.is_none()).and_then(|entry| structure_of(entry.value.as_text()?));
    if let (Some(structure), Some(diagnostic)) = (structure, fields.diagnostics.last_mut()) {
        diagnostic.hint =
            Some(format!("write `schema: {{type: {structure}}}` instead: a JSON Schema can describe the rest too"));
    }
    let schema = fields.optional("schema");
    if let (Some(written), Some(schema)) = (written, schema) {
        fields.diagnostics.push(
            Diagnostic::error("type_and_schema", "a variable has a `type` or a `schema`, not both")
                .at(schema.key_span)
                .at_with(written.key_span, "the type")
                .hint("remove one of the two"),
        );
    }
    match (word, schema) {
        (Some(WordType::String), _) => VariableType::String,
        (Some(WordType::Int), _) => VariableType::Int,
        (Some(WordType::Float), _) => VariableType::Float,
        (Some(WordType::Bool), _) => VariableType::Bool,
        (None, Some(schema)) => VariableType::Schema(schema.value.to_json()),
        (None, None) => VariableType::Any,
    }
}

/// JSON Schema's name of a structured type.
fn structure_of(word: &str) -> Option<&'static str> {
    match word {
        "array" | "list" | "set" => Some("array"),
        "map" | "object" => Some("object"),
        _ => None,
    }
}

#[derive(Clone, Copy)]
enum WordType {
    String,
    Int,
    Float,
    Bool,
}

/// Reports a default with another type than the variable's.
fn check_default(ty: &VariableType, default: &Entry, diagnostics: &mut Vec<Diagnostic>) {
    let kind = &default.value.kind;
    let (is_fitting, expected) = match ty {
        VariableType::String => (matches!(kind, NodeKind::Text(_)), "text"),
        VariableType::Int => (matches!(kind, NodeKind::Int(_)), "a whole number"),
        VariableType::Float => (matches!(kind, NodeKind::Int(_) | NodeKind::Number(_)), "a number"),
        VariableType::Bool => (matches!(kind, NodeKind::Bool(_)), "`true` or `false`"),
        VariableType::Schema(_) | VariableType::Any => (true, ""),
    };
    if !is_fitting && !default.value.is_null() {
        diagnostics.push(crate::decode::wrong_type("`default`", expected, &default.value));
    }
}

fn read_validation(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Validation> {
    let mut fields = Fields::open(node, "a validation", diagnostics)?;
    let assert = fields.required("assert").map(|entry| compile(&entry.value, sources, fields.diagnostics));
    let error = required_plain_text(&mut fields, "error");
    fields.finish();
    Some(Validation { assert: assert?, error: error? })
}

/// Merges files to one descriptor for each stack, in the order of first mention.
#[must_use]
pub fn merge(files: Vec<StackFile>, diagnostics: &mut Vec<Diagnostic>) -> Vec<Descriptor> {
    let mut stacks: Vec<Vec<StackFile>> = Vec::new();
    for file in files {
        let same = stacks.iter_mut().find(|stack| stack.iter().any(|other| other.name.value == file.name.value));
        match same {
            Some(stack) => stack.push(file),
            None => stacks.push(vec![file]),
        }
    }
    stacks.into_iter().filter_map(|files| merge_one(files, diagnostics)).collect()
}

fn merge_one(files: Vec<StackFile>, diagnostics: &mut Vec<Diagnostic>) -> Option<Descriptor> {
    let first = files.first()?;
    let (stack, span) = (first.name.value.clone(), first.span);
    let mut own = Declarations::default();
    let (mut variables, mut locals, mut components) = (Vec::new(), Vec::new(), Vec::new());
    let mut transitions = Transitions::default();
    for file in files {
        own.resources.extend(file.own.resources);
        own.data.extend(file.own.data);
        own.outputs.extend(file.own.outputs);
        own.checks.extend(file.own.checks);
        variables.extend(file.variables);
        locals.extend(file.locals);
        components.extend(file.components);
        transitions.extend(file.transitions);
    }
    check_unique(variables.iter().map(|variable: &Variable| &variable.name), "variable", diagnostics);
    check_unique(locals.iter().map(|local: &Local| &local.name), "local", diagnostics);
    check_names(&own, diagnostics);
    for component in &components {
        if let Body::Resources(declarations) = &component.body {
            check_names(declarations, diagnostics);
        }
    }
    link_components(&mut components, diagnostics);
    if !own.resources.is_empty() || !own.data.is_empty() || !own.outputs.is_empty() || !own.checks.is_empty() {
        let body = Body::Resources(Arc::new(own));
        components.insert(0, Component { key: ComponentKey::STACK, id: None, depends_on: Vec::new(), body, span });
    }
    let former = FormerNames { stack: stack.clone(), ..FormerNames::default() };
    Some(Descriptor {
        unlisted: None,
        names: NamesRule::Latin,
        former: Some(Box::new(former)),
        front_end: FrontEnd::Stack,
        stack,
        environment: None,
        product: Value::Null,
        derived: Map::default(),
        components,
        target: None,
        variables,
        locals,
        transitions,
    })
}

/// Resolves the dependencies of components. Reports duplicate and unknown names.
fn link_components(components: &mut [Component], diagnostics: &mut Vec<Diagnostic>) {
    let names: Vec<Located<String>> =
        components.iter().map(|component| Located { value: component.key.to_string(), span: component.span }).collect();
    let known = check_unique(names.iter(), "component", diagnostics);
    for dependency in components.iter_mut().flat_map(|component| &mut component.depends_on) {
        if known.contains_key(dependency.text.as_str()) {
            dependency.key = Some(dependency.text.as_str().into());
            continue;
        }
        let name = Located { value: dependency.text.clone(), span: dependency.span };
        let message = format!("`dependsOn` names `{}`, which is not a component of this stack", name.value);
        let keys = known.keys().copied();
        diagnostics.push(unknown_name(UNKNOWN_COMPONENT, message, &name, "components", keys, diagnostics.len()));
    }
}
