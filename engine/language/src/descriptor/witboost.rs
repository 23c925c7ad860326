//! The Witboost front end: a data product, bare or wrapped with the component to act on.
//!
//! Other systems write these texts, so the envelope is read leniently: unknown fields are ignored, and errors of other
//! components never fail the target. A blueprint's schema validates `specific` later. `${…}` and `${{ … }}` are plain
//! text here.

mod identifier;

use super::transitions::{Transitions, check_no_moves};
use super::{
    BlueprintUse, Body, Component, Dependency, Descriptor, Facts, FormerNames, FrontEnd, Unlisted, literal_templates,
};
use crate::address::ComponentKey;
use crate::decode::wrong_type;
use crate::diagnostic::{Diagnostic, Severity, closest};
use crate::naming::NamesRule;
use crate::source::{Located, Span};
use crate::yaml::{Entry, Node, NodeKind};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use terrace_provider::Map;
use terrace_provider::names::listed;

/// The error code of a data product without a list of components.
pub const MISSING_COMPONENTS: &str = "missing_components";
/// The error code of a target component that the data product does not list.
pub const UNKNOWN_COMPONENT: &str = "unknown_component";

/// Reads a data product.
///
/// Returns a descriptor even if there are errors; check for errors before using it.
#[must_use]
pub fn read_witboost(node: Node) -> (Option<Descriptor>, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    let descriptor = read(node, &mut diagnostics);
    (descriptor, diagnostics)
}

/// The data product in a text, bare or wrapped.
pub(crate) fn product_of(node: &Node) -> &Node {
    entry_ignoring_case(node, "dataProduct").map_or(node, |entry| &entry.value)
}

