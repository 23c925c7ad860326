//! Views: columns of one source, or a statement.
//!
//! SQLite only stores the text of the definition, so the provider parses this text. A text in the provider's own form
//! is a source with columns, any other text is a statement.

use crate::error::Failure;
use crate::identifier::{self, is_same, quote, quote_all};
use crate::mark::Mark;
use crate::object::{Observation, definition, readable_names};
use crate::table::{check_comment, column_names, heading, read_comments};
use crate::tokenizer::{meaningful, tokens};
use rusqlite::Connection;
use terrace_provider::attributes::{optional_text, text, texts};
use terrace_provider::names::listed;
use terrace_provider::sql_reads::SqlDialect;
use terrace_provider::sql_tokens::{Token, TokenKind, mean_same, plain_query, query_of_view, single_query};
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// A planned or existing view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    name: String,
    comment: Option<String>,
    body: Body,
}

/// The content of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    /// Columns of a table or view; an empty list means all columns.
    Source { name: String, columns: Vec<String> },
    /// The query of a statement.
    Statement(String),
}

impl View {
    /// Reads configured or planned attributes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if not exactly one of `source` and `statement` is set, or if it is invalid.
    pub(crate) fn from_attributes(attributes: &Attributes) -> Result<Self, ProviderError> {
        let name = text(attributes, "name");
        identifier::check_object(&name, &Path::attribute("name"))?;
        let comment = optional_text(attributes, "comment");
        check_comment(comment.as_deref(), &Path::attribute("comment"))?;
        let columns = texts(attributes, "columns");
        let source = attributes.get("source").and_then(Value::as_map).and_then(|source| optional_text(source, "name"));
        let body = match (source, optional_text(attributes, "statement")) {
            (Some(source), None) => {
                identifier::check(&source, &Path::attribute("source").key("name"))?;
                for (index, column) in columns.iter().enumerate() {
                    identifier::check(column, &Path::attribute("columns").index(index))?;
                }
                Body::Source { name: source, columns }
            }
            (None, Some(statement)) if columns.is_empty() => {
                Body::Statement(single_query(SqlDialect::Sqlite, &statement, "statement")?)
            }
            (None, Some(_)) => {
                let message = "`columns` requires `source`; a `statement` lists its columns itself";
                return Err(ProviderError::invalid(Some(Path::attribute("columns")), message));
            }
            (given, _) => {
                let message = if given.is_some() {
                    "a view has either a `source` or a `statement`, not both"
                } else {
                    "a view needs a `source` or a `statement`"
                };
                return Err(ProviderError::invalid(Some(Path::attribute("statement")), message));
            }
        };
        Ok(Self { name, comment, body })
    }

    fn to_attributes(&self) -> Attributes {
        let mut attributes = Map::default();
        attributes.insert("name".to_owned(), self.name.as_str().into());
        match &self.body {
            Body::Source { name, columns } => {
                let source = Map::from_iter([("name".to_owned(), name.as_str().into())]);
                attributes.insert("source".to_owned(), source.into());
                let columns = columns.iter().map(|column| column.as_str().into()).collect::<Vec<Value>>();
                attributes.insert("columns".to_owned(), columns.into());
                attributes.insert("statement".to_owned(), Value::Null);
            }
            Body::Statement(statement) => {
                attributes.insert("source".to_owned(), Value::Null);
                attributes.insert("columns".to_owned(), Vec::new().into());
                attributes.insert("statement".to_owned(), statement.as_str().into());
            }
        }
        attributes.insert("comment".to_owned(), self.comment.as_deref().map_or(Value::Null, Value::from));
        attributes
    }

    fn ddl(&self, mark: Option<&Mark>) -> String {
        let body = match &self.body {
            Body::Source { name, columns } => {
                let columns =
                    if columns.is_empty() { "*".to_owned() } else { quote_all(columns.iter().map(String::as_str)) };
                format!("SELECT {columns} FROM {}", quote(name))
            }
            Body::Statement(statement) => statement.clone(),
        };
        format!("CREATE VIEW {}AS {body}", heading(&self.name, self.comment.as_deref(), mark))
    }
}

/// Reads the attributes of a view, with its statement in the spelling of `like`; `None` if it does not exist.
pub(crate) fn observe(connection: &Connection, name: &str, like: &Attributes) -> rusqlite::Result<Option<Observation>> {
    let Some(definition) = definition(connection, "view", name)? else { return Ok(None) };
    let comments = read_comments(&definition.sql);
    let mut view = View { name: name.to_owned(), comment: comments.object, body: read_body(&definition.sql) };
    if let Ok(like) = View::from_attributes(like)
        && is_same_body(&view.body, &like.body)
    {
        view.body = like.body;
    }
    let mut attributes = view.to_attributes();
    // SQLite does not keep the semicolon and the comments at the end of a configured statement.
    if let (Body::Statement(statement), Some(configured)) = (&view.body, optional_text(like, "statement"))
        && is_same_statement(&configured, statement)
    {
        attributes.insert("statement".to_owned(), configured.into());
    }
    Ok(Some(Observation { attributes, mark: comments.mark }))
}

