//! Builds images and pushes them, by `buildah` or `docker`. Both write the digest that the registry has to a file.

use super::program::{self, Problem, ProblemKind};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Time limit to remove an image.
const REMOVAL: Duration = Duration::from_secs(60);
/// Time limit of a build, and of a push.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Size limit of a file with a digest, in bytes.
const LARGEST: u64 = 1 << 20;
/// The file that describes an image.
pub const DOCKERFILE: &str = "Dockerfile";

/// A program that builds images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builder {
    /// `buildah`, which needs no daemon. <https://github.com/containers/buildah/tree/main/docs>
    Buildah(PathBuf),
    /// `docker` with Buildx. <https://docs.docker.com/reference/cli/docker/buildx/build/>
    Docker(PathBuf),
}

impl Builder {
    /// The first builder in the folders of a variable `PATH`.
    ///
    /// # Errors
    /// When no program is found.
    pub fn find(path: Option<&OsStr>) -> Result<Self, Problem> {
        let find = |name: &str| {
            let folders = path.into_iter().flat_map(std::env::split_paths);
            folders.map(|folder| folder.join(name)).find(|program| is_program(program))
        };
        let found = find("buildah").map(Self::Buildah).or_else(|| find("docker").map(Self::Docker));
        found.ok_or_else(|| {
            Problem::later("no program builds images here: neither `buildah` nor `docker` is in PATH")
                .hint("install one: `apt-get install buildah`, or https://docs.docker.com/engine/install/")
        })
    }

    /// Builds the `Dockerfile` of a folder as `image:tag`, pushes it, and returns its digest: `sha256:…`. Only the registry keeps
    /// the image. `work` is an empty folder for files of the builder.
    ///
    /// # Errors
    /// When the build fails ([`ProblemKind::Limited`]), or the registry refuses the image.
    pub async fn publish(
        &self,
        (image, tag): (&str, &str),
        context: &Path,
        work: &Path,
        cancel: &CancellationToken,
    ) -> Result<String, Problem> {
        let name = format!("{image}:{tag}");
        let label = format!("org.opencontainers.image.revision={tag}");
        let file = context.join(DOCKERFILE);
        match self {
            Self::Buildah(program) => {
                // Another project may build the same commit.
                let local = format!("localhost/terrace-{}:{tag}", Uuid::now_v7());
                let mut build = Command::new(program);
                build.args(["build", "--tag", &local, "--label", &label, "--file"]).arg(&file).arg(context);
                run(build, &format!("the image of {tag} cannot be built"), ProblemKind::Limited, cancel).await?;
                let digest = work.join("digest");
                let mut push = Command::new(program);
                push.args(["push", "--digestfile"]).arg(&digest).arg(&local).arg(format!("docker://{name}"));
                let pushed = run(push, &format!("`{name}` cannot be pushed"), ProblemKind::Later, cancel).await;
                let mut remove = Command::new(program);
                remove.args(["rmi", &local]);
                forget(remove).await;
                pushed.map_err(|problem| problem.hint(format!("sign in with `buildah login {}`", registry(image))))?;
                checked_digest(&read(&digest)?)
            }
            Self::Docker(program) => {
                let metadata = work.join("metadata.json");
                let mut build = Command::new(program);
                build.args(["buildx", "build", "--push", "--metadata-file"]).arg(&metadata);
                build.args(["--tag", &name, "--label", &label, "--file"]).arg(&file).arg(context);
                let action = format!("`{name}` cannot be built and pushed");
                run(build, &action, ProblemKind::Limited, cancel)
                    .await
                    .map_err(|problem| problem.hint(format!("sign in with `docker login {}`", registry(image))))?;
                let json: Value = serde_json::from_str(&read(&metadata)?).unwrap_or_default();
                let digest =
                    checked_digest(json.get("containerimage.digest").and_then(Value::as_str).unwrap_or_default())?;
                let mut remove = Command::new(program);
                remove.args(["image", "rm", &name]);
                forget(remove).await;
                Ok(digest)
            }
        }
    }
}

