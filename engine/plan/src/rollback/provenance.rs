//! Provenance of recorded objects: created by terrace, or adopted.

use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use terrace_language::address::{Address, StackId};
use terrace_provider::Attributes;
use terrace_provider::value::wire::WireError;
use terrace_store::record::{open_attributes, open_identity};
use terrace_store::seal::Seal;
use terrace_store::{Generation, HistoryEntry, Row, Sealed, StateReader, StepAction, StoreError};
use uuid::Uuid;

/// The creator of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provenance {
    /// A step of terrace created it.
    Terrace,
    /// It was imported or adopted.
    Adopted,
    /// The history was pruned.
    Unknown,
}

/// A version: its address, and its position among the address's versions.
type Version = (Address, usize);

/// The history of a stack, in which objects are traced to their first version.
pub(super) struct Provenances<'a> {
    store: &'a dyn StateReader,
    seal: &'a Seal,
    stack: StackId,
    /// The history is loaded, on first use.
    is_loaded: bool,
    /// The versions of each address, oldest first, without those of deposed objects that still exist.
    versions: HashMap<Address, Vec<HistoryEntry>>,
    /// The number of these versions.
    count: usize,
    /// The rows that each transaction removed.
    removed: HashMap<(Uuid, Timestamp), RemovedRows>,
    /// The addresses at which each queried operation created objects; `None` if the operation was pruned.
    created: HashMap<Uuid, Option<HashSet<Address>>>,
}

/// The location of an object before it was recorded at an address.
enum PriorLocation {
    /// It moved from this version.
    At(Version),
    /// It had no row.
    NoRow,
    /// Another row of the same transaction cannot be decrypted; it may be this one.
    Unclear,
}

/// The rows that one transaction removed, which may have moved.
#[derive(Default)]
struct RemovedRows {
    /// By type and identity of their last version.
    rows: HashMap<(String, Sealed), Vec<Version>>,
    /// The last version of a row was pruned.
    is_pruned: bool,
}

impl<'a> Provenances<'a> {
    /// The provenances of a stack's objects.
    pub(super) fn of_stack(store: &'a dyn StateReader, seal: &'a Seal, stack: &StackId) -> Self {
        let (versions, removed, created) = Default::default();
        Self { store, seal, stack: stack.clone(), is_loaded: false, versions, count: 0, removed, created }
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let mut versions: HashMap<Address, Vec<HistoryEntry>> = HashMap::new();
        for snapshot in self.store.snapshot(Some(&self.stack), true).await? {
            let deposed = snapshot.rows.iter().filter(|row| row.deposed.is_some());
            let deposed: HashSet<(&Address, Generation)> = deposed.map(|row| (&row.address, row.generation)).collect();
            for (address, entry) in snapshot.history {
                if !deposed.contains(&(&address, entry.generation)) {
                    versions.entry(address).or_default().push(entry);
                }
            }
        }
        let mut removed: HashMap<(Uuid, Timestamp), RemovedRows> = HashMap::new();
        for (address, versions) in &mut versions {
            versions.sort_by_key(|entry| entry.generation);
            for (at, entry) in versions.iter().enumerate().filter(|(_, entry)| entry.row.is_none()) {
                let removed = removed.entry((entry.operation, entry.at)).or_default();
                let last = at.checked_sub(1).and_then(|at| Some((at, versions.get(at)?.row.as_ref()?)));
                match last {
                    Some((at, row)) => {
                        let rows = removed.rows.entry((address.ty.clone(), row.identity.clone())).or_default();
                        rows.push((address.clone(), at));
                    }
                    None => removed.is_pruned = true,
                }
            }
        }
        self.count = versions.values().map(Vec::len).sum();
        (self.versions, self.removed, self.is_loaded) = (versions, removed, true);
        Ok(())
    }

