//! Folders and files of records, which are nobody else's to read: logs hold data, and beside them lie passwords.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The folder of terrace in a project, which others than pipelines have things in: it is made as any other.
const SHARED: &str = ".terrace";
/// What nobody else comes into.
const FOLDER: u32 = 0o700;
/// What nobody else reads.
const FILE: u32 = 0o600;

/// Makes a folder of records, and what is missing above it. One that is there stays as it is.
///
/// # Errors
/// When it cannot be made.
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
        // Somebody else was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// How a file is opened that is made where it is not there.
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
    fn what_is_made_below_the_folder_of_terrace_is_nobody_elses() {
        let project = tempfile::tempdir().unwrap();
        let shared = project.path().join(SHARED);
        let deep = shared.join("pipelines/runs/one");
        folder(&deep).unwrap();
        folder(&deep).unwrap();
        for made in [&deep, &shared.join("pipelines/runs"), &shared.join("pipelines")] {
            assert_eq!(mode(made), FOLDER, "{}", made.display());
        }
        let usual = project.path().join("usual");
        fs::create_dir(&usual).unwrap();
        assert_eq!(mode(&shared), mode(&usual));
        let record = deep.join("record");
        file().write(true).open(&record).unwrap();
        assert_eq!(mode(&record), FILE);
        assert!(folder(&record).is_err(), "a file is no folder");
    }
}