/// Host of an image's registry.
fn registry(image: &str) -> &str {
    image.split('/').next().unwrap_or(image)
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

async fn run(command: Command, action: &str, kind: ProblemKind, cancel: &CancellationToken) -> Result<(), Problem> {
    let ended = program::run(command, b"", LONGEST, cancel).await.map_err(|problem| match problem.kind {
        // A build that takes too long would begin again at each poll.
        ProblemKind::Later => problem.with_kind(kind),
        _ => problem,
    })?;
    match ended.status.success() {
        true => Ok(()),
        false => Err(Problem::later(format!("{action} ({}):\n{}", ended.status, ended.log())).with_kind(kind)),
    }
}

/// Removes the copy of an image: the images of all commits would fill the disk of a server. Some builders of `docker` keep none.
async fn forget(remove: Command) {
    match program::run(remove, b"", REMOVAL, &CancellationToken::new()).await {
        Ok(ended) if ended.status.success() => {}
        Ok(ended) => tracing::debug!(log = ended.log(), "an image is kept here"),
        Err(problem) => tracing::debug!(why = problem.message, "an image is kept here"),
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    let is_small = fs::metadata(path).is_ok_and(|file| file.len() <= LARGEST);
    fs::read_to_string(path).ok().filter(|_| is_small).ok_or_else(|| {
        Problem::later("the builder reports no digest of the image, though it succeeded")
            .hint("install a newer release of the builder")
    })
}

/// A digest as registries have them.
fn checked_digest(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    match digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        true => Ok(text.to_owned()),
        false => Err(Problem::later("the builder reports no digest `sha256:…` of the image")
            .hint("install a newer release of the builder")),
    }
}

/// True for the name of a repository in a registry, without tag and digest: `registry.example.com:5000/data/orders`.
///
/// The grammar is that of <https://github.com/distribution/reference>, with a required registry.
#[must_use]
pub fn is_repository(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(is_end) && part.ends_with(is_end) && part.chars().all(|c| is_end(c) || "._-".contains(c))
    };
    let Some((registry, path)) = text.split_once('/') else { return false };
    let (host, port) = registry.split_once(':').unwrap_or((registry, "0"));
    let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    is_host && port.parse::<u16>().is_ok() && path.split('/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A stand-in that appends its arguments to `calls`, then runs the script.
    fn stand_in(folder: &Path, name: &str, script: &str) -> PathBuf {
        let path = folder.join(name);
        let calls = folder.join("calls");
        fs::write(&path, format!("#!/bin/sh\necho \"$*\" >> {}\n{script}\n", calls.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    async fn publish(builder: Builder, work: &Path) -> Result<String, Problem> {
        let cancel = CancellationToken::new();
        builder.publish(("r.example.com/x", "abc"), Path::new("/context"), work, &cancel).await
    }

    fn digest() -> String {
        format!("sha256:{}", "0a".repeat(32))
    }

    #[tokio::test]
    async fn buildah_builds_pushes_and_reports_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("[ \"$1\" = push ] && echo '{}' > \"$3\"; exit 0", digest());
        let builder = Builder::Buildah(stand_in(folder.path(), "buildah", &script));
        assert_eq!(publish(builder, folder.path()).await.unwrap(), digest());
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        let place = folder.path().join("digest");
        let local = calls.split(' ').nth(2).unwrap();
        assert!(local.starts_with("localhost/terrace-") && local.ends_with(":abc"), "{calls}");
        let expected = format!(
            "build --tag {local} --label org.opencontainers.image.revision=abc --file /context/Dockerfile /context\n\
             push --digestfile {} {local} docker://r.example.com/x:abc\nrmi {local}\n",
            place.display()
        );
        assert_eq!(calls, expected);
    }

    #[tokio::test]
    async fn docker_builds_and_reports_a_digest() {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(r#"echo '{{"containerimage.digest": "{}"}}' > "$5""#, digest());
        let builder = Builder::Docker(stand_in(folder.path(), "docker", &script));
        assert_eq!(publish(builder, folder.path()).await.unwrap(), digest());
        let calls = fs::read_to_string(folder.path().join("calls")).unwrap();
        let metadata = folder.path().join("metadata.json");
        let expected = format!(
            "buildx build --push --metadata-file {} --tag r.example.com/x:abc --label \
             org.opencontainers.image.revision=abc --file /context/Dockerfile /context\nimage rm r.example.com/x:abc\n",
            metadata.display()
        );
        assert_eq!(calls, expected);
    }

    #[tokio::test]
    async fn failures_of_builders_have_their_effect_and_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let other = format!("[ \"$1\" = push ] && echo '{}' > \"$3\"; exit 0", "sha256:00");
        for (script, kind, message, hint) in [
            ("echo no such base >&2; exit 1", ProblemKind::Limited, "no such base", ""),
            (
                "[ \"$1\" = build ] || { echo unauthorized >&2; exit 1; }",
                ProblemKind::Later,
                "unauthorized",
                "buildah login r.example.com",
            ),
            ("exit 0", ProblemKind::Later, "reports no digest", "newer release"),
            (other.as_str(), ProblemKind::Later, "no digest `sha256:…`", "newer release"),
            ("kill -9 $$", ProblemKind::Limited, "signal: 9", ""),
        ] {
            let _ = fs::remove_file(folder.path().join("digest"));
            let builder = Builder::Buildah(stand_in(folder.path(), "buildah", script));
            let problem = publish(builder, folder.path()).await.unwrap_err();
            assert_eq!(problem.kind, kind, "{script}: {problem:?}");
            assert!(problem.message.contains(message) && problem.hints.join(" ").contains(hint), "{problem:?}");
        }
        let builder = Builder::Docker(stand_in(folder.path(), "docker", "echo denied >&2; exit 1"));
        let problem = publish(builder, folder.path()).await.unwrap_err();
        assert!(problem.kind == ProblemKind::Limited && problem.message.contains("denied"), "{problem:?}");
    }

    #[test]
    fn missing_builder_is_named_with_the_command_to_install() {
        let folder = tempfile::tempdir().unwrap();
        let problem = Builder::find(Some(folder.path().as_os_str())).unwrap_err();
        assert!(problem.hints[0].contains("apt-get install buildah"), "{problem:?}");
        let docker = stand_in(folder.path(), "docker", "");
        assert_eq!(Builder::find(Some(folder.path().as_os_str())), Ok(Builder::Docker(docker)));
        let buildah = stand_in(folder.path(), "buildah", "");
        assert_eq!(Builder::find(Some(folder.path().as_os_str())), Ok(Builder::Buildah(buildah)));
    }

    #[test]
    fn image_names_a_repository_of_a_registry() {
        for text in ["r.example.com/x", "localhost:5000/a/b-c", "ghcr.io/acme/orders"] {
            assert!(is_repository(text), "{text}");
        }
        for text in ["orders", "r/x:1", "r/x@sha256:00", "r/X", "r:x/y", "-r/x", "r/", "/x", "r/x/-y", "r/x y", "r//x"]
        {
            assert!(!is_repository(text), "{text}");
        }
    }
}
