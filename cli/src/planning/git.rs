//! Commands of `git`, which reads commits. They change neither the work tree nor the index.

use crate::failure::Failure;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// A `git` command for a folder, without the settings that a surrounding `git` passes to hooks. It runs no hooks and no
/// file watcher of the repository.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]);
    command.arg("-C").arg(folder).args(arguments).env("LC_ALL", "C").env("GIT_TERMINAL_PROMPT", "0");
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"] {
        command.env_remove(name);
    }
    command
}

/// Runs a `git` command with this input.
///
/// # Errors
/// When `git` is not installed or cannot be run. A failed command returns its output.
pub(crate) fn output(mut command: Command, input: &[u8]) -> Result<Output, Failure> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut run = || -> std::io::Result<Output> {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input) {
                // The command ended without reading; its message tells why.
                Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error),
                _ => drop(stdin),
            }
        }
        child.wait_with_output()
    };
    run().map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new("this command needs the program `git`").hint("install git"),
        _ => Failure::new(format!("`git` cannot be run: {error}")),
    })
}
