//! Git repositories of deployments, by the program `git`: the refs of a remote one, and bare copies on this machine.
//!
//! Commands run no hooks, ask no questions, and fetch by `https` and `file` only. They never change history.

use super::location::Location;
use super::program::{self, Ended, Problem};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time limit of a command that calls another machine.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// Variables of `git` that its commands inherit: the configuration of the user, a program for passwords, and certificate
/// authorities. Others could name another repository.
const INHERITED: [&str; 6] = [
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
];
/// Refs of the remote repository in a copy.
const REMOTE: &str = "refs/terrace/heads/";

/// Sign-in to a host by HTTPS.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Host, with the port if it is not the usual one.
    pub host: String,
    /// Name of the account: `x-access-token` at GitHub, `oauth2` at GitLab.
    pub user: &'static str,
    /// Token of the forge.
    pub token: SecretString,
}

/// The program `git`, with the user's credentials.
#[derive(Debug, Clone)]
pub struct Git {
    credentials: Vec<Credential>,
    cancel: CancellationToken,
}

/// The end of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The branch has the commit.
    Done,
    /// Another commit was pushed before.
    Conflict,
    /// The repository refuses the push: a protected branch, a hook, or missing rights.
    Refused(String),
}

impl Git {
    /// The program with these credentials. Cancelling the token ends its commands.
    #[must_use]
    pub fn new(credentials: Vec<Credential>, cancel: CancellationToken) -> Self {
        Self { credentials, cancel }
    }

    /// A text without tokens.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        self.credentials.iter().fold(text.to_owned(), |text, credential| {
            text.replace(&credential.basic(), "(redacted)").replace(credential.token.expose_secret(), "(redacted)")
        })
    }

    fn credential(&self, location: &Location) -> Option<&Credential> {
        let (host, _) = location.host_and_path()?;
        self.credentials.iter().find(|credential| credential.host == host)
    }

    /// The URL of a repository. Forges redirect URLs without `.git`, and a call with a token follows no redirect.
    fn url(&self, location: &Location) -> String {
        match self.credential(location) {
            Some(_) if !location.url.ends_with(".git") => format!("{}.git", location.url),
            _ => location.url.clone(),
        }
    }

    /// A command. With a location, it may call that repository.
    fn command(&self, location: Option<&Location>, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"]);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("GIT_") && !INHERITED.contains(&name)) {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0").env("GIT_ALLOW_PROTOCOL", "https:file");
        if let Some(credential) = location.and_then(|location| self.credential(location)) {
            // Arguments are visible to other users of the machine, variables are not. A redirect must not take the token to
            // another host.
            let header = format!("http.https://{}/.extraHeader", credential.host);
            let settings = [
                (header, format!("Authorization: Basic {}", credential.basic())),
                ("http.followRedirects".to_owned(), "false".to_owned()),
            ];
            command.env("GIT_CONFIG_COUNT", settings.len().to_string());
            for (position, (key, value)) in settings.into_iter().enumerate() {
                command
                    .env(format!("GIT_CONFIG_KEY_{position}"), key)
                    .env(format!("GIT_CONFIG_VALUE_{position}"), value);
            }
        }
        command.args(arguments);
        command
    }

    async fn run(&self, command: Command, input: &[u8]) -> Result<Ended, Problem> {
        program::run(command, input, LONGEST, &self.cancel).await
    }

    /// The output of a command that has to succeed.
    async fn output(&self, command: Command, input: &[u8], action: &str) -> Result<Vec<u8>, Problem> {
        let ended = self.run(command, input).await?;
        if ended.status.success() { Ok(ended.stdout) } else { Err(self.failure(&ended, action)) }
    }

    fn failure(&self, ended: &Ended, action: &str) -> Problem {
        let log = self.redacted(&String::from_utf8_lossy(&ended.stderr));
        let lines: Vec<&str> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let is_denied =
            ["Authentication failed", "could not read Username", "returned error: 403", "returned error: 401"];
        let problem = Problem::later(format!("{action}: {}", lines.join("; ")));
        match is_denied.iter().any(|words| log.contains(words)) {
            true => problem.hint(
                "set GITHUB_TOKEN or GITLAB_TOKEN to a token that may read and push, or a credential helper of git",
            ),
            false => problem,
        }
    }

    /// The refs of a remote repository that match the patterns, with their commits. Annotated tags lead to their commits.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub async fn remote_refs(
        &self,
        location: &Location,
        patterns: &[&str],
    ) -> Result<BTreeMap<String, String>, Problem> {
        let url = self.url(location);
        let words: Vec<&str> =
            ["ls-remote", "--quiet", "--", &url].into_iter().chain(patterns.iter().copied()).collect();
        let action = format!("the refs of {} cannot be read", location.url);
        let output = self.output(self.command(Some(location), &words), b"", &action).await?;
        let mut refs = BTreeMap::new();
        for line in String::from_utf8_lossy(&output).lines() {
            if let Some((commit, name)) = line.split_once('\t').filter(|(commit, _)| is_commit(commit)) {
                // The line of the peeled tag follows that of the tag.
                refs.insert(name.strip_suffix("^{}").unwrap_or(name).to_owned(), commit.to_owned());
            }
        }
        Ok(refs)
    }

    /// Name of the default branch of a remote repository.
    ///
    /// # Errors
    /// When the repository cannot be read, or has no branch.
    pub async fn default_branch(&self, location: &Location) -> Result<String, Problem> {
        let url = self.url(location);
        let words = ["ls-remote", "--quiet", "--symref", "--", &url, "HEAD"];
        let action = format!("the default branch of {} cannot be read", location.url);
        let output = self.output(self.command(Some(location), &words), b"", &action).await?;
        let text = String::from_utf8_lossy(&output);
        let name = text.lines().find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"));
        name.map(str::to_owned).ok_or_else(|| {
            Problem::later(format!("{} has no default branch", location.url)).hint("push a first commit to it")
        })
    }

    /// The copy of a repository in a folder, created if it is missing. Removes locks that killed commands left.
    ///
    /// # Errors
    /// When it cannot be created.
    pub async fn open(&self, folder: &Path) -> Result<Copy<'_>, Problem> {
        if folder.join("HEAD").is_file() {
            remove_locks(folder, 0)?;
        } else {
            crate::private::folder(folder)?;
            let path = folder.to_string_lossy();
            let words = ["init", "--bare", "--quiet", "--template=", "--", path.as_ref()];
            self.output(self.command(None, &words), b"", &format!("`{path}` cannot be created")).await?;
        }
        Ok(Copy { git: self, folder: folder.to_owned() })
    }
}

