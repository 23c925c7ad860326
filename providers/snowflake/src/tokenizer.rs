//! A tokenizer for SQL text, with enough detail for view definitions of any origin.

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A word without quotes: a keyword or a name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// A text in single quotes, or between `$$`.
    Text,
    /// A number.
    Number,
    /// Anything else, one character.
    Symbol,
    /// A comment.
    Comment,
}

/// A token with its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
}

impl Token<'_> {
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == TokenKind::Symbol && self.text.starts_with(symbol)
    }

    /// The name that the token denotes, in Snowflake's folding.
    pub(crate) fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_uppercase()),
            TokenKind::Quoted => {
                let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    /// True if both have the same meaning: words ignore case.
    pub(crate) fn means_same_as(&self, other: &Token<'_>) -> bool {
        match self.kind {
            TokenKind::Word => other.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(other.text),
            kind => kind == other.kind && self.text == other.text,
        }
    }
}

/// The tokens of a text, without white space. An open quote or comment extends to the end.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest);
        if let (Some(kind), Some(text)) = (kind, rest.get(..length)) {
            found.push(Token { kind, text, start });
        }
        start += length.max(1);
    }
    found
}

/// The tokens without comments and final semicolons.
pub(crate) fn meaningful(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> =
        tokens(text).into_iter().filter(|token| token.kind != TokenKind::Comment).collect();
    while tokens.last().is_some_and(|last| last.is_symbol(';')) {
        tokens.pop();
    }
    tokens
}

/// The kind and length of the first token; `None` for white space.
fn next(text: &str) -> (Option<TokenKind>, usize) {
    let first = text.chars().next().unwrap_or(' ');
    let end = |from: usize, closing: &str| {
        let after = text.get(from..).and_then(|rest| rest.find(closing));
        after.map_or(text.len(), |at| from + at + closing.len())
    };
    if first.is_whitespace() {
        return (None, first.len_utf8());
    }
    if text.starts_with("--") || text.starts_with("//") {
        return (Some(TokenKind::Comment), text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Some(TokenKind::Comment), end(2, "*/"));
    }
    if text.starts_with("$$") {
        return (Some(TokenKind::Text), end(2, "$$"));
    }
    if first == '"' {
        return (Some(TokenKind::Quoted), closed(text, '"', false));
    }
    if first == '\'' {
        return (Some(TokenKind::Text), closed(text, '\'', true));
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    if first.is_ascii_digit() {
        let length = text.find(|c: char| !(is_part(c) || c == '.')).unwrap_or(text.len());
        return (Some(TokenKind::Number), length);
    }
    if first.is_alphabetic() || first == '_' {
        return (Some(TokenKind::Word), text.find(|c: char| !is_part(c)).unwrap_or(text.len()));
    }
    (Some(TokenKind::Symbol), first.len_utf8())
}

/// The length of a quoted text. A doubled quote does not close it, nor a quote after a backslash if there are escapes.
fn closed(text: &str, quote: char, has_escapes: bool) -> usize {
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((at, character)) = characters.next() {
        if has_escapes && character == '\\' {
            characters.next();
        } else if character == quote {
            if characters.peek().is_some_and(|(_, next)| *next == quote) {
                characters.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_are_taken_apart() {
        let texts = |text| tokens(text).iter().map(|token| token.text).collect::<Vec<_>>().join("|");
        assert_eq!(texts("SELECT a,\"b\"\"c\" FROM x.y -- z\n;"), "SELECT|a|,|\"b\"\"c\"|FROM|x|.|y|-- z|;");
        assert_eq!(texts("'it''s \\' all' /* ; */ 1.5"), "'it''s \\' all'|/* ; */|1.5");
        assert_eq!(texts("$$ ' $$ 'open"), "$$ ' $$|'open");
        assert_eq!(meaningful("SELECT 1 -- x\n ; ;").len(), 2);
    }

    proptest! {
        #[test]
        fn any_text_is_tokenized(text in "\\PC{0,60}") {
            let found = tokens(&text);
            prop_assert!(found.iter().all(|token| text.get(token.start..).is_some_and(|rest| rest.starts_with(token.text))));
        }
    }
}
