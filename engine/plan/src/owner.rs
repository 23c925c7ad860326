//! Owner changes of shared resources.

use super::SharedDeclaration;
use terrace_language::address::{Address, InstanceKey};
use terrace_store::Ownership;

/// The name that a component gives to a shared resource.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SharedName {
    /// The name.
    pub name: String,
    /// The instance key, if one declaration has several instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<InstanceKey>,
    /// The shared resource.
    pub address: Address,
}

/// An owner change of a shared row.
#[derive(Debug, Clone)]
pub struct OwnerChange {
    /// The row and its owner.
    pub ownership: Ownership,
    /// The change.
    pub action: OwnerAction,
    /// The owner's declaration of the resource; `None` if the ownership ends.
    pub declaration: Option<SharedDeclaration>,
}

/// The change of an ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerAction {
    /// The row gets the owner.
    Add,
    /// The owner's declaration differs from the recorded one.
    Declare,
    /// The owner's declaration was not recorded yet; the next write records it. Not a change.
    Record,
    /// The row loses the owner.
    Drop {
        /// True for the last owner.
        is_last: bool,
    },
}

impl OwnerChange {
    /// True if an owner is added, removed, or changes its declaration.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.action != OwnerAction::Record
    }
}

impl OwnerAction {
    /// The sign in the plan's lines.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Declare => "~",
            Self::Record => " ",
            Self::Drop { .. } => "-",
        }
    }

    /// The word in plan JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Declare => "update",
            Self::Record => "no-op",
            Self::Drop { .. } => "remove",
        }
    }
}
