//! Columns of tables.

use crate::attributes::{attributes, of_json, text_of};
use serde_json::Value as Json;
use terrace_provider::{Attributes, Value};

/// Returns the columns of a table or view.
pub(crate) fn columns_of(table: &Json) -> Vec<Attributes> {
    let columns = table.get("columns").and_then(Json::as_array).cloned().unwrap_or_default();
    let number = |column: &Json, name: &str| column.get(name).and_then(Json::as_i64).map_or(Value::Null, Value::Int);
    let one = |column: &Json| {
        let is_decimal = text_of(column, "type_name") == "DECIMAL";
        let of_decimal = |name| if is_decimal { number(column, name) } else { Value::Null };
        attributes([
            ("name", of_json(column, "name")),
            ("type", of_json(column, "type_text")),
            ("typeName", of_json(column, "type_name")),
            ("precision", of_decimal("type_precision")),
            ("scale", of_decimal("type_scale")),
            ("length", length_of(text_of(column, "type_text")).map_or(Value::Null, Value::Int)),
            ("nullable", column.get("nullable").and_then(Json::as_bool).unwrap_or(true).into()),
            ("comment", of_json(column, "comment")),
        ])
    };
    columns.iter().map(one).collect()
}

/// Returns the length of `varchar(20)` and `char(3)`.
fn length_of(ty: &str) -> Option<i64> {
    let (word, rest) = ty.split_once('(')?;
    let is_text = ["varchar", "char"].iter().any(|it| word.trim().eq_ignore_ascii_case(it));
    rest.strip_suffix(')')?.trim().parse().ok().filter(|_| is_text)
}
