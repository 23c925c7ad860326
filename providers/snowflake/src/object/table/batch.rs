//! Reads all tables of a schema with four statements.
//!
//! They need no warehouse. `SHOW` returns at most 10,000 rows
//! (<https://docs.snowflake.com/en/sql-reference/sql/show-columns>). A result of that size may be incomplete, so the
//! tables are then read one by one.

use super::Column;
use super::read::{columns, keys, observation};
use crate::client::Rows;
use crate::object::{Observation, qualified, schema_of};
use crate::statements::Statements;
use serde_json::Value as Json;
use std::collections::HashMap;
use terrace_provider::{Attributes, ProviderError};

/// Row limit of `SHOW`.
const MOST_SHOWN: usize = 10_000;

/// The tables of a schema.
pub(crate) struct Schema {
    /// The `SHOW TABLES` row of each table, by name.
    tables: HashMap<String, Rows>,
    /// The columns by table; `None` for a table with a column of an unsupported type.
    columns: HashMap<String, Option<Vec<Column>>>,
    primary: HashMap<String, Rows>,
    unique: HashMap<String, Rows>,
}

impl Schema {
    /// Reads the schema of a table. `None` if the result may be incomplete; empty if the schema does not exist.
    ///
    /// # Errors
    /// The error of Snowflake.
    pub(crate) async fn read(
        statements: &Statements<'_>,
        identity: &Attributes,
    ) -> Result<Option<Self>, ProviderError> {
        let schema = schema_of(identity);
        let query = async |what: &str| -> Result<Rows, ProviderError> {
            Ok(statements.read_optional(&format!("SHOW {what} IN SCHEMA {schema}")).await?.unwrap_or_default())
        };
        let tables = query("TABLES").await?;
        let (primary, unique) = (query("PRIMARY KEYS").await?, query("UNIQUE KEYS").await?);
        if [&tables, &primary, &unique].into_iter().any(|rows| rows.rows.len() >= MOST_SHOWN) {
            return Ok(None);
        }
        let shown = query("COLUMNS").await?;
        let columns = match shown.rows.len() {
            MOST_SHOWN.. => HashMap::new(),
            _ => by(shown, "table_name").into_iter().map(|(name, rows)| (name, described(&rows))).collect(),
        };
        let (tables, primary, unique) = (by(tables, "name"), by(primary, "table_name"), by(unique, "table_name"));
        Ok(Some(Self { tables, columns, primary, unique }))
    }

    /// A table of the schema.
    ///
    /// # Errors
    /// The error of Snowflake.
    pub(crate) async fn table(
        &self,
        statements: &Statements<'_>,
        identity: &Attributes,
        like: &Attributes,
    ) -> Result<Option<Observation>, ProviderError> {
        let name = terrace_provider::attributes::text(identity, "name");
        let Some(row) = self.tables.get(&name).and_then(|rows| rows.iter().next()) else { return Ok(None) };
        let columns = match self.columns.get(&name) {
            Some(Some(columns)) => columns.clone(),
            _ => {
                let described = statements.read_optional(&format!("DESCRIBE TABLE {}", qualified(identity))).await?;
                // The table was dropped between the two reads.
                let Some(described) = described else { return Ok(None) };
                columns(&described)
            }
        };
        let keys = |of: &HashMap<String, Rows>| of.get(&name).map(keys).unwrap_or_default();
        Ok(Some(observation(&row, columns, keys(&self.primary), keys(&self.unique), Some(like))))
    }
}

/// Rows grouped by the value of a column.
fn by(rows: Rows, column: &str) -> HashMap<String, Rows> {
    let mut found: HashMap<String, Rows> = HashMap::new();
    let names: Vec<String> = rows.iter().map(|row| row.text(column).to_owned()).collect();
    for (name, row) in names.into_iter().zip(rows.rows) {
        let of_it = found.entry(name).or_insert_with(|| Rows { columns: rows.columns.clone(), rows: Vec::new() });
        of_it.rows.push(row);
    }
    found
}

/// Columns from `SHOW COLUMNS`; `None` if a type is unsupported.
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
        // Structured types have parts that this function does not know.
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_have_the_spelling_of_describe() {
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
