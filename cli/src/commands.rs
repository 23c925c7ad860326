//! The commands, one file each. Commands with state or providers run in an async runtime; the others do not start one.

mod acl;
mod apply;
mod audit;
mod blueprints;
mod completion;
mod console;
mod databases;
mod destroy;
mod doctor;
mod drift;
mod fmt;
mod graph;
mod import;
mod init;
mod leases;
mod man;
mod operations;
mod output;
mod pipelines;
mod plan;
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

pub(crate) use pipelines::KINDS;

use crate::args::{Command, Global, ListCommand};
use crate::failure::{Exit, Failure};
use crate::input::PlanClaims;
use crate::settings::{Settings, configuration_here};
use crate::signals::Signals;
use crate::ui::Ui;
use crate::variables::Variables;
use crate::wiring::{Providers, is_missing};
use state::Mark;
use std::num::NonZero;
use std::path::Path;
use terrace_state::{StoreUrl, find_saved_copy};
use tokio::runtime::Runtime;

/// The text of `terrace help terraform`.
pub(crate) const TERRAFORM: &str = include_str!("commands/terraform.txt");

/// Common inputs of all commands.
pub(crate) struct Context<'a> {
    pub(crate) global: &'a Global,
    pub(crate) variables: &'a Variables,
    pub(crate) ui: &'a Ui,
    /// The providers of this build.
    pub(crate) providers: &'a Providers,
}

impl Context<'_> {
    /// The settings for a descriptor, or for the working directory.
    ///
    /// # Errors
    /// When the configuration is invalid.
    pub(crate) fn settings(&self, anchor: Option<&Path>) -> Result<Settings, Failure> {
        let settings = Settings::resolve(self.global, self.variables, self.providers, anchor, self.ui)?;
        if let (StoreUrl::Sqlite(path), true) = (&settings.state, is_missing(&settings.state))
            && let Some(saved) = find_saved_copy(path)
        {
            let (saved, state) = (saved.display(), path.display());
            self.ui.print_message(&format!(
                "warning: the state `{state}` does not exist, and `{saved}` is a copy of a lost state: move the copy \
                 to the path of the state and run `terrace recover`"
            ));
        }
        Ok(settings)
    }

    /// The settings of a saved plan's project. The plan itself does not choose the configuration: a forged plan could
    /// name a folder whose configuration has the forger's key or key command.
    ///
    /// # Errors
    /// As [`Context::settings`], and when the plan belongs to a project with another configuration.
    pub(crate) fn settings_of_plan(&self, claims: &PlanClaims) -> Result<Settings, Failure> {
        let settings = self.settings(claims.descriptor.as_deref())?;
        let Some(path) = settings.configuration_file.as_ref().filter(|_| self.global.config.is_none()) else {
            return Ok(settings);
        };
        if configuration_here()?.as_ref() == Some(path) {
            return Ok(settings);
        }
        let shown = path.display();
        Err(Failure::refused(format!("the plan names another project, which `{shown}` configures"))
            .hint(format!("if this project is intended, pass `--config {shown}`, or run this in its folder")))
    }
}

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
        Command::Doctor(arguments) => doctor::run(context, &arguments),
        Command::Init(arguments) if !pipelines::is_cluster_init(&arguments) => init::run(context, &arguments),
        Command::Graph(arguments) => graph::run(context, &arguments),
        Command::Blueprints(arguments) => blueprints::run(context, arguments.command()),
        Command::Providers(arguments) => providers::run(context, arguments.command()),
        command => in_runtime(context, command),
    }
}

/// The runtime of asynchronous calls. It has one thread more than there are cores, unless tokio's own variable sets the
/// number. If all cores check descriptors, each can then access the file system without handing over its other work
/// (`terrace_provider::blocking`).
fn runtime(variables: &Variables) -> Result<Runtime, Failure> {
    let threads = variables.get("TOKIO_WORKER_THREADS").and_then(|threads| threads.parse::<NonZero<u16>>().ok());
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.map_or(cores + 1, |threads| threads.get().into()))
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))
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
        Command::Serve(arguments) => serve::run(context, &arguments, signals).await,
        Command::RoleMapper(arguments) => role_mapper::run(context, &arguments, signals).await,
        Command::Run(arguments) => pipelines::run(context, &arguments, signals).await,
        Command::Logs(arguments) => pipelines::logs(context, &arguments, signals).await,
        Command::Runs(command) => pipelines::runs(context, command),
        Command::Schedules(command) => pipelines::schedules(context, command),
        Command::Cancel(arguments) => pipelines::cancel(context, &arguments).await,
        Command::Init(arguments) => pipelines::init(context, &arguments.cluster, signals).await,
        Command::List(ListCommand::Pods(format)) => pipelines::pods(context, format).await,
        Command::List(ListCommand::Pipelines(arguments)) => pipelines::list(context, &arguments),
        Command::Pods(arguments) => pipelines::pods(context, arguments.format()).await,
        Command::Ssh(arguments) => pipelines::ssh(context, &arguments).await,
        Command::PipelinesWorker(arguments) => pipelines::worker(&arguments, signals).await,
        Command::Databases(arguments) => databases::run(context, arguments, signals).await,
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
