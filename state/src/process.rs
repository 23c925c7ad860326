//! Processes that hold leases, and whether one has certainly ended.
//!
//! A process is identified by boot, pid namespace, pid and start time, read from `/proc`. If these cannot be read
//! (other systems, a `/proc` of another namespace), the process is unknown, and its lease ends only by expiry: a holder
//! that may be alive never loses its lease early.

use std::fs;
use std::io::ErrorKind;

/// The identity of a process among all that ever ran on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// The boot of the machine.
    pub(crate) boot: String,
    /// The inode of its pid namespace.
    pub(crate) namespace: u64,
    /// The pid in that namespace.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) started: u64,
}

/// The used fields of `/proc/<pid>/stat`.
struct Stat {
    pid: u32,
    state: char,
    started: u64,
}

impl Process {
    /// This process; `None` if the system does not provide the identity.
    pub(crate) fn current() -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let link = fs::read_link("/proc/self/ns/pid").ok()?;
        let namespace = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()?;
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        // A `/proc` of another pid namespace numbers processes differently: its answers mean nothing here.
        (stat.pid == std::process::id()).then_some(Self { boot, namespace, pid: stat.pid, started: stat.started })
    }

    /// True only if this process certainly runs, as seen from `own`, which may be the same.
    pub(crate) fn runs(&self, own: Option<&Self>) -> bool {
        let is_comparable = own.is_some_and(|own| own.boot == self.boot && own.namespace == self.namespace);
        let stat = || Stat::parse(&fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?);
        is_comparable && stat().is_some_and(|stat| stat.started == self.started && !matches!(stat.state, 'Z' | 'X'))
    }

    /// True only if this process has certainly ended, as seen from `own`.
    pub(crate) fn is_gone(&self, own: Option<&Self>) -> bool {
        if !own.is_some_and(|own| own.boot == self.boot && own.namespace == self.namespace && own != self) {
            return false;
        }
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(text) => {
                Stat::parse(&text).is_some_and(|stat| stat.started != self.started || matches!(stat.state, 'Z' | 'X'))
            }
            // If `/proc` hides the processes of other users, even process 1 is missing: then absence proves nothing.
            Err(error) => {
                error.kind() == ErrorKind::NotFound && fs::exists("/proc/1").is_ok_and(|is_visible| is_visible)
            }
        }
    }
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may itself contain spaces and parentheses.
        let (pid, _) = text.split_once(' ')?;
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        // The start time is field 22; the state was field 3.
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { pid: pid.parse().ok()?, state, started })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// This process. On Linux the identity must be available.
    #[cfg_attr(not(target_os = "linux"), expect(clippy::print_stderr, reason = "a skipped test prints a note"))]
    fn own() -> Option<Process> {
        let own = Process::current();
        #[cfg(target_os = "linux")]
        assert!(own.is_some(), "Linux must provide the identity of this process");
        #[cfg(not(target_os = "linux"))]
        eprintln!("skipped: this system does not identify processes");
        own
    }

    #[test]
    fn start_time_is_found_after_an_odd_program_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 121986 3133440 382";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, stat.state, stat.started), (42, 'S', 121_986));
    }

    #[test]
    fn running_process_is_not_gone() {
        let Some(own) = own() else { return };
        assert!(!own.is_gone(Some(&own)));
        assert!(own.runs(Some(&own)));
    }

    #[test]
    fn ended_process_is_gone_even_as_a_zombie() {
        let Some(own) = own() else { return };
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let stat = Stat::parse(&fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap()).unwrap();
        let child_process = Process { pid: stat.pid, started: stat.started, ..own.clone() };
        assert!(!child_process.is_gone(Some(&own)) && child_process.runs(Some(&own)));
        drop(child.stdin.take());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while !child_process.is_gone(Some(&own)) {
            assert!(std::time::Instant::now() < until, "it still counts as running");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(!child_process.runs(Some(&own)));
        assert!(child_process.is_gone(Some(&own)));
    }

    #[test]
    fn reused_pid_is_another_process() {
        let Some(own) = own() else { return };
        let earlier = Process { started: own.started.wrapping_sub(1), ..own.clone() };
        assert!(earlier.is_gone(Some(&own)));
    }

    #[test]
    fn processes_of_other_machines_and_namespaces_are_unknown() {
        let Some(own) = own() else { return };
        let other_boot = Process { boot: "another".to_owned(), pid: u32::MAX, ..own.clone() };
        let other_namespace = Process { namespace: 1, pid: u32::MAX, ..own.clone() };
        assert!(!other_boot.is_gone(Some(&own)));
        assert!(!other_namespace.is_gone(Some(&own)));
        assert!(!Process { namespace: 1, ..own.clone() }.runs(Some(&own)) && !own.runs(None));
        assert!(!own.is_gone(None));
    }
}
