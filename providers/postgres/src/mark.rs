//! Marks of calls: they distinguish a call with a lost reply from changes of other origin.
//!
//! - Each call shows its name as the `application_name` of its connection while it can still take effect.
//! - The comment of a relation's row type holds the mark of the creating call. It belongs to the table or view, is
//!   dropped with it, and is not visible to users.
//! - The object id of a database is the number of the creating call.
//! - All other calls journal the number of their transaction before its commit: the server knows its outcome
//!   (`pg_xact_status`).

use crate::private::Memory;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{Attempt, Call, LostCall};

/// Number of calls that a session remembers.
const REMEMBERED: usize = 4096;

/// A call, identified by its operation and step.
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

    /// The name of the lost call, if there is one.
    pub(crate) fn lost(attempt: &Attempt) -> Option<Self> {
        let LostCall { operation, step, .. } = attempt.lost_call.as_ref()?;
        Some(Self { operation: operation.clone(), step: step.clone() })
    }

    /// The mark of the call on a table or view that it creates.
    pub(crate) fn mark(&self) -> String {
        // PostgreSQL cannot store a NUL.
        format!("terrace {} {}", self.operation, self.step).replace('\0', "-")
    }

    /// The application name of its connection. The server shows 63 bytes of ASCII.
    pub(crate) fn application(&self) -> String {
        format!("terrace {:016x}", self.number())
    }

    /// The object id of a database that it creates: ids below 16384 are reserved.
    pub(crate) fn object_id(&self) -> u32 {
        const FIRST: u64 = 16_384;
        u32::try_from(FIRST + self.number() % (u64::from(u32::MAX) - FIRST)).unwrap_or(u32::MAX)
    }

    /// The FNV-1a hash of both, in 64 bits.
    fn number(&self) -> u64 {
        let bytes = self.operation.bytes().chain([0]).chain(self.step.bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }
}

/// The journaled facts about a call before it can take effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begun {
    /// The call.
    pub(crate) call: CallName,
    /// Its transaction; `None` for a call outside of transactions, which found no object before it began.
    pub(crate) transaction: Option<String>,
}

/// The latest calls of a session: while it lives, it knows more than the journal.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<VecDeque<Memory>>);

impl Marks {
    /// Records a call that is about to take effect, as journaled.
    pub(crate) fn put(&self, journal_entry: Memory) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_back(journal_entry);
        if marks.len() > REMEMBERED {
            marks.pop_front();
        }
    }

    /// The record of a call.
    pub(crate) fn of(&self, call: &CallName) -> Option<Memory> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().rev().find(|journal_entry| journal_entry.is_of(call)).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_calls_have_different_marks() {
        let name = |operation: &str, step: &str| CallName { operation: operation.to_owned(), step: step.to_owned() };
        assert_ne!(name("a", "bc").application(), name("ab", "c").application());
        assert!(name("a", "b").object_id() >= 16_384);
        assert_eq!(name("a", "b").application().len(), 24);
    }
}
