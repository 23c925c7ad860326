//! Queries that select only columns of one source, in the server's form: `SELECT t.a, t.b FROM s.t`. Since PostgreSQL
//! 16, the `t.` is missing.

use crate::lexer::{Token, TokenKind, tokens};

/// Columns of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

/// The source of a query with qualified names; `None` for any other query.
pub(crate) fn source_of(definition: &str) -> Option<Source> {
    let all = tokens(definition);
    let end = if all.last()?.is_symbol(";") { all.len() - 1 } else { all.len() };
    let (select, rest) = all.get(..end)?.split_first()?;
    let at = rest.iter().position(|token| token.is_word("FROM"))?;
    let (columns, from) = rest.split_at_checked(at)?;
    let [_, schema, dot, name] = from else { return None };
    if !select.is_word("SELECT") || !dot.is_symbol(".") {
        return None;
    }
    let (schema, name) = (named(schema)?, named(name)?);
    let columns = columns.split(|token| token.is_symbol(",")).map(|column| column_of(column, &name));
    Some(Source { columns: columns.collect::<Option<Vec<_>>>()?, schema, name })
}

fn column_of(tokens: &[Token<'_>], table: &str) -> Option<String> {
    match tokens {
        [column] => named(column),
        [alias, dot, column] if dot.is_symbol(".") && named(alias)? == table => named(column),
        _ => None,
    }
}

fn named(token: &Token<'_>) -> Option<String> {
    matches!(token.kind, TokenKind::Word | TokenKind::QuotedName).then(|| token.name())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_column_lists_have_a_source() {
        let source = source_of(" SELECT t.a,\n    t.\"B x\"\n   FROM s.t;").unwrap();
        assert_eq!((source.schema.as_str(), source.name.as_str()), ("s", "t"));
        assert_eq!(source.columns, ["a", "B x"]);
        assert_eq!(source_of("SELECT a, b FROM \"S.x\".t").unwrap().schema, "S.x");
        for other in [
            "SELECT t.a AS b FROM s.t",
            "SELECT t.a FROM s.t WHERE (t.a > 1)",
            "SELECT t.a FROM s.t u",
            "SELECT DISTINCT t.a FROM s.t",
            "SELECT 1 FROM s.t",
            "SELECT x.a FROM s.t",
            "VALUES (1)",
        ] {
            assert_eq!(source_of(other), None, "{other}");
        }
    }
}
