//! `terrace state rollback`: plans an earlier version of the state, asks, applies. Needs no descriptor.

use crate::args::{ApplyArguments, PlanningArguments, RollbackArguments};
use crate::commands::operations;
use crate::commands::plan::{check_is_free, save, saved};
use crate::commands::run::{Run, recover_first};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{options, planner};
use crate::settings::EnvironmentRef;
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{EnvironmentContext, store, store_for_changes};
use std::collections::BTreeSet;
use terrace_engine::address::{Address, StackId};
use terrace_engine::plan::rollback::{RollbackTarget, as_of};
use terrace_engine::source::Sources;
use terrace_engine::store::StateStore;
use terrace_state::Access;

/// The question before any change.
const QUESTION: &str = "Do you really want to roll back?\n  terrace will perform the actions described above.";

/// Rolls back.
///
/// # Errors
/// When the resource, generation or operation does not exist, or nothing was changed.
pub(super) async fn run(
    context: &Context<'_>,
    arguments: &RollbackArguments,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let settings = context.settings(None)?;
    if let Some(path) = &arguments.out {
        check_is_free(path)?;
    }
    // Saving a plan leaves the state unchanged.
    let store = match arguments.out {
        Some(_) => store(&settings, Access::ReadOnly).await?,
        None => store_for_changes(&settings).await?,
    };
    let (stack, address) = match stacks::split(&arguments.what).is_some() || arguments.what.parse::<Address>().is_ok() {
        true => {
            let (stack, address) = stacks::locate(&arguments.what, &settings, store.as_ref()).await?;
            (stack, Some(address))
        }
        false => (stacks::resolve(&arguments.what, &settings, store.as_ref()).await?, None),
    };
    if address.as_ref().is_some_and(Address::is_shared) {
        return Err(Failure::new("a shared resource cannot be rolled back alone")
            .hint("change it in the descriptors of all its owners"));
    }
    let environment = settings.environment(Some(EnvironmentRef::word(&stack.environment)), context.ui)?;
    let env_context = EnvironmentContext::new(&settings, environment, arguments.plaintext_secrets, context.ui)?;
    let apply_arguments = apply_arguments(arguments);
    let run = Run {
        context,
        arguments: &apply_arguments,
        signals,
        settings: &settings,
        env_context: &env_context,
        is_saved: false,
    };
    let is_applied = arguments.out.is_none() && run.can_proceed();
    if is_applied {
        recover_first(&run, &store, &stack, &BTreeSet::new()).await?;
    }
    let target = target(store.as_ref(), &stack, address.as_ref(), &arguments.to).await?;
    let (options, sources) = (options(&apply_arguments.planning, &env_context, BTreeSet::new())?, Sources::default());
    let computed = planner(store.as_ref(), &env_context, &sources, &options).plan_rollback(&stack, target).await?;
    run.show(&computed.plan, &sources, &computed.diagnostics)?;
    if computed.plan.has_changes() {
        context.ui.print_message("The descriptor is unchanged: its next apply undoes this rollback.");
    }
    if let Some(path) = &arguments.out {
        save(&computed.plan, path, &env_context)?;
        context.ui.print_note(&saved(&computed.plan, path, &env_context.seal)?);
        return Ok(Exit::Done);
    }
    run.consent(&computed.plan, QUESTION)?;
    run.apply(store, &computed.plan).await
}

/// The rollback as arguments of `apply`.
fn apply_arguments(arguments: &RollbackArguments) -> ApplyArguments {
    ApplyArguments {
        files: Vec::new(),
        planning: PlanningArguments {
            refresh: true,
            data: arguments.data.clone(),
            plaintext_secrets: arguments.plaintext_secrets,
            ..PlanningArguments::default()
        },
        plan_digest: None,
        run: arguments.run,
    }
}

/// The target of a rollback. Outputs are rolled back only with the whole stack: they depend on several resources.
async fn target(
    store: &dyn StateStore,
    stack: &StackId,
    address: Option<&Address>,
    to: &str,
) -> Result<RollbackTarget, Failure> {
    let (Some(address), Ok(generation)) = (address, to.parse::<u64>()) else {
        let operation = operations::find(store, to).await?;
        // The versions at the end of an operation are kept as long as the operation.
        if store.operation(operation).await?.is_none() {
            return Err(operations::unknown(to));
        }
        let snapshots = store.snapshot(Some(stack), true).await?;
        let found = snapshots.first().and_then(|snapshot| as_of(snapshot, operation));
        let mut target = found.ok_or_else(|| {
            Failure::new(format!("the operation `{operation}` wrote nothing of {stack}"))
                .hint("`terrace operations list` lists operations, `terrace state history ADDRESS` those of a resource")
        })?;
        if let Some(address) = address {
            target.rows.retain(|at, _| at == address);
            target.pruned.retain(|at| at == address);
            target.components.clear();
            target.pruned_components.clear();
        }
        return Ok(target);
    };
    let history = store.history(stack, address).await?;
    match history.iter().find(|entry| entry.generation == generation) {
        Some(entry) => {
            Ok(RollbackTarget { rows: [(address.clone(), entry.row.clone())].into(), ..RollbackTarget::default() })
        }
        None => {
            let known: Vec<String> = history.iter().take(10).map(|entry| entry.generation.to_string()).collect();
            let failure = Failure::new(format!("{stack}:{address} has no generation {generation}"));
            Err(match known.is_empty() {
                true => {
                    let suggestion = stacks::similar(&address.to_string(), &stacks::addresses(stack, store).await?);
                    failure.hint(suggestion.unwrap_or_else(|| "the state has no such resource".to_owned()))
                }
                false => failure.hint(format!("choose one of: {}", known.join(", "))),
            })
        }
    }
}
