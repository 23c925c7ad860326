//! `terrace destroy`: plans the removal, asks and applies. Needs only the state.

use super::run::{Applied, Run, recover_first};
use crate::args::DestroyArguments;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::Removal;
use crate::signals::Signals;
use crate::wiring::{is_missing, store};
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_state::Access;

/// The question before any removal.
const QUESTION: &str = "Do you really want to destroy these resources?\n  terrace will destroy the objects shown above. \
                        There is no undo.";

/// Destroys the objects of descriptors or stacks.
///
/// # Errors
/// When nothing was changed, or the state could no longer be written.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &DestroyArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let arguments = &arguments.applying();
    let planning = &arguments.planning;
    let removal = Removal::read(context, &arguments.files, &planning.choice, planning.plaintext_secrets).await?;
    let run = Run {
        context,
        arguments,
        signals,
        settings: &removal.settings,
        env_context: &removal.env_context,
        is_saved: false,
    };
    // As with `apply`, a missing state is created with the first row.
    let is_new = is_missing(&removal.settings.state);
    let can_recover = run.can_proceed() && !is_new;
    let access = if can_recover { Access::ReadWrite } else { Access::ReadOnly };
    let mut state = store(&removal.settings, access).await?;
    for plans in 1.. {
        // Recovers steps again that were interrupted since the previous plan.
        if can_recover {
            for stack in removal.stacks(state.as_ref()).await? {
                recover_first(&run, &state, &stack, &BTreeSet::new()).await?;
            }
        }
        let computed = removal.plan(state.as_ref(), planning).await?;
        run.show(&computed.plan, &removal.sources, &computed.diagnostics)?;
        run.consent(&computed.plan, QUESTION)?;
        if is_new && run.has_work(&computed.plan) {
            state = store(&removal.settings, Access::ReadWrite).await?;
        }
        match run.try_apply(Arc::clone(&state), &computed.plan, plans).await? {
            Applied::Ended(exit) => return Ok(exit),
            Applied::Stale(failure) => run.replan(failure, plans)?,
            Applied::Contended => run.report_contention(plans)?,
        }
    }
    Ok(Exit::Done)
}
