//! Faults on purpose. Calls are numbered from 1.

use serde_json::Value as Json;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Drops the connection; the call has no effect.
    LostBefore,
    /// Drops the connection after the call took effect.
    LostAfter,
    /// Too many requests, with this `Retry-After` in seconds; the call has no effect.
    TooMany(Option<u64>),
    /// 503 `TEMPORARILY_UNAVAILABLE`; the call has no effect.
    Unavailable,
    /// 500 `INTERNAL_ERROR`; the call has no effect.
    Fails,
    /// 504 from a gateway after the call took effect.
    After504,
    /// 401: the token is refused.
    Expired,
}

/// The faults of a stand-in.
#[derive(Debug, Default)]
pub struct Faults {
    /// By the number of the call.
    pub by_number: BTreeMap<usize, Fault>,
    /// For the next calls, in order.
    pub next: VecDeque<Fault>,
    /// For calls whose `METHOD path` contains a text, once each.
    pub by_text: Vec<(String, Fault)>,
    /// Calls whose `METHOD path` contains one of these texts are not permitted.
    pub denied: Vec<String>,
    /// Duration of every call.
    pub takes: Option<Duration>,
    /// Number of reads after each change that still return the old state.
    pub lag: usize,
    /// Number of polls before a statement runs.
    pub statement_polls: usize,
    /// A finished statement is reported as closed.
    pub closes_statements: bool,
    /// Page size, which overrides the query.
    pub page: Option<usize>,
    /// Every page links to a next one.
    pub is_endless: bool,
    /// Bodies of concurrent calls, made just before the next call with the same `METHOD path`.
    pub(crate) concurrent_calls: Vec<(String, Json)>,
    /// Lifetime of OAuth tokens in seconds; default one hour.
    pub life: Option<u64>,
}

impl Faults {
    /// The query with the page size of this stand-in.
    pub(crate) fn paged(&self, mut query: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for name in ["limit", "max_results", "page_size"] {
            query.extend(self.page.map(|size| (name.to_owned(), size.to_string())));
        }
        query
    }

    /// The response with the faults of this stand-in.
    pub(crate) fn with_faults(&self, mut answer: Json, is_read: bool) -> Json {
        if self.closes_statements && answer["status"]["state"] == "SUCCEEDED" {
            answer["status"]["state"] = "CLOSED".into();
        }
        if self.is_endless && is_read && answer.is_object() {
            answer["has_more"] = true.into();
            answer["next_page_token"] = "from-0".into();
        }
        answer
    }

    /// Takes the fault of a call by its number and its `METHOD path`.
    pub fn take(&mut self, number: usize, line: &str) -> Option<Fault> {
        if let Some(fault) = self.by_number.remove(&number) {
            return Some(fault);
        }
        if let Some(at) = self.by_text.iter().position(|(text, _)| line.contains(text.as_str())) {
            return Some(self.by_text.remove(at).1);
        }
        self.next.pop_front()
    }
}