fn read(mut node: Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Descriptor> {
    literal_templates::check_rendered(&node, diagnostics);
    let product_span = entry_ignoring_case(&node, "dataProduct").map_or_else(|| heading(&node), |entry| entry.key_span);
    let components = take_components(&mut node);
    let product = product_of(&node);
    if product.as_map().is_none() {
        let misplaced = misplaced_fields(&node, product).next().filter(|_| product.is_null());
        diagnostics.push(match misplaced {
            Some(field) => Diagnostic::error(
                "wrong_type",
                "`dataProduct` is empty, and the fields of the data product are on its level",
            )
            .at(product_span)
            .at_with(field.key_span, "as this one")
            .hint("indent these fields by two spaces below `dataProduct:`"),
            None => wrong_type("the data product", "a map", product),
        });
        return None;
    }
    check_envelope(&node, product, diagnostics);
    diagnostics.extend(check_no_moves(product, Severity::Warning));
    let target_entry = entry_ignoring_case(&node, TARGET);
    let product_id = text_of(product, "id", diagnostics);
    let misplaced = misplaced_fields(&node, product).find(|field| field.key == "components");
    let found = collect(product, components, misplaced, product_id.map(|(id, _)| id), diagnostics);
    let target = target_entry.map(|entry| find_target(entry, &found, diagnostics));
    let is_acted_on = |found: &Found| match target {
        Some(target) => target.is_some_and(|target| target.id == found.id),
        None => true,
    };
    report_duplicate_keys(&found, &is_acted_on, diagnostics);
    let (stack, id) = read_stack_name(product, product_id, &found, product_span, diagnostics)?;
    let derived = derived(product, &id);
    if product.get("name").is_none_or(Node::is_null) && !derived.contains_key("name") {
        diagnostics.push(
            Diagnostic::warning("missing_field", "the data product has no `name`")
                .at(product_span)
                .hint("add `name:`; expressions that read `product.name` fail without it"),
        );
    }
    let environment =
        text_of(product, "environment", diagnostics).map(|(value, span)| Located { value: value.to_owned(), span });
    let keys = Keys::new(&found);
    let components = found
        .iter()
        .filter(|found| found.clashes_with.is_none() || is_acted_on(found))
        .map(|found| read_component(found, &keys, product_id.map(|(id, _)| id), is_acted_on(found), diagnostics))
        .collect();
    let unlisted = target_entry.filter(|_| matches!(target, Some(None))).and_then(|entry| entry.value.as_text());
    let unlisted = unlisted.zip(product_id).and_then(|(id, (product_id, _))| {
        Some(Unlisted { id: id.to_owned(), key: identifier::own_key(id, product_id)?.into() })
    });
    let unlisted = unlisted.filter(|unlisted| found.iter().all(|found| found.key != unlisted.key));
    let target = target.flatten().map(|target| target.key.clone());
    let former = former_names(&id, product_id.map(|(id, _)| id), &found, unlisted.as_ref(), &stack);
    Some(Descriptor {
        front_end: FrontEnd::Witboost,
        stack,
        environment,
        product: product.to_value(),
        derived,
        components,
        target,
        unlisted,
        variables: Vec::new(),
        locals: Vec::new(),
        transitions: Transitions::default(),
        names: NamesRule::Latin,
        former: Some(Box::new(former)),
    })
}

/// The names by [`NamesRule::Ascii`], the rule of earlier versions.
fn former_names(
    id: &str,
    product_id: Option<&str>,
    found: &[Found],
    unlisted: Option<&Unlisted>,
    stack: &str,
) -> FormerNames {
    FormerNames {
        stack: identifier::stack_name_by(NamesRule::Ascii, id).unwrap_or_else(|| stack.to_owned()),
        keys: found
            .iter()
            .map(|component| (component.key.clone(), component.former_key.clone()))
            .chain(unlisted.map(|unlisted| {
                (
                    unlisted.key.clone(),
                    identifier::component_key_by(NamesRule::Ascii, &unlisted.id, product_id, None).into(),
                )
            }))
            .filter(|(key, former)| key != former)
            .collect(),
        product: Some(id.to_owned()),
        ..FormerNames::default()
    }
}

/// Fields of a data product.
const FIELDS: [&str; 12] = [
    "id",
    "name",
    "fullyQualifiedName",
    "description",
    "kind",
    "domain",
    "version",
    "environment",
    "dataProductOwner",
    "devGroup",
    "specific",
    "components",
];

/// Fields of a data product that are next to `dataProduct` and missing in it.
fn misplaced_fields<'n>(node: &'n Node, product: &'n Node) -> impl Iterator<Item = &'n Entry> {
    let is_wrapped = !std::ptr::eq(node, product);
    let entries = node.as_map().unwrap_or_default().iter().filter(move |_| is_wrapped);
    let is_missing = |entry: &&Entry| product.get(&entry.key).is_none_or(Node::is_null);
    entries.filter(|entry| FIELDS.contains(&entry.key.as_str())).filter(is_missing)
}

/// Reports fields next to `dataProduct` that belong into it.
fn check_envelope(node: &Node, product: &Node, diagnostics: &mut Vec<Diagnostic>) {
    // The caller reports misplaced components separately.
    for field in misplaced_fields(node, product).filter(|field| field.key != "components") {
        let message = format!("`{}` is next to `dataProduct`, where it has no effect", field.key);
        let hint = format!("indent `{}` by two spaces below `dataProduct:`", field.key);
        diagnostics.push(Diagnostic::warning("unknown_field", message).at(field.key_span).hint(hint));
    }
    if std::ptr::eq(node, product) || entry_ignoring_case(node, TARGET).is_some() {
        return;
    }
    // Without a target, terrace acts on all components, so a misspelt target must be an error.
    let is_target = |entry: &&Entry| {
        let key = entry.key.to_ascii_lowercase();
        key.starts_with("component") && key != "components"
    };
    if let Some(entry) = node.as_map().unwrap_or_default().iter().find(is_target) {
        let id = entry.value.as_text().or_else(|| entry.value.get("id")?.as_text()).unwrap_or("ID");
        let message =
            format!("`{}` is next to `dataProduct`, where `{TARGET}` names the component to act on", entry.key);
        let hint = match entry.value.as_map() {
            Some(_) => format!("list it under `components` of `dataProduct`, and write `{TARGET}: {id}` here"),
            None => format!("write `{TARGET}: {id}`"),
        };
        diagnostics.push(Diagnostic::error("unknown_field", message).at(entry.key_span).hint(hint));
    }
}

/// The field of a wrapped descriptor that names the component to act on.
const TARGET: &str = "componentIdToProvision";

/// Takes the components out of a product. They are most of the text, so this avoids a copy.
fn take_components(node: &mut Node) -> Option<Entry> {
    let NodeKind::Map(entries) = &mut node.kind else { return None };
    let product = match entries.iter().rposition(|entry| entry.key.eq_ignore_ascii_case("dataProduct")) {
        Some(at) => &mut entries.get_mut(at)?.value.kind,
        None => &mut node.kind,
    };
    let NodeKind::Map(entries) = product else { return None };
    let at = entries.iter().rposition(|entry| entry.key == "components")?;
    Some(entries.remove(at))
}

/// Components by id and by key.
struct Keys<'f> {
    by_id: HashMap<&'f str, &'f str>,
    own: HashSet<&'f str>,
}

