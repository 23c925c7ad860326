//! Progress of a running call: lines for people, partial results for the journal.

use super::super::writer::Writer;
use crate::event::{Event, Events};
use async_trait::async_trait;
use std::sync::Arc;
use terrace_provider::{Map, Partial, Progress, ProviderError, Severity, with_severity};
use terrace_store::record;
use terrace_store::seal::{RowPart, Seal};
use terrace_store::{Record, Row, Sealed};
use uuid::Uuid;

/// Forwards the progress of a running call.
pub(super) struct StepProgress {
    pub(super) address: String,
    pub(super) operation: Uuid,
    pub(super) step: u32,
    pub(super) events: Arc<dyn Events>,
    pub(super) writer: Writer,
    pub(super) seal: Arc<Seal>,
    /// The row of the intent; `None` for a step without an intent, which has no partial results.
    pub(super) row: Option<Row>,
}

#[async_trait]
impl Progress for StepProgress {
    fn message(&self, text: &str) {
        self.remark(Severity::Note, text);
    }

    fn remark(&self, severity: Severity, text: &str) {
        let level = match severity {
            Severity::Note => "INFO",
            Severity::Warning => "WARNING",
            Severity::Error => "ERROR",
        };
        self.events.take(Event::StepProgress { address: self.address.clone(), message: with_severity(severity, text) });
        let log = Record::Log {
            operation: self.operation,
            level: level.to_owned(),
            phase: "apply".to_owned(),
            message: format!("{}: {text}", self.address),
        };
        // No caller waits for a log line; the outcome detects an unwritable journal.
        drop(self.writer.submit(vec![log], Vec::new()));
    }

    async fn partial(&self, partial: Partial) -> Result<(), ProviderError> {
        let refuse = |error: String| ProviderError::bug(error);
        let row =
            self.row.as_ref().ok_or_else(|| refuse("a step without an intent has no partial result".to_owned()))?;
        let placed = |part| record::placed(row, part, &self.seal);
        let seal_identity = |identity: &Map| Sealed::seal(identity, &placed(RowPart::Identity));
        let identity =
            partial.identity.as_ref().map(seal_identity).transpose().map_err(|error| refuse(error.to_string()))?;
        let private = partial
            .private
            .as_ref()
            .map(|private| record::seal_private(private, &placed(RowPart::Private)))
            .transpose()
            .map_err(|error| refuse(error.to_string()))?;
        let record = Record::Partial { operation: self.operation, step: self.step, identity, private };
        self.writer.submit(vec![record], Vec::new()).await.map_err(|error| refuse(error.to_string()))
    }
}
