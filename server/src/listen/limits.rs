//! Limits of connections: how many are open at once, and how long a caller may delay one.

use std::time::Duration;

/// Limits of the connections of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Open connections at once.
    pub max: usize,
    /// Open connections at once for each address; for each /64 network of IPv6.
    pub max_per_address: usize,
    /// Open event streams at once.
    pub max_streams: usize,
    /// Time for the TLS handshake and for the head of a call, counted from the previous call. It also ends idle
    /// connections.
    pub head_timeout: Duration,
    /// The longest total delay in sending a body.
    pub body_timeout: Duration,
    /// The longest total delay in reading an answer.
    pub write_timeout: Duration,
}

/// Assumed file descriptors if the system has no limit.
const UNLIMITED: usize = 1 << 20;
/// The default of open connections of a listener, at most.
const MOST: usize = 10_000;
/// The default of open event streams, at most: each reads the store twice a second.
const MOST_STREAMS: usize = 256;

impl ConnectionLimits {
    /// Limits for a process with that many file descriptors. Half of them are for databases, files and providers.
    #[must_use]
    pub fn of_descriptors(descriptors: usize) -> Self {
        let max = (descriptors / 2).clamp(16, MOST);
        Self {
            max,
            max_per_address: max / 2,
            max_streams: (max / 4).min(MOST_STREAMS),
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
        }
    }

    /// Files that this process may have open at once (`RLIMIT_NOFILE`).
    #[cfg(target_os = "linux")]
    #[must_use]
    pub fn descriptors() -> usize {
        use rustix::process::{Resource, getrlimit};
        getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok()).unwrap_or(UNLIMITED)
    }

    /// Files that this process may have open at once: the smallest limit of common systems.
    #[cfg(not(target_os = "linux"))]
    #[must_use]
    pub fn descriptors() -> usize {
        UNLIMITED.min(256)
    }

    /// Limits of a listener beside the main one, with a smaller share of the descriptors.
    #[must_use]
    pub fn for_side_listener(&self) -> Self {
        let max = (self.max / 8).max(8);
        Self { max, max_per_address: (max / 2).min(self.max_per_address), ..self.clone() }
    }
}

impl Default for ConnectionLimits {
    /// Limits by `RLIMIT_NOFILE` of this process.
    fn default() -> Self {
        Self::of_descriptors(Self::descriptors())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_stay_free() {
        for (descriptors, max, per_address, streams) in
            [(1024, 512, 256, 128), (20_000, 10_000, 5_000, 256), (UNLIMITED, 10_000, 5_000, 256), (10, 16, 8, 4)]
        {
            let limits = ConnectionLimits::of_descriptors(descriptors);
            assert_eq!((limits.max, limits.max_per_address, limits.max_streams), (max, per_address, streams));
        }
        let side = ConnectionLimits::of_descriptors(1024).for_side_listener();
        assert_eq!((side.max, side.max_per_address), (64, 32));
    }
}
