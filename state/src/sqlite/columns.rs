//! Columns of SQLite.

use crate::columns::ReadColumns;
use jiff::Timestamp;
use rusqlite::types::{FromSql, Type, ValueRef};
use rusqlite::{Error, Row};
use uuid::Uuid;

/// The columns of a row, in sequence.
pub(super) struct Columns<'row> {
    row: &'row Row<'row>,
    next: usize,
}

impl<'row> Columns<'row> {
    pub(super) const fn of(row: &'row Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn take<T: FromSql>(&mut self) -> rusqlite::Result<T> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    const fn last(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

impl ReadColumns for Columns<'_> {
    type Error = Error;

    fn text(&mut self) -> rusqlite::Result<String> {
        self.take()
    }

    fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> T) -> rusqlite::Result<T> {
        let text = self.row.get_ref(self.next)?.as_str()?;
        self.next += 1;
        Ok(parse(text))
    }

    fn optional_text(&mut self) -> rusqlite::Result<Option<String>> {
        self.take()
    }

    fn bytes(&mut self) -> rusqlite::Result<Vec<u8>> {
        self.take()
    }

    fn flag(&mut self) -> rusqlite::Result<bool> {
        self.take()
    }

    fn count<T: TryFrom<i64>>(&mut self) -> rusqlite::Result<T> {
        let number: i64 = self.take()?;
        T::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(self.last(), number))
    }

    fn uuid(&mut self) -> rusqlite::Result<Uuid> {
        self.take().map(Uuid::from_bytes)
    }

    fn time(&mut self) -> rusqlite::Result<Timestamp> {
        let microseconds: i64 = self.take()?;
        Timestamp::from_microsecond(microseconds).map_err(|_| Error::IntegralValueOutOfRange(self.last(), microseconds))
    }

    fn optional_time(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        if self.is_null_next()? {
            self.next += 1;
            return Ok(None);
        }
        self.time().map(Some)
    }

    fn is_null_next(&self) -> rusqlite::Result<bool> {
        Ok(self.row.get_ref(self.next)? == ValueRef::Null)
    }

    fn unreadable(&self, error: Box<dyn std::error::Error + Send + Sync>) -> Error {
        Error::FromSqlConversionFailure(self.last(), Type::Text, error)
    }
}

/// A number for a column; SQLite's integers are signed.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
