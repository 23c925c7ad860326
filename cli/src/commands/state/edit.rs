//! Manual edits of the state: each is an operation under the leases of its components.

use crate::context::Context;
use crate::failure::{Exit, Failure, hint_of};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{EnvironmentContext, store_for_changes};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_engine::address::{Address, AddressError, ComponentKey, InstanceKey, StackId};
use terrace_engine::apply::lease::{Claim, Held};
use terrace_engine::descriptor::is_resource_name;
use terrace_engine::rekey::{RekeyError, Resealed, reseal};
use terrace_engine::row_moves::{RowMove, resealing, writes};
use terrace_engine::seal::Seal;
use terrace_engine::selector::is_same_block;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, Selection, StateStore, StoreError, Write};
use terrace_engine::text::shell_word;
use terrace_provider::value::wire::WireError;
use terrace_server::rekey as requests;
use uuid::Uuid;

/// A manual edit.
pub(in crate::commands) struct StateEdit<'a> {
    pub(in crate::commands) context: &'a Context<'a>,
    pub(in crate::commands) signals: &'a Signals,
    pub(in crate::commands) settings: &'a Settings,
    pub(in crate::commands) store: Arc<dyn StateStore>,
    pub(in crate::commands) operation: Uuid,
    /// `state mv`.
    pub(in crate::commands) kind: &'static str,
}

/// Writes of a manual edit.
pub(in crate::commands) struct Change {
    /// Components whose leases the writes need.
    pub(in crate::commands) leases: BTreeSet<(StackId, ComponentKey)>,
    pub(in crate::commands) writes: Vec<Write>,
    /// A sentence for the list of operations.
    pub(in crate::commands) summary: String,
}

impl StateEdit<'_> {
    /// Performs a change as one operation, and returns it; `None` if there is nothing to do.
    ///
    /// Computes the writes twice: first to know the leases, then under the leases, because the previous holder may have
    /// changed the rows.
    ///
    /// # Errors
    /// When the change is invalid, a step on its rows is open, leases are held, or the state cannot be written.
    pub(in crate::commands) async fn perform(
        &self,
        change: impl AsyncFn() -> Result<Option<Change>, Failure>,
    ) -> Result<Option<Change>, Failure> {
        let Some(Change { leases, .. }) = change().await? else { return Ok(None) };
        self.signals.begin_changes();
        let progress = Progress::for_people(self.context.ui, true);
        let claim = Claim {
            components: leases.clone(),
            operation: self.operation,
            holder: &self.settings.actor,
            lock_timeout: self.settings.lock_timeout,
            cancel: &self.signals.cancel,
            events: progress.as_ref(),
        };
        let held = Held::take(&self.store, claim).await?;
        let written = async {
            let Some(change) = change().await? else { return Ok(None) };
            if !change.leases.is_subset(&leases) {
                return Err(Failure::refused("the resources changed during this command").hint("run it again"));
            }
            self.refuse_open_steps(&change.writes).await?;
            self.write(&held, &change).await?;
            Ok(Some(change))
        }
        .await;
        let released = held.release().await;
        let change = written?;
        released?;
        Ok(change)
    }

    async fn write(&self, held: &Held, change: &Change) -> Result<(), StoreError> {
        let stacks: BTreeSet<StackId> = change.leases.iter().map(|(stack, _)| stack.clone()).collect();
        self.store
            .begin(&NewOperation {
                id: self.operation,
                kind: self.kind.to_owned(),
                stacks: stacks.into_iter().collect(),
                actor: self.settings.actor.clone(),
            })
            .await?;
        let (operation, status, summary) = (self.operation, OperationStatus::Completed, change.summary.clone());
        let writes = change.writes.iter().cloned().map(|write| Record::Write { operation, write });
        let records: Vec<Record> = writes.chain([Record::End { operation, status, summary }]).collect();
        let result = held.commit(records).await;
        if let Err(error) = &result {
            let (status, summary) = (OperationStatus::Failed, error.to_string());
            // Reports the first error.
            let _ = self.store.commit(&[], vec![Record::End { operation, status, summary }]).await;
        }
        result
    }

    /// Refuses writes on rows of open steps. Recovery compares these rows with the remote object.
    async fn refuse_open_steps(&self, writes: &[Write]) -> Result<(), Failure> {
        let mut stacks: BTreeMap<&StackId, Vec<&Write>> = BTreeMap::new();
        for write in writes {
            let stack = match write {
                Write::Put { row, .. } => &row.stack,
                Write::Forget { stack, .. } | Write::Move { stack, .. } => stack,
                _ => continue,
            };
            stacks.entry(stack).or_default().push(write);
        }
        let known_stacks = self.store.stacks().await?;
        for (changed, writes) in stacks {
            // A step in any stack of the environment may depend on a shared resource.
            let is_shared = *changed == StackId::shared(&changed.environment);
            let is_checked =
                |stack: &&StackId| *stack == changed || (is_shared && stack.environment == changed.environment);
            for stack in known_stacks.iter().filter(is_checked) {
                self.refuse_open_steps_of(stack, &writes).await?;
            }
        }
        Ok(())
    }

    async fn refuse_open_steps_of(&self, stack: &StackId, writes: &[&Write]) -> Result<(), Failure> {
        for open in self.store.open_intents(stack, &Selection::All).await? {
            if writes.iter().any(|write| affects(write, &open.intent.row)) {
                let address = &open.intent.row.address;
                return Err(match open.is_orphaned {
                    true => Failure::refused(format!("{stack}:{address} has an interrupted step"))
                        .hint("resolve it with `terrace recover`, then try again"),
                    false => Failure::refused(format!("another operation works on {stack}:{address}"))
                        .hint(format!("wait until operation {} has ended", open.intent.operation)),
                });
            }
        }
        Ok(())
    }
}

