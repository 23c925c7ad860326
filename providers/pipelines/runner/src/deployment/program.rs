//! Calls of programs, with limits of time and output. A program ends with this process, even if it is killed.

use crate::executor::local::Guard;
use crate::process_environment::remove_own_variables;
use std::fmt;
use std::io::ErrorKind;
use std::process::{Command as StdCommand, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Variable that marks the processes of a deployment in their environment.
const MARK: &str = "TERRACE_DEPLOYMENT";
/// Time for programs to end after this process is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Size limit of an output that is read, in bytes.
const LARGEST: u64 = 64 << 20;
/// The part of an output for people that is kept, in bytes: its end.
const LONGEST_LOG: usize = 64 << 10;
/// Number of lines of a log in a message.
const LINES: usize = 12;

/// Why a stage did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What happened.
    pub message: String,
    /// Remedies.
    pub hints: Vec<String>,
    /// The effect on the deployment.
    pub kind: ProblemKind,
}

/// The effect of a problem on the deployment of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// The commit cannot be deployed: it is not tried again.
    Commit,
    /// The cause may be the commit, or a network: it is tried a few times.
    Limited,
    /// The cause lies elsewhere: the next poll tries again.
    Later,
    /// The user stopped it: the next poll continues.
    Cancelled,
}

impl Problem {
    /// A problem that the next poll may not meet.
    #[must_use]
    pub fn later(message: impl Into<String>) -> Self {
        Self { message: message.into(), hints: Vec::new(), kind: ProblemKind::Later }
    }

    /// A problem of the commit.
    #[must_use]
    pub fn of_commit(message: impl Into<String>) -> Self {
        Self { kind: ProblemKind::Commit, ..Self::later(message) }
    }

    /// The end of the work by the user.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { kind: ProblemKind::Cancelled, ..Self::later("the deployment was stopped") }
    }

    /// Adds a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The same with another effect.
    #[must_use]
    pub fn with_kind(mut self, kind: ProblemKind) -> Self {
        self.kind = kind;
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::later(format!("the records of deployments cannot be read or written: {error}"))
    }
}

/// Variables with tokens of forges, which only terrace itself uses: they may push.
const TOKENS: [&str; 2] = ["GITHUB_TOKEN", "GITLAB_TOKEN"];

/// The end of a program.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// Its output.
    pub stdout: Vec<u8>,
    /// The end of its log.
    pub stderr: Vec<u8>,
}

impl Ended {
    /// The last lines of output and log, for a message.
    #[must_use]
    pub fn log(&self) -> String {
        let text = [self.stdout.as_slice(), self.stderr.as_slice()].map(String::from_utf8_lossy).join("\n");
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
    }
}

/// How a program is called.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// Its input.
    pub input: &'a [u8],
    /// Time limit.
    pub limit: Duration,
    /// Variables of terrace that it keeps.
    pub kept: &'a [&'a str],
    /// Time in which it may end by itself after the user stopped the work.
    pub grace: Duration,
}

