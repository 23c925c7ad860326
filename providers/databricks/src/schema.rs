//! The provider's schema: settings, resource types and lookups.

mod azure;
mod catalog;
mod parts;
mod workspace;

use crate::blueprints::BLUEPRINTS;
use crate::identity::identity;
use crate::lookup::lookups;
use parts::text;
use terrace_provider::http::allow_plain_http;
use terrace_provider::sql_reads::{SqlDialect, SqlReads};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema, Value};

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    let mut resources = workspace::types();
    resources.extend(catalog::types());
    resources.extend(azure::types());
    ProviderSchema {
        name: "databricks",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Jobs, pipelines, repositories, permissions and Unity Catalog in Databricks workspaces.",
        settings: settings(),
        resources,
        lookups: lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        sql_reads: Some(|query, defaults| SqlReads::of(SqlDialect::Databricks, query, defaults).to_value()),
        identity: Some(identity),
        own_variables: &["ARM_CLIENT_ID"],
        secret_files: &[
            "ARM_CLIENT_CERTIFICATE_PATH",
            "ARM_OIDC_TOKEN_FILE_PATH",
            "AZURE_CLIENT_CERTIFICATE_PATH",
            "AZURE_FEDERATED_TOKEN_FILE",
        ],
        adapter_settings: Some(adapter_settings),
        ..ProviderSchema::default()
    }
}

/// Defaults of the adapter for Databricks. Those of output ports apply to development environments only:
/// `databricks.developmentEnvironments`, by default `development`.
fn adapter_settings(settings: &Value, environment: &str) -> Vec<(&'static str, Value)> {
    let named = settings.get("databricks").and_then(|it| it.get("developmentEnvironments")).and_then(Value::as_list);
    let is_development = match named {
        Some(names) => names.iter().filter_map(Value::as_str).any(|name| name.eq_ignore_ascii_case(environment)),
        None => environment.eq_ignore_ascii_case("development"),
    };
    let mut defaults = Vec::new();
    if is_development {
        let select = || Value::List(vec!["SELECT".into()]);
        defaults.extend([("databricks.outputPort.owner", select()), ("databricks.outputPort.developers", select())]);
    }
    defaults.push(("databricks.workflowGuard", "development".into()));
    defaults
}

fn settings() -> Object {
    let git = Object(vec![text("username", "The user name."), text("token", "The token.").sensitive()]);
    Object(vec![
        text("host", "URL or host name of the workspace.").variable("DATABRICKS_HOST"),
        Attribute::new(
            "hosts",
            AttributeType::list(AttributeType::String),
            "Other allowed workspaces for `workspaceUrl`: hosts, URLs, or `*.` with a domain. They receive the instance's token. For a service principal of Azure, the workspaces of its cloud are always allowed.",
        ),
        text("token", "A personal access token.").sensitive().variable("DATABRICKS_TOKEN"),
        text("clientId", "Application id of a service principal, instead of a token.").variable("DATABRICKS_CLIENT_ID"),
        text("clientSecret", "OAuth secret of the service principal.").sensitive().variable("DATABRICKS_CLIENT_SECRET"),
        text("accountId", "Databricks account of the workspaces, for metastore and workspace assignments.")
            .variable("DATABRICKS_ACCOUNT_ID"),
        text("accountHost", "Host of the account. Defaults to the cloud's."),
        Attribute::new(
            "azure",
            AttributeType::Object(azure::settings()),
            "A service principal of Azure, instead of a token.",
        ),
        Attribute::new("git", AttributeType::Object(git), "Defaults for Git credentials."),
        allow_plain_http(),
        text(
            "caFile",
            "PEM file with the certificate authorities to trust instead of the machine's, relative to the project folder.",
        ),
        Attribute::new("timeout", AttributeType::Int, "Timeout of a request in seconds.").default_value(60_i64),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_the_development_environments() {
        let set = |settings: serde_json::Value, environment: &str| {
            let defaults = adapter_settings(&Value::from(settings), environment);
            defaults.into_iter().map(|(setting, _)| setting).collect::<Vec<_>>()
        };
        let of_ports = ["databricks.outputPort.owner", "databricks.outputPort.developers"];
        let everywhere = "databricks.workflowGuard";
        let in_development = [&of_ports[..], &[everywhere]].concat();
        assert_eq!(set(serde_json::json!({}), "Development"), in_development);
        assert_eq!(set(serde_json::json!({}), "production"), [everywhere]);
        let named = || serde_json::json!({"databricks": {"developmentEnvironments": ["DEV"]}});
        assert_eq!(set(named(), "dev"), in_development);
        assert_eq!(set(named(), "development"), [everywhere]);
    }
}
