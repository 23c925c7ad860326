//! Contention with other operations: recovers interrupted ones, and waits for running ones.

use super::failure::Failure;
use super::{AT_ONCE, LONGEST_PAUSE, MOST_PLANS, Run};
use crate::request_context::RequestContext;
use std::collections::BTreeSet;
use terrace_engine::address::{Address, StackId};
use terrace_engine::event::NoEvents;
use terrace_engine::plan::Plan;
use terrace_engine::recover::Recovery;
use terrace_engine::render::steps::Steps;
use terrace_engine::store::{OpenIntent, Selection, StoreError};

/// Of so many tries one looks into what may still take effect for long.
const LOOKS: u64 = 5;

impl Run<'_> {
    /// Finds out what became of what was cut off before; of what the environment shares only what this operation began, and
    /// those: nobody waits for what others left. True when anything was found out.
    ///
    /// # Errors
    /// `Held` where a call that was cut off may still take effect, which ends by itself; `Stopped` where somebody asked for that.
    pub(super) async fn recover(
        &self,
        described: &RequestContext<'_>,
        mut shared: BTreeSet<Address>,
    ) -> Result<bool, Failure> {
        let store = self.store();
        if self.claim.next_step > 0 {
            let open = store.open_intents(&StackId::shared(&described.stack.environment), &Selection::All).await?;
            let own = open.into_iter().filter(|open| open.intent.operation == self.claim.operation);
            shared.extend(own.map(|open| open.intent.row.address));
        }
        let selection = match described.components.is_empty() {
            true => Selection::All,
            false => Selection::Components(described.components.clone()),
        };
        if let Some(open) = self.cannot_be_told_yet(described, &selection).await?
            && self.may_wait().await
            && !self.cancel.is_cancelled()
        {
            return Err(Failure::Held(may_take_effect(&format!(
                "{}:{}",
                open.intent.row.stack, open.intent.row.address
            ))));
        }
        // What it began itself may come to its end in the meantime, also where it is to stop by now.
        let cancel = if self.claim.next_step > 0 { self.lost.child_token() } else { self.cancel.child_token() };
        let recovery = Recovery {
            store: &store,
            registry: &described.world.registry,
            seal: &described.world.seal,
            events: &NoEvents,
            cancel: &cancel,
            patience: self.shared.settings.patience.min(AT_ONCE),
            actor: &self.shared.settings.actor,
        };
        let steps = recovery.run(&described.stack, &selection, &Selection::Addresses(shared)).await?;
        let (left, found): (Vec<_>, Vec<_>) = steps.iter().partition(|step| step.is_in_doubt);
        for step in &found {
            self.log.line("INFO", "recover", &format!("{}: {}", step.address, step.found)).await;
        }
        if let Some(open) = left.iter().find(|step| step.was_open)
            && self.may_wait().await
            && !self.cancel.is_cancelled()
        {
            self.shared.looked.once_more(self.claim.operation);
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

    /// A step that may still take effect for longer than this request pauses, where one was looked into before and was found so.
    /// Each time that it is looked into is an operation: now and then is enough.
    async fn cannot_be_told_yet(
        &self,
        described: &RequestContext<'_>,
        selection: &Selection,
    ) -> Result<Option<OpenIntent>, StoreError> {
        let (looked, operation) = (&self.shared.looked, self.claim.operation);
        if !looked.has(operation) || looked.once_more(operation) > LOOKS {
            looked.forget(operation);
            return Ok(None);
        }
        let open = self.store().open_intents(&described.stack, selection).await?;
        let mut open = open.into_iter().map(|open| described.world.registry.ended_calls().complete(open));
        let takes_longer = |open: &OpenIntent| open.settles_in().is_some_and(|left| left > LONGEST_PAUSE);
        Ok(open.find(|open| open.is_orphaned && takes_longer(open)))
    }

    /// True when what a plan is about that changes nothing may be recorded otherwise by now: somebody was cut off since
    /// recovery looked, or was at work until now.
    pub(super) async fn others_changed(
        &self,
        described: &RequestContext<'_>,
        plan: &Plan,
        plans: usize,
    ) -> Result<bool, Failure> {
        let is_cut_off = plans < MOST_PLANS && plan.has_cut_off();
        // Where nothing of it is found out, it is about what is not this operation's.
        if is_cut_off && self.recover(described, shared_in(plan)).await? {
            return Ok(true);
        }
        if !self.wait_for_others(described, plan, plans).await? {
            return Ok(false);
        }
        self.recover(described, shared_in(plan)).await?;
        Ok(true)
    }

    /// True when somebody else, such as a command line, was at work on what a plan is about that changes nothing.
    async fn wait_for_others(
        &self,
        described: &RequestContext<'_>,
        plan: &Plan,
        plans: usize,
    ) -> Result<bool, Failure> {
        let (events, following) = self.log.follow(Steps::of_plan(plan));
        let applier = self.applier(described, plans, true, events).await?;
        let waited = applier.wait_for_others(plan, self.claim.operation).await;
        following.end().await;
        Ok(waited?)
    }
}

/// Why a request waits for a step that was cut off.
fn may_take_effect(address: &str) -> String {
    format!("{address}: what was cut off may still take effect, and is looked into once more when it cannot any more")
}

/// What the environment shares of what a plan works on.
pub(super) fn shared_in(plan: &Plan) -> BTreeSet<Address> {
    plan.changes().map(|(_, change)| &change.address).filter(|address| address.is_shared()).cloned().collect()
}
