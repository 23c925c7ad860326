//! Declarations of the provider: settings, resource types and lookups.

use crate::blueprints::BLUEPRINTS;
use crate::data_type;
use crate::identity::identity;
use crate::lookup::lookups;
use crate::session::private::PrivateData;
use crate::sql_type::sql_type;
use std::time::Duration;
use terrace_provider::attributes::texts;
use terrace_provider::http::allow_plain_http;
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::sql_reads::{SqlDialect, SqlReads};
use terrace_provider::{
    Attribute, AttributeType, Map, Need, Object, Private, ProviderSchema, ResourceType, Timeouts, Value,
};

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "snowflake",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Databases, schemas, tables, views, roles, grants and tags in Snowflake.",
        settings: settings(),
        resources: vec![database(), schema(), table(), view(), role(), role_grant(), grant(), tag(), tag_assignment()],
        lookups: lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        sql_type: Some(sql_type),
        sql_reads: Some(|query, defaults| SqlReads::of(SqlDialect::Snowflake, query, defaults).to_value()),
        identity: Some(identity),
        own_variables: &["SNOWFLAKE_ACCOUNT", "SNOWFLAKE_HOST"],
        secret_files: &["SNOWFLAKE_PRIVATE_KEY_FILE", "SNOWFLAKE_PRIVATE_KEY_PATH"],
        adapter_settings: Some(|_, _| vec![("snowflake.tags.enabled", true.into())]),
    }
}

fn text(name: &'static str, doc: &'static str) -> Attribute {
    Attribute::new(name, AttributeType::String, doc)
}

fn settings() -> Object {
    Object(vec![
        text("account", "The account: `myorg-account1`, or `ab12345.eu-central-1` (SNOWFLAKE_ACCOUNT)."),
        text("host", "The host if it differs from the default, such as for a private link (SNOWFLAKE_HOST)."),
        text("user", "The user, for a key pair (SNOWFLAKE_USER)."),
        text("role", "Role. Default: the user's default role (SNOWFLAKE_ROLE)."),
        text("warehouse", "The warehouse for queries, such as reads of tags (SNOWFLAKE_WAREHOUSE)."),
        text(
            "privateKeyFile",
            "PEM file of a private key, relative to the project folder (SNOWFLAKE_PRIVATE_KEY_FILE).",
        ),
        text("privateKeyPassphrase", "Passphrase of an encrypted private key (SNOWFLAKE_PRIVATE_KEY_PASSPHRASE).")
            .sensitive(),
        text("token", "A programmatic access token, instead of a key (SNOWFLAKE_TOKEN, or SNOWFLAKE_PASSWORD).")
            .sensitive(),
        text("oauthToken", "An OAuth token, instead of a key (SNOWFLAKE_OAUTH_TOKEN).").sensitive(),
        text("queryTag", "The prefix of query tags: `terrace:<stack>/<component>/<operation>` (SNOWFLAKE_QUERY_TAG)."),
        allow_plain_http(),
        text(
            "caFile",
            "PEM file of certificate authorities instead of those of this machine, relative to the project folder.",
        ),
        Attribute::new("timeout", AttributeType::Int, "Seconds per request.").default_value(60_i64),
    ])
}

fn comment(doc: &'static str) -> Attribute {
    text("comment", doc).normal(normal::non_empty)
}

fn id() -> Attribute {
    text("id", "The id for `terrace import`.").stable()
}

fn full_name() -> Attribute {
    text("fullName", "Name with database and schema, for grants and tags.").stable()
}

fn named(name: &'static str, doc: &'static str) -> Attribute {
    text(name, doc).required().replaces()
}

fn retention() -> Attribute {
    Attribute::new("retentionDays", AttributeType::Int, "Days for which changed or dropped data can be restored.")
        .or_kept()
}

fn transient() -> Attribute {
    let attribute = Attribute::new(
        "transient",
        AttributeType::Bool,
        "No fail-safe period. Left out: an existing object stays as it is.",
    );
    // No update changes it.
    Attribute { stable: true, ..attribute.or_computed().replaces() }
}

fn empty() -> Value {
    Value::List(Vec::new())
}

