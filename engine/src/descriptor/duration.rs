//! Durations as people write them: `30s`, `5m`, `1h30m`.

use std::time::Duration;

/// Reads a duration; `None` when the text is none, or none that is longer than nothing.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    // The library also reads `5 minutes ago`, `PT5M` and `-5m`; only the first form is ours.
    let is_plain = text.starts_with(|first: char| first.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, 'h' | 'm' | 's' | '.'));
    let signed: jiff::SignedDuration = is_plain.then(|| text.parse().ok())??;
    Duration::try_from(signed).ok().filter(|duration| !duration.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_hours_minutes_and_seconds() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h", 3600)] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Some(Duration::from_millis(500)));
        for text in ["", "30", "0s", "-5m", "5m ago", "1d", "5 minutes", "PT5M", "s", "99999999999999999999h"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
