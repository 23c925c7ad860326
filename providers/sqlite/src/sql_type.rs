//! `sqlType("sqlite", column)`: the declared type for a column of a data contract.
//!
//! SQLite uses a declared type only for the affinity of the column, but readers see the text. So it keeps the length,
//! precision and scale of the contract.

use terrace_provider::{Map, column_type};

/// How a data contract type is declared.
#[derive(Debug, Clone, Copy)]
enum Declared {
    /// As this text.
    As(&'static str),
    /// As this text with the length if the length limits anything; otherwise as `TEXT`.
    Text(&'static str),
    /// As `NUMERIC` with precision and scale.
    Decimal,
}

/// A length from which a text counts as unlimited: the maximum of Snowflake, which means "no limit" there.
const UNLIMITED: i64 = 16_777_216;

/// The column types of OpenMetadata and the types of Snowflake.
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

/// The declared type of a column with `dataType` (and `dataLength`, `precision`, `scale`) or `logicalType`.
///
/// # Errors
///
/// If the column has neither, or an unknown type: the text lists similar types.
pub(crate) fn sql_type(column: &Map) -> Result<String, String> {
    let declared = column_type::declared(column, &DATA_TYPES, &LOGICAL_TYPES)?;
    let size = |key: &str| column_type::size(column, key);
    Ok(match declared {
        Declared::As(text) => (*text).to_owned(),
        Declared::Text(text) => match size("dataLength").filter(|length| (1..UNLIMITED).contains(length)) {
            Some(length) => format!("{text}({length})"),
            None => "TEXT".to_owned(),
        },
        Declared::Decimal => match (size("precision"), size("scale")) {
            (Some(precision), Some(scale)) => format!("NUMERIC({precision},{scale})"),
            (Some(precision), None) => format!("NUMERIC({precision})"),
            // Snowflake's default precision if only the scale is set.
            (None, Some(scale)) => format!("NUMERIC(38,{scale})"),
            (None, None) => "NUMERIC".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Value;

    fn declared(entries: &[(&str, Value)]) -> Result<String, String> {
        sql_type(&entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn declared_type_keeps_the_sizes() {
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

    /// Run with `UPDATE_README=1` to update the tables.
    #[test]
    fn readme_lists_every_type() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
        let readme = std::fs::read_to_string(path).unwrap();
        let table = |field, types: &[(&'static str, Declared)]| column_type::table(field, types, sql_type).unwrap();
        let tables = format!(
            "{}
{}",
            table("dataType", &DATA_TYPES),
            table("logicalType", &LOGICAL_TYPES)
        );
        let written =
            terrace_provider::docs::with_section(&readme, "types", &tables).expect("the README has the marks");
        if std::env::var_os("UPDATE_README").is_some() {
            std::fs::write(path, &written).unwrap();
        } else {
            assert!(readme == written, "the README is not up to date: run the test with UPDATE_README=1");
        }
    }

    #[test]
    fn every_type_is_valid_in_sqlite() {
        for (name, _) in DATA_TYPES {
            let text = declared(&[("dataType", name.into())]).unwrap();
            assert!(crate::declared_type::DeclaredType::parse(&text).is_some(), "{name}: {text}");
        }
        for (name, _) in LOGICAL_TYPES {
            assert!(declared(&[("logicalType", name.into())]).is_ok(), "{name}");
        }
        assert!(DATA_TYPES.is_sorted_by_key(|(name, _)| name), "the sorted list must have no duplicates");
    }
}
