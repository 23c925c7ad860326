//! Common parts of tables, views and indexes: a name in `sqlite_schema` and a definition.

use crate::identifier::quote;
use crate::mark::Mark;
use rusqlite::{Connection, OptionalExtension};
use terrace_provider::Attributes;

/// An existing object.
#[derive(Debug)]
pub(crate) struct Observation {
    /// The attributes without path and id.
    pub(crate) attributes: Attributes,
    /// The call that created the object.
    pub(crate) mark: Option<Mark>,
}

/// A row of `sqlite_schema`.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The name in its original case.
    pub(crate) name: String,
    /// The table of an index; otherwise the name.
    pub(crate) table: String,
    /// The text of the `CREATE` statement; empty for objects that SQLite created itself.
    pub(crate) sql: String,
}

/// Reads the definition of an object by its kind and name.
pub(crate) fn definition(connection: &Connection, kind: &str, name: &str) -> rusqlite::Result<Option<Definition>> {
    let query =
        "SELECT name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE type = ?1 AND name = ?2 COLLATE NOCASE";
    connection
        .query_row(query, [kind, name], |row| {
            Ok(Definition { name: row.get(0)?, table: row.get(1)?, sql: row.get(2)? })
        })
        .optional()
}

/// True if an object with the name exists. All kinds share one set of names.
pub(crate) fn exists(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE)";
    connection.query_row(query, [name], |row| row.get(0))
}

/// The names of all tables and views that a view can read.
pub(crate) fn readable_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let query = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

/// True if a table or view can be read: everything that a view refers to exists.
pub(crate) fn is_readable(connection: &Connection, name: &str) -> bool {
    connection.prepare(&format!("SELECT * FROM {} LIMIT 0", quote(name))).is_ok()
}

/// Drops an object; a missing object is not an error.
pub(crate) fn drop(connection: &Connection, kind: &str, name: &str) -> rusqlite::Result<()> {
    match definition(connection, kind, name)? {
        Some(definition) => {
            connection.execute_batch(&format!("DROP {} {}", kind.to_ascii_uppercase(), quote(&definition.name)))
        }
        None => Ok(()),
    }
}

/// The names of the triggers of a table or view.
pub(crate) fn triggers(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name";
    connection.prepare(sql)?.query_map([name], |row| row.get(0))?.collect()
}
