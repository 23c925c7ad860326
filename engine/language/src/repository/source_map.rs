//! Places of a rendered skeleton: each node gets the place in the file that a person edits.
//!
//! The text of a skeleton maps to itself. The output of an expression maps to the parameter that it reads, or to the
//! expression if it reads several. If the output is the parameter as it is (`${{ parameters.schema | dump }}`), each
//! node in it maps to its own part of the parameter.

use super::parameters::Parameters;
use super::template::{Piece, Rendered, Template};
use crate::diagnostic::{Diagnostic, Label, Location};
use crate::source::{SourceId, Span};
use crate::yaml::{Node, NodeKind};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The places of a rendered skeleton.
pub(super) struct SourceMap<'a> {
    /// The file of the skeleton.
    pub(super) source: SourceId,
    /// Its whole text.
    pub(super) text: &'a str,
    /// The beginning of the template in the text.
    pub(super) offset: usize,
    /// The template.
    pub(super) template: &'a Template,
    /// Its output.
    pub(super) rendered: &'a Rendered,
    /// The parameters that it read.
    pub(super) parameters: &'a Parameters,
    /// Known origins, by the start of the expression.
    pub(super) origins: RefCell<BTreeMap<usize, Option<Origin<'a>>>>,
}

/// The parameter that an expression reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    node: &'a Node,
    /// True if the output is the whole parameter.
    is_whole: bool,
    /// True if the output is its JSON.
    is_dumped: bool,
}

impl<'a> SourceMap<'a> {
    /// Moves the places of a tree from the output to the files.
    pub(super) fn apply(&self, node: &mut Node) {
        let span = node.span;
        if let Some(origin) = self.piece(span.start).and_then(|piece| self.origin_of(piece, span)) {
            return place_like(node, origin);
        }
        node.span = self.place(span);
        match &mut node.kind {
            NodeKind::List(items) => items.iter_mut().for_each(|item| self.apply(item)),
            NodeKind::Map(entries) => {
                for entry in entries {
                    let key_span = entry.key_span;
                    entry.key_span = self.place(key_span);
                    match entry.value.is_null() {
                        true => entry.value.span = self.place_of_nothing(entry.key_span, entry.value.span),
                        false => self.apply(&mut entry.value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Reports lists and maps that the output has as the text of JavaScript: `a,b` and `[object Object]`.
    pub(super) fn check_dumps(&self, diagnostics: &mut Vec<Diagnostic>) {
        let mut known = BTreeSet::new();
        for piece in self.rendered.pieces.iter().filter(|piece| piece.is_expression) {
            let Some(Origin { node, is_whole: true, is_dumped: false }) = self.origin(&piece.source) else { continue };
            // `[${{ parameters.names }}]` is a list of the names.
            let before = self.rendered.text.get(..piece.output.start).unwrap_or_default().trim_end();
            let (code, what, is_error) = match &node.kind {
                NodeKind::Map(_) => ("missing_dump", "a map", true),
                NodeKind::List(items) if items.iter().any(|item| item.as_map().is_some()) => {
                    ("missing_dump", "a list of maps", true)
                }
                NodeKind::List(_) if !before.ends_with('[') => ("missing_dump", "a list", false),
                _ => continue,
            };
            if !known.insert(piece.source.start) {
                continue;
            }
            let source = self.shifted(&piece.source);
            let text = self.text.get(source.clone()).unwrap_or_default().trim();
            let message = format!("`{text}` is {what}, which renders as text");
            let diagnostic =
                if is_error { Diagnostic::error(code, message) } else { Diagnostic::warning(code, message) };
            diagnostics.push(
                diagnostic
                    .at(self.span(source))
                    .at_with(node.span, "the value")
                    .hint(format!("write `${{{{ {text} | dump }}}}`")),
            );
        }
    }

    /// Moves the places of diagnostics about the output. Adds the expression in the line of an error, and its value.
    pub(super) fn apply_to(&self, diagnostics: &mut [Diagnostic]) {
        for diagnostic in diagnostics {
            let piece = if diagnostic.is_error() { self.piece_in_line(diagnostic) } else { None };
            for label in &mut diagnostic.labels {
                if let Location::Span(span) = &mut label.at
                    && span.source == self.source
                {
                    *span = self.place(*span);
                }
            }
            let Some(piece) = piece else { continue };
            let source = self.shifted(&piece.source);
            let text = self.text.get(source.clone()).unwrap_or_default().trim();
            diagnostic.hint = Some(quoting_hint(self.text, &source, text));
            let value = self.origin(&piece.source).map(|origin| (origin.node.span, "the value"));
            for (span, text) in [Some((self.span(source), "the expression")), value].into_iter().flatten() {
                if diagnostic.labels.iter().all(|label| label.at != Location::Span(span)) {
                    diagnostic.labels.push(Label { at: Location::Span(span), text: text.to_owned() });
                }
            }
        }
    }

    /// The expression without `dump` at a place of a diagnostic about the output, or the nearest one in its line.
    fn piece_in_line(&self, diagnostic: &Diagnostic) -> Option<&'a Piece> {
        let text = &self.rendered.text;
        diagnostic.labels.iter().find_map(|label| {
            let Location::Span(span) = &label.at else { return None };
            let at = (span.start as usize).min(text.len());
            let start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
            let end = text.get(at..)?.find('\n').map_or(text.len(), |end| at + end);
            let is_open = |piece: &&Piece| {
                let expression = self.text.get(self.shifted(&piece.source)).unwrap_or_default();
                let is_in_line = piece.output.end > start && piece.output.start <= end;
                piece.is_expression && is_in_line && !expression.contains("dump")
            };
            let pieces = || self.rendered.pieces.iter();
            let before = pieces().rfind(|piece| is_open(piece) && piece.output.start <= at);
            before.or_else(|| pieces().find(is_open)).filter(|_| span.source == self.source)
        })
    }

    /// The piece of the output at an offset.
    fn piece(&self, at: u32) -> Option<&'a Piece> {
        let at = at as usize;
        let pieces = &self.rendered.pieces;
        let position = pieces.partition_point(|piece| piece.output.start <= at);
        pieces.get(position.checked_sub(1)?)
    }

    /// The whole parameter that a node is the output of.
    fn origin_of(&self, piece: &Piece, span: Span) -> Option<&'a Node> {
        let (start, end) = (span.start as usize, span.end as usize);
        let is_in = piece.is_expression && start == piece.output.start && end <= piece.output.end;
        self.origin(&piece.source).filter(|origin| is_in && origin.is_whole).map(|origin| origin.node)
    }

    fn place(&self, span: Span) -> Span {
        let Some(piece) = self.piece(span.start) else { return self.span(self.offset..self.offset) };
        if piece.is_expression {
            return match self.origin(&piece.source) {
                Some(origin) => origin.node.span,
                None => self.span(self.shifted(&piece.source)),
            };
        }
        let source = self.shifted(&piece.source);
        let start = source.start + (span.start as usize).saturating_sub(piece.output.start);
        let end = match (span.end as usize) <= piece.output.end {
            true => start + (span.end - span.start) as usize,
            false => source.end,
        };
        self.span(start.min(source.end)..end)
    }

    /// The place of a value that renders empty: the expression after the key, or its parameter.
    fn place_of_nothing(&self, key: Span, value: Span) -> Span {
        let after = self.text.get(key.end as usize..).unwrap_or_default();
        let rest = after.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':').map(str::trim_start);
        let inner = rest.and_then(|rest| rest.strip_prefix("${{")).and_then(|rest| rest.split_once("}}"));
        let Some((inner, after)) = inner.filter(|_| key.source == self.source) else { return self.place(value) };
        let start = self.text.len() - after.len() - "}}".len() - inner.len();
        let range = start.saturating_sub(self.offset)..(start + inner.len()).saturating_sub(self.offset);
        match self.origin(&range) {
            Some(origin) => origin.node.span,
            None => self.span(start - "${{".len()..start + inner.len() + "}}".len()),
        }
    }

    /// The only parameter that an expression reads.
    fn origin(&self, source: &Range<usize>) -> Option<Origin<'a>> {
        if let Some(known) = self.origins.borrow().get(&source.start) {
            return *known;
        }
        let origin = self.find_origin(source);
        self.origins.borrow_mut().insert(source.start, origin);
        origin
    }

    fn find_origin(&self, source: &Range<usize>) -> Option<Origin<'a>> {
        let text = self.text.get(self.shifted(source))?.trim();
        let mut nodes: Vec<&'a Node> = Vec::new();
        for reference in self.template.references_of(text) {
            let node = self.parameters.find(&reference)?;
            if !nodes.iter().any(|known| std::ptr::eq(*known, node)) {
                nodes.push(node);
            }
        }
        let [node] = nodes.as_slice() else { return None };
        let dumped = text.strip_suffix("dump").map(str::trim_end).and_then(|text| text.strip_suffix('|'));
        let path = dumped.unwrap_or(text).trim();
        let is_whole = self.parameters.find(path).is_some_and(|found| std::ptr::eq(found, *node));
        Some(Origin { node, is_whole, is_dumped: dumped.is_some() })
    }

