//! Heartbeat of a claimed request: renews the claim, and watches for cancellation.

use crate::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{RequestClaim, StoreError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a claim lasts unless it is renewed.
pub(crate) const TERM: Duration = Duration::from_secs(30);
/// How often the claim is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How long the store may leave workers without an answer before the heartbeat gives up the claim. Heartbeats use other
/// connections than workers: without this limit the heartbeat would renew the claim of a worker that hangs.
const STALL: Duration = Duration::from_secs(90);
/// How often the heartbeat checks for cancellation.
const CANCEL_POLL: Duration = Duration::from_secs(1);

/// Renews a claim until it is dropped.
pub(crate) struct ClaimHeartbeat {
    task: JoinHandle<()>,
    /// Set when the claim was lost, or may be: the next worker that claims the request continues it.
    lost: CancellationToken,
}

impl ClaimHeartbeat {
    /// Renews a claim in a separate task, so that a slow store delays no other work. `cancel` is set on a
    /// cancellation, and when the claim is lost: then the run records its results, and the new holder continues.
    pub(crate) fn of(shared: &Arc<Shared>, claim: &RequestClaim, cancel: &CancellationToken) -> Self {
        let lost = CancellationToken::new();
        let (shared, claim, cancel, lost_token) = (Arc::clone(shared), claim.clone(), cancel.clone(), lost.clone());
        let task = tokio::spawn(async move {
            // The run finishes the steps that it has started; until then it needs the claim, also after a cancellation.
            tokio::join!(
                renew(&shared, &claim, &cancel, &lost_token),
                watch_cancellation(&shared, claim.operation, &cancel)
            );
        });
        Self { task, lost }
    }

    /// Set when another worker may work on the request now, or will soon.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Whether another worker may work on the request now, or will soon.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }
}

/// Renews a claim until the store refuses, or leaves workers without an answer.
async fn renew(shared: &Shared, claim: &RequestClaim, cancel: &CancellationToken, lost: &CancellationToken) {
    let (mut renewed_at, mut answered_at) = (Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        let begun = Instant::now();
        // `now` uses the connections of workers.
        let (answer, answered) =
            tokio::join!(shared.store.renew_claim(claim, TERM), timeout(RENEW_EVERY, shared.store.now()));
        shared.last_answer.note(&answer);
        if matches!(answered, Ok(Ok(_))) {
            answered_at = Instant::now();
        } else if answered_at.elapsed() >= STALL {
            let seconds = answered_at.elapsed().as_secs();
            tracing::warn!(operation = %claim.operation, seconds, "the store does not answer workers: giving up the claim");
            lost.cancel();
            cancel.cancel();
            return;
        }
        match answer {
            Ok(()) => renewed_at = begun,
            Err(error) => {
                tracing::warn!(operation = %claim.operation, %error, "cannot renew the claim on a request");
                // No other worker has the request before the term of the claim is over.
                if matches!(error, StoreError::ClaimLost(_)) || renewed_at.elapsed() >= TERM {
                    lost.cancel();
                    cancel.cancel();
                    return;
                }
            }
        }
    }
}

/// Watches for a cancellation.
async fn watch_cancellation(shared: &Shared, operation: Uuid, cancel: &CancellationToken) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(CANCEL_POLL).await;
        if must_stop(shared, operation).await {
            cancel.cancel();
        }
    }
}

impl Drop for ClaimHeartbeat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether an operation is to be cancelled.
pub(crate) async fn must_stop(shared: &Shared, operation: Uuid) -> bool {
    let answer = shared.store.is_cancel_requested(operation).await;
    shared.last_answer.note(&answer);
    // If the store does not answer, the next check asks again.
    answer.unwrap_or(false)
}
