//! Faults on purpose. Requests to both servers are numbered from 1.

use std::collections::{BTreeMap, VecDeque};
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

/// The faults of a stand-in.
#[derive(Debug, Default)]
pub struct Faults {
    /// By the number of the request.
    pub by_number: BTreeMap<usize, Fault>,
    /// For the next requests, in order.
    pub next: VecDeque<Fault>,
    /// For requests whose line in the log contains a text, once each.
    pub by_text: Vec<(String, Fault)>,
    /// Duration of every request.
    pub takes: Option<Duration>,
    /// Number of exports that return the state before the last change.
    pub stale_exports: usize,
}

impl Faults {
    pub(crate) fn take(&mut self, number: usize, line: &str) -> Option<Fault> {
        if let Some(fault) = self.by_number.remove(&number) {
            return Some(fault);
        }
        if let Some(at) = self.by_text.iter().position(|(text, _)| line.contains(text.as_str())) {
            return Some(self.by_text.remove(at).1);
        }
        self.next.pop_front()
    }
}
