//! `terrace operations`: lists, shows and cancels operations.

mod logs;

use crate::args::OperationsCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::report::{harmless, harmless_line};
use crate::signals::Signals;
use crate::wiring::{store, store_for_changes};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use terrace_engine::apply::open_step_prefix;
use terrace_engine::store::{
    Administration, Cancelled, LogLine, OperationFilter, OperationRow, RequestEnd, StepAction, StepResult, StepRow,
};
use terrace_state::Access;
use uuid::Uuid;

/// Lists and shows operations.
///
/// # Errors
/// When the state cannot be read, or the operation does not exist.
pub(super) async fn run(context: &Context<'_>, command: OperationsCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        OperationsCommand::List { limit, format } => list(context, limit, format.is_json()).await,
        OperationsCommand::Show { operation, format } => show(context, &operation, format.is_json()).await,
        OperationsCommand::Cancel { operation } => cancel(context, &operation).await,
        OperationsCommand::Logs { operation, follow } => logs::run(context, &operation, follow, signals).await,
    }
}

async fn list(context: &Context<'_>, limit: u16, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let operations =
        store(&settings, Access::ReadOnly).await?.operations(&OperationFilter::newest(usize::from(limit))).await?;
    if is_json {
        context.ui.print_json(&operations.iter().map(to_json).collect())?;
    } else {
        let lines = operations.iter().map(line).collect::<String>();
        context.ui.print_list(&lines, "there are no operations in this state")?;
    }
    Ok(Exit::Done)
}

/// Shows one operation and its steps.
///
/// # Errors
/// When the state cannot be read, or the operation does not exist.
pub(super) async fn show(context: &Context<'_>, word: &str, is_json: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let id = find(store.as_ref(), word).await?;
    let (operation, mut steps) = store.operation(id).await?.ok_or_else(|| unknown(word))?;
    // In order of time: open steps last.
    steps.sort_by_key(|step| (step.started_at, step.ended_at.unwrap_or(Timestamp::MAX), step.step));
    let errors = Errors::of(store.logs(id, 0).await?, &steps);
    if is_json {
        let mut json = to_json(&operation);
        if let Some(entries) = json.as_object_mut() {
            entries.insert("steps".to_owned(), steps.iter().map(|step| step_to_json(step, &errors)).collect());
            entries.insert("errors".to_owned(), json!(errors.other));
        }
        context.ui.print_json(&json)?;
    } else {
        let steps = steps.iter().map(|step| step_line(step, &errors)).collect::<String>();
        let other = errors.other.iter().map(|error| format!("        {}\n", harmless(error))).collect::<String>();
        context.ui.print(&format!("{}{steps}{other}", line(&operation)))?;
    }
    Ok(Exit::Done)
}

/// Errors in the log of an operation that the journal does not have.
struct Errors {
    /// Reasons why steps are in doubt, by the prefix of their log lines.
    reasons_in_doubt: BTreeMap<String, String>,
    /// Errors outside the steps of the journal.
    other: Vec<String>,
}

impl Errors {
    fn of(log: Vec<LogLine>, steps: &[StepRow]) -> Self {
        let prefixes: BTreeSet<String> =
            steps.iter().map(|step| open_step_prefix(&step.stack, &step.address)).collect();
        let mut errors = Self { reasons_in_doubt: BTreeMap::new(), other: Vec::new() };
        for line in log.into_iter().filter(|line| line.level == "ERROR") {
            // No prefix is a prefix of another: a matching one is the last that sorts before the line.
            let prefix = prefixes.range::<String, _>(..=&line.message).next_back();
            match prefix.and_then(|prefix| Some((prefix, line.message.strip_prefix(prefix.as_str())?))) {
                Some((prefix, reason)) => drop(errors.reasons_in_doubt.insert(prefix.clone(), reason.to_owned())),
                None => errors.other.push(line.message),
            }
        }
        errors
    }

    /// The reason why a step is in doubt. A step that ended has none, even if its log line matches.
    fn reason_in_doubt(&self, step: &StepRow) -> Option<&String> {
        if step.result.is_some() {
            return None;
        }
        self.reasons_in_doubt.get(&open_step_prefix(&step.stack, &step.address))
    }
}

/// Asks a running operation to stop, in any process.
async fn cancel(context: &Context<'_>, word: &str) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let store = store_for_changes(&settings).await?;
    let id = find(store.as_ref(), word).await?;
    let (operation, _) = store.operation(id).await?.ok_or_else(|| unknown(word))?;
    if operation.is_abandoned && !operation.is_requested {
        return Err(no_worker(&operation));
    }
    let what = match store.request_cancel(id, &settings.actor).await? {
        Some(Cancelled::Notified) if operation.is_abandoned => "will stop: the next server ends it",
        Some(Cancelled::Notified) => "will stop: it ends its running steps first",
        Some(Cancelled::Ended) => {
            // The operation is stopped even if its log cannot be written.
            if let Err(error) = store.commit(&[], vec![RequestEnd::cancelled().stop_record(id)]).await {
                tracing::warn!(operation = %id, %error, "the log line of a cancelled operation cannot be written");
            }
            "is stopped: it had not started"
        }
        None => {
            let status = operation.status_word();
            return Err(Failure::new(format!("operation `{id}` is not running: it is {status}"))
                .hint("`terrace operations list` shows which operations run"));
        }
    };
    context.ui.print(&format!("operation {id} {what}\n"))?;
    Ok(Exit::Done)
}

