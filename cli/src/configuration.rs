//! `terrace.yaml`: a closed schema, read with places, so that an error names its line.
//!
//! Values may be `${{ env.NAME }}`, `${{ file("…") }}` and `{secret: …}`. They are evaluated only when needed: an
//! unused environment may name variables that do not exist. [`expand`](self) evaluates values, `read` knows the fields,
//! `fields` reads texts and secrets, `limits` knows the limits of provider instances, `server` the fields of the server,
//! `witboost` those of the platform, and `secrets` the lines that diagnostics must not quote.

pub(crate) mod check_scripts;
mod expand;
mod fields;
mod files_named;
mod limits;
mod read;
mod secrets;
mod server;
mod witboost;

use crate::failure::Failure;
use crate::files;
use crate::variables::Variables;
use std::path::{Path, PathBuf};
use terrace_engine::address::DEFAULT_ENVIRONMENT;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::expression::functions::IdentityTable;
use terrace_engine::registry::InstancePlaces;
use terrace_engine::repository::platform::Platform;
use terrace_engine::source::{Located, Sources, Span};
use terrace_engine::yaml::Node;
use terrace_provider::wrap::Limits;
use terrace_provider::wrap::silence::SilenceLimit;
use terrace_provider::{Path as SettingPath, Value};
use zeroize::Zeroizing;

pub(crate) use limits::LIMITS;
pub use read::EMBEDDED;
pub(crate) use read::RESERVED_SETTINGS;
pub use server::{
    AuditConfiguration, AuditDestination, ConnectionsConfiguration, DeploymentsConfiguration, LimitsConfiguration,
    LogConfiguration, PickerConfiguration, ServerConfiguration,
};
pub(crate) use server::{MOST_PARALLEL, MOST_WORKERS};
pub use witboost::{AdapterConfiguration, AdapterTemplate, WitboostConfiguration};
pub(crate) use witboost::{INFRASTRUCTURE, name_and_version};

/// The file's name.
pub const FILE_NAME: &str = "terrace.yaml";
/// The key of an environment whose settings imitate the replaced adapters.
pub(crate) const COMPATIBILITY: &str = "compatibility";
/// The environment variable with the state key. It has priority over the file.
pub(crate) const STATE_KEY: &str = "TERRACE_STATE_KEY";

/// The content of `terrace.yaml`.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// URL of the state.
    pub state: Option<String>,
    /// The state key.
    pub encryption: Encryption,
    /// Principals with explicit names.
    pub identities: IdentityTable,
    /// Checkouts of repositories that complete data products; relative to the project folder.
    pub repositories: Vec<PathBuf>,
    /// Data of the platform that repositories lack.
    pub platform: Platform,
    /// Settings of the server.
    pub server: ServerConfiguration,
    /// Errors in the server's part that prevent its evaluation. Only `serve` needs this part.
    pub server_unevaluated: Vec<Diagnostic>,
    /// The platform that calls the server.
    pub witboost: WitboostConfiguration,
    /// Errors in the platform's part that prevent its evaluation. Only `witboost` needs this part.
    pub witboost_unevaluated: Vec<Diagnostic>,
    /// The text of the configuration: diagnostics point into it.
    pub sources: Sources,
    /// The file of the configuration.
    pub file: Option<PathBuf>,
    /// Files in the configuration: keys, certificates, and arguments of `file("…")`.
    pub named_files: Vec<PathBuf>,
    /// Base of relative paths.
    folder: PathBuf,
    environments: Vec<RawEnvironment>,
}

/// An environment before its values are evaluated.
#[derive(Debug, Clone)]
struct RawEnvironment {
    name: String,
    node: Node,
}

/// Sources of the keys that seal sensitive values.
#[derive(Clone, Default)]
pub struct Encryption {
    /// The key that new values are sealed with.
    pub current: Option<Located<KeySource>>,
    /// Keys that older values may have been sealed with.
    pub previous: Vec<Located<KeySource>>,
    /// Refuse sealed values without a binding to their place, as older versions wrote them.
    pub is_bound_required: bool,
}

/// The source of a key.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The key itself.
    Key(Zeroizing<String>),
    /// A file that holds it.
    File(PathBuf),
    /// A command that prints it: its words, without a shell, and names of further variables that it gets.
    Command(Vec<String>, Vec<String>),
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryption").field("has_key", &self.current.is_some()).finish_non_exhaustive()
    }
}

/// An environment with evaluated values.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// The blueprint overlay.
    pub overlay: Option<Located<String>>,
    /// Changes may destroy data without consent for each of them.
    pub is_data_loss_allowed: bool,
    /// `/v1/validate` of the server calls remote systems.
    pub is_validated_remotely: bool,
    /// `settings` in expressions.
    pub settings: Value,
    /// The defaults of the replaced adapters complete `settings`.
    pub has_adapter_settings: bool,
    /// The blueprint by template id.
    pub templates: Templates,
    /// The configured instances of providers.
    pub providers: Vec<Instance>,
    /// The state keys of this environment; `None` for those of the project.
    pub encryption: Option<Encryption>,
    /// Limits of waits for systems without an answer.
    pub silence_limit: SilenceLimit,
    /// Folders of blueprints; the project's `blueprints` folder by default.
    pub blueprints: Option<Vec<Located<String>>>,
    /// Its place in the configuration.
    pub span: Span,
}

