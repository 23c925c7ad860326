//! Queries of views: the configured text, and the text in a definition.

use super::{Token, TokenKind, meaningful, tokens};
use crate::sql_reads::SqlDialect;
use crate::{Path, ProviderError};

/// The query in an attribute of a view, without comments and semicolons at its end. A comment there could swallow the
/// rest of the statement.
///
/// # Errors
/// `InvalidInput` at the attribute if the text is not a single query.
pub fn single_query(dialect: SqlDialect, text: &str, attribute: &'static str) -> Result<String, ProviderError> {
    let refuse = |why: &str| {
        Err(ProviderError::invalid(Some(Path::attribute(attribute)), format!("a view's {attribute} {why}"))
            .solution("write one query, such as `SELECT id, name FROM orders`"))
    };
    let code = meaningful(dialect, text);
    let begins: &[&str] = match dialect {
        SqlDialect::Postgres => &["SELECT", "WITH", "VALUES", "TABLE"],
        SqlDialect::Sqlite => &["SELECT", "WITH", "VALUES"],
        SqlDialect::Databricks | SqlDialect::Snowflake => &["SELECT", "WITH"],
    };
    // SQLite has no brackets around a query.
    let first = code.iter().find(|token| dialect == SqlDialect::Sqlite || !token.is_symbol("("));
    let (Some(first), Some(last)) = (first, code.last()) else { return refuse("must be a single query") };
    if text.contains('\0') || !begins.iter().any(|word| first.is_word(word)) {
        return refuse("must be a single query");
    }
    if code.iter().any(|token| token.is_symbol(";")) {
        return refuse("must be a single query, but text follows a `;`");
    }
    if code.iter().any(|token| token.kind == TokenKind::Unclosed) {
        return refuse("has a quote or a comment that is not closed");
    }
    let mut depth = 0_i32;
    let is_balanced = code.iter().all(|token| {
        depth += token.depth();
        depth >= 0
    });
    if !is_balanced || depth != 0 {
        return refuse("has brackets that do not match");
    }
    Ok(text.get(..last.end()).unwrap_or(text).trim_start().to_owned())
}

/// The query in the definition of a view: the text after its `AS`.
#[must_use]
pub fn query_of_view(dialect: SqlDialect, definition: &str) -> &str {
    let tokens = tokens(dialect, definition);
    let mut depth = 0_i32;
    let mut after = tokens.iter().skip_while(|token| {
        depth += token.depth();
        depth != 0 || !token.is_word("AS")
    });
    after.nth(1).and_then(|first| definition.get(first.start..)).unwrap_or_default()
}

/// A query of columns of a single source, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainQuery {
    /// The columns in order; empty for all.
    pub columns: Vec<String>,
    /// The parts of the source's name.
    pub source: Vec<String>,
}

/// Parses `SELECT a, b FROM c.d` or `SELECT * FROM c.d`; `None` for any other query.
#[must_use]
pub fn plain_query(tokens: &[Token<'_>]) -> Option<PlainQuery> {
    let (select, rest) = tokens.split_first().filter(|(select, _)| select.is_word("SELECT"))?;
    let from = rest.iter().position(|token| token.is_word("FROM"))?;
    let (columns, source) = (rest.get(..from)?, rest.get(from + 1..)?);
    let source = source.split(|token| token.is_symbol(".")).map(|part| match part {
        [name] => name.name(),
        _ => None,
    });
    let source = source.collect::<Option<Vec<_>>>()?;
    let column = |column: &[Token<'_>]| match column {
        [name] => name.name(),
        // PostgreSQL writes the table before each column.
        [table, dot, name] if select.dialect == SqlDialect::Postgres && dot.is_symbol(".") => {
            name.name().filter(|_| table.name().as_ref() == source.last())
        }
        _ => None,
    };
    let columns = match columns {
        [all] if all.is_symbol("*") => Vec::new(),
        columns => columns.split(|token| token.is_symbol(",")).map(column).collect::<Option<_>>()?,
    };
    Some(PlainQuery { columns, source })
}
