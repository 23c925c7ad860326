//! How to read a text, and how much it may ask for.

use super::Node;
use crate::diagnostic::Diagnostic;
use terrace_provider::value::DEEPEST;

/// How much a text may ask for. Over it is an error, before the memory is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The text's length.
    pub bytes: usize,
    /// How deep lists and maps may nest; no deeper than values may.
    pub depth: usize,
    /// How many values the tree may have, expanded aliases included.
    pub nodes: usize,
    /// How many values anchors and aliases may copy; a long text counts as several, one for each 64 bytes.
    pub alias_nodes: usize,
    /// How to raise the limit of values, for the hint of its error; nothing where it is fixed.
    pub raise: Option<&'static str>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: 64 << 20, depth: DEEPEST, nodes: 8_000_000, alias_nodes: 200_000, raise: None }
    }
}

/// What happens when a key stands twice in one map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateKeys {
    /// It is an error that names both places.
    #[default]
    Error,
    /// A warning when both values are equal (the official Witboost example has such keys), else an error.
    WarnWhenEqual,
}

/// How to read a text.
#[derive(Debug, Clone, Default)]
pub struct ParseOptions {
    /// How much the text may ask for.
    pub budget: Budget,
    /// What happens when a key stands twice in one map.
    pub duplicate_keys: DuplicateKeys,
}

/// A tree, and what should be told of it although it can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The tree.
    pub node: Node,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
}
