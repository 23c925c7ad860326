//! Limits of the callers of a server: how much they may run and keep, alone and as an organisation.
//!
//! [`check`] decides from use, limits and time, and reads nothing.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// The limits of a caller or an organisation; an absent limit allows all. Days are those of UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerLimits {
    /// Runs that wait or run at once.
    pub concurrent_runs: Option<u64>,
    /// Seconds that workers spend on its runs in a day.
    pub run_seconds: Option<u64>,
    /// Rows of the results of its runs in a day.
    pub rows: Option<u64>,
    /// Bytes of the results of the pipelines that it ran last.
    pub stored_bytes: Option<u64>,
    /// Hours of the lifetimes of databases that it creates in a day, and by which it extends databases.
    pub database_hours: Option<u64>,
}

/// The use of a caller or an organisation, in the units of [`CallerLimits`]; databases in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallerUse {
    /// Runs that wait or run now.
    pub concurrent_runs: u64,
    /// Seconds of workers today.
    pub run_seconds: u64,
    /// Rows of today's results.
    pub rows: u64,
    /// Bytes of the results of the pipelines that it ran last, without those that the run replaces.
    pub stored_bytes: u64,
    /// Seconds of the lifetimes that databases got today.
    pub database_seconds: u64,
}

/// A request that limits may refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// A further run.
    Run,
    /// A new or longer life of a database, by this many seconds.
    DatabaseSeconds(u64),
    /// A database without a lifetime.
    EndlessDatabase,
}

/// A limit, by its key in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// See [`CallerLimits::concurrent_runs`].
    ConcurrentRuns,
    /// See [`CallerLimits::run_seconds`].
    RunSecondsPerDay,
    /// See [`CallerLimits::rows`].
    RowsPerDay,
    /// See [`CallerLimits::stored_bytes`].
    StoredBytes,
    /// See [`CallerLimits::database_hours`].
    DatabaseHoursPerDay,
}

impl Limit {
    /// The key in the configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::ConcurrentRuns => "concurrentRuns",
            Self::RunSecondsPerDay => "runSecondsPerDay",
            Self::RowsPerDay => "rowsPerDay",
            Self::StoredBytes => "storedBytes",
            Self::DatabaseHoursPerDay => "databaseHoursPerDay",
        }
    }

    /// True if the use counts by day.
    const fn is_daily(self) -> bool {
        matches!(self, Self::RunSecondsPerDay | Self::RowsPerDay | Self::DatabaseHoursPerDay)
    }
}

/// A limit that refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// The organisation whose limit it is; `None` for the caller's own.
    pub organisation: Option<String>,
    /// Its value.
    pub allowed: u64,
    /// The use, in the unit of the limit.
    pub used: u64,
    /// When the use counts from zero again; `None` for limits without a day.
    pub resets_at: Option<Timestamp>,
    /// Minutes that are left of the hours of databases; nothing for a database that would not end.
    pub minutes_left: Option<u64>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.organisation {
            Some(name) => write!(f, "the limit `{}` of the organisation `{name}`", self.limit.key())?,
            None => write!(f, "the limit `{}`", self.limit.key())?,
        }
        write!(f, " is {}, and ", self.allowed)?;
        match (self.limit, self.minutes_left) {
            (Limit::ConcurrentRuns, _) => write!(f, "{} are in the queue or running: wait until one ends", self.used)?,
            (Limit::StoredBytes, _) => {
                write!(
                    f,
                    "{} bytes are stored: run a pipeline that stores less, or ask for a higher limit",
                    self.used
                )?;
            }
            (Limit::RunSecondsPerDay, _) => write!(f, "{} seconds are used today", self.used)?,
            (Limit::RowsPerDay, _) => write!(f, "{} rows are written today", self.used)?,
            (Limit::DatabaseHoursPerDay, Some(left)) => write!(f, "{left} minutes are left today")?,
            (Limit::DatabaseHoursPerDay, None) => write!(f, "a database without `ttl` does not end: set `ttl`")?,
        }
        match self.resets_at {
            Some(at) => write!(f, ": it resets at {at:.0}"),
            None => Ok(()),
        }
    }
}

/// Decides whether limits allow a request.
///
/// # Errors
/// The limit that refuses it. Of several limits it is the last to reset, so that a retry at the reset succeeds.
pub fn check(used: &CallerUse, limits: &CallerLimits, demand: Demand, now: Timestamp) -> Result<(), Exceeded> {
    const HOUR: u64 = 3600;
    let used_of_databases = used.database_seconds;
    let full = |limit, allowed: Option<u64>, used: u64| {
        let allowed = allowed.filter(|allowed| used >= *allowed)?;
        Some((limit, allowed, used))
    };
    let refusing = match demand {
        Demand::Run => full(Limit::StoredBytes, limits.stored_bytes, used.stored_bytes)
            .or_else(|| full(Limit::RunSecondsPerDay, limits.run_seconds, used.run_seconds))
            .or_else(|| full(Limit::RowsPerDay, limits.rows, used.rows))
            .or_else(|| full(Limit::ConcurrentRuns, limits.concurrent_runs, used.concurrent_runs)),
        Demand::DatabaseSeconds(more) => {
            let allowed = limits.database_hours;
            let allowed =
                allowed.filter(|hours| used.database_seconds.saturating_add(more) > hours.saturating_mul(HOUR));
            allowed.map(|hours| (Limit::DatabaseHoursPerDay, hours, used.database_seconds.div_ceil(HOUR)))
        }
        // It would need 24 hours of each day to come.
        Demand::EndlessDatabase => {
            let hours = limits.database_hours;
            hours.map(|hours| (Limit::DatabaseHoursPerDay, hours, used.database_seconds.div_ceil(HOUR)))
        }
    };
    match refusing {
        None => Ok(()),
        Some((limit, allowed, used)) => {
            let is_endless = demand == Demand::EndlessDatabase;
            let resets_at = if limit.is_daily() && !is_endless { next_day(now) } else { None };
            let minutes_left = (limit == Limit::DatabaseHoursPerDay && !is_endless)
                .then(|| allowed.saturating_mul(HOUR).saturating_sub(used_of_databases) / 60);
            Err(Exceeded { limit, organisation: None, allowed, used, resets_at, minutes_left })
        }
    }
}

