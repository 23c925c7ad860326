//! Queries that select only columns of one source, in the server's form: `SELECT t.a, t.b FROM s.t`. Since PostgreSQL
//! 16, the `t.` is missing.

use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{meaningful, plain_query};

/// Columns of a table or view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<String>,
}

/// The source of a query with qualified names; `None` for any other query.
pub(crate) fn source_of(definition: &str) -> Option<Source> {
    let query = plain_query(&meaningful(SqlDialect::Postgres, definition))?;
    let [schema, name] = <[String; 2]>::try_from(query.source).ok()?;
    Some(Source { schema, name, columns: query.columns })
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
