//! Faults on purpose. Statements are numbered from 1; a repeated request has the same number.

use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Drops the connection; the statement has no effect.
    LostBefore,
    /// Drops the connection after the statement took effect.
    LostAfter,
    /// Takes effect; this request and its repetitions never get a response.
    LostForGood,
    /// Takes effect and drops the connection; repetitions get this status.
    LostThen(u16),
    /// Takes effect; every request about the statement gets this status.
    After(u16),
    /// 202; takes effect, and polls get this status.
    LaterThen(u16),
    /// Too many requests, with this `Retry-After`; the statement has no effect.
    TooMany(Option<Duration>),
    /// 503; the statement has no effect.
    Unavailable,
    /// The statement fails with an internal error.
    Fails,
    /// 202, and this many more before the result.
    Later(usize),
    /// 408: the statement timed out.
    TimesOut,
    /// 401: the token has expired.
    Expired,
}

/// The faults of a stand-in; the line of a call is its SQL.
pub type Faults = terrace_test_listening::Faults<Fault, SnowflakeFaults>;

/// The faults that only Snowflake has.
#[derive(Debug, Default)]
pub struct SnowflakeFaults {
    /// Maximum number of rows in a partition.
    pub rows_of_partition: Option<usize>,
}
