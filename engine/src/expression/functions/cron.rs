//! Conversion of schedules between five cron fields and Quartz.
//!
//! Quartz has a seconds field first, requires `?` in one of the two day fields, and counts the days of the week from
//! Sunday = 1, while cron counts from Sunday = 0. So the output names the days of the week.

use std::ops::RangeInclusive;

/// The allowed values of a field.
struct Field {
    name: &'static str,
    range: RangeInclusive<u8>,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const MINUTE: Field = Field { name: "minute", range: 0..=59, names: &[] };
const HOUR: Field = Field { name: "hour", range: 0..=23, names: &[] };
const DAY_OF_MONTH: Field = Field { name: "day of month", range: 1..=31, names: &[] };
const MONTH: Field = Field { name: "month", range: 1..=12, names: &MONTHS };
/// Cron's day of the week: 0 and 7 are Sunday.
const DAY_OF_WEEK: Field = Field { name: "day of week", range: 0..=7, names: &DAYS };
/// Quartz's day of the week: 1 is Sunday.
const QUARTZ_DAY_OF_WEEK: Field = Field { name: "day of week", range: 1..=7, names: &DAYS };

/// The named schedules of cron.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// A comma-separated part of a field.
struct Part {
    /// First and last value, equal for a single value; `None` for `*`.
    bounds: Option<(u8, u8)>,
    /// True for `a-b`.
    is_range: bool,
    /// `/n`.
    step: Option<u8>,
}

/// Converts `0 6 * * 1-5` to `0 0 6 ? * MON-FRI`.
pub(super) fn to_quartz(text: &str) -> Result<String, String> {
    let expanded = NAMED.iter().find(|(name, _)| *name == text.trim()).map_or(text, |(_, fields)| fields);
    let fields: Vec<&str> = expanded.split_whitespace().collect();
    let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
        return Err(format!(
            "expected the 5 fields `minute hour day-of-month month day-of-week`, found {}",
            fields.len()
        ));
    };
    check(minute, &MINUTE)?;
    check(hour, &HOUR)?;
    check(day_of_month, &DAY_OF_MONTH)?;
    check(month, &MONTH)?;
    let days = parse(day_of_week, &DAY_OF_WEEK)?;
    let (day_of_month, day_of_week) = match (*day_of_month, *day_of_week) {
        (day, "*") => (day, "?".to_owned()),
        ("*", _) => ("?", named_days(&days)),
        _ => {
            return Err("day of month and day of week are both restricted, which Quartz does not support: \
                        make one of them `*`"
                .to_owned());
        }
    };
    Ok(format!("0 {minute} {hour} {day_of_month} {month} {day_of_week}"))
}

/// Converts `0 0 6 ? * MON-FRI` to `0 6 * * MON-FRI`.
pub(super) fn from_quartz(text: &str) -> Result<String, String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let ([second, minute, hour, day_of_month, month, day_of_week]
    | [second, minute, hour, day_of_month, month, day_of_week, _]) = fields.as_slice()
    else {
        return Err(format!(
            "expected 6 or 7 fields `second minute hour day-of-month month day-of-week [year]`, found {}",
            fields.len()
        ));
    };
    if *second != "0" {
        return Err(format!("second: `{second}` has no counterpart, cron begins with minutes: expected `0`"));
    }
    if let Some(year) = fields.get(6).filter(|year| **year != "*") {
        return Err(format!("year: `{year}` has no counterpart in cron: expected `*` or nothing"));
    }
    let minute = stepped(minute, &MINUTE)?;
    let hour = stepped(hour, &HOUR)?;
    let day_of_month = stepped(if *day_of_month == "?" { "*" } else { day_of_month }, &DAY_OF_MONTH)?;
    let month = stepped(month, &MONTH)?;
    let day_of_week = match *day_of_week {
        "?" | "*" => "*".to_owned(),
        days => {
            let mut days = parse(days, &QUARTZ_DAY_OF_WEEK)?;
            for part in &mut days {
                part.bounds = part.bounds.map(|(first, last)| (first.saturating_sub(1), last.saturating_sub(1)));
            }
            named_days(&days)
        }
    };
    Ok(format!("{minute} {hour} {day_of_month} {month} {day_of_week}"))
}

fn check(field: &str, rule: &Field) -> Result<(), String> {
    for part in parse(field, rule)? {
        if part.step.is_some() && part.bounds.is_some() && !part.is_range {
            return Err(format!("{}: a step needs a range or `*` before it, found `{field}`", rule.name));
        }
    }
    Ok(())
}

/// Converts a field of Quartz to cron: `5/15` to `5-59/15`.
fn stepped(field: &str, rule: &Field) -> Result<String, String> {
    let last = rule.range.end();
    let parts = parse(field, rule)?;
    let written = parts.iter().zip(field.split(',')).map(|(part, text)| match (part.bounds, part.step) {
        (Some((first, _)), Some(step)) if !part.is_range && first == *rule.range.start() => format!("*/{step}"),
        (Some((first, _)), Some(step)) if !part.is_range => format!("{first}-{last}/{step}"),
        _ => text.to_owned(),
    });
    Ok(written.collect::<Vec<_>>().join(","))
}

fn parse(field: &str, rule: &Field) -> Result<Vec<Part>, String> {
    field.split(',').map(|part| parse_part(part, rule)).collect()
}

