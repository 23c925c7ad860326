//! Catalog entities: `catalog-info.yaml`, legacy or a skeleton, rendered and merged for an environment.

use super::files::EntityFiles;
use super::merge::merge;
use super::parameters::{Parameters, UNDEFINED, parse};
use super::source_map::SourceMap;
use super::template::{EXPRESSION, STATEMENT, Template};
use crate::decode::wrong_type;
use crate::descriptor::transitions::check_no_moves;
use crate::diagnostic::{Diagnostic, Severity, closest, did_you_mean, has_errors};
use crate::source::{SourceId, Sources, Span};
use crate::yaml::{Entry, Node, NodeKind, parse_with};
use std::cell::RefCell;
use std::collections::BTreeMap;
use terrace_provider::names::listed;

/// The first word of a skeleton.
const SKELETON: &str = "%SKELETON";

/// Texts that only a skeleton has.
const TAGS: [&str; 3] = [EXPRESSION.0, STATEMENT.0, SKELETON];
/// Kinds of entities in Git that are not part of descriptors.
const OTHER_KINDS: [&str; 12] = [
    "API",
    "ComponentType",
    "Domain",
    "EditTemplate",
    "Group",
    "Location",
    "Resource",
    "ReverseProvisioningTemplate",
    "SystemType",
    "Template",
    "Type",
    "User",
];
/// The fields of an entity.
const ROOT_FIELDS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];
/// The fields of `spec`.
const SPEC_FIELDS: [&str; 8] = ["type", "lifecycle", "owner", "system", "domain", "mesh", "components", "instanceOf"];
/// The fields of `spec.mesh` that Witboost or terrace knows. Templates may have others.
const MESH_FIELDS: [&str; 29] = [
    "StorageType",
    "billing",
    "consumable",
    "dataContract",
    "dataProductOwner",
    "dataSharingAgreement",
    "dependsOn",
    "description",
    "devGroup",
    "developmentGroup",
    "email",
    "fullyQualifiedName",
    "informationSLA",
    "infrastructureTemplateId",
    "kind",
    "maturity",
    "name",
    "outputPortType",
    "platform",
    "projectOwner",
    "readsFrom",
    "shoppable",
    "specific",
    "storageType",
    "tags",
    "technology",
    "useCaseTemplateId",
    "version",
    "workloadType",
];

/// The fields of them that select no resources.
const OPTIONAL_FIELDS: [&str; 13] = [
    "StorageType",
    "billing",
    "consumable",
    "dataContract",
    "dataSharingAgreement",
    "description",
    "email",
    "fullyQualifiedName",
    "informationSLA",
    "maturity",
    "readsFrom",
    "shoppable",
    "tags",
];

/// An entity of the catalog.
#[derive(Debug)]
pub(super) struct Entity {
    pub(super) kind: EntityKind,
    /// `metadata.name`, the name in the catalog.
    pub(super) name: String,
    /// The place of the name.
    pub(super) name_span: Span,
    /// `metadata`.
    pub(super) metadata: Node,
    /// `spec`, with the values of the environment in `mesh`.
    pub(super) spec: Node,
    /// The data product of a component: `sales.orders.0`.
    pub(super) system: Option<(String, Span)>,
    pub(super) is_requested: bool,
}

/// The kinds of entities that are parts of descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntityKind {
    /// A data product.
    System,
    /// A component.
    Component,
}

