//! The Python environments that steps run in: one for each set of packages, made once and kept.
//!
//! A [`Recipe`] says which packages; its key names the folder. An environment is made beside a lock that the operating
//! system lets go of when its maker dies; a file that is written last says that it is whole. What is there is taken without
//! asking the network, or Python. The programs that make it end with their maker, and whoever makes it next ends those
//! that did not.
//!
//! Read in this order: this file, `interpreter` (which Python), `install` (how packages come in).

mod install;
mod interpreter;

use crate::executor::local::{Guard, end_marked};
use crate::fingerprint::hash_of;
use crate::held::Held;
use crate::spec::processor::Api;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) use install::uv_version;
pub use interpreter::{Interpreter, Tried, find as find_interpreter};

/// Grows when environments are made otherwise: older ones are left alone.
const FORMAT: u32 = 1;
/// The file that says that an environment is whole.
const WHOLE: &str = "terrace-environment.json";
/// The variable that names the environment that a program makes in its own environment.
const MARK: &str = "TERRACE_ENVIRONMENT";
/// Programs that make an environment have nothing to tidy up: what they leave is removed.
const GRACE: Duration = Duration::ZERO;
/// How often somebody else's work on an environment is looked at.
const POLL: Duration = Duration::from_millis(100);

/// What pip and uv say where nobody answers, in lower case; what they say of packages that there are not is none of it.
const UNREACHABLE: [&str; 12] = [
    "newconnectionerror",
    "failed to establish a new connection",
    "connection refused",
    "connection reset",
    "connection aborted",
    "connecttimeout",
    "read timed out",
    "name resolution",
    "network is unreachable",
    "error sending request",
    "operation timed out",
    "service unavailable",
];

/// Which packages an environment has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The generation of dpp.
    pub api: Api,
    /// The interpreter that the settings name.
    pub python: Option<String>,
    /// The texts of requirements beside dpp's own.
    pub requirements: Vec<String>,
    /// The texts of what limits their versions.
    pub constraints: Vec<String>,
}

impl Recipe {
    /// An environment of this generation, with further requirements.
    #[must_use]
    pub fn new(api: Api, python: Option<String>, requirements: Vec<String>) -> Self {
        let requirements = requirements.into_iter().filter(|text| !text.trim().is_empty()).collect();
        Self { api, python, requirements, constraints: Vec::new() }
    }

    /// The same with versions limited.
    #[must_use]
    pub fn with_constraints(self, constraints: Vec<String>) -> Self {
        Self { constraints, ..self }
    }

    /// The name of the environment: the release, and a digest of everything that goes into it.
    #[must_use]
    pub fn key(&self) -> String {
        let packages = match self.constraints.is_empty() {
            true => serde_json::json!(self.requirements),
            false => serde_json::json!([self.requirements, self.constraints]),
        };
        let text = serde_json::json!([FORMAT, self.api, install::lock(self.api), self.python, packages]);
        let digest = hash_of(&text.to_string());
        format!("{}-{}", self.api, digest.get(..16).unwrap_or(&digest))
    }
}

/// An environment that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its folder.
    pub folder: PathBuf,
    /// Its interpreter.
    pub python: PathBuf,
    /// Where its packages are.
    pub packages: PathBuf,
}

/// What is written last.
#[derive(Debug, Serialize, Deserialize)]
struct Whole {
    format: u32,
    release: String,
    /// `3.11`.
    python: String,
    /// Whose it is, for people.
    interpreter: String,
}

/// Why there is no environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No interpreter fits.
    #[error("no Python is here that datapackage-pipelines {release} runs on: {}", tried.join("; "))]
    NoInterpreter {
        /// The release.
        release: &'static str,
        /// What was tried, and what came of it.
        tried: Vec<String>,
    },
    /// A program failed.
    #[error("the Python environment could not be made: {what}")]
    Failed {
        /// What failed, and what it said.
        what: String,
        /// The last lines that it wrote.
        said: Vec<String>,
    },
    /// A file or folder could not be made or read.
    #[error("{what}: {source}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why it was not.
        source: io::Error,
    },
    /// Somebody wants to stop.
    #[error("stopped while a Python environment was made")]
    Cancelled,
}

