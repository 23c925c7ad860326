//! Results on a PersistentVolumeClaim, as a pod sees them: links lead from the places of data packages to the mounted claim,
//! so that steps find and write them at the paths of the project. The pod itself moves a data package into place.

use crate::file_lock::FileLock;
use crate::run::outputs::{self, Output};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Folder of a pod into which the claim is mounted.
pub(crate) const MOUNT: &str = "/terrace/results";

/// A claim for the results of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Its name.
    pub name: String,
    /// Places of data packages, with their paths in the claim; none contains another.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// Data packages that the run writes.
    pub outputs: Vec<Output>,
    /// For each of them, files of the pipeline's last good run that no other pipeline wrote.
    pub former: Vec<BTreeSet<PathBuf>>,
    /// Temporary places of the run and of the one before it, which a lost pod may have left.
    pub partials: Vec<PathBuf>,
    /// First letters of the temporary places of earlier runs of a schedule, which lost pods may have left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<String>,
    /// Path in the claim of the lock that runs of a schedule take, so that one works at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<PathBuf>,
}

/// The lock of a claim, which ends on drop; nothing for a claim that needs or has none.
pub(super) type ClaimLock = Option<FileLock>;

/// Whether a run may use its claim.
#[derive(Debug)]
pub(super) enum Turn {
    /// It may.
    Now(ClaimLock),
    /// Another run of its schedule uses it.
    Later,
    /// Its file system has no locks, for this reason.
    Unlocked(io::Error),
}

impl Claim {
    /// Takes the lock of the claim, if this run is one of a schedule.
    ///
    /// # Errors
    /// When the claim cannot be written.
    pub(super) fn turn(&self, mount: &Path) -> io::Result<Turn> {
        let Some(lock) = self.lock.as_ref().map(|lock| mount.join(lock)) else { return Ok(Turn::Now(None)) };
        let with_path = |error| crate::paths::with_path(&lock, &error);
        lock.parent().map_or(Ok(()), fs::create_dir_all).map_err(with_path)?;
        let file = File::options().create(true).write(true).truncate(false).open(&lock).map_err(with_path)?;
        // A pod with another image may have another user. Only the owner may change the mode.
        let _ = file.set_permissions(Permissions::from_mode(0o664));
        Ok(match FileLock::try_lock(file) {
            Ok(taken) => taken.map_or(Turn::Later, |lock| Turn::Now(Some(lock))),
            Err(error) => Turn::Unlocked(with_path(error)),
        })
    }

    /// Links the places to the claim, and removes the temporary files of lost pods.
    ///
    /// # Errors
    /// When the claim cannot be written.
    pub(super) fn prepare(&self, mount: &Path) -> io::Result<()> {
        for (place, within) in &self.links {
            let target = mount.join(within);
            let with_path = |error| crate::paths::with_path(&target, &error);
            fs::create_dir_all(&target).map_err(with_path)?;
            place.parent().map_or(Ok(()), fs::create_dir_all)?;
            symlink(&target, place).map_err(|error| crate::paths::with_path(place, &error))?;
        }
        self.discard_abandoned()?;
        // An existing folder may refuse new files, for which steps have no hint.
        for output in &self.outputs {
            fs::create_dir_all(&output.partial).map_err(|error| crate::paths::with_path(&output.place, &error))?;
        }
        self.discard()
    }

