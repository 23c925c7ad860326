//! Effective settings. Flags have priority over variables, the configuration file and defaults. Resolved once.

use crate::args::Global;
use crate::configuration::{
    Configuration, Encryption, Environment, STATE_KEY, ServerConfiguration, WitboostConfiguration, find,
};
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::ui::Ui;
use crate::variables::Variables;
use crate::wiring::Providers;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use terrace_engine::address::{DEFAULT_ENVIRONMENT, StackId};
use terrace_engine::diagnostic::{Diagnostic, closest, has_errors};
use terrace_engine::source::{Located, Sources, Span};
use terrace_provider::names::listed;
use terrace_state::{StoreUrl, StoreUrlError};

/// The default path of the state in the project folder.
pub(crate) const DEFAULT_STATE: &str = ".terrace/state.db";
/// The code of a diagnostic about a value that cannot be evaluated.
const EXPRESSION_FAILED: &str = "expression_failed";

/// A requested environment, and its place if a text names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvironmentRef<'a> {
    name: &'a str,
    place: Option<(Span, &'a Sources)>,
}

impl<'a> EnvironmentRef<'a> {
    /// An environment from the command line or a plan.
    pub(crate) const fn word(name: &'a str) -> Self {
        Self { name, place: None }
    }

    /// An environment from a descriptor.
    pub(crate) fn described(name: &'a Located<String>, sources: &'a Sources) -> Self {
        Self { name: &name.value, place: Some((name.span, sources)) }
    }
}

/// Effective settings of a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Base of relative paths in the configuration, of local objects and of the state.
    pub project_folder: PathBuf,
    /// The configuration; empty without a file.
    pub configuration: Configuration,
    /// The file of the configuration.
    pub configuration_file: Option<PathBuf>,
    /// URL of the state.
    pub state: StoreUrl,
    /// True if a flag, a variable or the configuration names the state; else it is the default.
    pub has_named_state: bool,
    /// The environment of flag or variable.
    pub environment: Option<String>,
    /// The stack that addresses are relative to.
    pub stack: Option<StackId>,
    /// Limit of the wait for leases.
    pub lock_timeout: Duration,
    /// The key in `TERRACE_STATE_KEY`.
    pub state_key: Option<SecretString>,
    /// The user, for people: `jane@host (pid 4711)`.
    pub actor: String,
    /// Environment variables for values that name them.
    pub variables: Variables,
    /// The providers of this build.
    pub providers: Providers,
    /// The files of the descriptors that the command line names.
    pub descriptor_files: Vec<PathBuf>,
    /// False if environments have no state keys of their own.
    pub has_keys: bool,
}

impl Settings {
    /// Resolves the settings. The search for the configuration starts at `anchor`, the first descriptor.
    ///
    /// # Errors
    /// When the configuration cannot be read, which is reported, or a setting is invalid.
    pub(crate) fn resolve(
        global: &Global,
        variables: &Variables,
        providers: &Providers,
        anchor: Option<&Path>,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        match Self::resolve_as_far(global, variables, providers, anchor, ui)? {
            (settings, true) => Ok(settings),
            (_, false) => Err(Failure::reported(Exit::Error)),
        }
    }

    /// Like [`Settings::resolve`], but tolerates values of the configuration that cannot be evaluated. These are
    /// reported, and the second result is false.
    ///
    /// # Errors
    /// When there are other errors.
    pub(crate) fn resolve_as_far(
        global: &Global,
        variables: &Variables,
        providers: &Providers,
        anchor: Option<&Path>,
        ui: &Ui,
    ) -> Result<(Self, bool), Failure> {
        let working_folder = working_folder()?;
        let near = anchor.map_or(working_folder.clone(), |path| folder_of(path, &working_folder));
        let file = match &global.config {
            Some(path) => Some(working_folder.join(path)),
            None => find(&near),
        };
        let (configuration, is_right) = match &file {
            None => (Configuration::default(), true),
            Some(path) => {
                let (configuration, diagnostics) = Configuration::read(path, variables)?;
                report(ui, &configuration.sources, &diagnostics);
                if diagnostics.iter().any(|diagnostic| diagnostic.is_error() && diagnostic.code != EXPRESSION_FAILED) {
                    return Err(Failure::reported(Exit::Error));
                }
                (configuration, !has_errors(&diagnostics))
            }
        };
        let project_folder = match (&file, anchor) {
            (Some(file), _) => folder_of(file, &working_folder),
            (None, Some(_)) => near,
            (None, None) => with_state(&working_folder),
        };
        if global.env.as_deref() == Some("") {
            return Err(Failure::new("`--env` names no environment")
                .hint("write `--env NAME`, or leave it out for the descriptor's own"));
        }
        let named = named_state(global, variables, &configuration, &project_folder, &working_folder)?;
        let has_named_state = named.is_some();
        let stack = global.stack.as_deref().map(str::parse).transpose();
        let settings = Self {
            state: named.unwrap_or_else(|| StoreUrl::Sqlite(project_folder.join(DEFAULT_STATE))),
            has_named_state,
            environment: chosen_environment(global, variables),
            stack: stack.map_err(|error| Failure::new(format!("--stack: {error}")))?,
            lock_timeout: global.lock_timeout(),
            state_key: variables.get(STATE_KEY).map(Into::into),
            actor: actor(variables),
            variables: variables.clone(),
            providers: providers.clone(),
            descriptor_files: Vec::new(),
            has_keys: true,
            configuration,
            configuration_file: file,
            project_folder,
        };
        Ok((settings, is_right))
    }

