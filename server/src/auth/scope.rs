//! Scopes of callers.

/// Rights of a caller. Each scope includes the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Read the state.
    Read,
    /// Plan. The planner reads remote objects with the accounts of the providers.
    Plan,
    /// Change remote objects.
    Apply,
    /// Change the state, and the operations of other callers.
    Admin,
}

impl Scope {
    /// All scopes, by word.
    pub const WORDS: [(&'static str, Self); 4] =
        [("read", Self::Read), ("plan", Self::Plan), ("apply", Self::Apply), ("admin", Self::Admin)];

    /// The word of the scope.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, scope)| *scope == self).map_or("", |(word, _)| word)
    }
}

/// The word of the scope to consent to the loss of data. Only `admin` includes it.
pub const DATA_LOSS: &str = "data-loss";
