//! Writes the ends of requested runs, of runs of CronJobs and of expired databases into the audit log.
//!
//! Workers, clusters and guards end them, so this server looks for new ends. The audit log gets an end first, and then the
//! records of the project note that; a server that is killed between the two repeats the first, which has no effect.
//! Metrics count an end only if this server appended its entry. The line in the log of the server may come twice: a missing
//! line would look like a removed entry.

use crate::metrics;
use crate::outage_log::Outage;
use crate::pipelines::{ServedPipelines, UnloggedEvent, UnloggedUse};
use crate::shared::Shared;
use crate::usage_log::{SERVER, append, end_of_run, end_of_scheduled_run};
use std::sync::Arc;
use std::time::Duration;
use terrace_engine::store::{AuditEntry, AuditOutcome};

/// Interval of looks.
const INTERVAL: Duration = Duration::from_secs(1);
/// The actor of a run whose caller sent no token.
const ANONYMOUS: &str = "anonymous";

/// Writes new ends until the task is aborted.
pub(crate) async fn log_all(shared: Arc<Shared>) {
    let Some(served) = &shared.pipelines else { return };
    let failing = Outage::default();
    loop {
        match log_new(&shared, served).await {
            Ok(()) => drop(failing.ends()),
            Err(error) if failing.begins() => tracing::warn!(error, "the ends of runs cannot be logged now"),
            Err(_) => {}
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn log_new(shared: &Shared, served: &ServedPipelines) -> Result<(), String> {
    loop {
        let ends = served.pipelines.unlogged().await.map_err(|error| error.to_string())?;
        if ends.is_empty() {
            return Ok(());
        }
        for end in ends {
            let event = end.event.clone();
            let entry = entry(served, end);
            let is_new = append(shared.store.as_ref(), vec![entry.clone()]).await.map_err(|error| error.to_string())?;
            match (&event, &entry.usage) {
                (UnloggedEvent::RunEnd(_), Some(usage)) if is_new => metrics::count_run_end(usage, entry.outcome),
                (UnloggedEvent::ScheduledRunEnd(_) | UnloggedEvent::Expiry(_), Some(usage)) if is_new => {
                    metrics::count_pipelines_action(&usage.action, entry.outcome);
                }
                _ => {}
            }
            served.pipelines.mark_logged(&event).await.map_err(|error| error.to_string())?;
        }
    }
}

fn entry(served: &ServedPipelines, end: UnloggedUse) -> AuditEntry {
    let UnloggedUse { event, caller, is_good, usage } = end;
    let outcome = if is_good { AuditOutcome::Done } else { AuditOutcome::Failed };
    let (actor, target, name) = match event {
        UnloggedEvent::RunEnd(run) => {
            (caller.unwrap_or_else(|| ANONYMOUS.to_owned()), format!("run {run}"), end_of_run(&run))
        }
        UnloggedEvent::ScheduledRunEnd(run) => return end_of_scheduled_run(&run, is_good, usage),
        UnloggedEvent::Expiry(id) => {
            let database = usage.db.as_deref().unwrap_or_default();
            (SERVER.to_owned(), format!("database {database}"), format!("expiry of database {id}"))
        }
    };
    let entry = AuditEntry::new(actor, usage.action.clone(), outcome);
    AuditEntry {
        stacks: vec![served.stack().to_string()],
        target,
        usage: Some(usage.bounded()),
        ..entry.of_event(&name)
    }
}
