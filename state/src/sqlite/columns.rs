//! Conversion of values to columns and back.
//!
//! Rows are read column by column in the order of the statement. This is faster than access by name and, unlike
//! numbers, stays correct when a column is added in the middle.

use jiff::Timestamp;
use rusqlite::types::{FromSql, Type};
use rusqlite::{Error, Row};
use serde::de::{DeserializeOwned, IntoDeserializer};
use std::str::FromStr;
use std::time::Duration;
use terrace_engine::access::Access;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::Ids;
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

    /// True if the next column is null. It stays the next one.
    pub(super) fn is_null_next(&self) -> rusqlite::Result<bool> {
        Ok(self.row.get_ref(self.next)? == rusqlite::types::ValueRef::Null)
    }

    /// A number that is never negative.
    pub(super) fn count<T: TryFrom<i64>>(&mut self) -> rusqlite::Result<T> {
        let number: i64 = self.take()?;
        T::try_from(number).map_err(|_| Error::IntegralValueOutOfRange(self.last(), number))
    }

    pub(super) fn uuid(&mut self) -> rusqlite::Result<Uuid> {
        self.take().map(Uuid::from_bytes)
    }

    pub(super) fn time(&mut self) -> rusqlite::Result<Timestamp> {
        let microseconds: i64 = self.take()?;
        Timestamp::from_microsecond(microseconds).map_err(|_| Error::IntegralValueOutOfRange(self.last(), microseconds))
    }

    pub(super) fn optional_time(&mut self) -> rusqlite::Result<Option<Timestamp>> {
        if self.is_null_next()? {
            self.next += 1;
            return Ok(None);
        }
        self.time().map(Some)
    }

    pub(super) fn duration(&mut self) -> rusqlite::Result<Duration> {
        self.count().map(Duration::from_micros)
    }

    pub(super) fn stack(&mut self) -> rusqlite::Result<StackId> {
        Ok(StackId { name: self.take()?, environment: self.take()? })
    }

    pub(super) fn address(&mut self) -> rusqlite::Result<Address> {
        let text: String = self.take()?;
        Address::from_str(&text).map_err(|error| self.unreadable(error))
    }

    /// A deposed key; empty means none.
    pub(super) fn deposed(&mut self) -> rusqlite::Result<Option<String>> {
        Ok(Some(self.take::<String>()?).filter(|key| !key.is_empty()))
    }

    /// A list.
    pub(super) fn list<T: DeserializeOwned>(&mut self) -> rusqlite::Result<Vec<T>> {
        let text: String = self.take()?;
        if text == "[]" {
            return Ok(Vec::new());
        }
        serde_json::from_str(&text).map_err(|error| self.unreadable(error))
    }

    /// An access list: two columns, as `values::access` writes them.
    pub(super) fn access(&mut self) -> rusqlite::Result<Option<Access>> {
        let (principals, fields) = (self.optional()?, self.optional()?);
        Ok(principals.map(|principals| Access { principals, fields: fields.unwrap_or_default() }))
    }

    /// The IDs of a component's descriptor.
    pub(super) fn ids(&mut self) -> rusqlite::Result<Option<Ids>> {
        self.optional()
    }

    /// An optional JSON value.
    fn optional<T: DeserializeOwned>(&mut self) -> rusqlite::Result<Option<T>> {
        let text: Option<String> = self.take()?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.unreadable(error))).transpose()
    }

    /// A word of an enumeration.
    pub(super) fn word<T: DeserializeOwned>(&mut self) -> rusqlite::Result<T> {
        let text = self.row.get_ref(self.next)?.as_str()?;
        self.next += 1;
        T::deserialize(text.into_deserializer()).map_err(|error: serde::de::value::Error| self.unreadable(error))
    }

    fn unreadable(&self, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::FromSqlConversionFailure(self.last(), Type::Text, Box::new(error))
    }

    const fn last(&self) -> usize {
        self.next.saturating_sub(1)
    }
}

/// A number for a column; SQLite's integers are signed.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
