//! Progress of creates, recorded in the journal, because Kafka objects cannot carry a marker.
//!
//! Before a create, the provider checks that the object does not exist; an existing object belongs to another owner.
//! Only then it journals that the request is sent. An object found after a journalled request is ours, unless the
//! request
//! is known to have been refused.

use crate::failure::as_ambiguous;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{Attempt, Call, LostCall, Partial, Private, ProviderError};

/// Private bytes of a call whose request was or may have been sent. A space and a memory of the prior object may
/// follow.
const SENT: &str = "sent";
/// Private bytes of a call whose request was refused.
const REFUSED: &str = "refused";

/// Maximum number of remembered calls; the journal has the others.
const MAX_REMEMBERED: usize = 10_000;

/// Progress of this session's own calls: at least as complete as the journal.
#[derive(Default)]
pub(crate) struct Marks(Mutex<HashMap<CallName, Mark>>);

/// A call among all calls of a journal.
#[derive(PartialEq, Eq, Hash)]
struct CallName {
    address: String,
    operation: String,
    step: String,
}

impl CallName {
    fn of(call: &Call) -> Self {
        Self { address: call.address.clone(), operation: call.operation.clone(), step: call.step.clone() }
    }

    fn of_lost(attempt: &Attempt, lost: &LostCall) -> Self {
        Self { address: attempt.address.clone(), operation: lost.operation.clone(), step: lost.step.clone() }
    }
}

/// Progress of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// The request was or may have been sent. Holds the prior content that its effect hides.
    Sent(Option<String>),
    /// The request was refused.
    Refused,
}

impl Marks {
    /// Journals that the request of a call is about to be sent, with the prior content to remember.
    ///
    /// # Errors
    /// If the journal cannot be written: the request must not be sent then.
    pub(crate) async fn record_sent(&self, call: &Call, memory: Option<&str>) -> Result<(), ProviderError> {
        let bytes = memory.map_or_else(|| SENT.to_owned(), |memory| format!("{SENT} {memory}"));
        self.journal(call, &bytes).await?;
        self.remember(call, Mark::Sent(memory.map(str::to_owned)));
        Ok(())
    }

    /// Journals a refusal if possible: there may be a long pause before the next attempt, and the process may be killed
    /// in
    /// it.
    pub(crate) async fn record_refused(&self, call: &Call) {
        self.remember(call, Mark::Refused);
        if let Err(error) = self.journal(call, REFUSED).await {
            tracing::debug!(address = %call.address, %error, "cannot journal a refusal");
        }
    }

    /// The memory of an earlier attempt that may have had an effect; `None` if there was no such attempt.
    pub(crate) fn earlier_attempt(&self, call: &Call) -> Option<Option<String>> {
        match self.of(&CallName::of(call)) {
            Some(Mark::Sent(memory)) => Some(memory),
            Some(Mark::Refused) | None => None,
        }
    }

    /// Marks the error of a create as ambiguous unless it is known that nothing was created.
    pub(crate) fn mark_ambiguous(&self, call: &Call, error: ProviderError) -> ProviderError {
        match self.earlier_attempt(call) {
            // A retry finds the object that this attempt created.
            Some(_) if !error.kind.is_temporary() => as_ambiguous(error),
            _ => error,
        }
    }

    /// Returns true if the request of a lost call was or may have been sent.
    pub(crate) fn may_have_created(&self, attempt: &Attempt, lost: &LostCall) -> bool {
        matches!(self.progress(attempt, lost), Some(Mark::Sent(_)))
    }

    /// The memory of a lost call about the prior content.
    pub(crate) fn memory(&self, attempt: &Attempt) -> Option<String> {
        match self.progress(attempt, attempt.lost_call.as_ref()?)? {
            Mark::Sent(memory) => memory,
            Mark::Refused => None,
        }
    }

    /// Returns true if a lost create never sent its request: an object that exists is not ours.
    pub(crate) fn created_nothing(&self, attempt: &Attempt) -> bool {
        let lost = attempt.lost_call.as_ref().filter(|_| attempt.prior.is_none());
        lost.is_some_and(|lost| !self.may_have_created(attempt, lost))
    }

    fn progress(&self, attempt: &Attempt, lost: &LostCall) -> Option<Mark> {
        self.of(&CallName::of_lost(attempt, lost)).or_else(|| {
            let journalled = std::str::from_utf8(&attempt.private.0).ok()?;
            match journalled.split_once(' ') {
                None if journalled == SENT => Some(Mark::Sent(None)),
                Some((SENT, memory)) => Some(Mark::Sent(Some(memory.to_owned()))),
                _ => None,
            }
        })
    }

    fn of(&self, call: &CallName) -> Option<Mark> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(call).cloned()
    }

    async fn journal(&self, call: &Call, progress: &str) -> Result<(), ProviderError> {
        let private = Some(Private(progress.as_bytes().to_vec()));
        call.progress.partial(Partial { identity: None, private }).await
    }

    fn remember(&self, call: &Call, mark: Mark) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= MAX_REMEMBERED {
            marks.clear();
        }
        marks.insert(CallName::of(call), mark);
    }
}
