//! What was there before a call that makes something, as the journal has it: access, folders, repositories and credentials keep
//! no mark of who made them.
//!
//! It is looked first, and only once that is journalled does anything go out. So a lost call that journalled no look made
//! nothing, whatever is there; what is there after one that did, and was not there before it, is ours. Once somebody else has
//! found out what became of a step, its call can journal no look any more, and so sends nothing.

use crate::private::Kept;
use terrace_provider::{Call, Partial, Planned, ProviderError};

/// Journals what a call found there before it makes something.
///
/// # Errors
/// When that cannot be journalled: nothing may be sent then.
pub(super) async fn journal(call: &Call, planned: &Planned, preexisting: Vec<String>) -> Result<(), ProviderError> {
    let kept = Kept { preexisting, is_looked_for: true, ..Kept::of(&planned.private) };
    call.progress.partial(Partial { identity: None, private: Some(kept.to_private()) }).await
}
