//! Errors of a state store.

use super::read::{ComponentRead, StaleRead};
use terrace_language::address::{Address, ComponentKey, SHARED, StackId, outputs_in_words};
use uuid::Uuid;

/// An error of a state store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A lease that a write or a renewal needs has ended or was taken over.
    #[error(
        "the lease on {} of {stack} was lost: another operation took it over, or a user broke it",
        describe_lease(stack, component)
    )]
    LeaseLost {
        /// The stack.
        stack: StackId,
        /// The component.
        component: ComponentKey,
    },
    /// Another process took over a request and works on it.
    #[error("the operation {0} was taken over by another process")]
    ClaimLost(Uuid),
    /// Rows have other generations than the writer expected.
    #[error("{} changed since the plan was made", describe_stale_rows(.0))]
    Stale(Vec<StaleRead>),
    /// Components that a plan reads have other versions than the writer expected.
    #[error("{} changed since the plan was made", describe_outputs(.0))]
    StaleOutputs(Vec<ComponentRead>),
    /// The plan was applied before.
    #[error("this plan was applied already")]
    PlanSpent,
    /// The address already has a row.
    #[error("{stack}:{address} exists already")]
    Occupied {
        /// The stack.
        stack: StackId,
        /// The address.
        address: Address,
    },
    /// A newer terrace wrote the store.
    #[error("the state at {url} has format {found}; this terrace reads up to format {known}")]
    NewerFormat {
        /// The location.
        url: String,
        /// The format of the store.
        found: u32,
        /// The newest format that this build reads.
        known: u32,
    },
    /// The location holds something other than a terrace state.
    #[error("{url} is not a terrace state: {reason}")]
    NotAStore {
        /// The location.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The store is unreachable. Earlier writes of the operation, and all later ones, go to a fallback location.
    #[error("state cannot be written: {reason}")]
    WrittenToFallback {
        /// What happened, and the fallback location.
        reason: String,
    },
    /// The store cannot be reached, read or written.
    #[error("state cannot be {action}: {reason}")]
    Unavailable {
        /// `opened`, `read`, `written`.
        action: &'static str,
        /// The reason.
        reason: String,
    },
}

/// The subject of a lease, for messages.
pub fn describe_lease(stack: &StackId, component: &ComponentKey) -> String {
    match component.is_stack() {
        true => "the stack's own resources".to_owned(),
        false if stack.name == SHARED => format!("the shared resource `{component}`"),
        false => format!("component `{component}`"),
    }
}

fn describe_outputs(components: &[ComponentRead]) -> String {
    let names: Vec<String> = components.iter().map(|read| outputs_in_words(&read.stack, &read.component)).collect();
    names.join(", ")
}

/// The rows that changed since the writer read them, for messages. At most ten are named.
pub fn describe_stale_rows(stale: &[StaleRead]) -> String {
    /// The maximum number of rows in the message.
    const MAX_NAMED: usize = 10;
    let names: Vec<String> = stale.iter().take(MAX_NAMED).map(StaleRead::to_string).collect();
    match stale.len().saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
