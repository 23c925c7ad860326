//! Runs one program in its own process group, with a time limit and a limit of its output.

use super::private::PrivateState;
use super::process::{self, ATTEMPT_VARIABLE, Started};
use super::protocol::Printed;
use crate::project::invalid;
use rustix::process::Signal;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use terrace_provider::sandbox::variables;
use terrace_provider::{Call, ErrorKind, Partial, ProviderError};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

/// How long a program may take to end after TERM before it is killed.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// How long the pipes of a program are read after its end. A background process may keep them open or continue to
/// print, but all output of the program itself is in the pipes already.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(200);

/// How many reads are enough to read two full pipes.
const FULL_PIPES: usize = 64;

/// The limit of the standard output of a program.
const MAX_OUTPUT: usize = 16 << 20;

/// How much of the end of standard error is kept.
const MAX_ERRORS: usize = 16 << 10;

/// How many of these lines an error shows.
const MAX_SHOWN_LINES: usize = 10;

/// The exit code that requests a retry (`EX_TEMPFAIL` of sysexits.h).
const EXIT_RETRY: i32 = 75;

/// A program that is ready to run.
pub(super) struct Job {
    /// The attribute of the program.
    pub(super) program: &'static str,
    /// The program and its arguments; not empty.
    pub(super) argv: Vec<String>,
    /// The working directory.
    pub(super) folder: PathBuf,
    /// The names of the inherited variables in addition to the usual ones.
    pub(super) inherited: Vec<String>,
    /// The variables in addition to the inherited ones.
    pub(super) environment: Vec<(String, String)>,
    /// The standard input.
    pub(super) stdin: Vec<u8>,
    /// How long it may run.
    pub(super) timeout: Duration,
    /// How long it may take to end after TERM.
    pub(super) grace: Duration,
}

/// The name of a call in the environment of its processes.
pub(super) fn attempt_name(operation: &str, step: &str) -> String {
    format!("{operation}/{step}")
}

/// The end of a program.
enum End {
    Exited(ExitStatus),
    TimedOut,
    PrintedTooMuch,
}

impl Job {
    /// Runs a program that changes nothing. It is killed if the future is dropped.
    ///
    /// # Errors
    ///
    /// If the program cannot start, fails, takes too long or prints too much.
    pub(super) async fn run_reading(&self) -> Result<Printed, ProviderError> {
        let child = self.spawn(self.command()?)?;
        let mut kill_group = KillGroup(group_of(&child));
        let failed = ErrorKind::InvalidInput { path: Some(terrace_provider::Path::attribute(self.program)) };
        let printed = self.wait_for_output(child, failed).await;
        // The program ended; its process id may be reused from now on.
        kill_group.0 = None;
        printed
    }

    /// Runs a program that changes something. It has all of its input from the start and continues if this process is
    /// killed: recovery finds it by the name of the call or by its recorded process.
    ///
    /// # Errors
    ///
    /// As for [`Job::run_reading`], but `Failed` after the start; also if the process cannot be recorded.
    pub(super) async fn run_changing(&self, call: &Call, state: &PrivateState) -> Result<Printed, ProviderError> {
        let mut command = self.command()?;
        command.env(ATTEMPT_VARIABLE, attempt_name(&call.operation, &call.step));
        let mut child = self.spawn(command)?;
        let group = group_of(&child);
        let state = PrivateState { process: group.map(Started::now), ..state.clone() };
        let partial = Partial { identity: None, private: Some(state.to_private()) };
        if let Err(error) = call.progress.partial(partial).await {
            self.stop(&mut child).await;
            let message = format!("`{}` was stopped: its process cannot be recorded: {error}", self.program);
            return Err(ProviderError::new(ErrorKind::Ambiguous, message));
        }
        self.wait_for_output(child, ErrorKind::Failed).await
    }

