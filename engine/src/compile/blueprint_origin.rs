//! Maps an error inside a blueprint to the line of the descriptor that caused it.
//!
//! Users have no file of a built-in blueprint, so the place in the descriptor comes first; for a blueprint of the user it comes
//! second. Locals that an expression reads are followed to the descriptor, and from there to the item that is
//! to blame where a list becomes a list one by one, or to the one value that the message quotes.

use crate::descriptor::ResourceDeclaration;
use crate::diagnostic::{Diagnostic, Label, Location};
use crate::source::{SourceId, Sources, Span};
use crate::yaml::{Budget, Node, NodeKind, parse};
use std::collections::{HashMap, HashSet};
use terrace_provider::{Path, Step};

#[cfg(test)]
mod tests;

/// The label of the place in a built-in blueprint, which comes second.
pub(crate) const READ_HERE: &str = "the blueprint reads it here";
/// The label of the place in the descriptor where that in a blueprint of the user's comes first.
pub(crate) const WRITTEN_HERE: &str = "for what is written here";

/// What expressions of a blueprint read of the descriptor, and of the items of a `forEach`.
const COMPONENT: &str = "component.";
const PRODUCT: &str = "product.";
const EACH: &str = "each.";
/// And of the blueprint itself.
const LOCALS: &str = "locals.";
/// So many locals are followed at the most.
const MOST_LOCALS: usize = 64;

/// Adds the place in the descriptor to diagnostics of a component that point into its blueprint.
///
/// `own` is where the component begins, `all` are the beginnings of all components.
pub(crate) fn explain<I: Iterator<Item = Span>>(
    (own, all): (Span, impl Fn() -> I),
    declaration: Option<&ResourceDeclaration>,
    diagnostics: &mut [Diagnostic],
    sources: &Sources,
    written: &mut Written,
) {
    for diagnostic in diagnostics {
        let message = &diagnostic.message;
        let Some(Label { at: Location::Span(at), text }) = diagnostic.labels.first_mut() else { continue };
        if at.source == own.source {
            continue;
        }
        let is_built_in = sources.is_built_in(at.source);
        let traced = written.traced(*at, sources);
        let product = written.product(own.source, sources);
        let of_product = product.and_then(|product| traced.iter().find_map(|text| read(text, PRODUCT, product)));
        let of_product = of_product.map(|(place, _)| place);
        let node = written.component(own, &all, sources);
        let path = diagnostic.path.as_ref();
        let cause = node.and_then(|node| cause(&traced, (path, message), declaration, node, sources));
        let cause = cause.or(of_product).unwrap_or(own);
        if is_built_in {
            if text.is_empty() {
                READ_HERE.clone_into(text);
            }
            diagnostic.labels.insert(0, Label { at: Location::Span(cause), text: String::new() });
        } else {
            // Either may be the mistake: the blueprint is the user's own.
            diagnostic.labels.push(Label { at: Location::Span(cause), text: WRITTEN_HERE.to_owned() });
        }
    }
}

/// The first thing in the descriptor that an expression reads, itself, by locals, or by the items that it is repeated for.
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

/// The one value in the descriptor that a message quotes.
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
        _ => found.extend(node.as_text().filter(|it| *it == text).map(|_| node.span)),
    }
}

/// What stands under the first path that begins with `component.` or `product.`, as far as the descriptor has it, and where.
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

/// The item of a list in the descriptor that an item of an attribute is made of, or what of it has the same name.
fn item(expression: &str, path: &Path, value: &Node) -> Option<Span> {
    let [_, Step::Index(index), rest @ ..] = path.0.as_slice() else { return None };
    // Some of them may be left out, or others be there before them.
    let is_one_by_one = expression.contains(".map(") && !expression.contains(".filter(") && !expression.contains(" + ");
    let item = value.as_list().filter(|_| is_one_by_one)?.get(*index)?;
    Some(item.find(&Path(rest.to_vec())).map_or(item.span, |found| found.span))
}

/// The expression at a place, or that of the field whose name stands there.
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

/// Components as they are written. Their texts are read again, each once: only who made a mistake waits for that.
#[derive(Default)]
pub(crate) struct Written {
    read: HashSet<SourceId>,
    /// Locals of blueprints by their names, as they are written.
    locals: HashMap<SourceId, HashMap<String, String>>,
    /// By the place where their `id` or their key stands.
    components: HashMap<Span, Node>,
    products: HashMap<SourceId, Option<Node>>,
}

impl Written {
    /// The expression at a place of a blueprint, and those of the locals that it reads, be it by others: nearest first.
    fn traced(&mut self, at: Span, sources: &Sources) -> Vec<String> {
        let Some(expression) = expression(at, sources) else { return Vec::new() };
        let locals = self.locals.entry(at.source).or_insert_with(|| locals_of(at.source, sources));
        let mut traced = vec![expression.to_owned()];
        let mut names: HashSet<&str> = HashSet::new();
        let mut next = 0;
        while let Some(text) = traced.get(next).filter(|_| next < MOST_LOCALS) {
            let read = text.split(LOCALS).skip(1).map(|rest| rest.trim_start_matches('?'));
            let read = read.filter_map(|rest| rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).next());
            let known = read.filter_map(|name| locals.get_key_value(name)).filter(|(name, _)| names.insert(name));
            let texts: Vec<String> = known.map(|(_, text)| text.clone()).collect();
            traced.extend(texts);
            next += 1;
        }
        traced
    }

    /// What a text says of the data product.
    fn product(&mut self, source: SourceId, sources: &Sources) -> Option<&Node> {
        let read = || {
            let root = parse(source, &sources.get(source)?.text, &Budget::default()).ok()?;
            Some(root.get("dataProduct").cloned().unwrap_or(root))
        };
        self.products.entry(source).or_insert_with(read).as_ref()
    }

    /// The component at a place, one of all that there are.
    fn component<I: Iterator<Item = Span>>(
        &mut self,
        at: Span,
        all: impl FnOnce() -> I,
        sources: &Sources,
    ) -> Option<&Node> {
        if self.read.insert(at.source) {
            let source = sources.get(at.source)?;
            let root = parse(at.source, &source.text, &Budget::default()).ok()?;
            let wanted: HashSet<Span> = all().filter(|span| span.source == at.source).collect();
            collect(root, &wanted, &mut self.components);
        }
        self.components.get(&at)
    }
}

/// What a blueprint says of its locals.
fn locals_of(source: SourceId, sources: &Sources) -> HashMap<String, String> {
    let root = sources.get(source).and_then(|text| parse(source, &text.text, &Budget::default()).ok());
    let locals = root.as_ref().and_then(|root| root.get("locals")?.as_map()).unwrap_or_default();
    locals.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.as_text()?.to_owned()))).collect()
}

/// Finds the maps whose `id` stands at one of the places, and what follows the keys there.
fn collect(node: Node, wanted: &HashSet<Span>, found: &mut HashMap<Span, Node>) {
    match node.kind {
        NodeKind::List(items) => items.into_iter().for_each(|item| collect(item, wanted, found)),
        NodeKind::Map(ref entries) => {
            let id = entries.iter().find(|entry| entry.key == "id" && wanted.contains(&entry.value.span));
            if let Some(at) = id.map(|entry| entry.value.span) {
                found.entry(at).or_insert(node);
                return;
            }
            let NodeKind::Map(entries) = node.kind else { return };
            for entry in entries {
                match wanted.contains(&entry.key_span) {
                    true => _ = found.entry(entry.key_span).or_insert(entry.value),
                    false => collect(entry.value, wanted, found),
                }
            }
        }
        _ => {}
    }
}
