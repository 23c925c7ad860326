//! From entities to the tree of a descriptor, with the fields and their order as Witboost generates them.

use super::entity::{Entity, EntityKind, reference, text_of};
use super::platform::Platform;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{Sources, Span};
use crate::yaml::{Entry, Node, NodeKind};
use std::collections::BTreeSet;

/// Builds the descriptor of each requested data product.
pub(super) fn assemble(
    entities: &[Entity],
    sources: &Sources,
    (environment, platform): (&str, &Platform),
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Node> {
    let systems = |entity: &&Entity| entity.kind == EntityKind::System;
    let components = || entities.iter().filter(|entity| entity.kind == EntityKind::Component);
    let is_of = |component: &Entity, system: &Entity| {
        component.system.as_ref().is_some_and(|(name, _)| name.eq_ignore_ascii_case(&system.name))
    };
    for component in components().filter(|component| component.is_requested) {
        check_system(component, entities, diagnostics);
    }
    let is_requested = |system: &&Entity| {
        system.is_requested || components().any(|component| component.is_requested && is_of(component, system))
    };
    let mut products: Vec<Node> = Vec::new();
    let mut built: Vec<&Entity> = Vec::new();
    for system in entities.iter().filter(systems).filter(is_requested) {
        if let Some(other) = built.iter().find(|other| other.name.eq_ignore_ascii_case(&system.name)) {
            diagnostics.push(duplicate(sources, "the data product", system, other));
            continue;
        }
        let mut own: Vec<&Entity> = Vec::new();
        for component in components().filter(|component| is_of(component, system)) {
            match own.iter().find(|other| other.name.eq_ignore_ascii_case(&component.name)) {
                Some(other) => diagnostics.push(duplicate(sources, "the component", component, other)),
                None => own.push(component),
            }
        }
        // The order must not depend on the paths that the user names.
        own.sort_by(|one, other| one.name.cmp(&other.name));
        if own.is_empty() {
            diagnostics.push(
                Diagnostic::warning("empty_product", format!("the data product `{}` has no component", system.name))
                    .at(system.name_span)
                    .hint("name the checkouts of its components: a plan without them removes their objects"),
            );
        }
        check_domains(system, &own, diagnostics);
        // A component without a data product is reported already, and may be the missing one.
        if components().all(|component| component.system.is_some() || !component.is_requested) {
            check_dependencies(system, &own, diagnostics);
        }
        products.push(product(system, &own, environment, platform));
        built.push(system);
    }
    products
}

/// The message names both places, because logs and comments show only the main one.
fn duplicate(sources: &Sources, what: &str, entity: &Entity, other: &Entity) -> Diagnostic {
    let file = |entity: &Entity| sources.get(entity.name_span.source).map_or("", |source| source.name.as_str());
    let (one, second) = (file(other), file(entity));
    Diagnostic::error("duplicate_entity", format!("{what} `{}` is in `{one}` and in `{second}`", entity.name))
        .at(entity.name_span)
        .at_with(other.name_span, "the other")
        .hint("rename an entity, or remove the copy; of two checkouts of a repository, name a single checkout")
}

/// Reports a component whose data product is not among the entities.
fn check_system(component: &Entity, entities: &[Entity], diagnostics: &mut Vec<Diagnostic>) {
    let systems = || entities.iter().filter(|entity| entity.kind == EntityKind::System).map(|it| it.name.as_str());
    let Some((system, span)) = &component.system else {
        diagnostics.push(
            Diagnostic::error("missing_field", format!("the component `{}` has no `spec.system`", component.name))
                .at(component.name_span)
                .hint(
                    "write `system: system:<domain>.<data product>.<major version>` into `spec` of catalog-info.yaml, or \
                     `__system__` into `readonly` of a skeleton's parameters.yaml",
                ),
        );
        return;
    };
    if systems().all(|name| !name.eq_ignore_ascii_case(system)) {
        diagnostics.push(
            Diagnostic::error("missing_repository", format!("no checkout has the data product `{system}`"))
                .at(*span)
                .hint("name its checkout in `repositories:` of terrace.yaml, or with `--repo PATH` of `terrace plan`")
                .maybe_hint(did_you_mean(system, systems())),
        );
    }
}

/// Warns of names whose domain differs from the data product's.
fn check_domains(system: &Entity, components: &[&Entity], diagnostics: &mut Vec<Diagnostic>) {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let domain = domain_of(system).map_or_else(|| first(&system.name), |(domain, _)| domain);
    let named =
        std::iter::once(&system).chain(components).map(|entity| (first(&entity.name), entity.name_span, &entity.name));
    let described = components.iter().filter_map(|component| {
        let (domain, span) = domain_of(component)?;
        Some((domain, span, &component.name))
    });
    for (other, span, name) in named.chain(described) {
        if !other.eq_ignore_ascii_case(&domain) {
            let message = format!("`{name}` is of the domain `{other}`, and its data product of the domain `{domain}`");
            diagnostics.push(
                Diagnostic::warning("domain_mismatch", message)
                    .at(span)
                    .hint("terrace keeps the names as they are; Witboost does not let you change them after creation"),
            );
        }
    }
}

/// Reports dependencies on components of this product that are not among the entities: without them, a plan would remove
/// their objects.
fn check_dependencies(system: &Entity, components: &[&Entity], diagnostics: &mut Vec<Diagnostic>) {
    let prefix = format!("{}:", urn("cmp", &system.name));
    let known: Vec<String> = components.iter().map(|component| urn("cmp", &component.name)).collect();
    for component in components {
        let dependencies = component.mesh().iter().find(|entry| entry.key == "dependsOn");
        for item in dependencies.and_then(|entry| entry.value.as_list()).unwrap_or_default() {
            let Some(text) = item.as_text() else { continue };
            let named = urn("cmp", reference(text));
            if !text.starts_with("urn:") && known.contains(&named) {
                diagnostics.push(
                    Diagnostic::error("wrong_value", format!("the dependency `{text}` is not the id of a component"))
                        .at(item.span)
                        .hint(format!("write `{named}`")),
                );
            }
            // Ids of nested components begin with that of their component.
            let is_known = known
                .iter()
                .any(|id| text == id || text.strip_prefix(id.as_str()).is_some_and(|rest| rest.starts_with(':')));
            if text.starts_with(&prefix) && !is_known {
                diagnostics.push(
                    Diagnostic::error("missing_repository", format!("no checkout has the component `{text}`"))
                        .at(item.span)
                        .hint("name its checkout in `repositories:` of terrace.yaml, or with `--repo PATH` of `terrace plan`")
                        .maybe_hint(did_you_mean(text, known.iter().map(String::as_str))),
                );
            }
        }
    }
}

fn domain_of(entity: &Entity) -> Option<(String, Span)> {
    text_of(&entity.spec, "domain").map(|(domain, span)| (reference(&domain).to_owned(), span))
}

/// The id of an entity.
fn urn(kind: &str, name: &str) -> String {
    format!("urn:dmb:{kind}:{}", name.replace('.', ":"))
}

/// A map with each key once: the first value stays.
#[derive(Default)]
struct Fields {
    entries: Vec<Entry>,
    keys: BTreeSet<String>,
}

impl Fields {
    fn text(&mut self, key: &str, text: impl Into<String>, span: Span) {
        self.add(key, span, Node { span, kind: NodeKind::Text(text.into()) });
    }

    fn add(&mut self, key: &str, key_span: Span, value: Node) {
        if self.keys.insert(key.to_owned()) {
            self.entries.push(Entry { key: key.to_owned(), key_span, value });
        }
    }

    fn extend<'e>(&mut self, entries: impl IntoIterator<Item = &'e Entry>) {
        entries.into_iter().for_each(|entry| self.add(&entry.key, entry.key_span, entry.value.clone()));
    }

    fn remove(&mut self, key: &str) {
        if self.keys.remove(key) {
            self.entries.retain(|entry| entry.key != key);
        }
    }

    fn into_node(self, span: Span) -> Node {
        Node { span, kind: NodeKind::Map(self.entries) }
    }
}

