//! Durations in units: `30s`, `5m`, `1h30m`, `500ms`.

use std::time::Duration;

/// The longest accepted duration, a year. A longer one is probably a typing error, and adding it to a clock could
/// overflow.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// A text that is not an accepted duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// The text is not a duration.
    #[error("expected numbers with their units, such as `90s`, `5m` or `1h30m`")]
    NotOne,
    /// The duration is longer than [`LONGEST`].
    #[error("expected a duration of at most a year (8760h)")]
    TooLong,
}

/// Parses a duration.
///
/// # Errors
/// When the text is not a duration, or the duration is longer than [`LONGEST`].
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    // jiff also reads `5 minutes ago`, `PT5M` and `-5m`; terrace accepts only units of time.
    let is_plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 'h' | 'm' | 's' | '.'));
    let signed: jiff::SignedDuration = is_plain.then(|| text.parse().ok()).flatten().ok_or(DurationError::NotOne)?;
    let duration = Duration::try_from(signed).map_err(|_| DurationError::NotOne)?;
    if duration > LONGEST { Err(DurationError::TooLong) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_hours_minutes_and_seconds() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h", 3600)] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "30", "m", "-5m", "5 m", "5m ago", "1d", "5 minutes", "PT5M", "s", "99999999999999999999h"] {
            assert_eq!(parse(text), Err(DurationError::NotOne), "{text}");
        }
    }

    #[test]
    fn duration_longer_than_a_year_is_refused() {
        assert_eq!(parse("8760h"), Ok(LONGEST));
        for text in ["8760h1s", "9223372036854775807s", "2562047788015215h"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
    }
}
