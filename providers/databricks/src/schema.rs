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
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema};

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
        sql_type: None,
        sql_reads: Some(|query, defaults| SqlReads::of(SqlDialect::Databricks, query, defaults).to_value()),
        identity: Some(identity),
    }
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
