//! The project folder, and the check that no local path leaves it.
//!
//! `cap-std` resolves the paths: it opens every folder of a path relative to its parent. So neither `..` nor a symbolic
//! link leads out, even if another process replaces a folder with a link at the same time.

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use terrace_provider::blocking::block_briefly;
use terrace_provider::sandbox::ProtectedFiles;
use terrace_provider::{ErrorKind, ProviderError};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The project folder of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// The folder as written in the settings.
    given: PathBuf,
    /// The folder without symbolic links.
    canonical: PathBuf,
    /// The files in the folder that belong to the program.
    protected: ProtectedFiles,
}

/// A path in the project folder: relative, without `.` and `..`, and not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProjectPath {
    path: PathBuf,
    attribute: &'static str,
}

/// An entry of an open folder.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The folder.
    pub(crate) folder: Dir,
    /// The name of the entry in the folder.
    pub(crate) name: OsString,
}

impl Project {
    /// Opens the project folder of an instance; the protected files in it are excluded.
    ///
    /// # Errors
    ///
    /// If the path does not exist or is not a folder.
    pub(crate) fn open(folder: &Path, protected: ProtectedFiles) -> Result<Self, ProviderError> {
        let canonical = folder.canonicalize().map_err(|error| {
            let message = format!("the project folder `{}` cannot be opened: {error}", folder.display());
            ProviderError::invalid(None, message)
        })?;
        let project = Self { given: folder.to_path_buf(), canonical, protected };
        project.root()?;
        Ok(project)
    }

    /// Runs blocking file system work on another thread.
    ///
    /// # Errors
    /// The errors of the work.
    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, ProviderError> + Send + 'static,
    {
        let project = self.clone();
        tokio::task::spawn_blocking(move || work(&project))
            .await
            .map_err(|error| ProviderError::bug(format!("work on the file system was lost: {error}")))?
    }

    /// Runs short file system work on the current thread if tokio can block there (not in a `LocalSet`): a look at a
    /// folder takes less time than waking another thread.
    ///
    /// # Errors
    ///
    /// The errors of the work.
    pub(crate) async fn in_place<T, F>(&self, work: F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, ProviderError> + Send + 'static,
    {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => block_briefly(|| work(self)),
            _ => self.blocking(work).await,
        }
    }

    /// The project folder without symbolic links.
    pub(crate) fn folder(&self) -> &Path {
        &self.canonical
    }

    /// Opens the folder. Each call opens it again because a server may outlive a folder that is moved and recreated.
    ///
    /// # Errors
    ///
    /// If the folder cannot be opened.
    pub(crate) fn root(&self) -> Result<Dir, ProviderError> {
        Dir::open_ambient_dir(&self.canonical, ambient_authority())
            .map_err(|error| io_error("open the project folder", &self.canonical, &error))
    }

    /// Parses the path in an attribute.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the path is empty, is the project folder itself, or leaves it.
    pub(crate) fn path(&self, attribute: &'static str, text: &str) -> Result<ProjectPath, ProviderError> {
        let path = self.relative(attribute, text)?;
        if path.as_os_str().is_empty() {
            return Err(invalid(
                attribute,
                format!("`{attribute}` is `{text}`: expected a path below the project folder"),
            ));
        }
        Ok(ProjectPath { path, attribute })
    }

