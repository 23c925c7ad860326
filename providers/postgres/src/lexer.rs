//! Tokens of PostgreSQL's SQL, with enough detail to find the end of an expression and its quotes:
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in double quotes.
    QuotedName,
    /// A literal in quotes or dollars, with its prefix.
    Text,
    /// A number, or a parameter `$1`.
    Number,
    /// One character of punctuation or of an operator; `::` is one token.
    Symbol,
    /// A comment.
    Comment,
    /// A quote or comment without an end.
    Unclosed,
}

/// A token with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    pub(crate) text: &'a str,
}

impl Token<'_> {
    /// True for this keyword in any case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// True for this symbol.
    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// The name that the token denotes: in lower case unless quoted.
    pub(crate) fn name(&self) -> Option<String> {
        match self.kind {
            TokenKind::Word => Some(self.text.to_lowercase()),
            TokenKind::QuotedName => {
                let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
                Some(inner.replace("\"\"", "\""))
            }
            _ => None,
        }
    }

    /// A normal form of the text: equal for tokens with the same meaning.
    pub(crate) fn meaning(&self) -> String {
        match self.kind {
            TokenKind::Word => self.text.to_lowercase(),
            TokenKind::QuotedName => match self.text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                // A name that needs no quotes means the same without them.
                Some(inner) if is_plain(inner) && !RESERVED.split(' ').any(|word| word == inner) => inner.to_owned(),
                _ => self.text.to_owned(),
            },
            _ => self.text.to_owned(),
        }
    }

    /// True if both have the same meaning.
    pub(crate) fn means_same_as(&self, other: &Token<'_>) -> bool {
        self.meaning() == other.meaning()
    }
}

fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Keywords that are names only in quotes: <https://www.postgresql.org/docs/current/sql-keywords-appendix.html>.
const RESERVED: &str = "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate \
     collation column concurrently constraint create cross current_catalog current_date current_role \
     current_schema current_time current_timestamp current_user default deferrable desc distinct do else end \
     except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into \
     is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on \
     only or order outer overlaps placing primary references returning right select session_user similar some \
     symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when \
     where";

/// The tokens of a text, without white space.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (kind, length) = next(rest);
        let (token, behind) = rest.split_at_checked(length.max(1)).unwrap_or((rest, ""));
        found.push(Token { kind, text: token });
        rest = behind.trim_start();
    }
    found
}

/// The kind and length in bytes of the first token.
fn next(text: &str) -> (TokenKind, usize) {
    let mut letters = text.chars();
    let first = letters.next().unwrap_or_default();
    let second = letters.next();
    match (first, second) {
        ('-', Some('-')) => (TokenKind::Comment, text.find('\n').unwrap_or(text.len())),
        ('/', Some('*')) => block_comment(text),
        ('\'', _) => quoted(text, 0, '\'', TokenKind::Text, false),
        ('"', _) => quoted(text, 0, '"', TokenKind::QuotedName, false),
        ('e' | 'E', Some('\'')) => quoted(text, 1, '\'', TokenKind::Text, true),
        ('b' | 'B' | 'x' | 'X' | 'n' | 'N', Some('\'')) => quoted(text, 1, '\'', TokenKind::Text, false),
        ('u' | 'U', Some('&')) => match letters.next() {
            Some('\'') => quoted(text, 2, '\'', TokenKind::Text, false),
            Some('"') => quoted(text, 2, '"', TokenKind::QuotedName, false),
            _ => word(text),
        },
        ('$', _) => dollars(text),
        (':', Some(':')) => (TokenKind::Symbol, 2),
        (first, _) if first.is_alphabetic() || first == '_' || !first.is_ascii() => word(text),
        (first, _) if first.is_ascii_digit() => (TokenKind::Number, number(text)),
        ('.', Some(second)) if second.is_ascii_digit() => (TokenKind::Number, number(text)),
        (first, _) => (TokenKind::Symbol, first.len_utf8()),
    }
}

fn word(text: &str) -> (TokenKind, usize) {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    (TokenKind::Word, text.find(|c| !is_part(c) || c.is_whitespace()).unwrap_or(text.len()))
}

fn number(text: &str) -> usize {
    let mut length = 0;
    let mut before = '0';
    for (at, letter) in text.char_indices() {
        let is_sign = matches!(letter, '+' | '-') && matches!(before, 'e' | 'E');
        if !(letter.is_ascii_alphanumeric() || letter == '.' || letter == '_' || is_sign) {
            break;
        }
        before = letter;
        length = at + letter.len_utf8();
    }
    length
}

fn quoted(text: &str, prefix: usize, quote: char, kind: TokenKind, has_escapes: bool) -> (TokenKind, usize) {
    let mut letters = text.char_indices().skip(prefix + 1).peekable();
    while let Some((at, letter)) = letters.next() {
        if has_escapes && letter == '\\' {
            letters.next();
        } else if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + 1);
        }
    }
    (TokenKind::Unclosed, text.len())
}

fn block_comment(text: &str) -> (TokenKind, usize) {
    let mut depth = 0_u32;
    let mut letters = text.char_indices().peekable();
    while let Some((_, letter)) = letters.next() {
        let follows = letters.peek().copied();
        match (letter, follows) {
            ('/', Some((_, '*'))) => {
                depth += 1;
                letters.next();
            }
            ('*', Some((at, '/'))) => {
                depth = depth.saturating_sub(1);
                letters.next();
                if depth == 0 {
                    return (TokenKind::Comment, at + 1);
                }
            }
            _ => {}
        }
    }
    (TokenKind::Unclosed, text.len())
}

/// `$1`, or a text between `$tag$` and `$tag$`.
fn dollars(text: &str) -> (TokenKind, usize) {
    let behind = text.get(1..).unwrap_or_default();
    if behind.starts_with(|c: char| c.is_ascii_digit()) {
        return (TokenKind::Number, 1 + behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len()));
    }
    let Some((name, rest)) = behind.split_once('$') else { return (TokenKind::Symbol, 1) };
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return (TokenKind::Symbol, 1);
    }
    let tag = format!("${name}$");
    match rest.find(&tag) {
        Some(at) => (TokenKind::Text, tag.len() + at + tag.len()),
        None => (TokenKind::Unclosed, text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.text).collect()
    }

    #[test]
    fn quoted_text_is_one_token() {
        assert_eq!(texts("a||'it''s'::text"), ["a", "|", "|", "'it''s'", "::", "text"]);
        assert_eq!(texts(r"E'a\'b' || $x$;$x$"), [r"E'a\'b'", "|", "|", "$x$;$x$"]);
        assert_eq!(
            texts("\"a\"\"b\".c /* x /* y */ z */ -- end"),
            ["\"a\"\"b\"", ".", "c", "/* x /* y */ z */", "-- end"]
        );
        assert_eq!(texts("1.5e-3+$1"), ["1.5e-3", "+", "$1"]);
    }

    #[test]
    fn unclosed_quote_or_comment_is_found() {
        for text in ["'a", "\"a", "/* a", "$a$ b", r"E'\'", "/* /* */"] {
            assert_eq!(tokens(text).last().map(|token| token.kind), Some(TokenKind::Unclosed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn tokens_cover_the_whole_text(text in "\\PC*") {
            let whole: String = texts(&text).concat();
            let kept: String = whole.chars().filter(|c| !c.is_whitespace()).collect();
            let given: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            prop_assert_eq!(kept, given);
        }
    }
}
