//! Behaviours and the results of their checks.

use super::bench::Bench;
use super::report::Verdict;
use futures_util::future::BoxFuture;

/// Result of a check: a verdict, or a sentence that describes the failure.
pub(super) type Checked = Result<Verdict, String>;

/// A behaviour: its name, which states a fact about a correct provider, and its check.
pub(super) struct Behaviour {
    pub(super) name: &'static str,
    pub(super) check: for<'a> fn(&'a Bench<'a>) -> BoxFuture<'a, Checked>,
}

impl Clone for Behaviour {
    fn clone(&self) -> Self {
        *self
    }
}

impl Copy for Behaviour {}