    /// The absolute path of the folder in an attribute: the project folder or a folder in it. `None` if the folder does
    /// not exist.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the path leaves the project folder or is not a folder.
    pub(crate) fn subfolder(&self, attribute: &'static str, text: &str) -> Result<Option<PathBuf>, ProviderError> {
        let path = self.relative(attribute, text)?;
        if path.as_os_str().is_empty() {
            return Ok(Some(self.canonical.clone()));
        }
        match self.root()?.open_dir(&path) {
            Ok(_) => Ok(Some(self.canonical.join(path))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(path_error(attribute, &path, &error)),
        }
    }

    fn relative(&self, attribute: &'static str, text: &str) -> Result<PathBuf, ProviderError> {
        let outside = || {
            invalid(attribute, format!("`{attribute}` is `{text}`, which leads out of the project folder"))
                .solution("use a path relative to the project folder, without a `..` that leaves it")
        };
        if text.is_empty() || text.contains('\0') {
            return Err(invalid(attribute, format!("`{attribute}` is {text:?}: expected a path")));
        }
        let given = Path::new(text);
        let relative = if given.is_absolute() {
            let below = given.strip_prefix(&self.canonical).or_else(|_| given.strip_prefix(&self.given));
            below.map_err(|_| outside())?
        } else {
            given
        };
        let mut path = PathBuf::new();
        for component in relative.components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                Component::ParentDir => {
                    if !path.pop() {
                        return Err(outside());
                    }
                }
                Component::RootDir | Component::Prefix(_) => return Err(outside()),
            }
        }
        Ok(path)
    }

    /// Refuses a protected file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the file is protected.
    pub(crate) fn check(&self, path: &ProjectPath) -> Result<(), ProviderError> {
        let found = self.protected.check(&self.canonical.join(&path.path));
        found.map_err(|protected| protected.at(path.attribute, &path.display()))
    }

    /// Refuses a folder that contains a protected file.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the folder contains one.
    pub(crate) fn check_folder(&self, path: &ProjectPath) -> Result<(), ProviderError> {
        let found = self.protected.check_folder(&self.canonical.join(&path.path));
        found.map_err(|protected| {
            let message = format!(
                "`{}` is `{}`: this folder is or contains {}, which no descriptor may use",
                path.attribute,
                path.display(),
                protected.0
            );
            invalid(path.attribute, message).solution("choose another folder")
        })
    }

    /// Opens the parent folder of the path; `None` if this folder does not exist. A file in the place of a folder is
    /// not an error here because the same plan may remove it; only [`Project::entry_with_parents`] refuses it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if a symbolic link in the path leads out or the file is protected.
    pub(crate) fn entry(&self, path: &ProjectPath) -> Result<Option<Entry>, ProviderError> {
        self.check(path)?;
        let root = self.root()?;
        let Some((parent, name)) = path.split() else {
            return Err(ProviderError::bug("a project path without a name"));
        };
        if parent.as_os_str().is_empty() {
            return Ok(Some(Entry { folder: root, name }));
        }
        match root.open_dir(&parent) {
            Ok(folder) => Ok(Some(Entry { folder, name })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(path_error(path.attribute, &path.path, &error)),
        }
    }

    /// Opens the parent folder of the path and creates missing folders.
    ///
    /// # Errors
    ///
    /// As for [`Project::entry`]; also if a part of the path is not a folder or a folder cannot be created.
    pub(crate) fn entry_with_parents(&self, path: &ProjectPath) -> Result<Entry, ProviderError> {
        self.check(path)?;
        let Some((parent, name)) = path.split() else {
            return Err(ProviderError::bug("a project path without a name"));
        };
        let root = self.root()?;
        let wrong = |error: io::Error| path_error(path.attribute, &path.path, &error);
        // Each folder is opened from the root: a link may lead from one folder of the project to another.
        let mut above = PathBuf::new();
        for component in parent.components() {
            let below = above.join(component);
            if let Err(error) = root.open_dir(&below) {
                if error.kind() != io::ErrorKind::NotFound {
                    return Err(wrong(error));
                }
                make_folder(&root, &above, &below).map_err(wrong)?;
            }
            above = below;
        }
        let folder = if parent.as_os_str().is_empty() { root } else { root.open_dir(&parent).map_err(wrong)? };
        Ok(Entry { folder, name })
    }
}

impl ProjectPath {
    /// The path in its normal form: relative to the project folder.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }

    /// The normal form as text.
    pub(crate) fn display(&self) -> String {
        self.path.display().to_string()
    }

    fn split(&self) -> Option<(PathBuf, OsString)> {
        Some((self.path.parent()?.to_path_buf(), self.path.file_name()?.to_owned()))
    }
}

/// Creates a folder and makes it durable.
fn make_folder(root: &Dir, above: &Path, folder: &Path) -> io::Result<()> {
    match root.create_dir(folder) {
        // Two files of one new folder may be created at once; the second call finds the folder.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if above.as_os_str().is_empty() => sync(root),
        _ => sync(&root.open_dir(above)?),
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync(folder: &Dir) -> io::Result<()> {
    // The handle may only resolve paths; a reopened one can be synced.
    folder.open(".")?.sync_all()
}

/// Creates an `InvalidInput` error at an attribute.
pub(crate) fn invalid(attribute: &str, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(terrace_provider::Path::attribute(attribute)), message)
}

/// Converts an error of the path in an attribute.
pub(crate) fn path_error(attribute: &str, path: &Path, error: &io::Error) -> ProviderError {
    let shown = path.display();
    // The sandbox reports a path that leads out as "permission denied" without an error code of the operating system.
    if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
        return invalid(
            attribute,
            format!("`{attribute}` is `{shown}`: a symbolic link leads out of the project folder"),
        )
        .solution("replace the link with a folder, or use a path that does not use the link");
    }
    match error.kind() {
        io::ErrorKind::NotADirectory => {
            invalid(attribute, format!("`{attribute}` is `{shown}`: a part of this path is not a folder"))
        }
        io::ErrorKind::InvalidFilename => {
            invalid(attribute, format!("`{attribute}` is `{shown}`: the name is too long"))
        }
        _ => io_error("use", path, error),
    }
}

/// Converts a file system error that occurred before any change.
pub(crate) fn io_error(action: &str, path: &Path, error: &io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => {
            ErrorKind::InvalidInput { path: None }
        }
        // A retry does not free any space.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Failed,
        _ => ErrorKind::Transient,
    };
    let failed = ProviderError::new(kind, format!("cannot {action} `{}`: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failed.solution("free some space and apply again"),
        _ => failed,
    }
}

#[cfg(test)]
mod tests;
