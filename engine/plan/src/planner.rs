//! The inputs of planning.

use super::options::Options;
use jiff::Timestamp;
use terrace_language::environment::Environment;
use terrace_language::expression::Functions;
use terrace_language::registry::Registry;
use terrace_language::source::Sources;
use terrace_store::StateReader;
use terrace_store::seal::Seal;
use uuid::Uuid;

/// The inputs of planning.
#[derive(Clone, Copy)]
pub struct Planner<'a> {
    /// The state.
    pub store: &'a dyn StateReader,
    /// The providers.
    pub registry: &'a Registry,
    /// Functions of expressions.
    pub functions: &'a Functions,
    /// Decrypts sealed values of rows.
    pub seal: &'a Seal,
    /// The texts that diagnostics point to.
    pub sources: &'a Sources,
    /// The target environment.
    pub environment: &'a Environment,
    /// The options of the request.
    pub options: &'a Options,
    /// The current time.
    pub now: Timestamp,
    /// The id of the plan.
    pub id: Uuid,
    /// The version of this terrace.
    pub version: &'a str,
}
