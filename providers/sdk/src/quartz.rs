//! Cron expressions of the Quartz scheduler: seconds, minutes, hours, day of month, month, day of week, optional year.
//! <https://www.quartz-scheduler.org/documentation/quartz-2.3.0/tutorials/crontrigger.html>

/// Checks an expression.
///
/// # Errors
/// The problem, in words.
pub fn check(cron: &str) -> Result<(), String> {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let names = ["seconds", "minutes", "hours", "day of month", "month", "day of week", "year"];
    let ranges: [(i64, i64); 7] = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2099)];
    if !matches!(fields.len(), 6 | 7) {
        return Err(format!("it has {} fields, not six or seven", fields.len()));
    }
    for ((field, name), (low, high)) in fields.iter().zip(names).zip(ranges) {
        let is_day = name.starts_with("day");
        if *field == "?" {
            if is_day {
                continue;
            }
            return Err(format!("`?` is allowed only for days, not for {name}"));
        }
        if field.split(',').any(|part| !is_part(part, low, high, name)) {
            return Err(format!("`{field}` is not valid for {name}"));
        }
    }
    let is_open = |index: usize| fields.get(index).is_some_and(|field| *field == "?");
    match (is_open(3), is_open(5)) {
        (true, true) => Err("day of month or day of week needs a value".to_owned()),
        (false, false) => Err("day of month or day of week must be `?`".to_owned()),
        _ => Ok(()),
    }
}

fn is_part(part: &str, low: i64, high: i64, name: &str) -> bool {
    const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    let is_number = |text: &str| {
        let upper = text.to_uppercase();
        let is_word = (name == "month" && MONTHS.contains(&upper.as_str()))
            || (name == "day of week" && DAYS.contains(&upper.as_str()));
        is_word || text.parse().is_ok_and(|number: i64| (low..=high).contains(&number))
    };
    let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
    if step.is_some_and(|step| !step.parse::<i64>().is_ok_and(|step| step > 0)) {
        return false;
    }
    match range {
        "*" => true,
        "L" | "LW" if name == "day of month" => true,
        "L" if name == "day of week" => true,
        _ => match (range.split_once('-'), range.split_once('#')) {
            (Some(("L", back)), _) if name == "day of month" => {
                back.parse().is_ok_and(|back: i64| (1..=30).contains(&back))
            }
            (Some((from, to)), _) => is_number(from) && is_number(to),
            (_, Some((day, nth))) => {
                name == "day of week" && is_number(day) && nth.parse().is_ok_and(|nth: i64| (1..=5).contains(&nth))
            }
            _ => {
                let plain = match name {
                    "day of month" => range.strip_suffix('W').unwrap_or(range),
                    "day of week" => range.strip_suffix('L').unwrap_or(range),
                    _ => range,
                };
                is_number(plain)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
