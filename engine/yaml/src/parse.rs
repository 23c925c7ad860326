//! Conversion of the parser's events to nodes, in one pass over the text and within a budget.

use super::mapping::{MAX_ERRORS, Merge, deduplicate, expand_merges};
use super::options::{Budget, ParseOptions, Parsed};
use super::syntax::syntax_error;
use super::typing_errors::{RENDER, describe_unusual_space, is_unusual_space};
use super::{Entry, Node, NodeKind};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::source::{SourceId, Span};
use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle, Tag};
use std::collections::HashMap;

/// The code of the error for a file without content.
pub const EMPTY_FILE: &str = "empty_file";

/// Reads one YAML (or JSON) document strictly.
///
/// # Errors
/// When the text is not such a document, or exceeds the budget; each error has a place.
pub fn parse(source: SourceId, text: &str, budget: &Budget) -> Result<Node, Vec<Diagnostic>> {
    let options = ParseOptions { budget: *budget, ..ParseOptions::default() };
    parse_with(source, text, &options).map(|parsed| parsed.node)
}

/// Reads one YAML (or JSON) document.
///
/// # Errors
/// When the text is not such a document, or exceeds the budget; each error has a place.
pub fn parse_with(source: SourceId, text: &str, options: &ParseOptions) -> Result<Parsed, Vec<Diagnostic>> {
    let mut builder = Builder::new(source, text, options);
    if let Err(stop) = builder.read() {
        builder.diagnostics.push(*stop);
    }
    builder.finish()
}

/// An error that stops reading; boxed, because many calls pass it on.
pub(super) type Stop = Box<Diagnostic>;

struct Builder<'t> {
    source: SourceId,
    text: &'t str,
    options: &'t ParseOptions,
    open: Vec<Frame>,
    anchors: HashMap<usize, Anchor>,
    root: Option<Node>,
    has_document: bool,
    nodes: usize,
    weight: usize,
    copied: usize,
    diagnostics: Vec<Diagnostic>,
}

/// An open list or map.
struct Frame {
    span: Span,
    anchor: usize,
    nodes_before: usize,
    weight_before: usize,
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<Merge>, key: Option<Key> },
}

struct Key {
    text: String,
    span: Span,
    is_merge: bool,
}

/// An anchored node that aliases copy.
struct Anchor {
    node: Node,
    size: Size,
}

/// The cost of copying a node.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    /// The number of nodes, plus the length of their texts in units of [`UNIT`].
    weight: usize,
    /// The depth of the node.
    height: usize,
}

/// Bytes of text that weigh as much as a node. Otherwise aliases of a long text would be a bomb of few nodes.
const UNIT: usize = 64;

impl<'t> Builder<'t> {
    fn new(source: SourceId, text: &'t str, options: &'t ParseOptions) -> Self {
        Self {
            source,
            text,
            options,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            has_document: false,
            nodes: 0,
            weight: 0,
            copied: 0,
            diagnostics: Vec::new(),
        }
    }

    fn finish(self) -> Result<Parsed, Vec<Diagnostic>> {
        match self.root {
            Some(node) if !has_errors(&self.diagnostics) => Ok(Parsed { node, warnings: self.diagnostics }),
            _ => Err(self.diagnostics),
        }
    }

