//! What tables, views and indexes have in common: a name in `sqlite_schema` and a definition.

use crate::identifier::quote;
use crate::mark::Mark;
use rusqlite::{Connection, OptionalExtension};
use terrace_provider::Attributes;

/// An object as the file has it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its attributes, without path and id.
    pub(crate) attributes: Attributes,
    /// The call that made it.
    pub(crate) mark: Option<Mark>,
}

/// A row of `sqlite_schema`.
#[derive(Debug)]
pub(crate) struct Definition {
    /// The name, in the case in which it was made.
    pub(crate) name: String,
    /// The table that an index belongs to; else the name.
    pub(crate) table: String,
    /// The text of the `CREATE` statement; empty for what SQLite made itself.
    pub(crate) sql: String,
}

/// The definition of the object of that kind and name.
pub(crate) fn definition(connection: &Connection, kind: &str, name: &str) -> rusqlite::Result<Option<Definition>> {
    let query =
        "SELECT name, tbl_name, coalesce(sql, '') FROM sqlite_schema WHERE type = ?1 AND name = ?2 COLLATE NOCASE";
    connection
        .query_row(query, [kind, name], |row| {
            Ok(Definition { name: row.get(0)?, table: row.get(1)?, sql: row.get(2)? })
        })
        .optional()
}

/// True when there is an object of that name, of whatever kind: they share one set of names.
pub(crate) fn exists(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE)";
    connection.query_row(query, [name], |row| row.get(0))
}

/// The names of all tables and views that a view could read.
pub(crate) fn readable_names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let query = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";
    connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
}

/// True when a table or view can be read: all that a view refers to is there.
pub(crate) fn is_readable(connection: &Connection, name: &str) -> bool {
    connection.prepare(&format!("SELECT * FROM {} LIMIT 0", quote(name))).is_ok()
}

/// Drops an object of that kind; one that is gone already is no error.
pub(crate) fn drop(connection: &Connection, kind: &str, name: &str) -> rusqlite::Result<()> {
    match definition(connection, kind, name)? {
        Some(definition) => {
            connection.execute_batch(&format!("DROP {} {}", kind.to_ascii_uppercase(), quote(&definition.name)))
        }
        None => Ok(()),
    }
}

/// The names of the triggers of a table or a view.
pub(crate) fn triggers(connection: &Connection, name: &str) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name";
    connection.prepare(sql)?.query_map([name], |row| row.get(0))?.collect()
}