impl Credential {
    fn basic(&self) -> String {
        BASE64_STANDARD.encode(format!("{}:{}", self.user, self.token.expose_secret()))
    }
}

/// A bare copy of a repository on this machine.
#[derive(Debug)]
pub struct Copy<'a> {
    git: &'a Git,
    folder: PathBuf,
}

impl Copy<'_> {
    fn command(&self, location: Option<&Location>, arguments: &[&str]) -> Command {
        let folder = format!("--git-dir={}", self.folder.display());
        let words: Vec<&str> = std::iter::once(folder.as_str()).chain(arguments.iter().copied()).collect();
        self.git.command(location, &words)
    }

    async fn output(&self, arguments: &[&str], action: &str) -> Result<Vec<u8>, Problem> {
        self.git.output(self.command(None, arguments), b"", action).await
    }

    /// Fetches branches, and all tags if requested.
    ///
    /// # Errors
    /// When the repository cannot be read, or lacks a branch.
    pub async fn fetch(&self, location: &Location, branches: &[&str], has_tags: bool) -> Result<(), Problem> {
        let branches = branches.iter().map(|name| format!("+refs/heads/{name}:{REMOTE}{name}"));
        let tags = has_tags.then(|| "+refs/tags/*:refs/tags/*".to_owned());
        let refs: Vec<String> = branches.chain(tags).collect();
        let url = self.git.url(location);
        let words = [
            "fetch",
            "--quiet",
            "--prune",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-recurse-submodules",
            "--",
            &url,
        ];
        let words: Vec<&str> = words.into_iter().chain(refs.iter().map(String::as_str)).collect();
        let action = format!("{} cannot be fetched", location.url);
        self.git.output(self.command(Some(location), &words), b"", &action).await.map(drop)
    }

    /// Name of the default branch of a remote repository.
    ///
    /// # Errors
    /// As [`Git::default_branch`].
    pub async fn default_branch(&self, location: &Location) -> Result<String, Problem> {
        self.git.default_branch(location).await
    }

    /// The commit of a fetched branch.
    ///
    /// # Errors
    /// When it was not fetched.
    pub async fn head(&self, branch: &str) -> Result<String, Problem> {
        let name = format!("{REMOTE}{branch}");
        let output =
            self.output(&["rev-parse", "--verify", "--quiet", &name], &format!("no branch `{branch}`")).await?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }

    /// True if the copy has this commit.
    ///
    /// # Errors
    /// When `git` cannot be run.
    pub async fn has_commit(&self, commit: &str) -> Result<bool, Problem> {
        let name = format!("{commit}^{{commit}}");
        Ok(self.git.run(self.command(None, &["cat-file", "-e", &name]), b"").await?.status.success())
    }

    /// Fetched tags, the oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn tags(&self) -> Result<Vec<String>, Problem> {
        let words = ["for-each-ref", "--sort=creatordate", "--format=%(refname)", "refs/tags"];
        let output = self.output(&words, "the tags cannot be listed").await?;
        Ok(String::from_utf8_lossy(&output).lines().map(str::to_owned).collect())
    }

    /// Content of a file of a commit, and its mode; `None` if it is missing or no file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn file(&self, commit: &str, path: &str) -> Result<Option<(Vec<u8>, String)>, Problem> {
        let action = format!("`{path}` of {commit} cannot be read");
        let listed = self.output(&["ls-tree", "--full-tree", "-z", commit, "--", path], &action).await?;
        let listed = String::from_utf8_lossy(&listed);
        let Some((entry, _)) = listed.split_once('\t') else { return Ok(None) };
        let mut words = entry.split(' ');
        let (Some(mode), Some("blob"), Some(blob)) = (words.next(), words.next(), words.next()) else {
            return Ok(None);
        };
        // A link leads elsewhere.
        if mode == "120000" {
            return Ok(None);
        }
        let content = self.output(&["cat-file", "blob", blob], &action).await?;
        Ok(Some((content, mode.to_owned())))
    }

    /// Makes a folder equal to a commit, or to a folder of it. `index` is a file that remembers the files of the last call:
    /// files that the commit no longer has are removed, other files stay.
    ///
    /// # Errors
    /// When the commit lacks the folder, or a file cannot be written.
    pub async fn check_out(&self, commit: &str, within: &str, folder: &Path, index: &Path) -> Result<(), Problem> {
        crate::private::folder(folder)?;
        crate::files::remove_file(&index.with_extension("lock"))?;
        let tree = format!("{commit}:{within}");
        let work_tree = format!("--work-tree={}", folder.display());
        let mut command = self.command(None, &[&work_tree, "read-tree", "--reset", "-u", &tree]);
        // The name of the lock is that of the index with `.lock`.
        command.env("GIT_INDEX_FILE", index).current_dir(folder);
        self.git.output(command, b"", &format!("`{within}` of {commit} cannot be written")).await.map(drop)
    }

    /// The newest commit before and including `from` whose message has this line.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub async fn find_commit(&self, from: &str, line: &str) -> Result<Option<String>, Problem> {
        let pattern = format!("--grep={line}");
        let words = ["log", "-1", "--format=%H", "--fixed-strings", &pattern, from];
        let output = self.output(&words, "the history cannot be read").await?;
        Ok(Some(String::from_utf8_lossy(&output).trim().to_owned()).filter(|commit| !commit.is_empty()))
    }

    /// Creates a commit after `parent` that differs in one file. Changes no ref.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn commit_file(
        &self,
        parent: &str,
        (path, content, mode): (&str, &[u8], &str),
        message: &str,
        author: &super::Author,
    ) -> Result<String, Problem> {
        const ACTION: &str = "the commit for the operations repository cannot be written";
        let one = |output: Vec<u8>| String::from_utf8_lossy(&output).trim().to_owned();
        let index = self.folder.join("terrace-index");
        for path in [index.clone(), index.with_extension("lock")] {
            crate::files::remove_file(&path)?;
        }
        let blob = self.git.output(self.command(None, &["hash-object", "-w", "--stdin"]), content, ACTION).await?;
        let with_index = |arguments: &[&str]| {
            let mut command = self.command(None, arguments);
            command.env("GIT_INDEX_FILE", &index);
            command
        };
        self.git.output(with_index(&["read-tree", parent]), b"", ACTION).await?;
        let entry = format!("{mode},{},{path}", one(blob));
        self.git.output(with_index(&["update-index", "--add", "--cacheinfo", &entry]), b"", ACTION).await?;
        let tree = one(self.git.output(with_index(&["write-tree"]), b"", ACTION).await?);
        let mut command = self.command(None, &["commit-tree", &tree, "-p", parent, "-F", "-"]);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), &author.name).env(format!("GIT_{role}_EMAIL"), &author.email);
        }
        Ok(one(self.git.output(command, message.as_bytes(), ACTION).await?))
    }

    /// Pushes a commit to a branch of the remote repository, never by force.
    ///
    /// # Errors
    /// When the outcome is unknown: the repository cannot be reached, or the user stops the work.
    pub async fn push(&self, location: &Location, commit: &str, branch: &str) -> Result<Pushed, Problem> {
        let refs = format!("{commit}:refs/heads/{branch}");
        let url = self.git.url(location);
        let words = ["push", "--porcelain", "--no-verify", "--", &url, &refs];
        let ended = self.git.run(self.command(Some(location), &words), b"").await?;
        if ended.status.success() {
            return Ok(Pushed::Done);
        }
        let report = String::from_utf8_lossy(&ended.stdout);
        let Some(line) = report.lines().find(|line| line.starts_with('!')) else {
            return Err(self.git.failure(&ended, &format!("{} cannot be pushed to", location.url)));
        };
        // Two pushes at once: the second finds the branch locked, or changed.
        let is_raced =
            ["cannot lock ref", "failed to update ref", "incorrect old value", "fetch first", "non-fast-forward"];
        if line.contains("[rejected]") || is_raced.iter().any(|words| line.contains(words)) {
            return Ok(Pushed::Conflict);
        }
        let reason = line.rsplit('\t').next().unwrap_or(line).to_owned();
        let log = String::from_utf8_lossy(&ended.stderr);
        let remote = log.lines().filter_map(|line| line.strip_prefix("remote:")).map(str::trim);
        let remote: Vec<&str> = remote.filter(|line| !line.is_empty()).collect();
        let parts = std::iter::once(reason.as_str()).chain(remote);
        Ok(Pushed::Refused(self.git.redacted(&parts.collect::<Vec<_>>().join("; "))))
    }
}

