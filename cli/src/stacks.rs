//! Selection of a stack without a descriptor: by `--stack`, by `STACK:ADDRESS`, or the only one in the state.

use crate::failure::Failure;
use crate::settings::Settings;
use std::collections::BTreeSet;
pub(crate) use terrace_engine::address::split_stack as split;
use terrace_engine::address::{Address, SHARED, StackId};
use terrace_engine::diagnostic::closest;
use terrace_engine::store::{OwnersOf, Selection, StateStore};
use terrace_provider::names;

/// The stack that addresses are relative to.
///
/// # Errors
/// When the named stack is unknown, or when none is named and the store does not have exactly one.
pub(crate) async fn current(settings: &Settings, store: &dyn StateStore) -> Result<StackId, Failure> {
    if let Some(stack) = &settings.stack {
        return resolve(&stack.to_string(), settings, store).await;
    }
    only(settings, store).await?.map_err(|several| {
        Failure::new("the state has several stacks").hint(format!("choose one with `--stack`: {}", listed(&several)))
    })
}

/// The only stack in the store, or all of them.
///
/// # Errors
/// When there are no stacks, or the store cannot be read.
pub(crate) async fn only(
    settings: &Settings,
    store: &dyn StateStore,
) -> Result<Result<StackId, Vec<StackId>>, Failure> {
    let recorded = own(settings, store).await?;
    let stacks = match recorded.is_empty() {
        true => without_shared(here(settings, store.known_stacks().await?)),
        false => recorded,
    };
    match stacks.as_slice() {
        [only] => Ok(Ok(only.clone())),
        [] => Err(Failure::new("the state has no stacks").hint("create one with `terrace apply FILE`")),
        _ => Ok(Err(stacks)),
    }
}

/// The stacks with rows, without the pseudo-stacks of shared resources. Only those of the selected environment, if any.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn own(settings: &Settings, store: &dyn StateStore) -> Result<Vec<StackId>, Failure> {
    Ok(without_shared(here(settings, store.stacks().await?)))
}

/// The stacks of the selected environment, if any.
fn here(settings: &Settings, mut stacks: Vec<StackId>) -> Vec<StackId> {
    stacks.retain(|stack| settings.environment.as_ref().is_none_or(|it| stack.environment == *it));
    stacks
}

/// Stacks without the pseudo-stacks of shared resources.
pub(crate) fn without_shared(mut stacks: Vec<StackId>) -> Vec<StackId> {
    stacks.retain(|stack| stack.name != SHARED);
    stacks
}

fn listed<'a>(stacks: impl IntoIterator<Item = &'a StackId>) -> String {
    names::listed(&stacks.into_iter().map(StackId::to_string).collect::<Vec<_>>())
}

/// The stack that a word names: `name@environment`, or a name that is unique in the store.
///
/// # Errors
/// When there is no such stack, or several.
pub(crate) async fn named(word: &str, settings: &Settings, store: &dyn StateStore) -> Result<StackId, Failure> {
    find(word, settings, store, &format!("there is no file and no stack `{word}`")).await
}

/// Like [`named`], for a word that cannot be a file.
///
/// # Errors
/// When there is no such stack, or several.
pub(crate) async fn resolve(word: &str, settings: &Settings, store: &dyn StateStore) -> Result<StackId, Failure> {
    find(word, settings, store, &format!("there is no stack `{word}`")).await
}

/// Finds a stack, even one without rows. A name alone prefers a stack with rows.
async fn find(word: &str, settings: &Settings, store: &dyn StateStore, missing: &str) -> Result<StackId, Failure> {
    let (recorded, known) = (store.stacks().await?, store.known_stacks().await?);
    let (recorded, known) = (here(settings, recorded), here(settings, known));
    let is_meant = |stack: &&StackId| stack.to_string() == word || stack.name == word;
    let mut found: Vec<&StackId> = recorded.iter().filter(is_meant).collect();
    if found.is_empty() {
        found.extend(known.iter().filter(is_meant));
    }
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        [] => {
            let names: Vec<String> = without_shared(known).iter().map(StackId::to_string).collect();
            let (recorded, failure) = (without_shared(recorded), Failure::new(missing));
            Err(match (closest(word, names.iter().map(String::as_str)), recorded.is_empty()) {
                (Some(best), _) => failure.hint(format!("did you mean `{best}`?")),
                (None, true) => failure.hint("the state has no stacks"),
                (None, false) => failure.hint(format!("choose one of: {}", listed(&recorded))),
            })
        }
        several => Err(Failure::new(format!("there are several stacks `{word}`"))
            .hint(format!("name one of them: {}", listed(several.iter().copied())))),
    }
}

