//! The result of `export_metadata`, with the parts that terrace uses:
//! <https://hasura.io/docs/2.0/api-reference/metadata-api/manage-metadata/>,
//! <https://hasura.io/docs/2.0/api-reference/syntax-defs/>.

use serde::Deserialize;
use serde_json::{Map as JsonMap, Value as Json};

/// One version of the metadata.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Export {
    #[serde(rename = "resource_version")]
    pub(crate) version: i64,
    metadata: Metadata,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    sources: Vec<Source>,
}

/// A source.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) configuration: Json,
    #[serde(default)]
    pub(crate) customization: Json,
    #[serde(default)]
    pub(crate) tables: Vec<Table>,
}

/// A tracked table.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Table {
    #[serde(rename = "table")]
    pub(crate) name: Json,
    #[serde(default)]
    pub(crate) configuration: JsonMap<String, Json>,
    #[serde(default)]
    pub(crate) apollo_federation_config: Json,
    #[serde(default)]
    pub(crate) select_permissions: Vec<Permission>,
}

/// A permission to select from a table.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Permission {
    pub(crate) role: String,
    pub(crate) permission: JsonMap<String, Json>,
    #[serde(default)]
    pub(crate) comment: Json,
}

impl Export {
    pub(crate) fn sources(&self) -> &[Source] {
        &self.metadata.sources
    }

    pub(crate) fn source(&self, name: &str) -> Option<&Source> {
        self.sources().iter().find(|source| source.name == name)
    }

    /// The tracked table of a source with this name.
    pub(crate) fn table(&self, source: &str, parts: &[String]) -> Option<&Table> {
        self.source(source)?.table(parts)
    }
}

impl Source {
    pub(crate) fn table(&self, parts: &[String]) -> Option<&Table> {
        self.tables.iter().find(|table| parts_of(&table.name) == parts)
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.kind == POSTGRES
    }

    /// The prefix of commands for it.
    pub(crate) fn prefix(&self) -> &str {
        prefix_of(&self.kind)
    }
}

/// The kind of PostgreSQL sources.
pub(crate) const POSTGRES: &str = "postgres";

/// The prefix of commands for a kind of source; that of PostgreSQL is short.
pub(crate) fn prefix_of(kind: &str) -> &str {
    if kind == POSTGRES { "pg" } else { kind }
}

/// The parts of a table's name in all forms of sources: a list, `{schema, name}`, or a name in `public`.
pub(crate) fn parts_of(name: &Json) -> Vec<String> {
    let text = |json: &Json| json.as_str().map(str::to_owned);
    match name {
        Json::Array(parts) => parts.iter().filter_map(text).collect(),
        Json::Object(parts) => {
            let schema = parts.get("schema").and_then(text).unwrap_or_else(|| "public".to_owned());
            parts.get("name").and_then(text).map(|name| vec![schema, name]).unwrap_or_default()
        }
        other => text(other).map(|name| vec!["public".to_owned(), name]).unwrap_or_default(),
    }
}

/// The name of a table in the form of its source.
pub(crate) fn name_of(is_postgres: bool, parts: &[String]) -> Json {
    match (is_postgres, parts) {
        (true, [schema, name]) => serde_json::json!({"schema": schema, "name": name}),
        (true, [name]) => serde_json::json!({"schema": "public", "name": name}),
        _ => Json::from(parts.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_forms_of_table_names_are_read() {
        let parts = |name: Json| parts_of(&name);
        assert_eq!(parts(json!(["D", "S", "V"])), ["D", "S", "V"]);
        assert_eq!(parts(json!({"schema": "s", "name": "t"})), ["s", "t"]);
        assert_eq!(parts(json!("t")), ["public", "t"]);
        let texts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(name_of(true, &texts(&["s", "t"])), json!({"schema": "s", "name": "t"}));
        assert_eq!(name_of(false, &texts(&["V"])), json!(["V"]));
    }
}
