//! Copies files between this machine and the machine of a run, at the same paths, as a tar archive.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Folders that programs create next to sources. They are not copied.
const CREATED: [&str; 3] = ["__pycache__", ".cache", ".terrace"];
/// File that marks a folder as a Python environment.
const PYTHON_ENVIRONMENT: &str = "pyvenv.cfg";
/// Name of the descriptor of a data package, which is copied after its data.
const DESCRIPTOR: &str = "datapackage.json";
/// Suffix of files that are being written.
const PARTIAL: &str = ".terrace-partial";
/// Maximum size of files that are packed, in bytes before compression.
const LARGEST: u64 = 256 << 20;

/// Files for another machine.
#[derive(Debug)]
pub(super) struct Packed {
    /// A compressed archive, which is the same for the same files. Nothing if the files are too large.
    pub(super) archive: Option<Vec<u8>>,
    /// Files with their sizes in bytes, largest first.
    pub(super) files: Vec<(PathBuf, u64)>,
}

/// Packs files, and folders without hidden files, links, Python environments and the folders in `except`.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn pack(inputs: &[PathBuf], except: &[PathBuf]) -> io::Result<Packed> {
    let mut found = BTreeMap::new();
    for input in inputs {
        match fs::metadata(input) {
            Ok(metadata) if metadata.is_dir() => {
                walk(input, &|path: &Path| is_source(path) && !except.iter().any(|place| place == path), &mut found)?;
            }
            Ok(metadata) if metadata.is_file() => drop(found.insert(input.clone(), metadata.len())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(crate::paths::with_path(input, &error));
            }
            // A missing input is an error of the step that reads it.
            _ => {}
        }
    }
    let is_small = found.values().sum::<u64>() <= LARGEST;
    let archive = if is_small {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best()));
        found.keys().try_for_each(|path| append(&mut archive, path))?;
        Some(archive.into_inner()?.finish()?)
    } else {
        None
    };
    let mut files: Vec<(PathBuf, u64)> = found.into_iter().collect();
    files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(Packed { archive, files })
}

/// Returns true for files and folders that a run may need.
fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    !name.as_encoded_bytes().starts_with(b".") && !is_created(name) && !path.join(PYTHON_ENVIRONMENT).exists()
}

fn is_created(name: &OsStr) -> bool {
    CREATED.iter().any(|created| name == *created)
}

/// Adds the files below a folder with their sizes, without links to folders.
fn walk(folder: &Path, is_wanted: &dyn Fn(&Path) -> bool, found: &mut BTreeMap<PathBuf, u64>) -> io::Result<()> {
    for entry in fs::read_dir(folder).map_err(|error| crate::paths::with_path(folder, &error))? {
        let entry = entry?;
        let path = entry.path();
        if !is_wanted(&path) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&path, is_wanted, found)?;
        } else if let Some(metadata) = fs::metadata(&path).ok().filter(fs::Metadata::is_file) {
            found.insert(path, metadata.len());
        }
    }
    Ok(())
}

/// Adds a file to an archive, without its owner.
fn append(archive: &mut tar::Builder<impl Write>, path: &Path) -> io::Result<()> {
    let with_path = |error| crate::paths::with_path(path, &error);
    let file = File::open(path).map_err(with_path)?;
    let metadata = file.metadata().map_err(with_path)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(metadata.len());
    header.set_mode(if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 });
    header.set_mtime(0);
    // A file that grows must not shift the rest of the archive.
    let within = path.strip_prefix("/").unwrap_or(path);
    archive.append_data(&mut header, within, file.take(metadata.len())).map_err(with_path)
}

/// Unpacks a compressed archive into these folders.
///
/// # Errors
/// When it is damaged, has a file outside of the folders, or a file cannot be written.
pub(super) fn unpack_compressed(archive: &[u8], folders: &[PathBuf]) -> io::Result<()> {
    unpack(flate2::read::GzDecoder::new(archive), folders).map(drop)
}

