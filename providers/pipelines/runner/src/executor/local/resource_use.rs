//! Processor time and memory of a step's process, as far as the system reports them: Linux does, in `/proc`.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::fs;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// The first look at the memory of a process, and the interval of further ones. Linux keeps the peak of a process, but drops
/// it with the end of the process: growth after the last look is missed.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const INTERVAL: Duration = Duration::from_secs(1);

/// The use of resources by a process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ResourceUse {
    /// Processor time in milliseconds, with that of its children that ended before it.
    pub(super) cpu_ms: Option<u64>,
    /// The peak of its memory in bytes, without its children.
    pub(super) memory_peak: Option<u64>,
}

/// Waits for the end of a process.
pub(super) async fn wait(child: &mut Child) -> (std::io::Result<ExitStatus>, ResourceUse) {
    let mut used = ResourceUse::default();
    if let Some(process) = child.id() {
        wait_unreaped(process, &mut used).await;
    }
    (child.wait().await, used)
}

/// Waits for the end of a process, and reads its times before the system forgets it. The system reports the end of children
/// by a signal; the child stays known until it is waited for.
async fn wait_unreaped(process: u32, used: &mut ResourceUse) {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else { return };
    let Ok(mut ends) = signal(SignalKind::child()) else { return };
    let mut look_at = Instant::now() + FIRST_LOOK;
    while is_running(pid) {
        tokio::select! {
            _ = ends.recv() => {}
            () = sleep_until(look_at) => {
                used.memory_peak = memory_peak(process).or(used.memory_peak);
                look_at += INTERVAL;
            }
        }
    }
    used.cpu_ms = cpu_ms(process);
}

/// True until a child has ended. It does not wait for the child.
fn is_running(pid: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(pid), options), Ok(None))
}

/// The peak of a running process (`VmHWM` of proc_pid_status(5)), in bytes.
fn memory_peak(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix("kB")?;
    kilobytes.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The processor time of a process that may have ended (`utime` to `cstime` of proc_pid_stat(5)).
fn cpu_ms(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let ticks = ticks(&stat)?;
    Some(ticks.saturating_mul(1000) / rustix::param::clock_ticks_per_second().max(1))
}

fn ticks(stat: &str) -> Option<u64> {
    // The name of the program is in parentheses, and may contain any character.
    let (_, rest) = stat.rsplit_once(')')?;
    let times: Vec<u64> = rest.split_whitespace().skip(11).take(4).filter_map(|word| word.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::process::Command;

    #[test]
    fn ticks_follow_a_name_with_any_characters() {
        let stat = "7 (a) b) S 1 2 3 0 -1 4194304 100 0 0 0 12 3 4 1 20 0 1 0";
        assert_eq!(ticks(stat), Some(20));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[tokio::test]
    async fn processor_time_and_memory_of_a_process_are_read() {
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; sleep 0.1";
        let mut child = Command::new("sh").args(["-c", busy]).spawn().unwrap();
        let (status, used) = wait(&mut child).await;
        assert!(status.unwrap().success());
        assert!(used.cpu_ms.is_some_and(|ms| (10..60_000).contains(&ms)), "{used:?}");
        assert!(used.memory_peak.is_some_and(|bytes| bytes > 100_000), "{used:?}");
    }
}