    /// The creator of the object that is recorded as a version of an address. Traces the versions back to the first one of the
    /// object; a moved object continues at its former address.
    pub(super) async fn of(&mut self, address: &Address, generation: Generation) -> Result<Provenance, StoreError> {
        if !self.is_loaded {
            self.load().await?;
        }
        let versions = self.versions.get(address);
        let newest = versions.and_then(|entries| entries.iter().position(|entry| entry.generation == generation));
        let Some(newest) = newest else { return Ok(Provenance::Unknown) };
        let mut version: Version = (address.clone(), newest);
        let mut is_all_known = true;
        // Bounds the loop: no version is visited twice.
        for _ in 0..self.count {
            let (address, at) = &version;
            let Some(entry) = self.entry(&version) else { break };
            let older = at.checked_sub(1).and_then(|at| Some((at, self.entry(&(address.clone(), at))?)));
            let (operation, generation) = (entry.operation, entry.generation);
            let is_row_before = older.is_some_and(|(_, older)| older.row.is_some());
            let older = older.map(|(at, _)| at);
            if !is_row_before {
                match self.prior_location(entry, &address.ty) {
                    PriorLocation::At(earlier) => {
                        version = earlier;
                        continue;
                    }
                    PriorLocation::NoRow => {}
                    PriorLocation::Unclear => is_all_known = false,
                }
            }
            match self.created_by(operation).await?.map(|created| created.contains(&version.0)) {
                Some(true) => return Ok(Provenance::Terrace),
                Some(false) => {}
                None => is_all_known = false,
            }
            match older {
                Some(older) if is_row_before => version.1 = older,
                // Generations begin with 1: a history that begins with a later one was pruned.
                older => {
                    let is_beginning = older.is_some() || generation == 1;
                    return Ok(if is_all_known && is_beginning { Provenance::Adopted } else { Provenance::Unknown });
                }
            }
        }
        Ok(Provenance::Unknown)
    }

    /// The versions of an object at any address: the given one, and those before it.
    pub(super) async fn lifetime(
        &mut self,
        address: &Address,
        generation: Generation,
    ) -> Result<Vec<(Address, Generation)>, StoreError> {
        if !self.is_loaded {
            self.load().await?;
        }
        let versions = self.versions.get(address);
        let newest = versions.and_then(|entries| entries.iter().position(|entry| entry.generation == generation));
        let mut version: Option<Version> = newest.map(|newest| (address.clone(), newest));
        let mut lifetime = Vec::new();
        // Bounds the loop: no version is visited twice.
        while let Some((address, at)) = version.take_if(|_| lifetime.len() < self.count) {
            let Some(entry) = self.entry(&(address.clone(), at)) else { break };
            let older = at.checked_sub(1).map(|at| (address.clone(), at));
            version = match older.filter(|older| self.entry(older).is_some_and(|entry| entry.row.is_some())) {
                Some(older) => Some(older),
                None => match self.prior_location(entry, &address.ty) {
                    PriorLocation::At(earlier) => Some(earlier),
                    PriorLocation::NoRow | PriorLocation::Unclear => None,
                },
            };
            lifetime.push((address, entry.generation));
        }
        Ok(lifetime)
    }

    fn entry(&self, (address, at): &Version) -> Option<&HistoryEntry> {
        self.versions.get(address)?.get(*at)
    }

    /// The location of an object before its first version at an address: the same transaction removed the same row elsewhere.
    fn prior_location(&self, entry: &HistoryEntry, ty: &str) -> PriorLocation {
        let Some((removed, row)) = self.removed.get(&(entry.operation, entry.at)).zip(entry.row.as_ref()) else {
            return PriorLocation::NoRow;
        };
        let exact = removed.rows.get(&(ty.to_owned(), row.identity.clone()));
        // A value that was sealed again has another text.
        let sealed = removed.rows.iter().filter(|((of, _), _)| of == ty).map(|(_, versions)| versions);
        let mut is_unclear = removed.is_pruned;
        for version in exact.into_iter().chain(sealed).flatten() {
            let earlier = self.entry(version).and_then(|entry| entry.row.as_ref());
            // A row that the same operation recorded there was only an intermediate step of a move.
            let Some(earlier) = earlier.filter(|earlier| earlier.operation != entry.operation) else { continue };
            match self.is_same(earlier, row) {
                Some(true) => return PriorLocation::At(version.clone()),
                Some(false) => {}
                None => is_unclear = true,
            }
        }
        if is_unclear { PriorLocation::Unclear } else { PriorLocation::NoRow }
    }

    /// True if two rows record the same object, sealed with any keys; `None` if one cannot be decrypted.
    fn is_same(&self, left: &Row, right: &Row) -> Option<bool> {
        type Open = fn(&Row, &Seal) -> Result<Attributes, WireError>;
        let is_same = |open: Open| Some(open(left, self.seal).ok()? == open(right, self.seal).ok()?);
        let is_same_identity = left.identity == right.identity || is_same(open_identity)?;
        Some(is_same_identity && (left.attributes == right.attributes || is_same(open_attributes)?))
    }

    /// The addresses at which an operation created objects; `None` if it was pruned.
    async fn created_by(&mut self, operation: Uuid) -> Result<Option<&HashSet<Address>>, StoreError> {
        if !self.created.contains_key(&operation) {
            let found = self.store.operation(operation).await?;
            let created = found.map(|(_, steps)| {
                let own =
                    steps.into_iter().filter(|step| step.stack == self.stack && step.action == StepAction::Create);
                own.map(|step| step.address).collect()
            });
            self.created.insert(operation, created);
        }
        Ok(self.created.get(&operation).and_then(Option::as_ref))
    }
}