    fn read(&mut self) -> Result<(), Stop> {
        let budget = &self.options.budget;
        if self.text.len() > budget.bytes {
            let message = format!("the text has {} bytes, but only {} are allowed", self.text.len(), budget.bytes);
            return Err(over_budget(message, Span::new(self.source, 0, 0)));
        }
        let mut options = Options::default();
        options.set_emit_comments(false);
        // `open` checks the depth on every start event, so the parser's limits only have to be higher.
        options.flow_nesting_limit = budget.depth.saturating_add(1);
        options.block_nesting_limit = budget.depth.saturating_add(1);
        for event in Parser::new_from_str_with_options(self.text, options) {
            let (event, span) =
                event.map_err(|error| Box::new(syntax_error(&error, self.text, self.source, budget)))?;
            let range = span.byte_range().unwrap_or_default();
            self.take(event, Span::new(self.source, range.start, range.end))?;
        }
        let is_empty = self.root.as_ref().is_none_or(|root| root.is_null() && root.span.start == root.span.end);
        if is_empty {
            let first_line = self.text.trim_start().lines().next().unwrap_or_default();
            let start = self.text.len() - self.text.trim_start().len();
            let (start, problem) = match first_line.starts_with('#') {
                true => (start, "contains only comments"),
                false => (0, "is empty"),
            };
            let end = start + first_line.len();
            return Err(Box::new(
                Diagnostic::error(EMPTY_FILE, format!("the file {problem}: expected a YAML map"))
                    .at(Span::new(self.source, start, end.min(self.text.len())))
                    .hint("write `name: value` lines into it, or leave the file out"),
            ));
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) if self.has_document => Err(Box::new(
                Diagnostic::error("several_documents", "a second YAML document begins here: expected one document")
                    .at(span)
                    .hint("remove the `---`, or write each document to its own file"),
            )),
            Event::DocumentStart(..) => {
                self.has_document = true;
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                // The parser reports `~` for an absent value.
                let is_absent = style == ScalarStyle::Plain && span.start == span.end;
                let text = if is_absent { "".into() } else { text };
                let is_key = self.expects_key();
                if is_key && anchor == 0 && tag.is_none() {
                    return self.take_key(&text, style, span);
                }
                let node = self.scalar(&text, style, tag.as_deref(), span)?;
                let weight = 1 + text.len() / UNIT;
                self.count(1, weight, span)?;
                self.remember(anchor, &node, Size { nodes: 1, weight, height: 0 })?;
                if is_key { self.take_key(&text, style, span) } else { self.attach(node, 0) }
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", span)?;
                self.open(Content::List(Vec::new()), style, anchor, span)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", span)?;
                self.open(Content::Map { entries: Vec::new(), merges: Vec::new(), key: None }, style, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(anchor) => self.expand(anchor, span),
            _ => Ok(()),
        }
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }))
    }

    fn take_key(&mut self, text: &str, style: ScalarStyle, span: Span) -> Result<(), Stop> {
        let is_plain = style == ScalarStyle::Plain;
        if text.is_empty() && is_plain {
            return Err(Box::new(
                Diagnostic::error("empty_key", "an entry without a key: expected text before the `:`")
                    .at(span)
                    .hint("write `key: value`, or put the whole text in quotes"),
            ));
        }
        if is_plain {
            check_spaces(text, span)?;
        }
        self.weight = self.weight.saturating_add(text.len() / UNIT);
        if let Some(Frame { content: Content::Map { key, .. }, .. }) = self.open.last_mut() {
            *key = Some(Key { text: text.to_owned(), span, is_merge: is_plain && text == "<<" });
        }
        Ok(())
    }

    fn open(&mut self, content: Content, style: StructureStyle, anchor: usize, span: Span) -> Result<(), Stop> {
        if self.expects_key() {
            return Err(self.non_text_key(span));
        }
        let depth = self.options.budget.depth;
        if self.open.len() >= depth {
            return Err(over_budget(format!("lists and maps are nested deeper than {depth} levels"), span));
        }
        self.count(1, 1, span)?;
        // A block has no opening bracket: it ends with its last item.
        let end = if style == StructureStyle::Flow { span.end } else { span.start };
        let span = Span { end, ..span };
        let (nodes_before, weight_before) = (self.nodes, self.weight);
        self.open.push(Frame { span, anchor, nodes_before, weight_before, height: 0, content });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Stop> {
        let Some(mut frame) = self.open.pop() else { return Ok(()) };
        // A flow collection ends with its bracket; a block ends where the next token begins.
        let is_bracket = span.end > span.start;
        if is_bracket {
            frame.span.end = frame.span.end.max(span.end);
        }
        let kind = match frame.content {
            Content::List(items) => NodeKind::List(items),
            Content::Map { mut entries, merges, .. } => {
                deduplicate(&mut entries, self.options.duplicate_keys, &mut self.diagnostics);
                if !merges.is_empty() {
                    expand_merges(&mut entries, merges, &mut self.diagnostics);
                }
                NodeKind::Map(entries)
            }
        };
        if self.diagnostics.len() >= MAX_ERRORS {
            let message = format!("the text has {MAX_ERRORS} errors up to here; the rest was not read");
            return Err(Box::new(
                Diagnostic::error("too_many_mistakes", message).at(frame.span).hint("correct these errors first"),
            ));
        }
        let node = Node { span: frame.span, kind };
        let size = Size {
            nodes: self.nodes.saturating_sub(frame.nodes_before) + 1,
            weight: self.weight.saturating_sub(frame.weight_before) + 1,
            height: frame.height + 1,
        };
        self.remember(frame.anchor, &node, size)?;
        self.attach(node, size.height)
    }

    fn non_text_key(&self, span: Span) -> Stop {
        let rest = self.text.get(span.start as usize..).unwrap_or_default();
        let is_template =
            self.text.get(..span.start as usize).is_some_and(|before| before.ends_with('{')) && rest.starts_with('{');
        let hint = if is_template { RENDER } else { "put the key in quotes, or give the list its own key" };
        let message = "a key that is a list or a map: expected text";
        Box::new(Diagnostic::error("key_is_no_text", message).at(span).hint(hint))
    }

    fn attach(&mut self, node: Node, height: usize) -> Result<(), Stop> {
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        frame.height = frame.height.max(height);
        frame.span.end = frame.span.end.max(node.span.end);
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, merges, key } => match key.take() {
                Some(key) if key.is_merge => {
                    merges.push(Merge { position: entries.len(), key_span: key.span, value: node });
                }
                Some(key) => {
                    let is_absent = node.is_null() && node.span.start == node.span.end;
                    let span = if is_absent { Span { start: key.span.end, ..key.span } } else { node.span };
                    entries.push(Entry { key: key.text, key_span: key.span, value: Node { span, ..node } });
                }
                None => return Err(self.non_text_key(node.span)),
            },
        }
        Ok(())
    }

    /// Stores a copy of an anchored node. The copy counts, because nested anchors would otherwise form a bomb without
    /// aliases.
    fn remember(&mut self, anchor: usize, node: &Node, size: Size) -> Result<(), Stop> {
        if anchor != 0 {
            self.copied = self.copied.saturating_add(size.weight);
            self.check_budget(node.span)?;
            self.anchors.insert(anchor, Anchor { node: node.clone(), size });
        }
        Ok(())
    }

    fn expand(&mut self, anchor: usize, span: Span) -> Result<(), Stop> {
        let Some(size) = self.anchors.get(&anchor).map(|anchor| anchor.size) else {
            return Err(Box::new(
                Diagnostic::error("alias_of_itself", "this alias refers to the value that it is part of")
                    .at(span)
                    .hint("write the value out, or move the anchor to a part that does not contain the alias"),
            ));
        };
        let depth = self.options.budget.depth;
        if self.open.len() + size.height > depth {
            return Err(over_budget(format!("lists and maps are nested deeper than {depth} levels"), span));
        }
        // Count before copying, so that a bomb cannot use the memory.
        self.copied = self.copied.saturating_add(size.weight);
        self.count(size.nodes, size.weight, span)?;
        let kind = self.anchors.get(&anchor).map_or(NodeKind::Null, |anchor| anchor.node.kind.clone());
        if self.expects_key() {
            let NodeKind::Text(text) = kind else { return Err(self.non_text_key(span)) };
            return self.take_key(&text, ScalarStyle::DoubleQuoted, span);
        }
        // The copy has the place of the alias; its content keeps its own places.
        self.attach(Node { span, kind }, size.height)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Node, Stop> {
        let kind = match tag {
            None if style == ScalarStyle::Plain => (self.options.schema.resolve)(text),
            None => NodeKind::Text(text.to_owned()),
            Some(tag) if tag.original() == "!" => NodeKind::Text(text.to_owned()),
            Some(tag) => {
                let Some(suffix) = tag.core_suffix() else { return Err(foreign_tag(tag, span)) };
                (self.options.schema.resolve_tagged)(suffix, text).ok_or_else(|| {
                    Box::new(
                        Diagnostic::error("yaml_tag", format!("`{text}` does not match its tag `!!{suffix}`"))
                            .at(span)
                            .hint("remove the tag, or correct the value"),
                    )
                })?
            }
        };
        Ok(Node { span: self.trimmed(span, style), kind })
    }

    /// Cuts the line breaks at the end of a block scalar, whose range extends to the next line.
    fn trimmed(&self, span: Span, style: ScalarStyle) -> Span {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return span;
        }
        let range = span.start as usize..span.end as usize;
        let written = self.text.get(range).unwrap_or_default().trim_end().len();
        Span::new(self.source, span.start as usize, span.start as usize + written)
    }

    fn check_tag(&self, tag: Option<&Tag>, suffix: &str, span: Span) -> Result<(), Stop> {
        match tag {
            Some(tag) if tag.original() != "!" && tag.core_suffix() != Some(suffix) => Err(foreign_tag(tag, span)),
            _ => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize, weight: usize, span: Span) -> Result<(), Stop> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.weight = self.weight.saturating_add(weight);
        self.check_budget(span)
    }

    fn check_budget(&self, span: Span) -> Result<(), Stop> {
        let budget = &self.options.budget;
        if self.nodes > budget.nodes {
            let error = over_budget(format!("the text has more than {} values", budget.nodes), span);
            return Err(match budget.raise {
                Some(raise) => Box::new(error.hint(format!("split the text into smaller files, or {raise}"))),
                None => error,
            });
        }
        if self.copied > budget.alias_nodes {
            let message = format!("anchors and aliases copy more than {} values", budget.alias_nodes);
            return Err(over_budget(message, span));
        }
        Ok(())
    }
}

