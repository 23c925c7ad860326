//! Writes a file atomically; a crash leaves no permanent leftover.
//!
//! The bytes go to a temporary file in the same folder, with a name derived from the name of the target. The file is
//! locked during the write. The lock of a dead process is released, so the next write of the same target reuses its
//! leftover.

use super::content::{Content, Summary, expect_regular};
use super::failure::file_error;
use crate::project::{Entry, Project, ProjectPath, invalid, sync};
use base16ct::lower::encode_string;
use cap_std::fs::{Dir, DirEntry, MetadataExt, OpenOptions, OpenOptionsExt};
use rustix::fs::RenameFlags;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs::{Permissions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use terrace_provider::removed_paths::RemovedPaths;
use terrace_provider::{ErrorKind, ProviderError};

/// What to do with an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    /// The file is not managed: nothing is written.
    Refused,
    /// The file is managed: it is replaced.
    Replaced,
}

/// The folders that an operation emptied; a file of the same operation may replace one of them.
pub(super) struct EmptiedFolders {
    pub(super) removed: RemovedPaths,
    pub(super) operation: String,
}

impl EmptiedFolders {
    /// True if the operation emptied this folder and each folder in it, and none contains a file.
    fn has(&self, folder: &Dir, name: &OsStr, path: &Path) -> bool {
        let has_entry = |inner: &Dir, entry: io::Result<DirEntry>| {
            let entry = entry?;
            let name = entry.file_name();
            Ok::<bool, io::Error>(entry.file_type()?.is_dir() && self.has(inner, &name, &path.join(&name)))
        };
        let opened = folder.open_dir(name).and_then(|inner| Ok((inner.entries()?, inner)));
        self.removed.has_below(&self.operation, path)
            && opened
                .is_ok_and(|(mut entries, inner)| entries.all(|entry| has_entry(&inner, entry).unwrap_or_default()))
    }
}

/// Writes a file.
///
/// # Errors
///
/// `AlreadyExists` if there is a file and `existing` refuses it; `InvalidInput` if the content differs from the plan or
/// the target is not a regular file; `Ambiguous` if the file was replaced but the folder could not be made durable.
pub(super) fn write(
    entry: &Entry,
    path: &ProjectPath,
    content: &Content,
    planned_sha256: Option<&str>,
    mode: u32,
    existing: Existing,
    emptied: &EmptiedFolders,
) -> Result<Summary, ProviderError> {
    check_target(entry, path, existing, emptied)?;
    let temporary = temporary_name(&entry.name);
    let file = open_temporary(&entry.folder, &temporary, path)?;
    let written = fill(&file, path, content, planned_sha256, mode);
    let placed = written.and_then(|summary| {
        rename(entry, &temporary, existing).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => already_exists(path),
            _ => file_error("put in place", path, &error),
        })?;
        Ok(summary)
    });
    if placed.is_err() {
        // The first error is the one to report; the next write reuses a leftover that cannot be removed now.
        drop(entry.folder.remove_file(&temporary));
    }
    let summary = placed?;
    sync(&entry.folder).map_err(|error| {
        let message = format!("`{}` was written, but may not survive a power failure: {error}", path.display());
        ProviderError::new(ErrorKind::Ambiguous, message)
    })?;
    Ok(summary)
}

/// Removes a file and the leftover of a crashed write; returns whether the file existed.
///
/// # Errors
///
/// If it is not a regular file or cannot be removed.
pub(super) fn remove(project: &Project, path: &ProjectPath) -> Result<bool, ProviderError> {
    let Some(entry) = project.entry(path)? else { return Ok(false) };
    let leftover = remove_if_there(&entry.folder, OsStr::new(&temporary_name(&entry.name)));
    leftover.map_err(|error| file_error("remove a leftover of", path, &error))?;
    match entry.folder.symlink_metadata(&entry.name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(file_error("look at", path, &error)),
        Ok(metadata) => expect_regular(&metadata, path)?,
    }
    remove_if_there(&entry.folder, &entry.name).map_err(|error| file_error("delete", path, &error))?;
    sync(&entry.folder).map_err(|error| file_error("delete", path, &error))?;
    Ok(true)
}

