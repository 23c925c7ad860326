//! Crontabs with five fields in the order of cron: minute, hour, day of the month, month, day of the week.
//!
//! Changes of the clock are handled as in cron. A time with fixed hours occurs once a day. If it does not exist on a
//! day, it occurs at the first minute after the gap; if it exists twice, it occurs the first time. Hourly times (`*`,
//! `*/2`) follow the elapsed time: none is skipped when the clock goes back.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};
use terrace_provider::cron::field::{DAY_OF_MONTH, DAY_OF_WEEK, Field, HOUR, MINUTE, MONTH, Part};

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// Number of days to search for the next time: the 29th of February occurs within eight years, and on a given day of
/// the week within forty.
const FURTHEST: usize = 41 * 366;
/// Number of clock changes to search; no zone has more in those years.
const CHANGES: usize = 200;

/// A recurring time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The hours begin with `*`.
    is_hourly: bool,
    /// Both day of the month and day of the week are restricted: then either is enough.
    is_either: bool,
}

impl Cron {
    /// Parses the crontab of a spec. The scheduler of dpp expects the weekday in the third field. A crontab with a
    /// weekday there is read in that order; the day of the month must match too.
    ///
    /// # Errors
    /// As [`Cron::parse`].
    pub fn of_spec(text: &str) -> Result<Self, String> {
        match in_cron_order(text) {
            Some(in_order) => Self { is_either: false, ..Self::parse(&in_order.text)? }.ensure_occurs(text),
            None => Self::parse(text),
        }
    }

    /// Parses a crontab.
    ///
    /// # Errors
    /// When it is not valid; the error is for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = *fields.as_slice() else {
            return Err(format!(
                "`{text}` has {} fields: expected five, minute, hour, day of the month, month and day of the week",
                fields.len()
            ));
        };
        let weekdays = numbers_of(&DAY_OF_WEEK, weekday)?;
        let cron = Self {
            minutes: numbers_of(&MINUTE, minute)?,
            hours: numbers_of(&HOUR, hour)?,
            days: numbers_of(&DAY_OF_MONTH, day)?,
            months: numbers_of(&MONTH, month)?,
            // Sunday has two numbers.
            weekdays: weekdays & 0x7F | weekdays >> 7 & 1,
            is_hourly: hour.starts_with('*'),
            is_either: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        cron.ensure_occurs(text)
    }

    /// Returns itself if it ever occurs.
    fn ensure_occurs(self, text: &str) -> Result<Self, String> {
        let some_day = Date::constant(2000, 1, 1).at(0, 0, 0, 0);
        match self.next_local(some_day) {
            Some(_) => Ok(self),
            None => Err(format!("`{text}` never occurs: no such month has such a day")),
        }
    }

    /// Returns the first time after `after`, by the clock of a zone; nothing if it never occurs again.
    #[must_use]
    pub fn next(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        if self.is_hourly { self.next_by_elapsed_time(zone, after) } else { self.next_by_clock(zone, after) }
    }

    /// Next time by elapsed time, which is regular between two changes of the clock.
    fn next_by_elapsed_time(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let mut from = next_minute(after)?;
        let mut changes = zone.following(after).map(|change| change.timestamp());
        for _ in 0..CHANGES {
            let until = changes.next();
            let offset = zone.to_offset(from);
            let found = self.next_local(offset.to_datetime(from)).and_then(|local| offset.to_timestamp(local).ok());
            match until {
                Some(until) if found.is_none_or(|found| found >= until) => from = from.max(until),
                _ => return found,
            }
        }
        None
    }

    /// Next time if each clock time counts once.
    fn next_by_clock(&self, zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
        let begin = next_minute(after)?;
        let mut local = zone.to_offset(begin).to_datetime(begin);
        loop {
            local = self.next_local(local)?;
            let found = match zone.to_ambiguous_timestamp(local).offset() {
                AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                    offset.to_timestamp(local).ok()?
                }
                // With the offset after the gap, a time inside the gap is before the gap.
                AmbiguousOffset::Gap { after, .. } => {
                    zone.following(after.to_timestamp(local).ok()?).next()?.timestamp()
                }
            };
            if found > after {
                return Some(found);
            }
            local = local.checked_add(1.minute()).ok()?;
        }
    }

    /// First clock time at or after `from`.
    fn next_local(&self, from: DateTime) -> Option<DateTime> {
        let (mut date, mut least) = (from.date(), (from.hour(), from.minute()));
        for _ in 0..FURTHEST {
            if self.is_day(date)
                && let Some((hour, minute)) = self.next_of_day(least)
            {
                return Some(date.at(hour, minute, 0, 0));
            }
            date = date.tomorrow().ok()?;
            least = (0, 0);
        }
        None
    }

    fn is_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.is_either { day || weekday } else { day && weekday }
    }

    fn next_of_day(&self, (hour, minute): (i8, i8)) -> Option<(i8, i8)> {
        let first = |from: i8| (from..60).find(|minute| has(self.minutes, *minute));
        let now = has(self.hours, hour).then(|| first(minute)).flatten().map(|minute| (hour, minute));
        now.or_else(|| {
            let later = (hour.saturating_add(1)..24).find(|hour| has(self.hours, *hour))?;
            Some((later, first(0)?))
        })
    }
}

fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set.checked_shr(number).is_some_and(|set| set & 1 == 1))
}

/// Start of the minute after this moment.
fn next_minute(after: Timestamp) -> Option<Timestamp> {
    let second = after.as_second();
    Timestamp::from_second(second.checked_sub(second.rem_euclid(60))?.checked_add(60)?).ok()
}

/// The numbers of a field, as bits.
fn numbers_of(field: &Field, text: &str) -> Result<u64, String> {
    let (least, most) = (*field.range.start(), *field.range.end());
    let mut numbers = 0;
    for part in field.parse_in_order(text)? {
        let (first, last) = match part {
            Part { bounds: None, .. } => (least, most),
            // `5/15` continues to the maximum, `5` alone does not.
            Part { bounds: Some((first, _)), is_range: false, step: Some(_) } => (first, most),
            Part { bounds: Some(bounds), .. } => bounds,
        };
        (first..=last).step_by(usize::from(part.step.unwrap_or(1))).for_each(|number| numbers |= 1 << number);
    }
    Ok(numbers)
}

/// A crontab of dpp's scheduler, converted to the order of cron.
pub(super) struct InCronOrder {
    /// The fields.
    pub(super) text: String,
    /// Cron runs it at the same times.
    pub(super) is_same: bool,
}

/// Converts a crontab with a weekday in its third field to the order of cron. Its order is minute, hour, day of the
/// week, day of the month, month. A number in the third field is a day of the month, as in cron.
pub(super) fn in_cron_order(text: &str) -> Option<InCronOrder> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, weekday, day, month] = *fields.as_slice() else { return None };
    weekday.split([',', '-', '/']).any(is_weekday).then(|| InCronOrder {
        text: [minute, hour, day, month, short(weekday).as_str()].join(" "),
        is_same: day.starts_with('*'),
    })
}

/// Returns true for the short or full name of a weekday.
fn is_weekday(text: &str) -> bool {
    WEEKDAYS
        .iter()
        .any(|name| name.eq_ignore_ascii_case(text) || name.get(..3).is_some_and(|it| it.eq_ignore_ascii_case(text)))
}

