//! Leases of an operation: taken together, kept alive on a thread of their own, given back at the end.

use crate::address::StackId;
use crate::event::{Event, Events};
use crate::store::{Acquired, Lease, LeaseInfo, LeaseRequest, StateStore, StoreError, component_in_words};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
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
    kept: Arc<Mutex<Kept>>,
}

/// How keeping the leases went so far.
struct Kept {
    /// When they were last known to be held, by a clock that nobody turns: never later than the store thinks.
    since: Instant,
    /// Why they are lost.
    error: Option<StoreError>,
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
        let begun = tokio::time::Instant::now();
        let mut is_shown = false;
        loop {
            let asked_at = Instant::now();
            let held = match store.acquire(&request).await? {
                Acquired::Granted(leases) => return Ok(Self::keep(Arc::clone(store), leases, asked_at)),
                Acquired::Held(held) => held,
            };
            let left = claim.patience.saturating_sub(begun.elapsed());
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

    fn keep(store: Arc<dyn StateStore>, leases: Vec<Lease>, since: Instant) -> Self {
        let held = Self {
            store,
            leases,
            stop: CancellationToken::new(),
            lost: CancellationToken::new(),
            kept: Arc::new(Mutex::new(Kept { since, error: None })),
        };
        if !held.leases.is_empty() {
            held.renew_on_a_thread();
        }
        held
    }

    /// Fails when a lease was lost, or may have ended because it was not renewed in time: nothing new may start.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or what kept the leases from being renewed.
    pub fn check(&self) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = !self.leases.is_empty() && kept.since.elapsed() >= TERM;
        if is_late && kept.error.is_none() {
            kept.error = self
                .leases
                .first()
                .map(|lease| StoreError::LeaseLost { stack: lease.stack.clone(), component: lease.component.clone() });
        }
        match &kept.error {
            None => Ok(()),
            Some(error) => {
                self.lost.cancel();
                Err(error.clone())
            }
        }
    }

    /// The leases.
    #[must_use]
    pub fn leases(&self) -> &[Lease] {
        &self.leases
    }

    /// Renews leases apart from the tasks that compute, so that a long computation cannot cost a lease.
    fn renew_on_a_thread(&self) {
        let (store, leases, kept) = (Arc::clone(&self.store), self.leases.clone(), Arc::clone(&self.kept));
        let (stop, lost) = (self.stop.clone(), self.lost.clone());
        let run = move || {
            // Without a runtime or a thread the leases end by expiry, which is noticed before anything starts.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async move {
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(RENEWAL) => {}
                    }
                    let asked_at = Instant::now();
                    let result = store.renew(&leases, TERM).await;
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    match result {
                        Ok(()) => kept.since = asked_at,
                        Err(error @ StoreError::LeaseLost { .. }) => {
                            kept.error = Some(error);
                            lost.cancel();
                            return;
                        }
                        // A store that cannot be reached for a moment may be reached again before the term is over.
                        Err(error) => tracing::warn!(%error, "leases could not be renewed"),
                    }
                }
            });
        };
        let _ = std::thread::Builder::new().name("terrace-leases".to_owned()).spawn(run);
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

fn describe(held: &[LeaseInfo]) -> String {
    let one = |lease: &LeaseInfo| {
        let component = component_in_words(&lease.stack, &lease.component);
        let are = if component.ends_with("resources") { "are" } else { "is" };
        format!(
            "{component} of {} {are} held by {} since {} (operation {}, lease {})",
            lease.stack,
            lease.holder,
            lease.since.strftime("%H:%M:%S UTC"),
            lease.operation,
            lease.id
        )
    };
    held.iter().map(one).collect::<Vec<_>>().join("; ")
}