/// Unpacks the results of a run, as [`unpack`]. They must not change programs, repositories and records of this machine, nor
/// follow links out of the folders.
///
/// # Errors
/// As [`unpack`], and for such files.
pub(super) fn unpack_results(archive: impl Read, folders: &[PathBuf]) -> io::Result<BTreeMap<PathBuf, u64>> {
    unpack_if(archive, folders, &|path| {
        let Some(folder) = folders.iter().find(|folder| path.starts_with(folder)) else { return false };
        let real = |path: &Path| path.canonicalize().ok();
        let existing = path.ancestors().skip(1).find(|above| above.exists());
        let is_within = match real(folder) {
            Some(folder) => existing.and_then(real).is_some_and(|above| above.starts_with(folder)),
            // A missing folder has no links.
            None => !folder.exists(),
        };
        let is_of_environment = path.ancestors().skip(1).any(|above| above.join(PYTHON_ENVIRONMENT).exists());
        let is_reserved = |part: Component<'_>| is_created(part.as_os_str()) || part.as_os_str() == ".git";
        let below = path.strip_prefix(folder).unwrap_or(path);
        is_within && !is_of_environment && !below.components().any(is_reserved)
    })
}

/// Unpacks an archive into these folders, and returns the sizes of the files in bytes. Each file appears complete.
///
/// # Errors
/// When it is damaged, has a file outside of the folders, or a file cannot be written.
pub(super) fn unpack(archive: impl Read, folders: &[PathBuf]) -> io::Result<BTreeMap<PathBuf, u64>> {
    unpack_if(archive, folders, &|_| true)
}

