//! Numbers that Python supports, but JSON here does not: whole numbers of any size, infinities, and NaN.
//!
//! PyYAML reads them, and dpp passes them on as Python's JSON writes them: `123456789012345678901234567890`,
//! `Infinity`, `NaN`. As a JSON value, each is a map with a reserved key; [`python_json`] writes it as Python does.

use serde_json::{Map, Value, json};

/// The reserved key. Names of parameters cannot have this character.
const MARK: &str = "\0number";
/// Maximum number of digits; a longer number is text, as in Python 3.11, which rejects it.
pub(super) const LONGEST: usize = 4_300;
/// Base of the digits of a large number.
const BASE: u64 = 1_000_000_000;

/// Encodes a number as JSON.
pub(super) fn value(text: &str) -> Value {
    json!({ MARK: text })
}

/// Python's name of a floating-point number that JSON does not have.
pub(super) const fn name_of(float: f64) -> &'static str {
    if float.is_nan() {
        "NaN"
    } else if float > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

/// Decodes a number from a map.
pub(super) fn of_map(map: &Map<String, Value>) -> Option<&str> {
    let text = map.get(MARK).filter(|_| map.len() == 1)?.as_str()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_whole || matches!(text, "NaN" | "Infinity" | "-Infinity")).then_some(text)
}

/// Writes a value as Python's JSON, with all numbers unchanged.
pub(crate) fn python_json(value: &Value) -> String {
    let mut text = String::new();
    write(value, &mut text);
    text
}

fn write(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                text.push_str(if position == 0 { "" } else { "," });
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => match of_map(map) {
            Some(number) => text.push_str(number),
            None => {
                text.push('{');
                for (position, (key, item)) in map.iter().enumerate() {
                    text.push_str(if position == 0 { "" } else { "," });
                    text.push_str(&Value::from(key.as_str()).to_string());
                    text.push(':');
                    write(item, text);
                }
                text.push('}');
            }
        },
        other => text.push_str(&other.to_string()),
    }
}

/// Converts parts in a radix, such as digits, or hours and minutes, to decimal digits. Nothing if the number is too
/// long.
pub(super) fn decimal(parts: impl IntoIterator<Item = u64>, radix: u64) -> Option<String> {
    let mut digits: Vec<u64> = Vec::new();
    for (position, part) in parts.into_iter().enumerate() {
        if position > LONGEST {
            return None;
        }
        let mut carried = part;
        for digit in &mut digits {
            let sum = *digit * radix + carried;
            (*digit, carried) = (sum % BASE, sum / BASE);
        }
        while carried > 0 {
            digits.push(carried % BASE);
            carried /= BASE;
        }
    }
    let mut text = digits.pop().unwrap_or_default().to_string();
    digits.iter().rev().for_each(|digit| text.push_str(&format!("{digit:09}")));
    (text.len() <= LONGEST).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_any_radix_become_decimal() {
        let of = |text: &str, radix: u32| {
            decimal(text.chars().map(|digit| digit.to_digit(radix).unwrap().into()), radix.into())
        };
        assert_eq!(of("ffffffffffffffffffffffff", 16).unwrap(), "79228162514264337593543950335");
        assert_eq!(of(&format!("1{}", "0".repeat(70)), 2).unwrap(), "1180591620717411303424");
        assert_eq!(of("100000000000000000000", 10).unwrap(), "100000000000000000000");
        assert_eq!(of("0", 10).unwrap(), "0");
        assert_eq!(of(&"9".repeat(LONGEST), 10).unwrap().len(), LONGEST);
        assert_eq!(of(&"9".repeat(LONGEST + 1), 10), None);
    }

    #[test]
    fn map_that_resembles_a_number_stays_a_map() {
        for value in [json!({ MARK: "1, 2" }), json!({ MARK: "" }), json!({ MARK: "-" }), json!({ MARK: "1", "b": 2 })]
        {
            assert_eq!(python_json(&value), value.to_string());
        }
        let value = json!({"a \"b\"": [null, true, 1.5, "ü\n", {"c": {}}], "d": []});
        assert_eq!(python_json(&value), value.to_string());
        assert_eq!(python_json(&json!([super::value("-7"), super::value("NaN")])), "[-7,NaN]");
    }
}
