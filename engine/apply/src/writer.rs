//! Group commit: one task writes all waiting records in one durable transaction and then sends their events.
//!
//! Records that are submitted during a commit go into the next one. After a failed commit nothing more is written. Waiting callers
//! get the error and start no further call. A store may keep outcomes elsewhere; then the task still writes the outcomes of running
//! calls.
//!
//! Events are sent in the order of submission. Events of a submission are sent after its records are durable and before its callers
//! continue. So the start of a step is never reported before the end of its prerequisites.

use super::lease::Leases;
use crate::event::{Event, Events};
use futures_util::FutureExt;
use futures_util::future::Shared;
use std::pin::Pin;
use std::sync::Arc;
use terrace_language::address::{ComponentKey, StackId};
use terrace_store::{Record, StoreError};
use tokio::sync::{mpsc, oneshot};

/// The maximum number of records in one transaction.
const MOST_RECORDS: usize = 5_000;

/// Resolves when the submitted records are durable.
pub(crate) type Ack = Shared<Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>>;

/// An entry of the task's queue.
enum Task {
    Write { records: Vec<Record>, waiter: Waiter },
    Event(Event),
    Release { stack: StackId, component: ComponentKey },
}

/// The work after a transaction, in order.
enum After {
    /// Resolves a waiter, whose events are sent first if the transaction succeeded.
    Waiter(Waiter),
    /// Sends an event in any case.
    Event(Event),
}

struct Waiter {
    events: Vec<Event>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// The sender of submissions. Cheap to clone; the task ends when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Task>,
    leases: Leases,
}

impl Writer {
    /// Starts the task.
    pub(crate) fn start(leases: Leases, events: Arc<dyn Events>) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let task = tokio::spawn(write_all(leases.clone(), events, waiting));
        (Self { queue, leases }, task)
    }

    /// Releases a lease after all earlier submissions are written.
    pub(crate) fn release(&self, stack: &StackId, component: &ComponentKey) {
        // If the task has ended, the end of the run releases the leases.
        let _ = self.queue.send(Task::Release { stack: stack.clone(), component: component.to_owned() });
    }

    /// Sends an event without records, after all earlier submissions.
    pub(crate) fn send_event(&self, event: Event) {
        // If the task has ended, the event is lost.
        let _ = self.queue.send(Task::Event(event));
    }

    /// Submits records, which are written in the order of submission; their events follow. If they contain intents, the answer also
    /// confirms the leases, because the write may have outlasted them.
    pub(crate) fn submit(&self, records: Vec<Record>, events: Vec<Event>) -> Ack {
        let begins = records.iter().any(|record| matches!(record, Record::Intent(_)));
        let leases = begins.then(|| self.leases.clone());
        let (done, answer) = oneshot::channel();
        let is_sent = self.queue.send(Task::Write { records, waiter: Waiter { events, done } }).is_ok();
        let stopped = || StoreError::Unavailable { action: "written", reason: "the writer has stopped".to_owned() };
        async move {
            if !is_sent {
                return Err(stopped());
            }
            answer.await.unwrap_or_else(|_| Err(stopped()))?;
            match leases {
                Some(leases) => leases.ensure().await,
                None => Ok(()),
            }
        }
        .boxed()
        .shared()
    }
}

async fn write_all(leases: Leases, events: Arc<dyn Events>, mut waiting: mpsc::UnboundedReceiver<Task>) {
    let mut failure: Option<StoreError> = None;
    let mut next = waiting.recv().await;
    while let Some(task) = next.take() {
        let (mut records, mut after) = match task {
            Task::Write { records, waiter } => (records, vec![After::Waiter(waiter)]),
            Task::Event(event) => {
                events.take(event);
                next = waiting.recv().await;
                continue;
            }
            Task::Release { stack, component } => {
                if let Err(error) = leases.release_one(&stack, &component).await {
                    // The end of the run releases it at the latest.
                    tracing::warn!(
                        target: "terrace_engine::apply::writer",
                        %error, %stack, %component,
                        "a lease could not be given back early"
                    );
                }
                next = waiting.recv().await;
                continue;
            }
        };
        while records.len() < MOST_RECORDS {
            match waiting.try_recv() {
                Ok(Task::Write { records: more, waiter }) => {
                    records.extend(more);
                    after.push(After::Waiter(waiter));
                }
                Ok(Task::Event(event)) => after.push(After::Event(event)),
                Ok(other @ Task::Release { .. }) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let result = match &failure {
            Some(error) => {
                if matches!(error, StoreError::WrittenToFallback { .. }) {
                    // A call that does not start needs no intent.
                    records.retain(|record| !matches!(record, Record::Intent(_)));
                    if !records.is_empty()
                        && let Err(error) = leases.commit(records).await
                    {
                        tracing::debug!(
                            target: "terrace_engine::apply::writer",
                            %error,
                            "the outcome of a call is kept elsewhere"
                        );
                    }
                }
                Err(error.clone())
            }
            None => leases.commit(records).await,
        };
        if let Err(error) = &result {
            failure.get_or_insert_with(|| error.clone());
        }
        for entry in after {
            match entry {
                After::Event(event) => events.take(event),
                After::Waiter(Waiter { events: events_of_waiter, done }) => {
                    if result.is_ok() {
                        events_of_waiter.into_iter().for_each(|event| events.take(event));
                    }
                    // The caller may be gone.
                    let _ = done.send(result.clone());
                }
            }
        }
        if next.is_none() {
            next = waiting.recv().await;
        }
    }
}
