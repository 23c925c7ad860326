//! Maps an error inside a blueprint to the line of the descriptor that caused it.
//!
//! A built-in blueprint is not a file of the user, so the place in the descriptor comes first. For a user's blueprint
//! it comes second. The search follows locals to the descriptor. Then it narrows the place to the list item that an
//! attribute item was mapped from, or to the only value that the message quotes.

use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::{Diagnostic, Label, Location};
use crate::source::{SourceId, Sources, Span};
use crate::yaml::{Budget, Node, NodeKind, parse};
use std::collections::{HashMap, HashSet};
use terrace_provider::{Path, Step};

#[cfg(test)]
mod tests;

/// The label of the place in a built-in blueprint, which comes second.
pub const READ_HERE: &str = "the blueprint reads it here";
/// The label of the place in the descriptor when a place in a user's blueprint comes first.
pub const WRITTEN_HERE: &str = "the value comes from here";

/// Prefixes of references to the descriptor, and to the items of a `forEach`.
const COMPONENT: &str = "component.";
const PRODUCT: &str = "product.";
const EACH: &str = "each.";
/// Prefix of references to locals of the blueprint.
const LOCALS: &str = "locals.";
/// Maximum number of locals to follow.
const MAX_LOCALS: usize = 64;

/// Adds the place in the descriptor to a component's diagnostics that point into its blueprint.
///
/// `own` is the place of the component, `all` are the places of all components.
pub fn explain<I: Iterator<Item = Span>>(
    (own, all): (Span, impl Fn() -> I),
    declaration: Option<&ResourceDeclaration>,
    diagnostics: &mut [Diagnostic],
    sources: &Sources,
    parsed: &mut ParsedSources,
) {
    for diagnostic in diagnostics {
        let message = &diagnostic.message;
        let Some(Label { at: Location::Span(at), text }) = diagnostic.labels.first_mut() else { continue };
        if at.source == own.source {
            continue;
        }
        let is_built_in = sources.is_built_in(at.source);
        let traced = parsed.traced(*at, sources);
        let product = parsed.product(own.source, sources);
        let of_product = product.and_then(|product| traced.iter().find_map(|text| read(text, PRODUCT, product)));
        let of_product = of_product.map(|(place, _)| place);
        let node = parsed.component(own, &all, sources);
        let path = diagnostic.path.as_ref();
        let cause = node.and_then(|node| cause(&traced, (path, message), declaration, node, sources));
        let cause = cause.or(of_product).unwrap_or(own);
        if is_built_in {
            if text.is_empty() {
                READ_HERE.clone_into(text);
            }
            diagnostic.labels.insert(0, Label { at: Location::Span(cause), text: String::new() });
        } else {
            // Either may be wrong: the user wrote both.
            diagnostic.labels.push(Label { at: Location::Span(cause), text: WRITTEN_HERE.to_owned() });
        }
    }
}

/// The place in the descriptor that an expression reads first: directly, through locals, or through its `forEach`.
fn cause(
    traced: &[String],
    (path, message): (Option<&Path>, &str),
    declaration: Option<&ResourceDeclaration>,
    node: &Node,
    sources: &Sources,
) -> Option<Span> {
    let expression = traced.first()?;
    let found = traced.iter().find_map(|text| read(text, COMPONENT, node)).or_else(|| {
        let repeated = declaration?.for_each.as_ref().filter(|_| expression.contains(EACH))?;
        read(text(repeated.span, sources)?, COMPONENT, node)
    });
    let Some((place, value)) = found else { return quoted(message, node) };
    Some(path.and_then(|path| item(expression, path, value)).or_else(|| quoted(message, value)).unwrap_or(place))
}

/// The only value in the descriptor that a message quotes.
fn quoted(message: &str, node: &Node) -> Option<Span> {
    let quoted = message.split('`').skip(1).step_by(2).filter(|text| !text.is_empty());
    quoted.into_iter().find_map(|text| {
        let mut found = Vec::new();
        collect_values(text, node, &mut found);
        match found.as_slice() {
            [only] => Some(*only),
            _ => None,
        }
    })
}

fn collect_values(text: &str, node: &Node, found: &mut Vec<Span>) {
    match &node.kind {
        NodeKind::List(items) => items.iter().for_each(|item| collect_values(text, item, found)),
        NodeKind::Map(entries) => entries.iter().for_each(|entry| collect_values(text, &entry.value, found)),
        _ => found.extend(node.as_text().filter(|candidate| *candidate == text).map(|_| node.span)),
    }
}

/// The deepest node of the descriptor on the first path after `component.` or `product.`, and its place.
fn read<'n>(expression: &str, root: &str, node: &'n Node) -> Option<(Span, &'n Node)> {
    let (_, rest) = expression.split_once(root)?;
    let is_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '?');
    let path = rest.split(|c| !is_path(c)).next()?;
    let (mut node, mut found) = (node, None);
    for name in path.split('.') {
        let Some(entry) = node.entry(name.trim_start_matches('?')) else { break };
        node = &entry.value;
        let place = match node.kind {
            NodeKind::List(_) | NodeKind::Map(_) => entry.key_span,
            _ => node.span,
        };
        found = Some((place, node));
    }
    found
}

