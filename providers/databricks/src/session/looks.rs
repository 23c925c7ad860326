//! What was there before a call that makes something, as the journal has it: access, folders, repositories and credentials keep
//! no mark of who made them.
//!
//! It is looked first, and only once that is journalled does anything go out. So a lost call that journalled no look made
//! nothing, whatever is there; what is there after one that did, and was not there before it, is ours. Once somebody else has
//! found out what became of a step, its call can journal no look any more, and so sends nothing.

use crate::private::Kept;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use terrace_provider::{Attempt, Call, Partial, Planned, ProviderError};

/// So many calls are remembered, which is more than run at once; of others the journal tells.
const MOST: usize = 10_000;

/// A call: the address, the operation, the step.
type Key = (String, String, String);

/// What this session knows of its own calls, which is no less than the journal has.
#[derive(Default)]
pub(super) struct Looks(Mutex<VecDeque<(Key, Kept)>>);

impl Looks {
    /// Journals what a call found there before it makes something.
    ///
    /// # Errors
    /// When that cannot be journalled: nothing may be sent then.
    pub(super) async fn journal(
        &self,
        call: &Call,
        planned: &Planned,
        preexisting: Vec<String>,
    ) -> Result<(), ProviderError> {
        let kept = Kept { preexisting, is_looked_for: true, ..Kept::of(&planned.private) };
        call.progress.partial(Partial { identity: None, private: Some(kept.to_private()) }).await?;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.pop_front();
        }
        all.push_back(((call.address.clone(), call.operation.clone(), call.step.clone()), kept));
        Ok(())
    }

    /// What is kept of an attempt to make something.
    pub(super) fn kept(&self, attempt: &Attempt) -> Kept {
        let of_call = attempt.lost_call.as_ref().and_then(|lost| {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_it = |(address, operation, step): &Key| {
                (address, operation, step) == (&attempt.address, &lost.operation, &lost.step)
            };
            all.iter().rev().find(|(key, _)| is_it(key)).map(|(_, kept)| kept.clone())
        });
        of_call.unwrap_or_else(|| Kept::of(&attempt.private))
    }
}
