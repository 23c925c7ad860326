//! What is recorded, shown.

use crate::commands::Context;
use crate::commands::run::shown;
use crate::failure::{Exit, Failure};
use crate::settings::Settings;
use crate::stacks;
use crate::wiring::{World, store};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use terrace_engine::address::StackId;
use terrace_engine::record::open_attributes;
use terrace_engine::seal::Seal;
use terrace_engine::store::{OwnersOf, Row, RowStatus, Selection, StateStore};
use terrace_provider::Attributes;
use terrace_state::Access;

/// One address a line, sorted.
pub(super) async fn list(context: &Context<'_>, is_all: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let mut lines = Vec::new();
    if is_all {
        for stack in store.stacks().await? {
            let listed = of_stack(store.as_ref(), &stack).await?;
            lines.extend(listed.into_iter().map(|line| format!("{stack}:{line}")));
        }
    } else {
        // An empty store has nothing to list, and that is no mistake.
        if settings.stack.is_none() && stacks::own(&settings, store.as_ref()).await?.is_empty() {
            return Ok(Exit::Done);
        }
        let stack = stacks::current(&settings, store.as_ref()).await?;
        lines = of_stack(store.as_ref(), &stack).await?;
        let owned = store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?;
        lines.extend(owned.into_iter().map(|owned| owned.ownership.address.to_string()));
        lines.sort();
        lines.dedup();
    }
    context.ui.print(&lines.into_iter().map(|line| line + "\n").collect::<String>())?;
    Ok(Exit::Done)
}

async fn of_stack(store: &dyn StateStore, stack: &StackId) -> Result<Vec<String>, Failure> {
    let in_doubt: BTreeSet<_> = store
        .open_intents(stack, &Selection::All)
        .await?
        .into_iter()
        .filter(|open| open.is_orphaned)
        .map(|open| open.intent.row.address)
        .collect();
    let rows = store.rows(stack, &Selection::All).await?;
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let suffix = if in_doubt.contains(&row.address) { " (in doubt)".to_owned() } else { suffix(row) };
            format!("{}{suffix}", row.address)
        })
        .collect();
    // A creation that was cut off has no row yet.
    let recorded: BTreeSet<_> = rows.iter().map(|row| &row.address).collect();
    lines.extend(in_doubt.iter().filter(|it| !recorded.contains(it)).map(|it| format!("{it} (in doubt)")));
    lines.sort();
    Ok(lines)
}

fn suffix(row: &Row) -> String {
    match (&row.deposed, row.status) {
        (Some(deposed), _) => format!(" (deposed {deposed})"),
        (None, RowStatus::Tainted) => " (tainted)".to_owned(),
        (None, RowStatus::Retained) => " (retained)".to_owned(),
        (None, RowStatus::Ready) => String::new(),
    }
}

/// One resource, whole.
///
/// # Errors
/// When there is no such resource, or it cannot be opened.
pub(in crate::commands) async fn show(
    context: &Context<'_>,
    settings: &Settings,
    store: &dyn StateStore,
    address: &str,
    is_json: bool,
) -> Result<Exit, Failure> {
    let (stack, address) = stacks::locate(address, settings, store).await?;
    let seal = World::seal(settings, false)?;
    let rows = store.rows(&stack, &Selection::Addresses([address.clone()].into())).await?;
    if rows.is_empty() {
        return Err(super::surgery::without_row(store, &stack, &address).await?);
    }
    if is_json {
        let json = rows.iter().map(|row| to_json(row, &seal)).collect::<Result<Vec<_>, _>>()?;
        match <[Json; 1]>::try_from(json) {
            Ok([only]) => context.ui.print_json(&only)?,
            Err(several) => context.ui.print_json(&several.into())?,
        }
    } else {
        let texts = rows.iter().map(|row| text(row, &seal)).collect::<Result<Vec<_>, _>>()?;
        context.ui.print(&texts.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// All resources of a stack, whole.
///
/// # Errors
/// When the stack cannot be told, or a row cannot be opened.
pub(in crate::commands) async fn show_all(context: &Context<'_>, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let stack = stacks::current(&settings, store.as_ref()).await?;
    let seal = World::seal(&settings, false)?;
    let rows = store.rows(&stack, &Selection::All).await?;
    if is_json {
        let json = rows.iter().map(|row| to_json(row, &seal)).collect::<Result<Vec<_>, _>>()?;
        context.ui.print_json(&json!({ "stack": stack, "resources": json }))?;
    } else {
        let texts = rows.iter().map(|row| text(row, &seal)).collect::<Result<Vec<_>, _>>()?;
        context.ui.print(&texts.join("\n"))?;
    }
    Ok(Exit::Done)
}

/// The versions of a resource, newest first.
pub(super) async fn history(context: &Context<'_>, address: &str, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let (stack, address) = stacks::locate(address, &settings, store.as_ref()).await?;
    let history = store.history(&stack, &address).await?;
    if history.is_empty() {
        return Err(super::surgery::without_row(store.as_ref(), &stack, &address).await?);
    }
    if is_json {
        let json = history.iter().map(|entry| {
            let status = entry.row.as_ref().map_or(json!("deleted"), |row| json!(row.status));
            json!({ "generation": entry.generation, "at": entry.at, "operation": entry.operation, "status": status })
        });
        context.ui.print_json(&json.collect())?;
    } else {
        let lines = history.iter().map(|entry| {
            let status = entry.row.as_ref().map_or("deleted", |row| status(row.status));
            format!("{}  {}  {status}  {}\n", entry.generation, entry.at, entry.operation)
        });
        context.ui.print(&lines.collect::<String>())?;
    }
    Ok(Exit::Done)
}

const fn status(status: RowStatus) -> &'static str {
    match status {
        RowStatus::Ready => "ready",
        RowStatus::Tainted => "tainted",
        RowStatus::Retained => "retained",
    }
}

fn to_json(row: &Row, seal: &Seal) -> Result<Json, Failure> {
    let attributes = open_attributes(&row.attributes, seal)?;
    let identity = open_attributes(&row.identity, seal)?;
    let sensitive: Vec<&String> =
        attributes.iter().filter(|(_, value)| value.has_sensitive()).map(|(name, _)| name).collect();
    Ok(json!({
        "address": row.address, "type": row.address.ty, "provider": row.provider, "status": row.status,
        "generation": row.generation, "deposed": row.deposed, "identity": open_json(&identity),
        "attributes": open_json(&attributes), "sensitive": sensitive, "dependencies": row.dependencies,
        "updated_at": row.updated_at,
    }))
}

/// Attributes as JSON, those that are sensitive left out.
fn open_json(attributes: &Attributes) -> Json {
    let is_open =
        |(_, value): &(&String, &terrace_provider::Value)| !matches!(value, terrace_provider::Value::Sensitive(_));
    Json::Object(attributes.iter().filter(is_open).map(|(name, value)| (name.clone(), value.to_json())).collect())
}

fn text(row: &Row, seal: &Seal) -> Result<String, Failure> {
    let attributes = open_attributes(&row.attributes, seal)?;
    let mut text = format!("# {}:{}{}\n", row.stack, row.address, suffix(row));
    let mut add = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} = {value}");
    };
    for (name, value) in &attributes {
        add(name, &shown(value));
    }
    let dependencies: Vec<String> = row.dependencies.iter().map(ToString::to_string).collect();
    if !dependencies.is_empty() {
        add("# after", &dependencies.join(", "));
    }
    add("# provider", &row.provider);
    add("# generation", &format!("{}, {}, by operation {}", row.generation, row.updated_at, row.operation));
    Ok(text)
}
