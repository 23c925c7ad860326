//! `parameters.yaml`: the values of a skeleton, with expressions at the top level of each section.

use super::template::{FUEL, Failure, LIMIT, Map, Scope, Template, Undefined, of_node, text_of_value};
use crate::decode::wrong_type;
use crate::diagnostic::{Diagnostic, did_you_mean};
use crate::source::{SourceId, Span};
use crate::yaml::{Entry, Node, NodeKind, parse_with};
use minijinja::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use terrace_provider::names::listed;

/// The code of the warning about an undefined name.
pub(super) const UNDEFINED: &str = "undefined_name";
/// The sections whose names expressions use.
const SECTIONS: [&str; 3] = ["parameters", "values", "readonly"];
/// The section with a map for each environment.
const ENVIRONMENTS: &str = "environmentParameters";
/// The variable with the map of the environment.
const ENV: &str = "env";
/// Maximum number of expressions that may fail: the work of an expression that fails is not counted.
const MOST_FAILURES: usize = 20;
/// Names without a value in `parameters.yaml` that templates may read.
const BUILT_IN: [&str; 9] = ["caller", "cycler", "dict", "joiner", "loop", "null", "range", "undefined", "varargs"];
/// The variable with the name of the environment.
const ENVIRONMENT: &str = "environment";

/// The evaluated values of a skeleton.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// The variables of the skeleton.
    pub(super) scope: Scope,
    /// The tree of the file.
    node: Option<Node>,
    environment: String,
}

/// An entry whose expression is not evaluated yet.
struct Pending<'n> {
    section: &'static str,
    entry: &'n Entry,
    template: Template,
    /// Names of entries that it reads: `parameters.name`.
    reads: BTreeSet<String>,
}

impl Parameters {
    /// Evaluates the values for an environment. `node` is the tree of the file, if there is one.
    pub(super) fn read(node: Option<Node>, environment: &str, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut scope = Scope::from([(ENVIRONMENT, Value::from(environment))]);
        let mut pending = Vec::new();
        for section in SECTIONS {
            let entries = node.as_ref().and_then(|node| node.get(section)).filter(|section| !section.is_null());
            scope.insert(section, read_section(section, entries, &mut pending, diagnostics));
        }
        if let Some(node) = node.as_ref().filter(|node| !node.is_null()) {
            check_sections(node, diagnostics);
            let of_environment = node.get(ENVIRONMENTS).and_then(|all| all.get(environment));
            if let Some(of_environment) = of_environment.filter(|it| !it.is_null()) {
                scope.insert(ENV, read_section(ENV, Some(of_environment), &mut pending, diagnostics));
            }
        }
        let undefined = evaluate(pending, &scope, diagnostics);
        let parameters = Self { scope, node, environment: environment.to_owned() };
        diagnostics.extend(undefined.into_iter().map(|(name, span)| parameters.undefined_warning(&name, span)));
        parameters
    }

    /// The names of the environments with values.
    pub(super) fn environments(&self) -> Vec<&str> {
        let all = self.node.as_ref().and_then(|node| node.get(ENVIRONMENTS)).and_then(Node::as_map);
        all.unwrap_or_default().iter().map(|entry| entry.key.as_str()).collect()
    }

    /// The node that a path of an expression reads, or the nearest one above it: `parameters.name`.
    pub(super) fn find(&self, path: &str) -> Option<&Node> {
        let mut parts = path.split('.');
        let root = self.node.as_ref()?;
        let section = match parts.next()? {
            ENV => root.get(ENVIRONMENTS)?.get(&self.environment)?,
            section if SECTIONS.contains(&section) => root.get(section)?,
            _ => return None,
        };
        let mut node = section.get(parts.next()?)?;
        for part in parts {
            match node.get(part) {
                Some(inner) => node = inner,
                None => break,
            }
        }
        Some(node)
    }

    /// True for a name that a template read, but that has no value.
    pub(super) fn is_undefined(&self, name: &str) -> bool {
        is_undefined(&self.scope, name)
    }

    /// The warning about an undefined name.
    pub(super) fn undefined_warning(&self, undefined: &Undefined, span: Span) -> Diagnostic {
        let name = undefined.name.as_str();
        let result = if undefined.is_in_sum { "as the text `undefined`" } else { "empty" };
        let message = format!("`{name}` is not defined, so it renders {result}");
        let warning = Diagnostic::warning(UNDEFINED, message).at(span);
        match name.split_once('.') {
            Some((section, key)) if SECTIONS.contains(&section) || section == ENV => {
                let place =
                    if section == ENV { format!("{ENVIRONMENTS}.{}", self.environment) } else { section.to_owned() };
                let known =
                    self.scope.get(section).and_then(|section| section.downcast_object_ref::<Map>()).map(Map::keys);
                let missing = if self.node.is_none() { " (a new file in the folder of the skeleton)" } else { "" };
                warning
                    .hint(format!(
                        "add `{key}` to `{place}` of parameters.yaml{missing}, or give a default: `{name} | default(…)`"
                    ))
                    .maybe_hint(did_you_mean(key, known.unwrap_or_default().iter().map(String::as_str)))
            }
            _ => {
                let names = SECTIONS.into_iter().chain([ENV, ENVIRONMENT]);
                let first = name.split('.').next().unwrap_or_default();
                warning
                    .hint(format!("a skeleton reads {}", listed(&names.clone().collect::<Vec<_>>())))
                    .maybe_hint(did_you_mean(first, names))
            }
        }
    }

