//! `terrace pipelines logs --server`: prints the log of a run of a server, and follows it.

use super::super::logs::{LogLine, is_step, no_step, print_line};
use super::client::{Server, is_unfinished};
use super::events::{Followed, follow};
use crate::args::LogsArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use std::cell::RefCell;
use terrace_provider::http::Request;
use terrace_server::pipelines::RunLine;

/// A line as a log of this machine has it.
pub(super) fn log_line(line: &RunLine) -> LogLine {
    let RunLine { at, step, name, line, is_warning } = line.clone();
    LogLine { at, step, name, line, is_warning }
}

/// Prints a log; with `--follow` until the run ends.
///
/// # Errors
/// When the run does not exist or has no such step, the server refuses the call, or it is not reached.
pub(in crate::commands::pipelines) async fn logs(
    context: &Context<'_>,
    arguments: &LogsArguments,
    signals: &Signals,
    server: &Server,
) -> Result<Exit, Failure> {
    let run = server.find(&arguments.run).await?;
    if let Some(step) = &arguments.step
        && !run.steps.is_empty()
        && !run.steps.iter().enumerate().any(|(position, it)| is_step(step, position + 1, &it.name))
    {
        return Err(no_step(&run.run_id, step, run.steps.iter().map(|step| step.name.as_str())));
    }
    let is_json = arguments.format.is_json();
    let text = |line: &RunLine| {
        let is_wanted = arguments.step.as_ref().is_none_or(|step| is_step(step, line.step, &line.name));
        if is_wanted { print_line(&log_line(line), is_json) } else { String::new() }
    };
    if arguments.follow {
        let printed = RefCell::new(Ok(()));
        let report = |followed: Followed<'_>| match followed {
            Followed::Line(line) => {
                let text = text(line);
                let mut printed = printed.borrow_mut();
                if printed.is_ok() && !text.is_empty() {
                    *printed = context.ui.print(&text);
                }
            }
            Followed::Rows(_) => {}
            Followed::Outage(text) => context.ui.print_message(text),
        };
        let ended = tokio::select! {
            ended = follow(server, &run.run_id, report) => ended?,
            () = signals.cancel.cancelled() => return Ok(Exit::Interrupted),
        };
        printed.into_inner()?;
        // Waiting could have no end: the server gets no further lines before the run ends, which needs its cluster.
        if is_unfinished(&ended) {
            let (run, pipeline, url) = (&ended.run_id, &ended.pipeline_id, server.url());
            return Err(Failure::refused(format!("run {run} of {pipeline} goes on without its worker"))
                .hint(format!("`terrace pipelines runs --server {url}` shows its end"))
                .hint(format!(
                    "after its end, `terrace pipelines logs {run} --server {url}` prints the rest of its log"
                )));
        }
        return Ok(Exit::Done);
    }
    if run.started_at.is_none() && run.error.is_none() {
        return Err(Failure::new(format!(
            "run {} of {} has not started: it is {}",
            run.run_id, run.pipeline_id, run.state
        ))
        .hint(format!("`terrace pipelines logs -f {} --server {}` waits for it", run.run_id, server.url())));
    }
    let request = Request::get("/api/v1/pipelines/runs/{id}/logs", &[&run.run_id]);
    let mut after = None::<String>;
    loop {
        let page = after.iter().fold(request.clone().query("limit", PAGE), |page, after| page.query("after", after));
        let page: super::client::Page<RunLine> = server.call(&page).await?;
        context.ui.print(&page.items.iter().map(text).collect::<String>())?;
        match page.next {
            // The log of a running run has a next page at any time.
            Some(next) if page.items.len() == PAGE => after = Some(next),
            _ => return Ok(Exit::Done),
        }
    }
}

/// Lines of a page.
const PAGE: usize = 1_000;
