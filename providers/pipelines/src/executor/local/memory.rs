//! Whether the machine ran out of memory: the kernel counts the processes that it killed for that.

use std::fs;

/// Where Linux counts (`oom_kill N`, since 4.13): those of containers with a limit of their own among them.
const COUNTERS: &str = "/proc/vmstat";

/// So many processes were killed since the machine started; nothing where nobody counts.
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
    fn the_kernel_says_how_many_it_killed() {
        assert_eq!(of_text("pgfault 7\noom_kill 3\noom_kill_disable 1\n"), Some(3));
        assert_eq!(of_text("pgfault 7\n"), None);
    }
}
