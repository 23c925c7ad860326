//! The connectors: required, optional and secret settings, defaults, and the streams of sources.

use crate::problem::{Outcome, unprocessable};
use serde_json::{Map, Value as Json, json};

/// The mask of a secret.
pub(crate) const MASK: &str = "**********";

/// A connector.
pub(crate) struct Connector {
    pub(crate) id: &'static str,
    /// `sourceType` or `destinationType`.
    pub(crate) key: &'static str,
    pub(crate) name: &'static str,
    pub(crate) is_source: bool,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// Paths of secrets, with dots.
    secrets: &'static [&'static str],
    defaults: fn(&mut Map<String, Json>),
    /// The streams of a source, by its configuration.
    pub(crate) streams: fn(&Json) -> Vec<Json>,
}

/// All connectors.
pub(crate) const CONNECTORS: [Connector; 5] = [
    Connector {
        id: "778daa7c-feaf-4db6-96f3-70fd645acc77",
        key: "file",
        name: "File (CSV, JSON, Excel, Feather, Parquet)",
        is_source: true,
        required: &["dataset_name", "format", "url", "provider"],
        optional: &["reader_options"],
        secrets: &["provider.password", "provider.service_account_json", "provider.aws_secret_access_key"],
        defaults: |configuration| {
            if let Some(Json::Object(provider)) = configuration.get_mut("provider")
                && provider.get("storage") == Some(&json!("HTTPS"))
            {
                provider.entry("user_agent").or_insert(json!(false));
            }
        },
        streams: |configuration| {
            let name = configuration["dataset_name"].as_str().unwrap_or("dataset");
            vec![json!({
                "streamName": name, "syncModes": ["full_refresh_overwrite", "full_refresh_append"],
                "defaultCursorField": [], "sourceDefinedCursorField": false, "sourceDefinedPrimaryKey": [],
                "propertyFields": [["id"], ["place"], ["count"]],
            })]
        },
    },
    Connector {
        id: "decd338e-5647-4c0b-adf4-da0e75f5a750",
        key: "postgres",
        name: "Postgres",
        is_source: true,
        required: &["host", "port", "database", "username"],
        optional: &["password", "schemas", "ssl_mode", "tunnel_method", "replication_method", "jdbc_url_params"],
        secrets: &["password", "tunnel_method.tunnel_user_password", "tunnel_method.ssh_key"],
        defaults: |configuration| {
            configuration.entry("ssl_mode").or_insert(json!({"mode": "prefer"}));
            configuration.entry("schemas").or_insert(json!(["public"]));
        },
        streams: |_| {
            let incremental = json!([
                "full_refresh_overwrite",
                "full_refresh_append",
                "full_refresh_overwrite_deduped",
                "incremental_append",
                "incremental_deduped_history",
            ]);
            let stream = |name: &str, fields: Json| {
                json!({
                    "streamName": name, "streamnamespace": "public", "syncModes": incremental,
                    "defaultCursorField": ["updated_at"], "sourceDefinedCursorField": false,
                    "sourceDefinedPrimaryKey": [["id"]], "propertyFields": fields,
                })
            };
            vec![
                stream("customers", json!([["id"], ["email"], ["updated_at"]])),
                stream("orders", json!([["id"], ["customer"], ["total"], ["updated_at"]])),
            ]
        },
    },
    Connector {
        id: "424892c4-daac-4491-b35d-c6688ba547ba",
        key: "snowflake",
        name: "Snowflake",
        is_source: false,
        required: &["host", "role", "warehouse", "database", "schema", "username"],
        optional: &[
            "credentials",
            "jdbc_url_params",
            "raw_data_schema",
            "disable_type_dedupe",
            "retention_period_days",
            "use_merge_for_upsert",
            "loading_method",
            "cdc_deletion_mode",
        ],
        secrets: &["credentials.password", "credentials.private_key", "credentials.private_key_password"],
        defaults: |configuration| {
            configuration.entry("retention_period_days").or_insert(json!(1));
            configuration.entry("disable_type_dedupe").or_insert(json!(false));
        },
        streams: |_| Vec::new(),
    },
    Connector {
        id: "8be1cf83-fde1-477f-a4ad-318d23c9f3c6",
        key: "csv",
        name: "Local CSV",
        is_source: false,
        required: &["destination_path"],
        optional: &["delimiter_type"],
        secrets: &[],
        defaults: |configuration| {
            configuration.entry("delimiter_type").or_insert(json!({"delimiter": "\\u002c"}));
        },
        streams: |_| Vec::new(),
    },
    Connector {
        id: "25c5221d-dce2-4163-ade9-739ef790f503",
        key: "postgres",
        name: "Postgres",
        is_source: false,
        required: &["host", "port", "database", "username", "schema"],
        optional: &["password", "ssl_mode", "tunnel_method", "jdbc_url_params"],
        secrets: &["password"],
        defaults: |configuration| {
            configuration.entry("ssl_mode").or_insert(json!({"mode": "prefer"}));
        },
        streams: |_| Vec::new(),
    },
];

impl Connector {
    pub(crate) fn by_id(id: &str, is_source: bool) -> Option<&'static Self> {
        CONNECTORS.iter().find(|it| it.id == id && it.is_source == is_source)
    }

    pub(crate) fn by_key(key: &str, is_source: bool) -> Option<&'static Self> {
        CONNECTORS.iter().find(|it| it.key == key && it.is_source == is_source)
    }

    /// Checks a whole configuration and adds the connector's defaults.
    pub(crate) fn complete(&self, configuration: Json) -> Outcome<Json> {
        let Json::Object(mut configuration) = configuration else {
            return Err(unprocessable("The configuration is not an object"));
        };
        for name in self.required {
            if configuration.get(*name).is_none_or(Json::is_null) {
                return Err(unprocessable(format!("$.{name}: is missing but it is required")));
            }
        }
        let is_known = |name: &str| self.required.contains(&name) || self.optional.contains(&name);
        if let Some(name) = configuration.keys().find(|name| !is_known(name)) {
            return Err(unprocessable(format!(
                "$.{name}: is not defined in the schema and the schema does not allow additional properties"
            )));
        }
        (self.defaults)(&mut configuration);
        let configuration = Json::Object(configuration);
        for path in self.secrets {
            if at(&configuration, path) == Some(&json!(MASK)) {
                return Err(unprocessable(format!("$.{path}: a masked value is not a secret")));
            }
        }
        Ok(configuration)
    }

    /// The API's form of a configuration, with masked secrets.
    pub(crate) fn masked(&self, configuration: &Json) -> Json {
        let mut masked = configuration.clone();
        for path in self.secrets {
            if at(configuration, path).is_some() {
                *masked.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = json!(MASK);
            }
        }
        let kind = if self.is_source { "sourceType" } else { "destinationType" };
        masked[kind] = json!(self.key);
        masked
    }

    /// The Config API's schema of the configuration.
    pub(crate) fn specification(&self) -> Json {
        let names = self.required.iter().chain(self.optional);
        let properties = names.map(|name| ((*name).to_owned(), json!({}))).collect::<Map<_, _>>();
        json!({"type": "object", "required": self.required, "additionalProperties": false, "properties": properties})
    }
}

fn at<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    json.pointer(&format!("/{}", path.replace('.', "/")))
}
