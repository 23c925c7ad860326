//! Who made what is recorded: terrace, or somebody else of whom it was taken over.

use crate::address::{Address, StackId};
use crate::record::open_attributes;
use crate::seal::Seal;
use crate::store::{Generation, HistoryEntry, Row, StateStore, StepAction, StoreError};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// Who made an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    /// A step of terrace.
    Terrace,
    /// Nobody here: it was imported or adopted.
    Others,
    /// What would tell it was pruned.
    Unknown,
}

/// A version: its address, and where it stands among the versions there.
type Place = (Address, usize);

/// The history of a stack, in which objects are followed back to where they begin.
pub(super) struct Makers<'a> {
    store: &'a dyn StateStore,
    seal: &'a Seal,
    stack: StackId,
    /// The versions of each address, oldest first, without those of objects that were replaced and are still there.
    versions: HashMap<Address, Vec<HistoryEntry>>,
    /// What was dropped from an address, by the transaction that did it.
    left: HashMap<(Uuid, Timestamp), Left>,
    /// What each operation that was asked about created; `None` where it was pruned.
    created: HashMap<Uuid, Option<HashSet<Address>>>,
}

/// The rows that one transaction dropped, which may have moved.
#[derive(Default)]
struct Left {
    /// By type and identity, as they were recorded last.
    rows: HashMap<(String, String), Vec<Place>>,
    /// What was recorded last of one of them was pruned.
    is_pruned: bool,
}

impl<'a> Makers<'a> {
    /// Reads the history of a stack.
    pub(super) async fn load(
        store: &'a dyn StateStore,
        seal: &'a Seal,
        stack: &StackId,
    ) -> Result<Makers<'a>, StoreError> {
        let mut versions: HashMap<Address, Vec<HistoryEntry>> = HashMap::new();
        for snapshot in store.snapshot(Some(stack), true).await? {
            let deposed = snapshot.rows.iter().filter(|row| row.deposed.is_some());
            let deposed: HashSet<(&Address, Generation)> = deposed.map(|row| (&row.address, row.generation)).collect();
            for (address, entry) in snapshot.history {
                if !deposed.contains(&(&address, entry.generation)) {
                    versions.entry(address).or_default().push(entry);
                }
            }
        }
        let mut left: HashMap<(Uuid, Timestamp), Left> = HashMap::new();
        for (address, versions) in &mut versions {
            versions.sort_by_key(|entry| entry.generation);
            for (at, entry) in versions.iter().enumerate().filter(|(_, entry)| entry.row.is_none()) {
                let left = left.entry((entry.operation, entry.at)).or_default();
                let last = at.checked_sub(1).and_then(|at| Some((at, versions.get(at)?.row.as_ref()?)));
                match last {
                    Some((at, row)) => {
                        let rows = left.rows.entry((address.ty.clone(), row.identity.clone())).or_default();
                        rows.push((address.clone(), at));
                    }
                    None => left.is_pruned = true,
                }
            }
        }
        Ok(Self { store, seal, stack: stack.clone(), versions, left, created: HashMap::new() })
    }

    /// Who made the object that is recorded as a version of an address. Every version of it is looked at, back to the one
    /// before which nothing was recorded there; one that moved there goes on where it came from.
    pub(super) async fn of(&mut self, address: &Address, generation: Generation) -> Result<Maker, StoreError> {
        let versions = self.versions.get(address);
        let newest = versions.and_then(|it| it.iter().position(|entry| entry.generation == generation));
        let Some(newest) = newest else { return Ok(Maker::Unknown) };
        let mut place: Place = (address.clone(), newest);
        let mut is_all_known = true;
        // No version is looked at twice.
        let most: usize = self.versions.values().map(Vec::len).sum();
        for _ in 0..most {
            let (address, at) = &place;
            let Some(entry) = self.entry(&place) else { break };
            let before = at.checked_sub(1);
            let is_first_row =
                before.and_then(|at| self.entry(&(address.clone(), at))).is_none_or(|before| before.row.is_none());
            let (operation, generation) = (entry.operation, entry.generation);
            if is_first_row && let Some(from) = self.came_from(entry, &address.ty) {
                place = from;
                continue;
            }
            let is_drop_pruned = self.left.get(&(operation, entry.at)).is_some_and(|left| left.is_pruned);
            match self.has_created(operation, &place.0).await? {
                Some(true) => return Ok(Maker::Terrace),
                Some(false) => {}
                None => is_all_known = false,
            }
            match before {
                Some(before) if !is_first_row => place.1 = before,
                // Generations begin with 1: of what begins with a later one the beginning was pruned.
                before => {
                    let is_beginning = before.is_some() || generation == 1;
                    let is_told = is_all_known && is_beginning && !is_drop_pruned;
                    return Ok(if is_told { Maker::Others } else { Maker::Unknown });
                }
            }
        }
        Ok(Maker::Unknown)
    }

    fn entry(&self, (address, at): &Place) -> Option<&HistoryEntry> {
        self.versions.get(address)?.get(*at)
    }

    /// Where the row of an address was before: the transaction that wrote it dropped the same row elsewhere.
    fn came_from(&self, entry: &HistoryEntry, ty: &str) -> Option<Place> {
        let left = self.left.get(&(entry.operation, entry.at))?;
        let row = entry.row.as_ref()?;
        let is_it = |place: &&Place| {
            let there = self.entry(place).and_then(|entry| entry.row.as_ref());
            // What the same operation recorded there itself came through there at most.
            there.is_some_and(|there| there.operation != entry.operation && self.is_same(there, row))
        };
        let exact = left.rows.get(&(ty.to_owned(), row.identity.clone()));
        // Texts that were sealed anew are others.
        let sealed = || left.rows.iter().filter(|((of, _), _)| of == ty).flat_map(|(_, places)| places).find(is_it);
        exact.and_then(|places| places.iter().find(is_it)).or_else(sealed).cloned()
    }

    /// True when two rows record the same of an object, under whatever key.
    fn is_same(&self, one: &Row, other: &Row) -> bool {
        let is_same = |one: &str, other: &str| {
            let opened = |text| open_attributes(text, self.seal).ok();
            one == other || opened(one).is_some_and(|one| opened(other) == Some(one))
        };
        is_same(&one.identity, &other.identity) && is_same(&one.attributes, &other.attributes)
    }

    /// Whether an operation created the object of an address; `None` when it was pruned.
    async fn has_created(&mut self, operation: Uuid, address: &Address) -> Result<Option<bool>, StoreError> {
        if !self.created.contains_key(&operation) {
            let found = self.store.operation(operation).await?;
            let created = found.map(|(_, steps)| {
                let steps = steps.into_iter();
                let steps = steps.filter(|step| step.stack == self.stack && step.action == StepAction::Create);
                steps.map(|step| step.address).collect()
            });
            self.created.insert(operation, created);
        }
        let created = self.created.get(&operation).and_then(Option::as_ref);
        Ok(created.map(|created| created.contains(address)))
    }
}
