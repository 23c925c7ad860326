//! Functions for the columns of database tables: `sqlType`, `sqlColumns`, `sqlPrimaryKey`, `sqlUnique`.

use super::arguments::{one, technology, text, two};
use super::comments::comment;
use crate::diagnostic::did_you_mean;
use std::borrow::Cow;
use std::collections::BTreeMap;
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::{Map, SqlType, Value};

/// Functions that return the SQL type of a column, by provider.
type Types = BTreeMap<String, SqlType>;

/// `sqlType(provider, column)`: returns the provider's type of a column.
pub(super) fn sql_type(types: &Types, arguments: &[Cow<'_, Value>]) -> Result<Value, String> {
    let [provider, column] = two(arguments)?;
    let write = writer(types, provider)?;
    write(as_column(column)?).map(Value::from)
}

/// `sqlColumns(provider, columns)`: returns the name, type, comment, former name and nullability of each column.
pub(super) fn sql_columns(types: &Types, arguments: &[Cow<'_, Value>]) -> Result<Value, String> {
    let [provider, columns] = two(arguments)?;
    let write = writer(types, provider)?;
    let columns = each(columns)?.map(|column| {
        let column = column?;
        let name = name(column)?;
        let within = |error: String| format!("column `{name}`: {error}");
        let get = |key: &str| column.get(key).unwrap_or(&Value::Null);
        let is_nullable = !(has(column, "PRIMARY_KEY", "primaryKey") || has(column, "NOT_NULL", "required"));
        let entries = [
            ("name", name.into()),
            ("type", write(column).map_err(within)?.into()),
            ("nullable", Value::Bool(is_nullable)),
            (PREVIOUS_NAME, get(PREVIOUS_NAME).clone()),
            ("comment", comment(get("description"), get("tags")).map_err(within)?),
        ];
        Ok(Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    });
    columns.collect::<Result<_, String>>().map(Value::List)
}

/// `sqlPrimaryKey(columns)`: returns the names of the primary key's columns.
pub(super) fn sql_primary_key(arguments: &[Cow<'_, Value>]) -> Result<Value, String> {
    named(one(arguments)?, "PRIMARY_KEY", "primaryKey", |name| name.into())
}

/// `sqlUnique(columns)`: returns a list with the name of each unique column.
pub(super) fn sql_unique(arguments: &[Cow<'_, Value>]) -> Result<Value, String> {
    named(one(arguments)?, "UNIQUE", "unique", |name| Value::List(vec![name.into()]))
}

fn named(columns: &Value, constraint: &str, flag: &str, of: impl Fn(&str) -> Value) -> Result<Value, String> {
    let mut named = Vec::new();
    for column in each(columns)? {
        let column = column?;
        if has(column, constraint, flag) {
            named.push(of(name(column)?));
        }
    }
    Ok(Value::List(named))
}

/// True for a column with this constraint, in the form of the catalogue (OpenMetadata) or of a data contract.
fn has(column: &Map, constraint: &str, flag: &str) -> bool {
    column.get("constraint").and_then(Value::as_str) == Some(constraint)
        || matches!(column.get(flag), Some(Value::Bool(true)))
}

fn name(column: &Map) -> Result<&str, String> {
    text(column.get("name").ok_or("a column without `name`")?)
}

fn each(columns: &Value) -> Result<impl Iterator<Item = Result<&Map, String>>, String> {
    match columns {
        Value::List(columns) => Ok(columns.iter().map(as_column)),
        other => Err(format!("expected a list of columns, found {}", other.kind())),
    }
}

fn as_column(column: &Value) -> Result<&Map, String> {
    let message = || format!("expected a column as a map (`dataType`, `precision`, …), found {}", column.kind());
    column.as_map().ok_or_else(message)
}

/// The function that returns column types for a provider.
fn writer(types: &Types, provider: &Value) -> Result<SqlType, String> {
    let provider = text(provider)?;
    types.get(technology(provider)).copied().ok_or_else(|| {
        let known = types.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let suggestion = match did_you_mean(provider, types.keys().map(String::as_str)) {
            Some(hint) => hint,
            None if known.is_empty() => "no provider has column types".to_owned(),
            None => format!("known providers: {known}"),
        };
        format!("no provider `{provider}` with types of columns: {suggestion}")
    })
}
