//! `sqlType("sqlite", column)`: which declared type a column of a data contract gets.
//!
//! SQLite looks at a declared type only for the column's affinity; the text stays visible to readers, so that it keeps
//! the length, precision and scale of the contract.

use crate::error::closest;
use terrace_provider::{Map, Value};

/// How a type of a data contract is declared.
#[derive(Debug, Clone, Copy)]
enum Declared {
    /// As this text.
    As(&'static str),
    /// As this text with the length, when there is one that limits anything; else `TEXT`.
    Text(&'static str),
    /// As `NUMERIC` with precision and scale.
    Decimal,
}

/// A length at or beyond which a text is not limited: Snowflake's largest, which stands for "no limit" there.
const UNLIMITED: i64 = 16_777_216;

/// OpenMetadata's column types, Snowflake's own among them.
const DATA_TYPES: [(&str, Declared); 72] = {
    use Declared::{As, Decimal, Text};
    [
        ("AGGREGATEFUNCTION", As("TEXT")),
        ("ARRAY", As("TEXT")),
        ("BIGINT", As("BIGINT")),
        ("BINARY", As("BLOB")),
        ("BIT", As("BLOB")),
        ("BITMAP", As("BLOB")),
        ("BLOB", As("BLOB")),
        ("BOOL", As("BOOLEAN")),
        ("BOOLEAN", As("BOOLEAN")),
        ("BYTEA", As("BLOB")),
        ("BYTEINT", As("TINYINT")),
        ("BYTES", As("BLOB")),
        ("CHAR", Text("CHAR")),
        ("CHARACTER", Text("CHAR")),
        ("CIDR", As("TEXT")),
        ("CLOB", As("TEXT")),
        ("DATE", As("DATE")),
        ("DATETIME", As("DATETIME")),
        ("DECIMAL", Decimal),
        ("DOUBLE", As("DOUBLE")),
        ("ENUM", As("TEXT")),
        ("FIXED", Decimal),
        ("FLOAT", As("FLOAT")),
        ("GEOGRAPHY", As("TEXT")),
        ("GEOMETRY", As("TEXT")),
        ("HLLSKETCH", As("BLOB")),
        ("IMAGE", As("BLOB")),
        ("INET", As("TEXT")),
        ("INT", As("INTEGER")),
        ("INTEGER", As("INTEGER")),
        ("INTERVAL", As("TEXT")),
        ("IPV4", As("TEXT")),
        ("IPV6", As("TEXT")),
        ("JSON", As("TEXT")),
        ("LONG", As("BIGINT")),
        ("LONGBLOB", As("BLOB")),
        ("LOWCARDINALITY", As("TEXT")),
        ("MACADDR", As("TEXT")),
        ("MAP", As("TEXT")),
        ("MEDIUMBLOB", As("BLOB")),
        ("MEDIUMTEXT", As("TEXT")),
        ("MONEY", Decimal),
        ("NTEXT", As("TEXT")),
        ("NULL", As("TEXT")),
        ("NUMBER", Decimal),
        ("NUMERIC", Decimal),
        ("OBJECT", As("TEXT")),
        ("POINT", As("TEXT")),
        ("POLYGON", As("TEXT")),
        ("REAL", As("REAL")),
        ("RECORD", As("TEXT")),
        ("SET", As("TEXT")),
        ("SMALLINT", As("SMALLINT")),
        ("STRING", Text("VARCHAR")),
        ("STRUCT", As("TEXT")),
        ("SUPER", As("TEXT")),
        ("TEXT", Text("VARCHAR")),
        ("TIME", As("TIME")),
        ("TIMESTAMP", As("TIMESTAMP")),
        ("TIMESTAMPZ", As("TIMESTAMP")),
        ("TIMESTAMP_LTZ", As("TIMESTAMP")),
        ("TIMESTAMP_NTZ", As("TIMESTAMP")),
        ("TIMESTAMP_TZ", As("TIMESTAMP")),
        ("TINYINT", As("TINYINT")),
        ("TSVECTOR", As("TEXT")),
        ("UNION", As("TEXT")),
        ("UUID", As("TEXT")),
        ("VARBINARY", As("BLOB")),
        ("VARCHAR", Text("VARCHAR")),
        ("VARIANT", As("TEXT")),
        ("XML", As("TEXT")),
        ("YEAR", As("INTEGER")),
    ]
};

/// The logical types of the Open Data Contract Standard.
const LOGICAL_TYPES: [(&str, Declared); 9] = {
    use Declared::{As, Decimal, Text};
    [
        ("string", Text("VARCHAR")),
        ("date", As("DATE")),
        ("number", Decimal),
        ("integer", As("INTEGER")),
        ("object", As("TEXT")),
        ("array", As("TEXT")),
        ("boolean", As("BOOLEAN")),
        ("timestamp", As("TIMESTAMP")),
        ("time", As("TIME")),
    ]
};

/// The declared type of a column that has `dataType` (with `dataLength`, `precision`, `scale`) or `logicalType`.
///
/// # Errors
/// When the column has neither, or a type that is not known: the text names the close ones.
pub(crate) fn sql_type(column: &Map) -> Result<String, String> {
    let given = |key: &str| column.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (name, types) = match (given("dataType"), given("logicalType")) {
        (Some(name), _) => (name, DATA_TYPES.as_slice()),
        (None, Some(name)) => (name, LOGICAL_TYPES.as_slice()),
        (None, None) => return Err("the column has no `dataType` and no `logicalType`".to_owned()),
    };
    let Some((_, declared)) = types.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.trim())) else {
        return Err(unknown(name, types));
    };
    let size = |key: &str| column.get(key).and_then(size);
    Ok(match declared {
        Declared::As(text) => (*text).to_owned(),
        Declared::Text(text) => match size("dataLength").filter(|length| (1..UNLIMITED).contains(length)) {
            Some(length) => format!("{text}({length})"),
            None => "TEXT".to_owned(),
        },
        Declared::Decimal => match (size("precision"), size("scale")) {
            (Some(precision), Some(scale)) => format!("NUMERIC({precision},{scale})"),
            (Some(precision), None) => format!("NUMERIC({precision})"),
            // Snowflake's own precision, when only the scale is said.
            (None, Some(scale)) => format!("NUMERIC(38,{scale})"),
            (None, None) => "NUMERIC".to_owned(),
        },
    })
}

