//! The usual text to the parser's events, without the parser: maps and lists in blocks, with a value a line.
//!
//! The parser is made for all of YAML, and was half of what it costs to judge a descriptor. This knows what nearly all of a
//! descriptor is: keys, items, plain and quoted text, `[…]` and `{…}` within a line, comments. For anything else (text over
//! several lines, anchors, tags, tabs, a document's end) and for every mistake the parser reads the text from its beginning:
//! what is read here, the parser reads the same way, and tests hold the two against each other.

use super::parse::Stop;
use crate::source::{SourceId, Span};
use granit_parser::{Event, ScalarStyle, StructureStyle};
use std::borrow::Cow;
use std::cmp::Ordering;

/// There is something in the text that is left to the parser, which may be a mistake.
#[derive(Debug)]
pub(super) struct Unusual;

impl From<Stop> for Unusual {
    fn from(_: Stop) -> Self {
        Self
    }
}

/// Keys that are longer may be no keys for the parser.
const LONGEST_KEY: usize = 1_000;

/// Reads a text whose values stand on a line each, and gives its events away.
///
/// # Errors
/// When there is anything else in the text, or who takes the events does not want one.
pub(super) fn read<'t>(
    source: SourceId,
    text: &'t str,
    take: impl FnMut(Event<'t>, Span) -> Result<(), Stop>,
) -> Result<(), Unusual> {
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | 0x80..)) {
        return Err(Unusual);
    }
    if !text.is_ascii() && !text.chars().all(is_printable) {
        return Err(Unusual);
    }
    Reader { source, text, take, blocks: Vec::new(), awaits: Some(0) }.read()
}

/// True for what may stand anywhere, and has no meaning of its own.
const fn is_printable(char: char) -> bool {
    match char {
        '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        '\n' | ' '..='~' | '\u{a1}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => true,
        _ => false,
    }
}

struct Reader<'t, F> {
    source: SourceId,
    text: &'t str,
    take: F,
    blocks: Vec<Block>,
    /// The value of the last key, or the text's, is still to come: where the colon is.
    awaits: Option<usize>,
}

/// A list or map that is not closed yet.
struct Block {
    column: usize,
    is_list: bool,
}

/// Where plain text ends.
enum Until {
    /// It is a key, with its colon there.
    Colon(usize),
    /// It ends with the line, or with a comment there.
    End(usize),
}

/// Text, how it was written, and where.
struct Scalar<'t> {
    text: Cow<'t, str>,
    style: ScalarStyle,
    start: usize,
    end: usize,
}

impl Scalar<'_> {
    const fn is_short(&self) -> bool {
        self.end - self.start <= LONGEST_KEY
    }
}