/// The start of the day in UTC.
pub(super) fn day(now: Timestamp) -> Option<Timestamp> {
    Some(now.to_zoned(TimeZone::UTC).start_of_day().ok()?.timestamp())
}

/// The start of the next day in UTC.
fn next_day(now: Timestamp) -> Option<Timestamp> {
    Some(now.to_zoned(TimeZone::UTC).tomorrow().ok()?.start_of_day().ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CallerLimits = CallerLimits {
        concurrent_runs: Some(2),
        run_seconds: Some(60),
        rows: Some(1000),
        stored_bytes: Some(4096),
        database_hours: Some(3),
    };

    fn now() -> Timestamp {
        "2026-03-28T23:59:59Z".parse().unwrap()
    }

    #[track_caller]
    fn refused(used: CallerUse, demand: Demand) -> String {
        check(&used, &LIMITS, demand, now()).unwrap_err().to_string()
    }

    #[test]
    fn use_below_the_limits_is_allowed() {
        let used = CallerUse {
            concurrent_runs: 1,
            run_seconds: 59,
            rows: 999,
            stored_bytes: 4095,
            database_seconds: 2 * 3600,
        };
        assert_eq!(check(&used, &LIMITS, Demand::Run, now()), Ok(()));
        assert_eq!(check(&used, &LIMITS, Demand::DatabaseSeconds(3600), now()), Ok(()));
        let much = CallerUse { concurrent_runs: u64::MAX, rows: u64::MAX, database_seconds: u64::MAX, ..used };
        for demand in [Demand::Run, Demand::DatabaseSeconds(u64::MAX), Demand::EndlessDatabase] {
            assert_eq!(check(&much, &CallerLimits::default(), demand, now()), Ok(()), "no limit is set");
        }
    }

    #[test]
    fn refusal_names_the_limit_its_use_and_its_reset() {
        let of = |used| refused(used, Demand::Run);
        assert_eq!(
            of(CallerUse { concurrent_runs: 2, ..CallerUse::default() }),
            "the limit `concurrentRuns` is 2, and 2 are in the queue or running: wait until one ends"
        );
        assert_eq!(
            of(CallerUse { run_seconds: 61, ..CallerUse::default() }),
            "the limit `runSecondsPerDay` is 60, and 61 seconds are used today: it resets at 2026-03-29T00:00:00Z"
        );
        assert_eq!(
            of(CallerUse { rows: 1000, ..CallerUse::default() }),
            "the limit `rowsPerDay` is 1000, and 1000 rows are written today: it resets at 2026-03-29T00:00:00Z"
        );
        assert_eq!(
            of(CallerUse { stored_bytes: 5000, ..CallerUse::default() }),
            "the limit `storedBytes` is 4096, and 5000 bytes are stored: run a pipeline that stores less, or ask for a higher limit"
        );
        let used = CallerUse { database_seconds: 2 * 3600, ..CallerUse::default() };
        assert_eq!(
            refused(used, Demand::DatabaseSeconds(3601)),
            "the limit `databaseHoursPerDay` is 3, and 60 minutes are left today: it resets at 2026-03-29T00:00:00Z"
        );
        assert_eq!(
            refused(CallerUse::default(), Demand::EndlessDatabase),
            "the limit `databaseHoursPerDay` is 3, and a database without `ttl` does not end: set `ttl`"
        );
    }

    #[test]
    fn limit_that_blocks_longest_is_named() {
        let used = CallerUse { concurrent_runs: 9, run_seconds: 90, rows: 9000, ..CallerUse::default() };
        assert_eq!(check(&used, &LIMITS, Demand::Run, now()).unwrap_err().limit, Limit::RunSecondsPerDay);
        let used = CallerUse { stored_bytes: 9000, ..used };
        assert_eq!(check(&used, &LIMITS, Demand::Run, now()).unwrap_err().limit, Limit::StoredBytes);
    }

    #[test]
    fn limit_of_zero_allows_nothing() {
        let limits = CallerLimits { concurrent_runs: Some(0), ..CallerLimits::default() };
        assert!(check(&CallerUse::default(), &limits, Demand::Run, now()).is_err());
    }

    #[test]
    fn last_moment_of_time_has_no_panic() {
        let limits = CallerLimits { rows: Some(0), ..CallerLimits::default() };
        let refused = check(&CallerUse::default(), &limits, Demand::Run, Timestamp::MAX).unwrap_err();
        assert_eq!(refused.resets_at, None);
    }
}
