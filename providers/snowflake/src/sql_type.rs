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
const TYPES: [(Declared, &str); 16] = {
    use Declared::{As, Bytes, Decimal, Moment, Text};
    [
        (As("ARRAY"), "ARRAY VECTOR"),
        (As("NUMBER(38,0)"), "BIGINT BYTEINT INT INTEGER LONG SMALLINT TINYINT YEAR"),
        (Bytes, "BINARY BLOB BYTEA BYTES LONGBLOB MEDIUMBLOB VARBINARY"),
        (As("BOOLEAN"), "BIT BOOL BOOLEAN"),
        (Text, "CHAR CHARACTER CLOB ENUM INTERVAL MEDIUMTEXT NCHAR NTEXT NVARCHAR STRING TEXT UUID VARCHAR"),
        (As("DATE"), "DATE"),
        (Moment("TIMESTAMP_NTZ"), "DATETIME TIMESTAMP TIMESTAMP_NTZ"),
        (Decimal, "DECIMAL FIXED MONEY NUMBER NUMERIC"),
        (As("FLOAT"), "DOUBLE FLOAT FLOAT4 FLOAT8 REAL"),
        (As("GEOGRAPHY"), "GEOGRAPHY"),
        (As("GEOMETRY"), "GEOMETRY"),
        (As("VARIANT"), "JSON SUPER UNION VARIANT XML"),
        (As("OBJECT"), "MAP OBJECT RECORD STRUCT"),
        (Moment("TIME"), "TIME"),
        (Moment("TIMESTAMP_TZ"), "TIMESTAMPTZ TIMESTAMPZ TIMESTAMP_TZ"),
        (Moment("TIMESTAMP_LTZ"), "TIMESTAMP_LTZ"),
    ]
};

/// The type of a column with `dataType` (with `dataLength`, `precision`, `scale`) or `logicalType`, in Snowflake's
/// spelling.
///
/// # Errors
/// When the column has neither, an unknown type (the text names similar types), or unsupported sizes.
pub(crate) fn sql_type(column: &Map) -> Result<String, String> {
    let declared = column_type::declared(column, &TYPES)?;
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
        assert_eq!(declared(&[("logicalType", "timestamp".into())]).as_deref(), Ok("TIMESTAMP_NTZ(9)"));
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
        for name in TYPES.iter().flat_map(|(_, names)| names.split(' ')) {
            let text = declared(&[("dataType", name.into())]).unwrap();
            assert_eq!(DataType::parse(&text).unwrap().to_string(), text, "{name}");
        }
    }
}