fn unpack_if(
    archive: impl Read,
    folders: &[PathBuf],
    is_wanted: &dyn Fn(&Path) -> bool,
) -> io::Result<BTreeMap<PathBuf, u64>> {
    let mut unpacked = BTreeMap::new();
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        let path = Path::new("/").join(entry.path()?);
        let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let is_allowed = is_plain && folders.iter().any(|folder| path.starts_with(folder) && path != *folder);
        if !is_allowed || !entry.header().entry_type().is_file() || !is_wanted(&path) {
            let message = format!("`{}` is not a file in a folder of the run", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let with_path = |error| crate::paths::with_path(&path, &error);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(with_path)?;
        }
        let mut partial = path.clone().into_os_string();
        partial.push(PARTIAL);
        let mut file = File::create(&partial).map_err(with_path)?;
        let bytes = io::copy(&mut entry, &mut file).map_err(with_path)?;
        if bytes != entry.size() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{}` is incomplete", path.display())));
        }
        if entry.header().mode()? & 0o100 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o755)).map_err(with_path)?;
        }
        fs::rename(&partial, &path).map_err(with_path)?;
        unpacked.insert(path, bytes);
    }
    Ok(unpacked)
}

/// The files of folders at a time.
#[derive(Debug)]
pub(super) struct Snapshot(BTreeMap<PathBuf, (u64, u64, SystemTime)>);

impl Snapshot {
    /// Lists the files of the folders, without those that programs create next to sources.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(super) fn of(folders: &[PathBuf]) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        let is_wanted = |path: &Path| !path.file_name().is_some_and(is_created);
        folders.iter().filter(|folder| folder.is_dir()).try_for_each(|folder| walk(folder, &is_wanted, &mut found))?;
        let state = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.len(), metadata.ino(), metadata.modified().ok()?))
        };
        Ok(Self(found.into_keys().filter_map(|path| Some((path.clone(), state(&path)?))).collect()))
    }

    /// Files that are new or changed since another snapshot, with their sizes in bytes; descriptors of data packages
    /// come last.
    pub(super) fn since(&self, before: &Self) -> Vec<(PathBuf, u64)> {
        let is_changed = |(path, state): &(&PathBuf, &(u64, u64, SystemTime))| before.0.get(*path) != Some(*state);
        let mut changed: Vec<(PathBuf, u64)> =
            self.0.iter().filter(is_changed).map(|(path, (bytes, ..))| (path.clone(), *bytes)).collect();
        changed.sort_by_key(|(path, _)| path.file_name() == Some(OsStr::new(DESCRIPTOR)));
        changed
    }
}

/// Writes files as an archive.
///
/// # Errors
/// When a file cannot be read, or the archive cannot be written.
pub(super) fn write(files: impl IntoIterator<Item = PathBuf>, to: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    files.into_iter().try_for_each(|path| append(&mut archive, &path))?;
    archive.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn archive_has_sources_only_and_is_repeatable() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("specs");
        files(
            &root,
            &[
                ("pipeline-spec.yaml", "x: {}"),
                ("deep/code.py", "1"),
                (".git/config", "g"),
                ("__pycache__/code.pyc", "c"),
                ("venv/pyvenv.cfg", "v"),
                ("data/old.csv", "1"),
                ("data/used.csv", "2"),
            ],
        );
        let inputs = [root.clone(), root.join("data/used.csv"), root.join("missing")];
        let packed = pack(&inputs, &[root.join("data")]).unwrap();
        let mut names: Vec<_> = packed.files.iter().map(|(path, _)| path.strip_prefix(&root).unwrap()).collect();
        names.sort();
        assert_eq!(names, ["data/used.csv", "deep/code.py", "pipeline-spec.yaml"].map(Path::new));
        let archive = packed.archive.unwrap();
        assert_eq!(pack(&inputs, &[root.join("data")]).unwrap().archive.unwrap(), archive);
        fs::remove_dir_all(&root).unwrap();
        unpack_compressed(&archive, &[folder.path().to_owned()]).unwrap();
        assert_eq!(fs::read_to_string(root.join("deep/code.py")).unwrap(), "1");
        assert!(!root.join(".git").exists());
    }

    #[test]
    fn archive_with_a_file_elsewhere_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        files(&other, &[("a", "1")]);
        let archive = pack(&[other.join("a")], &[]).unwrap().archive.unwrap();
        fs::remove_dir_all(&other).unwrap();
        let error = unpack_compressed(&archive, &[ours]).unwrap_err();
        assert!(error.to_string().contains("is not a file in a folder of the run"), "{error}");
        assert!(!other.exists());
    }

    #[test]
    fn results_change_no_repository_and_follow_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let (project, other) = (folder.path().join("project"), folder.path().join("other"));
        let names = [".git/hooks/pre-commit", ".terrace/runs/r1.json", "venv/bin/python", "link/a.csv"];
        for name in names {
            files(&project, &[(name, "1"), ("out/.data.terrace-r1/a.csv", "2"), ("new/b.csv", "3")]);
            let (mut refused, mut results) = (Vec::new(), Vec::new());
            write([project.join(name)], &mut refused).unwrap();
            write([project.join("out/.data.terrace-r1/a.csv"), project.join("new/b.csv")], &mut results).unwrap();
            fs::remove_dir_all(&project).unwrap();
            files(&project, &[("venv/pyvenv.cfg", "")]);
            fs::create_dir_all(&other).unwrap();
            std::os::unix::fs::symlink(&other, project.join("link")).unwrap();
            let folders = [project.clone()];
            let error = unpack_results(refused.as_slice(), &folders).unwrap_err();
            assert!(error.to_string().contains("is not a file in a folder of the run"), "{name}: {error}");
            assert!(!project.join(name).exists() && !other.join("a.csv").exists(), "{name}");
            assert_eq!(unpack_results(results.as_slice(), &folders).unwrap().len(), 2);
            fs::remove_dir_all(&project).unwrap();
        }
    }

    #[test]
    fn truncated_archive_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), &[("a", &"text".repeat(1000))]);
        let mut archive = Vec::new();
        write([folder.path().join("a")], &mut archive).unwrap();
        assert!(unpack(&archive[..2000], &[folder.path().to_owned()]).is_err());
    }

    #[test]
    fn changed_files_end_with_descriptors() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [folder.path().to_owned(), folder.path().join("missing")];
        files(folder.path(), &[("same.csv", "1"), ("changed.csv", "1")]);
        let before = Snapshot::of(&folders).unwrap();
        files(
            folder.path(),
            &[
                ("changed.csv", "22"),
                (".data.terrace-r1/datapackage.json", "{}"),
                ("x/__pycache__/y", ""),
                ("z.csv", ""),
            ],
        );
        let changed = Snapshot::of(&folders).unwrap().since(&before);
        let names: Vec<_> = changed.iter().map(|(path, _)| path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, ["changed.csv", "z.csv", ".data.terrace-r1/datapackage.json"].map(Path::new));
    }
}
