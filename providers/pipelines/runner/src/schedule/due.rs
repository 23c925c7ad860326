//! Decides which runs are due, from times only, so that tests can use any clock.

use super::{CatchUp, Times};
use jiff::{SignedDuration, Timestamp};

/// Maximum number of missed times to catch up.
pub const MOST: usize = 100;
/// Age up to which a time is on time: the server checks every second, and may be busy.
const ON_TIME: SignedDuration = SignedDuration::from_mins(2);
/// Limit for a clock that goes back. Within the limit, nothing starts until the clock has caught up, so that no start
/// is repeated. Beyond it, the clock was wrong before.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_hours(2);

/// Decision about a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Due times of the runs that start now.
    pub starts: Vec<Timestamp>,
    /// Number of missed times without a run.
    pub missed: usize,
    /// Time of the last decision; nothing if it did not change.
    pub decided: Option<Timestamp>,
    /// The clock was far in the future at the last decision.
    pub is_clock_back: bool,
}

/// Decides which runs start now, of the times after the last decision.
#[must_use]
pub fn decide(times: &Times, catch_up: CatchUp, decided: Timestamp, now: Timestamp) -> Decision {
    if decided > now {
        let is_clock_back = decided.duration_since(now) > CLOCK_TOLERANCE;
        return Decision { decided: is_clock_back.then_some(now), is_clock_back, ..Decision::default() };
    }
    let mut due = Vec::new();
    let (mut missed, mut at) = (0, decided);
    // A long absence is not processed minute by minute: only the last days count.
    let oldest = now.checked_sub(SignedDuration::from_hours(24 * 40)).unwrap_or(Timestamp::MIN);
    if at < oldest {
        let is_any = times.next(at).is_some_and(|next| next <= oldest);
        missed += usize::from(is_any);
        at = oldest;
    }
    while let Some(next) = times.next(at).filter(|next| *next <= now) {
        due.push(next);
        at = next;
    }
    let Some(last) = due.last().copied() else {
        // No time is due now, but older ones may have been missed.
        let decided = (missed > 0).then_some(now);
        return match (catch_up, decided) {
            (CatchUp::None, _) | (_, None) => Decision { missed, decided, ..Decision::default() },
            (_, Some(_)) => Decision { starts: vec![now], missed: missed - 1, decided, is_clock_back: false },
        };
    };
    let is_on_time = |time: &Timestamp| now.duration_since(*time) <= ON_TIME;
    let all = due.len() + missed;
    let starts: Vec<Timestamp> = match catch_up {
        CatchUp::None => due.into_iter().filter(is_on_time).collect(),
        CatchUp::Last => vec![last],
        CatchUp::All => due.split_off(due.len().saturating_sub(MOST)),
    };
    Decision { missed: all - starts.len(), starts, decided: Some(last), is_clock_back: false }
}

#[cfg(test)]
mod tests {
    use super::super::tests::schedule;
    use super::*;

    fn decided(cron: &str, catch_up: CatchUp, decided: &str, now: &str) -> (Vec<String>, usize) {
        let times = Times::of(&schedule(cron, "Europe/Rome")).unwrap();
        let decision = decide(&times, catch_up, decided.parse().unwrap(), now.parse().unwrap());
        (decision.starts.iter().map(ToString::to_string).collect(), decision.missed)
    }

    #[test]
    fn due_time_starts_one_run() {
        let times = Times::of(&schedule("0 1 * * *", "UTC")).unwrap();
        let begin: Timestamp = "2026-01-01T00:59:58Z".parse().unwrap();
        let mut decided = begin;
        let mut starts = Vec::new();
        for second in 0..200 {
            let now = begin.checked_add(SignedDuration::from_secs(second)).unwrap();
            let decision = decide(&times, CatchUp::None, decided, now);
            decided = decision.decided.unwrap_or(decided);
            starts.extend(decision.starts);
        }
        assert_eq!(starts, ["2026-01-01T01:00:00Z".parse().unwrap()]);
    }

    #[test]
    fn missed_times_follow_catch_up_policy() {
        let (before, now) = ("2026-01-01T12:00:00Z", "2026-01-04T12:00:00Z");
        assert_eq!(decided("0 1 * * *", CatchUp::None, before, now), (vec![], 3));
        assert_eq!(decided("0 1 * * *", CatchUp::Last, before, now), (vec!["2026-01-04T00:00:00Z".to_owned()], 2));
        let (all, missed) = decided("0 1 * * *", CatchUp::All, before, now);
        assert_eq!((all.len(), missed), (3, 0));
        let (all, missed) = decided("* * * * *", CatchUp::All, before, now);
        assert_eq!((all.len(), missed), (MOST, 3 * 24 * 60 - MOST));
    }

    #[test]
    fn long_absence_is_not_processed_by_minute() {
        let (starts, missed) = decided("* * * * *", CatchUp::Last, "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        assert_eq!(starts, ["2026-01-01T00:00:00Z"]);
        assert!(missed < 60_000, "{missed}");
        // A yearly time is caught up too.
        let (starts, _) = decided("0 0 1 1 *", CatchUp::Last, "2024-06-01T00:00:00Z", "2026-06-01T00:00:00Z");
        assert_eq!(starts, ["2026-06-01T00:00:00Z"]);
        assert_eq!(decided("0 0 1 1 *", CatchUp::Last, "2026-02-01T00:00:00Z", "2026-06-01T00:00:00Z"), (vec![], 0));
    }

    #[test]
    fn clock_changes_cause_no_second_run() {
        for (begin, hours) in [("2026-03-28T20:00:00Z", 8), ("2026-10-24T20:00:00Z", 8)] {
            let times = Times::of(&schedule("30 2 * * *", "Europe/Rome")).unwrap();
            let begin: Timestamp = begin.parse().unwrap();
            let (mut decided, mut starts) = (begin, 0);
            for minute in 0..hours * 60 {
                let now = begin.checked_add(SignedDuration::from_mins(minute)).unwrap();
                let decision = decide(&times, CatchUp::Last, decided, now);
                decided = decision.decided.unwrap_or(decided);
                starts += decision.starts.len();
            }
            assert_eq!(starts, 1, "{begin}");
        }
    }

    #[test]
    fn clock_jump_repeats_nothing_and_does_not_block() {
        let times = Times::of(&schedule("0 1 * * *", "UTC")).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // The clock goes back by half an hour, before a decided time.
        let back = decide(&times, CatchUp::Last, at("2026-01-02T01:00:00Z"), at("2026-01-02T00:31:00Z"));
        assert_eq!(back, Decision::default());
        let again = decide(&times, CatchUp::Last, at("2026-01-02T01:00:00Z"), at("2026-01-02T01:00:30Z"));
        assert_eq!(again.starts, []);
        // A clock that was years ahead, and is corrected.
        let right = decide(&times, CatchUp::Last, at("2030-01-01T01:00:00Z"), at("2026-01-02T00:31:00Z"));
        assert!(right.is_clock_back && right.starts.is_empty());
        assert_eq!(right.decided, Some(at("2026-01-02T00:31:00Z")));
        // The clock goes forward by a day: the time in between counts as missed.
        let forward = decide(&times, CatchUp::None, at("2026-01-01T12:00:00Z"), at("2026-01-02T12:00:00Z"));
        assert_eq!((forward.starts.len(), forward.missed), (0, 1));
    }
}
