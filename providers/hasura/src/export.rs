//! What `export_metadata` answers, as far as terrace has to do with it:
//! <https://hasura.io/docs/2.0/api-reference/metadata-api/manage-metadata/>, <https://hasura.io/docs/2.0/api-reference/syntax-defs/>.

use serde::Deserialize;
use serde_json::{Map as JsonMap, Value as Json};

/// The metadata of a version.
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

/// Who may select from a table.
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

    /// The tracked table of a source, by the parts of its name.
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

    /// What commands about it begin with.
    pub(crate) fn prefix(&self) -> &str {
        prefix_of(&self.kind)
    }
}

/// The kind of PostgreSQL's sources.
pub(crate) const POSTGRES: &str = "postgres";

/// What commands about sources of a kind begin with: those of PostgreSQL are the oldest, and short.
pub(crate) fn prefix_of(kind: &str) -> &str {
    if kind == POSTGRES { "pg" } else { kind }
}

/// The parts of a table's name as sources write it: a list, `{schema, name}`, or a name in `public`.
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

/// The name of a table as a source of that kind takes it.
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
    fn a_table_s_name_is_read_as_it_is_written() {
        let parts = |name: Json| parts_of(&name);
        assert_eq!(parts(json!(["D", "S", "V"])), ["D", "S", "V"]);
        assert_eq!(parts(json!({"schema": "s", "name": "t"})), ["s", "t"]);
        assert_eq!(parts(json!("t")), ["public", "t"]);
        let texts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(name_of(true, &texts(&["s", "t"])), json!({"schema": "s", "name": "t"}));
        assert_eq!(name_of(false, &texts(&["V"])), json!(["V"]));
    }
}