/// One configured instance of a provider.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The instance's name: `snowflake.eu`.
    pub name: String,
    /// The provider: `snowflake`.
    pub provider: String,
    /// The settings, not yet checked against the provider's schema.
    pub settings: terrace_provider::Attributes,
    /// Limits of calls.
    pub limits: Limits,
    /// Places of the settings.
    pub node: Node,
    /// Place of the instance's name.
    pub span: Span,
}

impl Instance {
    /// The place of a setting, or of a part of it; that of the instance's name for an absent one.
    #[must_use]
    pub fn span_of(&self, path: &SettingPath) -> Span {
        let entry = self.node.find_entry(path).map(|entry| entry.key_span);
        let found = entry.or_else(|| self.node.find(path).map(|node| node.span));
        found.filter(|_| !path.0.is_empty()).unwrap_or(self.span)
    }

    /// The places of its name and its settings in the configuration.
    #[must_use]
    pub fn places(&self, sources: &Sources) -> Option<InstancePlaces> {
        let settings = self.node.as_map().unwrap_or_default().iter();
        let settings = settings.filter_map(|entry| Some((entry.key.clone(), sources.place(entry.key_span)?)));
        Some(InstancePlaces { name: sources.place(self.span)?, settings: settings.collect() })
    }
}

impl Configuration {
    /// Reads a file. Returns the readable part despite errors.
    ///
    /// # Errors
    /// When the file does not exist or is not text.
    pub fn read(path: &Path, variables: &Variables) -> Result<(Self, Vec<Diagnostic>), Failure> {
        let text = files::text(path, files::HANDWRITTEN).map_err(|error| {
            let hint = files::permission_hint(path, false).unwrap_or_else(|| {
                "pass the path of a terrace.yaml to `--config`, or write one with `terrace init`; without `--config`, terrace \
                 reads the one in the nearest folder upwards"
                    .to_owned()
            });
            Failure::new(format!("the configuration `{}` cannot be read: {error}", path.display())).hint(hint)
        })?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
        let (configuration, diagnostics) = Self::parse(&name, &text, &folder, variables);
        Ok((Self { file: Some(path.to_owned()), ..configuration }, diagnostics))
    }

    /// Parses a text; relative paths in it are relative to `folder`.
    #[must_use]
    pub fn parse(name: &str, text: &str, folder: &Path, variables: &Variables) -> (Self, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        let id = sources.add(name, text);
        secrets::lines(text).into_iter().for_each(|line| sources.hide(id, line));
        read::configuration(id, text, Self { sources, folder: folder.to_owned(), ..Self::default() }, variables)
    }

    /// The names of the available environments.
    #[must_use]
    pub fn environment_names(&self) -> Vec<&str> {
        match self.environments.as_slice() {
            [] => vec![DEFAULT_ENVIRONMENT],
            environments => environments.iter().map(|environment| environment.name.as_str()).collect(),
        }
    }

    /// True if environments are configured; otherwise only the embedded one exists.
    #[must_use]
    pub fn has_environments(&self) -> bool {
        !self.environments.is_empty()
    }

    /// An environment with evaluated values; `None` if it is not configured.
    #[must_use]
    pub fn environment(&self, name: &str, variables: &Variables) -> (Option<Environment>, Vec<Diagnostic>) {
        if self.environments.is_empty() && name == DEFAULT_ENVIRONMENT {
            return (Some(Environment::embedded()), Vec::new());
        }
        let Some(raw) = self.environments.iter().find(|environment| environment.name == name) else {
            return (None, Vec::new());
        };
        let mut diagnostics = Vec::new();
        let node = expand::expand(&raw.node, &self.folder, variables, &self.sources, &mut diagnostics);
        let environment = read::environment(&raw.name, &node, &self.folder, &mut diagnostics);
        (environment, diagnostics)
    }
}

impl Environment {
    /// The default environment without a configuration.
    fn embedded() -> Self {
        Self {
            name: DEFAULT_ENVIRONMENT.to_owned(),
            overlay: Some(Located { value: EMBEDDED.to_owned(), span: Span::default() }),
            settings: Value::Map(terrace_provider::Map::default()),
            ..Self::default()
        }
    }

    /// The name of the blueprint overlay.
    #[must_use]
    pub fn overlay_name(&self) -> Option<&str> {
        self.overlay.as_ref().map(|overlay| overlay.value.as_str())
    }

    /// True if objects are created on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.overlay_name() == Some(EMBEDDED)
    }
}

/// The configuration of a folder: the nearest one upwards. Includes a path that is not a file, so that reading it fails
/// visibly.
#[must_use]
pub fn find(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests;
