//! `terrace state rollback`: plans an earlier version of the state, asks, applies. Needs no descriptor.

use crate::args::{ApplyArguments, PlanningArguments, RollbackArguments};
use crate::commands::operations;
use crate::commands::plan::{check_is_free, save, saved};
use crate::commands::run::{Run, State};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::planning::{options, planner};
use crate::settings::EnvironmentRef;
use crate::signals::Signals;
use crate::stacks;
use crate::wiring::{EnvironmentContext, store, store_for_changes};
use std::collections::BTreeSet;
use terrace_engine::address::{Address, StackId};
use terrace_engine::driver::{self, Approval, Planning};
use terrace_engine::plan::compute::Computed;
use terrace_engine::plan::rollback::{RollbackTarget, as_of};
use terrace_engine::source::Sources;
use terrace_engine::store::ServerStore;
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
    let (settings, env_context, state) = (&settings, &env_context, State::of(store, false));
    let run = Run { context, arguments: &apply_arguments, signals, settings, env_context, is_saved: false, state };
    let rollback = Rollback { run: &run, stack: &stack, address: address.as_ref(), to: &arguments.to };
    let Some(path) = &arguments.out else { return driver::change(&rollback, &run).await };
    let computed = rollback.plan().await?;
    rollback.show(&computed)?;
    save(&computed.plan, path, env_context)?;
    context.ui.print_note(&saved(&computed.plan, path, &env_context.engine.seal)?);
    Ok(Exit::Done)
}

/// A rollback of a stack or a resource.
struct Rollback<'a> {
    run: &'a Run<'a>,
    stack: &'a StackId,
    address: Option<&'a Address>,
    to: &'a str,
}

impl Rollback<'_> {
    fn show(&self, computed: &Computed) -> Result<(), Failure> {
        self.run.show(computed, &Sources::default())?;
        if computed.plan.has_changes() {
            let message = "The descriptor is unchanged: its next apply undoes this rollback.";
            self.run.context.ui.print_message(message);
        }
        Ok(())
    }
}

impl Planning for Rollback<'_> {
    type Error = Failure;

    async fn recover(&self, _: BTreeSet<Address>) -> Result<bool, Failure> {
        self.run.recover([(self.stack, &BTreeSet::new())]).await
    }

    async fn plan(&self) -> Result<Computed, Failure> {
        let (store, env_context) = (self.run.state.get(), self.run.env_context);
        let target = target(store.as_ref(), self.stack, self.address, self.to).await?;
        let options = options(&self.run.arguments.planning, env_context, BTreeSet::new())?;
        let sources = Sources::default();
        Ok(planner(store.as_ref(), env_context, &sources, &options).plan_rollback(self.stack, target).await?)
    }

    async fn approve(&self, computed: &Computed) -> Result<Approval, Failure> {
        self.show(computed)?;
        self.run.consent(&computed.plan, QUESTION)
    }
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
        cluster_of: None,
        run: arguments.run,
    }
}

/// The target of a rollback. Outputs are rolled back only with the whole stack: they depend on several resources.
async fn target(
    store: &dyn ServerStore,
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
