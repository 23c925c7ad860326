//! Sealing of a state under the current key: re-seals everything that older keys sealed.

use crate::shared::SharedDeclaration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_language::address::{ComponentKey, StackId, outputs_in_words};
use terrace_provider::value::wire::WireError;
use terrace_store::record::resealed as resealed_row;
use terrace_store::seal::{Place, Seal};
use terrace_store::{ComponentRow, Leases, OwnerRow, Row, Rows, Sealed, Selection, StoreError, Write};
use uuid::Uuid;

/// An error of re-sealing a state.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// An environment has no state key.
    #[error("the environment `{environment}` has no state key")]
    NoKey {
        /// The environment.
        environment: String,
    },
    /// A crash left open steps, whose rows are sealed too.
    #[error("{stack} has interrupted steps")]
    NotRecovered {
        /// The stack.
        stack: StackId,
    },
    /// A record cannot be opened with any key.
    #[error("{record} cannot be opened: {error}")]
    Sealed {
        /// The record.
        record: String,
        /// The reason.
        error: WireError,
    },
    /// The body of a queued request cannot be opened with any key.
    #[error("the request of operation {operation} cannot be opened: {error}")]
    Request {
        /// The operation.
        operation: Uuid,
        /// The reason.
        error: WireError,
    },
    /// An error of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The writes that bring a state under the current key.
#[derive(Debug, Default)]
pub struct Resealed {
    /// The writes.
    pub writes: Vec<Write>,
    /// The leases that the writes need. They include all live leases, because their holders seal with the key they
    /// loaded.
    pub leases: BTreeSet<(StackId, ComponentKey)>,
    /// Old versions that stay as they are because they cannot be opened.
    pub skipped: BTreeSet<String>,
}

/// Re-seals a write of another store for the bound store, because a sealed value opens only in its own store.
///
/// # Errors
/// When a value cannot be opened as one of the other store, or cannot be sealed.
pub fn rebind(write: Write, from: Uuid, seal: &Seal) -> Result<Write, RekeyError> {
    let failed = |record: String| move |error| RekeyError::Sealed { record, error };
    Ok(match write {
        Write::Put { row, expected } => {
            let (record, address) = (format!("{}:{}", row.stack, row.address), row.address.clone());
            let resealed = resealed_row((*row).clone(), Some(from), &address, seal).map_err(failed(record))?;
            Write::Put { row: resealed.map_or(row, Box::new), expected }
        }
        Write::Component { stack, component } => {
            let record = outputs_in_words(&stack, &component.key);
            let outputs = resealed_outputs(&stack, &component, Some(from), seal).map_err(failed(record))?;
            let outputs = outputs.unwrap_or_else(|| component.outputs.clone());
            Write::Component { stack, component: ComponentRow { outputs, ..component } }
        }
        Write::PutOwner(owner) => {
            let OwnerRow { ownership, declaration } = &owner;
            let record =
                || format!("how `{}` of {} declares {}", ownership.component, ownership.stack, ownership.address);
            let declared = SharedDeclaration::from_stored_in(Some(from), ownership, declaration, seal);
            let declared = declared.map_err(failed(record()))?.filter(SharedDeclaration::has_sensitive);
            let resealed = declared.map(|declared| declared.to_stored(ownership, seal)).transpose();
            let resealed = resealed.map_err(failed(record()))?.unwrap_or_else(|| declaration.clone());
            Write::PutOwner(OwnerRow { ownership: ownership.clone(), declaration: resealed })
        }
        other => other,
    })
}

