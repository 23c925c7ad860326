//! Renders plans and operations in the format of Terraform's `-json` user interface: one object per line.
//!
//! [`plan`] renders a whole plan; [`Applying`] converts [events](terrace_apply::event::Event) to lines. The caller passes the time. A
//! sensitive value is null, as in Terraform.

mod applying;

pub use applying::Applying;

use super::json::{TERRAFORM_VERSION, data_loss, index, module_address, name, output_action, outputs};
use super::totals::to_do;
use crate::json::facts::{deferred_action, qualified};
use jiff::Timestamp;
use serde_json::{Map as Object, Value as Json, json};
use terrace_language::action::{Action, Reason};
use terrace_language::address::{Address, LOOKUP, StackId};
use terrace_plan::{Change, DeferredChange, Lookup, Mode, Note, Plan, StackPlan};
use terrace_provider::Severity;

/// The version of Terraform's stream format.
pub const UI_VERSION: &str = "1.2";

/// The first line of a stream.
#[must_use]
pub fn version(terrace_version: &str, at: Timestamp) -> Json {
    let mut line = line(Level::Info, "version", format!("terrace {terrace_version}"), at);
    put(&mut line, "terraform", TERRAFORM_VERSION);
    put(&mut line, "ui", UI_VERSION);
    put(&mut line, "terrace", terrace_version);
    Json::Object(line)
}

/// The lines of a plan: diagnostics, drift, planned changes, summary, outputs. [`version`] comes before them.
#[must_use]
pub fn plan(plan: &Plan, at: Timestamp) -> Vec<Json> {
    let diagnostics = plan.notes.iter().map(|note| diagnostic(note, at));
    let is_drifted = |change: &Change| !change.why.drift.is_empty() || change.why.reason == Some(Reason::Gone);
    let drift = plan.changes().filter(|(_, change)| is_drifted(change)).map(|(stack, change)| {
        let word = if change.why.reason == Some(Reason::Gone) { "delete" } else { "update" };
        let message = format!("{}: drift detected ({word})", change.address);
        let mut line = line(Level::Info, "resource_drift", message, at);
        line.insert("change".to_owned(), json!({ "resource": resource_of(plan, stack, change), "action": word }));
        Json::Object(line)
    });
    let changes = plan
        .changes()
        .filter(|(_, change)| change.is_change())
        .map(|(stack, change)| planned_change(plan, stack, change, at));
    let lookups = plan.stacks.iter().flat_map(|stack| stack.lookups.iter().map(move |lookup| (stack, lookup)));
    let reads = lookups.filter_map(|(stack, lookup)| planned_read(plan, stack, lookup, at));
    let deferred = plan.deferred().map(|(stack, deferred)| deferred_change(plan, stack, deferred, at));
    let planned = changes.chain(reads).chain(deferred);
    diagnostics.chain(drift).chain(planned).chain([summary(plan, at), planned_outputs(plan, at)]).collect()
}

/// The severity of a line.
#[derive(Clone, Copy)]
enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

fn line(level: Level, ty: &str, message: String, at: Timestamp) -> Object<String, Json> {
    [
        ("@level", level.word().into()),
        ("@message", message.into()),
        ("@module", "terraform.ui".into()),
        ("@timestamp", at.to_string().into()),
        ("type", ty.into()),
    ]
    .into_iter()
    .map(|(name, value): (&str, Json)| (name.to_owned(), value))
    .collect()
}

fn put(line: &mut Object<String, Json>, name: &str, value: impl Into<Json>) {
    line.insert(name.to_owned(), value.into());
}

/// The stream's word for an action.
const fn word(action: Action) -> &'static str {
    match action {
        Action::NoOp => "noop",
        Action::Create => "create",
        Action::Update => "update",
        Action::Replace | Action::ReplaceCreateFirst => "replace",
        Action::Delete => "delete",
        Action::Read => "read",
        Action::Adopt => "import",
        Action::Forget | Action::Retain => "remove",
    }
}

/// The stream's word for a reason, without the prefix of replacements.
fn reason(reason: &Reason) -> Option<&'static str> {
    let word = reason.terraform()?;
    match word {
        "replace_by_request" => Some("requested"),
        "replace_by_triggers" => Some("replace_triggered_by"),
        other => Some(other.strip_prefix("replace_because_").unwrap_or(other)),
    }
}

fn resource_of(plan: &Plan, stack: &StackPlan, change: &Change) -> Json {
    let stack = change.stack(&stack.stack);
    resource(&change.address, &qualified(plan, &stack, &change.address.to_string()))
}

fn resource(address: &Address, qualified: &str) -> Json {
    let ty = address.ty.strip_prefix(LOOKUP).unwrap_or(&address.ty);
    json!({
        "addr": qualified,
        "module": module_address(address).unwrap_or_default(),
        "resource": address.local().to_string(),
        "implied_provider": ty.split('_').next().unwrap_or_default(),
        "resource_type": ty,
        "resource_name": name(address),
        "resource_key": index(address),
    })
}

/// The line of a lookup that is read during the apply; `None` if planning answered it.
fn planned_read(plan: &Plan, stack: &StackPlan, lookup: &Lookup, at: Timestamp) -> Option<Json> {
    let reason = lookup.reason?.terraform();
    let resource = resource(&lookup.address, &qualified(plan, &stack.stack, &lookup.address.to_string()));
    let change = json!({ "resource": resource, "action": word(Action::Read), "reason": reason });
    let mut line = line(Level::Info, "planned_change", format!("{}: Plan to read", lookup.address), at);
    line.insert("change".to_owned(), change);
    put(&mut line, "terrace", json!({ "action": Action::Read }));
    Some(Json::Object(line))
}

