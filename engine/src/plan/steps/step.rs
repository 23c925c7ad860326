//! The nodes of the graph of steps.

/// The position of a step.
pub(crate) type StepId = usize;

/// One node of the graph of steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Creates, updates, adopts or keeps the object of a change.
    Forward { stack: usize, change: usize },
    /// Removes the object of a change: deletes, forgets or retains it.
    Remove { stack: usize, change: usize },
    /// Reads a lookup that planning could not answer.
    Lookup { stack: usize, lookup: usize },
    /// All forward steps of a component are done: its outputs are known.
    ComponentDone { stack: usize, component: usize },
    /// A point in the order without an action.
    Barrier,
    /// A barrier that opens even if the steps before it fail.
    Afterwards,
}

/// The removing step of a change.
#[derive(Clone, Copy)]
pub(super) struct Removal {
    pub(super) step: StepId,
    /// It makes room for forward steps: see `removed_early` of the parent module.
    pub(super) is_early: bool,
}
