//! Declarations of the provider: settings and resource types.

use crate::blueprints::BLUEPRINTS;
use crate::identity::identity;
use std::time::Duration;
use terrace_provider::http::allow_plain_http;
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::{
    Attribute, AttributeType, Attributes, Map, Need, Object, ProviderSchema, ResourceType, Timeouts, Value,
};

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "hasura",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Sources, tables and permissions of Hasura, and the roles of its role mapper.",
        settings: settings(),
        resources: vec![source(), table(), select_permission(), role(), role_binding()],
        blueprints: BLUEPRINTS.to_vec(),
        identity: Some(identity),
        own_variables: &["HASURA_URL"],
        adapter_settings: Some(|_, _| vec![("hasura.unserved", "leave".into())]),
        ..ProviderSchema::default()
    }
}

fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

fn settings() -> Object {
    let mapper = Object(vec![
        text("url", "URL without `/v1` (ROLE_MAPPER_URL)."),
        text("token", "Access token, if it requires one (ROLE_MAPPER_TOKEN).").sensitive(),
        Attribute::new("timeout", AttributeType::Int, "Seconds per request. Default: 30 (ROLE_MAPPER_TIMEOUT)."),
    ]);
    Object(vec![
        text("url", "URL of Hasura, without `/v1/metadata` (HASURA_URL)."),
        text("adminSecret", "The admin secret (HASURA_ADMIN_SECRET).").sensitive(),
        Attribute::new("timeout", AttributeType::Int, "Seconds per request. Default: 60 (HASURA_TIMEOUT)."),
        Attribute::new("roleMapper", AttributeType::Object(mapper), "Role mapper: Hasura's authentication webhook."),
        allow_plain_http(),
        text(
            "caFile",
            "PEM file of certificate authorities instead of those of this machine, relative to the project folder.",
        ),
    ])
}

fn id() -> Attribute {
    text("id", "The id for `terrace import`.").stable()
}

fn named(name: &'static str, doc: &'static str) -> Attribute {
    text(name, doc).required().replaces()
}

fn texts() -> AttributeType {
    AttributeType::list(AttributeType::String)
}

fn vendor(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::Any, doc).vendor_json()
}

fn table_name() -> Attribute {
    Attribute::new(
        "table",
        texts(),
        "The table's name in the source, in parts: `[VIEW]`, `[DB, SCHEMA, VIEW]`; `[schema, table]` for PostgreSQL.",
    )
    .required()
    .replaces()
    .compared(NameRule::Parts(&["public", ""]))
}

/// A change of metadata makes Hasura inspect its sources, which takes time.
fn remote(ty: ResourceType) -> ResourceType {
    let long = Duration::from_secs(300);
    let timeouts = Timeouts { create: long, update: long, delete: long, read: Duration::from_secs(60) };
    // One export reads all objects.
    ResourceType { settle: Duration::from_secs(30), timeouts, reads_at_once: 256, ..ty }
}

fn source() -> ResourceType {
    let connection = Object(vec![
        text("host", "The host of the account. Default: SNOWFLAKE_HOST."),
        text("user", "The user. Default: SNOWFLAKE_USER."),
        text("role", "The role. Default: SNOWFLAKE_ROLE."),
        text("warehouse", "The warehouse. Default: SNOWFLAKE_WAREHOUSE."),
        text("database", "The database.").required(),
        text("schema", "The schema of tables with unqualified names."),
        Attribute::new(
            "qualifiedNames",
            AttributeType::Bool,
            "Table names include database and schema: `[DB, SCHEMA, VIEW]`.",
        )
        .default_value(false),
    ]);
    let attributes = vec![
        named("name", "The source's name."),
        named("kind", "Kind of database: `postgres`, or the name of an agent such as `snowflake`."),
        vendor("configuration", "Connection configuration in Hasura's format."),
        vendor("secretConfiguration", "Secret keys of `configuration`: merged into it and never shown.").write_only(),
        Attribute::new(
            "connection",
            AttributeType::Object(connection),
            "Connection to Snowflake, instead of `configuration`.",
        ),
        text("password", "The password of `connection`. Default: SNOWFLAKE_PASSWORD.").write_only(),
        text("privateKey", "A private key (PEM, PKCS#8) for `connection` instead of a password.").write_only(),
        text("privateKeyPassphrase", "Passphrase of an encrypted private key.").write_only(),
        vendor("customization", "Rules for names of root fields and types, in Hasura's format."),
        Attribute::new(
            "isAsConfigured",
            AttributeType::Bool,
            "Hasura's connection equals this configuration, secrets included.",
        )
        .computed()
        .volatile("a plan compares it with the database"),
        text("endpoint", "URL for queries.").stable(),
        id(),
    ];
    let ty = ResourceType::new("hasura_source", "A database that Hasura reads.", &["name"], Object(attributes));
    ResourceType { fold: without_nulls, ..remote(ty) }
}

