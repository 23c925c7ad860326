//! Journal of the prior content before a create, for objects that carry no mark: access, folders, repositories and
//! credentials.
//!
//! The provider reads the prior content, journals it, and only then sends the request. A lost call without such an
//! entry created nothing. After a call with an entry, an object that was missing in the prior content is ours. Once
//! another process has resolved a step, the step's call can no longer write to the journal, and so sends nothing.

use crate::private::PrivateData;
use terrace_provider::{Call, Partial, Planned, ProviderError};

/// Journals the prior content of a create.
///
/// # Errors
/// If the journal cannot be written: the request must not be sent then.
pub(super) async fn journal(call: &Call, planned: &Planned, preexisting: Vec<String>) -> Result<(), ProviderError> {
    let private = PrivateData { preexisting, is_journalled: true, ..PrivateData::of(&planned.private) };
    call.progress.partial(Partial { identity: None, private: Some(private.to_private()) }).await
}
