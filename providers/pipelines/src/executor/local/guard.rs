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

/// What the shell does. It ignores what it sends to its own group, until the last signal, and ends as soon as nobody else is
/// left in the group; where the processes cannot be listed, after the grace.
const SCRIPT: &str = r#"
trap '' TERM INT HUP
left=$(($1 * 10))
is_anybody_left() {
    [ -r "/proc/$$/stat" ] || return 0
    for stat in /proc/[0-9]*/stat; do
        [ "$stat" != "/proc/$$/stat" ] && read -r line < "$stat" || continue
        # What follows the name: state, parent, group.
        set -- ${line##*) }
        [ "$3" = "$$" ] && [ "$1" != Z ] && return 0
    done
    return 1
}
read -r word
kill -TERM 0
while [ "$left" -gt 0 ] && is_anybody_left; do
    sleep 0.1 || sleep 1
    left=$((left - 1))
done
kill -KILL 0
"#;

/// The leader of a process group, which ends with whoever started it.
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
        let group = group.ok_or_else(|| io::Error::other("the process ended as it began"))?;
        Ok(Self { shell, group })
    }

    /// The group, which further processes join.
    pub(crate) const fn group(&self) -> i32 {
        self.group
    }

    /// Asks the group to end.
    pub(crate) fn ask_to_end(&self) {
        signal(self.group, Signal::TERM);
    }

    /// Kills the group.
    pub(crate) fn kill(&self) {
        signal(self.group, Signal::KILL);
    }

    /// Kills what is left of the group, itself included.
    pub(crate) async fn end(mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn member(guard: &Guard, script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).stdout(Stdio::piped()).process_group(guard.group()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// Waits until the member says a word, lets go of the group, and answers how the member ended.
    async fn let_go(mut guard: Guard, mut member: Child) -> std::process::ExitStatus {
        use tokio::io::AsyncReadExt;
        let mut word = [0; 3];
        member.stdout.take().unwrap().read_exact(&mut word).await.unwrap();
        drop(guard.shell.stdin.take());
        let ended = tokio::time::timeout(Duration::from_secs(60), async {
            let member = member.wait().await.unwrap();
            guard.shell.wait().await.unwrap();
            member
        });
        ended.await.expect("the shell lives on after everybody else is gone")
    }

    #[tokio::test]
    async fn the_shell_does_not_outlive_those_that_it_is_there_for() {
        use std::os::unix::process::ExitStatusExt;
        let guard = Guard::start(("TERRACE_TEST", "1"), Duration::from_secs(600)).unwrap();
        let obedient = member(&guard, "echo yes; exec sleep 600");
        assert_eq!(let_go(guard, obedient).await.signal(), Some(15));
        let guard = Guard::start(("TERRACE_TEST", "2"), Duration::from_secs(1)).unwrap();
        let stubborn = member(&guard, "trap '' TERM; echo yes; while :; do sleep 1; done");
        assert_eq!(let_go(guard, stubborn).await.signal(), Some(9));
    }
}
