//! Writes values back into the files of an entity. Comments, order and style of everything else stay.
//!
//! An update names a path of the rendered entity (`spec.mesh.specific.schema`) or of `parameters.yaml`
//! (`parameters.schema`). The tree of an entity has the places of its values in the edited files, so an update replaces
//! the text at that place. The result is checked: the changed files are read again, and must have exactly the requested
//! values. A value that an expression computes therefore fails instead of breaking the expression. People do not edit
//! skeletons, which come from a template: a literal in one fails, too.

use super::entity::{Entity, skeleton};
use super::files::EntityFiles;
use super::parameters::parse;
use super::template::EXPRESSION;
use crate::diagnostic::{Diagnostic, has_errors};
use crate::source::{SourceId, Sources, Span};
use crate::yaml::{self, Budget, Entry, Node, NodeKind};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use std::ops::Range;
use terrace_provider::value::OtherFormat;

/// The roots of paths into `parameters.yaml`.
const SECTIONS: [&str; 4] = ["parameters", "values", "readonly", "environmentParameters"];
/// The roots of paths into the rendered entity.
const ROOTS: [&str; 2] = ["metadata", "spec"];

/// The new text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub source: SourceId,
    /// Its text.
    pub text: String,
}

/// A replacement in a file.
#[derive(Debug, Clone)]
struct Edit {
    source: SourceId,
    at: Range<usize>,
    text: String,
}

/// The layout of new lists and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One item a line, where the old text allows it.
    Block,
    /// In one line.
    Flow,
}

