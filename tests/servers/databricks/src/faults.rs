//! What goes wrong on purpose. Calls are counted from 1 as they come in.

use serde_json::Value as Json;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection ends before anything happened.
    LostBefore,
    /// It happened, and the connection ends before the answer.
    LostAfter,
    /// Nothing happened: too many requests, with what `Retry-After` says in seconds.
    TooMany(Option<u64>),
    /// Nothing happened: 503 `TEMPORARILY_UNAVAILABLE`.
    Unavailable,
    /// Nothing happened: 500 `INTERNAL_ERROR`.
    Fails,
    /// It happened, and a gateway answers 504 instead.
    After504,
    /// 401: the token is not taken.
    Expired,
}

/// The faults of a stand-in.
#[derive(Debug, Default)]
pub struct Faults {
    /// By the number of the call.
    pub by_number: BTreeMap<usize, Fault>,
    /// For the next calls, whatever their number.
    pub next: VecDeque<Fault>,
    /// For calls whose `METHOD path` holds a text, once each.
    pub by_text: Vec<(String, Fault)>,
    /// Calls whose `METHOD path` holds one of these are not permitted.
    pub denied: Vec<String>,
    /// How long every call takes.
    pub takes: Option<Duration>,
    /// So many reading calls after each change still see what was before it.
    pub lag: usize,
    /// A statement runs only once it was asked for so many times.
    pub statement_polls: usize,
    /// A statement that ran is told to be closed.
    pub closes_statements: bool,
    /// Pages hold so many, whatever was asked for.
    pub page: Option<usize>,
    /// Every page names a next one.
    pub is_endless: bool,
    /// What somebody else does just before the next call of that `METHOD path`.
    pub(crate) races: Vec<(String, Json)>,
    /// How many seconds a token of OAuth is said to live, instead of an hour.
    pub life: Option<u64>,
}

impl Faults {
    /// What was asked, with pages as they come.
    pub(crate) fn paged(&self, mut query: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for name in ["limit", "max_results", "page_size"] {
            query.extend(self.page.map(|size| (name.to_owned(), size.to_string())));
        }
        query
    }

    /// An answer as it is told.
    pub(crate) fn told(&self, mut answer: Json, is_read: bool) -> Json {
        if self.closes_statements && answer["status"]["state"] == "SUCCEEDED" {
            answer["status"]["state"] = "CLOSED".into();
        }
        if self.is_endless && is_read && answer.is_object() {
            answer["has_more"] = true.into();
            answer["next_page_token"] = "from-0".into();
        }
        answer
    }

    /// What goes wrong with the call of that number, whose `METHOD path` is the line.
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
