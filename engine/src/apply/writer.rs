//! Group commit: one task writes whatever waits, in one durable transaction, and tells of what is durable.
//!
//! What is submitted while a commit runs goes into the next one. After a commit that failed nothing is written any
//! more: whoever waits learns the reason, and starts nothing. Where the store is gone and keeps what is written elsewhere,
//! how calls end that ran by then is still written.
//!
//! What is told through it is told in the order of submissions, and what comes with records once they are durable and before
//! whoever waits for them goes on: however the threads run, nobody hears that something begins before that what it waited for
//! is done.

use super::lease::Leases;
use crate::address::StackId;
use crate::event::{Event, Events};
use crate::store::{Record, StoreError};
use futures_util::FutureExt;
use futures_util::future::Shared;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// How many records one transaction takes at most.
const MOST_RECORDS: usize = 5_000;

/// Answers when what was submitted is durable.
pub(crate) type Ack = Shared<Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>>;

/// What waits for the task, in order.
enum Task {
    Write { records: Vec<Record>, waiter: Waiter },
    Tell(Event),
    GiveBack { stack: StackId, component: String },
}

/// What comes after a transaction, in order.
enum After {
    /// Who waits for it, and what is told before where it is durable.
    Waiter(Waiter),
    /// What is told whatever came of it.
    Tell(Event),
}

struct Waiter {
    events: Vec<Event>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Takes submissions. Cheap to clone; the task ends when the last clone is gone.
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

    /// Gives a lease back once all that was submitted before is written.
    pub(crate) fn give_back(&self, stack: &StackId, component: &str) {
        // A task that is gone has left its leases to whoever ends the run.
        let _ = self.queue.send(Task::GiveBack { stack: stack.clone(), component: component.to_owned() });
    }

    /// Tells what needs no writing, after all that was submitted before.
    pub(crate) fn tell(&self, event: Event) {
        // A task that is gone has nobody left to tell.
        let _ = self.queue.send(Task::Tell(event));
    }

    /// Submits records; they are written in the order of submissions, and once they are the events are told. Where they open
    /// steps the answer says that these may be called, too: the writing may have taken so long that the leases ended meanwhile.
    pub(crate) fn submit(&self, records: Vec<Record>, events: Vec<Event>) -> Ack {
        let begins = records.iter().any(|record| matches!(record, Record::Intent(_)));
        let leases = begins.then(|| self.leases.clone());
        let (done, answer) = oneshot::channel();
        let is_sent = self.queue.send(Task::Write { records, waiter: Waiter { events, done } }).is_ok();
        let gone = || StoreError::Unavailable { doing: "written", reason: "the writer has stopped".to_owned() };
        async move {
            if !is_sent {
                return Err(gone());
            }
            answer.await.unwrap_or_else(|_| Err(gone()))?;
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
            Task::Tell(event) => {
                events.take(event);
                next = waiting.recv().await;
                continue;
            }
            Task::GiveBack { stack, component } => {
                if let Err(error) = leases.give_back(&stack, &component).await {
                    // It ends with the others at the latest.
                    tracing::warn!(%error, %stack, component, "a lease could not be given back early");
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
                Ok(Task::Tell(event)) => after.push(After::Tell(event)),
                Ok(other @ Task::GiveBack { .. }) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        let result = match &failure {
            Some(error) => {
                if matches!(error, StoreError::KeptElsewhere { .. }) {
                    // What is not begun any more needs no intent.
                    records.retain(|record| !matches!(record, Record::Intent(_)));
                    if !records.is_empty()
                        && let Err(error) = leases.commit(records).await
                    {
                        tracing::debug!(%error, "what became of a call is kept elsewhere");
                    }
                }
                Err(error.clone())
            }
            None => leases.commit(records).await,
        };
        if let Err(error) = &result {
            failure.get_or_insert_with(|| error.clone());
        }
        for it in after {
            match it {
                After::Tell(event) => events.take(event),
                After::Waiter(Waiter { events: told, done }) => {
                    if result.is_ok() {
                        told.into_iter().for_each(|event| events.take(event));
                    }
                    // A waiter that has gone away needs no answer.
                    let _ = done.send(result.clone());
                }
            }
        }
        if next.is_none() {
            next = waiting.recv().await;
        }
    }
}
