//! Declarations of the provider: settings, nine resource types and lookups.

mod access;
mod parts;
mod tables;

pub(crate) use parts::{names, text};

use crate::blueprints::BLUEPRINTS;
use crate::config::{CONNECTIONS, DATABASE, LOCK_TIMEOUT, TIMEOUT};
use crate::lookup::lookups;
use crate::principal::principal;
use crate::spelling;
use crate::sql_type::sql_type;
use parts::{IN_DATABASE, OWNER, comment, full_name, id, in_database, name, settled};
use terrace_provider::sql_reads::{SqlDialect, SqlReads};
use terrace_provider::{Attribute, AttributeType, Object, ProviderSchema, ResourceType};

/// The schema of the provider.
#[must_use]
pub fn provider() -> ProviderSchema {
    ProviderSchema {
        name: "postgres",
        is_remote: true,
        version: env!("CARGO_PKG_VERSION"),
        doc: "Databases, schemas, tables, views, indexes, roles and grants of PostgreSQL.",
        settings: settings(),
        resources: vec![
            database(),
            schema(),
            tables::table(),
            tables::view(),
            tables::materialized_view(),
            tables::index(),
            access::role(),
            access::membership(),
            access::grant(),
        ],
        lookups: lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        sql_type: Some(sql_type),
        sql_reads: Some(|query, defaults| SqlReads::of(SqlDialect::Postgres, query, defaults).to_value()),
        identity: Some(principal),
        secret_files: &["PGPASSFILE"],
        ..ProviderSchema::default()
    }
}

fn settings() -> Object {
    let number = |name, doc| Attribute::new(name, AttributeType::Int, doc);
    Object(vec![
        text("url", "`postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`; takes precedence over the keys below.").sensitive(),
        text("host", "The server, or the folder of its socket. Default: `localhost`.").variable("PGHOST"),
        number("port", "The port. Default: 5432.").variable("PGPORT"),
        text("database", "Database for statements about databases and roles.")
            .default_value(DATABASE)
            .variable("PGDATABASE"),
        text("user", "User. Default: the user of the operating system.").variable("PGUSER"),
        text("password", "The user's password.").sensitive().variable("PGPASSWORD"),
        text(
            "sslMode",
            "`disable`, `prefer`, `require`, `verify-ca` or `verify-full`, as `sslmode` of psql. Default: `require`, and \
             `prefer` for a server of this machine.",
        )
        .variable("PGSSLMODE"),
        text("caFile", "PEM file of certificate authorities, instead of those of this machine.")
            .variable("PGSSLROOTCERT"),
        number("timeout", "Seconds to wait for the server.").default_value(TIMEOUT),
        number("connections", "Maximum number of connections to one database.").default_value(CONNECTIONS),
        number("lockTimeout", "Seconds that a statement waits for a lock; then the call is retried.")
            .default_value(LOCK_TIMEOUT),
    ])
}

fn database() -> ResourceType {
    let encoding = text("encoding", "The encoding, such as `UTF8`. Left out: that of the server's template.");
    let encoding = Attribute { stable: true, ..encoding.replaces().or_computed().normal(spelling::encoding) };
    let ty = ResourceType::new(
        "postgres_database",
        "A database of the server.",
        &["name"],
        Object(vec![
            name("The database's name."),
            text("owner", "The role that owns it. Left out: not managed."),
            comment(),
            encoding,
            id(),
        ]),
    );
    ResourceType { holds_data: true, needs: &[OWNER], ..settled(ty) }
}

fn schema() -> ResourceType {
    let ty = settled(ResourceType::new(
        "postgres_schema",
        "A schema in a database.",
        &["database", "name"],
        Object(vec![
            in_database(),
            name("The schema's name."),
            text("owner", "The role that owns it. Left out: not managed."),
            comment(),
            full_name("The schema's name, for `object` of a `postgres_grant`."),
            id(),
        ]),
    ));
    ResourceType { needs: &[IN_DATABASE, OWNER], ..ty }
}