/// A statement with a lost answer still takes effect while it runs.
fn remote(ty: ResourceType) -> ResourceType {
    let timeouts = Timeouts {
        create: Duration::from_secs(300),
        update: Duration::from_secs(300),
        delete: Duration::from_secs(300),
        read: Duration::from_secs(60),
    };
    ResourceType { settle: Duration::from_secs(30), timeouts, ..ty }
}

fn database() -> ResourceType {
    let attributes = vec![
        named("name", "The database's name, case-sensitive."),
        comment("A comment."),
        retention(),
        transient(),
        full_name(),
        id(),
    ];
    let ty = ResourceType::new("snowflake_database", "A database.", &["name"], Object(attributes));
    ResourceType { holds_data: true, ..remote(ty) }
}

fn schema() -> ResourceType {
    let attributes = vec![
        named("database", "The database."),
        named("name", "The schema's name, case-sensitive."),
        comment("A comment."),
        retention(),
        transient(),
        full_name(),
        id(),
    ];
    let ty =
        ResourceType::new("snowflake_schema", "A schema of a database.", &["database", "name"], Object(attributes));
    ResourceType { holds_data: true, needs: &[DATABASE], ..remote(ty) }
}

/// The database of an object.
const DATABASE: Need =
    Need { ty: "snowflake_database", identities: |attributes| Need::named(attributes, &[("name", "database")]) };

/// The schema of an object.
const SCHEMA: Need = Need {
    ty: "snowflake_schema",
    identities: |attributes| Need::named(attributes, &[("database", "database"), ("name", "schema")]),
};

/// Tables and views of a schema share a namespace.
fn in_schema(ty: ResourceType) -> ResourceType {
    ResourceType { identity_space: "relation", needs: &[DATABASE, SCHEMA], ..remote(ty) }
}

fn table() -> ResourceType {
    let names = || AttributeType::list(AttributeType::String);
    let column = Object(vec![
        text("name", "The column's name, case-sensitive.").required(),
        text("type", "The type: `NUMBER(38,0)`, `VARCHAR(20)`, in any spelling.").required().normal(data_type::normal),
        Attribute::new("nullable", AttributeType::Bool, "The column may be null.").default_value(true),
        comment("Comment. Left out: not managed."),
        text("previousName", "The previous name of the column: it is renamed instead of replaced."),
    ]);
    let attributes = vec![
        named("database", "The database."),
        named("schema", "The schema."),
        named("name", "The table's name, case-sensitive."),
        text("previousName", "The table's previous name: the table is renamed instead of replaced."),
        Attribute::new("columns", AttributeType::list(AttributeType::Object(column)), "The columns.")
            .required()
            .normal(normal::unordered),
        Attribute::new("primaryKey", names(), "The columns of the primary key, which Snowflake does not enforce.")
            .default_value(empty())
            .normal(normal::set),
        Attribute::new(
            "unique",
            AttributeType::list(names()),
            "The columns of each unique constraint, which Snowflake does not enforce.",
        )
        .default_value(empty())
        .normal(normal::unordered),
        comment("A comment."),
        text("createdOn", "Creation time. A recreated table has a new one.").stable(),
        full_name(),
        id(),
    ];
    let ty = ResourceType::new(
        "snowflake_table",
        "A table of a schema.",
        &["database", "schema", "name"],
        Object(attributes),
    );
    ResourceType { holds_data: true, ..in_schema(ty) }
}

fn view() -> ResourceType {
    let source = Object(vec![
        text("database", "The database.").required(),
        text("schema", "The schema.").required(),
        text("name", "The table or view to read.").required(),
    ]);
    let column = Object(vec![
        text("name", "The column's name, in the source and in the view.").required(),
        comment("Comment. Left out: not managed."),
    ]);
    let attributes = vec![
        named("database", "The database."),
        named("schema", "The schema."),
        named("name", "The view's name, case-sensitive."),
        Attribute::new("source", AttributeType::Object(source), "Table or view to read."),
        Attribute::new(
            "columns",
            AttributeType::list(AttributeType::Object(column)),
            "The columns of the source in the view; an empty list means all.",
        )
        .default_value(empty()),
        text("statement", "The query, instead of `source` and `columns`."),
        Attribute::new("secure", AttributeType::Bool, "Only the owner may see the definition.").default_value(false),
        comment("A comment."),
        full_name(),
        id(),
    ];
    in_schema(ResourceType::new(
        "snowflake_view",
        "A view of a schema: columns of a source, or a statement.",
        &["database", "schema", "name"],
        Object(attributes),
    ))
}