    /// The text of an evaluated value, and its place.
    pub(super) fn text(&self, section: &'static str, key: &str) -> Option<(String, Span)> {
        let value = self.scope.get(section)?.downcast_object_ref::<Map>()?.get(key)?;
        let text = text_of_value(&value)?;
        let is_present = !value.is_undefined() && !value.is_none() && !text.is_empty();
        Some((text, self.find(&format!("{section}.{key}"))?.span)).filter(|_| is_present)
    }
}

fn is_undefined(scope: &Scope, name: &str) -> bool {
    let (section, key) = name.split_once('.').unwrap_or((name, ""));
    match scope.get(section) {
        Some(section) => section.downcast_object_ref::<Map>().is_some_and(|section| section.is_missed(key)),
        None => !name.starts_with("__") && !BUILT_IN.contains(&section),
    }
}

fn check_sections(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(entries) = node.as_map() else {
        diagnostics.push(wrong_type("parameters.yaml", "a map", node));
        return;
    };
    if let Some(environments) = node.get(ENVIRONMENTS).filter(|it| !it.is_null() && it.as_map().is_none()) {
        diagnostics.push(wrong_type(&format!("`{ENVIRONMENTS}`"), "a map", environments));
    }
    let known = || SECTIONS.into_iter().chain([ENVIRONMENTS]);
    for entry in entries.iter().filter(|entry| known().all(|known| known != entry.key)) {
        diagnostics.push(
            Diagnostic::warning("unknown_field", format!("parameters.yaml has no section `{}`", entry.key))
                .at(entry.key_span)
                .hint(format!("the sections are {}", listed(&known().collect::<Vec<_>>())))
                .maybe_hint(did_you_mean(&entry.key, known())),
        );
    }
}

/// The values of a section. Entries with expressions are added to `pending`, and have no value yet.
fn read_section<'n>(
    section: &'static str,
    node: Option<&'n Node>,
    pending: &mut Vec<Pending<'n>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Value {
    let map = Map::default();
    let entries = node.and_then(Node::as_map).unwrap_or_default();
    if let Some(node) = node.filter(|node| node.as_map().is_none()) {
        diagnostics.push(wrong_type(&format!("`{section}`"), "a map", node));
    }
    for entry in entries {
        match read_template(entry, diagnostics) {
            None => map.insert(&entry.key, of_node(&entry.value)),
            Some(template) => {
                map.insert(&entry.key, Value::UNDEFINED);
                let reads = template.references();
                pending.push(Pending { section, entry, template, reads });
            }
        }
    }
    Value::from_object(map)
}

/// The template of an entry with an expression.
fn read_template(entry: &Entry, diagnostics: &mut Vec<Diagnostic>) -> Option<Template> {
    let Some(text) = entry.value.as_text() else {
        warn_of_nested(&entry.value, diagnostics);
        return None;
    };
    let template = match Template::new(text) {
        Ok(template) => template,
        Err(failure) => {
            diagnostics.push(diagnostic(entry, failure));
            return None;
        }
    };
    if !template.is_plain() {
        return Some(template);
    }
    let is_bare = SECTIONS.iter().any(|section| text.strip_prefix(section).is_some_and(|rest| rest.starts_with('.')));
    if is_bare && text.contains(['(', '|']) {
        let message = format!("`{}` has the text of an expression, which is not evaluated", entry.key);
        let hint = "write it as `${{ … }}`";
        diagnostics.push(Diagnostic::warning("expression_not_evaluated", message).at(entry.value.span).hint(hint));
    }
    None
}

/// Warns of expressions in lists and maps, which Witboost does not evaluate.
fn warn_of_nested(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    match &node.kind {
        NodeKind::Text(text) if text.contains("${{") => diagnostics.push(
            Diagnostic::warning("expression_not_evaluated", "an expression in a list or a map is not evaluated")
                .at(node.span)
                .hint("write it as the value of a separate key in the section, and read that key in the skeleton"),
        ),
        NodeKind::List(items) => items.iter().for_each(|item| warn_of_nested(item, diagnostics)),
        NodeKind::Map(entries) => entries.iter().for_each(|entry| warn_of_nested(&entry.value, diagnostics)),
        _ => {}
    }
}