fn product(system: &Entity, components: &[&Entity], environment: &str, platform: &Platform) -> Node {
    let (mesh, name) = (system.mesh(), system.name_span);
    let mesh_text = |key: &str| {
        let entry = mesh.iter().find(|entry| entry.key == key)?;
        Some((entry.value.as_text()?.to_owned(), entry.value.span))
    };
    let mut fields = Fields::default();
    let data_owner = mesh_text("dataProductOwner");
    let owner =
        mesh_text("projectOwner").or_else(|| data_owner.clone()).map(|(owner, span)| (without_namespace(&owner), span));
    let display_name = |fields: &mut Fields, key: &str, user: &Option<(String, Span)>| {
        let known = user.as_ref().and_then(|(user, span)| Some((platform.users.get(&without_namespace(user))?, *span)));
        if let Some((known, span)) = known {
            fields.text(key, known.clone(), span);
        }
    };
    display_name(&mut fields, "dataProductOwnerDisplayName", &data_owner);
    if let Some((owner, span)) = &owner {
        fields.text("projectOwner", owner.clone(), *span);
    }
    display_name(&mut fields, "projectOwnerDisplayName", &owner);
    fields.text("environment", environment, name);
    let domain = domain_of(system);
    if let Some((domain, span)) = &domain {
        fields.text("domain", domain.clone(), *span);
    }
    fields.text("projectKind", "system", name);
    let (kind, kind_span) =
        mesh_text("kind").or_else(|| text_of(&system.spec, "type")).unwrap_or_else(|| ("dataproduct".to_owned(), name));
    fields.text("kind", kind, kind_span);
    if let Some((domain, span)) = &domain {
        fields.text("domainId", urn("dmn", domain), *span);
    }
    fields.text("id", urn("dp", &system.name), name);
    fields.extend(system.metadata.entry("description"));
    let group = mesh_text("developmentGroup").or_else(|| text_of(&system.spec, "owner"));
    match (mesh_text("devGroup"), group) {
        (Some((group, span)), _) => fields.text("devGroup", group, span),
        (None, Some((group, span))) => fields.text("devGroup", reference(&group), span),
        (None, None) => {}
    }
    if let Some((owner, span)) = &owner {
        fields.text("ownerGroup", reference(owner), *span);
    }
    if let Some(version) = platform.versions.get(&system.name) {
        let span = mesh.iter().find(|entry| entry.key == "version").map_or(name, |entry| entry.value.span);
        fields.text("version", version.clone(), span);
    }
    fields.extend(mesh);
    fields.add("shoppable", name, Node { span: name, kind: NodeKind::Bool(false) });
    if let Some(taxonomy) = &platform.taxonomy {
        let mut parts = Fields::default();
        parts.text("id", format!("urn:dmb:taxonomy:{taxonomy}"), name);
        parts.text("name", taxonomy.clone(), name);
        fields.add("taxonomy", name, parts.into_node(name));
    }
    let items = components.iter().map(|entity| component(entity, platform)).collect();
    // A product has no other components: those in the file would hide them.
    fields.remove("components");
    fields.add("components", name, Node { span: name, kind: NodeKind::List(items) });
    fields.into_node(name)
}

