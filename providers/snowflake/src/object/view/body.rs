//! The content of a view: writing and parsing.

use crate::identifier::{self, qualified, quote, quote_all};
use crate::tokenizer::meaningful;
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::names::listed;
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{PlainQuery, Token, mean_same, plain_query, query_of_view, single_query};
use terrace_provider::{Attributes, Path, ProviderError, Value};

/// Columns of a source, or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Source {
        /// Database, schema and name.
        source: Vec<String>,
        /// The columns in order; empty for all.
        columns: Vec<String>,
    },
    Statement(String),
}

impl Body {
    pub(super) fn from_attributes(attributes: &Attributes) -> Result<Self, ProviderError> {
        let source = attributes.get("source").filter(|source| !source.is_null()).and_then(Value::as_map);
        let statement = optional_text(attributes, "statement");
        let refuse = |name: &str, message: &str| Err(ProviderError::invalid(Some(Path::attribute(name)), message));
        let columns = attributes.get("columns").and_then(Value::as_list).unwrap_or_default();
        match (source, statement) {
            (Some(_), Some(_)) => refuse("statement", "a view has a `source` or a `statement`, not both"),
            (None, None) => refuse("source", "a view needs a `source` with `columns`, or a `statement`"),
            (None, Some(_)) if !columns.is_empty() => {
                refuse("columns", "a view with a `statement` selects its columns there, not in `columns`")
            }
            (None, Some(statement)) => {
                single_query(SqlDialect::Snowflake, &statement, "statement").map(Self::Statement)
            }
            (Some(source), None) => {
                let path = Path::attribute("source");
                let mut parts = Vec::new();
                for name in ["database", "schema", "name"] {
                    let part = text(source, name);
                    identifier::check(&part, &path.key(name))?;
                    parts.push(part);
                }
                let mut names: Vec<String> = Vec::new();
                for (index, column) in columns.iter().enumerate() {
                    let name = column.get("name").and_then(Value::as_str).unwrap_or_default();
                    let place = Path::attribute("columns").index(index).key("name");
                    identifier::check(name, &place)?;
                    if names.iter().any(|known| known == name) {
                        return Err(ProviderError::invalid(
                            Some(place),
                            format!("the view already has a column `{name}`"),
                        ));
                    }
                    names.push(name.to_owned());
                }
                Ok(Self::Source { source: parts, columns: names })
            }
        }
    }

    pub(super) fn to_sql(&self) -> String {
        match self {
            Self::Source { source, columns } => {
                let source = qualified(source.iter().map(String::as_str));
                if columns.is_empty() {
                    return format!("SELECT * FROM {source}");
                }
                format!("SELECT {} FROM {source}", quote_all(columns.iter().map(String::as_str)))
            }
            Self::Statement(statement) => statement.clone(),
        }
    }

    /// Parses the text after the `AS` of a view. Unqualified names belong to the database and the schema of the view.
    pub(super) fn read(ddl: &str, database: &str, schema: &str) -> Self {
        let body = query_of_view(SqlDialect::Snowflake, ddl);
        let statement = || Self::Statement(body.trim_end().trim_end_matches(';').trim_end().to_owned());
        read_query(&meaningful(body), database, schema).unwrap_or_else(statement)
    }

    /// The content with the column names of the view. If they differ from those of the source, or are unknown, it
    /// becomes a statement.
    pub(super) fn with_names(self, names: &[String]) -> Self {
        match &self {
            Self::Source { source, columns } if !columns.is_empty() && columns != names => {
                if columns.len() != names.len() {
                    return Self::Statement(self.to_sql());
                }
                let renamed = columns.iter().zip(names).map(|(column, name)| match column == name {
                    true => quote(column),
                    false => format!("{} AS {}", quote(column), quote(name)),
                });
                let renamed: Vec<String> = renamed.collect();
                let source = qualified(source.iter().map(String::as_str));
                Self::Statement(format!("SELECT {} FROM {source}", renamed.join(", ")))
            }
            _ => self,
        }
    }

