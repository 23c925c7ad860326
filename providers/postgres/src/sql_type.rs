//! Column types of data contracts: `sqlType("postgres", column)` and the reverse.
//!
//! Types have the server's spelling.

use crate::data_type::{DataType, canonical};
use terrace_provider::column_type::{self, Declared, text_of};
use terrace_provider::{Map, Value};

/// The contract type for types that only `dataTypeDisplay` describes.
const UNKNOWN: &str = "UNKNOWN";

/// OpenMetadata's column types, including those of Snowflake.
const TYPES: [(Declared, &str); 26] = {
    use Declared::{As, Decimal, Text};
    [
        (As("text"), "AGGREGATEFUNCTION CLOB ENUM GEOGRAPHY GEOMETRY LOWCARDINALITY MEDIUMTEXT NTEXT NULL SET"),
        (As("jsonb"), "ARRAY JSON MAP OBJECT RECORD STRUCT SUPER UNION VARIANT"),
        (As("bigint"), "BIGINT LONG"),
        (As("bytea"), "BINARY BITMAP BLOB BYTEA BYTES HLLSKETCH IMAGE LONGBLOB MEDIUMBLOB VARBINARY"),
        (As("bit varying"), "BIT"),
        (As("boolean"), "BOOL BOOLEAN"),
        (As("smallint"), "BYTEINT SMALLINT TINYINT YEAR"),
        (Text("character"), "CHAR CHARACTER"),
        (As("cidr"), "CIDR"),
        (As("date"), "DATE"),
        (As("timestamp without time zone"), "DATETIME TIMESTAMP TIMESTAMP_NTZ"),
        (Decimal("numeric"), "DECIMAL FIXED MONEY NUMBER NUMERIC"),
        (As("double precision"), "DOUBLE FLOAT"),
        (As("inet"), "INET IPV4 IPV6"),
        (As("integer"), "INT INTEGER"),
        (As("interval"), "INTERVAL"),
        (As("macaddr"), "MACADDR"),
        (As("point"), "POINT"),
        (As("polygon"), "POLYGON"),
        (As("real"), "REAL"),
        (Text("character varying"), "STRING TEXT VARCHAR"),
        (As("time without time zone"), "TIME"),
        (As("timestamp with time zone"), "TIMESTAMPZ TIMESTAMP_LTZ TIMESTAMP_TZ"),
        (As("tsvector"), "TSVECTOR"),
        (As("uuid"), "UUID"),
        (As("xml"), "XML"),
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
    column_type::sql_type(column, &TYPES, "text").map(|ty| canonical(&ty))
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
    use terrace_provider::conformance::check_readme;
    use terrace_provider::docs::with_section;

    fn declared(entries: &[(&str, Value)]) -> Result<String, String> {
        sql_type(&entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    #[test]
    fn precision_alone_means_no_scale() {
        let number = [("dataType", "decimal".into()), ("precision", "10".into())];
        assert_eq!(declared(&number).as_deref(), Ok("numeric(10,0)"));
    }

    /// Run with `UPDATE_README=1` to rewrite the tables.
    #[test]
    fn readme_lists_every_type() {
        let tables = column_type::tables(&TYPES, sql_type).unwrap();
        check_readme(env!("CARGO_MANIFEST_DIR"), |readme| with_section(readme, "types", &tables)).unwrap();
    }

    #[test]
    fn every_type_has_the_spelling_of_the_server() {
        for name in TYPES.iter().flat_map(|(_, names)| names.split(' ')) {
            let text = declared(&[("dataType", name.into())]).unwrap();
            assert_eq!(DataType::parse(&text).map(|ty| ty.canonical()), Some(text), "{name}");
        }
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
