//! Fields of cron and Quartz expressions: numbers, names, ranges, steps and lists of them.

use std::ops::RangeInclusive;

/// Names of the months, from the first.
pub const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
/// Names of the days of the week, from Sunday.
pub const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// The minute.
pub const MINUTE: Field = Field { name: "minute", range: 0..=59, names: &[] };
/// The hour.
pub const HOUR: Field = Field { name: "hour", range: 0..=23, names: &[] };
/// The day of the month.
pub const DAY_OF_MONTH: Field = Field { name: "day of month", range: 1..=31, names: &[] };
/// The month.
pub const MONTH: Field = Field { name: "month", range: 1..=12, names: &MONTHS };
/// Cron's day of the week: 0 and 7 are Sunday.
pub const DAY_OF_WEEK: Field = Field { name: "day of week", range: 0..=7, names: &DAYS };

/// The allowed values of a field.
#[derive(Debug)]
pub struct Field {
    /// The name in errors.
    pub name: &'static str,
    /// The allowed numbers.
    pub range: RangeInclusive<u16>,
    /// Names of numbers, from the first.
    pub names: &'static [&'static str],
}

/// A comma-separated part of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// First and last value, equal for a single value; `None` for `*`. In Quartz the first may be greater than the last:
    /// `22-2`.
    pub bounds: Option<(u16, u16)>,
    /// True for `a-b`.
    pub is_range: bool,
    /// `/n`.
    pub step: Option<u16>,
}

impl Field {
    /// Parses a field.
    ///
    /// # Errors
    /// The first part that is not valid, in words.
    pub fn parse(&self, text: &str) -> Result<Vec<Part>, String> {
        text.split(',').map(|part| self.parse_part(part)).collect()
    }

    /// Parses a part of a field.
    ///
    /// # Errors
    /// When it is not valid, in words.
    pub fn parse_part(&self, text: &str) -> Result<Part, String> {
        let Self { name, range, names } = self;
        let error = || {
            let also = if names.is_empty() { String::new() } else { format!(" or {}", names.join(", ")) };
            format!(
                "{name}: `{text}` is not a number from {} to {}{also}, nor a range, step or list of them",
                range.start(),
                range.end()
            )
        };
        let (bounds, step) = match text.split_once('/') {
            Some((bounds, step)) => (bounds, Some(whole(step).filter(|step| *step > 0).ok_or_else(error)?)),
            None => (text, None),
        };
        if bounds == "*" {
            return Ok(Part { bounds: None, is_range: false, step });
        }
        let (first, last, is_range) = match bounds.split_once('-') {
            Some((first, last)) => (self.number(first), self.number(last), true),
            None => (self.number(bounds), self.number(bounds), false),
        };
        let (Some(first), Some(last)) = (first, last) else { return Err(error()) };
        Ok(Part { bounds: Some((first, last)), is_range, step })
    }

    /// Parses a field of cron, whose ranges do not continue at the first value.
    ///
    /// # Errors
    /// The first part that is not valid, in words.
    pub fn parse_in_order(&self, text: &str) -> Result<Vec<Part>, String> {
        let parts = self.parse(text)?;
        let is_reversed = |part: &&Part| part.bounds.is_some_and(|(first, last)| first > last);
        match parts.iter().find(is_reversed) {
            Some(_) => Err(format!("{}: the range `{text}` ends before it begins", self.name)),
            None => Ok(parts),
        }
    }

    /// The number that a word stands for: JAN is 1; SUN is 0 in cron and 1 in Quartz.
    #[must_use]
    pub fn number(&self, word: &str) -> Option<u16> {
        let named = self.names.iter().position(|known| known.eq_ignore_ascii_case(word));
        match named.and_then(|position| u16::try_from(position).ok()) {
            Some(position) => Some(position + self.range.start()),
            None => whole(word).filter(|number| self.range.contains(number)),
        }
    }
}

/// A number without a sign.
fn whole(word: &str) -> Option<u16> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}
