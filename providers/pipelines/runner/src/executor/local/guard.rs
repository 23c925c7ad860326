//! Ends the processes of a run when its executor dies.
//!
//! Each run has its own process group. Its leader is a small shell that reads from a pipe which only the executor holds
//! open. When the executor dies in any way, the read ends: the shell asks the group to end, and kills it after the
//! grace. So a killed terrace leaves no orphans. Processes that leave the group are found by their mark
//! ([`super::processes`]).

use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// Script of the shell. It ignores the signals that it sends to its own group, except for the last one. It ends as soon
/// as the group has no other process; if the processes cannot be listed, after the grace.
const SCRIPT: &str = r#"
trap '' TERM INT HUP
left=$(($1 * 10))
is_group_alive() {
    [ -r "/proc/$$/stat" ] || return 0
    for stat in /proc/[0-9]*/stat; do
        [ "$stat" != "/proc/$$/stat" ] && read -r line < "$stat" || continue
        # After the name: state, parent, group.
        set -- ${line##*) }
        [ "$3" = "$$" ] && [ "$1" != Z ] && return 0
    done
    return 1
}
read -r word
kill -TERM 0
while [ "$left" -gt 0 ] && is_group_alive; do
    sleep 0.1 || sleep 1
    left=$((left - 1))
done
kill -KILL 0
"#;

/// Leader of a process group, which ends with the process that started it.
pub(crate) struct Guard {
    shell: Child,
    group: i32,
}

impl Guard {
    /// Starts a group.
    ///
    /// # Errors
    /// When no process can be started.
    pub(crate) fn start(mark: (&str, &str), grace: Duration) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "terrace-guard", &format!("{}", grace.as_secs().max(1))]);
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env(mark.0, mark.1);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let shell = command.spawn()?;
        let group = shell.id().and_then(|id| i32::try_from(id).ok());
        let group = group.ok_or_else(|| io::Error::other("the process ended at its start"))?;
        Ok(Self { shell, group })
    }

    /// Process group, which other processes join.
    pub(crate) const fn group(&self) -> i32 {
        self.group
    }

    /// Asks the group to end.
    pub(crate) fn terminate(&self) {
        signal(self.group, Signal::TERM);
    }

    /// Kills the group.
    pub(crate) fn kill(&self) {
        signal(self.group, Signal::KILL);
    }

    /// Kills the rest of the group, including the leader.
    pub(crate) async fn end(mut self) {
        // The leader has not been reaped yet, so no other process has its number.
        self.kill();
        let _ = self.shell.wait().await;
    }
}

fn signal(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        // An error means that the group has ended.
        let _ = kill_process_group(group, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(guard: &Guard, script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::piped()).process_group(guard.group()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// Waits for a line of the member, closes the pipe of the guard, and returns the member's status.
    async fn release(mut guard: Guard, mut member: Child) -> std::process::ExitStatus {
        use tokio::io::AsyncReadExt;
        let mut word = [0; 3];
        member.stdout.take().unwrap().read_exact(&mut word).await.unwrap();
        drop(guard.shell.stdin.take());
        let ended = tokio::time::timeout(Duration::from_secs(60), async {
            let member = member.wait().await.unwrap();
            guard.shell.wait().await.unwrap();
            member
        });
        ended.await.expect("the shell outlives its group")
    }

    #[tokio::test]
    async fn shell_ends_with_its_process_group() {
        use std::os::unix::process::ExitStatusExt;
        let guard = Guard::start(("TERRACE_TEST", "1"), Duration::from_secs(600)).unwrap();
        let obedient = member(&guard, "echo yes; exec sleep 600");
        assert_eq!(release(guard, obedient).await.signal(), Some(15));
        let guard = Guard::start(("TERRACE_TEST", "2"), Duration::from_secs(1)).unwrap();
        let stubborn = member(&guard, "trap '' TERM; echo yes; while :; do sleep 1; done");
        assert_eq!(release(guard, stubborn).await.signal(), Some(9));
    }
}