/// The failure of a command on an operation without a process that works on it.
pub(super) fn no_worker(operation: &OperationRow) -> Failure {
    let id = operation.id;
    match operation.is_requested {
        true => Failure::new(format!("no server works on operation `{id}`"))
            .hint("start a server to continue it, or end it with `terrace operations cancel`"),
        false => Failure::new(format!("the process of operation `{id}` is gone"))
            .hint("run `terrace recover` to resolve its steps"),
    }
}

/// The operation with this id or the only one whose id begins so.
///
/// # Errors
/// When no id or several ids begin so.
pub(super) async fn find(store: &dyn Administration, word: &str) -> Result<Uuid, Failure> {
    if let Ok(id) = word.parse() {
        return Ok(id);
    }
    let is_beginning = !word.is_empty() && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if !is_beginning {
        return Err(Failure::new(format!("`{word}` is not an operation: expected an id or its beginning"))
            .hint("`terrace operations list` lists them"));
    }
    let Some(within) = beginning_with(word) else { return Err(unknown(word)) };
    match store.operation_ids(within, 2).await?.as_slice() {
        [only] => Ok(*only),
        [] => Err(unknown(word)),
        [first, second, ..] => Err(Failure::new(format!("several operations begin with `{word}`"))
            .hint(format!("write more of the id: `{first}` or `{second}`"))),
    }
}

/// The range of ids with this beginning; `None` if it is invalid.
fn beginning_with(word: &str) -> Option<RangeInclusive<Uuid>> {
    let filled = |with: Uuid| format!("{word}{}", with.to_string().get(word.len()..)?).parse().ok();
    let (first, last): (Uuid, Uuid) = (filled(Uuid::nil())?, filled(Uuid::max())?);
    Some(first..=last)
}

/// The failure for an operation that does not exist.
pub(super) fn unknown(word: &str) -> Failure {
    Failure::new(format!("there is no operation `{word}`")).hint("`terrace operations list` lists them")
}

fn line(operation: &OperationRow) -> String {
    let stacks = operation.target_stacks().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let cancelled = operation.cancelled_by.as_ref().map(|by| format!("asked to stop by {by}"));
    let parts: Vec<String> =
        Some(operation.summary.clone()).filter(|it| !it.is_empty()).into_iter().chain(cancelled).collect();
    let summary = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    let line = format!(
        "{}  {}  {}  {}  {stacks}  by {}{summary}",
        operation.id,
        operation.started_at,
        operation.kind,
        operation.status_word(),
        operation.actor,
    );
    harmless_line(&line) + "\n"
}

fn to_json(operation: &OperationRow) -> Json {
    json!({
        "operation": operation.id, "kind": operation.kind, "stacks": operation.target_stacks(), "actor": operation.actor,
        "status": operation.status_word(), "started_at": operation.started_at, "ended_at": operation.ended_at,
        "summary": operation.summary, "cancelled_by": operation.cancelled_by,
    })
}

fn step_line(step: &StepRow, errors: &Errors) -> String {
    let in_doubt = errors.reason_in_doubt(step).map(|why| format!(", in doubt: {why}")).unwrap_or_default();
    format!(
        "  {:>4}  {:6}  {}:{}  {}\n",
        step.step,
        word(step.action),
        step.stack,
        step.address,
        harmless(&format!("{}{in_doubt}", result(step)))
    )
}

fn step_to_json(step: &StepRow, errors: &Errors) -> Json {
    json!({
        "step": step.step, "action": step.action, "stack": step.stack, "address": step.address,
        "result": result(step), "in_doubt": errors.reason_in_doubt(step),
        "started_at": step.started_at, "ended_at": step.ended_at,
    })
}

fn result(step: &StepRow) -> String {
    match &step.result {
        None => "open".to_owned(),
        Some(StepResult::Done) => "done".to_owned(),
        Some(StepResult::Failed(why)) => format!("failed: {why}"),
        Some(StepResult::Recovered(found)) => format!("recovered: {found}"),
    }
}

const fn word(action: StepAction) -> &'static str {
    match action {
        StepAction::Create => "create",
        StepAction::Update => "update",
        StepAction::Delete => "delete",
        StepAction::Record => "record",
    }
}
