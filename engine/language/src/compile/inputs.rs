//! The inputs of compilation.

use crate::blueprint::Library;
use crate::blueprint::matching::Templates;
use crate::environment::Environment;
use crate::expression::Functions;
use crate::source::{SourceId, Sources};
use std::collections::BTreeMap;
use terrace_provider::Value;

/// The inputs of compilation.
#[derive(Clone, Copy)]
pub struct Compiler<'a> {
    /// The texts that diagnostics point into.
    pub sources: &'a Sources,
    /// Functions of expressions.
    pub functions: &'a Functions,
    /// The target environment. Its name and settings are in scope of checks.
    pub environment: &'a Environment,
    /// The blueprints.
    pub library: &'a Library,
    /// The environment's assignment of blueprints to templates.
    pub templates: &'a Templates,
    /// Values given for variables, by name.
    pub variables: &'a BTreeMap<String, Given>,
    /// The source of the data product as last provisioned, if the caller sent it.
    pub latest_enriched: Option<SourceId>,
}

/// A value given for a variable.
#[derive(Debug, Clone)]
pub struct Given {
    /// The value.
    pub value: GivenValue,
    /// The origin for messages: `--var`, a file, an environment variable.
    pub by: String,
}

/// The form of a value for a variable.
#[derive(Debug, Clone)]
pub enum GivenValue {
    /// From the command line or the environment. The variable's type decides how it is parsed.
    Text(String),
    /// From a file.
    Value(Value),
}
