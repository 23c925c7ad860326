//! What a plan does to a resource, and why: one sign and one word each, defined here and used everywhere.

use serde::{Deserialize, Serialize};

/// What is done to one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing.
    NoOp,
    /// An object is made.
    Create,
    /// The object is changed in place.
    Update,
    /// The object is deleted, then made anew.
    Replace,
    /// A new object is made, then the old one is deleted.
    ReplaceCreateFirst,
    /// The object is deleted.
    Delete,
    /// Data is looked up.
    Read,
    /// An object that exists is taken over.
    Adopt,
    /// The object is dropped from state and left alone.
    Forget,
    /// Its component goes, the object stays and is remembered for the next provision.
    Retain,
}

impl Action {
    /// The sign in plans.
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

    /// The word for people.
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

    /// True when an object of this address is there (or will be) once the action is done.
    #[must_use]
    pub const fn leaves_object(self) -> bool {
        !matches!(self, Self::Delete | Self::Forget | Self::Retain)
    }

    /// True when the object that was there is gone once the action is done.
    #[must_use]
    pub const fn removes_object(self) -> bool {
        matches!(self, Self::Delete | Self::Replace | Self::ReplaceCreateFirst)
    }
}

/// Why an action was chosen, where the attributes alone do not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The changed attributes cannot be changed in place.
    CannotUpdate,
    /// The object's creation failed half-way.
    Tainted,
    /// Asked for with `--replace`.
    Requested,
    /// What `replaceTriggeredBy` names changes.
    Triggered,
    /// The resource is not declared any more.
    NoConfig,
    /// Its `when` is false.
    NotWanted,
    /// Its component is not described any more.
    NoComponent,
    /// `forEach` does not yield its key any more.
    NoKey,
    /// The resource became (or is no longer) a `forEach`.
    WrongRepetition,
    /// The whole stack or component is destroyed.
    Destroy,
    /// The same, and nothing recorded it: it was found where the descriptor says it would be.
    Unrecorded,
    /// The last owner of a shared object goes.
    LastRelease,
    /// The same, and `onLastRelease` says that it stays.
    KeptAtLastRelease,
    /// The data was retained earlier and is wanted gone now.
    RemoveData,
    /// It was replaced, and its deletion failed then.
    Deposed,
    /// It was deleted outside terrace.
    Gone,
    /// It differs from what was recorded.
    Drifted,
    /// It was retained and is taken up again.
    TakenUp,
    /// The descriptor says that it is to be forgotten.
    Forgotten,
    /// It moved to an address that is not declared.
    NoMoveTarget,
    /// An import says that it is this resource.
    Imported,
    /// It was not recorded at the time that is gone back to.
    RolledBack,
    /// It would be deleted, and a retained object needs it.
    Needed,
    /// It was there before, and is somebody else's.
    Borrowed,
    /// It lets somebody in whom nobody asked terrace to let in, and the environment says that such access goes.
    Foreign,
}

impl Reason {
    /// A few words for people.
    #[must_use]
    pub const fn text(&self) -> &'static str {
        match self {
            Self::CannotUpdate => "must be replaced",
            Self::Tainted => "is tainted, so must be replaced",
            Self::Requested => "will be replaced, as requested",
            Self::Triggered => "what triggers its replacement changes",
            Self::NoConfig => "is not declared any more",
            Self::NotWanted => "its `when` is false",
            Self::NoComponent => "its component is not described any more",
            Self::NoKey => "its key is not in forEach any more",
            Self::WrongRepetition => "forEach was added or removed",
            Self::Destroy => "destroy",
            Self::Unrecorded => "is there, and is not recorded",
            Self::LastRelease => "its last owner goes",
            Self::KeptAtLastRelease => "its last owner goes, and `onLastRelease` is `retain`",
            Self::RemoveData => "its retained data is removed",
            Self::Deposed => "was replaced, and is left over",
            Self::Gone => "was deleted outside terrace",
            Self::Drifted => "drifted",
            Self::TakenUp => "was retained, is taken up again",
            Self::Forgotten => "is to be forgotten",
            Self::NoMoveTarget => "moved to an address that is not declared",
            Self::Imported => "is imported",
            Self::RolledBack => "is not in what was recorded then",
            Self::Needed => "a retained object needs it",
            Self::Borrowed => "was there before, and stays",
            Self::Foreign => "foreign: others gave that access",
        }
    }

    /// Terraform's word in plan JSON, where it has one.
    #[must_use]
    pub const fn terraform(&self) -> Option<&'static str> {
        match self {
            Self::CannotUpdate => Some("replace_because_cannot_update"),
            Self::Tainted => Some("replace_because_tainted"),
            Self::Requested => Some("replace_by_request"),
            Self::Triggered => Some("replace_by_triggers"),
            Self::NoConfig => Some("delete_because_no_resource_config"),
            // What `count = 0` is there.
            Self::NotWanted => Some("delete_because_count_index"),
            Self::NoComponent => Some("delete_because_no_module"),
            Self::NoKey => Some("delete_because_each_key"),
            Self::WrongRepetition => Some("delete_because_wrong_repetition"),
            Self::NoMoveTarget => Some("delete_because_no_move_target"),
            _ => None,
        }
    }
}
