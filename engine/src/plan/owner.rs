//! Owners of shared resources as a plan has them.

use super::SharedDeclaration;
use crate::address::{Address, InstanceKey};
use crate::store::Ownership;

/// The name that a component gives to a shared resource.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SharedName {
    /// The name.
    pub name: String,
    /// The key, where one declaration makes several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<InstanceKey>,
    /// The shared resource.
    pub address: Address,
}

/// A shared row that gets or loses an owner, or that an owner declares anew.
#[derive(Debug, Clone)]
pub struct OwnerChange {
    /// The row and its owner.
    pub ownership: Ownership,
    /// What becomes of it.
    pub action: OwnerAction,
    /// How the owner declares the resource; `None` when it lets go.
    pub declaration: Option<SharedDeclaration>,
}

/// What becomes of an ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OwnerAction {
    /// The row gets the owner.
    Add,
    /// The owner declares the resource in another way than is recorded.
    Declare,
    /// What was not known of the owner's declaration is recorded with the next thing that is: no change.
    Record,
    /// The row loses the owner.
    Drop {
        /// It was the last one.
        is_last: bool,
    },
}

impl OwnerChange {
    /// True when somebody becomes an owner, stops being one, or says something else than before.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.action != OwnerAction::Record
    }
}

impl OwnerAction {
    /// The sign of the plan's lines.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Declare => "~",
            Self::Record => " ",
            Self::Drop { .. } => "-",
        }
    }

    /// The word of the plan's JSON.
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
