//! Parameters of runs: variables that a spec lists under `params`, with their usual values. Other variables of a spec and of the
//! process stay as they are, because they may choose programs, files and credentials.

use super::model::Pipeline;
use std::collections::BTreeMap;
use std::fmt;
use terrace_provider::names::{closest, listed};

/// A parameter that the spec of a pipeline does not list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownParam {
    /// Its name.
    pub name: String,
    /// Id of the pipeline.
    pub pipeline: String,
    /// Names of the parameters in the spec.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownParam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, pipeline, known } = self;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let name = name.escape_debug();
        match (known.is_empty(), closest(&name.to_string(), known.iter().copied())) {
            (true, _) => write!(f, "`{name}` is not a parameter of `{pipeline}`: its spec has no `params`"),
            (false, Some(meant)) => write!(f, "`{name}` is not a parameter of `{pipeline}`: did you mean `{meant}`?"),
            (false, None) => write!(f, "`{name}` is not a parameter of `{pipeline}`: expected {}", listed(&known)),
        }
    }
}

/// Checks that the spec of a pipeline lists these parameters.
///
/// # Errors
/// The first one that it does not list.
pub fn check(pipeline: &Pipeline, params: &BTreeMap<String, String>) -> Result<(), UnknownParam> {
    let unknown = params.keys().find(|name| !pipeline.params.contains(name));
    unknown.map_or(Ok(()), |name| {
        Err(UnknownParam { name: name.clone(), pipeline: pipeline.id.clone(), known: pipeline.params.clone() })
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
