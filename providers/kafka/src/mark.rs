//! How far a create came, as the journal has it: Kafka keeps no mark on what it makes.
//!
//! Before something is made it is looked whether it is there already, which is somebody else's then; only then it is
//! journalled that the request goes out. So what is there after a request that was journalled is ours, unless it is known
//! that it was refused.

use crate::failure::unseen;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{Attempt, Call, LostCall, Partial, Private, ProviderError};

/// The private bytes of a call whose request went out, or may have; a space and what it has to remember may follow.
const SENT: &str = "sent";
/// Those of one whose request was refused.
const REFUSED: &str = "refused";

/// So many calls are remembered; of others the journal tells.
const MOST: usize = 10_000;

/// What this session knows of its own calls, which is no less than the journal has.
#[derive(Default)]
pub(crate) struct Marks(Mutex<HashMap<(String, String, String), Mark>>);

/// How far one call came.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Mark {
    /// The request went out, or may have; with what was there before that its effect hides.
    Sent(Option<String>),
    /// It was refused.
    Refused,
}

impl Marks {
    /// Journals that the request of a call goes out now, with what has to be remembered of what was there before.
    ///
    /// # Errors
    /// When that cannot be journalled: nothing may be sent then.
    pub(crate) async fn sent(&self, call: &Call, memory: Option<&str>) -> Result<(), ProviderError> {
        let bytes = memory.map_or_else(|| SENT.to_owned(), |memory| format!("{SENT} {memory}"));
        self.report(call, &bytes).await?;
        self.remember(call, Mark::Sent(memory.map(str::to_owned)));
        Ok(())
    }

    /// Journals that it came to nothing, as far as that can be: there may be a long pause before another attempt, and a
    /// kill in it.
    pub(crate) async fn refused(&self, call: &Call) {
        self.remember(call, Mark::Refused);
        if let Err(error) = self.report(call, REFUSED).await {
            tracing::debug!(address = %call.address, %error, "a refusal cannot be journalled");
        }
    }

    /// What an earlier attempt of a call remembered, where it may have had its effect; nothing where there was none.
    pub(crate) fn earlier(&self, call: &Call) -> Option<Option<String>> {
        match self.of((&call.address, &call.operation, &call.step)) {
            Some(Mark::Sent(memory)) => Some(memory),
            Some(Mark::Refused) | None => None,
        }
    }

    /// The error of a create, which says that nothing was made only where that is known.
    pub(crate) fn judged(&self, call: &Call, error: ProviderError) -> ProviderError {
        match self.earlier(call) {
            // Another attempt finds what this one made.
            Some(_) if !error.kind.is_temporary() => unseen(error),
            _ => error,
        }
    }

    /// True when the request of a lost call went out, or may have.
    pub(crate) fn may_be_ours(&self, attempt: &Attempt, lost: &LostCall) -> bool {
        matches!(self.reached(attempt, lost), Some(Mark::Sent(_)))
    }

    /// What a lost call remembered of what was there before.
    pub(crate) fn memory(&self, attempt: &Attempt) -> Option<String> {
        match self.reached(attempt, attempt.lost_call.as_ref()?)? {
            Mark::Sent(memory) => memory,
            Mark::Refused => None,
        }
    }

    /// True when the request of a lost create is known never to have gone out, so that it made nothing, whatever there is.
    pub(crate) fn made_nothing(&self, attempt: &Attempt) -> bool {
        let lost = attempt.lost_call.as_ref().filter(|_| attempt.prior.is_none());
        lost.is_some_and(|lost| !self.may_be_ours(attempt, lost))
    }

    fn reached(&self, attempt: &Attempt, lost: &LostCall) -> Option<Mark> {
        self.of((&attempt.address, &lost.operation, &lost.step)).or_else(|| {
            let journalled = std::str::from_utf8(&attempt.private.0).ok()?;
            match journalled.split_once(' ') {
                None if journalled == SENT => Some(Mark::Sent(None)),
                Some((SENT, memory)) => Some(Mark::Sent(Some(memory.to_owned()))),
                _ => None,
            }
        })
    }

    fn of(&self, (address, operation, step): (&str, &str, &str)) -> Option<Mark> {
        let key = (address.to_owned(), operation.to_owned(), step.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    async fn report(&self, call: &Call, reached: &str) -> Result<(), ProviderError> {
        let private = Some(Private(reached.as_bytes().to_vec()));
        call.progress.partial(Partial { identity: None, private }).await
    }

    fn remember(&self, call: &Call, mark: Mark) {
        let key = (call.address.clone(), call.operation.clone(), call.step.clone());
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= MOST {
            marks.clear();
        }
        marks.insert(key, mark);
    }
}
