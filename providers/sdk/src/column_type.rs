//! The types of columns in data contracts: how a provider looks one up in the tables that say what it makes of them.
//!
//! `dataType` is one of OpenMetadata's words (<https://docs.open-metadata.org>, schema `table.json`), `logicalType` one of the
//! Open Data Contract Standard (<https://bitol-io.github.io/open-data-contract-standard>).

use crate::names::closest;
use crate::{Map, Value};

/// Types by the word of the contract, each with what the provider makes of it.
pub type Types<T> = [(&'static str, T)];

/// A text of the column that says something.
#[must_use]
pub fn given<'c>(column: &'c Map, key: &str) -> Option<&'c str> {
    column.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// What a provider makes of the column's `dataType`, or else of its `logicalType`. Case makes no difference.
///
/// # Errors
/// When the column has neither, or a type that is not known: the text names the close ones.
pub fn declared<'t, T>(column: &Map, data_types: &'t Types<T>, logical_types: &'t Types<T>) -> Result<&'t T, String> {
    let (name, types) = match (given(column, "dataType"), given(column, "logicalType")) {
        (Some(name), _) => (name, data_types),
        (None, Some(name)) => (name, logical_types),
        (None, None) => return Err("the column has no `dataType` and no `logicalType`".to_owned()),
    };
    let found = types.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim()));
    found.map(|(_, declared)| declared).ok_or_else(|| unknown(name, types))
}

/// A size of the column, from 0 up, which some descriptors write as text: `dataLength`, `precision`, `scale`.
#[must_use]
pub fn size(column: &Map, key: &str) -> Option<i64> {
    let value = column.get(key)?;
    value.as_int().or_else(|| value.as_str()?.trim().parse().ok()).filter(|size| *size >= 0)
}

fn unknown<T>(name: &str, types: &Types<T>) -> String {
    let names = || types.iter().map(|(known, _)| *known);
    match closest(name, names()) {
        Some(meant) => format!("`{name}` is no column type that is known; did you mean `{meant}`?"),
        None => {
            let known = names().collect::<Vec<_>>().join(", ");
            format!("`{name}` is no column type that is known; there are {known}")
        }
    }
}

/// A table for a README: the words of `field` that `sql_type` declares alike in one row each, with what sizes make of them.
///
/// # Errors
/// What `sql_type` says of a word that it does not take.
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
        match rows.iter_mut().find(|(other, _)| *other == cell) {
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
    fn a_data_type_goes_before_a_logical_one() {
        assert_eq!(of(&[("dataType", " varchar ".into()), ("logicalType", "string".into())]), Ok(2));
        assert_eq!(of(&[("dataType", "".into()), ("logicalType", "string".into())]), Ok(3));
        assert_eq!(of(&[("dataType", Value::Null), ("logicalType", "String".into())]), Ok(3));
    }

    #[test]
    fn unknown_types_name_the_close_ones() {
        assert!(of(&[("dataType", "VARCHR".into())]).unwrap_err().ends_with("did you mean `VARCHAR`?"));
        assert!(of(&[("logicalType", "qqq".into())]).unwrap_err().ends_with("there are string"));
        assert!(of(&[("name", "x".into())]).unwrap_err().contains("no `dataType`"));
    }

    #[test]
    fn sizes_are_numbers_or_texts_of_one() {
        let column = column(&[("precision", " 10".into()), ("scale", Value::Int(-1)), ("dataLength", "long".into())]);
        let sizes = ["precision", "scale", "dataLength", "none"].map(|key| size(&column, key));
        assert_eq!(sizes, [Some(10), None, None, None]);
    }
}
