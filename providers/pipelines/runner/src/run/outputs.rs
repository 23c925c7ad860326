//! Outputs of a run, which appear only when complete. Data packages are written to a temporary place, and moved when
//! all steps have ended well: data first, and the descriptor, which lists the data, last.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Name of the descriptor of a data package.
pub(super) const DESCRIPTOR: &str = "datapackage.json";

/// A folder into which a run writes a data package.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Temporary place during the run.
    pub partial: PathBuf,
    /// Final place.
    pub place: PathBuf,
    /// Files of the run with their sizes in bytes, by relative path. Empty until its steps have ended.
    #[serde(default)]
    pub files: BTreeMap<PathBuf, u64>,
}

impl Output {
    /// Output for a place, without files.
    #[must_use]
    pub fn new(place: PathBuf, run: &str) -> Self {
        Self { partial: partial_of(&place, run), place, files: BTreeMap::new() }
    }

    /// Output whose temporary place is inside its place, which need not exist here.
    #[must_use]
    pub fn within(place: PathBuf, run: &str) -> Self {
        Self { partial: hidden_within(&place, run), place, files: BTreeMap::new() }
    }

    /// Lists the written files and syncs them to the disk, so that no record refers to files lost in a crash.
    pub(crate) fn list_files(&mut self) -> io::Result<()> {
        self.files.clear();
        if !self.partial.exists() {
            return Ok(());
        }
        let mut waiting = vec![PathBuf::new()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(self.partial.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    waiting.push(path);
                    continue;
                }
                if kind.is_file() {
                    File::open(entry.path())?.sync_all()?;
                }
                self.files.insert(path, entry.metadata()?.len());
            }
            sync(&self.partial.join(&folder))?;
        }
        Ok(())
    }

    /// Moves the files into place, and removes the `surplus` ones; other files stay. It can be repeated after an
    /// interruption.
    ///
    /// # Errors
    /// When a file cannot be moved; the flag is true if others were moved before.
    pub(crate) fn publish(&self, surplus: &BTreeSet<PathBuf>) -> Result<(), (bool, io::Error)> {
        let mut has_moved = false;
        self.move_all(&mut has_moved)
            .and_then(|()| self.remove_files(surplus))
            .and_then(|()| discard(&self.partial))
            .map_err(|error| (has_moved, error))
    }

    fn move_all(&self, has_moved: &mut bool) -> io::Result<()> {
        if self.files.is_empty() {
            return Ok(());
        }
        if !self.place.exists() {
            let parent = self.place.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(parent)?;
            fs::rename(&self.partial, &self.place)?;
            return sync(parent);
        }
        let mut folders = BTreeSet::from([self.place.clone()]);
        let mut files: Vec<&PathBuf> = self.files.keys().collect();
        files.sort_by_key(|file| file.as_os_str() == DESCRIPTOR);
        for file in files {
            let (from, to) = (self.partial.join(file), self.place.join(file));
            if let Some(folder) = to.parent().filter(|folder| !folders.contains(*folder)) {
                fs::create_dir_all(folder)?;
                folders.insert(folder.to_owned());
            }
            match fs::rename(&from, &to) {
                // It was moved before an interruption.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.symlink_metadata().is_ok() => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("`{}`: {error}", to.display()))),
                Ok(()) => *has_moved = true,
            }
        }
        folders.iter().try_for_each(|folder| sync(folder))
    }

    fn remove_files(&self, surplus: &BTreeSet<PathBuf>) -> io::Result<()> {
        for file in surplus {
            ignore_missing(fs::remove_file(self.place.join(file)))?;
            for folder in file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
                // An error means that the folder has other files.
                let _ = fs::remove_dir(self.place.join(folder));
            }
        }
        Ok(())
    }

    /// Files that are missing or have another size. Descriptors may differ: several pipelines may write into a folder.
    pub(super) fn missing_files(&self) -> impl Iterator<Item = &Path> {
        let is_intact = |file: &Path, bytes: u64| {
            let found = fs::metadata(self.place.join(file));
            found.is_ok_and(|found| found.len() == bytes || file.as_os_str() == DESCRIPTOR)
        };
        self.files.iter().filter(move |(file, bytes)| !is_intact(file, **bytes)).map(|(file, _)| file.as_path())
    }

    /// Removes the files of the run, and folders that become empty.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.remove_files(&self.files.keys().cloned().collect())?;
        let _ = fs::remove_dir(&self.place);
        Ok(())
    }
}

