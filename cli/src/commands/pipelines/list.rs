//! `terrace pipelines list`: prints the pipelines of specs and their errors. Runs nothing and calls no server.

use crate::args::PipelinesListArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::harmless;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use terrace_pipelines::spec::model::{DependsOn, Step};
use terrace_pipelines::spec::{self, Pipeline, Problem, Severity, SourceSpec, Specs, StepKind};

/// Codes of missing names: the pipeline is readable nevertheless.
const MISSING: [&str; 3] = ["no_processor", "no_runner", "missing_dependency"];

/// Lists the pipelines of a folder.
///
/// # Errors
/// When the folder cannot be read. Invalid specs are part of the list.
pub(super) fn run(context: &Context<'_>, arguments: &PipelinesListArguments) -> Result<Exit, Failure> {
    let folder = arguments.folder.as_deref().unwrap_or(Path::new("."));
    let specs = spec::read(folder).map_err(|error| {
        Failure::new(format!("the folder `{}` cannot be searched for specs: {error}", folder.display()))
            .hint("name a folder with `pipeline-spec.yaml` in it or below it")
    })?;
    let specs = specs.with_display_root(folder);
    let broken: HashSet<&str> = specs.broken().into_iter().collect();
    let pipelines: HashMap<(&str, usize), &Pipeline> =
        specs.pipelines.iter().rev().map(|pipeline| ((pipeline.id.as_str(), pipeline.file), pipeline)).collect();
    let declared: HashSet<(&str, usize)> = specs.declared().collect();
    // Problems outside the listed pipelines belong to their file.
    let (mut by_pipeline, mut by_file) = (HashMap::<_, Vec<&Problem>>::new(), Vec::new());
    for problem in &specs.problems {
        match problem.pipeline.as_deref().map(|id| (id, problem.file)).filter(|key| declared.contains(key)) {
            Some(key) => by_pipeline.entry(key).or_default().push(problem),
            None => by_file.push(problem),
        }
    }
    let rows: Vec<Row<'_>> = specs
        .declared()
        .map(|(id, file)| Row {
            id,
            file,
            pipeline: pipelines.get(&(id, file)).copied(),
            is_runnable: !broken.contains(id),
            problems: by_pipeline.get(&(id, file)).cloned().unwrap_or_default(),
        })
        .collect();
    if arguments.format.is_json() {
        let problems =
            |problems: &[&Problem]| problems.iter().map(|it| problem_to_json(it, &specs)).collect::<Vec<_>>();
        let pipelines: Vec<Value> = rows.iter().map(|row| row.to_json(&specs, problems(&row.problems))).collect();
        let sources: Vec<Value> = specs.sources.iter().map(|source| plugin_to_json(source, &specs)).collect();
        context.ui.print_json(&json!({
            "format_version": "1.0",
            "pipelines": pipelines,
            "sources": sources,
            "problems": problems(&by_file),
        }))?;
    } else {
        let mut text: String = rows.iter().map(|row| row.in_lines(&specs)).collect();
        for source in &specs.sources {
            text.push_str(&plugin_in_lines(source, &specs));
        }
        let mut last_file = None;
        for problem in by_file {
            if last_file != Some(problem.file) {
                text.push_str(&head(&file(&specs, problem.file).unwrap_or_default()));
                last_file = Some(problem.file);
            }
            text.push_str(&line(severity(problem), &problem.in_one_line(&specs).to_string()));
        }
        let nothing = format!("there are no pipelines here: {}", specs.no_pipelines_hint());
        context.ui.print_list(&text, &nothing)?;
    }
    Ok(if specs.problems.iter().any(is_wrong) { Exit::Error } else { Exit::Done })
}

/// True for a problem that makes a spec wrong. A missing name alone does not.
pub(super) fn is_wrong(problem: &Problem) -> bool {
    problem.is_error() && !MISSING.contains(&problem.code)
}

/// A pipeline that a file names. It may be invalid.
struct Row<'a> {
    id: &'a str,
    file: usize,
    pipeline: Option<&'a Pipeline>,
    is_runnable: bool,
    problems: Vec<&'a Problem>,
}

