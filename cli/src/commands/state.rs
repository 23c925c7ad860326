//! `terrace state`: inspects and repairs the state. Changes are journalled under the components' leases.

mod edit;
mod history;
mod import;
mod marks;
mod migrate;
mod rollback;
mod upgrade;
mod view;

pub(super) use edit::{Change, StateEdit, present, refuse_all_instances};
pub(super) use marks::{Mark, mark};
pub(super) use view::{show, show_all};

use super::plan::{check_is_like, write_private};
use crate::args::StateCommand;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{is_missing, store, store_for_changes};
use std::path::Path;
use std::time::Duration;
use terrace_engine::address::StackId;
use terrace_engine::store::{NewOperation, OperationStatus, Pruned, Record};
use terrace_state::{Access, export};
use uuid::Uuid;

/// A history this long may be pruned without a question.
const CONFIRM_BELOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Inspects or repairs the state.
///
/// # Errors
/// When the state cannot be read or written, or has no such resource.
pub(super) async fn run(context: &Context<'_>, command: StateCommand, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        StateCommand::List { all, format } => view::list(context, all, format.is_json()).await,
        StateCommand::Show { address, format } => {
            let settings = context.settings(None)?;
            let store = store(&settings, Access::ReadOnly).await?;
            show(context, &settings, store.as_ref(), &address, format.is_json()).await
        }
        StateCommand::History { address, format } => history::run(context, &address, format.is_json()).await,
        StateCommand::Mv { from, to } => edit::rename(context, signals, &from, &to).await,
        StateCommand::Rm { addresses } => edit::remove(context, signals, &addresses).await,
        StateCommand::Rollback(arguments) => rollback::run(context, &arguments, signals).await,
        StateCommand::Rekey { plaintext_secrets } => edit::rekey(context, signals, plaintext_secrets).await,
        StateCommand::Prune { keep, auto_approve } => prune(context, signals, keep, auto_approve).await,
        StateCommand::Upgrade => upgrade::run(context).await,
        StateCommand::Migrate { to, format } => migrate::run(context, signals, to.as_deref(), format.is_json()).await,
        StateCommand::Export { stack, history, out } => {
            write_export(context, stack.as_deref(), history, out.as_deref()).await
        }
        StateCommand::Import { file } => import::import(context, signals, &file).await,
    }
}

/// Removes old versions and operations. Current rows stay, so no lease is needed.
async fn prune(context: &Context<'_>, signals: &Signals, keep: Duration, auto_approve: bool) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    if is_missing(&settings.state) {
        context.ui.print("the state is empty: there is nothing to remove\n")?;
        return Ok(Exit::Done);
    }
    if keep < CONFIRM_BELOW && !auto_approve {
        let question = "Do you really want to remove versions that are that young?\n  A rollback needs them in the \
                        history.";
        context.ui.confirm(question, "keep more with `--keep 30d`, or pass `--auto-approve`")?;
    }
    let store = store_for_changes(&settings).await?;
    let operation = NewOperation {
        id: Uuid::now_v7(),
        kind: "state prune".to_owned(),
        stacks: Vec::new(),
        actor: settings.actor.clone(),
    };
    signals.begin_changes();
    store.begin(&operation).await?;
    let pruned = store.prune(keep).await;
    let (status, summary) = match &pruned {
        Ok(Pruned { versions, operations }) => {
            (OperationStatus::Completed, format!("versions removed: {versions}, operations removed: {operations}"))
        }
        Err(error) => (OperationStatus::Failed, error.to_string()),
    };
    let ended =
        store.commit(&[], vec![Record::End { operation: operation.id, status, summary: summary.clone() }]).await;
    // Reports the first error.
    pruned?;
    ended?;
    context.ui.print(&format!("{summary}\n"))?;
    Ok(Exit::Done)
}

async fn write_export(
    context: &Context<'_>,
    stack: Option<&str>,
    with_history: bool,
    out: Option<&Path>,
) -> Result<Exit, Failure> {
    if let Some(path) = out {
        check_is_like(path, export::BEGINNING, ("exported state", "an export"))?;
    }
    let settings = context.settings(None)?;
    let store = store(&settings, Access::ReadOnly).await?;
    let stack: Option<StackId> = match stack {
        Some(word) => Some(stacks::resolve(word, &settings, store.as_ref()).await?),
        None => None,
    };
    let document = export::export(store.as_ref(), stack.as_ref(), with_history).await?;
    match out {
        None => context.ui.print_json(&document)?,
        Some(path) => write_private(path, &format!("{document:#}\n"))
            .map_err(|error| Failure::new(format!("`{}` cannot be written: {error}", path.display())))?,
    }
    Ok(Exit::Done)
}
