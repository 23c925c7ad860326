//! Deadlines of databases that are safe against changes of the clock.
//!
//! Within one boot of the machine, uptime decides (`/proc/uptime`), which cannot be set and includes suspension. So a
//! clock that jumps neither extends nor shortens a lifetime. After a reboot only the wall clock is available. The time
//! left is at most that of the last check, so a clock that went back extends nothing for ever. Without uptime, the wall
//! clock decides, within the same limit.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Duration;

/// Values of all clocks at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Id of the boot, and the time since then.
    pub since_boot: Option<(String, Duration)>,
    /// Wall clock.
    pub wall: Timestamp,
}

impl Moment {
    /// Returns the present moment.
    #[must_use]
    pub fn now() -> Self {
        Self { since_boot: boot().zip(uptime()), wall: Timestamp::now() }
    }
}

fn boot() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
}

fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Time at which something ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deadline {
    /// Wall clock: for people, and after a reboot.
    pub expires_at: Timestamp,
    /// Maximum time left, in milliseconds: the time left when this was written.
    longest: u64,
    /// Id of the boot, and the milliseconds after it.
    since_boot: Option<(String, u64)>,
}

impl Deadline {
    /// Deadline after a span from this moment.
    #[must_use]
    pub fn after(span: Duration, now: &Moment) -> Self {
        let signed = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        Self {
            expires_at: now.wall.checked_add(signed).unwrap_or(Timestamp::MAX),
            longest: millis(span),
            since_boot: now
                .since_boot
                .as_ref()
                .map(|(boot, uptime)| (boot.clone(), millis(uptime.saturating_add(span)))),
        }
    }

    /// Deadline at a time of another clock, which leaves this span.
    #[must_use]
    pub fn at(expires_at: Timestamp, left: Duration, now: &Moment) -> Self {
        Self { expires_at, ..Self::after(left, now) }
    }

    /// Time left.
    #[must_use]
    pub fn left(&self, now: &Moment) -> Duration {
        if let (Some((boot, end)), Some((this, uptime))) = (&self.since_boot, &now.since_boot)
            && boot == this
        {
            return Duration::from_millis(*end).saturating_sub(*uptime);
        }
        let left = Duration::try_from(self.expires_at.duration_since(now.wall)).unwrap_or_default();
        left.min(Duration::from_millis(self.longest))
    }

    /// Deadline by the uptime of this boot, if it was written in another boot.
    #[must_use]
    pub fn anchored(&self, now: &Moment) -> Option<Self> {
        let (this, _) = now.since_boot.as_ref()?;
        let is_same_boot = self.since_boot.as_ref().is_some_and(|(boot, _)| boot == this);
        (!is_same_boot).then(|| Self::after(self.left(now), now))
    }
}

/// Extension of a database's lifetime.
#[derive(Debug, Clone, Copy)]
pub enum Extension {
    /// Add this to the time that is left.
    By(Duration),
    /// Set the time that is left.
    To(Duration),
    /// Set the time that is left, unless more is left.
    AtLeast(Duration),
}

impl Extension {
    /// The new time that is left.
    #[must_use]
    pub fn of(self, left: Duration) -> Duration {
        match self {
            Self::By(more) => left.saturating_add(more),
            Self::To(span) => span,
            Self::AtLeast(span) => left.max(span),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn moment(boot: &str, uptime: u64, wall: &str) -> Moment {
        let since_boot = (!boot.is_empty()).then(|| (boot.to_owned(), Duration::from_secs(uptime)));
        Moment { since_boot, wall: wall.parse().unwrap() }
    }

    #[test]
    fn clock_jump_within_a_boot_changes_nothing() {
        let deadline = Deadline::after(HOUR, &moment("a", 100, "2026-01-01T00:00:00Z"));
        for wall in ["2026-01-01T00:10:00Z", "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"] {
            assert_eq!(deadline.left(&moment("a", 700, wall)), Duration::from_secs(3000), "{wall}");
            assert_eq!(deadline.left(&moment("a", 3700, wall)), Duration::ZERO, "{wall}");
            assert_eq!(deadline.anchored(&moment("a", 700, wall)), None);
        }
    }

    #[test]
    fn wall_clock_decides_after_reboot_within_time_left() {
        let deadline = Deadline::after(HOUR, &moment("a", 100, "2026-01-01T00:00:00Z"));
        assert_eq!(deadline.left(&moment("b", 5, "2026-01-01T00:30:00Z")), HOUR / 2);
        assert_eq!(deadline.left(&moment("b", 5, "2026-01-02T00:00:00Z")), Duration::ZERO);
        // A clock that went back keeps it for the time left, and not for ever.
        let back = moment("b", 5, "1970-01-01T00:00:00Z");
        assert_eq!(deadline.left(&back), HOUR);
        let anchored = deadline.anchored(&back).unwrap();
        assert_eq!(anchored.left(&moment("b", 3605, "1970-01-01T00:00:00Z")), Duration::ZERO);
        assert_eq!(anchored.left(&moment("b", 1805, "2026-01-01T00:00:00Z")), HOUR / 2, "the clock was corrected");
    }

    #[test]
    fn wall_clock_decides_without_uptime_within_span() {
        let deadline = Deadline::after(HOUR, &moment("", 0, "2026-01-01T00:00:00Z"));
        assert_eq!(deadline.left(&moment("", 0, "2026-01-01T00:59:00Z")), Duration::from_secs(60));
        assert_eq!(deadline.left(&moment("", 0, "2025-01-01T00:00:00Z")), HOUR);
        assert_eq!(deadline.anchored(&moment("", 0, "2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn longest_span_does_not_overflow() {
        let deadline = Deadline::after(Duration::MAX, &moment("a", 1, "2026-01-01T00:00:00Z"));
        assert_eq!(deadline.expires_at, Timestamp::MAX);
        assert!(deadline.left(&moment("a", 1, "2026-01-01T00:00:00Z")) > HOUR);
    }

    #[test]
    fn machine_reports_boot_and_uptime() {
        let now = Moment::now();
        if cfg!(target_os = "linux") {
            assert!(now.since_boot.is_some_and(|(boot, uptime)| !boot.is_empty() && uptime > Duration::ZERO));
        }
    }
}
