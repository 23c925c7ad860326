//! Common inputs of all commands.

use crate::args::Global;
use crate::failure::Failure;
use crate::input::PlanClaims;
use crate::settings::{Settings, configuration_here};
use crate::ui::Ui;
use crate::variables::Variables;
use crate::wiring::{Providers, is_missing};
use std::num::NonZero;
use std::path::Path;
use terrace_engine::plan::file::FileError;
use terrace_state::{StoreUrl, find_saved_copy};
use tokio::runtime::Runtime;

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

/// The remedy for a saved plan whose project was not found.
pub(crate) const IN_ITS_PROJECT: &str =
    "run this in the folder of the plan's project, or name its configuration: `--config PATH/terrace.yaml`";

/// True if the command found neither a configuration nor a descriptor of the plan: it may run outside the plan's project.
pub(crate) fn is_outside_project(settings: &Settings, claims: &PlanClaims) -> bool {
    settings.configuration_file.is_none() && claims.descriptor.is_none()
}

/// The failure to read a saved plan. Outside its project, the remedy is the project and not its key.
pub(crate) fn unreadable_plan(error: FileError, settings: &Settings, claims: &PlanClaims) -> Failure {
    let is_elsewhere = matches!(error, FileError::UnknownKey { .. }) && is_outside_project(settings, claims);
    match is_elsewhere {
        true => Failure::refused(error.to_string()).hint(IN_ITS_PROJECT),
        false => error.into(),
    }
}

/// Stack of a thread. A call of the engine, its provider and its client nest deeply; without optimizations they need more than the
/// usual 2 MiB.
const STACK: usize = 8 << 20;

/// The runtime of asynchronous calls. It has one thread more than there are cores, unless tokio's own variable sets the
/// number. If all cores check descriptors, each can then access the file system without handing over its other work
/// (`terrace_provider::blocking`).
pub(super) fn runtime(variables: &Variables) -> Result<Runtime, Failure> {
    let threads = variables.get("TOKIO_WORKER_THREADS").and_then(|threads| threads.parse::<NonZero<u16>>().ok());
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.map_or(cores + 1, |threads| threads.get().into()))
        .thread_stack_size(STACK)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the runtime cannot be started: {error}")))
}
