//! Names of variables and functions that users cannot write.

/// The kind of access to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Its value.
    Value(usize),
    /// Whether it exists: `has(…)`.
    Presence(usize),
    /// Its value, if it exists: `a.b.?c`. The second number counts the steps that must exist.
    Optional(usize, usize),
}

impl Use {
    /// The name of the variable. Users cannot write it.
    pub(super) fn variable(self) -> String {
        match self {
            Self::Value(number) => format!("@{number}"),
            Self::Presence(number) => format!("?{number}"),
            Self::Optional(number, first) => format!("?{number}.{first}"),
        }
    }

    /// Parses the name of a variable.
    pub(super) fn parse(variable: &str) -> Option<Self> {
        if let Some(number) = variable.strip_prefix('@') {
            return number.parse().ok().map(Self::Value);
        }
        let rest = variable.strip_prefix('?')?;
        match rest.split_once('.') {
            Some((number, first)) => Some(Self::Optional(number.parse().ok()?, first.parse().ok()?)),
            None => rest.parse().ok().map(Self::Presence),
        }
    }
}

/// The function that sorts the keys of a map before iteration. Users cannot write its name.
pub(super) const IN_ORDER: &str = "@in_order";

/// The function that converts a decimal to its original text. Users cannot write its name.
pub(super) const AS_TEXT: &str = "@as_text";

/// The function that converts a whole number to the text key of a map. Users cannot write its name.
pub(super) const KEY: &str = "@key";
