//! `terrace state migrate`: the whole state, copied to another database.

use crate::commands::Context;
use crate::failure::{Exit, Failure};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::wiring::{is_missing, ready_place};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_state::StoreUrl;
use terrace_state::transfer::{InUse, Migrated, TransferError, migrate};

/// What names the place where no flag does: a password in it is seen by nobody who lists the processes.
const VARIABLE: &str = "TERRACE_MIGRATE_TO";
/// How many digits of a digest people are shown.
const SHOWN: usize = 16;

/// Copies the state to an empty place.
///
/// # Errors
/// When somebody works on it, the place is not empty, or one of them cannot be used: nothing is copied then.
pub(super) async fn run(
    context: &Context<'_>,
    signals: &Signals,
    to: Option<&str>,
    is_json: bool,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let named = to.map(|text| (text, "--to")).or_else(|| Some((context.variables.get(VARIABLE)?, VARIABLE)));
    let Some((text, origin)) = named else {
        return Err(Failure::new("nothing says where to").hint(format!(
            "pass `--to URL`, or set `{VARIABLE}` where it has a password: `sqlite:PATH`, `postgres://…`"
        )));
    };
    let (from, to) = (&settings.state, Settings::other_state(text, origin)?);
    if is_missing(from) {
        // Nothing is made where there is nothing to move.
        return Err(failure(TransferError::Nothing(from.to_string())));
    }
    if *from != to {
        ready_place(&to)?;
    }
    context.ui.say(&format!("copying {from} to {to}"));
    let moved = match migrate(from, &to, &|| signals.begin_changes()).await {
        Ok(moved) => moved,
        Err(error) => return Err(failure(error)),
    };
    if is_json {
        context.ui.print_json(&to_json(&moved, from, &to))?;
    } else {
        context.ui.print(&table(&moved))?;
        context.ui.print(&format!(
            "\nAll of it is in {to}, compared row by row. {from} is as it was and can be removed.\n\
             From now on `state` of terrace.yaml (or `--state`, `TERRACE_STATE`) has to name the new one, on every machine.\n"
        ))?;
    }
    Ok(Exit::Done)
}

fn table(moved: &Migrated) -> String {
    let names = moved.tables.iter().map(|table| table.name.len()).max().unwrap_or_default();
    let head = format!("{:names$}  {:>9}  digest\n", "table", "rows");
    let line = |table: &terrace_state::transfer::MigratedTable| {
        let digest = table.digest.get(..SHOWN).unwrap_or(&table.digest);
        format!("{:names$}  {:>9}  {digest}\n", table.name, table.rows)
    };
    moved.tables.iter().fold(head, |text, table| text + &line(table))
}

fn to_json(moved: &Migrated, from: &StoreUrl, to: &StoreUrl) -> Json {
    let tables: Vec<Json> = moved
        .tables
        .iter()
        .map(|table| json!({ "table": table.name, "rows": table.rows, "digest": table.digest }))
        .collect();
    json!({ "from": from.to_string(), "to": to.to_string(), "state": moved.id, "tables": tables })
}

fn failure(error: TransferError) -> Failure {
    let text = error.to_string();
    match error {
        TransferError::Store(error) => error.into(),
        TransferError::Nothing(_) => Failure::new(text).hint("name the state that moves with `--state`"),
        TransferError::InMemory => Failure::refused(text).hint("name a file: `sqlite:PATH`"),
        TransferError::Same(_) => Failure::refused(text).hint("name another, empty place with `--to`"),
        TransferError::NotEmpty(_) => Failure::refused(format!("{text}; nothing was copied"))
            .hint("name a new file, or an empty database; for a schema of its own add `options=-csearch_path%3DNAME`"),
        TransferError::Differs { .. } => Failure::new(format!("{text}; nothing was kept"))
            .hint("look for what changes rows there, such as a trigger, or name another place"),
        TransferError::InUse(found) => in_use(&found),
    }
}

/// Who is in the way, and what can be done about each kind of them.
fn in_use(found: &[InUse]) -> Failure {
    const MANY: usize = 5;
    let shown = found.iter().take(MANY).map(in_words).collect::<Vec<_>>().join("; ");
    let more = match found.len().saturating_sub(MANY) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let mut seen = BTreeSet::new();
    let hints = found.iter().map(way_out).filter(|(kind, _)| seen.insert(*kind));
    hints.fold(
        Failure::refused(format!("the state is in use, so nothing was copied: {shown}{more}")),
        |failure, (_, hint)| failure.hint(hint),
    )
}

fn in_words(found: &InUse) -> String {
    match found {
        InUse::Lease(lease) => {
            let (of, holder, operation) = (place(&lease.stack, &lease.component), &lease.holder, lease.operation);
            format!("{of} is held by {holder} for operation {operation}")
        }
        InUse::Operation { id, kind, actor } => format!("operation {id} ({kind}) of {actor} runs"),
        InUse::Request { id, kind, stack, component, is_queued } => {
            let how = if *is_queued { "waits" } else { "is worked on" };
            format!("the request {id} ({kind} of {}) {how}", place(stack, component))
        }
        InUse::Step { stack, address, operation } => {
            format!("what became of {stack}:{address} in operation {operation} is not known")
        }
    }
}

fn place(stack: &StackId, component: &str) -> String {
    if component.is_empty() { stack.to_string() } else { format!("{stack}:{component}") }
}

fn way_out(found: &InUse) -> (u8, String) {
    match found {
        InUse::Lease(lease) => {
            (0, format!("wait until it is given back, or, when its holder is gone, `terrace unlock {}`", lease.id))
        }
        InUse::Operation { id, .. } => {
            (1, format!("wait until it ends; one whose process is gone is let go by `terrace operations cancel {id}`"))
        }
        InUse::Request { .. } => (2, "let a server end what it was asked for, and stop it then".to_owned()),
        InUse::Step { stack, .. } if *stack == StackId::shared(&stack.environment) => {
            (3, format!("`terrace recover --env {}` finds out", stack.environment))
        }
        InUse::Step { stack, .. } => (3, format!("`terrace recover {stack}` finds out")),
    }
}
