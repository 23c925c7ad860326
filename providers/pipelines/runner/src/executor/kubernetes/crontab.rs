//! Crontabs as a CronJob reads them. <https://pkg.go.dev/github.com/robfig/cron/v3#hdr-CRON_Expression_Format>

use terrace_provider::cron::field::{DAY_OF_WEEK, Part};

/// Sunday's second number, which a CronJob does not know.
const SUNDAY: u16 = 7;

/// A valid crontab for a CronJob, with the same times.
///
/// # Errors
/// When a CronJob would run at other times: message and hint.
pub(super) fn crontab(cron: &str) -> Result<String, (String, String)> {
    let fields: Vec<&str> = cron.split_whitespace().collect();
    let [minute, hour, day, month, weekday] = *fields.as_slice() else {
        return Err((format!("`{cron}` has not five fields"), "write five fields, as in `30 2 * * *`".to_owned()));
    };
    let is_either = !day.starts_with('*') && !weekday.starts_with('*');
    let is_either_there = !is_any(day) && !is_any(weekday);
    if is_either != is_either_there {
        let message =
            format!("a CronJob reads both `{day}` (day of the month) and `{weekday}` (day of the week) otherwise");
        let hint = "restrict the day of the month or the day of the week, and write `*` for the other";
        return Err((message, hint.to_owned()));
    }
    let weekday = without_second_sunday(weekday).unwrap_or_else(|| weekday.to_owned());
    Ok([minute, hour, day, month, &weekday].join(" "))
}

/// Returns true if a CronJob takes the field for unrestricted.
fn is_any(field: &str) -> bool {
    field.split(',').any(|part| part == "*" || part == "*/1")
}

/// The days of the week as a list of numbers from 0 to 6; nothing for a field without the number 7.
fn without_second_sunday(field: &str) -> Option<String> {
    let parts = DAY_OF_WEEK.parse_in_order(field).ok()?;
    let has_second = |part: &Part| match part.bounds {
        Some((first, last)) => last == SUNDAY || !part.is_range && part.step.is_some() && first <= SUNDAY,
        None => part.step.is_some_and(|step| step > 1),
    };
    if !parts.iter().any(has_second) {
        return None;
    }
    let numbers = parts.iter().flat_map(|part| {
        let (first, last) = match part.bounds {
            None => (0, SUNDAY),
            Some((first, _)) if !part.is_range && part.step.is_some() => (first, SUNDAY),
            Some(bounds) => bounds,
        };
        (first..=last).step_by(usize::from(part.step.unwrap_or(1)))
    });
    let mut numbers: Vec<u16> = numbers.map(|number| if number == SUNDAY { 0 } else { number }).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Some(numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crontab_of_a_cron_job_has_the_same_times() {
        for (cron, expected) in [
            ("30 2 * * *", "30 2 * * *"),
            ("*/5 8-18 * jan,JUL mon-fri", "*/5 8-18 * jan,JUL mon-fri"),
            ("0 0 1 * mon", "0 0 1 * mon"),
            ("0 0 * * 7", "0 0 * * 0"),
            ("0 0 * * 5-7", "0 0 * * 0,5,6"),
            ("0 0 * * 1/3", "0 0 * * 0,1,4"),
            ("0  0\t* * sun", "0 0 * * sun"),
        ] {
            assert_eq!(crontab(cron).as_deref(), Ok(expected), "{cron}");
        }
    }

    #[test]
    fn crontab_with_other_times_in_a_cron_job_is_refused() {
        for cron in ["0 0 */2 * mon", "0 0 1 * */2", "0 0 5,* * mon"] {
            let (message, hint) = crontab(cron).unwrap_err();
            assert!(
                message.starts_with("a CronJob reads both `") && hint.contains("write `*` for the other"),
                "{message}"
            );
        }
    }
}
