//! Splits SQL text into tokens, as far as the provider must read its own definitions.
//!
//! It never fails: an unclosed token extends to the end of the text. SQLite itself validates the SQL.

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword, or a name without quotes.
    Word,
    /// A name in `"…"`, `` `…` `` or `[…]`.
    QuotedName,
    /// A text in `'…'`.
    Text,
    /// A number.
    Number,
    /// `-- …` to the end of the line.
    LineComment,
    /// `/* … */`.
    BlockComment,
    /// Any other single character.
    Symbol,
}

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// The kind.
    pub(crate) kind: TokenKind,
    /// The source text, with quotes and comment signs.
    pub(crate) text: &'a str,
    /// The offset of its first byte.
    pub(crate) start: usize,
}

impl Token<'_> {
    /// True for this keyword, in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// True for this symbol.
    pub(crate) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol && self.text.starts_with(symbol)
    }

    /// True for both kinds of comment.
    pub(crate) fn is_comment(&self) -> bool {
        matches!(self.kind, TokenKind::LineComment | TokenKind::BlockComment)
    }

    /// False for a quoted name or text without its closing quote.
    pub(crate) fn is_closed(&self) -> bool {
        match (self.kind, self.text.chars().next()) {
            (TokenKind::QuotedName, Some('[')) => self.text.ends_with(']'),
            (TokenKind::QuotedName | TokenKind::Text, Some(quote)) => self.text.matches(quote).count() % 2 == 0,
            _ => true,
        }
    }

    /// The name in the token. A text in single quotes counts because SQLite accepts it as a name.
    pub(crate) fn name(&self) -> Option<String> {
        let quote = self.text.chars().next()?;
        match self.kind {
            TokenKind::Word => Some(self.text.to_owned()),
            TokenKind::QuotedName if quote == '[' => Some(self.text.trim_matches(['[', ']']).to_owned()),
            TokenKind::QuotedName | TokenKind::Text => {
                let inner = self.text.strip_prefix(quote)?.strip_suffix(quote)?;
                Some(inner.replace(&format!("{quote}{quote}"), &quote.to_string()))
            }
            _ => None,
        }
    }

    /// True if both mean the same in a statement: words in any case, other tokens exactly.
    pub(crate) fn means_same_as(&self, other: &Token<'_>) -> bool {
        match (self.kind, other.kind) {
            (TokenKind::Word, TokenKind::Word) => self.text.eq_ignore_ascii_case(other.text),
            (one, another) => one == another && self.text == other.text,
        }
    }
}

/// All tokens of a text, with comments, without white space.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(rest) = sql.get(start..).filter(|rest| !rest.is_empty()) {
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            start += blank;
            continue;
        }
        let (kind, length) = next_token(rest);
        let Some(text) = rest.get(..length) else { break };
        tokens.push(Token { kind, text, start });
        start += length;
    }
    tokens
}

/// The kind and length in bytes of the first token.
fn next_token(rest: &str) -> (TokenKind, usize) {
    let Some(first) = rest.chars().next() else { return (TokenKind::Symbol, 1) };
    let run = |is_part: fn(char) -> bool| rest.find(|c| !is_part(c)).unwrap_or(rest.len());
    if rest.starts_with("--") {
        return (TokenKind::LineComment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        let body = rest.get(2..).unwrap_or_default();
        return (TokenKind::BlockComment, body.find("*/").map_or(rest.len(), |end| end + 4));
    }
    match first {
        '"' | '`' => (TokenKind::QuotedName, quoted_length(rest, first)),
        '\'' => (TokenKind::Text, quoted_length(rest, first)),
        '[' => (TokenKind::QuotedName, rest.find(']').map_or(rest.len(), |end| end + 1)),
        '0'..='9' => (TokenKind::Number, run(|c| c.is_ascii_alphanumeric() || c == '.')),
        c if is_word_part(c) => (TokenKind::Word, run(is_word_part)),
        other => (TokenKind::Symbol, other.len_utf8()),
    }
}

/// In SQLite, every character beyond ASCII is part of a word.
fn is_word_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The length of a quoted token; a doubled quote is part of it.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut characters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = characters.next() {
        if c != quote {
            continue;
        }
        if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
        } else {
            return at + 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(sql: &str) -> Vec<(TokenKind, &str)> {
        tokens(sql).iter().map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn every_kind_of_token_is_recognised() {
        use TokenKind::{BlockComment, LineComment, Number, QuotedName, Symbol, Text, Word};
        assert_eq!(
            kinds("SELECT \"a\"\"b\", [c], `d` -- it's\n, 'it''s' /* ( */ 1.5e3;"),
            [
                (Word, "SELECT"),
                (QuotedName, "\"a\"\"b\""),
                (Symbol, ","),
                (QuotedName, "[c]"),
                (Symbol, ","),
                (QuotedName, "`d`"),
                (LineComment, "-- it's"),
                (Symbol, ","),
                (Text, "'it''s'"),
                (BlockComment, "/* ( */"),
                (Number, "1.5e3"),
                (Symbol, ";"),
            ]
        );
    }

    #[test]
    fn unclosed_token_extends_to_the_end() {
        for sql in ["\"a", "'a''", "[a", "/* a", "-- a", "`", "é\u{a0}'"] {
            let _ = tokens(sql);
        }
        assert_eq!(kinds("x 'a b").len(), 2);
    }

    #[test]
    fn name_has_no_quotes() {
        let names: Vec<_> = tokens("a \"b\"\"c\" [d] `e``f`").iter().filter_map(Token::name).collect();
        assert_eq!(names, ["a", "b\"c", "d", "e`f"]);
    }
}
