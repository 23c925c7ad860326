//! The beginning of a call: its intent is durable, and its lease is held.

use super::super::execute;
use super::super::lease::Held;
use super::super::writer::Ack;
use super::prepare_step::Starting;
use super::progress::StepProgress;
use super::{Finished, Run};
use crate::event::Event;
use futures_util::FutureExt;
use std::sync::Arc;
use terrace_provider::Session;
use terrace_provider::wrap::{Moment, Right, entitled};

impl Run<'_> {
    /// Calls the providers of prepared steps once their intents are durable, which were submitted after that moment.
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
            let right = right(since, held);
            self.futures.push(Box::pin(async move {
                // The intent may have waited for long: a lease that ended meanwhile gives no right to call.
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
                let outcome = entitled(right, call).await;
                Finished::Called { step, lane, outcome: Box::new(outcome), prepared: Box::new(prepared) }
            }));
        }
    }
}

/// Who was suspended goes on where it stood, and that may be just before a call: whether the leases are held still is asked
/// before each attempt.
fn right(since: Moment, held: &Held) -> Right {
    let leases = held.leases().clone();
    let holds = move || {
        let leases = leases.clone();
        async move { leases.ensure().await.map_err(|error| error.to_string()) }.boxed()
    };
    Right { since, holds: Arc::new(holds) }
}