    /// Removes the temporary places of earlier runs of its schedule.
    fn discard_abandoned(&self) -> io::Result<()> {
        let Some(beginning) = &self.abandoned else { return Ok(()) };
        for output in &self.outputs {
            // A place that does not exist yet has none.
            for entry in fs::read_dir(&output.place).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(beginning) {
                    outputs::discard(&entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Removes the temporary files of a run that did not succeed.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub(super) fn discard(&self) -> io::Result<()> {
        self.partials.iter().try_for_each(|partial| outputs::discard(partial))
    }

    /// The data packages of a run that succeeded, with their files, which are on the disk then.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn written(&self) -> io::Result<Vec<Output>> {
        let mut written = self.outputs.clone();
        written.iter_mut().try_for_each(Output::list_files)?;
        Ok(written)
    }

    /// Moves data packages into place, data first, and removes files of the last good run that this run did not write.
    ///
    /// # Errors
    /// When a file cannot be moved.
    pub(super) fn publish(&self, written: &[Output]) -> io::Result<()> {
        for (output, former) in written.iter().zip(&self.former) {
            let surplus = former.iter().filter(|file| !output.files.contains_key(*file)).cloned().collect();
            output.publish(&surplus).map_err(|(_, error)| error)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a file of a data package.
    fn write(output: &Output, file: &str, text: &str) {
        let path = output.partial.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn data_package_is_moved_within_the_claim() {
        let folder = tempfile::tempdir().unwrap();
        let (mount, place) = (folder.path().join("mount"), folder.path().join("project/data/orders"));
        let output = Output::within(place.clone(), "r2");
        let before = Output::within(place.clone(), "r1");
        let claim = Claim {
            links: vec![(place.clone(), "shop/data/orders".into())],
            outputs: vec![output.clone()],
            former: vec![["a.csv", "old.csv"].map(PathBuf::from).into()],
            partials: vec![output.partial.clone(), before.partial.clone()],
            ..Claim::default()
        };
        let inside = mount.join("shop/data/orders");
        write(&Output { partial: inside.join(".terrace-r1"), ..before }, "lost.csv", "of a lost pod");
        for file in ["a.csv", "old.csv", "of-another.csv"] {
            fs::write(inside.join(file), "1").unwrap();
        }
        claim.prepare(&mount).unwrap();
        write(&output, "a.csv", "22");
        write(&output, "datapackage.json", "{}");
        assert_eq!(fs::read_to_string(inside.join("a.csv")).unwrap(), "1", "it appears at the end");
        let written = claim.written().unwrap();
        assert_eq!(written[0].files, [("a.csv".into(), 2), ("datapackage.json".into(), 2)].into());
        claim.publish(&written).unwrap();
        let mut names: Vec<_> = fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["a.csv", "datapackage.json", "of-another.csv"]);
        assert_eq!(fs::read_to_string(place.join("a.csv")).unwrap(), "22", "steps see it at its place");
    }

    #[test]
    fn failed_run_leaves_nothing_on_the_claim() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("project/data");
        let output = Output::within(place.clone(), "r1");
        let partials = vec![output.partial.clone()];
        let claim = Claim { links: vec![(place, "data".into())], partials, ..Claim::default() };
        claim.prepare(&folder.path().join("mount")).unwrap();
        write(&output, "a.csv", "1");
        claim.discard().unwrap();
        assert_eq!(fs::read_dir(folder.path().join("mount/data")).unwrap().count(), 0);
    }

    #[test]
    fn temporary_files_of_earlier_times_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (mount, place) = (folder.path().join("mount"), folder.path().join("project/data"));
        let inside = mount.join("data");
        for left in [".terrace-cron-1-a", ".terrace-cron-2-a", "kept"] {
            fs::create_dir_all(inside.join(left)).unwrap();
        }
        let output = Output::within(place.clone(), "cron-1-b");
        let claim = Claim {
            links: vec![(place, "data".into())],
            partials: vec![output.partial.clone()],
            outputs: vec![output],
            abandoned: Some(".terrace-cron-1-".to_owned()),
            ..Claim::default()
        };
        claim.prepare(&mount).unwrap();
        let mut names: Vec<_> = fs::read_dir(&inside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".terrace-cron-2-a", "kept"]);
    }

    #[test]
    fn place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mount = folder.path().join("mount");
        fs::write(&mount, "a file").unwrap();
        let claim = Claim { links: vec![(folder.path().join("data"), "data".into())], ..Claim::default() };
        let error = claim.prepare(&mount).unwrap_err();
        assert!(error.to_string().contains("mount/data"), "{error}");
    }

    #[test]
    fn existing_folder_that_refuses_new_files_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (mount, place) = (folder.path().join("mount"), folder.path().join("data"));
        fs::create_dir(&mount).unwrap();
        // No user can create a folder in it, not even root.
        symlink("/proc/self/fdinfo", mount.join("data")).unwrap();
        let outputs = vec![Output::within(place.clone(), "r1")];
        let claim = Claim { links: vec![(place.clone(), "data".into())], outputs, ..Claim::default() };
        let error = claim.prepare(&mount).unwrap_err();
        assert!(error.to_string().contains(&format!("`{}`", place.display())), "{error}");
    }
}
