//! A line of a plan before its layout: the terminal indents it, a pull request puts its sign first.

/// The meaning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Information without a change.
    Plain,
    /// An unchanged part among changed ones.
    Same,
    /// An addition.
    Add,
    /// A removal.
    Remove,
    /// A change.
    Change,
    /// A loss of data.
    Danger,
    /// The line range of the following lines of a text.
    Hunk,
    /// A reason in a sentence, which is broken between words and never cut.
    Reason,
}

impl Mark {
    /// The sign in front of the line; `None` for lines that only inform.
    pub(crate) const fn sign(self) -> Option<&'static str> {
        match self {
            Self::Plain | Self::Hunk | Self::Reason => None,
            Self::Same => Some(" "),
            Self::Add => Some("+"),
            Self::Remove => Some("-"),
            Self::Change => Some("~"),
            Self::Danger => Some("!"),
        }
    }
}

/// A line below a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The nesting depth, from 0.
    pub(crate) depth: usize,
    /// The meaning of the line.
    pub(crate) mark: Mark,
    /// The harmless text, not cut yet.
    pub(crate) text: String,
    /// This change is the reason for a replacement.
    pub(crate) is_forcing: bool,
}

/// The suffix of a line whose change forces a replacement.
pub(crate) const FORCES: &str = "  # forces replacement";

impl Line {
    pub(crate) fn new(depth: usize, mark: Mark, text: impl Into<String>) -> Self {
        Self { depth, mark, text: text.into(), is_forcing: false }
    }
}
