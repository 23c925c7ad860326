//! Reads a table: columns and keys from the schema of SQLite, comments from the DDL text.

use super::ddl::read_comments;
use super::{Column, Comments, Table};
use crate::declared_type;
use crate::identifier::{is_same, quote};
use crate::object::{Observation, definition};
use crate::spelling;
use crate::tokenizer::tokens;
use rusqlite::{Connection, OptionalExtension};
use terrace_provider::attributes::optional_text;
use terrace_provider::renames::PREVIOUS_NAME;
use terrace_provider::sql_tokens::mean_same;
use terrace_provider::{Attributes, renames};

/// Reads the attributes of a table in the spelling of `like`; `None` if it does not exist.
pub(crate) fn observe(connection: &Connection, name: &str, like: &Attributes) -> rusqlite::Result<Option<Observation>> {
    let Some((table, comments)) = read(connection, name)? else { return Ok(None) };
    let table = match Table::from_attributes(like) {
        Ok(like) => in_the_spelling_of(table, &like),
        Err(_) => table,
    };
    let mut attributes = table.to_attributes();
    attributes.insert("name".to_owned(), name.into());
    if let Some(previous) = optional_text(like, PREVIOUS_NAME) {
        attributes.insert(PREVIOUS_NAME.to_owned(), previous.into());
    }
    Ok(Some(Observation { attributes, mark: comments.mark }))
}

/// Describes parts of the table that no attribute expresses.
pub(crate) fn unexpressed(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let unmanaged = read(connection, name)?.map(|(_, comments)| comments.unmanaged).unwrap_or_default();
    Ok(unmanaged.into_iter().map(str::to_owned).collect())
}

/// Reads a table and the parts that only its text contains.
pub(super) fn read(connection: &Connection, name: &str) -> rusqlite::Result<Option<(Table, Comments)>> {
    let Some(definition) = definition(connection, "table", name)? else { return Ok(None) };
    let comments = read_comments(&definition.sql);
    let mut keys = Vec::new();
    let mut statement =
        connection.prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_xinfo(?1)")?;
    let columns = statement
        .query_map([name], |row| {
            let name: String = row.get(0)?;
            let position: i64 = row.get(4)?;
            if position > 0 {
                keys.push((position, name.clone()));
            }
            Ok(Column {
                ty: row.get(1)?,
                is_nullable: !row.get::<_, bool>(2)?,
                default: row.get(3)?,
                comment: comments.columns.get(&name.to_ascii_lowercase()).cloned(),
                previous_name: None,
                name,
            })
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    keys.sort();
    let table = Table {
        name: definition.name,
        columns,
        primary_key: keys.into_iter().map(|(_, name)| name).collect(),
        unique: unique_constraints(connection, name)?,
        comment: comments.object.clone(),
    };
    Ok(Some((table, comments)))
}

/// The unique constraints in their declared order.
fn unique_constraints(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Vec<String>>> {
    // SQLite lists the newest index first.
    let mut statement =
        connection.prepare("SELECT name FROM pragma_index_list(?1) WHERE origin = 'u' ORDER BY seq DESC")?;
    let indexes = statement.query_map([table], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    indexes.iter().map(|index| index_columns(connection, index)).collect()
}

/// The columns of an index. An expression has no name and is omitted.
pub(crate) fn index_columns(connection: &Connection, index: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("SELECT name FROM pragma_index_info(?1) WHERE name IS NOT NULL ORDER BY seqno")?;
    statement.query_map([index], |row| row.get(0))?.collect()
}

/// The columns of a table or a view.
pub(crate) fn column_names(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_xinfo(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

/// The number of rows of a table; `None` if the table does not exist.
pub(crate) fn row_count(connection: &Connection, table: &str) -> rusqlite::Result<Option<u64>> {
    if definition(connection, "table", table)?.is_none() {
        return Ok(None);
    }
    let count = format!("SELECT count(*) FROM {}", quote(table));
    connection.query_row(&count, [], |row| row.get::<_, i64>(0)).optional().map(|count| count.map(i64::unsigned_abs))
}

/// Returns the table in the spelling of `like`, with the previous names, which only the configuration has.
fn in_the_spelling_of(mut table: Table, like: &Table) -> Table {
    let names: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let is_renamed = |previous: &String| {
        let is_present = |name: &str| names.iter().any(|present| is_same(present, name));
        renames::is_done(previous, is_present, |name| like.column(name).is_some())
    };
    for column in &mut table.columns {
        let Some(known) = like.column(&column.name) else { continue };
        if declared_type::is_same(&column.ty, &known.ty) {
            column.ty.clone_from(&known.ty);
        }
        if is_same_sql(column.default.as_deref(), known.default.as_deref()) {
            column.default.clone_from(&known.default);
        }
        column.previous_name = known.previous_name.clone().filter(is_renamed);
    }
    if is_same_key(&table.primary_key, &like.primary_key) {
        table.primary_key.clone_from(&like.primary_key);
    }
    if has_same_keys(&table.unique, &like.unique) {
        table.unique.clone_from(&like.unique);
    }
    table
}

/// True if both texts have the same tokens; NULL counts as absent.
pub(super) fn is_same_sql(one: Option<&str>, other: Option<&str>) -> bool {
    let [one, other] = [one, other].map(|sql| sql.filter(|sql| !spelling::is_null(sql)));
    let (Some(one), Some(other)) = (one, other) else { return one.is_none() && other.is_none() };
    mean_same(&tokens(one), &tokens(other))
}

/// True if both have the same columns in the same order.
pub(super) fn is_same_key(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
}

/// True if both have the same constraints in any order.
pub(super) fn has_same_keys(one: &[Vec<String>], other: &[Vec<String>]) -> bool {
    one.len() == other.len() && one.iter().all(|key| other.iter().any(|candidate| is_same_key(key, candidate)))
}
