//! Sealing everything anew: what a state holds under older keys comes under the present one.

use crate::address::StackId;
use crate::plan::outputs_in_words;
use crate::plan::shared::SharedDeclaration;
use crate::record::{open_attributes, open_private, seal_private};
use crate::seal::Seal;
use crate::store::{ComponentRow, Row, Selection, StateStore, StoreError, Write};
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::Attributes;
use terrace_provider::value::wire::{WireError, encode_map};
use uuid::Uuid;

/// A state cannot be sealed anew.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    /// There is no key to seal with.
    #[error("there is no state key")]
    NoKey,
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

/// Seals everything that a store holds with the present key: all versions of all rows, outputs, declarations of owners.
/// Older versions that cannot be opened stay as they are: their key is lost, and so are they.
/// Change detectors of write-only values cannot be made anew: their next plan sends those values again.
///
/// # Errors
/// When there is no key, something that counts now cannot be opened, or the store cannot be read.
pub async fn reseal(store: &dyn StateStore, seal: &Seal) -> Result<Resealed, RekeyError> {
    if !seal.has_key() {
        return Err(RekeyError::NoKey);
    }
    let mut resealed = Resealed::default();
    resealed.leases.extend(store.leases().await?.into_iter().map(|lease| (lease.stack, lease.component)));
    for snapshot in store.snapshot(None, true).await? {
        let stack = snapshot.stack;
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
            let anew = match row_anew(row, seal) {
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
            match texts_anew(&component.outputs, seal) {
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
            if let Some(outputs) = texts_anew(&component.outputs, seal).map_err(failed(what))? {
                let component = ComponentRow { outputs, ..component };
                resealed.leases.insert((stack.clone(), key));
                resealed.writes.push(Write::Component { stack: stack.clone(), component });
            }
        }
        for mut owner in snapshot.owned {
            let what = format!("how `{}` of {stack} declares {}", owner.ownership.component, owner.ownership.address);
            let declared = SharedDeclaration::from_stored(&owner.declaration, seal).map_err(failed(what.clone()))?;
            if let Some(declared) = declared {
                owner.declaration = declared.to_stored(seal).map_err(failed(what))?;
                resealed.leases.insert((stack.clone(), owner.ownership.component.clone()));
                resealed.writes.push(Write::PutOwner(owner));
            }
        }
    }
    Ok(resealed)
}

/// The row sealed anew; `None` when nothing in it is sealed.
fn row_anew(row: Row, seal: &Seal) -> Result<Option<Row>, WireError> {
    let (identity, attributes) = (texts_anew(&row.identity, seal)?, texts_anew(&row.attributes, seal)?);
    let private = seal_private(&open_private(&row.private, seal)?, seal)?;
    if identity.is_none() && attributes.is_none() && private.is_empty() {
        return Ok(None);
    }
    let identity = identity.unwrap_or_else(|| row.identity.clone());
    let attributes = attributes.unwrap_or_else(|| row.attributes.clone());
    Ok(Some(Row { identity, attributes, private, ..row }))
}

/// Attributes sealed anew; `None` when none of them is sealed.
fn texts_anew(text: &str, seal: &Seal) -> Result<Option<String>, WireError> {
    let attributes: Attributes = open_attributes(text, seal)?;
    if !attributes.values().any(terrace_provider::Value::has_sensitive) {
        return Ok(None);
    }
    Ok(Some(encode_map(&attributes, seal)?.to_string()))
}
