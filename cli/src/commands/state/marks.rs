//! `terrace taint`, `untaint`, `unprotect`: manual marks of an object.

use super::edit::{Change, StateEdit, present};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::store_for_changes;
use terrace_engine::record::without_protection;
use terrace_engine::store::{Row, RowStatus, Write};
use uuid::Uuid;

/// A mark of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Mark {
    /// The next plan replaces the object.
    Tainted,
    /// The object is complete.
    Untainted,
    /// The object may be deleted.
    Unprotected,
}

impl Mark {
    const fn kind(self) -> &'static str {
        match self {
            Self::Tainted => "taint",
            Self::Untainted => "untaint",
            Self::Unprotected => "unprotect",
        }
    }

    /// The marked object, in words.
    const fn outcome(self) -> &'static str {
        match self {
            Self::Tainted => "tainted: the next plan replaces it",
            Self::Untainted => "not tainted",
            Self::Unprotected => "not protected",
        }
    }

    /// Follows the outcome of a change.
    const fn change(self) -> &'static str {
        match self {
            Self::Tainted => "",
            Self::Untainted | Self::Unprotected => " any more",
        }
    }

    /// The row with the mark; `None` if it has the mark already.
    fn put_on(self, row: Row) -> Result<Option<Row>, Failure> {
        let status = match (self, row.status) {
            (Self::Unprotected, _) => {
                let unreadable = |error| Failure::new(format!("{} cannot be read: {error}", row.address));
                return without_protection(row.clone()).map_err(unreadable);
            }
            (Self::Tainted, RowStatus::Ready) => RowStatus::Tainted,
            (Self::Untainted, RowStatus::Tainted) => RowStatus::Ready,
            (Self::Tainted, RowStatus::Retained) => {
                return Err(Failure::new(format!("{} is retained: no plan replaces it", row.address))
                    .hint("declare it again: the next apply adopts it with its data"));
            }
            (Self::Tainted, RowStatus::Tainted) | (Self::Untainted, RowStatus::Ready | RowStatus::Retained) => {
                return Ok(None);
            }
        };
        Ok(Some(Row { status, ..row }))
    }
}

/// Marks an object.
///
/// # Errors
/// When the resource does not exist, or the state cannot be written.
pub(in crate::commands) async fn mark(
    context: &Context<'_>,
    signals: &Signals,
    address: &str,
    mark: Mark,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store_for_changes(&settings).await?;
    let (stack, address) = stacks::locate(address, &settings, store.as_ref()).await?;
    let outcome = mark.outcome();
    let edit = StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: mark.kind() };
    let change = async || {
        let row = present(edit.store.as_ref(), &stack, &address).await?;
        let expected = row.generation;
        Ok(mark.put_on(row)?.map(|marked| Change {
            leases: [(stack.clone(), address.lease_key())].into(),
            writes: vec![Write::Put { row: Box::new(marked), expected }],
            summary: format!("{address} is {outcome}{}", mark.change()),
        }))
    };
    let message = match edit.perform(change).await? {
        Some(change) => change.summary,
        None => format!("{address} is {outcome} (nothing changed)"),
    };
    context.ui.print(&format!("{message}\n"))?;
    Ok(Exit::Done)
}