impl<'f> Keys<'f> {
    fn new(found: &'f [Found]) -> Self {
        let by_id = found.iter().map(|found| (found.id.as_str(), found.key.as_str())).collect();
        Self { by_id, own: found.iter().map(|found| found.key.as_str()).collect() }
    }

    fn find(&self, id_or_key: &str) -> Option<&'f str> {
        self.by_id.get(id_or_key).or_else(|| self.own.get(id_or_key)).copied()
    }

    fn ids(&self) -> impl Iterator<Item = &'f str> + Clone {
        self.by_id.keys().copied()
    }
}

/// Maximum number of dependencies of a component for which the closest id is searched; each search compares all ids.
const MAX_SUGGESTIONS: usize = 20;

/// A component found in the text.
struct Found {
    node: Arc<Node>,
    id: String,
    id_span: Span,
    key: ComponentKey,
    /// Its key by [`NamesRule::Ascii`].
    former_key: ComponentKey,
    /// Place of an earlier component with the same key.
    clashes_with: Option<Span>,
}

/// Lists components, each nested one after its parent.
fn collect(
    product: &Node,
    components: Option<Entry>,
    misplaced: Option<&Entry>,
    product_id: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Found> {
    // An absent list must be an error: as an empty list, a typing error would delete everything.
    let entry = match components {
        Some(entry) if !entry.value.is_null() => entry,
        Some(Entry { key_span, .. }) => {
            diagnostics.push(
                Diagnostic::error(MISSING_COMPONENTS, "`components` is empty")
                    .at(key_span)
                    .hint("for a product without components, write `components: []`"),
            );
            return Vec::new();
        }
        None => {
            if let Some(Entry { key_span, .. }) = misplaced {
                let message = "`components` is next to `dataProduct` instead of inside";
                let hint = "indent `components` by two spaces below `dataProduct:`";
                diagnostics.push(Diagnostic::error(MISSING_COMPONENTS, message).at(*key_span).hint(hint));
                return Vec::new();
            }
            let keys = product.as_map().unwrap_or_default().iter();
            let close = keys.clone().find(|entry| closest(&entry.key, ["components"]).is_some());
            let hint = match close {
                Some(entry) => format!("did you mean `components` instead of `{}`?", entry.key),
                None => "for a product without components, write `components: []`".to_owned(),
            };
            let place = close.or(keys.clone().next()).map_or(product.span, |entry| entry.key_span);
            diagnostics.push(
                Diagnostic::error(MISSING_COMPONENTS, "the data product needs `components`").at(place).hint(hint),
            );
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    collect_from(entry, None, product_id, &mut found, diagnostics);
    let mut first_places: HashMap<ComponentKey, Span> = HashMap::new();
    for component in &mut found {
        match first_places.get(&component.key) {
            Some(first) => component.clashes_with = Some(*first),
            None => {
                first_places.insert(component.key.clone(), component.id_span);
            }
        }
    }
    found
}

/// A component with nested components.
struct Parent<'a> {
    id: &'a str,
    key: &'a str,
    former_key: &'a str,
}

fn collect_from(
    entry: Entry,
    parent: Option<Parent<'_>>,
    product_id: Option<&str>,
    found: &mut Vec<Found>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let NodeKind::List(items) = entry.value.kind else {
        diagnostics.push(wrong_type("`components`", "a list", &entry.value));
        return;
    };
    for item in items {
        if item.as_map().is_none() {
            diagnostics.push(wrong_type("a component", "a map", &item));
            continue;
        }
        diagnostics.extend(check_no_moves(&item, Severity::Warning));
        let Some((id, id_span)) = text_of(&item, "id", diagnostics).or_else(|| name_as_id(&item)) else {
            diagnostics.push(
                Diagnostic::error("missing_field", "a component needs `id`")
                    .at(heading(&item))
                    .hint("add `id: urn:dmb:cmp:<domain>:<product>:<major version>:<component>`"),
            );
            continue;
        };
        let key_of = |rule, key: for<'a> fn(&'a Parent<'a>) -> &'a str| {
            identifier::component_key_by(rule, id, product_id, parent.as_ref().map(|parent| (parent.id, key(parent))))
        };
        let key = key_of(NamesRule::Latin, |parent| parent.key);
        let former_key = key_of(NamesRule::Ascii, |parent| parent.former_key);
        let id = id.to_owned();
        // A nested component also stays in the value of its parent.
        let nested = item.entry("components").filter(|entry| !entry.value.is_null()).cloned();
        let node = Arc::new(item);
        let (known, own, former) = (id.clone(), key.clone(), former_key.clone());
        found.push(Found { node, id, id_span, key: key.into(), former_key: former_key.into(), clashes_with: None });
        if let Some(nested) = nested {
            let parent = Parent { id: &known, key: &own, former_key: &former };
            collect_from(nested, Some(parent), product_id, found, diagnostics);
        }
    }
}

/// The name as a substitute for a missing id.
fn name_as_id(component: &Node) -> Option<(&str, Span)> {
    let entry = component.entry("name")?;
    Some((entry.value.as_text()?, entry.value.span))
}

/// Finds the target component. Reports an unknown one.
fn find_target<'f>(target_entry: &Entry, found: &'f [Found], diagnostics: &mut Vec<Diagnostic>) -> Option<&'f Found> {
    let known = || match found.len() {
        0 => "the data product has no components".to_owned(),
        _ => format!("components: {}", listed(&found.iter().map(|found| found.id.as_str()).collect::<Vec<_>>())),
    };
    let Some(wanted) = target_entry.value.as_text() else {
        let mut diagnostic = wrong_type("`componentIdToProvision`", "the id of a component", &target_entry.value);
        diagnostic.labels.clear();
        diagnostics.push(diagnostic.at(target_entry.key_span).hint(known()));
        return None;
    };
    let target =
        found.iter().find(|found| found.id == wanted).or_else(|| found.iter().find(|found| found.key == wanted));
    if target.is_none() {
        let hint = did_you_mean_id(wanted, found.iter().map(|found| found.id.as_str()));
        let hint = hint.map_or_else(known, |hint| format!("{hint} {}", known()));
        diagnostics.push(
            Diagnostic::error(
                UNKNOWN_COMPONENT,
                format!("`componentIdToProvision` names `{wanted}`, which the data product does not list"),
            )
            .at(target_entry.value.span)
            .hint(hint),
        );
    }
    target
}

