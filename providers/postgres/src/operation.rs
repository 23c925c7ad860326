//! Operations on objects.

/// An operation on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Create,
    Update,
    Delete,
}

impl Operation {
    /// The word after "cannot be" in messages.
    pub(crate) fn done(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "created",
            Self::Update => "changed",
            Self::Delete => "deleted",
        }
    }
}
