//! Formatting of values as in Python: scripts that read result lines expect dpp's format.

use serde_json::{Map, Value};
use std::fmt::Write;

/// Formats a value like Python's `repr`.
#[must_use]
pub fn repr(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

/// Formats a dictionary with these entries like `repr`.
#[must_use]
pub fn repr_of_map<'a>(entries: impl IntoIterator<Item = (&'a String, &'a Value)>) -> String {
    let mut text = String::new();
    write_map(entries, &mut text);
    text
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("None"),
        Value::Bool(true) => text.push_str("True"),
        Value::Bool(false) => text.push_str("False"),
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
            Some(float) => text.push_str(&float_text(float)),
            None => text.push_str(&number.to_string()),
        },
        Value::String(string) => write_text(string, text),
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                text.push_str(if position == 0 { "" } else { ", " });
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Object(map) => write_map::<&Map<_, _>>(map, text),
    }
}

fn write_map<'a, M: IntoIterator<Item = (&'a String, &'a Value)>>(entries: M, text: &mut String) {
    text.push('{');
    for (position, (key, value)) in entries.into_iter().enumerate() {
        text.push_str(if position == 0 { "" } else { ", " });
        write_text(key, text);
        text.push_str(": ");
        write_value(value, text);
    }
    text.push('}');
}

/// Formats a number like Python: an exponent has a sign and two digits, and is used below 1e-4 and from 1e16 on.
pub(crate) fn float_text(float: f64) -> String {
    if !float.is_finite() {
        return float.to_string().to_lowercase();
    }
    let size = float.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{float:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    format!("{float:?}")
}

fn write_text(string: &str, text: &mut String) {
    let quote = if string.contains('\'') && !string.contains('"') { '"' } else { '\'' };
    text.push(quote);
    for character in string.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            quoted if quoted == quote => {
                text.push('\\');
                text.push(quoted);
            }
            control if control.is_control() => {
                let _ = write!(text, "\\x{:02x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_formatted_as_in_python() {
        let value = json!({
            "bytes": null, "ok": true, "rows": 4, "rate": 0.5, "whole": 2.0, "small": 0.00001, "large": 1e20,
            "text": "it's \"so\"\n", "other": "it's", "list": [1, "a"], "map": {"a": {}},
        });
        assert_eq!(
            repr(&value),
            r#"{'bytes': None, 'ok': True, 'rows': 4, 'rate': 0.5, 'whole': 2.0, 'small': 1e-05, 'large': 1e+20, 'text': 'it\'s "so"\n', 'other': "it's", 'list': [1, 'a'], 'map': {'a': {}}}"#
        );
    }
}
