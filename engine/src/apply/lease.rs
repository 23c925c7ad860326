//! Leases of an operation: taken together, kept alive on a thread of their own, given back at the end.

use crate::address::{Address, StackId};
use crate::event::{Event, Events};
use crate::store::{
    Acquired, Lease, LeaseInfo, LeaseRequest, OperationStatus, Record, StateStore, StoreError, Write,
    component_in_words,
};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a lease lasts without renewal.
pub const TERM: Duration = Duration::from_secs(30);
/// How often leases are renewed.
const RENEWAL: Duration = Duration::from_secs(10);
/// How often it is asked whether somebody wants the operation to stop.
const PULSE: Duration = Duration::from_secs(1);
/// How often a held lease is asked for again.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the end of an operation waits for the thread that renewed its leases.
const FAREWELL: Duration = Duration::from_secs(5);

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

/// The leases that are held now, and the store that they are of.
#[derive(Clone)]
pub(crate) struct Leases {
    store: Arc<dyn StateStore>,
    held: Arc<Mutex<HashMap<Place, Lease>>>,
    /// What is written and what is given back waits for each other, so that nothing is ever written under a lease that was
    /// given back. Who renews them waits for neither: a store that writes for long must not cost a lease.
    turn: Arc<tokio::sync::Mutex<()>>,
    kept: Arc<Mutex<Kept>>,
    /// Whoever has to know that they are held asks once for all.
    asks: Arc<tokio::sync::Mutex<()>>,
    /// Set when one was lost, or nobody can tell: nothing new may start.
    lost: CancellationToken,
}

/// What a lease is on: a component of a stack, or a shared row.
type Place = (StackId, String);

impl Leases {
    /// Writes records under the leases: the store looks at those that the records need, for each commit of a run with
    /// many components would look at all of them.
    pub(crate) async fn commit(&self, records: Vec<Record>) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let needed = match places_of(&records) {
            Some(places) => self.of(&places)?,
            None => self.now(),
        };
        // Nothing else asks whether a lease still holds: who took it has another fence.
        let begins = records.iter().any(|record| matches!(record, Record::Intent(_)));
        let again = begins.then(|| records.clone());
        match (self.store.commit(&needed, records).await, again) {
            // One that ended by a clock that jumped, or while this machine slept, and that nobody took, is still held.
            (Err(StoreError::LeaseLost { .. }), Some(again)) if self.store.renew(&needed, TERM).await.is_ok() => {
                self.store.commit(&needed, again).await
            }
            (committed, _) => committed,
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Place, Lease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that are held now.
    fn now(&self) -> Vec<Lease> {
        self.locked().values().cloned().collect()
    }

    /// Those on some places, all of which have to be held.
    fn of(&self, places: &HashSet<Place>) -> Result<Vec<Lease>, StoreError> {
        let held = self.locked();
        let lost =
            |(stack, component): &Place| StoreError::LeaseLost { stack: stack.clone(), component: component.clone() };
        places.iter().map(|place| held.get(place).cloned().ok_or_else(|| lost(place))).collect()
    }

    /// Gives back some of the leases before the others.
    pub(crate) async fn give_back(&self, stack: &StackId, component: &str) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let lease = self.locked().remove(&(stack.clone(), component.to_owned()));
        match lease {
            Some(lease) => self.store.release(&[lease]).await,
            None => Ok(()),
        }
    }

    async fn renew(&self) -> Result<(), StoreError> {
        loop {
            let leases = self.now();
            match self.store.renew(&leases, TERM).await {
                // One that was given back meanwhile is not lost.
                Err(StoreError::LeaseLost { .. }) if self.now().len() < leases.len() => {}
                renewed => return renewed,
            }
        }
    }

    /// Makes sure that all are held before anything starts. After a stall, of this process or of the store, they may have
    /// ended: they are renewed then, unless somebody took one meanwhile. Whoever takes one later finds what was begun.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or what kept them from being renewed.
    pub(crate) async fn ensure(&self) -> Result<(), StoreError> {
        if !self.may_have_ended()? {
            return Ok(());
        }
        let _alone = self.asks.lock().await;
        // That may take as long as a lease lasts, too.
        while self.may_have_ended()? {
            let asked_at = Instant::now();
            let renewed = self.renew().await;
            self.note(asked_at, &renewed);
            if let Err(error) = renewed {
                // Also where nobody can tell: what is running ends, and nothing starts any more.
                self.give_up(&error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn give_up(&self, error: &StoreError) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.error.get_or_insert_with(|| error.clone());
        self.lost.cancel();
    }

    /// Whether nobody can tell that they are held still, as they were not renewed in time; fails when one was lost.
    fn may_have_ended(&self) -> Result<bool, StoreError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match &kept.error {
            Some(error) => Err(error.clone()),
            None => Ok(kept.since.elapsed() >= TERM && !self.locked().is_empty()),
        }
    }

    /// Takes over what came of renewing them.
    fn note(&self, asked_at: Instant, renewed: &Result<(), StoreError>) {
        match renewed {
            Ok(()) => {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.since = kept.since.max(asked_at);
            }
            Err(error @ StoreError::LeaseLost { .. }) => self.give_up(error),
            // A store that cannot be reached for a moment may be reached again before anything has to start.
            Err(error) => tracing::warn!(%error, "leases could not be renewed"),
        }
    }

    /// Stops the operation when somebody asked for that, from wherever.
    async fn notice_cancel(&self, operation: Uuid, cancel: &CancellationToken) {
        // A store that does not answer now is asked again.
        let asked = tokio::time::timeout(RENEWAL / 2, self.store.is_cancel_requested(operation));
        if !cancel.is_cancelled() && matches!(asked.await, Ok(Ok(true))) {
            cancel.cancel();
        }
    }

    async fn release(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let leases: Vec<Lease> = std::mem::take(&mut *self.locked()).into_values().collect();
        self.store.release(&leases).await
    }
}

/// What records write to; `None` where that may be anything.
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
            // What is known of a step, and what was said.
            Record::Partial { .. } | Record::Log { .. } => {}
            // What is done with is done with as a whole.
            Record::SpendPlan { .. } | Record::End { .. } => return None,
        }
    }
    Some(places)
}

