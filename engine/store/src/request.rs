//! Requests: API calls that change something. A request is an operation that is durable before the server answers. Any
//! process may claim it and work on it.

use super::body::Body;
use super::order_key::OrderKey;
use super::{Administration, AuditLog, NewOperation, OperationStatus, Record, StateStore, StoreError};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The queue of requests that a server needs in a store.
#[async_trait]
pub trait RequestQueue: Send + Sync {
    /// Queues a request, with three exceptions: a request with the same idempotency key exists; `most` requests wait
    /// already; or the newest open request that it has to wait for has the same component and content. In the last case
    /// that request is the answer, and the idempotency key refers to it from then on.
    async fn enqueue(&self, request: &NewRequest, most: usize) -> Result<Enqueued, StoreError>;

    /// The operation and the content digest of the request that was queued with an idempotency key.
    async fn find_by_idempotency_key(&self, key: &str) -> Result<Option<(Uuid, String)>, StoreError>;

    /// Claims the oldest request that no process works on and that no other request of its component must precede. A
    /// request whose worker is dead or missed its heartbeats comes before waiting ones. A request that can wait comes
    /// only when no other is left. A released request is queued again after its back-off, behind the requests of that
    /// time.
    ///
    /// A claim that expired, or whose process has ended, counts as a death of its process: see
    /// [`RequestClaim::deaths`]. A claimant that calls this is alive, so the store drops every death that it counted
    /// for that claimant.
    async fn claim(&self, claimant: &Claimant, term: Duration) -> Result<Option<RequestClaim>, StoreError>;

    /// Renews a claim for another term. Fails with [`StoreError::ClaimLost`] when another process took it over.
    async fn renew_claim(&self, claim: &RequestClaim, term: Duration) -> Result<(), StoreError>;

    /// Releases a claim. Any process may claim the request again after the back-off, in its turn among the requests
    /// that wait then. Meanwhile the request stays first among those of its component. Fails with
    /// [`StoreError::ClaimLost`] when another process took it over.
    async fn release_claim(&self, claim: &RequestClaim, after: Duration) -> Result<(), StoreError>;

    /// Releases all claims of a process that shuts down. Any process may claim the requests at once, and the store
    /// counts no death of this claimant.
    async fn release_claims(&self, claimant: &Claimant) -> Result<(), StoreError>;

    /// Ends a request. Fails with [`StoreError::ClaimLost`] when another process took it over.
    async fn finish(&self, claim: &RequestClaim, end: &RequestEnd) -> Result<(), StoreError>;

    /// The number of requests that wait for their first worker, without those that can wait.
    async fn waiting(&self) -> Result<usize, StoreError>;

    /// Checks that the store accepts writes. Fails like a write, for example when the disk is full, the file is
    /// missing, or the database server is a standby.
    async fn check_writable(&self) -> Result<(), StoreError>;

    /// Calls `wake` whenever a process queues a request, for as long as the store can notice that. A store without
    /// notifications never returns. Claimants also poll.
    async fn listen(&self, wake: &(dyn Fn() + Send + Sync)) -> Result<(), StoreError> {
        let _ = wake;
        std::future::pending().await
    }

    /// The stored bodies and digests of requests, oldest first: of open requests, and of ended ones whose body is kept.
    async fn stored_requests(&self) -> Result<Vec<StoredRequest>, StoreError>;

    /// The record of a request; `None` when the operation is not a request.
    async fn request(&self, operation: Uuid) -> Result<Option<RequestRow>, StoreError>;

    /// The same store for calls to a server: its reads do not queue behind workers, and fail soon while the store is away.
    fn for_calls(self: Arc<Self>) -> Arc<dyn ServerStore>;
}

/// A whole store, for a command line or a server.
pub trait ServerStore: StateStore + Administration + RequestQueue + AuditLog {}

impl<T: StateStore + Administration + RequestQueue + AuditLog + ?Sized> ServerStore for T {}

