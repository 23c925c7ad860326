//! The five fields of a crontab, checked: minute, hour, day of the month, month, day of the week.

/// A field's name and its smallest and largest number.
const FIELDS: [(&str, u8, u8); 5] =
    [("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7)];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Says what is wrong with a crontab.
pub(crate) fn fault(text: &str) -> Option<String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Some(format!(
            "`{text}` has {} fields: expected five, minute, hour, day of the month, month and day of the week",
            fields.len()
        ));
    }
    fields.iter().zip(FIELDS).enumerate().find_map(|(position, (field, (name, least, most)))| {
        let names: &[&str] = match position {
            3 => &MONTHS,
            4 => &DAYS,
            _ => &[],
        };
        let is_right = field.split(',').all(|part| is_part(part, names, least, most));
        (!is_right).then(|| format!("`{field}` is no {name}: expected `*` or numbers from {least} to {most}"))
    })
}

fn is_part(part: &str, names: &[&str], least: u8, most: u8) -> bool {
    let (range, every) = part.split_once('/').map_or((part, None), |(range, every)| (range, Some(every)));
    if every.is_some_and(|every| every.parse::<u8>().ok().is_none_or(|every| every == 0)) {
        return false;
    }
    let number = |text: &str| {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(text));
        // Months count from 1, days from 0: as the smallest number of the field does.
        let named = named.and_then(|position| u8::try_from(position).ok()).map(|position| position + least);
        named.or_else(|| text.parse().ok()).filter(|number| (least..=most).contains(number))
    };
    match range.split_once('-') {
        _ if range == "*" => true,
        Some((from, to)) => matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to),
        None => number(range).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crontab_has_five_fields_of_numbers() {
        for right in ["0 1 * * *", "*/15 0-5,12 1,15 jan-mar mon", "10 1-22/3 * * *", "0 0 * * 7"] {
            assert_eq!(fault(right), None, "{right}");
        }
        for (wrong, words) in [
            ("0 1 * *", "has 4 fields"),
            ("60 * * * *", "`60` is no minute"),
            ("0 0 0 * *", "`0` is no day of the month"),
            ("0 0 * * fry", "`fry` is no day of the week"),
            ("*/0 * * * *", "`*/0` is no minute"),
            ("0 5-1 * * *", "`5-1` is no hour"),
        ] {
            assert!(fault(wrong).is_some_and(|told| told.contains(words)), "{wrong}: {:?}", fault(wrong));
        }
    }
}
