//! Reads a table, in the configured spelling if both mean the same.

use super::{Column, Table};
use crate::client::{Row, Rows};
use crate::data_type::is_same;
use crate::failure::Purpose;
use crate::identifier::pattern;
use crate::object::{Observation, named, qualified, schema_of, shown};
use crate::statements::Statements;
use jiff::Timestamp;
use std::collections::BTreeSet;
use terrace_provider::attributes::text;
use terrace_provider::{Attributes, DataAmount, ProviderError, renames};

/// The table with this identity; `None` if it does not exist.
pub(crate) async fn observe(
    statements: &Statements<'_>,
    identity: &Attributes,
    like: Option<&Attributes>,
) -> Result<Option<Observation>, ProviderError> {
    let (name, full) = (text(identity, "name"), qualified(identity));
    let tables = format!("SHOW TABLES LIKE {} IN SCHEMA {}", pattern(&name), schema_of(identity));
    let (describe, primary, unique) = (
        format!("DESCRIBE TABLE {full}"),
        format!("SHOW PRIMARY KEYS IN TABLE {full}"),
        format!("SHOW UNIQUE KEYS IN TABLE {full}"),
    );
    // One after the other: only the instance's limits decide about concurrency.
    let Some(tables) = statements.read_optional(&tables).await? else { return Ok(None) };
    let Some(row) = named(&tables, &name) else { return Ok(None) };
    let Some(described) = statements.read_optional(&describe).await? else { return Ok(None) };
    let Some(primary) = statements.read_optional(&primary).await? else { return Ok(None) };
    let Some(unique) = statements.read_optional(&unique).await? else { return Ok(None) };
    Ok(Some(observation(&row, columns(&described), keys(&primary), keys(&unique), like)))
}

/// A table from the results of four statements.
pub(super) fn observation(
    row: &Row<'_>,
    columns: Vec<Column>,
    primary: Vec<Vec<String>>,
    unique: Vec<Vec<String>>,
    like: Option<&Attributes>,
) -> Observation {
    let primary_key = primary.into_iter().next().unwrap_or_default();
    let mut table = Table { columns, primary_key, unique, comment: None };
    let wanted = like.map(Table::as_read);
    if let Some(wanted) = &wanted {
        table = in_the_spelling_of(table, wanted);
    }
    let observation = Observation::of_row(row).with_comment(row.text("comment"), like);
    let mut attributes = table.to_attributes();
    attributes.extend(observation.attributes.clone());
    Observation { attributes, ..observation }
}

pub(super) fn columns(described: &Rows) -> Vec<Column> {
    let column = |row: Row<'_>| Column {
        name: row.text("name").to_owned(),
        ty: row.text("type").to_owned(),
        is_nullable: row.text("null?") == "Y",
        comment: row.get("comment").filter(|comment| !comment.is_empty()).map(str::to_owned),
        previous_name: None,
    };
    described.iter().filter(|row| row.get("kind").is_none_or(|kind| kind == "COLUMN")).map(column).collect()
}

/// The columns of each key, in order.
pub(super) fn keys(rows: &Rows) -> Vec<Vec<String>> {
    let mut keys: Vec<(String, Vec<(u64, String)>)> = Vec::new();
    for row in rows.iter() {
        let name = row.text("constraint_name");
        let column = (row.text("key_sequence").parse().unwrap_or(0), row.text("column_name").to_owned());
        match keys.iter_mut().find(|(known, _)| known == name) {
            Some((_, columns)) => columns.push(column),
            None => keys.push((name.to_owned(), vec![column])),
        }
    }
    let sorted = |(_, mut columns): (String, Vec<(u64, String)>)| {
        columns.sort();
        columns.into_iter().map(|(_, column)| column).collect()
    };
    keys.into_iter().map(sorted).collect()
}

/// The table with the previous names, the order and the spelling of the configuration. Snowflake adds columns only at
/// the end, so their order is not managed.
fn in_the_spelling_of(mut table: Table, like: &Table) -> Table {
    let is_key = |name: &String| table.primary_key.contains(name);
    let names: BTreeSet<String> = table.columns.iter().map(|column| column.name.clone()).collect();
    let is_renamed =
        |previous: &String| renames::is_done(previous, |name| names.contains(name), |name| like.column(name).is_some());
    for column in &mut table.columns {
        let Some(known) = like.column(&column.name) else { continue };
        if is_same(&column.ty, &known.ty) {
            column.ty.clone_from(&known.ty);
        }
        // Columns of the primary key are never null, regardless of the configuration.
        if is_key(&column.name) && like.primary_key.contains(&column.name) {
            column.is_nullable = known.is_nullable;
        }
        if known.comment.is_none() {
            column.comment = None;
        }
        column.previous_name = known.previous_name.clone().filter(is_renamed);
    }
    let position = |column: &Column| like.columns.iter().position(|known| known.name == column.name);
    table.columns.sort_by_key(|column| position(column).unwrap_or(usize::MAX));
    let has_same = |one: &[Vec<String>], other: &[Vec<String>]| {
        one.len() == other.len() && one.iter().all(|key| other.contains(key))
    };
    // The order of columns in a key that is not enforced has no meaning.
    if table.primary_key.len() == like.primary_key.len()
        && table.primary_key.iter().all(|name| like.primary_key.contains(name))
    {
        table.primary_key.clone_from(&like.primary_key);
    }
    if has_same(&table.unique, &like.unique) {
        table.unique.clone_from(&like.unique);
    }
    table
}

/// The number of rows, from Snowflake's metadata: needs no warehouse.
pub(crate) async fn count_rows(
    statements: &Statements<'_>,
    identity: &Attributes,
) -> Result<DataAmount, ProviderError> {
    let name = text(identity, "name");
    let sql = format!("SHOW TABLES LIKE {} IN SCHEMA {}", pattern(&name), schema_of(identity));
    // It does not exist, or the role may not see it: Snowflake does not distinguish these.
    let Some(rows) = statements.read_optional(&sql).await? else { return Ok(DataAmount::Unknown) };
    let Some(row) = named(&rows, &name) else { return Ok(DataAmount::Unknown) };
    if let Ok(count) = row.text("rows").parse::<u64>() {
        return Ok(DataAmount::of(count, "row", "rows"));
    }
    if statements.warehouse().is_none() {
        return Ok(DataAmount::Unknown);
    }
    let purpose = Purpose::to(format!("count the rows of {}", shown(identity)))
        .right(format!("SELECT ON TABLE {}", qualified(identity)));
    let rows = statements.query(&format!("SELECT COUNT(*) FROM {}", qualified(identity)), &purpose).await?;
    let count = rows.iter().next().and_then(|row| row.first()?.parse().ok());
    Ok(count.map_or(DataAmount::Unknown, |rows| DataAmount::of(rows, "row", "rows")))
}

/// The creation time of the table with this name; `None` if it does not exist.
pub(crate) async fn created_on(
    statements: &Statements<'_>,
    identity: &Attributes,
) -> Result<Option<Timestamp>, ProviderError> {
    let name = text(identity, "name");
    let sql = format!("SHOW TABLES LIKE {} IN SCHEMA {}", pattern(&name), schema_of(identity));
    let rows = statements.read_optional(&sql).await?.unwrap_or_default();
    Ok(named(&rows, &name).and_then(|row| Observation::of_row(&row).created_on))
}
