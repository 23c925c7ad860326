//! Builds nodes from the parser's events, in one pass and with limits: specs may come from untrusted folders.

use super::scalar;
use super::{Entry, Kind, Node};
use granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Tag};
use std::collections::HashMap;
use std::ops::Range;

/// Maximum length of the text in bytes.
pub(crate) const LONGEST: usize = 8 << 20;
/// Maximum depth of lists and maps.
const DEPTH: usize = 64;
/// Maximum number of values in a text, including copies by aliases.
const MOST: usize = 200_000;

/// Syntax error, or a problem at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    fn new(at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: Some(hint.into()) }
    }
}

/// Parses a YAML document. The second part lists duplicate keys: PyYAML silently takes the last one.
///
/// # Errors
/// When the text is not a single YAML document, or exceeds a limit.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Fault>), Fault> {
    if text.len() > LONGEST {
        return Err(Fault::new(0..0, "the file is longer than 8 MiB", "split it into several files"));
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.flow_nesting_limit = DEPTH + 1;
    options.block_nesting_limit = DEPTH + 1;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| syntax_fault(&error, text))?;
        builder.handle(event, span.byte_range().unwrap_or_default())?;
    }
    let nothing = Node { at: 0..0, kind: Kind::Null };
    Ok((builder.root.unwrap_or(nothing), builder.duplicates))
}

#[derive(Default)]
struct Builder {
    open: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    has_document: bool,
    count: usize,
    duplicates: Vec<Fault>,
}

/// A list or map that is not closed yet.
struct Frame {
    at: Range<usize>,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merges: Vec<Node>, key: Option<(String, Range<usize>, bool)> },
}

impl Builder {
    fn handle(&mut self, event: Event<'_>, at: Range<usize>) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) if self.has_document => {
                return Err(Fault::new(at, "a second YAML document begins here", "remove the `---`"));
            }
            Event::DocumentStart(..) => self.has_document = true,
            Event::Scalar(text, style, anchor, tag) => {
                // The parser reports a missing value as `~`.
                let text = if style == ScalarStyle::Plain && at.is_empty() { "" } else { &*text };
                let kind = scalar_kind(text, style, tag.as_deref(), &at)?;
                if let Some(Frame { content: Content::Map { key: key @ None, .. }, .. }) = self.open.last_mut() {
                    let is_merge = style == ScalarStyle::Plain && text == "<<";
                    *key = Some((text.to_owned(), at, is_merge));
                    return self.grow(1, 0..0);
                }
                self.attach(Node { at, kind }, anchor)?;
            }
            Event::SequenceStart(_, anchor, _) => self.enter(Content::List(Vec::new()), anchor, at)?,
            Event::MappingStart(_, anchor, _) => {
                self.enter(Content::Map { entries: Vec::new(), merges: Vec::new(), key: None }, anchor, at)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.leave(at.end)?,
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(Fault::new(at, "this alias refers to a value that contains it", "write the value out"));
                };
                self.grow(size(node), at.clone())?;
                let kind = self.anchors.get(&anchor).map_or(Kind::Null, |node| node.kind.clone());
                self.attach(Node { at, kind }, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn grow(&mut self, by: usize, at: Range<usize>) -> Result<(), Fault> {
        self.count = self.count.saturating_add(by);
        if self.count > MOST {
            return Err(Fault::new(at, format!("more than {MOST} values up to here"), "split the file"));
        }
        Ok(())
    }

    fn enter(&mut self, content: Content, anchor: usize, at: Range<usize>) -> Result<(), Fault> {
        let is_key = matches!(self.open.last(), Some(Frame { content: Content::Map { key: None, .. }, .. }));
        if is_key {
            return Err(Fault::new(at, "a key that is a list or a map", "put the key in quotes"));
        }
        if self.open.len() >= DEPTH {
            return Err(Fault::new(at, format!("lists and maps nest deeper than {DEPTH} levels"), "flatten it"));
        }
        self.open.push(Frame { at, anchor, content });
        Ok(())
    }

    fn leave(&mut self, end: usize) -> Result<(), Fault> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let kind = match frame.content {
            Content::List(items) => Kind::List(items),
            Content::Map { mut entries, merges, .. } => {
                self.find_duplicates(&entries);
                for merge in merges {
                    merge_into(&mut entries, merge)?;
                }
                Kind::Map(entries)
            }
        };
        let last = match &kind {
            Kind::List(items) => items.last().map(|item| item.at.end),
            Kind::Map(entries) => entries.last().map(|entry| entry.value.at.end.max(entry.key_at.end)),
            _ => None,
        };
        // The end of a block is the start of the next token, which may be lines below.
        let at = frame.at.start..last.unwrap_or(end).max(frame.at.end);
        self.attach(Node { at, kind }, frame.anchor)
    }