impl Entity {
    /// Reads an entity. Entities of other kinds are not part of a descriptor: `None`.
    pub(super) fn read(
        sources: &Sources,
        files: &EntityFiles,
        environment: &str,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let text = &sources.get(files.catalog)?.text;
        let before = diagnostics.len();
        let (mut root, parameters) = match skeleton(text) {
            Some(offset) => {
                let node = files.parameters.and_then(|id| parse(id, &sources.get(id)?.text, diagnostics));
                if diagnostics.iter().skip(before).any(Diagnostic::is_error) {
                    // Without the values, each name of the skeleton would be undefined.
                    return None;
                }
                let parameters = Parameters::read(node, environment, diagnostics);
                if diagnostics.iter().skip(before).any(Diagnostic::is_error) {
                    return None;
                }
                (render(files.catalog, text, offset, &parameters, diagnostics)?, parameters)
            }
            None => (read_legacy(files, text, diagnostics)?, Parameters::default()),
        };
        let heading = root.as_map().and_then(<[_]>::first).map_or(root.span, |entry| entry.key_span);
        let kind = match root.get("kind").and_then(Node::as_text) {
            Some("System") => EntityKind::System,
            Some("Component") => EntityKind::Component,
            other => {
                diagnostics.extend(check_kind(other, &root, heading));
                return None;
            }
        };
        check_keys(&root, "the entity", &ROOT_FIELDS, diagnostics);
        let parts = [Some(&root), root.get("spec"), root.get("spec").and_then(|spec| spec.get("mesh"))];
        diagnostics.extend(parts.into_iter().flatten().filter_map(|part| check_no_moves(part, Severity::Error)));
        if !check_environment(files, environment, &parameters, heading, diagnostics) {
            // The warning above covers all values of the environment.
            let is_of_environment = |it: &Diagnostic| it.code == UNDEFINED && it.message.starts_with("`env.");
            let mut position = 0;
            diagnostics.retain(|diagnostic| {
                position += 1;
                position <= before || !is_of_environment(diagnostic)
            });
        }
        let metadata = take(&mut root, "metadata", heading, diagnostics)?;
        let mut spec = take(&mut root, "spec", heading, diagnostics)?;
        check_keys(&spec, "`spec`", &SPEC_FIELDS, diagnostics);
        check_mesh(&spec, heading, diagnostics)?;
        let Some((name, name_span)) = text_of(&metadata, "name") else {
            diagnostics.push(
                Diagnostic::error("missing_field", "the entity has no `metadata.name`")
                    .at(metadata.entry("name").map_or(heading, |entry| entry.value.span))
                    .hint("write `name: <domain>.<data product>.<major version>`, with `.<component>` for a component"),
            );
            return None;
        };
        let name = reference(&name).to_owned();
        check_keys(spec.get("mesh")?, "`spec.mesh`", &MESH_FIELDS, diagnostics);
        merge_environment(sources, files, &mut spec, diagnostics);
        if kind == EntityKind::Component {
            check_template_id(&spec, heading, diagnostics);
            check_subcomponents(&spec, diagnostics);
        }
        if let Some((version, span)) = parameters.text("readonly", "__version__") {
            set_absent(mesh_of(&mut spec)?, "version", version, span);
        }
        // An empty text counts as absent.
        let filled = |found: &(String, Span)| !found.0.trim().is_empty();
        let system = text_of(&spec, "system").filter(filled);
        let system = system.or_else(|| parameters.text("readonly", "__system__").filter(filled));
        let system = system.map(|(system, span)| (reference(&system).to_owned(), span));
        Some(Self { kind, name, name_span, metadata, spec, system, is_requested: files.is_requested })
    }

    /// `spec.mesh`.
    pub(super) fn mesh(&self) -> &[Entry] {
        self.spec.get("mesh").and_then(Node::as_map).unwrap_or_default()
    }
}

/// The offset of the template in a skeleton.
pub(super) fn skeleton(text: &str) -> Option<usize> {
    let rest = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let after = rest.strip_prefix(SKELETON)?;
    Some(text.len() - after.len())
}

/// The name of an entity reference: without its kind and the namespace `default`.
pub(super) fn reference(text: &str) -> &str {
    let text = text.trim();
    let name = text.split_once(':').map_or(text, |(_, name)| name);
    name.strip_prefix("default/").unwrap_or(name)
}

/// A field's text and place.
pub(super) fn text_of(node: &Node, key: &str) -> Option<(String, Span)> {
    let value = node.get(key)?;
    Some((value.as_text()?.to_owned(), value.span))
}

