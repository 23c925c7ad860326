//! A line of a plan before it is laid out: the terminal indents it, a pull request puts its sign first.

/// What a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing: a word on what follows or is left out.
    Plain,
    /// Something stays as it is, among others that do not.
    Same,
    /// Something comes.
    Add,
    /// Something goes.
    Remove,
    /// Something becomes something else.
    Change,
    /// Something is lost.
    Danger,
    /// Which lines of a text follow.
    Hunk,
    /// Why something is done, in a sentence: it is broken between words and not cut.
    Reason,
}

impl Mark {
    /// The sign in front of the line; none for lines that only inform.
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

/// One line below a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// How deep it lies, from 0.
    pub(crate) depth: usize,
    /// What it tells of.
    pub(crate) mark: Mark,
    /// The text, harmless, not yet cut.
    pub(crate) text: String,
    /// The change at this line is why the object has to be replaced.
    pub(crate) is_forcing: bool,
}

/// What follows a line whose change needs a new object.
pub(crate) const FORCES: &str = "  # forces replacement";

impl Line {
    pub(crate) fn new(depth: usize, mark: Mark, text: impl Into<String>) -> Self {
        Self { depth, mark, text: text.into(), is_forcing: false }
    }
}
