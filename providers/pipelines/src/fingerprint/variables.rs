//! The variables that a pipeline looks at, as far as its spec and its code tell: those that lead to a database, above all.

use super::{Looked, code};
use crate::spec::model::{Pipeline, Step};
use crate::spec::processor::{Located, locate};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// The variable that says where tables go.
pub(crate) const ENGINE: &str = "DPP_DB_ENGINE";
/// How a parameter says that a variable has its value.
const BY_VARIABLE: &str = "env://";
/// dpp's own steps that write tables: into what [`ENGINE`] says, where nothing else is said.
const TO_SQL: [&str; 2] = ["dump/to_sql.py", "dump_to_sql.py"];

/// The names of the variables that a pipeline looks at.
///
/// # Errors
/// When a file of its code cannot be read.
pub(crate) fn names(looked: Looked<'_>) -> io::Result<BTreeSet<String>> {
    Ok(of(looked.root, looked.pipeline, code::of(looked, ENGINE)?.has_word))
}

/// The same, where it is known whether its code names [`ENGINE`].
pub(super) fn of(root: &Path, pipeline: &Pipeline, is_engine_named: bool) -> BTreeSet<String> {
    let mut names = names_said(pipeline);
    names.extend(is_engine_named.then(|| ENGINE.to_owned()));
    for step in &pipeline.steps {
        names.extend(may_write(root, pipeline, step).then(|| ENGINE.to_owned()));
    }
    names
}

/// The names of the variables that the parameters and the wrappers of a pipeline name.
pub(crate) fn names_said(pipeline: &Pipeline) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for step in &pipeline.steps {
        step.parameters.values().for_each(|value| by_parameter(value, &mut names));
        names.extend(step.wrapper.iter().flat_map(|wrapper| wrapper.variables()).map(str::to_owned));
    }
    names
}

/// True for a step that writes into a database, or whose program is not here to be read.
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
