//! YAML texts as a tree of nodes with places, built from the parser's events, and the diagnostics about such texts.
//!
//! The same code reads JSON. Budgets turn size, depth and alias bombs into errors; duplicate keys and tabs are errors
//! with a place. A [`Schema`] decides what unquoted text means. In the default one, `no` and `yes` are text (YAML 1.2),
//! `0123` keeps its text, timestamps are text. Pipeline specs have their own, because Python reads them.
//!
//! Read the modules in this order: [`source`] (texts and places), [`diagnostic`] (messages with places), [`parse`]
//! (events to nodes), `scalar` (types of unquoted text), `mapping` (merge keys and duplicates), `syntax` (messages for
//! the parser's errors), `typing_errors` (common typing errors), `node` (access to the tree).
#![forbid(unsafe_code)]
// Tests may slice strings anywhere: a bad index only fails the test.
#![cfg_attr(not(test), warn(clippy::string_slice, clippy::unreachable))]

pub mod diagnostic;
mod mapping;
mod node;
mod options;
mod parse;
mod scalar;
pub mod source;
mod syntax;
mod typing_errors;

use source::Span;
use terrace_provider::Number;

pub use options::{Budget, DuplicateKeys, ParseOptions, Parsed, Schema};
pub use parse::{EMPTY_FILE, parse, parse_with};
pub use syntax::MISSING_COLON;
pub use typing_errors::{RENDER, WRITE_LIST, WRITE_MAP, typing_hint_for_key, typing_hint_for_value};

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
    /// A scalar of a type that only another [`Schema`] than the default one has, such as a date.
    Typed {
        /// The type.
        of: &'static str,
        /// The value as text.
        text: String,
    },
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
