//! Retry counts by operation. The number of claims is no substitute: a request is claimed again for other reasons, too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// The most operations that are counted at once. Beyond it, all counts start again.
const MOST: usize = 10_000;

/// Counts by operation, in this process.
#[derive(Debug, Default)]
pub(crate) struct RetryCounter(Mutex<HashMap<Uuid, u64>>);

impl RetryCounter {
    /// Counts a retry, and returns the count with it.
    pub(crate) fn increment(&self, operation: Uuid) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&operation) {
            all.clear();
        }
        let tries = all.entry(operation).or_default();
        *tries += 1;
        *tries
    }

    /// True if a retry was counted since the last `forget`.
    pub(crate) fn has(&self, operation: Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&operation)
    }

    /// Ends the count of an operation.
    pub(crate) fn forget(&self, operation: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&operation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_is_counted_until_it_is_forgotten() {
        let (tries, one, other) = (RetryCounter::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!([one, one, other].map(|it| tries.increment(it)), [1, 2, 1]);
        tries.forget(one);
        assert_eq!([one, other].map(|it| tries.has(it)), [false, true]);
        assert_eq!([one, other].map(|it| tries.increment(it)), [1, 2]);
    }

    #[test]
    fn counts_are_bounded() {
        let tries = RetryCounter::default();
        let mut counted = (0..3 * MOST as u128).map(|it| tries.increment(Uuid::from_u128(it)));
        assert!(counted.all(|tries| tries == 1));
        assert!(tries.0.lock().unwrap().len() <= MOST);
    }
}
