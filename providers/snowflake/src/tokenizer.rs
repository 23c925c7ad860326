//! Tokens of Snowflake's SQL.

use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{self, Token};

/// The tokens without comments and final semicolons.
pub(crate) fn meaningful(text: &str) -> Vec<Token<'_>> {
    sql_tokens::meaningful(SqlDialect::Snowflake, text)
}
