//! `terrace pipelines list --server`: prints the pipelines of a server and their errors.

use super::super::list::{head, in_words, line};
use super::client::Server;
use crate::args::PipelinesListArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use serde_json::{Value, json};
use terrace_provider::http::Request;
use terrace_server::pipelines::{Pipeline, PipelineDependency, PipelineProblem};

/// Lists the pipelines of a server.
///
/// # Errors
/// When the server refuses the call or is not reached. Invalid specs are part of the list.
pub(in crate::commands::pipelines) async fn list(
    context: &Context<'_>,
    arguments: &PipelinesListArguments,
    server: &Server,
) -> Result<Exit, Failure> {
    if arguments.folder.is_some() {
        return Err(Failure::new("a server lists pipelines of its project only")
            .hint("leave the folder out, or unset TERRACE_SERVER"));
    }
    let pipelines: Vec<Pipeline> = server.pages(&Request::get("/api/v1/pipelines", &[]), usize::MAX).await?;
    if arguments.format.is_json() {
        let listed: Vec<Value> = pipelines.iter().map(to_json).collect();
        let document = json!({ "format_version": "1.0", "pipelines": listed, "sources": [], "problems": [] });
        context.ui.print_json(&document)?;
    } else {
        let text: String = pipelines.iter().map(in_lines).collect();
        context.ui.print_list(&text, "the server has no pipelines")?;
    }
    Ok(if pipelines.iter().all(|pipeline| pipeline.valid) { Exit::Done } else { Exit::Error })
}

fn to_json(pipeline: &Pipeline) -> Value {
    let problem = |problem: &PipelineProblem| {
        json!({
            "severity": problem.severity,
            "code": problem.code,
            "message": problem.message,
            "hint": problem.hint,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "step": problem.step,
        })
    };
    json!({
        "pipeline_id": pipeline.pipeline_id,
        "file": pipeline.file,
        "title": pipeline.title,
        "steps": pipeline.steps,
        "dependencies": pipeline.dependencies,
        "schedule": pipeline.schedule,
        "params": pipeline.params,
        "runnable": pipeline.runnable,
        "problems": pipeline.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}

fn in_lines(pipeline: &Pipeline) -> String {
    let title = pipeline.title.as_ref().map(|title| format!("  ({title})")).unwrap_or_default();
    let broken = if pipeline.runnable { "" } else { "  cannot be run" };
    let mut text = head(&format!("{}{title}{broken}", pipeline.pipeline_id));
    if !pipeline.steps.is_empty() {
        let steps: Vec<&str> = pipeline.steps.iter().map(|step| step.name.as_str()).collect();
        text.push_str(&line("steps", &steps.join(", ")));
    }
    if !pipeline.dependencies.is_empty() {
        let dependencies = pipeline.dependencies.iter().map(|dependency| match dependency {
            PipelineDependency::Pipeline(id) => id.clone(),
            PipelineDependency::DataPackage(path) => format!("the data package {path}"),
        });
        text.push_str(&line("after", &dependencies.collect::<Vec<_>>().join(", ")));
    }
    if !pipeline.params.is_empty() {
        text.push_str(&line("params", &in_words(&pipeline.params)));
    }
    text.extend(pipeline.schedule.iter().map(|schedule| line("schedule", schedule)));
    text.extend(pipeline.problems.iter().map(|problem| line(&problem.severity, &problem.text)));
    text
}