fn parse_entity(id: SourceId, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    match parse_with(id, text, &super::limits::parse_options()) {
        Ok(parsed) => {
            diagnostics.extend(parsed.warnings);
            Some(parsed.node)
        }
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}

/// The tree of an entity that is plain YAML.
fn read_legacy(files: &EntityFiles, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let hint = format!("to render the file as a template, write `{SKELETON}` as its first line");
    let mut found = Vec::new();
    let node = parse_entity(files.catalog, text, &mut found);
    if node.is_none() && TAGS.iter().any(|tag| text.contains(tag)) {
        found.truncate(1);
        found.iter_mut().for_each(|diagnostic| diagnostic.hint = Some(hint.clone()));
    }
    diagnostics.extend(found);
    let node = node?;
    // Backstage evaluates the expressions of its templates.
    let is_other = node.get("kind").and_then(Node::as_text).is_some_and(|kind| OTHER_KINDS.contains(&kind));
    if let Some(span) = first_expression(&node).filter(|_| !is_other) {
        let message = "this text has an expression, which is not evaluated: the file is not a skeleton";
        // Only a skeleton has parameters.
        let diagnostic = match files.parameters {
            Some(_) => Diagnostic::error("missing_skeleton", message),
            None => Diagnostic::warning("missing_skeleton", message),
        };
        diagnostics.push(diagnostic.at(span).hint(hint));
    }
    Some(node)
}

/// The place of the first text with an expression.
fn first_expression(node: &Node) -> Option<Span> {
    match &node.kind {
        NodeKind::Text(text) => text.contains("${{").then_some(node.span),
        NodeKind::List(items) => items.iter().find_map(first_expression),
        NodeKind::Map(entries) => entries.iter().find_map(|entry| first_expression(&entry.value)),
        _ => None,
    }
}

/// Renders a skeleton, with places in the files.
fn render(
    id: SourceId,
    text: &str,
    offset: usize,
    parameters: &Parameters,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let template_text = text.get(offset..)?;
    let rendered = Template::new(template_text).and_then(|template| {
        let rendered = template.render(&parameters.scope)?;
        Ok((template, rendered))
    });
    let (template, rendered) = match rendered {
        Ok(rendered) => rendered,
        Err(failure) => {
            let at = failure.at.map_or(offset..offset, |at| at.start + offset..at.end + offset);
            let message = format!("rendering the skeleton fails: {}", failure.message);
            diagnostics.push(
                Diagnostic::error(failure.code, message).at(Span::new(id, at.start, at.end)).maybe_hint(failure.hint),
            );
            return None;
        }
    };
    let map = SourceMap {
        source: id,
        text,
        offset,
        template: &template,
        rendered: &rendered,
        parameters,
        origins: RefCell::new(BTreeMap::new()),
    };
    let undefined = template.undefined(|name| parameters.is_undefined(name));
    diagnostics.extend(
        undefined.iter().map(|name| {
            parameters.undefined_warning(name, Span::new(id, name.at.start + offset, name.at.end + offset))
        }),
    );
    let mut found = Vec::new();
    let mut node = parse_entity(id, &rendered.text, &mut found);
    if node.is_none() {
        // Later errors follow from the first one.
        found.truncate(1);
    }
    map.apply_to(&mut found);
    let mut dumps = Vec::new();
    map.check_dumps(&mut dumps);
    // A list or a map without `dump` may break the YAML.
    if !has_errors(&dumps) {
        diagnostics.extend(found);
    }
    diagnostics.extend(dumps);
    if let Some(node) = &mut node {
        map.apply(node);
    }
    node
}

/// Reports an entity of another kind, if the author may mean a data product or a component.
fn check_kind(kind: Option<&str>, root: &Node, heading: Span) -> Option<Diagnostic> {
    let hint = "write `kind: System` for a data product, `kind: Component` for a component";
    let Some(kind) = kind else {
        let message = "the entity has no `kind`";
        let place = root.entry("kind").map_or(heading, |entry| entry.value.span);
        let meant = closest_key(root, "kind").map(|key| format!("did you mean `kind` instead of `{key}`?"));
        return Some(Diagnostic::error("missing_field", message).at(place).hint(hint).maybe_hint(meant));
    };
    if OTHER_KINDS.contains(&kind) {
        return None;
    }
    let place = root.get("kind").map_or(heading, |node| node.span);
    let spec = root.get("spec");
    let is_meant = ["mesh", "system"].iter().any(|key| spec.is_some_and(|spec| spec.get(key).is_some()));
    let meant = did_you_mean(kind, ["System", "Component"]);
    if meant.is_some() || is_meant {
        let message = format!("terrace knows no entity of the kind `{kind}`");
        return Some(Diagnostic::error("wrong_value", message).at(place).hint(hint).maybe_hint(meant));
    }
    let message = format!("terrace does not read this entity of the kind `{kind}`");
    Some(Diagnostic::warning("skipped_entity", message).at(place).hint(hint))
}

/// A key of a map that is close to a field name.
fn closest_key<'n>(node: &'n Node, absent: &str) -> Option<&'n str> {
    let keys = node.as_map().unwrap_or_default().iter().map(|entry| entry.key.as_str());
    keys.into_iter().find(|key| *key != absent && closest(key, [absent]).is_some())
}

