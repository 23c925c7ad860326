//! Differences between SQL dialects: name folding, and functions that reach other objects.

use sqlparser::ast::Ident;
use sqlparser::dialect::{DatabricksDialect, Dialect, PostgreSqlDialect, SQLiteDialect, SnowflakeDialect};

/// The SQL of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqlDialect {
    /// Databricks, with Unity Catalog.
    Databricks,
    /// PostgreSQL.
    Postgres,
    /// Snowflake.
    Snowflake,
    /// SQLite.
    Sqlite,
}

/// A part of a name that two parsers may read differently.
pub(super) struct Ambiguous(pub(super) &'static str);

impl SqlDialect {
    /// The parser's dialect.
    pub(super) fn parser(self) -> &'static dyn Dialect {
        match self {
            Self::Databricks => &DatabricksDialect {},
            Self::Postgres => &PostgreSqlDialect {},
            Self::Snowflake => &SnowflakeDialect {},
            Self::Sqlite => &SQLiteDialect {},
        }
    }

    /// Number of parts of a complete name.
    pub(super) fn parts(self) -> usize {
        match self {
            Self::Databricks | Self::Postgres | Self::Snowflake => 3,
            Self::Sqlite => 2,
        }
    }

    /// A part of a name in the form in which the system compares it.
    pub(super) fn fold(self, ident: &Ident) -> Result<String, Ambiguous> {
        let value = &ident.value;
        if value.is_empty() && ident.quote_style.is_some() {
            return Err(Ambiguous("an empty name"));
        }
        match ident.quote_style {
            None if !value.is_ascii() => Err(Ambiguous("a name with letters beyond ASCII, which must be quoted")),
            None if value.starts_with(['@', '%', '~', '$', ':']) => Err(Ambiguous("a stage or a variable")),
            Some('\'') if self != Self::Sqlite => Err(Ambiguous("a text instead of a name")),
            // The server truncates the name, and finds another table.
            _ if self == Self::Postgres && value.len() > 63 => Err(Ambiguous("a name of more than 63 bytes")),
            quote => Ok(match (self, quote) {
                (Self::Snowflake, None) => value.to_ascii_uppercase(),
                (Self::Snowflake | Self::Postgres, Some(_)) => value.clone(),
                (Self::Postgres, None) => value.to_ascii_lowercase(),
                (Self::Databricks | Self::Sqlite, _) => value.to_lowercase(),
            }),
        }
    }

    /// A default part of a name in the form in which the system compares it. Defaults have their exact case, so only
    /// systems that ignore case need folding.
    pub(super) fn default_part(self, part: &str) -> String {
        match self {
            Self::Snowflake | Self::Postgres => part.to_owned(),
            Self::Databricks | Self::Sqlite => part.to_lowercase(),
        }
    }

    /// The schema of an empty part: `database..table` of Snowflake.
    pub(super) fn empty_part(self) -> Option<&'static str> {
        (self == Self::Snowflake).then_some("PUBLIC")
    }

    /// True for a function in FROM that reads only its arguments.
    pub(super) fn is_plain_table_function(self, name: &str) -> bool {
        let known: &[&str] = match self {
            Self::Databricks => &[
                "explode",
                "explode_outer",
                "inline",
                "inline_outer",
                "json_tuple",
                "posexplode",
                "posexplode_outer",
                "range",
                "stack",
                "variant_explode",
                "variant_explode_outer",
            ],
            Self::Postgres => &[
                "generate_series",
                "generate_subscripts",
                "json_array_elements",
                "json_array_elements_text",
                "json_each",
                "json_each_text",
                "json_object_keys",
                "json_populate_recordset",
                "json_to_record",
                "json_to_recordset",
                "jsonb_array_elements",
                "jsonb_array_elements_text",
                "jsonb_each",
                "jsonb_each_text",
                "jsonb_object_keys",
                "jsonb_path_query",
                "jsonb_to_record",
                "jsonb_to_recordset",
                "regexp_matches",
                "regexp_split_to_table",
                "string_to_table",
                "unnest",
            ],
            Self::Snowflake => &["flatten", "generator", "split_to_table", "strtok_split_to_table"],
            Self::Sqlite => &["generate_series", "json_each", "json_tree"],
        };
        known.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// True for a function that has an effect, or that reads, runs or calls an object by a name in a text.
    pub(super) fn reaches_out(self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let begins = |with: &[&str]| with.iter().any(|with| name.starts_with(with));
        let is = |names: &[&str]| names.contains(&name.as_str());
        match self {
            Self::Databricks => {
                begins(&["ai_", "list_secrets", "remote_", "read_", "sql#"])
                    || is(&[
                        "cloud_files_state",
                        "event_log",
                        "http_request",
                        "identifier",
                        "java_method",
                        "reflect",
                        "secret",
                        "table",
                        "table_changes",
                        "try_reflect",
                        "try_secret",
                        "vector_search",
                    ])
            }
            Self::Postgres => {
                let is_harmless = is(&["pg_typeof", "pg_column_size"]);
                begins(&["pg_", "lo_", "dblink", "query_to_", "table_to_", "cursor_to_", "schema_to_", "database_to_"])
                    && !is_harmless
                    || is(&[
                        "currval",
                        "current_setting",
                        "lastval",
                        "loread",
                        "lowrite",
                        "nextval",
                        "set_config",
                        "setval",
                        "ts_stat",
                        "ts_rewrite",
                        "txid_current",
                    ])
            }
            Self::Snowflake => {
                begins(&["system$", "ai_", "build_", "sys$"])
                    || is(&[
                        "directory",
                        "get_absolute_path",
                        "get_ddl",
                        "get_presigned_url",
                        "get_relative_path",
                        "get_stage_location",
                        "identifier",
                        "infer_schema",
                        "result_scan",
                        "table",
                        "to_file",
                        "to_query",
                        "try_to_file",
                    ])
            }
            Self::Sqlite => begins(&["load_extension", "pragma_", "fts", "readfile", "writefile", "edit", "sqlite_"]),
        }
    }
}