    /// True if both mean the same. All columns of a source equal those of the view; unqualified names belong to the
    /// database and the schema of the view.
    pub(super) fn is_same_as(&self, wanted: &Self, names: &[String], database: &str, schema: &str) -> bool {
        match (self, wanted) {
            (Self::Statement(one), Self::Statement(other)) => is_same_statement(one, other),
            // A statement in the form of a source.
            (Self::Source { .. }, Self::Statement(statement)) => {
                read_query(&meaningful(statement), database, schema).as_ref() == Some(self)
            }
            (Self::Source { source, columns }, Self::Source { source: wanted, columns: shown })
                if columns.is_empty() =>
            {
                source == wanted && (shown.is_empty() || shown == names)
            }
            (one, other) => one == other,
        }
    }
}

fn is_same_statement(one: &str, other: &str) -> bool {
    let (one, other) = (meaningful(one), meaningful(other));
    let (one, other) = (without_parentheses(&one), without_parentheses(&other));
    mean_same(one, other)
}

fn without_parentheses<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    match tokens {
        [open, inner @ .., close] if open.is_symbol("(") && close.is_symbol(")") => inner,
        all => all,
    }
}

/// Parses `SELECT a, "b" FROM c` or `SELECT * FROM c`, perhaps in parentheses, and nothing else.
fn read_query(tokens: &[Token<'_>], database: &str, schema: &str) -> Option<Body> {
    let PlainQuery { columns, mut source } = plain_query(without_parentheses(tokens))?;
    for missing in [schema, database].into_iter().skip(source.len().saturating_sub(1)) {
        source.insert(0, missing.to_owned());
    }
    let is_whole = source.len() == 3 && !source.iter().any(String::is_empty);
    is_whole.then_some(Body::Source { source, columns })
}

/// Checks that a source has the columns of a view.
///
/// # Errors
/// `InvalidInput` at the first missing column, with the existing ones.
pub(crate) fn check_columns(planned: &Attributes, source: &str, present: &[String]) -> Result<(), ProviderError> {
    let columns = planned.get("columns").and_then(Value::as_list).unwrap_or_default();
    let names: Vec<String> =
        columns.iter().filter_map(|column| column.get("name")?.as_str().map(str::to_owned)).collect();
    for (index, name) in names.iter().enumerate() {
        if present.contains(name) {
            continue;
        }
        let place = Path::attribute("columns").index(index).key("name");
        let error = ProviderError::invalid(Some(place), format!("{source} has no column `{name}`"))
            .problem(format!("its columns are {}", listed(present)))
            .problem(format!("the view selects {}", listed(&names)));
        return Err(error.did_you_mean(name, present));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(columns: &[&str]) -> Body {
        Body::Source {
            source: vec!["DB".to_owned(), "S".to_owned(), "T".to_owned()],
            columns: columns.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn text_of_any_view_is_parsed() {
        let read = |ddl: &str| Body::read(ddl, "DB", "S");
        for ddl in [
            r#"CREATE VIEW "DB"."S"."V" ("A", "b" COMMENT 'as') AS SELECT "A", "b" FROM "DB"."S"."T""#,
            "create or replace secure view v(a comment 'x) as (', \"b\") copy grants comment = 'AS' as\n(select a,\n\"b\" from t);",
            "CREATE VIEW IF NOT EXISTS \"DB\".\"S\".\"V\" AS (SELECT A,\n\"b\" FROM \"DB\".\"S\".\"T\");",
        ] {
            assert_eq!(read(ddl), source(&["A", "b"]), "{ddl}");
        }
        assert_eq!(read("CREATE VIEW V AS SELECT * FROM S.T -- all\n;"), source(&[]));
        let other = "SELECT A + 1 AS B FROM T WHERE C = 'x;y'";
        assert_eq!(read(&format!("CREATE VIEW V AS {other} ;")), Body::Statement(other.to_owned()));
    }

    #[test]
    fn white_space_case_and_comments_do_not_matter() {
        assert!(is_same_statement("SELECT a FROM b", "select  A\nfrom B /* x */"));
        assert!(!is_same_statement("SELECT 'a' FROM b", "SELECT 'A' FROM b"));
    }
}