/// Reports keys that are close to an absent field: a plan without the field could remove objects. Fields of `mesh` that
/// no plan needs cause a warning only, because templates have fields of their own.
fn check_keys(node: &Node, subject: &str, fields: &[&str], diagnostics: &mut Vec<Diagnostic>) {
    let entries = node.as_map().unwrap_or_default();
    let absent: Vec<&str> = fields.iter().copied().filter(|field| node.entry(field).is_none()).collect();
    for entry in entries.iter().filter(|entry| !fields.contains(&entry.key.as_str())) {
        if let Some(meant) = did_you_mean(&entry.key, absent.iter().copied()) {
            let message = format!("{subject} has no field `{}`", entry.key);
            let is_optional =
                closest(&entry.key, absent.iter().copied()).is_some_and(|it| OPTIONAL_FIELDS.contains(&it));
            let diagnostic = match is_optional {
                true => Diagnostic::warning("unknown_field", message),
                false => Diagnostic::error("unknown_field", message),
            };
            diagnostics.push(diagnostic.at(entry.key_span).hint(meant));
        }
    }
}

/// Reports an entity without `spec.mesh`.
fn check_mesh(spec: &Node, heading: Span, diagnostics: &mut Vec<Diagnostic>) -> Option<()> {
    match spec.get("mesh") {
        Some(mesh) if mesh.as_map().is_some() => Some(()),
        Some(mesh) if !mesh.is_null() => {
            diagnostics.push(wrong_type("`spec.mesh`", "a map", mesh));
            None
        }
        _ if closest_key(spec, "mesh").is_some() => None,
        _ => {
            let place = spec.entry("mesh").map_or(heading, |entry| entry.key_span);
            let hint =
                "write the fields of the descriptor into `mesh`: `name`, `version`, `useCaseTemplateId`, `specific`";
            diagnostics.push(Diagnostic::error("missing_field", "`spec` has no `mesh`").at(place).hint(hint));
            None
        }
    }
}

/// Reports a component without `useCaseTemplateId`, which selects its blueprint.
fn check_template_id(spec: &Node, heading: Span, diagnostics: &mut Vec<Diagnostic>) {
    const FIELD: &str = "useCaseTemplateId";
    let Some(mesh) = spec.get("mesh") else { return };
    let is_present =
        mesh.get(FIELD).is_some_and(|id| !id.is_null() && id.as_text().is_none_or(|id| !id.trim().is_empty()));
    // The key with a typing error is reported already.
    if is_present || closest_key(mesh, FIELD).is_some() {
        return;
    }
    let place = mesh.entry(FIELD).or_else(|| spec.entry("mesh")).map_or(heading, |entry| entry.key_span);
    diagnostics.push(
        Diagnostic::error("missing_field", format!("the component has no `{FIELD}`"))
            .at(place)
            .hint(format!("write the id of its template: `{FIELD}: urn:dmb:utm:<template>:<version>`")),
    );
}

