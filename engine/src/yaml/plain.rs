//! The YAML that most descriptors are, read line by line: block maps and lists, and scalars that end in their line.
//!
//! YAML at large takes a parser that looks at each character several times. What is read here needs none of that: a
//! `key:`, a `- `, and behind them text, a quoted text without escapes, the lines of a `|` or `>`, `[]`, `{}` or a deeper
//! block. Whatever else a text has, be it a mistake, makes it the parser's as a whole: nothing is judged here. So the one
//! promise is that what is read here is what the parser would read, places included; tests hold one against the other.

use super::mapping::duplicates;
use super::options::Budget;
use super::{Entry, Node, NodeKind, scalar};
use crate::source::{SourceId, Span};
use std::borrow::Cow;

/// The longest key that is read here, in bytes: the parser's own limit lies above.
const LONGEST_KEY: usize = 1000;

/// Reads a text; `None` for one that the parser is to judge.
pub(super) fn read(source: SourceId, text: &str, budget: &Budget) -> Option<Node> {
    if text.len() > budget.bytes || !has_plain_characters(text) {
        return None;
    }
    let mut reader = Reader { source, text, budget, nodes: 0, at: 0, column: 0, end: 0 };
    reader.next_line(0);
    (reader.is_open() && reader.column == 0).then_some(())?;
    let node = reader.block(1)?;
    (!reader.is_open()).then_some(node)
}

/// True for a text without tabs, control characters and what else may be no character of YAML.
fn has_plain_characters(text: &str) -> bool {
    let is_plain = |c: char| matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}' | '\u{10000}'..) && c != '\u{feff}';
    // Of all bytes at once, without a look at what was before: most texts are of these alone.
    let is_ascii = text.bytes().fold(true, |is_plain, byte| is_plain & matches!(byte, b'\n' | b' '..=b'~'));
    is_ascii || text.chars().all(is_plain)
}

/// The reader stands before something of a line, or behind the last line that says anything.
struct Reader<'t> {
    source: SourceId,
    text: &'t str,
    budget: &'t Budget,
    nodes: usize,
    /// Where it stands; the end of the text behind the last line.
    at: usize,
    /// How many characters its line has before that: spaces, and the dashes of lists.
    column: usize,
    /// Where the line ends.
    end: usize,
}

impl<'t> Reader<'t> {
    /// False behind the last line.
    fn is_open(&self) -> bool {
        self.at < self.text.len()
    }

