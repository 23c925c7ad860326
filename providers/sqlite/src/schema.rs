//! The declaration of the provider: its settings, its four resource types and its lookups.

use crate::blueprints::BLUEPRINTS;
use crate::connection::BUSY_SECONDS;
use crate::lookup::lookups;
use crate::spelling;
use crate::sql_type::sql_type;
use crate::table;
use std::path::Path;
use std::time::Duration;
use terrace_provider::names::NameRule;
use terrace_provider::normal;
use terrace_provider::sql_reads::{SqlDialect, SqlReads};
use terrace_provider::{Attribute, AttributeType, Map, Need, Object, ProviderSchema, ResourceType, Value};

/// The schema of the provider.
pub(crate) fn schema() -> ProviderSchema {
    ProviderSchema {
        name: "sqlite",
        version: env!("CARGO_PKG_VERSION"),
        doc: "Tables, views and indexes in SQLite database files.",
        settings: Object(vec![
            Attribute::new(
                "folder",
                AttributeType::String,
                "The base folder of relative database paths, inside the project folder.",
            )
            .default_value("."),
            Attribute::new(
                "busyTimeout",
                AttributeType::Int,
                "How many seconds a statement waits for the lock of another program.",
            )
            .default_value(BUSY_SECONDS),
        ]),
        resources: vec![database(), table(), view(), index()],
        lookups: lookups(),
        blueprints: BLUEPRINTS.to_vec(),
        sql_type: Some(sql_type),
        sql_reads: Some(|query, defaults| SqlReads::of(SqlDialect::Sqlite, query, defaults).to_value()),
        ..ProviderSchema::default()
    }
}

fn database() -> ResourceType {
    let ty = ResourceType::new(
        "sqlite_database",
        "A database file.",
        &["path"],
        Object(vec![
            path(),
            Attribute::new(
                "onDelete",
                AttributeType::String,
                "`ifEmpty`: a database with tables is not deleted; `recursive`: it is deleted with all tables.",
            )
            .default_value("ifEmpty"),
            id(),
        ]),
    );
    ResourceType {
        holds_data: true,
        needs: &[FOLDERS],
        only_empty: Some(["onDelete", "ifEmpty", "recursive"]),
        ..local(ty)
    }
}

fn table() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let names = || AttributeType::list(AttributeType::String);
    let column = Object(vec![
        text("name", "The column's name.").required(),
        text("type", "The declared type, such as `NUMERIC(38,0)`.").required().normal(spelling::data_type),
        Attribute::new("nullable", AttributeType::Bool, "The column may be null.").default_value(true),
        text("default", "The default as SQL: a literal or one expression.").normal(spelling::default),
        text("comment", "A comment in the table's definition.").normal(normal::non_empty),
        text("previousName", "The previous name of the column: it is renamed instead of replaced."),
    ]);
    let ty = ResourceType::new(
        "sqlite_table",
        "A table in a database file.",
        &["path", "name"],
        Object(vec![
            path(),
            name("The table's name."),
            text("previousName", "The table's previous name: the table is renamed instead of replaced."),
            Attribute::new("columns", AttributeType::list(AttributeType::Object(column)), "The columns, in order.")
                .required(),
            Attribute::new("primaryKey", names(), "The columns of the primary key.")
                .default_value(empty())
                .normal(normal::any_case_each),
            Attribute::new("unique", AttributeType::list(names()), "The columns of each unique constraint.")
                .default_value(empty())
                .normal(spelling::keys),
            text("comment", "A comment in the table's definition.").normal(normal::non_empty),
            id(),
        ]),
    );
    ResourceType { holds_data: true, fold: table::fold, ..named(ty) }
}

fn view() -> ResourceType {
    let source = Object(vec![Attribute::new("name", AttributeType::String, "The table or view to read.").required()]);
    named(ResourceType::new(
        "sqlite_view",
        "A view in a database file: columns of a source, or a statement.",
        &["path", "name"],
        Object(vec![
            path(),
            name("The view's name."),
            Attribute::new("source", AttributeType::Object(source), "The source of the view."),
            Attribute::new(
                "columns",
                AttributeType::list(AttributeType::String),
                "The columns of the source in the view; an empty list means all.",
            )
            .default_value(empty()),
            Attribute::new("statement", AttributeType::String, "The query, instead of `source` and `columns`."),
            Attribute::new("comment", AttributeType::String, "A comment in the view's definition.")
                .normal(normal::non_empty),
            id(),
        ]),
    ))
}

fn index() -> ResourceType {
    named(ResourceType::new(
        "sqlite_index",
        "An index on columns of a table.",
        &["path", "name"],
        Object(vec![
            path(),
            name("The index's name."),
            Attribute::new("table", AttributeType::String, "The table.").required().replaces().normal(normal::any_case),
            Attribute::new("columns", AttributeType::list(AttributeType::String), "The columns, in order.")
                .required()
                .replaces()
                .normal(normal::any_case_each),
            Attribute::new("unique", AttributeType::Bool, "No two rows have the same values in the columns.")
                .default_value(false)
                .replaces(),
            id(),
        ]),
    ))
}

/// The database file of an object.
const DATABASE: Need =
    Need { ty: "sqlite_database", identities: |attributes| Need::named(attributes, &[("path", "path")]) };

/// The parent folders of a database file: a folder may replace another database file.
const FOLDERS: Need = Need {
    ty: "sqlite_database",
    identities: |attributes| {
        let path = attributes.get("path").and_then(Value::as_str).unwrap_or_default();
        let folders = Path::new(path).ancestors().skip(1).filter_map(Path::to_str).filter(|folder| !folder.is_empty());
        folders.map(|folder| Map::from_iter([("path".to_owned(), folder.into())])).collect()
    },
};

fn path() -> Attribute {
    Attribute::new("path", AttributeType::String, "The database file, relative to the provider's folder.")
        .required()
        .replaces()
        .compared(NameRule::Path)
}

/// SQLite ignores the case of ASCII letters only.
fn name(doc: &'static str) -> Attribute {
    Attribute::new("name", AttributeType::String, doc).required().replaces().compared(NameRule::AsciiCaseless)
}

fn id() -> Attribute {
    Attribute::new("id", AttributeType::String, "The id for `terrace import`.").stable()
}

fn empty() -> Value {
    Value::List(Vec::new())
}

/// Tables, views and indexes of a database share one set of names.
fn named(ty: ResourceType) -> ResourceType {
    ResourceType { identity_space: "name", needs: &[DATABASE], ..local(ty) }
}

/// A call on a file takes effect before it ends, or never.
fn local(ty: ResourceType) -> ResourceType {
    ResourceType { settle: Duration::ZERO, ..ty }
}
