//! Resolution of unquoted text by the rules of PyYAML (YAML 1.1): <https://yaml.org/type/>, resolver.py.

use super::{DATE, FLOAT, TIME, float as float_of, is_whole, number, whole};
use terrace_yaml::NodeKind;

/// Resolves unquoted text.
pub(super) fn resolve(text: &str) -> NodeKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return NodeKind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return NodeKind::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return NodeKind::Bool(false),
        _ => {}
    }
    let first = text.chars().next().unwrap_or_default();
    if !(first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return NodeKind::Text(text.to_owned());
    }
    time(text).or_else(|| int(text)).or_else(|| float(text)).unwrap_or_else(|| NodeKind::Text(text.to_owned()))
}

/// Applies a standard tag to a text; returns nothing if the text does not fit.
pub(super) fn tagged(suffix: &str, text: &str) -> Option<NodeKind> {
    let resolved = resolve(text);
    let is_fitting = match suffix {
        "str" => return Some(NodeKind::Text(text.to_owned())),
        "int" => is_int(&resolved),
        "bool" => matches!(resolved, NodeKind::Bool(_)),
        "null" => matches!(resolved, NodeKind::Null),
        "timestamp" => matches!(resolved, NodeKind::Typed { of: DATE | TIME, .. }),
        "float" => {
            return match resolved {
                #[expect(clippy::cast_precision_loss, reason = "`!!float` requires a float")]
                NodeKind::Int(value) => Some(float_of(value as f64)),
                NodeKind::Number(number) => Some(float_of(number.to_f64())),
                NodeKind::Typed { of: FLOAT, .. } => Some(resolved),
                _ => None,
            };
        }
        _ => false,
    };
    is_fitting.then_some(resolved)
}

fn is_int(kind: &NodeKind) -> bool {
    match kind {
        NodeKind::Int(_) => true,
        NodeKind::Number(number) => is_whole(number),
        _ => false,
    }
}

fn int(text: &str) -> Option<NodeKind> {
    let (sign, digits) = signed(text);
    let clean = digits.replace('_', "");
    let value = if clean == "0" {
        clean
    } else if let Some(digits) = clean.strip_prefix("0b") {
        of_radix(digits, 2)?
    } else if let Some(digits) = clean.strip_prefix("0x") {
        of_radix(digits, 16)?
    } else if let Some(digits) = clean.strip_prefix('0') {
        // An octal number; `08` and `0o10` are text for PyYAML.
        of_radix(digits, 8)?
    } else if clean.contains(':') {
        sexagesimal(&clean)?
    } else if !clean.is_empty() && clean.bytes().all(|byte| byte.is_ascii_digit()) {
        clean
    } else {
        return None;
    };
    let text = if sign < 0 && value != "0" { format!("-{value}") } else { value };
    (text.len() <= number::LONGEST).then(|| whole(&text))
}

fn of_radix(digits: &str, radix: u32) -> Option<String> {
    let digits: Option<Vec<u64>> = digits.chars().map(|digit| digit.to_digit(radix).map(u64::from)).collect();
    number::decimal(digits.filter(|digits| !digits.is_empty())?, radix.into())
}

/// Parses sexagesimal numbers of YAML 1.1: `1:30` is ninety. Every part but the first is below 60.
fn sexagesimal(text: &str) -> Option<String> {
    let mut parts: Vec<u64> = Vec::new();
    for part in text.split(':') {
        let number: u64 = part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        if !parts.is_empty() && (number > 59 || part.len() > 2) {
            return None;
        }
        parts.push(number);
    }
    number::decimal(parts, 60)
}

