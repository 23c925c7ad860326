//! The state that calls share.

use crate::answer::Store;
use crate::caller::Reader;
use crate::query::Allowed;
use std::sync::Arc;
use terrace_server::audit::Audit;
use terrace_server::auth::Authenticator;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

/// The state that calls share.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    pub(crate) allowed: Allowed,
    pub(crate) audit: Arc<Audit>,
    /// Running changes, also those of callers that disconnected.
    pub(crate) changes: TaskTracker,
    pub(crate) authenticator: Authenticator,
    /// Permits for large bodies.
    pub(crate) large: Semaphore,
}