/// Is told how an environment comes along.
pub trait Making: Send + Sync {
    /// So many of so many packages are there.
    fn progress(&self, done: usize, of: usize, what: &str);
}

/// The folder of environments.
#[derive(Debug, Clone)]
pub struct Environments {
    folder: PathBuf,
}

impl Environments {
    /// Those in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many are there and whole.
    #[must_use]
    pub fn count(&self) -> usize {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().join(WHOLE).is_file()).count()
    }

    /// The environment of a recipe, where it is there.
    #[must_use]
    pub fn existing(&self, recipe: &Recipe) -> Option<Environment> {
        let folder = self.folder.join(recipe.key());
        let text = fs::read(folder.join(WHOLE)).ok()?;
        let whole: Whole = serde_json::from_slice(&text).ok()?;
        let packages = folder.join("lib").join(format!("python{}", whole.python)).join("site-packages");
        let environment = Environment { python: folder.join("bin/python"), packages, folder };
        (whole.format == FORMAT && environment.python.exists()).then_some(environment)
    }

    /// The environment of a recipe; it is made where it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn ensure(
        &self,
        recipe: &Recipe,
        making: &dyn Making,
        cancel: &CancellationToken,
    ) -> Result<Environment, EnvironmentError> {
        if let Some(environment) = self.existing(recipe) {
            return Ok(environment);
        }
        fs::create_dir_all(&self.folder).map_err(|source| io_error("make the folder", &self.folder, source))?;
        let _lock = self.lock(recipe, cancel).await?;
        // Whoever held the lock may have made it.
        if let Some(environment) = self.existing(recipe) {
            return Ok(environment);
        }
        let interpreter = interpreter::find(recipe.api, recipe.python.as_deref()).await.map_err(|tried| {
            let tried = tried.iter().map(ToString::to_string).collect();
            EnvironmentError::NoInterpreter { release: recipe.api.release(), tried }
        })?;
        let folder = self.folder.join(recipe.key());
        let mark = folder.display().to_string();
        // What somebody left who was killed: whoever still writes there, and what was written.
        end_marked(MARK, &mark, GRACE).await.map_err(|source| not_ended(&folder, source))?;
        remove(&folder)?;
        let guard = Guard::start((MARK, &mark), GRACE)
            .map_err(|source| EnvironmentError::Io { what: "no process can be started".to_owned(), source })?;
        let made = tokio::select! {
            made = install::make(&folder, recipe, &interpreter, (&guard, &mark), making) => made,
            () = cancel.cancelled() => Err(EnvironmentError::Cancelled),
        };
        guard.end().await;
        let ended = end_marked(MARK, &mark, GRACE).await.map_err(|source| not_ended(&folder, source));
        install::tidy(&folder);
        if let Err(error) = made.and(ended.map(|_| ())) {
            // The first error is the one to tell.
            drop(remove(&folder));
            return Err(error);
        }
        let whole = Whole {
            format: FORMAT,
            release: recipe.api.release().to_owned(),
            python: interpreter.version.clone(),
            interpreter: interpreter.program.display().to_string(),
        };
        let text = serde_json::to_vec_pretty(&whole).unwrap_or_default();
        let partial = folder.join(format!("{WHOLE}.partial"));
        let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, folder.join(WHOLE)));
        written.map_err(|source| io_error("write", &folder.join(WHOLE), source))?;
        self.existing(recipe).ok_or_else(|| EnvironmentError::Failed {
            what: format!("`{}` has no interpreter after it was made", folder.display()),
            said: Vec::new(),
        })
    }

    /// The right to make the environment: held as long as this lives.
    async fn lock(&self, recipe: &Recipe, cancel: &CancellationToken) -> Result<Held, EnvironmentError> {
        let path = self.folder.join(format!("{}.lock", recipe.key()));
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let mut file = open().map_err(|source| io_error("open", &path, source))?;
        loop {
            file = match Held::of(file).map_err(|source| io_error("lock", &path, source))? {
                Ok(held) => return Ok(held),
                Err(file) => file,
            };
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => return Err(EnvironmentError::Cancelled),
            }
        }
    }
}

