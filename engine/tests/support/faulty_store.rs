//! A store that fails at a chosen write and can declare processes dead: all processes of a test live in one.

use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_engine::address::{ComponentKey, StackId};
use terrace_engine::store::{
    Acquired, ComponentRow, Journal, Lease, LeaseInfo, LeaseRequest, Leases, NewOperation, OpenIntent, OperationFilter,
    OperationRow, Operations, OwnerRow, OwnersOf, Record, Row, Rows, Selection, StackSnapshot, StateStore, StepRow,
    StoreError, StoreIdentity,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How a write breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// It fails, and nothing was written.
    FailsBefore,
    /// It fails, and all was written.
    FailsAfter,
    /// The process dies before anything is written.
    DiesBefore,
    /// The process dies when all is written.
    DiesAfter,
}

/// All ways in which a write breaks.
pub const BREAKS: [Break; 4] = [Break::FailsBefore, Break::FailsAfter, Break::DiesBefore, Break::DiesAfter];

/// Writes that an outage counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// All of them.
    All,
    /// Those that record the outcome of a step.
    Outcomes,
}

/// An outage within one process: the store fails for a while, then works again.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    /// Number of the first write that fails, among the counted ones.
    pub first: usize,
    pub counted: Counted,
    /// Number of calls that fail from then on: writes, and acquisitions, renewals and releases of leases.
    pub calls: usize,
    /// Whether the first write takes effect nevertheless.
    pub is_written: bool,
}

/// Progress of an outage.
#[derive(Default)]
struct OutageSoFar {
    counted: usize,
    failed: usize,
}

/// A store that numbers its writes from 0 and may fail at one of them.
pub struct FaultyStore {
    inner: Arc<dyn StateStore>,
    writes: AtomicUsize,
    breaks: Option<(usize, Break)>,
    outage: Option<(Outage, Mutex<OutageSoFar>)>,
    /// Cancelled when the process is dead: calls no longer return.
    pub dead: CancellationToken,
    /// Operations of other processes that are dead.
    dead_operations: Mutex<HashSet<Uuid>>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn StateStore>) -> Arc<Self> {
        Self::with(inner, None)
    }

    pub fn breaking(inner: Arc<dyn StateStore>, at: usize, how: Break) -> Arc<Self> {
        Self::with(inner, Some((at, how)))
    }

    fn with(inner: Arc<dyn StateStore>, breaks: Option<(usize, Break)>) -> Arc<Self> {
        let (writes, dead, dead_operations) = (AtomicUsize::new(0), CancellationToken::new(), Mutex::default());
        Arc::new(Self { inner, writes, breaks, outage: None, dead, dead_operations })
    }

    pub fn failing(inner: Arc<dyn StateStore>, outage: Outage) -> Arc<Self> {
        let (writes, dead, dead_operations) = (AtomicUsize::new(0), CancellationToken::new(), Mutex::default());
        let outage = Some((outage, Mutex::default()));
        Arc::new(Self { inner, writes, breaks: None, outage, dead, dead_operations })
    }

    /// True when the outage has started.
    pub fn has_failed(&self) -> bool {
        self.outage.as_ref().is_some_and(|(_, so_far)| so_far.lock().unwrap().failed > 0)
    }

    /// Whether an outage fails a call; if so, whether the call takes effect nevertheless.
    fn fails(&self, is_counted: impl Fn(Counted) -> bool) -> Option<bool> {
        let (outage, so_far) = self.outage.as_ref()?;
        let mut so_far = so_far.lock().unwrap();
        if so_far.failed > 0 {
            let fails = so_far.failed < outage.calls;
            so_far.failed += usize::from(fails);
            return fails.then_some(false);
        }
        if is_counted(outage.counted) {
            so_far.counted += 1;
            so_far.failed = usize::from(so_far.counted > outage.first);
        }
        (so_far.failed > 0).then_some(outage.is_written)
    }

    async fn during<T>(
        &self,
        is_counted: impl Fn(Counted) -> bool,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.fails(is_counted) {
            None => work.await,
            Some(is_written) => {
                if is_written {
                    work.await?;
                }
                Err(StoreError::Unavailable { action: "written", reason: "the database is away".to_owned() })
            }
        }
    }

    /// True when the write that should fail was reached.
    pub fn is_reached(&self) -> bool {
        self.breaks.is_some_and(|(at, _)| self.writes.load(Ordering::SeqCst) > at)
    }

    /// Declares the processes of all operations so far dead.
    pub async fn declare_dead(&self) {
        let begun = self.inner.operations(&OperationFilter::newest(usize::MAX)).await.unwrap();
        self.dead_operations.lock().unwrap().extend(begun.into_iter().map(|operation| operation.id));
    }

    async fn write<T>(&self, write: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.block_if_dead().await;
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let Some((_, how)) = self.breaks.filter(|(at, _)| *at == number) else { return write.await };
        let broken = || StoreError::Unavailable { action: "written", reason: "the disk is full".to_owned() };
        match how {
            Break::FailsBefore => Err(broken()),
            Break::FailsAfter => write.await.and(Err(broken())),
            Break::DiesBefore => self.die().await,
            Break::DiesAfter => {
                write.await?;
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.dead.cancel();
        std::future::pending().await
    }

    /// Never returns once the process is dead.
    async fn block_if_dead(&self) {
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl Rows for FaultyStore {
    async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        self.inner.identity().await
    }

    async fn stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.inner.stacks().await
    }

    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.inner.known_stacks().await
    }

    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError> {
        self.inner.rows(stack, selection).await
    }

    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError> {
        self.inner.retained_rows(environment).await
    }

    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError> {
        self.inner.components(stack).await
    }

    async fn component_reads(
        &self,
        stack: &StackId,
        components: &std::collections::BTreeSet<ComponentKey>,
    ) -> Result<Vec<terrace_engine::store::ComponentRead>, StoreError> {
        self.inner.component_reads(stack, components).await
    }

    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError> {
        self.inner.owners(environment, of).await
    }

    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        let mut open = self.inner.open_intents(stack, selection).await?;
        let dead_operations = self.dead_operations.lock().unwrap();
        open.iter_mut().for_each(|open| open.is_holder_gone |= dead_operations.contains(&open.intent.operation));
        Ok(open)
    }

    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError> {
        self.inner.snapshot(stack, with_history).await
    }
}

