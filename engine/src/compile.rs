//! A descriptor and its blueprints become declarations: what is to be planned, component by component.

use crate::address::StackId;
use crate::descriptor::{Declarations, Dependency};
use crate::expression::Functions;
use crate::plan::compute::Environment;
use crate::source::{Sources, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_provider::{Map, Value};

/// What compiling works with.
pub struct Compiler<'a> {
    /// The texts that diagnostics point into.
    pub sources: &'a Sources,
    /// Functions of expressions.
    pub functions: &'a Functions,
    /// Where things will be made: its name and settings are in scope of checks.
    pub environment: &'a Environment,
    /// Values given for variables, by name, as text (`--var`, `TERRACE_VAR_…`) or as values (`--var-file`).
    pub variables: &'a BTreeMap<String, Given>,
    /// Only these components, when there are any.
    pub components: &'a BTreeSet<String>,
}

/// A value given for a variable.
#[derive(Debug, Clone)]
pub enum Given {
    /// On the command line or in the environment: read by the variable's type.
    Text(String),
    /// In a file.
    Value(Value),
}

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
