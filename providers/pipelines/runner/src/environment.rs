//! Python environments of steps: one per set of packages, created once and cached.
//!
//! A [`Recipe`] lists the packages; its key is the name of the folder. A lock of the operating system protects the
//! creation, and ends with its process. A file that is written last marks the environment as complete. An existing
//! environment is used without the network, and without a start of Python. The programs of an interrupted creation end
//! with it; the next creation ends the rest.
//!
//! Reading order: `recipe` (the packages), this file, `interpreter` (choice of Python), `install` (installation of packages).

mod install;
mod interpreter;
mod recipe;

use crate::executor::local::{Guard, end_marked};
use crate::file_lock::FileLock;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) use install::uv_version;
pub use interpreter::{Interpreter, UnsuitableInterpreter, find as find_interpreter};
pub use recipe::Recipe;

use recipe::FORMAT;

/// File that marks an environment as complete.
const COMPLETION_FILE: &str = "terrace-environment.json";
/// Variable with the environment's name in the environment of programs that create it.
const MARK: &str = "TERRACE_ENVIRONMENT";
/// Programs that create an environment need no time to clean up: their files are removed.
const GRACE: Duration = Duration::ZERO;
/// Interval between attempts to get the lock of an environment.
const POLL: Duration = Duration::from_millis(100);

/// Messages of pip and uv about an unreachable index, in lower case; messages about missing packages match none.
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

/// An existing environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// Its folder.
    pub folder: PathBuf,
    /// Its interpreter.
    pub python: PathBuf,
    /// Folder of its packages.
    pub packages: PathBuf,
}

impl Environment {
    /// Environment of another machine that keeps environments in this folder. [`Environment::link`] creates these
    /// paths there.
    #[must_use]
    pub(crate) fn elsewhere(folder: &Path, recipe: &Recipe) -> Self {
        let key = recipe.key();
        let environment = folder.join(&key);
        Self {
            python: environment.join("bin/python"),
            packages: folder.join("packages").join(key),
            folder: environment,
        }
    }

    /// Creates the paths of [`Environment::elsewhere`] on this machine, as links to this environment.
    ///
    /// # Errors
    /// When a link cannot be created.
    pub(crate) fn link(&self, folder: &Path, recipe: &Recipe) -> io::Result<()> {
        let linked = Self::elsewhere(folder, recipe);
        fs::create_dir_all(folder.join("packages"))?;
        for (target, link) in [(&self.folder, &linked.folder), (&self.packages, &linked.packages)] {
            match symlink(target, link) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
        Ok(())
    }
}

/// Content of the file that is written last.
#[derive(Debug, Serialize, Deserialize)]
struct Completion {
    format: u32,
    release: String,
    /// `3.11`.
    python: String,
    /// Path of the interpreter, for people.
    interpreter: String,
}

/// Error of the creation of an environment.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// No interpreter is suitable.
    #[error("found no Python for datapackage-pipelines {release}: {}", tried.join("; "))]
    NoInterpreter {
        /// The release.
        release: &'static str,
        /// Interpreters that were tried, and why they are not suitable.
        tried: Vec<String>,
    },
    /// A program failed.
    #[error("the Python environment could not be created: {message}")]
    Failed {
        /// The program and its status.
        message: String,
        /// Last lines of its output.
        output: Vec<String>,
    },
    /// A file or folder could not be created or read.
    #[error("{message}: {source}")]
    Io {
        /// The operation.
        message: String,
        /// The error.
        source: io::Error,
    },
    /// The creation was cancelled.
    #[error("cancelled while creating a Python environment")]
    Cancelled,
}

/// Observer of the creation of an environment.
pub trait EnvironmentObserver: Send + Sync {
    /// Number of installed packages, and of all.
    fn progress(&self, done: usize, of: usize, message: &str);
}

/// Folder of environments.
#[derive(Debug, Clone)]
pub struct Environments {
    folder: PathBuf,
}

