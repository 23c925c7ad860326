//! Creates the row that a step writes.

use super::super::Applier;
use super::step::Prepared;
use std::collections::BTreeMap;
use terrace_language::action::Action;
use terrace_language::address::StackId;
use terrace_plan::Change;
use terrace_provider::value::wire::WireError;
use terrace_provider::{Attributes, Private, ResourceType};
use terrace_store::record::{self, Memory, NewRow};
use terrace_store::{Row, RowStatus};
use uuid::Uuid;

/// Seals rows of a change's resource for an operation.
#[derive(Clone, Copy)]
pub(super) struct Recorder<'a> {
    pub(super) applier: &'a Applier,
    pub(super) stack: &'a StackId,
    pub(super) change: &'a Change,
    pub(super) ty: &'a ResourceType,
    pub(super) operation: Uuid,
    /// Digests of planned values that the system returned differently.
    pub(super) inconsistent: &'a BTreeMap<String, String>,
}

static CONSISTENT: BTreeMap<String, String> = BTreeMap::new();

impl<'a> Recorder<'a> {
    pub(super) fn new(applier: &'a Applier, prepared: &'a Prepared, ty: &'a ResourceType, operation: Uuid) -> Self {
        Self::of(applier, &prepared.stack, &prepared.change, ty, operation)
    }

    pub(super) fn of(
        applier: &'a Applier,
        stack: &'a StackId,
        change: &'a Change,
        ty: &'a ResourceType,
        operation: Uuid,
    ) -> Self {
        // A step without a change keeps the digests.
        let kept = change.basis.prior.as_deref().filter(|_| change.action == Action::NoOp);
        let inconsistent = kept.map_or(&CONSISTENT, |prior| &prior.inconsistent);
        Recorder { applier, stack, change, ty, operation, inconsistent }
    }

    /// The row of an object.
    ///
    /// # Errors
    ///
    /// If a value is sensitive and no key can seal it.
    pub(super) fn row(
        &self,
        status: RowStatus,
        identity: &Attributes,
        attributes: &Attributes,
        private: &Private,
    ) -> Result<Row, WireError> {
        let Recorder { applier, stack, change, ty, operation, inconsistent } = *self;
        let memory = match &change.after {
            Some(after) => Memory {
                lifecycle: change.how.lifecycle.clone(),
                write_only: after.write_only.clone(),
                inconsistent: inconsistent.clone(),
            },
            None => change.basis.prior.as_deref().map(record::Prior::memory).unwrap_or_default(),
        };
        let dependencies = match (&change.after, &change.basis.prior) {
            (None, Some(prior)) => &prior.dependencies,
            _ => &change.how.depends_on,
        };
        let version = applier.registry.resource_type(ty.name).map(|(schema, _)| schema.version);
        let row = record::seal(
            &NewRow {
                stack: stack.clone(),
                address: &change.address,
                status,
                provider: &change.how.provider,
                provider_version: version.unwrap_or_default(),
                schema_version: ty.schema_version,
                identity,
                attributes,
                private,
                dependencies,
                memory: &memory,
                operation,
            },
            &applier.seal,
        )?;
        Ok(Row { deposed: change.deposed.clone(), ..row })
    }
}
