//! The nodes of the graph of steps.

/// The position of a step.
pub type StepId = usize;

/// One node of the graph of steps, with positions in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Creates, updates, adopts or keeps the object of a change.
    Forward {
        /// The stack.
        stack: usize,
        /// The change of the stack.
        change: usize,
    },
    /// Removes the object of a change: deletes, forgets or retains it.
    Remove {
        /// The stack.
        stack: usize,
        /// The change of the stack.
        change: usize,
    },
    /// Reads a lookup that planning could not answer.
    Lookup {
        /// The stack.
        stack: usize,
        /// The lookup of the stack.
        lookup: usize,
    },
    /// All forward steps of a component are done: its outputs are known.
    ComponentDone {
        /// The stack.
        stack: usize,
        /// The component of the stack.
        component: usize,
    },
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
