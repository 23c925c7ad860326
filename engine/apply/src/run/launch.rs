//! Starts calls after their intents are durable, while their leases are held.

use super::super::execute;
use super::super::lease::Held;
use super::super::writer::Ack;
use super::prepare_step::Starting;
use super::progress::StepProgress;
use super::state::{Finished, Run};
use crate::event::Event;
use futures_util::FutureExt;
use std::sync::Arc;
use terrace_provider::Session;
use terrace_provider::wrap::{CallPermit, Moment, with_permit};

impl Run<'_> {
    /// Calls the providers of prepared steps once their intents, submitted after `since`, are durable.
    pub(super) fn launch(&mut self, starting: Vec<Starting>, ack: &Ack, since: Moment) {
        for Starting { step, lane, prepared, admission } in starting {
            let action = self.half(step, prepared.change.action);
            let ack = ack.clone();
            let applier = self.applier;
            let held = self.held;
            let operation = self.operation;
            let number = applier.step_number(step);
            let progress = Arc::new(StepProgress {
                address: format!("{}:{}", prepared.stack, prepared.change.address),
                operation,
                step: number,
                events: Arc::clone(&applier.events),
                writer: self.writer.clone(),
                seal: Arc::clone(&applier.seal),
                row: prepared.intent.as_ref().map(|intent| intent.row.clone()),
            });
            let permit = call_permit(since, held);
            self.futures.push(Box::pin(async move {
                // The write of the intent may have taken long: a call is not allowed after its lease expired.
                if let Err(error) = ack.await.and_then(|()| held.check()) {
                    return Finished::NotCalled { step, lane, error };
                }
                applier.events.take(Event::StepStarted {
                    stack: prepared.stack.clone(),
                    address: prepared.change.address.clone(),
                    action,
                });
                let session = admission.map(|session| session as Arc<dyn Session>);
                let call = execute::call(applier, &prepared, session, operation, number, progress);
                let outcome = with_permit(permit, call).await;
                Finished::Called { step, lane, outcome: Box::new(outcome), prepared: Box::new(prepared) }
            }));
        }
    }
}

/// The permit to call. Checked before each attempt, because a suspended process may resume just before a call with expired leases.
fn call_permit(since: Moment, held: &Held) -> CallPermit {
    let leases = held.leases().clone();
    let lease_check = move || {
        let leases = leases.clone();
        async move { leases.ensure().await.map_err(|error| error.to_string()) }.boxed()
    };
    CallPermit { since, lease_check: Arc::new(lease_check) }
}
