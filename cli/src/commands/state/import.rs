//! `terrace state import`: adds the content of an export to the state, and overwrites nothing.

use super::edit::{Change, StateEdit, not_rekeyed, refuse_all_instances};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::ui::{Ui, counted};
use crate::wiring::{EnvironmentContext, store};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use terrace_engine::address::{Address, ComponentKey, StackId};
use terrace_engine::rekey::rebind;
use terrace_engine::seal::Seal;
use terrace_engine::store::{ComponentRow, OwnerRow, OwnersOf, Record, Selection, StateStore, Write};
use terrace_engine::text::shell_words;
use terrace_state::{Access, export};
use uuid::Uuid;

/// Imports an export. Refuses existing rows, and merges components.
///
/// # Errors
/// When the file is not an export, a row or output differs from the state, or the state cannot be written.
pub(super) async fn import(context: &Context<'_>, signals: &Signals, path: &Path) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let failed = |why: String| {
        Failure::new(format!("`{}`: {why}", path.display()))
            .hint("name a file that `terrace state export --out FILE` wrote")
    };
    let text = files::text(path, files::WRITTEN).map_err(|error| failed(error.to_string()))?;
    let operation = Uuid::now_v7();
    let records = export::import(&text, operation).map_err(|error| failed(error.to_string()))?;
    let writes = records.into_iter().filter_map(|record| match record {
        Record::Write { write, .. } => Some(write),
        _ => None,
    });
    let writes: Vec<Write> = writes.collect();
    let rows = || writes.iter().filter_map(|write| if let Write::Put { row, .. } = write { Some(row) } else { None });
    rows().try_for_each(|row| refuse_all_instances(&row.address))?;
    let imported = format!("{} imported", counted(rows().count(), "resource"));
    let store = store(&settings, Access::ReadWrite).await?;
    let writes = reseal_for_store(writes, export::state_id(&text), store.as_ref(), &settings, context.ui).await?;
    let edit = StateEdit { context, signals, settings: &settings, store, operation, kind: "state import" };
    let change = async || {
        let change = StoredContent::of(edit.store.as_ref(), &writes).await?.change(&writes)?;
        Ok(Some(Change { leases: leases(&writes), writes: change, summary: imported.clone() }))
    };
    edit.perform(change).await?;
    context.ui.print(&format!("{imported}\n"))?;
    Ok(Exit::Done)
}

/// Seals the writes of another state for this one: a sealed value opens only in its own state.
async fn reseal_for_store(
    writes: Vec<Write>,
    from: Option<Uuid>,
    store: &dyn StateStore,
    settings: &Settings,
    ui: &Ui,
) -> Result<Vec<Write>, Failure> {
    let here = store.identity().await?.id;
    let Some(from) = from.filter(|from| *from != here) else { return Ok(writes) };
    let mut seals: BTreeMap<String, Seal> = BTreeMap::new();
    let mut bound = Vec::with_capacity(writes.len());
    for write in writes {
        let environment = match &write {
            Write::Put { row, .. } => row.stack.environment.clone(),
            Write::Component { stack, .. } => stack.environment.clone(),
            Write::PutOwner(owner) => owner.ownership.stack.environment.clone(),
            _ => {
                bound.push(write);
                continue;
            }
        };
        let seal = match seals.entry(environment) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                // Seals values that the other state had in the clear.
                let seal = EnvironmentContext::seal(settings, Some(place.key()), true, ui)?;
                seal.bind(here);
                place.insert(seal)
            }
        };
        bound.push(rebind(write, from, seal).map_err(not_rekeyed)?);
    }
    Ok(bound)
}

fn leases(writes: &[Write]) -> BTreeSet<(StackId, ComponentKey)> {
    let lease = |write: &Write| match write {
        Write::Put { row, .. } => Some((row.stack.clone(), row.address.lease_key())),
        Write::Component { stack, component } => Some((stack.clone(), component.key.clone())),
        Write::PutOwner(OwnerRow { ownership, .. }) => Some((ownership.stack.clone(), ownership.component.clone())),
        _ => None,
    };
    writes.iter().filter_map(lease).collect()
}

