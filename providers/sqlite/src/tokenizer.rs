//! Tokens of SQLite's SQL.

use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{self, Token};

/// The tokens of a text, with comments.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    sql_tokens::tokens(SqlDialect::Sqlite, sql)
}

/// The tokens without comments and final semicolons.
pub(crate) fn meaningful(sql: &str) -> Vec<Token<'_>> {
    sql_tokens::meaningful(SqlDialect::Sqlite, sql)
}
