//! Column types of data contracts, and their lookup in the type tables of a provider.
//!
//! `dataType` is a type of OpenMetadata (<https://docs.open-metadata.org>, schema `table.json`), `logicalType` one of
//! the Open Data Contract Standard (<https://bitol-io.github.io/open-data-contract-standard>).

use crate::names::closest;
use crate::{Map, Value};

/// Types of a technology, each with the contract types that it stands for: OpenMetadata's types and Snowflake's names,
/// separated by spaces.
pub type Types<T> = [(T, &'static str)];

/// The logical types. Each means the data type of the same name.
const LOGICAL_TYPES: [&str; 9] =
    ["string", "date", "number", "integer", "object", "array", "boolean", "timestamp", "time"];

/// Lengths from this one on mean no limit: the maximum of Snowflake.
const UNLIMITED: i64 = 16_777_216;

/// A SQL type without its sizes.
#[derive(Debug, Clone, Copy)]
pub enum Declared {
    /// This text.
    As(&'static str),
    /// This text with the length. Without a limit, it is another type.
    Text(&'static str),
    /// This text with precision and scale.
    Decimal(&'static str),
}

/// A text of the column; `None` if it is empty.
#[must_use]
pub fn text_of<'c>(column: &'c Map, key: &str) -> Option<&'c str> {
    column.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The provider's type for the column's `dataType`, or for its `logicalType` if `dataType` is missing. Ignores case.
///
/// # Errors
/// When the column has neither, or an unknown type: the text names similar types.
pub fn declared<'t, T>(column: &Map, types: &'t Types<T>) -> Result<&'t T, String> {
    let (name, is_logical) = match (text_of(column, "dataType"), text_of(column, "logicalType")) {
        (Some(name), _) => (name, false),
        (None, Some(name)) => (name, true),
        (None, None) => return Err("the column has no `dataType` and no `logicalType`".to_owned()),
    };
    let is_named = |known: &str| known.eq_ignore_ascii_case(name.trim());
    let is_known = !is_logical || LOGICAL_TYPES.into_iter().any(is_named);
    let found = types.iter().find(|(_, names)| is_known && names.split(' ').any(is_named));
    let known = || if is_logical { LOGICAL_TYPES.to_vec() } else { names(types) };
    found.map(|(declared, _)| declared).ok_or_else(|| unknown(name, &known()))
}

/// The SQL type of a column with `dataType` or `logicalType`, and with its sizes (`dataLength`, `precision`, `scale`).
/// `text` is the type of texts without a limit.
///
/// # Errors
/// When the column has no type, or an unknown type: the text names similar types.
pub fn sql_type(column: &Map, types: &Types<Declared>, text: &str) -> Result<String, String> {
    let size = |key: &str| size(column, key);
    Ok(match declared(column, types)? {
        Declared::As(name) => (*name).to_owned(),
        Declared::Text(name) => match size("dataLength").filter(|length| (1..UNLIMITED).contains(length)) {
            Some(length) => format!("{name}({length})"),
            None => text.to_owned(),
        },
        Declared::Decimal(name) => match (size("precision"), size("scale")) {
            (Some(precision), Some(scale)) => format!("{name}({precision},{scale})"),
            (Some(precision), None) => format!("{name}({precision})"),
            // The default precision of Snowflake, if only the scale is given.
            (None, Some(scale)) => format!("{name}(38,{scale})"),
            (None, None) => (*name).to_owned(),
        },
    })
}

/// The data types of a table, sorted.
fn names<T>(types: &Types<T>) -> Vec<&'static str> {
    let mut names: Vec<_> = types.iter().flat_map(|(_, names)| names.split(' ')).collect();
    names.sort_unstable();
    names
}

/// A size of the column, at least 0: `dataLength`, `precision`, `scale`. Some descriptors write it as text.
#[must_use]
pub fn size(column: &Map, key: &str) -> Option<i64> {
    let value = column.get(key)?;
    value.as_int().or_else(|| value.as_str()?.trim().parse().ok()).filter(|size| *size >= 0)
}

fn unknown(name: &str, known: &[&str]) -> String {
    match closest(name, known.iter().copied()) {
        Some(meant) => format!("`{name}` is not a known column type; did you mean `{meant}`?"),
        None => format!("`{name}` is not a known column type; expected one of {}", known.join(", ")),
    }
}

/// The tables for a README: one row per SQL type, with the contract types that map to it and the effect of sizes.
///
/// # Errors
/// When `sql_type` refuses a type.
pub fn tables<T>(types: &Types<T>, sql_type: fn(&Map) -> Result<String, String>) -> Result<String, String> {
    let (data, logical) = (names(types), LOGICAL_TYPES);
    Ok(format!("{}\n{}", table("dataType", &data, sql_type)?, table("logicalType", &logical, sql_type)?))
}

fn table(field: &str, types: &[&str], sql_type: fn(&Map) -> Result<String, String>) -> Result<String, String> {
    let sizes: [&[(&str, i64)]; 5] =
        [&[], &[("dataLength", 20)], &[("precision", 10)], &[("precision", 10), ("scale", 2)], &[("scale", 2)]];
    let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
    for name in types {
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

    const TYPES: &Types<Declared> = &[
        (Declared::Text("char"), "CHAR"),
        (Declared::As("blob"), "BLOB"),
        (Declared::Text("varchar"), "STRING VARCHAR"),
        (Declared::Decimal("number"), "DECIMAL NUMBER"),
    ];

    fn of(entries: &[(&str, Value)]) -> Result<String, String> {
        sql_type(&column(entries), TYPES, "text")
    }

    fn column(entries: &[(&str, Value)]) -> Map {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
    }

    #[test]
    fn data_type_takes_precedence_over_logical_type() {
        assert_eq!(of(&[("dataType", " blob ".into()), ("logicalType", "string".into())]).unwrap(), "blob");
        assert_eq!(of(&[("dataType", "".into()), ("logicalType", "string".into())]).unwrap(), "text");
        assert_eq!(of(&[("dataType", Value::Null), ("logicalType", "Number".into())]).unwrap(), "number");
    }

    #[test]
    fn unknown_type_suggests_similar_types() {
        assert!(of(&[("dataType", "VARCHR".into())]).unwrap_err().ends_with("did you mean `VARCHAR`?"));
        assert!(
            of(&[("dataType", "qqq".into())]).unwrap_err().ends_with("BLOB, CHAR, DECIMAL, NUMBER, STRING, VARCHAR")
        );
        // A data type, but not a logical type.
        assert!(of(&[("logicalType", "blob".into())]).unwrap_err().contains("expected one of string, date"));
        assert!(of(&[("name", "x".into())]).unwrap_err().contains("no `dataType`"));
    }

    #[test]
    fn sizes_stay_visible() {
        let sized = |ty: &str, sizes: &[(&str, Value)]| of(&[&[("dataType", ty.into())], sizes].concat()).unwrap();
        let (precision, scale) = (("precision", Value::Int(10)), ("scale", Value::Int(0)));
        assert_eq!(sized("NUMBER", &[precision.clone(), scale.clone()]), "number(10,0)");
        assert_eq!(sized("decimal", &[("precision", "10".into())]), "number(10)");
        assert_eq!(sized("NUMBER", &[scale]), "number(38,0)");
        assert_eq!(sized("VARCHAR", &[("dataLength", Value::Int(20))]), "varchar(20)");
        assert_eq!(sized("VARCHAR", &[("dataLength", Value::Int(UNLIMITED))]), "text");
        assert_eq!(sized("VARCHAR", &[("dataLength", Value::Null), precision]), "text");
    }

    #[test]
    fn size_is_a_number_or_its_text() {
        let column = column(&[("precision", " 10".into()), ("scale", Value::Int(-1)), ("dataLength", "long".into())]);
        let sizes = ["precision", "scale", "dataLength", "none"].map(|key| size(&column, key));
        assert_eq!(sizes, [Some(10), None, None, None]);
    }
}
