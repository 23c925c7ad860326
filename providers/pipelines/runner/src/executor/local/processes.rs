//! Finds the processes of a run by a mark in their environment, which children inherit, even if they left the process
//! group. Without `/proc`, it finds none.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The variable that names the run in the environment of its processes.
pub(crate) const MARK: &str = "TERRACE_RUN";
/// Number of reads of an empty environment, and the time between.
const READS: usize = 20;
const READ_INTERVAL: Duration = Duration::from_millis(1);
/// Interval between checks of processes that were asked to end.
const POLL: Duration = Duration::from_millis(20);

/// Ids of the running processes with this mark.
///
/// # Errors
/// When the processes cannot be listed.
fn marked(mark: &str, value: &str) -> io::Result<Vec<i32>> {
    let processes = Path::new("/proc");
    if !processes.join("self/environ").exists() {
        return Ok(Vec::new());
    }
    let mark = format!("{mark}={value}");
    let mut found = Vec::new();
    for entry in fs::read_dir(processes)?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if environment(&entry.path()).split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Reads the environment of a process. It is empty for a moment while the process executes another program, and always
/// for threads of the kernel, which have no program.
fn environment(process: &Path) -> Vec<u8> {
    for _ in 0..READS {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        if !environment.is_empty() || fs::read_link(process.join("exe")).is_err() {
            return environment;
        }
        std::thread::sleep(READ_INTERVAL);
    }
    Vec::new()
}

/// Ends all processes with a mark, such as those of a run by [`MARK`]: asks them, and kills the rest after the grace.
/// Returns their number.
///
/// # Errors
/// When the processes cannot be listed.
pub(crate) async fn end(mark: &'static str, value: &str, grace: Duration) -> io::Result<usize> {
    let found = list_marked(mark, value).await?;
    if found.is_empty() {
        return Ok(0);
    }
    signal(&found, Signal::TERM);
    let terminated = tokio::time::Instant::now();
    while terminated.elapsed() < grace && !list_marked(mark, value).await?.is_empty() {
        tokio::time::sleep(POLL).await;
    }
    // Also kills processes that started meanwhile. The limit ends the loop for processes that fork as fast as they are
    // killed.
    let killed = tokio::time::Instant::now();
    loop {
        let remaining = list_marked(mark, value).await?;
        if remaining.is_empty() || killed.elapsed() > grace.max(Duration::from_secs(5)) {
            return Ok(found.len());
        }
        signal(&remaining, Signal::KILL);
        tokio::time::sleep(POLL).await;
    }
}

/// Lists the processes outside of the async threads.
async fn list_marked(mark: &'static str, value: &str) -> io::Result<Vec<i32>> {
    let value = value.to_owned();
    tokio::task::spawn_blocking(move || marked(mark, &value)).await.map_err(io::Error::other)?
}

fn signal(processes: &[i32], signal: Signal) {
    for pid in processes.iter().filter_map(|pid| Pid::from_raw(*pid)) {
        let _ = kill_process(pid, signal);
    }
}
