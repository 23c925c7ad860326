//! Parameters of runs: variables that a spec lists under `params`, with their usual values. Other variables of a spec and of the
//! process stay as they are, because they may choose programs, files and credentials.

use super::model::Pipeline;
use std::collections::BTreeMap;
use std::fmt;
use terrace_provider::names::{closest, listed};

/// Why a value of a parameter cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrongParam {
    /// The spec of the pipeline does not list the parameter.
    Unknown {
        /// Its name.
        name: String,
        /// Id of the pipeline.
        pipeline: String,
        /// Names of the parameters in the spec.
        known: Vec<String>,
    },
    /// No variable of a process can have the value of this parameter.
    Nul(String),
}

impl WrongParam {
    /// The remedy.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "a spec lists its parameters with their usual values: `params: {NAME: VALUE}`",
            Self::Nul(_) => "leave the NUL character out: no variable of a process can have it",
        }
    }
}

impl fmt::Display for WrongParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, pipeline, known) = match self {
            Self::Nul(name) => return write!(f, "the value of `{name}` contains a NUL character"),
            Self::Unknown { name, pipeline, known } => (name, pipeline, known),
        };
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let name = name.escape_debug();
        match (known.is_empty(), closest(&name.to_string(), known.iter().copied())) {
            (true, _) => write!(f, "`{name}` is not a parameter of `{pipeline}`: its spec has no `params`"),
            (false, Some(meant)) => write!(f, "`{name}` is not a parameter of `{pipeline}`: did you mean `{meant}`?"),
            (false, None) => write!(f, "`{name}` is not a parameter of `{pipeline}`: expected {}", listed(&known)),
        }
    }
}

/// Checks that the spec of a pipeline lists these parameters, and that variables can have their values.
///
/// # Errors
/// When the spec does not list a parameter, or a value contains NUL; names the first one.
pub fn check(pipeline: &Pipeline, params: &BTreeMap<String, String>) -> Result<(), WrongParam> {
    params.iter().try_for_each(|(name, value)| match pipeline.params.contains(name) {
        true if value.contains('\0') => Err(WrongParam::Nul(name.clone())),
        true => Ok(()),
        false => Err(WrongParam::Unknown {
            name: name.clone(),
            pipeline: pipeline.id.clone(),
            known: pipeline.params.clone(),
        }),
    })
}

/// Replaces the values of parameters. Leaves out those that the spec does not list.
pub(crate) fn replace(pipeline: &mut Pipeline, params: &BTreeMap<String, String>) {
    let listed = params.iter().filter(|(name, _)| pipeline.params.contains(name));
    let listed: Vec<(String, String)> = listed.map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, value) in listed {
        pipeline.environment.retain(|(other, _)| *other != name);
        pipeline.environment.push((name, value));
    }
}