/// The present content of the document's stacks.
#[derive(Default)]
struct StoredContent {
    /// Rows that the document has too.
    rows: BTreeSet<(StackId, Address)>,
    components: BTreeMap<(StackId, ComponentKey), ComponentRow>,
    owners: Vec<OwnerRow>,
}

impl StoredContent {
    async fn of(store: &dyn StateStore, writes: &[Write]) -> Result<Self, Failure> {
        let mut wanted: BTreeMap<&StackId, BTreeSet<Address>> = BTreeMap::new();
        for write in writes {
            match write {
                Write::Put { row, .. } => drop(wanted.entry(&row.stack).or_default().insert(row.address.clone())),
                Write::Component { stack, .. } => drop(wanted.entry(stack).or_default()),
                Write::PutOwner(owner) => drop(wanted.entry(&owner.ownership.stack).or_default()),
                _ => {}
            }
        }
        let mut stored = Self::default();
        for (stack, addresses) in wanted {
            let rows = store.rows(stack, &Selection::Addresses(addresses)).await?;
            stored.rows.extend(rows.into_iter().map(|row| (row.stack, row.address)));
            let components = store.components(stack).await?.into_iter();
            stored.components.extend(components.map(|component| ((stack.clone(), component.key.clone()), component)));
            stored.owners.extend(store.owners(&stack.environment, &OwnersOf::Stack(stack.clone())).await?);
        }
        Ok(stored)
    }

    /// The writes that add to the state and change nothing.
    fn change(&self, writes: &[Write]) -> Result<Vec<Write>, Failure> {
        let mut differing = Vec::new();
        let mut change = Vec::new();
        for write in writes {
            match write {
                Write::Component { stack, component } => {
                    match self.components.get(&(stack.clone(), component.key.clone())) {
                        None => change.push(write.clone()),
                        Some(stored) => match export::merged(stored, component) {
                            Ok(component) => change.push(Write::Component { stack: stack.clone(), component }),
                            Err(outputs) => differing.extend(outputs.iter().map(|output| {
                                let of = if component.key.is_stack() {
                                    String::new()
                                } else {
                                    format!("{}.", component.key)
                                };
                                format!("the output `{of}{output}` of {stack}")
                            })),
                        },
                    }
                }
                Write::PutOwner(owner) => match self.owners.iter().find(|stored| stored.ownership == owner.ownership) {
                    None => change.push(write.clone()),
                    Some(stored) if stored == owner => {}
                    Some(_) => {
                        let ownership = &owner.ownership;
                        let (component, stack) = (&ownership.component, &ownership.stack);
                        differing.push(format!("how `{component}` of {stack} declares {}", ownership.address));
                    }
                },
                other => change.push(other.clone()),
            }
        }
        let rows: Vec<String> = self.rows.iter().map(|(stack, address)| format!("{stack}:{address}")).collect();
        if !rows.is_empty() {
            return Err(refused("already in the state", &rows).hint(format!(
                "import into an empty state (`--state sqlite:NEW.db`), or drop the present rows first: `terrace state rm {}`",
                shell_words(&rows, "ADDRESS")
            )));
        }
        if !differing.is_empty() {
            return Err(refused("different in the state", &differing)
                .hint("import into an empty state: `--state sqlite:NEW.db`"));
        }
        Ok(change)
    }
}

/// The failure with the first of many conflicts, and the number of the others.
fn refused(why: &str, names: &[String]) -> Failure {
    const MANY: usize = 10;
    let shown = names.iter().take(MANY).map(String::as_str).collect::<Vec<_>>().join(", ");
    let shown = match names.len().saturating_sub(MANY) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    };
    Failure::refused(format!("{why}, so nothing was imported: {shown}"))
}
