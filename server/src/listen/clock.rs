//! Clock of a connection: how long its caller keeps the server waiting, and in which way.
//!
//! A caller that sends or reads gains time at [`RATE`], so the server serves a slow line, but not a trickle.

use super::limits::ConnectionLimits;
use futures_util::task::AtomicWaker;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes per second at which a caller may keep its connection forever.
const RATE: u64 = 1_000;

/// Time that a caller owes.
#[derive(Debug, Default)]
pub(super) struct Lag {
    since: Option<Instant>,
    owed: Duration,
}

impl Lag {
    /// The lag of a caller that the server waits for from now on.
    pub(super) fn since(now: Instant) -> Self {
        Self { since: Some(now), owed: Duration::ZERO }
    }

    /// Starts waiting, unless it waits already.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// Ends the wait: that many bytes were transferred.
    pub(super) fn progress(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.since.take() {
            self.owed += now.saturating_duration_since(since);
        }
        self.owed = self.owed.saturating_sub(allowance(bytes));
    }

    /// When the caller will owe that much; `None` while the server does not wait.
    pub(super) fn deadline(&self, limit: Duration) -> Option<Instant> {
        self.since.map(|since| since + limit.saturating_sub(self.owed))
    }
}

fn allowance(bytes: usize) -> Duration {
    Duration::from_millis(u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(1_000) / RATE)
}

/// Why the server closes a connection, with the word for metrics and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// No head of a call came in time.
    Idle,
    /// The caller did not read its answer in time.
    Unread,
    /// Another connection needed its place.
    Evicted,
}

impl Reason {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Evicted => "evicted",
        }
    }
}

/// Kind of wait of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// More of its body. The body itself has a deadline.
    Body,
    /// Its caller to read.
    Reader,
}

#[derive(Debug)]
struct State {
    /// Calls in flight.
    calls: usize,
    next: u64,
    /// Between calls.
    idle: Lag,
    /// Bytes that the system does not take because the caller does not read.
    write: Lag,
    /// The waits of calls for the caller.
    waits: HashMap<u64, (Wait, Instant, Lag)>,
}

/// The clock of a connection, which its stream and its calls share.
#[derive(Debug)]
pub(crate) struct Clock {
    state: Mutex<State>,
    stream: AtomicWaker,
    is_evicted: AtomicBool,
}

