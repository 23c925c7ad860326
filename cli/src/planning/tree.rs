//! The tree of a commit, and its files as Git stores them. No filter, driver or conversion of `.gitattributes` runs.

use super::git::{LARGEST, command, stream, unusable};
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
    /// The path from the root of the repository. It may have any characters; bytes that are not UTF-8 are replaced.
    pub(crate) path: String,
    /// False if bytes of the path are replaced.
    pub(crate) is_utf8: bool,
    /// The kind.
    pub(crate) kind: Kind,
    /// The mode of Git: a change of it is a change of the entry.
    mode: String,
    /// The digest of the content; the commit of a submodule.
    pub(crate) blob: String,
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

/// The entries of a commit.
///
/// # Errors
/// When the clone does not have the commit, and for more entries than a limit.
pub(crate) fn entries_with_sizes(root: &Path, commit: &str) -> Result<Vec<Entry>, Failure> {
    listed(root, commit, &["ls-tree", "-r", "-z", "-l", "--full-tree", commit])
}

fn listed(root: &Path, commit: &str, arguments: &[&str]) -> Result<Vec<Entry>, Failure> {
    let mut all = Vec::new();
    stream(command(root, arguments), &[], |stdout| {
        all = parsed(stdout, MOST_ENTRIES, LARGEST)?;
        Ok(())
    })
    .map_err(|failure| Failure {
        message: failure.message.map(|why| format!("the files of `{commit}` cannot be read: {why}")),
        ..failure
    })?;
    Ok(all)
}

/// Parses a list of entries while `git ls-tree` writes it, so that a tree with endless repetitions needs no memory beyond the
/// limits: a number of entries, and the bytes of the list.
fn parsed(stdout: &mut dyn BufRead, most: usize, largest: u64) -> Result<Vec<Entry>, Failure> {
    let too_many = || {
        Failure::new("the commit has too many files")
            .hint(format!("terrace reads up to {most} files, whose list has up to {} MiB", largest >> 20))
            .hint("remove generated files from the repository")
    };
    let mut all = Vec::new();
    let (mut stdout, mut line) = (Read::take(stdout, largest.saturating_add(1)), Vec::new());
    while stdout.read_until(0, &mut line).map_err(|error| unusable(&error))? > 0 {
        if line.pop() != Some(0) {
            // The end of `git` before the end of an entry.
            let unfinished = || Failure::new("`git` lists an incomplete file");
            return Err(if stdout.limit() == 0 { too_many() } else { unfinished() });
        }
        if all.len() == most {
            return Err(too_many());
        }
        all.push(entry(&line).ok_or_else(|| Failure::new("`git` lists a file without a mode or a path"))?);
        line.clear();
    }
    if stdout.limit() == 0 { Err(too_many()) } else { Ok(all) }
}

/// An entry of `MODE KIND BLOB SIZE<TAB>PATH`; the size may be missing.
fn entry(line: &[u8]) -> Option<Entry> {
    let is_utf8 = std::str::from_utf8(line).is_ok();
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
    Some(Entry { path: path.to_owned(), is_utf8, kind, mode: mode.to_owned(), blob: blob.to_owned(), size })
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
        // Git itself makes no tree in which a link has entries, but reads one.
        let is_link = |part: &Path| part.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if parent.ancestors().take_while(|part| *part != folder).any(is_link) {
            return Err(Failure::new(format!("{:?} leads through a link", entry.path)));
        }
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
    fn list_of_entries_has_limits() {
        let list = |count: usize| "100644 blob 1\tname\0".repeat(count);
        let read = |text: &str, largest: u64| parsed(&mut text.as_bytes(), 3, largest);
        let text = list(3);
        assert_eq!(read(&text, LARGEST).unwrap().len(), 3);
        for (text, largest) in [(list(4), LARGEST), (text.clone(), text.len() as u64 - 1)] {
            let failure = read(&text, largest).unwrap_err();
            assert_eq!(failure.message.as_deref(), Some("the commit has too many files"), "{failure:?}");
        }
        for text in ["100644 blob 1\tna", "100644 blob 1 name\0"] {
            assert!(read(text, LARGEST).is_err(), "{text}");
        }
        // Nothing after the limit is read.
        let endless = std::io::repeat(b'x').take(1 << 20);
        let mut endless = std::io::BufReader::new(std::io::Cursor::new(list(4)).chain(endless));
        parsed(&mut endless, 3, LARGEST).unwrap_err();
        let left = endless.into_inner();
        assert!(left.get_ref().1.limit() > 1 << 19);
    }

    #[test]
    fn link_is_not_written_through_another_link() {
        let place = tempfile::tempdir().unwrap();
        let (root, outside, inside) =
            (place.path().join("root"), place.path().join("outside"), place.path().join("inside"));
        for folder in [&root, &outside, &inside] {
            std::fs::create_dir(folder).unwrap();
        }
        let git = |words: &[&str], input: &str| {
            let mut text = Vec::new();
            stream(command(&root, words), input.as_bytes(), |stdout| {
                stdout.read_to_end(&mut text).map(drop).map_err(|error| unusable(&error))
            })
            .unwrap();
            String::from_utf8(text).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet"], "");
        let target = git(&["hash-object", "-w", "--stdin"], &outside.display().to_string());
        for path in ["a/b", "a/deep/b"] {
            let links = ["a", path].map(|path| entry(format!("120000 blob {target} 1\t{path}").as_bytes()).unwrap());
            let failure = write(&root, &[&links[0], &links[1]], &inside).unwrap_err();
            assert!(failure.message.unwrap().contains("leads through a link"), "{path}");
            assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{path}");
            std::fs::remove_file(inside.join("a")).unwrap();
        }
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
