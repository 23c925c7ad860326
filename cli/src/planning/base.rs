//! The files of a commit, for a comparison of its plan with that of the work tree.
//!
//! terrace reads the commit with `git`, into a temporary folder: neither the work tree nor the index of the repository
//! changes. State, configuration and blueprints are those of the work tree, so the comparison shows the effect of
//! the descriptors alone.

use super::git::{command, output};
use super::tree::{self, Entry, Kind};
use crate::failure::Failure;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use terrace_engine::diagnostic::did_you_mean;
use terrace_engine::text::shell_word;

/// The files of a commit.
#[derive(Debug)]
pub(crate) struct Base {
    /// The name of the commit, as the user wrote it.
    pub(crate) reference: String,
    /// The digest of the commit.
    pub(crate) commit: String,
    /// The root of the work tree.
    root: PathBuf,
    /// The folder with the files.
    folder: TempDir,
}

impl Base {
    /// Reads the files of a commit in the repository of the paths.
    ///
    /// # Errors
    /// When there is no `git`, no repository or no such commit, or the files of a submodule are missing.
    pub(crate) fn read(paths: &[PathBuf], reference: &str) -> Result<Self, Failure> {
        let first = paths.first().map_or(Path::new("."), PathBuf::as_path);
        let root = root_of(first)?;
        let commit = commit_of(&root, reference)?;
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::new(format!("the files of `{reference}` cannot be written: {error}")))?;
        let base = Self { reference: reference.to_owned(), commit, root, folder };
        let mut inner = Vec::new();
        for path in paths {
            inner.push(base.inner(path).ok_or_else(|| {
                Failure::new(format!("`{}` is in another Git repository than `{}`", path.display(), first.display()))
                    .hint("plan the paths of a single repository; name the others with `--repo`")
            })?);
        }
        base.write_files(&inner)?;
        Ok(base)
    }

    /// The path of a file or folder in the commit. `None` if the commit does not have it.
    pub(crate) fn path(&self, path: &Path) -> Option<PathBuf> {
        let path = self.files().join(self.inner(path)?);
        path.exists().then_some(path)
    }

    /// The path of another checkout: in the commit, if it belongs to the same repository.
    pub(crate) fn other(&self, path: &Path) -> PathBuf {
        self.path(path).unwrap_or_else(|| path.to_owned())
    }

    /// The path relative to the root of the repository.
    fn inner(&self, path: &Path) -> Option<PathBuf> {
        path.canonicalize().ok()?.strip_prefix(&self.root).ok().map(Path::to_owned)
    }

    /// The path of a file of the commit, relative to the root of the repository.
    pub(crate) fn readable(&self, path: &str) -> String {
        path.replace(&format!("{}/", self.files().display()), "")
    }

    /// The folder with the files of the commit.
    pub(crate) fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    /// Writes the YAML and JSON files of the commit: descriptors have no other files. All folders of the repository are written,
    /// because `--repo` may name any of them, but only submodules with a requested path.
    fn write_files(&self, requested: &[PathBuf]) -> Result<(), Failure> {
        std::fs::create_dir_all(self.files())
            .map_err(|error| Failure::new(format!("the files of `{}` cannot be written: {error}", self.reference)))?;
        let all = tree::entries(&self.root, &self.commit)?;
        let is_requested = |path: &Path| requested.iter().any(|folder| path.starts_with(folder));
        let has_entities = all.iter().any(|entry| is_entity(entry) && is_requested(Path::new(&entry.path)));
        self.write_tree((&self.root, &self.files()), &all, &|path| {
            let is_around = requested.iter().any(|folder| folder.starts_with(path));
            (is_around || is_requested(path)).then_some(has_entities)
        })
    }

    /// Writes the files of a repository or a submodule: `root` is its work tree, `folder` the folder for its files.
    /// `needs` returns true if a submodule must be readable, and `None` if its files have no effect.
    fn write_tree(
        &self,
        (root, folder): (&Path, &Path),
        all: &[Entry],
        needs: &dyn Fn(&Path) -> Option<bool>,
    ) -> Result<(), Failure> {
        let is_wanted = |entry: &&Entry| match entry.kind {
            // No plan reads it.
            _ if !entry.is_utf8 => false,
            Kind::File => [".yaml", ".yml", ".json"].iter().any(|ending| entry.path.ends_with(ending)),
            // Links to folders have no such ending.
            Kind::Link => true,
            Kind::Other => false,
        };
        let wanted: Vec<&Entry> = all.iter().filter(is_wanted).collect();
        tree::write(root, &wanted, folder)?;
        let is_submodule = |entry: &&Entry| entry.kind == Kind::Other && entry.is_utf8 && tree::is_within(&entry.path);
        for submodule in all.iter().filter(is_submodule) {
            let (inner, folder) = (root.join(&submodule.path), folder.join(&submodule.path));
            let path = inner.strip_prefix(&self.root).unwrap_or(&inner);
            let Some(is_needed) = needs(path) else { continue };
            let is_initialised = inner.join(".git").exists();
            if is_initialised && has_commit(&inner, &submodule.blob)? {
                let all = tree::entries(&inner, &submodule.blob)?;
                self.write_tree((&inner, &folder), &all, needs)?;
                continue;
            }
            // An empty folder is an error of the work tree, if it matters there. The present commit shows whether there are entities.
            let is_lost = match is_initialised {
                true => tree::entries(&inner, "HEAD")?.iter().any(is_entity),
                false => is_needed && !inner.is_dir(),
            };
            if is_lost {
                return Err(self.unreadable(path, &submodule.blob, is_initialised));
            }
        }
        Ok(())
    }

    /// The error of a submodule without the files of its commit.
    fn unreadable(&self, path: &Path, commit: &str, is_initialised: bool) -> Failure {
        let name = path.display().to_string();
        let reference = &self.reference;
        let failure =
            Failure::new(format!("`{name}` is a submodule, whose commit {commit} in `{reference}` is not here"));
        let failure = match is_initialised {
            true => failure.hint(format!("fetch it: `git -C {} fetch origin {commit}`", shell_word(&name))),
            false => failure,
        };
        failure.hint("if it has no entities, name the folders of the entities on the command line")
    }
}

