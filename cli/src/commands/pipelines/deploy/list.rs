//! Lists of deployments.

use super::super::dppctl_yaml::Described;
use crate::args::FormatArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::{harmless_line, remembered};
use crate::ui::Ui;
use serde_json::{Value, json};
use terrace_pipelines::deployment::store::{Deployments, Record, Stage};

/// Prints the deployments of all actions, the newest first.
///
/// # Errors
/// When a record cannot be read.
pub(super) fn print(
    context: &Context<'_>,
    format: FormatArguments,
    store: &Deployments,
    described: &[Described],
) -> Result<Exit, Failure> {
    let mut records = Vec::new();
    for Described { deployment, .. } in described {
        for action in &deployment.actions {
            let found = store.of_action(&deployment.key(action));
            records.extend(found.map_err(|error| Failure::new(format!("the records of deployments: {error}")))?);
        }
    }
    records.sort_by_key(|record| (record.found_at, record.order));
    records.reverse();
    if format.is_json() {
        context.ui.print_json(&to_json(context.ui, &records))?;
    } else {
        context.ui.print_list(&records.iter().map(line).collect::<String>(), "no deployments here")?;
    }
    Ok(Exit::Done)
}

/// The deployments as JSON.
pub(super) fn to_json(ui: &Ui, records: &[Record]) -> Value {
    let deployments: Vec<Value> = records.iter().map(record_to_json).collect();
    json!({ "format_version": "1.0", "deployments": deployments, "diagnostics": remembered(ui) })
}

fn record_to_json(record: &Record) -> Value {
    json!({
        "commit": record.commit,
        "reference": record.reference,
        "app": record.app,
        "environment": record.environment,
        "descriptor": record.work.descriptor,
        "pipeline_id": record.work.pipeline,
        "state": state(record),
        "image": record.image,
        "operations_commit": record.operations_commit,
        "run_id": record.run,
        "error": record.error,
        "found_at": record.found_at,
        "ended_at": record.ended_at,
    })
}

/// A deployment in a line.
pub(super) fn line(record: &Record) -> String {
    let reference = record.reference.strip_prefix("refs/heads/").or(record.reference.strip_prefix("refs/tags/"));
    let mut text = format!(
        "{}  {}  {} of {}  {} in {}",
        record.ended_at.map_or_else(|| format!("{:.0}", record.found_at), |at| format!("{at:.0}")),
        state(record),
        super::short(&record.commit),
        reference.unwrap_or(&record.reference),
        record.work,
        record.environment,
    );
    for part in [&record.image, &record.run].into_iter().flatten() {
        text.push_str("  ");
        text.push_str(part);
    }
    if let Some(error) = &record.error {
        text.push_str(&format!("  ({})", error.lines().next().unwrap_or_default().trim_end_matches(':')));
    }
    harmless_line(&text) + "\n"
}

/// Outcome, or the stage that comes next.
fn state(record: &Record) -> &'static str {
    match (record.outcome, record.stage) {
        (Some(outcome), _) => outcome.word(),
        (None, Stage::Build) => "building",
        (None, Stage::Commit) => "committing",
        (None, Stage::Apply) => "applying",
        (None, Stage::Run | Stage::Ended) => "running",
    }
}
