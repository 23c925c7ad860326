//! Renders a running operation: converts events to lines, and reports long steps repeatedly.

use super::{Level, diagnostic, failure, line, put, resource, with_stack, word};
use jiff::Timestamp;
use serde_json::{Map as Object, Value as Json, json};
use std::collections::BTreeMap;
use std::time::Duration;
use terrace_apply::event::Event;
use terrace_apply::{FailedCheck, Report};
use terrace_language::action::Action;
use terrace_language::address::{Address, StackId};
use terrace_language::descriptor::checks::undecided;
use terrace_plan::Note;
use terrace_provider::Severity;

/// The interval of reports about a running step.
const EVERY: Duration = Duration::from_secs(10);

/// Follows the steps of an operation. Addresses have their stack in front if the operation covers several stacks.
#[derive(Debug, Clone, Default)]
pub struct Applying {
    has_several_stacks: bool,
    /// The running steps, by address with stack.
    running: BTreeMap<String, Running>,
}

#[derive(Debug, Clone)]
struct Running {
    stack: StackId,
    address: Address,
    action: Action,
    since: Timestamp,
    reported: Timestamp,
}

impl Applying {
    /// Follows an operation.
    #[must_use]
    pub fn new(has_several_stacks: bool) -> Self {
        Self { has_several_stacks, running: BTreeMap::new() }
    }

    /// The lines of an event.
    pub fn take(&mut self, event: &Event, at: Timestamp) -> Vec<Json> {
        match event {
            Event::Started { operation, steps } => {
                let mut line = line(Level::Info, "log", format!("operation {operation} begins"), at);
                put(&mut line, "terrace", json!({ "operation": operation, "steps": steps }));
                vec![Json::Object(line)]
            }
            Event::WaitingForLease { holders, left } => {
                let message = format!("waiting for {holders}, at most {} s more", left.as_secs());
                vec![Json::Object(line(Level::Warn, "log", message, at))]
            }
            Event::Recovering { message } | Event::Recovered { message } => {
                vec![Json::Object(line(Level::Info, "log", message.clone(), at))]
            }
            Event::Stopping { running } => {
                let message = match running {
                    0 => "stopping: no call is running".to_owned(),
                    running => format!("stopping: waiting for {running} running calls"),
                };
                vec![Json::Object(line(Level::Warn, "log", message, at))]
            }
            Event::StepStarted { stack, address, action } => {
                let step = Running {
                    stack: stack.clone(),
                    address: address.clone(),
                    action: *action,
                    since: at,
                    reported: at,
                };
                let hook = self.hook(stack, address, *action, None);
                self.running.insert(with_stack(stack, address), step);
                vec![with_hook(Level::Info, "apply_start", format!("{address}: {} begins", action.word()), hook, at)]
            }
            Event::StepWaiting { address, message } | Event::StepProgress { address, message } => {
                let Some(step) = self.running.get_mut(address) else {
                    return vec![Json::Object(line(Level::Info, "log", format!("{address}: {message}"), at))];
                };
                step.reported = at;
                let step = step.clone();
                vec![self.progress(&step, &format!("{}: {message}", step.address), at)]
            }
            Event::StepDone { stack, address, action, took } => {
                self.running.remove(&with_stack(stack, address));
                let hook = self.hook(stack, address, *action, Some(took.as_secs()));
                let message = format!("{address}: {} done after {} s", action.word(), took.as_secs());
                vec![with_hook(Level::Info, "apply_complete", message, hook, at)]
            }
            Event::StepFailed { stack, address, action, error, problems }
            | Event::CheckFailed { stack, address, action, error, problems } => {
                self.failed((stack, address, *action), error, problems, at)
            }
        }
    }

    /// The lines of steps whose last report is older than the interval. Call it about once a second.
    pub fn tick(&mut self, at: Timestamp) -> Vec<Json> {
        let mut due = Vec::new();
        for step in self.running.values_mut().filter(|step| elapsed(step.reported, at) >= EVERY) {
            step.reported = at;
            due.push(step.clone());
        }
        due.iter()
            .map(|step| {
                let seconds = elapsed(step.since, at).as_secs();
                self.progress(step, &format!("{}: still running after {seconds} s", step.address), at)
            })
            .collect()
    }

