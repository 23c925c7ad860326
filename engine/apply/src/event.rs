//! Events of an apply, for the programs that display them.

use std::time::Duration;
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};

/// An event of an apply.
#[derive(Debug, Clone)]
pub enum Event {
    /// The operation starts.
    Started {
        /// The operation's id.
        operation: uuid::Uuid,
        /// Number of steps.
        steps: usize,
    },
    /// Another operation holds a component, and this one waits for the lease.
    WaitingForLease {
        /// The components and their holders, for display.
        holders: String,
        /// Longest remaining wait.
        left: Duration,
    },
    /// The engine checks a step that a crash interrupted; it may do so repeatedly.
    Recovering {
        /// The findings so far, for display.
        message: String,
    },
    /// The outcome of an interrupted step is known and durable.
    Recovered {
        /// The findings, for display.
        message: String,
    },
    /// The engine calls a provider.
    StepStarted {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The action.
        action: Action,
    },
    /// A step waits until its limits allow the provider call.
    StepWaiting {
        /// The resource, with its stack.
        address: String,
        /// The limit that it waits for.
        message: String,
    },
    /// A provider reports progress. The journal already has the message.
    StepProgress {
        /// The resource, with its stack.
        address: String,
        /// The message.
        message: String,
    },
    /// A step succeeded, and its outcome is durable.
    StepDone {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The action.
        action: Action,
        /// Duration of the call.
        took: Duration,
    },
    /// A step failed, and its outcome is durable.
    StepFailed {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The action.
        action: Action,
        /// The error.
        error: String,
        /// Further details.
        problems: Vec<String>,
    },
    /// A call succeeded and its outcome is durable, but a check of the result failed.
    CheckFailed {
        /// The stack.
        stack: StackId,
        /// The resource.
        address: Address,
        /// The action.
        action: Action,
        /// The message of the check.
        error: String,
        /// Further details.
        problems: Vec<String>,
    },
    /// The user asked to stop, and the engine waits for running calls.
    Stopping {
        /// Number of calls that still run.
        running: usize,
    },
}

/// A receiver of events.
pub trait Events: Send + Sync {
    /// Receives an event. It must not block for long: the engine's tasks call it, and record nothing until it returns.
    fn take(&self, event: Event);
}

/// Drops all events.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEvents;

impl Events for NoEvents {
    fn take(&self, _event: Event) {}
}
