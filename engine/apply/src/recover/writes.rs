//! Writes of recovery: apply the finding of a step to the present row.
//!
//! A step has the generation of the row at its beginning. The row may have been changed by hand since, which an older terrace
//! allowed. The generation only shows whether it changed: the writes build on the present row.

use terrace_plan::deposed_key;
use terrace_plan::finding::AppliedValues;
use terrace_provider::value::wire::WireError;
use terrace_provider::{Attributes, Observed};
use terrace_store::record;
use terrace_store::record::Prior;
use terrace_store::seal::{RowPart, Seal};
use terrace_store::{Generation, Intent, Row, RowStatus, Sealed, StepAction, StoreError, Write};

/// The possible writes for a step.
pub(super) struct Writes<'a> {
    intent: &'a Intent,
    /// The present row at the step's address.
    row: Option<Row>,
    seal: &'a Seal,
}

impl<'a> Writes<'a> {
    pub(super) fn new(intent: &'a Intent, row: Option<Row>, seal: &'a Seal) -> Self {
        Self { intent, row, seal }
    }

    /// True if a row exists at the step's address.
    pub(super) fn has_row(&self) -> bool {
        self.row.is_some()
    }

    /// The object that an update changed, from its row.
    pub(super) fn updated(&self) -> Result<Option<Prior>, StoreError> {
        let row = self.row.clone().filter(|_| self.intent.action == StepAction::Update);
        let opened = row.map(|row| record::open(row, self.seal)).transpose().map_err(unreadable)?;
        Ok(opened.map(|opened| opened.prior))
    }

    /// The writes for a missing object: its row is removed.
    pub(super) fn dropped(&self) -> Result<Vec<Write>, StoreError> {
        let intent = self.intent;
        // No row was written yet, or the row has the old object of a replacement, which stays.
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

    /// The writes for an object with its present values; `None` if the row belongs to another object.
    pub(super) fn recorded(
        &self,
        attributes: &Attributes,
        observed: &Observed,
        applied: AppliedValues,
    ) -> Result<Option<Vec<Write>>, StoreError> {
        let mut row = self.intent.row.clone();
        row.status = RowStatus::Ready;
        let placed = |part| record::placed(&self.intent.row, part, self.seal);
        row.identity = Sealed::seal(&observed.identity, &placed(RowPart::Identity)).map_err(unwritable)?;
        row.attributes = Sealed::seal(attributes, &placed(RowPart::Attributes)).map_err(unwritable)?;
        row.private = record::seal_private(&observed.private, &placed(RowPart::Private)).map_err(unwritable)?;
        let before = self.row.as_ref().filter(|_| self.intent.action == StepAction::Update);
        if before.is_some_and(|updated| updated.status == RowStatus::Tainted && self.is_changed(updated)) {
            // The row was tainted since.
            row.status = RowStatus::Tainted;
        }
        row.lifecycle = applied.merged_memory(&row, before).map_err(unreadable)?;
        self.put(row)
    }

    /// The writes for an object with the known planned values, marked as tainted; `None` if the row belongs to another object.
    pub(super) fn tainted(&self) -> Result<Option<Vec<Write>>, StoreError> {
        let mut attributes = record::open_attributes(&self.intent.row, self.seal).map_err(unwritable)?;
        attributes.retain(|_, value| !value.has_unknown());
        let mut row = self.intent.row.clone();
        row.status = RowStatus::Tainted;
        let placed = record::placed(&self.intent.row, RowPart::Attributes, self.seal);
        row.attributes = Sealed::seal(&attributes, &placed).map_err(unwritable)?;
        self.put(row)
    }

    /// The writes for the object of a step; the old object of a replacement is deposed.
    fn put(&self, row: Row) -> Result<Option<Vec<Write>>, StoreError> {
        let intent = self.intent;
        let write = |row: Row, expected: Generation| Write::Put { row: Box::new(row), expected };
        let Some(now) = &self.row else {
            // A missing row was forgotten or moved by hand, and stays so.
            let is_dropped = intent.prior_generation != 0 && !intent.deposes;
            return Ok(Some(if is_dropped { Vec::new() } else { vec![write(row, 0)] }));
        };
        // An object without an identity is known by its address alone and cannot be compared.
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

    /// True if the row changed since the step began.
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
    StoreError::Unavailable { action: "read", reason: error.to_string() }
}

fn unwritable(error: WireError) -> StoreError {
    StoreError::Unavailable { action: "written", reason: error.to_string() }
}
