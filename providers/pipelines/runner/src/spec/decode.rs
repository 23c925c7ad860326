//! Decodes a YAML tree into pipelines. All errors are reported at once, with their positions.

mod step;

use super::Specs;
use super::cron::{self, Cron};
use super::discovery::{FoundFile, PIPELINES, SOURCE_SUFFIX};
use super::ignored::{Fault, IGNORE};
use super::model::{Dependency, DependsOn, Pipeline, Schedule, SourceSpec, SpecFile, Step};
use super::problem::{Problem, Severity};
use super::yaml::{self, kind_name, to_json, to_python_text};
use crate::execution_options::{ExecutionOption, ExecutionOptions};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terrace_provider::names::closest;
use terrace_yaml::source::Span;
use terrace_yaml::{Entry, Node, NodeKind};

/// Keys of a pipeline: pipeline-spec.schema.json of dpp, and `hooks`, which its status manager reads. `params`, `requirements`
/// and options of the execution are extensions of terrace: dpp ignores unknown keys.
const PIPELINE_KEYS: [&str; 15] = [
    "title",
    "description",
    "pipeline",
    "dependencies",
    "schedule",
    "environment",
    PARAMS,
    "hooks",
    "requirements",
    ExecutionOption::Executor.name(),
    ExecutionOption::Image.name(),
    ExecutionOption::Cpu.name(),
    ExecutionOption::Memory.name(),
    ExecutionOption::Disk.name(),
    ExecutionOption::Claim.name(),
];

/// Key of the variables whose values a run may replace, with their usual values.
const PARAMS: &str = "params";

/// Reporter of problems in one file, with the present pipeline and step.
pub(super) struct Reporter<'a> {
    problems: &'a mut Vec<Problem>,
    file: usize,
    pipeline: Option<String>,
    step: Option<(usize, String)>,
}

impl Reporter<'_> {
    pub(super) fn error(
        &mut self,
        code: &'static str,
        at: impl Into<Range<usize>>,
        message: String,
        hint: Option<String>,
    ) {
        self.report(Severity::Error, code, at, message, hint);
    }

    fn report(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: impl Into<Range<usize>>,
        message: String,
        hint: Option<String>,
    ) {
        self.problems.push(Problem {
            severity,
            code,
            message,
            file: self.file,
            at: at.into(),
            pipeline: self.pipeline.clone(),
            step: self.step.clone(),
            hint,
        });
    }

    fn wrong_type(&mut self, name: &str, expected: &str, node: &Node) {
        let message = format!("`{name}` is {}: expected {expected}", kind_name(node));
        let hint = match &node.kind {
            NodeKind::List(_) if expected.starts_with("a map") => Some("write `KEY: VALUE` without the `-`"),
            NodeKind::Map(_) if expected.starts_with("a list") => Some("begin each item with `- `"),
            NodeKind::Bool(_) | NodeKind::Int(_) | NodeKind::Number(_) | NodeKind::Typed { .. }
                if expected.starts_with("text") =>
            {
                Some("put it in quotes")
            }
            _ => None,
        };
        self.error("wrong_type", node.span, message, hint.map(str::to_owned));
    }

    /// Reports unknown keys, which dpp ignores. A key that resembles a known one is an error.
    fn check_keys(&mut self, entries: &[Entry], known: &[&str]) {
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            let message = format!("`{}` means nothing here", entry.key);
            let absent = known.iter().copied().filter(|known| !entries.iter().any(|entry| entry.key == *known));
            match closest(&entry.key, absent) {
                Some(meant) => {
                    self.error("unknown_key", entry.key_span, message, Some(format!("did you mean `{meant}`?")));
                }
                None => {
                    let hint = format!("known keys: {}", terrace_provider::names::listed(known));
                    self.report(Severity::Warning, "unknown_key", entry.key_span, message, Some(hint));
                }
            }
        }
    }

    fn text(&mut self, entries: &[Entry], name: &str) -> Option<String> {
        let entry = find(entries, name)?;
        let text = entry.value.as_text();
        if text.is_none() {
            self.wrong_type(name, "text", &entry.value);
        }
        text.map(str::to_owned)
    }

    fn flag(&mut self, entries: &[Entry], name: &str) -> bool {
        let Some(entry) = find(entries, name) else { return false };
        if let NodeKind::Bool(flag) = entry.value.kind {
            return flag;
        }
        self.wrong_type(name, "`true` or `false`", &entry.value);
        false
    }
}