/// Writes updates by dotted paths into the files of an entity, and returns the changed files.
///
/// # Errors
/// When the entity has errors, a path has another root, or a value cannot be written.
pub fn write_back(
    sources: &Sources,
    files: &EntityFiles,
    environment: &str,
    updates: &[(String, Json)],
) -> Result<Vec<Written>, Vec<Diagnostic>> {
    let trees = Trees::read(sources, files, environment)?;
    let mut problems = Vec::new();
    for (path, _) in updates {
        let root = path.split('.').next().unwrap_or_default();
        if SECTIONS.contains(&root) && trees.parameters.is_none() {
            let message = format!("`{path}` cannot be written: the entity has no parameters.yaml");
            problems.push(Diagnostic::error("not_writable", message).at(trees.span));
        } else if !SECTIONS.contains(&root) && !ROOTS.contains(&root) {
            let message = format!("`{path}` cannot be written: the entity has no such path");
            let hint = "paths begin with `spec.`, `metadata.` or a section of parameters.yaml";
            problems.push(Diagnostic::error("not_writable", message).at(trees.span).hint(hint));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // Updates are made and checked one after the other: a later update may add a key below a key that an earlier one added.
    let mut current = Current { sources: None, files: files.clone(), trees };
    let mut failing = Vec::new();
    for (path, value) in updates {
        let from = current.sources.as_ref().unwrap_or(sources);
        let next = attempt(from, &current, environment, path, value, Layout::Block).or_else(|reason| match reason {
            Reason::Skeleton => Err(reason),
            Reason::Other => attempt(from, &current, environment, path, value, Layout::Flow),
        });
        match next {
            Ok(next) => current = next,
            Err(reason) => failing.push((path, reason)),
        }
    }
    // A later update may have changed the value of an earlier one.
    let is_lost = |(path, value): &&(String, Json)| current.trees.value(path).as_ref() != Some(value);
    if failing.is_empty() {
        failing.extend(updates.iter().filter(is_lost).map(|(path, _)| (path, Reason::Other)));
    }
    if !failing.is_empty() {
        let trees = Trees::read(sources, files, environment)?;
        return Err(failing.into_iter().map(|(path, reason)| trees.not_writable(path, reason)).collect());
    }
    Ok(current.changed_files(sources, files))
}

/// The files after some of the updates.
struct Current {
    /// The changed files; `None` before the first change.
    sources: Option<Sources>,
    files: EntityFiles,
    trees: Trees,
}

impl Current {
    /// The files whose text differs from the original.
    fn changed_files(&self, sources: &Sources, files: &EntityFiles) -> Vec<Written> {
        let Some(changed) = &self.sources else { return Vec::new() };
        let pairs = [
            (Some(files.catalog), Some(self.files.catalog)),
            (files.parameters, self.files.parameters),
            (files.configuration, self.files.configuration),
        ];
        let written = pairs.into_iter().filter_map(|(old, new)| {
            let (source, text) = (old?, &changed.get(new?)?.text);
            (sources.get(source)?.text != *text).then(|| Written { source, text: text.to_string() })
        });
        written.collect()
    }
}

/// The reason why an update cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// It would change the text of a skeleton.
    Skeleton,
    /// The files would not have exactly the requested values, or would lose a comment.
    Other,
}

/// The files with one more update.
///
/// # Errors
/// When they would not have exactly the requested values.
fn attempt(
    sources: &Sources,
    current: &Current,
    environment: &str,
    path: &str,
    value: &Json,
    layout: Layout,
) -> Result<Current, Reason> {
    let Current { files, trees, .. } = current;
    let mut edits = Vec::new();
    let mut editor = Editor { sources, layout, edits: &mut edits };
    trees.root_of(path).and_then(|root| editor.set(root, path, value)).ok_or(Reason::Other)?;
    let is_skeleton = sources.get(files.catalog).is_some_and(|catalog| skeleton(&catalog.text).is_some());
    if is_skeleton && edits.iter().any(|edit| edit.source == files.catalog) {
        return Err(Reason::Skeleton);
    }
    let checked = || {
        let (sources, files) = replaced(sources, files, &apply(sources, edits)?)?;
        let changed = Trees::read(&sources, &files, environment).ok()?;
        // A changed parameter may change the rendered entity. A changed entity must have no other changes.
        let root = |trees: &Trees| trees.root_of(path).map(Node::to_json);
        let mut wanted = root(trees)?;
        put(&mut wanted, path, value)?;
        (root(&changed)? == wanted).then_some(Current { sources: Some(sources), files, trees: changed })
    };
    checked().ok_or(Reason::Other)
}

/// The rendered entity and its parameters.
struct Trees {
    /// A map of `metadata` and `spec`.
    entity: Node,
    parameters: Option<Node>,
    /// The place of the entity's name.
    span: Span,
}

impl Trees {
    fn read(sources: &Sources, files: &EntityFiles, environment: &str) -> Result<Self, Vec<Diagnostic>> {
        let mut found = Vec::new();
        let entity = Entity::read(sources, files, environment, &mut found);
        let parameters = files.parameters.and_then(|id| parse(id, &sources.get(id)?.text, &mut found));
        let Some(entity) = entity.filter(|_| !has_errors(&found)) else {
            found.retain(Diagnostic::is_error);
            return Err(found);
        };
        let span = entity.name_span;
        let root = |key: &str, value: Node| Entry { key: key.to_owned(), key_span: span, value };
        let entries = vec![root("metadata", entity.metadata), root("spec", entity.spec)];
        Ok(Self { entity: Node { span, kind: NodeKind::Map(entries) }, parameters, span })
    }

    fn root_of(&self, path: &str) -> Option<&Node> {
        let is_parameter = SECTIONS.contains(&path.split('.').next().unwrap_or_default());
        if is_parameter { self.parameters.as_ref() } else { Some(&self.entity) }
    }

    /// The value of a path.
    fn value(&self, path: &str) -> Option<Json> {
        let found = path.split('.').try_fold(self.root_of(path)?, |node, part| node.get(part));
        found.map(Node::to_json)
    }

    fn not_writable(&self, path: &str, reason: Reason) -> Diagnostic {
        let mut span = self.span;
        let mut node = self.root_of(path);
        for part in path.split('.') {
            node = node.and_then(|node| node.get(part));
            span = node.map_or(span, |node| node.span);
        }
        let (why, hint) = match reason {
            Reason::Skeleton => (
                "it belongs to the skeleton, which comes from the template of the entity",
                "write it into `configurations.yaml` of the environment, or make it a parameter of the template",
            ),
            Reason::Other => (
                "an expression computes it, other values have the same source, or a comment would be lost",
                "change the file by hand",
            ),
        };
        Diagnostic::error("not_writable", format!("`{path}` cannot be written: {why}")).at(span).hint(hint)
    }
}

/// The template of a component (`spec.mesh.useCaseTemplateId`), with its place; `None` for other entities.
///
/// # Errors
/// When the entity has errors.
pub fn template_of(
    sources: &Sources,
    files: &EntityFiles,
    environment: &str,
) -> Result<(Option<String>, Span), Vec<Diagnostic>> {
    let trees = Trees::read(sources, files, environment)?;
    let found = ["spec", "mesh", "useCaseTemplateId"].into_iter().try_fold(&trees.entity, |node, key| node.get(key));
    let template = found.and_then(|node| node.as_text().map(str::to_owned));
    Ok((template, found.map_or(trees.span, |node| node.span)))
}

/// Collects the edits of an update.
struct Editor<'a> {
    sources: &'a Sources,
    layout: Layout,
    edits: &'a mut Vec<Edit>,
}

