//! Requests: calls of an API that change something. Each is an operation that is durable before it is answered, and is
//! worked on by whoever claims it, in whichever process.

use super::{AuditLog, NewOperation, OperationStatus, Record, StateStore, StoreError};
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// What a server asks of a store beside what the engine does.
#[async_trait]
pub trait RequestQueue: Send + Sync {
    /// Queues a request, unless one of its idempotency key was, `most` wait already, or the newest one that has not ended of
    /// those that it has to wait for is about the same component and asks the same: that one is its answer, and is known by
    /// its key from now on.
    async fn enqueue(&self, request: &NewRequest, most: usize) -> Result<Enqueued, StoreError>;

    /// The operation of the request that was queued with an idempotency key, and the digest of what it asked.
    async fn asked_with(&self, key: &str) -> Result<Option<(Uuid, String)>, StoreError>;

    /// Takes the oldest request that nobody works on, one that can wait only where no other does, and before which no other
    /// one of its component has to run: one whose worker is known to be dead or has not kept its claim, else one that waits.
    /// One that was given back waits from the end of its pause on, behind those that were asked by then.
    ///
    /// A claim that expired, or whose process is gone, counts as a death of its process: see [`RequestClaim::deaths`]. A
    /// claimant that calls this is alive, so the store takes back every death that it counted of that claimant.
    async fn claim(&self, claimant: &Claimant, term: Duration) -> Result<Option<RequestClaim>, StoreError>;

    /// Keeps a claim for another term. Fails with [`StoreError::ClaimLost`] when it was taken over.
    async fn keep(&self, claim: &RequestClaim, term: Duration) -> Result<(), StoreError>;

    /// Lets anybody have a request again after so long, in its turn among those that wait then. It is first among those
    /// about the same all the while. Fails with [`StoreError::ClaimLost`] when it was taken over.
    async fn give_back(&self, claim: &RequestClaim, after: Duration) -> Result<(), StoreError>;

    /// Gives back all claims of a process that shuts down: any process may take the requests at once, and the store counts no
    /// death of this claimant.
    async fn release_claims(&self, claimant: &Claimant) -> Result<(), StoreError>;

    /// Ends a request. Fails with [`StoreError::ClaimLost`] when it was taken over.
    async fn finish(&self, claim: &RequestClaim, end: &RequestEnd) -> Result<(), StoreError>;

    /// How many requests that cannot wait do, for their first worker.
    async fn waiting(&self) -> Result<usize, StoreError>;

    /// Whether it takes writes now. Fails as a write would, such as when its disk is full, its file is gone, or its server is
    /// a standby.
    async fn check_writable(&self) -> Result<(), StoreError>;

    /// Calls `wake` whenever any process queued a request, as long as that can be told; where it never can, this waits
    /// for ever. Who claims looks now and then all the same.
    async fn listen(&self, wake: &(dyn Fn() + Send + Sync)) -> Result<(), StoreError> {
        let _ = wake;
        std::future::pending().await
    }

    /// What is still stored of requests that tells what they ask, oldest first: of those that have not ended, and of those
    /// that are needed later.
    async fn asked(&self) -> Result<Vec<AskedRow>, StoreError>;

    /// A request as it stands; `None` when no operation of that id was one.
    async fn request(&self, operation: Uuid) -> Result<Option<RequestRow>, StoreError>;

    /// The same store for calls to a server: its reads do not queue behind workers, and fail soon while the store is away.
    fn for_calls(self: Arc<Self>) -> Arc<dyn ServerStore>;
}

/// A store that a server works with.
pub trait ServerStore: StateStore + RequestQueue + AuditLog {}

impl<T: StateStore + RequestQueue + AuditLog + ?Sized> ServerStore for T {}

/// What a request asks, as text of who asks. It may hold secrets, and `Debug` does not print it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    /// The text. Only for storing it, and for who works on it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Nothing is asked any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(what is asked, {} bytes)", self.0.len())
    }
}

/// A call to be queued. Its operation's id is the token that it is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// The operation that it becomes; its first stack is the one that it is about.
    pub operation: NewOperation,
    /// The component that it is about; empty for all of the stack. Requests of one component run one after the other.
    pub component: String,
    /// Tells what is asked: two equal ones ask the same.
    pub digest: String,
    /// The digests that the same has under keys of before: one that was queued then asks the same, too.
    pub older_digests: Vec<String>,
    /// All that is asked, as JSON of who asks.
    pub body: Body,
    /// The key by which who asks knows the request again, whatever became of it.
    pub idempotency: Option<String>,
    /// It goes after all that cannot wait, and is not counted among them.
    pub can_wait: bool,
    /// The share of the queue that its caller has; `None` where callers have no identity.
    pub quota: Option<RequestQuota>,
}

