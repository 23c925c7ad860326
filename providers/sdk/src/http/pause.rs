//! Pauses before retries.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// The first pause; each is up to twice as long as the one before.
const FIRST: Duration = Duration::from_millis(200);
/// The longest pause, unless an answer requests more.
const LONGEST: Duration = Duration::from_secs(16);
/// The longest pause that an answer can request: its clock may be wrong.
const LONGEST_REQUESTED: Duration = Duration::from_secs(24 * 60 * 60);

/// The headers of a rate limit.
const REMAINING: &str = "x-ratelimit-remaining";
const RESET: &str = "x-ratelimit-reset";
/// Smaller numbers in such a header are seconds until the reset.
const LEAST_TIME: i64 = 1_000_000_000;

/// The pause that an answer requests: seconds, or a time by the clock of the server.
/// <https://www.rfc-editor.org/rfc/rfc9110#field.retry-after>
pub(super) fn requested(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let Some(after) = text(RETRY_AFTER.as_str()) else { return until_reset(text(REMAINING), text(RESET)) };
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_REQUESTED));
    }
    let time = |text: &str| rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let now = text(DATE.as_str()).and_then(time).unwrap_or_else(Timestamp::now);
    let pause = Duration::try_from(time(after)?.duration_since(now)).unwrap_or_default();
    Some(pause.min(LONGEST_REQUESTED))
}

/// The pause until a used-up rate limit is renewed, by a time in seconds since 1970.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>
fn until_reset(remaining: Option<&str>, reset: Option<&str>) -> Option<Duration> {
    let reset = reset.filter(|_| remaining == Some("0"))?.parse().ok()?;
    // Other vendors name the seconds that are left.
    let time = Timestamp::from_second(reset).ok().filter(|_| reset > LEAST_TIME)?;
    let pause = Duration::try_from(time.duration_since(Timestamp::now())).unwrap_or_default();
    Some(pause.min(LONGEST_REQUESTED))
}

/// The pause before the next attempt. Each is up to twice the one before, with jitter, so that many refused requests
/// are not retried at once.
pub(super) fn backoff(attempt: u32) -> Duration {
    jittered(FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST))
}

/// A random time in the upper half of `most`.
pub(super) fn jittered(most: Duration) -> Duration {
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderName;

    fn requested_by(headers: &[(HeaderName, &str)]) -> Option<Duration> {
        requested(&headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect())
    }

    #[test]
    fn pause_is_in_seconds_or_until_a_server_time() {
        assert_eq!(requested_by(&[(RETRY_AFTER, "7")]), Some(Duration::from_secs(7)));
        let at = |after| [(DATE, "Wed, 21 Oct 2015 07:28:00 GMT"), (RETRY_AFTER, after)];
        assert_eq!(requested_by(&at("Wed, 21 Oct 2015 07:28:30 GMT")), Some(Duration::from_secs(30)));
        assert_eq!(requested_by(&at("Wed, 21 Oct 2015 07:27:30 GMT")), Some(Duration::ZERO));
        assert_eq!(requested_by(&[(RETRY_AFTER, "99999999")]), Some(LONGEST_REQUESTED));
        assert_eq!(requested_by(&[(RETRY_AFTER, "soon")]), None);
        assert_eq!(requested_by(&[]), None);
        let limit = |remaining, reset| {
            let name = HeaderName::from_static;
            requested_by(&[(name(REMAINING), remaining), (name(RESET), reset)])
        };
        assert_eq!(limit("0", "1000000001"), Some(Duration::ZERO), "a time in the past");
        assert_eq!(limit("0", "9999999999"), Some(LONGEST_REQUESTED));
        assert_eq!(limit("1", "9999999999"), None, "calls are left");
        assert_eq!(limit("0", "30"), None, "no time");
    }

    #[test]
    fn pauses_grow_with_jitter() {
        for attempt in 0..40 {
            let most = FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST);
            assert!((most / 2..=most).contains(&backoff(attempt)), "{attempt}");
        }
    }
}
