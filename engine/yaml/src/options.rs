//! Options for reading a text, and limits on its size.

use super::{Node, NodeKind, scalar};
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
    /// A warning. All entries stay in the tree, and the last of equal keys counts.
    Warn,
}

/// The meaning of scalars.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Returns the value of unquoted text.
    pub resolve: fn(&str) -> NodeKind,
    /// Returns the value of a text with a standard tag, given without its `!!`; `None` when the text does not match.
    pub resolve_tagged: fn(&str, &str) -> Option<NodeKind>,
}

impl Default for Schema {
    fn default() -> Self {
        Self { resolve: scalar::resolve, resolve_tagged: scalar::resolve_tagged }
    }
}

/// Options for reading a text.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// The limits.
    pub budget: Budget,
    /// The handling of duplicate keys in a map.
    pub duplicate_keys: DuplicateKeys,
    /// The meaning of scalars.
    pub schema: Schema,
}

/// A tree with warnings.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The tree.
    pub node: Node,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}
