//! `terrace state history`: lists every version of a resource.

use super::view::status;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::stacks;
use crate::wiring::store;
use serde_json::json;
use terrace_engine::address::{Address, StackId};
use terrace_engine::store::{HistoryEntry, Row, ServerStore, StepAction};
use terrace_state::Access;
use uuid::Uuid;

/// The kind of a version.
enum Status {
    /// A row with this status.
    Recorded(&'static str),
    /// The object was deleted, and its row.
    Deleted,
    /// The row was dropped; the object stayed.
    Removed,
    /// The row moved to another address.
    Moved(Address),
}

/// The versions of a resource, newest first.
///
/// # Errors
/// When the resource does not exist, or the state cannot be read.
pub(super) async fn run(context: &Context<'_>, address: &str, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let (stack, address) = stacks::locate(address, &settings, store.as_ref()).await?;
    let history = store.history(&stack, &address).await?;
    if history.is_empty() {
        return Err(super::edit::without_row(store.as_ref(), &stack, &address).await?);
    }
    let mut versions = Vec::with_capacity(history.len());
    for (at, entry) in history.iter().enumerate() {
        let status = match &entry.row {
            Some(row) => Status::Recorded(status(row.status)),
            None => end_status(store.as_ref(), &stack, &address, entry.operation, history.get(at + 1)).await?,
        };
        versions.push((entry, status));
    }
    if is_json {
        let json = versions.iter().map(|(entry, status)| {
            json!({
                "generation": entry.generation, "at": entry.at, "operation": entry.operation,
                "status": status.word(), "moved_to": status.moved_to(),
            })
        });
        context.ui.print_json(&json.collect())?;
    } else {
        let lines = versions.iter().map(|(entry, status)| {
            format!("{}  {}  {}  {}\n", entry.generation, entry.at, status.text(), entry.operation)
        });
        context.ui.print(&lines.collect::<String>())?;
    }
    Ok(Exit::Done)
}

/// The end of a row, from its operation. If the operation was pruned, the row counts as deleted.
async fn end_status(
    store: &dyn ServerStore,
    stack: &StackId,
    address: &Address,
    operation: Uuid,
    before: Option<&HistoryEntry>,
) -> Result<Status, Failure> {
    let Some((operation, steps)) = store.operation(operation).await? else { return Ok(Status::Deleted) };
    match operation.kind.as_str() {
        "state rm" => return Ok(Status::Removed),
        "state mv" => return Ok(moved_to(&operation.summary, address).map_or(Status::Removed, Status::Moved)),
        _ => {}
    }
    if let Some(step) = steps.iter().find(|step| step.stack == *stack && step.address == *address) {
        let is_dropped = step.action == StepAction::Record;
        return Ok(if is_dropped { Status::Removed } else { Status::Deleted });
    }
    // A move is a step of the target address: that row has the same object.
    let Some(row) = before.and_then(|entry| entry.row.as_ref()) else { return Ok(Status::Deleted) };
    for step in steps.iter().filter(|step| step.stack == *stack && step.action == StepAction::Record) {
        let history = store.history(stack, &step.address).await?;
        let is_it = |entry: &HistoryEntry| {
            let is_same = |other: &Row| other.address.ty == row.address.ty && other.identity == row.identity;
            entry.operation == operation.id && entry.row.as_ref().is_some_and(is_same)
        };
        if history.iter().any(is_it) {
            return Ok(Status::Moved(step.address.clone()));
        }
    }
    Ok(Status::Deleted)
}

impl Status {
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

/// The new address of a resource, parsed from the summary of `state mv`: `local_file.a is local_file.b now`. The move
/// of a block moves its instances.
fn moved_to(summary: &str, address: &Address) -> Option<Address> {
    let after = |from: &Address| summary.strip_prefix(&format!("{from} is "))?.strip_suffix(" now")?.parse().ok();
    let block = Address { key: None, ..address.clone() };
    after(address).or_else(|| Some(Address { key: address.key.clone(), ..after(&block)? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(summary: &str, address: &str) -> Option<String> {
        moved_to(summary, &address.parse().unwrap()).map(|to| to.to_string())
    }

    #[test]
    fn instance_moves_with_its_block() {
        assert_eq!(to("local_file.a is local_file.b now", "local_file.a").as_deref(), Some("local_file.b"));
        assert_eq!(
            to("local_file.a is local_file.b now", "local_file.a[\"x\"]").as_deref(),
            Some("local_file.b[\"x\"]")
        );
        assert_eq!(to("local_file.a is local_file.b now", "local_file.c"), None);
    }
}
