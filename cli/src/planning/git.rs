//! Commands of `git`, which reads commits. They change neither the work tree nor the index.
//!
//! The commits may come from strangers, who choose sizes, names and numbers of files: each command has limits.

use crate::failure::Failure;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The time limit of a command.
const LONGEST: Duration = Duration::from_secs(120);
/// The size limit of an output, in bytes.
pub(super) const LARGEST: u64 = 128 << 20;
/// The size limit of a message, in bytes.
const LARGEST_MESSAGE: u64 = 64 << 10;
/// The variables of `git` that its commands inherit: the configuration files of the user, and the programs that fetch the
/// missing files of a partial clone. Others could name another repository, or programs for the content of commits.
const INHERITED: [&str; 6] =
    ["GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_SSH", "GIT_SSH_COMMAND"];

/// A `git` command for a folder. It runs no hooks and no file watcher of the repository.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("GIT_") && !INHERITED.contains(&name)) {
            command.env_remove(name);
        }
    }
    command.arg("-C").arg(folder).args(arguments).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
    command
}

/// Runs a `git` command with this input.
///
/// # Errors
/// When `git` is not installed or cannot be run, and at the limits of time and size. A failed command returns its output.
pub(crate) fn output(command: Command, input: &[u8]) -> Result<Output, Failure> {
    within(command, input, LONGEST, |stdout| all_of(stdout, LARGEST)).map(|(stdout, status, stderr)| Output {
        status,
        stdout,
        stderr,
    })
}

/// Runs a `git` command with this input, and reads its output in pieces, so that it may be of any size.
///
/// # Errors
/// As [`output`], when the reader fails, and when the command fails.
pub(crate) fn stream(
    command: Command,
    input: &[u8],
    reader: impl FnOnce(&mut dyn BufRead) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ((), status, stderr) = within(command, input, LONGEST, reader)?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("`git` failed: {}", String::from_utf8_lossy(&stderr).trim()))),
    }
}

/// Reads an output up to a size limit.
fn all_of(stdout: &mut dyn BufRead, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    stdout.take(limit.saturating_add(1)).read_to_end(&mut text).map_err(|error| unusable(&error))?;
    match u64::try_from(text.len()).is_ok_and(|length| length <= limit) {
        true => Ok(text),
        false => Err(Failure::new(format!("`git` lists more than {} MiB: the commit has too many files", limit >> 20))
            .hint("terrace reads no larger commits; remove generated files from the repository")),
    }
}

/// The failure of a command that cannot be run or read.
pub(super) fn unusable(error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::new("this command needs the program `git`").hint("install git"),
        _ => Failure::new(format!("`git` cannot be run: {error}")),
    }
}

/// Runs a command and a reader of its output. Returns the reader's result, the status and the message. Kills the command
/// and its children, such as `ssh`, when the time is over or the reader fails: a child would keep the pipes open.
fn within<T>(
    mut command: Command,
    input: &[u8],
    time: Duration,
    reader: impl FnOnce(&mut dyn BufRead) -> Result<T, Failure>,
) -> Result<(T, std::process::ExitStatus, Vec<u8>), Failure> {
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| unusable(&error))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // The process is reaped after the last signal: no other group has its number.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let kill = || group.map(|group| kill_process_group(group, Signal::KILL));
    let (is_late, (done, is_done)) = (AtomicBool::new(false), channel::<()>());
    let (read, message) = thread::scope(|scope| {
        // A command that ends without reading reports why.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input)));
        let message = scope.spawn(|| {
            let mut message = Vec::new();
            if let Some(mut stderr) = stderr {
                let _ = stderr.by_ref().take(LARGEST_MESSAGE).read_to_end(&mut message);
                let _ = std::io::copy(&mut stderr, &mut std::io::sink());
            }
            message
        });
        let is_late = &is_late;
        scope.spawn(move || {
            if is_done.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                is_late.store(true, Ordering::SeqCst);
                let _ = kill();
            }
        });
        let read = match stdout {
            Some(stdout) => reader(&mut BufReader::new(stdout)),
            None => reader(&mut std::io::empty()),
        };
        if read.is_err() {
            let _ = kill();
        }
        let message = message.join().unwrap_or_default();
        drop(done);
        (read, message)
    });
    let status = child.wait().map_err(|error| unusable(&error))?;
    if is_late.load(Ordering::SeqCst) {
        return Err(Failure::new(format!("`git` takes longer than {} seconds to read a commit", time.as_secs()))
            .hint("run the job again; if it fails again, the commit has too many or too large files"));
    }
    Ok((read?, status, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(text: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", text]);
        command
    }

    #[test]
    fn endless_output_is_refused() {
        let failure = within(shell("yes"), &[], LONGEST, |stdout| all_of(stdout, 1 << 20)).unwrap_err();
        assert!(failure.message.unwrap().contains("more than 1 MiB"));
    }

    #[test]
    fn command_without_end_is_killed() {
        let time = Duration::from_millis(1);
        let failure = within(shell("exec tail -f /dev/null"), &[], time, |stdout| all_of(stdout, 1)).unwrap_err();
        assert!(failure.message.unwrap().contains("takes longer"));
    }

    #[test]
    fn command_with_a_child_that_never_ends_is_killed() {
        // The child keeps both pipes open after its parent.
        let time = Duration::from_millis(300);
        let endless = shell("tail -f /dev/null & wait");
        let failure = within(endless, &[], time, |stdout| all_of(stdout, 1)).unwrap_err();
        assert!(failure.message.unwrap().contains("takes longer"));
    }

    #[test]
    fn large_input_does_not_block() {
        let input = vec![b'x'; 4 << 20];
        let (text, status, _) = within(shell("cat"), &input, LONGEST, |stdout| all_of(stdout, LARGEST)).unwrap();
        assert!(status.success() && text == input);
    }
}