fn role() -> ResourceType {
    let attributes = vec![named("name", "The role's name, case-sensitive."), comment("A comment."), id()];
    remote(ResourceType::new("snowflake_role", "A role of the account.", &["name"], Object(attributes)))
}

/// Views and tables share privileges and tags.
const RELATIONS: NameRule = NameRule::Word(&[("view", "table")]);

fn role_grant() -> ResourceType {
    let attributes = vec![
        named("role", "The granted role."),
        named("granteeType", "The kind of grantee: `user` or `role`."),
        named("grantee", "The name of the user or role, case-sensitive."),
        id(),
    ];
    let ty = ResourceType::new(
        "snowflake_role_grant",
        "Grant of a role to a user or another role.",
        &["role", "granteeType", "grantee"],
        Object(attributes),
    );
    let is_adopted = |_: &Map, private: &Private| !PrivateData::of(private).preexisting.is_empty();
    ResourceType { updatable: false, grantee: &["granteeType", "grantee"], is_adopted, ..remote(ty) }
}

fn grant() -> ResourceType {
    let attributes = vec![
        named("role", "The role that gets the privileges."),
        named(
            "objectType",
            "Type of the object: `account`, `database`, `schema`, `table`, `tag`, `view` or `warehouse`.",
        )
        .compared(RELATIONS),
        named(
            "object",
            "The full name: `DB.SCHEMA.VIEW`; put a part with a dot or a quote in double quotes. Empty for `account`.",
        )
        .compared(NameRule::Qualified),
        Attribute::new(
            "privileges",
            AttributeType::list(AttributeType::String),
            "All privileges of the role on the object, such as `SELECT`, except ownership.",
        )
        .required()
        .normal(normal::set),
        Attribute::new("grantOption", AttributeType::Bool, "The role may grant them to other roles.")
            .default_value(false),
        id(),
    ];
    let ty = ResourceType::new(
        "snowflake_grant",
        "The privileges of a role on an object.",
        &["role", "objectType", "object"],
        Object(attributes),
    );
    let is_adopted = |recorded: &Map, private: &Private| {
        let before = PrivateData::of(private).preexisting;
        !before.is_empty() && texts(recorded, "privileges").iter().all(|privilege| before.contains(privilege))
    };
    ResourceType { is_adopted, ..remote(ty) }
}

fn tag() -> ResourceType {
    let attributes = vec![
        named("database", "The database."),
        named("schema", "The schema."),
        named("name", "The tag's name, case-sensitive."),
        Attribute::new(
            "allowedValues",
            AttributeType::list(AttributeType::String),
            "The allowed values; an empty list means any.",
        )
        .default_value(empty())
        .normal(normal::set),
        comment("A comment."),
        full_name(),
        id(),
    ];
    let ty = ResourceType::new(
        "snowflake_tag",
        "A tag for objects and columns (Enterprise edition).",
        &["database", "schema", "name"],
        Object(attributes),
    );
    ResourceType { needs: &[DATABASE, SCHEMA], ..remote(ty) }
}

fn tag_assignment() -> ResourceType {
    let attributes = vec![
        named("objectType", "Type of the object: `database`, `schema`, `table` or `view`.").compared(RELATIONS),
        named("object", "The full name of the object: `DB.SCHEMA.TABLE`.").compared(NameRule::Qualified),
        text("column", "The column; empty for the object itself.").default_value("").replaces(),
        named("tag", "The full name of the tag: `DB.SCHEMA.TAG`.").compared(NameRule::Qualified),
        text("value", "The value of the tag.").default_value(""),
        id(),
    ];
    remote(ResourceType::new(
        "snowflake_tag_assignment",
        "A tag on an object or a column, with its value.",
        &["objectType", "object", "column", "tag"],
        Object(attributes),
    ))
}
