//! Calls of this process that have ended although their steps may still be open in the store.
//!
//! If the store fails during a run, the outcome of a call is lost and its step stays open. The store cannot know that the call has
//! ended, because the process that made it is alive. This ledger knows, so that recovery in the same process does not wait for the
//! call's timeout. Other processes do not need it, and its loss costs only time.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// The number of operations to remember. Ids of operations are in order of time: the oldest is dropped first.
const MOST_OPERATIONS: usize = 1_000;

/// Steps by operation whose calls have ended or were never made.
#[derive(Debug, Default)]
pub struct EndedCalls(Mutex<BTreeMap<Uuid, HashSet<u32>>>);

impl EndedCalls {
    /// Forgets steps from that number on, because a new run of the operation uses these numbers. An earlier run that could not
    /// record its steps used them too.
    pub fn begin(&self, operation: Uuid, first_step: u32) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(steps) = ended.get_mut(&operation) {
            steps.retain(|step| *step < first_step);
        }
    }

    /// Remembers steps of a run that could not record all outcomes.
    pub fn add(&self, operation: Uuid, steps: impl IntoIterator<Item = u32>) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.entry(operation).or_default().extend(steps);
        while ended.len() > MOST_OPERATIONS {
            ended.pop_first();
        }
    }

    /// True if the call of that step has ended or was never made.
    #[must_use]
    pub fn has(&self, operation: Uuid, step: u32) -> bool {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get(&operation).is_some_and(|steps| steps.contains(&step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_forgets_step_numbers_that_the_run_reuses() {
        let (calls, operation) = (EndedCalls::default(), Uuid::now_v7());
        calls.add(operation, [3, 4, 5, 6]);
        calls.begin(operation, 5);
        assert_eq!([3, 4, 5, 6].map(|step| calls.has(operation, step)), [true, true, false, false]);
        calls.begin(Uuid::now_v7(), 0);
        assert!(calls.has(operation, 3));
    }

    #[test]
    fn oldest_operations_are_dropped_first() {
        let calls = EndedCalls::default();
        let operations: Vec<Uuid> = (0..=MOST_OPERATIONS).map(|_| Uuid::now_v7()).collect();
        operations.iter().for_each(|operation| calls.add(*operation, [0]));
        assert!(!calls.has(operations[0], 0));
        assert!(calls.has(operations[1], 0) && calls.has(operations[MOST_OPERATIONS], 0));
    }
}
