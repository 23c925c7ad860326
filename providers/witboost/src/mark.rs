//! Journal entries of calls, written before and after a call is sent, so that its outcome can be found after a crash.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{LostCall, Private};

/// Maximum number of calls that a session remembers.
const MAX_REMEMBERED: usize = 1024;

/// The requested action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Action {
    /// Create or update an object, or grant access.
    #[serde(rename = "make")]
    Apply,
    /// Delete an object, or revoke all access.
    Remove,
}

/// Progress of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Progress {
    /// The call was or is about to be sent; the answer is still missing.
    Sent,
    /// The answer was a token.
    Token(String),
    /// The call was refused, or its work failed: nothing is running.
    Refused,
    /// The work was done before the answer.
    Done,
}

/// The journal entry of a call, identified by operation and step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    operation: String,
    step: String,
    /// The requested action.
    #[serde(rename = "asked")]
    pub(crate) action: Action,
    /// Progress of the call.
    #[serde(rename = "reached")]
    pub(crate) progress: Progress,
}

impl Mark {
    pub(crate) fn new(operation: &str, step: &str, action: Action) -> Self {
        Self { operation: operation.to_owned(), step: step.to_owned(), action, progress: Progress::Sent }
    }

    /// Encodes the entry as private bytes of a step.
    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Decodes the entry of a lost call; `None` if the bytes belong to another call, from which the row has them.
    pub(crate) fn of(private: &Private, lost: &LostCall) -> Option<Self> {
        let mark: Self = serde_json::from_slice(&private.0).ok()?;
        mark.is_of(lost).then_some(mark)
    }

    fn is_of(&self, lost: &LostCall) -> bool {
        self.operation == lost.operation && self.step == lost.step
    }
}

/// The latest calls of a session, by address. While the session lives, it knows more than the journal.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<VecDeque<(String, Mark)>>);

impl Marks {
    /// Remembers the progress of a call.
    pub(crate) fn put(&self, address: &str, mark: &Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|(at, known)| at != address || known.operation != mark.operation || known.step != mark.step);
        marks.push_back((address.to_owned(), mark.clone()));
        if marks.len() > MAX_REMEMBERED {
            marks.pop_front();
        }
    }

    /// The progress of a lost call, if this session made it.
    pub(crate) fn of(&self, address: &str, lost: &LostCall) -> Option<Mark> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().find(|(at, mark)| at == address && mark.is_of(lost)).map(|(_, mark)| mark.clone())
    }
}
