//! The processes of a call: finds those that still run and stops them.
//!
//! A process belongs to a call if its environment has the `TERRACE_ATTEMPT` of the call, which children inherit, or if
//! it is in the process group that the call recorded. Both come from `/proc`. Without `/proc` (not Linux) only the
//! recorded group counts. It is never stopped then, because its number may belong to another group now.

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::time::Duration;
use terrace_provider::{ErrorKind, ProviderError};

/// The environment variable with the name of the call.
pub(super) const ATTEMPT_VARIABLE: &str = "TERRACE_ATTEMPT";

/// The interval of checks whether stopped processes ended.
const POLL: Duration = Duration::from_millis(20);

/// How often an empty environment is read again, and the interval.
const ENVIRONMENT_ATTEMPTS: usize = 20;
const ENVIRONMENT_PAUSE: Duration = Duration::from_millis(1);

/// A started process, described so that no later process is confused with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// Its process id, which is also the id of its group.
    pub(super) pid: i32,
    /// Its start time, in ticks since the machine booted.
    pub(super) start_time: Option<u64>,
    /// The id of this boot of the machine.
    pub(super) boot: Option<String>,
}

impl Started {
    /// Describes a running process.
    pub(super) fn now(pid: i32) -> Self {
        let start_time = Status::read(&Path::new("/proc").join(pid.to_string())).map(|status| status.start_time);
        Self { pid, start_time, boot: boot() }
    }
}

/// A running process of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pid: i32,
    group: i32,
    /// True if the process certainly belongs to the call.
    is_certain: bool,
}

/// Finds all running processes of a call.
///
/// # Errors
///
/// If the list of processes cannot be read.
pub(super) async fn find(attempt: &str, started: Option<&Started>) -> Result<Vec<Running>, ProviderError> {
    let (attempt, started) = (attempt.to_owned(), started.cloned());
    tokio::task::spawn_blocking(move || scan(&attempt, started.as_ref()))
        .await
        .map_err(|error| ProviderError::bug(format!("the search for processes was lost: {error}")))?
}

/// Stops processes: sends TERM, and after the grace period KILL.
pub(super) async fn stop(running: &[Running], grace: Duration) {
    let certain: Vec<&Running> = running.iter().filter(|process| process.is_certain).collect();
    let is_any_running = || certain.iter().any(|process| is_running(process));
    signal(&certain, Signal::TERM);
    wait_while(is_any_running, grace).await;
    signal(&certain, Signal::KILL);
    wait_while(is_any_running, grace).await;
}

/// Waits until a killed group has no live process: processes end shortly after the signal.
pub(super) async fn wait_for_end(group: i32, limit: Duration) {
    let is_any_running = || {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries.filter_map(|entry| Status::read(&entry.path())).any(|status| status.group == group && status.is_alive())
    };
    wait_while(is_any_running, limit).await;
}

async fn wait_while(condition: impl Fn() -> bool, limit: Duration) {
    let start = tokio::time::Instant::now();
    while condition() && start.elapsed() < limit {
        tokio::time::sleep(POLL).await;
    }
}

/// Sends a signal to a process group. A missing group is not an error.
pub(super) fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group) {
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

fn signal(processes: &[&Running], signal: Signal) {
    let own_group = rustix::process::getpgrp().as_raw_pid();
    for process in processes {
        if process.group != own_group {
            signal_group(process.group, signal);
        } else if let Some(pid) = Pid::from_raw(process.pid) {
            // The process moved into the group of this program, which must not be killed.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

fn is_running(process: &Running) -> bool {
    Status::read(&Path::new("/proc").join(process.pid.to_string())).is_some_and(|status| status.is_alive())
}

fn scan(attempt: &str, started: Option<&Started>) -> Result<Vec<Running>, ProviderError> {
    let processes = Path::new("/proc");
    if !processes.join("self/stat").exists() {
        return Ok(started.into_iter().filter_map(without_proc).collect());
    }
    let cannot_list = |error: std::io::Error| {
        ProviderError::new(ErrorKind::Transient, format!("the running processes cannot be listed: {error}"))
    };
    let own = rustix::process::getpid().as_raw_pid();
    let group = started.filter(|started| started.boot == boot()).and_then(live_group);
    let mark = format!("{ATTEMPT_VARIABLE}={attempt}");
    let mut running = Vec::new();
    for entry in fs::read_dir(processes).map_err(cannot_list)? {
        let entry = entry.map_err(cannot_list)?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // An unreadable process ended in the meantime.
        let Some(status) = Status::read(&entry.path()).filter(Status::is_alive) else { continue };
        let is_marked =
            || environment(&entry.path()).split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes());
        if pid != own && (group == Some(status.group) || is_marked()) {
            running.push(Running { pid, group: status.group, is_certain: true });
        }
    }
    Ok(running)
}

/// The environment of a process. It is empty for a moment while the process executes another program. Kernel threads
/// have no program and never have an environment.
fn environment(process: &Path) -> Vec<u8> {
    for _ in 0..ENVIRONMENT_ATTEMPTS {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        if !environment.is_empty() || fs::read_link(process.join("exe")).is_err() {
            return environment;
        }
        std::thread::sleep(ENVIRONMENT_PAUSE);
    }
    Vec::new()
}

/// The group of a recorded process if its leader is still the same process.
fn live_group(started: &Started) -> Option<i32> {
    let status = Status::read(&Path::new("/proc").join(started.pid.to_string()))?;
    (started.start_time == Some(status.start_time)).then_some(started.pid)
}

fn without_proc(started: &Started) -> Option<Running> {
    rustix::process::test_kill_process_group(Pid::from_raw(started.pid)?).ok()?;
    Some(Running { pid: started.pid, group: started.pid, is_certain: false })
}

/// The id of the current boot.
fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

/// The relevant fields of `/proc/<pid>/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    state: char,
    group: i32,
    start_time: u64,
}

impl Status {
    fn read(folder: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(folder.join("stat")).ok()?)
    }

    /// Parses the fields after the name of the program, which is in brackets and may contain any character
    /// (proc_pid_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            state: field(3)?.chars().next()?,
            group: field(5)?.parse().ok()?,
            start_time: field(22)?.parse().ok()?,
        })
    }

    /// False if the process ended and only waits for its parent.
    fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_the_program_does_not_confuse_the_parser() {
        let text = "42 (a) b (c)) S 1 40 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 777 0 0";
        assert_eq!(Status::parse(text), Some(Status { state: 'S', group: 40, start_time: 777 }));
        assert_eq!(Status::parse("42 (cut"), None);
    }
}