fn not_ended(folder: &Path, source: io::Error) -> EnvironmentError {
    EnvironmentError::Io { what: format!("what still writes into `{}` cannot be found", folder.display()), source }
}

fn remove(folder: &Path) -> Result<(), EnvironmentError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("remove", folder, source)),
        _ => Ok(()),
    }
}

fn io_error(action: &str, path: &Path, source: io::Error) -> EnvironmentError {
    EnvironmentError::Io { what: format!("cannot {action} `{}`", path.display()), source }
}

impl EnvironmentError {
    /// True for what may be over soon: the package index could not be reached.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        let Self::Failed { said, .. } = self else { return false };
        said.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            UNREACHABLE.iter().any(|words| line.contains(words))
        })
    }

    /// The same without secrets of these variables, and of what was to be installed.
    #[must_use]
    pub fn without_secrets(self, variables: &BTreeMap<String, String>, recipe: &Recipe) -> Self {
        self.masked(&crate::run::log::Masks::of(variables).and_in(&recipe.requirements))
    }

    /// The same without secrets: programs repeat addresses.
    #[must_use]
    pub(crate) fn masked(self, masks: &crate::run::log::Masks) -> Self {
        match self {
            Self::Failed { what, said } => {
                Self::Failed { what: masks.text(&what), said: said.iter().map(|line| masks.text(line)).collect() }
            }
            other => other,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoInterpreter { .. } => Some(
                "install one, as in `apt-get install python3.11 python3.11-venv`, or name one with the setting \
                 `python` of the provider `pipelines`"
                    .to_owned(),
            ),
            Self::Failed { .. } => Some(
                "an environment is made once and needs the package index for that; pip reads PIP_INDEX_URL and \
                 pip.conf, uv UV_INDEX_URL"
                    .to_owned(),
            ),
            Self::Io { .. } | Self::Cancelled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_goes_into_an_environment_is_part_of_its_name() {
        let recipe = Recipe::new(Api::Two, None, Vec::new());
        assert!(recipe.key().starts_with("2.2.11-"));
        assert_eq!(recipe.key(), Recipe::new(Api::Two, None, vec![" \n".to_owned()]).key());
        let others = [
            Recipe::new(Api::One, None, Vec::new()),
            Recipe::new(Api::Two, Some("python3.12".to_owned()), Vec::new()),
            Recipe::new(Api::Two, None, vec!["requests".to_owned()]),
            Recipe::new(Api::Two, None, Vec::new()).with_constraints(vec!["requests<3".to_owned()]),
        ];
        assert!(others.iter().all(|other| other.key() != recipe.key()));
    }

    #[test]
    fn a_network_that_fails_may_be_back_soon_and_a_package_that_there_is_not_stays_away() {
        let failed = |line: &str| EnvironmentError::Failed { what: String::new(), said: vec![line.to_owned()] };
        for passing in [
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x>: Failed to \
             establish a new connection: [Errno 111] Connection refused')': /simple/x/",
            "  Caused by: error sending request for url (https://index/simple/x/)",
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        ] {
            assert!(failed(passing).is_passing(), "{passing}");
        }
        assert!(!failed("ERROR: No matching distribution found for nothing==9").is_passing());
        assert!(!EnvironmentError::Cancelled.is_passing());
    }

    #[test]
    fn an_environment_that_was_not_finished_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let environments = Environments::new(folder.path().to_owned());
        let recipe = Recipe::new(Api::Two, None, Vec::new());
        let place = folder.path().join(recipe.key());
        fs::create_dir_all(place.join("bin")).unwrap();
        fs::write(place.join("bin/python"), "").unwrap();
        assert_eq!(environments.existing(&recipe), None);
        fs::write(place.join(WHOLE), r#"{"format": 1, "release": "2.2.11", "python": "3.11", "interpreter": "p"}"#)
            .unwrap();
        let found = environments.existing(&recipe).unwrap();
        assert!(found.packages.ends_with("lib/python3.11/site-packages"));
    }
}
