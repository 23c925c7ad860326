//! What a store cannot do.

use super::{ComponentRead, StaleRead};
use crate::address::{Address, SHARED, StackId};
use crate::plan::outputs_in_words;
use uuid::Uuid;

/// A store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A lease under which something was to be written or kept was taken over or has ended.
    #[error(
        "the lease on {} of {stack} was lost: another operation has it, or it was taken away",
        component_in_words(stack, component)
    )]
    LeaseLost {
        /// The stack.
        stack: StackId,
        /// The component.
        component: String,
    },
    /// A request was taken over by somebody else, who works on it now.
    #[error("the operation {0} was taken over by another process")]
    ClaimLost(Uuid),
    /// Rows have other generations than the writer believed.
    #[error("{} changed since the plan was made", moved_in_words(.0))]
    Stale(Vec<StaleRead>),
    /// Components whose outputs a plan stands on have other versions than the writer believed.
    #[error("{} changed since the plan was made", describe_outputs(.0))]
    OtherOutputs(Vec<ComponentRead>),
    /// The plan was applied before.
    #[error("this plan was applied already")]
    PlanSpent,
    /// The address is taken.
    #[error("{stack}:{address} exists already")]
    Occupied {
        /// The stack.
        stack: StackId,
        /// The address.
        address: Address,
    },
    /// The store was written by a newer terrace.
    #[error("the state at {url} has format {found}; this terrace reads up to format {known}")]
    NewerFormat {
        /// Where.
        url: String,
        /// The format that is there.
        found: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// What is there is no store.
    #[error("{url} is not a terrace state: {reason}")]
    NotAStore {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The store is gone; what was written is kept elsewhere, and so is what is written from now on.
    #[error("state cannot be written: {reason}")]
    KeptElsewhere {
        /// What happened, and where it is kept.
        reason: String,
    },
    /// The store cannot be reached, read or written.
    #[error("state cannot be {doing}: {reason}")]
    Unavailable {
        /// `opened`, `read`, `written`.
        doing: &'static str,
        /// Why.
        reason: String,
    },
}

/// What a lease is about, in words.
pub(crate) fn component_in_words(stack: &StackId, component: &str) -> String {
    match component {
        "" => "the stack's own resources".to_owned(),
        resource if stack.name == SHARED => format!("the shared resource `{resource}`"),
        component => format!("component `{component}`"),
    }
}

fn describe_outputs(components: &[ComponentRead]) -> String {
    let names: Vec<String> = components.iter().map(|read| outputs_in_words(&read.stack, &read.component)).collect();
    names.join(", ")
}

/// Rows that are not as somebody believed, and how they are instead.
pub(crate) fn moved_in_words(moved: &[StaleRead]) -> String {
    /// The most rows that are named.
    const MOST: usize = 10;
    let names: Vec<String> = moved.iter().take(MOST).map(StaleRead::to_string).collect();
    match moved.len().saturating_sub(names.len()) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

impl std::fmt::Display for StaleRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { read, now } = self;
        write!(f, "{}:{}", read.stack, read.address)?;
        match (read.generation, now) {
            (0, _) => f.write_str(" (recorded since)"),
            (_, 0) => f.write_str(" (removed since)"),
            (before, now) => write!(f, " (generation {before}, now {now})"),
        }
    }
}
