//! What the provider declares: its settings, its resource types and its lookups.

mod azure;
mod catalog;
mod workspace;

use crate::blueprints::BLUEPRINTS;
use crate::identity::identity;
use crate::lookup::lookups;
use std::time::Duration;
use terrace_provider::http::allow_plain_http;
use terrace_provider::sql_reads::{SqlDialect, SqlReads};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema, ResourceType, Timeouts};

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
        doc: "Jobs, pipelines, repositories, permissions and Unity Catalog in workspaces of Databricks.",
        settings: settings(),
        resources,
        lookups: lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        sql_type: None,
        sql_reads: Some(|query, defaults| SqlReads::of(SqlDialect::Databricks, query, defaults).to_value()),
        identity: Some(identity),
    }
}

fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

fn settings() -> Object {
    let git = Object(vec![text("username", "The user name."), text("token", "The token.").sensitive()]);
    Object(vec![
        text("host", "The URL of the workspace, or its host.").variable("DATABRICKS_HOST"),
        Attribute::new(
            "hosts",
            AttributeType::list(AttributeType::String),
            "Other workspaces that this instance may be sent to by `workspaceUrl`: hosts, URLs, or `*.` and a domain. Its token is shown to them. A service principal of Azure may be sent to those of its cloud anyway.",
        ),
        text("token", "A personal access token.").sensitive().variable("DATABRICKS_TOKEN"),
        text("clientId", "The application id of a service principal, instead of a token.")
            .variable("DATABRICKS_CLIENT_ID"),
        text("clientSecret", "Its secret of OAuth.").sensitive().variable("DATABRICKS_CLIENT_SECRET"),
        text("accountId", "The account that the workspaces are of: for metastores, and for who may enter a workspace.")
            .variable("DATABRICKS_ACCOUNT_ID"),
        text("accountHost", "Where that account is, where it is not where the accounts of the cloud are."),
        Attribute::new(
            "azure",
            AttributeType::Object(azure::settings()),
            "A service principal of Azure, instead of a token.",
        ),
        Attribute::new("git", AttributeType::Object(git), "For credentials of Git that say none of their own."),
        allow_plain_http(),
        text(
            "caFile",
            "A file of authorities (PEM) to trust instead of the machine's, relative to the project folder.",
        ),
        Attribute::new("timeout", AttributeType::Int, "How many seconds one request may go unanswered.")
            .default_value(60_i64),
    ])
}

fn workspace_url() -> Attribute {
    text("workspaceUrl", "The URL of the workspace.").required()
}

fn id() -> Attribute {
    text("id", "The id for `terrace import`.").stable()
}

fn named(name: &'static str, doc: &'static str) -> Attribute {
    text(name, doc).required().replaces()
}

/// A call whose answer was lost may still take effect for a while.
fn remote(ty: ResourceType) -> ResourceType {
    let timeouts = Timeouts {
        create: Duration::from_secs(600),
        update: Duration::from_secs(600),
        delete: Duration::from_secs(600),
        read: Duration::from_secs(60),
    };
    ResourceType { settle: Duration::from_secs(30), timeouts, ..ty }
}
