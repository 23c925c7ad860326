//! Column types of data contracts, and their lookup in the type tables of a provider.
//!
//! `dataType` is a type of OpenMetadata (<https://docs.open-metadata.org>, schema `table.json`), `logicalType` one of
//! the Open Data Contract Standard (<https://bitol-io.github.io/open-data-contract-standard>).

use crate::names::closest;
use crate::{Map, Value};

/// Contract types with the provider's type for each.
pub type Types<T> = [(&'static str, T)];

/// A text of the column; `None` if it is empty.
#[must_use]
pub fn text_of<'c>(column: &'c Map, key: &str) -> Option<&'c str> {
    column.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The provider's type for the column's `dataType`, or for its `logicalType` if `dataType` is missing. Ignores case.
///
/// # Errors
/// When the column has neither, or an unknown type: the text names similar types.
pub fn declared<'t, T>(column: &Map, data_types: &'t Types<T>, logical_types: &'t Types<T>) -> Result<&'t T, String> {
    let (name, types) = match (text_of(column, "dataType"), text_of(column, "logicalType")) {
        (Some(name), _) => (name, data_types),
        (None, Some(name)) => (name, logical_types),
        (None, None) => return Err("the column has no `dataType` and no `logicalType`".to_owned()),
    };
    let found = types.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    found.map(|(_, declared)| declared).ok_or_else(|| unknown(name, types))
}

/// A size of the column, at least 0: `dataLength`, `precision`, `scale`. Some descriptors write it as text.
#[must_use]
pub fn size(column: &Map, key: &str) -> Option<i64> {
    let value = column.get(key)?;
    value.as_int().or_else(|| value.as_str()?.trim().parse().ok()).filter(|size| *size >= 0)
}

fn unknown<T>(name: &str, types: &Types<T>) -> String {
    let names = || types.iter().map(|(known, _)| *known);
    match closest(name, names()) {
        Some(meant) => format!("`{name}` is not a known column type; did you mean `{meant}`?"),
        None => {
            let known = names().collect::<Vec<_>>().join(", ");
            format!("`{name}` is not a known column type; expected one of {known}")
        }
    }
}

/// A table for a README: one row per SQL type, with the contract types that map to it and the effect of sizes.
///
/// # Errors
/// When `sql_type` refuses a type.
pub fn table<T>(
    field: &str,
    types: &Types<T>,
    sql_type: impl Fn(&Map) -> Result<String, String>,
) -> Result<String, String> {
    let sizes: [&[(&str, i64)]; 5] =
        [&[], &[("dataLength", 20)], &[("precision", 10)], &[("precision", 10), ("scale", 2)], &[("scale", 2)]];
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for (name, _) in types {
        let with = |sizes: &[(&str, i64)]| {
            let sizes = sizes.iter().map(|(key, size)| ((*key).to_owned(), Value::Int(*size)));
            sql_type(&std::iter::once((field.to_owned(), Value::from(*name))).chain(sizes).collect())
        };
        let plain = with(&[])?;
        let mut cell = format!("`{plain}`");
        for given in sizes {
            let sized = with(given)?;
            if sized != plain {
                let shown: Vec<String> = given.iter().map(|(key, size)| format!("{key}: {size}")).collect();
                cell.push_str(&format!("; `{}` gives `{sized}`", shown.join(", ")));
            }
        }
        match rows.iter_mut().find(|(known, _)| *known == cell) {
            Some((_, names)) => names.push(name),
            None => rows.push((cell, vec![name])),
        }
    }
    let row = |(cell, names): &(String, Vec<&str>)| format!("| `{}` | {cell} |\n", names.join("`, `"));
    Ok(format!("| `{field}` | declared |\n|---|---|\n{}", rows.iter().map(row).collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: &Types<u8> = &[("CHAR", 1), ("VARCHAR", 2)];
    const LOGICAL: &Types<u8> = &[("string", 3)];

    fn column(entries: &[(&str, Value)]) -> Map {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    fn of(entries: &[(&str, Value)]) -> Result<u8, String> {
        declared(&column(entries), DATA, LOGICAL).copied()
    }

    #[test]
    fn data_type_takes_precedence_over_logical_type() {
        assert_eq!(of(&[("dataType", " varchar ".into()), ("logicalType", "string".into())]), Ok(2));
        assert_eq!(of(&[("dataType", "".into()), ("logicalType", "string".into())]), Ok(3));
        assert_eq!(of(&[("dataType", Value::Null), ("logicalType", "String".into())]), Ok(3));
    }

    #[test]
    fn unknown_type_suggests_similar_types() {
        assert!(of(&[("dataType", "VARCHR".into())]).unwrap_err().ends_with("did you mean `VARCHAR`?"));
        assert!(of(&[("logicalType", "qqq".into())]).unwrap_err().ends_with("expected one of string"));
        assert!(of(&[("name", "x".into())]).unwrap_err().contains("no `dataType`"));
    }

    #[test]
    fn size_is_a_number_or_its_text() {
        let column = column(&[("precision", " 10".into()), ("scale", Value::Int(-1)), ("dataLength", "long".into())]);
        let sizes = ["precision", "scale", "dataLength", "none"].map(|key| size(&column, key));
        assert_eq!(sizes, [Some(10), None, None, None]);
    }
}