    fn command(&self) -> Result<Command, ProviderError> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(ProviderError::bug(format!("`{}` has no program", self.program)));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(variables::inherited(&self.inherited))
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        let input = input(&self.stdin).map_err(|error| {
            let message = format!("the input of `{}` cannot be created: {error}", self.program);
            ProviderError::new(ErrorKind::Transient, message)
        })?;
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        Ok(command)
    }

    fn spawn(&self, mut command: Command) -> Result<Child, ProviderError> {
        command.spawn().map_err(|error| {
            let name = self.argv.first().map_or("", String::as_str);
            let message = |why: &str| format!("`{}` cannot be started: {why}", self.program);
            match error.kind() {
                io::ErrorKind::NotFound => invalid(self.program, message(&format!("there is no program `{name}`")))
                    .solution("install it, or write its path; no shell is involved"),
                io::ErrorKind::PermissionDenied => {
                    invalid(self.program, message(&format!("`{name}` is not executable")))
                        .solution(format!("`chmod +x {name}`, or put its interpreter first"))
                }
                // Out of processes or memory: a retry may succeed.
                io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => {
                    ProviderError::new(ErrorKind::Transient, message(&error.to_string()))
                }
                _ => invalid(self.program, message(&error.to_string())),
            }
        })
    }

    /// Reads the output of a child until it ends or times out.
    async fn wait_for_output(&self, mut child: Child, failed: ErrorKind) -> Result<Printed, ProviderError> {
        let timeout = tokio::time::sleep(self.timeout);
        tokio::pin!(timeout);
        let mut streams = Streams::of(&mut child);
        let end = loop {
            let status = tokio::select! {
                biased;
                status = child.wait() => status.map(Some),
                // After a suspended process the timer may fire before the notice that the program ended in time.
                () = &mut timeout => child.try_wait(),
                () = streams.read_next(), if streams.is_open() => {
                    if streams.printed.len() > MAX_OUTPUT {
                        break End::PrintedTooMuch;
                    }
                    continue;
                }
            };
            match status {
                Ok(Some(status)) => break End::Exited(status),
                Ok(None) => break End::TimedOut,
                Err(error) => {
                    let message = format!("`{}` cannot be waited for: {error}", self.program);
                    return Err(ProviderError::new(failed, message));
                }
            }
        };
        match &end {
            End::Exited(_) => streams.drain().await,
            End::TimedOut | End::PrintedTooMuch => self.stop(&mut child).await,
        }
        self.outcome(end, streams, failed)
    }

    fn outcome(&self, end: End, streams: Streams, failed: ErrorKind) -> Result<Printed, ProviderError> {
        let lines = Self::last_lines(&streams);
        let is_timed_out = matches!(end, End::TimedOut);
        let (kind, reason) = match end {
            _ if streams.printed.len() > MAX_OUTPUT => {
                (failed, format!("printed more than {} MiB and was stopped", MAX_OUTPUT >> 20))
            }
            End::PrintedTooMuch => (failed, "printed too much and was stopped".to_owned()),
            End::TimedOut => (failed, format!("did not end within {} and was stopped", in_words(self.timeout))),
            End::Exited(status) if status.success() => return Ok(Printed(streams.printed)),
            End::Exited(status) => match status.code() {
                Some(EXIT_RETRY) => (ErrorKind::Transient, format!("requests a retry (exit code {EXIT_RETRY})")),
                Some(code) => (failed, format!("failed with exit code {code}")),
                None => (failed, format!("was ended by a signal ({status})")),
            },
        };
        let last = lines.last().map(|line| format!(": {line}")).unwrap_or_default();
        let mut error = ProviderError::new(kind, format!("`{}` {reason}{last}", self.program));
        error.problems = lines;
        if is_timed_out {
            error = error.solution("set longer `timeouts` for the resource if it needs more time");
        }
        Err(error)
    }

    /// The last lines of standard error.
    fn last_lines(streams: &Streams) -> Vec<String> {
        let text = String::from_utf8_lossy(&streams.errors);
        // The first line may be cut, and a cut secret would not be redacted.
        let whole = if streams.errors_are_cut { text.split_once('\n').map_or("", |(_, rest)| rest) } else { &text };
        let lines: Vec<&str> = whole.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        if streams.errors_are_cut && lines.is_empty() {
            return vec![format!(
                "the last line of standard error is longer than {} KiB and is omitted",
                MAX_ERRORS >> 10
            )];
        }
        lines.iter().skip(lines.len().saturating_sub(MAX_SHOWN_LINES)).map(|line| (*line).to_owned()).collect()
    }

    /// Stops a child and its whole group.
    async fn stop(&self, child: &mut Child) {
        let Some(group) = group_of(child) else { return };
        process::signal_group(group, Signal::TERM);
        drop(tokio::time::timeout(self.grace, child.wait()).await);
        process::signal_group(group, Signal::KILL);
        if let Err(error) = child.wait().await {
            tracing::warn!(group, %error, "a killed command cannot be waited for");
        }
        process::wait_for_end(group, self.grace).await;
    }
}