pub(super) fn find<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    // If a key occurs twice, the last one counts, as in Python.
    entries.iter().rev().find(|entry| entry.key == name)
}

/// Reports errors in the list of ignored files.
pub(super) fn ignored(text: String, faults: Vec<Fault>, specs: &mut Specs) {
    if faults.is_empty() {
        return;
    }
    let file = specs.files.len();
    specs.files.push(SpecFile { path: IGNORE.into(), text });
    let mut reporter = Reporter { problems: &mut specs.problems, file, pipeline: None, step: None };
    for fault in faults {
        let hint = "write a name or a path on each line; `*`, `**`, `?` and `[a-z]` are wildcards".to_owned();
        reporter.error("ignore", fault.at, fault.message, Some(hint));
    }
}

/// Reads a file.
pub(super) fn file(found: FoundFile, specs: &mut Specs) {
    let file = specs.files.len();
    let name = found.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let folder = found.path.parent().unwrap_or(Path::new("")).to_path_buf();
    let text = match &found.text {
        Ok(text) => text.clone(),
        Err(error) => error.readable_part.clone(),
    };
    specs.files.push(SpecFile { path: found.path, text: text.clone() });
    let mut reporter = Reporter { problems: &mut specs.problems, file, pipeline: None, step: None };
    if let Err(error) = found.text {
        return reporter.error("unreadable", error.at..error.at, error.message, error.hint);
    }
    let (root, duplicates) = match yaml::parse(&text) {
        Ok(read) => read,
        Err(faults) => {
            return faults.into_iter().for_each(|it| reporter.error("yaml", it.at, it.message, it.hint));
        }
    };
    // Pipelines with the same name are reported below.
    let names: HashSet<usize> =
        root.as_map().into_iter().flatten().map(|entry| entry.key_span.start as usize).collect();
    for fault in duplicates.into_iter().filter(|fault| name != PIPELINES || !names.contains(&fault.at.start)) {
        reporter.report(Severity::Warning, "duplicate_key", fault.at, fault.message, fault.hint);
    }
    let is_empty = root.kind == NodeKind::Null;
    let entries = root.as_map().unwrap_or_default();
    if is_empty {
        let hint = Some("write `NAME:` and below it `pipeline:` with a list of steps, or remove the file".to_owned());
        reporter.report(Severity::Warning, "empty", 0..0, "the file describes nothing".to_owned(), hint);
    } else if root.as_map().is_none() {
        reporter.wrong_type("the file", "a map from names to pipelines", &root);
    }
    if let (Some(module), true) = (name.strip_suffix(SOURCE_SUFFIX), name != PIPELINES) {
        let keys = entries.iter().map(|entry| entry.key.clone()).collect();
        let content = to_json(&root);
        let module = module.to_owned();
        return specs.sources.push(SourceSpec {
            module,
            file,
            keys,
            content,
            generated_count: None,
            key: String::new(),
        });
    }
    let last: HashMap<&str, Span> = entries.iter().map(|entry| (entry.key.as_str(), entry.key_span)).collect();
    for entry in entries {
        reporter.pipeline = Some(id_of(&folder, &entry.key));
        // If a name occurs twice, the last one counts.
        if last.get(entry.key.as_str()).is_some_and(|last| *last != entry.key_span) {
            let hint = Some("rename one of the two, or remove it".to_owned());
            reporter.error(
                "duplicate_key",
                entry.key_span,
                "a pipeline with the same name follows below".to_owned(),
                hint,
            );
            continue;
        }
        let pipeline = pipeline(entry, &folder, &mut reporter);
        specs.declared.push(super::Declared { id: id_of(&folder, &entry.key), file, at: entry.key_span.into() });
        specs.pipelines.extend(pipeline);
    }
}

