//! `--stack` where descriptors are given: which of their stacks is meant.

use crate::failure::Failure;
use crate::input::Input;
use crate::settings::Settings;
use terrace_engine::address::StackId;
use terrace_engine::diagnostic::closest;

/// Leaves only the stack that `--stack` names.
///
/// # Errors
/// When the descriptors declare no such stack.
pub(super) fn select(input: &mut Input, settings: &Settings, environment: &str) -> Result<(), Failure> {
    let Some(asked) = settings.stack.as_ref().filter(|_| !input.descriptors.is_empty()) else { return Ok(()) };
    check_environment(asked, environment)?;
    let declared = |name: &str| StackId::new(name, environment).to_string();
    let mut names: Vec<String> =
        input.descriptors.iter().map(|descriptor| declared(descriptor.stack.as_str())).collect();
    names.sort();
    input.descriptors.retain(|descriptor| descriptor.stack.as_str() == asked.name);
    if !input.descriptors.is_empty() {
        return Ok(());
    }
    let failure = Failure::new(format!("--stack: no descriptor declares the stack `{asked}`"));
    let best = closest(&asked.to_string(), names.iter().map(String::as_str));
    let failure = best.into_iter().fold(failure, |failure, best| failure.hint(format!("did you mean `{best}`?")));
    Err(failure.hint(format!("declared are: {}", names.join(", "))))
}

/// Refuses a stack of another environment than the one that is worked in.
///
/// # Errors
/// When it is.
pub(crate) fn check_environment(stack: &StackId, environment: &str) -> Result<(), Failure> {
    if stack.environment == environment {
        return Ok(());
    }
    Err(Failure::new(format!("the stack `{stack}` is not in the environment `{environment}`"))
        .hint(format!("pass `--env {}`, without other environments", stack.environment)))
}

/// Refuses `--stack` beside stacks that are named already.
///
/// # Errors
/// When it is given and stacks are named.
pub(crate) fn check_words(words: &[String], settings: &Settings) -> Result<(), Failure> {
    match (&settings.stack, words.first()) {
        (Some(stack), Some(word)) => Err(Failure::new(format!("`--stack {stack}` has no effect beside `{word}`"))
            .hint("name stacks as words, or choose one of those that descriptors declare with `--stack`")),
        _ => Ok(()),
    }
}
