//! Tokens of SQL text, with enough detail for column types, expressions and definitions of views.
//!
//! It never fails: the server validates the SQL. The rules:
//! <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>, <https://sqlite.org/lang.html>,
//! <https://docs.snowflake.com/en/sql-reference/identifiers-syntax>,
//! <https://docs.databricks.com/aws/en/sql/language-manual/sql-ref-names>.

mod query;

pub use query::{PlainQuery, plain_query, query_of_view, single_query};

use crate::sql_reads::SqlDialect;

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    QuotedName,
    /// A literal in quotes or dollars, with its prefix.
    Text,
    /// A number, or a parameter `$1` of PostgreSQL.
    Number,
    /// One character of punctuation or of an operator; `::` is one token.
    Symbol,
    /// A comment.
    Comment,
    /// A quote without an end, or a comment of PostgreSQL without an end.
    Unclosed,
}

/// A token with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// Its kind.
    pub kind: TokenKind,
    /// The source text, with quotes and comment signs.
    pub text: &'a str,
    /// The offset of its first byte.
    pub start: usize,
    dialect: SqlDialect,
}

impl Token<'_> {
    /// The offset of the first byte after it.
    #[must_use]
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// True for this keyword in any case.
    #[must_use]
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// True for this symbol.
    #[must_use]
    pub fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == TokenKind::Symbol && self.text == symbol
    }

    /// True for a comment.
    #[must_use]
    pub fn is_comment(&self) -> bool {
        self.kind == TokenKind::Comment
    }

    /// The change of the depth of brackets: 1 for an opening bracket, -1 for a closing bracket.
    #[must_use]
    pub fn depth(&self) -> i32 {
        let is_one_of = |symbols: [&str; 2]| i32::from(symbols.iter().any(|symbol| self.is_symbol(symbol)));
        is_one_of(["(", "["]) - is_one_of([")", "]"])
    }

    /// The name that the token denotes, in the case in which the system stores it. SQLite also accepts a text as a name.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match (self.kind, self.dialect) {
            (TokenKind::Word, SqlDialect::Postgres) => Some(self.text.to_lowercase()),
            (TokenKind::Word, SqlDialect::Snowflake) => Some(self.text.to_uppercase()),
            (TokenKind::Word, SqlDialect::Databricks | SqlDialect::Sqlite) => Some(self.text.to_owned()),
            (TokenKind::QuotedName, _) | (TokenKind::Text, SqlDialect::Sqlite) => {
                let open = self.text.chars().next()?;
                let close = if open == '[' { ']' } else { open };
                let inner = self.text.strip_prefix(open)?.strip_suffix(close)?;
                Some(inner.replace(&format!("{close}{close}"), &close.to_string()))
            }
            _ => None,
        }
    }

    /// True if both mean the same in a statement: words in any case, other tokens exactly.
    #[must_use]
    pub fn means_same_as(&self, other: &Token<'_>) -> bool {
        self.kind == other.kind
            && if self.kind == TokenKind::Word {
                self.text.eq_ignore_ascii_case(other.text)
            } else {
                self.text == other.text
            }
    }
}

/// The tokens of a text, with comments, without white space.
#[must_use]
pub fn tokens(dialect: SqlDialect, text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let (kind, length) = next(dialect, rest);
        let (token, behind) = rest.split_at_checked(length.max(1)).unwrap_or((rest, ""));
        found.push(Token { kind, text: token, start, dialect });
        rest = behind.trim_start();
    }
    found
}

/// The tokens without comments and final semicolons.
#[must_use]
pub fn meaningful(dialect: SqlDialect, text: &str) -> Vec<Token<'_>> {
    let mut tokens = tokens(dialect, text);
    tokens.retain(|token| !token.is_comment());
    while tokens.last().is_some_and(|last| last.is_symbol(";")) {
        tokens.pop();
    }
    tokens
}

/// True if both mean the same in a statement, token by token.
#[must_use]
pub fn mean_same(one: &[Token<'_>], other: &[Token<'_>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.means_same_as(other))
}

/// True for a single expression. False for a text with an open quote or bracket, a semicolon, a comment, or a comma
/// outside of brackets: it would not stay a single expression in a statement.
#[must_use]
pub fn is_expression(dialect: SqlDialect, text: &str) -> bool {
    let tokens = tokens(dialect, text);
    let mut depth = 0_i32;
    let is_part = |token: &Token<'_>| {
        depth += token.depth();
        let is_complete = !matches!(token.kind, TokenKind::Unclosed | TokenKind::Comment);
        depth >= 0 && is_complete && !token.is_symbol(";") && (depth > 0 || !token.is_symbol(","))
    };
    !tokens.is_empty() && !text.contains('\0') && tokens.iter().all(is_part) && depth == 0
}

