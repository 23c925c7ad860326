//! Which unquoted text is what, by the rules of PyYAML (YAML 1.1): <https://yaml.org/type/>, resolver.py.

use super::Kind;

/// What unquoted text is.
pub(super) fn resolve(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Kind::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Kind::Bool(false),
        _ => {}
    }
    let first = text.chars().next().unwrap_or_default();
    if !(first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return Kind::Text(text.to_owned());
    }
    time(text).or_else(|| int(text)).or_else(|| float(text)).unwrap_or_else(|| Kind::Text(text.to_owned()))
}

/// What a tag of YAML itself makes of text; nothing where it does not fit.
pub(super) fn tagged(suffix: &str, text: &str) -> Option<Kind> {
    let resolved = resolve(text);
    let is_fitting = match suffix {
        "str" => return Some(Kind::Text(text.to_owned())),
        "int" => matches!(resolved, Kind::Int(_)),
        "bool" => matches!(resolved, Kind::Bool(_)),
        "null" => matches!(resolved, Kind::Null),
        "timestamp" => matches!(resolved, Kind::Time { .. }),
        "float" => {
            return match resolved {
                #[expect(clippy::cast_precision_loss, reason = "what `!!float` asks for")]
                Kind::Int(value) => Some(Kind::Float(value as f64)),
                Kind::Float(_) => Some(resolved),
                _ => None,
            };
        }
        _ => false,
    };
    is_fitting.then_some(resolved)
}

fn int(text: &str) -> Option<Kind> {
    let (sign, digits) = signed(text);
    let clean = digits.replace('_', "");
    let radix = |prefix: &str, radix| {
        let digits = clean.strip_prefix(prefix)?;
        i64::from_str_radix(digits, radix).ok()
    };
    let value = if clean == "0" {
        0
    } else if let Some(value) = radix("0b", 2).or_else(|| radix("0x", 16)) {
        value
    } else if clean.starts_with('0') {
        // An octal number; `08` is text to PyYAML, and so is `0o10`.
        radix("0", 8).filter(|_| clean.bytes().all(|byte| byte.is_ascii_digit()))?
    } else if clean.contains(':') {
        sexagesimal(&clean)?
    } else if clean.bytes().all(|byte| byte.is_ascii_digit()) {
        clean.parse().ok()?
    } else {
        return None;
    };
    Some(Kind::Int(sign * value))
}

/// `1:30` is ninety: YAML 1.1 counts in sixties. Every part but the first is below 60.
fn sexagesimal(text: &str) -> Option<i64> {
    let mut value: i64 = 0;
    for (position, part) in text.split(':').enumerate() {
        let number: i64 = part.parse().ok().filter(|_| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        if position > 0 && (number > 59 || part.len() > 2) {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(number)?;
    }
    Some(value)
}

fn float(text: &str) -> Option<Kind> {
    let (sign, digits) = signed(text);
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(Kind::Float(if sign < 0 { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    if matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(Kind::Float(f64::NAN));
    }
    // A point is needed, and an exponent has a sign: `1e3` is text.
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
    text.replace('_', "").parse().ok().map(Kind::Float)
}

fn signed(text: &str) -> (i64, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// A day is `YYYY-MM-DD`; what has a time of the day comes as dpp's JSON writes it, without a zone.
fn time(text: &str) -> Option<Kind> {
    if let (10, Ok(day)) = (text.len(), text.parse::<jiff::civil::Date>()) {
        return Some(Kind::Time { key: "type{date}", text: day.to_string() });
    }
    let (day, rest) = (text.get(..10)?, text.get(10..)?);
    let day: jiff::civil::Date = day.parse().ok()?;
    let clock = rest.strip_prefix(['T', 't', ' '])?.trim_start();
    let offset = clock.find(['Z', '+', '-', ' ']).and_then(|at| clock.split_at_checked(at));
    let (clock, zone) = offset.unwrap_or((clock, ""));
    let clock: jiff::civil::Time = clock.parse().ok()?;
    let mut moment = day.to_datetime(clock);
    let zone = zone.trim();
    if !zone.is_empty() && zone != "Z" {
        // PyYAML turns a zone into UTC and forgets it.
        let (sign, offset) = signed(zone);
        let (hours, minutes) = offset.split_once(':').unwrap_or((offset, "0"));
        let minutes = hours.parse::<i64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
        moment = moment.checked_sub(jiff::SignedDuration::from_mins(sign * minutes)).ok()?;
    }
    Some(Kind::Time { key: "type{datetime}", text: moment.strftime("%Y-%m-%d %H:%M:%S").to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unquoted_text_is_what_pyyaml_takes_it_for() {
        let text = |text: &str| Kind::Text(text.to_owned());
        for (written, read) in [
            ("yes", Kind::Bool(true)),
            ("OFF", Kind::Bool(false)),
            ("y", text("y")),
            ("~", Kind::Null),
            ("010", Kind::Int(8)),
            ("08", text("08")),
            ("0o10", text("0o10")),
            ("0x1F", Kind::Int(31)),
            ("0b11", Kind::Int(3)),
            ("1_000", Kind::Int(1000)),
            ("-7", Kind::Int(-7)),
            ("1:30", Kind::Int(90)),
            ("1:75", text("1:75")),
            ("1e3", text("1e3")),
            ("1.5e+3", Kind::Float(1500.0)),
            ("1.5e3", text("1.5e3")),
            (".5", Kind::Float(0.5)),
            ("1.", Kind::Float(1.0)),
            (".", text(".")),
            ("..common.step", text("..common.step")),
            ("-.inf", Kind::Float(f64::NEG_INFINITY)),
            ("1.2.3", text("1.2.3")),
            (".*", text(".*")),
            ("2014-01-02", Kind::Time { key: "type{date}", text: "2014-01-02".to_owned() }),
            ("2014-13-02", text("2014-13-02")),
            ("2014-15", text("2014-15")),
            ("2014-01-02T03:04:05+01:00", Kind::Time { key: "type{datetime}", text: "2014-01-02 02:04:05".to_owned() }),
            ("99999999999999999999", text("99999999999999999999")),
        ] {
            assert_eq!(resolve(written), read, "{written}");
        }
    }
}
