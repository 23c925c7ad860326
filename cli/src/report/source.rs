//! A text with lines for reports. Reports read single lines, never the whole text.

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use std::sync::Arc;
use terrace_engine::text::is_invisible;

/// Limit of a shown line, in bytes: JSON without line breaks would fill the screen.
const LONGEST_LINE: usize = 500;

/// A named text without harmful characters.
#[derive(Debug, Clone)]
pub(super) struct Text {
    name: String,
    text: Arc<str>,
}

impl Text {
    /// Replaces control and invisible characters byte for byte, so that spans stay valid.
    pub(super) fn new(name: String, text: &Arc<str>) -> Self {
        let is_harmful = |c: char| is_invisible(c) || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
        let text = if text.contains(is_harmful) {
            let replace = |c: char| if is_harmful(c) { "?".repeat(c.len_utf8()) } else { c.to_string() };
            text.chars().map(replace).collect::<String>().into()
        } else {
            Arc::clone(text)
        };
        Self { name, text }
    }

    /// True if the line of this byte is short enough to be shown.
    pub(super) fn can_show(&self, at: usize) -> bool {
        at <= self.text.len() && self.end_of_line(at) - self.start_of_line(at) <= LONGEST_LINE
    }

    /// The end of the line of this byte, without its line break.
    pub(super) fn end_of_line(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        let line = rest.iter().position(|byte| *byte == b'\n').and_then(|newline| rest.get(..newline)).unwrap_or(rest);
        // The renderer would treat a remaining `\r` as another line.
        at + line.strip_suffix(b"\r").unwrap_or(line).len()
    }

    fn start_of_line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().get(..at).unwrap_or_default();
        before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
    }
}

impl SourceCode for Text {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        _lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let start = self.start_of_line(span.offset());
        let end = self.end_of_line(span.offset() + span.len());
        let bytes = self.text.as_bytes();
        let shown = bytes.get(start..end).ok_or(MietteError::OutOfBounds)?;
        let line = bytes.get(..start).unwrap_or_default().iter().filter(|byte| **byte == b'\n').count();
        let lines = shown.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = self.text.get(start..span.offset()).map_or(0, |before| before.chars().count());
        let span = SourceSpan::new(start.into(), end - start);
        Ok(Box::new(MietteSpanContents::new_named(self.name.clone(), shown, span, line, column, lines)))
    }
}