    /// Removes the state keys and their sources, for a plan that must reach no secret.
    pub(crate) fn remove_keys(&mut self) {
        self.state_key = None;
        self.configuration.encryption = Encryption::default();
        self.has_keys = false;
    }

    /// The server's part of the configuration.
    ///
    /// # Errors
    /// When it cannot be evaluated, which is reported.
    pub(crate) fn server(&self, ui: &Ui) -> Result<&ServerConfiguration, Failure> {
        let found = &self.configuration.server_unevaluated;
        report(ui, &self.configuration.sources, found);
        if has_errors(found) { Err(Failure::reported(Exit::Error)) } else { Ok(&self.configuration.server) }
    }

    /// The platform's part of the configuration.
    ///
    /// # Errors
    /// When it cannot be evaluated, which is reported.
    pub(crate) fn witboost(&self, ui: &Ui) -> Result<&WitboostConfiguration, Failure> {
        let found = &self.configuration.witboost_unevaluated;
        report(ui, &self.configuration.sources, found);
        if has_errors(found) { Err(Failure::reported(Exit::Error)) } else { Ok(&self.configuration.witboost) }
    }

    /// The URL of another state, from a flag or a variable.
    ///
    /// # Errors
    /// When the text is not a URL of a state.
    pub(crate) fn other_state(text: &str, origin: &str) -> Result<StoreUrl, Failure> {
        Ok(supported(text, origin)?.relative_to(&working_folder()?))
    }

    /// Refuses an environment that is not configured.
    ///
    /// # Errors
    /// With the closest name.
    pub(crate) fn check_environment(&self, name: &str) -> Result<(), Failure> {
        let known = self.configuration.environment_names();
        match known.contains(&name) {
            true => Ok(()),
            false => Err(Failure::new(not_configured(name)).hint(self.other_environments(name, &known))),
        }
    }

    /// The selected environment: that of flag or variable, else the descriptor's, else `local`.
    ///
    /// # Errors
    /// When it is not configured or its configuration is invalid, which is reported.
    pub(crate) fn environment(&self, described: Option<EnvironmentRef<'_>>, ui: &Ui) -> Result<Environment, Failure> {
        let requested = self.environment.as_deref().map(EnvironmentRef::word).or(described);
        let EnvironmentRef { name, place } = requested.unwrap_or(EnvironmentRef::word(DEFAULT_ENVIRONMENT));
        let known = self.configuration.environment_names();
        if !known.contains(&name) {
            let message = not_configured(name);
            let hint = self.other_environments(name, &known);
            let Some((span, sources)) = place else { return Err(Failure::new(message).hint(hint)) };
            report(ui, sources, &[Diagnostic::error("unknown_environment", message).at(span).hint(hint)]);
            return Err(Failure::reported(Exit::Error));
        }
        let (environment, diagnostics) = self.configuration.environment(name, &self.variables);
        report(ui, &self.configuration.sources, &diagnostics);
        let environment = environment.filter(|_| !has_errors(&diagnostics)).ok_or(Failure::reported(Exit::Error))?;
        let encryption = environment.encryption.filter(|_| self.has_keys);
        Ok(Environment { encryption, ..environment })
    }