impl Environments {
    /// Environments in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Folder of all environments.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Number of complete environments.
    #[must_use]
    pub fn count(&self) -> usize {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().join(COMPLETION_FILE).is_file()).count()
    }

    /// Returns the environment of a recipe if it exists.
    #[must_use]
    pub fn existing(&self, recipe: &Recipe) -> Option<Environment> {
        let folder = self.folder.join(recipe.key());
        let text = fs::read(folder.join(COMPLETION_FILE)).ok()?;
        let completion: Completion = serde_json::from_slice(&text).ok()?;
        let packages = folder.join("lib").join(format!("python{}", completion.python)).join("site-packages");
        let environment = Environment { python: folder.join("bin/python"), packages, folder };
        (completion.format == FORMAT && environment.python.exists()).then_some(environment)
    }

    /// Returns the environment of a recipe, and creates a missing one.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn ensure(
        &self,
        recipe: &Recipe,
        observer: &dyn EnvironmentObserver,
        cancel: &CancellationToken,
    ) -> Result<Environment, EnvironmentError> {
        if let Some(environment) = self.existing(recipe) {
            return Ok(environment);
        }
        fs::create_dir_all(&self.folder).map_err(|source| io_error("create the folder", &self.folder, source))?;
        let _lock = self.lock(recipe, cancel).await?;
        // The previous holder of the lock may have created it.
        if let Some(environment) = self.existing(recipe) {
            return Ok(environment);
        }
        let interpreter = interpreter::find(recipe.api, recipe.python.as_deref()).await.map_err(|tried| {
            let tried = tried.iter().map(ToString::to_string).collect();
            EnvironmentError::NoInterpreter { release: recipe.api.release(), tried }
        })?;
        let folder = self.folder.join(recipe.key());
        let mark = folder.display().to_string();
        // Remove the rest of an interrupted creation: its processes and its files.
        end_marked(MARK, &mark, GRACE).await.map_err(|source| process_search_error(&folder, source))?;
        remove(&folder)?;
        let guard = Guard::start((MARK, &mark), GRACE)
            .map_err(|source| EnvironmentError::Io { message: "no process can be started".to_owned(), source })?;
        let created = tokio::select! {
            created = install::create(&folder, recipe, &interpreter, (&guard, &mark), observer) => created,
            () = cancel.cancelled() => Err(EnvironmentError::Cancelled),
        };
        guard.end().await;
        let ended = end_marked(MARK, &mark, GRACE).await.map_err(|source| process_search_error(&folder, source));
        install::clean_up(&folder);
        if let Err(error) = created.and(ended.map(|_| ())) {
            // The first error is the relevant one.
            drop(remove(&folder));
            return Err(error);
        }
        let completion = Completion {
            format: FORMAT,
            release: recipe.api.release().to_owned(),
            python: interpreter.version.clone(),
            interpreter: interpreter.program.display().to_string(),
        };
        let text = serde_json::to_vec_pretty(&completion).unwrap_or_default();
        let partial = folder.join(format!("{COMPLETION_FILE}.partial"));
        let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, folder.join(COMPLETION_FILE)));
        written.map_err(|source| io_error("write", &folder.join(COMPLETION_FILE), source))?;
        self.existing(recipe).ok_or_else(|| EnvironmentError::Failed {
            message: format!("`{}` has no interpreter after its creation", folder.display()),
            output: Vec::new(),
        })
    }

    /// Locks the environment for its creation.
    async fn lock(&self, recipe: &Recipe, cancel: &CancellationToken) -> Result<FileLock, EnvironmentError> {
        let path = self.folder.join(format!("{}.lock", recipe.key()));
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let mut file = open().map_err(|source| io_error("open", &path, source))?;
        loop {
            file = match FileLock::try_lock(file).map_err(|source| io_error("lock", &path, source))? {
                Ok(lock) => return Ok(lock),
                Err(file) => file,
            };
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = cancel.cancelled() => return Err(EnvironmentError::Cancelled),
            }
        }
    }
}

fn process_search_error(folder: &Path, source: io::Error) -> EnvironmentError {
    EnvironmentError::Io {
        message: format!("processes that write into `{}` cannot be found", folder.display()),
        source,
    }
}

fn remove(folder: &Path) -> Result<(), EnvironmentError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("remove", folder, source)),
        _ => Ok(()),
    }
}

fn io_error(action: &str, path: &Path, source: io::Error) -> EnvironmentError {
    EnvironmentError::Io { message: format!("cannot {action} `{}`", path.display()), source }
}

impl EnvironmentError {
    /// Returns true for errors that may end by themselves: the package index is unreachable.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let Self::Failed { output, .. } = self else { return false };
        output.iter().any(|line| {
            let line = line.to_ascii_lowercase();
            UNREACHABLE.iter().any(|words| line.contains(words))
        })
    }

    /// Masks secrets of these variables, and of the requirements.
    #[must_use]
    pub fn without_secrets(self, variables: &BTreeMap<String, String>, recipe: &Recipe) -> Self {
        self.masked(&crate::run::log::Masks::of(variables).with_texts(&recipe.requirements))
    }

    /// Masks secrets: programs repeat addresses.
    #[must_use]
    pub(crate) fn masked(self, masks: &crate::run::log::Masks) -> Self {
        match self {
            Self::Failed { message, output } => Self::Failed {
                message: masks.text(&message),
                output: output.iter().map(|line| masks.text(line)).collect(),
            },
            other => other,
        }
    }

    /// Hint for the user.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoInterpreter { .. } => Some(
                "install one, as in `apt-get install python3.11 python3.11-venv`, or set \
                 `python` of the provider `pipelines`"
                    .to_owned(),
            ),
            Self::Failed { .. } => Some(
                "make the package index reachable, which is needed once per environment: pip reads PIP_INDEX_URL and \
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
    use crate::spec::processor::Api;

    #[test]
    fn name_of_environment_depends_on_all_inputs() {
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
    fn network_error_is_temporary_and_unknown_package_is_not() {
        let failed = |line: &str| EnvironmentError::Failed { message: String::new(), output: vec![line.to_owned()] };
        for passing in [
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x>: Failed to \
             establish a new connection: [Errno 111] Connection refused')': /simple/x/",
            "  Caused by: error sending request for url (https://index/simple/x/)",
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        ] {
            assert!(failed(passing).is_transient(), "{passing}");
        }
        assert!(!failed("ERROR: No matching distribution found for nothing==9").is_transient());
        assert!(!EnvironmentError::Cancelled.is_transient());
    }

    #[test]
    fn incomplete_environment_does_not_exist() {
        let folder = tempfile::tempdir().unwrap();
        let environments = Environments::new(folder.path().to_owned());
        let recipe = Recipe::new(Api::Two, None, Vec::new());
        let place = folder.path().join(recipe.key());
        fs::create_dir_all(place.join("bin")).unwrap();
        fs::write(place.join("bin/python"), "").unwrap();
        assert_eq!(environments.existing(&recipe), None);
        fs::write(
            place.join(COMPLETION_FILE),
            r#"{"format": 1, "release": "2.2.11", "python": "3.11", "interpreter": "p"}"#,
        )
        .unwrap();
        let found = environments.existing(&recipe).unwrap();
        assert!(found.packages.ends_with("lib/python3.11/site-packages"));
    }
}
