//! Database files: their location and how they are opened.
//!
//! A path in a descriptor is relative to the configured folder. It must not lead out of the project folder, not even
//! through a symbolic link.

use crate::database::SIDE_FILES;
use crate::error::{from_io, from_sqlite};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::{Component, Path as FilePath, PathBuf};
use std::time::Duration;
use terrace_provider::sandbox::ProtectedFiles;
use terrace_provider::{Path, ProviderError, Settings, Value};

/// The default number of seconds a statement waits for the lock of another connection.
pub(crate) const BUSY_SECONDS: i64 = 10;

/// The folders of a configured instance.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    project: PathBuf,
    base: PathBuf,
    busy_timeout: Duration,
    /// The files of the program itself.
    protected: ProtectedFiles,
}

/// A database file: its configured path and its location.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// As configured, for messages and identities.
    pub(crate) path: String,
    /// The absolute path on this machine.
    pub(crate) location: PathBuf,
    /// How long a statement waits for the lock of another connection.
    busy_timeout: Duration,
}

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Only reads.
    Read,
    /// Changes an existing file.
    Write,
    /// Changes the file; creates it and its folders if they are missing.
    Create,
}

impl Folders {
    /// Reads the folders from the settings.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `folder` leads out of the project folder or `busyTimeout` is invalid.
    pub(crate) fn of(settings: &Settings) -> Result<Self, ProviderError> {
        let folder = settings.values.get("folder").and_then(Value::as_str).unwrap_or(".");
        let project = std::path::absolute(&settings.project_folder).map_err(|error| {
            ProviderError::invalid(None, format!("the project folder has no absolute path: {error}"))
        })?;
        let project = lexically_resolved(&project);
        let base = lexically_resolved(&project.join(folder));
        if !base.starts_with(&project) {
            let message = format!("the folder `{folder}` is outside the project folder");
            return Err(ProviderError::invalid(Some(Path::attribute("folder")), message)
                .solution("set a folder inside the project folder"));
        }
        let seconds = settings.values.get("busyTimeout").and_then(Value::as_int).unwrap_or(BUSY_SECONDS);
        let busy_timeout = u32::try_from(seconds).map(|seconds| Duration::from_secs(seconds.into())).map_err(|_| {
            let message = format!("`{seconds}` is not a number of seconds to wait for a lock");
            ProviderError::invalid(Some(Path::attribute("busyTimeout")), message)
        })?;
        Ok(Self { project, base, busy_timeout, protected: settings.sandbox.files.clone() })
    }

    /// Finds the file at a configured path.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the path is empty, contains a NUL, leads out of the project folder, or is a protected file.
    pub(crate) fn locate(&self, path: &str) -> Result<File, ProviderError> {
        let refuse = |message: String| ProviderError::invalid(Some(Path::attribute("path")), message);
        if path.is_empty() || path.ends_with('/') || path.contains('\0') {
            return Err(refuse(format!("`{}` does not name a file", path.escape_default()))
                .solution("set the path of the database file, such as `data/shop.db`"));
        }
        let location = lexically_resolved(&self.base.join(path));
        let is_inside = location.starts_with(&self.project) && location != self.project;
        if !is_inside || self.follows_link_out(&location) {
            return Err(refuse(format!("the path `{path}` leads out of the project folder"))
                .solution("use a path inside the project folder"));
        }
        self.protected.check_with_suffixes(&location, &SIDE_FILES).map_err(|protected| protected.at("path", path))?;
        Ok(File { path: path.to_owned(), location, busy_timeout: self.busy_timeout })
    }

    /// True if the existing part of the location, with links resolved, is outside the project folder.
    fn follows_link_out(&self, location: &FilePath) -> bool {
        let within = || location.ancestors().take_while(|ancestor| *ancestor != self.project);
        // Without a link nothing leads out, and the check for links is one system call per folder.
        if !within().any(FilePath::is_symlink) {
            return false;
        }
        let Ok(project) = self.project.canonicalize() else { return false };
        // A dangling link has no canonical form; the folder that contains it is checked instead.
        let is_dangling = location.is_symlink() && !location.exists();
        is_dangling
            || within()
                .find_map(|ancestor| ancestor.canonicalize().ok())
                .is_some_and(|existing| !existing.starts_with(&project))
    }
}

impl File {
    /// True if there is a database. A call that is killed before its first commit leaves a file of zero bytes: it is an
    /// empty database for SQLite, but counts as missing here.
    pub(crate) fn exists(&self) -> bool {
        self.location.metadata().is_ok_and(|metadata| metadata.is_dir() || metadata.len() > 0)
    }

    /// Opens the file.
    ///
    /// # Errors
    ///
    /// If the file or its folder cannot be opened or created.
    pub(crate) fn open(&self, access: Access) -> Result<Connection, ProviderError> {
        // Reading also opens for writing, because SQLite may have to roll back the journal of a killed process.
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if access == Access::Create {
            if let Some(folder) = self.location.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|error| from_io(&self.path, "creating the folder of", &error))?;
            }
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let connection =
            Connection::open_with_flags(&self.location, flags).map_err(|error| from_sqlite(&self.path, &error))?;
        self.prepare(&connection, access).map_err(|error| from_sqlite(&self.path, &error))?;
        Ok(connection)
    }

    fn prepare(&self, connection: &Connection, access: Access) -> rusqlite::Result<()> {
        connection.busy_timeout(self.busy_timeout)?;
        // Otherwise SQLite would read a misspelt column in double quotes as a text.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.pragma_update(None, "query_only", access == Access::Read)?;
        // SQLite requires both to rebuild tables; a dropped table must not cascade to others.
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "synchronous", "FULL")
    }
}

/// Resolves `.` and `..` in a path without the file system.
fn lexically_resolved(path: &FilePath) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                resolved.pop();
            }
            other => resolved.push(other),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_provider::Attributes;

    fn folders(project: &FilePath) -> Folders {
        Folders::of(&Settings {
            instance: "sqlite".to_owned(),
            environment: "local".to_owned(),
            project_folder: project.to_owned(),
            sandbox: Default::default(),
            sources: Default::default(),
            values: Attributes::default(),
        })
        .unwrap()
    }

    #[test]
    fn path_must_stay_in_the_project_folder() {
        let project = tempfile::tempdir().unwrap();
        let folders = folders(project.path());
        assert!(folders.locate("a/../b/c.db").unwrap().location.ends_with("b/c.db"));
        for path in ["", "a/", "../x.db", "/etc/x.db", "a/../../x.db", ".", "a\0b"] {
            assert!(folders.locate(path).is_err(), "{path}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn link_must_not_lead_out() {
        let project = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), project.path().join("out")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("x.db"), project.path().join("dangling.db")).unwrap();
        assert!(folders(project.path()).locate("out/deeper/x.db").is_err());
        assert!(folders(project.path()).locate("dangling.db").is_err());
    }
}
