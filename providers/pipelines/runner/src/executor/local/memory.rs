//! Detects that the machine ran out of memory: the kernel counts the processes that it killed for lack of it.

use std::fs;

/// Counters of Linux (`oom_kill N`, since 4.13), which include containers with their own limit.
const COUNTERS: &str = "/proc/vmstat";

/// Number of processes killed since the machine started; nothing if the kernel does not count them.
pub(super) fn kills() -> Option<u64> {
    of_text(&fs::read_to_string(COUNTERS).ok()?)
}

fn of_text(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_read_from_kernel_counters() {
        assert_eq!(of_text("pgfault 7\noom_kill 3\noom_kill_disable 1\n"), Some(3));
        assert_eq!(of_text("pgfault 7\n"), None);
    }
}
