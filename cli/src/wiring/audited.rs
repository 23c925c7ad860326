//! A store that writes changes into its audit log, for commands that change a state without a server.

use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::address::{Address, ComponentKey, StackId};
use terrace_engine::store::{
    Acquired, Administration, AuditEntry, AuditLog, AuditOutcome, AuditPage, Cancelled, Claimant, ComponentRead,
    ComponentRow, Enqueued, HistoryEntry, Journal, Lease, LeaseInfo, LeaseRequest, Leases, LogLine, NewOperation,
    NewRequest, OpenIntent, OperationFilter, OperationRow, OperationStatus, Operations, OwnerRow, OwnersOf, PRUNED,
    Pruned, Record, RequestClaim, RequestEnd, RequestQueue, RequestRow, Row, Rows, Selection, ServerStore,
    StackSnapshot, StepRow, StoreError, StoreIdentity, StoredRequest,
};
use uuid::Uuid;

/// Every change begins an operation, revokes a lease or asks an operation to stop. These events and the ends of
/// operations go into the audit log.
pub(super) struct Audited {
    store: Arc<dyn ServerStore>,
    actor: String,
}

impl Audited {
    pub(super) fn new(store: Arc<dyn ServerStore>, actor: &str) -> Self {
        Self { store, actor: actor.to_owned() }
    }

    fn entry(&self, action: &str, outcome: AuditOutcome) -> AuditEntry {
        AuditEntry::new(self.actor.as_str(), action, outcome)
    }

    /// Writes the end of an irreversible event.
    async fn note(&self, entry: AuditEntry) {
        if let Err(error) = self.store.audit(vec![entry]).await {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}

#[async_trait]
impl Rows for Audited {
    async fn identity(&self) -> Result<StoreIdentity, StoreError> {
        self.store.identity().await
    }

    async fn stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.store.stacks().await
    }

    async fn known_stacks(&self) -> Result<Vec<StackId>, StoreError> {
        self.store.known_stacks().await
    }

    async fn rows(&self, stack: &StackId, selection: &Selection) -> Result<Vec<Row>, StoreError> {
        self.store.rows(stack, selection).await
    }

    async fn retained_rows(&self, environment: &str) -> Result<Vec<Row>, StoreError> {
        self.store.retained_rows(environment).await
    }

    async fn components(&self, stack: &StackId) -> Result<Vec<ComponentRow>, StoreError> {
        self.store.components(stack).await
    }

    async fn component_reads(
        &self,
        stack: &StackId,
        components: &BTreeSet<ComponentKey>,
    ) -> Result<Vec<ComponentRead>, StoreError> {
        self.store.component_reads(stack, components).await
    }

    async fn owners(&self, environment: &str, of: &OwnersOf) -> Result<Vec<OwnerRow>, StoreError> {
        self.store.owners(environment, of).await
    }

    async fn open_intents(&self, stack: &StackId, selection: &Selection) -> Result<Vec<OpenIntent>, StoreError> {
        self.store.open_intents(stack, selection).await
    }

    async fn snapshot(&self, stack: Option<&StackId>, with_history: bool) -> Result<Vec<StackSnapshot>, StoreError> {
        self.store.snapshot(stack, with_history).await
    }
}

#[async_trait]
impl Operations for Audited {
    async fn operations(&self, which: &OperationFilter) -> Result<Vec<OperationRow>, StoreError> {
        self.store.operations(which).await
    }

    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError> {
        self.store.unended_operations().await
    }

    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError> {
        self.store.operation(id).await
    }

    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError> {
        self.store.is_cancel_requested(operation).await
    }
}

#[async_trait]
impl Journal for Audited {
    async fn begin(&self, operation: &NewOperation) -> Result<(), StoreError> {
        let entry = |outcome| AuditEntry {
            operation: Some(operation.id),
            stacks: operation.stacks.iter().map(ToString::to_string).collect(),
            ..self.entry(&operation.kind, outcome)
        };
        // An operation without an entry must not begin.
        self.store.audit(vec![entry(AuditOutcome::Accepted)]).await?;
        let begun = self.store.begin(operation).await;
        if begun.is_err() {
            self.note(entry(AuditOutcome::Failed)).await;
        }
        begun
    }

    async fn commit(&self, leases: &[Lease], records: Vec<Record>) -> Result<(), StoreError> {
        let ends: Vec<(Uuid, OperationStatus)> = records
            .iter()
            .filter_map(|record| match record {
                Record::End { operation, status, .. } => Some((*operation, *status)),
                _ => None,
            })
            .collect();
        self.store.commit(leases, records).await?;
        for (operation, status) in ends {
            let kind = match self.store.operation(operation).await {
                Ok(Some((row, _))) => row.kind,
                Ok(None) | Err(_) => "operation".to_owned(),
            };
            let outcome = if status == OperationStatus::Completed { AuditOutcome::Done } else { AuditOutcome::Failed };
            self.note(AuditEntry { operation: Some(operation), ..self.entry(&kind, outcome) }).await;
        }
        Ok(())
    }