/// One or two sizes in parentheses, as after the name of a type: `(10, 2)`. Empty without tokens.
#[must_use]
pub fn sizes(tokens: &[Token<'_>]) -> Option<Vec<u64>> {
    let [open, inner @ .., close] = tokens else { return tokens.is_empty().then(Vec::new) };
    let size = |size: &[Token<'_>]| match size {
        [size] if size.kind == TokenKind::Number => size.text.parse().ok(),
        _ => None,
    };
    let sizes: Vec<u64> = inner.split(|token| token.is_symbol(",")).map(size).collect::<Option<_>>()?;
    (open.is_symbol("(") && close.is_symbol(")") && sizes.len() <= 2).then_some(sizes)
}

/// The kind and length in bytes of the first token.
fn next(dialect: SqlDialect, text: &str) -> (TokenKind, usize) {
    use SqlDialect::{Databricks, Postgres, Snowflake, Sqlite};
    let mut letters = text.chars();
    let first = letters.next().unwrap_or_default();
    let second = letters.next();
    let line_comment = || (TokenKind::Comment, text.find('\n').unwrap_or(text.len()));
    match (first, second, dialect) {
        ('-', Some('-'), _) | ('/', Some('/'), Snowflake) => line_comment(),
        ('/', Some('*'), Postgres) => nested_comment(text),
        ('/', Some('*'), _) => {
            let body = text.get(2..).unwrap_or_default();
            (TokenKind::Comment, body.find("*/").map_or(text.len(), |end| end + 4))
        }
        ('\'', _, _) => quoted(text, 0, '\'', TokenKind::Text, matches!(dialect, Databricks | Snowflake)),
        ('r' | 'R', Some(quote @ ('\'' | '"')), Databricks) => raw_text(text, quote),
        ('"', _, Databricks) => quoted(text, 0, '"', TokenKind::Text, true),
        ('"', _, _) => quoted(text, 0, '"', TokenKind::QuotedName, false),
        ('`', _, Databricks | Sqlite) => quoted(text, 0, '`', TokenKind::QuotedName, false),
        ('[', _, Sqlite) => {
            text.find(']').map_or((TokenKind::Unclosed, text.len()), |end| (TokenKind::QuotedName, end + 1))
        }
        ('e' | 'E', Some('\''), Postgres) => quoted(text, 1, '\'', TokenKind::Text, true),
        ('b' | 'B' | 'x' | 'X' | 'n' | 'N', Some('\''), Postgres) => quoted(text, 1, '\'', TokenKind::Text, false),
        ('u' | 'U', Some('&'), Postgres) => match letters.next() {
            Some('\'') => quoted(text, 2, '\'', TokenKind::Text, false),
            Some('"') => quoted(text, 2, '"', TokenKind::QuotedName, false),
            _ => word(text),
        },
        ('$', _, Postgres) | ('$', Some('$'), Snowflake) => dollars(text),
        (':', Some(':'), _) => (TokenKind::Symbol, 2),
        ('.', Some('0'..='9'), Databricks) => match databricks_number(text) {
            Some(length) => (TokenKind::Number, length),
            None => (TokenKind::Symbol, 1),
        },
        ('0'..='9', _, Databricks) => match databricks_number(text) {
            Some(length) => (TokenKind::Number, length),
            None => word(text),
        },
        ('.', Some('0'..='9'), _) | ('0'..='9', _, _) => (TokenKind::Number, number(text)),
        (first, _, _) if first != '$' && is_word_part(first) => word(text),
        (first, _, _) => (TokenKind::Symbol, first.len_utf8()),
    }
}

fn word(text: &str) -> (TokenKind, usize) {
    (TokenKind::Word, text.find(|c| !is_word_part(c)).unwrap_or(text.len()))
}

/// Every character beyond ASCII is part of a word.
fn is_word_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii()
}

fn number(text: &str) -> usize {
    let is_hexadecimal = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    let mut before = '0';
    let end = text.char_indices().find(|&(at, c)| {
        // A sign without a digit behind it is an operator, or begins a comment.
        let has_exponent = || text.get(at + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_sign = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !is_hexadecimal && has_exponent();
        before = c;
        !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_') || is_sign)
    });
    end.map_or(text.len(), |(at, _)| at)
}

/// The length of the number that a text of Databricks begins with; `None` if a name begins there: `2020_sales`, `1e`.
/// <https://docs.databricks.com/aws/en/sql/language-manual/data-types/decimal-type>
fn databricks_number(text: &str) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())
    };
    let begins = |at: usize, with: &[char]| text.get(at..).is_some_and(|rest| rest.starts_with(with));
    let whole = digits(0);
    let with_fraction = begins(whole, &['.']).then(|| whole + 1 + digits(whole + 1));
    // A point belongs to a name behind it rather than to a number: `1.a`.
    with_fraction.into_iter().chain((whole > 0).then_some(whole)).find_map(|mut end| {
        if begins(end, &['e', 'E']) {
            let sign = usize::from(begins(end + 1, &['+', '-']));
            let exponent = digits(end + 1 + sign);
            end += if exponent == 0 { 0 } else { 1 + sign + exponent };
        }
        let is_big_decimal = text.get(end..end + 2).is_some_and(|suffix| suffix.eq_ignore_ascii_case("bd"));
        end += match is_big_decimal {
            true => 2,
            false => usize::from(begins(end, &['l', 'L', 's', 'S', 'y', 'Y', 'f', 'F', 'd', 'D'])),
        };
        (!text.get(end..).is_some_and(|rest| rest.starts_with(is_word_part))).then_some(end)
    })
}

/// A text of Databricks after `r`: neither a backslash nor a second quote escapes the closing quote.
/// <https://docs.databricks.com/aws/en/sql/language-manual/data-types/string-type>
fn raw_text(text: &str, quote: char) -> (TokenKind, usize) {
    match text.get(2..).and_then(|rest| rest.find(quote)) {
        Some(at) => (TokenKind::Text, at + 3),
        None => (TokenKind::Unclosed, text.len()),
    }
}

/// A text or name in quotes after a prefix of this length. A doubled quote does not close it, nor a quote after a
/// backslash if there are escapes.
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

fn nested_comment(text: &str) -> (TokenKind, usize) {
    let mut depth = 0_u32;
    let mut letters = text.char_indices().peekable();
    while let Some((_, letter)) = letters.next() {
        match (letter, letters.peek().copied()) {
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
mod tests;
