//! What happens while a plan is applied, for whoever shows it.

use crate::action::Action;
use crate::address::{Address, StackId};
use std::time::Duration;

/// One thing that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The operation begins.
    Started {
        /// The operation.
        operation: uuid::Uuid,
        /// How many steps it has.
        steps: usize,
    },
    /// Another operation holds a component; this one waits.
    WaitingForLease {
        /// Who holds what, for people.
        held: String,
        /// How long it will wait at most.
        left: Duration,
    },
    /// A step that a crash left is looked into, and again.
    Recovering {
        /// What was found so far, for people.
        message: String,
    },
    /// It is known what became of a step that a crash left, and that is durable.
    Recovered {
        /// What was found, for people.
        message: String,
    },
    /// A provider is called.
    StepStarted {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// What is done.
        action: Action,
    },
    /// A provider is to be called once its limits allow it.
    StepWaiting {
        /// The resource, with its stack.
        address: String,
        /// For what.
        message: String,
    },
    /// A provider has something to say. The journal has it already.
    StepProgress {
        /// The resource, with its stack.
        address: String,
        /// What.
        message: String,
    },
    /// A step is done and its outcome durable.
    StepDone {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// What was done.
        action: Action,
        /// How long the call took.
        took: Duration,
    },
    /// A step failed, and that is durable.
    StepFailed {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// What was to be done.
        action: Action,
        /// Why.
        error: String,
    },
    /// A call succeeded and its outcome is durable, and a check of what it left does not hold.
    CheckFailed {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// What was done.
        action: Action,
        /// What the check says.
        error: String,
    },
    /// The user asked to stop: what runs is waited for.
    Stopping {
        /// How many calls still run.
        running: usize,
    },
}

/// Takes events.
pub trait Events: Send + Sync {
    /// Takes one. Called from the engine's tasks, and nothing is written while it runs: it must not block for long.
    fn take(&self, event: Event);
}

/// Drops all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl Events for NoEvents {
    fn take(&self, _event: Event) {}
}