    async fn is_spent(&self, plan: Uuid) -> Result<bool, StoreError> {
        self.store.is_spent(plan).await
    }
}

#[async_trait]
impl Leases for Audited {
    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.store.now().await
    }

    async fn acquire(&self, request: &LeaseRequest) -> Result<Acquired, StoreError> {
        self.store.acquire(request).await
    }

    async fn renew(&self, leases: &[Lease], term: Duration) -> Result<(), StoreError> {
        self.store.renew(leases, term).await
    }

    async fn release(&self, leases: &[Lease]) -> Result<(), StoreError> {
        self.store.release(leases).await
    }

    async fn leases(&self) -> Result<Vec<LeaseInfo>, StoreError> {
        self.store.leases().await
    }
}

#[async_trait]
impl Administration for Audited {
    async fn history(&self, stack: &StackId, address: &Address) -> Result<Vec<HistoryEntry>, StoreError> {
        self.store.history(stack, address).await
    }

    async fn break_lease(&self, id: &str) -> Result<bool, StoreError> {
        let is_broken = self.store.break_lease(id).await?;
        if is_broken {
            self.note(AuditEntry { target: format!("lease {id}"), ..self.entry("unlock", AuditOutcome::Done) }).await;
        }
        Ok(is_broken)
    }

    async fn operation_ids(&self, within: RangeInclusive<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        self.store.operation_ids(within, limit).await
    }

    async fn logs(&self, id: Uuid, after: usize) -> Result<Vec<LogLine>, StoreError> {
        self.store.logs(id, after).await
    }

    async fn request_cancel(&self, operation: Uuid, by: &str) -> Result<Option<Cancelled>, StoreError> {
        let cancelled = self.store.request_cancel(operation, by).await?;
        if cancelled.is_some() {
            self.note(AuditEntry { operation: Some(operation), ..self.entry("cancel", AuditOutcome::Accepted) }).await;
        }
        Ok(cancelled)
    }

    async fn prune(&self, keep: Duration) -> Result<Pruned, StoreError> {
        self.store.prune(keep).await
    }
}

#[async_trait]
impl RequestQueue for Audited {
    fn for_calls(self: Arc<Self>) -> Arc<dyn ServerStore> {
        Arc::new(Self::new(Arc::clone(&self.store).for_calls(), &self.actor))
    }

    async fn enqueue(&self, request: &NewRequest, most: usize) -> Result<Enqueued, StoreError> {
        self.store.enqueue(request, most).await
    }

    async fn find_by_idempotency_key(&self, key: &str) -> Result<Option<(Uuid, String)>, StoreError> {
        self.store.find_by_idempotency_key(key).await
    }

    async fn claim(&self, claimant: &Claimant, term: Duration) -> Result<Option<RequestClaim>, StoreError> {
        self.store.claim(claimant, term).await
    }

    async fn release_claims(&self, claimant: &Claimant) -> Result<(), StoreError> {
        self.store.release_claims(claimant).await
    }

    async fn renew_claim(&self, claim: &RequestClaim, term: Duration) -> Result<(), StoreError> {
        self.store.renew_claim(claim, term).await
    }

    async fn release_claim(&self, claim: &RequestClaim, after: Duration) -> Result<(), StoreError> {
        self.store.release_claim(claim, after).await
    }

    async fn finish(&self, claim: &RequestClaim, end: &RequestEnd) -> Result<(), StoreError> {
        self.store.finish(claim, end).await
    }

    async fn waiting(&self) -> Result<usize, StoreError> {
        self.store.waiting().await
    }

    async fn check_writable(&self) -> Result<(), StoreError> {
        self.store.check_writable().await
    }

    async fn stored_requests(&self) -> Result<Vec<StoredRequest>, StoreError> {
        self.store.stored_requests().await
    }

    async fn request(&self, operation: Uuid) -> Result<Option<RequestRow>, StoreError> {
        self.store.request(operation).await
    }
}

#[async_trait]
impl AuditLog for Audited {
    async fn audit(&self, entries: Vec<AuditEntry>) -> Result<u64, StoreError> {
        self.store.audit(entries).await
    }

    async fn audit_page(&self, after: u64, limit: usize) -> Result<AuditPage, StoreError> {
        self.store.audit_page(after, limit).await
    }

    async fn prune_audit(&self, keep: Duration) -> Result<u64, StoreError> {
        let removed = self.store.prune_audit(keep).await?;
        if removed > 0 {
            self.note(AuditEntry { target: format!("{removed} entries"), ..self.entry(PRUNED, AuditOutcome::Done) })
                .await;
        }
        Ok(removed)
    }
}
