//! Numbers that are not 64-bit integers, kept as their text.

use std::fmt;

/// A decimal number, or a whole number beyond 64 bits, as its text. Two numbers are equal if their texts are equal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(Box<str>);

impl Number {
    /// Parses a JSON number (`-1.10`, `1e3`, `92233720368547760000`); `None` if it is invalid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_json_number(text).then(|| Self(text.into()))
    }

    /// The number of a float; `None` for NaN and the infinities.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| Self(format!("{value:?}").into()))
    }

    /// The original text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// A JSON number with the same text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // The parser would change the exponent's text.
        serde_json::Value::Number(serde_json::Number::from_string_unchecked(self.0.to_string()))
    }

    /// The same number in its shortest text, as a system with doubles writes it: `1.10` as `1.1`, `1e3` as `1000.0`. A
    /// number that no double can hold keeps its digits.
    #[must_use]
    pub fn shortest(&self) -> Self {
        if self.0.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
            return self.clone();
        }
        let nearest = Self::from_f64(self.to_f64()).filter(|nearest| is_same_number(&nearest.0, &self.0));
        nearest.unwrap_or_else(|| Self(self.0.to_ascii_lowercase().replace('+', "").into()))
    }
}

/// True if two texts are the same decimal number.
fn is_same_number(one: &str, other: &str) -> bool {
    parts(one).zip(parts(other)).is_some_and(|(one, other)| one == other)
}

/// The sign of a number, its digits without leading and trailing zeros, and the exponent of the last digit; `None` if
/// the exponent has more than 64 bits.
fn parts(text: &str) -> Option<(bool, String, i64)> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some((is_negative, String::new(), 0));
    }
    let exponent: i64 = exponent.parse().ok()?;
    let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
    let exponent = exponent.checked_add(zeros)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    Some((is_negative, significant.to_owned(), exponent))
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The grammar of RFC 8259 §6, which refuses leading zeros.
fn is_json_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole_is_fine = is_digits(whole) && (whole == "0" || !whole.starts_with('0'));
    let exponent_is_fine = exponent.is_none_or(|part| is_digits(part.strip_prefix(['+', '-']).unwrap_or(part)));
    whole_is_fine && fraction.is_none_or(is_digits) && exponent_is_fine
}