/// A request to queue. The API answers the call with the operation's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// The operation of the request; it changes the first stack.
    pub operation: NewOperation,
    /// The requests behind which it waits.
    pub order: OrderKey,
    /// Digest of the content: requests with the same digest ask for the same change.
    pub digest: String,
    /// Digests of the same content under earlier state keys, to recognise requests that were queued then.
    pub older_digests: Vec<String>,
    /// The content, as the API's JSON.
    pub body: Body,
    /// The idempotency key of the caller.
    pub idempotency: Option<String>,
    /// It runs after all requests that cannot wait, and is not counted among them.
    pub can_wait: bool,
    /// The caller's share of the queue; `None` when callers have no identity.
    pub quota: Option<RequestQuota>,
}

/// The share of the queue of a caller. If several processes queue or claim at the same moment, each may exceed it by
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestQuota {
    /// The caller.
    pub caller: String,
    /// The maximum number of its requests that wait for their first worker.
    pub waiting: u32,
    /// The maximum number of its requests that run at once; the rest wait. `None` means no limit.
    pub running: Option<u32>,
}

impl NewRequest {
    /// True when the digest is of a request with the same content.
    #[must_use]
    pub fn has_same_content(&self, digest: &str) -> bool {
        self.digest == digest || self.older_digests.iter().any(|older| older == digest)
    }
}

/// The result of queuing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The request waits for its turn.
    Queued {
        /// The newest open request of the same component, which runs before.
        behind: Option<Uuid>,
    },
    /// The newest open request of the component has the same content, and answers this call.
    Same(Uuid),
    /// A different request used the idempotency key.
    KeyTaken,
    /// The caller's share of the queue is full.
    OverQuota,
    /// The queue is full.
    Full,
}

/// A process that claims requests, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// The id of the process. A container that restarts may get the host name and process id of its predecessor.
    pub id: Uuid,
    /// The process, for display: `terrace@host (pid 4711)`.
    pub name: String,
}

/// The right to work on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestClaim {
    /// The operation.
    pub operation: Uuid,
    /// Its kind.
    pub kind: String,
    /// The caller.
    pub actor: String,
    /// The content.
    pub body: Body,
    /// Increases with every claim. From 2 on, an earlier worker claimed the request without ending it.
    pub fence: u64,
    /// The lowest free number for its next step.
    pub next_step: u32,
    /// Other requests wait too, so another process can claim one.
    pub has_waiting_requests: bool,
    /// The claimants that died while they worked on the request, oldest first. A claimant that released its claim, or
    /// that returned after an outage of the store, is not included.
    pub deaths: Vec<String>,
}

/// The record of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// The requests behind which it waits.
    pub order: OrderKey,
    /// The content; empty after the end, unless it is kept.
    pub body: Body,
    /// The result, as JSON of the worker; `None` before the end.
    pub result: Option<String>,
}

/// The stored content of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// The operation.
    pub operation: Uuid,
    /// The requests behind which it waits.
    pub order: OrderKey,
    /// Digest of the content.
    pub digest: String,
    /// The content.
    pub body: Body,
    /// The request has not ended.
    pub is_open: bool,
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEnd {
    /// The status of its operation.
    pub status: OperationStatus,
    /// A summary in one sentence.
    pub summary: String,
    /// The result, as JSON.
    pub result: String,
    /// Keeps the body after the end. It may hold secrets, so the store drops it otherwise.
    pub keeps_body: bool,
}

impl RequestEnd {
    /// The end of a request that was cancelled before a worker claimed it.
    #[must_use]
    pub fn cancelled() -> Self {
        Self {
            status: OperationStatus::Interrupted,
            summary: "stopped before it began".to_owned(),
            result: "{}".to_owned(),
            keeps_body: false,
        }
    }

    /// The last log line of an operation that was stopped: its summary.
    #[must_use]
    pub fn stop_record(&self, operation: Uuid) -> Record {
        let (level, phase) = ("INFO".to_owned(), "stop".to_owned());
        Record::Log { operation, level, phase, message: self.summary.clone() }
    }
}
