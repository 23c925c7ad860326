//! Runs of schedules in the usage log of the server.

use super::served::use_of_record;
use async_trait::async_trait;
use std::sync::Arc;
use terrace_engine::store::{AuditEntry, AuditOutcome, ServerStore};
use terrace_pipelines::run::{Record, State};
use terrace_pipelines::schedule::scheduler::RunLog;
use terrace_server::usage_log::append_actions;

/// The actor of scheduled runs.
const SCHEDULE: &str = "schedule";

/// Writes the ends of scheduled runs into the usage log.
pub(in crate::commands) struct ScheduledRuns {
    pub(in crate::commands) store: Arc<dyn ServerStore>,
}

#[async_trait]
impl RunLog for ScheduledRuns {
    async fn ended(&self, record: &Record) -> bool {
        let outcome = if record.state == State::Succeeded { AuditOutcome::Done } else { AuditOutcome::Failed };
        let entry = AuditEntry {
            target: format!("run {}", record.run),
            usage: Some(use_of_record(record).bounded()),
            ..AuditEntry::new(SCHEDULE, "run", outcome).of_event(&format!("end of run {}", record.run))
        };
        let logged = append_actions(self.store.as_ref(), vec![entry]).await;
        if let Err(error) = &logged {
            tracing::warn!(run = record.run, %error, "the end of a scheduled run cannot be logged now");
        }
        logged.is_ok()
    }
}
