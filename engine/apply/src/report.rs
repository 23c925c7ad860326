//! The result of an apply.

use super::{Applier, ApplyError};
use std::collections::{BTreeMap, BTreeSet};
use terrace_language::action::Action;
use terrace_language::address::{Address, ComponentKey, StackId};
use terrace_language::descriptor::checks::undecided;
use terrace_language::source::Place;
use terrace_provider::Map;
use terrace_store::{OperationStatus, Ownership, StoreError};
use uuid::Uuid;

/// The result of an apply.
#[derive(Debug, Default)]
pub struct Report {
    /// The operation.
    pub operation: Uuid,
    /// The completed changes.
    pub done: Vec<Done>,
    /// The failed changes.
    pub failed: Vec<Failed>,
    /// The changes that were not tried because a prerequisite failed, with that prerequisite.
    pub blocked: Vec<Blocked>,
    /// The changes that did not start because the user stopped.
    pub not_started: Vec<(StackId, Address)>,
    /// The ownerships that the plan should have ended, but that stay: all other owners left at the same time.
    pub still_owned: Vec<Ownership>,
    /// Objects with rows that must not stay as they are.
    pub leftovers: BTreeSet<Leftover>,
    /// Deferred checks of stacks that failed.
    pub failed_checks: Vec<FailedCheck>,
    /// The user stopped.
    pub is_interrupted: bool,
    /// The outputs, by stack and component.
    pub outputs: BTreeMap<(StackId, ComponentKey), Map>,
}

/// A completed change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The action.
    pub action: Action,
    /// An adopted object was updated to its declaration.
    pub is_aligned: bool,
}

/// A change that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The planned action.
    pub action: Action,
    /// The error.
    pub error: String,
    /// Further details.
    pub problems: Vec<String>,
    /// The remedies.
    pub solutions: Vec<String>,
}

impl Failed {
    /// The error and all details, in one line. A detail at the end of the error is not repeated.
    #[must_use]
    pub fn reason(&self) -> String {
        let problems = self.problems.iter().filter(|problem| !self.error.ends_with(problem.as_str()));
        std::iter::once(&self.error).chain(problems).map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// The log line of the operation about a step that stays open.
    #[must_use]
    pub fn open_step_line(&self) -> String {
        format!("{}{}", open_step_prefix(&self.stack, &self.address), self.reason())
    }
}

/// The beginning of the log line about a step in doubt.
#[must_use]
pub fn open_step_prefix(stack: &StackId, address: &Address) -> String {
    format!("{stack}:{address} in doubt: ")
}

/// An object that a step left behind: tainted, or deposed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The deposed key; `None` for a tainted object.
    pub deposed: Option<String>,
}

impl std::fmt::Display for Leftover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.stack, self.address)?;
        match &self.deposed {
            Some(key) => write!(f, " (deposed {key}): replaced but not deleted: the next apply deletes it"),
            None => f.write_str(": only partly created: the next apply replaces it"),
        }
    }
}

/// A check of a stack that failed after the apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// The stack.
    pub stack: StackId,
    /// The error text of the check.
    pub error: String,
    /// Why it could not be evaluated, if that failed it.
    pub problem: Option<String>,
    /// Its location in the descriptor.
    pub place: Option<Place>,
}

impl std::fmt::Display for FailedCheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.stack, self.error)?;
        match &self.problem {
            Some(problem) => write!(f, " ({})", undecided(problem)),
            None => Ok(()),
        }
    }
}

impl Applier {
    /// A summary sentence for the list of operations, with the cause of a stop.
    pub(super) fn summary(&self, report: &Report) -> String {
        match self.stopped_by.get().filter(|_| report.is_interrupted) {
            Some(signal) => format!("{}, stopped by {signal}", report.summary()),
            None => report.summary(),
        }
    }
}

impl ApplyError {
    /// True if the plan is stale and nothing was started, so that the caller may replan.
    #[must_use]
    pub const fn is_stale(&self) -> bool {
        matches!(
            self,
            Self::NewOwner { .. }
                | Self::ChangedOutputs { .. }
                | Self::ChangedAccess { .. }
                | Self::Store(StoreError::Stale(_) | StoreError::StaleOutputs(_))
        )
    }
}

/// A change that was not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The reason, for people: a failed prerequisite, or the step in doubt.
    pub reason: String,
}

impl Report {
    /// The status of the operation.
    #[must_use]
    pub fn status(&self) -> OperationStatus {
        let is_whole = self.failed.is_empty() && self.blocked.is_empty() && self.still_owned.is_empty();
        match (self.is_interrupted, is_whole) {
            (true, _) => OperationStatus::Interrupted,
            (false, true) => OperationStatus::Completed,
            (false, false) => OperationStatus::Failed,
        }
    }

    /// A summary sentence.
    #[must_use]
    pub fn summary(&self) -> String {
        self.summary_with(self.done.len())
    }

    /// The same for an operation with this number of completed changes in several runs.
    #[must_use]
    pub fn summary_with(&self, done: usize) -> String {
        let mut summary = format!("{done} done");
        for (count, word) in [
            (self.failed.len(), "failed"),
            (self.blocked.len(), "not tried"),
            (self.not_started.len(), "not begun"),
            (self.still_owned.len(), "still owned"),
        ] {
            if count > 0 {
                summary.push_str(&format!(", {count} {word}"));
            }
        }
        summary
    }

    /// The number of adopted objects.
    #[must_use]
    pub fn imported(&self) -> usize {
        self.done.iter().filter(|done| done.action == Action::Adopt).count()
    }

    /// The numbers of added, changed and destroyed objects. A replacement counts as added and destroyed once both halves are done.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |actions: &[Action]| self.done.iter().filter(|done| actions.contains(&done.action)).count();
        let replaced = [Action::Replace, Action::ReplaceCreateFirst];
        (
            count(&[Action::Create]) + count(&replaced),
            count(&[Action::Update]) + self.done.iter().filter(|done| done.is_aligned).count(),
            count(&[Action::Delete]) + count(&replaced),
        )
    }
}