/// Runs a program with this input, without the variables of terrace and the tokens of forges.
///
/// # Errors
/// When it cannot be started, exceeds a limit, or the user stops the work. A program that fails has no error.
pub async fn run(
    command: StdCommand,
    input: &[u8],
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Ended, Problem> {
    run_as(command, Call { input, limit, ..Call::default() }, cancel).await
}

/// Runs a program, without the tokens of forges.
///
/// # Errors
/// As [`run`].
pub async fn run_as(mut command: StdCommand, call: Call<'_>, cancel: &CancellationToken) -> Result<Ended, Problem> {
    let Call { input, limit, kept, grace } = call;
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => {
            Problem::later(format!("the program `{name}` is missing")).hint(format!("install {name}"))
        }
        _ => Problem::later(format!("`{name}` cannot be run: {error}")),
    };
    remove_own_variables(&mut command, kept);
    for token in TOKENS {
        command.env_remove(token);
    }
    let id = std::process::id().to_string();
    let guard = Guard::start((MARK, &id), GRACE).map_err(failed)?;
    let mut command = Command::from(command);
    command.env(MARK, &id).process_group(guard.group()).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            guard.end().await;
            return Err(failed(error));
        }
    };
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            // A program that ends early reports why.
            let _ = stdin.write_all(input).await;
        }
    };
    let all = async {
        let end = async {
            let status = child.wait().await;
            // A child that it left would keep the pipes open.
            guard.kill();
            status
        };
        let ((), stdout, stderr, status) = tokio::join!(give, read(stdout), read_end(stderr), end);
        (stdout, stderr, status)
    };
    let ended = {
        let mut all = std::pin::pin!(all);
        tokio::select! {
            ended = tokio::time::timeout(limit, &mut all) => ended.map_err(|_| {
                Problem::later(format!("`{name}` takes longer than {} minutes", limit.as_secs() / 60))
            }),
            () = cancel.cancelled() => {
                if !grace.is_zero() {
                    guard.terminate();
                    let _ = tokio::time::timeout(grace, &mut all).await;
                }
                Err(Problem::cancelled())
            }
        }
    };
    guard.end().await;
    let (stdout, stderr, status) = ended?;
    if u64::try_from(stdout.len()).is_ok_and(|length| length > LARGEST) {
        return Err(Problem::later(format!("`{name}` prints more than {} MiB", LARGEST >> 20)));
    }
    Ok(Ended { status: status.map_err(failed)?, stdout, stderr })
}

/// Reads a stream to its end, but keeps at most the limit and one byte more.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut collected = Vec::new();
    let Some(mut stream) = stream else { return collected };
    let _ = (&mut stream).take(LARGEST.saturating_add(1)).read_to_end(&mut collected).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    collected
}

/// Reads a stream to its end, and keeps the end.
async fn read_end(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut collected = Vec::new();
    let Some(mut stream) = stream else { return collected };
    while let Ok(read) = stream.read_buf(&mut collected).await {
        if read == 0 {
            break;
        }
        if collected.len() > 2 * LONGEST_LOG {
            collected.drain(..collected.len().saturating_sub(LONGEST_LOG));
        }
    }
    collected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> StdCommand {
        let mut command = StdCommand::new("/bin/sh");
        command.args(["-c", text]);
        command
    }

    #[tokio::test]
    async fn output_input_and_status_are_passed() {
        let cancel = CancellationToken::new();
        let script = "cat; echo bad >&2; exit 3";
        let ended = run(shell(script), b"in", Duration::from_secs(60), &cancel).await.unwrap();
        assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(3), &b"in"[..]));
        assert_eq!(ended.log(), "in\nbad");
    }

    #[tokio::test]
    async fn cancelled_program_may_end_by_itself_within_its_grace() {
        let (folder, cancel) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let (begun, ended) = (folder.path().join("begun"), folder.path().join("ended"));
        let script = format!(
            "trap 'echo > {}; exit' TERM; echo > {}; while :; do sleep 0.01; done",
            ended.display(),
            begun.display()
        );
        let call = Call { limit: Duration::from_secs(60), grace: Duration::from_secs(60), ..Call::default() };
        let cancelled = async {
            while !begun.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            cancel.cancel();
        };
        let (stopped, ()) = tokio::join!(run_as(shell(&script), call, &cancel), cancelled);
        assert_eq!((stopped.unwrap_err().kind, ended.exists()), (ProblemKind::Cancelled, true));
    }

    #[tokio::test]
    async fn late_and_cancelled_programs_end_with_their_children() {
        let (folder, cancel) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let alive = folder.path().join("pid");
        let script = format!("tail -f /dev/null & echo $! > {}; wait", alive.display());
        let late = run(shell(&script), b"", Duration::from_millis(300), &cancel).await.unwrap_err();
        assert_eq!(late.kind, ProblemKind::Later);
        let child = std::fs::read_to_string(&alive).unwrap();
        let is_running = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            !stat.is_empty() && !stat.contains(") Z ")
        };
        for _ in 0..500 {
            if !is_running(&child) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(!is_running(&child), "a child of a late program is running");
        cancel.cancel();
        let stopped = run(shell("tail -f /dev/null"), b"", Duration::from_secs(60), &cancel).await.unwrap_err();
        assert_eq!(stopped.kind, ProblemKind::Cancelled);
    }
}
