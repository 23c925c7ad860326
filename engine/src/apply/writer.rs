//! Group commit: one task writes whatever waits, in one durable transaction.
//!
//! What is submitted while a commit runs goes into the next one. After a commit that failed nothing is written any
//! more: whoever waits learns the reason, and starts nothing.

use crate::store::{Lease, Record, StateStore, StoreError};
use futures_util::FutureExt;
use futures_util::future::Shared;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// How many records one transaction takes at most.
const MOST_RECORDS: usize = 5_000;

/// Answers when what was submitted is durable.
pub(crate) type Ack = Shared<Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>>;

struct Submission {
    records: Vec<Record>,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// Takes submissions. Cheap to clone; the task ends when the last clone is gone.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Submission>,
}

impl Writer {
    /// Starts the task.
    pub(crate) fn start(store: Arc<dyn StateStore>, leases: Vec<Lease>) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        let task = tokio::spawn(write_all(store, leases, waiting));
        (Self { queue }, task)
    }

    /// Submits records; they are written in the order of submissions.
    pub(crate) fn submit(&self, records: Vec<Record>) -> Ack {
        let (done, answer) = oneshot::channel();
        let is_sent = self.queue.send(Submission { records, done }).is_ok();
        let gone = || StoreError::Unavailable { doing: "written", reason: "the writer has stopped".to_owned() };
        async move {
            if !is_sent {
                return Err(gone());
            }
            answer.await.unwrap_or_else(|_| Err(gone()))
        }
        .boxed()
        .shared()
    }
}

async fn write_all(store: Arc<dyn StateStore>, leases: Vec<Lease>, mut waiting: mpsc::UnboundedReceiver<Submission>) {
    let mut failure: Option<StoreError> = None;
    while let Some(first) = waiting.recv().await {
        let mut records = first.records;
        let mut done = vec![first.done];
        while records.len() < MOST_RECORDS {
            let Ok(next) = waiting.try_recv() else { break };
            records.extend(next.records);
            done.push(next.done);
        }
        let result = match &failure {
            Some(error) => Err(error.clone()),
            None => store.commit(&leases, &records).await,
        };
        if let Err(error) = &result {
            failure.get_or_insert_with(|| error.clone());
        }
        for waiter in done {
            // A waiter that has gone away needs no answer.
            let _ = waiter.send(result.clone());
        }
    }
}
