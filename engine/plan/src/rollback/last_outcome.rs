//! Last outcome of removed or forgotten objects: shows whether an existing object is the object that was once recorded.

use super::provenance::{Provenance, Provenances};
use crate::key::identity_key;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use terrace_language::address::{Address, StackId};
use terrace_provider::Attributes;
use terrace_store::record::{Opened, open_identity};
use terrace_store::seal::Seal;
use terrace_store::{Generation, HistoryEntry, StateReader, StepAction, StepResult, StoreError};
use uuid::Uuid;

/// An object as its rows know it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct RecordedObject {
    ty: String,
    instance: String,
    /// Its identity, or its address if it has none. `None` if the row cannot be decrypted: it may be any object of that type.
    name: Option<String>,
}

/// An entry of an object's history.
struct Event {
    at: Timestamp,
    operation: Uuid,
    kind: EventKind,
    stack: StackId,
    address: Address,
    generation: Generation,
}

/// The kind of an event. If an operation caused several events, the last kind counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EventKind {
    /// The row was removed from the state.
    Dropped,
    /// The row records another object since: this one was deleted or replaced.
    Replaced,
    /// A row records it.
    Recorded,
    /// The row cannot be decrypted.
    Unclear,
}

/// The effect on objects of an operation that removed rows.
struct OperationEffect {
    /// A command changed the state without a provider call.
    is_state_command: bool,
    /// The command moved the row to another address.
    is_move: bool,
    /// True for an address at which the operation only wrote to the state.
    is_recorded_only: HashMap<(StackId, Address), bool>,
}

/// The last outcomes of an environment's objects, at any address and stack.
pub(super) struct LastOutcomes<'a> {
    store: &'a dyn StateReader,
    seal: &'a Seal,
    stack: StackId,
    /// The events of each object, in order; read on first use.
    events: Option<HashMap<RecordedObject, Vec<Event>>>,
    /// The effects of the operations queried so far; `None` for a pruned operation.
    effects: HashMap<Uuid, Option<OperationEffect>>,
}

impl<'a> LastOutcomes<'a> {
    /// The outcomes as seen from one stack.
    pub(super) fn of_stack(store: &'a dyn StateReader, seal: &'a Seal, stack: &StackId) -> Self {
        Self { store, seal, stack: stack.clone(), events: None, effects: HashMap::new() }
    }

    /// True if the existing object with the identity of the recorded version belongs to terrace. Its row was forgotten while
    /// the object existed, or it still has one. If the object was deleted or missing since, terrace must have created it again.
    /// False if the history was pruned.
    pub(super) async fn is_still_owned(
        &mut self,
        provenances: &mut Provenances<'_>,
        version: &Opened,
    ) -> Result<bool, StoreError> {
        let events = match self.events.take() {
            Some(events) => events,
            None => self.load().await?,
        };
        let is_still_owned = self.is_owned_at_end(&events, provenances, version).await;
        self.events = Some(events);
        is_still_owned
    }

    async fn is_owned_at_end(
        &mut self,
        events: &HashMap<RecordedObject, Vec<Event>>,
        provenances: &mut Provenances<'_>,
        version: &Opened,
    ) -> Result<bool, StoreError> {
        let of = |name: Option<String>| {
            let (ty, instance) = (version.address.ty.clone(), version.provider.clone());
            events.get(&RecordedObject { ty, instance, name }).map(Vec::as_slice).unwrap_or_default()
        };
        let own = of(Some(object_name(&version.prior.identity, &version.stack, &version.address)));
        let recorded: HashSet<(Uuid, Timestamp)> = own
            .iter()
            .filter(|event| event.kind == EventKind::Recorded)
            .map(|event| (event.operation, event.at))
            .collect();
        let is_version = |event: &&Event| {
            event.kind == EventKind::Recorded
                && (&event.stack, &event.address, event.generation)
                    == (&version.stack, &version.address, version.generation)
        };
        let Some(begin) = own.iter().find(is_version).map(Event::order) else { return Ok(false) };
        let mut since: Vec<&Event> = own.iter().chain(of(None)).filter(|event| event.order() >= begin).collect();
        since.sort_by_key(|event| event.order());
        let (mut newest, mut exists, mut was_missing) = (None, false, false);
        for event in since {
            exists = match event.kind {
                EventKind::Recorded => {
                    newest = Some(event);
                    true
                }
                // The row moved: the same transaction records it at another address.
                EventKind::Dropped if recorded.contains(&(event.operation, event.at)) => continue,
                // An object without an identity has another address since.
                EventKind::Dropped if version.prior.identity.is_empty() && self.is_moved(event).await? => false,
                EventKind::Dropped => self.is_released(event).await?,
                EventKind::Replaced | EventKind::Unclear => false,
            };
            was_missing |= !exists;
        }
        match newest.filter(|_| exists) {
            Some(newest) if was_missing && newest.stack == self.stack => {
                Ok(provenances.of(&newest.address, newest.generation).await? == Provenance::Terrace)
            }
            newest => Ok(newest.is_some() && !was_missing),
        }
    }