impl Row<'_> {
    fn to_json(&self, specs: &Specs, problems: Vec<Value>) -> Value {
        let steps = self.pipeline.map(|pipeline| {
            let step = |step: &Step| json!({ "name": step.name, "kind": kind(step), "runner": step.runner });
            pipeline.steps.iter().map(step)
        });
        let dependencies = self.pipeline.map(|pipeline| {
            pipeline.dependencies.iter().map(|it| match &it.on {
                DependsOn::Pipeline(id) => json!({ "pipeline": id }),
                DependsOn::DataPackage(path) => json!({ "datapackage": path }),
            })
        });
        json!({
            "pipeline_id": self.id,
            "file": file(specs, self.file),
            "title": self.pipeline.and_then(|pipeline| pipeline.title.as_deref()),
            "steps": steps.into_iter().flatten().collect::<Vec<_>>(),
            "dependencies": dependencies.into_iter().flatten().collect::<Vec<_>>(),
            "schedule": self.schedule(),
            "params": self.pipeline.map(Pipeline::params_with_values).unwrap_or_default(),
            "runnable": self.is_runnable,
            "problems": problems,
        })
    }

    fn schedule(&self) -> Option<&str> {
        self.pipeline.and_then(|pipeline| pipeline.schedule.as_ref()).map(|schedule| schedule.crontab.as_str())
    }

    /// The pipeline as lines for people.
    fn in_lines(&self, specs: &Specs) -> String {
        let title = self.pipeline.and_then(|pipeline| pipeline.title.as_deref());
        let title = title.map(|title| format!("  ({title})")).unwrap_or_default();
        let broken = if self.is_runnable { "" } else { "  cannot be run" };
        let mut text = head(&format!("{}{title}{broken}", self.id));
        if let Some(pipeline) = self.pipeline {
            let steps: Vec<&str> = pipeline.steps.iter().map(|step| step.name.as_str()).collect();
            let dependencies = pipeline.dependencies.iter().map(|dependency| match &dependency.on {
                DependsOn::Pipeline(id) => id.clone(),
                DependsOn::DataPackage(path) => format!("the data package {path}"),
            });
            let dependencies: Vec<String> = dependencies.collect();
            text.push_str(&line("steps", &steps.join(", ")));
            if !dependencies.is_empty() {
                text.push_str(&line("after", &dependencies.join(", ")));
            }
            let params = pipeline.params_with_values();
            if !params.is_empty() {
                text.push_str(&line("params", &in_words(&params)));
            }
        }
        text.extend(self.schedule().map(|schedule| line("schedule", schedule)));
        text.extend(self.problems.iter().map(|it| line(severity(it), &it.in_one_line(specs).to_string())));
        text
    }
}

/// Parameters with their usual values, for people.
pub(super) fn in_words(params: &BTreeMap<String, String>) -> String {
    params.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn head(text: &str) -> String {
    harmless(text).replace('\n', " ") + "\n"
}

pub(super) fn line(name: &str, text: &str) -> String {
    harmless(&format!("  {name:<8}  {text}")).replace('\n', " ") + "\n"
}

/// The kind of a step.
pub(super) const fn kind(step: &Step) -> &'static str {
    match step.kind {
        StepKind::Processor => "processor",
        StepKind::Flow => "flow",
        StepKind::Code(_) => "code",
    }
}

pub(super) fn file(specs: &Specs, position: usize) -> Option<String> {
    specs.path_of(position).map(|path| path.display().to_string())
}

/// The word of a severity.
pub(super) const fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn problem_to_json(problem: &Problem, specs: &Specs) -> Value {
    let place = specs.files.get(problem.file).map(|file| problem.position(&file.text)).unzip();
    json!({
        "severity": severity(problem),
        "code": problem.code,
        "message": problem.message,
        "hint": problem.hint,
        "file": file(specs, problem.file),
        "line": place.0,
        "column": place.1,
        "step": problem.step.as_ref().map(|(number, _)| number),
    })
}

/// The source of a plugin's pipelines, and their number at its last call.
fn plugin_to_json(source: &SourceSpec, specs: &Specs) -> Value {
    json!({
        "file": file(specs, source.file),
        "plugin": source.module,
        "keys": source.keys,
        "pipelines": source.generated_count,
    })
}

fn plugin_in_lines(source: &SourceSpec, specs: &Specs) -> String {
    let count = match source.generated_count {
        Some(count) => format!("it created {count} pipelines"),
        None => "`terrace pipelines run` reads its pipelines".to_owned(),
    };
    let name = file(specs, source.file).unwrap_or_default();
    head(&name) + &line("plugin", &format!("{}: {count}", source.module)) + &line("keys", &source.keys.join(", "))
}
