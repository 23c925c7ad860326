//! Sealing everything anew: what a state holds under older keys comes under the present one.

use crate::address::StackId;
use crate::plan::outputs_in_words;
use crate::plan::shared::SharedDeclaration;
use crate::record::{open_text, resealed as resealed_row};
use crate::seal::{Place, Seal};
use crate::store::{ComponentRow, OwnerRow, Row, Selection, StateStore, StoreError, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_provider::Attributes;
use terrace_provider::value::wire::{WireError, encode_map};
use uuid::Uuid;

/// A state cannot be sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// An environment has no state key.
    #[error("the environment `{environment}` has no state key")]
    NoKey {
        /// The environment.
        environment: String,
    },
    /// A crash left steps whose rows are sealed, too.
    #[error("{stack} has steps that were cut off")]
    NotRecovered {
        /// The stack.
        stack: StackId,
    },
    /// Something cannot be opened with any of the keys.
    #[error("{what} cannot be opened: {error}")]
    Sealed {
        /// What.
        what: String,
        /// Why.
        error: WireError,
    },
    /// What a server was asked for, and has not done, cannot be opened with any of the keys.
    #[error("what operation {operation} was queued for cannot be opened: {error}")]
    Asked {
        /// The operation.
        operation: Uuid,
        /// Why.
        error: WireError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is to be written so that everything is sealed with the present key.
#[derive(Debug, Default)]
pub struct Resealed {
    /// The writes.
    pub writes: Vec<Write>,
    /// What has to be leased for them: also what others work on now, who seal with the key that they know.
    pub leases: BTreeSet<(StackId, String)>,
    /// What is no more, and stays as it is because it cannot be opened.
    pub left: BTreeSet<String>,
}

/// Seals a write of another store for the bound store: a sealed value opens in its own store only.
///
/// # Errors
/// When something cannot be opened as that of the other store, or not be sealed.
pub fn rebound(write: Write, from: Uuid, seal: &Seal) -> Result<Write, RekeyError> {
    let failed = |what: String| move |error| RekeyError::Sealed { what, error };
    Ok(match write {
        Write::Put { row, expected } => {
            let (what, address) = (format!("{}:{}", row.stack, row.address), row.address.clone());
            let anew = resealed_row((*row).clone(), Some(from), &address, seal).map_err(failed(what))?;
            Write::Put { row: anew.map_or(row, Box::new), expected }
        }
        Write::Component { stack, component } => {
            let what = outputs_in_words(&stack, &component.key);
            let outputs = resealed_outputs(&stack, &component, Some(from), seal).map_err(failed(what))?;
            let outputs = outputs.unwrap_or_else(|| component.outputs.clone());
            Write::Component { stack, component: ComponentRow { outputs, ..component } }
        }
        Write::PutOwner(owner) => {
            let OwnerRow { ownership, declaration } = &owner;
            let what =
                || format!("how `{}` of {} declares {}", ownership.component, ownership.stack, ownership.address);
            let declared = SharedDeclaration::from_stored_in(Some(from), ownership, declaration, seal);
            let declared = declared.map_err(failed(what()))?.filter(SharedDeclaration::has_sensitive);
            let anew = declared.map(|declared| declared.to_stored(ownership, seal)).transpose();
            let anew = anew.map_err(failed(what()))?.unwrap_or_else(|| declaration.clone());
            Write::PutOwner(OwnerRow { ownership: ownership.clone(), declaration: anew })
        }
        other => other,
    })
}

/// Seals everything that a store holds with the present key of each environment: all versions of all rows, outputs,
/// declarations of owners.
/// Older versions that cannot be opened stay as they are: their key is lost, and so are they.
/// Change detectors of write-only values cannot be made anew: their next plan sends those values again.
///
/// # Errors
/// When there is no key, something that counts now cannot be opened, or the store cannot be read.
pub async fn reseal(
    store: &dyn StateStore,
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
        let failed = |what: String| move |error| RekeyError::Sealed { what, error };
        let versions = snapshot.history.into_iter().filter_map(|(_, entry)| entry.row);
        let mut rows: BTreeMap<_, Row> = BTreeMap::new();
        let current: BTreeSet<_> = snapshot.rows.iter().map(|row| (row.address.clone(), row.generation)).collect();
        for row in versions.chain(snapshot.rows) {
            rows.insert((row.address.clone(), row.deposed.clone(), row.generation), row);
        }
        for row in rows.into_values() {
            let what = format!("{stack}:{}", row.address);
            let lease = (stack.clone(), row.address.leased_as());
            let is_current = current.contains(&(row.address.clone(), row.generation));
            let address = row.address.clone();
            let anew = match resealed_row(row, None, &address, seal) {
                Err(error) if !is_current => {
                    resealed.left.insert(format!("what {what} was stays as it is: {error}"));
                    None
                }
                anew => anew.map_err(failed(what))?,
            };
            if let Some(row) = anew {
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
                // What counts now is refused below.
                Err(_) if snapshot.components.contains(&component) => {}
                Err(error) => {
                    resealed.left.insert(format!("what {outputs} were stays as it is: {error}"));
                }
            }
        }
        for component in snapshot.components {
            let what = outputs_in_words(&stack, &component.key);
            let key = component.key.clone();
            if let Some(outputs) = resealed_outputs(&stack, &component, None, seal).map_err(failed(what))? {
                let component = ComponentRow { outputs, ..component };
                resealed.leases.insert((stack.clone(), key));
                resealed.writes.push(Write::Component { stack: stack.clone(), component });
            }
        }
        for mut owner in snapshot.owned {
            let what = format!("how `{}` of {stack} declares {}", owner.ownership.component, owner.ownership.address);
            let declared = SharedDeclaration::from_stored(&owner.ownership, &owner.declaration, seal);
            if let Some(declared) = declared.map_err(failed(what.clone()))? {
                owner.declaration = declared.to_stored(&owner.ownership, seal).map_err(failed(what))?;
                resealed.leases.insert((stack.clone(), owner.ownership.component.clone()));
                resealed.writes.push(Write::PutOwner(owner));
            }
        }
    }
    Ok(resealed)
}

/// Seals the outputs of a component again; `None` when they have no sensitive value.
fn resealed_outputs(
    stack: &StackId,
    component: &ComponentRow,
    from: Option<Uuid>,
    seal: &Seal,
) -> Result<Option<String>, WireError> {
    let placed = seal.at(Place::Outputs { stack, component: &component.key });
    let source = from.map_or(placed, |store| placed.in_store(store));
    let outputs: Attributes = open_text(&component.outputs, &source)?;
    if !outputs.values().any(terrace_provider::Value::has_sensitive) {
        return Ok(None);
    }
    Ok(Some(encode_map(&outputs, &placed)?.to_string()))
}