    async fn load(&self) -> Result<HashMap<RecordedObject, Vec<Event>>, StoreError> {
        let mut events: HashMap<RecordedObject, Vec<Event>> = HashMap::new();
        let snapshots = self.store.snapshot(None, true).await?;
        for snapshot in snapshots.into_iter().filter(|snapshot| snapshot.stack.environment == self.stack.environment) {
            // A deposed object is independent of its row's later versions.
            let deposed = snapshot.rows.iter().filter(|row| row.deposed.is_some());
            let deposed: HashSet<(&Address, Generation)> = deposed.map(|row| (&row.address, row.generation)).collect();
            let mut versions: HashMap<&Address, Vec<&HistoryEntry>> = HashMap::new();
            for (address, entry) in &snapshot.history {
                if !deposed.contains(&(address, entry.generation)) {
                    versions.entry(address).or_default().push(entry);
                }
            }
            for (address, mut versions) in versions {
                versions.sort_by_key(|entry| entry.generation);
                let mut before: Option<RecordedObject> = None;
                for entry in versions {
                    let name = self.name(&snapshot.stack, address, entry);
                    let event = |kind: EventKind| Event {
                        at: entry.at,
                        operation: entry.operation,
                        kind,
                        stack: snapshot.stack.clone(),
                        address: address.clone(),
                        generation: entry.generation,
                    };
                    // No event is known for a row that cannot be decrypted.
                    if let Some(before) = before.filter(|before| before.name.is_some() && name.as_ref() != Some(before))
                    {
                        let kind = if name.is_some() { EventKind::Replaced } else { EventKind::Dropped };
                        events.entry(before).or_default().push(event(kind));
                    }
                    if let Some(name) = &name {
                        let kind = if name.name.is_some() { EventKind::Recorded } else { EventKind::Unclear };
                        events.entry(name.clone()).or_default().push(event(kind));
                    }
                    before = name;
                }
            }
        }
        Ok(events)
    }

    /// The object of a version; `None` for the removal of a row.
    fn name(&self, stack: &StackId, address: &Address, entry: &HistoryEntry) -> Option<RecordedObject> {
        let row = entry.row.as_ref()?;
        let identity = open_identity(row, self.seal).ok();
        let name = identity.map(|identity| object_name(&identity, stack, address));
        Some(RecordedObject { ty: address.ty.clone(), instance: row.provider.clone(), name })
    }

    /// True if a row was removed while its object existed, and the object stayed: by a command, or by a step that only wrote to the
    /// state.
    async fn is_released(&mut self, dropped: &Event) -> Result<bool, StoreError> {
        let Some(effect) = self.effect(dropped.operation).await? else { return Ok(false) };
        let at = (dropped.stack.clone(), dropped.address.clone());
        Ok(effect.is_state_command || effect.is_recorded_only.get(&at).is_some_and(|is_only| *is_only))
    }

    /// True if a command moved the row to another address.
    async fn is_moved(&mut self, dropped: &Event) -> Result<bool, StoreError> {
        Ok(self.effect(dropped.operation).await?.is_some_and(|effect| effect.is_move))
    }

    /// The effect of an operation; `None` if it was pruned.
    async fn effect(&mut self, operation: Uuid) -> Result<Option<&OperationEffect>, StoreError> {
        if !self.effects.contains_key(&operation) {
            let found = self.store.operation(operation).await?;
            let effect = found.map(|(operation, steps)| {
                let mut is_recorded_only = HashMap::new();
                for step in steps {
                    let is_recorded = step.action == StepAction::Record && step.result == Some(StepResult::Done);
                    *is_recorded_only.entry((step.stack, step.address)).or_insert(true) &= is_recorded;
                }
                let is_state_command = operation.kind.split(' ').next() == Some("state");
                OperationEffect { is_state_command, is_move: operation.kind == "state mv", is_recorded_only }
            });
            self.effects.insert(operation, effect);
        }
        Ok(self.effects.get(&operation).and_then(Option::as_ref))
    }
}

/// The identity of an object as text, or its address.
fn object_name(identity: &Attributes, stack: &StackId, address: &Address) -> String {
    if identity.is_empty() { format!("{stack}:{address}") } else { identity_key(identity) }
}

impl Event {
    /// The sort key. The kind orders the versions of one transaction.
    fn order(&self) -> (Timestamp, Uuid, EventKind, Generation) {
        (self.at, self.operation, self.kind, self.generation)
    }
}
