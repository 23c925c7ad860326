//! Conversion of values to columns and back.
//!
//! PostgreSQL's texts cannot contain NUL, but a sealed text may: [`text`] encodes it as two characters. Times are
//! truncated to microseconds, as in the other stores.

use super::error::Failure;
use crate::columns::ReadColumns;
use jiff::Timestamp;
use std::borrow::Cow;
use std::error::Error;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

/// Starts the two-character encoding of NUL and of itself. The encoding preserves the sort order.
const ESCAPE: char = '\u{1}';

/// A text for a column.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => escaped.extend([ESCAPE, '\u{1}']),
            ESCAPE => escaped.extend([ESCAPE, '\u{2}']),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains(ESCAPE) {
        return Cow::Borrowed(text);
    }
    let mut unescaped = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            ESCAPE if characters.next() == Some('\u{1}') => unescaped.push('\0'),
            other => unescaped.push(other),
        }
    }
    Cow::Owned(unescaped)
}

/// The columns of a row, in sequence.
pub(super) struct Columns<'row> {
    row: &'row Row,
    next: usize,
}

impl<'row> Columns<'row> {
    pub(super) const fn of(row: &'row Row) -> Self {
        Self { row, next: 0 }
    }

    /// A value that is not a text.
    pub(super) fn take<T: FromSql<'row>>(&mut self) -> Result<T, Failure> {
        let value = self.row.try_get(self.next)?;
        self.next += 1;
        Ok(value)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self) -> Result<Vec<String>, Failure> {
        Ok(self.take::<Vec<&str>>()?.into_iter().map(|text| unescaped(text).into_owned()).collect())
    }
}

impl ReadColumns for Columns<'_> {
    type Error = Failure;

    fn text(&mut self) -> Result<String, Failure> {
        self.take().map(|text| unescaped(text).into_owned())
    }

    fn parsed<T>(&mut self, parse: impl FnOnce(&str) -> T) -> Result<T, Failure> {
        self.take().map(|text| parse(&unescaped(text)))
    }

    fn optional_text(&mut self) -> Result<Option<String>, Failure> {
        Ok(self.take::<Option<&str>>()?.map(|text| unescaped(text).into_owned()))
    }

    fn bytes(&mut self) -> Result<Vec<u8>, Failure> {
        self.take()
    }

    fn flag(&mut self) -> Result<bool, Failure> {
        self.take()
    }

    fn count<T: TryFrom<i64>>(&mut self) -> Result<T, Failure> {
        let number: i64 = self.take()?;
        T::try_from(number).map_err(|_| self.unreadable(number.to_string().into()))
    }

    fn uuid(&mut self) -> Result<Uuid, Failure> {
        self.take()
    }

    fn time(&mut self) -> Result<Timestamp, Failure> {
        self.take()
    }

    fn optional_time(&mut self) -> Result<Option<Timestamp>, Failure> {
        self.take()
    }

    fn is_null_next(&self) -> Result<bool, Failure> {
        Ok(self.row.try_get::<_, Option<&str>>(self.next)?.is_none())
    }

    fn unreadable(&self, error: Box<dyn Error + Send + Sync>) -> Failure {
        let column = self.row.columns().get(self.next.saturating_sub(1)).map_or("?", |column| column.name());
        Failure::Unreadable(format!("cannot read the column `{column}`: {error}"))
    }
}

/// A number for a column; PostgreSQL's integers are signed.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A time for a column: with the precision of the column, and not before its minimum.
pub(super) fn time(time: Timestamp) -> Timestamp {
    /// The minimum: two thousand years before the epoch.
    const FIRST: i64 = -63_113_904_000_000_000;
    Timestamp::from_microsecond(time.as_microsecond().max(FIRST)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_a_round_trip() {
        for text in ["", "plain ☃", "\0", "\u{1}", "a\0\u{1}\u{2}\u{1}b\0", "\u{1}\u{1}\0\0"] {
            let crossed = super::text(text);
            assert!(!crossed.contains('\0'));
            assert_eq!(unescaped(&crossed), text);
        }
        assert!(super::text("a\0") < super::text("a\u{1}"), "the order is preserved");
    }

    #[test]
    fn times_before_the_minimum_become_the_minimum() {
        assert_eq!(time(Timestamp::MIN).to_string(), "-000030-01-01T00:00:00Z");
        assert_eq!(time(Timestamp::new(5, 1_999).unwrap()), Timestamp::new(5, 1_000).unwrap());
    }
}
