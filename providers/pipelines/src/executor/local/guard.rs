//! The process that ends a run when its executor is gone.
//!
//! Each run has a process group of its own, and its leader is a small shell that reads from a pipe that only the executor
//! holds open. When the executor dies, however it does, the read ends: the shell asks the group to end, and kills it
//! after the grace. Nothing else is needed to keep a killed terrace from leaving orphans; what leaves the group is found
//! by its mark ([`super::processes`]).

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// What the shell does. It ignores what it sends to its own group, until the last signal.
const SCRIPT: &str = "trap '' TERM INT HUP; read -r word; kill -TERM 0; sleep \"$1\"; kill -KILL 0";

/// The leader of a run's process group.
pub(super) struct Guard {
    shell: Child,
    group: i32,
}

impl Guard {
    /// Starts a group.
    ///
    /// # Errors
    /// When no process can be started.
    pub(super) fn start(mark: (&str, &str), grace: Duration) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "terrace-guard", &format!("{}", grace.as_secs().max(1))]);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env(mark.0, mark.1);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let shell = command.spawn()?;
        let group = shell.id().and_then(|id| i32::try_from(id).ok());
        let group = group.ok_or_else(|| io::Error::other("the process ended as it began"))?;
        Ok(Self { shell, group })
    }

    /// The group, which further processes join.
    pub(super) const fn group(&self) -> i32 {
        self.group
    }

    /// Asks the group to end.
    pub(super) fn ask_to_end(&self) {
        signal(self.group, Signal::TERM);
    }

    /// Kills the group.
    pub(super) fn kill(&self) {
        signal(self.group, Signal::KILL);
    }

    /// Kills what is left of the group, itself included.
    pub(super) async fn end(mut self) {
        // The leader was not waited for yet: its number is nobody else's.
        self.kill();
        let _ = self.shell.wait().await;
    }
}

fn signal(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        // A group that is gone has nothing left to end.
        let _ = kill_process_group(group, signal);
    }
}
