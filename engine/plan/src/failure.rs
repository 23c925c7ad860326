//! The failure that prevents a plan.

use terrace_provider::value::wire::WireError;
use terrace_store::StoreError;

/// A failure that prevents any plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanFailure {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A recorded value cannot be decrypted.
    #[error("{address}: {error}")]
    Sealed {
        /// The resource.
        address: String,
        /// Why.
        error: WireError,
    },
}
