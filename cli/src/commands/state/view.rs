//! Views of the state.

use crate::commands::run::format_value;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::settings::Settings;
use crate::stacks;
use crate::wiring::store;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use terrace_engine::address::{SHARED, StackId};
use terrace_engine::render::json::redacted;
use terrace_engine::seal::Blind;
use terrace_engine::store::{OwnersOf, Row, RowStatus, Selection, StateStore};
use terrace_state::Access;

/// An entry of the list of resources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    address: String,
    stack: StackId,
    deposed: Option<String>,
    /// `None` without a row: an interrupted creation.
    status: Option<&'static str>,
    is_in_doubt: bool,
}

/// Prints addresses, one a line, sorted.
pub(super) async fn list(context: &Context<'_>, is_all: bool, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let mut listed = Vec::new();
    if is_all {
        for stack in store.stacks().await? {
            listed.extend(entries_of_stack(store.as_ref(), &stack, &Selection::All).await?);
        }
    // An empty store lists nothing.
    } else if settings.stack.is_some() || !stacks::own(&settings, store.as_ref()).await?.is_empty() {
        let stack = stacks::current(&settings, store.as_ref()).await?;
        listed = entries_of_stack(store.as_ref(), &stack, &Selection::All).await?;
        let owned = store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?;
        let owned = Selection::Addresses(owned.into_iter().map(|owned| owned.ownership.address).collect());
        listed.extend(entries_of_stack(store.as_ref(), &StackId::shared(&stack.environment), &owned).await?);
        listed.sort();
    }
    if is_json {
        context.ui.print_json(&listed.iter().map(Listed::to_json).collect())?;
    } else {
        let line = |it: &Listed| {
            let stack = if is_all { format!("{}:", it.stack) } else { String::new() };
            format!("{stack}{}{}\n", it.address, it.suffix())
        };
        let nothing = match listed.is_empty() && !is_all && has_shared(store.as_ref()).await? {
            true => "the state has only shared resources; `terrace state list --all` lists them",
            false => "the state has no resources",
        };
        context.ui.print_list(&listed.iter().map(line).collect::<String>(), nothing)?;
    }
    Ok(Exit::Done)
}

/// True if the state has rows of shared resources.
async fn has_shared(store: &dyn StateStore) -> Result<bool, Failure> {
    for stack in store.stacks().await? {
        if stack.name == SHARED && !store.rows(&stack, &Selection::All).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn entries_of_stack(
    store: &dyn StateStore,
    stack: &StackId,
    selection: &Selection,
) -> Result<Vec<Listed>, Failure> {
    let in_doubt: BTreeSet<_> = store
        .open_intents(stack, selection)
        .await?
        .into_iter()
        .filter(|open| open.is_orphaned)
        .map(|open| (open.intent.row.address, open.intent.row.deposed))
        .collect();
    let rows = store.rows(stack, selection).await?;
    let of = |address: String| Listed { address, stack: stack.clone(), deposed: None, status: None, is_in_doubt: true };
    let mut listed: Vec<Listed> = rows
        .iter()
        .map(|row| Listed {
            deposed: row.deposed.clone(),
            status: Some(status(row.status)),
            is_in_doubt: in_doubt.contains(&(row.address.clone(), row.deposed.clone())),
            ..of(row.address.to_string())
        })
        .collect();
    // An interrupted creation has no row.
    let addresses: BTreeSet<_> = rows.iter().map(|row| &row.address).collect();
    listed.extend(in_doubt.iter().filter(|(it, _)| !addresses.contains(it)).map(|(it, _)| of(it.to_string())));
    listed.sort();
    Ok(listed)
}

impl Listed {
    fn suffix(&self) -> String {
        match (&self.deposed, self.status) {
            _ if self.is_in_doubt => " (in doubt)".to_owned(),
            (Some(deposed), _) => format!(" (deposed {deposed})"),
            (None, Some("ready") | None) => String::new(),
            (None, Some(status)) => format!(" ({status})"),
        }
    }

    fn to_json(&self) -> Json {
        json!({
            "stack": self.stack, "address": self.address, "status": self.status, "deposed": self.deposed,
            "in_doubt": self.is_in_doubt,
        })
    }
}

fn suffix(row: &Row) -> String {
    match (&row.deposed, row.status) {
        (Some(deposed), _) => format!(" (deposed {deposed})"),
        (None, RowStatus::Tainted) => " (tainted)".to_owned(),
        (None, RowStatus::Retained) => " (retained)".to_owned(),
        (None, RowStatus::Ready) => String::new(),
    }
}

/// Prints a resource with all its attributes.
///
/// # Errors
/// When the resource does not exist, or cannot be opened.
pub(in crate::commands) async fn show(
    context: &Context<'_>,
    settings: &Settings,
    store: &dyn StateStore,
    address: &str,
    is_json: bool,
) -> Result<Exit, Failure> {
    let (stack, address) = stacks::locate(address, settings, store).await?;
    let rows = store.rows(&stack, &Selection::Addresses([address.clone()].into())).await?;
    if rows.is_empty() {
        return Err(super::edit::without_row(store, &stack, &address).await?);
    }
    if is_json {
        let json = rows.iter().map(to_json).collect::<Result<Vec<_>, _>>()?;
        match <[Json; 1]>::try_from(json) {
            Ok([only]) => context.ui.print_json(&only)?,
            Err(several) => context.ui.print_json(&several.into())?,
        }
    } else {
        let texts = rows.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        context.ui.print(&texts.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// Prints all resources of a stack with all their attributes.
///
/// # Errors
/// When no stack is selected, or a row cannot be opened.
pub(in crate::commands) async fn show_all(context: &Context<'_>, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let stack = stacks::current(&settings, store.as_ref()).await?;
    let rows = store.rows(&stack, &Selection::All).await?;
    if is_json {
        let json = rows.iter().map(to_json).collect::<Result<Vec<_>, _>>()?;
        context.ui.print_json(&json!({ "stack": stack, "resources": json }))?;
    } else {
        let texts = rows.iter().map(text).collect::<Result<Vec<_>, _>>()?;
        context.ui.print(&texts.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// The word for a row's status.
pub(super) const fn status(status: RowStatus) -> &'static str {
    match status {
        RowStatus::Ready => "ready",
        RowStatus::Tainted => "tainted",
        RowStatus::Retained => "retained",
    }
}

fn to_json(row: &Row) -> Result<Json, Failure> {
    let (attributes, sensitive) = redacted(&row.attributes.open(&Blind)?, None);
    let (identity, _) = redacted(&row.identity.open(&Blind)?, None);
    Ok(json!({
        "address": row.address, "type": row.address.ty, "provider": row.provider,
        "provider_version": row.provider_version, "status": row.status,
        "generation": row.generation, "deposed": row.deposed, "identity": identity, "attributes": attributes,
        "sensitive": sensitive, "dependencies": row.dependencies, "updated_at": row.updated_at,
    }))
}

fn text(row: &Row) -> Result<String, Failure> {
    let attributes = row.attributes.open(&Blind)?;
    let mut text = format!("# {}:{}{}\n", row.stack, row.address, suffix(row));
    let mut add = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    };
    for (name, value) in &attributes {
        add(name, &format_value(value));
    }
    let dependencies: Vec<String> = row.dependencies.iter().map(ToString::to_string).collect();
    if !dependencies.is_empty() {
        add("# after", &dependencies.join(", "));
    }
    let version = row.provider_version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    add("# provider", &format!("{}{version}", row.provider));
    add("# generation", &format!("{}, {}, by operation {}", row.generation, row.updated_at, row.operation));
    Ok(text)
}