/// True if a write concerns the row of a step: the same row, or a dependency that moves or disappears.
fn affects(write: &Write, row: &Row) -> bool {
    match write {
        Write::Put { row: put, .. } => put.address == row.address,
        Write::Forget { address, .. } => *address == row.address || row.dependencies.contains(address),
        Write::Move { from, to, .. } => [from, to].contains(&&row.address) || row.dependencies.contains(from),
        _ => false,
    }
}

/// Refuses the address of all instances: only dependencies have it.
pub(in crate::commands) fn refuse_all_instances(address: &Address) -> Result<(), Failure> {
    if address.key != Some(InstanceKey::All) {
        return Ok(());
    }
    let block = Address { key: None, ..address.clone() };
    Err(Failure::new(format!("`{address}` stands for all instances of `{block}`: no resource can have that address"))
        .hint(format!("leave `[*]` out, or name one instance: `{block}[\"KEY\"]`")))
}

/// Refuses a change between shared and not shared: the owners would be unknown.
fn check_sharing(from: &Address, to: &Address) -> Result<(), Failure> {
    match (from.is_shared(), to.is_shared()) {
        (true, false) => Err(Failure::new(format!("a shared resource cannot become `{to}`, which belongs to a stack"))
            .hint(format!("write the new address as `shared/{}[\"KEY\"]`", from.ty))),
        (false, true) => Err(Failure::new(format!("a resource of a stack cannot become `{to}`, which is shared"))
            .hint("drop it with `terrace state rm`, and declare it with `shared` and `adopt: ifExists`")),
        (true, true) if !matches!(to.key, Some(InstanceKey::Text(_) | InstanceKey::All)) => {
            Err(Failure::new(format!("`{to}` cannot be the address of a shared resource"))
                .hint("write the key in quotes: `[\"KEY\"]`"))
        }
        _ => Ok(()),
    }
}