/// A size, which some descriptors write as text.
fn size(value: &Value) -> Option<i64> {
    value.as_int().or_else(|| value.as_str()?.trim().parse().ok()).filter(|size| *size >= 0)
}

fn unknown(name: &str, types: &[(&'static str, Declared)]) -> String {
    let mut message = format!("`{name}` is no column type that is known");
    let names = || types.iter().map(|(known, _)| *known);
    match closest(name, names()) {
        Some(meant) => message.push_str(&format!("; did you mean `{meant}`?")),
        None => message.push_str(&format!("; there are {}", names().collect::<Vec<_>>().join(", "))),
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(entries: &[(&str, Value)]) -> Result<String, String> {
        sql_type(&entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn sizes_stay_visible() {
        let number = [("dataType", "NUMBER".into()), ("precision", Value::Int(38)), ("scale", Value::Int(0))];
        assert_eq!(declared(&number).as_deref(), Ok("NUMERIC(38,0)"));
        assert_eq!(
            declared(&[("dataType", "decimal".into()), ("precision", "10".into())]).as_deref(),
            Ok("NUMERIC(10)")
        );
        assert_eq!(
            declared(&[("dataType", "VARCHAR".into()), ("dataLength", Value::Int(20))]).as_deref(),
            Ok("VARCHAR(20)")
        );
        assert_eq!(
            declared(&[("dataType", "TEXT".into()), ("dataLength", Value::Int(16_777_216))]).as_deref(),
            Ok("TEXT")
        );
        assert_eq!(declared(&[("dataType", "TEXT".into()), ("dataLength", Value::Null)]).as_deref(), Ok("TEXT"));
    }

    /// The types that are declared alike in one row each, with what sizes make of them.
    fn table(field: &str, types: &[(&'static str, Declared)]) -> String {
        let sizes: [&[(&str, i64)]; 5] =
            [&[], &[("dataLength", 20)], &[("precision", 10)], &[("precision", 10), ("scale", 2)], &[("scale", 2)]];
        let mut rows: Vec<(String, Vec<&str>)> = Vec::new();
        for (name, _) in types {
            let with = |sizes: &[(&str, i64)]| {
                let sizes = sizes.iter().map(|(name, size)| (*name, Value::Int(*size)));
                declared(&std::iter::once((field, Value::from(*name))).chain(sizes).collect::<Vec<_>>()).unwrap()
            };
            let plain = with(&[]);
            let mut cell = format!("`{plain}`");
            for given in sizes.iter().filter(|given| with(given) != plain) {
                let given_text: Vec<String> = given.iter().map(|(name, size)| format!("{name}: {size}")).collect();
                cell.push_str(&format!("; `{}` gives `{}`", given_text.join(", "), with(given)));
            }
            match rows.iter_mut().find(|(other, _)| *other == cell) {
                Some((_, names)) => names.push(name),
                None => rows.push((cell, vec![name])),
            }
        }
        let row = |(cell, names): &(String, Vec<&str>)| format!("| `{}` | {cell} |\n", names.join("`, `"));
        format!("| `{field}` | declared |\n|---|---|\n{}", rows.iter().map(row).collect::<String>())
    }

    /// Run with `UPDATE_README=1` to write the tables anew.
    #[test]
    fn the_readme_shows_every_type() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let (begin, end) = ("<!-- types -->\n", "<!-- end of types -->");
        let (before, rest) = readme.split_once(begin).expect("the README has the marks");
        let (_, after) = rest.split_once(end).expect("the README has the marks");
        let (data, logical) = (table("dataType", &DATA_TYPES), table("logicalType", &LOGICAL_TYPES));
        let written = format!("{before}{begin}{data}\n{logical}{end}{after}");
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(path, &written).unwrap();
        } else {
            assert!(readme == written, "the README is not up to date: run the test with UPDATE_README=1");
        }
    }

    #[test]
    fn every_type_is_one_that_sqlite_takes() {
        for (name, _) in DATA_TYPES {
            let text = declared(&[("dataType", name.into())]).unwrap();
            assert!(crate::declared_type::DeclaredType::parse(&text).is_some(), "{name}: {text}");
        }
        for (name, _) in LOGICAL_TYPES {
            assert!(declared(&[("logicalType", name.into())]).is_ok(), "{name}");
        }
        assert!(DATA_TYPES.is_sorted_by_key(|(name, _)| name), "sorted, so that none is there twice");
    }

    #[test]
    fn unknown_types_name_the_close_ones() {
        assert!(declared(&[("dataType", "VARCHR".into())]).unwrap_err().contains("did you mean `VARCHAR`?"));
        assert!(declared(&[("logicalType", "qqq".into())]).unwrap_err().contains("timestamp"));
        assert!(declared(&[("name", "x".into())]).unwrap_err().contains("no `dataType`"));
    }
}
