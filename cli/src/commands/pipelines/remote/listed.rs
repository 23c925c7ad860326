//! `terrace pipelines runs --server` and `terrace pipelines pods --server`.

use super::super::pods::print;
use super::super::runs::{line, to_json};
use super::client::Server;
use crate::args::{PodsFormat, RunsArguments};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use serde_json::{Value, json};
use terrace_provider::http::Request;
use terrace_server::pipelines::{Pod, Run};

/// Lists runs of a server.
///
/// # Errors
/// When the server refuses the call or is not reached.
pub(in crate::commands::pipelines) async fn runs(
    context: &Context<'_>,
    arguments: &RunsArguments,
    server: &Server,
) -> Result<Exit, Failure> {
    let request = Request::get("/api/v1/pipelines/runs", &[]);
    let request = arguments.pipeline.iter().fold(request, |request, id| request.query("pipeline", id));
    let runs: Vec<Run> = server.pages(&request, usize::from(arguments.limit)).await?;
    if arguments.format.is_json() {
        let runs: Vec<Value> = runs.iter().map(to_json).collect();
        context.ui.print_json(&json!({ "format_version": "1.0", "runs": runs }))?;
        return Ok(Exit::Done);
    }
    let lines: String = runs.iter().map(line).collect();
    let nothing = match &arguments.pipeline {
        Some(pipeline) => format!("`{pipeline}` has no runs on the server"),
        None => "the server has no runs".to_owned(),
    };
    context.ui.print_table(&lines, &nothing)?;
    Ok(Exit::Done)
}

/// Lists pods of a server.
///
/// # Errors
/// When the server refuses the call or is not reached.
pub(in crate::commands::pipelines) async fn pods(
    context: &Context<'_>,
    format: PodsFormat,
    server: &Server,
) -> Result<Exit, Failure> {
    let pods: Vec<Pod> = server.call(&Request::get("/api/v1/pipelines/pods", &[])).await?;
    print(context, format, &pods, "the server has no pods")
}
