//! What people change in the state by hand: each change is an operation under the leases of its components.

use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::planning::quoted;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::stacks;
use crate::ui::counted;
use crate::wiring::{World, store};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use terrace_engine::address::{Address, AddressError, StackId};
use terrace_engine::apply::lease::{Claim, Held};
use terrace_engine::descriptor::is_resource_name;
use terrace_engine::moves::{Moving, writes};
use terrace_engine::rekey::{RekeyError, reseal};
use terrace_engine::selector::is_same_block;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, Selection, StateStore, StoreError, Write};
use terrace_state::{Access, export};
use uuid::Uuid;

/// One change by hand.
pub(in crate::commands) struct Surgery<'a> {
    pub(in crate::commands) context: &'a Context<'a>,
    pub(in crate::commands) signals: &'a Signals,
    pub(in crate::commands) settings: &'a Settings,
    pub(in crate::commands) store: Arc<dyn StateStore>,
    pub(in crate::commands) operation: Uuid,
    /// `state mv`.
    pub(in crate::commands) kind: &'static str,
}

impl Surgery<'_> {
    /// Writes under the leases of the components, as one operation.
    ///
    /// # Errors
    /// When leases cannot be had or the state cannot be written.
    pub(in crate::commands) async fn write(
        &self,
        components: BTreeSet<(StackId, String)>,
        mut records: Vec<Record>,
        summary: String,
    ) -> Result<(), Failure> {
        self.signals.begin_changes();
        let progress = Progress::for_people(self.context.ui);
        let stacks: BTreeSet<StackId> = components.iter().map(|(stack, _)| stack.clone()).collect();
        let claim = Claim {
            components,
            operation: self.operation,
            holder: &self.settings.actor,
            patience: self.settings.patience,
            cancel: &self.signals.cancel,
            events: progress.as_ref(),
        };
        let held = Held::take(&self.store, claim).await?;
        let written = async {
            self.store
                .begin(&NewOperation {
                    id: self.operation,
                    kind: self.kind.to_owned(),
                    stacks: stacks.into_iter().collect(),
                    actor: self.settings.actor.clone(),
                })
                .await?;
            let (operation, status) = (self.operation, OperationStatus::Completed);
            records.push(Record::End { operation, status, summary });
            let result = held.commit(&records).await;
            if let Err(error) = &result {
                let (status, summary) = (OperationStatus::Failed, error.to_string());
                // The first error is the one to tell.
                let _ = self.store.commit(&[], &[Record::End { operation, status, summary }]).await;
            }
            result
        }
        .await;
        let released = held.release().await;
        written?;
        released?;
        Ok(())
    }
}

/// Gives a resource another address.
///
/// # Errors
/// When there is no such resource, the address is taken, or the state cannot be written.
pub(super) async fn rename(context: &Context<'_>, signals: &Signals, from: &str, to: &str) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadWrite).await?;
    let (stack, from) = stacks::locate(from, &settings, store.as_ref()).await?;
    let (other, to) = match stacks::split(to) {
        Some(_) => stacks::locate(to, &settings, store.as_ref()).await?,
        None => (stack.clone(), to.parse().map_err(|error: AddressError| Failure::new(error.to_string()))?),
    };
    if other != stack {
        return Err(Failure::new(format!("a resource of {stack} cannot be moved into {other}"))
            .hint("keep it in its stack, or leave the stack before the new address out"));
    }
    if from.is_shared() || to.is_shared() {
        return Err(Failure::new("shared resources have no names that could be moved"));
    }
    if from.ty != to.ty {
        return Err(Failure::new(format!("a `{}` cannot become a `{}`", from.ty, to.ty))
            .hint("keep the type in the new address"));
    }
    if !is_resource_name(&to.name) {
        return Err(Failure::new(format!("`{}` cannot be the name of a resource", to.name))
            .hint("use letters, digits, `_` and `-`, and begin with a letter or `_`"));
    }
    let moving = moving(store.as_ref(), &stack, &from, &to).await?;
    let operation = Uuid::now_v7();
    let components = [&from, &to].map(|address| (stack.clone(), address.leased_as())).into();
    let records = writes(&stack, &moving).into_iter().map(|write| Record::Write { operation, write }).collect();
    let surgery = Surgery { context, signals, settings: &settings, store, operation, kind: "state mv" };
    surgery.write(components, records, format!("{from} is {to} now")).await?;
    context.ui.print(&format!("{from} is {to} now\n"))?;
    Ok(Exit::Done)
}

