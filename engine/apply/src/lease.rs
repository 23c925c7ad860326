//! Leases of an operation: acquired together, renewed on a separate thread, released at the end.

use crate::event::{Event, Events};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_store::{
    Acquired, Lease, LeaseInfo, LeaseRequest, OperationStatus, Record, StateStore, StoreError, Write, describe_lease,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The term of a lease without renewal.
pub const TERM: Duration = Duration::from_secs(30);
/// The interval of renewals.
const RENEWAL: Duration = Duration::from_secs(10);
/// The interval of checks for a requested cancellation.
const PULSE: Duration = Duration::from_secs(1);
/// The interval of attempts to acquire a held lease.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How long the end of an operation waits for its renewing thread.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// A failure to acquire leases.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// Another operation holds them.
    #[error("{}", describe(.0))]
    Held(Vec<LeaseInfo>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user stopped the wait.
    #[error("interrupted while waiting for a lease")]
    Interrupted,
}

/// A request for leases, with its patience.
pub struct Claim<'a> {
    /// The components.
    pub components: BTreeSet<(StackId, ComponentKey)>,
    /// The operation.
    pub operation: Uuid,
    /// The holder's name, for people.
    pub holder: &'a str,
    /// How long to wait for other holders.
    pub lock_timeout: Duration,
    /// Cancelled when the user stops the operation.
    pub cancel: &'a CancellationToken,
    /// The receiver of progress events.
    pub events: &'a dyn Events,
}

/// The held leases, with their store.
#[derive(Clone)]
pub(crate) struct Leases {
    store: Arc<dyn StateStore>,
    held: Arc<Mutex<HashMap<Place, Lease>>>,
    /// Serialises writes and releases, so that nothing is written under a released lease. Renewals do not take it, because a long
    /// write must not cost a lease.
    write_lock: Arc<tokio::sync::Mutex<()>>,
    renewals: Arc<Mutex<Renewals>>,
    /// Serialises [`Leases::ensure`], so that one check serves all waiting callers.
    check_lock: Arc<tokio::sync::Mutex<()>>,
    /// Cancelled when a lease was lost or its state is unknown: no new step may start.
    lost: CancellationToken,
}

/// The object of a lease: a component of a stack, or a shared row.
type Place = (StackId, ComponentKey);

