//! How a call whose reply was lost is told from a stranger's.
//!
//! - Each call shows its name as the `application_name` of its connection while it can still take effect.
//! - Tables and views carry the mark of the call that made them as the comment of their row type, which belongs to them,
//!   goes with them and is seen nowhere.
//! - A database has the call's number as its object id.
//! - Of everything else the number of the transaction is journalled before it is committed: the server knows what became
//!   of it (`pg_xact_status`).

use crate::private::Memory;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{Attempt, Call, LostCall};

/// How many calls a session remembers.
const REMEMBERED: usize = 4096;

/// One call, named for ever by its operation and step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallName {
    operation: String,
    step: String,
}

impl CallName {
    /// The name of a call.
    pub(crate) fn of(call: &Call) -> Self {
        Self { operation: call.operation.clone(), step: call.step.clone() }
    }

    /// The name of the call that was lost, if one was.
    pub(crate) fn lost(attempt: &Attempt) -> Option<Self> {
        let LostCall { operation, step, .. } = attempt.lost_call.as_ref()?;
        Some(Self { operation: operation.clone(), step: step.clone() })
    }

    /// What the call leaves on a table or view that it makes.
    pub(crate) fn mark(&self) -> String {
        // A NUL cannot be stored.
        format!("terrace {} {}", self.operation, self.step).replace('\0', "-")
    }

    /// What its connection is called while it runs: 63 bytes of ASCII are shown.
    pub(crate) fn application(&self) -> String {
        format!("terrace {:016x}", self.number())
    }

    /// The object id of a database that it makes: those below 16384 are the server's own.
    pub(crate) fn object_id(&self) -> u32 {
        const FIRST: u64 = 16_384;
        u32::try_from(FIRST + self.number() % (u64::from(u32::MAX) - FIRST)).unwrap_or(u32::MAX)
    }

    /// FNV-1a of both, in 64 bits.
    fn number(&self) -> u64 {
        let bytes = self.operation.bytes().chain([0]).chain(self.step.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

/// What is journalled of a call before it can take effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// Which call.
    pub(crate) call: CallName,
    /// Its transaction; without one, it runs outside of any and found no object before it began.
    pub(crate) transaction: Option<String>,
}

/// The latest calls of a session: as long as it lives it knows more than the journal.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<VecDeque<Memory>>);

impl Marks {
    /// Remembers a call that is about to take effect, as it is journalled.
    pub(crate) fn put(&self, beginning: Memory) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_back(beginning);
        if marks.len() > REMEMBERED {
            marks.pop_front();
        }
    }

    /// What was remembered of a call.
    pub(crate) fn of(&self, call: &CallName) -> Option<Memory> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().rev().find(|beginning| beginning.is_of(call)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_apart() {
        let name = |operation: &str, step: &str| CallName { operation: operation.to_owned(), step: step.to_owned() };
        assert_ne!(name("a", "bc").application(), name("ab", "c").application());
        assert!(name("a", "b").object_id() >= 16_384);
        assert_eq!(name("a", "b").application().len(), 24);
    }
}
