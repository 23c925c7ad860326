//! Heartbeat of a claimed request: renews the claim, and watches for a request to stop.

use crate::serve::Shared;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{RequestClaim, StoreError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a claim lasts unless it is kept.
pub(crate) const TERM: Duration = Duration::from_secs(30);
/// How often it is.
const KEEP: Duration = Duration::from_secs(10);
/// How long the store may leave workers without an answer before the keeper gives a claim up. Claims have connections apart
/// from those of workers: without this limit the keeper would keep the claim of a worker that hangs.
const STALL: Duration = Duration::from_secs(90);
/// How often it is looked whether somebody asked to stop.
const LOOK: Duration = Duration::from_secs(1);

/// Keeps a claim until it is dropped.
pub(crate) struct ClaimHeartbeat {
    task: JoinHandle<()>,
    /// Set when the claim was lost, or may be: whoever claims it next goes on.
    lost: CancellationToken,
}

impl ClaimHeartbeat {
    /// Keeps a claim in a task of its own: a store that is slow to answer holds nobody up. `cancel` is set when somebody
    /// asks to stop, and when the claim is lost: what was done so far is recorded, and whoever has it now goes on.
    pub(crate) fn of(shared: &Arc<Shared>, claim: &RequestClaim, cancel: &CancellationToken) -> Self {
        let lost = CancellationToken::new();
        let (shared, claim, cancel, gone) = (Arc::clone(shared), claim.clone(), cancel.clone(), lost.clone());
        let task = tokio::spawn(async move {
            // What was begun is waited for: the claim is kept until then, also by one who is to stop.
            tokio::join!(keep(&shared, &claim, &cancel, &gone), look(&shared, claim.operation, &cancel));
        });
        Self { task, lost }
    }

    /// Set when somebody else may work on the request now, or will soon.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Whether somebody else may work on the request now, or will soon.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

/// Keeps a claim until the store refuses, or leaves workers without an answer.
async fn keep(shared: &Shared, claim: &RequestClaim, cancel: &CancellationToken, lost: &CancellationToken) {
    let (mut kept, mut worked) = (Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(KEEP).await;
        let begun = Instant::now();
        // `now` uses the connections of workers.
        let (answer, answered) = tokio::join!(shared.store.keep(claim, TERM), timeout(KEEP, shared.store.now()));
        shared.last_answer.note(&answer);
        if matches!(answered, Ok(Ok(_))) {
            worked = Instant::now();
        } else if worked.elapsed() >= STALL {
            let seconds = worked.elapsed().as_secs();
            tracing::warn!(operation = %claim.operation, seconds, "the store does not answer workers: the claim is given up");
            lost.cancel();
            cancel.cancel();
            return;
        }
        match answer {
            Ok(()) => kept = begun,
            Err(error) => {
                tracing::warn!(operation = %claim.operation, %error, "the claim on a request is not kept");
                // Nobody else has it before its term is over.
                if matches!(error, StoreError::ClaimLost(_)) || kept.elapsed() >= TERM {
                    lost.cancel();
                    cancel.cancel();
                    return;
                }
            }
        }
    }
}

/// Looks whether somebody asks to stop.
async fn look(shared: &Shared, operation: Uuid, cancel: &CancellationToken) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(LOOK).await;
        if is_to_stop(shared, operation).await {
            cancel.cancel();
        }
    }
}

impl Drop for ClaimHeartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether somebody asked an operation to stop.
pub(crate) async fn is_to_stop(shared: &Shared, operation: Uuid) -> bool {
    let answer = shared.store.is_cancel_requested(operation).await;
    shared.last_answer.note(&answer);
    // A store that does not answer now is asked again.
    answer.unwrap_or(false)
}
