//! Faults on purpose. Calls are numbered from 1.

use serde_json::Value as Json;
use std::collections::BTreeMap;

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

/// The faults of a stand-in; the line of a call is its `METHOD path`.
pub type Faults = terrace_test_listening::Faults<Fault, DatabricksFaults>;

/// The faults that only Databricks has.
#[derive(Debug, Default)]
pub struct DatabricksFaults {
    /// Calls whose `METHOD path` contains one of these texts are not permitted.
    pub denied: Vec<String>,
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

impl DatabricksFaults {
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
}
