//! `sqlType("sqlite", column)`: the declared type for a column of a data contract.
//!
//! SQLite uses a declared type only for the affinity of the column, but readers see the text. So it keeps the length,
//! precision and scale of the contract.

use terrace_provider::Map;
use terrace_provider::column_type::{self, Declared};

/// OpenMetadata's column types, including those of Snowflake.
const TYPES: [(Declared, &str); 17] = {
    use Declared::{As, Decimal, Text};
    [
        (
            As("TEXT"),
            "AGGREGATEFUNCTION ARRAY CIDR CLOB ENUM GEOGRAPHY GEOMETRY INET INTERVAL IPV4 IPV6 JSON \
             LOWCARDINALITY MACADDR MAP MEDIUMTEXT NTEXT NULL OBJECT POINT POLYGON RECORD SET STRUCT SUPER \
             TSVECTOR UNION UUID VARIANT XML",
        ),
        (As("BIGINT"), "BIGINT LONG"),
        (As("BLOB"), "BINARY BIT BITMAP BLOB BYTEA BYTES HLLSKETCH IMAGE LONGBLOB MEDIUMBLOB VARBINARY"),
        (As("BOOLEAN"), "BOOL BOOLEAN"),
        (As("TINYINT"), "BYTEINT TINYINT"),
        (Text("CHAR"), "CHAR CHARACTER"),
        (As("DATE"), "DATE"),
        (As("DATETIME"), "DATETIME"),
        (Decimal("NUMERIC"), "DECIMAL FIXED MONEY NUMBER NUMERIC"),
        (As("DOUBLE"), "DOUBLE"),
        (As("FLOAT"), "FLOAT"),
        (As("INTEGER"), "INT INTEGER YEAR"),
        (As("REAL"), "REAL"),
        (As("SMALLINT"), "SMALLINT"),
        (Text("VARCHAR"), "STRING TEXT VARCHAR"),
        (As("TIME"), "TIME"),
        (As("TIMESTAMP"), "TIMESTAMP TIMESTAMPZ TIMESTAMP_LTZ TIMESTAMP_NTZ TIMESTAMP_TZ"),
    ]
};

/// The declared type of a column with `dataType` (and `dataLength`, `precision`, `scale`) or `logicalType`.
///
/// # Errors
///
/// If the column has neither, or an unknown type: the text lists similar types.
pub(crate) fn sql_type(column: &Map) -> Result<String, String> {
    column_type::sql_type(column, &TYPES, "TEXT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::conformance::check_readme;
    use terrace_provider::docs::with_section;

    /// Run with `UPDATE_README=1` to rewrite the tables.
    #[test]
    fn readme_lists_every_type() {
        let tables = column_type::tables(&TYPES, sql_type).unwrap();
        check_readme(env!("CARGO_MANIFEST_DIR"), |readme| with_section(readme, "types", &tables)).unwrap();
    }

    #[test]
    fn every_type_is_valid_in_sqlite() {
        for name in TYPES.iter().flat_map(|(_, names)| names.split(' ')) {
            let text = sql_type(&Map::from_iter([("dataType".to_owned(), name.into())])).unwrap();
            assert!(crate::declared_type::DeclaredType::parse(&text).is_some(), "{name}: {text}");
        }
    }
}
