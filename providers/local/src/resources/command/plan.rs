//! Plans a command: which changes run a program and which are only recorded.
//!
//! Programs get the input and the environment, so a change of these runs `update`, or replaces the object if there is
//! no `update`. A change of argv lists or of the working directory is recorded without a call. The planned `output`
//! shows the difference: it is unknown if a program will run, and the recorded one otherwise.

use super::is_output_sensitive;
use super::private::{PrivateState, digest};
use crate::project::{Project, invalid};
use crate::resources::attributes::{given, marked, text};
use terrace_provider::plan::from_schema;
use terrace_provider::{Attributes, Path, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value};

/// The attributes that contain programs.
pub(super) const PROGRAMS: [&str; 5] = ["create", "read", "update", "delete", "find"];

/// The attributes that programs get: their change is a change of the object.
const PROGRAM_INPUTS: [&str; 2] = ["input", "environment"];

/// Plans a proposed change.
///
/// # Errors
///
/// `InvalidInput` if an argv list is empty, a variable has an invalid name, or the working directory leaves the project
/// folder.
pub(super) fn plan(
    project: &Project,
    ty: &ResourceType,
    change: &ProposedChange<'_>,
) -> Result<PlannedChange, ProviderError> {
    check(project, change.config)?;
    let mut plan = from_schema(ty, change);
    let reasons = change.prior.map(|prior| reasons_to_run(&plan.planned, prior, change.changed_write_only));
    let runs = change.must_replace || reasons.as_ref().is_none_or(|reasons| !reasons.is_empty());
    for computed in ["output", "id"] {
        let recorded = change.prior.filter(|_| !runs).map(|prior| given(&prior.attributes, computed).cloned());
        match recorded {
            Some(Some(value)) => plan.planned.insert(computed.to_owned(), value),
            Some(None) => plan.planned.shift_remove(computed),
            None => plan.planned.insert(computed.to_owned(), Value::Unknown),
        };
    }
    if is_output_sensitive(&plan.planned) {
        for computed in ["output", "id"] {
            if let Some(value) = plan.planned.get_mut(computed) {
                *value = marked(std::mem::take(value), true);
            }
        }
    }
    if given(&plan.planned, "update").is_none() {
        plan.replace_paths = reasons.unwrap_or_default().into_iter().map(Path::attribute).collect();
    }
    Ok(plan)
}

/// The attributes whose change requires a program to run on an existing object.
fn reasons_to_run(planned: &Attributes, prior: &Recorded, changed_write_only: &[String]) -> Vec<&'static str> {
    let is_same = |name: &str| match (given(planned, name), given(&prior.attributes, name)) {
        (Some(new), Some(old)) => new.is_same_as(old),
        (None, None) => true,
        _ => false,
    };
    let mut reasons: Vec<&'static str> = PROGRAM_INPUTS.into_iter().filter(|name| !is_same(name)).collect();
    if changed_write_only.iter().any(|name| name == "secretEnvironment") {
        reasons.push("secretEnvironment");
    }
    if has_drifted(prior) {
        reasons.push("output");
    }
    reasons
}

/// True if `read` returned a different output than the last create or update.
fn has_drifted(prior: &Recorded) -> bool {
    match (PrivateState::of(&prior.private).applied, given(&prior.attributes, "output")) {
        (Some(applied), Some(output)) => applied != digest(output),
        _ => false,
    }
}

fn check(project: &Project, config: &Attributes) -> Result<(), ProviderError> {
    for program in PROGRAMS {
        if let Some(argv) = given(config, program).filter(|argv| !argv.has_unknown()) {
            words(program, argv)?;
        }
    }
    for attribute in ["environment", "secretEnvironment"] {
        let variables = given(config, attribute).and_then(Value::as_map).into_iter().flatten();
        for (name, value) in variables {
            if name.is_empty() || name.contains(['=', '\0']) {
                let message = format!("`{name:?}` in `{attribute}` is not a valid name of a variable");
                return Err(invalid(attribute, message));
            }
            if value.as_str().is_some_and(|text| text.contains('\0')) {
                return Err(invalid(
                    attribute,
                    format!("the variable `{name}` in `{attribute}` contains a NUL character"),
                ));
            }
        }
    }
    if let Some(folder) = text(config, "workingDirectory") {
        // The folder may not exist yet: another resource of the plan may create it.
        project.subfolder("workingDirectory", folder)?;
    }
    Ok(())
}

/// Reads the words of an argv list.
///
/// # Errors
///
/// `InvalidInput` if the list is empty or has an item that is not a text.
pub(super) fn words(program: &str, argv: &Value) -> Result<Vec<String>, ProviderError> {
    let words: Option<Vec<String>> =
        argv.as_list().and_then(|words| words.iter().map(|word| word.as_str().map(str::to_owned)).collect());
    match words {
        Some(words) if words.iter().any(|word| word.contains('\0')) => {
            Err(invalid(program, format!("`{program}` contains a NUL character")))
        }
        Some(words) if words.first().is_some_and(|program| !program.is_empty()) => Ok(words),
        _ => Err(invalid(
            program,
            format!("`{program}` contains no program: expected a list of a program and its arguments"),
        )
        .solution(format!("for a line of shell, write `{program}: [sh, -c, \"…\"]`"))),
    }
}
