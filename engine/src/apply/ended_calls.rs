//! Calls of this process that have ended although their steps may still be open in the store.
//!
//! If the store fails during a run, the outcome of a call is lost and its step stays open. The store cannot know that the call has
//! ended, because the process that made it is alive. This ledger knows, so that recovery in the same process does not wait for the
//! call's timeout. Other processes do not need it, and its loss costs only time.

use crate::store::OpenIntent;
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
    pub(crate) fn begin(&self, operation: Uuid, first_step: u32) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(steps) = ended.get_mut(&operation) {
            steps.retain(|step| *step < first_step);
        }
    }

    /// Remembers steps of a run that could not record all outcomes.
    pub(crate) fn add(&self, operation: Uuid, steps: impl IntoIterator<Item = u32>) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ended.entry(operation).or_default().extend(steps);
        while ended.len() > MOST_OPERATIONS {
            ended.pop_first();
        }
    }

    /// Adds the knowledge of this process to an open step: once its call has ended, its holder counts as gone.
    #[must_use]
    pub fn complete(&self, open: OpenIntent) -> OpenIntent {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_ended = ended.get(&open.intent.operation).is_some_and(|steps| steps.contains(&open.intent.step));
        OpenIntent { is_holder_gone: open.is_holder_gone || has_ended, ..open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_ended(calls: &EndedCalls, operation: Uuid, step: u32) -> bool {
        calls.0.lock().unwrap().get(&operation).is_some_and(|steps| steps.contains(&step))
    }

    #[test]
    fn begin_forgets_step_numbers_that_the_run_reuses() {
        let (calls, operation) = (EndedCalls::default(), Uuid::now_v7());
        calls.add(operation, [3, 4, 5, 6]);
        calls.begin(operation, 5);
        assert_eq!([3, 4, 5, 6].map(|step| has_ended(&calls, operation, step)), [true, true, false, false]);
        calls.begin(Uuid::now_v7(), 0);
        assert!(has_ended(&calls, operation, 3));
    }

    #[test]
    fn oldest_operations_are_dropped_first() {
        let calls = EndedCalls::default();
        let operations: Vec<Uuid> = (0..=MOST_OPERATIONS).map(|_| Uuid::now_v7()).collect();
        operations.iter().for_each(|operation| calls.add(*operation, [0]));
        assert!(!has_ended(&calls, operations[0], 0));
        assert!(has_ended(&calls, operations[1], 0) && has_ended(&calls, operations[MOST_OPERATIONS], 0));
    }
}