/// Temporary place for a data package, on the same file system. It is inside an existing folder, which may be a mount
/// or a link, or else next to it.
fn partial_of(place: &Path, run: &str) -> PathBuf {
    if let Ok(within) = place.canonicalize() {
        return hidden_within(&within, run);
    }
    match (place.parent(), place.file_name()) {
        (Some(parent), Some(name)) => {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(temporary_name(run));
            parent.join(hidden)
        }
        _ => hidden_within(place, run),
    }
}

fn hidden_within(place: &Path, run: &str) -> PathBuf {
    place.join(temporary_name(run))
}

/// Name of the temporary place of a run within a data package.
pub(crate) fn temporary_name(run: &str) -> String {
    format!(".terrace-{run}")
}

/// Removes the temporary files of a failed run.
pub(crate) fn discard(partial: &Path) -> io::Result<()> {
    ignore_missing(fs::remove_dir_all(partial))
}

/// Accepts missing files.
fn ignore_missing(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}

/// Syncs a folder to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn written(place: &Path, files: &[(&str, &str)]) -> Output {
        let mut output = Output::new(place.to_owned(), "r1");
        package(&output.partial, files);
        output.list_files().unwrap();
        output
    }

    #[test]
    fn missing_place_is_moved_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data/deep");
        let output = written(&place, &[(DESCRIPTOR, "{}")]);
        assert_eq!(output.partial, folder.path().join("data/.deep.terrace-r1"));
        output.publish(&BTreeSet::new()).unwrap();
        assert!(place.join(DESCRIPTOR).exists() && !output.partial.exists());
        // After an interruption it is repeated.
        output.publish(&BTreeSet::new()).unwrap();
        assert!(place.join(DESCRIPTOR).exists());
    }

    #[test]
    fn surplus_files_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        package(&place, &[("a.csv", "1"), ("old/old.csv", "1"), ("index.html", "1")]);
        let output = written(&place, &[(DESCRIPTOR, "{}"), ("a.csv", "22"), ("deep/b.csv", "2")]);
        assert_eq!(output.partial, place.join(".terrace-r1"));
        let surplus = BTreeSet::from([PathBuf::from("old/old.csv")]);
        output.publish(&surplus).unwrap();
        assert_eq!(fs::read_to_string(place.join("a.csv")).unwrap(), "22");
        assert!(place.join("deep/b.csv").exists() && place.join("index.html").exists());
        assert!(!place.join("old").exists() && !output.partial.exists());
        assert_eq!(output.missing_files().count(), 0);
        output.remove().unwrap();
        assert!(place.join("index.html").exists() && !place.join("deep").exists() && !place.join(DESCRIPTOR).exists());
    }

    #[test]
    fn interrupted_move_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        package(&place, &[("a.csv", "1"), ("b.csv/in-the-way", "1")]);
        let output = written(&place, &[(DESCRIPTOR, "{}"), ("a.csv", "22"), ("b.csv", "22")]);
        let (has_moved, error) = output.publish(&BTreeSet::new()).unwrap_err();
        assert!(has_moved && error.to_string().contains("b.csv"), "{error}");
        assert!(!place.join(DESCRIPTOR).exists());
        fs::remove_dir_all(place.join("b.csv")).unwrap();
        output.publish(&BTreeSet::new()).unwrap();
        assert_eq!(fs::read_to_string(place.join("b.csv")).unwrap(), "22");
        assert!(place.join(DESCRIPTOR).exists() && !output.partial.exists());
    }

    #[test]
    fn linked_place_is_written_inside_its_target() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("disk")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("disk"), folder.path().join("data")).unwrap();
        let output = Output::new(folder.path().join("data"), "r1");
        assert_eq!(output.partial, folder.path().canonicalize().unwrap().join("disk/.terrace-r1"));
    }

    #[test]
    fn missing_or_shorter_files_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        let output = written(&place, &[(DESCRIPTOR, "{}"), ("a.csv", "1"), ("b.csv", "22")]);
        output.publish(&BTreeSet::new()).unwrap();
        fs::write(place.join(DESCRIPTOR), "{\"other\": 1}").unwrap();
        fs::write(place.join("b.csv"), "").unwrap();
        fs::remove_file(place.join("a.csv")).unwrap();
        assert_eq!(output.missing_files().collect::<Vec<_>>(), [Path::new("a.csv"), Path::new("b.csv")]);
    }
}
