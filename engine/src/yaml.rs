//! YAML texts as a tree of nodes with places, built from the parser's events.
//!
//! The same code reads JSON. Budgets turn size, depth and alias bombs into errors; duplicate keys and tabs are errors
//! with a place. `no` and `yes` are text (YAML 1.2), `0123` keeps its text, timestamps are text.
//!
//! Read the modules in this order: [`parse`] (events to nodes), `scalar` (types of unquoted text), `mapping` (merge
//! keys and duplicates), `syntax` (messages for the parser's errors), `typing_errors` (common typing errors), `node` (access to
//! the tree).

mod mapping;
mod node;
mod options;
mod parse;
mod scalar;
mod syntax;
mod typing_errors;

use crate::source::Span;
use terrace_provider::Number;

pub use options::{Budget, DuplicateKeys, ParseOptions, Parsed};
pub use parse::{EMPTY_FILE, parse, parse_with};
pub(crate) use typing_errors::{RENDER, WRITE_LIST, WRITE_MAP, typing_hint_for_key, typing_hint_for_value};

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The place: a scalar's own text, or a block's first to last byte.
    pub span: Span,
    /// The value.
    pub kind: NodeKind,
}

/// The kinds of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of at most 64 bits.
    Int(i64),
    /// Any other number.
    Number(Number),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order written.
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key. Keys of other types are converted to the text they were written in.
    pub key: String,
    /// The place of the key.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

#[cfg(test)]
mod tests;