fn remove_if_there(folder: &Dir, name: &OsStr) -> io::Result<()> {
    match folder.remove_file(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Checks the target before the write; the rename checks again. Removes a folder that the same operation emptied.
fn check_target(
    entry: &Entry,
    path: &ProjectPath,
    existing: Existing,
    emptied: &EmptiedFolders,
) -> Result<(), ProviderError> {
    match entry.folder.symlink_metadata(&entry.name) {
        Ok(metadata) if metadata.is_dir() && emptied.has(&entry.folder, &entry.name, path.as_path()) => {
            remove_folders(&entry.folder, &entry.name)
                .map_err(|error| file_error("remove the empty folder in place of", path, &error))
        }
        Ok(metadata) => {
            expect_regular(&metadata, path)?;
            if existing == Existing::Refused { Err(already_exists(path)) } else { Ok(()) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error("look at", path, &error)),
    }
}

/// Removes a folder and the folders in it. A file that appeared in one of them stays and is an error.
fn remove_folders(folder: &Dir, name: &OsStr) -> io::Result<()> {
    let inner = folder.open_dir(name)?;
    for entry in inner.entries()? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_folders(&inner, &entry.file_name())?;
        }
    }
    folder.remove_dir(name)
}

fn already_exists(path: &ProjectPath) -> ProviderError {
    let kind = ErrorKind::AlreadyExists { import_id: Some(path.display()) };
    ProviderError::new(kind, format!("there is a file `{}` already", path.display()))
}

/// A name derived from the name of the target: short enough for any target, and the same for every write.
fn temporary_name(name: &OsStr) -> String {
    let digest = encode_string(&Sha256::digest(name.as_bytes()));
    format!(".terrace-{digest:.16}.tmp")
}

/// Opens the temporary file, empty and locked.
fn open_temporary(folder: &Dir, name: &str, path: &ProjectPath) -> Result<std::fs::File, ProviderError> {
    let mut options = OpenOptions::new();
    // Until the file has its final mode, only the owner may read it: it may be secret.
    options.write(true).create(true).mode(0o600);
    let busy = || {
        let message = format!("another process is writing `{}`", path.display());
        ProviderError::new(ErrorKind::Transient, message)
    };
    let opened = folder.open_with(name, &options).or_else(|error| match error.kind() {
        // The leftover of a read-only file.
        io::ErrorKind::PermissionDenied if folder.remove_file(name).is_ok() => folder.open_with(name, &options),
        _ => Err(error),
    });
    let file = opened.map_err(|error| file_error("write beside", path, &error))?;
    let opened = file.metadata().map_err(|error| file_error("write beside", path, &error))?;
    let file = file.into_std();
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        // On file systems without locks only the name protects the file.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(file_error("lock a file beside", path, &error)),
    }
    // Before the lock, another process may have renamed this file to the target.
    match folder.symlink_metadata(name) {
        Ok(now) if now.is_file() && now.ino() == opened.ino() && now.dev() == opened.dev() => Ok(file),
        _ => Err(busy()),
    }
}

fn fill(
    file: &std::fs::File,
    path: &ProjectPath,
    content: &Content,
    planned_sha256: Option<&str>,
    mode: u32,
) -> Result<Summary, ProviderError> {
    let wrong = |error: io::Error| file_error("write", path, &error);
    let mut target = file;
    file.set_len(0).map_err(wrong)?;
    let summary = content.copy_to(&mut target)?.map_err(wrong)?;
    if planned_sha256.is_some_and(|planned| planned != summary.sha256) {
        return Err(invalid("source", format!("the source of `{}` changed since the plan was made", path.display()))
            .solution("plan again"));
    }
    file.set_permissions(Permissions::from_mode(mode)).map_err(wrong)?;
    file.sync_all().map_err(wrong)?;
    Ok(summary)
}

/// Renames the temporary file to the target atomically.
fn rename(entry: &Entry, temporary: &str, existing: Existing) -> io::Result<()> {
    if existing == Existing::Replaced {
        return entry.folder.rename(temporary, &entry.folder, &entry.name);
    }
    let (folder, flags) = (&entry.folder, RenameFlags::NOREPLACE);
    match rustix::fs::renameat_with(folder, temporary, folder, entry.name.as_os_str(), flags) {
        // Some network file systems do not support this rename; a hard link also refuses an existing name.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            folder.hard_link(temporary, folder, &entry.name)?;
            folder.remove_file(temporary)
        }
        result => Ok(result?),
    }
}
