//! Lookups of existing tables and views, created by terrace or not.

use crate::connection::{Access, Folders};
use crate::database::tables as table_names;
use crate::error::from_sqlite;
use crate::object::definition;
use crate::{identifier, table};
use terrace_provider::attributes::text;
use terrace_provider::{
    Attribute, AttributeType, Attributes, ErrorKind, Lookup, Map, Object, Path, ProviderError, Value,
};

const TABLE: &str = "sqlite_table";
const VIEW: &str = "sqlite_view";
const TABLES: &str = "sqlite_tables";

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let names = || AttributeType::list(AttributeType::String);
    let arguments = |what| {
        Object(vec![
            text("path", "The database file, relative to the provider's folder.").required(),
            text("name", what).required(),
        ])
    };
    let found = || vec![text("path", "The database file."), text("name", "The requested name.")];
    let column = Object(vec![
        text("name", "The column's name."),
        text("type", "The declared type."),
        Attribute::new("nullable", AttributeType::Bool, "The column may be null."),
        text("default", "The default as SQL."),
        text("comment", "The comment in the table's definition."),
    ]);
    let table = [
        Attribute::new("columns", AttributeType::list(AttributeType::Object(column)), "The columns, in order."),
        Attribute::new("primaryKey", names(), "The columns of the primary key."),
        Attribute::new("unique", AttributeType::list(names()), "The columns of each unique constraint."),
        text("comment", "The comment in the table's definition."),
    ];
    let view = [Attribute::new("columnNames", names(), "The names of the view's columns, in order.")];
    vec![
        Lookup {
            name: TABLE,
            doc: "An existing table.",
            arguments: arguments("The table's name."),
            result: Object(found().into_iter().chain(table).collect()),
            objects: &["sqlite_table"],
        },
        Lookup {
            name: VIEW,
            doc: "The columns of an existing view.",
            arguments: arguments("The view's name."),
            result: Object(found().into_iter().chain(view).collect()),
            objects: &["sqlite_view"],
        },
        Lookup {
            name: TABLES,
            doc: "The tables of a database.",
            arguments: Object(vec![text("path", "The database file, relative to the provider's folder.").required()]),
            result: Object(vec![
                text("path", "The database file."),
                Attribute::new(
                    "tables",
                    AttributeType::list(AttributeType::Object(Object(vec![
                        text("id", "`path/name`."),
                        text("name", "The table's name."),
                    ]))),
                    "The tables, by name.",
                ),
            ]),
            objects: &[],
        },
    ]
}

/// Answers a lookup.
///
/// # Errors
///
/// `NotFound` if the database, table or view does not exist.
pub(crate) fn answer(lookup: &str, folders: &Folders, arguments: &Attributes) -> Result<Attributes, ProviderError> {
    let (path, name) = (text(arguments, "path"), text(arguments, "name"));
    let file = folders.locate(&path)?;
    if lookup != TABLES {
        identifier::check_object(&name, &Path::attribute("name"))?;
    }
    let missing = |what: String| ProviderError::new(ErrorKind::NotFound, what);
    if !file.exists() {
        return Err(missing(format!("there is no database `{path}`")));
    }
    let connection = file.open(Access::Read)?;
    let failed = |error: rusqlite::Error| from_sqlite(&path, &error);
    let found = match lookup {
        TABLES => {
            let names = table_names(&connection).map_err(failed)?;
            let item = |name: String| {
                let id = format!("{path}/{name}");
                Value::Map(Map::from_iter([("id".to_owned(), id.into()), ("name".to_owned(), name.into())]))
            };
            let tables: Vec<Value> = names.into_iter().map(item).collect();
            return Ok(Map::from_iter([("path".to_owned(), path.into()), ("tables".to_owned(), tables.into())]));
        }
        TABLE => table::observe(&connection, &name, &Attributes::default())
            .map_err(failed)?
            .map(|observation| observation.attributes),
        VIEW => match definition(&connection, "view", &name).map_err(failed)? {
            None => None,
            Some(_) => {
                let names = table::column_names(&connection, &name).map_err(failed)?;
                let names: Vec<Value> = names.into_iter().map(Value::from).collect();
                Some(Map::from_iter([("columnNames".to_owned(), names.into())]))
            }
        },
        other => return Err(ProviderError::bug(format!("there is no lookup `{other}`"))),
    };
    let kind = if lookup == TABLE { "table" } else { "view" };
    let mut found = found.ok_or_else(|| missing(format!("`{path}` has no {kind} `{name}`")))?;
    found.insert("path".to_owned(), path.into());
    found.insert("name".to_owned(), name.into());
    Ok(found)
}