fn parse_part(text: &str, rule: &Field) -> Result<Part, String> {
    let Field { name, range, names } = rule;
    let error = || {
        let also = if names.is_empty() { String::new() } else { format!(" or {}", names.join(", ")) };
        format!(
            "{name}: `{text}` is not a number from {} to {}{also}, nor a range, step or list of them",
            range.start(),
            range.end()
        )
    };
    let (bounds, step) = match text.split_once('/') {
        Some((bounds, step)) => (bounds, Some(step.parse::<u8>().ok().filter(|step| *step > 0).ok_or_else(error)?)),
        None => (text, None),
    };
    if bounds == "*" {
        return Ok(Part { bounds: None, is_range: false, step });
    }
    let number = |word: &str| -> Option<u8> {
        if let Some(at) = names.iter().position(|known| known.eq_ignore_ascii_case(word)) {
            // A name stands for a number of its field: JAN is 1; SUN is 0 in cron and 1 in Quartz.
            return u8::try_from(at).ok().map(|at| at + range.start());
        }
        let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
        word.parse().ok().filter(|number| is_plain && range.contains(number))
    };
    let (first, last, is_range) = match bounds.split_once('-') {
        Some((first, last)) => (number(first), number(last), true),
        None => (number(bounds), number(bounds), false),
    };
    let (Some(first), Some(last)) = (first, last) else { return Err(error()) };
    // Only the week may wrap around (FRI-MON); hours and months may not.
    if first > last && names.len() != DAYS.len() {
        return Err(format!("{name}: the range `{bounds}` ends before it begins"));
    }
    Ok(Part { bounds: Some((first, last)), is_range, step })
}

/// Names the days of the week (0 is Sunday). Ranges stay ranges; steps are expanded.
fn named_days(parts: &[Part]) -> String {
    let name = |day: u8| DAYS.get(usize::from(day % 7)).copied().unwrap_or_default();
    let written = parts.iter().map(|part| match (part.bounds, part.step) {
        (None, None) => "*".to_owned(),
        (Some((first, last)), None) if part.is_range => format!("{}-{}", name(first), name(last)),
        (Some((day, _)), None) => name(day).to_owned(),
        (bounds, Some(step)) => {
            let (first, last) = match bounds {
                None => (0, 6),
                Some((first, _)) if !part.is_range => (first, 6.max(first)),
                Some((first, last)) if last < first => (first, last + 7),
                Some(both) => both,
            };
            (first..=last).step_by(usize::from(step)).map(name).collect::<Vec<_>>().join(",")
        }
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cron_becomes_quartz() {
        for (cron, quartz) in [
            ("0 6 * * *", "0 0 6 * * ?"),
            ("*/15 * * * *", "0 */15 * * * ?"),
            ("0 6 1,15 * *", "0 0 6 1,15 * ?"),
            ("30 6 * JAN-MAR 1-5", "0 30 6 ? JAN-MAR MON-FRI"),
            ("0 0 * * 0", "0 0 0 ? * SUN"),
            ("0 0 * * 7", "0 0 0 ? * SUN"),
            ("0 0 * * 5-7", "0 0 0 ? * FRI-SUN"),
            ("0 0 * * */2", "0 0 0 ? * SUN,TUE,THU,SAT"),
            ("0 0 * * mon,3", "0 0 0 ? * MON,WED"),
            ("@daily", "0 0 0 * * ?"),
            ("@weekly", "0 0 0 ? * SUN"),
        ] {
            assert_eq!(to_quartz(cron).as_deref(), Ok(quartz), "{cron}");
        }
    }

    #[test]
    fn quartz_becomes_cron() {
        for (quartz, cron) in [
            ("0 0 6 * * ?", "0 6 * * *"),
            ("0 0/15 * * * ?", "*/15 * * * *"),
            ("0 5/15 * * * ? *", "5-59/15 * * * *"),
            ("0 30 6 ? JAN-MAR MON-FRI", "30 6 * JAN-MAR MON-FRI"),
            ("0 0 0 ? * 1", "0 0 * * SUN"),
            ("0 0 0 ? * 2-6", "0 0 * * MON-FRI"),
            ("0 0 0 ? * 6/1", "0 0 * * FRI,SAT"),
        ] {
            assert_eq!(from_quartz(quartz).as_deref(), Ok(cron), "{quartz}");
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (text, start) in [
            ("60 * * * *", "minute: `60`"),
            ("0 24 * * *", "hour: `24`"),
            ("0 0 0 * *", "day of month: `0`"),
            ("0 0 * FOO *", "month: `FOO`"),
            ("0 0 * * 8", "day of week: `8`"),
            ("5/15 * * * *", "minute: a step"),
            ("9-3 * * * *", "minute: the range `9-3`"),
            ("*/0 * * * *", "minute: `*/0`"),
            ("+1 * * * *", "minute: `+1`"),
            ("0 0 1 * 1", "day of month and day of week"),
            ("0 0 *", "expected the 5 fields"),
            ("", "expected the 5 fields"),
        ] {
            let error = to_quartz(text).unwrap_err();
            assert!(error.starts_with(start), "{text}: {error}");
        }
        for (text, start) in [
            ("5 0 0 * * ?", "second: `5`"),
            ("0 0 0 * * ? 2030", "year: `2030`"),
            ("0 0 0 L * ?", "day of month: `L`"),
            ("0 0 0 ? * 6#3", "day of week: `6#3`"),
            ("0 0 6 * *", "expected 6 or 7 fields"),
        ] {
            let error = from_quartz(text).unwrap_err();
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
