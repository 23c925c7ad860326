//! What goes wrong on purpose. Calls are counted from 1 as they come in; those for tokens are not counted.

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
    /// Nothing happened: too many requests, with what `Retry-After` says.
    TooMany(Option<Duration>),
    /// Nothing happened: that status, as a gateway answers.
    Status(u16),
    /// It happened, and a gateway answers with that status.
    StatusAfter(u16),
    /// Nothing happened: 409 `try-again-later`.
    TryAgain,
}

/// The faults of a stand-in.
#[derive(Debug, Default)]
pub struct Faults {
    /// By the number of the call.
    pub by_number: BTreeMap<usize, Fault>,
    /// For the next calls, whatever their number.
    pub next: VecDeque<Fault>,
    /// For the next calls of a method whose path holds a text, once each.
    pub by_call: Vec<(&'static str, &'static str, Fault)>,
    /// How long every call takes.
    pub takes: Option<Duration>,
    /// Pages hold so many at the most, whatever was asked for.
    pub page: Option<usize>,
    /// Answers leave these fields out, as other versions do.
    pub unsaid: Vec<&'static str>,
    /// How many seconds a token is said to live, instead of a quarter of an hour.
    pub life: Option<u64>,
}

impl Faults {
    /// What was asked, with pages as they come.
    pub(crate) fn paged(&self, mut query: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if let (Some(page), Some(limit)) = (self.page, query.get_mut("limit")) {
            *limit = page.to_string();
        }
        query
    }

    /// An answer as it is told.
    pub(crate) fn told(&self, mut answer: Json) -> Json {
        for name in &self.unsaid {
            let items = answer["data"].as_array().is_some();
            if let (true, Some(entries)) = (!items || *name == "data", answer.as_object_mut()) {
                entries.shift_remove(*name);
            }
        }
        answer
    }

    pub(crate) fn take(&mut self, number: usize, method: &str, path: &str) -> Option<Fault> {
        if let Some(fault) = self.by_number.remove(&number) {
            return Some(fault);
        }
        let fits = |(of, text, _): &(&str, &str, Fault)| *of == method && path.contains(text);
        if let Some(at) = self.by_call.iter().position(fits) {
            return Some(self.by_call.remove(at).2);
        }
        self.next.pop_front()
    }
}
