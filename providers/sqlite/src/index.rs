//! Indexes: columns of one table, unique or not. Every change replaces the index.

use crate::error::Failure;
use crate::identifier::{self, is_same, quote, quote_all};
use crate::mark::Mark;
use crate::object::{Observation, definition};
use crate::table::{column_names, heading, index_columns, read_comments};
use rusqlite::{Connection, ErrorCode};
use terrace_provider::attributes::{text, texts};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, Map, Path, ProviderError, Value};

/// Refuses an index that SQLite cannot have.
///
/// # Errors
///
/// `InvalidInput` at the attribute.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    identifier::check_object(&text(attributes, "name"), &Path::attribute("name"))?;
    identifier::check(&text(attributes, "table"), &Path::attribute("table"))?;
    let columns = texts(attributes, "columns");
    if columns.is_empty() {
        return Err(ProviderError::invalid(Some(Path::attribute("columns")), "an index needs at least one column"));
    }
    for (index, column) in columns.iter().enumerate() {
        identifier::check(column, &Path::attribute("columns").index(index))?;
    }
    Ok(())
}

/// Reads the attributes of an index, with names in the case of `like`; `None` if it does not exist.
pub(crate) fn observe(connection: &Connection, name: &str, like: &Attributes) -> rusqlite::Result<Option<Observation>> {
    let Some(definition) = definition(connection, "index", name)? else { return Ok(None) };
    let is_unique = "SELECT \"unique\" FROM pragma_index_list(?1) WHERE name = ?2";
    let is_unique: bool = connection.query_row(is_unique, [&definition.table, &definition.name], |row| row.get(0))?;
    let in_case_of =
        |known: Option<String>, actual: String| known.filter(|known| is_same(known, &actual)).unwrap_or(actual);
    let known = texts(like, "columns");
    let columns = index_columns(connection, &definition.name)?
        .into_iter()
        .enumerate()
        .map(|(index, column)| in_case_of(known.get(index).cloned(), column).into())
        .collect::<Vec<Value>>();
    let mut attributes = Map::default();
    attributes.insert("name".to_owned(), name.into());
    attributes.insert("table".to_owned(), in_case_of(Some(text(like, "table")), definition.table).into());
    attributes.insert("columns".to_owned(), columns.into());
    attributes.insert("unique".to_owned(), is_unique.into());
    Ok(Some(Observation { attributes, mark: read_comments(&definition.sql).mark }))
}

/// Describes parts of the index that no attribute expresses.
pub(crate) fn unexpressed(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let mut parts = connection.prepare(
        "SELECT seqno + 1, name IS NULL, \"desc\", coll FROM pragma_index_xinfo(?1) WHERE \"key\" ORDER BY seqno",
    )?;
    let mut found = Vec::new();
    let mut rows = parts.query([name])?;
    while let Some(row) = rows.next()? {
        let (place, is_expression, is_descending): (i64, bool, bool) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let collation: Option<String> = row.get(3)?;
        let part = |what: &str| format!("its part {place} {what}");
        found.extend(is_expression.then(|| part("is an expression")));
        found.extend(is_descending.then(|| part("is in descending order")));
        let collation = collation.filter(|collation| !collation.eq_ignore_ascii_case("BINARY"));
        found.extend(collation.map(|collation| part(&format!("has the collation {collation}"))));
    }
    let partial = "SELECT count(*) FROM sqlite_schema s, pragma_index_list(s.tbl_name) i
                   WHERE s.type = 'index' AND s.name = i.name AND s.name = ?1 COLLATE NOCASE AND i.partial";
    if connection.query_row(partial, [name], |row| row.get::<_, i64>(0))? > 0 {
        found.push("it has a condition".to_owned());
    }
    Ok(found)
}

/// Creates the planned index.
pub(crate) fn create(connection: &Connection, planned: &Attributes, mark: &Mark) -> Result<(), Failure> {
    check(planned)?;
    let (name, table, columns) = (text(planned, "name"), text(planned, "table"), texts(planned, "columns"));
    let Some(table) = definition(connection, "table", &table)?.map(|definition| definition.name) else {
        let error = ProviderError::invalid(Some(Path::attribute("table")), format!("there is no table `{table}`"));
        return Err(error.solution("create the table first; a view cannot have an index").into());
    };
    let present = column_names(connection, &table)?;
    for (index, column) in columns.iter().enumerate() {
        if !present.iter().any(|name| is_same(name, column)) {
            let place = Path::attribute("columns").index(index);
            let error = ProviderError::invalid(Some(place), format!("`{table}` has no column `{column}`"))
                .problem(format!("its columns are {}", listed(&present)));
            return Err(error.did_you_mean(column, &present).into());
        }
    }
    let unique = if planned.get("unique").and_then(Value::as_bool) == Some(true) { "UNIQUE " } else { "" };
    let statement = format!(
        "CREATE {unique}INDEX {}ON {} ({})",
        heading(&name, None, Some(mark)),
        quote(&table),
        quote_all(columns.iter().map(String::as_str))
    );
    match connection.execute_batch(&statement) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            let message = format!("rows of `{table}` have the same values in the columns of the unique index `{name}`");
            Err(ProviderError::invalid(Some(Path::attribute("unique")), message)
                .solution("remove the duplicate rows, or remove `unique`")
                .into())
        }
        other => Ok(other?),
    }
}