/// The lease on a row is that on its component or, where it is shared, one of its own.
fn add_row(places: &mut HashSet<Place>, stack: &StackId, address: &Address) {
    let place = if address.is_shared() { address.to_string() } else { address.component.clone() };
    places.insert((stack.clone(), place));
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

/// Held leases. Dropping it without [`Held::release`] stops renewing: they end by expiry.
pub struct Held {
    leases: Leases,
    stop: CancellationToken,
    /// Set when nobody renews them any more, and the store is let go of.
    ended: CancellationToken,
    /// Set when a lease was lost, or nobody can tell: nothing new may start.
    pub lost: CancellationToken,
}

/// How keeping the leases went so far.
struct Kept {
    /// When they were last known to be held, by a clock that nobody turns: never later than the store thinks.
    since: Instant,
    /// Why they are lost, or nobody can tell.
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
        let begun = Instant::now();
        let mut is_shown = false;
        loop {
            let asked_at = Instant::now();
            let held = match store.acquire(&request).await? {
                Acquired::Granted(leases) => {
                    let held = Self::of(Arc::clone(store), leases, asked_at);
                    held.keep(claim.operation, claim.cancel.clone());
                    return Ok(held);
                }
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

    fn of(store: Arc<dyn StateStore>, leases: Vec<Lease>, since: Instant) -> Self {
        let leases = leases.into_iter().map(|lease| ((lease.stack.clone(), lease.component.clone()), lease)).collect();
        let (turn, asks, lost) = (Arc::default(), Arc::default(), CancellationToken::new());
        let kept = Arc::new(Mutex::new(Kept { since, error: None }));
        Self {
            lost: lost.clone(),
            leases: Leases { store, held: Arc::new(Mutex::new(leases)), turn, kept, asks, lost },
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        }
    }

    /// Fails when a lease was lost: nothing new may start. One that may have ended as it was not renewed in time is not
    /// lost, for nobody may have taken it: whoever starts something asks before, with [`Leases::ensure`].
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`], or what kept whoever asked from knowing that they are held.
    pub fn check(&self) -> Result<(), StoreError> {
        self.leases.may_have_ended().map(drop)
    }

    /// Writes records under the leases.
    ///
    /// # Errors
    /// As [`StateStore::commit`].
    pub async fn commit(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.leases.commit(records).await
    }

    /// Ends the operation. Where a lease was lost, somebody else may have ended it by then, or works on it now: the store
    /// leaves that as it is.
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
            tracing::warn!(%operation, error = %lost, "its end is left to whoever took the operation over, or to its request");
        }
        Ok(())
    }

    /// The leases, to be shared with whoever writes.
    pub(crate) fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Renews leases, and asks whether to stop, apart from the tasks that compute: a long computation must not cost a
    /// lease.
    fn keep(&self, operation: Uuid, cancel: CancellationToken) {
        let ended = self.ended.clone().drop_guard();
        if self.leases.locked().is_empty() {
            return;
        }
        let (leases, stop) = (self.leases.clone(), self.stop.clone());
        let run = move || {
            // Let go of last.
            let _ended = ended;
            // Without a runtime or a thread the leases end by expiry: whoever starts something renews them then.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else { return };
            runtime.block_on(async move {
                let mut renewed_at = Instant::now();
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(PULSE) => {}
                    }
                    if renewed_at.elapsed() >= RENEWAL {
                        let asked_at = Instant::now();
                        renewed_at = asked_at;
                        let renewed = leases.renew().await;
                        leases.note(asked_at, &renewed);
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

    /// Gives the leases back.
    ///
    /// # Errors
    /// When the store fails; the leases then end by expiry.
    pub async fn release(self) -> Result<(), StoreError> {
        self.stop.cancel();
        let released = self.leases.release().await;
        // Who renewed them may hold the store still: were the process to end first, SQLite would not be closed in order.
        let _ = tokio::time::timeout(FAREWELL, self.ended.cancelled()).await;
        released
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