    fn shifted(&self, source: &Range<usize>) -> Range<usize> {
        source.start + self.offset..source.end + self.offset
    }

    fn span(&self, range: Range<usize>) -> Span {
        Span::new(self.source, range.start, range.end)
    }
}

/// The hint for an expression whose value breaks the YAML: `dump` puts quotes around a whole text only.
fn quoting_hint(file: &str, source: &Range<usize>, expression: &str) -> String {
    let before = file.get(..source.start).unwrap_or_default();
    let before = before.rfind("${{").and_then(|at| before.get(..at)).unwrap_or_default();
    let before = before.rsplit('\n').next().unwrap_or_default();
    let after = file.get(source.end..).and_then(|after| after.split_once("}}")).map_or("", |(_, after)| after);
    let after = after.split('\n').next().unwrap_or_default().trim_start();
    let begins = before.trim().is_empty()
        || before.ends_with([' ', '[', '{', ',']) && before.trim_end().ends_with([':', '-', '[', '{', ',']);
    let ends = after.is_empty() || after.starts_with([',', ']', '}', '#']) || after.starts_with("{%");
    // A filter binds closer than an operator.
    let is_name = |char: char| char.is_alphanumeric() || "_.[]".contains(char);
    let value = if expression.chars().all(is_name) { expression.to_owned() } else { format!("({expression})") };
    match begins && ends {
        true => format!("if the value breaks the YAML, write `${{{{ {value} | dump }}}}`, which puts it in quotes"),
        false => format!(
            "if the value breaks the YAML, write the whole text as one expression, without quotes around it: `${{{{ (\"…\" + {value} + \"…\") | dump }}}}`"
        ),
    }
}

/// Gives a tree the places of another tree, as far as the two are alike.
fn place_like(node: &mut Node, other: &Node) {
    node.span = other.span;
    match &mut node.kind {
        NodeKind::List(items) => {
            for (position, item) in items.iter_mut().enumerate() {
                place_like(item, other.as_list().and_then(|others| others.get(position)).unwrap_or(other));
            }
        }
        NodeKind::Map(entries) => {
            for entry in entries {
                let like = other.entry(&entry.key);
                entry.key_span = like.map_or(other.span, |like| like.key_span);
                place_like(&mut entry.value, like.map_or(other, |like| &like.value));
            }
        }
        _ => {}
    }
}