/// Reports components within a component that the descriptor could not have.
fn check_subcomponents(spec: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(components) = spec.get("components").filter(|components| !components.is_null()) else { return };
    let Some(items) = components.as_list() else {
        return diagnostics.push(wrong_type("`spec.components`", "a list", components));
    };
    for item in items {
        let has_name = ["id", "name"].iter().any(|key| item.get(key).and_then(Node::as_text).is_some());
        if item.as_map().is_none() {
            diagnostics.push(wrong_type("a component of `spec.components`", "a map", item));
        } else if !has_name {
            let message = "a component of `spec.components` has no `name`";
            diagnostics.push(Diagnostic::error("missing_field", message).at(item.span).hint("add `name:`"));
        }
    }
}

/// Warns of an environment that none of the files knows, although they know others. True without a warning.
fn check_environment(
    files: &EntityFiles,
    environment: &str,
    parameters: &Parameters,
    heading: Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> bool {
    let known: Vec<&str> = files.environments.iter().map(String::as_str).chain(parameters.environments()).collect();
    if known.is_empty() || known.contains(&environment) {
        return true;
    }
    let message = format!("this entity has no values for the environment `{environment}`");
    diagnostics.push(
        Diagnostic::warning("unknown_environment", message)
            .at(heading)
            .hint(format!("it has values for {}", listed(&known)))
            .maybe_hint(did_you_mean(environment, known.iter().copied())),
    );
    false
}

/// Merges `configurations.yaml` into `spec.mesh`.
fn merge_environment(
    sources: &Sources,
    files: &EntityFiles,
    spec: &mut Node,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<()> {
    let id = files.configuration?;
    let over = parse(id, &sources.get(id)?.text, diagnostics).filter(|node| !node.is_null())?;
    if over.as_map().is_none() {
        diagnostics.push(wrong_type("configurations.yaml", "a map", &over));
        return None;
    }
    check_keys(&over, "configurations.yaml", &MESH_FIELDS, diagnostics);
    if has_errors(diagnostics) {
        return None;
    }
    if let Some(span) = first_expression(&over) {
        let message = "an expression in configurations.yaml is not evaluated";
        let hint = "write the value, or use `environmentParameters` of parameters.yaml";
        diagnostics.push(Diagnostic::warning("expression_not_evaluated", message).at(span).hint(hint));
    }
    merge(mesh_of(spec)?, over, diagnostics);
    Some(())
}

/// `spec.mesh`, which is added if it is absent.
fn mesh_of(spec: &mut Node) -> Option<&mut Node> {
    let span = spec.span;
    let NodeKind::Map(entries) = &mut spec.kind else { return None };
    if !entries.iter().any(|entry| entry.key == "mesh") {
        let value = Node { span, kind: NodeKind::Map(Vec::new()) };
        entries.push(Entry { key: "mesh".to_owned(), key_span: span, value });
    }
    entries.iter_mut().rev().find(|entry| entry.key == "mesh").map(|entry| &mut entry.value)
}

fn set_absent(node: &mut Node, key: &str, text: String, span: Span) {
    let is_absent = node.get(key).is_none_or(Node::is_null);
    if let (NodeKind::Map(entries), true) = (&mut node.kind, is_absent) {
        entries.retain(|entry| entry.key != key);
        let value = Node { span, kind: NodeKind::Text(text) };
        // Entities have it after their kind.
        let position = entries.iter().position(|entry| entry.key == "kind").map_or(entries.len(), |kind| kind + 1);
        entries.insert(position, Entry { key: key.to_owned(), key_span: span, value });
    }
}

/// Takes a map out of the entity.
fn take(root: &mut Node, key: &'static str, heading: Span, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let NodeKind::Map(entries) = &mut root.kind else { return None };
    let position = entries.iter().rposition(|entry| entry.key == key);
    let Some(position) = position else {
        // The key with a typing error is reported already.
        if closest_key(root, key).is_some() {
            return None;
        }
        diagnostics.push(
            Diagnostic::error("missing_field", format!("the entity needs `{key}`"))
                .at(heading)
                .hint(format!("add `{key}:`")),
        );
        return None;
    };
    let entry = entries.remove(position);
    if entry.value.as_map().is_none() {
        diagnostics.push(wrong_type(&format!("`{key}`"), "a map", &entry.value));
        return None;
    }
    Some(entry.value)
}