impl Editor<'_> {
    /// Sets the value of a path. Parts of the path that are missing are added.
    fn set(&mut self, root: &Node, path: &str, value: &Json) -> Option<()> {
        let mut node = root;
        let mut parts = path.split('.');
        while let Some(part) = parts.next() {
            match node.get(part) {
                Some(inner) => node = inner,
                None => {
                    let missing: Vec<&str> = parts.collect();
                    let nest = |value, part: &&str| Json::Object(Map::from_iter([((*part).to_owned(), value)]));
                    let value = missing.iter().rev().fold(value.clone(), nest);
                    return self.insert(node, part, &value);
                }
            }
        }
        self.change(node, value)
    }

    /// Changes the parts of a value that differ.
    fn change(&mut self, node: &Node, value: &Json) -> Option<()> {
        if node.to_json() == *value {
            return Some(());
        }
        match (&node.kind, value) {
            (NodeKind::Map(entries), Json::Object(wanted))
                if !entries.is_empty() && entries.iter().all(|entry| wanted.contains_key(&entry.key)) =>
            {
                for (key, value) in wanted {
                    match node.get(key) {
                        Some(inner) => self.change(inner, value)?,
                        None => self.insert(node, key, value)?,
                    }
                }
                Some(())
            }
            (NodeKind::List(items), Json::Array(wanted)) if !items.is_empty() && !wanted.is_empty() => {
                let known = self.edits.len();
                match self.change_list(node, items, wanted) {
                    Some(()) => Some(()),
                    None => {
                        self.edits.truncate(known);
                        self.replace(node, value)
                    }
                }
            }
            _ => self.replace(node, value),
        }
    }

    /// Changes, adds and removes single items, so that the others keep their comments.
    fn change_list(&mut self, node: &Node, items: &[Node], wanted: &[Json]) -> Option<()> {
        let source = node.span.source;
        if items.iter().any(|item| item.span.source != source) {
            return None;
        }
        let sources = self.sources;
        let text = &sources.get(source)?.text;
        let list = List { text, is_flow: text.get(node.span.start as usize..)?.starts_with('['), items };
        let mut add = |at: Range<usize>, text: String| self.edits.push(Edit { source, at, text });
        let mut pairs = Vec::new();
        let steps = steps(items, wanted);
        if !steps.iter().any(|step| matches!(step, Step::Keep(..))) {
            return None;
        }
        let mut last_kept = None;
        for step in steps {
            match step {
                Step::Keep(position, value) => {
                    pairs.push((items.get(position)?, value));
                    last_kept = Some(position);
                }
                Step::Remove(position) => add(list.range_of(position)?, String::new()),
                Step::Add(value) => {
                    let (at, text) = list.addition(last_kept, value)?;
                    add(at..at, text);
                }
            }
        }
        pairs.into_iter().try_for_each(|(item, value)| self.change(item, value))
    }

    fn replace(&mut self, node: &Node, value: &Json) -> Option<()> {
        let text = &self.sources.get(node.span.source)?.text;
        let start = node.span.start as usize;
        let at = start..end_of(text, node)?;
        let old = text.get(at.clone())?;
        let is_collection = matches!(node.kind, NodeKind::List(_) | NodeKind::Map(_));
        if old.contains(EXPRESSION.0) || is_collection && has_comment(old) {
            return None;
        }
        let before = text.get(..start)?;
        let line = before.get(before.rfind('\n').map_or(0, |end| end + 1)..)?;
        let indent = line.len() - line.trim_start_matches([' ', '-']).len();
        let is_block = self.layout == Layout::Block && is_filled(value) && !line.contains(['{', '[']);
        let new = match (is_block, indent == line.len()) {
            // The text begins its line, or follows the `-` of a list.
            (true, true) => block(value, indent)?.trim_start().to_owned(),
            (true, false) => format!("\n{}", block(value, indent + 2)?),
            (false, _) => flow(value, old)?,
        };
        let begins_value = before.ends_with(':') && !new.starts_with('\n');
        let space = if begins_value { " " } else { "" };
        // The blank after the colon would end the line.
        let at = if new.starts_with('\n') && before.ends_with(": ") { at.start - 1..at.end } else { at };
        self.edits.push(Edit { source: node.span.source, at, text: format!("{space}{new}") });
        Some(())
    }

    /// Adds an entry to a map, after the others in the same file.
    fn insert(&mut self, node: &Node, key: &str, value: &Json) -> Option<()> {
        let entries = node.as_map().unwrap_or_default();
        let own = entries.iter().filter(|entry| entry.key_span.source == node.span.source);
        let last = own.max_by_key(|entry| entry.key_span.start);
        let Some(last) = last else {
            // An empty map, or no value.
            let is_empty = node.is_null() || node.as_map().is_some_and(<[Entry]>::is_empty);
            let value = Json::Object(Map::from_iter([(key.to_owned(), value.clone())]));
            return if is_empty { self.replace(node, &value) } else { None };
        };
        let text = &self.sources.get(node.span.source)?.text;
        let is_flow = text.get(node.span.start as usize..)?.starts_with('{');
        let key = flow(&Json::from(key), "")?;
        // The value of an expression is in another file.
        let is_own = last.value.span.source == node.span.source;
        let at = if is_own { last.value.span } else { last.key_span };
        let (start, end) = (at.start as usize, at.end as usize);
        let end = start + text.get(start..end)?.trim_end().len();
        let (end, new) = if is_flow && !is_own {
            return None;
        } else if is_flow {
            (end, format!(", {key}: {}", flow(value, "")?))
        } else {
            let before = text.get(..last.key_span.start as usize)?;
            let indent = before.len() - before.rfind('\n').map_or(0, |end| end + 1);
            let value = match self.layout == Layout::Block && is_filled(value) {
                true => format!("\n{}", block(value, indent + 2)?),
                false => format!(" {}", flow(value, "")?),
            };
            // After the comment of the last line.
            (end_of_line(text, end)?, format!("\n{}{key}:{value}", " ".repeat(indent)))
        };
        self.edits.push(Edit { source: node.span.source, at: end..end, text: new });
        Some(())
    }
}

