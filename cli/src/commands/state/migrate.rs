//! `terrace state migrate`: copies the whole state to another store.

use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::settings::Settings;
use crate::signals::Signals;
use crate::wiring::{ensure_folder, is_missing};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_state::StoreUrl;
use terrace_state::transfer::{InUse, Migrated, TransferError, migrate};

/// The variable with the target. Unlike a flag, it keeps a password out of the list of processes.
const VARIABLE: &str = "TERRACE_MIGRATE_TO";
/// Number of digits of a digest in the output for people.
const DIGEST_DIGITS: usize = 16;

/// Copies the state to an empty store.
///
/// # Errors
/// When the state is in use, the target is not empty, or a store fails. Nothing is copied then.
pub(super) async fn run(
    context: &Context<'_>,
    signals: &Signals,
    to: Option<&str>,
    is_json: bool,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let named = to.map(|text| (text, "--to")).or_else(|| Some((context.variables.get(VARIABLE)?, VARIABLE)));
    let Some((text, origin)) = named else {
        return Err(Failure::new("the target is missing").hint(format!(
            "pass `--to URL`, or set `{VARIABLE}` if it has a password: `sqlite:PATH`, `postgres://…`"
        )));
    };
    let (from, to) = (&settings.state, Settings::other_state(text, origin)?);
    if is_missing(from) {
        // Creates no target without a source.
        return Err(failure(TransferError::Nothing(from.to_string())));
    }
    if *from != to {
        ensure_folder(&to)?;
    }
    context.ui.print_note(&format!("copying {from} to {to}"));
    let migrated = match migrate(from, &to, &|| signals.begin_changes()).await {
        Ok(migrated) => migrated,
        Err(error) => return Err(failure(error)),
    };
    if is_json {
        context.ui.print_json(&to_json(&migrated, from, &to))?;
    } else {
        context.ui.print(&table(&migrated))?;
        context.ui.print(&format!(
            "\nThe whole state is in {to}, compared row by row. {from} is unchanged and can be removed.\n\
             Set `state` in terrace.yaml (or `--state`, `TERRACE_STATE`) to the new state on every machine.\n"
        ))?;
    }
    Ok(Exit::Done)
}

fn table(migrated: &Migrated) -> String {
    let names = migrated.tables.iter().map(|table| table.name.len()).max().unwrap_or_default();
    let head = format!("{:names$}  {:>9}  digest\n", "table", "rows");
    let line = |table: &terrace_state::transfer::MigratedTable| {
        let digest = table.digest.get(..DIGEST_DIGITS).unwrap_or(&table.digest);
        format!("{:names$}  {:>9}  {digest}\n", table.name, table.rows)
    };
    migrated.tables.iter().fold(head, |text, table| text + &line(table))
}

fn to_json(migrated: &Migrated, from: &StoreUrl, to: &StoreUrl) -> Json {
    let tables: Vec<Json> = migrated
        .tables
        .iter()
        .map(|table| json!({ "table": table.name, "rows": table.rows, "digest": table.digest }))
        .collect();
    json!({ "from": from.to_string(), "to": to.to_string(), "state": migrated.id, "tables": tables })
}

fn failure(error: TransferError) -> Failure {
    let text = error.to_string();
    match error {
        TransferError::Store(error) => error.into(),
        TransferError::Nothing(_) => Failure::new(text).hint("name the state to copy with `--state`"),
        TransferError::InMemory => Failure::refused(text).hint("name a file: `sqlite:PATH`"),
        TransferError::Same(_) => Failure::refused(text).hint("name another, empty store with `--to`"),
        TransferError::NotEmpty(_) => Failure::refused(format!("{text}; nothing was copied"))
            .hint("name a new file, or an empty database; for a separate schema add `options=-csearch_path%3DNAME`"),
        TransferError::Differs { .. } => Failure::new(format!("{text}; nothing was kept"))
            .hint("look for the cause of the changed rows, such as a trigger, or name another target"),
        TransferError::InUse(found) => in_use(&found),
    }
}

/// The users of the state, with a remedy for each kind.
fn in_use(found: &[InUse]) -> Failure {
    const MANY: usize = 5;
    let shown = found.iter().take(MANY).map(describe_use).collect::<Vec<_>>().join("; ");
    let more = match found.len().saturating_sub(MANY) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let mut seen = BTreeSet::new();
    let hints = found.iter().map(remedy).filter(|(kind, _)| seen.insert(*kind));
    hints.fold(
        Failure::refused(format!("the state is in use, so nothing was copied: {shown}{more}")),
        |failure, (_, hint)| failure.hint(hint),
    )
}

fn describe_use(found: &InUse) -> String {
    match found {
        InUse::Lease(lease) => {
            let (of, holder, operation) = (scope_name(&lease.stack, &lease.component), &lease.holder, lease.operation);
            format!("{of} is held by {holder} for operation {operation}")
        }
        InUse::Operation { id, kind, actor } => format!("operation {id} ({kind}) of {actor} runs"),
        InUse::Request { id, kind, stack, order, is_queued } => {
            let how = if *is_queued { "is queued" } else { "is in progress" };
            format!("the request {id} ({kind} of {}) {how}", scope_name(stack, order.as_str()))
        }
        InUse::Step { stack, address, operation } => {
            format!("{stack}:{address} is in doubt since operation {operation}")
        }
    }
}

fn scope_name(stack: &StackId, component: &str) -> String {
    if component.is_empty() { stack.to_string() } else { format!("{stack}:{component}") }
}

fn remedy(found: &InUse) -> (u8, String) {
    match found {
        InUse::Lease(lease) => (
            0,
            format!("wait until the lease is released, or, if its holder is gone, run `terrace unlock {}`", lease.id),
        ),
        InUse::Operation { id, .. } => {
            (1, format!("wait until it ends, or, if its process is gone, run `terrace operations cancel {id}`"))
        }
        InUse::Request { .. } => (2, "let a server finish its requests, then stop it".to_owned()),
        InUse::Step { stack, .. } if *stack == StackId::shared(&stack.environment) => {
            (3, format!("resolve it with `terrace recover --env {}`", stack.environment))
        }
        InUse::Step { stack, .. } => (3, format!("resolve it with `terrace recover {stack}`")),
    }
}