fn float(text: &str) -> Option<NodeKind> {
    let (sign, digits) = signed(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(float_of(if sign < 0 { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(float_of(f64::NAN));
    }
    // A point is required, and an exponent needs a sign: `1e3` is text.
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let has_digit = |text: &str| text.bytes().any(|byte| byte.is_ascii_digit());
    let is_exponent = |text: &str| text.strip_prefix(['+', '-']).is_some_and(|rest| is_digits(rest) && has_digit(rest));
    if !is_digits(whole) || !is_digits(fraction) || !(has_digit(whole) || has_digit(fraction)) {
        return None;
    }
    if exponent.is_some_and(|exponent| !is_exponent(exponent)) {
        return None;
    }
    text.replace('_', "").parse().ok().map(float_of)
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Parses a day (`YYYY-MM-DD`), or a time in the form of dpp's JSON, which drops the zone.
fn time(text: &str) -> Option<NodeKind> {
    if text.len() == 10 {
        let [year, month, day] = numbers(text, '-')?;
        let is_day = (year.1, month.1, day.1) == (4, 2, 2);
        return is_day.then(|| civil(year, month, day))?.map(|day| NodeKind::Typed { of: DATE, text: day.to_string() });
    }
    let (day, rest) = text.split_once(['T', 't', ' ', '\t'])?;
    let [year, month, day] = numbers(day, '-').filter(|[year, ..]| year.1 == 4)?;
    let rest = rest.trim_start_matches([' ', '\t']);
    let (clock, zone) =
        rest.find(['Z', '+', '-', ' ', '\t']).and_then(|at| rest.split_at_checked(at)).unwrap_or((rest, ""));
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = numbers(clock, ':').filter(|[_, minute, second]| (minute.1, second.1) == (2, 2))?;
    if !is_zone(zone.trim_start_matches([' ', '\t'])) || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let small = |number: (i16, usize)| i8::try_from(number.0).ok();
    let clock = jiff::civil::Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
    let moment = civil(year, month, day)?.to_datetime(clock);
    Some(NodeKind::Typed { of: TIME, text: moment.strftime("%Y-%m-%d %H:%M:%S").to_string() })
}

/// Parses three numbers of one to four digits, each with its number of digits.
fn numbers(text: &str, separator: char) -> Option<[(i16, usize); 3]> {
    let number = |part: &str| {
        let is_number = (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok().map(|number: i16| (number, part.len())))?
    };
    let numbers: Vec<_> = text.splitn(4, separator).map(number).collect::<Option<_>>()?;
    let fits = |[_, second, third]: &[(i16, usize); 3]| second.1 <= 2 && third.1 <= 2;
    numbers.try_into().ok().filter(fits)
}

fn civil(year: (i16, usize), month: (i16, usize), day: (i16, usize)) -> Option<jiff::civil::Date> {
    jiff::civil::Date::new(year.0, i8::try_from(month.0).ok()?, i8::try_from(day.0).ok()?).ok()
}

/// Returns true for `Z`, or for an offset of less than a day in hours and optional minutes.
fn is_zone(text: &str) -> bool {
    let Some(offset) = text.strip_prefix(['+', '-']) else { return matches!(text, "" | "Z") };
    let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "00"));
    let is_below = |text: &str, most: u8| {
        text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u8>().is_ok_and(|number| number < most)
    };
    hours.len() <= 2 && minutes.len() == 2 && is_below(hours, 24) && is_below(minutes, 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Number;

    #[test]
    fn unquoted_text_is_resolved_as_in_pyyaml() {
        let text = |text: &str| NodeKind::Text(text.to_owned());
        let large = |digits: &str| NodeKind::Number(Number::parse(digits).unwrap());
        for (written, read) in [
            ("yes", NodeKind::Bool(true)),
            ("OFF", NodeKind::Bool(false)),
            ("y", text("y")),
            ("~", NodeKind::Null),
            ("010", NodeKind::Int(8)),
            ("08", text("08")),
            ("0o10", text("0o10")),
            ("0x1F", NodeKind::Int(31)),
            ("0b11", NodeKind::Int(3)),
            ("1_000", NodeKind::Int(1000)),
            ("-7", NodeKind::Int(-7)),
            ("1:30", NodeKind::Int(90)),
            ("1:75", text("1:75")),
            ("1e3", text("1e3")),
            ("1.5e+3", float_of(1500.0)),
            ("1.5e3", text("1.5e3")),
            (".5", float_of(0.5)),
            ("1.", float_of(1.0)),
            (".", text(".")),
            ("..common.step", text("..common.step")),
            ("-.inf", float_of(f64::NEG_INFINITY)),
            ("1.2.3", text("1.2.3")),
            (".*", text(".*")),
            ("2014-01-02", NodeKind::Typed { of: DATE, text: "2014-01-02".to_owned() }),
            ("2014-13-02", text("2014-13-02")),
            ("2014-15", text("2014-15")),
            ("2014-01-02T03:04:05+01:00", NodeKind::Typed { of: TIME, text: "2014-01-02 03:04:05".to_owned() }),
            ("2014-1-2 3:04:05.25 Z", NodeKind::Typed { of: TIME, text: "2014-01-02 03:04:05".to_owned() }),
            ("2014-01-02 12:30", text("2014-01-02 12:30")),
            ("2014-01-02T03:04:05+9223372036854775", text("2014-01-02T03:04:05+9223372036854775")),
            ("2014-01-02T03:04:05+24:00", text("2014-01-02T03:04:05+24:00")),
            ("2014-01-02T99:04:05", text("2014-01-02T99:04:05")),
            ("-0x-8000000000000000", text("-0x-8000000000000000")),
            ("0b-1", text("0b-1")),
            ("-9223372036854775808", NodeKind::Int(i64::MIN)),
            ("9223372036854775808", large("9223372036854775808")),
            ("-99999999999999999999", large("-99999999999999999999")),
            ("0x1_0000_0000_0000_0000", large("18446744073709551616")),
            ("9223372036854775807:00", large("553402322211286548420")),
            ("-0", NodeKind::Int(0)),
            ("0_0", NodeKind::Int(0)),
            ("0x", text("0x")),
            ("+", text("+")),
        ] {
            assert_eq!(resolve(written), read, "{written}");
        }
    }
}
