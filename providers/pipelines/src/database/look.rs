//! The tables of a database, for people: which there are, their columns, and their rows by pages.
//!
//! Nothing is changed: files are opened for reading only, servers are asked in transactions that only read. What is asked is
//! made of names that the database itself told, quoted, and of numbers; whatever somebody writes into an address is compared
//! with those names and goes nowhere else. Long values are cut by the database.

mod postgres;
mod sqlite;

use super::error::{DatabaseError, Why, missing};
use super::record::{self, Engine, Record};
use super::{Databases, Status};
use std::time::Duration;

/// So many rows are on a page.
pub const PAGE: u64 = 50;
/// A value beyond so many characters is cut.
const LONGEST_VALUE: usize = 500;
/// More tables than this are counted and not listed.
const MOST_TABLES: usize = 2000;
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Tables with more rows are counted up to this many.
const MOST_COUNTED: u64 = 1_000_000;

/// A table or a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The schema; empty in SQLite, which has but one.
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
    /// The type, in the database's words.
    pub kind: String,
}

/// Some rows of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    /// The columns.
    pub columns: Vec<Column>,
    /// The rows: a value for each column, nothing where it is null.
    pub rows: Vec<Vec<Option<String>>>,
    /// There are more behind them.
    pub has_more: bool,
}

impl Databases {
    fn running(&self, name: &str) -> Result<Record, DatabaseError> {
        // Whatever somebody writes into an address that is no name is the name of no database.
        let record = match record::check_name(name) {
            Ok(()) => self.known(name)?,
            Err(_) => return Err(missing(name, &self.names())),
        };
        match self.status(&record) {
            Status::Running => Ok(record),
            status => Err(DatabaseError::new(Why::Wrong, format!("the database `{name}` is {}", status.word()))),
        }
    }

    /// The tables and views of a database that runs, sorted; those of the system are left out.
    ///
    /// # Errors
    /// When there is no such database, it does not run, or does not answer.
    pub async fn tables(&self, name: &str) -> Result<Vec<Table>, DatabaseError> {
        let record = self.running(name)?;
        match record.engine {
            Engine::Sqlite => sqlite::ask(&record, sqlite::tables).await,
            Engine::Postgres => postgres::tables(&record, &self.access(&record)?).await,
        }
    }

    /// A page of a table's rows, counted from 0.
    ///
    /// # Errors
    /// As [`Databases::tables`], and when there is no such table.
    pub async fn rows(&self, name: &str, schema: &str, table: &str, page: u64) -> Result<Rows, DatabaseError> {
        let record = self.running(name)?;
        let tables = self.tables(name).await?;
        let known = tables.into_iter().find(|it| it.schema == schema && it.name == table);
        let Some(table) = known else {
            return Err(DatabaseError::new(Why::Missing, format!("the database `{name}` has no table `{table}`")));
        };
        let first = page.saturating_mul(PAGE).min(i64::MAX as u64);
        match record.engine {
            Engine::Sqlite => sqlite::ask(&record, move |file| sqlite::rows(file, &table, first)).await,
            Engine::Postgres => postgres::rows(&record, &self.access(&record)?, &table, first).await,
        }
    }

    /// How many rows all tables hold, up to a bound, and how many tables there are.
    ///
    /// # Errors
    /// As [`Databases::tables`].
    pub async fn count(&self, name: &str) -> Result<(u64, usize), DatabaseError> {
        let record = self.running(name)?;
        let tables: Vec<Table> = self.tables(name).await?.into_iter().filter(|table| !table.is_view).collect();
        let many = tables.len();
        let rows = match record.engine {
            Engine::Sqlite => sqlite::ask(&record, move |file| sqlite::count(file, &tables)).await?,
            Engine::Postgres => postgres::count(&record, &self.access(&record)?, &tables).await?,
        };
        Ok((rows, many))
    }
}

/// A name as SQL takes it, whatever is in it (SQL:2016 5.2, `<delimited identifier>`).
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Takes the row away that only tells that there are more.
fn of_page(columns: Vec<Column>, mut rows: Vec<Vec<Option<String>>>) -> Rows {
    let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let has_more = rows.len() > page;
    rows.truncate(page);
    Rows { columns, rows, has_more }
}

/// A value that is not too long to be looked at.
fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned() + "…",
        None => text,
    }
}

fn unanswered(record: &Record, why: impl std::fmt::Display) -> DatabaseError {
    DatabaseError::new(Why::Failed, format!("the database `{}` does not answer: {why}", record.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_name_in_sql() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("ä".repeat(500)), "ä".repeat(500));
        assert_eq!(cut("ä".repeat(501)), "ä".repeat(500) + "…");
    }

    #[test]
    fn one_row_more_than_a_page_tells_of_another() {
        let rows = |count| vec![vec![None]; count];
        assert!(!of_page(Vec::new(), rows(50)).has_more);
        let page = of_page(Vec::new(), rows(51));
        assert!(page.has_more && page.rows.len() == 50);
    }
}
