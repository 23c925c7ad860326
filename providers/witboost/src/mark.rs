//! What is journalled of a call before and after it is sent, so that whoever comes after a crash knows whom to ask.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{LostCall, Private};

/// How many calls a session remembers.
const REMEMBERED: usize = 1024;

/// What an adapter was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Asked {
    /// To make or change something, or to let somebody in.
    Make,
    /// To remove something, or to let nobody in.
    Remove,
}

/// How far a call came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reached {
    /// It was sent, or is about to be: no answer is known.
    Sent,
    /// It was answered with a token.
    Token(String),
    /// It was refused, or failed: nothing is under way.
    Refused,
    /// It was done within the answer.
    Done,
}

/// One call, named for ever by its operation and step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    operation: String,
    step: String,
    /// What the adapter was asked for.
    pub(crate) asked: Asked,
    /// How far it came.
    pub(crate) reached: Reached,
}

impl Mark {
    pub(crate) fn new(operation: &str, step: &str, asked: Asked) -> Self {
        Self { operation: operation.to_owned(), step: step.to_owned(), asked, reached: Reached::Sent }
    }

    /// As bytes that travel with a step.
    pub(crate) fn to_private(&self) -> Private {
        Private(serde_json::to_vec(self).unwrap_or_default())
    }

    /// That of a lost call, where its step has one: what it took over from the row is of another call.
    pub(crate) fn of(private: &Private, lost: &LostCall) -> Option<Self> {
        let mark: Self = serde_json::from_slice(&private.0).ok()?;
        mark.is_of(lost).then_some(mark)
    }

    fn is_of(&self, lost: &LostCall) -> bool {
        self.operation == lost.operation && self.step == lost.step
    }
}

/// The latest calls of a session, by address: as long as it lives it knows more than the journal.
#[derive(Debug, Default)]
pub(crate) struct Marks(Mutex<VecDeque<(String, Mark)>>);

impl Marks {
    /// Remembers how far a call came.
    pub(crate) fn put(&self, address: &str, mark: &Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|(at, known)| at != address || known.operation != mark.operation || known.step != mark.step);
        marks.push_back((address.to_owned(), mark.clone()));
        if marks.len() > REMEMBERED {
            marks.pop_front();
        }
    }

    /// How far a lost call came, where it was one of these.
    pub(crate) fn of(&self, address: &str, lost: &LostCall) -> Option<Mark> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().find(|(at, mark)| at == address && mark.is_of(lost)).map(|(_, mark)| mark.clone())
    }
}
