//! Runners of steps, as defined in `dpp-runners.yaml`. dpp ignores an unknown runner; terrace reports it as an error.

use super::Specs;
use super::decode::find;
use super::model::SpecFile;
use super::problem::{Problem, Severity};
use super::spec_environment::{RUNNERS_FILE, SpecEnvironment};
use super::wrapper::Wrapper;
use super::yaml;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use terrace_provider::names::{closest, listed};
use terrace_yaml::source::Span;
use terrace_yaml::{Entry, Node};

/// The predefined runner: the environment's Python.
const PLAIN: &str = "local-python";
const WRAPPED: &str = "wrapped-python";

/// A runner.
enum Runner {
    Plain,
    Wraps(Wrapper),
    /// It has an error: the steps must not run without the intended wrapper.
    Broken,
}

/// The runners by name.
type Runners = BTreeMap<String, Runner>;

/// Resolves the runners of steps, and reports unknown ones.
pub(super) fn resolve(specs: &mut Specs, environment: &SpecEnvironment) {
    let has_runner = specs.pipelines.iter().flat_map(|pipeline| &pipeline.steps).any(|step| step.runner.is_some());
    if !has_runner {
        return;
    }
    let path = environment.runners.clone().unwrap_or_else(|| PathBuf::from(RUNNERS_FILE));
    let place = specs.root.join(&path);
    // Opening a pipe would block.
    let is_other = place.exists() && !place.is_file();
    let text = if is_other { Err(io::Error::other("it is not a file")) } else { fs::read_to_string(&place) };
    let runners = match text {
        Ok(text) => read(specs, &path, text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Runners::new()),
        Err(error) => {
            let why = format!("the file cannot be read: {error}");
            add(specs, &path, String::new(), vec![(0..0, why, None)]);
            None
        }
    };
    let is_read = runners.is_some();
    let runners = runners.unwrap_or_default();
    let mut unknown = Vec::new();
    for pipeline in &mut specs.pipelines {
        for step in &mut pipeline.steps {
            let Some(name) = &step.runner else { continue };
            let (message, hint) = match runners.get(name) {
                Some(Runner::Plain) => continue,
                Some(Runner::Wraps(wrapper)) => {
                    step.wrapper = Some(wrapper.clone());
                    continue;
                }
                None if name == PLAIN => continue,
                None if is_read => {
                    (format!("the runner `{name}` does not exist in `{}`", path.display()), hint(name, &runners))
                }
                Some(Runner::Broken) | None => {
                    let message = format!("its runner `{name}` has errors in `{}`", path.display());
                    (message, "correct that file: steps do not run without their wrapper".to_owned())
                }
            };
            unknown.push(Problem {
                severity: Severity::Error,
                code: "no_runner",
                message,
                file: pipeline.file,
                at: step.at.start..step.at.start,
                pipeline: Some(pipeline.id.clone()),
                step: Some((step.number, step.name.clone())),
                hint: Some(hint),
            });
        }
    }
    specs.problems.append(&mut unknown);
}

fn hint(name: &str, runners: &Runners) -> String {
    let names: Vec<&str> = runners.keys().map(String::as_str).collect();
    match closest(name, names.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if names.is_empty() => {
            format!(
                "define it in `{RUNNERS_FILE}` in the folder of the call, or in the file that DPP_RUNNER_CONFIG names"
            )
        }
        None => format!("available runners: {}", listed(&names)),
    }
}

type RunnerProblem = (Range<usize>, String, Option<String>);

/// Reads the file; returns nothing if it cannot be read at all.
fn read(specs: &mut Specs, path: &Path, text: String) -> Option<Runners> {
    let mut problems = Vec::new();
    let runners = match yaml::parse(&text) {
        Err(faults) => {
            problems.extend(faults.into_iter().map(|fault| (fault.at, fault.message, fault.hint)));
            None
        }
        Ok((root, _)) => {
            let entries = root.as_map().unwrap_or_default();
            if root.as_map().is_none() {
                let hint = format!("write `NAME: {{kind: {WRAPPED}, parameters: {{wrapper: …}}}}`");
                problems.push((root.span.into(), "the file is not a map from names to runners".to_owned(), Some(hint)));
            }
            Some(entries.iter().map(|entry| (entry.key.clone(), runner(entry, &mut problems))).collect())
        }
    };
    add(specs, path, text, problems);
    runners
}

fn runner(entry: &Entry, problems: &mut Vec<RunnerProblem>) -> Runner {
    let mut report = |at: Span, message: String, hint: Option<String>| {
        problems.push((at.into(), format!("the runner `{}`: {message}", entry.key), hint));
    };
    let fields = entry.value.as_map().unwrap_or_default();
    let kind = find(fields, "kind").map(|entry| &entry.value);
    match kind.and_then(Node::as_text) {
        Some(PLAIN) => Runner::Plain,
        Some(WRAPPED) => {
            let parameters = find(fields, "parameters").and_then(|entry| entry.value.as_map()).unwrap_or_default();
            let wrapper = find(parameters, "wrapper").map(|entry| &entry.value);
            let Some((node, text)) = wrapper.and_then(|node| Some((node, node.as_text()?))) else {
                let hint = format!("write `parameters: {{wrapper: \"nice {{cmd}}\"}}`, or `kind: {PLAIN}`");
                report(entry.key_span, "its `parameters` have no text `wrapper`".to_owned(), Some(hint));
                return Runner::Broken;
            };
            Wrapper::parse(text).map_or_else(
                |why| {
                    report(node.span, format!("its wrapper is not valid: {why}"), None);
                    Runner::Broken
                },
                Runner::Wraps,
            )
        }
        other => {
            let at = kind.map_or(entry.key_span, |node| node.span);
            let message = match other {
                Some(other) => format!("unknown kind `{other}`"),
                None => "the key `kind` is missing".to_owned(),
            };
            let meant = other.and_then(|other| closest(other, [PLAIN, WRAPPED]));
            let hint = meant
                .map_or_else(|| format!("write `{PLAIN}` or `{WRAPPED}`"), |meant| format!("did you mean `{meant}`?"));
            report(at, message, Some(hint));
            Runner::Broken
        }
    }
}

/// Adds the file and its errors to the specs.
fn add(specs: &mut Specs, path: &Path, text: String, problems: Vec<RunnerProblem>) {
    let file = specs.files.len();
    specs.files.push(SpecFile { path: path.to_owned(), text });
    specs.problems.extend(problems.into_iter().map(|(at, message, hint)| Problem {
        severity: Severity::Error,
        code: "runners",
        message,
        file,
        at,
        pipeline: None,
        step: None,
        hint,
    }));
}