fn component(entity: &Entity, platform: &Platform) -> Node {
    let (mesh, name) = (entity.mesh(), entity.name_span);
    let id = urn("cmp", &entity.name);
    let mut fields = Fields::default();
    let kind = mesh.iter().find(|entry| entry.key == "kind").filter(|entry| !entry.value.is_null());
    fields.extend(
        kind.or_else(|| entity.spec.entry("type"))
            .map(|entry| Entry { key: "kind".to_owned(), ..entry.clone() })
            .as_ref(),
    );
    fields.text("id", id.clone(), name);
    fields.extend(entity.metadata.entry("description"));
    fields.extend(mesh);
    let kind = fields.entries.iter().find(|entry| entry.key == "kind").and_then(|entry| entry.value.as_text());
    if let Some(defaults) = platform.defaults(kind.unwrap_or_default()) {
        for (key, default) in [("consumable", defaults.is_consumable), ("shoppable", defaults.is_shoppable)] {
            fields.add(key, name, Node { span: name, kind: NodeKind::Bool(default) });
        }
    }
    if let Some((entry, blocks)) =
        entity.spec.entry("components").and_then(|entry| Some((entry, entry.value.as_list()?)))
    {
        let version = mesh.iter().find(|entry| entry.key == "version");
        let items = blocks.iter().map(|block| subcomponent(block, &id, version)).collect();
        fields.add("components", entry.key_span, Node { span: entry.value.span, kind: NodeKind::List(items) });
    }
    fields.into_node(name)
}

/// A component within a component: it has the version of its parent.
fn subcomponent(block: &Node, parent: &str, version: Option<&Entry>) -> Node {
    let Some(entries) = block.as_map() else { return block.clone() };
    let name = block.get("name");
    let mut fields = Fields::default();
    fields.extend(block.entry("kind"));
    match (block.entry("id"), name.and_then(Node::as_text)) {
        (Some(id), _) => fields.extend([id]),
        (None, Some(text)) => {
            fields.text("id", format!("{parent}:{}", slug(text)), name.map_or(block.span, |name| name.span))
        }
        (None, None) => {}
    }
    fields.extend(block.entry("description"));
    fields.extend(entries);
    fields.extend(version);
    fields.into_node(block.span)
}

/// The last part of an id: lower case, with `-` for each space.
fn slug(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

/// A user without the namespace `default`: `user:default/x` is `user:x`.
fn without_namespace(user: &str) -> String {
    user.replacen(":default/", ":", 1)
}
