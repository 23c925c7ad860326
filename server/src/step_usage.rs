//! Use of pipelines by the operations of this server: databases, sites, copies and runs that a stack declares.
//!
//! The journal names the steps of all attempts at an operation, so a killed server loses none. The entries are written
//! before the operation ends: a caller that reads its end finds them in the audit log.

use crate::pipelines::{PipelinesCaller, UsedObject};
use crate::shared::Shared;
use crate::usage_log::append_actions;
use std::collections::{BTreeMap, BTreeSet};
use terrace_engine::address::{Address, StackId};
use terrace_engine::record::open;
use terrace_engine::store::{
    AuditEntry, AuditOutcome, RequestClaim, RowStatus, Selection, StepAction, StepResult, StepRow, StoreError, Usage,
};
use terrace_provider::Attributes;
use uuid::Uuid;

/// Writes the use of pipelines by an operation that ends, once for each object.
///
/// # Errors
/// When the store cannot be read or written.
pub(crate) async fn log_steps(
    shared: &Shared,
    claim: &RequestClaim,
    caller: &PipelinesCaller,
) -> Result<(), StoreError> {
    let Some(served) = &shared.pipelines else { return Ok(()) };
    let pipelines = served.pipelines.as_ref();
    let Some((_, steps)) = shared.store.operation(claim.operation).await? else { return Ok(()) };
    let used = steps.iter().filter(|step| used_object(step).is_some_and(|it| pipelines.use_of_object(&it).is_some()));
    // The last step of an object has its outcome: earlier ones were interrupted.
    let last: BTreeMap<(&StackId, &Address), &StepRow> =
        used.map(|step| ((&step.stack, &step.address), step)).collect();
    let objects = objects(shared, claim.operation, last.keys().copied()).await?;
    let entries = last.into_iter().filter_map(|(object, step)| {
        let attributes = objects.get(&object);
        let (outcome, error) = match &step.result {
            Some(StepResult::Done) => (AuditOutcome::Done, None),
            Some(StepResult::Recovered(_)) if attributes.is_some() => (AuditOutcome::Done, None),
            Some(StepResult::Failed(why) | StepResult::Recovered(why)) => (AuditOutcome::Failed, Some(why.clone())),
            None => (AuditOutcome::Failed, Some("its outcome is in doubt".to_owned())),
        };
        let object = UsedObject { attributes, step: Some((claim.operation, step.step)), ..used_object(step)? };
        let usage = pipelines.use_of_object(&object)?;
        let usage = Usage { org: caller.organisation.clone(), error, ..usage };
        let entry = AuditEntry::new(claim.actor.as_str(), usage.action.as_str(), outcome);
        Some(AuditEntry {
            stacks: vec![step.stack.to_string()],
            target: step.address.to_string(),
            operation: Some(claim.operation),
            usage: Some(usage.bounded()),
            // A repeated request has further steps.
            ..entry.of_event(&format!(
                "{}:{} in step {} of operation {}",
                step.stack, step.address, step.step, claim.operation
            ))
        })
    });
    append_actions(shared.store.as_ref(), entries.collect()).await
}

/// The object that a step created or updated, without its attributes.
fn used_object(step: &StepRow) -> Option<UsedObject<'_>> {
    let is_new = match step.action {
        StepAction::Create => true,
        StepAction::Update => false,
        StepAction::Delete | StepAction::Record => return None,
    };
    Some(UsedObject { ty: &step.address.ty, is_new, attributes: None, step: None })
}

/// The attributes of the objects that an operation wrote, as far as they are still in the state.
async fn objects<'s>(
    shared: &Shared,
    operation: Uuid,
    all: impl Iterator<Item = (&'s StackId, &'s Address)>,
) -> Result<BTreeMap<(&'s StackId, &'s Address), Attributes>, StoreError> {
    let mut addresses: BTreeMap<&StackId, BTreeSet<&Address>> = BTreeMap::new();
    for (stack, address) in all {
        addresses.entry(stack).or_default().insert(address);
    }
    let mut objects = BTreeMap::new();
    for (stack, addresses) in addresses {
        let Some(env) = shared.environments.get(&stack.environment) else { continue };
        let selection = Selection::Addresses(addresses.iter().map(|address| (*address).clone()).collect());
        for row in shared.store.rows(stack, &selection).await? {
            if row.operation != operation || row.deposed.is_some() || row.status != RowStatus::Ready {
                continue;
            }
            // Without the attributes, the entry has fewer facts.
            if let (Some(address), Ok(opened)) = (addresses.get(&row.address), open(row.clone(), &env.engine.seal)) {
                objects.insert((stack, *address), opened.prior.attributes);
            }
        }
    }
    Ok(objects)
}
