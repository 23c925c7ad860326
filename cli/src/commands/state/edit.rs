//! Manual edits of the state: each is an operation under the leases of its components.

use crate::commands::Context;
use crate::failure::{Exit, Failure, hint_of};
use crate::planning::quoted;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{World, recorded, recorded_with_requests};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use terrace_engine::address::{Address, AddressError, InstanceKey, StackId};
use terrace_engine::apply::lease::{Claim, Held};
use terrace_engine::descriptor::is_resource_name;
use terrace_engine::moves::{Moving, resealing, writes};
use terrace_engine::rekey::{RekeyError, Resealed, reseal};
use terrace_engine::seal::Seal;
use terrace_engine::selector::is_same_block;
use terrace_engine::store::{NewOperation, OperationStatus, Record, Row, Selection, StateStore, StoreError, Write};
use terrace_provider::value::wire::WireError;
use terrace_server::rekey as requests;
use uuid::Uuid;

/// One change by hand.
pub(in crate::commands) struct StateEdit<'a> {
    pub(in crate::commands) context: &'a Context<'a>,
    pub(in crate::commands) signals: &'a Signals,
    pub(in crate::commands) settings: &'a Settings,
    pub(in crate::commands) store: Arc<dyn StateStore>,
    pub(in crate::commands) operation: Uuid,
    /// `state mv`.
    pub(in crate::commands) kind: &'static str,
}

/// What a change by hand writes.
pub(in crate::commands) struct Change {
    /// The components that have to be leased for it.
    pub(in crate::commands) leases: BTreeSet<(StackId, String)>,
    pub(in crate::commands) writes: Vec<Write>,
    /// One sentence for the list of operations.
    pub(in crate::commands) summary: String,
}

impl StateEdit<'_> {
    /// Carries out a change as one operation, and returns it; `None` when there is nothing to do.
    ///
    /// What it writes is worked out twice: first to know what has to be leased, and again under the leases, for whoever
    /// held them until then may have changed all that it is about.
    ///
    /// # Errors
    /// When the change cannot be, a step on what it writes is open, leases cannot be had or the state cannot be
    /// written.
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
            patience: self.settings.patience,
            cancel: &self.signals.cancel,
            events: progress.as_ref(),
        };
        let held = Held::take(&self.store, claim).await?;
        let written = async {
            let Some(change) = change().await? else { return Ok(None) };
            if !change.leases.is_subset(&leases) {
                return Err(Failure::refused("what this is about has changed in this moment").hint("start it again"));
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
            // The first error is the one to tell.
            let _ = self.store.commit(&[], vec![Record::End { operation, status, summary }]).await;
        }
        result
    }

    /// A step that is open says what it began with and what it makes: whoever changes that meanwhile takes from recovery
    /// what it needs to find out.
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
        let recorded = self.store.stacks().await?;
        for (changed, writes) in stacks {
            // A step in any stack of the environment may come after what is shared.
            let is_shared = *changed == StackId::shared(&changed.environment);
            let is_looked_at =
                |stack: &&StackId| *stack == changed || (is_shared && stack.environment == changed.environment);
            for stack in recorded.iter().filter(is_looked_at) {
                self.refuse_open_steps_of(stack, &writes).await?;
            }
        }
        Ok(())
    }

    async fn refuse_open_steps_of(&self, stack: &StackId, writes: &[&Write]) -> Result<(), Failure> {
        for open in self.store.open_intents(stack, &Selection::All).await? {
            if writes.iter().any(|write| is_about(write, &open.intent.row)) {
                let address = &open.intent.row.address;
                return Err(match open.is_orphaned {
                    true => Failure::refused(format!("{stack}:{address} has a step that was cut off"))
                        .hint("`terrace recover` finds out what became of it: try again after that"),
                    false => Failure::refused(format!("{stack}:{address} is being worked on"))
                        .hint(format!("wait until operation {} has ended", open.intent.operation)),
                });
            }
        }
        Ok(())
    }
}

/// True when a change concerns the row that a step makes: it is the same, or comes after what moves away or goes.
fn is_about(write: &Write, row: &Row) -> bool {
    match write {
        Write::Put { row: put, .. } => put.address == row.address,
        Write::Forget { address, .. } => *address == row.address || row.dependencies.contains(address),
        Write::Move { from, to, .. } => [from, to].contains(&&row.address) || row.dependencies.contains(from),
        _ => false,
    }
}