/// Reads a pipeline that a plugin generated.
pub(super) fn generated(
    id: &str,
    value: Node,
    folder: &Path,
    file: usize,
    problems: &mut Vec<Problem>,
) -> Option<Pipeline> {
    let mut reporter = Reporter { problems, file, pipeline: Some(id.to_owned()), step: None };
    pipeline(&Entry { key: id.to_owned(), key_span: Span::default(), value }, folder, &mut reporter)
}

/// Id of a pipeline as in dpp: `./`, folder and name.
fn id_of(folder: &Path, name: &str) -> String {
    let folder = folder.to_string_lossy();
    if folder.is_empty() { format!("./{name}") } else { format!("./{folder}/{name}") }
}

fn pipeline(entry: &Entry, folder: &Path, reporter: &mut Reporter<'_>) -> Option<Pipeline> {
    let id = reporter.pipeline.clone()?;
    if entry.key.is_empty() || entry.key.contains([',', '%']) || entry.key.contains(char::is_control) || id == "./all" {
        let message = format!("`{}` is not allowed as the name of a pipeline", entry.key.escape_debug());
        let hint = "choose a single-line name without commas and `%`; `all` is allowed only in a subfolder";
        let hint = hint.to_owned();
        reporter.error("illegal_name", entry.key_span, message, Some(hint));
    }
    let Some(entries) = entry.value.as_map() else {
        let message = format!("a pipeline is {}: expected a map", kind_name(&entry.value));
        reporter.error("wrong_type", entry.key_span, message, Some("write `pipeline:` and a list of steps".to_owned()));
        return None;
    };
    reporter.check_keys(entries, &PIPELINE_KEYS);
    let title = reporter.text(entries, "title");
    let description = reporter.text(entries, "description");
    let steps = steps(entry, entries, reporter);
    let dependencies = dependencies(entries, reporter);
    let schedule = schedule(entries, reporter);
    let mut environment = variables(entries, "environment", reporter);
    let with_values = variables(entries, PARAMS, reporter);
    for (name, _) in with_values.iter().filter(|(name, _)| environment.iter().any(|(other, _)| other == name)) {
        let message = format!("`{name}` is both in `environment` and in `{PARAMS}`");
        let at = find(entries, PARAMS).map_or(entry.key_span, |params| params.key_span);
        reporter.error(PARAMS, at, message, Some("keep it in one of them".to_owned()));
    }
    let params = with_values.iter().map(|(name, _)| name.clone()).collect();
    environment.extend(with_values);
    let hooks = hooks(entries, reporter);
    let requirements = requirements(entries, reporter);
    let (execution, execution_places) = execution(entries, reporter);
    let (file, at, folder) = (reporter.file, entry.key_span.into(), PathBuf::from(folder));
    let steps = steps?;
    let (reads_from, processors) = (Vec::new(), Arc::default());
    Some(Pipeline {
        id,
        file,
        folder,
        at,
        title,
        description,
        steps,
        dependencies,
        schedule,
        environment,
        params,
        hooks,
        requirements,
        execution,
        execution_places,
        reads_from,
        processors,
    })
}

/// Reads the steps. A step with an error is left out, and the error prevents the pipeline from running.
fn steps(entry: &Entry, entries: &[Entry], reporter: &mut Reporter<'_>) -> Option<Vec<Step>> {
    let Some(list) = find(entries, "pipeline") else {
        // A misspelt key was reported already.
        let is_reported = entries.iter().any(|entry| closest(&entry.key, ["pipeline"]).is_some());
        if !is_reported {
            let hint = Some("add `pipeline:` with a list of steps, each `run:` or `flow:`".to_owned());
            reporter.error("missing_key", entry.key_span, "the key `pipeline` is missing".to_owned(), hint);
        }
        return None;
    };
    let Some(items) = list.value.as_list() else {
        reporter.wrong_type("pipeline", "a list of steps", &list.value);
        return None;
    };
    if items.is_empty() {
        reporter.error("no_steps", list.key_span, "the pipeline has no steps".to_owned(), None);
        return None;
    }
    let mut steps = Vec::with_capacity(items.len());
    for (position, item) in items.iter().enumerate() {
        reporter.step = Some((position + 1, String::new()));
        steps.extend(step::read(item, position + 1, reporter));
    }
    reporter.step = None;
    Some(steps)
}

