//! `terrace recover`: finds out what became of steps that a crash cut off.

use super::Context;
use crate::args::RecoverArguments;
use crate::failure::{Exit, Failure};
use crate::progress::Progress;
use crate::report::harmless;
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{World, store};
use std::collections::BTreeSet;
use terrace_engine::address::StackId;
use terrace_engine::recover::Recovery;
use terrace_engine::store::Selection;
use terrace_state::Access;

/// Recovers stacks.
///
/// # Errors
/// When leases cannot be had or the state fails.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &RecoverArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    let world = World::of_settings(&settings, context.ui)?;
    let store = store(&settings, Access::ReadWrite).await?;
    let environment = &world.environment.name;
    let mut wanted: BTreeSet<StackId> = BTreeSet::new();
    for word in &arguments.stacks {
        let stack = stacks::named(word, &settings, store.as_ref()).await?;
        if stack.environment != *environment {
            return Err(Failure::new(format!("the stack `{stack}` is not in the environment `{environment}`"))
                .hint(format!("pass `--env {}`", stack.environment)));
        }
        wanted.insert(stack);
    }
    if arguments.stacks.is_empty() {
        wanted.extend(store.stacks().await?.into_iter().filter(|stack| stack.environment == *environment));
        // A first apply that was cut off left steps, and no row yet.
        let operations = store.operations(usize::MAX).await?;
        let of_operations = operations.into_iter().flat_map(|operation| operation.stacks);
        wanted.extend(of_operations.filter(|stack| stack.environment == *environment));
    }
    signals.begin_changes();
    let progress = Progress::for_people(context.ui);
    let recovery = Recovery {
        store: &store,
        registry: &world.registry,
        seal: &world.seal,
        events: progress.as_ref(),
        cancel: &signals.cancel,
        patience: settings.patience,
        actor: &settings.actor,
    };
    let mut recovered = Vec::new();
    for stack in &wanted {
        recovered.extend(recovery.run(stack, &Selection::All).await?);
        if signals.cancel.is_cancelled() {
            return Err(Failure::told(Exit::Interrupted));
        }
    }
    let in_doubt = recovered.iter().filter(|step| step.is_in_doubt).count();
    let lines = recovered.iter().map(|step| format!("{}: {}\n", step.address, harmless(&step.found)));
    context.ui.print(&lines.collect::<String>())?;
    match (recovered.len(), in_doubt) {
        (0, _) => context.ui.print("Nothing to recover.\n")?,
        (_, 0) => {}
        (_, in_doubt) => {
            return Err(Failure::new(format!("{in_doubt} steps are still in doubt"))
                .hint("try again later, or look at the objects and use `terrace state rm` where one is not there"));
        }
    }
    Ok(Exit::Done)
}
