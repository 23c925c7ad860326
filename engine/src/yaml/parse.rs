//! The parser's events to nodes, in one pass over the text and within a budget.

use super::mapping::{MANY, Merge, deduplicate, expand_merges};
use super::options::{Budget, ParseOptions, Parsed};
use super::scalar;
use super::slips::{RENDER, is_strange_space, strange_space};
use super::syntax::syntax_error;
use super::{Entry, Node, NodeKind};
use crate::diagnostic::{Diagnostic, has_errors};
use crate::source::{SourceId, Span};
use granit_parser::{Event, Options, Parser, ScalarStyle, StructureStyle, Tag};
use std::collections::HashMap;

/// Reads one YAML (or JSON) document strictly.
///
/// # Errors
/// When the text is no such document, or is over the budget; each with a place.
pub fn parse(source: SourceId, text: &str, budget: &Budget) -> Result<Node, Vec<Diagnostic>> {
    let options = ParseOptions { budget: *budget, ..ParseOptions::default() };
    parse_with(source, text, &options).map(|parsed| parsed.node)
}

/// Reads one YAML (or JSON) document.
///
/// # Errors
/// When the text is no such document, or is over the budget; each with a place.
pub fn parse_with(source: SourceId, text: &str, options: &ParseOptions) -> Result<Parsed, Vec<Diagnostic>> {
    let mut builder = Builder::new(source, text, options);
    if let Err(stop) = builder.read() {
        builder.diagnostics.push(*stop);
    }
    builder.finish()
}

/// What ends the reading at once; boxed, because it travels through every call.
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

/// A list or map that is not closed yet.
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

/// An anchored node, to be copied by its aliases.
struct Anchor {
    node: Node,
    size: Size,
}

/// What copying a node costs.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    /// The nodes, and the length of their texts in units of [`UNIT`].
    weight: usize,
    /// How deep it nests.
    height: usize,
}

/// So many bytes of text weigh as much as a node, or aliases of one long text would be a bomb of few nodes.
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
            let message = format!("the text has {} bytes, and {} are allowed", self.text.len(), budget.bytes);
            return Err(over_budget(message, Span::new(self.source, 0, 0)));
        }
        let mut options = Options::default();
        options.set_emit_comments(false);
        // Our own depth is checked on every start event, so the parser's limits only have to lie above it.
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
            let (start, what) = match first_line.starts_with('#') {
                true => (start, "has nothing but comments"),
                false => (0, "is empty"),
            };
            let end = start + first_line.len();
            return Err(Box::new(
                Diagnostic::error("empty_file", format!("the file {what}: expected a YAML map"))
                    .at(Span::new(self.source, start, end.min(self.text.len())))
                    .hint("write a descriptor that begins with `kind: Stack`, or a data product"),
            ));
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) if self.has_document => Err(Box::new(
                Diagnostic::error("several_documents", "a second YAML document begins here: expected one document")
                    .at(span)
                    .hint("remove the `---`, or write each document to a file of its own"),
            )),
            Event::DocumentStart(..) => {
                self.has_document = true;
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                // The parser says `~` for what is not there at all.
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
        // A block has no opening bracket: it ends where its last item does.
        let end = if style == StructureStyle::Flow { span.end } else { span.start };
        let span = Span { end, ..span };
        let (nodes_before, weight_before) = (self.nodes, self.weight);
        self.open.push(Frame { span, anchor, nodes_before, weight_before, height: 0, content });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), Stop> {
        let Some(mut frame) = self.open.pop() else { return Ok(()) };
        // The end of a flow collection is its bracket; that of a block is where the next token begins.
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
        if self.diagnostics.len() >= MANY {
            let message = format!("the text has {MANY} mistakes up to here; what follows was not read");
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
        let hint = if is_template { RENDER } else { "put the key in quotes, or give the list a key of its own" };
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

    /// Keeps a copy of an anchored node. Copies count, or nested anchors would be the bomb that aliases are not.
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
                    .hint("write the value out, or move the anchor to a part that does not hold the alias"),
            ));
        };
        let depth = self.options.budget.depth;
        if self.open.len() + size.height > depth {
            return Err(over_budget(format!("lists and maps are nested deeper than {depth} levels"), span));
        }
        // Counted before the copy is made: a bomb must not go off first.
        self.copied = self.copied.saturating_add(size.weight);
        self.count(size.nodes, size.weight, span)?;
        let kind = self.anchors.get(&anchor).map_or(NodeKind::Null, |anchor| anchor.node.kind.clone());
        if self.expects_key() {
            let NodeKind::Text(text) = kind else { return Err(self.non_text_key(span)) };
            return self.take_key(&text, ScalarStyle::DoubleQuoted, span);
        }
        // The copy stands where the alias does; what is in it, where it was written.
        self.attach(Node { span, kind }, size.height)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Node, Stop> {
        let kind = match tag {
            None if style == ScalarStyle::Plain => scalar::resolve(text),
            None => NodeKind::Text(text.to_owned()),
            Some(tag) if tag.original() == "!" => NodeKind::Text(text.to_owned()),
            Some(tag) => {
                let Some(suffix) = tag.core_suffix() else { return Err(foreign_tag(tag, span)) };
                scalar::resolve_tagged(suffix, text).ok_or_else(|| {
                    Box::new(
                        Diagnostic::error("yaml_tag", format!("`{text}` is not what its tag `!!{suffix}` says"))
                            .at(span)
                            .hint("remove the tag, or correct the value"),
                    )
                })?
            }
        };
        Ok(Node { span: self.trimmed(span, style), kind })
    }

    /// A block scalar's range runs to the next line that is not its own: the line breaks at the end are cut.
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

/// Refuses a key that begins or ends with a character that only looks like a space.
fn check_spaces(key: &str, span: Span) -> Result<(), Stop> {
    let is_item = key.starts_with('-');
    let inner = key.strip_prefix('-').unwrap_or(key);
    let first = inner.chars().next().filter(|char| is_strange_space(*char));
    let last = inner.chars().next_back().filter(|char| is_strange_space(*char));
    let (char, what, at) = match (first, last) {
        (Some(char), _) if is_item => (char, "`-` is followed by", span.start as usize + 1),
        (Some(char), _) => (char, "this line or key begins with", span.start as usize),
        (None, Some(char)) => (char, "this key ends with", (span.end as usize).saturating_sub(char.len_utf8())),
        (None, None) => return Ok(()),
    };
    let message = format!("{what} {}, which YAML does not take for a space", strange_space(char));
    let span = Span::new(span.source, at, at + char.len_utf8());
    Err(Box::new(
        Diagnostic::error("yaml_syntax", message).at(span).hint("write spaces, as many as in the lines around"),
    ))
}

fn foreign_tag(tag: &Tag, span: Span) -> Stop {
    Box::new(
        Diagnostic::error("yaml_tag", format!("the tag `{}` means nothing here", tag.original()))
            .at(span)
            .hint("remove the tag; text that begins with `!` goes in quotes"),
    )
}

fn over_budget(message: String, span: Span) -> Stop {
    Box::new(Diagnostic::error("budget", message).at(span).hint("split the text into smaller files, or flatten it"))
}
