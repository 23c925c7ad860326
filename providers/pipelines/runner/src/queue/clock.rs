//! Monotonic time. The system clock can be set; uptime cannot, so ages use it as long as the machine did not restart.

use jiff::Timestamp;
use std::fs;
use std::time::Duration;

/// A point in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// System clock, in milliseconds since 1970.
    pub at: i64,
    /// Uptime, in milliseconds; nothing if the system does not report it.
    pub uptime: Option<i64>,
    /// Id of the boot.
    pub boot: Option<String>,
}

impl Moment {
    /// Returns the present time.
    #[must_use]
    pub fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned());
        let uptime = fs::read_to_string("/proc/uptime").ok().and_then(|text| parse_uptime(&text));
        Self { at: Timestamp::now().as_millisecond(), uptime, boot }
    }

    /// Milliseconds since an earlier moment. Zero if only the clock is available and was set back.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> i64 {
        let by_uptime = match (&self.boot, &earlier.boot, self.uptime, earlier.uptime) {
            (Some(boot), Some(other), Some(now), Some(then)) if boot == other => Some(now.saturating_sub(then)),
            _ => None,
        };
        by_uptime.unwrap_or_else(|| self.at.saturating_sub(earlier.at)).max(0)
    }
}

/// Parses the first value of `/proc/uptime`: seconds with two decimals.
fn parse_uptime(text: &str) -> Option<i64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let seconds = seconds.parse::<i64>().ok()?.checked_mul(1000)?;
    seconds.checked_add(hundredths.parse::<i64>().ok()?.checked_mul(10)?)
}

/// Milliseconds of a duration, at most `i64::MAX`.
#[must_use]
pub fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at: i64, uptime: Option<i64>, boot: &str) -> Moment {
        Moment { at, uptime, boot: Some(boot.to_owned()) }
    }

    #[test]
    fn setting_the_clock_changes_no_age() {
        let start = moment(1_000_000, Some(5_000), "a");
        assert_eq!(moment(9_000_000, Some(6_000), "a").since(&start), 1_000, "forwards");
        assert_eq!(moment(0, Some(6_000), "a").since(&start), 1_000, "back");
        assert_eq!(moment(1_002_000, Some(10), "b").since(&start), 2_000, "after a restart the clock counts");
        assert_eq!(moment(0, Some(10), "b").since(&start), 0);
        assert_eq!(moment(i64::MAX, None, "a").since(&moment(i64::MIN, None, "a")), i64::MAX);
    }

    #[test]
    fn uptime_is_parsed_from_kernel_format() {
        assert_eq!(parse_uptime("12345.67 98765.43\n"), Some(12_345_670));
        assert_eq!(parse_uptime(""), None);
        assert_eq!(parse_uptime("99999999999999999999.00 1"), None);
    }
}
