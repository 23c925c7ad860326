//! Environment variables that a pipeline reads, as far as its spec and code show: mainly those for a database.

use super::{FingerprintInputs, code};
use crate::spec::model::{Pipeline, Step};
use crate::spec::processor::{Located, locate};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// Variable with the address for tables.
pub const ENGINE: &str = "DPP_DB_ENGINE";
/// Prefix of a parameter that takes its value from a variable.
const BY_VARIABLE: &str = "env://";
/// dpp's steps that write tables: to [`ENGINE`], unless a parameter sets the address.
const TO_SQL: [&str; 2] = ["dump/to_sql.py", "dump_to_sql.py"];

/// Names of the variables that a pipeline reads.
///
/// # Errors
/// When a file of its code cannot be read.
pub(crate) fn names(scope: FingerprintInputs<'_>) -> io::Result<BTreeSet<String>> {
    Ok(of(scope.root, scope.pipeline, code::of(scope, ENGINE)?.has_word))
}

/// Names of the variables, if it is known whether the code names [`ENGINE`].
pub(super) fn of(root: &Path, pipeline: &Pipeline, is_engine_named: bool) -> BTreeSet<String> {
    let mut names = names_in_spec(pipeline);
    names.extend(is_engine_named.then(|| ENGINE.to_owned()));
    for step in &pipeline.steps {
        names.extend(may_write(root, pipeline, step).then(|| ENGINE.to_owned()));
    }
    names
}

/// Names of the variables in parameters and wrappers of a pipeline.
pub(crate) fn names_in_spec(pipeline: &Pipeline) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for step in &pipeline.steps {
        step.parameters.values().for_each(|value| by_parameter(value, &mut names));
        names.extend(step.wrapper.iter().flat_map(|wrapper| wrapper.variables()).map(str::to_owned));
    }
    names
}

/// Returns true for a step that writes into a database, or whose program cannot be read here.
fn may_write(root: &Path, pipeline: &Pipeline, step: &Step) -> bool {
    match locate(root, pipeline, step) {
        Some(Located::BuiltIn(path)) => TO_SQL.contains(&path.as_str()) && !step.parameters.contains_key("engine"),
        Some(Located::Plugin { .. } | Located::Flow(None)) => true,
        _ => false,
    }
}

fn by_parameter(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => names.extend(text.strip_prefix(BY_VARIABLE).map(str::to_owned)),
        Value::Array(items) => items.iter().for_each(|item| by_parameter(item, names)),
        Value::Object(map) => map.values().for_each(|item| by_parameter(item, names)),
        _ => {}
    }
}
