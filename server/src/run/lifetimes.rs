//! Limits on the lifetimes of databases that a plan creates.

use super::Run;
use super::failure::Failure;
use crate::pipelines::{OverLimit, PipelinesError, PlannedObject};
use crate::usage_log::append_actions;
use terrace_engine::action::Action;
use terrace_engine::plan::Plan;
use terrace_engine::store::{AuditEntry, AuditOutcome, StoreError, Usage};

impl Run<'_> {
    /// Counts the lifetimes of the databases in a plan for the caller, before the plan is applied.
    ///
    /// # Errors
    /// When a limit refuses them, or they cannot be counted now.
    pub(super) async fn count_lifetimes(&self, plan: &Plan) -> Result<(), Failure> {
        let Some(served) = &self.shared.pipelines else { return Ok(()) };
        // The applier refuses such a plan.
        if plan.refused_data_loss().next().is_some() {
            return Ok(());
        }
        let planned = plan.changes().filter_map(|(_, change)| {
            let before = match change.action {
                Action::Create | Action::Replace | Action::ReplaceCreateFirst => None,
                Action::Update => Some(&change.basis.prior.as_deref()?.attributes),
                _ => return None,
            };
            Some(PlannedObject { ty: &change.address.ty, before, after: &change.after.as_ref()?.attributes })
        });
        let planned: Vec<PlannedObject<'_>> = planned.collect();
        match served.pipelines.count_lifetimes(self.claim.operation, &planned, self.caller).await {
            Ok(()) => Ok(()),
            Err(PipelinesError::OverLimit(over)) => {
                self.log_refusal(&over).await?;
                Err(Failure::Failed(vec![over.message]))
            }
            Err(PipelinesError::Unavailable(why)) => Err(Failure::Store(why)),
            Err(error) => Err(Failure::Failed(vec![error.to_string()])),
        }
    }

    async fn log_refusal(&self, over: &OverLimit) -> Result<(), StoreError> {
        let organisation = self.caller.organisation.clone();
        let mut usage = Usage { action: "db.create".to_owned(), org: organisation, ..Usage::default() };
        over.note_in(&mut usage);
        let entry = AuditEntry::new(self.claim.actor.as_str(), usage.action.as_str(), AuditOutcome::Refused);
        let entry = AuditEntry {
            operation: Some(self.claim.operation),
            usage: Some(usage.bounded()),
            ..entry.of_event(&format!("refusal of operation {}", self.claim.operation))
        };
        append_actions(self.shared.store.as_ref(), vec![entry]).await
    }
}