impl<'t, F: FnMut(Event<'t>, Span) -> Result<(), Stop>> Reader<'t, F> {
    fn read(mut self) -> Result<(), Unusual> {
        let mut begin = 0;
        while begin < self.text.len() {
            let rest = self.text.get(begin..).ok_or(Unusual)?;
            let length = rest.find('\n').unwrap_or(rest.len());
            let end = begin + length;
            let line = rest.get(..length).ok_or(Unusual)?;
            let column = line.bytes().take_while(|byte| *byte == b' ').count();
            match self.byte(begin + column).filter(|_| column < length) {
                None | Some(b'#') => {}
                Some(_) if column == 0 && (line.starts_with("---") || line.starts_with("...")) => return Err(Unusual),
                Some(_) => self.line(column, begin + column, end)?,
            }
            begin = end + 1;
        }
        if self.blocks.is_empty() {
            return Err(Unusual);
        }
        if let Some(colon) = self.awaits {
            self.absent(colon)?;
        }
        while !self.blocks.is_empty() {
            self.close(self.text.len())?;
        }
        Ok(())
    }

    /// A line that says something from `start` to `end`, and begins in that column.
    fn line(&mut self, column: usize, start: usize, end: usize) -> Result<(), Unusual> {
        let is_item = self.is_item(start, end);
        if let Some(colon) = self.awaits.take() {
            match self.blocks.last().map(|outer| column.cmp(&outer.column)) {
                None | Some(Ordering::Greater) => self.open(column, is_item, start)?,
                // The items of a key's list may stand right under it: for the parser it begins behind its first dash then.
                Some(Ordering::Equal) if is_item => self.open(column, true, self.past_spaces(start + 1, end))?,
                Some(_) => self.absent(colon)?,
            }
        }
        while self.blocks.last().is_some_and(|last| (last.column, last.is_list) > (column, is_item)) {
            self.close(start)?;
        }
        match self.blocks.last() {
            Some(last) if last.column == column && last.is_list == is_item => self.content(column, start, end),
            _ => Err(Unusual),
        }
    }

    /// The next item or entry of the last block.
    fn content(&mut self, column: usize, start: usize, end: usize) -> Result<(), Unusual> {
        if !self.is_item(start, end) {
            let key = self.key(start, end)?.ok_or(Unusual)?;
            return self.entry(key, end);
        }
        let value = self.past_spaces(start + 1, end);
        let column = column + value - start;
        if self.is_item(value, end) {
            self.open(column, true, value)?;
            return self.content(column, value, end);
        }
        match self.key(value, end)? {
            Some(key) => {
                self.open(column, false, value)?;
                self.entry(key, end)
            }
            None => self.value(value, end),
        }
    }

    fn entry(&mut self, key: Scalar<'t>, end: usize) -> Result<(), Unusual> {
        let colon = key.end;
        self.scalar(key)?;
        let value = self.past_spaces(colon + 1, end);
        match self.byte(value).filter(|_| value < end) {
            None | Some(b'#') => {
                self.awaits = Some(colon);
                Ok(())
            }
            Some(_) => self.value(value, end),
        }
    }

    /// The key that stands there, when one does.
    fn key(&self, start: usize, end: usize) -> Result<Option<Scalar<'t>>, Unusual> {
        let key = match self.byte(start) {
            Some(b'"' | b'\'') => {
                let key = self.quoted(start, end)?;
                match self.byte(key.end) {
                    Some(b':') if self.is_blank(key.end + 1, end) => key,
                    _ => return Ok(None),
                }
            }
            Some(b'[' | b'{') => return Ok(None),
            _ => match self.until(start, end)? {
                Until::Colon(colon) => self.plain(start, colon)?,
                Until::End(_) => return Ok(None),
            },
        };
        if key.is_short() { Ok(Some(key)) } else { Err(Unusual) }
    }

    /// How far plain text goes that begins here.
    fn until(&self, start: usize, end: usize) -> Result<Until, Unusual> {
        let line = self.text.as_bytes().get(start..end).ok_or(Unusual)?;
        let mut before = b' ';
        for (byte, at) in line.iter().zip(start..) {
            match byte {
                b':' if self.is_blank(at + 1, end) => {
                    return if before == b' ' { Err(Unusual) } else { Ok(Until::Colon(at)) };
                }
                b'#' if before == b' ' => return Ok(Until::End(at)),
                _ => before = *byte,
            }
        }
        Ok(Until::End(end))
    }

    /// The value that fills the rest of the line.
    fn value(&mut self, start: usize, end: usize) -> Result<(), Unusual> {
        let after = match self.byte(start) {
            Some(b'"' | b'\'') => {
                let scalar = self.quoted(start, end)?;
                let after = scalar.end;
                self.scalar(scalar)?;
                after
            }
            Some(b'[' | b'{') => self.flow(start, end)?,
            _ => {
                let Until::End(end) = self.until(start, end)? else { return Err(Unusual) };
                let text = self.text.get(start..end).unwrap_or_default().trim_end_matches(' ');
                let scalar = self.plain(start, start + text.len())?;
                return self.scalar(scalar);
            }
        };
        let next = self.past_spaces(after, end);
        match next == end || next > after && self.byte(next) == Some(b'#') {
            true => Ok(()),
            false => Err(Unusual),
        }
    }

    /// Plain text from here to there.
    fn plain(&self, start: usize, end: usize) -> Result<Scalar<'t>, Unusual> {
        let text = self.text.get(start..end).ok_or(Unusual)?;
        let is_plain = match text.as_bytes() {
            [] => false,
            [b'-', next, ..] => *next != b' ',
            [first, ..] => !b"-?:,[]{}#&*!|>'\"%@`".contains(first),
        };
        match is_plain {
            true => Ok(Scalar { text: Cow::Borrowed(text), style: ScalarStyle::Plain, start, end }),
            false => Err(Unusual),
        }
    }

    /// The text in quotes that begins here.
    fn quoted(&self, start: usize, end: usize) -> Result<Scalar<'t>, Unusual> {
        let rest = self.text.get(start + 1..end).ok_or(Unusual)?;
        let is_single = self.byte(start) == Some(b'\'');
        let (quote, style) =
            if is_single { ('\'', ScalarStyle::SingleQuoted) } else { ('"', ScalarStyle::DoubleQuoted) };
        let length = rest.find(quote).ok_or(Unusual)?;
        let text = rest.get(..length).ok_or(Unusual)?;
        let end = start + 1 + length + 1;
        // What stands in another way than it is meant. A quote in single quotes ends them here, and nothing goes on behind it.
        if !is_single && text.contains('\\') {
            return Err(Unusual);
        }
        Ok(Scalar { text: Cow::Borrowed(text), style, start, end })
    }

    /// A list or map in brackets; gives where it ends.
    fn flow(&mut self, start: usize, end: usize) -> Result<usize, Unusual> {
        let is_list = self.byte(start) == Some(b'[');
        let (closing, begin, finish) = match is_list {
            true => (b']', Event::SequenceStart(StructureStyle::Flow, 0, None), Event::SequenceEnd),
            false => (b'}', Event::MappingStart(StructureStyle::Flow, 0, None), Event::MappingEnd),
        };
        self.give(begin, start, start + 1)?;
        let mut at = self.past_spaces(start + 1, end);
        let mut is_first = true;
        while self.byte(at) != Some(closing) || !is_first {
            if !is_list {
                let key = self.flow_text(at, end)?;
                let after = key.end + 1;
                if self.byte(key.end) != Some(b':') || self.byte(after) != Some(b' ') || !key.is_short() {
                    return Err(Unusual);
                }
                self.scalar(key)?;
                at = self.past_spaces(after, end);
            }
            at = match self.byte(at) {
                Some(b'[' | b'{') => self.flow(at, end)?,
                _ => {
                    let scalar = self.flow_text(at, end)?;
                    let after = scalar.end;
                    self.scalar(scalar)?;
                    after
                }
            };
            at = self.past_spaces(at, end);
            match self.byte(at).filter(|_| at < end) {
                Some(b',') => at = self.past_spaces(at + 1, end),
                Some(byte) if byte == closing => break,
                _ => return Err(Unusual),
            }
            is_first = false;
        }
        self.give(finish, at, at + 1)?;
        Ok(at + 1)
    }

    /// Text within brackets: in quotes, or of what means nothing there.
    fn flow_text(&self, start: usize, end: usize) -> Result<Scalar<'t>, Unusual> {
        if let Some(b'"' | b'\'') = self.byte(start) {
            return self.quoted(start, end);
        }
        let rest = self.text.get(start..end).ok_or(Unusual)?;
        let has_meaning = |char: char| !(char.is_alphanumeric() || "_-./+$() ".contains(char));
        let length = rest.find(has_meaning).unwrap_or(rest.len());
        let text = rest.get(..length).unwrap_or_default().trim_end_matches(' ');
        self.plain(start, start + text.len())
    }

    fn is_item(&self, start: usize, end: usize) -> bool {
        self.byte(start) == Some(b'-') && self.is_blank(start + 1, end)
    }

    /// Whether there is nothing, or a space.
    fn is_blank(&self, at: usize, end: usize) -> bool {
        at >= end || self.byte(at) == Some(b' ')
    }

    fn past_spaces(&self, at: usize, end: usize) -> usize {
        let rest = self.text.as_bytes().get(at..end).unwrap_or_default();
        at + rest.iter().take_while(|byte| **byte == b' ').count()
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn open(&mut self, column: usize, is_list: bool, start: usize) -> Result<(), Unusual> {
        self.blocks.push(Block { column, is_list });
        let event = match is_list {
            true => Event::SequenceStart(StructureStyle::Block, 0, None),
            false => Event::MappingStart(StructureStyle::Block, 0, None),
        };
        self.give(event, start, start)
    }

    fn close(&mut self, at: usize) -> Result<(), Unusual> {
        let event = match self.blocks.pop() {
            Some(Block { is_list: true, .. }) => Event::SequenceEnd,
            _ => Event::MappingEnd,
        };
        self.give(event, at, at)
    }

    /// A key without a value.
    fn absent(&mut self, at: usize) -> Result<(), Unusual> {
        self.give(Event::Scalar(Cow::Borrowed(""), ScalarStyle::Plain, 0, None), at, at)
    }

    fn scalar(&mut self, scalar: Scalar<'t>) -> Result<(), Unusual> {
        self.give(Event::Scalar(scalar.text, scalar.style, 0, None), scalar.start, scalar.end)
    }

    fn give(&mut self, event: Event<'t>, start: usize, end: usize) -> Result<(), Unusual> {
        Ok((self.take)(event, Span::new(self.source, start, end))?)
    }
}

#[cfg(test)]
mod tests;