/// The text of a list.
struct List<'a> {
    text: &'a str,
    /// True for `[a, b]`.
    is_flow: bool,
    items: &'a [Node],
}

impl List<'_> {
    /// The range of an item, with what separates it from the others. In a block, this includes the comments of the item.
    fn range_of(&self, position: usize) -> Option<Range<usize>> {
        let item = self.items.get(position)?;
        if !self.is_flow {
            let end = end_of_line(self.text, end_of(self.text, item)?)?;
            let rest = self.text.get(end..)?;
            let line_end = rest.find('\n').map_or(self.text.len(), |length| end + length + 1);
            return Some(self.begin_of_comments(item)?..line_end);
        }
        let range =
            match (position.checked_sub(1).and_then(|before| self.items.get(before)), self.items.get(position + 1)) {
                (Some(before), _) => end_of(self.text, before)?..end_of(self.text, item)?,
                (None, Some(after)) => item.span.start as usize..after.span.start as usize,
                (None, None) => return None,
            };
        (!has_comment(self.text.get(range.clone())?)).then_some(range)
    }

    /// The place and the text of a new item: behind another item, or before the first one.
    fn addition(&self, behind: Option<usize>, value: &Json) -> Option<(usize, String)> {
        let near = self.items.get(behind.unwrap_or(0))?;
        if self.is_flow {
            let item = flow_style(value)?;
            return Some(match behind {
                Some(_) => (end_of(self.text, near)?, format!(", {item}")),
                None => (near.span.start as usize, format!("{item}, ")),
            });
        }
        let (_, indent) = self.dash_line(near)?;
        let is_flow = self.text.get(near.span.start as usize..)?.starts_with(['{', '[']);
        let item = match is_filled(value) && !is_flow {
            true => block(value, indent + 2)?.trim_start().to_owned(),
            false => flow_style(value)?,
        };
        let item = format!("{}- {item}", " ".repeat(indent));
        Some(match behind {
            Some(_) => (end_of_line(self.text, end_of(self.text, near)?)?, format!("\n{item}")),
            None => (self.begin_of_comments(near)?, format!("{item}\n")),
        })
    }

    /// The beginning of the line of an item, and the indent of its dash. `None` if the line has more before the item than the
    /// dash.
    fn dash_line(&self, item: &Node) -> Option<(usize, usize)> {
        let before = self.text.get(..item.span.start as usize)?;
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let line = before.get(begin..)?;
        let dash = line.trim_start_matches(' ');
        (dash.trim_end() == "-").then_some((begin, line.len() - dash.len()))
    }

    /// The beginning of the comment lines right above an item.
    fn begin_of_comments(&self, item: &Node) -> Option<usize> {
        let (mut begin, _) = self.dash_line(item)?;
        while let Some(end) = begin.checked_sub(1) {
            let line = self.text.get(..end)?.rfind('\n').map_or(0, |end| end + 1);
            if !self.text.get(line..end)?.trim_start().starts_with('#') {
                break;
            }
            begin = line;
        }
        Some(begin)
    }
}