/// Removes null keys from a configuration: Hasura fills in their defaults, as for absent keys.
fn without_nulls(configured: &mut Attributes, recorded: Option<&Attributes>) {
    normal::leave_out_nulls("configuration", configured, recorded);
}

fn table() -> ResourceType {
    let fields = Object(vec![
        text("select", "Query for many rows."),
        text("selectByPk", "Query for one row by its primary key; the table needs one."),
        text("selectAggregate", "Query for counts and sums, for roles with `allowAggregations`."),
        text("selectStream", "Stream of rows; only for PostgreSQL sources."),
    ]);
    let attributes = vec![
        named("source", "The source."),
        table_name(),
        text("customName", "Name of the table in GraphQL."),
        Attribute::new("rootFields", AttributeType::Object(fields), "Names of the root fields."),
        vendor("columnConfig", "Names and comments of columns, by column, in Hasura's format."),
        text("comment", "Description in GraphQL."),
        Attribute::new("apolloFederation", AttributeType::Bool, "Include the table in Apollo Federation.")
            .default_value(false),
        Attribute::new("resourceVersion", AttributeType::Int, "Metadata version of the last change.")
            .computed()
            .volatile("each change makes another version"),
        id(),
    ];
    let ty = ResourceType::new(
        "hasura_table",
        "A table or view in Hasura's GraphQL API. Omitted attributes stay as they are.",
        &["source", "table"],
        Object(attributes),
    );
    ResourceType { needs: &[SOURCE], ..remote(ty) }
}

/// The source of an object.
const SOURCE: Need =
    Need { ty: "hasura_source", identities: |attributes| Need::named(attributes, &[("name", "source")]) };

/// The table of a permission.
const TABLE: Need = Need {
    ty: "hasura_table",
    identities: |attributes| Need::named(attributes, &[("source", "source"), ("table", "table")]),
};

/// The role of a binding.
const ROLE: Need =
    Need { ty: "hasura_role", identities: |attributes| Need::named(attributes, &[("roleId", "roleId")]) };

fn select_permission() -> ResourceType {
    let attributes = vec![
        named("source", "The source."),
        table_name(),
        named("role", "Role that may read."),
        Attribute::new("columns", texts(), "The columns; `[\"*\"]` means all.")
            .default_value(Value::List(vec!["*".into()]))
            .normal(normal::set),
        vendor("filter", "Row filter in Hasura's format. Empty: all rows.").default_value(Value::Map(Map::default())),
        Attribute::new("limit", AttributeType::Int, "Maximum number of rows in a response."),
        Attribute::new("allowAggregations", AttributeType::Bool, "The role may query counts and sums.")
            .default_value(false),
        id(),
    ];
    let ty = ResourceType::new(
        "hasura_select_permission",
        "Read permission of a role on a table.",
        &["source", "table", "role"],
        Object(attributes),
    );
    ResourceType { needs: &[SOURCE, TABLE], ..remote(ty) }
}

fn role() -> ResourceType {
    let attributes = vec![
        named("roleId", "The role's name in permissions."),
        named("componentId", "The component of the role: each component has one role."),
        Attribute::new("rootFields", texts(), "Root fields that the role may query.")
            .default_value(Value::List(Vec::new()))
            .normal(normal::set),
        id(),
    ];
    let ty = ResourceType::new("hasura_role", "A role of the role mapper.", &["roleId"], Object(attributes));
    ResourceType { reads_at_once: 1, ..remote(ty) }
}

fn role_binding() -> ResourceType {
    let attributes = vec![
        named("roleId", "The role."),
        Attribute::new("users", texts(), "All users with the role: `user:ada_example.com`.")
            .default_value(Value::List(Vec::new()))
            .normal(normal::set),
        Attribute::new("groups", texts(), "All groups with the role: `group:analysts`.")
            .default_value(Value::List(Vec::new()))
            .normal(normal::set),
        id(),
    ];
    let ty = ResourceType::new(
        "hasura_role_binding",
        "The complete list of members of a role. Other members lose the role.",
        &["roleId"],
        Object(attributes),
    );
    ResourceType { reads_at_once: 1, needs: &[ROLE], ..remote(ty) }
}
