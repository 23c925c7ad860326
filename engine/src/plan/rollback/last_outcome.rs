//! Last outcome of removed or forgotten objects: whether an object that exists now is the one that was recorded once.

use super::provenance::{Provenance, Provenances};
use crate::address::{Address, StackId};
use crate::plan::key::identity_key;
use crate::record::{Opened, open_identity};
use crate::seal::Seal;
use crate::store::{Generation, HistoryEntry, StateStore, StepAction, StepResult, StoreError};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use terrace_provider::Attributes;
use uuid::Uuid;

/// What names an object: its type, its provider instance, its identity, or where it is recorded if it has none. That of what
/// cannot be opened any more is not known: it may be any of that type.
type Name = (String, String, Option<String>);

/// Something that the history tells of an object.
struct Event {
    at: Timestamp,
    operation: Uuid,
    what: What,
    stack: StackId,
    address: Address,
    generation: Generation,
}

/// What it tells. Of what one operation did at once, the last of these counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Its row was dropped.
    Dropped,
    /// Another object was recorded in its place: it was deleted, or is another one by now.
    Replaced,
    /// A row records it.
    Recorded,
    /// A row records something that cannot be told any more.
    Unclear,
}

/// How an operation that dropped rows left their objects.
struct Ending {
    /// It changed the state by hand, and called nothing.
    is_by_hand: bool,
    /// What it dropped it recorded at another address.
    is_move: bool,
    /// Whether all that it did at an address was to write state.
    is_recorded_only: HashMap<(StackId, Address), bool>,
}

/// What became of the objects of an environment, whichever address and stack they were recorded at.
pub(super) struct LastOutcomes<'a> {
    store: &'a dyn StateStore,
    seal: &'a Seal,
    stack: StackId,
    /// What is known of each object, in order; read only when anybody asks.
    events: Option<HashMap<Name, Vec<Event>>>,
    /// How the operations that were asked about ended rows; `None` where one was pruned.
    endings: HashMap<Uuid, Option<Ending>>,
}

impl<'a> LastOutcomes<'a> {
    /// As a stack asks for them.
    pub(super) fn of_stack(store: &'a dyn StateStore, seal: &'a Seal, stack: &StackId) -> Self {
        Self { store, seal, stack: stack.clone(), events: None, endings: HashMap::new() }
    }

    /// Whether the object that is there now under the identity of what was recorded once is terrace's own: the last that
    /// happened to it is that its row was dropped while it was there, or it is recorded to this day. Where it was deleted,
    /// or found gone, after what was recorded once, terrace has to have made it again. Where nobody can tell any more, it
    /// is not.
    pub(super) async fn is_left(&mut self, makers: &mut Provenances<'_>, once: &Opened) -> Result<bool, StoreError> {
        let events = match self.events.take() {
            Some(events) => events,
            None => self.load().await?,
        };
        let is_left = self.ends_left(&events, makers, once).await;
        self.events = Some(events);
        is_left
    }

    async fn ends_left(
        &mut self,
        events: &HashMap<Name, Vec<Event>>,
        makers: &mut Provenances<'_>,
        once: &Opened,
    ) -> Result<bool, StoreError> {
        let of = |identity: Option<String>| {
            let name = (once.address.ty.clone(), once.provider.clone(), identity);
            events.get(&name).map(Vec::as_slice).unwrap_or_default()
        };
        let own = of(Some(own_name(&once.prior.identity, &once.stack, &once.address)));
        let recorded: HashSet<(Uuid, Timestamp)> =
            own.iter().filter(|event| event.what == What::Recorded).map(|event| (event.operation, event.at)).collect();
        let is_once = |event: &&Event| {
            event.what == What::Recorded
                && (&event.stack, &event.address, event.generation) == (&once.stack, &once.address, once.generation)
        };
        let Some(begin) = own.iter().find(is_once).map(Event::order) else { return Ok(false) };
        let mut since: Vec<&Event> = own.iter().chain(of(None)).filter(|event| event.order() >= begin).collect();
        since.sort_by_key(|event| event.order());
        let (mut newest, mut is_there, mut was_gone) = (None, false, false);
        for event in since {
            is_there = match event.what {
                What::Recorded => {
                    newest = Some(event);
                    true
                }
                // It moved: the same transaction records it elsewhere.
                What::Dropped if recorded.contains(&(event.operation, event.at)) => continue,
                // What has no name but its address has another one since.
                What::Dropped if once.prior.identity.is_empty() && self.is_moved(event).await? => false,
                What::Dropped => self.is_let_go(event).await?,
                What::Replaced | What::Unclear => false,
            };
            was_gone |= !is_there;
        }
        match newest.filter(|_| is_there) {
            Some(newest) if was_gone && newest.stack == self.stack => {
                Ok(makers.of(&newest.address, newest.generation).await? == Provenance::Terrace)
            }
            newest => Ok(newest.is_some() && !was_gone),
        }
    }

