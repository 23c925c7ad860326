//! Tables of a database for people: their names, columns, and rows in pages.
//!
//! All access is read-only: files are opened for reading, servers get read-only transactions. Queries contain only
//! quoted names from the database itself, and numbers. Names from an address are only compared with these names. The
//! database truncates long values.

pub(super) mod postgres;
mod sqlite;

use super::databases::Databases;
use super::error::{DatabaseError, DatabaseErrorKind, missing};
use super::record::{self, Engine, Record, Status};
use std::time::Duration;

/// Rows per page.
pub const PAGE: u64 = 50;
/// Maximum length of a value in characters.
const LONGEST_VALUE: usize = 500;
/// Maximum number of listed tables.
const MOST_TABLES: usize = 2000;
/// Timeout of a query.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of all queries of a call over a network. Longer than that of a query.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum number of rows to count per table.
const MOST_COUNTED: u64 = 1_000_000;

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The schema; empty in SQLite, which has only one.
    pub schema: String,
    /// The name.
    pub name: String,
    /// It is a view.
    pub is_view: bool,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// The type, as the database names it.
    pub kind: String,
}

/// A page of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: a value per column; nothing for null.
    pub rows: Vec<Vec<Option<String>>>,
    /// More rows follow.
    pub has_more: bool,
}

impl Databases {
    fn running(&self, name: &str) -> Result<Record, DatabaseError> {
        // A name that is not valid cannot be the name of a database.
        let record = match record::check_name(name) {
            Ok(()) => self.existing(name)?,
            Err(_) => return Err(missing(name, &self.names())),
        };
        check_running(&record, self.status(&record))?;
        Ok(record)
    }

    async fn connect(&self, record: &Record) -> Result<tokio_postgres::Client, DatabaseError> {
        postgres::connect(&record.name, &self.access(record)?).await
    }

    /// Tables and views of a running database, sorted, without those of the system.
    ///
    /// # Errors
    /// When it does not exist, is not running, or does not answer.
    pub async fn tables(&self, name: &str) -> Result<Vec<Table>, DatabaseError> {
        let record = self.running(name)?;
        match record.engine {
            Engine::Sqlite => sqlite::query(&record, sqlite::tables).await,
            Engine::Postgres => postgres::tables(name, &self.connect(&record).await?).await,
        }
    }

    /// A page of a table's rows; pages count from 0.
    ///
    /// # Errors
    /// As [`Databases::tables`], and when the table does not exist.
    pub async fn rows(&self, name: &str, schema: &str, table: &str, page: u64) -> Result<Rows, DatabaseError> {
        let record = self.running(name)?;
        let table = find_table(self.tables(name).await?, name, schema, table)?;
        let first = first_row(page);
        match record.engine {
            Engine::Sqlite => sqlite::query(&record, move |file| sqlite::rows(file, &table, first)).await,
            Engine::Postgres => postgres::rows(name, &self.connect(&record).await?, &table, first).await,
        }
    }

    /// Number of rows of all tables, up to a limit, and number of tables.
    ///
    /// # Errors
    /// As [`Databases::tables`].
    pub async fn count(&self, name: &str) -> Result<(u64, usize), DatabaseError> {
        let record = self.running(name)?;
        let tables: Vec<Table> = self.tables(name).await?.into_iter().filter(|table| !table.is_view).collect();
        let table_count = tables.len();
        let rows = match record.engine {
            Engine::Sqlite => sqlite::query(&record, move |file| sqlite::count(file, &tables)).await?,
            Engine::Postgres => postgres::count(name, &self.connect(&record).await?, &tables).await?,
        };
        Ok((rows, table_count))
    }
}

/// Refuses a database that does not run.
pub(super) fn check_running(record: &Record, status: Status) -> Result<(), DatabaseError> {
    match status {
        Status::Running | Status::Changed => Ok(()),
        status => Err(DatabaseError::new(
            DatabaseErrorKind::Invalid,
            format!("the database `{}` is {}", record.name, status.word()),
        )),
    }
}

/// Limits all queries of a call: a connection over a network that is lost stays silent.
pub(super) async fn in_time<T>(
    name: &str,
    queries: impl Future<Output = Result<T, DatabaseError>>,
) -> Result<T, DatabaseError> {
    tokio::time::timeout(CALL_TIMEOUT, queries).await.unwrap_or_else(|_| {
        let message = format!("the database `{name}` did not answer within {} seconds", CALL_TIMEOUT.as_secs());
        Err(DatabaseError::new(DatabaseErrorKind::Failed, message))
    })
}

/// Finds a table by its names.
pub(super) fn find_table(tables: Vec<Table>, name: &str, schema: &str, table: &str) -> Result<Table, DatabaseError> {
    let known = tables.into_iter().find(|it| it.schema == schema && it.name == table);
    known.ok_or_else(|| {
        DatabaseError::new(DatabaseErrorKind::Missing, format!("the database `{name}` has no table `{table}`"))
    })
}

/// First row of a page, counted from 0.
pub(super) fn first_row(page: u64) -> u64 {
    page.saturating_mul(PAGE).min(i64::MAX as u64)
}

/// Quotes a name for SQL (SQL:2016 5.2, `<delimited identifier>`).
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Removes the extra row that shows that more rows follow.
fn into_page(columns: Vec<Column>, mut rows: Vec<Vec<Option<String>>>) -> Rows {
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let has_more = rows.len() > page;
    rows.truncate(page);
    Rows { columns, rows, has_more }
}

/// Truncates a long value.
fn truncate(text: String) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text,
    }
}

fn query_error(name: &str, why: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Failed, format!("the database `{name}` does not answer: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_stays_one_identifier() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(truncate("ä".repeat(500)), "ä".repeat(500));
        assert_eq!(truncate("ä".repeat(501)), "ä".repeat(500) + "…");
    }

    #[test]
    fn extra_row_shows_that_a_page_follows() {
        let rows = |count| vec![vec![None]; count];
        assert!(!into_page(Vec::new(), rows(50)).has_more);
        let page = into_page(Vec::new(), rows(51));
        assert!(page.has_more && page.rows.len() == 50);
    }
}
