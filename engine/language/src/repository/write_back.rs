//! Writes values back into the files of an entity. Comments, order and style of everything else stay.
//!
//! An update names a path of the rendered entity (`spec.mesh.specific.schema`) or of `parameters.yaml`
//! (`parameters.schema`). The tree of an entity has the places of its values in the edited files, so an update replaces
//! the text at that place. The result is checked: the changed files are read again, and must have exactly the requested
//! values. A value that an expression computes therefore fails instead of breaking the expression.

use super::entity::Entity;
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
        let layouts = [Layout::Block, Layout::Flow].into_iter();
        match layouts.filter_map(|layout| attempt(from, &current, environment, path, value, layout)).next() {
            Some(next) => current = next,
            None => failing.push(path),
        }
    }
    // A later update may have changed the value of an earlier one.
    let is_lost = |(path, value): &&(String, Json)| current.trees.value(path).as_ref() != Some(value);
    if failing.is_empty() {
        failing.extend(updates.iter().filter(is_lost).map(|(path, _)| path));
    }
    if !failing.is_empty() {
        let trees = Trees::read(sources, files, environment)?;
        return Err(failing.into_iter().map(|path| trees.not_writable(path)).collect());
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

/// The files with one more update; `None` if they do not have exactly the requested values.
fn attempt(
    sources: &Sources,
    current: &Current,
    environment: &str,
    path: &str,
    value: &Json,
    layout: Layout,
) -> Option<Current> {
    let Current { files, trees, .. } = current;
    let mut edits = Vec::new();
    Editor { sources, layout, edits: &mut edits }.set(trees.root_of(path)?, path, value)?;
    let (sources, files) = replaced(sources, files, &apply(sources, edits)?)?;
    let changed = Trees::read(&sources, &files, environment).ok()?;
    // A changed parameter may change the rendered entity. A changed entity must have no other changes.
    let root = |trees: &Trees| trees.root_of(path).map(Node::to_json);
    let mut wanted = root(trees)?;
    put(&mut wanted, path, value)?;
    (root(&changed)? == wanted).then_some(Current { sources: Some(sources), files, trees: changed })
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

    fn not_writable(&self, path: &str) -> Diagnostic {
        let mut span = self.span;
        let mut node = self.root_of(path);
        for part in path.split('.') {
            node = node.and_then(|node| node.get(part));
            span = node.map_or(span, |node| node.span);
        }
        let message =
            format!("`{path}` cannot be written: an expression computes it, or other values have the same source");
        Diagnostic::error("not_writable", message).at(span).hint("change the file by hand")
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
            (NodeKind::List(items), Json::Array(wanted)) if !items.is_empty() && items.len() == wanted.len() => {
                items.iter().zip(wanted).try_for_each(|(item, value)| self.change(item, value))
            }
            _ => self.replace(node, value),
        }
    }

    fn replace(&mut self, node: &Node, value: &Json) -> Option<()> {
        let text = &self.sources.get(node.span.source)?.text;
        let (start, end) = (node.span.start as usize, node.span.end as usize);
        let old = text.get(start..end)?;
        if old.contains(EXPRESSION.0) {
            return None;
        }
        let at = start..start + old.trim_end().len();
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
            let end = text.get(end..)?.find('\n').map_or(text.len(), |length| end + length);
            (end, format!("\n{}{key}:{value}", " ".repeat(indent)))
        };
        self.edits.push(Edit { source: node.span.source, at: end..end, text: new });
        Some(())
    }
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
        new.push_str(&edit.text);
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
