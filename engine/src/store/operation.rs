//! Operations, their steps and their logs, as they are recorded.

use super::StepAction;
use crate::address::{Address, StackId};
use jiff::Timestamp;
use uuid::Uuid;

/// What operations are called, whoever begins them.
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

/// Begins an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperation {
    /// A UUIDv7.
    pub id: Uuid,
    /// One of [`KINDS`].
    pub kind: String,
    /// The stacks it works on.
    pub stacks: Vec<StackId>,
    /// Who asked, for people.
    pub actor: String,
}

/// Which operations are asked for: the newest ones, at most so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationFilter {
    /// Those of one kind.
    pub kind: Option<String>,
    /// Those that work on one stack.
    pub stack: Option<StackId>,
    /// Those that are older than this one.
    pub before: Option<Uuid>,
    /// At most so many.
    pub limit: usize,
}

impl OperationFilter {
    /// The newest of all.
    #[must_use]
    pub const fn newest(limit: usize) -> Self {
        Self { kind: None, stack: None, before: None, limit }
    }
}

/// An operation as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationRow {
    /// A UUIDv7.
    pub id: Uuid,
    /// What kind.
    pub kind: String,
    /// The stacks it works on.
    pub stacks: Vec<StackId>,
    /// Who asked.
    pub actor: String,
    /// How it stands. `Running` with `is_abandoned` when its process is gone.
    pub status: OperationStatus,
    /// Still `Running`, but none of its leases is held any more, and nobody works on the request that asked for it.
    pub is_abandoned: bool,
    /// It is abandoned, and its process certainly runs no more: a store that knows of no processes cannot tell.
    pub is_gone: bool,
    /// A request asked for it that has not ended: it ends with that, and a server goes on with it where nobody does.
    pub is_requested: bool,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// One sentence on how it ended.
    pub summary: String,
    /// Who asked it to stop, from another process.
    pub cancelled_by: Option<String>,
}

/// The pseudo-stack of an environment that plans wait by, for they change no stack: it stands before the one that such an
/// operation is about.
pub const PLANS: &str = "plans";
/// The same for looking for drift.
pub const SCANS: &str = "drift";

impl OperationRow {
    /// The stacks that it is about: what it waits by is nobody's stack.
    #[must_use]
    pub fn about(&self) -> &[StackId] {
        match self.stacks.as_slice() {
            [queue, about @ ..] if !about.is_empty() => match (self.kind.as_str(), queue.name.as_str()) {
                ("plan", PLANS) | ("drift", SCANS) => about,
                _ => &self.stacks,
            },
            all => all,
        }
    }
}

/// How an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationStatus {
    /// It waits for somebody who works on it.
    Queued,
    /// It works.
    Running,
    /// It did all it was to do.
    Completed,
    /// At least one step failed.
    Failed,
    /// It was stopped by a person.
    Interrupted,
    /// It did nothing: its plan was outdated, and was made anew.
    Superseded,
}

impl OperationStatus {
    /// All of them, by name.
    pub const WORDS: [(&'static str, Self); 6] = [
        ("queued", Self::Queued),
        ("running", Self::Running),
        ("completed", Self::Completed),
        ("failed", Self::Failed),
        ("interrupted", Self::Interrupted),
        ("superseded", Self::Superseded),
    ];

    /// Its name.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, status)| *status == self).map_or("", |(word, _)| word)
    }
}

impl OperationRow {
    /// What an operation is called that runs nowhere and never ended.
    pub const ABANDONED: &'static str = "abandoned";

    /// How it stands, in a word.
    #[must_use]
    pub fn standing(&self) -> &'static str {
        match self.status {
            OperationStatus::Running if self.is_abandoned => Self::ABANDONED,
            status => status.word(),
        }
    }
}

/// One step of an operation as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Its number.
    pub step: u32,
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// What it does.
    pub action: StepAction,
    /// How it ended; `None` while it is open.
    pub result: Option<StepResult>,
    /// When its intent was recorded.
    pub started_at: Timestamp,
    /// When its outcome was.
    pub ended_at: Option<Timestamp>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// As planned.
    Done,
    /// With an error, which is recorded in words.
    Failed(String),
    /// Its process died; recovery found this, in words.
    Recovered(String),
}

/// A line of an operation's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// `INFO`, `WARNING`, `ERROR`.
    pub level: String,
    /// `plan`, `apply`, `recover`.
    pub phase: String,
    /// What.
    pub message: String,
}
