//! Checks that the columns of a view exist in its source, with the required types.

use crate::attributes::text;
use crate::lookup::columns_of;
use serde_json::Value as Json;
use terrace_provider::{Attributes, Path, ProviderError, Value};

/// A column that does not fit.
pub(crate) struct Mismatch {
    pub(crate) path: Path,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Mismatch {
    /// Converts the misfit into an error.
    pub(crate) fn into_error(self) -> ProviderError {
        ProviderError::invalid(Some(self.path), self.message).solution(self.hint)
    }
}

/// The type of a column as text, with its numbers if configured: `DECIMAL(10,2)`.
fn type_of(column: &Attributes) -> Option<String> {
    let name = column.get("typeName").and_then(Value::as_str)?;
    let number = |name: &str| match column.get(name) {
        Some(Value::Int(number)) => Some(*number),
        _ => None,
    };
    Some(match (number("precision"), number("scale")) {
        (Some(precision), Some(scale)) => format!("{name}({precision},{scale})"),
        (Some(precision), None) => format!("{name}({precision})"),
        _ => name.to_owned(),
    })
}

fn listed(columns: &[&Attributes]) -> String {
    let one = |column: &&Attributes| match type_of(column) {
        Some(ty) => format!("`{}` {ty}", text(column, "name")),
        None => format!("`{}`", text(column, "name")),
    };
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Returns true if a column has the required type. Missing requirements fit any type.
fn has_required_type(wanted: &Attributes, actual: &Attributes) -> bool {
    let is_set = |name: &&str| wanted.get(*name).is_some_and(|value| !value.is_null() && !value.has_unknown());
    let mut required = ["typeName", "precision", "scale"].into_iter().filter(|name| is_set(name));
    required.all(|name| match (wanted.get(name), actual.get(name)) {
        (Some(wanted), Some(actual)) => match (wanted.as_str(), actual.as_str()) {
            (Some(wanted), Some(actual)) => wanted.eq_ignore_ascii_case(actual),
            _ => wanted.is_same_as(actual),
        },
        _ => false,
    })
}

/// Returns the misfits of a planned view's columns.
pub(crate) fn mismatches(planned: &Attributes, source: &str, table: &Json) -> Vec<Mismatch> {
    let items = planned.get("columns").and_then(Value::as_list).unwrap_or_default();
    let wanted: Vec<&Attributes> = items.iter().filter_map(Value::as_map).collect();
    let source_columns = columns_of(table);
    let lists =
        format!("it has {}; the view needs {}", listed(&source_columns.iter().collect::<Vec<_>>()), listed(&wanted));
    let mismatch = |(index, wanted): (usize, &&Attributes)| {
        let (column, name) = (Path::attribute("columns").index(index), text(wanted, "name"));
        let hint = lists.clone();
        let Some(found) = source_columns.iter().find(|it| text(it, "name").eq_ignore_ascii_case(&name)) else {
            let message = format!("`{source}` has no column `{name}`");
            return Some(Mismatch { path: column.key("name"), message, hint });
        };
        if has_required_type(wanted, found) {
            return None;
        }
        let (is, wanted) = (type_of(found).unwrap_or_default(), type_of(wanted).unwrap_or_default());
        let message = format!("the column `{name}` has the type {is} instead of {wanted} in `{source}`");
        Some(Mismatch { path: column.key("typeName"), message, hint })
    };
    wanted.iter().enumerate().filter_map(mismatch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mismatches_of(columns: Json) -> Vec<String> {
        let table = json!({"columns": [
            {"name": "id", "type_name": "INT", "type_text": "int"},
            {"name": "Price", "type_name": "DECIMAL", "type_precision": 10, "type_scale": 2},
        ]});
        let planned: Attributes = [("columns".to_owned(), Value::from(columns))].into_iter().collect();
        mismatches(&planned, "c.s.t", &table).into_iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
    }

    #[test]
    fn mismatches_ignore_case_and_unset_types() {
        let decimal =
            |precision: i64| json!([{"name": "price", "typeName": "decimal", "precision": precision, "scale": 2}]);
        assert_eq!(mismatches_of(json!([{"name": "ID"}, {"name": "price", "typeName": "DECIMAL"}])), [""; 0]);
        assert_eq!(mismatches_of(decimal(10)), [""; 0]);
        let wrong = "columns[0].typeName: the column `price` has the type DECIMAL(10,2) instead of";
        assert_eq!(mismatches_of(decimal(12)), [format!("{wrong} decimal(12,2) in `c.s.t`")]);
        let no = "columns[1].name: `c.s.t` has no column `prize`";
        assert_eq!(mismatches_of(json!([{"name": "id", "typeName": "INT"}, {"name": "prize"}])), [no]);
    }
}