/// Evaluates expressions, each after those that it reads. Stops at a limit, and after
/// [`MOST_FAILURES`] failures. An expression that reads a failed one fails without a further error. Returns undefined
/// names, each with its first place.
fn evaluate(pending: Vec<Pending<'_>>, scope: &Scope, diagnostics: &mut Vec<Diagnostic>) -> Vec<(Undefined, Span)> {
    let positions: BTreeMap<String, usize> =
        pending.iter().enumerate().map(|(position, entry)| (entry.name(), position)).collect();
    let reads: Vec<BTreeSet<usize>> = pending.iter().map(|entry| entry.reads_of(&positions)).collect();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); pending.len()];
    for (reader, reads) in reads.iter().enumerate() {
        for read in reads {
            readers.get_mut(*read).into_iter().for_each(|readers| readers.push(reader));
        }
    }
    // The number of entries that each entry still waits for.
    let mut open: Vec<usize> = reads.iter().map(BTreeSet::len).collect();
    let mut ready: VecDeque<usize> =
        open.iter().enumerate().filter(|(_, open)| **open == 0).map(|(position, _)| position).collect();
    let (mut fuel, mut failures) = (FUEL, 0);
    let mut failed = BTreeSet::new();
    while let Some(position) = ready.pop_front() {
        let Some(Pending { section, entry, template, .. }) = pending.get(position) else { continue };
        let reads_failed = reads.get(position).is_some_and(|reads| !failed.is_disjoint(reads));
        match if reads_failed { None } else { Some(template.evaluate(scope, &mut fuel)) } {
            Some(Ok(value)) => {
                let section = scope.get(section).and_then(|section| section.downcast_object_ref::<Map>());
                section.into_iter().for_each(|section| section.insert(&entry.key, value.clone()));
            }
            Some(Err(failure)) => {
                let is_limit = failure.code == LIMIT;
                diagnostics.push(diagnostic(entry, failure));
                failures += 1;
                if is_limit || failures == MOST_FAILURES {
                    return Vec::new();
                }
                failed.insert(position);
            }
            None => drop(failed.insert(position)),
        }
        for reader in readers.get(position).into_iter().flatten() {
            let Some(open) = open.get_mut(*reader) else { continue };
            *open = open.saturating_sub(1);
            if *open == 0 {
                ready.push_back(*reader);
            }
        }
    }
    for (entry, _) in pending.iter().zip(&open).filter(|(_, open)| **open > 0) {
        let message = format!("`{}` reads itself, directly or through other expressions", entry.name());
        diagnostics.push(
            Diagnostic::error("reference_cycle", message)
                .at(entry.entry.value.span)
                .hint("give one of the values without an expression"),
        );
    }
    let mut known = BTreeSet::new();
    let undefined = |entry: &Pending<'_>| {
        let span = entry.entry.value.span;
        let names = entry.template.undefined(|name| is_undefined(scope, name));
        names.into_iter().map(move |name| (name, span)).collect::<Vec<_>>()
    };
    let sound = pending.iter().enumerate().filter(|(position, _)| !failed.contains(position)).map(|(_, entry)| entry);
    sound.flat_map(undefined).filter(|(it, _)| known.insert(it.name.clone())).collect()
}

impl Pending<'_> {
    fn name(&self) -> String {
        format!("{}.{}", self.section, self.entry.key)
    }

    /// The positions of the entries that this entry reads.
    fn reads_of(&self, positions: &BTreeMap<String, usize>) -> BTreeSet<usize> {
        /// Maximum number of parts of a path that can be the name of an entry.
        const MOST_PARTS: usize = 16;
        let prefixes = |read: &String| -> Vec<usize> {
            let ends = read.match_indices('.').map(|(at, _)| at).skip(1).take(MOST_PARTS).chain([read.len()]);
            ends.filter_map(|end| positions.get(read.get(..end)?).copied()).collect()
        };
        self.reads.iter().flat_map(prefixes).collect()
    }
}

fn diagnostic(entry: &Entry, failure: Failure) -> Diagnostic {
    let message = format!("the expression of `{}` fails: {}", entry.key, failure.message);
    Diagnostic::error(failure.code, message).at(entry.value.span).maybe_hint(failure.hint)
}

/// The tree of a text, if it has any value.
pub(super) fn parse(id: SourceId, text: &str, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    match parse_with(id, text, &super::limits::parse_options()) {
        Ok(parsed) => {
            diagnostics.extend(parsed.warnings);
            Some(parsed.node)
        }
        // An empty file has no values.
        Err(found) if found.iter().all(|diagnostic| diagnostic.code == "empty_file") => None,
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    }
}
