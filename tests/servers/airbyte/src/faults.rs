//! Faults on purpose. Calls are numbered from 1; token calls don't count.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Drops the connection; the call has no effect.
    LostBefore,
    /// Drops the connection after the call took effect.
    LostAfter,
    /// Too many requests, with this `Retry-After`; the call has no effect.
    TooMany(Option<Duration>),
    /// This status from a gateway; the call has no effect.
    Status(u16),
    /// This status from a gateway after the call took effect.
    StatusAfter(u16),
    /// 409 `try-again-later`; the call has no effect.
    TryAgain,
}

/// The faults of a stand-in; the line of a call is its `METHOD path`.
pub type Faults = terrace_test_listening::Faults<Fault, AirbyteFaults>;

/// The faults that only Airbyte has.
#[derive(Debug, Default)]
pub struct AirbyteFaults {
    /// For the next call of a method whose path contains a text, once each.
    pub by_call: Vec<(&'static str, &'static str, Fault)>,
    /// Maximum page size, which overrides the query.
    pub page: Option<usize>,
    /// Fields that responses omit, as other versions do.
    pub omitted: Vec<&'static str>,
    /// Lifetime of tokens in seconds; default 900.
    pub life: Option<u64>,
}

impl AirbyteFaults {
    /// The query with the page size of this stand-in.
    pub(crate) fn paged(&self, mut query: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if let (Some(page), Some(limit)) = (self.page, query.get_mut("limit")) {
            *limit = page.to_string();
        }
        query
    }

    /// The response without the omitted fields.
    pub(crate) fn with_omissions(&self, mut answer: Json) -> Json {
        for name in &self.omitted {
            let items = answer["data"].as_array().is_some();
            if let (true, Some(entries)) = (!items || *name == "data", answer.as_object_mut()) {
                entries.shift_remove(*name);
            }
        }
        answer
    }
}

/// Takes the fault of a call by its number or its method and path, or else the next one.
pub(crate) fn take(faults: &mut Faults, number: usize, method: &str, path: &str) -> Option<Fault> {
    let fits = |(of, text, _): &(&str, &str, Fault)| *of == method && path.contains(text);
    match faults.by_call.iter().position(fits) {
        Some(at) if !faults.by_number.contains_key(&number) => Some(faults.by_call.remove(at).2),
        _ => faults.take(number, &format!("{method} {path}")),
    }
}
