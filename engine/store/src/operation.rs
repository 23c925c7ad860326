//! Records of operations, their steps and their logs.

use super::StoreError;
use async_trait::async_trait;
use jiff::Timestamp;
use terrace_language::address::{Address, StackId};
use uuid::Uuid;

/// The records of operations.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Operations, newest first.
    async fn operations(&self, which: &OperationFilter) -> Result<Vec<OperationRow>, StoreError>;

    /// Operations without an end, newest first: running and abandoned ones.
    async fn unended_operations(&self) -> Result<Vec<OperationRow>, StoreError>;

    /// One operation with its steps.
    async fn operation(&self, id: Uuid) -> Result<Option<(OperationRow, Vec<StepRow>)>, StoreError>;

    /// True when a caller asked the operation to stop.
    async fn is_cancel_requested(&self, operation: Uuid) -> Result<bool, StoreError>;
}

/// The kinds of operations.
pub const KINDS: [&str; 17] = [
    "apply",
    "destroy",
    "rollback",
    "recover",
    "import",
    "state import",
    "state mv",
    "state rm",
    "state prune",
    "state rekey",
    "provision",
    "unprovision",
    "updateacl",
    "validate",
    "plan",
    "drift",
    "reverse-provisioning",
];

/// The start of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperation {
    /// A UUIDv7.
    pub id: Uuid,
    /// One of [`KINDS`].
    pub kind: String,
    /// The stacks it works on.
    pub stacks: Vec<StackId>,
    /// The caller, for display.
    pub actor: String,
}

/// A filter of operations. The newest `limit` operations match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only operations on this stack.
    pub stack: Option<StackId>,
    /// Only operations older than this one.
    pub before: Option<Uuid>,
    /// The maximum number.
    pub limit: usize,
}

impl OperationFilter {
    /// The newest operations of all kinds and stacks.
    #[must_use]
    pub const fn newest(limit: usize) -> Self {
        Self { kind: None, stack: None, before: None, limit }
    }
}

/// The record of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// A UUIDv7.
    pub id: Uuid,
    /// One of [`KINDS`].
    pub kind: String,
    /// The stacks it works on.
    pub stacks: Vec<StackId>,
    /// The caller.
    pub actor: String,
    /// The recorded status: `Running` together with `is_abandoned` when its process has ended.
    pub status: OperationStatus,
    /// The operation is `Running`, but holds no lease any more, and no worker claims its request.
    pub is_abandoned: bool,
    /// The operation is abandoned and its process has certainly ended. False in a store that does not record processes.
    pub is_gone: bool,
    /// The operation belongs to an open request. It ends with the request, and a server resumes it when it has no
    /// worker.
    pub is_requested: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// A summary of its end in one sentence.
    pub summary: String,
    /// The principal in another process that asked it to stop.
    pub cancelled_by: Option<String>,
}

/// The pseudo-stack that orders plan requests of an environment, which change no stack. It precedes the operation's
/// real stacks.
pub const PLANS: &str = "plans";
/// The pseudo-stack that orders drift scans.
pub const SCANS: &str = "drift";

impl OperationRow {
    /// The stacks that the operation concerns, without the pseudo-stack that orders it.
    #[must_use]
    pub fn target_stacks(&self) -> &[StackId] {
        match self.stacks.as_slice() {
            [queue, targets @ ..] if !targets.is_empty() => match (self.kind.as_str(), queue.name.as_str()) {
                ("plan", PLANS) | ("drift", SCANS) => targets,
                _ => &self.stacks,
            },
            all => all,
        }
    }
}

/// The status of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationStatus {
    /// Waits for a worker.
    Queued,
    /// Runs.
    Running,
    /// Succeeded.
    Completed,
    /// At least one step failed.
    Failed,
    /// A user stopped it.
    Interrupted,
    /// Did nothing: its plan was stale, and a new plan replaced it.
    Superseded,
}

impl OperationStatus {
    /// All statuses with their names.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("queued", Self::Queued),
        ("running", Self::Running),
        ("completed", Self::Completed),
        ("failed", Self::Failed),
        ("interrupted", Self::Interrupted),
        ("superseded", Self::Superseded),
    ];

    /// The name of the status.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, status)| *status == self).map_or("", |(word, _)| word)
    }
}

impl OperationRow {
    /// The status of an operation that never ended and no longer runs.
    pub const ABANDONED: &'static str = "abandoned";

    /// The status in one word.
    #[must_use]
    pub fn status_word(&self) -> &'static str {
        match self.status {
            OperationStatus::Running if self.is_abandoned => Self::ABANDONED,
            status => status.word(),
        }
    }
}

/// The record of a step of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Its number.
    pub step: u32,
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The kind of step.
    pub action: StepAction,
    /// The outcome; `None` while the step is open.
    pub result: Option<StepResult>,
    /// When its intent was recorded.
    pub started_at: Timestamp,
    /// When its outcome was recorded.
    pub ended_at: Option<Timestamp>,
}

/// The outcome of a step.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// It succeeded as planned.
    Done,
    /// It failed with this error message.
    Failed(String),
    /// Its process died; recovery found this outcome, as a message.
    Recovered(String),
}

/// A line of an operation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The time.
    pub at: Timestamp,
    /// `INFO`, `WARNING`, `ERROR`.
    pub level: String,
    /// `plan`, `apply`, `recover`.
    pub phase: String,
    /// The message.
    pub message: String,
}

/// The kind of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepAction {
    /// Calls `create`.
    Create,
    /// Calls `update`.
    Update,
    /// Calls `delete`; drops the row without a call if the object no longer exists.
    Delete,
    /// Writes state only: adopt, forget, retain, move, refreshed attributes, state-only types.
    Record,
}

/// The result of asking an operation to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// Its worker is notified, and finishes the steps that it has started.
    Notified,
    /// The operation had no worker and had not started: it has ended.
    Ended,
}
