//! Source files of a sync, with digests of their contents.

use super::StorageError;
use crate::hash::{hash_of_file, hash_of_listing};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::fs;
use std::path::{Path, PathBuf};
use terrace_provider::sandbox::ProtectedFiles;

/// A source file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its path at the destination: the last part of the folder, and the path inside it.
    pub key: String,
    /// Its local path.
    pub path: PathBuf,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

/// Source files, by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Files, sorted by key.
    pub files: Vec<SourceFile>,
}

/// The only hidden folder that sites publish (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// Returns true for the name of a file or folder that is not copied: `.git`, `.env`.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with('.') && name != WELL_KNOWN
}

/// Selection of files in a folder.
#[derive(Debug, Clone)]
pub struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
    /// The patterns of both.
    patterns: (Vec<String>, Vec<String>),
    /// Files that are never copied: a folder with one of them is refused.
    protected: ProtectedFiles,
}

impl Filter {
    /// Selects files that match `include`, or all if it is empty, except those that match `exclude`.
    ///
    /// # Errors
    /// When a pattern is not valid.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, StorageError> {
        let include_patterns = include;
        let include = if include.is_empty() { None } else { Some(set("include", include)?) };
        let patterns = (include_patterns.to_vec(), exclude.to_vec());
        Ok(Self { include, exclude: set("exclude", exclude)?, patterns, protected: ProtectedFiles::default() })
    }

    /// The patterns to include and to exclude.
    pub(crate) const fn patterns(&self) -> &(Vec<String>, Vec<String>) {
        &self.patterns
    }

    /// Sets files that must not be copied.
    #[must_use]
    pub(crate) fn refusing(self, protected: ProtectedFiles) -> Self {
        Self { protected, ..self }
    }

    fn check(&self, path: &Path) -> Result<(), StorageError> {
        self.protected.check(path).map_err(|protected| {
            let message = format!("`{}` is {}, which no descriptor may use", path.display(), protected.0);
            StorageError::failed(message).hint("move it out of the folder, or exclude it with `exclude`")
        })
    }

    fn takes(&self, path: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path)) && !self.exclude.is_match(path)
    }
}

fn set(attribute: &'static str, patterns: &[String]) -> Result<GlobSet, StorageError> {
    let wrong = |error: globset::Error| StorageError::invalid(attribute, format!("`{attribute}`: {error}"));
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        // As in `.gitignore`: a name without a slash matches in any folder.
        let anywhere = if pattern.contains('/') { pattern.clone() } else { format!("**/{pattern}") };
        set.add(GlobBuilder::new(&anywhere).literal_separator(true).build().map_err(wrong)?);
    }
    set.build().map_err(wrong)
}

impl Tree {
    ///
    /// Reads the files of these folders, with the last part of each folder as prefix; `None` while a folder does not
    /// exist.
    ///
    /// Hidden files (`.git`, `.env`) are skipped, except for `.well-known`. Links are followed only to files within
    /// `bounds`.
    ///
    /// # Errors
    /// When a file cannot be read, or its name is not allowed at destinations.
    pub fn read(folders: &[PathBuf], bounds: &Path, filter: &Filter) -> Result<Option<Self>, StorageError> {
        let mut files: Vec<SourceFile> = Vec::new();
        let mut names: Vec<(&str, &Path)> = Vec::new();
        for folder in folders {
            let name = folder.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
                StorageError::invalid("source", format!("`{}` has no name to use at the destination", folder.display()))
                    .hint("name a folder below the project folder")
            })?;
            if let Some((_, other)) = names.iter().find(|(other, _)| *other == name) {
                let message = format!(
                    "`{}` and `{}` would both be copied to one place, `{name}`",
                    other.display(),
                    folder.display()
                );
                return Err(
                    StorageError::invalid("source", message).hint("sync them separately, under different names")
                );
            }
            names.push((name, folder));
            if !folder.is_dir() {
                return Ok(None);
            }
            files.extend(
                Self::of_folder(folder, bounds, filter)?
                    .files
                    .into_iter()
                    .map(|file| SourceFile { key: format!("{name}/{}", file.key), ..file }),
            );
        }
        files.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Some(Self { files }))
    }

    /// Reads the files of a folder, by relative path.
    ///
    /// # Errors
    /// As [`Tree::read`].
    pub(crate) fn of_folder(folder: &Path, bounds: &Path, filter: &Filter) -> Result<Self, StorageError> {
        let mut files = Vec::new();
        // A list instead of recursion, since folders may nest to any depth.
        let mut waiting = vec![String::new()];
        while let Some(inner) = waiting.pop() {
            let here = folder.join(&inner);
            let unreadable = |error| StorageError::io("read", &here, &error);
            for entry in fs::read_dir(&here).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name();
                let Some(name) = name.to_str().filter(|name| !name.chars().any(|c| c.is_control() || c == '\\')) else {
                    let message = format!("`{}` has a name that addresses do not allow", entry.path().display());
                    return Err(StorageError::failed(message).hint("rename it"));
                };
                if is_hidden(name) {
                    continue;
                }
                let key = if inner.is_empty() { name.to_owned() } else { format!("{inner}/{name}") };
                let kind = entry.file_type().map_err(unreadable)?;
                if kind.is_dir() {
                    waiting.push(key);
                } else if filter.takes(&key) {
                    let path = if kind.is_symlink() { followed(&entry.path(), bounds)? } else { entry.path() };
                    filter.check(&path)?;
                    files.extend(file(key, path)?);
                }
            }
        }
        files.sort_by(|one: &SourceFile, other| one.key.cmp(&other.key));
        Ok(Self { files })
    }

    /// Returns true if a file with that key exists.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.files.binary_search_by(|file| file.key.as_str().cmp(key)).is_ok()
    }

    /// Sum of all sizes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }

    /// Digest of all paths, sizes and contents.
    #[must_use]
    pub fn hash(&self) -> String {
        hash_of_listing(self.files.iter().map(|file| (file.key.as_str(), file.size, file.sha256.as_str())))
    }
}

