//! Deployments in the usage log of the server.

use terrace_engine::store::{AuditEntry, AuditOutcome, Usage};
use terrace_pipelines::deployment::store::{Outcome, Record};
use terrace_server::usage_log::SERVER;

/// The entry of an ended deployment. It stays the same if it is written again.
pub(super) fn entry(record: &Record) -> AuditEntry {
    let is_good = record.outcome == Some(Outcome::Deployed);
    let usage = Usage {
        action: "deploy".to_owned(),
        pipeline_id: record.work.pipeline.clone(),
        run_id: record.run.clone(),
        source_ref: Some(record.reference.clone()),
        source_sha: Some(record.commit.clone()),
        image: record.image.clone(),
        queued_at: Some(record.found_at),
        finished_at: record.ended_at,
        error: record.error.clone(),
        ..Usage::default()
    };
    let Record { commit, app, environment, work, found_at, repeats, .. } = record;
    let outcome = if is_good { AuditOutcome::Done } else { AuditOutcome::Failed };
    AuditEntry {
        target: format!("{work} in {environment}"),
        usage: Some(usage.bounded()),
        ..AuditEntry::new(SERVER, "deploy", outcome)
            .of_event(&format!("deployment of {commit} of {app}: {work} in {environment}, {found_at} {repeats}"))
    }
}