/// The line of a deferred change.
fn deferred_change(plan: &Plan, stack: &StackPlan, deferred: &DeferredChange, at: Timestamp) -> Json {
    let address = &deferred.address;
    let resource = resource(address, &qualified(plan, &stack.stack, &address.to_string()));
    let action = if deferred.action == Action::Retain { "remove" } else { deferred_action(deferred.action) };
    let mut line = line(Level::Info, "deferred_change", format!("{address}: Left for another apply"), at);
    let reason = deferred.reason.terraform();
    line.insert("change".to_owned(), json!({ "resource": resource, "action": action, "reason": reason }));
    put(&mut line, "terrace", json!({ "action": deferred.action, "waits_for": deferred.waits_for }));
    Json::Object(line)
}

fn planned_change(plan: &Plan, stack: &StackPlan, change: &Change, at: Timestamp) -> Json {
    let action = match (&change.in_doubt, change.action, &change.moved_from) {
        (None, Action::NoOp, Some(_)) => "move",
        (None, action, _) => word(action),
        (Some(_), _, _) => "noop",
    };
    let mut entry = Object::new();
    entry.insert("resource".to_owned(), resource_of(plan, stack, change));
    if let Some(from) = change.moves_from() {
        let previous = resource(from, &qualified(plan, &stack.stack, &from.to_string()));
        entry.insert("previous_resource".to_owned(), previous);
    }
    put(&mut entry, "action", action);
    if let Some(reason) = change.why.reason.as_ref().and_then(reason) {
        put(&mut entry, "reason", reason);
    }
    let mut line = line(Level::Info, "planned_change", format!("{}: Plan to {action}", change.address), at);
    line.insert("change".to_owned(), Json::Object(entry));
    let mut facts = Object::new();
    put(&mut facts, "action", json!(change.action));
    if change.action == Action::Retain {
        put(&mut facts, "retained", true);
    }
    if let Some(in_doubt) = &change.in_doubt {
        put(&mut facts, if change.is_held_back() { "held_back" } else { "in_doubt" }, in_doubt.text());
    }
    if let Some(loss) = &change.data_loss {
        put(&mut facts, "data_loss", data_loss(loss));
    }
    put(&mut line, "terrace", facts);
    Json::Object(line)
}

fn summary(plan: &Plan, at: Timestamp) -> Json {
    let counts = plan.counts();
    let operation = if plan.mode == Mode::Destroy { "destroy" } else { "plan" };
    let message = format!("Plan: {}.", to_do(&counts));
    let mut line = line(Level::Info, "change_summary", message, at);
    let changes = json!({
        "add": counts.add,
        "change": counts.change,
        "import": counts.adopted + counts.imported,
        "remove": counts.destroy,
        "operation": operation,
    });
    put(&mut line, "changes", changes);
    put(&mut line, "terrace", json!({ "counts": counts, "has_changes": plan.has_changes() }));
    Json::Object(line)
}

fn planned_outputs(plan: &Plan, at: Timestamp) -> Json {
    let entries: Object<String, Json> = outputs(plan)
        .map(|(_, output, name)| {
            let is_sensitive = [&output.before, &output.after].into_iter().flatten().any(|value| value.has_sensitive());
            let action = output_action(output).replace("no-op", "noop");
            let mut entry = Object::new();
            put(&mut entry, "sensitive", is_sensitive);
            put(&mut entry, "action", action);
            match &output.after {
                Some(value) if !is_sensitive && !value.has_unknown() => put(&mut entry, "value", value.to_json()),
                _ => {}
            }
            (name, Json::Object(entry))
        })
        .collect();
    let mut line = line(Level::Info, "outputs", format!("Outputs: {}", entries.len()), at);
    put(&mut line, "outputs", entries);
    Json::Object(line)
}

/// The line of a note or of an error without a plan. Terraform has no notes: they become log lines.
#[must_use]
pub fn diagnostic(note: &Note, at: Timestamp) -> Json {
    let (level, severity) = match note.severity {
        Severity::Error => (Level::Error, "error"),
        Severity::Warning => (Level::Warn, "warning"),
        Severity::Note => return Json::Object(line(Level::Info, "log", note.message.clone(), at)),
    };
    let mut entry = Object::new();
    put(&mut entry, "severity", severity);
    put(&mut entry, "summary", note.message.as_str());
    put(&mut entry, "detail", note.hint.as_deref().unwrap_or_default());
    if let Some(address) = &note.address {
        put(&mut entry, "address", address.as_str());
    }
    if let Some(place) = &note.place {
        // A plan has only the beginning of the range.
        let point = json!({ "line": place.line, "column": place.column });
        put(&mut entry, "range", json!({ "filename": place.file, "start": point, "end": point }));
    }
    put(&mut entry, "code", note.code.as_str());
    failure(level, &note.message, entry, at)
}

fn failure(level: Level, message: &str, diagnostic: Object<String, Json>, at: Timestamp) -> Json {
    let word = if matches!(level, Level::Error) { "Error" } else { "Warning" };
    let mut line = line(level, "diagnostic", format!("{word}: {message}"), at);
    put(&mut line, "diagnostic", diagnostic);
    Json::Object(line)
}

/// An address with its stack, as events have it.
fn with_stack(stack: &StackId, address: &Address) -> String {
    format!("{stack}:{address}")
}
