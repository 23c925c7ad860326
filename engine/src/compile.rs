//! A descriptor and its blueprints become declarations: what is to be planned, component by component.

use crate::address::StackId;
use crate::descriptor::{Declarations, Dependency};
use crate::source::Span;
use std::collections::BTreeMap;
use std::sync::Arc;
use terrace_provider::{Map, Value};

/// A stack ready to be planned.
#[derive(Debug, Clone)]
pub struct CompiledStack {
    /// Which.
    pub stack: StackId,
    /// The components, in the order of the descriptor.
    pub components: Vec<CompiledComponent>,
    /// The data product: `product` in expressions.
    pub product: Value,
    /// The values of the variables: `vars` in expressions.
    pub variables: Map,
}

/// A component ready to be planned.
#[derive(Debug, Clone)]
pub struct CompiledComponent {
    /// Its key; empty for the stack's own resources.
    pub key: String,
    /// Its URN.
    pub id: Option<String>,
    /// The components that it depends on.
    pub depends_on: Vec<Dependency>,
    /// What it consists of.
    pub declarations: Arc<Declarations>,
    /// `component` in expressions: as written, with the schema's defaults.
    pub value: Value,
    /// The blueprint that it was compiled with.
    pub blueprint: Option<BlueprintOrigin>,
    /// Where it begins.
    pub span: Span,
}

/// Which blueprint a component was compiled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintOrigin {
    /// `name version`.
    pub name: String,
    /// SHA-256 of its text in hexadecimal.
    pub digest: String,
}

/// Digests of what a plan is computed from, by name.
pub type Digests = BTreeMap<String, String>;
