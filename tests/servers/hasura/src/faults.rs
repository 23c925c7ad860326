//! Faults on purpose. Requests to both servers are numbered from 1.

use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Drops the connection; the request has no effect.
    LostBefore,
    /// Drops the connection after the request took effect.
    LostAfter,
    /// 504 from a gateway after the request took effect.
    GatewayTimeout,
    /// Too many requests, with this `Retry-After`; the request has no effect.
    TooMany(Option<Duration>),
    /// 503; the request has no effect.
    Unavailable,
    /// 500 `unexpected`; the request has no effect.
    Fails,
    /// 400 `postgres-error` from the database behind the source; the request has no effect.
    Denied,
    /// A concurrent change of the metadata comes first.
    Overtaken,
    /// The request takes effect; its objects are inconsistent from then on.
    LeavesInconsistent,
}

/// The faults of a stand-in; the line of a call is [`line`](crate::ReceivedCall::line).
pub type Faults = terrace_test_listening::Faults<Fault, HasuraFaults>;

/// The faults that only Hasura has.
#[derive(Debug, Default)]
pub struct HasuraFaults {
    /// Number of exports that return the state before the last change.
    pub stale_exports: usize,
}