/// The group of a child that has not been waited for: its process id.
fn group_of(child: &Child) -> Option<i32> {
    child.id().and_then(|id| i32::try_from(id).ok())
}

/// Kills a process group when it is dropped.
struct KillGroup(Option<i32>);

impl Drop for KillGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            process::signal_group(group, Signal::KILL);
        }
    }
}

/// The standard input: a file without a name. A pipe would be truncated if this process were killed, and the program
/// could not detect it.
fn input(stdin: &[u8]) -> io::Result<Stdio> {
    let mut file = nameless()?;
    file.write_all(stdin)?;
    file.rewind()?;
    Ok(file.into())
}

/// Creates a file in memory only, because it may contain secrets.
#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("terrace-input", MemfdFlags::CLOEXEC)?.into())
}

#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    tempfile::tempfile()
}

/// The pipes of a child and the output so far.
struct Streams {
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    printed: Vec<u8>,
    errors: Vec<u8>,
    errors_are_cut: bool,
}

impl Streams {
    fn of(child: &mut Child) -> Self {
        Self {
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            printed: Vec::new(),
            errors: Vec::new(),
            errors_are_cut: false,
        }
    }

    fn is_open(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Reads the remaining output after the program ended. After the time limit it only empties the pipes:
    /// on a busy machine they may hold the whole output of the program.
    async fn drain(&mut self) {
        let end = Instant::now() + DRAIN_TIMEOUT;
        let mut late_reads = 0;
        while self.is_open() && self.printed.len() <= MAX_OUTPUT && late_reads < FULL_PIPES {
            // Available output is read even after the time limit.
            if timeout_at(end, self.read_next()).await.is_err() {
                break;
            }
            late_reads += usize::from(Instant::now() >= end);
        }
    }

    /// Reads the next output of either pipe. It is cancel-safe.
    async fn read_next(&mut self) {
        let mut out = [0_u8; 8 << 10];
        let mut err = [0_u8; 8 << 10];
        tokio::select! {
            bytes = next(&mut self.stdout, &mut out), if self.stdout.is_some() => self.printed.extend_from_slice(bytes),
            bytes = next(&mut self.stderr, &mut err), if self.stderr.is_some() => {
                self.errors.extend_from_slice(bytes);
                let excess = self.errors.len().saturating_sub(MAX_ERRORS);
                if excess > 0 {
                    self.errors.drain(..excess);
                    self.errors_are_cut = true;
                }
            }
            else => {}
        }
    }
}

/// Reads the next bytes of a pipe; none after the pipe is closed.
async fn next<'a, R: AsyncRead + Unpin>(pipe: &mut Option<R>, buffer: &'a mut [u8]) -> &'a [u8] {
    let Some(open) = pipe else { return &[] };
    match open.read(buffer).await {
        Ok(count) if count > 0 => buffer.get(..count).unwrap_or_default(),
        _ => {
            *pipe = None;
            &[]
        }
    }
}

fn in_words(time: Duration) -> String {
    if time.subsec_millis() == 0 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
