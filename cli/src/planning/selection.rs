//! `--stack` with descriptors: selects one of their stacks.

use crate::failure::Failure;
use crate::input::Input;
use crate::settings::Settings;
use terrace_engine::address::StackId;
use terrace_engine::diagnostic::closest;
use terrace_provider::names::listed;

/// Keeps only the stack of `--stack`.
///
/// # Errors
/// When the descriptors do not declare it.
pub(super) fn select(input: &mut Input, settings: &Settings, environment: &str) -> Result<(), Failure> {
    let Some(requested) = settings.stack.as_ref().filter(|_| !input.descriptors.is_empty()) else { return Ok(()) };
    check_environment(requested, environment)?;
    let declared = |name: &str| StackId::new(name, environment).to_string();
    let mut names: Vec<String> =
        input.descriptors.iter().map(|descriptor| declared(descriptor.stack.as_str())).collect();
    names.sort();
    input.descriptors.retain(|descriptor| descriptor.stack.as_str() == requested.name);
    if !input.descriptors.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(format!("--stack: no descriptor declares the stack `{requested}`"));
    let best = closest(&requested.to_string(), names.iter().map(String::as_str));
    let failure = best.into_iter().fold(failure, |failure, best| failure.hint(format!("did you mean `{best}`?")));
    Err(failure.hint(format!("choose one of: {}", listed(&names))))
}

/// Refuses a stack of another environment.
///
/// # Errors
/// When the environments differ.
pub(crate) fn check_environment(stack: &StackId, environment: &str) -> Result<(), Failure> {
    if stack.environment == environment {
        return Ok(());
    }
    Err(Failure::new(format!("the stack `{stack}` is not in the environment `{environment}`"))
        .hint(format!("pass `--env {}`, and name no other environment", stack.environment)))
}

/// Refuses `--stack` together with named stacks.
///
/// # Errors
/// When both are given.
pub(crate) fn check_words(words: &[String], settings: &Settings) -> Result<(), Failure> {
    match (&settings.stack, words.first()) {
        (Some(stack), Some(word)) => Err(Failure::new(format!("`--stack {stack}` has no effect with `{word}`"))
            .hint("name the stacks without `--stack`; use `--stack` only with descriptors")),
        _ => Ok(()),
    }
}
