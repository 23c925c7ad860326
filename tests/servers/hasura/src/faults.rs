//! What goes wrong on purpose. Requests to both servers are counted from 1 as they come in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before anything happened.
    LostBefore,
    /// It happened, and the connection ends before the answer.
    LostAfter,
    /// It happened, and a gateway answers 504.
    GatewayTimeout,
    /// Nothing happened: too many requests, with what `Retry-After` says.
    TooMany(Option<Duration>),
    /// Nothing happened: 503.
    Unavailable,
    /// Nothing happened: 500 `unexpected`.
    Fails,
    /// Nothing happened: 400 `postgres-error`, what is behind the source says no.
    Denied,
    /// Somebody else changes the metadata first.
    Overtaken,
    /// It happens, and what was changed is inconsistent from then on.
    LeavesInconsistent,
}

/// The faults of a stand-in.
#[derive(Debug, Default)]
pub struct Faults {
    /// By the number of the request.
    pub by_number: BTreeMap<usize, Fault>,
    /// For the next requests, whatever their number.
    pub next: VecDeque<Fault>,
    /// For requests whose line in the log holds a text, once each.
    pub by_text: Vec<(String, Fault)>,
    /// How long every request takes.
    pub takes: Option<Duration>,
    /// So many exports answer as things were before the last change.
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
