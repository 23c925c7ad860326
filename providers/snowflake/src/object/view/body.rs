//! The content of a view: writing and parsing.

use crate::identifier::{self, qualified, quote, quote_all, read_path};
use crate::tokenizer::{Token, meaningful, tokens};
use terrace_provider::attributes::{optional_text, text};
use terrace_provider::names::{closest, listed};
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
            (None, Some(statement)) => checked_statement(&statement).map(Self::Statement),
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
        let all = tokens(ddl);
        let mut depth = 0_i32;
        let as_keyword = all.iter().position(|token| {
            depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
            depth == 0 && token.is_word("AS")
        });
        let start = as_keyword.and_then(|at| all.get(at + 1)).map_or(ddl.len(), |first| first.start);
        let body = ddl.get(start..).unwrap_or_default();
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
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.means_same_as(other))
}

fn without_parentheses<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    match tokens {
        [open, inner @ .., close] if open.is_symbol('(') && close.is_symbol(')') => inner,
        all => all,
    }
}

/// Parses `SELECT a, "b" FROM c` or `SELECT * FROM c`, perhaps in parentheses, and nothing else.
fn read_query(tokens: &[Token<'_>], database: &str, schema: &str) -> Option<Body> {
    let (select, rest) = without_parentheses(tokens).split_first()?;
    let from = rest.iter().position(|token| token.is_word("FROM"))?;
    let (columns, source) = (rest.get(..from)?, rest.get(from + 1..)?);
    if !select.is_word("SELECT") {
        return None;
    }
    let mut source = read_path(source)?;
    for missing in [schema, database].into_iter().skip(source.len().saturating_sub(1)) {
        source.insert(0, missing.to_owned());
    }
    if source.len() != 3 || source.iter().any(String::is_empty) {
        return None;
    }
    if let [all] = columns
        && all.is_symbol('*')
    {
        return Some(Body::Source { source, columns: Vec::new() });
    }
    let column = |column: &[Token<'_>]| match column {
        [name] => name.name(),
        _ => None,
    };
    let columns = columns.split(|token| token.is_symbol(',')).map(column).collect::<Option<Vec<_>>>()?;
    Some(Body::Source { source, columns })
}

/// The statement without text after it. It must be a single query.
fn checked_statement(statement: &str) -> Result<String, ProviderError> {
    let refuse = |message: &str| ProviderError::invalid(Some(Path::attribute("statement")), message);
    let meaning = meaningful(statement);
    let begins = |first: &Token<'_>| first.is_word("SELECT") || first.is_word("WITH") || first.is_symbol('(');
    if !meaning.first().is_some_and(begins) {
        return Err(refuse("a view's statement must be a single query").solution("begin it with `SELECT` or `WITH`"));
    }
    if meaning.iter().any(|token| token.is_symbol(';')) || statement.contains('\0') {
        return Err(refuse("a view's statement must be a single query, but text follows a `;`"));
    }
    let mut depth = 0_i32;
    let is_balanced = meaning.iter().all(|token| {
        depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
        depth >= 0
    });
    if !is_balanced || depth != 0 {
        return Err(refuse("the parentheses of the statement do not match"));
    }
    let end = meaning.last().map_or(0, |last| last.start + last.text.len());
    Ok(statement.get(..end).unwrap_or(statement).trim_start().to_owned())
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
        return Err(match closest(name, present.iter().map(String::as_str)) {
            Some(meant) => error.solution(format!("did you mean `{meant}`?")),
            None => error,
        });
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
    fn statement_must_be_a_single_query() {
        assert_eq!(checked_statement(" SELECT 1 ; -- done").unwrap(), "SELECT 1");
        for statement in ["", "DROP TABLE x", "SELECT 1; DROP TABLE x", "SELECT (1", "SELECT 1) UNION (SELECT 2"] {
            assert!(checked_statement(statement).is_err(), "{statement}");
        }
        assert!(is_same_statement("SELECT a FROM b", "select  A\nfrom B /* x */"));
        assert!(!is_same_statement("SELECT 'a' FROM b", "SELECT 'A' FROM b"));
    }
}
