//! Leases of an operation: taken together, kept alive on a thread of their own, given back at the end.

use crate::address::StackId;
use crate::event::{Event, Events};
use crate::store::{Acquired, Lease, LeaseInfo, LeaseRequest, StateStore, StoreError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a lease lasts without renewal.
pub const TERM: Duration = Duration::from_secs(30);
/// How often leases are renewed.
const RENEWAL: Duration = Duration::from_secs(10);
/// How often a held lease is asked for again.
const PATIENCE: Duration = Duration::from_millis(100);

/// Leases could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another operation holds them.
    #[error("{}", describe(.0))]
    Held(Vec<LeaseInfo>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user did not want to wait any longer.
    #[error("interrupted while waiting for a lease")]
    Interrupted,
}

/// Who asks for leases, and how long they wait.
pub struct Claim<'a> {
    /// The components.
    pub components: BTreeSet<(StackId, String)>,
    /// The operation.
    pub operation: Uuid,
    /// Who that is, for people.
    pub holder: &'a str,
    /// How long to wait for others.
    pub patience: Duration,
    /// Set when the user wants to stop.
    pub cancel: &'a CancellationToken,
    /// Where waiting is shown.
    pub events: &'a dyn Events,
}

/// Held leases. Dropping it without [`Held::release`] stops renewing: they end by expiry.
pub struct Held {
    store: Arc<dyn StateStore>,
    leases: Vec<Lease>,
    stop: CancellationToken,
    /// Set when a lease was lost: nothing new may start.
    pub lost: CancellationToken,
}

impl Held {
    /// Takes leases, waiting for other holders as long as the claim says.
    ///
    /// # Errors
    /// When others hold them for longer, the user stops, or the store fails.
    pub async fn take(store: &Arc<dyn StateStore>, claim: Claim<'_>) -> Result<Self, LeaseError> {
        let request = LeaseRequest {
            components: claim.components,
            operation: claim.operation,
            holder: claim.holder.to_owned(),
            term: TERM,
        };
        let deadline = tokio::time::Instant::now() + claim.patience;
        let mut is_shown = false;
        loop {
            let held = match store.acquire(&request).await? {
                Acquired::Granted(leases) => return Ok(Self::keep(Arc::clone(store), leases)),
                Acquired::Held(held) => held,
            };
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Err(LeaseError::Held(held));
            }
            if !is_shown {
                claim.events.take(Event::WaitingForLease { held: describe(&held), left });
                is_shown = true;
            }
            tokio::select! {
                () = tokio::time::sleep(PATIENCE.min(left)) => {}
                () = claim.cancel.cancelled() => return Err(LeaseError::Interrupted),
            }
        }
    }

    fn keep(store: Arc<dyn StateStore>, leases: Vec<Lease>) -> Self {
        let stop = CancellationToken::new();
        let lost = CancellationToken::new();
        if !leases.is_empty() {
            renew_on_a_thread(Arc::clone(&store), leases.clone(), stop.clone(), lost.clone());
        }
        Self { store, leases, stop, lost }
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Gives the leases back.
    ///
    /// # Errors
    /// When the store fails; the leases then end by expiry.
    pub async fn release(self) -> Result<(), StoreError> {
        self.stop.cancel();
        self.store.release(&self.leases).await
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Renews leases apart from the tasks that compute, so that a long computation cannot cost a lease.
fn renew_on_a_thread(store: Arc<dyn StateStore>, leases: Vec<Lease>, stop: CancellationToken, lost: CancellationToken) {
    let run = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
            lost.cancel();
            return;
        };
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(RENEWAL) => {}
                }
                if let Err(StoreError::LeaseLost { .. }) = store.renew(&leases, TERM).await {
                    lost.cancel();
                    return;
                }
            }
        });
    };
    // Without a thread the leases end by expiry, which the store refuses writes for: nothing is lost.
    let _ = std::thread::Builder::new().name("terrace-leases".to_owned()).spawn(run);
}

fn describe(held: &[LeaseInfo]) -> String {
    let one = |lease: &LeaseInfo| {
        let component = if lease.component.is_empty() { "the stack's own resources" } else { &lease.component };
        format!(
            "{component} of {} is held by {} since {} (operation {}, lease {})",
            lease.stack,
            lease.holder,
            lease.since.strftime("%H:%M:%S UTC"),
            lease.operation,
            lease.id
        )
    };
    held.iter().map(one).collect::<Vec<_>>().join("; ")
}