impl Leases {
    /// Writes records under the leases that they need. A run may hold many leases, and the store checks all that it gets.
    pub(crate) async fn commit(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let _writing = self.write_lock.lock().await;
        let needed = match places_of(&records) {
            Some(places) => self.of(&places)?,
            None => self.now(),
        };
        // Intents make calls possible; other records may be written only under the original lease.
        let begins = records.iter().any(|record| matches!(record, Record::Intent(_)));
        let again = begins.then(|| records.clone());
        match (self.store.commit(&needed, records).await, again) {
            // A lease that expired by a clock jump or a suspended machine is still valid if no operation acquired it.
            (Err(StoreError::LeaseLost { .. }), Some(again)) if self.store.renew(&needed, TERM).await.is_ok() => {
                self.store.commit(&needed, again).await
            }
            (committed, _) => committed,
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Place, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All held leases.
    fn now(&self) -> Vec<Lease> {
        self.locked().values().cloned().collect()
    }

    /// The leases of these places; fails if one of them is not held.
    fn of(&self, places: &HashSet<Place>) -> Result<Vec<Lease>, StoreError> {
        let held = self.locked();
        let lost =
            |(stack, component): &Place| StoreError::LeaseLost { stack: stack.clone(), component: component.clone() };
        places.iter().map(|place| held.get(place).cloned().ok_or_else(|| lost(place))).collect()
    }

    /// Releases one lease early.
    pub(crate) async fn release_one(&self, stack: &StackId, component: &ComponentKey) -> Result<(), StoreError> {
        let _writing = self.write_lock.lock().await;
        let lease = self.locked().remove(&(stack.clone(), component.clone()));
        match lease {
            Some(lease) => self.store.release(&[lease]).await,
            None => Ok(()),
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        loop {
            let leases = self.now();
            match self.store.renew(&leases, TERM).await {
                // A lease that was released during the renewal is not lost.
                Err(StoreError::LeaseLost { .. }) if self.now().len() < leases.len() => {}
                renewed => return renewed,
            }
        }
    }

    /// Makes sure that all leases are held before a call starts. They may have expired after a stall of this process or of the
    /// store. Then they are renewed, unless another operation acquired one. A later holder finds the intents.
    /// # Errors
    /// [`StoreError::LeaseLost`], or the error of the renewal.
    pub(crate) async fn ensure(&self) -> Result<(), StoreError> {
        if !self.may_have_expired()? {
            return Ok(());
        }
        let _checking = self.check_lock.lock().await;
        // The wait for the lock may itself outlast the leases.
        while self.may_have_expired()? {
            let requested_at = Instant::now();
            let renewed = self.renew().await;
            self.note(requested_at, &renewed);
            if let Err(error) = renewed {
                // Also if the state is unknown: running steps end, and no new step starts.
                self.mark_lost(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn mark_lost(&self, error: &StoreError) {
        let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        renewals.error.get_or_insert_with(|| error.clone());
        self.lost.cancel();
    }

    /// True if the leases may have expired, because they were not renewed in time; an error if one was lost.
    fn may_have_expired(&self) -> Result<bool, StoreError> {
        let renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
        match &renewals.error {
            Some(error) => Err(error.clone()),
            None => Ok(renewals.since.elapsed() >= TERM && !self.locked().is_empty()),
        }
    }

    /// Records the result of a renewal.
    fn note(&self, requested_at: Instant, renewed: &Result<(), StoreError>) {
        match renewed {
            Ok(()) => {
                let mut renewals = self.renewals.lock().unwrap_or_else(PoisonError::into_inner);
                renewals.since = renewals.since.max(requested_at);
            }
            Err(error @ StoreError::LeaseLost { .. }) => self.mark_lost(error),
            // The store may be reachable again before the next step starts.
            Err(error) => tracing::warn!(target: "terrace_engine::apply::lease", %error, "leases could not be renewed"),
        }
    }

    /// Cancels the operation if a cancellation was requested in the store.
    async fn notice_cancel(&self, operation: Uuid, cancel: &CancellationToken) {
        // If the store does not answer in time, the next pulse asks again.
        let requested = tokio::time::timeout(RENEWAL / 2, self.store.is_cancel_requested(operation));
        if !cancel.is_cancelled() && matches!(requested.await, Ok(Ok(true))) {
            cancel.cancel();
        }
    }

    async fn release(&self) -> Result<(), StoreError> {
        let _writing = self.write_lock.lock().await;
        let leases: Vec<Lease> = std::mem::take(&mut *self.locked()).into_values().collect();
        self.store.release(&leases).await
    }
}

/// The leases that the records need; `None` for all of them.
fn places_of(records: &[Record]) -> Option<HashSet<Place>> {
    let mut places = HashSet::new();
    for record in records {
        match record {
            Record::Intent(intent) => add_row(&mut places, &intent.row.stack, &intent.row.address),
            Record::Outcome { stack, address, writes, .. } => {
                add_row(&mut places, stack, address);
                writes.iter().try_for_each(|write| add_write(&mut places, write))?;
            }
            Record::Write { write, .. } => add_write(&mut places, write)?,
            // Records without a row.
            Record::Partial { .. } | Record::Log { .. } => {}
            // Records about the operation as a whole.
            Record::SpendPlan { .. } | Record::End { .. } => return None,
        }
    }
    Some(places)
}

/// Adds the lease of a row: that of its component, or its own if it is shared.
fn add_row(places: &mut HashSet<Place>, stack: &StackId, address: &Address) {
    places.insert((stack.clone(), address.lease_key()));
}

fn add_write(places: &mut HashSet<Place>, write: &Write) -> Option<()> {
    match write {
        Write::Put { row, .. } => add_row(places, &row.stack, &row.address),
        Write::Delete { stack, address, .. }
        | Write::Forget { stack, address, .. }
        | Write::Depose { stack, address, .. } => add_row(places, stack, address),
        Write::Component { stack, component } => drop(places.insert((stack.clone(), component.key.clone()))),
        Write::DropComponent { stack, key } => drop(places.insert((stack.clone(), key.clone()))),
        _ => return None,
    }
    Some(())
}

/// Held leases. If it is dropped without [`Held::release`], renewal stops and the leases expire.
pub struct Held {
    leases: Leases,
    stop: CancellationToken,
    /// Cancelled when renewal has ended and the thread has dropped the store.
    ended: CancellationToken,
    /// Cancelled when a lease was lost or its state is unknown: no new step may start.
    pub lost: CancellationToken,
}

/// The result of renewals so far.
struct Renewals {
    /// When the leases were last known to be held, by a monotonic clock; never later than in the store.
    since: Instant,
    /// Why a lease was lost, or why its state is unknown.
    error: Option<StoreError>,
}

impl Held {
    /// Acquires leases, and waits for other holders as long as the claim allows.
    ///
    /// # Errors
    /// If another operation holds them longer, the user stops, or the store fails.
    pub async fn take(store: &Arc<dyn StateStore>, claim: Claim<'_>) -> Result<Self, LeaseError> {
        let request = LeaseRequest {
            components: claim.components,
            operation: claim.operation,
            holder: claim.holder.to_owned(),
            term: TERM,
        };
        let started = Instant::now();
        let mut is_shown = false;
        loop {
            let requested_at = Instant::now();
            let held = match store.acquire(&request).await? {
                Acquired::Granted(leases) => {
                    let held = Self::of(Arc::clone(store), leases, requested_at);
                    held.start_renewal(claim.operation, claim.cancel.clone());
                    return Ok(held);
                }
                Acquired::Held(held) => held,
            };
            let left = claim.lock_timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(LeaseError::Held(held));
            }
            if !is_shown {
                claim.events.take(Event::WaitingForLease { holders: describe(&held), left });
                is_shown = true;
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL.min(left)) => {}
                () = claim.cancel.cancelled() => return Err(LeaseError::Interrupted),
            }
        }
    }

    fn of(store: Arc<dyn StateStore>, leases: Vec<Lease>, since: Instant) -> Self {
        let leases = leases.into_iter().map(|lease| ((lease.stack.clone(), lease.component.clone()), lease)).collect();
        let (write_lock, check_lock, lost) = (Arc::default(), Arc::default(), CancellationToken::new());
        let renewals = Arc::new(Mutex::new(Renewals { since, error: None }));
        Self {
            lost: lost.clone(),
            leases: Leases { store, held: Arc::new(Mutex::new(leases)), write_lock, renewals, check_lock, lost },
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Fails if a lease was lost, so that no new step may start. A lease that may have expired is not lost yet: callers use
    /// [`Leases::ensure`] before a call.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or the error of the renewal.
    pub fn check(&self) -> Result<(), StoreError> {
        self.leases.may_have_expired().map(drop)
    }

    /// Writes records under the leases.
    ///
    /// # Errors
    /// As [`Journal::commit`](terrace_store::Journal::commit).
    pub async fn commit(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.leases.commit(records).await
    }

    /// Ends the operation. If a lease was lost, another process may have ended the operation or work on it. The store keeps its
    /// present end.
    pub(crate) async fn end(
        &self,
        operation: Uuid,
        status: OperationStatus,
        summary: String,
    ) -> Result<(), StoreError> {
        let end = vec![Record::End { operation, status, summary: summary.clone() }];
        let lost = match self.commit(end.clone()).await {
            Err(error @ StoreError::LeaseLost { .. }) => error,
            ended => return ended,
        };
        let store = &self.leases.store;
        store.commit(&[], end).await?;
        let recorded = store.operation(operation).await?.map(|(row, _)| (row.status, row.summary));
        if recorded != Some((status, summary)) {
            tracing::warn!(
                target: "terrace_engine::apply::lease",
                %operation, error = %lost,
                "another process or the request ends this operation"
            );
        }
        Ok(())
    }

    /// The leases, for the writer.
    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Starts a thread that renews the leases and checks for cancellation. A separate thread, because a long computation must not
    /// cost a lease.
    fn start_renewal(&self, operation: Uuid, cancel: CancellationToken) {
        let ended = self.ended.clone().drop_guard();
        if self.leases.locked().is_empty() {
            return;
        }
        let (leases, stop) = (self.leases.clone(), self.stop.clone());
        let run = move || {
            // Dropped last.
            let _ended = ended;
            // Without a runtime or a thread the leases expire; they are renewed before the next call.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async move {
                let mut renewed_at = Instant::now();
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(PULSE) => {}
                    }
                    if renewed_at.elapsed() >= RENEWAL {
                        let requested_at = Instant::now();
                        renewed_at = requested_at;
                        let renewed = leases.renew().await;
                        leases.note(requested_at, &renewed);
                        if matches!(renewed, Err(StoreError::LeaseLost { .. })) {
                            return;
                        }
                    }
                    leases.notice_cancel(operation, &cancel).await;
                }
            });
        };
        let _ = std::thread::Builder::new().name("terrace-leases".to_owned()).spawn(run);
    }

    /// Releases the leases.
    ///
    /// # Errors
    /// If the store fails; the leases then expire.
    pub async fn release(self) -> Result<(), StoreError> {
        self.stop.cancel();
        let released = self.leases.release().await;
        // The renewing thread may still hold the store. If the process ended first, SQLite would not be closed cleanly.
        let _ = tokio::time::timeout(SHUTDOWN_LIMIT, self.ended.cancelled()).await;
        released
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn describe(held: &[LeaseInfo]) -> String {
    let in_words = |lease: &LeaseInfo| {
        let component = describe_lease(&lease.stack, &lease.component);
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
    held.iter().map(in_words).collect::<Vec<_>>().join("; ")
}