    /// The rest of the line.
    fn rest(&self) -> &'t str {
        self.text.get(self.at..self.end).unwrap_or_default()
    }

    /// Goes to the first line from that byte on, where a line begins, that says anything.
    fn next_line(&mut self, from: usize) {
        let mut from = from;
        while let Some(rest) = self.text.get(from..).filter(|rest| !rest.is_empty()) {
            let line = rest.split('\n').next().unwrap_or_default();
            let content = line.trim_start_matches(' ');
            if !content.is_empty() && !content.starts_with('#') {
                self.end = from + line.len();
                self.column = line.len() - content.len();
                self.at = from + self.column;
                return;
            }
            from += line.len() + 1;
        }
        (self.at, self.end, self.column) = (self.text.len(), self.text.len(), 0);
    }

    /// Leaves the line.
    fn leave(&mut self) {
        self.next_line(self.end + 1);
    }

    /// True where an item of a list begins.
    fn is_item(&self) -> bool {
        let rest = self.rest();
        rest.starts_with("- ") || rest == "-"
    }

    /// Counts a value that so many lists and maps are around, itself included where it is one.
    fn count(&mut self, depth: usize) -> Option<()> {
        self.nodes += 1;
        (self.nodes <= self.budget.nodes && depth <= self.budget.depth).then_some(())
    }

    /// The list or the map that begins here.
    fn block(&mut self, depth: usize) -> Option<Node> {
        if self.is_item() { self.list(self.at, depth) } else { self.map(depth) }
    }

    /// The list whose first dash is here and that is said to begin at `start`.
    fn list(&mut self, start: usize, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let column = self.column;
        let mut items: Vec<Node> = Vec::new();
        while self.is_open() && self.column == column && self.is_item() {
            let rest = self.rest();
            let content = rest.get(1..)?.trim_start_matches(' ');
            let item = if is_blank(content) {
                self.deeper(column, depth)?
            } else {
                let before = rest.len() - content.len();
                (self.at, self.column) = (self.at + before, self.column + before);
                if self.is_item() || matches!(plain(content), Some((_, Stop::Colon))) {
                    self.block(depth + 1)?
                } else {
                    self.scalar(column, depth)?
                }
            };
            items.push(item);
            // Whatever stands deeper than what it could belong to.
            (self.column <= column).then_some(())?;
        }
        let end = items.last().map_or(start, |last| last.span.end as usize);
        Some(Node { span: Span::new(self.source, start, end), kind: NodeKind::List(items) })
    }

    fn map(&mut self, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let (start, column) = (self.at, self.column);
        let mut entries: Vec<Entry> = Vec::new();
        while self.is_open() && self.column == column {
            let rest = self.rest();
            let Some((key, Stop::Colon)) = plain(rest) else { return None };
            let key_span = Span::new(self.source, self.at, self.at + key.len());
            // Of a merge key the parser knows what to make.
            (key != "<<" && key.len() <= LONGEST_KEY).then_some(())?;
            let (before, after) = rest.split_at_checked(key.len())?;
            let content = after.trim_start_matches(' ').strip_prefix(':')?.trim_start_matches(' ');
            let value = if is_blank(content) {
                self.deeper_or_list(column, depth)?
            } else {
                self.at += rest.len() - content.len();
                self.scalar(column, depth)?
            };
            entries.push(Entry { key: before.to_owned(), key_span, value });
            (self.column <= column).then_some(())?;
        }
        duplicates(&entries).is_empty().then_some(())?;
        let end = entries.last().map_or(start, |last| last.value.span.end as usize);
        Some(Node { span: Span::new(self.source, start, end), kind: NodeKind::Map(entries) })
    }

    /// The block that stands in the lines below, deeper than this.
    fn deeper(&mut self, column: usize, depth: usize) -> Option<Node> {
        self.leave();
        (self.is_open() && self.column > column).then_some(())?;
        self.block(depth + 1)
    }

    /// The same for an entry of a map, whose items may stand as deep as its key.
    fn deeper_or_list(&mut self, column: usize, depth: usize) -> Option<Node> {
        self.leave();
        if self.is_open() && self.column == column && self.is_item() {
            // The parser has such a list begin behind its first dash.
            let content = self.rest().get(1..)?.trim_start_matches(' ');
            let start = if is_blank(content) { self.end } else { self.end - content.len() };
            return self.list(start, depth + 1);
        }
        (self.is_open() && self.column > column).then_some(())?;
        self.block(depth + 1)
    }

    /// A value that is no block; `column` is that of what it belongs to.
    fn scalar(&mut self, column: usize, depth: usize) -> Option<Node> {
        let (start, rest) = (self.at, self.rest());
        let (length, kind) = match rest.as_bytes().first()? {
            b'|' | b'>' => return self.lines(column, depth),
            b'[' => (enclosed(rest, ']')?, NodeKind::List(Vec::new())),
            b'{' => (enclosed(rest, '}')?, NodeKind::Map(Vec::new())),
            quote @ (b'"' | b'\'') => {
                let text = quoted(rest, char::from(*quote))?;
                (text.len() + 2, NodeKind::Text(text.to_owned()))
            }
            _ => return self.unquoted(column, depth),
        };
        self.count(depth + usize::from(!matches!(kind, NodeKind::Text(_))))?;
        let behind = rest.get(length..)?;
        (behind.is_empty() || behind.starts_with(' ') && is_blank(behind.trim_start_matches(' '))).then_some(())?;
        self.leave();
        let span = Span::new(self.source, start, start + length);
        (self.column <= column).then_some(Node { span, kind })
    }

    /// A text without quotes, which deeper lines go on with.
    fn unquoted(&mut self, column: usize, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let start = self.at;
        let mut text = Cow::Borrowed("");
        loop {
            let rest = self.rest();
            let Some((part, Stop::End)) = plain(rest) else { return None };
            match text.is_empty() {
                true => text = Cow::Borrowed(part),
                false => text.to_mut().extend([" ", part]),
            }
            let (end, has_comment) = (self.at + part.len(), rest.trim_end_matches(' ').len() > part.len());
            let below = self.end + 1;
            self.leave();
            if self.column <= column {
                let span = Span::new(self.source, start, end);
                return Some(Node { span, kind: scalar::resolve(&text) });
            }
            // An empty line means a line break, a comment the end.
            (!has_comment && self.at - self.column == below).then_some(())?;
        }
    }

    /// The text that stands in the lines below a `|` or `>`, as deep as the first of them.
    fn lines(&mut self, column: usize, depth: usize) -> Option<Node> {
        self.count(depth)?;
        let (between, behind) = match self.rest().trim_end_matches(' ') {
            "|" => ('\n', "\n"),
            "|-" => ('\n', ""),
            ">" => (' ', "\n"),
            ">-" => (' ', ""),
            _ => return None,
        };
        let first = self.text.get(self.end + 1..)?;
        let content = first.trim_start_matches(' ');
        (!content.starts_with('\n')).then_some(())?;
        let indent = first.len() - content.len();
        let (mut from, start) = (self.end + 1, self.end + 1 + indent);
        let (mut text, mut empty, mut end) = (String::new(), 0, start);
        while let Some(rest) = self.text.get(from..).filter(|rest| !rest.is_empty()) {
            // Whether the end of the text ends its last line, too, is not said here.
            let (line, _) = rest.split_once('\n')?;
            let spaces = line.len() - line.trim_start_matches(' ').len();
            if spaces == line.len() {
                // Deeper than the text it would be a part of it.
                (spaces <= indent).then_some(())?;
                empty += 1;
            } else if spaces < indent {
                break;
            } else {
                // What is folded otherwise than by a space.
                (between == '\n' || empty == 0 && spaces == indent).then_some(())?;
                if !text.is_empty() {
                    text.push(between);
                }
                text.extend(std::iter::repeat_n('\n', std::mem::take(&mut empty)));
                text.push_str(line.get(indent..)?);
                end = from + line.len();
            }
            from += line.len() + 1;
        }
        (indent > column && !text.is_empty()).then_some(())?;
        text.push_str(behind);
        self.next_line(from);
        let written = self.text.get(start..end)?.trim_end().len();
        let node = Node { span: Span::new(self.source, start, start + written), kind: NodeKind::Text(text) };
        (self.column <= column).then_some(node)
    }
}

