//! Which stack is meant, where no descriptor says it: `--stack`, `STACK:ADDRESS`, or the only one that there is.

use crate::failure::Failure;
use crate::settings::Settings;
use terrace_engine::address::{Address, SHARED, StackId};
use terrace_engine::diagnostic::closest;
use terrace_engine::store::StateStore;

/// The stack that addresses are relative to.
///
/// # Errors
/// When none is named and the store has several, or none.
pub(crate) async fn current(settings: &Settings, store: &dyn StateStore) -> Result<StackId, Failure> {
    if let Some(stack) = &settings.stack {
        return Ok(stack.clone());
    }
    let stacks = own(settings, store).await?;
    match stacks.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new("the state has no stacks").hint("`terrace apply FILE` makes one")),
        _ => Err(Failure::new("the state has several stacks").hint(format!(
            "choose one with `--stack`: {}",
            stacks.iter().map(StackId::to_string).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The stacks of the store, without the pseudo-stacks of shared resources; of one environment when one is named.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn own(settings: &Settings, store: &dyn StateStore) -> Result<Vec<StackId>, Failure> {
    let mut stacks = store.stacks().await?;
    if stacks.is_empty() {
        // A first apply that was cut off left steps, and no row yet.
        let operations = store.operations(usize::MAX).await?;
        stacks.extend(operations.into_iter().flat_map(|operation| operation.stacks));
        stacks.sort();
        stacks.dedup();
    }
    stacks.retain(|stack| stack.name != SHARED);
    if let Some(environment) = &settings.environment {
        stacks.retain(|stack| stack.environment == *environment);
    }
    Ok(stacks)
}

/// The stack that a word names: `name@environment`, or a name that the store knows in one environment.
///
/// # Errors
/// When there is no such stack, or several.
pub(crate) async fn named(word: &str, settings: &Settings, store: &dyn StateStore) -> Result<StackId, Failure> {
    let stacks = store.stacks().await?;
    let is_meant = |stack: &&StackId| stack.to_string() == word || stack.name == word;
    let is_here = |stack: &&StackId| settings.environment.as_ref().is_none_or(|it| stack.environment == *it);
    let found: Vec<&StackId> = stacks.iter().filter(is_meant).filter(is_here).collect();
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            let names: Vec<String> = stacks.iter().map(StackId::to_string).collect();
            let failure = Failure::new(format!("there is no file and no stack `{word}`"));
            Err(match (closest(word, names.iter().map(String::as_str)), names.is_empty()) {
                (Some(best), _) => failure.hint(format!("did you mean `{best}`?")),
                (None, true) => failure.hint("the state has no stacks"),
                (None, false) => failure.hint(format!("the state has: {}", names.join(", "))),
            })
        }
        _ => Err(Failure::new(format!("there are several stacks `{word}`")).hint(format!(
            "name one of them: {}",
            found.iter().map(|stack| stack.to_string()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// What `ADDRESS` or `STACK:ADDRESS` names. A shared address is looked for in the environment's shared resources.
///
/// # Errors
/// When it is no address, or the stack cannot be told.
pub(crate) async fn locate(
    text: &str,
    settings: &Settings,
    store: &dyn StateStore,
) -> Result<(StackId, Address), Failure> {
    let wrong = |error: terrace_engine::address::AddressError| Failure::new(error.to_string());
    // A key may hold a colon and an `@`, the stack before the address may not hold a bracket.
    let head = text.split_once('[').map_or(text, |(head, _)| head);
    let (stack, address) = match head.split_once(':') {
        Some((stack, _)) => {
            let address = text.get(stack.len() + 1..).unwrap_or_default();
            (stack.parse().map_err(wrong)?, address.parse::<Address>().map_err(wrong)?)
        }
        None => {
            let address = text.parse::<Address>().map_err(wrong)?;
            (current(settings, store).await?, address)
        }
    };
    let stack = if address.is_shared() { StackId::shared(&stack.environment) } else { stack };
    Ok((stack, address))
}
