//! Commits of the repository: their difference, and single files of them.

use crate::failure::Failure;
use crate::planning::git::{command, output};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

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

/// A file in a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    path: String,
    blob: String,
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
            Failure::new(format!("the clone does not have the commit `{reference}`")).hint(
                "clone the whole history: `fetch-depth: 0` of actions/checkout, `GIT_DEPTH: 0` at GitLab; or fetch the commit: \
                 `git fetch origin COMMIT`",
            )
        })
    }

    /// The parents of a commit.
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

    /// The paths that differ between two commits.
    ///
    /// # Errors
    /// When the clone does not have a commit.
    pub(super) fn changed(&self, from: &str, to: &str) -> Result<BTreeSet<String>, Failure> {
        let listed = self.bytes(&["diff-tree", "-r", "-z", "--name-only", "--no-renames", from, to], &[])?;
        let names = listed.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    /// The text of a file in a commit; `None` for a missing file and for a file over the size limit.
    ///
    /// # Errors
    /// When `git` cannot be run.
    pub(super) fn file(&self, commit: &str, path: &str, limit: usize) -> Result<Option<String>, Failure> {
        let listed = self.bytes(&["ls-tree", "-z", "--full-tree", commit, "--", path], &[])?;
        let is_file = listed.starts_with(b"100");
        let Some(blob) = listed.split(|byte| matches!(byte, b' ' | b'\t')).nth(2).filter(|_| is_file) else {
            return Ok(None);
        };
        let blob = String::from_utf8_lossy(blob).into_owned();
        let size: usize = self.text(&["cat-file", "-s", &blob])?.parse().unwrap_or(usize::MAX);
        if size > limit {
            return Ok(None);
        }
        let text = self.bytes(&["cat-file", "blob", &blob], &[])?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// Writes the YAML and JSON files of a commit into an empty folder. Links, submodules and large files are left out; the
    /// result lists them. Filters of `.gitattributes` do not run.
    ///
    /// # Errors
    /// When the tree is too large, a path leads out of the folder, or a file cannot be written.
    pub(super) fn write(&self, commit: &str, folder: &Path) -> Result<Vec<String>, Failure> {
        let listed = self.bytes(&["ls-tree", "-r", "-z", "-l", "--full-tree", commit], &[])?;
        let (mut entries, mut left_out, mut total) = (Vec::new(), Vec::new(), 0_u64);
        for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
            let line = String::from_utf8_lossy(line);
            let Some((head, path)) = line.split_once('\t') else { continue };
            let mut words = head.split_whitespace();
            let (Some(mode), Some(_), Some(blob), size) = (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            let is_file = mode.starts_with("100");
            if is_file && ![".yaml", ".yml", ".json"].iter().any(|ending| path.ends_with(ending)) {
                continue;
            }
            let size = size.and_then(|size| size.parse().ok()).unwrap_or(u64::MAX);
            if !is_file || size > LARGEST_FILE || !is_within(path) {
                left_out.push(path.to_owned());
                continue;
            }
            total += size;
            entries.push(Entry { path: path.to_owned(), blob: blob.to_owned() });
            if entries.len() > MOST_FILES || total > LARGEST_TREE {
                return Err(Failure::new(format!(
                    "the files of `{commit}` are too many or too large for an untrusted request"
                ))
                .hint("plan a part of the repository: `terrace pr plan PATH`"));
            }
        }
        self.write_entries(&entries, folder)?;
        Ok(left_out)
    }

    fn write_entries(&self, entries: &[Entry], folder: &Path) -> Result<(), Failure> {
        let requests: String = entries.iter().map(|entry| format!("{}\n", entry.blob)).collect();
        let all = self.bytes(&["cat-file", "--batch"], requests.as_bytes())?;
        let mut rest = all.as_slice();
        let unreadable = || Failure::new("`git cat-file` returns another text than expected");
        for entry in entries {
            // `BLOB blob SIZE`, a line break, the content, a line break.
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(unreadable)?;
            let head = String::from_utf8_lossy(rest.get(..end).unwrap_or_default()).into_owned();
            let size = head.rsplit(' ').next().and_then(|size| size.parse::<usize>().ok()).ok_or_else(unreadable)?;
            let content = rest.get(end + 1..end + 1 + size).ok_or_else(unreadable)?;
            rest = rest.get(end + 2 + size..).unwrap_or_default();
            let path = folder.join(&entry.path);
            let failed = |error: std::io::Error| Failure::new(format!("{:?} cannot be written: {error}", entry.path));
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(failed)?;
            }
            // A new file: two names that this file system does not distinguish must not replace each other.
            let mut file = std::fs::File::create_new(&path).map_err(failed)?;
            file.write_all(content).map_err(failed)?;
        }
        Ok(())
    }

    fn text(&self, arguments: &[&str]) -> Result<String, Failure> {
        Ok(String::from_utf8_lossy(&self.bytes(arguments, &[])?).trim().to_owned())
    }

    /// The output of a command; `None` if it fails.
    fn text_if(&self, arguments: &[&str]) -> Result<Option<String>, Failure> {
        let output = output(command(&self.root, arguments), &[])?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    fn bytes(&self, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, Failure> {
        let output = large_output(&self.root, arguments, input)?;
        match output.status.success() {
            true => Ok(output.stdout),
            false => {
                let detail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Failure::new(format!("`git {}` failed: {detail}", arguments.first().unwrap_or(&""))))
            }
        }
    }
}

/// Runs a command whose input and output may both be large: a thread writes the input.
fn large_output(root: &Path, arguments: &[&str], input: &[u8]) -> Result<std::process::Output, Failure> {
    if input.is_empty() {
        return output(command(root, arguments), &[]);
    }
    let failed = |error: std::io::Error| Failure::new(format!("`git` cannot be run: {error}"));
    let mut command = command(root, arguments);
    let piped = std::process::Stdio::piped;
    let mut child = command.stdin(piped()).stdout(piped()).stderr(piped()).spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that ends early reports why.
            let _ = stdin.map(|mut stdin| stdin.write_all(input));
        });
        child.wait_with_output().map_err(failed)
    })
}

/// True for a path of plain names below a folder.
fn is_within(path: &str) -> bool {
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
}
