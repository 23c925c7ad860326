//! Runs of schedules in the usage log of the server.

use super::served::use_of_record;
use async_trait::async_trait;
use std::sync::Arc;
use terrace_engine::store::ServerStore;
use terrace_pipelines::run::{Record, State};
use terrace_pipelines::schedule::scheduler::RunLog;
use terrace_server::usage_log::{append_actions, end_of_scheduled_run};

/// Writes the ends of scheduled runs into the usage log.
pub(in crate::commands) struct ScheduledRuns {
    pub(in crate::commands) store: Arc<dyn ServerStore>,
}

#[async_trait]
impl RunLog for ScheduledRuns {
    async fn ended(&self, record: &Record) -> bool {
        let entry = end_of_scheduled_run(&record.run, record.state == State::Succeeded, use_of_record(record));
        let logged = append_actions(self.store.as_ref(), vec![entry]).await;
        if let Err(error) = &logged {
            tracing::warn!(run = record.run, %error, "the end of a scheduled run cannot be logged now");
        }
        logged.is_ok()
    }
}