/// The addresses of a stack, including its shared resources.
///
/// # Errors
/// When the store cannot be read.
pub(crate) async fn addresses(stack: &StackId, store: &dyn StateStore) -> Result<Vec<String>, Failure> {
    let rows = store.rows(stack, &Selection::All).await?;
    let owned = store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?;
    let all: BTreeSet<String> = rows
        .into_iter()
        .map(|row| row.address.to_string())
        .chain(owned.into_iter().map(|owner| owner.ownership.address.to_string()))
        .collect();
    Ok(all.into_iter().collect())
}

/// Suggestions for an address: those with that name, those with that beginning, else the closest.
pub(crate) fn similar(text: &str, addresses: &[String]) -> Option<String> {
    const MANY: usize = 5;
    let text = split(text).map_or(text, |(_, address)| address);
    let bare = |address: &str| address.split_once('[').map_or(address.to_owned(), |(head, _)| head.to_owned());
    let name = |address: &str| bare(address).rsplit(['.', '/']).next().map(str::to_owned);
    let is_meant = |address: &&String| {
        bare(address) == bare(text)
            || bare(address).rsplit('/').next() == Some(text)
            || name(address).as_deref() == Some(text)
    };
    let mut found: Vec<&str> = addresses.iter().filter(is_meant).map(String::as_str).collect();
    if found.is_empty() {
        found.extend(closest(text, addresses.iter().map(String::as_str)));
    }
    match found.as_slice() {
        [] => None,
        [only] => Some(format!("did you mean `{only}`?")),
        several => Some(format!("did you mean one of {}?", names::first_listed(several, MANY))),
    }
}

/// The resource of `ADDRESS` or `STACK:ADDRESS`. Shared addresses belong to the environment's shared resources.
///
/// # Errors
/// When the address is invalid, or no stack is selected.
pub(crate) async fn locate(
    text: &str,
    settings: &Settings,
    store: &dyn StateStore,
) -> Result<(StackId, Address), Failure> {
    let wrong = |error: terrace_engine::address::AddressError| Failure::new(error.to_string());
    let (stack, address) = match split(text) {
        Some((stack, address)) => (stack.parse().map_err(wrong)?, address.parse::<Address>()),
        None => (current(settings, store).await?, text.parse::<Address>()),
    };
    let address = match address {
        Ok(address) => address,
        Err(error) => {
            let all = addresses(&stack, store).await?;
            let failure = similar(text, &all).into_iter().fold(wrong(error), Failure::hint);
            let named = split(text).map_or(text, |(_, address)| address).trim_end_matches('/');
            let is_component =
                all.iter().any(|address| address.strip_prefix(named).is_some_and(|it| it.starts_with('/')));
            return Err(match is_component {
                true => failure.hint(format!(
                    "`{named}` is a component; to move it as a whole, add `moved: [{{from: {named}/, to: OTHER/}}]` to its \
                     descriptor"
                )),
                false => failure,
            });
        }
    };
    let stack = if address.is_shared() { StackId::shared(&stack.environment) } else { stack };
    Ok((stack, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggestion(text: &str) -> Option<String> {
        let addresses = ["api/local_file.f[\"a.b\"]", "api/local_file.f[\"c\"]", "local_file.greeting"];
        similar(text, &addresses.map(str::to_owned))
    }

    #[test]
    fn unknown_address_gets_similar_ones() {
        assert_eq!(suggestion("greeting").as_deref(), Some("did you mean `local_file.greeting`?"));
        assert_eq!(suggestion("local_file.greetng").as_deref(), Some("did you mean `local_file.greeting`?"));
        let both = Some("did you mean one of `api/local_file.f[\"a.b\"]`, `api/local_file.f[\"c\"]`?");
        assert_eq!(suggestion("api/local_file.f").as_deref(), both);
        assert_eq!(suggestion("demo@local:local_file.f").as_deref(), both);
        assert_eq!(suggestion("f").as_deref(), both);
        assert_eq!(suggestion("zzz"), None);
    }
}
