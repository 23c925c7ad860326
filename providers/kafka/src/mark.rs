//! How far a create came, as the journal has it: Kafka keeps no mark on what it makes.
//!
//! Before something is made it is looked whether it is there already, which is somebody else's then; only then it is
//! journalled that the request goes out. So what is there after a request that was journalled is ours.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{Attempt, Call, LostCall, Partial, Private, ProviderError};

/// The private bytes of a call whose request went out, or may have.
const SENT: &[u8] = b"sent";
/// Those of one whose request was refused.
const REFUSED: &[u8] = b"refused";

/// What this session knows of its own calls, which is no less than the journal has.
#[derive(Default)]
pub(crate) struct Marks(Mutex<HashMap<(String, String, String), bool>>);

impl Marks {
    /// Journals that the request of a call goes out now.
    ///
    /// # Errors
    /// When that cannot be journalled: nothing may be sent then.
    pub(crate) async fn sent(&self, call: &Call) -> Result<(), ProviderError> {
        self.report(call, SENT).await?;
        self.remember(call, true);
        Ok(())
    }

    /// Journals that it came to nothing, as far as that can be: there may be a long pause before another attempt, and a
    /// kill in it.
    pub(crate) async fn refused(&self, call: &Call) {
        self.remember(call, false);
        if let Err(error) = self.report(call, REFUSED).await {
            tracing::debug!(address = %call.address, %error, "a refusal cannot be journalled");
        }
    }

    /// True when the request of a lost call went out, or may have.
    pub(crate) fn may_be_ours(&self, attempt: &Attempt, lost: &LostCall) -> bool {
        let key = (attempt.address.clone(), lost.operation.clone(), lost.step.clone());
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        known.unwrap_or(attempt.private.0 == SENT)
    }

    /// True when the request of a lost create is known never to have gone out, so that it made nothing, whatever there is.
    pub(crate) fn made_nothing(&self, attempt: &Attempt) -> bool {
        let lost = attempt.lost_call.as_ref().filter(|_| attempt.prior.is_none());
        lost.is_some_and(|lost| !self.may_be_ours(attempt, lost))
    }

    async fn report(&self, call: &Call, reached: &[u8]) -> Result<(), ProviderError> {
        let private = Some(Private(reached.to_vec()));
        call.progress.partial(Partial { identity: None, private }).await
    }

    fn remember(&self, call: &Call, was_sent: bool) {
        let key = (call.address.clone(), call.operation.clone(), call.step.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, was_sent);
    }
}