    fn find_duplicates(&mut self, entries: &[Entry]) {
        let mut seen = HashMap::new();
        for entry in entries {
            if seen.insert(entry.key.as_str(), ()).is_some() {
                let message = format!("the key `{}` occurs twice in a map", entry.key);
                let hint = "remove one of the two: only the last one counts";
                self.duplicates.push(Fault::new(entry.key_at.clone(), message, hint));
            }
        }
    }

    fn attach(&mut self, node: Node, anchor: usize) -> Result<(), Fault> {
        self.grow(1, node.at.clone())?;
        if anchor != 0 {
            self.grow(size(&node), node.at.clone())?;
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut frame.content {
            Content::List(items) => items.push(node),
            Content::Map { entries, merges, key } => match key.take() {
                Some((_, _, true)) => merges.push(node),
                Some((key, key_at, false)) => {
                    // A missing value gets the position of its key.
                    let at = if node.at.is_empty() { key_at.clone() } else { node.at };
                    entries.push(Entry { key, key_at, value: Node { at, kind: node.kind } });
                }
                None => return Err(Fault::new(node.at, "a key that is not text", "put the key in quotes")),
            },
        }
        Ok(())
    }
}

/// Merges maps; keys of the map itself take precedence.
fn merge_into(entries: &mut Vec<Entry>, merge: Node) -> Result<(), Fault> {
    match merge.kind {
        Kind::Map(merged) => {
            for entry in merged {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Kind::List(items) => items.into_iter().try_for_each(|item| merge_into(entries, item)),
        _ => Err(Fault::new(merge.at, "`<<` merges maps, but this is not a map", "write `<<: *anchor`")),
    }
}

fn size(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Kind::Map(entries) => entries.iter().map(|entry| size(&entry.value)).fold(1, usize::saturating_add),
        Kind::Text(text) => 1 + text.len() / 64,
        _ => 1,
    }
}

fn scalar_kind(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &Range<usize>) -> Result<Kind, Fault> {
    match tag {
        None if style == ScalarStyle::Plain => Ok(scalar::resolve(text)),
        None => Ok(Kind::Text(text.to_owned())),
        Some(tag) => tag.core_suffix().and_then(|suffix| scalar::tagged(suffix, text)).ok_or_else(|| {
            let message = format!("the tag `{}` does not fit `{text}`", tag.original());
            Fault::new(at.clone(), message, "remove the tag, or put text that begins with `!` in quotes")
        }),
    }
}

/// Converts a syntax error. The first case is the most frequent mistake.
fn syntax_fault(error: &ScanError, text: &str) -> Fault {
    let at = error.marker().byte_offset().unwrap_or_default().min(text.len());
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    use ErrorKind as Is;
    let (message, hint) = match error.kind() {
        Is::SimpleKeyExpected | Is::InvalidSimpleKey | Is::MappingValueNotAllowed
            if let Some(fault) = missing_colon(text, at) =>
        {
            return fault;
        }
        Is::SimpleKeyExpected | Is::InvalidSimpleKey => {
            ("expected `key: value`".to_owned(), "add the `:` after the key, followed by a space")
        }
        Is::TabNotAllowed | Is::TabInBlockIndentation | Is::TabInIndentation => {
            ("a tab where YAML allows only spaces".to_owned(), "indent with spaces")
        }
        Is::MappingValueNotAllowed | Is::InvalidColonPlacement => {
            ("a `:` that does not follow a key".to_owned(), "put text with `: ` in quotes, or check the indentation")
        }
        Is::RecursionLimitExceeded => (format!("lists and maps nest deeper than {DEPTH} levels"), "flatten it"),
        Is::ExpectedBlockMappingKey | Is::ExpectedBlockSequenceEntry | Is::InvalidIndentation => {
            ("this line is indented differently from its neighbours".to_owned(), "check the indentation")
        }
        other => (format!("this is not YAML: {other}"), "check quotes, brackets and indentation around here"),
    };
    Fault::new(at..at, message, hint)
}

/// Finds a line without its `:`. The parser notices the error on the next line, but users look for this line.
fn missing_colon(text: &str, at: usize) -> Option<Fault> {
    let own_end = text.get(at..)?.find('\n').map_or(text.len(), |newline| at + newline);
    let own = line_to(text, own_end);
    let before = text.get(..own.start)?.trim_end().len();
    let indented = |line: &Range<usize>| text.get(line.clone()).map_or(0, |it| it.len() - it.trim_start().len());
    let own_depth = indented(&own);
    // An item of plain text is valid, unless keys follow that can belong only to it.
    let is_item = |line: &Range<usize>| text.get(line.clone()).is_some_and(|it| it.trim_start().starts_with('-'));
    let is_cause =
        |line: &Range<usize>| lacks_colon(text.get(line.clone())) && (!is_item(line) || indented(line) < own_depth);
    let line = [own, line_to(text, before)].into_iter().find(is_cause)?;
    let words = text.get(line.clone())?;
    let start = line.start + (words.len() - words.trim_start().len());
    let word = words.trim();
    let message = "expected `key: value`: the `:` is missing";
    let meant = match word.strip_prefix("- ").map(|item| item.trim().split_once(char::is_whitespace)) {
        Some(Some((key, value))) => format!("- {key}: {}", value.trim_start()),
        Some(None) => "- KEY: VALUE".to_owned(),
        None => format!("{word}:"),
    };
    Some(Fault::new(start..start + word.len(), message, format!("did you mean `{meant}`?")))
}

/// Returns the line that ends at a position.
fn line_to(text: &str, end: usize) -> Range<usize> {
    let start = text.get(..end).and_then(|text| text.rfind('\n')).map_or(0, |newline| newline + 1);
    start..end
}

fn lacks_colon(line: Option<&str>) -> bool {
    let words = line.unwrap_or_default().trim();
    !words.is_empty() && !words.contains(':') && !words.starts_with(['#', '"', '\'', '[', '{', '|', '>'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> (String, String, String) {
        let fault = parse(text).unwrap_err();
        (text.get(fault.at).unwrap_or_default().to_owned(), fault.message, fault.hint.unwrap_or_default())
    }

    #[test]
    fn missing_colon_is_reported_at_its_key() {
        let text = "dump:\n  pipeline:\n  - run: dump.to_sql\n    parameters:\n      tables:\n        gcs_list_files\n          resource-name: gcs\n";
        let (at, message, hint) = fault(text);
        assert_eq!((at.as_str(), hint.as_str()), ("gcs_list_files", "did you mean `gcs_list_files:`?"), "{message}");
        let text = "tables:\n  a:\n    resource-name: a\n  gcs_list_files\n  b:\n    resource-name: b\n";
        let (at, message, hint) = fault(text);
        assert_eq!((at.as_str(), hint.as_str()), ("gcs_list_files", "did you mean `gcs_list_files:`?"), "{message}");
    }

    #[test]
    fn missing_colon_in_item_is_reported_at_the_item() {
        let (at, _, hint) = fault("x:\n  pipeline:\n  - run noise\n    parameters: {a: 1}\n");
        assert_eq!((at.as_str(), hint.as_str()), ("- run noise", "did you mean `- run: noise`?"));
        let (at, _, hint) = fault("x:\n  pipeline:\n  - noise\n    parameters: {a: 1}\n");
        assert_eq!((at.as_str(), hint.as_str()), ("- noise", "did you mean `- KEY: VALUE`?"));
        let (at, ..) = fault("x:\n  hooks:\n  - plain\n  title: a: b\n");
        assert_eq!(at, "");
        let (at, ..) = fault("x:\n  pipeline\n  - run: noise\n");
        assert_eq!(at, "pipeline");
        let (at, ..) = fault("x\n  pipeline:\n  - run: noise\n");
        assert_eq!(at, "x");
    }

    #[test]
    fn aliases_and_merges_are_expanded() {
        let (node, duplicates) = parse("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: *a\n").unwrap();
        assert_eq!(
            node.to_json(),
            serde_json::json!({"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}, "c": {"x": 1, "y": 2}})
        );
        assert_eq!(duplicates, []);
    }

    #[test]
    fn alias_bombs_are_refused() {
        let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 0..8 {
            let (this, next) = (char::from(b'a' + level), char::from(b'b' + level));
            let aliases = vec![format!("*{this}"); 10].join(", ");
            text.push_str(&format!("{next}: &{next} [{aliases}]\n"));
        }
        assert!(fault(&text).1.contains("more than"), "{:?}", fault(&text));
        assert!(fault(&"[".repeat(1000)).1.contains("nest deeper"), "{:?}", fault(&"[".repeat(1000)));
        assert!(fault(&" ".repeat(LONGEST + 1)).1.contains("8 MiB"));
    }

    #[test]
    fn duplicate_key_is_reported() {
        let (_, duplicates) = parse("a: 1\na: 2\n").unwrap();
        assert_eq!(duplicates.len(), 1);
        assert_eq!(duplicates[0].message, "the key `a` occurs twice in a map");
    }
}
