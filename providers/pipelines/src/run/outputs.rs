//! What a run writes appears when it is whole: data packages are written beside their place, and put there when all steps
//! have ended well, data first and the descriptor, which says what there is, last.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What describes a data package.
pub(super) const DESCRIPTOR: &str = "datapackage.json";

/// A folder that a run writes a data package into.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Where it is written while the run goes on.
    pub partial: PathBuf,
    /// Where it belongs.
    pub place: PathBuf,
    /// What the run puts there: bytes by path in it. Nothing before its steps have ended.
    #[serde(default)]
    pub files: BTreeMap<PathBuf, u64>,
}

impl Output {
    /// The output for a place, nothing of it written.
    #[must_use]
    pub fn new(place: PathBuf, run: &str) -> Self {
        Self { partial: beside(&place, run), place, files: BTreeMap::new() }
    }

    /// Lists what was written, and has it on the disk: a record that says that it is there must not outlive it.
    pub(super) fn take_down(&mut self) -> io::Result<()> {
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

    /// Puts what was written into its place, and takes away what is `surplus`; other files stay. It may be done again after
    /// it was cut off.
    ///
    /// # Errors
    /// When a file cannot be moved, with whether others were before it.
    pub(super) fn publish(&self, surplus: &BTreeSet<PathBuf>) -> Result<(), (bool, io::Error)> {
        let mut has_moved = false;
        self.move_all(&mut has_moved)
            .and_then(|()| self.take_away(surplus))
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
                // It was moved before the run was cut off.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.symlink_metadata().is_ok() => {}
                Err(error) => return Err(io::Error::new(error.kind(), format!("`{}`: {error}", to.display()))),
                Ok(()) => *has_moved = true,
            }
        }
        folders.iter().try_for_each(|folder| sync(folder))
    }

    fn take_away(&self, surplus: &BTreeSet<PathBuf>) -> io::Result<()> {
        for file in surplus {
            gone(fs::remove_file(self.place.join(file)))?;
            for folder in file.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
                // A folder with other files stays.
                let _ = fs::remove_dir(self.place.join(folder));
            }
        }
        Ok(())
    }

    /// The files that are not there as they were put there: gone, or of another length. A descriptor may be another one:
    /// several pipelines may write into one folder.
    pub(super) fn lost(&self) -> impl Iterator<Item = &Path> {
        let is_there = |file: &Path, bytes: u64| {
            let found = fs::metadata(self.place.join(file));
            found.is_ok_and(|found| found.len() == bytes || file.as_os_str() == DESCRIPTOR)
        };
        self.files.iter().filter(move |(file, bytes)| !is_there(file, **bytes)).map(|(file, _)| file.as_path())
    }

    /// Removes what the run put there, and folders that are empty then.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.take_away(&self.files.keys().cloned().collect())?;
        let _ = fs::remove_dir(&self.place);
        Ok(())
    }
}

/// Where a data package that belongs into a folder is written meanwhile, so that renaming is enough: within the folder
/// where there is one, which may be a mount or a link; else beside it.
fn beside(place: &Path, run: &str) -> PathBuf {
    if let Ok(within) = place.canonicalize() {
        return within.join(format!(".terrace-{run}"));
    }
    match (place.parent(), place.file_name()) {
        (Some(parent), Some(name)) => {
            let mut hidden = OsString::from(".");
            hidden.push(name);
            hidden.push(format!(".terrace-{run}"));
            parent.join(hidden)
        }
        _ => place.join(format!(".terrace-{run}")),
    }
}

/// Removes what a run that did not end well wrote.
pub(super) fn discard(partial: &Path) -> io::Result<()> {
    gone(fs::remove_dir_all(partial))
}

/// What is not there need not be removed.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(error),
        _ => Ok(()),
    }
}

/// Has what a folder lists on the disk.
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
        output.take_down().unwrap();
        output
    }

    #[test]
    fn a_place_that_is_not_there_is_taken_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data/deep");
        let output = written(&place, &[(DESCRIPTOR, "{}")]);
        assert_eq!(output.partial, folder.path().join("data/.deep.terrace-r1"));
        output.publish(&BTreeSet::new()).unwrap();
        assert!(place.join(DESCRIPTOR).exists() && !output.partial.exists());
        // Cut off after that, it is done again.
        output.publish(&BTreeSet::new()).unwrap();
        assert!(place.join(DESCRIPTOR).exists());
    }

    #[test]
    fn other_files_stay_and_what_is_surplus_goes() {
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
        assert_eq!(output.lost().count(), 0);
        output.remove().unwrap();
        assert!(place.join("index.html").exists() && !place.join("deep").exists() && !place.join(DESCRIPTOR).exists());
    }

    #[test]
    fn what_is_cut_off_in_the_middle_is_finished() {
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
    fn a_place_that_is_a_link_is_written_within_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("disk")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("disk"), folder.path().join("data")).unwrap();
        let output = Output::new(folder.path().join("data"), "r1");
        assert_eq!(output.partial, folder.path().canonicalize().unwrap().join("disk/.terrace-r1"));
    }

    #[test]
    fn files_that_went_or_are_shorter_are_lost() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("data");
        let output = written(&place, &[(DESCRIPTOR, "{}"), ("a.csv", "1"), ("b.csv", "22")]);
        output.publish(&BTreeSet::new()).unwrap();
        fs::write(place.join(DESCRIPTOR), "{\"other\": 1}").unwrap();
        fs::write(place.join("b.csv"), "").unwrap();
        fs::remove_file(place.join("a.csv")).unwrap();
        assert_eq!(output.lost().collect::<Vec<_>>(), [Path::new("a.csv"), Path::new("b.csv")]);
    }
}