/// Refuses a key that begins or ends with an invisible character.
fn check_spaces(key: &str, span: Span) -> Result<(), Stop> {
    let is_item = key.starts_with('-');
    let inner = key.strip_prefix('-').unwrap_or(key);
    let first = inner.chars().next().filter(|char| is_unusual_space(*char));
    let last = inner.chars().next_back().filter(|char| is_unusual_space(*char));
    let (char, problem, at) = match (first, last) {
        (Some(char), _) if is_item => (char, "`-` is followed by", span.start as usize + 1),
        (Some(char), _) => (char, "this line or key begins with", span.start as usize),
        (None, Some(char)) => (char, "this key ends with", (span.end as usize).saturating_sub(char.len_utf8())),
        (None, None) => return Ok(()),
    };
    let message = format!("{problem} {}, which YAML does not treat as a space", describe_unusual_space(char));
    let span = Span::new(span.source, at, at + char.len_utf8());
    Err(Box::new(
        Diagnostic::error("yaml_syntax", message).at(span).hint("replace it with spaces, as in the lines around"),
    ))
}

fn foreign_tag(tag: &Tag, span: Span) -> Stop {
    Box::new(
        Diagnostic::error("yaml_tag", format!("the tag `{}` is not supported", tag.original()))
            .at(span)
            .hint("remove the tag; put text that begins with `!` in quotes"),
    )
}

fn over_budget(message: String, span: Span) -> Stop {
    Box::new(Diagnostic::error("budget", message).at(span).hint("split the text into smaller files, or flatten it"))
}
