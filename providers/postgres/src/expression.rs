//! Checks and comparison of SQL expressions from configurations.

use crate::data_type::DataType;
use crate::lexer::{meaning, tokens};
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{self, Token, TokenKind};
use terrace_provider::{Path, ProviderError};

/// Refuses a text that would not stay a single expression in a statement.
///
/// # Errors
/// `InvalidInput` at the path.
pub(crate) fn check(text: &str, what: &str, path: &Path) -> Result<(), ProviderError> {
    if sql_tokens::is_expression(SqlDialect::Postgres, text) {
        return Ok(());
    }
    Err(ProviderError::invalid(Some(path.clone()), format!("`{}` is not a valid {what}", text.escape_default()))
        .solution("write one expression of SQL, such as `0`, `'new'`, `now()` or `price > 0`"))
}

/// A normal form that ignores case, white space, comments, redundant quotes, and brackets around the whole.
pub(crate) fn normal(text: &str) -> String {
    let tokens = sql_tokens::meaningful(SqlDialect::Postgres, text);
    let mut tokens = tokens.as_slice();
    while let [open, inner @ .., close] = tokens
        && open.is_symbol("(")
        && close.is_symbol(")")
        && is_balanced(inner)
    {
        tokens = inner;
    }
    tokens.iter().map(meaning).collect::<Vec<_>>().join(" ")
}

/// True if the brackets are balanced.
fn is_balanced(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0_i32;
    tokens.iter().all(|token| {
        depth += token.depth();
        depth >= 0
    }) && depth == 0
}

/// The literal and the type of a cast: `'x'` and `text` of `'x'::text`.
pub(crate) fn cast_literal(text: &str) -> Option<(&str, &str)> {
    let (literal, ty) = text.rsplit_once("::")?;
    let is_literal = |token: &Token<'_>| matches!(token.kind, TokenKind::Text | TokenKind::Number);
    match tokens(literal).as_slice() {
        [literal] if is_literal(literal) => {}
        [sign, number] if sign.is_symbol("-") && number.kind == TokenKind::Number => {}
        _ => return None,
    }
    Some((literal.trim(), ty.trim()))
}

