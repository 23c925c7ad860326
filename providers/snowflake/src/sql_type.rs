//! `sqlType("snowflake", column)`: the Snowflake type of a data contract's column.

use crate::data_type::DataType;
use terrace_provider::{Map, column_type};

/// Mapping of a contract type to a Snowflake type.
#[derive(Debug, Clone, Copy)]
enum Declared {
    /// This text.
    As(&'static str),
    /// A text with the length if it is given.
    Text,
    /// `NUMBER` with precision and scale.
    Decimal,
    /// Bytes with the length if it is given.
    Bytes,
    /// This type with `precision` as its number of fractional digits, if given.
    Moment(&'static str),
}

/// OpenMetadata's column types, including those of Snowflake.
const DATA_TYPES: [(&str, Declared); 63] = {
    use Declared::{As, Bytes, Decimal, Moment, Text};
    [
        ("ARRAY", As("ARRAY")),
        ("BIGINT", As("NUMBER(38,0)")),
        ("BINARY", Bytes),
        ("BIT", As("BOOLEAN")),
        ("BLOB", Bytes),
        ("BOOL", As("BOOLEAN")),
        ("BOOLEAN", As("BOOLEAN")),
        ("BYTEA", Bytes),
        ("BYTEINT", As("NUMBER(38,0)")),
        ("BYTES", Bytes),
        ("CHAR", Text),
        ("CHARACTER", Text),
        ("CLOB", Text),
        ("DATE", As("DATE")),
        ("DATETIME", Moment("TIMESTAMP_NTZ")),
        ("DECIMAL", Decimal),
        ("DOUBLE", As("FLOAT")),
        ("ENUM", Text),
        ("FIXED", Decimal),
        ("FLOAT", As("FLOAT")),
        ("FLOAT4", As("FLOAT")),
        ("FLOAT8", As("FLOAT")),
        ("GEOGRAPHY", As("GEOGRAPHY")),
        ("GEOMETRY", As("GEOMETRY")),
        ("INT", As("NUMBER(38,0)")),
        ("INTEGER", As("NUMBER(38,0)")),
        ("INTERVAL", Text),
        ("JSON", As("VARIANT")),
        ("LONG", As("NUMBER(38,0)")),
        ("LONGBLOB", Bytes),
        ("MAP", As("OBJECT")),
        ("MEDIUMBLOB", Bytes),
        ("MEDIUMTEXT", Text),
        ("MONEY", Decimal),
        ("NCHAR", Text),
        ("NTEXT", Text),
        ("NUMBER", Decimal),
        ("NUMERIC", Decimal),
        ("NVARCHAR", Text),
        ("OBJECT", As("OBJECT")),
        ("REAL", As("FLOAT")),
        ("RECORD", As("OBJECT")),
        ("SMALLINT", As("NUMBER(38,0)")),
        ("STRING", Text),
        ("STRUCT", As("OBJECT")),
        ("SUPER", As("VARIANT")),
        ("TEXT", Text),
        ("TIME", Moment("TIME")),
        ("TIMESTAMP", Moment("TIMESTAMP_NTZ")),
        ("TIMESTAMPTZ", Moment("TIMESTAMP_TZ")),
        ("TIMESTAMPZ", Moment("TIMESTAMP_TZ")),
        ("TIMESTAMP_LTZ", Moment("TIMESTAMP_LTZ")),
        ("TIMESTAMP_NTZ", Moment("TIMESTAMP_NTZ")),
        ("TIMESTAMP_TZ", Moment("TIMESTAMP_TZ")),
        ("TINYINT", As("NUMBER(38,0)")),
        ("UNION", As("VARIANT")),
        ("UUID", Text),
        ("VARBINARY", Bytes),
        ("VARCHAR", Text),
        ("VARIANT", As("VARIANT")),
        ("VECTOR", As("ARRAY")),
        ("XML", As("VARIANT")),
        ("YEAR", As("NUMBER(38,0)")),
    ]
};

/// The logical types of the Open Data Contract Standard.
const LOGICAL_TYPES: [(&str, Declared); 9] = {
    use Declared::{As, Decimal, Moment, Text};
    [
        ("string", Text),
        ("date", As("DATE")),
        ("number", Decimal),
        ("integer", As("NUMBER(38,0)")),
        ("object", As("OBJECT")),
        ("array", As("ARRAY")),
        ("boolean", As("BOOLEAN")),
        ("timestamp", Moment("TIMESTAMP_NTZ")),
        ("time", Moment("TIME")),
    ]
};

/// The type of a column with `dataType` (with `dataLength`, `precision`, `scale`) or `logicalType`, in Snowflake's
/// spelling.
///
/// # Errors
/// When the column has neither, an unknown type (the text names similar types), or unsupported sizes.
pub(crate) fn sql_type(column: &Map) -> Result<String, String> {
    let declared = column_type::declared(column, &DATA_TYPES, &LOGICAL_TYPES)?;
    let size = |key: &str| column_type::size(column, key);
    let length = |what: &str| match size("dataLength").filter(|length| *length > 0) {
        Some(length) => format!("{what}({length})"),
        None => what.to_owned(),
    };
    let text = match declared {
        Declared::As(text) => (*text).to_owned(),
        Declared::Text => length("VARCHAR"),
        Declared::Bytes => length("BINARY"),
        Declared::Moment(text) => format!("{text}({})", size("precision").filter(|digits| *digits <= 9).unwrap_or(9)),
        Declared::Decimal => match (size("precision"), size("scale")) {
            (Some(precision), scale) => format!("NUMBER({precision},{})", scale.unwrap_or(0)),
            (None, scale) => format!("NUMBER(38,{})", scale.unwrap_or(0)),
        },
    };
    DataType::parse(&text).map(|ty| ty.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Value;

    fn declared(entries: &[(&str, Value)]) -> Result<String, String> {
        sql_type(&entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn sizes_are_kept() {
        let number = |precision: i64, scale: i64| {
            declared(&[
                ("dataType", "NUMBER".into()),
                ("precision", Value::Int(precision)),
                ("scale", Value::Int(scale)),
            ])
        };
        assert_eq!(number(38, 0).as_deref(), Ok("NUMBER(38,0)"));
        assert_eq!(number(10, 2).as_deref(), Ok("NUMBER(10,2)"));
        assert!(number(40, 0).is_err());
        let text = |length: i64| declared(&[("dataType", "TEXT".into()), ("dataLength", Value::Int(length))]);
        assert_eq!(text(16_777_216).as_deref(), Ok("VARCHAR(16777216)"));
        assert_eq!(text(20).as_deref(), Ok("VARCHAR(20)"));
        assert_eq!(text(0).as_deref(), Ok("VARCHAR(16777216)"));
    }

    #[test]
    fn every_type_has_the_spelling_of_snowflake() {
        for (name, _) in DATA_TYPES {
            let text = declared(&[("dataType", name.into())]).unwrap();
            assert_eq!(DataType::parse(&text).unwrap().to_string(), text, "{name}");
        }
        for (name, _) in LOGICAL_TYPES {
            assert!(declared(&[("logicalType", name.into())]).is_ok(), "{name}");
        }
        assert!(DATA_TYPES.is_sorted_by_key(|(name, _)| name), "sorted, to find duplicates");
    }
}
