//! What is in force: flag before variable before file before default, resolved once.

use crate::args::Global;
use crate::configuration::{Configuration, Environment, STATE_KEY, ServerConfiguration, find};
use crate::failure::{Exit, Failure};
use crate::report::report;
use crate::ui::Ui;
use crate::variables::Variables;
use crate::wiring::Providers;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use terrace_engine::address::{DEFAULT_ENVIRONMENT, StackId};
use terrace_engine::descriptor::Located;
use terrace_engine::diagnostic::{Diagnostic, closest, has_errors};
use terrace_engine::source::{Sources, Span};
use terrace_state::{StoreUrl, StoreUrlError};

/// Where the state is when nobody says it, within the project folder.
pub(crate) const DEFAULT_STATE: &str = ".terrace/state.db";
/// The code of what says that a value cannot be evaluated.
const EXPRESSION_FAILED: &str = "expression_failed";

/// An environment that is asked for, and where it stands when a text names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EnvironmentRef<'a> {
    name: &'a str,
    place: Option<(Span, &'a Sources)>,
}

impl<'a> EnvironmentRef<'a> {
    /// Named by a word of the command line or by a plan.
    pub(crate) const fn word(name: &'a str) -> Self {
        Self { name, place: None }
    }

    /// Named by a descriptor.
    pub(crate) fn described(name: &'a Located<String>, sources: &'a Sources) -> Self {
        Self { name: &name.value, place: Some((name.span, sources)) }
    }
}

/// What is in force for one run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that relative paths of the configuration, of local things and of the state resolve against.
    pub project_folder: PathBuf,
    /// The configuration; the empty one when there is no file.
    pub configuration: Configuration,
    /// The file that the configuration was read from.
    pub configuration_file: Option<PathBuf>,
    /// Where the state is.
    pub state: StoreUrl,
    /// The environment that flag or variable name.
    pub environment: Option<String>,
    /// The stack that addresses are relative to.
    pub stack: Option<StackId>,
    /// How long to wait for what others hold.
    pub patience: Duration,
    /// The key that `TERRACE_STATE_KEY` holds.
    pub state_key: Option<SecretString>,
    /// Who asks, for people: `jane@host (pid 4711)`.
    pub actor: String,
    /// The environment variables, for values that name them.
    pub variables: Variables,
    /// The providers of this build.
    pub providers: Providers,
    /// The files of the descriptors that the command line names.
    pub descriptor_files: Vec<PathBuf>,
}

impl Settings {
    /// Resolves the settings; `anchor` is the first descriptor, near which the configuration is looked for.
    ///
    /// # Errors
    /// When the configuration cannot be read, which is reported, or a setting is not what it should be.
    pub(crate) fn resolve(
        global: &Global,
        variables: &Variables,
        providers: &Providers,
        anchor: Option<&Path>,
        ui: &Ui,
    ) -> Result<Self, Failure> {
        match Self::resolve_as_far(global, variables, providers, anchor, ui)? {
            (settings, true) => Ok(settings),
            (_, false) => Err(Failure::told(Exit::Error)),
        }
    }