    async fn load(&self) -> Result<HashMap<Name, Vec<Event>>, StoreError> {
        let mut events: HashMap<Name, Vec<Event>> = HashMap::new();
        let snapshots = self.store.snapshot(None, true).await?;
        for snapshot in snapshots.into_iter().filter(|it| it.stack.environment == self.stack.environment) {
            // What was replaced and is still there goes its own way.
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
                let mut before: Option<Name> = None;
                for entry in versions {
                    let name = self.name(&snapshot.stack, address, entry);
                    let event = |what: What| Event {
                        at: entry.at,
                        operation: entry.operation,
                        what,
                        stack: snapshot.stack.clone(),
                        address: address.clone(),
                        generation: entry.generation,
                    };
                    // Of what cannot be told nothing is known that could be said of its end.
                    if let Some(before) = before.filter(|before| before.2.is_some() && name.as_ref() != Some(before)) {
                        let what = if name.is_some() { What::Replaced } else { What::Dropped };
                        events.entry(before).or_default().push(event(what));
                    }
                    if let Some(name) = &name {
                        let what = if name.2.is_some() { What::Recorded } else { What::Unclear };
                        events.entry(name.clone()).or_default().push(event(what));
                    }
                    before = name;
                }
            }
        }
        Ok(events)
    }

    /// What a version records; `None` for the end of a row.
    fn name(&self, stack: &StackId, address: &Address, entry: &HistoryEntry) -> Option<Name> {
        let row = entry.row.as_ref()?;
        let identity = open_identity(row, self.seal).ok();
        let identity = identity.map(|identity| own_name(&identity, stack, address));
        Some((address.ty.clone(), row.provider.clone(), identity))
    }

    /// Whether a row was dropped while its object was there, which stayed: by hand, or by a step that wrote state only.
    async fn is_let_go(&mut self, dropped: &Event) -> Result<bool, StoreError> {
        let Some(ending) = self.ending(dropped.operation).await? else { return Ok(false) };
        let at = (dropped.stack.clone(), dropped.address.clone());
        Ok(ending.is_by_hand || ending.is_recorded_only.get(&at).is_some_and(|is_only| *is_only))
    }

    /// Whether a row was dropped by hand to be recorded at another address.
    async fn is_moved(&mut self, dropped: &Event) -> Result<bool, StoreError> {
        Ok(self.ending(dropped.operation).await?.is_some_and(|ending| ending.is_move))
    }

    /// How an operation ended rows; `None` where it was pruned.
    async fn ending(&mut self, operation: Uuid) -> Result<Option<&Ending>, StoreError> {
        if !self.endings.contains_key(&operation) {
            let found = self.store.operation(operation).await?;
            let ending = found.map(|(operation, steps)| {
                let mut is_recorded_only = HashMap::new();
                for step in steps {
                    let is_recorded = step.action == StepAction::Record && step.result == Some(StepResult::Done);
                    *is_recorded_only.entry((step.stack, step.address)).or_insert(true) &= is_recorded;
                }
                let is_by_hand = operation.kind.split(' ').next() == Some("state");
                Ending { is_by_hand, is_move: operation.kind == "state mv", is_recorded_only }
            });
            self.endings.insert(operation, ending);
        }
        Ok(self.endings.get(&operation).and_then(Option::as_ref))
    }
}

/// What tells an object from others of its type.
fn own_name(identity: &Attributes, stack: &StackId, address: &Address) -> String {
    if identity.is_empty() { format!("{stack}:{address}") } else { identity_key(identity) }
}

impl Event {
    /// When it was. Versions of one transaction are told apart by what they tell.
    fn order(&self) -> (Timestamp, Uuid, What, Generation) {
        (self.at, self.operation, self.what, self.generation)
    }
}