/// The rows that get another address: that of the resource, or those of all its instances.
async fn moving(store: &dyn StateStore, stack: &StackId, from: &Address, to: &Address) -> Result<Vec<Moving>, Failure> {
    let is_whole = from.key.is_none() && to.key.is_none();
    let rows = store.rows(stack, &Selection::Components([from.component.clone()].into())).await?;
    let rows = rows.into_iter().filter(|row| row.deposed.is_none() && is_same_block(&row.address, from));
    let moving = rows.filter(|row| is_whole || row.address.key == from.key).map(|row| Moving {
        to: if is_whole { Address { key: row.address.key.clone(), ..to.clone() } } else { to.clone() },
        from: row.address,
        generation: row.generation,
    });
    let moving: Vec<Moving> = moving.collect();
    if moving.is_empty() { Err(without_row(store, stack, from).await?) } else { Ok(moving) }
}

/// Drops resources; their objects stay.
///
/// # Errors
/// When one of them is not there, or the state cannot be written.
pub(super) async fn remove(context: &Context<'_>, signals: &Signals, addresses: &[String]) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadWrite).await?;
    let operation = Uuid::now_v7();
    let (mut components, mut records, mut dropped) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    for text in addresses {
        let (stack, address) = stacks::locate(text, &settings, store.as_ref()).await?;
        if !dropped.insert((stack.clone(), address.clone())) {
            continue;
        }
        let rows = store.rows(&stack, &Selection::Addresses([address.clone()].into())).await?;
        if rows.is_empty() {
            return Err(without_row(store.as_ref(), &stack, &address).await?);
        }
        components.insert((stack, address.leased_as()));
        records.extend(rows.into_iter().map(|row| drop_row(operation, row)));
    }
    let names: Vec<String> = dropped.iter().map(|(stack, address)| format!("{stack}:{address}")).collect();
    let surgery = Surgery { context, signals, settings: &settings, store, operation, kind: "state rm" };
    surgery.write(components, records, format!("dropped {}", names.join(", "))).await?;
    context.ui.print(&names.iter().map(|name| format!("dropped {name}\n")).collect::<String>())?;
    context.ui.say("the objects themselves are left alone");
    Ok(Exit::Done)
}

fn drop_row(operation: Uuid, row: Row) -> Record {
    let write =
        Write::Delete { stack: row.stack, address: row.address, deposed: row.deposed, expected: row.generation };
    Record::Write { operation, write }
}

/// Seals everything with the present key.
///
/// # Errors
/// When there is no key, something cannot be opened, or the state cannot be written.
pub(super) async fn rekey(context: &Context<'_>, signals: &Signals) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let seal = World::seal(&settings, false)?;
    let store = store(&settings, Access::ReadWrite).await?;
    let resealed = reseal(store.as_ref(), &seal).await.map_err(|error| {
        let failure = Failure::new(error.to_string());
        match error {
            RekeyError::NoKey => failure.hint("make a key with `terrace init --state-key`"),
            RekeyError::NotRecovered { .. } => failure.hint("`terrace recover` finds out what became of them"),
            RekeyError::Sealed { .. } => failure.hint("add the key that it was sealed with to `encryption.previous`"),
            RekeyError::Store(error) => error.into(),
        }
    })?;
    let operation = Uuid::now_v7();
    let count = resealed.writes.len();
    let records = resealed.writes.into_iter().map(|write| Record::Write { operation, write }).collect();
    let summary = format!("{count} records are sealed with the present key");
    let surgery = Surgery { context, signals, settings: &settings, store, operation, kind: "state rekey" };
    surgery.write(resealed.leases, records, summary.clone()).await?;
    context.ui.print(&format!("{summary}\n"))?;
    Ok(Exit::Done)
}

