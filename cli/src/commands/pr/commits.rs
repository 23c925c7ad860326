//! Commits of the repository: their difference, and single files of them.

use crate::failure::Failure;
use crate::planning::git::{command, output};
use crate::planning::tree::{self, Entry, Kind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use terrace_engine::text::shell_word;

/// The number of files of a tree that is written for an untrusted request.
const MOST_FILES: usize = 50_000;
/// The size of such a file, in bytes. The engine reads no larger file of a repository.
const LARGEST_FILE: u64 = 1 << 20;
/// The size of all such files, in bytes.
const LARGEST_TREE: u64 = 256 << 20;

/// The checkout that the command runs in.
#[derive(Debug)]
pub(super) struct Checkout {
    root: PathBuf,
}

impl Checkout {
    /// The checkout whose root is the working directory.
    ///
    /// # Errors
    /// When the working directory is not the root of a checkout.
    pub(super) fn here() -> Result<Self, Failure> {
        let checkout = Self { root: PathBuf::from(".") };
        let root = checkout.text(&["rev-parse", "--show-toplevel"])?;
        let is_root = Path::new(&root).canonicalize().ok() == Path::new(".").canonicalize().ok();
        match is_root {
            true => Ok(checkout),
            false => Err(Failure::new("this command runs in the root of the repository")
                .hint(format!("pass `--chdir {root}`, and name the products by their paths below it"))),
        }
    }

    /// The digest of a commit; `None` if the clone does not have it.
    ///
    /// # Errors
    /// When `git` cannot be run.
    pub(super) fn find(&self, reference: &str) -> Result<Option<String>, Failure> {
        if reference.starts_with('-') || reference.is_empty() {
            return Ok(None);
        }
        self.text_if(&["rev-parse", "--verify", "--quiet", &format!("{reference}^{{commit}}")])
    }

    /// The digest of a commit.
    ///
    /// # Errors
    /// When the clone does not have it.
    pub(super) fn commit(&self, reference: &str) -> Result<String, Failure> {
        self.find(reference)?.ok_or_else(|| {
            Failure::new(format!("the clone does not have the commit `{reference}`")).hint(format!(
                "clone the whole history: `fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` at GitLab; or fetch the commit: \
                 `git fetch origin {}`",
                shell_word(reference)
            ))
        })
    }

    /// The parents of a commit. At the end of a shallow clone, a commit has none.
    ///
    /// # Errors
    /// When the clone does not have the commit.
    pub(super) fn parents(&self, commit: &str) -> Result<Vec<String>, Failure> {
        let line = self.text(&["rev-list", "--no-walk", "--parents", commit])?;
        Ok(line.split(' ').skip(1).map(str::to_owned).collect())
    }

    /// The commits of a branch after another commit, oldest first, without those of merged branches.
    ///
    /// # Errors
    /// When the clone does not have a commit.
    pub(super) fn between(&self, before: &str, last: &str) -> Result<Vec<String>, Failure> {
        let lines = self.text(&["rev-list", "--first-parent", "--reverse", &format!("{before}..{last}")])?;
        Ok(lines.lines().map(str::to_owned).collect())
    }

    /// The commit where two branches separated.
    ///
    /// # Errors
    /// When the clone does not have it.
    pub(super) fn merge_base(&self, one: &str, other: &str) -> Result<String, Failure> {
        self.text_if(&["merge-base", one, other])?.ok_or_else(|| {
            Failure::new(format!("the clone does not have the commit where `{one}` and `{other}` separated"))
                .hint("clone the whole history: `fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` at GitLab")
        })
    }

    /// The number of commits before `of` that do not precede `from`, with `of` itself.
    ///
    /// # Errors
    /// When the clone does not have a commit.
    pub(super) fn missing(&self, from: &str, of: &str) -> Result<u64, Failure> {
        Ok(self.text(&["rev-list", "--count", &format!("{from}..{of}")])?.parse().unwrap_or_default())
    }

    /// True if both commits are the same, or the first one precedes the second.
    ///
    /// # Errors
    /// When `git` cannot be run.
    pub(super) fn is_ancestor(&self, commit: &str, of: &str) -> Result<bool, Failure> {
        Ok(self.text_if(&["merge-base", "--is-ancestor", commit, of])?.is_some())
    }

    /// The difference of two commits by paths, modes and digests of the contents.
    ///
    /// # Errors
    /// When the clone does not have a commit.
    pub(super) fn difference(&self, from: &str, to: &str) -> Result<Vec<u8>, Failure> {
        self.bytes(&["diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", from, to])
    }

    /// The paths that differ between two commits of trusted accounts.
    ///
    /// # Errors
    /// When the clone does not have a commit.
    pub(super) fn changed(&self, from: &str, to: &str) -> Result<BTreeSet<String>, Failure> {
        let listed = self.bytes(&["diff-tree", "-r", "-z", "--name-only", "--no-renames", from, to])?;
        let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// The text of a file in a commit; `None` for a missing file and for a file over the size limit.
    ///
    /// # Errors
    /// When `git` cannot be run.
    pub(super) fn file(&self, commit: &str, path: &str, limit: usize) -> Result<Option<String>, Failure> {
        let listed = self.bytes(&["ls-tree", "-z", "--full-tree", commit, "--", path])?;
        let is_file = listed.starts_with(b"100");
        let Some(blob) = listed.split(|byte| matches!(byte, b' ' | b'\t')).nth(2).filter(|_| is_file) else {
            return Ok(None);
        };
        let blob = String::from_utf8_lossy(blob).into_owned();
        let size: usize = self.text(&["cat-file", "-s", &blob])?.parse().unwrap_or(usize::MAX);
        if size > limit {
            return Ok(None);
        }
        let text = self.bytes(&["cat-file", "blob", &blob])?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// True if a commit has a file or a folder at a path.
    ///
    /// # Errors
    /// When the clone does not have the commit.
    pub(super) fn has(&self, commit: &str, path: &str) -> Result<bool, Failure> {
        Ok(!self.bytes(&["ls-tree", "-z", "--full-tree", commit, "--", path])?.is_empty())
    }

    /// The entries of a commit.
    ///
    /// # Errors
    /// When the clone does not have the commit, and for too many entries.
    pub(super) fn entries(&self, commit: &str) -> Result<Vec<Entry>, Failure> {
        tree::entries_with_sizes(&self.root, commit)
    }

    /// Writes the YAML and JSON files of a tree into an empty folder. Links, submodules, large files and names that are not
    /// UTF-8 are left out; the result lists them.
    ///
    /// # Errors
    /// When the tree is too large, or a file cannot be written.
    pub(super) fn write(&self, entries: &[Entry], folder: &Path) -> Result<Vec<String>, Failure> {
        let (mut written, mut left_out, mut total) = (Vec::new(), Vec::new(), 0_u64);
        for entry in entries {
            let is_file = entry.kind == Kind::File;
            if is_file && ![".yaml", ".yml", ".json"].iter().any(|ending| entry.path.ends_with(ending)) {
                continue;
            }
            if !is_file || entry.size > LARGEST_FILE || !entry.is_utf8 || !tree::is_within(&entry.path) {
                left_out.push(entry.path.clone());
                continue;
            }
            total += entry.size;
            written.push(entry);
            if written.len() > MOST_FILES || total > LARGEST_TREE {
                return Err(Failure::new(format!(
                    "an untrusted request may have {MOST_FILES} YAML and JSON files of {} MiB, and this one has more",
                    LARGEST_TREE >> 20
                )));
            }
        }
        tree::write(&self.root, &written, folder)?;
        Ok(left_out)
    }

    fn text(&self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.bytes(arguments)?).trim().to_owned())
    }

    /// The output of a command; `None` if it fails.
    fn text_if(&self, arguments: &[&str]) -> Result<Option<String>, Failure> {
        let output = output(command(&self.root, arguments), &[])?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    fn bytes(&self, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
        let output = output(command(&self.root, arguments), &[])?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => {
                let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Failure::new(format!("`git {}` failed: {detail}", arguments.first().unwrap_or(&""))))
            }
        }
    }
}
