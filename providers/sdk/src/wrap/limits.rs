//! How much an instance may be asked: how many calls at once, how many in a second, how often again.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How calls to one instance are limited and retried.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Calls at once.
    pub concurrency: usize,
    /// Calls in a time.
    pub rate: Option<Rate>,
    /// Attempts after the first that a temporary error gets.
    pub retries: usize,
    /// The first pause between attempts; it doubles, with jitter.
    pub first_pause: Duration,
    /// What holds besides for single types of resources and lookups, by name.
    pub types: BTreeMap<String, TypeLimits>,
}

/// What holds for the calls of one type, besides what holds for all calls of the instance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TypeLimits {
    /// Calls at once.
    pub concurrency: Option<usize>,
    /// Calls in a time.
    pub rate: Option<Rate>,
    /// Attempts after the first, instead of those of the instance.
    pub retries: Option<usize>,
}

/// A token bucket: a call takes a token, and a new one comes with each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    period: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// How many calls a second can be a rate: from one in about a day to more than anybody answers.
    pub const PER_SECOND: RangeInclusive<f64> = 0.000_01..=1_000_000.0;

    /// The tokens of a burst come again within that time: a hundred years, which nanoseconds in 64 bits can count with
    /// much to spare.
    const REFILLED: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    /// So many calls a second, and as many at once as come in a second unless `burst` says how many; `None` when that is
    /// beyond [`Rate::PER_SECOND`] or [`Rate::most_burst`].
    #[must_use]
    pub fn per_second(calls: f64, burst: Option<NonZeroU32>) -> Option<Self> {
        let period = Self::period_of(calls)?;
        let burst = burst.unwrap_or_else(|| times(period, Duration::from_secs(1)));
        (burst <= times(period, Self::REFILLED)).then_some(Self { period, burst })
    }

    /// The greatest burst that so many calls a second can have; `None` when they are no rate.
    #[must_use]
    pub fn most_burst(calls: f64) -> Option<NonZeroU32> {
        Self::period_of(calls).map(|period| times(period, Self::REFILLED))
    }

    /// How long it takes until there is another token.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// How many tokens there can be: so many calls may follow each other without a pause.
    #[must_use]
    pub fn burst(&self) -> NonZeroU32 {
        self.burst
    }

    fn period_of(calls: f64) -> Option<Duration> {
        let calls = Some(calls).filter(|calls| Self::PER_SECOND.contains(calls))?;
        Duration::try_from_secs_f64(calls.recip()).ok()
    }
}

/// As it is written in terrace.yaml: `0.5/s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No rate has more digits, and what nanoseconds round away is not shown.
        let calls = format!("{:.5}", self.period.as_secs_f64().recip());
        write!(f, "{}/s", calls.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// How many periods a time has, at least one.
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
    /// How many calls of a type may run at once, where it has a limit of its own.
    #[must_use]
    pub fn concurrency_of(&self, ty: &str) -> Option<usize> {
        self.types.get(ty)?.concurrency
    }

    /// How many calls of a type may wait or run at once, where it has limits of its own.
    #[must_use]
    pub fn lane_of(&self, ty: &str) -> Option<usize> {
        let limits = self.types.get(ty)?;
        let has_own = limits.concurrency.is_some() || limits.rate.is_some();
        has_own.then(|| limits.concurrency.unwrap_or(self.concurrency))
    }

    /// Attempts after the first that a call of a type gets.
    #[must_use]
    pub fn retries_of(&self, ty: &str) -> usize {
        self.types.get(ty).and_then(|limits| limits.retries).unwrap_or(self.retries)
    }

    /// How long so many calls of a type take in any case, for the rates that hold for them.
    #[must_use]
    pub fn pace(&self, ty: &str, calls: usize) -> Duration {
        let rates = [self.rate, self.types.get(ty).and_then(|limits| limits.rate)];
        let period = rates.into_iter().flatten().map(|rate| rate.period).max().unwrap_or_default();
        period.saturating_mul(u32::try_from(calls).unwrap_or(u32::MAX))
    }
}