/// The hint "did you mean `…`?" for ids. It compares only the last part, because the other parts are the same in all
/// ids.
fn did_you_mean_id<'a>(wanted: &str, ids: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let part = closest(last_part(wanted), ids.clone().map(last_part))?;
    let id = ids.into_iter().find(|id| last_part(id) == part)?;
    Some(format!("did you mean `{id}`?"))
}

fn last_part(id: &str) -> &str {
    id.rsplit(':').next().unwrap_or(id)
}

/// Reports components that share a key: an error for components that are acted on, else a warning.
fn report_duplicate_keys(found: &[Found], is_acted_on: &dyn Fn(&Found) -> bool, diagnostics: &mut Vec<Diagnostic>) {
    for component in found {
        let Some(first) = component.clashes_with else { continue };
        let message = format!("two components have the key `{}`", component.key);
        let mut diagnostic = Diagnostic::error("duplicate_component", message)
            .at_with(component.id_span, "again here")
            .at_with(first, "first here")
            .hint("change the last part of one of the ids: the key derives from it");
        if !is_acted_on(component) {
            diagnostic.severity = Severity::Warning;
        }
        diagnostics.push(diagnostic);
    }
}

/// The fields that the data product omits and that its id determines.
fn derived(product: &Node, id: &str) -> Map {
    let Some((domain, name, major)) = identifier::parts_of(id) else { return Map::default() };
    let is_major = major.bytes().all(|byte| byte.is_ascii_digit());
    let version = if is_major { format!("{major}.0.0") } else { major.to_owned() };
    let all = [("name", name.to_owned()), ("domain", domain.to_owned()), ("version", version)];
    let missing = all.into_iter().filter(|(field, _)| product.get(field).is_none_or(Node::is_null));
    missing.map(|(field, value)| (field.to_owned(), value.into())).collect()
}

