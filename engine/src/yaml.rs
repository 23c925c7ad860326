//! Text to a tree of nodes with their places, built from the YAML parser's events.
//!
//! JSON is read by the same code. Budgets make size, depth and alias bombs errors; duplicate keys and tabs are errors
//! with a place. `no` and `yes` are text (YAML 1.2), `0123` keeps its text, timestamps are text.
//!
//! Read in this order: [`parse`] (events to nodes), `scalar` (which text is a number), `mapping` (merge keys and
//! duplicates), `syntax` (messages for the parser's errors), `slips` (common mistakes), `node` (how to look into the tree).

mod mapping;
mod node;
mod options;
mod parse;
mod scalar;
mod slips;
mod syntax;

use crate::source::Span;
use terrace_provider::Number;

pub use options::{Budget, DuplicateKeys, ParseOptions, Parsed};
pub use parse::{parse, parse_with};
pub(crate) use slips::{slip_in_key, slip_in_value};

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands: a scalar's own text; for a block its first to last byte.
    pub span: Span,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
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
    /// The key; keys that are not text are taken as the text they were written in.
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

#[cfg(test)]
mod tests;
