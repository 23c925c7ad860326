//! The project folder, and the rule that nothing local leaves it.
//!
//! Paths are resolved by `cap-std`, which opens every folder on the way relative to the one before: neither `..` nor a
//! symbolic link leads out, also when somebody swaps a folder for a link while we look.

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};
use terrace_provider::blocking::glance;
use terrace_provider::sandbox::ProtectedFiles;
use terrace_provider::{ErrorKind, ProviderError};
use tokio::runtime::{Handle, RuntimeFlavor};

/// The project folder of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// As the settings name it.
    given: PathBuf,
    /// Without symbolic links.
    canonical: PathBuf,
    /// What in it belongs to the program itself.
    protected: ProtectedFiles,
}

/// A path in the project folder: relative, without `.` and `..`, and not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProjectPath {
    path: PathBuf,
    attribute: &'static str,
}

/// An entry of an opened folder.
#[derive(Debug)]
pub(crate) struct Place {
    /// The folder.
    pub(crate) folder: Dir,
    /// The entry's name in it.
    pub(crate) name: OsString,
}

impl Project {
    /// Takes the project folder of an instance, without the protected files in it.
    ///
    /// # Errors
    /// When it does not exist or is no folder.
    pub(crate) fn open(folder: &Path, protected: ProtectedFiles) -> Result<Self, ProviderError> {
        let canonical = folder.canonicalize().map_err(|error| {
            let message = format!("the project folder `{}` cannot be opened: {error}", folder.display());
            ProviderError::invalid(None, message)
        })?;
        let project = Self { given: folder.to_path_buf(), canonical, protected };
        project.root()?;
        Ok(project)
    }

    /// Runs work on the file system where it blocks nobody.
    ///
    /// # Errors
    /// Those of the work.
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

    /// Runs work on the file system that is done at once, on the same thread where tokio lets it block (not in a `LocalSet`): to
    /// look at a folder takes less time than to wake another thread.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn in_place<T, F>(&self, work: F) -> Result<T, ProviderError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, ProviderError> + Send + 'static,
    {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => glance(|| work(self)),
            _ => self.blocking(work).await,
        }
    }

    /// The folder itself, without symbolic links.
    pub(crate) fn folder(&self) -> &Path {
        &self.canonical
    }

    /// Opens the folder. It is opened anew for each call: a server outlives a folder that is moved and made again.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn root(&self) -> Result<Dir, ProviderError> {
        Dir::open_ambient_dir(&self.canonical, ambient_authority())
            .map_err(|error| io_error("open the project folder", &self.canonical, &error))
    }

    /// The place within the project folder that an attribute names.
    ///
    /// # Errors
    /// `InvalidInput` when the text is empty, names the project folder itself, or leaves it.
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

    /// The folder within the project folder (or that itself) that an attribute names, as an absolute path; `None` when
    /// there is no such folder.
    ///
    /// # Errors
    /// `InvalidInput` when the text leaves the project folder, or names something else than a folder.
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
    /// `InvalidInput` when the file is protected.
    pub(crate) fn check(&self, path: &ProjectPath) -> Result<(), ProviderError> {
        let found = self.protected.check(&self.canonical.join(&path.path));
        found.map_err(|protected| protected.at(path.attribute, &path.display()))
    }

    /// Refuses a folder that holds a protected file.
    ///
    /// # Errors
    /// `InvalidInput` when it does.
    pub(crate) fn check_folder(&self, path: &ProjectPath) -> Result<(), ProviderError> {
        let found = self.protected.check_folder(&self.canonical.join(&path.path));
        found.map_err(|protected| {
            let message = format!(
                "`{}` is `{}`: this folder is, or holds, {}, which no descriptor may use",
                path.attribute,
                path.display(),
                protected.0
            );
            invalid(path.attribute, message).solution("choose another folder")
        })
    }

    /// Opens the folder that holds the path; `None` when that folder does not exist. The same plan may remove a file on the
    /// way, so only [`Project::make_place`] refuses it.
    ///
    /// # Errors
    /// `InvalidInput` when a symbolic link on the way leads out, or the file is protected.
    pub(crate) fn place(&self, path: &ProjectPath) -> Result<Option<Place>, ProviderError> {
        self.check(path)?;
        let root = self.root()?;
        let Some((parent, name)) = path.split() else {
            return Err(ProviderError::bug("a project path without a name"));
        };
        if parent.as_os_str().is_empty() {
            return Ok(Some(Place { folder: root, name }));
        }
        match root.open_dir(&parent) {
            Ok(folder) => Ok(Some(Place { folder, name })),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(path_error(path.attribute, &path.path, &error)),
        }
    }

    /// Opens the folder that holds the path, and makes it and those above it where they are missing.
    ///
    /// # Errors
    /// As [`Project::place`], when a part of the way is not a folder, and when a folder cannot be made.
    pub(crate) fn make_place(&self, path: &ProjectPath) -> Result<Place, ProviderError> {
        self.check(path)?;
        let Some((parent, name)) = path.split() else {
            return Err(ProviderError::bug("a project path without a name"));
        };
        let root = self.root()?;
        let wrong = |error: io::Error| path_error(path.attribute, &path.path, &error);
        // Always from the root: a link may lead from one folder of the project to another.
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
        Ok(Place { folder, name })
    }
}

impl ProjectPath {
    /// The normal form: relative to the project folder.
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

/// Makes a folder, durably.
fn make_folder(root: &Dir, above: &Path, folder: &Path) -> io::Result<()> {
    match root.create_dir(folder) {
        // Two files of one new folder are made at once: whoever comes second finds it there.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if above.as_os_str().is_empty() => sync(root),
        _ => sync(&root.open_dir(above)?),
    }
}

/// Makes the entries of a folder durable.
pub(crate) fn sync(folder: &Dir) -> io::Result<()> {
    // The handle itself may be one that only resolves paths; a reopened one can be synced.
    folder.open(".")?.sync_all()
}

/// An `InvalidInput` at an attribute.
pub(crate) fn invalid(attribute: &str, message: impl Into<String>) -> ProviderError {
    ProviderError::invalid(Some(terrace_provider::Path::attribute(attribute)), message)
}

/// What an error says about the path that an attribute names.
pub(crate) fn path_error(attribute: &str, path: &Path, error: &io::Error) -> ProviderError {
    let shown = path.display();
    // The sandbox reports a way out as "permission denied" without a code of the operating system.
    if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
        return invalid(
            attribute,
            format!("`{attribute}` is `{shown}`: a symbolic link leads out of the project folder"),
        )
        .solution("replace the link by a folder, or use a path that does not go through it");
    }
    match error.kind() {
        io::ErrorKind::NotADirectory => {
            invalid(attribute, format!("`{attribute}` is `{shown}`: something on the way to it is no folder"))
        }
        io::ErrorKind::InvalidFilename => {
            invalid(attribute, format!("`{attribute}` is `{shown}`: the name is too long"))
        }
        _ => io_error("use", path, error),
    }
}

/// An error of the file system before anything was changed.
pub(crate) fn io_error(action: &str, path: &Path, error: &io::Error) -> ProviderError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::PermissionDenied,
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::InvalidFilename => {
            ErrorKind::InvalidInput { path: None }
        }
        // A retry makes no room.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::Failed,
        _ => ErrorKind::Transient,
    };
    let failed = ProviderError::new(kind, format!("cannot {action} `{}`: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failed.solution("free some room and apply again"),
        _ => failed,
    }
}

#[cfg(test)]
mod tests;