fn dependencies(entries: &[Entry], reporter: &mut Reporter<'_>) -> Vec<Dependency> {
    let Some(entry) = find(entries, "dependencies") else { return Vec::new() };
    let Some(items) = entry.value.as_list() else {
        reporter.wrong_type("dependencies", "a list", &entry.value);
        return Vec::new();
    };
    items.iter().filter_map(|item| dependency(item, reporter)).collect()
}

fn dependency(item: &Node, reporter: &mut Reporter<'_>) -> Option<Dependency> {
    let expected = "expected `pipeline: ID` or `datapackage: PATH`";
    let [entry] = item.as_map().unwrap_or_default() else {
        let message = match item.as_map() {
            Some(entries) => format!("a dependency has {} keys: {expected}", entries.len()),
            None => format!("a dependency is {}: {expected}", kind_name(item)),
        };
        let hint = item.as_text().map(|text| format!("did you mean `- pipeline: {text}`?"));
        reporter.error("dependency", item.span, message, hint);
        return None;
    };
    let make: fn(String) -> DependsOn = match entry.key.as_str() {
        "pipeline" => DependsOn::Pipeline,
        "datapackage" => DependsOn::DataPackage,
        other => {
            let message = format!("a dependency has the key `{other}`: {expected}");
            let hint = closest(other, ["pipeline", "datapackage"]).map(|meant| format!("did you mean `{meant}`?"));
            reporter.error("dependency", entry.key_span, message, hint);
            return None;
        }
    };
    let Some(text) = entry.value.as_text() else {
        reporter.wrong_type(&entry.key, "text", &entry.value);
        return None;
    };
    Some(Dependency { on: make(text.trim().to_owned()), at: entry.value.span.into() })
}

fn schedule(entries: &[Entry], reporter: &mut Reporter<'_>) -> Option<Schedule> {
    let entry = find(entries, "schedule")?;
    let Some(inner) = entry.value.as_map() else {
        reporter.wrong_type("schedule", "a map with `crontab`", &entry.value);
        return None;
    };
    reporter.check_keys(inner, &["crontab"]);
    let text = reporter.text(inner, "crontab")?;
    let at = find(inner, "crontab").map_or(entry.key_span, |entry| entry.value.span);
    let crontab = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Err(fault) = Cron::of_spec(&crontab) {
        let hint = "use the order of cron: `0 1 * * *` is every day at one".to_owned();
        reporter.error("crontab", at, fault, Some(hint));
        return None;
    }
    if let Some(in_order) = cron::in_cron_order(&crontab) {
        let message = format!("`{crontab}` has the weekday in the third field, which only the scheduler of dpp reads");
        let hint = match in_order.is_same {
            true => format!("write it in the order of cron: `{}`", in_order.text),
            false => format!(
                "write it in the order of cron: `{}`; but cron runs it on either day, while dpp and terrace run it if both match",
                in_order.text
            ),
        };
        reporter.report(Severity::Warning, "crontab_order", at, message, Some(hint));
    }
    Some(Schedule { crontab, at: at.into() })
}

/// Reads the map of variables with this key.
fn variables(entries: &[Entry], key: &'static str, reporter: &mut Reporter<'_>) -> Vec<(String, String)> {
    let Some(entry) = find(entries, key) else { return Vec::new() };
    let Some(variables) = entry.value.as_map() else {
        reporter.wrong_type(key, "a map from names to values", &entry.value);
        return Vec::new();
    };
    let mut environment = Vec::with_capacity(variables.len());
    for variable in variables {
        if variable.key.is_empty() || variable.key.contains(['=', '\0']) {
            let message = format!("`{}` is not a name for a variable", variable.key.escape_debug());
            reporter.error(key, variable.key_span, message, None);
        }
        match to_python_text(&variable.value).filter(|text| !text.contains('\0')) {
            Some(text) => environment.push((variable.key.clone(), text)),
            None => reporter.wrong_type(&variable.key, "one value: text, a number, true or false", &variable.value),
        }
    }
    environment
}

