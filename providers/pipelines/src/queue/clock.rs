//! Time, and how long something has lived. Clocks are set; the time since the machine started is not, so as long as that
//! did not happen again it is what counts.

use jiff::Timestamp;
use std::fs;
use std::time::Duration;

/// A moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// By the clock, in milliseconds since 1970.
    pub at: i64,
    /// Since the machine started, in milliseconds; nothing where the system does not tell.
    pub uptime: Option<i64>,
    /// Which start that was.
    pub boot: Option<String>,
}

impl Moment {
    /// The present one.
    #[must_use]
    pub fn now() -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned());
        let uptime = fs::read_to_string("/proc/uptime").ok().and_then(|text| since_start(&text));
        Self { at: Timestamp::now().as_millisecond(), uptime, boot }
    }

    /// How long ago another moment was, in milliseconds. Where only the clock tells, and it was set back, nothing has passed.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> i64 {
        let by_start = match (&self.boot, &earlier.boot, self.uptime, earlier.uptime) {
            (Some(boot), Some(other), Some(now), Some(then)) if boot == other => Some(now.saturating_sub(then)),
            _ => None,
        };
        by_start.unwrap_or_else(|| self.at.saturating_sub(earlier.at)).max(0)
    }
}

/// What `/proc/uptime` says first: seconds with two decimals.
fn since_start(text: &str) -> Option<i64> {
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let seconds = seconds.parse::<i64>().ok()?.checked_mul(1000)?;
    seconds.checked_add(hundredths.parse::<i64>().ok()?.checked_mul(10)?)
}

/// Milliseconds of a duration; what is beyond 292 million years is as long as that.
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
    fn a_clock_that_is_set_changes_no_age() {
        let begun = moment(1_000_000, Some(5_000), "a");
        assert_eq!(moment(9_000_000, Some(6_000), "a").since(&begun), 1_000, "forwards");
        assert_eq!(moment(0, Some(6_000), "a").since(&begun), 1_000, "back");
        assert_eq!(moment(1_002_000, Some(10), "b").since(&begun), 2_000, "after a start the clock tells");
        assert_eq!(moment(0, Some(10), "b").since(&begun), 0);
        assert_eq!(moment(i64::MAX, None, "a").since(&moment(i64::MIN, None, "a")), i64::MAX);
    }

    #[test]
    fn the_time_since_the_start_is_read_as_the_kernel_writes_it() {
        assert_eq!(since_start("12345.67 98765.43\n"), Some(12_345_670));
        assert_eq!(since_start(""), None);
        assert_eq!(since_start("99999999999999999999.00 1"), None);
    }
}