/// True for what says nothing, spaces aside.
fn is_blank(content: &str) -> bool {
    content.is_empty() || content.starts_with('#')
}

/// The length of brackets that hold nothing.
fn enclosed(rest: &str, close: char) -> Option<usize> {
    let behind = rest.get(1..)?.trim_start_matches(' ').strip_prefix(close)?;
    Some(rest.len() - behind.len())
}

/// The text between quotes, where what stands between them is the text.
fn quoted(rest: &str, quote: char) -> Option<&str> {
    let (text, behind) = rest.get(1..)?.split_once(quote)?;
    let is_escaped = if quote == '"' { text.contains('\\') } else { behind.starts_with(quote) };
    (!is_escaped).then_some(text)
}

/// What ends an unquoted text.
enum Stop {
    /// The end of its line, or a comment.
    End,
    /// The colon behind a key.
    Colon,
}

/// The unquoted text at the beginning of the rest of a line, and what ends it. `None` for what begins otherwise.
fn plain(rest: &str) -> Option<(&str, Stop)> {
    let bytes = rest.as_bytes();
    let is_indicator = match bytes {
        [] | [b'-'] | [b'-', b' ', ..] | [b'-', b'-', b'-', ..] | [b'.', b'.', b'.', ..] => true,
        [first, ..] => b"?:,[]{}#&*!|>'\"%@`".contains(first),
    };
    if is_indicator {
        return None;
    }
    let mut before = b' ';
    for (at, byte) in bytes.iter().enumerate() {
        let stop = match byte {
            b':' if matches!(bytes.get(at + 1), None | Some(b' ')) => Stop::Colon,
            b'#' if before == b' ' => Stop::End,
            _ => {
                before = *byte;
                continue;
            }
        };
        return Some((rest.get(..at)?.trim_end_matches(' '), stop));
    }
    Some((rest.trim_end_matches(' '), Stop::End))
}

#[cfg(test)]
mod tests;
