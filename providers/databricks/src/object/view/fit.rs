//! Whether the columns that a view shows are in what it reads, and of the types that they have to have.

use crate::attributes::text;
use crate::lookup::columns_of;
use serde_json::Value as Json;
use terrace_provider::{Attributes, Path, ProviderError, Value};

/// Something that does not fit.
pub(crate) struct Misfit {
    pub(crate) path: Path,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Misfit {
    /// The same as an error.
    pub(crate) fn into_error(self) -> ProviderError {
        ProviderError::invalid(Some(self.path), self.message).solution(self.hint)
    }
}

/// The type of a column in words, with its numbers where they are said: `DECIMAL(10,2)`.
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

/// Whether a column is of the type that is wanted; what nobody says fits.
fn fits(wanted: &Attributes, there: &Attributes) -> bool {
    let is_said = |name: &&str| wanted.get(*name).is_some_and(|value| !value.is_null() && !value.has_unknown());
    let mut said = ["typeName", "precision", "scale"].into_iter().filter(|name| is_said(name));
    said.all(|name| match (wanted.get(name), there.get(name)) {
        (Some(wanted), Some(there)) => match (wanted.as_str(), there.as_str()) {
            (Some(wanted), Some(there)) => wanted.eq_ignore_ascii_case(there),
            _ => wanted.is_same_as(there),
        },
        _ => false,
    })
}

/// What of the columns of a planned view does not fit what it reads.
pub(crate) fn misfits(planned: &Attributes, source: &str, table: &Json) -> Vec<Misfit> {
    let items = planned.get("columns").and_then(Value::as_list).unwrap_or_default();
    let wanted: Vec<&Attributes> = items.iter().filter_map(Value::as_map).collect();
    let there = columns_of(table);
    let lists = format!("it has {}; wanted are {}", listed(&there.iter().collect::<Vec<_>>()), listed(&wanted));
    let misfit = |(index, wanted): (usize, &&Attributes)| {
        let (column, name) = (Path::attribute("columns").index(index), text(wanted, "name"));
        let hint = lists.clone();
        let Some(found) = there.iter().find(|it| text(it, "name").eq_ignore_ascii_case(&name)) else {
            let message = format!("`{source}` has no column `{name}`");
            return Some(Misfit { path: column.key("name"), message, hint });
        };
        if fits(wanted, found) {
            return None;
        }
        let (is, wanted) = (type_of(found).unwrap_or_default(), type_of(wanted).unwrap_or_default());
        let message = format!("the column `{name}` is of another type in `{source}`: {is}, and not {wanted}");
        Some(Misfit { path: column.key("typeName"), message, hint })
    };
    wanted.iter().enumerate().filter_map(misfit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(columns: Json) -> Vec<String> {
        let table = json!({"columns": [
            {"name": "id", "type_name": "INT", "type_text": "int"},
            {"name": "Price", "type_name": "DECIMAL", "type_precision": 10, "type_scale": 2},
        ]});
        let planned: Attributes = [("columns".to_owned(), Value::from(columns))].into_iter().collect();
        misfits(&planned, "c.s.t", &table).into_iter().map(|it| format!("{}: {}", it.path, it.message)).collect()
    }

    #[test]
    fn names_in_any_case_and_types_as_far_as_they_are_said() {
        let decimal =
            |precision: i64| json!([{"name": "price", "typeName": "decimal", "precision": precision, "scale": 2}]);
        assert_eq!(told(json!([{"name": "ID"}, {"name": "price", "typeName": "DECIMAL"}])), [""; 0]);
        assert_eq!(told(decimal(10)), [""; 0]);
        let wrong = "columns[0].typeName: the column `price` is of another type in `c.s.t`: DECIMAL(10,2), and not";
        assert_eq!(told(decimal(12)), [format!("{wrong} decimal(12,2)")]);
        let no = "columns[1].name: `c.s.t` has no column `prize`";
        assert_eq!(told(json!([{"name": "id", "typeName": "INT"}, {"name": "prize"}])), [no]);
    }
}