/// The end of a value's text, without comments and blanks after it. `None` if a part of it is in another file.
fn end_of(text: &str, node: &Node) -> Option<usize> {
    let (start, end) = (node.span.start as usize, node.span.end as usize);
    let own = text.get(start..end)?;
    let last = match &node.kind {
        _ if own.starts_with(['{', '[']) => None,
        NodeKind::Map(entries) => {
            let last = entries.iter().max_by_key(|entry| entry.key_span.start)?;
            if last.value.is_null() && last.value.span.start <= last.key_span.end {
                // The colon.
                return Some(last.key_span.end as usize + 1);
            }
            Some(&last.value)
        }
        NodeKind::List(items) => items.last(),
        _ => None,
    };
    match last {
        Some(last) if last.span.source == node.span.source => end_of(text, last),
        Some(_) => None,
        None => Some(start + own.trim_end().len()),
    }
}

/// A step from the items of a list to the wanted ones.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// The item at a position gets this value.
    Keep(usize, &'a Json),
    Remove(usize),
    Add(&'a Json),
}

/// The steps with the fewest removed items. Items are the same if they are equal, or have the same `name`.
fn steps<'a>(items: &[Node], wanted: &'a [Json]) -> Vec<Step<'a>> {
    /// Longer lists are compared by position.
    const MOST_PAIRS: usize = 4_000_000;
    let old: Vec<Json> = items.iter().map(Node::to_json).collect();
    let (rows, columns) = (old.len(), wanted.len());
    let is_same = |one: &Json, other: &Json| {
        one == other || one.get("name").is_some_and(|name| !name.is_null() && other.get("name") == Some(name))
    };
    // The number of the same items from a position of each list on.
    let mut longest = vec![vec![0_usize; columns + 1]; if rows * columns > MOST_PAIRS { 0 } else { rows + 1 }];
    let at = |longest: &[Vec<usize>], row: usize, column: usize| {
        longest.get(row).and_then(|line| line.get(column)).copied().unwrap_or_default()
    };
    for (row, item) in old.iter().enumerate().rev().filter(|_| rows * columns <= MOST_PAIRS) {
        for (column, value) in wanted.iter().enumerate().rev() {
            let best = match is_same(item, value) {
                true => at(&longest, row + 1, column + 1) + 1,
                false => at(&longest, row + 1, column).max(at(&longest, row, column + 1)),
            };
            if let Some(cell) = longest.get_mut(row).and_then(|line| line.get_mut(column)) {
                *cell = best;
            }
        }
    }
    let (mut found, mut row, mut column) = (Vec::new(), 0, 0);
    // The items between two that are the same.
    let (mut removed, mut added): (Vec<usize>, Vec<&Json>) = (Vec::new(), Vec::new());
    loop {
        match (old.get(row), wanted.get(column)) {
            (Some(item), Some(value)) if is_same(item, value) && !longest.is_empty() => {
                close(&mut removed, &mut added, &mut found);
                found.push(Step::Keep(row, value));
                (row, column) = (row + 1, column + 1);
            }
            (Some(_), Some(_)) if at(&longest, row + 1, column) >= at(&longest, row, column + 1) => {
                removed.push(row);
                row += 1;
            }
            (_, Some(value)) => {
                added.push(value);
                column += 1;
            }
            (Some(_), None) => {
                removed.push(row);
                row += 1;
            }
            (None, None) => break,
        }
    }
    close(&mut removed, &mut added, &mut found);
    found
}

/// Adds the steps of the items between two that are the same.
fn close<'a>(removed: &mut Vec<usize>, added: &mut Vec<&'a Json>, found: &mut Vec<Step<'a>>) {
    if removed.len() == added.len() {
        // Each item gets another value.
        found.extend(removed.drain(..).zip(added.drain(..)).map(|(position, value)| Step::Keep(position, value)));
    } else {
        found.extend(removed.drain(..).map(Step::Remove));
        found.extend(added.drain(..).map(Step::Add));
    }
}

