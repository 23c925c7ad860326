//! What came of applying a plan.

use super::{Applier, ApplyError};
use crate::action::Action;
use crate::address::{Address, StackId};
use crate::plan::checks::undecided;
use crate::source::Place;
use crate::store::{OperationStatus, Ownership, StoreError};
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::Map;
use uuid::Uuid;

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// The operation.
    pub operation: Uuid,
    /// What was done.
    pub done: Vec<Done>,
    /// What failed.
    pub failed: Vec<Failed>,
    /// What was not tried because something before it failed, with that something.
    pub blocked: Vec<Blocked>,
    /// What was not begun because the user stopped.
    pub not_begun: Vec<(StackId, Address)>,
    /// What the plan let go of and still owns: all others left at the same time.
    pub still_owned: Vec<Ownership>,
    /// Objects that are recorded and are not to stay as they are.
    pub left: BTreeSet<Left>,
    /// Checks of stacks that waited, and that are not met.
    pub failed_checks: Vec<FailedCheck>,
    /// The user stopped.
    pub is_interrupted: bool,
    /// The outputs, by stack and component.
    pub outputs: BTreeMap<(StackId, String), Map>,
}

/// A change that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// What was done.
    pub action: Action,
    /// What was taken over was made what is declared.
    pub is_aligned: bool,
}

/// A change that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// What was to be done.
    pub action: Action,
    /// Why.
    pub error: String,
    /// Further facts.
    pub problems: Vec<String>,
    /// What a person can do.
    pub solutions: Vec<String>,
}

impl Failed {
    /// Why, with all further facts, on one line. A fact that the error ends with is told once.
    #[must_use]
    pub fn reason(&self) -> String {
        let problems = self.problems.iter().filter(|problem| !self.error.ends_with(problem.as_str()));
        std::iter::once(&self.error).chain(problems).map(String::as_str).collect::<Vec<_>>().join("; ")
    }

    /// The line of the operation's log about a step that stays open.
    #[must_use]
    pub fn doubt(&self) -> String {
        format!("{}{}", doubt_begins(&self.stack, &self.address), self.reason())
    }
}

/// How the line of an operation's log begins that says why a step is in doubt.
#[must_use]
pub fn doubt_begins(stack: &StackId, address: &Address) -> String {
    format!("{stack}:{address} in doubt: ")
}

/// An object that a step left as nobody wants it: half-made, or beside the one that took its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The key of an object that was replaced; `None` for the half-made one.
    pub deposed: Option<String>,
}

impl std::fmt::Display for Left {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.stack, self.address)?;
        match &self.deposed {
            Some(key) => write!(f, " (deposed {key}): replaced and not deleted, the next apply deletes it"),
            None => f.write_str(": recorded as half-made, the next apply replaces it"),
        }
    }
}

/// A check of a stack that is not met once all is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedCheck {
    /// The stack.
    pub stack: StackId,
    /// What it has to say.
    pub error: String,
    /// Why it could not be decided, when that failed it.
    pub problem: Option<String>,
    /// Where it stands.
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
    /// One sentence on how the operation ended, for the list of operations: a stop says what it came from.
    pub(super) fn summary(&self, report: &Report) -> String {
        match self.stopped_by.get().filter(|_| report.is_interrupted) {
            Some(signal) => format!("{}, stopped by {signal}", report.summary()),
            None => report.summary(),
        }
    }
}

impl ApplyError {
    /// True when what the plan was made from changed since, and nothing was begun: another plan may do.
    #[must_use]
    pub const fn is_outdated(&self) -> bool {
        matches!(
            self,
            Self::OwnedAnew { .. }
                | Self::OtherOutputs { .. }
                | Self::OtherAccess { .. }
                | Self::Store(StoreError::Stale(_) | StoreError::OtherOutputs(_))
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
    /// Why, for people: what it waits for, or what is in doubt about it.
    pub because: String,
}

impl Report {
    /// How the operation ended.
    #[must_use]
    pub fn status(&self) -> OperationStatus {
        let is_whole = self.failed.is_empty() && self.blocked.is_empty() && self.still_owned.is_empty();
        match (self.is_interrupted, is_whole) {
            (true, _) => OperationStatus::Interrupted,
            (false, true) => OperationStatus::Completed,
            (false, false) => OperationStatus::Failed,
        }
    }

    /// One sentence on how it ended.
    #[must_use]
    pub fn summary(&self) -> String {
        self.summary_with(self.done.len())
    }

    /// The same of an operation that did so much in all, in several runs.
    #[must_use]
    pub fn summary_with(&self, done: usize) -> String {
        let mut summary = format!("{done} done");
        for (count, word) in [
            (self.failed.len(), "failed"),
            (self.blocked.len(), "not tried"),
            (self.not_begun.len(), "not begun"),
            (self.still_owned.len(), "still owned"),
        ] {
            if count > 0 {
                summary.push_str(&format!(", {count} {word}"));
            }
        }
        summary
    }

    /// How many objects were taken over.
    #[must_use]
    pub fn imported(&self) -> usize {
        self.done.iter().filter(|done| done.action == Action::Adopt).count()
    }

    /// Added, changed, destroyed: a replacement counts as added and destroyed once both halves are done.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, usize) {
        let count = |wanted: &[Action]| self.done.iter().filter(|done| wanted.contains(&done.action)).count();
        let replaced = [Action::Replace, Action::ReplaceCreateFirst];
        (
            count(&[Action::Create]) + count(&replaced),
            count(&[Action::Update]) + self.done.iter().filter(|done| done.is_aligned).count(),
            count(&[Action::Delete]) + count(&replaced),
        )
    }
}
