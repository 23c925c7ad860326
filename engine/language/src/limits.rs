//! Limits on the computation that one descriptor may cause. The caller derives them from its memory: the engine reads
//! neither files nor the environment, and has no clock.

use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::yaml::Budget;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use terrace_provider::Value;

/// The code of the error for a stack with too many resources.
pub const TOO_MANY_RESOURCES: &str = "too_many_resources";

/// The code of the error for a descriptor that takes too long.
pub const TOO_SLOW: &str = "too_slow";

/// A configuration counts as one more resource for every 256 units of size. A unit is an item, or 16 bytes of text.
const UNITS_PER_RESOURCE: usize = 256;

/// Limits on the computation for one descriptor. Clones share [`Limits::is_exceeded`].
#[derive(Clone)]
pub struct Limits {
    /// Maximum number of values in a text, including expanded aliases.
    pub values: usize,
    /// Maximum number of items that one expression visits or creates.
    pub items: usize,
    /// Maximum number of resources of a stack. A large configuration counts as several.
    pub resources: usize,
    /// Time limit for compilation and planning; `None` means no limit.
    pub time: Option<TimeLimit>,
    /// How to raise the limits, for hints: `raise …`.
    pub raise: &'static str,
    exceeded: Arc<AtomicBool>,
}

/// A time limit, measured by the caller's clock.
#[derive(Clone)]
pub struct TimeLimit {
    /// The length, for messages.
    pub length: Duration,
    /// Returns true once the time is over.
    pub is_over: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Limits {
    /// Limits without a time limit. An expression may create as many items as a text may have values.
    #[must_use]
    pub fn new(values: usize, resources: usize, raise: &'static str) -> Self {
        Self { values, items: values, resources, time: None, raise, exceeded: Arc::default() }
    }

    /// The same limits with a time limit that starts now.
    #[must_use]
    pub fn within(&self, time: TimeLimit) -> Self {
        Self { time: Some(time), exceeded: Arc::default(), ..self.clone() }
    }

    /// The parsing budget of a text under these limits.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget { nodes: self.values, raise: Some(self.raise), ..Budget::default() }
    }

    /// True once a stack had too many resources, or its expressions computed too much.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// Records that a stack exceeds the limits.
    pub(crate) fn exceed(&self) {
        self.exceeded.store(true, Ordering::Relaxed);
    }

    /// Checks the time limit.
    ///
    /// # Errors
    /// When the time is over.
    pub fn check_time(&self, at: Span) -> Result<(), Diagnostic> {
        let Some(time) = self.time.as_ref().filter(|time| (time.is_over)()) else { return Ok(()) };
        let message = format!("evaluating the descriptor takes longer than {} s", time.length.as_secs_f64());
        let hint = "let expressions compute less, or split the descriptor into several";
        Err(Diagnostic::error(TOO_SLOW, message).at(at).hint(hint))
    }
}

impl Default for Limits {
    /// Default limits.
    fn default() -> Self {
        Self::new(Budget::default().nodes, 1_000_000, "plan on a machine with more memory")
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { values, items, resources, time, .. } = self;
        let time = time.as_ref().map(|time| time.length);
        f.debug_struct("Limits")
            .field("values", values)
            .field("items", items)
            .field("resources", resources)
            .field("time", &time)
            .finish_non_exhaustive()
    }
}

/// Counts the resources of a stack before planning spends memory on them.
#[derive(Debug, Default)]
pub(crate) struct ResourceCounter(AtomicUsize);

impl ResourceCounter {
    /// True once the count exceeds the limit.
    pub(crate) fn is_over(&self, limits: &Limits) -> bool {
        self.0.load(Ordering::Relaxed) > limits.resources
    }

    /// Adds to the count.
    ///
    /// # Errors
    /// When the count exceeds the limit. From then on every call fails.
    pub(crate) fn add(&self, resources: usize, limits: &Limits, at: Span) -> Result<(), Diagnostic> {
        let before = self.0.fetch_add(resources, Ordering::Relaxed);
        if before.saturating_add(resources) <= limits.resources && before <= limits.resources {
            return Ok(());
        }
        // Later additions must not wrap around.
        self.0.store(limits.resources.saturating_add(1), Ordering::Relaxed);
        limits.exceed();
        let most = limits.resources;
        let message =
            format!("the stack has more than {most} resources; one with a large configuration counts as several");
        let hint = format!("split it into several stacks, or {}", limits.raise);
        Err(Diagnostic::error(TOO_MANY_RESOURCES, message).at(at).hint(hint))
    }
}

/// The number of resources that a configuration counts as, in addition to its own.
pub fn additional_resources(size: usize) -> usize {
    size / UNITS_PER_RESOURCE
}

/// The number of items of a `forEach`.
pub fn length(value: &Value) -> usize {
    match value {
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_over_the_limit_are_refused_from_then_on() {
        let (limits, counter) = (Limits::new(10, 3, "buy more memory"), ResourceCounter::default());
        assert_eq!(counter.add(3, &limits, Span::default()), Ok(()));
        assert!(!limits.is_exceeded());
        let refused = counter.add(1, &limits, Span::default()).unwrap_err();
        assert!(refused.message.contains("more than 3 resources"), "{}", refused.message);
        assert!(refused.hint.unwrap().ends_with("or buy more memory"));
        assert!(limits.is_exceeded() && limits.clone().is_exceeded());
        for more in [usize::MAX, 1, 0] {
            assert!(counter.add(more, &limits, Span::default()).is_err());
        }
    }

    #[test]
    fn time_over_the_limit_is_an_error() {
        let late = |is_over: bool| TimeLimit { length: Duration::from_secs(30), is_over: Arc::new(move || is_over) };
        let limits = Limits::default();
        assert_eq!(limits.check_time(Span::default()), Ok(()));
        assert_eq!(limits.within(late(false)).check_time(Span::default()), Ok(()));
        let error = limits.within(late(true)).check_time(Span::default()).unwrap_err();
        assert_eq!((error.code, error.message.contains("longer than 30 s")), (TOO_SLOW, true));
    }
}