/// The stack's name and the product's id. The id of the components serves for a product without one.
fn read_stack_name(
    product: &Node,
    product_id: Option<(&str, Span)>,
    found: &[Found],
    product_span: Span,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<(String, String)> {
    if let Some((id, span)) = product_id {
        let name = identifier::stack_name(id);
        if name.is_none() {
            diagnostics.push(
                Diagnostic::error("wrong_value", format!("the data product's `id` is `{id}`, which contains no name"))
                    .at(span)
                    .hint("write `urn:dmb:dp:<domain>:<product>:<major version>`"),
            );
        }
        return Some((name?, id.to_owned()));
    }
    let missing = |severity: Severity, hint: String| {
        let span = product.entry("id").map_or(product_span, |entry| entry.key_span);
        let mut diagnostic = Diagnostic::error("missing_field", "the data product needs `id`").at(span).hint(hint);
        diagnostic.severity = severity;
        diagnostic
    };
    let mut names = found.iter().map(|found| identifier::product_of(&found.id));
    let common_id = names.next().flatten().filter(|first| names.all(|name| name.as_ref() == Some(first)));
    let id = common_id.as_ref().map_or("urn:dmb:dp:<domain>:<product>:<major version>", |common_id| common_id.as_str());
    let severity = if common_id.is_some() { Severity::Warning } else { Severity::Error };
    diagnostics.push(missing(severity, format!("add `id: {id}`")));
    let id = common_id?;
    Some((identifier::stack_name(&id)?, id))
}

fn read_component(
    found: &Found,
    keys: &Keys<'_>,
    product_id: Option<&str>,
    is_acted_on: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Component {
    // Errors of other components are not for the author of this request: drop them.
    let mut ignored = Vec::new();
    let reported = if is_acted_on { diagnostics } else { &mut ignored };
    let node = &*found.node;
    let depends_on = read_dependencies(node, keys, product_id, reported);
    check_reads(node, keys, product_id, reported);
    let facts = Facts::read(|name| text_of(node, name, reported).map(|(text, _)| text.to_owned()));
    if facts.kind.is_none() {
        reported.push(
            Diagnostic::warning("missing_field", format!("the component `{}` has no `kind`", found.key))
                .at(found.id_span)
                .hint("add `kind: storage`, `workload`, `outputport` or `observability`"),
        );
    }
    Component {
        key: found.key.clone(),
        id: Some(found.id.clone()),
        depends_on,
        body: Body::Blueprint(Box::new(BlueprintUse { name: None, facts, node: Arc::clone(&found.node) })),
        span: found.id_span,
    }
}

fn read_dependencies(
    component: &Node,
    keys: &Keys<'_>,
    product_id: Option<&str>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Dependency> {
    let Some(entry) = component.entry("dependsOn").filter(|entry| !entry.value.is_null()) else { return Vec::new() };
    let Some(items) = entry.value.as_list() else {
        diagnostics.push(wrong_type("`dependsOn`", "a list of component ids", &entry.value));
        return Vec::new();
    };
    let mut dependencies = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = item.as_text() else {
            diagnostics.push(wrong_type("an item of `dependsOn`", "the id of a component", item));
            continue;
        };
        let key = keys.find(text).map(ComponentKey::from);
        if key.is_none() {
            let has_suggestion = dependencies.len() < MAX_SUGGESTIONS;
            diagnostics.push(outside_dependency(text, item.span, product_id, has_suggestion.then_some(keys)));
        }
        dependencies.push(Dependency { text: text.to_owned(), key, span: item.span });
    }
    dependencies
}

/// Warns of missing components of this product in `readsFrom`. Components of other products cannot be checked here.
fn check_reads(component: &Node, keys: &Keys<'_>, product_id: Option<&str>, diagnostics: &mut Vec<Diagnostic>) {
    let items = component.entry("readsFrom").and_then(|entry| entry.value.as_list()).unwrap_or_default();
    let is_own = |text: &str| identifier::product_of(text).is_some_and(|product| Some(product.as_str()) == product_id);
    let missing = items.iter().filter_map(|item| Some((item.as_text()?, item.span)));
    let missing = missing.filter(|(text, _)| is_own(text) && keys.find(text).is_none());
    diagnostics.extend(
        missing.take(MAX_SUGGESTIONS).map(|(text, span)| outside_dependency(text, span, product_id, Some(keys))),
    );
}

fn outside_dependency(text: &str, span: Span, product_id: Option<&str>, keys: Option<&Keys<'_>>) -> Diagnostic {
    let is_of_this_product = identifier::product_of(text).is_some_and(|product| Some(product.as_str()) == product_id);
    let (message, who, hint) = if is_of_this_product {
        ("is not in this descriptor", "terrace", keys.and_then(|keys| did_you_mean_id(text, keys.ids())))
    } else {
        // A command with several products applies them in the order of their dependencies.
        ("is outside this data product", "an apply of this data product alone", None)
    };
    Diagnostic::warning("outside_dependency", format!("the dependency `{text}` {message}"))
        .at(span)
        .hint(format!("{who} does not wait for it, and expressions cannot read its outputs"))
        .maybe_hint(hint)
}

/// The text of a field and its place. Null counts as absent; reports other types.
fn text_of<'n>(node: &'n Node, name: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<(&'n str, Span)> {
    let entry = node.entry(name).filter(|entry| !entry.value.is_null())?;
    if entry.value.as_text().is_none() {
        diagnostics.push(wrong_type(&format!("`{name}`"), "text", &entry.value));
    }
    Some((entry.value.as_text()?, entry.value.span))
}

fn entry_ignoring_case<'n>(node: &'n Node, name: &str) -> Option<&'n Entry> {
    node.as_map()?.iter().rev().find(|entry| entry.key.eq_ignore_ascii_case(name))
}

fn heading(node: &Node) -> Span {
    node.as_map().and_then(<[_]>::first).map_or(node.span, |entry| entry.key_span)
}
