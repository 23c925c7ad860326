//! The image of a project's `Dockerfile`: built and pushed by a command, then used by runs in a cluster under its digest. Plans
//! build nothing, so that they show the digest.

use crate::deployment::build::{Builder, DOCKERFILE};
use crate::deployment::program::Problem;
use crate::file_lock::FileLock;
use crate::files::{read, remove, write};
use crate::hash::hash_of_file;
use crate::private;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Record of the last build, below the records of a project.
const RECORD: &str = "image.json";
/// Folder for files of the builder during a build.
const WORK: &str = "image-build";
/// The file that the process of a build locks.
const LOCK: &str = "image.lock";
/// The lists of files that builders leave out. buildah reads the second one, if it exists.
/// <https://docs.docker.com/build/concepts/context/#dockerignore-files>
const IGNORED: &str = ".dockerignore";
const IGNORED_BY_BUILDAH: &str = ".containerignore";
/// Lines that leave out terrace's folder, which has passwords and the state.
const OWN_FOLDER: [&str; 6] = [".terrace", ".terrace/", "/.terrace", "**/.terrace", "*", "**"];

/// The last build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Built {
    /// Repository in a registry, without tag and digest.
    repository: String,
    /// Digest in the registry: `sha256:…`.
    digest: String,
    /// Hash of the `Dockerfile`.
    file: String,
}

/// The image of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderImage {
    /// The folder has no `Dockerfile`.
    NotDescribed,
    /// The image for this repository is not built.
    NotBuilt,
    /// The `Dockerfile` changed since the last build.
    Changed,
    /// The last build, with its digest: `registry.example.com/orders@sha256:…`.
    Built(String),
}

impl FolderImage {
    /// The image of a project for a repository. Builds nothing, and asks no registry.
    ///
    /// # Errors
    /// When the `Dockerfile` or the record cannot be read.
    pub fn read(project: &Path, records: &Path, repository: &str) -> io::Result<Self> {
        let Some(file) = hash_of_file(&project.join(DOCKERFILE))? else { return Ok(Self::NotDescribed) };
        let built: Option<Built> = read(&records.join(RECORD))?;
        Ok(match built.filter(|built| built.repository == repository) {
            None => Self::NotBuilt,
            Some(built) if built.file != file => Self::Changed,
            Some(built) => Self::Built(format!("{}@{}", built.repository, built.digest)),
        })
    }
}

/// Refuses a context whose copy would have terrace's folder.
fn check_ignored(project: &Path) -> io::Result<Result<(), Problem>> {
    let lines = |name: &str| match fs::read_to_string(project.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let is_left_out = |text: &str| text.lines().any(|line| OWN_FOLDER.contains(&line.trim()));
    for (name, is_needed) in [(IGNORED, true), (IGNORED_BY_BUILDAH, false)] {
        let is_good = lines(name)?.map_or(!is_needed, |text| is_left_out(&text));
        if !is_good {
            return Ok(Err(Problem::later(format!(
                "`{name}` does not leave out `.terrace`: a `COPY` would bring passwords and the state into the image"
            ))
            .hint(format!("write the line `.terrace` into `{name}`"))));
        }
    }
    Ok(Ok(()))
}

/// A build of a project's image that has passed all checks of this machine.
#[derive(Debug)]
pub struct Build<'a> {
    project: &'a Path,
    records: &'a Path,
    /// Hash of the `Dockerfile`: a change during the build counts as one after it.
    file: String,
    /// Held until the end of the build.
    _lock: FileLock,
}

fn failed(error: io::Error) -> Problem {
    Problem::later(format!("the image cannot be built: {error}"))
}

impl<'a> Build<'a> {
    /// Checks the `Dockerfile` of a project, and keeps other processes from a build. `records` is the folder of its records.
    ///
    /// # Errors
    /// When the folder has no `Dockerfile`, its copy would have secrets, or another process builds.
    pub fn begin(project: &'a Path, records: &'a Path) -> Result<Self, Problem> {
        let file = hash_of_file(&project.join(DOCKERFILE)).map_err(failed)?;
        let file = file.ok_or_else(|| {
            Problem::later(format!("`{}` has no `{DOCKERFILE}`", project.display())).hint(
                "write one that begins with the image of `deploy/pipelines-image`, as in \
                 `FROM registry.example.com/pipelines:1`; docs/pipelines-on-kubernetes.md shows both",
            )
        })?;
        check_ignored(project).map_err(failed)??;
        private::folder(records).map_err(failed)?;
        let lock = private::file().truncate(false).write(true).open(records.join(LOCK)).and_then(FileLock::try_lock);
        let Ok(lock) = lock.map_err(failed)? else {
            return Err(Problem::later("another process builds the image of this project").hint("wait for its end"));
        };
        Ok(Self { project, records, file, _lock: lock })
    }

    /// Builds the image, pushes it, and records its digest. Returns its name with the digest.
    ///
    /// # Errors
    /// When the build fails, or the registry refuses the image.
    pub async fn publish(
        self,
        repository: &str,
        builder: &Builder,
        cancel: &CancellationToken,
    ) -> Result<String, Problem> {
        let work = self.records.join(WORK);
        remove(&work).and_then(|()| private::folder(&work)).map_err(failed)?;
        let tag = Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let published = builder.publish((repository, &tag), self.project, &work, cancel).await;
        let digest = remove(&work).map_err(failed).and(published)?;
        let built = Built { repository: repository.to_owned(), digest, file: self.file };
        write(&self.records.join(RECORD), &built).map_err(failed)?;
        Ok(format!("{}@{}", built.repository, built.digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_is_that_of_the_present_file_and_repository() {
        let folder = tempfile::tempdir().unwrap();
        let (project, repository) = (folder.path(), "r.example.com/orders");
        let image = |repository: &str| FolderImage::read(project, project, repository).unwrap();
        assert_eq!(image(repository), FolderImage::NotDescribed);
        fs::write(project.join(DOCKERFILE), "FROM a\n").unwrap();
        assert_eq!(image(repository), FolderImage::NotBuilt);
        let file = hash_of_file(&project.join(DOCKERFILE)).unwrap().unwrap();
        let built = Built { repository: repository.to_owned(), digest: "sha256:0a".to_owned(), file };
        write(&project.join(RECORD), &built).unwrap();
        assert_eq!(image(repository), FolderImage::Built("r.example.com/orders@sha256:0a".to_owned()));
        assert_eq!(image("r.example.com/other"), FolderImage::NotBuilt);
        fs::write(project.join(DOCKERFILE), "FROM b\n").unwrap();
        assert_eq!(image(repository), FolderImage::Changed);
    }

    #[test]
    fn context_with_passwords_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = || check_ignored(folder.path()).unwrap().err().map(|problem| problem.message);
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(refusal().unwrap().starts_with("`.dockerignore` does not leave out"));
        write(IGNORED, "data\n.terrace\n");
        assert_eq!(refusal(), None);
        // buildah reads only this file, if it exists.
        write(IGNORED_BY_BUILDAH, "data\n");
        assert!(refusal().unwrap().starts_with("`.containerignore`"));
        write(IGNORED_BY_BUILDAH, "**/.terrace\n");
        assert_eq!(refusal(), None);
    }
}