/// True for the file of an entity.
fn is_entity(entry: &Entry) -> bool {
    Path::new(&entry.path).ends_with("catalog-info.yaml")
}

/// True if a clone has a commit.
fn has_commit(root: &Path, commit: &str) -> Result<bool, Failure> {
    Ok(output(command(root, &["cat-file", "-e", &format!("{commit}^{{commit}}")]), &[])?.status.success())
}

/// The root of the work tree of a path.
fn root_of(path: &Path) -> Result<PathBuf, Failure> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let output = output(command(folder, &["rev-parse", "--show-toplevel"]), &[])?;
    if !output.status.success() {
        let message = format!("`--against` needs a Git repository, and `{}` is in none", path.display());
        let detail = String::from_utf8_lossy(&output.stderr);
        return Err(match detail.contains("not a git repository") {
            true => Failure::new(message).hint("leave `--against` out, or run this in a checkout"),
            false => Failure::new(format!("{message}: {}", detail.trim())),
        });
    }
    let root = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n'));
    root.canonicalize().map_err(|error| Failure::new(format!("`{}` cannot be read: {error}", root.display())))
}

/// The digest of a commit.
fn commit_of(root: &Path, reference: &str) -> Result<String, Failure> {
    let unknown = || Failure::new(format!("`--against {reference}`: the repository has no such commit"));
    if reference.starts_with('-') || reference.is_empty() {
        return Err(unknown().hint("name a branch, a tag or a commit"));
    }
    let text = |arguments: &[&str]| -> Result<Option<String>, Failure> {
        let output = output(command(root, arguments), &[])?;
        Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    };
    if let Some(commit) = text(&["rev-parse", "--verify", "--quiet", &format!("{reference}^{{commit}}")])? {
        return Ok(commit);
    }
    let known = text(&["for-each-ref", "--format=%(refname:short)"])?.unwrap_or_default();
    let remote = format!("origin/{reference}");
    let meant = match known.lines().any(|name| name == remote) {
        true => Some(format!("did you mean `{remote}`?")),
        false => did_you_mean(reference, known.lines()),
    };
    let is_shallow = text(&["rev-parse", "--is-shallow-repository"])?.as_deref() == Some("true");
    Err(match (is_shallow, fetch_command(reference), meant) {
        (false, _, Some(meant)) => unknown().hint(meant),
        (false, _, None) => unknown().hint("name a branch, a tag or a commit; `git branch --all` lists them"),
        (true, fetch, meant) => {
            let failure =
                Failure::new(format!("`--against {reference}`: the clone is shallow and does not have this commit"));
            meant.into_iter().fold(failure, Failure::hint).hint(fetch)
        }
    })
}

/// How to fetch a commit into a shallow clone. A branch or a commit needs itself only; `HEAD~3` needs three more commits.
/// Git fetches no commit by the beginning of its digest.
fn fetch_command(reference: &str) -> String {
    let ancestors = reference.split_once(['~', '^']).map(|(_, steps)| steps.parse::<u32>().unwrap_or(1));
    let is_beginning = reference.len() >= 7 && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let command = match (ancestors, reference.strip_prefix("origin/")) {
        (Some(steps), _) => format!("git fetch --depth={}", steps.saturating_add(1)),
        (None, Some(branch)) => {
            format!("git fetch --depth=1 origin {}", shell_word(&format!("{branch}:refs/remotes/origin/{branch}")))
        }
        // A fetched commit needs no local name.
        (None, None) if is_digest(reference) => format!("git fetch --depth=1 origin {reference}"),
        (None, None) if is_beginning => "git fetch --unshallow".to_owned(),
        (None, None) => format!("git fetch --depth=1 origin {}", shell_word(&format!("{reference}:{reference}"))),
    };
    match is_beginning && !is_digest(reference) {
        true => format!("fetch the whole history: `{command}`; or name the commit by all of its digest"),
        false => format!("fetch it, if origin has it: `{command}`"),
    }
}

/// True for the digest of a commit.
fn is_digest(reference: &str) -> bool {
    matches!(reference.len(), 40 | 64) && reference.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetch_command_has_the_depth_that_the_commit_needs() {
        let digest = "3f2a9c11d0".repeat(4);
        for (reference, command) in [
            ("origin/main", "git fetch --depth=1 origin main:refs/remotes/origin/main"),
            ("main", "git fetch --depth=1 origin main:main"),
            (&digest, &format!("git fetch --depth=1 origin {digest}")),
            ("HEAD~3", "git fetch --depth=4"),
            ("HEAD^", "git fetch --depth=2"),
            ("3f2a9c11d0", "git fetch --unshallow"),
        ] {
            assert!(fetch_command(reference).contains(&format!("`{command}`")), "{reference}");
        }
    }
}