    /// The selected environment without a descriptor: without `local`, the only configured one.
    ///
    /// # Errors
    /// As [`Settings::environment`].
    pub(crate) fn only_environment(&self, ui: &Ui) -> Result<Environment, Failure> {
        self.environment(self.default_environment().map(EnvironmentRef::word), ui)
    }

    /// The default environment: `local`, else the only configured one.
    pub(crate) fn default_environment(&self) -> Option<&str> {
        let known = self.configuration.environment_names();
        match known.as_slice() {
            [only] => Some(only),
            known => known.iter().find(|name| **name == DEFAULT_ENVIRONMENT).copied(),
        }
    }

    /// The remedy for an environment that is not configured.
    fn other_environments(&self, name: &str, known: &[&str]) -> String {
        if !self.configuration.has_environments() {
            return format!(
                "without a configuration there is the embedded environment only: pass `--env {DEFAULT_ENVIRONMENT}`, or \
                 describe `{name}` in terrace.yaml"
            );
        }
        let listed = listed(known);
        match closest(name, known.iter().copied()) {
            Some(best) => format!("did you mean `{best}`? configured are: {listed}"),
            None => {
                format!("configured are: {listed}; pass one with `--env NAME`, or describe `{name}` in terrace.yaml")
            }
        }
    }
}

fn not_configured(environment: &str) -> String {
    format!("the environment `{environment}` is not configured")
}

/// The environment of `--env` or TERRACE_ENV.
pub(crate) fn chosen_environment(global: &Global, variables: &Variables) -> Option<String> {
    global.env.clone().or_else(|| variables.get("TERRACE_ENV").map(str::to_owned))
}

/// The configuration for the working directory.
///
/// # Errors
/// When the working directory is missing.
pub(crate) fn configuration_here() -> Result<Option<PathBuf>, Failure> {
    Ok(find(&working_folder()?))
}

fn working_folder() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::new(format!("the working directory is unknown: {error}")))
}

/// Parses the URL of a state. Quotes an invalid one only up to `://`, because a password may follow.
fn supported(text: &str, origin: &str) -> Result<StoreUrl, Failure> {
    const HINT: &str = "write `sqlite:PATH`, such as `sqlite:.terrace/state.db`, or `postgres://USER@HOST/DATABASE`";
    let url = text.parse().map_err(|error: StoreUrlError| {
        let failure = Failure::new(format!("{origin}: {error}"));
        match error {
            StoreUrlError::UnknownScheme(_) => failure.hint(HINT),
            StoreUrlError::NoPath => failure,
        }
    })?;
    if let StoreUrl::Postgres(url) = &url {
        url.check().map_err(|why| Failure::new(format!("{origin}: {why}")))?;
    }
    Ok(url)
}

/// The state that is named. Flag and variable are relative to the working directory, other paths to the project folder.
fn named_state(
    global: &Global,
    variables: &Variables,
    configuration: &Configuration,
    project_folder: &Path,
    working_folder: &Path,
) -> Result<Option<StoreUrl>, Failure> {
    let flag = global.state.as_deref().map(|text| (text, "--state", working_folder));
    let variable = || variables.get("TERRACE_STATE").map(|text| (text, "TERRACE_STATE", working_folder));
    let file = || configuration.state.as_deref().map(|text| (text, "`state` of terrace.yaml", project_folder));
    let named = flag.or_else(variable).or_else(file);
    named.map(|(text, origin, folder)| Ok(supported(text, origin)?.relative_to(folder))).transpose()
}

/// Without a descriptor, the project is the folder of its state: here or in a folder above.
fn with_state(working_folder: &Path) -> PathBuf {
    let has_state = |folder: &&Path| folder.join(DEFAULT_STATE).is_file();
    working_folder.ancestors().find(has_state).unwrap_or(working_folder).to_owned()
}

/// The folder of a file, or the folder itself.
fn folder_of(path: &Path, working_folder: &Path) -> PathBuf {
    let path = working_folder.join(path);
    let folder = if path.is_dir() { path } else { path.parent().map_or(path.clone(), Path::to_owned) };
    // The search upwards needs a path without `..`. A missing folder is reported with its file.
    folder.canonicalize().unwrap_or(folder)
}

/// The user, for people. In a container a user often has only a number.
fn actor(variables: &Variables) -> String {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| variables.get(name)).map(str::to_owned);
    let user = named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.as_deref().map(str::trim).or_else(|| variables.get("HOSTNAME")).unwrap_or("localhost");
    format!("{user}@{host} (pid {})", std::process::id())
}

#[cfg(test)]
mod tests;
