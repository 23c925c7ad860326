//! Actions of a plan and their reasons, with the sign and the word that every output uses for them.

use serde::{Deserialize, Serialize};

/// The action on one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Keeps the object as it is.
    NoOp,
    /// Creates an object.
    Create,
    /// Updates the object in place.
    Update,
    /// Deletes the object, then creates a new one.
    Replace,
    /// Creates a new object, then deletes the old one.
    ReplaceCreateFirst,
    /// Deletes the object.
    Delete,
    /// Reads data with a lookup.
    Read,
    /// Adopts an existing object into the state.
    Adopt,
    /// Drops the object from the state and leaves it in place.
    Forget,
    /// Removes the component and keeps the object; the next provision adopts it.
    Retain,
}

impl Action {
    /// The sign in rendered plans.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Self::NoOp => " ",
            Self::Create => "+",
            Self::Update => "~",
            Self::Replace => "-/+",
            Self::ReplaceCreateFirst => "+/-",
            Self::Delete => "-",
            Self::Read => "<=",
            Self::Adopt => "=",
            Self::Forget => ".",
            Self::Retain => "o",
        }
    }

    /// The word in rendered plans.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NoOp => "no-op",
            Self::Create => "create",
            Self::Update => "update",
            Self::Replace | Self::ReplaceCreateFirst => "replace",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::Adopt => "adopt",
            Self::Forget => "forget",
            Self::Retain => "retain",
        }
    }

    /// True for both orders of a replacement.
    #[must_use]
    pub const fn is_replace(self) -> bool {
        matches!(self, Self::Replace | Self::ReplaceCreateFirst)
    }

    /// True when an object exists at this address after the action.
    #[must_use]
    pub const fn leaves_object(self) -> bool {
        !matches!(self, Self::Delete | Self::Forget | Self::Retain)
    }

    /// True when the previous object no longer exists after the action.
    #[must_use]
    pub const fn removes_object(self) -> bool {
        matches!(self, Self::Delete | Self::Replace | Self::ReplaceCreateFirst)
    }
}

/// The reason for an action, where the attributes alone do not explain it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The changed attributes cannot be changed in place.
    CannotUpdate,
    /// The creation of the object failed halfway.
    Tainted,
    /// The user requested it with `--replace`.
    Requested,
    /// A resource or attribute in `replaceTriggeredBy` changes.
    Triggered,
    /// The resource is not declared any more.
    NoConfig,
    /// Its `when` is false.
    #[serde(rename = "not-wanted")]
    WhenFalse,
    /// Its component is not declared any more.
    NoComponent,
    /// `forEach` does not yield its key any more.
    NoKey,
    /// The declaration gained or lost its `forEach`.
    WrongRepetition,
    /// The user destroys the whole stack or component.
    Destroy,
    /// The user destroys the stack, and the object has no row: the planner found it where the descriptor places it.
    Unrecorded,
    /// The last owner of a shared object releases it.
    LastRelease,
    /// The last owner releases the object, and `onLastRelease` is `retain`.
    #[serde(rename = "kept-at-last-release")]
    RetainedAtLastRelease,
    /// An earlier operation retained the data, and this one removes it.
    RemoveData,
    /// An earlier operation replaced it and failed to delete it.
    Deposed,
    /// It was deleted outside terrace.
    Gone,
    /// The remote object differs from its row.
    Drifted,
    /// An earlier operation retained it, and this one adopts it again.
    #[serde(rename = "taken-up")]
    Readopted,
    /// The descriptor asks to forget it.
    Forgotten,
    /// It moved to an address that is not declared.
    NoMoveTarget,
    /// An import names it.
    Imported,
    /// The state that the rollback restores does not contain it.
    RolledBack,
    /// It would be deleted, but a retained object needs it.
    Needed,
    /// It existed before terrace used it, and belongs to another party.
    #[serde(rename = "borrowed")]
    PreExisting,
    /// An external grant, and the environment's policy removes external grants.
    Foreign,
}

impl Reason {
    /// A short phrase for plans.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self {
            Self::CannotUpdate => "must be replaced",
            Self::Tainted => "is tainted, so must be replaced",
            Self::Requested => "will be replaced, as requested",
            Self::Triggered => "a replacement trigger changes",
            Self::NoConfig => "is not declared any more",
            Self::WhenFalse => "its `when` is false",
            Self::NoComponent => "its component is not described any more",
            Self::NoKey => "its key is not in forEach any more",
            Self::WrongRepetition => "forEach was added or removed",
            Self::Destroy => "destroy",
            Self::Unrecorded => "exists, and is not in the state",
            Self::LastRelease => "its last owner releases it",
            Self::RetainedAtLastRelease => "its last owner releases it, and `onLastRelease` is `retain`",
            Self::RemoveData => "its retained data is removed",
            Self::Deposed => "was replaced, and is left over",
            Self::Gone => "was deleted outside terrace",
            Self::Drifted => "drifted",
            Self::Readopted => "was retained, is adopted again",
            Self::Forgotten => "is to be forgotten",
            Self::NoMoveTarget => "moved to an address that is not declared",
            Self::Imported => "is imported",
            Self::RolledBack => "is not in the state of that time",
            Self::Needed => "a retained object needs it",
            Self::PreExisting => "existed before, and stays",
            Self::Foreign => "external grant: terrace did not give that access",
        }
    }

    /// The name of the reason in Terraform's plan JSON, if it has one.
    #[must_use]
    pub const fn terraform(&self) -> Option<&'static str> {
        match self {
            Self::CannotUpdate => Some("replace_because_cannot_update"),
            Self::Tainted => Some("replace_because_tainted"),
            Self::Requested => Some("replace_by_request"),
            Self::Triggered => Some("replace_by_triggers"),
            Self::NoConfig => Some("delete_because_no_resource_config"),
            // Terraform reports `count = 0` this way.
            Self::WhenFalse => Some("delete_because_count_index"),
            Self::NoComponent => Some("delete_because_no_module"),
            Self::NoKey => Some("delete_because_each_key"),
            Self::WrongRepetition => Some("delete_because_wrong_repetition"),
            Self::NoMoveTarget => Some("delete_because_no_move_target"),
            _ => None,
        }
    }
}
