//! Reading of resources, lookups and outputs, which stacks and blueprints declare alike.

use super::checks::read_resource_check;
use super::lifecycle::{Behaviour, read_lifecycle, read_timeouts};
use super::templates::{compile, holds_expression, template, template_of};
use super::{Adopt, Declarations, OutputDeclaration, ResourceDeclaration, names};
use crate::decode::{Fields, wrong_type};
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::expression::{Template, TemplateKind};
use crate::source::{Located, Sources};
use crate::yaml::{Entry, Node};
use indexmap::IndexMap;
use terrace_provider::names::listed;
use terrace_provider::{Map, Value};

/// The hint for users who write Terraform's `count`.
const COUNT: &str = "for several instances use `forEach` with a list or a map: `forEach: [a, b, c]`; for a condition \
                     use `when`";

/// Reads the resources of a component or blueprint.
pub(crate) fn read_resources(
    items: &[Node],
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ResourceDeclaration> {
    items.iter().filter_map(|item| read_resource(item, sources, diagnostics)).collect()
}

fn read_resource(node: &Node, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<ResourceDeclaration> {
    let mut fields = Fields::open(node, "a resource", diagnostics)?;
    let ty = fields.required_text("type");
    let name = fields.required_text("name");
    let config = read_config(&mut fields, node, sources);
    let for_each = template(&mut fields, "forEach", sources);
    let key_entry = fields.optional("key");
    let key = key_entry.map(|entry| compile(&entry.value, sources, fields.diagnostics));
    if let (Some(entry), None) = (key_entry, &for_each) {
        fields.diagnostics.push(
            Diagnostic::error("key_without_for_each", "`key` names the instances of a `forEach`, which is missing")
                .at(entry.key_span)
                .hint("add `forEach:`, or remove `key`"),
        );
    }
    let when = template(&mut fields, "when", sources);
    let depends_on = fields.texts("dependsOn");
    let provider = template(&mut fields, "provider", sources);
    let shared = template(&mut fields, "shared", sources);
    let adopt = fields
        .word("adopt", &[("never", Adopt::Never), ("ifExists", Adopt::IfExists), ("ifOurs", Adopt::IfOurs)])
        .unwrap_or_default();
    let behaviour = fields.optional("lifecycle").map(|entry| read_lifecycle(&entry.value, fields.diagnostics));
    let Behaviour { mut lifecycle, ignore_changes, replace_triggered_by } = behaviour.unwrap_or_default();
    if let Some(entry) = fields.optional("timeouts") {
        lifecycle.timeouts = Some(Box::new(read_timeouts(&entry.value, fields.diagnostics)));
    }
    fields.set_foreign(&[("count", COUNT)]);
    let checks = fields.list("checks").iter();
    let checks = checks.filter_map(|item| read_resource_check(item, sources, fields.diagnostics)).collect();
    fields.finish();
    let (ty, name) = (ty?, name?);
    names::check(&ty, "a resource type", diagnostics);
    names::check(&name, "a resource", diagnostics);
    Some(ResourceDeclaration {
        ty,
        name,
        for_each,
        key,
        when,
        config,
        depends_on,
        provider,
        shared,
        adopt,
        lifecycle,
        ignore_changes,
        replace_triggered_by,
        checks,
        span: node.span,
    })
}

fn read_config(fields: &mut Fields<'_, '_>, node: &Node, sources: &Sources) -> Template {
    let Some(entry) = fields.optional("config") else {
        return Template { span: node.span, kind: TemplateKind::Literal(Value::Map(Map::default())) };
    };
    if entry.value.as_map().is_none() && !holds_expression(&entry.value) {
        fields.diagnostics.push(wrong_type("`config`", "a map", &entry.value));
    }
    compile(&entry.value, sources, fields.diagnostics)
}

/// Reads the lookups of a component or blueprint.
pub(crate) fn read_lookups(
    items: &[Node],
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ResourceDeclaration> {
    items.iter().filter_map(|item| read_lookup(item, false, sources, diagnostics)).collect()
}

/// Reads lookups that may have a `forEach`.
pub(crate) fn read_repeated_lookups(
    items: &[Node],
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<ResourceDeclaration> {
    items.iter().filter_map(|item| read_lookup(item, true, sources, diagnostics)).collect()
}

fn read_lookup(
    node: &Node,
    is_repeated: bool,
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ResourceDeclaration> {
    let mut fields = Fields::open(node, "a lookup", diagnostics)?;
    let for_each = is_repeated.then(|| template(&mut fields, "forEach", sources)).flatten();
    let ty = fields.required_text("type");
    let name = fields.required_text("name");
    let config = read_config(&mut fields, node, sources);
    let depends_on = fields.texts("dependsOn");
    let provider = template(&mut fields, "provider", sources);
    fields.finish();
    let (ty, name) = (ty?, name?);
    names::check(&ty, "a lookup", diagnostics);
    names::check(&name, "a lookup", diagnostics);
    Some(ResourceDeclaration {
        ty,
        name,
        for_each,
        key: None,
        when: None,
        config,
        depends_on,
        provider,
        shared: None,
        adopt: Adopt::Never,
        lifecycle: super::Lifecycle::default(),
        ignore_changes: Vec::new(),
        replace_triggered_by: Vec::new(),
        checks: Vec::new(),
        span: node.span,
    })
}

/// Reads the outputs of a stack's component: plain values, or `{value, sensitive}`.
pub(crate) fn read_stack_outputs(
    entries: &[Entry],
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<OutputDeclaration> {
    entries.iter().flat_map(|entry| read_output(entry, Visibility::Stack, sources, diagnostics)).collect()
}

/// The name of the output with the link of another output. It is evaluated and recorded like any output.
#[must_use]
pub fn link_of(output: &str) -> String {
    format!("{output}.href")
}

/// The name of the output with the label of another output, if the label is an expression.
#[must_use]
pub fn label_of(output: &str) -> String {
    format!("{output}.label")
}

/// Reads the outputs of a blueprint: `{public: {name: {label, value, href}}, private: {…}}`.
pub(crate) fn read_blueprint_outputs(
    node: &Node,
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<OutputDeclaration> {
    const EXAMPLE: &str = "{path: {value: ${{ resources.NAME.path }}}}";
    let Some(mut fields) = Fields::open(node, "`outputs`", diagnostics) else { return Vec::new() };
    let (public, private) = (fields.map_such_as("public", EXAMPLE), fields.map_such_as("private", EXAMPLE));
    fields.finish();
    let public = public.iter().map(|entry| (entry, Visibility::Public));
    let private = private.iter().map(|entry| (entry, Visibility::Private));
    public.chain(private).flat_map(|(entry, visibility)| read_output(entry, visibility, sources, diagnostics)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visibility {
    Stack,
    Public,
    Private,
}

fn read_output(
    entry: &Entry,
    visibility: Visibility,
    sources: &Sources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<OutputDeclaration> {
    let name = Located { value: entry.key.clone(), span: entry.key_span };
    names::check(&name, "an output", diagnostics);
    let mut output = OutputDeclaration {
        name,
        value: Template { span: entry.value.span, kind: TemplateKind::Literal(Value::Null) },
        is_sensitive: false,
        is_public: visibility != Visibility::Private,
        label: None,
        display: None,
    };
    // A map with `value` is the long form, so that a misspelt `sensitive` in it is an error and not a leak.
    if entry.value.get("value").is_none() && (visibility == Visibility::Stack || entry.value.as_map().is_none()) {
        output.value = compile(&entry.value, sources, diagnostics);
        return vec![output];
    }
    let Some(mut fields) = Fields::open(&entry.value, "an output", diagnostics) else { return Vec::new() };
    if visibility == Visibility::Stack {
        fields.set_foreign(&[("type", "remove `type`: an output has the type of its value")]);
    }
    let Some(value) = fields.required("value") else { return Vec::new() };
    output.value = template_of(value, &mut fields, sources);
    output.is_sensitive = fields.is_true("sensitive");
    let mut href = None;
    if visibility != Visibility::Stack {
        output.label = template(&mut fields, "label", sources);
        href = template(&mut fields, "href", sources);
        output.display = fields.text("type").map(|text| text.value);
    }
    fields.finish();
    let label = output.label.clone().filter(|label| !matches!(label.kind, TemplateKind::Literal(_)));
    let link_outputs = [(link_of(&output.name.value), href), (label_of(&output.name.value), label)];
    let link_outputs = link_outputs.into_iter().filter_map(|(name, value)| {
        let name = Located { value: name, span: output.name.span };
        Some(OutputDeclaration { name, value: value?, label: None, display: None, ..output.clone() })
    });
    let link_outputs: Vec<OutputDeclaration> = link_outputs.collect();
    std::iter::once(output).chain(link_outputs).collect()
}

/// Reports duplicate names in a component, and dependencies on unknown names.
pub(crate) fn check_names(declarations: &Declarations, diagnostics: &mut Vec<Diagnostic>) {
    let resources = declarations.resources.iter().map(|resource| &resource.name);
    let known = check_unique(resources, "resource", diagnostics);
    check_unique(declarations.outputs.iter().map(|output| &output.name), "output", diagnostics);
    check_unique(declarations.data.iter().map(|lookup| &lookup.name), "lookup", diagnostics);
    for resource in declarations.resources.iter().chain(&declarations.data) {
        let depended_on = resource.depends_on.iter().map(|name| ("dependsOn", name.clone()));
        let triggers = resource
            .replace_triggered_by
            .iter()
            .map(|trigger| ("replaceTriggeredBy", Located { value: trigger.name.clone(), span: trigger.span }));
        for (field, name) in depended_on.chain(triggers) {
            if !known.contains_key(name.value.as_str()) {
                let names = known.keys().copied();
                let message = format!("`{field}` names `{}`, which is not a resource here", name.value);
                let found = diagnostics.len();
                diagnostics.push(unknown_name(UNKNOWN_RESOURCE, message, &name, "resources", names, found));
            }
        }
    }
}

/// The code of errors about names of resources that are not declared.
pub const UNKNOWN_RESOURCE: &str = "unknown_resource";

/// Maximum number of errors for which the closest name is searched; each search compares all names.
const MAX_SUGGESTIONS: usize = 20;

/// The error for an unknown name, with the known names as hint. `found` is the number of earlier diagnostics.
pub(super) fn unknown_name<'a>(
    code: &'static str,
    message: String,
    name: &Located<String>,
    kind: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    found: usize,
) -> Diagnostic {
    let diagnostic = Diagnostic::error(code, message).at(name.span);
    if known.clone().next().is_none() {
        return diagnostic.hint(format!("there are no {kind} here: remove `{}`", name.value));
    }
    // Terraform names a resource by type and name.
    let last = name.value.rsplit('.').next().filter(|last| *last != name.value).unwrap_or_default();
    let hint = match known.clone().find(|candidate| *candidate == last) {
        Some(plain) => Some(format!("did you mean `{plain}`?")),
        None => (found < MAX_SUGGESTIONS).then(|| did_you_mean(&name.value, known.clone())).flatten(),
    };
    diagnostic.hint(format!("the {kind} are {}", listed(&known.collect::<Vec<_>>()))).maybe_hint(hint)
}

/// Reports duplicate names. Returns the first place of each name.
pub(crate) fn check_unique<'a>(
    names: impl Iterator<Item = &'a Located<String>>,
    kind: &str,
    diagnostics: &mut Vec<Diagnostic>,
) -> IndexMap<&'a str, &'a Located<String>> {
    let mut first_places: IndexMap<&str, &Located<String>> = IndexMap::new();
    for name in names {
        match first_places.get(name.value.as_str()) {
            Some(first) => diagnostics.push(
                Diagnostic::error("duplicate_name", format!("the {kind} `{}` is declared twice", name.value))
                    .at_with(name.span, "again here")
                    .at_with(first.span, "first here")
                    .hint("rename or remove one of the two: names must be unique across types"),
            ),
            None => {
                first_places.insert(&name.value, name);
            }
        }
    }
    first_places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::templates::find_truncated;
    use crate::source::Span;
    use crate::yaml::{Budget, parse};

    #[test]
    fn expression_cut_off_by_a_comment_is_found() {
        let text = "a: ${{ x #y }}\nb: ['${{ y #}}']\nc: ${{ z }} # z\n";
        let mut sources = Sources::default();
        let id = sources.add("a.yaml", text);
        let mut cut = Vec::new();
        find_truncated(&parse(id, text, &Budget::default()).unwrap(), &sources, &mut cut);
        assert_eq!(cut, [Span::new(id, 3, 8)]);
    }
}
