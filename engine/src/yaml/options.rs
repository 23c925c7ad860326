//! Options for reading a text, and limits on its size.

use super::Node;
use crate::diagnostic::Diagnostic;
use terrace_provider::value::DEEPEST;

/// Limits for a text. Exceeding one is an error before the memory is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Maximum length of the text.
    pub bytes: usize,
    /// Maximum depth of lists and maps, at most that of values.
    pub depth: usize,
    /// Maximum number of values in the tree, including expanded aliases.
    pub nodes: usize,
    /// Maximum number of values that anchors and aliases copy. A long text counts once for every 64 bytes.
    pub alias_nodes: usize,
    /// How to raise the limit of values, for the hint; `None` if it is fixed.
    pub raise: Option<&'static str>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 64 << 20, depth: DEEPEST, nodes: 8_000_000, alias_nodes: 200_000, raise: None }
    }
}

/// The handling of duplicate keys in a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// An error that names both places.
    #[default]
    Error,
    /// A warning when both values are equal (the official Witboost example has such keys), else an error.
    WarnWhenEqual,
}

/// Options for reading a text.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// The limits.
    pub budget: Budget,
    /// The handling of duplicate keys in a map.
    pub duplicate_keys: DuplicateKeys,
}

/// A tree with warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The tree.
    pub node: Node,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}
