//! The log of an operation in the store.

use std::sync::Arc;
use terrace_engine::event::{Event, Events};
use terrace_engine::render::steps::Steps;
use terrace_engine::store::{Record, RequestEnd, ServerStore};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use uuid::Uuid;

/// How many lines are written at once.
const BATCH: usize = 256;

/// Writes log lines of one operation. If the store refuses a line, the server's log reports it.
#[derive(Clone)]
pub(crate) struct OperationLog {
    pub(crate) store: Arc<dyn ServerStore>,
    pub(crate) operation: Uuid,
}

/// Lines that are written in the background.
pub(crate) struct BackgroundWriter {
    lines: UnboundedSender<Record>,
    writing: JoinHandle<()>,
}

/// Turns the events of an operation into lines of its log.
struct EventWriter {
    operation: Uuid,
    steps: Steps,
    // An event source that outlives the operation does not keep its log open.
    lines: WeakUnboundedSender<Record>,
}

impl OperationLog {
    /// Writes a line.
    pub(crate) async fn line(&self, level: &str, phase: &str, message: &str) {
        self.write(vec![line(self.operation, level, phase, message)]).await;
    }

    /// Writes several lines of a phase at once, each a level and a message.
    pub(crate) async fn lines<'l>(&self, phase: &str, lines: impl Iterator<Item = (&'l str, &'l str)>) {
        self.write(lines.map(|(level, message)| line(self.operation, level, phase, message)).collect()).await;
    }

    /// Writes the last line of a stopped operation, with its results before the stop.
    pub(crate) async fn stopped(&self, end: &RequestEnd) {
        self.write(vec![end.stop_record(self.operation)]).await;
    }

    /// Returns a receiver of events that writes them as lines, in their order.
    pub(crate) fn start_writer(&self, steps: Steps) -> (Arc<dyn Events>, BackgroundWriter) {
        let (lines, received) = unbounded_channel();
        let events = EventWriter { operation: self.operation, steps, lines: lines.downgrade() };
        let writing = tokio::spawn(self.clone().write_all(received));
        (Arc::new(events), BackgroundWriter { lines, writing })
    }

    async fn write_all(self, mut received: UnboundedReceiver<Record>) {
        let mut batch = Vec::new();
        while received.recv_many(&mut batch, BATCH).await > 0 {
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn write(&self, lines: Vec<Record>) {
        if lines.is_empty() {
            return;
        }
        if let Err(error) = self.store.commit(&[], lines).await {
            tracing::warn!(operation = %self.operation, %error, "cannot write lines of the log");
        }
    }
}

impl BackgroundWriter {
    /// Waits until all lines are written.
    pub(crate) async fn end(self) {
        drop(self.lines);
        if let Err(error) = self.writing.await {
            tracing::error!(%error, "the writer of a log was interrupted");
        }
    }
}

impl Events for EventWriter {
    fn take(&self, event: Event) {
        let level = match &event {
            // The log has these already; the wait of this worker is not the duration of the operation.
            Event::StepProgress { .. } | Event::WaitingForLease { .. } => return,
            Event::StepFailed { .. } | Event::CheckFailed { .. } => "ERROR",
            _ => "INFO",
        };
        if let (Some(lines), Some(message)) = (self.lines.upgrade(), self.steps.line(&event)) {
            // The channel closes only after the last step.
            let _ = lines.send(line(self.operation, level, "apply", &message));
        }
    }
}

fn line(operation: Uuid, level: &str, phase: &str, message: &str) -> Record {
    Record::Log { operation, level: level.to_owned(), phase: phase.to_owned(), message: message.to_owned() }
}
