//! Folders and files of records with private permissions: logs hold data, and passwords are stored next to them.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Folder of terrace in a project. Other components use it too, so it gets default permissions.
const SHARED: &str = ".terrace";
/// Mode of private folders.
const FOLDER: u32 = 0o700;
/// Mode of private files.
const FILE: u32 = 0o600;

/// Creates a folder of records and its missing parents. An existing folder keeps its permissions.
///
/// # Errors
/// When it cannot be created.
pub(crate) fn folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    match folder.parent() {
        Some(above) if above.ends_with(SHARED) => fs::create_dir_all(above)?,
        Some(above) => self::folder(above)?,
        None => {}
    }
    match DirBuilder::new().mode(FOLDER).create(folder) {
        // Another process was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        created => created,
    }
}

/// Options that create a missing file with private permissions.
pub(crate) fn file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).mode(FILE);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn records_are_private_below_shared_folder() {
        let project = tempfile::tempdir().unwrap();
        let shared = project.path().join(SHARED);
        let deep = shared.join("pipelines/runs/one");
        folder(&deep).unwrap();
        folder(&deep).unwrap();
        for created in [&deep, &shared.join("pipelines/runs"), &shared.join("pipelines")] {
            assert_eq!(mode(created), FOLDER, "{}", created.display());
        }
        let usual = project.path().join("usual");
        fs::create_dir(&usual).unwrap();
        assert_eq!(mode(&shared), mode(&usual));
        let record = deep.join("record");
        file().write(true).open(&record).unwrap();
        assert_eq!(mode(&record), FILE);
        assert!(folder(&record).is_err(), "a file is not a folder");
    }
}