    /// As [`Settings::resolve`]; where values of the configuration cannot be evaluated, which is reported, what there is
    /// without them, and false.
    ///
    /// # Errors
    /// When more is wrong than such values.
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
                    return Err(Failure::told(Exit::Error));
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
        let state = state_url(global, variables, &configuration, &project_folder, &working_folder)?;
        let stack = global.stack.as_deref().map(str::parse).transpose();
        let settings = Self {
            state,
            environment: global.env.clone().or_else(|| variables.get("TERRACE_ENV").map(str::to_owned)),
            stack: stack.map_err(|error| Failure::new(format!("--stack: {error}")))?,
            patience: global.patience(),
            state_key: variables.get(STATE_KEY).map(Into::into),
            actor: actor(variables),
            variables: variables.clone(),
            providers: providers.clone(),
            descriptor_files: Vec::new(),
            configuration,
            configuration_file: file,
            project_folder,
        };
        Ok((settings, is_right))
    }

    /// The server's part of the configuration, for who needs it.
    ///
    /// # Errors
    /// When something in it cannot be evaluated, which is reported.
    pub(crate) fn server(&self, ui: &Ui) -> Result<&ServerConfiguration, Failure> {
        let found = &self.configuration.server_unevaluated;
        report(ui, &self.configuration.sources, found);
        if has_errors(found) { Err(Failure::told(Exit::Error)) } else { Ok(&self.configuration.server) }
    }

    /// Another state than the one in force, as a flag or a variable names it.
    ///
    /// # Errors
    /// When the text is no place of a state.
    pub(crate) fn other_state(text: &str, origin: &str) -> Result<StoreUrl, Failure> {
        Ok(supported(text, origin)?.relative_to(&working_folder()?))
    }

    /// The environment to work in: that of flag or variable, else the descriptor's, else `local`.
    ///
    /// # Errors
    /// When it is not configured, or its configuration is wrong, which is reported.
    pub(crate) fn environment(&self, described: Option<EnvironmentRef<'_>>, ui: &Ui) -> Result<Environment, Failure> {
        let asked = self.environment.as_deref().map(EnvironmentRef::word).or(described);
        let EnvironmentRef { name, place } = asked.unwrap_or(EnvironmentRef::word(DEFAULT_ENVIRONMENT));
        let known = self.configuration.environment_names();
        if !known.contains(&name) {
            let message = format!("the environment `{name}` is not configured");
            let hint = self.other_environments(name, &known);
            let Some((span, sources)) = place else { return Err(Failure::new(message).hint(hint)) };
            report(ui, sources, &[Diagnostic::error("unknown_environment", message).at(span).hint(hint)]);
            return Err(Failure::told(Exit::Error));
        }
        let (environment, diagnostics) = self.configuration.environment(name, &self.variables);
        report(ui, &self.configuration.sources, &diagnostics);
        environment.filter(|_| !has_errors(&diagnostics)).ok_or(Failure::told(Exit::Error))
    }

    /// The same for who asks about no descriptor: without `local`, the only one that is configured.
    ///
    /// # Errors
    /// As [`Settings::environment`].
    pub(crate) fn only_environment(&self, ui: &Ui) -> Result<Environment, Failure> {
        self.environment(self.usual_environment().map(EnvironmentRef::word), ui)
    }

    /// The environment that is meant where nobody names one: `local`, else the only one that is configured.
    pub(crate) fn usual_environment(&self) -> Option<&str> {
        let known = self.configuration.environment_names();
        match known.as_slice() {
            [only] => Some(only),
            known => known.iter().find(|name| **name == DEFAULT_ENVIRONMENT).copied(),
        }
    }

    /// What to do about an environment that is not configured.
    fn other_environments(&self, name: &str, known: &[&str]) -> String {
        if !self.configuration.has_environments() {
            return format!(
                "without a configuration there is the embedded environment only: pass `--env {DEFAULT_ENVIRONMENT}`, or \
                 describe `{name}` in terrace.yaml"
            );
        }
        let listed = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        match closest(name, known.iter().copied()) {
            Some(best) => format!("did you mean `{best}`? configured are: {listed}"),
            None => {
                format!("configured are: {listed}; pass one with `--env NAME`, or describe `{name}` in terrace.yaml")
            }
        }
    }
}

/// The configuration that holds in the working directory.
///
/// # Errors
/// When the working directory is missing.
pub(crate) fn configuration_here() -> Result<Option<PathBuf>, Failure> {
    Ok(find(&working_folder()?))
}

fn working_folder() -> Result<PathBuf, Failure> {
    std::env::current_dir().map_err(|error| Failure::new(format!("the working directory cannot be told: {error}")))
}

/// Where a state is. Of what is none only the part before `://` is repeated, for a password may follow.
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

/// The state: flag and variable are relative to the working directory, the rest to the project folder.
fn state_url(
    global: &Global,
    variables: &Variables,
    configuration: &Configuration,
    project_folder: &Path,
    working_folder: &Path,
) -> Result<StoreUrl, Failure> {
    let flag = global.state.as_deref().map(|text| (text, "--state", working_folder));
    let variable = || variables.get("TERRACE_STATE").map(|text| (text, "TERRACE_STATE", working_folder));
    let file = || configuration.state.as_deref().map(|text| (text, "`state` of terrace.yaml", project_folder));
    match flag.or_else(variable).or_else(file) {
        None => Ok(StoreUrl::Sqlite(project_folder.join(DEFAULT_STATE))),
        Some((text, origin, folder)) => Ok(supported(text, origin)?.relative_to(folder)),
    }
}

/// Without a descriptor the project is where its state is: here or in a folder above.
fn with_state(working_folder: &Path) -> PathBuf {
    let has_state = |folder: &&Path| folder.join(DEFAULT_STATE).is_file();
    working_folder.ancestors().find(has_state).unwrap_or(working_folder).to_owned()
}

/// The folder of a file, or the folder itself.
fn folder_of(path: &Path, working_folder: &Path) -> PathBuf {
    let path = working_folder.join(path);
    let folder = if path.is_dir() { path } else { path.parent().map_or(path.clone(), Path::to_owned) };
    // Looking upwards makes sense without `..` only; a folder that is not there is reported with its file.
    folder.canonicalize().unwrap_or(folder)
}

/// Who asks, for people; in a container a user often has a number and no name.
fn actor(variables: &Variables) -> String {
    let named = ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| variables.get(name)).map(str::to_owned);
    let user = named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.as_deref().map(str::trim).or_else(|| variables.get("HOSTNAME")).unwrap_or("localhost");
    format!("{user}@{host} (pid {})", std::process::id())
}

#[cfg(test)]
mod tests;