/// The share of the queue that one caller has. Where several processes queue or claim at the same moment, each may exceed it
/// by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestQuota {
    /// The caller.
    pub caller: String,
    /// How many of its requests may wait for their first worker.
    pub waiting: u32,
    /// How many of its requests may run at once; the others wait. `None` has no limit.
    pub running: Option<u32>,
}

impl NewRequest {
    /// True when what has that digest asks the same.
    #[must_use]
    pub fn asks_the_same(&self, digest: &str) -> bool {
        self.digest == digest || self.older_digests.iter().any(|older| older == digest)
    }
}

/// What came of queuing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// It waits for its turn.
    Queued {
        /// The newest one about the same that has not ended: it comes after that.
        behind: Option<Uuid>,
    },
    /// The newest that it would have to wait for asks the very same: this is it.
    Same(Uuid),
    /// Another request was asked with that idempotency key.
    KeyTaken,
    /// As many of its caller's wait as may.
    OverQuota,
    /// As many wait as may.
    Full,
}

/// A process that claims requests, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// Names this process and no other one: a container that restarts may have the host and process id of the one before.
    pub id: Uuid,
    /// The process for people: `terrace@host (pid 4711)`.
    pub name: String,
}

/// The right to work on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestClaim {
    /// The operation.
    pub operation: Uuid,
    /// Its kind.
    pub kind: String,
    /// Who asked.
    pub actor: String,
    /// What is asked.
    pub body: Body,
    /// Grows with every claim. From 2 on somebody worked on it before, and did not come to its end.
    pub fence: u64,
    /// The number that its next step may have: those below are taken.
    pub next_step: u32,
    /// Others wait as well: somebody else may find something, too.
    pub others_wait: bool,
    /// The names of the claimants that died while they worked on the request, oldest first. A claimant that gave its claim
    /// back, or that came back after an outage of the store, is not among them.
    pub deaths: Vec<String>,
}

/// A request as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// The component that it is about; empty for all of the stack.
    pub component: String,
    /// What is asked; empty once it has ended, where nobody needs it later.
    pub body: Body,
    /// What came of it, as JSON of who worked on it; `None` before it ended.
    pub result: Option<String>,
}

/// What is stored of a request that tells what it asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedRow {
    /// The operation.
    pub operation: Uuid,
    /// The component that it is about, or what else it waits for its turn by.
    pub component: String,
    /// Tells what is asked.
    pub digest: String,
    /// What is asked.
    pub body: Body,
    /// It has not ended.
    pub is_open: bool,
}

/// What is stored of a request that tells what it asks, under another key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedAnew {
    /// The operation.
    pub operation: Uuid,
    /// The digest that it has until now.
    pub was: String,
    /// The component that it is about, or what else it waits for its turn by.
    pub component: String,
    /// Tells what is asked, as that of an equal request will.
    pub digest: String,
    /// What is asked.
    pub body: Body,
}

/// What comes of it that an operation is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Whoever works on it is told: it ends what it has begun.
    Asked,
    /// Nobody worked on it, and nothing of it had begun: it has ended, whatever it waited for.
    Ended,
}

/// How a request ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestEnd {
    /// The status of its operation.
    pub status: OperationStatus,
    /// One sentence.
    pub summary: String,
    /// What came of it, as JSON.
    pub result: String,
    /// What was asked is needed later. It may hold secrets, and is forgotten otherwise.
    pub keeps_body: bool,
}

impl RequestEnd {
    /// Of one that was asked to stop before anybody worked on it.
    #[must_use]
    pub fn called_off() -> Self {
        Self {
            status: OperationStatus::Interrupted,
            summary: "stopped before it began".to_owned(),
            result: "{}".to_owned(),
            keeps_body: false,
        }
    }

    /// The last line of the log of an operation that was stopped: what was done by then.
    #[must_use]
    pub fn stopped(&self, operation: Uuid) -> Record {
        let (level, phase) = ("INFO".to_owned(), "stop".to_owned());
        Record::Log { operation, level, phase, message: self.summary.clone() }
    }
}
