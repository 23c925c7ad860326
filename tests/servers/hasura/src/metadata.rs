//! The metadata: sources with tables and permissions, and the version, which every change increments.

use crate::databases::Databases;
use crate::refused::{Outcome, Refused};
use serde_json::{Map, Value as Json, json};

/// A table's permission to select.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Permission {
    pub(crate) role: String,
    pub(crate) body: Map<String, Json>,
    pub(crate) comment: Option<String>,
}

/// A tracked table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tracked {
    pub(crate) name: Json,
    pub(crate) configuration: Map<String, Json>,
    pub(crate) apollo: Option<Json>,
    pub(crate) permissions: Vec<Permission>,
    /// Relationships of other tables to this one, created outside terrace: they prevent untracking.
    pub(crate) dependants: Vec<String>,
}

/// A source.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) configuration: Json,
    pub(crate) customization: Option<Json>,
    pub(crate) tables: Vec<Tracked>,
}

/// The metadata of a stand-in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) version: i64,
    pub(crate) sources: Vec<Source>,
    /// Objects that a fault made inconsistent: type, name, reason.
    pub(crate) inconsistent_objects: Vec<(String, String, String)>,
}

/// A table's name in messages.
pub(crate) fn shown(name: &Json) -> String {
    match name {
        Json::Array(parts) => {
            let parts: Vec<&str> = parts.iter().filter_map(Json::as_str).collect();
            parts.join(".")
        }
        Json::Object(_) => {
            let table = name["name"].as_str().unwrap_or_default();
            match name["schema"].as_str() {
                None | Some("public") => table.to_owned(),
                Some(schema) => format!("{schema}.{table}"),
            }
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    }
}

impl Tracked {
    /// The root fields of the table for a role with all rights.
    fn root_fields(&self) -> Vec<String> {
        let usual = self
            .configuration
            .get("custom_name")
            .and_then(Json::as_str)
            .map_or_else(|| shown(&self.name).replace('.', "_").to_lowercase(), str::to_owned);
        let custom = self.configuration.get("custom_root_fields");
        let field = |key: &str, suffix: &str| {
            custom.and_then(|it| it[key].as_str()).map_or_else(|| format!("{usual}{suffix}"), str::to_owned)
        };
        vec![field("select", ""), field("select_by_pk", "_by_pk"), field("select_aggregate", "_aggregate")]
    }

    fn exported(&self) -> Json {
        let mut table = json!({"table": self.name});
        if !self.configuration.is_empty() {
            let mut configuration = self.configuration.clone();
            let columns = configuration.entry("column_config").or_insert_with(|| json!({})).clone();
            let names = columns.as_object().into_iter().flatten().filter_map(|(column, it)| {
                Some((column.clone(), it.get("custom_name").filter(|it| it.is_string())?.clone()))
            });
            configuration.insert("custom_column_names".to_owned(), Json::Object(names.collect()));
            configuration.entry("custom_root_fields").or_insert_with(|| json!({}));
            table["configuration"] = Json::Object(configuration);
        }
        if let Some(apollo) = &self.apollo {
            table["apollo_federation_config"] = apollo.clone();
        }
        if !self.permissions.is_empty() {
            let permission = |it: &Permission| {
                let mut body = it.body.clone();
                body.entry("allow_aggregations").or_insert(Json::Bool(false));
                body.entry("computed_fields").or_insert_with(|| json!([]));
                json!({"role": it.role, "permission": body, "comment": it.comment})
            };
            table["select_permissions"] = self.permissions.iter().map(permission).collect();
        }
        table
    }
}

impl Metadata {
    pub(crate) fn source(&mut self, name: &str) -> Outcome<&mut Source> {
        let missing = || Refused::bad("not-exists", format!("source with name \"{name}\" does not exist"));
        self.sources.iter_mut().find(|source| source.name == name).ok_or_else(missing)
    }

    /// The response of `export_metadata`.
    pub(crate) fn exported(&self) -> Json {
        let source = |it: &Source| {
            let tables: Vec<Json> = it.tables.iter().map(Tracked::exported).collect();
            let mut source =
                json!({"name": it.name, "kind": it.kind, "tables": tables, "configuration": it.configuration});
            if let Some(customization) = &it.customization {
                source["customization"] = customization.clone();
            }
            source
        };
        let sources: Vec<Json> = self.sources.iter().map(source).collect();
        json!({"resource_version": self.version, "metadata": {
            "version": 3, "sources": sources,
            "backend_configs": {"dataconnector": {"snowflake": {"uri": "http://agent:8081/api/v1/snowflake"}}},
        }})
    }

    /// Inconsistent objects: type, name, reason.
    pub(crate) fn inconsistent(&self, databases: &Databases) -> Vec<(String, String, String)> {
        let mut found = self.inconsistent_objects.clone();
        for source in &self.sources {
            let source_database = match databases.connect(&source.kind, &source.configuration) {
                Ok(source_database) => source_database,
                Err(why) => {
                    found.push(("source".to_owned(), format!("source {}", source.name), why.error));
                    continue;
                }
            };
            for tracked in &source.tables {
                let (table, of) = (shown(&tracked.name), &source.name);
                let name = format!("table {table} in source {of}");
                let Some(behind) = databases.table(&source_database, &tracked.name) else {
                    let reason = format!("Inconsistent object: no such table/view exists in source: \"{table}\"");
                    found.push(("table".to_owned(), name, reason));
                    continue;
                };
                let columns = tracked.configuration.get("column_config").and_then(Json::as_object);
                for column in columns.into_iter().flatten().map(|(column, _)| column) {
                    if !behind.columns.contains(column) {
                        let reason = format!(
                            "Inconsistent object: configuration was given for the column \"{column}\", but no such column exists"
                        );
                        found.push(("table".to_owned(), name.clone(), reason));
                    }
                }
                for permission in &tracked.permissions {
                    let columns = permission.body.get("columns").and_then(Json::as_array);
                    let missing = columns.into_iter().flatten().filter_map(Json::as_str);
                    for column in missing.filter(|column| !behind.columns.iter().any(|it| it == column)) {
                        let name =
                            format!("select permission for role {} of table {table} in source {of}", permission.role);
                        let reason = format!(
                            "Inconsistent object: in table \"{table}\": in permission for role \"{}\": \"{column}\" does not exist",
                            permission.role
                        );
                        found.push(("select_permission".to_owned(), name, reason));
                    }
                }
            }
        }
        found
    }

    /// Two tables cannot have the same root field.
    pub(crate) fn check_root_fields(&self) -> Outcome<()> {
        let mut all: Vec<(String, String)> = Vec::new();
        for source in &self.sources {
            for tracked in &source.tables {
                let of = format!("table {} in source {}", shown(&tracked.name), source.name);
                for field in tracked.root_fields() {
                    if let Some((_, other)) = all.iter().find(|(known, _)| *known == field) {
                        let error = format!(
                            "Encountered conflicting definitions in the selection set for 'query_root' for field '{field}' defined in [{of}, {other}]. Fields must not be defined more than once across all sources."
                        );
                        return Err(Refused::new(500, "unexpected", error));
                    }
                    all.push((field, of.clone()));
                }
            }
        }
        Ok(())
    }
}