/// Re-seals everything in a store with the current key of each environment: all versions of all rows, outputs, owners'
/// declarations. Old versions that cannot be opened stay as they are, because their key is lost. Change detectors of
/// write-only values cannot be re-sealed: the next plan sends those values again.
///
/// # Errors
/// When there is no key, a current record cannot be opened, or the store cannot be read.
pub async fn reseal(
    store: &(impl Rows + Leases + ?Sized),
    seal_of: impl Fn(&str) -> Option<Arc<Seal>> + Send,
) -> Result<Resealed, RekeyError> {
    let mut resealed = Resealed::default();
    resealed.leases.extend(store.leases().await?.into_iter().map(|lease| (lease.stack, lease.component)));
    for snapshot in store.snapshot(None, true).await? {
        let stack = snapshot.stack;
        let seal = seal_of(&stack.environment).filter(|seal| seal.has_key());
        let seal = &*seal.ok_or_else(|| RekeyError::NoKey { environment: stack.environment.clone() })?;
        seal.bind_to(store).await?;
        if store.open_intents(&stack, &Selection::All).await?.iter().any(|open| open.is_orphaned) {
            return Err(RekeyError::NotRecovered { stack });
        }
        let failed = |record: String| move |error| RekeyError::Sealed { record, error };
        let versions = snapshot.history.into_iter().filter_map(|(_, entry)| entry.row);
        let mut rows: BTreeMap<_, Row> = BTreeMap::new();
        let current: BTreeSet<_> = snapshot.rows.iter().map(|row| (row.address.clone(), row.generation)).collect();
        for row in versions.chain(snapshot.rows) {
            rows.insert((row.address.clone(), row.deposed.clone(), row.generation), row);
        }
        for row in rows.into_values() {
            let record = format!("{stack}:{}", row.address);
            let lease = (stack.clone(), row.address.lease_key());
            let is_current = current.contains(&(row.address.clone(), row.generation));
            let address = row.address.clone();
            let new_row = match resealed_row(row, None, &address, seal) {
                Err(error) if !is_current => {
                    resealed.skipped.insert(format!("an old version of {record} stays as it is: {error}"));
                    None
                }
                new_row => new_row.map_err(failed(record))?,
            };
            if let Some(row) = new_row {
                resealed.leases.insert(lease);
                resealed.writes.push(Write::Reseal { row: Box::new(row) });
            }
        }
        for entry in snapshot.component_history {
            let Some(component) = entry.component else { continue };
            let outputs = outputs_in_words(&stack, &component.key);
            match resealed_outputs(&stack, &component, None, seal) {
                Ok(None) => {}
                Ok(Some(outputs)) => {
                    resealed.leases.insert((stack.clone(), component.key));
                    let (stack, version) = (stack.clone(), entry.version);
                    resealed.writes.push(Write::ResealComponent { stack, version, outputs });
                }
                // The loop below reports a current component.
                Err(_) if snapshot.components.contains(&component) => {}
                Err(error) => {
                    resealed.skipped.insert(format!("old versions of {outputs} stay as they are: {error}"));
                }
            }
        }
        for component in snapshot.components {
            let record = outputs_in_words(&stack, &component.key);
            let key = component.key.clone();
            if let Some(outputs) = resealed_outputs(&stack, &component, None, seal).map_err(failed(record))? {
                let component = ComponentRow { outputs, ..component };
                resealed.leases.insert((stack.clone(), key));
                resealed.writes.push(Write::Component { stack: stack.clone(), component });
            }
        }
        for mut owner in snapshot.owned {
            let record = format!("how `{}` of {stack} declares {}", owner.ownership.component, owner.ownership.address);
            let declared = SharedDeclaration::from_stored(&owner.ownership, &owner.declaration, seal);
            if let Some(declared) = declared.map_err(failed(record.clone()))? {
                owner.declaration = declared.to_stored(&owner.ownership, seal).map_err(failed(record))?;
                resealed.leases.insert((stack.clone(), owner.ownership.component.clone()));
                resealed.writes.push(Write::PutOwner(owner));
            }
        }
    }
    Ok(resealed)
}

/// Re-seals the outputs of a component. Returns `None` when they have no sensitive value.
fn resealed_outputs(
    stack: &StackId,
    component: &ComponentRow,
    from: Option<Uuid>,
    seal: &Seal,
) -> Result<Option<Sealed>, WireError> {
    let placed = seal.at(Place::Outputs { stack, component: &component.key });
    let source = from.map_or(placed, |store| placed.in_store(store));
    let outputs = component.outputs.open(&source)?;
    if !outputs.values().any(terrace_provider::Value::has_sensitive) {
        return Ok(None);
    }
    Sealed::seal(&outputs, &placed).map(Some)
}
