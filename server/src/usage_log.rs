//! Entries of the usage log about events, which a killed server may have written already.

use crate::{audit, metrics};
use terrace_engine::store::{AuditEntry, AuditLog, AuditOutcome, StoreError, Usage};

/// The actor of the server's own actions.
pub const SERVER: &str = "terrace";
/// The actor of runs of schedules.
const SCHEDULE: &str = "schedule";

/// The entry for the end of a run of a schedule. All servers that see the end write the same one.
#[must_use]
pub fn end_of_scheduled_run(run: &str, is_good: bool, usage: Usage) -> AuditEntry {
    let outcome = if is_good { AuditOutcome::Done } else { AuditOutcome::Failed };
    AuditEntry {
        target: format!("run {run}"),
        usage: Some(usage.bounded()),
        ..AuditEntry::new(SCHEDULE, "run", outcome).of_event(&end_of_run(run))
    }
}

/// The name of the event that a run ends.
pub(crate) fn end_of_run(run: &str) -> String {
    format!("end of run {run}")
}

/// Appends the entries of an event to the audit log. Returns true if they are new.
///
/// # Errors
/// When the store cannot be written.
pub(crate) async fn append(store: &(impl AuditLog + ?Sized), entries: Vec<AuditEntry>) -> Result<bool, StoreError> {
    if entries.is_empty() {
        return Ok(false);
    }
    let is_new = store.audit(entries.clone()).await? > 0;
    entries.iter().for_each(audit::log);
    Ok(is_new)
}

/// Appends the entries of actions of this server, and counts new ones.
///
/// # Errors
/// When the store cannot be written.
pub async fn append_actions(store: &(impl AuditLog + ?Sized), entries: Vec<AuditEntry>) -> Result<(), StoreError> {
    let counted: Vec<_> =
        entries.iter().filter_map(|entry| Some((entry.usage.as_ref()?.action.clone(), entry.outcome))).collect();
    if append(store, entries).await? {
        counted.iter().for_each(|(action, outcome)| metrics::count_pipelines_action(action, *outcome));
    }
    Ok(())
}
