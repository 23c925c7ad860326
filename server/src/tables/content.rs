//! The content of the pages.

use async_trait::async_trait;
use secrecy::SecretString;
use serde::Serialize;

/// The path of the pages.
pub const BASE: &str = "/databases";

/// Databases whose tables can be shown. Implementations only read.
#[async_trait]
pub trait Tables: Send + Sync {
    /// The token for access. It is read when a user opens a page, and must not change.
    ///
    /// # Errors
    /// When the token cannot be read.
    fn token(&self) -> Result<SecretString, NotShown>;

    /// The databases.
    ///
    /// # Errors
    /// When they cannot be listed.
    async fn databases(&self) -> Result<Vec<Database>, NotShown>;

    /// The tables of a database.
    ///
    /// # Errors
    /// When the database does not exist, or does not answer.
    async fn tables(&self, database: &str) -> Result<Vec<Table>, NotShown>;

    /// A page of a table's rows, counted from 0.
    ///
    /// # Errors
    /// When the table does not exist, or its database does not answer.
    async fn rows(&self, database: &str, schema: &str, table: &str, page: u64) -> Result<Rows, NotShown>;
}

/// Why something cannot be shown, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotShown {
    /// It does not exist.
    Missing(String),
    /// It cannot be shown now.
    Unavailable(String),
}

/// A database.
#[derive(Debug, Clone, Serialize)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its kind: `PostgreSQL`.
    pub system: String,
    /// Its status: `running`.
    pub status: String,
    /// How long it is kept, in words.
    pub kept: String,
}

/// A table or a view.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The schema; may be empty.
    pub schema: String,
    /// The name.
    pub name: String,
    /// Whether it is a view.
    pub is_view: bool,
}

/// A column.
#[derive(Debug, Clone, Serialize)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type.
    pub kind: String,
}

/// Some rows.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: a value for each column, `None` for null.
    pub rows: Vec<Vec<Option<String>>>,
    /// Whether more rows follow.
    pub has_more: bool,
}