fn hooks(entries: &[Entry], reporter: &mut Reporter<'_>) -> Vec<String> {
    let Some(entry) = find(entries, "hooks") else { return Vec::new() };
    let Some(items) = entry.value.as_list() else {
        reporter.wrong_type("hooks", "a list of addresses", &entry.value);
        return Vec::new();
    };
    let mut hooks = Vec::with_capacity(items.len());
    for item in items {
        match item.as_text().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
            Some(text) => hooks.push(text.to_owned()),
            None => {
                let message = format!("a hook is {}: expected an address", kind_name(item));
                reporter.error(
                    "hook",
                    item.span,
                    message,
                    Some("write an address with `http://` or `https://`".to_owned()),
                );
            }
        }
    }
    hooks
}

fn requirements(entries: &[Entry], reporter: &mut Reporter<'_>) -> Vec<String> {
    let Some(entry) = find(entries, "requirements") else { return Vec::new() };
    let Some(items) = entry.value.as_list() else {
        reporter.wrong_type("requirements", "a list of packages", &entry.value);
        return Vec::new();
    };
    let mut requirements = Vec::with_capacity(items.len());
    for item in items {
        // A text that begins with `-` is an option of pip: it belongs into a requirements file, where users expect it.
        let is_package =
            |text: &&str| !text.trim().is_empty() && !text.starts_with('-') && !text.contains(['\n', '\r']);
        match item.as_text().filter(is_package) {
            Some(text) => requirements.push(text.trim().to_owned()),
            None => {
                let message = "a requirement is not a package with an optional version".to_owned();
                let hint =
                    "write it as in `openpyxl>=3.1`; options of pip belong into a `requirements.txt` next to the spec";
                reporter.error("requirement", item.span, message, Some(hint.to_owned()));
            }
        }
    }
    requirements
}

/// Reads the options of the execution, with the positions of their values.
fn execution(
    entries: &[Entry],
    reporter: &mut Reporter<'_>,
) -> (ExecutionOptions, BTreeMap<ExecutionOption, Range<usize>>) {
    let (mut options, mut places) = (ExecutionOptions::default(), BTreeMap::new());
    for option in ExecutionOption::ALL {
        let Some(entry) = find(entries, option.name()) else { continue };
        let text = match &entry.value.kind {
            NodeKind::Text(_) | NodeKind::Int(_) | NodeKind::Number(_) => to_python_text(&entry.value),
            _ => None,
        };
        match text.map(|text| option.check(&text).map(|()| text)) {
            None => reporter.wrong_type(option.name(), "text", &entry.value),
            Some(Ok(text)) => {
                options.set(option, text);
                places.insert(option, entry.value.span.into());
            }
            Some(Err(wrong)) => reporter.error("execution", entry.value.span, wrong.message, wrong.hint),
        }
    }
    (options, places)
}

/// Reports pipelines with the same id in different files.
pub(super) fn check_ids(specs: &mut Specs) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut problems = Vec::new();
    for (position, declared) in specs.declared.iter().enumerate() {
        let Some(before) = first.insert(&declared.id, position) else { continue };
        let Some(other) = specs.declared.get(before) else { continue };
        // Duplicates within a file were reported by the YAML parser.
        if other.file == declared.file {
            continue;
        }
        let path = specs.files.get(other.file).map(|file| file.path.display().to_string()).unwrap_or_default();
        problems.push(Problem {
            severity: Severity::Error,
            code: "duplicate_id",
            message: format!("a pipeline in `{path}` has the same id"),
            file: declared.file,
            at: declared.at.clone(),
            pipeline: Some(declared.id.clone()),
            step: None,
            hint: Some("rename one of the two".to_owned()),
        });
    }
    specs.problems.append(&mut problems);
}