impl Clock {
    pub(super) fn start(now: Instant) -> Self {
        let state = State { calls: 0, next: 0, idle: Lag::since(now), write: Lag::default(), waits: HashMap::new() };
        Self { state: Mutex::new(state), stream: AtomicWaker::new(), is_evicted: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the start of a call, and returns its number.
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.state();
        state.calls += 1;
        state.idle = Lag::default();
        state.next += 1;
        state.next
    }

    /// Notes the end of a call.
    pub(super) fn end(&self, call: u64, now: Instant) {
        let mut state = self.state();
        state.waits.remove(&call);
        state.calls = state.calls.saturating_sub(1);
        if state.calls == 0 {
            state.idle = Lag::since(now);
            drop(state);
            self.stream.wake();
        }
    }

    /// Notes that a call waits for its caller.
    pub(super) fn wait(&self, call: u64, what: Wait, now: Instant) {
        let mut state = self.state();
        let is_first = state.waits.is_empty();
        let (kind, since, lag) = state.waits.entry(call).or_insert((what, now, Lag::default()));
        if *kind != what {
            (*kind, *lag) = (what, Lag::default());
        }
        if lag.since.is_none() {
            *since = now;
        }
        lag.begin(now);
        drop(state);
        if is_first {
            // The stream has no deadline yet.
            self.stream.wake();
        }
    }

    /// Ends the wait of a call: the caller sent or read that many bytes.
    pub(super) fn progress(&self, call: u64, now: Instant, bytes: usize) {
        let mut state = self.state();
        if let Some((_, _, lag)) = state.waits.get_mut(&call) {
            lag.progress(now, bytes);
        }
    }

    /// Notes that the send buffer of the system is full.
    pub(super) fn blocked(&self, now: Instant) {
        self.state().write.begin(now);
    }

    /// Notes that the system accepted bytes of an answer.
    pub(super) fn wrote(&self, now: Instant, bytes: usize) {
        let mut state = self.state();
        state.write.progress(now, bytes);
        // The rest of an answer may be sent after the call has ended. Its caller is not idle meanwhile.
        if let Some(since) = &mut state.idle.since {
            *since = now.min(*since + allowance(bytes));
        }
    }

    /// Remembers the task that polls the stream.
    pub(super) fn register(&self, waker: &Waker) {
        self.stream.register(waker);
    }

    /// When the connection will be closed at the current state, and why.
    pub(super) fn deadline(&self, limits: &ConnectionLimits, now: Instant) -> Option<(Instant, Reason)> {
        if self.is_evicted.load(Ordering::Acquire) {
            return Some((now, Reason::Evicted));
        }
        let state = self.state();
        let reading = |(wait, _, lag): &(Wait, Instant, Lag)| match wait {
            Wait::Body => None,
            Wait::Reader => lag.deadline(limits.write_timeout),
        };
        let unread = state.waits.values().filter_map(reading).chain(state.write.deadline(limits.write_timeout)).min();
        let is_idle = state.calls == 0 && state.write.since.is_none();
        let idle = state.idle.deadline(limits.head_timeout).filter(|_| is_idle);
        let unread = unread.map(|at| (at, Reason::Unread));
        idle.map(|at| (at, Reason::Idle)).into_iter().chain(unread).min_by_key(|(at, _)| *at)
    }

    /// Since when the whole connection waits for its caller; `None` while the server works on a call.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        if self.is_evicted.load(Ordering::Acquire) {
            return None;
        }
        let state = self.state();
        if let Some(since) = state.write.since {
            return Some(since);
        }
        if state.calls == 0 {
            return state.idle.since;
        }
        let waiting = state.waits.values().filter(|(_, _, lag)| lag.since.is_some());
        let all: Vec<Instant> = waiting.map(|(_, since, _)| *since).collect();
        all.iter().min().copied().filter(|_| all.len() == state.calls)
    }

    /// Closes the connection at once, to make room for another connection.
    pub(super) fn evict(&self) {
        self.is_evicted.store(true, Ordering::Release);
        self.stream.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn trickle_runs_out_of_time_and_slow_line_does_not() {
        let begun = Instant::now();
        for (bytes, ends) in [(1, true), (500, true), (1_000, false), (100_000, false)] {
            let mut lag = Lag::default();
            let mut now = begun;
            let mut is_over = false;
            for _ in 0..1_000 {
                lag.begin(now);
                now += SECOND;
                is_over |= lag.deadline(30 * SECOND).is_some_and(|at| at <= now);
                lag.progress(now, bytes);
            }
            assert_eq!(is_over, ends, "{bytes} bytes a second");
        }
    }

    #[test]
    fn connection_waits_for_its_caller_only_without_active_calls() {
        let now = Instant::now();
        let limits = ConnectionLimits::of_descriptors(1024);
        let clock = Clock::start(now);
        assert_eq!(clock.deadline(&limits, now), Some((now + limits.head_timeout, Reason::Idle)));
        let (one, other) = (clock.begin(), clock.begin());
        assert_eq!((clock.deadline(&limits, now), clock.waits_since()), (None, None));
        clock.wait(one, Wait::Reader, now);
        assert_eq!(clock.deadline(&limits, now), Some((now + limits.write_timeout, Reason::Unread)));
        assert_eq!(clock.waits_since(), None, "the other call is active");
        clock.wait(other, Wait::Body, now + SECOND);
        assert_eq!(clock.waits_since(), Some(now));
        clock.progress(one, now + 2 * SECOND, 10);
        assert_eq!((clock.deadline(&limits, now), clock.waits_since()), (None, None));
        clock.end(one, now);
        clock.end(other, now + 3 * SECOND);
        assert_eq!(clock.deadline(&limits, now), Some((now + 3 * SECOND + limits.head_timeout, Reason::Idle)));
        clock.blocked(now);
        assert_eq!(clock.deadline(&limits, now), Some((now + limits.write_timeout, Reason::Unread)));
        clock.evict();
        assert_eq!(clock.deadline(&limits, now), Some((now, Reason::Evicted)));
        assert_eq!(clock.waits_since(), None, "it is evicted once");
    }
}