/// The end of the line around an offset, without its line end.
fn end_of_line(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let line = rest.split('\n').next().unwrap_or_default();
    Some(at + line.strip_suffix('\r').unwrap_or(line).len())
}

/// True if a text may have a comment.
fn has_comment(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with('#') || line.contains(" #") || line.contains("\t#"))
}

/// A value in one line, in the style that people write: `{name: id, type: INT}`.
fn flow_style(value: &Json) -> Option<String> {
    let parts = |parts: Option<Vec<String>>| parts.map(|parts| parts.join(", "));
    Some(match value {
        Json::Array(items) => format!("[{}]", parts(items.iter().map(flow_style).collect())?),
        Json::Object(entries) => {
            let entry = |(key, value): (&String, &Json)| {
                Some(format!("{}: {}", flow(&Json::from(key.as_str()), "")?, flow_style(value)?))
            };
            format!("{{{}}}", parts(entries.iter().map(entry).collect())?)
        }
        value => flow(value, "")?,
    })
}

/// True for a list or a map with items.
fn is_filled(value: &Json) -> bool {
    match value {
        Json::Array(items) => !items.is_empty(),
        Json::Object(entries) => !entries.is_empty(),
        _ => false,
    }
}

/// A value in lines with an indent, without the last line end.
fn block(value: &Json, indent: usize) -> Option<String> {
    let text = serde_saphyr::to_string(&OtherFormat(value)).ok()?;
    let lines: Vec<String> = text.trim_end().lines().map(|line| format!("{}{line}", " ".repeat(indent))).collect();
    Some(lines.join("\n"))
}

/// A value in one line. A text has no quotes if the old one has none and it needs none.
fn flow(value: &Json, old: &str) -> Option<String> {
    let quoted = serde_json::to_string(value).ok()?;
    let Some(text) = value.as_str().filter(|_| !old.starts_with(['"', '\''])) else { return Some(quoted) };
    let is_simple = !text.is_empty() && text.chars().all(|char| char.is_alphanumeric() || "-_./:@".contains(char));
    let parsed = yaml::parse(SourceId::default(), text, &Budget::default());
    let is_same = is_simple && parsed.is_ok_and(|node| matches!(&node.kind, NodeKind::Text(same) if same == text));
    Some(if is_same { text.to_owned() } else { quoted })
}

/// The changed files. `None` if two edits overlap.
fn apply(sources: &Sources, mut edits: Vec<Edit>) -> Option<Vec<Written>> {
    edits.sort_by_key(|edit| (edit.source, edit.at.start));
    let mut written: BTreeMap<SourceId, (String, usize)> = BTreeMap::new();
    for edit in &edits {
        let text = &sources.get(edit.source)?.text;
        let (new, done) = written.entry(edit.source).or_default();
        new.push_str(text.get(*done..edit.at.start)?);
        // The line ends of Windows stay.
        match text.contains("\r\n") {
            true => new.push_str(&edit.text.replace('\n', "\r\n")),
            false => new.push_str(&edit.text),
        }
        *done = edit.at.end;
    }
    let finish = |(source, (mut new, done)): (SourceId, (String, usize))| {
        new.push_str(sources.get(source)?.text.get(done..)?);
        Some(Written { source, text: new })
    };
    written.into_iter().map(finish).collect()
}

/// The files with their new texts, as other sources.
fn replaced(sources: &Sources, files: &EntityFiles, written: &[Written]) -> Option<(Sources, EntityFiles)> {
    let mut changed = Sources::default();
    let mut add = |id: SourceId| {
        let source = sources.get(id)?;
        let text = written.iter().find(|file| file.source == id).map_or(&*source.text, |file| file.text.as_str());
        Some(changed.add(source.name.as_str(), text))
    };
    let files = EntityFiles {
        catalog: add(files.catalog)?,
        parameters: files.parameters.and_then(&mut add),
        configuration: files.configuration.and_then(&mut add),
        ..files.clone()
    };
    Some((changed, files))
}

/// Sets a value in a document.
fn put(document: &mut Json, path: &str, value: &Json) -> Option<()> {
    let mut node = document;
    for part in path.split('.') {
        if node.is_null() {
            *node = Json::Object(Map::new());
        }
        node = node.as_object_mut()?.entry(part).or_insert(Json::Null);
    }
    *node = value.clone();
    Some(())
}

#[cfg(test)]
mod tests;