/// Changes the address of a resource.
///
/// # Errors
/// When the resource does not exist, the address is in use, or the state cannot be written.
pub(super) async fn rename(context: &Context<'_>, signals: &Signals, from: &str, to: &str) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store_for_changes(&settings).await?;
    let (stack, from) = stacks::locate(from, &settings, store.as_ref()).await?;
    let (other, to) = match stacks::split(to) {
        Some(_) => stacks::locate(to, &settings, store.as_ref()).await?,
        None => (stack.clone(), to.parse().map_err(|error: AddressError| Failure::new(error.to_string()))?),
    };
    if other != stack {
        return Err(Failure::new(format!("a resource of {stack} cannot be moved into {other}"))
            .hint("keep it in its stack, or write the new address without a stack"));
    }
    check_sharing(&from, &to)?;
    refuse_all_instances(&from)?;
    refuse_all_instances(&to)?;
    if from.ty != to.ty {
        return Err(Failure::new(format!("a `{}` cannot become a `{}`", from.ty, to.ty))
            .hint("keep the type in the new address"));
    }
    if !to.is_shared() && !is_resource_name(&to.name) {
        return Err(Failure::new(format!("`{}` cannot be the name of a resource", to.name))
            .hint("use letters (a-z, A-Z), digits, `_` and `-`, and begin with a letter or `_`"));
    }
    let seal = EnvironmentContext::seal(&settings, Some(&stack.environment), true, context.ui)?;
    let edit = StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: "state mv" };
    let change = async || {
        let store = edit.store.as_ref();
        let moves = row_moves(store, &stack, &from, &to).await?;
        // A sealed value opens only at its own address. Without sealed values no key is needed.
        let resealed = resealing(store, &seal, &stack, &moves).await.map_err(not_rekeyed)?;
        let mut leases: BTreeSet<_> = [&from, &to].map(|address| (stack.clone(), address.lease_key())).into();
        leases.extend(resealed.iter().filter_map(|write| match write {
            Write::PutOwner(owner) => Some((owner.ownership.stack.clone(), owner.ownership.component.clone())),
            _ => None,
        }));
        Ok(Some(Change {
            leases,
            writes: writes(&stack, &moves).into_iter().chain(resealed).collect(),
            summary: format!("{from} is {to} now"),
        }))
    };
    edit.perform(change).await?;
    context.ui.print(&format!("{from} is {to} now\n"))?;
    Ok(Exit::Done)
}

/// The rows that get another address: that of the resource, or those of all its instances.
async fn row_moves(
    store: &dyn StateStore,
    stack: &StackId,
    from: &Address,
    to: &Address,
) -> Result<Vec<RowMove>, Failure> {
    let is_whole = from.key.is_none() && to.key.is_none();
    let rows = store.rows(stack, &Selection::Components([from.component.clone()].into())).await?;
    let rows = rows.into_iter().filter(|row| row.deposed.is_none() && is_same_block(&row.address, from));
    let moving = rows.filter(|row| is_whole || row.address.key == from.key).map(|row| RowMove {
        to: if is_whole { Address { key: row.address.key.clone(), ..to.clone() } } else { to.clone() },
        from: row.address,
        generation: row.generation,
    });
    let moving: Vec<RowMove> = moving.collect();
    if moving.is_empty() { Err(without_row(store, stack, from).await?) } else { Ok(moving) }
}

/// Removes rows of resources; their objects stay.
///
/// # Errors
/// When a resource does not exist, or the state cannot be written.
pub(super) async fn remove(context: &Context<'_>, signals: &Signals, addresses: &[String]) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store_for_changes(&settings).await?;
    let mut dropped = BTreeSet::new();
    for text in addresses {
        dropped.insert(stacks::locate(text, &settings, store.as_ref()).await?);
    }
    let names: Vec<String> = dropped.iter().map(|(stack, address)| format!("{stack}:{address}")).collect();
    let edit = StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: "state rm" };
    let deposed = RefCell::default();
    let change = async || {
        let store = edit.store.as_ref();
        let mut writes = Vec::new();
        let mut deposed_names = Vec::new();
        for (stack, address) in &dropped {
            let rows = store.rows(stack, &Selection::Addresses([address.clone()].into())).await?;
            if rows.is_empty() {
                return Err(without_row(store, stack, address).await?);
            }
            let keys = rows.iter().filter_map(|row| row.deposed.as_ref());
            deposed_names.extend(keys.map(|key| format!("{stack}:{address} (deposed {key})")));
            // The present object comes last, because its dependents refer to it.
            writes.extend(rows.into_iter().rev().map(drop_row));
        }
        let leases = dropped.iter().map(|(stack, address)| (stack.clone(), address.lease_key())).collect();
        let summary = format!("dropped {}", names.iter().chain(&deposed_names).cloned().collect::<Vec<_>>().join(", "));
        // Runs twice: without the leases, and with them.
        deposed.replace(deposed_names);
        Ok(Some(Change { leases, writes, summary }))
    };
    edit.perform(change).await?;
    let message =
        names.iter().chain(deposed.borrow().iter()).map(|name| format!("dropped {name}\n")).collect::<String>();
    context.ui.print(&message)?;
    context.ui.print_note("the objects themselves still exist");
    Ok(Exit::Done)
}