/// Refuses the address that stands for all instances: it is for dependencies, and no resource has it.
pub(in crate::commands) fn single(address: &Address) -> Result<(), Failure> {
    if address.key != Some(InstanceKey::All) {
        return Ok(());
    }
    let block = Address { key: None, ..address.clone() };
    Err(Failure::new(format!("`{address}` stands for all instances of `{block}`: no resource can have that address"))
        .hint(format!("leave `[*]` out, or name one instance: `{block}[\"KEY\"]`")))
}

/// Refuses to make a shared resource of one that is not, or the other way round: who owns it would be anybody's guess.
fn shared_alike(from: &Address, to: &Address) -> Result<(), Failure> {
    match (from.is_shared(), to.is_shared()) {
        (true, false) => Err(Failure::new(format!("a shared resource cannot become `{to}`, which is one of a stack"))
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

/// Gives a resource another address.
///
/// # Errors
/// When there is no such resource, the address is taken, or the state cannot be written.
pub(super) async fn rename(context: &Context<'_>, signals: &Signals, from: &str, to: &str) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = recorded(&settings).await?;
    let (stack, from) = stacks::locate(from, &settings, store.as_ref()).await?;
    let (other, to) = match stacks::split(to) {
        Some(_) => stacks::locate(to, &settings, store.as_ref()).await?,
        None => (stack.clone(), to.parse().map_err(|error: AddressError| Failure::new(error.to_string()))?),
    };
    if other != stack {
        return Err(Failure::new(format!("a resource of {stack} cannot be moved into {other}"))
            .hint("keep it in its stack, or leave the stack before the new address out"));
    }
    shared_alike(&from, &to)?;
    single(&from)?;
    single(&to)?;
    if from.ty != to.ty {
        return Err(Failure::new(format!("a `{}` cannot become a `{}`", from.ty, to.ty))
            .hint("keep the type in the new address"));
    }
    if !to.is_shared() && !is_resource_name(&to.name) {
        return Err(Failure::new(format!("`{}` cannot be the name of a resource", to.name))
            .hint("use letters (a-z, A-Z), digits, `_` and `-`, and begin with a letter or `_`"));
    }
    let seal = World::seal(&settings, Some(&stack.environment), true, context.ui)?;
    let surgery =
        StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: "state mv" };
    let change = async || {
        let store = surgery.store.as_ref();
        let moving = moving(store, &stack, &from, &to).await?;
        // A sealed value opens at its own address only. Where nothing is sealed there need not be a key.
        let resealed = resealing(store, &seal, &stack, &moving).await.map_err(not_rekeyed)?;
        let mut leases: BTreeSet<_> = [&from, &to].map(|address| (stack.clone(), address.leased_as())).into();
        leases.extend(resealed.iter().filter_map(|write| match write {
            Write::PutOwner(owner) => Some((owner.ownership.stack.clone(), owner.ownership.component.clone())),
            _ => None,
        }));
        Ok(Some(Change {
            leases,
            writes: writes(&stack, &moving).into_iter().chain(resealed).collect(),
            summary: format!("{from} is {to} now"),
        }))
    };
    surgery.perform(change).await?;
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
    let store = recorded(&settings).await?;
    let mut dropped = BTreeSet::new();
    for text in addresses {
        dropped.insert(stacks::locate(text, &settings, store.as_ref()).await?);
    }
    let names: Vec<String> = dropped.iter().map(|(stack, address)| format!("{stack}:{address}")).collect();
    let surgery =
        StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: "state rm" };
    let deposed = RefCell::default();
    let change = async || {
        let store = surgery.store.as_ref();
        let mut writes = Vec::new();
        let mut beside = Vec::new();
        for (stack, address) in &dropped {
            let rows = store.rows(stack, &Selection::Addresses([address.clone()].into())).await?;
            if rows.is_empty() {
                return Err(without_row(store, stack, address).await?);
            }
            let keys = rows.iter().filter_map(|row| row.deposed.as_ref());
            beside.extend(keys.map(|key| format!("{stack}:{address} (deposed {key})")));
            // The present object last: what was made after it is known by it.
            writes.extend(rows.into_iter().rev().map(drop_row));
        }
        let leases = dropped.iter().map(|(stack, address)| (stack.clone(), address.leased_as())).collect();
        let summary = format!("dropped {}", names.iter().chain(&beside).cloned().collect::<Vec<_>>().join(", "));
        // It is looked twice: without the leases, and with them.
        deposed.replace(beside);
        Ok(Some(Change { leases, writes, summary }))
    };
    surgery.perform(change).await?;
    let told = names.iter().chain(deposed.borrow().iter()).map(|name| format!("dropped {name}\n")).collect::<String>();
    context.ui.print(&told)?;
    context.ui.say("the objects themselves are left alone");
    Ok(Exit::Done)
}

fn drop_row(row: Row) -> Write {
    Write::Forget { stack: row.stack, address: row.address, deposed: row.deposed, expected: row.generation }
}

/// Seals everything with the present key, what was asked of servers included.
///
/// # Errors
/// When there is no key, something cannot be opened, or the state cannot be written.
pub(super) async fn rekey(
    context: &Context<'_>,
    signals: &Signals,
    is_plaintext_allowed: bool,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    // The key of the project seals the queue of servers.
    let queue = World::seal(&settings, None, is_plaintext_allowed, context.ui)?;
    let requests = recorded_with_requests(&settings).await?;
    let store: Arc<dyn StateStore> = Arc::clone(&requests) as _;
    queue.bind_to(store.as_ref()).await?;
    let mut seals = BTreeMap::new();
    let environments: BTreeSet<String> = store.known_stacks().await?.into_iter().map(|it| it.environment).collect();
    for environment in environments {
        let seal = World::seal(&settings, Some(&environment), is_plaintext_allowed, context.ui)?;
        seals.insert(environment, Arc::new(seal));
    }
    if !seals.values().map(AsRef::as_ref).chain([&queue]).any(Seal::has_key) {
        return Err(Failure::new("there is no state key").hint(MAKE_A_KEY));
    }
    let surgery =
        StateEdit { context, signals, settings: &settings, store, operation: Uuid::now_v7(), kind: "state rekey" };
    let left_as_it_is = RefCell::default();
    let change = async || {
        let Resealed { mut writes, leases, mut left } =
            reseal(surgery.store.as_ref(), |environment| seals.get(environment).cloned()).await.map_err(not_rekeyed)?;
        // Without a key of the project the queue is not sealed.
        if queue.has_key() {
            let asked = requests::reseal(requests.as_ref(), &queue).await.map_err(not_rekeyed)?;
            writes.extend(asked.writes);
            left.extend(asked.left);
        }
        // It is looked twice: without the leases, and with them.
        left_as_it_is.replace(left);
        if writes.is_empty() {
            return Ok(None);
        }
        let summary = format!("{} records are sealed with the present key", writes.len());
        Ok(Some(Change { leases, writes, summary }))
    };
    let told = match surgery.perform(change).await? {
        Some(change) => change.summary,
        None => "nothing is recorded that could be sealed".to_owned(),
    };
    for left in left_as_it_is.into_inner() {
        context.ui.tell(&format!("warning: {left}"));
    }
    context.ui.print(&format!("{told}\n"))?;
    Ok(Exit::Done)
}

const MAKE_A_KEY: &str = "make a key with `terrace init --state-key`";

pub(super) fn not_rekeyed(error: RekeyError) -> Failure {
    const ADD_IT: &str = "add the key that it was sealed with to `encryption.previous`";
    let failure = Failure::new(error.to_string());
    match error {
        RekeyError::NoKey { .. } => failure.hint(MAKE_A_KEY),
        RekeyError::NotRecovered { .. } => failure.hint("`terrace recover` finds out what became of them"),
        RekeyError::Sealed { error: WireError::CannotOpen(_), .. } => failure.hint(ADD_IT),
        RekeyError::Sealed { error, .. } => failure.hint(hint_of(&error)),
        RekeyError::Asked { operation, .. } => failure
            .hint(ADD_IT)
            .hint(format!("where that key is lost, `terrace operations cancel {operation}`: a server ends it then")),
        RekeyError::Store(error) => error.into(),
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
