//! `terrace.yaml`: a closed schema, read with places, so that a slip is told where it stands.
//!
//! Values may be `${{ env.NAME }}`, `${{ file("…") }}` and `{secret: …}`. They are evaluated where they are needed: an
//! environment that is not worked in may name variables that are not there. [`expand`](self) evaluates, `read` knows
//! the fields, `compatibility` the defaults of adapters, `limits` those of how much a provider may be asked, `server` those of the server, `secrets` the lines that are not to be quoted.

mod compatibility;
mod expand;
mod files_named;
mod limits;
mod read;
mod secrets;
mod server;

use crate::failure::Failure;
use crate::files;
use crate::variables::Variables;
use std::path::{Path, PathBuf};
use terrace_engine::address::DEFAULT_ENVIRONMENT;
use terrace_engine::blueprint::matching::Templates;
use terrace_engine::descriptor::Located;
use terrace_engine::diagnostic::Diagnostic;
use terrace_engine::expression::functions::IdentityTable;
use terrace_engine::source::{Sources, Span};
use terrace_engine::yaml::Node;
use terrace_provider::Value;
use terrace_provider::wrap::Limits;
use terrace_provider::wrap::silence::Patience;
use zeroize::Zeroizing;

pub(crate) use limits::LIMITS;
pub use read::EMBEDDED;
pub(crate) use read::RESERVED_SETTINGS;
pub use server::{
    AuditConfiguration, AuditDestination, ConnectionsConfiguration, LimitsConfiguration, LogConfiguration,
    ServerConfiguration,
};
pub(crate) use server::{MOST_PARALLEL, MOST_WORKERS};

/// The file's name.
pub const FILE_NAME: &str = "terrace.yaml";
/// The environment variable with the state key, which goes before the file.
pub(crate) const STATE_KEY: &str = "TERRACE_STATE_KEY";

/// What `terrace.yaml` says.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// Where the state is.
    pub state: Option<String>,
    /// The state key.
    pub encryption: Encryption,
    /// Principals that are mapped by hand.
    pub identities: IdentityTable,
    /// How the server is reached, and how much it takes on.
    pub server: ServerConfiguration,
    /// What cannot be evaluated in the server's part: nothing of it is known then, and who does not serve needs none.
    pub server_unevaluated: Vec<Diagnostic>,
    /// The text that it was read from: diagnostics point into it.
    pub sources: Sources,
    /// The file that it was read from.
    pub file: Option<PathBuf>,
    /// The files that it names: keys, certificates, and what `file("…")` reads.
    pub named_files: Vec<PathBuf>,
    /// The folder that relative paths in it are relative to.
    folder: PathBuf,
    environments: Vec<RawEnvironment>,
}

/// An environment before its values are evaluated.
#[derive(Debug, Clone)]
struct RawEnvironment {
    name: String,
    node: Node,
}

/// Where the key is that seals sensitive values.
#[derive(Clone, Default)]
pub struct Encryption {
    /// The key that new values are sealed with.
    pub current: Option<Located<KeySource>>,
    /// Keys that older values may have been sealed with.
    pub previous: Vec<Located<KeySource>>,
    /// Refuse sealed values that are not bound to their place, as an older terrace wrote them.
    pub is_bound_required: bool,
}

/// How one key is had.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The key itself.
    Key(Zeroizing<String>),
    /// A file that holds it.
    File(PathBuf),
    /// A command that prints it: its words, without a shell, and the names of variables that it gets beside the usual
    /// ones.
    Command(Vec<String>, Vec<String>),
}

impl std::fmt::Debug for Encryption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encryption").field("has_key", &self.current.is_some()).finish_non_exhaustive()
    }
}

/// One environment, its values evaluated.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// The blueprint overlay.
    pub overlay: Option<Located<String>>,
    /// Changes may destroy data without being asked for each time.
    pub is_data_loss_allowed: bool,
    /// `/v1/validate` of the server asks remote systems.
    pub is_validated_remotely: bool,
    /// `settings` in expressions.
    pub settings: Value,
    /// The blueprint by template id.
    pub templates: Templates,
    /// The configured instances of providers.
    pub providers: Vec<Instance>,
    /// The state keys of this environment alone; without, those of the project.
    pub encryption: Option<Encryption>,
    /// How long plans wait for systems that give no answer.
    pub patience: Patience,
    /// Folders of blueprints; the project's `blueprints` folder when nothing is said.
    pub blueprints: Option<Vec<Located<String>>>,
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
    /// How much it may be asked.
    pub limits: Limits,
    /// Where each setting stands.
    pub node: Node,
    /// Where the instance is named.
    pub span: Span,
}

impl Configuration {
    /// Reads a file; what could be read is answered also when something is wrong with it.
    ///
    /// # Errors
    /// When there is no such file, or it is no text.
    pub fn read(path: &Path, variables: &Variables) -> Result<(Self, Vec<Diagnostic>), Failure> {
        let text = files::text(path, files::HANDWRITTEN).map_err(|error| {
            Failure::new(format!("the configuration `{}` cannot be read: {error}", path.display())).hint(
                "`--config` takes the path of a terrace.yaml, and `terrace init` writes one; without, the nearest one \
                 upwards holds",
            )
        })?;
        let folder = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let name = path.file_name().map_or_else(|| path.display().to_string(), |name| name.display().to_string());
        let (configuration, diagnostics) = Self::parse(&name, &text, &folder, variables);
        Ok((Self { file: Some(path.to_owned()), ..configuration }, diagnostics))
    }

    /// Reads a text; relative paths in it are relative to `folder`.
    #[must_use]
    pub fn parse(name: &str, text: &str, folder: &Path, variables: &Variables) -> (Self, Vec<Diagnostic>) {
        let mut sources = Sources::default();
        let id = sources.add(name, text);
        secrets::lines(text).into_iter().for_each(|line| sources.hide(id, line));
        read::configuration(id, text, Self { sources, folder: folder.to_owned(), ..Self::default() }, variables)
    }

    /// The names of the environments that can be worked in.
    #[must_use]
    pub fn environment_names(&self) -> Vec<&str> {
        match self.environments.as_slice() {
            [] => vec![DEFAULT_ENVIRONMENT],
            environments => environments.iter().map(|environment| environment.name.as_str()).collect(),
        }
    }

    /// True when environments are configured; without, there is the embedded one.
    #[must_use]
    pub fn has_environments(&self) -> bool {
        !self.environments.is_empty()
    }

    /// One environment, its values evaluated; `None` when it is not configured.
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
    /// The environment that is there without any configuration.
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

    /// True when things are made on this machine.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.overlay_name() == Some(EMBEDDED)
    }
}

/// The configuration that holds for a folder: the nearest one upwards. Whatever has that name is meant to be it: who reads it
/// says what is wrong with one that is no file.
#[must_use]
pub fn find(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|folder| folder.join(FILE_NAME)).find(|path| path.symlink_metadata().is_ok())
}

#[cfg(test)]
mod tests;
