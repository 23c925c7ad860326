//! Tokens of PostgreSQL's SQL, and their normal forms.

use crate::spelling::is_lower;
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{self, Token, TokenKind};

/// The tokens of a text, without white space.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    sql_tokens::tokens(SqlDialect::Postgres, text)
}

/// A normal form of the token: equal for tokens with the same meaning.
pub(crate) fn meaning(token: &Token<'_>) -> String {
    let quoted = |text: &str| text.strip_prefix('"')?.strip_suffix('"').map(str::to_owned);
    match token.kind {
        TokenKind::Word => token.text.to_lowercase(),
        TokenKind::QuotedName => {
            // A name that needs no quotes means the same without them.
            let needs_none = |name: &String| is_lower(name) && !RESERVED.split(' ').any(|word| word == name);
            quoted(token.text).filter(needs_none).unwrap_or_else(|| token.text.to_owned())
        }
        _ => token.text.to_owned(),
    }
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
