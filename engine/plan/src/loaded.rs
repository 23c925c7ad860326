//! The recorded part of a stack, with the current state of its objects.

use super::targeting::Targeting;
use super::{Basis, Change, How, InDoubt, Why};
use std::collections::BTreeMap;
use terrace_language::action::Action;
use terrace_language::address::Address;
use terrace_provider::{Observed, Path, ResourceType};
use terrace_store::Read;
use terrace_store::diff::changed_attributes;
use terrace_store::record::{self, Opened};

/// The recorded part of a stack.
#[derive(Default, Clone)]
pub(crate) struct Loaded {
    /// The rows by address.
    pub(crate) rows: BTreeMap<Address, LoadedRow>,
    /// The rows that the plan leaves out, as recorded.
    pub(crate) left_out: BTreeMap<Address, LoadedRow>,
    /// The rows of deposed objects, by address and deposed key.
    pub(crate) deposed: BTreeMap<(Address, String), DeposedRow>,
    /// The rows read, with their generations.
    pub(crate) reads: Vec<Read>,
    /// Addresses whose last step is in doubt, with the reason.
    pub(crate) in_doubt: BTreeMap<Address, String>,
    /// Objects without a row, known only from a step in doubt that tried to create them.
    pub(super) attempts: BTreeMap<Address, Opened>,
}

impl Loaded {
    /// Adds rows that were loaded later.
    pub(crate) fn extend(&mut self, more: Self) {
        self.rows.extend(more.rows);
        self.deposed.extend(more.deposed);
        self.reads.extend(more.reads);
        self.in_doubt.extend(more.in_doubt);
        self.attempts.extend(more.attempts);
    }

    /// Moves the rows that were not chosen to `left_out`, and returns their addresses.
    pub(crate) fn leave_out(&mut self, targeting: &Targeting) -> Vec<Address> {
        if targeting.is_whole() {
            return Vec::new();
        }
        let outside: Vec<Address> = self.rows.keys().filter(|address| !targeting.covers(address)).cloned().collect();
        for address in &outside {
            let row = self.rows.remove(address);
            self.left_out.extend(row.map(|row| (address.clone(), row)));
        }
        let deposed = std::mem::take(&mut self.deposed).into_iter();
        let (chosen, left): (BTreeMap<_, _>, BTreeMap<_, _>) =
            deposed.partition(|((address, _), _)| targeting.covers(address));
        self.deposed = chosen;
        outside.into_iter().chain(left.into_keys().map(|(address, _)| address)).collect()
    }

    /// The changes of undeclared objects that are known only from a step in doubt.
    pub(crate) fn take_attempts(&mut self) -> Vec<Change> {
        let in_doubt = &mut self.in_doubt;
        let attempts = std::mem::take(&mut self.attempts).into_iter();
        attempts.filter_map(|(address, opened)| Some(attempted(opened, in_doubt.remove(&address)?))).collect()
    }
}

/// A row and the current state of its object.
#[derive(Clone)]
pub(crate) struct LoadedRow {
    /// The row, with refreshed attributes; boxed, because maps of rows move their elements.
    pub(crate) opened: Box<Opened>,
    /// The object does not exist any more.
    pub(crate) is_gone: bool,
    /// The attributes that drifted.
    pub(crate) drift: Vec<Path>,
    /// The row's former address, if it moved.
    pub(crate) moved_from: Option<Address>,
}

/// The row of a deposed object.
#[derive(Clone)]
pub(crate) struct DeposedRow {
    pub(crate) row: LoadedRow,
    /// The reason why its last step is in doubt.
    pub(crate) in_doubt: Option<String>,
}

impl Loaded {
    pub(super) fn row_mut(&mut self, (address, deposed): &RowKey) -> Option<&mut LoadedRow> {
        match deposed {
            None => self.rows.get_mut(address),
            Some(key) => self.deposed.get_mut(&(address.clone(), key.clone())).map(|deposed| &mut deposed.row),
        }
    }

    pub(super) fn row(&self, (address, deposed): &RowKey) -> Option<&LoadedRow> {
        match deposed {
            None => self.rows.get(address),
            Some(key) => self.deposed.get(&(address.clone(), key.clone())).map(|deposed| &deposed.row),
        }
    }

    /// The rows without a step in doubt.
    pub(super) fn certain(&self) -> impl Iterator<Item = (RowKey, &LoadedRow)> {
        let current = self.rows.iter().filter(|(address, _)| !self.in_doubt.contains_key(*address));
        let deposed = self.deposed.iter().filter(|(_, deposed)| deposed.in_doubt.is_none());
        current
            .map(|(address, row)| ((address.clone(), None), row))
            .chain(deposed.map(|((address, key), deposed)| ((address.clone(), Some(key.clone())), &deposed.row)))
    }

    /// The rows of all objects, deposed ones too.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut LoadedRow> {
        self.rows.values_mut().chain(self.deposed.values_mut().map(|deposed| &mut deposed.row))
    }

    pub(super) fn depose(&mut self, address: &Address, key: String, row: LoadedRow) {
        self.deposed.insert((address.clone(), key), DeposedRow { row, in_doubt: None });
    }
}

impl LoadedRow {
    pub(super) fn new(opened: Opened) -> Self {
        Self { opened: Box::new(opened), is_gone: false, drift: Vec::new(), moved_from: None }
    }

    pub(super) fn take(&mut self, ty: &ResourceType, observed: Option<Observed>) {
        let Some(observed) = observed else {
            self.is_gone = true;
            return;
        };
        let prior = &mut self.opened.prior;
        let attributes = record::refreshed(ty, &prior.attributes, &observed);
        self.drift = changed_attributes(&prior.attributes, &attributes);
        prior.private = observed.private;
        if !self.drift.is_empty() {
            prior.recorded = Some(std::mem::replace(&mut prior.attributes, attributes));
        }
    }
}

/// The change of an object without a row or declaration, known only from the step that tried to create it.
pub(crate) fn attempted(opened: Opened, reason: String) -> Change {
    Change {
        address: opened.address,
        deposed: opened.deposed,
        moved_from: None,
        import_id: None,
        action: Action::NoOp,
        after: None,
        data_loss: None,
        in_doubt: Some(InDoubt::Own(reason)),
        why: Why::default(),
        how: How { provider: opened.provider, lifecycle: opened.prior.lifecycle.clone(), ..How::default() },
        basis: Basis { prior: Some(Box::new(opened.prior)), ..Basis::default() },
    }
}

/// The key of a row: the current one of an address, or a deposed one.
pub(super) type RowKey = (Address, Option<String>);