/// Takes in what `state export` wrote: rows that are there already are refused.
///
/// # Errors
/// When the document is none, a row is there already, or the state cannot be written.
pub(super) async fn import(context: &Context<'_>, signals: &Signals, path: &Path) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let failed = |why: String| Failure::new(format!("`{}`: {why}", path.display()));
    let text = files::text(path, files::WRITTEN).map_err(|error| failed(error.to_string()))?;
    let operation = Uuid::now_v7();
    let records = export::import(&text, operation)
        .map_err(|error| failed(error.to_string()).hint("give a file that `terrace state export --out FILE` wrote"))?;
    let mut components = BTreeSet::new();
    for record in &records {
        match record {
            Record::Write { write: Write::Put { row, .. }, .. } => {
                components.insert((row.stack.clone(), row.address.leased_as()));
            }
            Record::Write { write: Write::Component { stack, component }, .. } => {
                components.insert((stack.clone(), component.key.clone()));
            }
            Record::Write { write: Write::PutOwner(owner), .. } => {
                let owner = &owner.ownership;
                components.insert((owner.stack.clone(), owner.component.clone()));
            }
            _ => {}
        }
    }
    let count =
        records.iter().filter(|record| matches!(record, Record::Write { write: Write::Put { .. }, .. })).count();
    let store = store(&settings, Access::ReadWrite).await?;
    let surgery = Surgery { context, signals, settings: &settings, store, operation, kind: "state import" };
    let recorded = already_recorded(surgery.store.as_ref(), &records).await?;
    if let Some(first) = recorded.first() {
        return Err(Failure::refused(format!("recorded already, so nothing was imported: {}", shortened(&recorded)))
            .hint(format!(
                "import into an empty state (`--state sqlite:NEW.db`), or drop what is there first: `terrace state rm {}`",
                quoted(first)
            )));
    }
    let summary = format!("{} imported", counted(count, "resource"));
    surgery.write(components, records, summary).await?;
    context.ui.print(&format!("{} imported\n", counted(count, "resource")))?;
    Ok(Exit::Done)
}

/// The rows to be written that are there already, by stack and address, in order.
async fn already_recorded(store: &dyn StateStore, records: &[Record]) -> Result<Vec<String>, Failure> {
    let mut wanted: BTreeMap<&StackId, BTreeSet<Address>> = BTreeMap::new();
    for record in records {
        if let Record::Write { write: Write::Put { row, .. }, .. } = record {
            wanted.entry(&row.stack).or_default().insert(row.address.clone());
        }
    }
    let mut found = Vec::new();
    for (stack, addresses) in wanted {
        let rows = store.rows(stack, &Selection::Addresses(addresses)).await?;
        found.extend(rows.into_iter().map(|row| format!("{}:{}", row.stack, row.address)));
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// The first of many names, and how many more there are.
fn shortened(names: &[String]) -> String {
    const MANY: usize = 10;
    let shown = names.iter().take(MANY).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MANY) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The row of a resource.
///
/// # Errors
/// When there is none.
pub(in crate::commands) async fn present(
    store: &dyn StateStore,
    stack: &StackId,
    address: &Address,
) -> Result<Row, Failure> {
    let rows = store.rows(stack, &Selection::Addresses([address.clone()].into())).await.map_err(known)?;
    match rows.into_iter().find(|row| row.deposed.is_none()) {
        Some(row) => Ok(row),
        None => Err(without_row(store, stack, address).await?),
    }
}

fn known(error: StoreError) -> Failure {
    error.into()
}

/// There is no such resource; but there may be a step that was to make it.
///
/// # Errors
/// When the store cannot be read.
pub(super) async fn without_row(
    store: &dyn StateStore,
    stack: &StackId,
    address: &Address,
) -> Result<Failure, Failure> {
    let open = store.open_intents(stack, &Selection::Addresses([address.clone()].into())).await?;
    if open.iter().any(|open| open.is_orphaned) {
        return Ok(Failure::new(format!("`{address}` of {stack} is not recorded: its creation is in doubt")).hint(
            format!(
                "`terrace recover` finds out, or asks; `terrace recover --absent {}` says that it is \
                 not there",
                quoted(&format!("{stack}:{address}"))
            ),
        ));
    }
    let like = stacks::similar(&address.to_string(), &stacks::addresses(stack, store).await?);
    Ok(Failure::new(format!("{stack} has no resource `{address}`")).hint(like.unwrap_or_else(|| {
        "`terrace state list` names its resources, `terrace state list --all` those of all stacks".to_owned()
    })))
}
