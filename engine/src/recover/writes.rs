//! What recovery writes: the row of a step as it is found, on top of what is recorded there now.
//!
//! A step names the generation that it began with. Rows may have been changed by hand since (an older terrace let people
//! do so), so that generation only tells whether they were: what is written goes on from the row as it is.

use super::Arrived;
use crate::plan::{Prior, deposed_key};
use crate::record;
use crate::seal::{RowPart, Seal};
use crate::store::{Generation, Intent, Row, RowStatus, StepAction, StoreError, Write};
use terrace_provider::value::wire::{WireError, encode_map};
use terrace_provider::{Attributes, Observed};

/// What can be written about a step.
pub(super) struct Writes<'a> {
    intent: &'a Intent,
    /// What is recorded where the step worked.
    row: Option<Row>,
    seal: &'a Seal,
}

impl<'a> Writes<'a> {
    pub(super) fn new(intent: &'a Intent, row: Option<Row>, seal: &'a Seal) -> Self {
        Self { intent, row, seal }
    }

    /// Something is recorded where the step worked.
    pub(super) fn has_row(&self) -> bool {
        self.row.is_some()
    }

    /// The object that an update was about, as it is recorded.
    pub(super) fn updated(&self) -> Result<Option<Prior>, StoreError> {
        let row = self.row.clone().filter(|_| self.intent.action == StepAction::Update);
        let opened = row.map(|row| record::open(row, self.seal)).transpose().map_err(unreadable)?;
        Ok(opened.map(|opened| opened.prior))
    }

    /// There is no object: its row goes.
    pub(super) fn dropped(&self) -> Result<Vec<Write>, StoreError> {
        let intent = self.intent;
        // Nothing was recorded yet, or what is recorded is what was to be replaced: it stands.
        if intent.prior_generation == 0 || intent.deposes {
            return Ok(Vec::new());
        }
        let Some(row) = &self.row else { return Ok(Vec::new()) };
        if self.is_changed(row) && !self.is_identity_of(row, &intent.row)? {
            return Ok(Vec::new());
        }
        Ok(vec![Write::Forget {
            stack: row.stack.clone(),
            address: row.address.clone(),
            deposed: row.deposed.clone(),
            expected: row.generation,
        }])
    }

    /// The object as it is now; `None` when another one is recorded in its place.
    pub(super) fn recorded(
        &self,
        attributes: &Attributes,
        observed: &Observed,
        arrived: Arrived,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        let mut row = self.intent.row.clone();
        row.status = RowStatus::Ready;
        let placed = |part| record::placed(&self.intent.row, part, self.seal);
        row.identity = encode_map(&observed.identity, &placed(RowPart::Identity)).map_err(unwritable)?.to_string();
        row.attributes = encode_map(attributes, &placed(RowPart::Attributes)).map_err(unwritable)?.to_string();
        row.private = record::seal_private(&observed.private, &placed(RowPart::Private)).map_err(unwritable)?;
        let before = self.row.as_ref().filter(|_| self.intent.action == StepAction::Update);
        if before.is_some_and(|updated| updated.status == RowStatus::Tainted && self.is_changed(updated)) {
            // Somebody said so since.
            row.status = RowStatus::Tainted;
        }
        row.lifecycle = arrived.remembered(&row, before).map_err(unreadable)?;
        self.put(row)
    }

    /// The object as it was planned, as far as that is known, to be replaced by the next apply; `None` when another one
    /// is recorded in its place.
    pub(super) fn tainted(&self) -> Result<Option<Vec<Write>>, StoreError> {
        let mut attributes = record::open_attributes(&self.intent.row, self.seal).map_err(unwritable)?;
        attributes.retain(|_, value| !value.has_unknown());
        let mut row = self.intent.row.clone();
        row.status = RowStatus::Tainted;
        let placed = record::placed(&self.intent.row, RowPart::Attributes, self.seal);
        row.attributes = encode_map(&attributes, &placed).map_err(unwritable)?.to_string();
        self.put(row)
    }

    /// Records the object of a step; one that it was to replace is kept beside it.
    fn put(&self, row: Row) -> Result<Option<Vec<Write>>, StoreError> {
        let intent = self.intent;
        let write = |row: Row, expected: Generation| Write::Put { row: Box::new(row), expected };
        let Some(now) = &self.row else {
            // What was changed and is not recorded any more was dropped or moved by hand: it stays so.
            let is_dropped = intent.prior_generation != 0 && !intent.deposes;
            return Ok(Some(if is_dropped { Vec::new() } else { vec![write(row, 0)] }));
        };
        // An object without an identity of its own is known by its address alone, which tells no two apart.
        let is_recorded = || Ok(!self.opened(&row)?.is_empty() && self.is_identity_of(now, &row)?);
        if intent.deposes {
            if self.is_changed(now) && is_recorded()? {
                return Ok(Some(vec![write(row, now.generation)]));
            }
            let (stack, address) = (now.stack.clone(), now.address.clone());
            let depose = Write::Depose { stack, address, key: deposed_key(intent.operation), expected: now.generation };
            return Ok(Some(vec![depose, write(row, 0)]));
        }
        if intent.prior_generation == 0 && !is_recorded()? {
            return Ok(None);
        }
        if intent.prior_generation != 0 && self.is_changed(now) && !self.is_identity_of(now, &intent.row)? {
            return Ok(Some(Vec::new()));
        }
        Ok(Some(vec![write(row, now.generation)]))
    }

    /// The row is not the one that the step began with.
    fn is_changed(&self, row: &Row) -> bool {
        row.generation != self.intent.prior_generation
    }

    fn is_identity_of(&self, row: &Row, other: &Row) -> Result<bool, StoreError> {
        Ok(self.opened(row)? == self.opened(other)?)
    }

    fn opened(&self, row: &Row) -> Result<Attributes, StoreError> {
        record::open_identity(row, self.seal).map_err(unreadable)
    }
}

fn unreadable(error: WireError) -> StoreError {
    StoreError::Unavailable { doing: "read", reason: error.to_string() }
}

fn unwritable(error: WireError) -> StoreError {
    StoreError::Unavailable { doing: "written", reason: error.to_string() }
}
