//! `terrace state history`: every version of a resource.

use super::view::status;
use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::stacks;
use crate::wiring::store;
use serde_json::json;
use std::collections::HashMap;
use terrace_engine::address::Address;
use terrace_engine::store::{HistoryEntry, OperationRow, StateStore};
use terrace_state::Access;
use uuid::Uuid;

/// What a version says of a resource.
enum Status {
    /// It was recorded so.
    Recorded(&'static str),
    /// The object was deleted, and the row with it.
    Deleted,
    /// The row was dropped by hand: the object stayed.
    Removed,
    /// The row got another address by hand.
    Moved(Address),
}

/// The versions of a resource, newest first.
///
/// # Errors
/// When there is no such resource, or the state cannot be read.
pub(super) async fn run(context: &Context<'_>, address: &str, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let (stack, address) = stacks::locate(address, &settings, store.as_ref()).await?;
    let history = store.history(&stack, &address).await?;
    if history.is_empty() {
        return Err(super::surgery::without_row(store.as_ref(), &stack, &address).await?);
    }
    let operations = ended_by(store.as_ref(), &history).await?;
    let told = history.iter().map(|entry| (entry, Status::of(entry, operations.get(&entry.operation), &address)));
    if is_json {
        let json = told.map(|(entry, status)| {
            json!({
                "generation": entry.generation, "at": entry.at, "operation": entry.operation,
                "status": status.word(), "moved_to": status.moved_to(),
            })
        });
        context.ui.print_json(&json.collect())?;
    } else {
        let lines = told.map(|(entry, status)| {
            format!("{}  {}  {}  {}\n", entry.generation, entry.at, status.text(), entry.operation)
        });
        context.ui.print(&lines.collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// The operations after which there was no row any more, but for those that were pruned.
async fn ended_by(store: &dyn StateStore, history: &[HistoryEntry]) -> Result<HashMap<Uuid, OperationRow>, Failure> {
    let mut operations = HashMap::new();
    for entry in history.iter().filter(|entry| entry.row.is_none()) {
        if let Some((operation, _)) = store.operation(entry.operation).await? {
            operations.insert(operation.id, operation);
        }
    }
    Ok(operations)
}

impl Status {
    fn of(entry: &HistoryEntry, by: Option<&OperationRow>, address: &Address) -> Self {
        match (&entry.row, by) {
            (Some(row), _) => Self::Recorded(status(row.status)),
            (None, Some(by)) if by.kind == "state rm" => Self::Removed,
            (None, Some(by)) if by.kind == "state mv" => {
                moved_to(&by.summary, address).map_or(Self::Removed, Self::Moved)
            }
            (None, _) => Self::Deleted,
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::Recorded(word) => word,
            Self::Deleted => "deleted",
            Self::Removed => "removed",
            Self::Moved(_) => "moved",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Recorded(_) | Self::Deleted => self.word().to_owned(),
            Self::Removed => "removed from state".to_owned(),
            Self::Moved(to) => format!("moved to {to}"),
        }
    }

    fn moved_to(&self) -> Option<String> {
        match self {
            Self::Moved(to) => Some(to.to_string()),
            _ => None,
        }
    }
}

/// Where a resource went by what `state mv` says of itself: `local_file.a is local_file.b now`. A whole block takes its
/// instances along.
fn moved_to(summary: &str, address: &Address) -> Option<Address> {
    let after = |from: &Address| summary.strip_prefix(&format!("{from} is "))?.strip_suffix(" now")?.parse().ok();
    let whole = Address { key: None, ..address.clone() };
    after(address).or_else(|| Some(Address { key: address.key.clone(), ..after(&whole)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(summary: &str, address: &str) -> Option<String> {
        moved_to(summary, &address.parse().unwrap()).map(|to| to.to_string())
    }

    #[test]
    fn an_instance_goes_with_its_block() {
        assert_eq!(to("local_file.a is local_file.b now", "local_file.a").as_deref(), Some("local_file.b"));
        assert_eq!(
            to("local_file.a is local_file.b now", "local_file.a[\"x\"]").as_deref(),
            Some("local_file.b[\"x\"]")
        );
        assert_eq!(to("local_file.a is local_file.b now", "local_file.c"), None);
    }
}
