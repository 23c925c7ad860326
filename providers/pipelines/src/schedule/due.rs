//! Which runs are due: from times alone, so that clocks of any kind can be tried.

use super::{CatchUp, Times};
use jiff::{SignedDuration, Timestamp};

/// So many times are made up for at most.
pub const MOST: usize = 100;
/// A time that is not longer ago is on time: the server looks every second, and may be busy.
const ON_TIME: SignedDuration = SignedDuration::from_mins(2);
/// A clock that is put back by less waits until it is where it was: nothing starts twice. One that was put back by more
/// was wrong before.
const PUT_BACK: SignedDuration = SignedDuration::from_hours(2);

/// What is decided of a schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Runs that start now, by the times that they are due.
    pub starts: Vec<Timestamp>,
    /// So many times pass without a run, because nobody was there for them.
    pub passed: usize,
    /// What has been decided up to now; nothing where it is as before.
    pub decided: Option<Timestamp>,
    /// The clock stood far in the future when it was decided last.
    pub is_clock_back: bool,
}

/// Decides what starts now, of what is due after what was decided last.
#[must_use]
pub fn decide(times: &Times, catch_up: CatchUp, decided: Timestamp, now: Timestamp) -> Decision {
    if decided > now {
        let is_clock_back = decided.duration_since(now) > PUT_BACK;
        return Decision { decided: is_clock_back.then_some(now), is_clock_back, ..Decision::default() };
    }
    let mut due = Vec::new();
    let (mut passed, mut at) = (0, decided);
    // A schedule of every minute that was left for a year is not walked through: the last days say all.
    let oldest = now.checked_sub(SignedDuration::from_hours(24 * 40)).unwrap_or(Timestamp::MIN);
    if at < oldest {
        let is_any = times.next(at).is_some_and(|next| next <= oldest);
        passed += usize::from(is_any);
        at = oldest;
    }
    while let Some(next) = times.next(at).filter(|next| *next <= now) {
        due.push(next);
        at = next;
    }
    let Some(last) = due.last().copied() else {
        // Only that times were passed over is to be remembered.
        let decided = (passed > 0).then_some(now);
        return match (catch_up, decided) {
            (CatchUp::None, _) | (_, None) => Decision { passed, decided, ..Decision::default() },
            (_, Some(_)) => Decision { starts: vec![now], passed: passed - 1, decided, is_clock_back: false },
        };
    };
    let is_on_time = |time: &Timestamp| now.duration_since(*time) <= ON_TIME;
    let all = due.len() + passed;
    let starts: Vec<Timestamp> = match catch_up {
        CatchUp::None => due.into_iter().filter(is_on_time).collect(),
        CatchUp::Last => vec![last],
        CatchUp::All => due.split_off(due.len().saturating_sub(MOST)),
    };
    Decision { passed: all - starts.len(), starts, decided: Some(last), is_clock_back: false }
}

#[cfg(test)]
mod tests {
    use super::super::tests::schedule;
    use super::*;

    fn decided(cron: &str, catch_up: CatchUp, decided: &str, now: &str) -> (Vec<String>, usize) {
        let times = Times::of(&schedule(cron, "Europe/Rome")).unwrap();
        let decision = decide(&times, catch_up, decided.parse().unwrap(), now.parse().unwrap());
        (decision.starts.iter().map(ToString::to_string).collect(), decision.passed)
    }

    #[test]
    fn what_is_due_starts_once() {
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
    fn what_nobody_was_there_for_is_made_up_for_as_far_as_it_is_wanted() {
        let (before, now) = ("2026-01-01T12:00:00Z", "2026-01-04T12:00:00Z");
        assert_eq!(decided("0 1 * * *", CatchUp::None, before, now), (vec![], 3));
        assert_eq!(decided("0 1 * * *", CatchUp::Last, before, now), (vec!["2026-01-04T00:00:00Z".to_owned()], 2));
        let (all, passed) = decided("0 1 * * *", CatchUp::All, before, now);
        assert_eq!((all.len(), passed), (3, 0));
        let (all, passed) = decided("* * * * *", CatchUp::All, before, now);
        assert_eq!((all.len(), passed), (MOST, 3 * 24 * 60 - MOST));
    }

    #[test]
    fn a_year_away_is_not_walked_through_minute_by_minute() {
        let (starts, passed) = decided("* * * * *", CatchUp::Last, "2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z");
        assert_eq!(starts, ["2026-01-01T00:00:00Z"]);
        assert!(passed < 60_000, "{passed}");
        // One that comes once a year is made up for, too.
        let (starts, _) = decided("0 0 1 1 *", CatchUp::Last, "2024-06-01T00:00:00Z", "2026-06-01T00:00:00Z");
        assert_eq!(starts, ["2026-06-01T00:00:00Z"]);
        assert_eq!(decided("0 0 1 1 *", CatchUp::Last, "2026-02-01T00:00:00Z", "2026-06-01T00:00:00Z"), (vec![], 0));
    }

    #[test]
    fn a_run_starts_once_across_the_changes_of_the_clock() {
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
    fn a_clock_that_jumps_starts_nothing_twice_and_stops_nothing_for_ever() {
        let times = Times::of(&schedule("0 1 * * *", "UTC")).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        // Put back by half an hour, past a time that was.
        let back = decide(&times, CatchUp::Last, at("2026-01-02T01:00:00Z"), at("2026-01-02T00:31:00Z"));
        assert_eq!(back, Decision::default());
        let again = decide(&times, CatchUp::Last, at("2026-01-02T01:00:00Z"), at("2026-01-02T01:00:30Z"));
        assert_eq!(again.starts, []);
        // A clock that stood years ahead, and is right again.
        let right = decide(&times, CatchUp::Last, at("2030-01-01T01:00:00Z"), at("2026-01-02T00:31:00Z"));
        assert!(right.is_clock_back && right.starts.is_empty());
        assert_eq!(right.decided, Some(at("2026-01-02T00:31:00Z")));
        // Put forward by a day: what was in between is like what nobody was there for.
        let forward = decide(&times, CatchUp::None, at("2026-01-01T12:00:00Z"), at("2026-01-02T12:00:00Z"));
        assert_eq!((forward.starts.len(), forward.passed), (0, 1));
    }
}
