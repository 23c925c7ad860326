//! Limits of an instance: concurrent calls, call rate, and retries.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Limits and retries of the calls to one instance.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Number of concurrent calls.
    pub concurrency: usize,
    /// Rate of calls.
    pub rate: Option<Rate>,
    /// Number of retries after a temporary error.
    pub retries: usize,
    /// The first pause before a retry; later pauses double, with jitter.
    pub first_pause: Duration,
    /// Additional limits of single resource types and lookups, by name.
    pub types: BTreeMap<String, TypeLimits>,
}

/// Limits for the calls of one type, in addition to those of the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TypeLimits {
    /// Number of concurrent calls.
    pub concurrency: Option<usize>,
    /// Rate of calls.
    pub rate: Option<Rate>,
    /// Number of retries, instead of the instance's.
    pub retries: Option<usize>,
}

/// A token bucket: a call takes a token, and each period adds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    period: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// Valid rates in calls per second: from one in about a day to more than any server handles.
    pub const PER_SECOND: RangeInclusive<f64> = 0.000_01..=1_000_000.0;

    /// The longest refill time of a burst: a hundred years, far below the range of nanoseconds in 64 bits.
    const REFILLED: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// A rate in calls per second. The default burst is the number of calls in a second. `None` if the rate is outside
    /// [`Rate::PER_SECOND`], or the burst above [`Rate::max_burst`].
    #[must_use]
    pub fn per_second(calls: f64, burst: Option<NonZeroU32>) -> Option<Self> {
        let period = Self::period_of(calls)?;
        let burst = burst.unwrap_or_else(|| times(period, Duration::from_secs(1)));
        (burst <= times(period, Self::REFILLED)).then_some(Self { period, burst })
    }

    /// The largest burst at this rate in calls per second; `None` for an invalid rate.
    #[must_use]
    pub fn max_burst(calls: f64) -> Option<NonZeroU32> {
        Self::period_of(calls).map(|period| times(period, Self::REFILLED))
    }

    /// The time between tokens.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Number of tokens in a full bucket: this many calls may begin without a pause.
    #[must_use]
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    fn period_of(calls: f64) -> Option<Duration> {
        let calls = Some(calls).filter(|calls| Self::PER_SECOND.contains(calls))?;
        Duration::try_from_secs_f64(calls.recip()).ok()
    }
}

/// The form in terrace.yaml: `0.5/s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A rate has at most five decimals; rounding to nanoseconds adds no visible digits.
        let calls = format!("{:.5}", self.period.as_secs_f64().recip());
        write!(f, "{}/s", calls.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Number of periods in a time, at least one.
fn times(period: Duration, time: Duration) -> NonZeroU32 {
    let count = time.as_nanos().checked_div(period.as_nanos()).unwrap_or(u128::MAX);
    NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX)).unwrap_or(NonZeroU32::MIN)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 16,
            rate: None,
            retries: 5,
            first_pause: Duration::from_millis(200),
            types: BTreeMap::new(),
        }
    }
}

impl Limits {
    /// Number of concurrent calls of a type, if it has its own limit.
    #[must_use]
    pub fn concurrency_of(&self, ty: &str) -> Option<usize> {
        self.types.get(ty)?.concurrency
    }

    /// Number of calls of a type that may wait or run, if it has its own limits.
    #[must_use]
    pub fn lane_of(&self, ty: &str) -> Option<usize> {
        let limits = self.types.get(ty)?;
        let has_own = limits.concurrency.is_some() || limits.rate.is_some();
        has_own.then(|| limits.concurrency.unwrap_or(self.concurrency))
    }

    /// Number of retries for a call of a type.
    #[must_use]
    pub fn retries_of(&self, ty: &str) -> usize {
        self.types.get(ty).and_then(|limits| limits.retries).unwrap_or(self.retries)
    }

    /// The least time for this number of calls of a type, by its rates.
    #[must_use]
    pub fn pace(&self, ty: &str, calls: usize) -> Duration {
        let rates = [self.rate, self.types.get(ty).and_then(|limits| limits.rate)];
        let period = rates.into_iter().flatten().map(|rate| rate.period).max().unwrap_or_default();
        period.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX))
    }
}
