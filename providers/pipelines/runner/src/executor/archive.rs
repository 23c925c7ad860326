//! Copies files between this machine and the machine of a run, at the same paths, as a tar archive.

use crate::hash::{hash_of_file, hash_of_listing};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
/// Maximum number of result files, and their maximum size in bytes.
const MOST_RESULTS: usize = 100_000;
const LARGEST_RESULTS: u64 = 100 << 30;
/// Bytes of an archive for each file, beyond its content: its header with a long path, and padding.
const PER_FILE: u64 = 16 << 10;
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
    let is_hidden = name.as_encoded_bytes().starts_with(b".");
    !is_hidden && !is_created(name) && !is_partial(path) && !path.join(PYTHON_ENVIRONMENT).exists()
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

/// Unpacks a compressed archive into these folders. Each file appears complete, after all of them have arrived.
///
/// # Errors
/// When it is damaged, has a file outside of the folders, or a file cannot be written.
pub(super) fn unpack_compressed(archive: &[u8], folders: &[PathBuf]) -> io::Result<()> {
    Ok(Unpacked::of(flate2::read::GzDecoder::new(archive), folders, None, &|_| true)?.place()?)
}

/// The results of a run, as the program that watches its steps found them at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Number of files.
    pub(super) files: usize,
    /// Their size in bytes.
    pub(super) bytes: u64,
    /// Digest of their paths, sizes and contents.
    #[serde(default)]
    pub(super) digest: String,
}

impl Manifest {
    /// Reads files that a run wrote.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn of(files: &[PathBuf]) -> io::Result<Self> {
        let mut found = BTreeMap::new();
        for path in files {
            let content =
                hash_of_file(path)?.ok_or_else(|| io::Error::other(format!("`{}` is gone", path.display())))?;
            found.insert(path.clone(), (fs::metadata(path)?.len(), content));
        }
        Ok(Self::of_contents(&found))
    }

    fn of_contents(files: &BTreeMap<PathBuf, (u64, String)>) -> Self {
        let names: Vec<(String, u64, &str)> = files
            .iter()
            // Other bytes than those of a text, and line breaks, stay distinct.
            .map(|(path, (bytes, content))| (format!("{path:?}"), *bytes, content.as_str()))
            .collect();
        Self {
            files: files.len(),
            bytes: files.values().map(|(bytes, _)| bytes).sum(),
            digest: hash_of_listing(names.iter().map(|(name, bytes, content)| (name.as_str(), *bytes, *content))),
        }
    }

    /// Message for results that are not copied because there are too many or they are too large; nothing for others.
    pub(super) fn too_large(&self) -> Option<String> {
        let hint = "let a step write them into a database or a storage";
        if self.files > MOST_RESULTS {
            return Some(format!("it wrote {} files, and at most {MOST_RESULTS} are copied; {hint}", self.files));
        }
        let gib = |bytes: u64| bytes.div_ceil(1 << 30);
        (self.bytes > LARGEST_RESULTS).then(|| {
            format!(
                "it wrote {} GiB of files, and at most {} are copied; {hint}",
                gib(self.bytes),
                gib(LARGEST_RESULTS)
            )
        })
    }
}

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(super) enum UnpackError {
    /// The archive is damaged or incomplete: another copy may succeed.
    #[error("{0}")]
    Damaged(io::Error),
    /// Its files are refused, or this machine cannot store them: another copy fails, too.
    #[error("{0}")]
    Refused(io::Error),
}

impl UnpackError {
    fn refused(message: impl Into<String>) -> Self {
        Self::Refused(io::Error::new(io::ErrorKind::InvalidData, message.into()))
    }
}

impl From<UnpackError> for io::Error {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::Damaged(error) | UnpackError::Refused(error) => error,
        }
    }
}

/// Unpacks the results of a run into these folders. They must not change programs, repositories and records of this machine,
/// follow links out of the folders, or differ from the manifest. No file of the folders changes before all have arrived and are
/// right, and `is_needed` returns true.
///
/// # Errors
/// When the archive is damaged, has such a file, is larger than the manifest says, or a file cannot be written.
pub(super) fn unpack_results(
    archive: impl Read,
    folders: &[PathBuf],
    manifest: &Manifest,
    is_needed: &dyn Fn() -> bool,
) -> Result<(), UnpackError> {
    let most = (manifest.files as u64).saturating_mul(PER_FILE).saturating_add(manifest.bytes).saturating_add(PER_FILE);
    let unpacked = Unpacked::of(archive.take(most), folders, Some(manifest), &|path| {
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
        is_within && !is_of_environment && !is_partial(path) && !below.components().any(is_reserved)
    })?;
    let found = Manifest::of_contents(&unpacked.files);
    if found != *manifest {
        let (files, bytes) = (found.files, found.bytes);
        return Err(match (files, bytes) == (manifest.files, manifest.bytes) {
            true => UnpackError::refused("the files differ from those at the end of the run"),
            false => UnpackError::Damaged(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{files} of {} files with {bytes} of {} bytes arrived", manifest.files, manifest.bytes),
            )),
        });
    }
    if !is_needed() {
        return Err(UnpackError::Damaged(io::Error::new(io::ErrorKind::Interrupted, "their copy was stopped")));
    }
    unpacked.place()
}

