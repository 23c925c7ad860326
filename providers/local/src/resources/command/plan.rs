//! Planning a command: which changes run a program, and which are only recorded.
//!
//! Programs are told the input and the environment, so a change of these runs `update`, or replaces where there is
//! none. A change of argv lists or of the working directory is recorded without a call. The planned `output` says which
//! of the two it is: unknown when a program will run, the recorded one otherwise.

use super::is_output_sensitive;
use super::private::{PrivateState, digest};
use crate::project::{Project, invalid};
use crate::resources::attributes::{given, marked, text};
use terrace_provider::plan::from_schema;
use terrace_provider::{Attributes, Path, PlannedChange, ProposedChange, ProviderError, Recorded, ResourceType, Value};

/// The attributes that name programs.
pub(super) const PROGRAMS: [&str; 5] = ["create", "read", "update", "delete", "find"];

/// What programs are told: a change of these is one of the object.
const TOLD: [&str; 2] = ["input", "environment"];

/// Decides what a proposed change would do.
///
/// # Errors
/// `InvalidInput` when an argv list is empty, the name of a variable is none, or the working directory leaves the project
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
        let kept = change.prior.filter(|_| !runs).map(|prior| given(&prior.attributes, computed).cloned());
        match kept {
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

/// The attributes because of which a program must run on an object that is there.
fn reasons_to_run(planned: &Attributes, prior: &Recorded, changed_write_only: &[String]) -> Vec<&'static str> {
    let is_same = |name: &str| match (given(planned, name), given(&prior.attributes, name)) {
        (Some(new), Some(old)) => new.is_same_as(old),
        (None, None) => true,
        _ => false,
    };
    let mut reasons: Vec<&'static str> = TOLD.into_iter().filter(|name| !is_same(name)).collect();
    if changed_write_only.iter().any(|name| name == "secretEnvironment") {
        reasons.push("secretEnvironment");
    }
    if has_drifted(prior) {
        reasons.push("output");
    }
    reasons
}

/// True when `read` told of another object than the one that was made.
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
                let message = format!("`{name:?}` in `{attribute}` cannot be the name of a variable");
                return Err(invalid(attribute, message));
            }
            if value.as_str().is_some_and(|text| text.contains('\0')) {
                return Err(invalid(
                    attribute,
                    format!("the variable `{name}` in `{attribute}` holds a NUL character"),
                ));
            }
        }
    }
    if let Some(folder) = text(config, "workingDirectory") {
        // It need not be there yet: another resource of the plan may make it.
        project.subfolder("workingDirectory", folder)?;
    }
    Ok(())
}

/// The words of an argv list.
///
/// # Errors
/// `InvalidInput` when it is empty or holds anything but text.
pub(super) fn words(program: &str, argv: &Value) -> Result<Vec<String>, ProviderError> {
    let words: Option<Vec<String>> =
        argv.as_list().and_then(|words| words.iter().map(|word| word.as_str().map(str::to_owned)).collect());
    match words {
        Some(words) if words.iter().any(|word| word.contains('\0')) => {
            Err(invalid(program, format!("`{program}` holds a NUL character")))
        }
        Some(words) if words.first().is_some_and(|program| !program.is_empty()) => Ok(words),
        _ => Err(invalid(
            program,
            format!("`{program}` names no program: expected a list of a program and its arguments"),
        )
        .solution(format!("for a line of shell, write `{program}: [sh, -c, \"…\"]`"))),
    }
}