/// The list item in the descriptor that an attribute's item was mapped from, or the part of it with the same name.
fn item(expression: &str, path: &Path, value: &Node) -> Option<Span> {
    let [_, Step::Index(index), rest @ ..] = path.0.as_slice() else { return None };
    // Indices match only if the expression neither filters nor adds items.
    let is_one_by_one = expression.contains(".map(") && !expression.contains(".filter(") && !expression.contains(" + ");
    let item = value.as_list().filter(|_| is_one_by_one)?.get(*index)?;
    Some(item.find(&Path(rest.to_vec())).map_or(item.span, |found| found.span))
}

/// The expression at a place, or the expression in the field whose name is at that place.
fn expression(at: Span, sources: &Sources) -> Option<&str> {
    let own = text(at, sources)?;
    let rest = sources.get(at.source)?.text.get(at.end as usize..)?;
    let begin = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '>' | '|' | '-' | '\'' | '"'));
    match begin.strip_prefix("${{").and_then(|value| value.split("}}").next()) {
        Some(value) if !own.contains("${{") => Some(value),
        _ => Some(own),
    }
}

fn text(span: Span, sources: &Sources) -> Option<&str> {
    sources.get(span.source)?.text.get(span.start as usize..span.end as usize)
}

/// Parsed texts of descriptors and blueprints. Each is parsed at most once, and only after an error.
#[derive(Default)]
pub struct ParsedSources {
    searched: HashSet<SourceId>,
    /// The locals of blueprints by name, as written.
    locals: HashMap<SourceId, HashMap<String, String>>,
    /// Components by the place of their `id` or key.
    components: HashMap<Span, Node>,
    products: HashMap<SourceId, Option<Node>>,
}

impl ParsedSources {
    /// The expression at a place of a blueprint, followed by the locals that it reads, directly or indirectly.
    fn traced(&mut self, at: Span, sources: &Sources) -> Vec<String> {
        let Some(expression) = expression(at, sources) else { return Vec::new() };
        let locals = self.locals.entry(at.source).or_insert_with(|| locals_of(at.source, sources));
        let mut traced = vec![expression.to_owned()];
        let mut names: HashSet<&str> = HashSet::new();
        let mut next = 0;
        while let Some(text) = traced.get(next).filter(|_| next < MAX_LOCALS) {
            let read = text.split(LOCALS).skip(1).map(|rest| rest.trim_start_matches('?'));
            let read = read.filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
            let known = read.filter_map(|name| locals.get_key_value(name)).filter(|(name, _)| names.insert(name));
            let texts: Vec<String> = known.map(|(_, text)| text.clone()).collect();
            traced.extend(texts);
            next += 1;
        }
        traced
    }

    /// The data product in a text.
    fn product(&mut self, source: SourceId, sources: &Sources) -> Option<&Node> {
        let read = || {
            let root = parse(source, &sources.get(source)?.text, &Budget::default()).ok()?;
            Some(root.get("dataProduct").cloned().unwrap_or(root))
        };
        self.products.entry(source).or_insert_with(read).as_ref()
    }

    /// The component at a place. `all` are the places of all components.
    fn component<I: Iterator<Item = Span>>(
        &mut self,
        at: Span,
        all: impl FnOnce() -> I,
        sources: &Sources,
    ) -> Option<&Node> {
        if self.searched.insert(at.source) {
            let source = sources.get(at.source)?;
            let root = parse(at.source, &source.text, &Budget::default()).ok()?;
            let places: HashSet<Span> = all().filter(|span| span.source == at.source).collect();
            collect(root, &places, &mut self.components);
        }
        self.components.get(&at)
    }
}

/// The locals of a blueprint by name, as written.
fn locals_of(source: SourceId, sources: &Sources) -> HashMap<String, String> {
    let root = sources.get(source).and_then(|text| parse(source, &text.text, &Budget::default()).ok());
    let locals = root.as_ref().and_then(|root| root.get("locals")?.as_map()).unwrap_or_default();
    locals.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.as_text()?.to_owned()))).collect()
}

/// Collects the maps whose `id` is at one of the places, and the values of keys at those places.
fn collect(node: Node, places: &HashSet<Span>, found: &mut HashMap<Span, Node>) {
    match node.kind {
        NodeKind::List(items) => items.into_iter().for_each(|item| collect(item, places, found)),
        NodeKind::Map(ref entries) => {
            let id = entries.iter().find(|entry| entry.key == "id" && places.contains(&entry.value.span));
            if let Some(at) = id.map(|entry| entry.value.span) {
                found.entry(at).or_insert(node);
                return;
            }
            let NodeKind::Map(entries) = node.kind else { return };
            for entry in entries {
                match places.contains(&entry.key_span) {
                    true => _ = found.entry(entry.key_span).or_insert(entry.value),
                    false => collect(entry.value, places, found),
                }
            }
        }
        _ => {}
    }
}
