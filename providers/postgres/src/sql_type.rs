//! Column types of data contracts: `sqlType("postgres", column)` and the reverse.
//!
//! Types have the server's spelling.

use crate::data_type::DataType;
use terrace_provider::column_type::{self, text_of};
use terrace_provider::{Map, Value};

/// The contract type for types that only `dataTypeDisplay` describes.
const UNKNOWN: &str = "UNKNOWN";

/// The SQL type for a contract type.
#[derive(Debug, Clone, Copy)]
enum Declared {
    /// This text.
    As(&'static str),
    /// This text with the length if there is a limit, otherwise `text`.
    Text(&'static str),
    /// `numeric` with precision and scale.
    Decimal,
}

/// Lengths from this one on mean no limit: the maximum of Snowflake.
const UNLIMITED: i64 = 16_777_216;

/// OpenMetadata's column types, including those of Snowflake.
const DATA_TYPES: [(&str, Declared); 72] = {
    use Declared::{As, Decimal, Text};
    [
        ("AGGREGATEFUNCTION", As("text")),
        ("ARRAY", As("jsonb")),
        ("BIGINT", As("bigint")),
        ("BINARY", As("bytea")),
        ("BIT", As("bit varying")),
        ("BITMAP", As("bytea")),
        ("BLOB", As("bytea")),
        ("BOOL", As("boolean")),
        ("BOOLEAN", As("boolean")),
        ("BYTEA", As("bytea")),
        ("BYTEINT", As("smallint")),
        ("BYTES", As("bytea")),
        ("CHAR", Text("character")),
        ("CHARACTER", Text("character")),
        ("CIDR", As("cidr")),
        ("CLOB", As("text")),
        ("DATE", As("date")),
        ("DATETIME", As("timestamp without time zone")),
        ("DECIMAL", Decimal),
        ("DOUBLE", As("double precision")),
        ("ENUM", As("text")),
        ("FIXED", Decimal),
        ("FLOAT", As("double precision")),
        ("GEOGRAPHY", As("text")),
        ("GEOMETRY", As("text")),
        ("HLLSKETCH", As("bytea")),
        ("IMAGE", As("bytea")),
        ("INET", As("inet")),
        ("INT", As("integer")),
        ("INTEGER", As("integer")),
        ("INTERVAL", As("interval")),
        ("IPV4", As("inet")),
        ("IPV6", As("inet")),
        ("JSON", As("jsonb")),
        ("LONG", As("bigint")),
        ("LONGBLOB", As("bytea")),
        ("LOWCARDINALITY", As("text")),
        ("MACADDR", As("macaddr")),
        ("MAP", As("jsonb")),
        ("MEDIUMBLOB", As("bytea")),
        ("MEDIUMTEXT", As("text")),
        ("MONEY", Decimal),
        ("NTEXT", As("text")),
        ("NULL", As("text")),
        ("NUMBER", Decimal),
        ("NUMERIC", Decimal),
        ("OBJECT", As("jsonb")),
        ("POINT", As("point")),
        ("POLYGON", As("polygon")),
        ("REAL", As("real")),
        ("RECORD", As("jsonb")),
        ("SET", As("text")),
        ("SMALLINT", As("smallint")),
        ("STRING", Text("character varying")),
        ("STRUCT", As("jsonb")),
        ("SUPER", As("jsonb")),
        ("TEXT", Text("character varying")),
        ("TIME", As("time without time zone")),
        ("TIMESTAMP", As("timestamp without time zone")),
        ("TIMESTAMPZ", As("timestamp with time zone")),
        ("TIMESTAMP_LTZ", As("timestamp with time zone")),
        ("TIMESTAMP_NTZ", As("timestamp without time zone")),
        ("TIMESTAMP_TZ", As("timestamp with time zone")),
        ("TINYINT", As("smallint")),
        ("TSVECTOR", As("tsvector")),
        ("UNION", As("jsonb")),
        ("UUID", As("uuid")),
        ("VARBINARY", As("bytea")),
        ("VARCHAR", Text("character varying")),
        ("VARIANT", As("jsonb")),
        ("XML", As("xml")),
        ("YEAR", As("smallint")),
    ]
};

/// The logical types of the Open Data Contract Standard.
const LOGICAL_TYPES: [(&str, Declared); 9] = {
    use Declared::{As, Decimal, Text};
    [
        ("string", Text("character varying")),
        ("date", As("date")),
        ("number", Decimal),
        ("integer", As("integer")),
        ("object", As("jsonb")),
        ("array", As("jsonb")),
        ("boolean", As("boolean")),
        ("timestamp", As("timestamp without time zone")),
        ("time", As("time without time zone")),
    ]
};

/// The SQL type of a column with `dataType` (with `dataLength`, `precision`, `scale`) or `logicalType`.
///
/// # Errors
/// When the column has neither, or an unknown type: the text names similar types.
pub(crate) fn sql_type(column: &Map) -> Result<String, String> {
    if let (Some(UNKNOWN), Some(display)) = (text_of(column, "dataType"), text_of(column, "dataTypeDisplay")) {
        return match DataType::parse(display) {
            Some(ty) => Ok(ty.canonical()),
            None => Err(format!("`{display}` is not a type of PostgreSQL")),
        };
    }
    let declared = column_type::declared(column, &DATA_TYPES, &LOGICAL_TYPES)?;
    let size = |key: &str| column_type::size(column, key);
    Ok(match declared {
        Declared::As(text) => (*text).to_owned(),
        Declared::Text(text) => match size("dataLength").filter(|length| (1..UNLIMITED).contains(length)) {
            Some(length) => format!("{text}({length})"),
            None => "text".to_owned(),
        },
        Declared::Decimal => match (size("precision"), size("scale")) {
            (Some(precision), Some(scale)) => format!("numeric({precision},{scale})"),
            (Some(precision), None) => format!("numeric({precision},0)"),
            // The default precision of Snowflake, if only the scale is given.
            (None, Some(scale)) => format!("numeric(38,{scale})"),
            (None, None) => "numeric".to_owned(),
        },
    })
}

/// The OpenMetadata type of a server type: `dataType` with `dataLength`, or with `precision` and `scale`. For other
/// types it is `UNKNOWN`, with the server's text as `dataTypeDisplay`.
pub(crate) fn data_type(server: &str) -> Map {
    let (name, sizes) = server.split_once('(').unwrap_or((server, ""));
    let sizes: Vec<Value> =
        sizes.trim_end_matches(')').split(',').filter_map(|size| size.parse().ok()).map(Value::Int).collect();
    let (word, keys): (&str, &[&str]) = match name {
        "character varying" => ("VARCHAR", &["dataLength"]),
        "character" => ("CHAR", &["dataLength"]),
        "numeric" => ("NUMERIC", &["precision", "scale"]),
        "integer" => ("INT", &[]),
        "double precision" => ("DOUBLE", &[]),
        "timestamp without time zone" => ("TIMESTAMP", &[]),
        "timestamp with time zone" => ("TIMESTAMPZ", &[]),
        "time without time zone" => ("TIME", &[]),
        "jsonb" => ("JSON", &[]),
        name => (&*name.to_uppercase(), &[]),
    };
    let mut data_type = Map::from_iter([("dataType".to_owned(), word.into())]);
    data_type.extend(keys.iter().zip(sizes).map(|(key, size)| ((*key).to_owned(), size)));
    if sql_type(&data_type).is_ok_and(|read_back| read_back == server) {
        return data_type;
    }
    [("dataType", UNKNOWN), ("dataTypeDisplay", server)]
        .map(|(key, text)| (key.to_owned(), text.into()))
        .into_iter()
        .collect()
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
        assert_eq!(declared(&number).as_deref(), Ok("numeric(38,0)"));
        assert_eq!(
            declared(&[("dataType", "decimal".into()), ("precision", "10".into())]).as_deref(),
            Ok("numeric(10,0)")
        );
        assert_eq!(
            declared(&[("dataType", "VARCHAR".into()), ("dataLength", Value::Int(20))]).as_deref(),
            Ok("character varying(20)")
        );
        assert_eq!(
            declared(&[("dataType", "TEXT".into()), ("dataLength", Value::Int(16_777_216))]).as_deref(),
            Ok("text")
        );
        assert_eq!(declared(&[("dataType", "TEXT".into()), ("dataLength", Value::Null)]).as_deref(), Ok("text"));
    }

    /// Run with `UPDATE_README=1` to rewrite the tables.
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
    fn every_type_has_the_spelling_of_the_server() {
        for (name, _) in DATA_TYPES {
            let text = declared(&[("dataType", name.into())]).unwrap();
            assert_eq!(crate::data_type::canonical(&text), text, "{name}");
        }
        for (name, _) in LOGICAL_TYPES {
            assert!(declared(&[("logicalType", name.into())]).is_ok(), "{name}");
        }
        assert!(DATA_TYPES.is_sorted_by_key(|(name, _)| name), "sorted, to find duplicates");
    }

    #[test]
    fn contract_type_of_a_server_type_declares_the_same_type() {
        let types = ["character varying(20)", "numeric(10,2)", "numeric", "text", "bigint", "timestamp with time zone"];
        for ty in
            types.into_iter().chain(["jsonb", "json", "uuid", "timestamp(3) with time zone", "integer[]", "bit(3)"])
        {
            assert_eq!(sql_type(&data_type(ty)).as_deref(), Ok(ty));
        }
        assert_eq!(data_type("numeric(10,2)").get("scale"), Some(&Value::Int(2)));
        assert_eq!(data_type("integer[]").get("dataType"), Some(&"UNKNOWN".into()));
    }
}
