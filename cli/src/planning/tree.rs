//! The tree of a commit, and its files as Git stores them. No filter, driver or conversion of `.gitattributes` runs.

use super::git::{command, output, stream};
use crate::failure::Failure;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

/// The number of entries of a tree.
const MOST_ENTRIES: usize = 1_000_000;
/// The longest head of a blob: its digest, its kind and its size.
const LONGEST_HEAD: u64 = 200;
/// The longest target of a link, in bytes.
const LONGEST_TARGET: u64 = 4096;

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A submodule, or an unknown kind.
    Other,
}

/// A file, link or submodule of a tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The path from the root of the repository. It may have any characters.
    pub(crate) path: String,
    /// The kind.
    pub(crate) kind: Kind,
    /// The mode of Git: a change of it is a change of the entry.
    mode: String,
    /// The digest of the content.
    blob: String,
    /// The size of the content in bytes; the largest number if it is unknown, and for a submodule.
    pub(crate) size: u64,
}

/// The entries of a commit, without their sizes: a partial clone would fetch each file for its size.
///
/// # Errors
/// As of [`entries_with_sizes`].
pub(crate) fn entries(root: &Path, commit: &str) -> Result<Vec<Entry>, Failure> {
    listed(root, commit, &["ls-tree", "-r", "-z", "--full-tree", commit])
}

/// The entries of a commit. `git ls-tree` writes them one after the other, so that a tree with endless repetitions needs no
/// memory before it meets the limit.
///
/// # Errors
/// When the clone does not have the commit, and for more entries than a limit.
pub(crate) fn entries_with_sizes(root: &Path, commit: &str) -> Result<Vec<Entry>, Failure> {
    listed(root, commit, &["ls-tree", "-r", "-z", "-l", "--full-tree", commit])
}

fn listed(root: &Path, commit: &str, arguments: &[&str]) -> Result<Vec<Entry>, Failure> {
    let output = output(command(root, arguments), &[])?;
    if !output.status.success() {
        let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::new(format!("`git` cannot read the files of `{commit}`: {detail}")));
    }
    let lines = output.stdout.split(|byte| *byte == 0).filter(|line| !line.is_empty());
    let all: Vec<Entry> = lines.take(MOST_ENTRIES + 1).filter_map(entry).collect();
    match all.len() > MOST_ENTRIES {
        false => Ok(all),
        true => Err(Failure::new(format!("the commit `{commit}` has more than {MOST_ENTRIES} files"))
            .hint("terrace reads no larger commits; remove generated files from the repository")),
    }
}

/// An entry of `MODE KIND BLOB SIZE<TAB>PATH`; the size may be missing.
fn entry(line: &[u8]) -> Option<Entry> {
    let line = String::from_utf8_lossy(line);
    let (head, path) = line.split_once('\t')?;
    let mut words = head.split_whitespace();
    let (mode, _, blob) = (words.next()?, words.next()?, words.next()?);
    let kind = match mode {
        "120000" => Kind::Link,
        mode if mode.starts_with("100") => Kind::File,
        _ => Kind::Other,
    };
    let size = words.next().and_then(|size| size.parse().ok()).unwrap_or(u64::MAX);
    Some(Entry { path: path.to_owned(), kind, mode: mode.to_owned(), blob: blob.to_owned(), size })
}

/// The paths that differ between two trees.
pub(crate) fn difference(one: &[Entry], other: &[Entry]) -> BTreeSet<String> {
    let (one, other): (BTreeSet<&Entry>, BTreeSet<&Entry>) = (one.iter().collect(), other.iter().collect());
    one.symmetric_difference(&other).map(|entry| entry.path.clone()).collect()
}

/// Writes files and links into an empty folder.
///
/// # Errors
/// When a path leads out of the folder, two paths are the same for the file system, or a file cannot be written.
pub(crate) fn write(root: &Path, entries: &[&Entry], folder: &Path) -> Result<(), Failure> {
    // No file is written through a link: links come last.
    let mut sorted = entries.to_vec();
    sorted.sort_by_key(|entry| entry.kind);
    let requests: String = sorted.iter().map(|entry| format!("{}\n", entry.blob)).collect();
    if sorted.is_empty() {
        return Ok(());
    }
    let mut folders = BTreeSet::new();
    stream(command(root, &["cat-file", "--batch"]), requests.as_bytes(), |output| {
        sorted.iter().try_for_each(|entry| write_entry(entry, output, folder, &mut folders))
    })
}

/// Writes an entry from `BLOB blob SIZE`, a line break, the content, a line break. `folders` are those made so far.
fn write_entry(
    entry: &Entry,
    output: &mut dyn BufRead,
    folder: &Path,
    folders: &mut BTreeSet<PathBuf>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("{:?} cannot be written: {error}", entry.path));
    let unreadable = || Failure::new(format!("`git cat-file` returns another text than expected for {:?}", entry.path));
    if !is_within(&entry.path) {
        return Err(Failure::new(format!("{:?} leads out of the repository", entry.path)));
    }
    let mut head = Vec::new();
    Read::take(&mut *output, LONGEST_HEAD).read_until(b'\n', &mut head).map_err(failed)?;
    let head = String::from_utf8_lossy(&head).into_owned();
    let size = head.trim_end().rsplit(' ').next().and_then(|size| size.parse::<u64>().ok()).ok_or_else(unreadable)?;
    let path = folder.join(&entry.path);
    if let Some(parent) = path.parent().filter(|parent| !folders.contains(*parent)) {
        std::fs::create_dir_all(parent).map_err(failed)?;
        folders.insert(parent.to_owned());
    }
    let mut content = Read::take(&mut *output, size);
    let copied = match entry.kind {
        Kind::Link if size <= LONGEST_TARGET => {
            let mut target = Vec::new();
            let copied = std::io::copy(&mut content, &mut target).map_err(failed)?;
            symlink(OsStr::from_bytes(&target), &path).map_err(failed)?;
            copied
        }
        Kind::Link | Kind::Other => return Err(unreadable()),
        // A new file: two names that this file system does not distinguish must not replace each other.
        Kind::File => {
            let mut file = File::create_new(&path).map_err(failed)?;
            std::io::copy(&mut content, &mut file).map_err(failed)?
        }
    };
    let mut end = [0];
    output.read_exact(&mut end).map_err(failed)?;
    if copied == size && end == *b"\n" { Ok(()) } else { Err(unreadable()) }
}

/// True for a path of plain names below a folder.
pub(crate) fn is_within(path: &str) -> bool {
    let is_plain = |part: Component<'_>| match part {
        Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
        _ => false,
    };
    !path.is_empty() && Path::new(path).components().all(is_plain) && !path.contains("//") && !path.contains("/./")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_must_stay_within_its_folder() {
        for path in ["../a.yaml", "a/../../b.yaml", "/etc/a.yaml", ".git/config.yaml", "a/.GIT/x.yaml", "./a.yaml", ""]
        {
            assert!(!is_within(path), "{path}");
        }
        assert!(is_within("a/b c/ü.yaml") && is_within("..a/b...yaml"));
    }

    #[test]
    fn difference_has_changed_added_and_removed_paths() {
        let entry = |path: &str, blob: &str| entry(format!("100644 blob {blob} 3\t{path}").as_bytes()).unwrap();
        let before = [entry("same", "1"), entry("changed", "2"), entry("removed", "3")];
        let after = [entry("same", "1"), entry("changed", "4"), entry("added", "3")];
        let found: Vec<String> = difference(&before, &after).into_iter().collect();
        assert_eq!(found, ["added", "changed", "removed"]);
    }
}