/// Files of an archive under temporary names, next to their places. They are removed unless they are placed.
#[derive(Default)]
struct Unpacked {
    /// Size in bytes and SHA-256 of each file.
    files: BTreeMap<PathBuf, (u64, String)>,
    /// Their places, in the order of the archive.
    places: Vec<PathBuf>,
    /// Folders that were created for them, each after those above it.
    folders: Vec<PathBuf>,
}

impl Unpacked {
    /// Unpacks an archive.
    fn of(
        archive: impl Read,
        folders: &[PathBuf],
        limit: Option<&Manifest>,
        is_wanted: &dyn Fn(&Path) -> bool,
    ) -> Result<Self, UnpackError> {
        let mut unpacked = Self::default();
        let mut total: u64 = 0;
        for entry in tar::Archive::new(archive).entries().map_err(UnpackError::Damaged)? {
            let mut entry = entry.map_err(UnpackError::Damaged)?;
            total = total.saturating_add(entry.size());
            if limit.is_some_and(|limit| unpacked.files.len() >= limit.files || total > limit.bytes) {
                return Err(UnpackError::refused("more files or bytes arrive than the run wrote"));
            }
            let path = Path::new("/").join(entry.path().map_err(UnpackError::Damaged)?);
            let is_plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
            let is_allowed = is_plain && folders.iter().any(|folder| path.starts_with(folder) && path != *folder);
            let is_new = !unpacked.files.contains_key(&path);
            if !is_allowed || !is_new || !entry.header().entry_type().is_file() || !is_wanted(&path) {
                let message = format!("`{}` is not a file in a folder of the run", path.display());
                return Err(UnpackError::refused(message));
            }
            let with_path = |error: io::Error| crate::paths::with_path(&path, &error);
            let refused = |error: io::Error| UnpackError::Refused(with_path(error));
            let mode = entry.header().mode().map_err(UnpackError::Damaged)?;
            let mut file = unpacked.create(&path).map_err(refused)?;
            let mut content = Hashing { file: &mut file, digest: Sha256::new(), is_broken: false };
            let copied = io::copy(&mut entry, &mut content);
            let bytes = match copied {
                Ok(bytes) => bytes,
                Err(error) if content.is_broken => return Err(refused(error)),
                Err(error) => return Err(UnpackError::Damaged(with_path(error))),
            };
            let sha256 = base16ct::lower::encode_string(&content.digest.finalize());
            if bytes != entry.size() {
                let message = format!("`{}` is incomplete", path.display());
                return Err(UnpackError::Damaged(io::Error::new(io::ErrorKind::UnexpectedEof, message)));
            }
            if mode & 0o100 != 0 {
                file.set_permissions(fs::Permissions::from_mode(0o755)).map_err(refused)?;
            }
            unpacked.files.insert(path, (bytes, sha256));
        }
        Ok(unpacked)
    }

    /// Creates the temporary file of a place, and the folders above it.
    fn create(&mut self, path: &Path) -> io::Result<File> {
        if path.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder has its name"));
        }
        if let Some(folder) = path.parent() {
            let missing: Vec<PathBuf> =
                folder.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
            fs::create_dir_all(folder)?;
            self.folders.extend(missing.into_iter().rev());
        }
        let partial = partial(path);
        // A link of an interrupted copy's name would lead elsewhere.
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::create_new(partial)?;
        self.places.push(path.to_owned());
        Ok(file)
    }

    /// Moves the files to their places, in the order of the archive.
    fn place(mut self) -> Result<(), UnpackError> {
        for path in &self.places {
            fs::rename(partial(path), path)
                .map_err(|error| UnpackError::Refused(crate::paths::with_path(path, &error)))?;
        }
        self.places.clear();
        self.folders.clear();
        Ok(())
    }
}

impl Drop for Unpacked {
    /// Removes files that were not placed, and their folders. The next copy replaces those that cannot be removed.
    fn drop(&mut self) {
        for path in &self.places {
            let _ = fs::remove_file(partial(path));
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Temporary name of a file that is being written.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(PARTIAL);
    name.into()
}

fn is_partial(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(PARTIAL.as_bytes())
}

/// Writes a file, and computes its digest.
struct Hashing<'a> {
    file: &'a mut File,
    digest: Sha256,
    /// The file cannot be written.
    is_broken: bool,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes).inspect_err(|_| self.is_broken = true)?;
        self.digest.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
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