    /// The last lines: the summary and the outputs.
    #[must_use]
    pub fn finish(&self, report: &Report, is_destroy: bool, at: Timestamp) -> Vec<Json> {
        let count = |keep: fn(Action) -> bool| report.done.iter().filter(|done| keep(done.action)).count();
        let add = count(|action| action == Action::Create || action.is_replace());
        let (_, change, _) = report.counts();
        let remove = count(Action::removes_object);
        let import = count(|action| action == Action::Adopt);
        let operation = if is_destroy { "destroy" } else { "apply" };
        let word = if report.failed.is_empty() { "complete" } else { "incomplete" };
        let message = format!("Apply {word}! Resources: {add} added, {change} changed, {remove} destroyed.");
        let mut summary = line(Level::Info, "change_summary", message, at);
        let changes =
            json!({ "add": add, "change": change, "import": import, "remove": remove, "operation": operation });
        put(&mut summary, "changes", changes);
        let facts = json!({
            "operation": report.operation,
            "failed": report.failed.len(),
            "blocked": report.blocked.len(),
            "not_begun": report.not_started.len(),
            "interrupted": report.is_interrupted,
        });
        put(&mut summary, "terrace", facts);
        let warnings = report.failed_checks.iter().map(|check| warning(check, at));
        warnings.chain([Json::Object(summary), self.outputs(report, at)]).collect()
    }

    fn outputs(&self, report: &Report, at: Timestamp) -> Json {
        let mut outputs = Object::new();
        for ((stack, component), values) in &report.outputs {
            for (name, value) in values {
                let path = component.qualified(name).to_string();
                let path = if self.has_several_stacks { format!("{stack}:{path}") } else { path };
                let is_sensitive = value.has_sensitive();
                let mut entry = Object::new();
                put(&mut entry, "sensitive", is_sensitive);
                if !is_sensitive {
                    put(&mut entry, "value", value.to_json());
                }
                outputs.insert(path, Json::Object(entry));
            }
        }
        let mut line = line(Level::Info, "outputs", format!("Outputs: {}", outputs.len()), at);
        put(&mut line, "outputs", outputs);
        Json::Object(line)
    }

    fn failed(
        &mut self,
        (stack, address, action): (&StackId, &Address, Action),
        error: &str,
        problems: &[String],
        at: Timestamp,
    ) -> Vec<Json> {
        let step = self.running.remove(&with_stack(stack, address));
        let seconds = step.map_or(0, |step| elapsed(step.since, at).as_secs());
        let hook = self.hook(stack, address, action, Some(seconds));
        let message = format!("{address}: {} failed after {seconds} s", action.word());
        let mut diagnostic = Object::new();
        put(&mut diagnostic, "severity", "error");
        put(&mut diagnostic, "summary", error);
        // Drops a problem that the error ends with.
        let problems = problems.iter().map(String::as_str).filter(|problem| !error.ends_with(problem));
        put(&mut diagnostic, "detail", problems.collect::<Vec<_>>().join("\n"));
        put(&mut diagnostic, "address", self.address(stack, address));
        vec![with_hook(Level::Info, "apply_errored", message, hook, at), failure(Level::Error, error, diagnostic, at)]
    }

    fn progress(&self, step: &Running, message: &str, at: Timestamp) -> Json {
        let hook = self.hook(&step.stack, &step.address, step.action, Some(elapsed(step.since, at).as_secs()));
        with_hook(Level::Info, "apply_progress", message.to_owned(), hook, at)
    }

    fn hook(&self, stack: &StackId, address: &Address, action: Action, seconds: Option<u64>) -> Object<String, Json> {
        let mut hook = Object::new();
        put(&mut hook, "resource", resource(address, &self.address(stack, address)));
        put(&mut hook, "action", word(action));
        if let Some(seconds) = seconds {
            put(&mut hook, "elapsed_seconds", seconds);
        }
        hook
    }

    fn address(&self, stack: &StackId, address: &Address) -> String {
        if self.has_several_stacks { with_stack(stack, address) } else { address.to_string() }
    }
}

/// The line of a stack's check that failed after the apply.
fn warning(check: &FailedCheck, at: Timestamp) -> Json {
    let note = Note {
        severity: Severity::Warning,
        code: "check_failed".to_owned(),
        message: format!("{}: {}", check.stack, check.error),
        place: check.place.clone(),
        hint: check.problem.as_deref().map(undecided),
        address: None,
    };
    diagnostic(&note, at)
}

fn with_hook(level: Level, ty: &str, message: String, hook: Object<String, Json>, at: Timestamp) -> Json {
    let mut line = line(level, ty, message, at);
    put(&mut line, "hook", hook);
    Json::Object(line)
}

/// The time between two moments; zero if the clock was set back.
fn elapsed(since: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(since)).unwrap_or_default()
}
