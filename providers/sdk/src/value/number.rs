//! Numbers that are not 64-bit integers, kept as the text they were written in.

use std::fmt;

/// A decimal number, or a whole number beyond 64 bits, as its text. Two numbers are equal when their texts are.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(Box<str>);

impl Number {
    /// Reads a JSON number (`-1.10`, `1e3`, `92233720368547760000`); `None` when the text is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_json_number(text).then(|| Self(text.into()))
    }

    /// The number of a float; `None` for NaN and the infinities, which no descriptor can hold.
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        value.is_finite().then(|| Self(format!("{value:?}").into()))
    }

    /// The text as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// The nearest JSON number.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        if let Ok(value) = self.0.parse::<u64>() {
            return value.into();
        }
        serde_json::Number::from_f64(self.to_f64()).map_or(serde_json::Value::Null, serde_json::Value::Number)
    }
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

/// The grammar of RFC 8259 §6, with any number of leading zeros refused.
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