/// True for a digest of a commit: SHA-1 or SHA-256.
#[must_use]
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Removes the locks of killed commands in a copy, which only this process uses.
fn remove_locks(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_refs = depth > 0 || path.file_name().is_some_and(|name| name == "refs");
        if path.is_dir() {
            if is_refs && depth < 16 {
                remove_locks(&path, depth.saturating_add(1))?;
            }
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            crate::files::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_reaches_only_its_host_and_no_argument() {
        let credential =
            Credential { host: "github.com".to_owned(), user: "x-access-token", token: "ghp-secret".to_owned().into() };
        let git = Git::new(vec![credential], CancellationToken::new());
        let variables = |url: &str| {
            let command = git.command(Some(&Location::parse(url).unwrap()), &["ls-remote"]);
            assert!(!format!("{:?}", command.get_args()).contains("ghp-secret"));
            let set = command.get_envs().filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)));
            set.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("\n")
        };
        let basic = BASE64_STANDARD.encode("x-access-token:ghp-secret");
        let found = variables("acme/orders");
        assert!(found.contains(&format!("GIT_CONFIG_VALUE_0=Authorization: Basic {basic}")), "{found}");
        assert!(found.contains("GIT_CONFIG_KEY_0=http.https://github.com/.extraHeader"), "{found}");
        assert!(found.contains("GIT_CONFIG_KEY_1=http.followRedirects\n"), "{found}");
        assert!(found.contains("GIT_CONFIG_VALUE_1=false"), "{found}");
        for url in ["https://github.com.example.com/acme/orders", "https://gitlab.com/a/b", "file:///srv/x.git"] {
            assert!(!variables(url).contains("GIT_CONFIG_COUNT"), "{url}");
        }
        assert_eq!(git.redacted(&format!("a ghp-secret {basic}")), "a (redacted) (redacted)");
        assert!(!format!("{git:?}").contains("ghp-secret"));
        // A call with a token follows no redirect to the URL with `.git`.
        assert_eq!(git.url(&Location::parse("acme/orders").unwrap()), "https://github.com/acme/orders.git");
        assert_eq!(git.url(&Location::parse("https://gitlab.com/a/b").unwrap()), "https://gitlab.com/a/b");
    }

    #[tokio::test]
    async fn locks_of_killed_commands_do_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::new(Vec::new(), CancellationToken::new());
        let place = folder.path().join("copy.git");
        git.open(&place).await.unwrap();
        for name in ["config.lock", "refs/heads/main.lock"] {
            fs::write(place.join(name), "").unwrap();
        }
        git.open(&place).await.unwrap();
        assert!(!place.join("config.lock").exists() && !place.join("refs/heads/main.lock").exists());
    }

    #[test]
    fn commit_is_a_full_digest() {
        assert!(is_commit(&"0a".repeat(20)) && is_commit(&"0a".repeat(32)));
        assert!(!is_commit("0a0a0a0a") && !is_commit(&"0g".repeat(20)) && !is_commit("--upload-pack=x"));
    }
}
