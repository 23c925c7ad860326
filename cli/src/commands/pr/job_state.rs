//! The state of a job. The state on the disk of a runner is empty and is lost with the runner: its plans would create
//! existing objects again, and its drift would close the issues of all stacks.

use crate::context::Context;
use crate::failure::Failure;
use crate::settings::DEFAULT_STATE;
use crate::wiring::is_missing;
use std::path::PathBuf;

/// Refuses a job that names no state, such as one without its secret: forges pass an absent secret as an empty text.
///
/// # Errors
/// When neither `--state`, `TERRACE_STATE` nor `terrace.yaml` names the state.
pub(super) fn check(context: &Context<'_>, folders: &[PathBuf]) -> Result<(), Failure> {
    match context.settings(folders.first().map(PathBuf::as_path))?.has_named_state {
        true => Ok(()),
        false => Err(Failure::new(format!(
            "the job names no state: it would use `{DEFAULT_STATE}` on the disk of its runner"
        ))
        .hint("set `TERRACE_STATE` to the URL of the state; if it is empty, the job does not get the secret")
        .hint("or write `state` in terrace.yaml")),
    }
}

/// A remark about a state that does not exist yet: the first apply creates it, but its path may be wrong, too.
///
/// # Errors
/// When the configuration is invalid.
pub(super) fn remark(context: &Context<'_>, folders: &[PathBuf]) -> Result<Option<String>, Failure> {
    let state = context.settings(folders.first().map(PathBuf::as_path))?.state;
    Ok(is_missing(&state).then(|| {
        format!(
            "The state {state} does not exist yet, so plans add each object. If it should exist, correct TERRACE_STATE."
        )
    }))
}

/// Refuses a state that does not exist: no stack would have drift.
///
/// # Errors
/// As [`check`], or when the named file is missing.
pub(super) fn check_existing(context: &Context<'_>) -> Result<(), Failure> {
    check(context, &[])?;
    let state = context.settings(None)?.state;
    match is_missing(&state) {
        true => Err(Failure::new(format!("the state `{state}` does not exist"))
            .hint("correct the path of the state; `terrace pr apply` creates it with the first object")),
        false => Ok(()),
    }
}
