//! The commands, one file each. Commands with state or providers run in an async runtime; the others do not start one.

mod acl;
mod apply;
mod audit;
mod blueprints;
mod completion;
mod console;
mod descriptor;
mod destroy;
mod doctor;
mod drift;
mod execution;
mod fmt;
mod graph;
mod import;
mod init;
mod leases;
mod man;
mod operations;
mod operator;
mod output;
mod pipelines;
mod plan;
mod pr;
mod providers;
mod recover;
mod reverse;
mod role_mapper;
mod run;
mod serve;
mod show;
mod stacks;
mod state;
mod unlock;
mod validate;
mod version;
mod witboost;

pub(crate) use pipelines::KINDS;

use crate::args::{Command, TERRAFORM};
use crate::context::{Context, runtime};
use crate::failure::{Exit, Failure};
use crate::signals::Signals;
use state::Mark;

/// Runs a command.
///
/// # Errors
/// When the command fails.
pub(crate) fn run(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Completion(arguments) => completion::run(context, &arguments),
        Command::Fmt(arguments) => fmt::run(context, &arguments),
        Command::Man(arguments) => man::run(context, &arguments),
        Command::Version(arguments) => version::run(context, &arguments),
        Command::Terraform => context.ui.print(TERRAFORM).map(|()| Exit::Done),
        Command::Descriptor(command) => descriptor::run(context, &command),
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Init(arguments) => init::run(context, &arguments),
        Command::Graph(arguments) => graph::run(context, &arguments),
        Command::Blueprints(arguments) => blueprints::run(context, arguments.command()),
        Command::Providers(arguments) => providers::run(context, arguments.command()),
        command => in_runtime(context, command),
    }
}

fn in_runtime(context: &Context<'_>, command: Command) -> Result<Exit, Failure> {
    let runtime = runtime(context.variables)?;
    let result = runtime.block_on(async {
        let signals = Signals::watch(context.ui);
        let run = run_command(context, command, &signals);
        tokio::select! {
            biased;
            () = signals.exiting.cancelled() => Err(Failure::reported(Exit::Interrupted)),
            result = run => result,
        }
    });
    // An abandoned blocking call of a provider must not keep the process alive.
    runtime.shutdown_background();
    result
}

async fn run_command(context: &Context<'_>, command: Command, signals: &Signals) -> Result<Exit, Failure> {
    match command {
        Command::Validate(arguments) => validate::run(context, &arguments).await,
        Command::Console(arguments) => console::run(context, &arguments).await,
        Command::Plan(arguments) => plan::run(context, &arguments).await,
        Command::Apply(arguments) => apply::run(context, &arguments, signals).await,
        Command::Destroy(arguments) => destroy::run(context, &arguments, signals).await,
        Command::Drift(arguments) => drift::run(context, &arguments).await,
        Command::Show(arguments) => show::run(context, &arguments).await,
        Command::Output(arguments) => output::run(context, &arguments).await,
        Command::Acl(command) => acl::run(context, command, signals).await,
        Command::Reverse(arguments) => reverse::run(context, &arguments).await,
        Command::Pr(command) => pr::run(context, command, signals).await,
        Command::Serve(arguments) => serve::run(context, &arguments, signals).await,
        Command::Witboost(command) => witboost::run(context, command).await,
        Command::RoleMapper(arguments) => role_mapper::run(context, &arguments, signals).await,
        Command::Operator(arguments) => operator::run(context, arguments, signals).await,
        Command::Pipelines(command) => pipelines::run(context, command, signals).await,
        Command::Stacks(arguments) => stacks::run(context, arguments.command()).await,
        Command::State(command) => state::run(context, command, signals).await,
        Command::Operations(arguments) => operations::run(context, arguments.command(), signals).await,
        Command::Leases(arguments) => leases::run(context, arguments.command()).await,
        Command::Audit(command) => audit::run(context, command, signals).await,
        Command::Import(arguments) => import::run(context, &arguments, signals).await,
        Command::Taint(arguments) => state::mark(context, signals, &arguments.address, Mark::Tainted).await,
        Command::Untaint(arguments) => state::mark(context, signals, &arguments.address, Mark::Untainted).await,
        Command::Unprotect(arguments) => state::mark(context, signals, &arguments.address, Mark::Unprotected).await,
        Command::Recover(arguments) => recover::run(context, &arguments, signals).await,
        Command::Unlock(arguments) => unlock::run(context, &arguments).await,
        // Commands without a runtime ran before.
        _ => Ok(Exit::Done),
    }
}
