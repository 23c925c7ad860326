//! Finds expressions in a text.
//!
//! `${{` opens an expression. `}}` closes it at brace depth 0 outside CEL's texts, because map literals and texts may
//! contain braces. `$${{` is a literal `${{`.

const OPEN: &str = "${{";

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Plain text, escapes replaced.
    Literal(String),
    /// The text between `${{` and `}}`, trimmed.
    Expression {
        /// The text.
        text: &'a str,
        /// The byte at which it starts.
        start: usize,
    },
}

/// An expression that is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclosed {
    /// The byte of its `${{`.
    pub(super) start: usize,
    /// True when it ends within a text without a closing quote.
    pub(super) is_in_text: bool,
}

/// True when the text contains an expression or an escape, so that it must be split.
pub(super) fn has_expression(text: &str) -> bool {
    text.contains(OPEN)
}

/// Splits a text; neighbouring literals are joined.
///
/// # Errors
/// When an expression is not closed.
pub(super) fn split(text: &str) -> Result<Vec<Piece<'_>>, Unclosed> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        if let Some(unescaped) = before.strip_suffix('$') {
            literal.push_str(unescaped);
            literal.push_str(OPEN);
            rest = after;
            continue;
        }
        literal.push_str(before);
        let inner_start = text.len() - after.len();
        let inner_length = find_close(after)
            .map_err(|is_in_text| Unclosed { start: inner_start.saturating_sub(OPEN.len()), is_in_text })?;
        let (inner, closed) = after.split_at_checked(inner_length).unwrap_or((after, ""));
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        let leading = inner.len() - inner.trim_start().len();
        pieces.push(Piece::Expression { text: inner.trim(), start: inner_start + leading });
        rest = closed.strip_prefix("}}").unwrap_or_default();
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// The byte of the closing `}}`. The error is true when a text was open at the end.
fn find_close(text: &str) -> Result<usize, bool> {
    let mut depth = 0_usize;
    let mut scanner = Scanner::new(text);
    while let Some(token) = scanner.next_token() {
        match token {
            Token::Symbol(_, '{') => depth += 1,
            Token::Symbol(at, '}') if depth == 0 && scanner.rest().starts_with('}') => return Ok(at),
            Token::Symbol(_, '}') => depth = depth.saturating_sub(1),
            Token::Symbol(..) | Token::Text => {}
            Token::OpenText => return Err(true),
        }
    }
    Err(false)
}

/// A token of a [`Scanner`].
pub(super) enum Token {
    /// A character outside texts, and its byte.
    Symbol(usize, char),
    /// A whole CEL text: `'…'`, `"…"`, `'''…'''`, `"""…"""`, `r"…"`, `b"…"`.
    Text,
    /// A CEL text without its closing quote.
    OpenText,
}

/// Scans the characters of an expression, with each CEL text as one token.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Start of the letters directly before the current place: `r` and `b` before a quote belong to the text.
    word_start: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, word_start: 0 }
    }

    /// The text that was not scanned yet.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character or text.
    pub(super) fn next_token(&mut self) -> Option<Token> {
        let start = self.at;
        let symbol = self.rest().chars().next()?;
        if symbol != '\'' && symbol != '"' {
            self.at += symbol.len_utf8();
            if !symbol.is_alphanumeric() && symbol != '_' {
                self.word_start = self.at;
            }
            return Some(Token::Symbol(start, symbol));
        }
        let prefix = self.text.get(self.word_start..start).unwrap_or_default();
        let is_raw = matches!(prefix, "r" | "R" | "br" | "bR" | "Br" | "BR" | "rb" | "rB" | "Rb" | "RB");
        let end = text_end(self.rest(), symbol, is_raw);
        self.at = end.map_or(self.text.len(), |length| start + length);
        self.word_start = self.at;
        Some(if end.is_some() { Token::Text } else { Token::OpenText })
    }
}

/// The length of the CEL text that starts here, including quotes.
fn text_end(text: &str, quote: char, is_raw: bool) -> Option<usize> {
    let triple = [quote; 3].iter().collect::<String>();
    let closing = if text.starts_with(&triple) { triple } else { quote.to_string() };
    let mut at = closing.len();
    loop {
        let rest = text.get(at..)?;
        if rest.starts_with(&closing) {
            return Some(at + closing.len());
        }
        let mut symbols = rest.chars();
        let symbol = symbols.next()?;
        at += symbol.len_utf8();
        if symbol == '\\' && !is_raw {
            at += symbols.next()?.len_utf8();
        }
    }
}

#[cfg(test)]
mod tests;
