//! `terrace pipelines schedules`: lists scheduled pipelines with their next start and last result, and forgets those that are gone.

use super::project::{project_of_runs, record_started_runs};
use crate::args::SchedulesArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use jiff::Timestamp;
use serde_json::{Value, json};
use terrace_engine::text::shell_word;
use terrace_pipelines::run::Runner;
use terrace_pipelines::schedule::scheduler::ScheduleStatus;
use terrace_pipelines::spec;

/// Lists declared schedules, and those of specs if the server starts them; or forgets one.
///
/// # Errors
/// When records or specs cannot be read, or the schedule cannot be forgotten.
pub(super) async fn run(context: &Context<'_>, arguments: &SchedulesArguments) -> Result<Exit, Failure> {
    if let Some(name) = &arguments.forget {
        return forget(context, name).await;
    }
    let runner = project_of_runs(context)?.runner;
    let schedules = context.settings(None)?.server(context.ui)?.schedules;
    record_started_runs(context, &runner).await;
    let specs = (schedules == Some(true)).then_some(runner.project.as_path());
    let known = runner.known_schedules(specs, Timestamp::now());
    let known = known.map_err(|error| Failure::new(format!("schedules cannot be read: {error}")))?;
    if arguments.format.is_json() {
        let shown: Vec<Value> = known.iter().map(to_json).collect();
        context.ui.print_json(&json!({ "format_version": "1.0", "schedules": shown }))?;
    } else {
        context.ui.print_list(&known.iter().map(line).collect::<String>(), "there are no schedules here")?;
    }
    for notes in notes_on_unstarted(&runner, schedules, !known.is_empty()) {
        context.ui.print_note(&notes);
    }
    Ok(Exit::Done)
}

/// Removes the record of a schedule whose CronJob does not exist.
///
/// # Errors
/// When the schedule is unknown, or its CronJob may exist.
async fn forget(context: &Context<'_>, name: &str) -> Result<Exit, Failure> {
    let runner = project_of_runs(context)?.runner;
    runner.forget_schedule(name).await.map_err(|why| {
        let message = format!("the schedule `{name}` cannot be forgotten: {}", why.message);
        why.hint.into_iter().fold(Failure::new(message), Failure::hint)
    })?;
    context.ui.print(&format!("schedule {name}: forgotten\n"))?;
    Ok(Exit::Done)
}

/// Notes on schedules that `server.pipelines.schedules` prevents from starting.
fn notes_on_unstarted(runner: &Runner, schedules: Option<bool>, is_any: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if schedules == Some(false) && is_any {
        notes.push(
            "`terrace serve` starts no schedules: `server.pipelines.schedules` of terrace.yaml is `false`".to_owned(),
        );
    }
    if schedules != Some(true) {
        // `terrace pipelines run` reports errors of specs.
        let pipelines = spec::read(&runner.project).map(|specs| specs.pipelines).unwrap_or_default();
        let count = pipelines.iter().filter(|pipeline| pipeline.schedule.is_some()).count();
        if count > 0 {
            notes.push(format!(
                "schedules of specs that start nothing: {count}; set `server: {{pipelines: {{schedules: true}}}}` in \
                 terrace.yaml to let `terrace serve` start them"
            ));
        }
    }
    notes
}

fn line(known: &ScheduleStatus) -> String {
    let ScheduleStatus { schedule, progress, next } = known;
    let next = match next {
        Some(next) => format!("next {}", in_utc(*next)),
        None if known.is_cron_job_gone() => format!(
            "its CronJob is gone: apply the stack again, or `terrace pipelines schedules --forget {}` if no stack has it",
            shell_word(&schedule.name)
        ),
        None if schedule.enabled => "never".to_owned(),
        None => "turned off".to_owned(),
    };
    let last = progress.as_ref().and_then(|progress| progress.last.as_ref());
    let last = last.map_or_else(
        || "not run yet".to_owned(),
        |last| {
            let why = last.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            format!("last {} {}{why}", in_utc(last.due), last.state)
        },
    );
    let text = format!("{}  {}  {}  {next}  {last}", schedule.name, schedule.pipeline, schedule.cron);
    harmless(&text).replace('\n', " ") + "\n"
}

/// A time as in the JSON of the list: schedules may have several time zones.
fn in_utc(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%F %H:%M UTC")
}

fn to_json(known: &ScheduleStatus) -> Value {
    let ScheduleStatus { schedule, progress, next } = known;
    let last = progress.as_ref().and_then(|progress| progress.last.as_ref());
    json!({
        "name": schedule.name,
        "pipeline_id": schedule.pipeline,
        "folder": schedule.folder,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "enabled": schedule.enabled,
        "next_run": next,
        "last_run": last.and_then(|last| last.run.as_ref()),
        "last_due": last.map(|last| last.due),
        "last_state": last.map(|last| &last.state),
        "error": last.and_then(|last| last.why.as_ref()),
    })
}