fn file(key: String, path: PathBuf) -> Result<Option<SourceFile>, StorageError> {
    let unreadable = |error: std::io::Error| StorageError::io("read", &path, &error);
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let Some(sha256) = hash_of_file(&path).map_err(unreadable)? else { return Ok(None) };
    Ok(Some(SourceFile { key, size: metadata.len(), sha256, path }))
}

/// Resolves a link.
fn followed(link: &Path, bounds: &Path) -> Result<PathBuf, StorageError> {
    let refused = |why: &str| {
        StorageError::failed(format!("`{}` is a link {why}", link.display()))
            .hint("remove it, or exclude it with `exclude`")
    };
    let target = link.canonicalize().map_err(|_| refused("whose target does not exist"))?;
    let bounds = bounds.canonicalize().map_err(|error| StorageError::io("read", bounds, &error))?;
    match (target.starts_with(&bounds), target.is_dir()) {
        (false, _) => Err(refused("to a target outside of the project folder")),
        (_, true) => Err(refused("to a folder, and such links are not followed")),
        _ => Ok(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(folder: &Path, include: &[&str], exclude: &[&str]) -> Vec<String> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let filter = Filter::new(&texts(include), &texts(exclude)).unwrap();
        let tree = Tree::read(&[folder.join("data")], folder, &filter).unwrap().unwrap();
        tree.files.into_iter().map(|file| file.key).collect()
    }

    fn project(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1").unwrap();
        }
        folder
    }

    #[test]
    fn patterns_select_files_and_hidden_ones_are_skipped() {
        let files =
            ["data/a.csv", "data/deep/b.csv", "data/deep/c.txt", "data/.env", "data/.git/x", "data/.well-known/y"];
        let folder = project(&files);
        let all = ["data/.well-known/y", "data/a.csv", "data/deep/b.csv", "data/deep/c.txt"];
        assert_eq!(keys(folder.path(), &[], &[]), all);
        assert_eq!(keys(folder.path(), &["*.csv"], &[]), ["data/a.csv", "data/deep/b.csv"]);
        assert_eq!(keys(folder.path(), &["deep/*"], &["*.txt"]), ["data/deep/b.csv"]);
        assert!(Filter::new(&["a[".to_owned()], &[]).is_err());
    }

    #[test]
    fn link_out_of_the_project_is_refused() {
        let folder = project(&["data/a.csv"]);
        std::os::unix::fs::symlink(folder.path().join("data/a.csv"), folder.path().join("data/b.csv")).unwrap();
        assert_eq!(keys(folder.path(), &[], &[]), ["data/a.csv", "data/b.csv"]);
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("data/c.csv")).unwrap();
        let filter = Filter::new(&[], &[]).unwrap();
        let error = Tree::read(&[folder.path().join("data")], folder.path(), &filter).unwrap_err();
        assert!(error.to_string().ends_with("to a target outside of the project folder"), "{error}");
    }

    #[test]
    fn folders_with_the_same_name_are_refused() {
        let folder = project(&["a/data/x", "b/data/x"]);
        let folders = ["a/data", "b/data"].map(|path| folder.path().join(path));
        let error = Tree::read(&folders, folder.path(), &Filter::new(&[], &[]).unwrap()).unwrap_err();
        assert!(error.to_string().contains("one place"), "{error}");
    }

    #[test]
    fn missing_folder_yields_no_tree() {
        let folder = project(&[]);
        let read = Tree::read(&[folder.path().join("data")], folder.path(), &Filter::new(&[], &[]).unwrap());
        assert_eq!(read.unwrap(), None);
    }

    #[test]
    fn folder_with_a_protected_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("key.txt"), "secret").unwrap();
        let filter = || Filter::new(&[], &[]).unwrap();
        assert!(Tree::of_folder(&data, folder.path(), &filter()).is_ok());
        let filter = filter().refusing(ProtectedFiles::default().file(&data.join("key.txt"), "a key file"));
        let error = Tree::of_folder(&data, folder.path(), &filter).unwrap_err();
        assert!(error.to_string().contains("is a key file, which no descriptor may use"), "{error}");
    }
}
