//! A store that can be told that processes are gone: for stories in which everybody lives in the process of the test.

use async_trait::async_trait;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{
    Acquired, ComponentRow, HistoryEntry, Lease, LeaseInfo, LeaseRequest, LogLine, NewOperation, OpenIntent,
    OperationRow, OwnerRow, OwnersOf, Pruned, Record, Row, Selection, StackSnapshot, StateStore, StepRow, StoreError,
    StoreIdentity,
};
use uuid::Uuid;

/// A store whose holders may be dead.
pub struct MortalStore {
    inner: Arc<dyn StateStore>,
    dead: Mutex<HashSet<Uuid>>,
}

impl MortalStore {
    pub fn new(inner: Arc<dyn StateStore>) -> Arc<Self> {
        Arc::new(Self { inner, dead: Mutex::default() })
    }

    /// Whoever began an operation until now is gone.
    pub async fn bury_all(&self) {
        let begun = self.inner.operations(usize::MAX).await.unwrap();
        self.dead.lock().unwrap().extend(begun.into_iter().map(|operation| operation.id));
    }
}

#[async_trait]
impl StateStore for MortalStore {
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

    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError> {
        self.inner.components(stack).await
    }

    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError> {
        self.inner.owners(environment, of).await
    }

    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        let mut open = self.inner.open_intents(stack, selection).await?;
        let dead = self.dead.lock().unwrap();
        open.iter_mut().for_each(|open| open.is_holder_gone |= dead.contains(&open.intent.operation));
        Ok(open)
    }

    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError> {
        self.inner.history(stack, address).await
    }

    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError> {
        self.inner.snapshot(stack, with_history).await
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError> {
        self.inner.acquire(request).await
    }

    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError> {
        self.inner.renew(leases, term).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.inner.release(leases).await
    }

    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        self.inner.leases().await
    }

    async fn break_lease(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.break_lease(id).await
    }

    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError> {
        self.inner.begin(operation).await
    }

    async fn commit(&self, leases: &[Lease], records: &[Record]) -> Result<(), StoreError> {
        self.inner.commit(leases, records).await
    }

    async fn operations(&self, limit: usize) -> Result<Vec<OperationRow>, StoreError> {
        self.inner.operations(limit).await
    }

    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError> {
        self.inner.operation(id).await
    }

    async fn logs(&self, id: Uuid) -> Result<Vec<LogLine>, StoreError> {
        self.inner.logs(id).await
    }

    async fn request_cancel(&self, operation: Uuid) -> Result<bool, StoreError> {
        self.inner.request_cancel(operation).await
    }

    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError> {
        self.inner.is_cancel_requested(operation).await
    }

    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError> {
        self.inner.prune(keep).await
    }

    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError> {
        self.inner.is_spent(plan).await
    }
}