/// Shortens weekdays to three letters, and splits ranges that cross the end of the week.
fn short(weekday: &str) -> String {
    let mut text = weekday.to_ascii_lowercase();
    for (name, short) in WEEKDAYS.iter().zip(DAYS) {
        text = text.replace(name, short);
    }
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let parts = text.split(',').map(|part| match part.split_once('-') {
        Some((from, to)) if day(from).zip(day(to)).is_some_and(|(from, to)| from > to) => {
            format!("{from}-sat,sun-{to}")
        }
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<String> {
        Cron::parse(text).err()
    }

    #[test]
    fn crontab_has_five_fields_of_numbers() {
        for right in ["0 1 * * *", "*/15 0-5,12 1,15 jan-mar mon", "10 1-22/3 * * *", "0 0 * * 7", "0 0 29 2 *"] {
            assert_eq!(fault(right), None, "{right}");
        }
        for (wrong, words) in [
            ("0 1 * *", "has 4 fields"),
            ("60 * * * *", "minute: `60`"),
            ("0 0 0 * *", "day of month: `0`"),
            ("0 0 * * fry", "day of week: `fry`"),
            ("*/0 * * * *", "minute: `*/0`"),
            ("0 5-1 * * *", "hour: the range `5-1`"),
            ("0 0 31 2 *", "never occurs"),
        ] {
            assert!(fault(wrong).is_some_and(|message| message.contains(words)), "{wrong}: {:?}", fault(wrong));
        }
    }

    /// Times after a moment, by the clock of the zone, with their offset from UTC.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (cron, zone) = (Cron::parse(cron).unwrap(), TimeZone::get(zone).unwrap());
        let mut at: Timestamp = after.parse().unwrap();
        let mut next = || {
            at = cron.next(&zone, at)?;
            Some(at.to_zoned(zone.clone()).strftime("%a %F %H:%M%z").to_string())
        };
        (0..count).map_while(|_| next()).collect()
    }

    #[test]
    fn field_order_is_that_of_cron() {
        let second_of_month = times("0 1 2 * *", "UTC", "2026-01-05T00:00:00Z", 2);
        assert_eq!(second_of_month, ["Mon 2026-02-02 01:00+0000", "Mon 2026-03-02 01:00+0000"]);
        // With both day and weekday restricted, either is enough; with `*`, both must match.
        let either = times("0 0 13 * fri", "UTC", "2026-02-01T00:00:00Z", 3);
        assert_eq!(either, ["Fri 2026-02-06 00:00+0000", "Fri 2026-02-13 00:00+0000", "Fri 2026-02-20 00:00+0000"]);
        assert_eq!(
            times("5/20 9 * * 7", "UTC", "2026-01-01T00:00:00Z", 2),
            ["Sun 2026-01-04 09:05+0000", "Sun 2026-01-04 09:25+0000"]
        );
        assert_eq!(times("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), ["Fri 2104-02-29 00:00+0000"]);
    }

    #[test]
    fn weekday_in_third_field_runs_as_scheduler_of_dpp() {
        let next = |cron: &str| {
            let at = Cron::of_spec(cron).unwrap().next(&TimeZone::UTC, "2026-02-01T12:00:00Z".parse().unwrap());
            at.unwrap().strftime("%a %F %H:%M").to_string()
        };
        assert_eq!(next("0 1 mon * *"), "Mon 2026-02-02 01:00");
        assert_eq!(next("0 1 Friday * *"), "Fri 2026-02-06 01:00");
        assert_eq!(next("0 1 sat,sun * 3"), "Sun 2026-03-01 01:00");
        assert_eq!(next("30 2 wed-fri 13 *"), "Fri 2026-02-13 02:30", "both days must match");
        assert_eq!(next("0 1 fri-mon * 3"), "Sun 2026-03-01 01:00");
        assert_eq!(
            in_cron_order("0 1 Monday 5 *").map(|it| (it.text, it.is_same)),
            Some(("0 1 5 * mon".to_owned(), false))
        );
        for (wrong, words) in
            [("0 1 mon 32 *", "day of month: `32`"), ("0 1 mon * 13", "month: `13`"), ("0 1 mon 31 2", "never occurs")]
        {
            assert!(Cron::of_spec(wrong).unwrap_err().contains(words), "{wrong}");
        }
        assert!(in_cron_order("0 1 2 * *").is_none() && in_cron_order("0 1 * * mon").is_none());
        assert!(Cron::parse("0 1 mon * *").is_err(), "schedules of a stack use the order of cron");
    }

    #[test]
    fn nonexistent_time_occurs_at_first_minute_after_gap() {
        // On the 29th of March 2026, 03:00 follows 01:59.
        let daily = times("30 2 * * *", "Europe/Rome", "2026-03-27T12:00:00Z", 3);
        assert_eq!(daily, ["Sat 2026-03-28 02:30+0100", "Sun 2026-03-29 03:00+0200", "Mon 2026-03-30 02:30+0200"]);
        let several = times("*/15 2 * * *", "Europe/Rome", "2026-03-29T00:00:00Z", 2);
        assert_eq!(several, ["Sun 2026-03-29 03:00+0200", "Mon 2026-03-30 02:00+0200"]);
        // If midnight does not exist, the day begins at one.
        let midnight = times("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", 2);
        assert_eq!(midnight, ["Fri 2026-04-24 01:00+0300", "Sat 2026-04-25 00:00+0300"]);
        // A zone whose clock goes forward by half an hour.
        let half = times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);
        assert_eq!(half, ["Sun 2026-10-04 02:30+1100", "Mon 2026-10-05 02:15+1100"]);
    }

    #[test]
    fn time_that_exists_twice_occurs_once() {
        // On the 25th of October 2026, 02:00 follows 02:59.
        let daily = times("30 2 * * *", "Europe/Rome", "2026-10-24T12:00:00Z", 2);
        assert_eq!(daily, ["Sun 2026-10-25 02:30+0200", "Mon 2026-10-26 02:30+0100"]);
        // Also if the search starts between the two.
        let between = times("30 2 * * *", "Europe/Rome", "2026-10-25T00:45:00Z", 1);
        assert_eq!(between, ["Mon 2026-10-26 02:30+0100"]);
    }

    #[test]
    fn hourly_time_follows_elapsed_time() {
        let back = times("0 * * * *", "Europe/Rome", "2026-10-24T23:30:00Z", 4);
        assert_eq!(
            back,
            [
                "Sun 2026-10-25 02:00+0200",
                "Sun 2026-10-25 02:00+0100",
                "Sun 2026-10-25 03:00+0100",
                "Sun 2026-10-25 04:00+0100"
            ]
        );
        let forward = times("30 * * * *", "Europe/Rome", "2026-03-29T00:00:00Z", 2);
        assert_eq!(forward, ["Sun 2026-03-29 01:30+0100", "Sun 2026-03-29 03:30+0200"]);
    }
}