fn drop_row(row: Row) -> Write {
    Write::Forget { stack: row.stack, address: row.address, deposed: row.deposed, expected: row.generation }
}

/// Seals everything with the present key, requests of servers included.
///
/// # Errors
/// When there is no key, a value cannot be opened, or the state cannot be written.
pub(super) async fn rekey(
    context: &Context<'_>,
    signals: &Signals,
    is_plaintext_allowed: bool,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    // The project's key seals the queue of servers.
    let queue = EnvironmentContext::seal(&settings, None, is_plaintext_allowed, context.ui)?;
    let requests = store_for_changes(&settings).await?;
    let store: Arc<dyn StateStore> = Arc::clone(&requests) as _;
    queue.bind_to(store.as_ref()).await?;
    let mut seals = BTreeMap::new();
    let environments: BTreeSet<String> = store.known_stacks().await?.into_iter().map(|it| it.environment).collect();
    for environment in environments {
        let seal = EnvironmentContext::seal(&settings, Some(&environment), is_plaintext_allowed, context.ui)?;
        seals.insert(environment, Arc::new(seal));
    }
    if !seals.values().map(AsRef::as_ref).chain([&queue]).any(Seal::has_key) {
        return Err(Failure::new("there is no state key").hint(CREATE_KEY_HINT));
    }
    let edit =
        StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: "state rekey" };
    let skipped_records = RefCell::default();
    let change = async || {
        let Resealed { mut writes, leases, mut skipped } =
            reseal(edit.store.as_ref(), |environment| seals.get(environment).cloned()).await.map_err(not_rekeyed)?;
        // Without a project key the queue is not sealed.
        if queue.has_key() {
            let requests_resealed = requests::reseal(requests.as_ref(), &queue).await.map_err(not_rekeyed)?;
            writes.extend(requests_resealed.writes);
            skipped.extend(requests_resealed.skipped);
        }
        // Runs twice: without the leases, and with them.
        skipped_records.replace(skipped);
        if writes.is_empty() {
            return Ok(None);
        }
        let summary = match writes.len() {
            1 => "1 record is sealed with the present key".to_owned(),
            count => format!("{count} records are sealed with the present key"),
        };
        Ok(Some(Change { leases, writes, summary }))
    };
    let message = match edit.perform(change).await? {
        Some(change) => change.summary,
        None => "the state has no values to seal".to_owned(),
    };
    for skipped in skipped_records.into_inner() {
        context.ui.print_message(&format!("warning: {skipped}"));
    }
    context.ui.print(&format!("{message}\n"))?;
    Ok(Exit::Done)
}

const CREATE_KEY_HINT: &str =
    "create a key with `terrace init --state-key`; a state with sealed values needs the key that sealed them";

pub(super) fn not_rekeyed(error: RekeyError) -> Failure {
    const ADD_KEY_HINT: &str = "add the key that it was sealed with to `encryption.previous`";
    let failure = Failure::new(error.to_string());
    match error {
        RekeyError::NoKey { .. } => failure.hint(CREATE_KEY_HINT),
        RekeyError::NotRecovered { .. } => failure.hint("resolve them with `terrace recover`"),
        RekeyError::Sealed { error: WireError::CannotOpen(_), .. } => failure.hint(ADD_KEY_HINT),
        RekeyError::Sealed { error, .. } => failure.hint(hint_of(&error)),
        RekeyError::Request { operation, .. } => failure.hint(ADD_KEY_HINT).hint(format!(
            "if that key is lost, run `terrace operations cancel {operation}`: a server then ends the operation"
        )),
        RekeyError::Store(error) => error.into(),
    }
}

/// The row of a resource.
///
/// # Errors
/// When the resource has no row.
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

/// The failure for a resource without a row. Its creation may be in doubt.
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
        return Ok(Failure::new(format!("`{address}` of {stack} has no row: its creation is in doubt")).hint(format!(
            "run `terrace recover`, or `terrace recover --absent {}` if the object does \
                 not exist",
            shell_word(&format!("{stack}:{address}"))
        )));
    }
    let suggestion = stacks::similar(&address.to_string(), &stacks::addresses(stack, store).await?);
    Ok(Failure::new(format!("{stack} has no resource `{address}`")).hint(suggestion.unwrap_or_else(|| {
        "`terrace state list` lists its resources, `terrace state list --all` those of all stacks".to_owned()
    })))
}
