//! The inputs of an apply.

use crate::event::Events;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use terrace_language::expression::Functions;
use terrace_language::registry::Registry;
use terrace_store::StateStore;
use terrace_store::seal::Seal;
use tokio_util::sync::CancellationToken;

/// The inputs of an apply.
pub struct Applier {
    /// The state and the journal.
    pub store: Arc<dyn StateStore>,
    /// The providers.
    pub registry: Arc<Registry>,
    /// Functions of expressions.
    pub functions: Arc<Functions>,
    /// Seals sensitive values of rows.
    pub seal: Arc<Seal>,
    /// The receiver of progress events.
    pub events: Arc<dyn Events>,
    /// Cancelled when the user stops the operation.
    pub cancel: CancellationToken,
    /// The cause of the stop within this process, for people: a signal.
    pub stopped_by: Arc<OnceLock<&'static str>>,
    /// The number of concurrent provider calls.
    pub parallelism: usize,
    /// How long to wait for leases of other operations.
    pub lock_timeout: Duration,
    /// The user or process that applies, for people.
    pub actor: String,
    /// Facts of this attempt.
    pub attempt: Attempt,
}

/// Facts of an attempt to apply a plan. The other fields of [`Applier`] hold for all attempts of an operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attempt {
    /// True if the caller replans when the plan is stale.
    pub replans_if_stale: bool,
    /// True if the plan may be old: objects are read again before they are updated.
    pub rereads_objects: bool,
    /// The journal's number of the first step; not 0 for an operation that continues an earlier run.
    pub first_step: u32,
}