    /// Names and texts of the files of a folder.
    fn contents(folder: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let text = |path: PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(path).unwrap())
        };
        let mut contents: Vec<_> = entries.map(text).collect();
        contents.sort();
        contents
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
                ("deep/code.py.terrace-partial", "of an interrupted copy"),
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
            let written = [project.join("out/.data.terrace-r1/a.csv"), project.join("new/b.csv")];
            let manifest = Manifest::of(&written).unwrap();
            write(written, &mut results).unwrap();
            fs::remove_dir_all(&project).unwrap();
            files(&project, &[("venv/pyvenv.cfg", "")]);
            fs::create_dir_all(&other).unwrap();
            std::os::unix::fs::symlink(&other, project.join("link")).unwrap();
            let folders = [project.clone()];
            let any = Manifest { files: 9, bytes: 9, ..Manifest::default() };
            let error = unpack_results(refused.as_slice(), &folders, &any, &|| true).unwrap_err();
            assert!(matches!(error, UnpackError::Refused(_)), "{name}: {error:?}");
            assert!(error.to_string().contains("is not a file in a folder of the run"), "{name}: {error}");
            assert!(!project.join(name).exists() && !other.join("a.csv").exists(), "{name}");
            unpack_results(results.as_slice(), &folders, &manifest, &|| true).unwrap();
            assert_eq!(fs::read_to_string(project.join("new/b.csv")).unwrap(), "3");
            fs::remove_dir_all(&project).unwrap();
        }
    }

    #[test]
    fn truncated_archive_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        files(folder.path(), &[("a", &"text".repeat(1000))]);
        let mut archive = Vec::new();
        write([folder.path().join("a")], &mut archive).unwrap();
        let manifest = Manifest { files: 1, bytes: 4000, ..Manifest::default() };
        let error = unpack_results(&archive[..2000], &[folder.path().to_owned()], &manifest, &|| true).unwrap_err();
        assert!(matches!(error, UnpackError::Damaged(_)), "{error:?}");
    }

    #[test]
    fn results_other_than_in_the_manifest_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let paths = ["a.csv", "b.csv"].map(|name| target.join(name));
        let archive = |texts: [&str; 2], count: usize| {
            files(&target, &[("a.csv", texts[0]), ("b.csv", texts[1])]);
            let mut archive = Vec::new();
            write(paths.iter().take(count).cloned(), &mut archive).unwrap();
            archive
        };
        let wanted = archive(["1", "22"], 2);
        let manifest = Manifest::of(&paths).unwrap();
        assert_eq!((manifest.files, manifest.bytes), (2, 3));
        let others = [
            (archive(["1", "23"], 2), "differ from those at the end of the run"),
            (archive(["1", "222"], 2), "more files or bytes arrive"),
            (archive(["1", "22"], 1), "1 of 2 files with 1 of 3 bytes"),
        ];
        for (archive, message) in others {
            fs::remove_dir_all(&target).unwrap();
            files(&target, &[("a.csv", "old")]);
            let error =
                unpack_results(archive.as_slice(), std::slice::from_ref(&target), &manifest, &|| true).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
            assert_eq!(contents(&target), [("a.csv".to_owned(), "old".to_owned())], "{message}");
        }
        let few = Manifest { files: 1, ..manifest.clone() };
        let error = unpack_results(wanted.as_slice(), std::slice::from_ref(&target), &few, &|| true).unwrap_err();
        assert!(error.to_string().contains("more files or bytes arrive"), "{error}");
        let stopped = unpack_results(wanted.as_slice(), std::slice::from_ref(&target), &manifest, &|| false);
        assert!(stopped.is_err());
        assert_eq!(contents(&target), [("a.csv".to_owned(), "old".to_owned())]);
        unpack_results(wanted.as_slice(), std::slice::from_ref(&target), &manifest, &|| true).unwrap();
        assert_eq!(contents(&target), [("a.csv", "1"), ("b.csv", "22")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn refused_results_leave_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        files(&target, &[("deep/er/a.csv", "1")]);
        let mut archive = Vec::new();
        write([target.join("deep/er/a.csv")], &mut archive).unwrap();
        fs::remove_dir_all(target.join("deep")).unwrap();
        let manifest = Manifest { files: 1, bytes: 1, digest: "of other files".to_owned() };
        let folders = [target.clone()];
        assert!(unpack_results(archive.as_slice(), &folders, &manifest, &|| true).is_err());
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }

    #[test]
    fn result_with_the_name_of_a_folder_is_refused_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        files(&target, &[("a", "1"), ("b", "2")]);
        let (mut archive, paths) = (Vec::new(), ["a", "b"].map(|name| target.join(name)));
        write(paths.clone(), &mut archive).unwrap();
        let manifest = Manifest::of(&paths).unwrap();
        fs::remove_dir_all(&target).unwrap();
        files(&target, &[("a", "old"), ("b/c", "3")]);
        let folders = [target.clone()];
        let error = unpack_results(archive.as_slice(), &folders, &manifest, &|| true).unwrap_err();
        assert!(matches!(error, UnpackError::Refused(_)), "{error:?}");
        assert_eq!(fs::read_to_string(target.join("a")).unwrap(), "old");
    }

    #[test]
    fn too_many_or_too_large_results_are_not_copied() {
        let message = |files: usize, bytes: u64| Manifest { files, bytes, ..Manifest::default() }.too_large();
        assert_eq!(message(MOST_RESULTS, LARGEST_RESULTS), None);
        assert!(message(MOST_RESULTS + 1, 1).unwrap().contains("100001 files, and at most 100000"));
        assert!(message(1, LARGEST_RESULTS + 1).unwrap().contains("101 GiB of files, and at most 100"));
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
