//! Cron expressions of the Quartz scheduler: seconds, minutes, hours, day of month, month, day of week, optional year.
//! <https://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html>
//!
//! Compared with cron, Quartz has a seconds field first, requires `?` in one of the two day fields, and counts the days
//! of the week from Sunday = 1, while cron counts from Sunday = 0. So converted expressions name the days of the week.

use super::field::{DAY_OF_MONTH, DAY_OF_WEEK, DAYS, Field, HOUR, MINUTE, MONTH, Part};

const SECOND: Field = Field { name: "second", range: 0..=59, names: &[] };
/// Quartz's day of the week: 1 is Sunday.
const QUARTZ_DAY_OF_WEEK: Field = Field { name: "day of week", range: 1..=7, names: &DAYS };
const YEAR: Field = Field { name: "year", range: 1970..=2099, names: &[] };

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

/// Checks an expression.
///
/// # Errors
/// The problem, in words.
pub fn check(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if !matches!(fields.len(), 6 | 7) {
        return Err(format!("it has {} fields, not six or seven", fields.len()));
    }
    let rules = [SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH, QUARTZ_DAY_OF_WEEK, YEAR];
    for (position, (field, rule)) in fields.iter().zip(&rules).enumerate() {
        match (*field, position) {
            ("?", 3 | 5) => {}
            ("?", _) => return Err(format!("`?` is allowed only for days, not for {}", rule.name)),
            _ => field
                .split(',')
                .filter(|part| !is_special_day(part, position))
                .try_for_each(|part| rule.parse_part(part).map(|_| ()))?,
        }
    }
    let is_open = |position: usize| fields.get(position).is_some_and(|field| *field == "?");
    match (is_open(3), is_open(5)) {
        (true, true) => Err("day of month or day of week needs a value".to_owned()),
        (false, false) => Err("day of month or day of week must be `?`".to_owned()),
        _ => Ok(()),
    }
}

/// Returns true for a day that only Quartz has: the last day (`L`, `L-3`, `6L`), the closest workday (`15W`, `LW`), the
/// third Friday (`6#3`).
fn is_special_day(part: &str, position: usize) -> bool {
    let is_day = |rule: &Field, day: &str| rule.number(day).is_some();
    let is_within = |number: &str, most: u16| number.parse().is_ok_and(|number: u16| (1..=most).contains(&number));
    match position {
        3 => {
            matches!(part, "L" | "LW")
                || part.strip_prefix("L-").is_some_and(|back| is_within(back, 30))
                || part.strip_suffix('W').is_some_and(|day| is_day(&DAY_OF_MONTH, day))
        }
        5 => {
            part == "L"
                || part.strip_suffix('L').is_some_and(|day| is_day(&QUARTZ_DAY_OF_WEEK, day))
                || part.split_once('#').is_some_and(|(day, nth)| is_day(&QUARTZ_DAY_OF_WEEK, day) && is_within(nth, 5))
        }
        _ => false,
    }
}

/// Converts the five fields of cron to Quartz: `0 6 * * 1-5` to `0 0 6 ? * MON-FRI`.
///
/// # Errors
/// When a field is not valid, or Quartz has no equivalent, in words.
pub fn to_quartz(text: &str) -> Result<String, String> {
    let expanded = NAMED.iter().find(|(name, _)| *name == text.trim()).map_or(text, |(_, fields)| fields);
    let fields: Vec<&str> = expanded.split_whitespace().collect();
    let [minute, hour, day_of_month, month, day_of_week] = fields.as_slice() else {
        return Err(format!(
            "expected the 5 fields `minute hour day-of-month month day-of-week`, found {}",
            fields.len()
        ));
    };
    check_steps(minute, &MINUTE)?;
    check_steps(hour, &HOUR)?;
    check_steps(day_of_month, &DAY_OF_MONTH)?;
    check_steps(month, &MONTH)?;
    let days = DAY_OF_WEEK.parse(day_of_week)?;
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

/// Converts Quartz to the five fields of cron: `0 0 6 ? * MON-FRI` to `0 6 * * MON-FRI`.
///
/// # Errors
/// When a field is not valid, or cron has no equivalent, in words.
pub fn from_quartz(text: &str) -> Result<String, String> {
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
            let mut days = QUARTZ_DAY_OF_WEEK.parse(days)?;
            for part in &mut days {
                part.bounds = part.bounds.map(|(first, last)| (first.saturating_sub(1), last.saturating_sub(1)));
            }
            named_days(&days)
        }
    };
    Ok(format!("{minute} {hour} {day_of_month} {month} {day_of_week}"))
}

/// Refuses `5/15`, which is not valid in cron.
fn check_steps(field: &str, rule: &Field) -> Result<(), String> {
    for part in rule.parse_in_order(field)? {
        if part.step.is_some() && part.bounds.is_some() && !part.is_range {
            return Err(format!("{}: a step needs a range or `*` before it, found `{field}`", rule.name));
        }
    }
    Ok(())
}

/// Converts a field of Quartz to cron: `5/15` to `5-59/15`.
fn stepped(field: &str, rule: &Field) -> Result<String, String> {
    let last = rule.range.end();
    let parts = rule.parse_in_order(field)?;
    let written = parts.iter().zip(field.split(',')).map(|(part, text)| match (part.bounds, part.step) {
        (Some((first, _)), Some(step)) if !part.is_range && first == *rule.range.start() => format!("*/{step}"),
        (Some((first, _)), Some(step)) if !part.is_range => format!("{first}-{last}/{step}"),
        _ => text.to_owned(),
    });
    Ok(written.collect::<Vec<_>>().join(","))
}

/// Names the days of the week (0 is Sunday). Ranges stay ranges; steps are expanded.
fn named_days(parts: &[Part]) -> String {
    let name = |day: u16| DAYS.get(usize::from(day % 7)).copied().unwrap_or_default();
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

    #[test]
    fn check_accepts_only_quartz_expressions() {
        for right in [
            "0 30 6 * * ?",
            "0 0/5 14,18 * * ?",
            "0 15 10 ? * MON-FRI",
            "0 15 10 L * ? 2026-2027",
            "0 15 10 ? * 6#3",
            "0 0 12 1/5 * ?",
            "0 0 0 LW * ?",
            "0 0 0 L-3 * ?",
            "0 0 0 ? * 6L",
            "0 0 22-2 * * ?",
            "0 0 0 ? NOV-FEB FRI-MON",
        ] {
            assert_eq!(check(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "0 0 0 * *",
            "0 0 0 * * *",
            "0 0 0 ? * ?",
            "0 60 0 * * ?",
            "0 0 24 * * ?",
            "x 0 0 * * ?",
            "0 0 ? * * ?",
            "0 0 0 32 * ?",
            "0 0 0 ? * 8",
            "0 0/0 0 * * ?",
            "0 0 0 * JUNE ?",
            "0 0 0 * * ? 1 1",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
