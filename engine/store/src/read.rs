//! The versions that a plan was computed from.

use terrace_language::address::{Address, ComponentKey, StackId};

/// The version of a row, counted from 1; 0 stands for an absent row.
pub type Generation = u64;

/// A row that a plan was computed from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Read {
    /// The stack.
    pub stack: StackId,
    /// The resource.
    pub address: Address,
    /// The key of the deposed object, if the row is for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deposed: Option<String>,
    /// The generation that the planner read; 0 for an absent row.
    pub generation: Generation,
}

/// A component whose outputs a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentRead {
    /// The stack.
    pub stack: StackId,
    /// The component.
    pub component: ComponentKey,
    /// The newest version of its record; 0 if it never had one.
    pub generation: Generation,
}

impl Read {
    /// A resource that has no row.
    #[must_use]
    pub fn absent(stack: &StackId, address: &Address) -> Self {
        Self { stack: stack.clone(), address: address.clone(), deposed: None, generation: 0 }
    }
}

/// A row with another generation than a writer expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleRead {
    /// The row and the expected generation.
    pub read: Read,
    /// The current generation.
    pub now: Generation,
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
