//! The provider's schema: settings, resource types and lookups.

use crate::blueprints::BLUEPRINTS;
use crate::lookup::lookups;
use std::time::Duration;
use terrace_provider::http::allow_plain_http;
use terrace_provider::normal;
use terrace_provider::{Attribute, AttributeType, Map, Object, ProviderSchema, ResourceType, Timeouts, Value};

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "airbyte",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Sources, destinations and connections in Airbyte.",
        settings: settings(),
        resources: vec![source(), destination(), connection()],
        lookups: lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        own_variables: &["AIRBYTE_BASE_URL"],
        ..ProviderSchema::default()
    }
}

fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

fn settings() -> Object {
    let api = Object(vec![
        Attribute::new(
            "config",
            AttributeType::Bool,
            "Let plans call the Config API, so that connectors check their configuration before the apply.",
        )
        .default_value(false),
    ]);
    Object(vec![
        text("url", "URL of Airbyte: `https://airbyte.example.com`, or `https://api.airbyte.com/v1`.")
            .variable("AIRBYTE_URL"),
        text("workspaceId", "Workspace id.").variable("AIRBYTE_WORKSPACE_ID"),
        text("token", "API token.").sensitive().variable("AIRBYTE_TOKEN"),
        text("clientId", "Client id of an application that gets tokens.").variable("AIRBYTE_CLIENT_ID"),
        text("clientSecret", "Client secret of the application.").sensitive().variable("AIRBYTE_CLIENT_SECRET"),
        text("username", "User of your own Airbyte, with HTTP Basic authentication.").variable("AIRBYTE_USERNAME"),
        text("password", "The user's password.").sensitive().variable("AIRBYTE_PASSWORD"),
        Attribute::new("api", AttributeType::Object(api), "Airbyte APIs that plans may call."),
        allow_plain_http(),
        text(
            "caFile",
            "PEM file with the certificate authorities to trust instead of the machine's, relative to the project folder.",
        ),
        Attribute::new(
            "timeout",
            AttributeType::Int,
            "Timeout of a request in seconds. A request that reads a source's schema has a longer timeout.",
        )
        .default_value(60_i64),
    ])
}

fn id() -> Attribute {
    text("id", "Id for `terrace import`: `<workspaceId>/<the object's id>`.").stable()
}

fn workspace() -> Attribute {
    text("workspaceId", "Workspace id.").required().replaces()
}

fn created_at() -> Attribute {
    Attribute::new("createdAt", AttributeType::Int, "Creation time, in seconds since 1970.").stable()
}

/// Configured, or else Airbyte's value.
fn or_server_value(attribute: Attribute) -> Attribute {
    // An update never changes it implicitly.
    Attribute { stable: true, ..attribute.or_computed() }
}

/// An empty list counts as left out.
fn non_empty(value: &Value) -> Value {
    if value.as_list().is_some_and(<[Value]>::is_empty) { Value::Null } else { value.clone() }
}

/// Streams in any order. Without any, Airbyte syncs all streams of a source.
fn streams(value: &Value) -> Value {
    normal::unordered(&non_empty(value))
}

/// Adds timeouts, and the time for which a call with a lost answer may still take effect. A request during which
/// Airbyte reads a source's schema continues after the client has given up.
fn remote(ty: ResourceType, reads_schema: bool) -> ResourceType {
    let seconds = Duration::from_secs;
    let (writes, settle) = if reads_schema { (seconds(600), seconds(120)) } else { (seconds(120), seconds(10)) };
    let timeouts = Timeouts { create: writes, update: writes, delete: seconds(120), read: seconds(60) };
    ResourceType { settle, timeouts, ..ty }
}

/// A source or a destination.
fn actor(name: &'static str, doc: &'static str, own_id: &'static str, id_doc: &'static str) -> ResourceType {
    let attributes = vec![
        workspace(),
        text("name", "Name, unique in the workspace per type. A change renames the object.").required(),
        or_server_value(text("connector", "Connector name, such as `file`, `postgres` or `snowflake`.").replaces()),
        or_server_value(
            text("definitionId", "Connector definition id, instead of `connector`, for a custom connector.").replaces(),
        ),
        Attribute::new(
            "configuration",
            AttributeType::Any,
            "Connector configuration without secrets. terrace leaves other keys as they are.",
        )
        .vendor_json()
        .default_value(Value::Map(Map::default())),
        Attribute::new(
            "secretConfiguration",
            AttributeType::Any,
            "Secret keys of the configuration: merged over `configuration` when sent, never read back.",
        )
        .vendor_json()
        .write_only(),
        created_at(),
        text(own_id, id_doc).stable(),
        id(),
    ];
    let ty = ResourceType::new(name, doc, &["workspaceId", "name"], Object(attributes));
    remote(ty, false)
}

fn source() -> ResourceType {
    actor("airbyte_source", "A source: where data is read.", "sourceId", "Id of the source.")
}

fn destination() -> ResourceType {
    actor("airbyte_destination", "A destination: where data is written.", "destinationId", "Id of the destination.")
}

fn connection() -> ResourceType {
    let list = AttributeType::list;
    let stream = Object(vec![
        text("name", "The stream's name.").required(),
        text("namespace", "Namespace in the source.").normal(normal::non_empty),
        text("syncMode", "Sync mode: `full_refresh_overwrite`, `incremental_append` and so on."),
        Attribute::new("cursorField", list(AttributeType::String), "Field that identifies new records.")
            .normal(non_empty),
        Attribute::new("primaryKey", list(list(AttributeType::String)), "Paths of the primary key's fields.")
            .normal(non_empty),
        Attribute::new("selectedFields", list(AttributeType::String), "Top-level fields to sync. Left out: all.")
            .normal(normal::set),
    ]);
    let schedule = Object(vec![
        text("type", "`manual` or `cron`.").default_value("manual"),
        text("cron", "For `cron`: second, minute, hour, day, month, weekday, in UTC: `0 0 3 * * ?`."),
    ]);
    let manual = Map::from_iter([("type".to_owned(), Value::from("manual"))]);
    let attributes = vec![
        workspace(),
        text("name", "Name, unique in the workspace. A change renames the connection.").required(),
        text("sourceId", "Source to read.").required().replaces(),
        text("destinationId", "Destination to write.").required().replaces(),
        or_server_value(
            Attribute::new(
                "streams",
                list(AttributeType::Object(stream)),
                "Streams to sync. Left out: all streams of the source, with `full_refresh_overwrite`.",
            )
            .normal(streams),
        ),
        Attribute::new("schedule", AttributeType::Object(schedule), "Sync schedule.").default_value(manual),
        text("status", "`active` or `inactive`.").default_value("active"),
        or_server_value(text(
            "namespaceDefinition",
            "Target namespace of streams: `source`, `destination` or `custom_format`.",
        )),
        or_server_value(text(
            "namespaceFormat",
            "For `custom_format`: the namespace, such as `${SOURCE_NAMESPACE}_raw`.",
        )),
        or_server_value(text("prefix", "Prefix of table names.")),
        or_server_value(text(
            "nonBreakingChanges",
            "Handling of schema changes in the source: `ignore`, `disable_connection`, `propagate_columns` or `propagate_fully`.",
        )),
        created_at(),
        text("connectionId", "Id of the connection.").stable(),
        id(),
    ];
    let doc = "A connection that syncs streams of a source into a destination. A delete keeps the synced data.";
    let ty = ResourceType::new("airbyte_connection", doc, &["workspaceId", "name"], Object(attributes));
    ResourceType { keeps_data_on_delete: true, ..remote(ty, true) }
}
