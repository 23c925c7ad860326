//! The databases of a project: their folders and records.

use super::error::{DatabaseError, DatabaseErrorKind, missing};
use super::lock::{self, FileLock};
use super::record::{self, Access, Engine, Record};
use super::server;
use secrecy::SecretString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time that processes have to end after the request.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// The databases of a project.
#[derive(Debug, Clone)]
pub struct Databases {
    /// Folder of all databases, without symbolic links.
    pub(super) folder: PathBuf,
    /// Folder of PostgreSQL's programs in the settings.
    pub(super) programs: Option<PathBuf>,
    /// Program that guards databases; without it, only commands notice that a database expired.
    pub(super) guard: Option<GuardProgram>,
    /// Time to wait for other processes that work on a database.
    pub(super) lock_timeout: Duration,
}

/// Command that starts a guard: this program with these arguments, the folder of all databases, and the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardProgram {
    /// The program.
    pub program: PathBuf,
    /// First arguments.
    pub arguments: Vec<String>,
}

impl Databases {
    /// Databases in this folder, which need not exist yet.
    #[must_use]
    pub fn new(folder: PathBuf, programs: Option<PathBuf>, guard: Option<GuardProgram>) -> Self {
        Self { folder, programs, guard, lock_timeout: Duration::from_secs(60) }
    }

    /// Sets the time to wait for other processes.
    #[must_use]
    pub const fn with_lock_timeout(mut self, lock_timeout: Duration) -> Self {
        self.lock_timeout = lock_timeout;
        self
    }

    /// Folder of all databases.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Folder of a database.
    #[must_use]
    pub fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Record of a database.
    ///
    /// # Errors
    /// When the name is not valid, or the record cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<Record>, DatabaseError> {
        record::check_name(name)?;
        let Some(mut record) = record::read(&self.folder_of(name))? else { return Ok(None) };
        if record.engine == Engine::Postgres
            && let Some(port) = server::running(&record.data).and_then(|server| server.port)
        {
            // The process that started the server may have been killed before it wrote the port.
            record.port = Some(port);
        }
        Ok(Some(record))
    }

    /// Record of an existing database.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn existing(&self, name: &str) -> Result<Record, DatabaseError> {
        self.get(name)?.ok_or_else(|| missing(name, &self.names()))
    }

    /// Records of all databases, by name.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub fn list(&self) -> Result<Vec<Record>, DatabaseError> {
        self.names().iter().filter_map(|name| self.get(name).transpose()).collect()
    }

    /// Names of all databases, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names =
            entries.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| record::check_name(name).is_ok()).collect();
        names.sort();
        names
    }

    /// Locks a database.
    pub(super) async fn lock(&self, name: &str) -> Result<FileLock, DatabaseError> {
        lock::acquire(&self.lock_path(name), name, self.lock_timeout).await
    }

    pub(super) fn lock_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.lock"))
    }

    pub(super) fn write(&self, record: &Record) -> Result<(), DatabaseError> {
        record::write(&self.folder_of(&record.name), record)
    }

    /// Address and password of a running database.
    ///
    /// # Errors
    /// When it does not run, or its password cannot be read.
    pub fn access(&self, record: &Record) -> Result<Access, DatabaseError> {
        record::access(&self.folder_of(&record.name), record)
    }

    /// Token that opens the pages of these databases.
    ///
    /// # Errors
    /// When it cannot be read or created.
    pub fn token(&self) -> Result<SecretString, DatabaseError> {
        record::token(&self.folder).map_err(|error| {
            DatabaseError::new(
                DatabaseErrorKind::Failed,
                format!("the token of the pages of databases cannot be read: {error}"),
            )
        })
    }
}
