//! Reads all tables of a schema by four statements, whatever their number.
//!
//! No warehouse is needed for them. `SHOW` tells of at most 10,000 things
//! (<https://docs.snowflake.com/en/sql-reference/sql/show-columns>): where there are as many, what it does not tell may be
//! missing, and is asked about table by table.

use super::Column;
use super::read::{columns, keys, seen};
use crate::client::Rows;
use crate::object::{Seen, qualified, schema_of};
use crate::statements::Statements;
use serde_json::Value as Json;
use std::collections::HashMap;
use terrace_provider::{Attributes, ProviderError};

/// So many things are shown at most.
const MOST_SHOWN: usize = 10_000;

/// The tables of a schema.
pub(crate) struct Schema {
    /// By name, what `SHOW TABLES` says of each.
    tables: HashMap<String, Rows>,
    /// By table; nothing of one that has a column whose type is not understood here.
    columns: HashMap<String, Option<Vec<Column>>>,
    primary: HashMap<String, Rows>,
    unique: HashMap<String, Rows>,
}

impl Schema {
    /// Asks about the schema of a table. Nothing where that cannot tell of all tables; empty where there is no such schema.
    ///
    /// # Errors
    /// What Snowflake says against it.
    pub(crate) async fn read(
        statements: &Statements<'_>,
        identity: &Attributes,
    ) -> Result<Option<Self>, ProviderError> {
        let schema = schema_of(identity);
        let ask = async |what: &str| -> Result<Rows, ProviderError> {
            Ok(statements.ask_about(&format!("SHOW {what} IN SCHEMA {schema}")).await?.unwrap_or_default())
        };
        let tables = ask("TABLES").await?;
        let (primary, unique) = (ask("PRIMARY KEYS").await?, ask("UNIQUE KEYS").await?);
        if [&tables, &primary, &unique].into_iter().any(|rows| rows.rows.len() >= MOST_SHOWN) {
            return Ok(None);
        }
        let shown = ask("COLUMNS").await?;
        let columns = match shown.rows.len() {
            MOST_SHOWN.. => HashMap::new(),
            _ => by(shown, "table_name").into_iter().map(|(name, rows)| (name, described(&rows))).collect(),
        };
        let (tables, primary, unique) = (by(tables, "name"), by(primary, "table_name"), by(unique, "table_name"));
        Ok(Some(Self { tables, columns, primary, unique }))
    }

    /// One table of it.
    ///
    /// # Errors
    /// What Snowflake says against a question about that one.
    pub(crate) async fn table(
        &self,
        statements: &Statements<'_>,
        identity: &Attributes,
        like: &Attributes,
    ) -> Result<Option<Seen>, ProviderError> {
        let name = terrace_provider::attributes::text(identity, "name");
        let Some(row) = self.tables.get(&name).and_then(|rows| rows.iter().next()) else { return Ok(None) };
        let columns = match self.columns.get(&name) {
            Some(Some(columns)) => columns.clone(),
            _ => {
                let described = statements.ask_about(&format!("DESCRIBE TABLE {}", qualified(identity))).await?;
                // It went between the two questions.
                let Some(described) = described else { return Ok(None) };
                columns(&described)
            }
        };
        let keys = |of: &HashMap<String, Rows>| of.get(&name).map(keys).unwrap_or_default();
        Ok(Some(seen(&row, columns, keys(&self.primary), keys(&self.unique), Some(like))))
    }
}

/// The same rows by what they have in a column.
fn by(rows: Rows, column: &str) -> HashMap<String, Rows> {
    let mut found: HashMap<String, Rows> = HashMap::new();
    let names: Vec<String> = rows.iter().map(|row| row.text(column).to_owned()).collect();
    for (name, row) in names.into_iter().zip(rows.rows) {
        let of_it = found.entry(name).or_insert_with(|| Rows { columns: rows.columns.clone(), rows: Vec::new() });
        of_it.rows.push(row);
    }
    found
}

/// Columns as `SHOW COLUMNS` tells them; nothing where a type is not understood.
fn described(shown: &Rows) -> Option<Vec<Column>> {
    let column = |row: crate::client::Row<'_>| {
        let ty: Json = serde_json::from_str(row.text("data_type")).ok()?;
        Some(Column {
            name: row.text("column_name").to_owned(),
            ty: spelling(&ty)?,
            is_nullable: ty.get("nullable")?.as_bool()?,
            comment: row.get("comment").filter(|comment| !comment.is_empty()).map(str::to_owned),
            previous_name: None,
        })
    };
    shown.iter().filter(|row| row.get("kind").is_none_or(|kind| kind == "COLUMN")).map(column).collect()
}

/// A type in the spelling of `DESCRIBE`.
fn spelling(ty: &Json) -> Option<String> {
    let number = |name: &str| ty.get(name).and_then(Json::as_u64);
    let name = ty.get("type")?.as_str()?;
    Some(match name {
        "FIXED" => format!("NUMBER({},{})", number("precision")?, number("scale")?),
        "TEXT" => format!("VARCHAR({})", number("length")?),
        "REAL" => "FLOAT".to_owned(),
        "BINARY" => format!("BINARY({})", number("length")?),
        "TIME" | "TIMESTAMP_NTZ" | "TIMESTAMP_LTZ" | "TIMESTAMP_TZ" => format!("{name}({})", number("scale")?),
        "DATE" | "BOOLEAN" | "VARIANT" | "GEOGRAPHY" | "GEOMETRY" => name.to_owned(),
        // Structured ones have more in them than is known here.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_are_spelled_as_describe_does() {
        for (ty, spelled) in [
            (json!({"type": "FIXED", "precision": 12, "scale": 2, "nullable": true}), Some("NUMBER(12,2)")),
            (json!({"type": "TEXT", "length": 20, "byteLength": 80, "fixed": false}), Some("VARCHAR(20)")),
            (json!({"type": "TIMESTAMP_NTZ", "precision": 0, "scale": 9}), Some("TIMESTAMP_NTZ(9)")),
            (json!({"type": "REAL"}), Some("FLOAT")),
            (json!({"type": "BOOLEAN"}), Some("BOOLEAN")),
            (json!({"type": "ARRAY"}), None),
            (json!({"type": "VECTOR", "dimension": 3}), None),
            (json!("TEXT"), None),
        ] {
            assert_eq!(spelling(&ty).as_deref(), spelled, "{ty}");
        }
    }
}