/// Creates the planned view and checks that it can be read.
pub(crate) fn create(connection: &Connection, planned: &Attributes, mark: Option<&Mark>) -> Result<(), Failure> {
    let view = View::from_attributes(planned)?;
    if let Body::Source { name, columns } = &view.body {
        check_source(connection, name, columns)?;
    }
    connection.execute_batch(&view.ddl(mark))?;
    match connection.prepare(&format!("SELECT * FROM {} LIMIT 0", quote(&view.name))) {
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(connection, &view, &error)?.into()),
    }
}

/// Replaces the view with the planned one and recreates its triggers.
pub(crate) fn update(connection: &Connection, planned: &Attributes) -> Result<(), Failure> {
    let name = text(planned, "name");
    let mark = definition(connection, "view", &name)?.and_then(|definition| read_comments(&definition.sql).mark);
    let triggers: Vec<String> = connection
        .prepare("SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE")?
        .query_map([&name], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    crate::object::drop(connection, "view", &name)?;
    create(connection, planned, mark.as_ref())?;
    for trigger in triggers {
        connection.execute_batch(&trigger)?;
    }
    Ok(())
}

fn check_source(connection: &Connection, source: &str, columns: &[String]) -> Result<(), Failure> {
    let tables = readable_names(connection)?;
    if !tables.iter().any(|table| is_same(table, source)) {
        let error = ProviderError::invalid(
            Some(Path::attribute("source").key("name")),
            format!("there is no table or view `{source}`"),
        )
        .problem(format!("the database has {}", listed(&tables)));
        return Err(error.did_you_mean(source, &tables).into());
    }
    let present = column_names(connection, source)?;
    for (index, column) in columns.iter().enumerate() {
        if !present.iter().any(|name| is_same(name, column)) {
            let error = ProviderError::invalid(
                Some(Path::attribute("columns").index(index)),
                format!("`{source}` has no column `{column}`"),
            )
            .problem(format!("its columns are {}", listed(&present)));
            return Err(error.did_you_mean(column, &present).into());
        }
    }
    Ok(())
}

/// The error of a statement that cannot be prepared, with the existing names.
fn unreadable(connection: &Connection, view: &View, error: &rusqlite::Error) -> rusqlite::Result<ProviderError> {
    let reason = match error {
        rusqlite::Error::SqliteFailure(_, Some(reason)) => reason.clone(),
        other => other.to_string(),
    };
    let tables = readable_names(connection)?;
    let others: Vec<String> = tables.into_iter().filter(|table| !is_same(table, &view.name)).collect();
    let answer = ProviderError::invalid(
        Some(Path::attribute("statement")),
        format!("the view `{}` cannot be read: {reason}", view.name),
    );
    if let Some(missing) = reason.strip_prefix("no such table: ") {
        let missing = missing.strip_prefix("main.").unwrap_or(missing);
        let answer = answer.problem(format!("the database has {}", listed(&others)));
        return Ok(answer.did_you_mean(missing, &others));
    }
    let Some(missing) = reason.strip_prefix("no such column: ") else { return Ok(answer) };
    let Body::Statement(statement) = &view.body else { return Ok(answer) };
    let named: Vec<String> = tokens(statement).iter().filter_map(Token::name).collect();
    let mut answer = answer;
    let mut columns = Vec::new();
    for table in others.iter().filter(|table| named.iter().any(|name| is_same(name, table))) {
        let names = column_names(connection, table)?;
        answer = answer.problem(format!("`{table}` has {}", listed(&names)));
        columns.extend(names);
    }
    let column = missing.rsplit('.').next().unwrap_or(missing).trim_matches('"');
    Ok(answer.did_you_mean(column, &columns))
}

fn is_same_statement(one: &str, other: &str) -> bool {
    mean_same(&meaningful(one), &meaningful(other))
}

fn is_same_body(one: &Body, other: &Body) -> bool {
    match (one, other) {
        (Body::Statement(one), Body::Statement(other)) => is_same_statement(one, other),
        // The statement has the provider's own form of a source.
        (Body::Source { .. }, Body::Statement(statement)) => read_query(&meaningful(statement)).as_ref() == Some(one),
        (one, other) => one == other,
    }
}

/// The content of a view with this definition.
fn read_body(sql: &str) -> Body {
    let body = query_of_view(SqlDialect::Sqlite, sql);
    read_query(&meaningful(body)).unwrap_or_else(|| Body::Statement(body.trim_end().to_owned()))
}

/// Parses only `SELECT "a", "b" FROM "c"` or `SELECT * FROM "c"`, with names in double quotes.
fn read_query(tokens: &[Token<'_>]) -> Option<Body> {
    let is_quoted = |token: &Token<'_>| matches!(token.kind, TokenKind::QuotedName | TokenKind::Symbol);
    if tokens.iter().filter(|token| !is_quoted(token)).count() > ["SELECT", "FROM"].len() {
        return None;
    }
    let query = plain_query(tokens)?;
    let [name] = <[String; 1]>::try_from(query.source).ok()?;
    Some(Body::Source { name, columns: query.columns })
}

#[cfg(test)]
mod tests;
