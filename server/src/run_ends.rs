//! Writes the ends of requested runs into the audit log.
//!
//! Workers in other processes end runs, so this server looks for new ends. The audit log gets an end first, and then the
//! queue of runs notes that; a server that is killed between the two repeats the first, which has no effect. Metrics count
//! an end only if this server appended its entry. The line in the log of the server may come twice: a missing line would
//! look like a removed entry.

use crate::audit;
use crate::metrics;
use crate::outage_log::Outage;
use crate::pipelines::{RunEnd, ServedPipelines};
use crate::shared::Shared;
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
        let ends = served.pipelines.unlogged_ends().await.map_err(|error| error.to_string())?;
        if ends.is_empty() {
            return Ok(());
        }
        for end in ends {
            let run = end.run_id.clone();
            let entry = entry(served, end);
            let appended = shared.store.audit(vec![entry.clone()]).await.map_err(|error| error.to_string())?;
            audit::log(&entry);
            if let Some(usage) = entry.usage.as_ref().filter(|_| appended > 0) {
                metrics::count_run_end(usage, entry.outcome);
            }
            served.pipelines.mark_logged(&run).await.map_err(|error| error.to_string())?;
        }
    }
}

fn entry(served: &ServedPipelines, end: RunEnd) -> AuditEntry {
    let RunEnd { run_id, caller, is_good, usage } = end;
    let outcome = if is_good { AuditOutcome::Done } else { AuditOutcome::Failed };
    let entry = AuditEntry::new(caller.unwrap_or_else(|| ANONYMOUS.to_owned()), "run", outcome);
    AuditEntry {
        stacks: vec![served.stack().to_string()],
        target: format!("run {run_id}"),
        usage: Some(usage.bounded()),
        ..entry.of_event(&format!("end of run {run_id}"))
    }
}
