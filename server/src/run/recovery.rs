//! Recovery of interrupted steps before a plan.

use super::failure::Failure;
use super::{LONGEST_PAUSE, Run};
use crate::request_context::RequestContext;
use std::collections::BTreeSet;
use terrace_engine::address::{Address, StackId};
use terrace_engine::event::NoEvents;
use terrace_engine::store::{OpenIntent, Selection, StoreError};

/// The number of attempts after which an interrupted call is checked again.
const SKIPPED_CHECKS: u64 = 5;

impl Run<'_> {
    /// Resolves interrupted steps. Of shared objects, it resolves only the steps of this operation and the given ones:
    /// no request waits for shared steps of others. Returns true if it resolved any.
    ///
    /// # Errors
    /// `Held` if an interrupted call may still take effect, which ends by itself; `Stopped` on a cancellation.
    pub(super) async fn recover(
        &self,
        context: &RequestContext<'_>,
        mut shared: BTreeSet<Address>,
    ) -> Result<bool, Failure> {
        let store = self.store();
        if self.claim.next_step > 0 {
            let open = store.open_intents(&StackId::shared(&context.stack.environment), &Selection::All).await?;
            let own = open.into_iter().filter(|open| open.intent.operation == self.claim.operation);
            shared.extend(own.map(|open| open.intent.row.address));
        }
        let selection = match context.components.is_empty() {
            true => Selection::All,
            false => Selection::Components(context.components.clone()),
        };
        if let Some(open) = self.pending_step(context, &selection).await?
            && self.may_wait().await
            && !self.cancel.is_cancelled()
        {
            return Err(Failure::Held(may_take_effect(&format!(
                "{}:{}",
                open.intent.row.stack, open.intent.row.address
            ))));
        }
        // The steps of this operation may finish in the meantime, even after a cancellation.
        let cancel = if self.claim.next_step > 0 { self.lost.child_token() } else { self.cancel.child_token() };
        let execution = self.execution(cancel);
        let recovery = context.env.engine.recovery(&store, &execution, &NoEvents);
        let steps = recovery.run(&context.stack, &selection, &Selection::Addresses(shared)).await?;
        let (left, found): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.is_in_doubt);
        for step in &found {
            self.log.line("INFO", "recover", &format!("{}: {}", step.address, step.found)).await;
        }
        if let Some(open) = left.iter().find(|step| step.is_open)
            && self.may_wait().await
            && !self.cancel.is_cancelled()
        {
            self.shared.recovery_checks.increment(self.claim.operation);
            return Err(Failure::Held(may_take_effect(&open.address)));
        }
        if self.lost.is_cancelled() {
            return Err(Failure::Stopped);
        }
        for step in &left {
            self.log.line("WARNING", "recover", &format!("{}: {}", step.address, step.found)).await;
        }
        if self.cancel.is_cancelled() {
            return Err(Failure::Stopped);
        }
        Ok(!found.is_empty())
    }

    /// A step that may take effect for longer than the back-off, if an earlier check found so. Each check is an
    /// operation, so occasional checks are enough.
    async fn pending_step(
        &self,
        context: &RequestContext<'_>,
        selection: &Selection,
    ) -> Result<Option<OpenIntent>, StoreError> {
        let (recovery_checks, operation) = (&self.shared.recovery_checks, self.claim.operation);
        if !recovery_checks.has(operation) || recovery_checks.increment(operation) > SKIPPED_CHECKS {
            recovery_checks.forget(operation);
            return Ok(None);
        }
        let open = self.store().open_intents(&context.stack, selection).await?;
        let mut open = open.into_iter().map(|open| open.after(context.env.engine.registry.ended_calls()));
        let takes_longer = |open: &OpenIntent| open.settles_in().is_some_and(|left| left > LONGEST_PAUSE);
        Ok(open.find(|open| open.is_orphaned && takes_longer(open)))
    }
}

/// Why a request waits for an interrupted step.
fn may_take_effect(address: &str) -> String {
    format!("{address}: an interrupted call may still take effect: terrace checks it once that is impossible")
}
