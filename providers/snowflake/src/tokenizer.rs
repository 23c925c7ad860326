//! SQL text taken apart as far as terrace has to understand it: definitions of views that somebody else wrote.

/// What a token is.
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

/// A token and where it begins.
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

    /// The name that it is, folded as Snowflake folds.
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

    /// True when both mean the same: words in any case.
    pub(crate) fn means_same_as(&self, other: &Token<'_>) -> bool {
        match self.kind {
            TokenKind::Word => other.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(other.text),
            kind => kind == other.kind && self.text == other.text,
        }
    }
}

/// The tokens of a text, white space left out. Whatever is not closed goes to the end.
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

/// The tokens that matter: without comments, and without semicolons at the end.
pub(crate) fn meaningful(text: &str) -> Vec<Token<'_>> {
    let mut tokens: Vec<Token<'_>> = tokens(text).into_iter().filter(|it| it.kind != TokenKind::Comment).collect();
    while tokens.last().is_some_and(|last| last.is_symbol(';')) {
        tokens.pop();
    }
    tokens
}

/// What begins a text, and how long it is; nothing for white space.
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

/// How long a quoted text is: a doubled quote, or one behind a backslash where there are such, does not close it.
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
        fn any_text_has_an_end(text in "\\PC{0,60}") {
            let found = tokens(&text);
            prop_assert!(found.iter().all(|token| text.get(token.start..).is_some_and(|rest| rest.starts_with(token.text))));
        }
    }
}