#[async_trait]
impl Operations for FaultyStore {
    async fn operations(&self, which: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        self.inner.operations(which).await
    }

    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        self.inner.unended_operations().await
    }

    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError> {
        self.inner.operation(id).await
    }

    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError> {
        self.inner.is_cancel_requested(operation).await
    }
}

#[async_trait]
impl Journal for FaultyStore {
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError> {
        self.during(|counted| counted == Counted::All, self.write(self.inner.begin(operation))).await
    }

    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError> {
        let has_outcome = records.iter().any(|record| matches!(record, Record::Outcome { .. }));
        let is_counted = |counted| counted == Counted::All || has_outcome;
        self.during(is_counted, self.write(self.inner.commit(leases, records))).await
    }

    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError> {
        self.inner.is_spent(plan).await
    }
}

#[async_trait]
impl Leases for FaultyStore {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError> {
        self.during(|_| false, self.inner.acquire(request)).await
    }

    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError> {
        self.during(|_| false, self.inner.renew(leases, term)).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.block_if_dead().await;
        self.during(|_| false, self.inner.release(leases)).await
    }

    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        self.inner.leases().await
    }
}

/// Effects that created an object twice, or deleted one that was absent.
pub fn duplicate_effects(effects: &[String]) -> BTreeSet<String> {
    let mut existing = BTreeSet::new();
    let mut duplicate_effects = BTreeSet::new();
    for effect in effects {
        let is_wrong = match effect.split_once(' ') {
            Some(("create", key)) => !existing.insert(key),
            Some(("delete", key)) => !existing.remove(key),
            _ => false,
        };
        if is_wrong {
            duplicate_effects.insert(effect.clone());
        }
    }
    duplicate_effects
}