/// True for NULL, also in casts and brackets. The server stores no default of NULL.
pub(crate) fn is_null(text: &str) -> bool {
    let tokens = tokens(text);
    match essence(&tokens).as_slice() {
        [null] => null.is_word("NULL"),
        [cast, null, r#as, ..] => cast.is_word("CAST") && null.is_word("NULL") && r#as.is_word("AS"),
        _ => false,
    }
}

/// True if both are probably the same expression: the server adds casts and brackets and folds case. Used only if the
/// server's text for an expression is unknown.
///
/// Casts with a size change values. The server keeps them, and adds only those of intervals.
pub(crate) fn is_alike(configured: &str, server: &str) -> bool {
    let (one, other) = (tokens(configured), tokens(server));
    let (casts, mut open) = (sized_casts(&one), sized_casts(&other));
    let mut is_kept = |cast: &DataType| open.iter().position(|sized| sized == cast).map(|at| open.remove(at)).is_some();
    let are_kept = casts.iter().all(&mut is_kept);
    let (one, other) = (essence(&one), essence(&other));
    are_kept
        && open.iter().all(DataType::is_interval)
        && one.len() == other.len()
        && one.iter().zip(&other).all(|(one, other)| meaning(one) == meaning(other))
}

/// The types with a size in `::` casts.
fn sized_casts(tokens: &[Token<'_>]) -> Vec<DataType> {
    let cast = |(at, _): (usize, &Token<'_>)| {
        let rest = tokens.get(at + 1..)?;
        let ty = rest.get(..type_length(rest))?.iter().map(|token| token.text).collect::<Vec<_>>();
        DataType::parse(&ty.join(" ")).filter(DataType::is_sized)
    };
    tokens.iter().enumerate().filter(|(_, token)| token.is_symbol("::")).filter_map(cast).collect()
}

/// The number of tokens of the type at the beginning: its name (qualified or of several words), its sizes, and `[]`.
fn type_length(tokens: &[Token<'_>]) -> usize {
    let mut length = 1.min(tokens.len());
    while let Some(next) = tokens.get(length) {
        let is_more = ["varying", "precision", "with", "without", "time", "zone"].iter().any(|word| next.is_word(word));
        match next.is_symbol(".") {
            true => length = tokens.len().min(length + 2),
            false if is_more => length += 1,
            false => break,
        }
    }
    for (open, close) in [("(", ")"), ("[", "]")] {
        let rest = tokens.get(length..).unwrap_or_default();
        if rest.first().is_some_and(|next| next.is_symbol(open)) {
            let end = rest.iter().position(|inner| inner.is_symbol(close));
            length = end.map_or(tokens.len(), |end| length + end + 1);
        }
    }
    length
}

/// The tokens without casts, brackets and comments.
fn essence<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t Token<'a>> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut rest = tokens;
    while let [token, behind @ ..] = rest {
        rest = behind;
        if token.is_symbol("::") {
            rest = behind.get(type_length(behind)..).unwrap_or_default();
        } else if !(token.is_symbol("(") || token.is_symbol(")") || token.kind == TokenKind::Comment) {
            kept.push(token);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_is_not_a_single_expression_is_refused() {
        let path = Path::attribute("default");
        for text in ["0", "'it''s'", "now()", "(1 + 2)", "ARRAY[1, 2]", "coalesce(a, b) > 0", "$$;$$"] {
            assert!(check(text, "default", &path).is_ok(), "{text}");
        }
        for text in ["", "1; DROP TABLE t", "1) , (2", "'a", "1 -- x", "1, 2", "(1", "a /* b */", "1\0"] {
            assert!(check(text, "default", &path).is_err(), "{text}");
        }
    }

    #[test]
    fn null_is_null_in_every_spelling() {
        for text in ["NULL", " null ", "(Null)", "NULL::text", "((NULL)::character varying(20))", "CAST(NULL AS text)"]
        {
            assert!(is_null(text), "{text}");
        }
        for text in ["'NULL'", "\"null\"", "NULL + 1", "coalesce(NULL, 1)", "CAST(1 AS text)", ""] {
            assert!(!is_null(text), "{text}");
        }
    }

    #[test]
    fn quotes_that_change_the_meaning_stay() {
        assert_eq!(normal("A  > 0"), normal("\"a\" > 0 -- positive\n;"));
        assert_ne!(normal("\"A\" > 0"), normal("a > 0"));
        assert_ne!(normal("\"user\" > ''"), normal("user > ''"));
        assert_ne!(normal("'A'"), normal("'a'"));
    }

    #[test]
    fn brackets_around_the_whole_are_ignored() {
        assert_eq!(normal("((a > 0))"), normal("a > 0"));
        assert_ne!(normal("(a > 0) AND (b > 0)"), normal("a > 0) AND (b > 0"));
        assert_ne!(normal("(a + b) * c"), normal("a + b * c"));
    }

    #[test]
    fn text_of_the_server_is_alike() {
        for (one, other) in [
            ("'new'", "'new'::character varying"),
            ("price > 0", "(price > (0)::numeric)"),
            ("NOW()", "now()"),
            ("a in (1)", "(a in (1))"),
            ("'{}'", "'{}'::integer[]"),
            ("'x'", "'x'::s.\"Kind\""),
            ("'abc'::varchar(2)", "('abc'::character varying)::character varying(2)"),
            ("'1 day'", "'1 day'::interval(3)"),
            ("x::s.\"Kind\" > 1", "(x > 1)"),
            ("\"a\" > 1", "(a > 1)"),
        ] {
            assert!(is_alike(one, other), "{one} and {other}");
        }
        assert!(!is_alike("'new'", "'old'::text"));
        assert!(!is_alike("a > 1", "a > 2"));
        assert!(!is_alike("'abc'::varchar(2)", "'abc'::character varying"));
        assert!(!is_alike("'abc'", "('abc'::character varying)::character varying(2)"));
        assert!(!is_alike("1.25::numeric(3,1)", "(1.25)::numeric(3,2)"));
    }
}
