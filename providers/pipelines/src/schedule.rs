//! Pipelines that run by themselves: what is scheduled, which times are due, and who starts the runs.
//!
//! A schedule is a record of the project, declared as a resource, or what a spec says of itself. [`due`] decides with
//! nothing but times; [`store`] keeps what was decided, so that a start is neither lost nor made twice when a server is
//! killed; [`keeper`] holds a lock of the operating system, so that one server of a project starts runs, and starts them.

pub mod due;
pub mod keeper;
pub mod store;

use crate::spec::cron::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// When a pipeline runs by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// What it is called.
    pub name: String,
    /// The folder whose specs are read, relative to the project folder.
    pub folder: String,
    /// The id of the pipeline in it.
    pub pipeline: String,
    /// The five fields of a crontab, in the order of cron.
    pub cron: String,
    /// The name of a time zone of IANA.
    pub time_zone: String,
    /// It starts runs.
    pub enabled: bool,
    /// What happens when the run before goes on.
    pub overlap: Overlap,
    /// What becomes of times that nobody was there for.
    pub catch_up: CatchUp,
    /// Starts are put off by so many seconds at most, always by the same for one schedule.
    pub jitter_seconds: u64,
    /// When it began: what was due before is not made up for.
    pub since: Timestamp,
    /// The call that made it.
    #[serde(default)]
    pub mark: String,
}

impl Schedule {
    /// What the name of a schedule begins with that a spec says of a pipeline; declared ones have no colon in theirs.
    const OF_SPEC: &str = "spec:";

    /// True for what a spec says of a pipeline.
    #[must_use]
    pub fn is_of_spec(&self) -> bool {
        self.name.starts_with(Self::OF_SPEC)
    }
}

/// What happens when the run before goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// The time passes without a run.
    #[default]
    Forbid,
    /// The run before is stopped.
    Replace,
    /// It waits for its turn: a pipeline runs once at a time.
    Allow,
}

/// What becomes of times that nobody was there for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// One run for all of them.
    #[default]
    Last,
    /// A run for each, up to [`due::MOST`].
    All,
}

impl Overlap {
    /// The words for it.
    pub const WORDS: [(&'static str, Self); 3] =
        [("forbid", Self::Forbid), ("replace", Self::Replace), ("allow", Self::Allow)];
}

impl CatchUp {
    /// The words for it.
    pub const WORDS: [(&'static str, Self); 3] = [("none", Self::None), ("last", Self::Last), ("all", Self::All)];
}

/// The times of a schedule, read and checked.
#[derive(Debug, Clone)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
    /// How much later than on time runs start.
    put_off: jiff::SignedDuration,
}

impl Times {
    /// The times that a schedule names.
    ///
    /// # Errors
    /// What is wrong with them: the attribute, and why.
    pub fn of(schedule: &Schedule) -> Result<Self, (&'static str, String)> {
        let read = if schedule.is_of_spec() { Cron::of_spec } else { Cron::parse };
        let cron = read(&schedule.cron).map_err(|why| ("cron", why))?;
        let zone = zone(&schedule.time_zone).map_err(|why| ("timeZone", why))?;
        Ok(Self { cron, zone, put_off: jiff::SignedDuration::from_secs(put_off(schedule)) })
    }

    /// When the first run after this moment starts.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.checked_sub(self.put_off).ok()?;
        self.cron.next(&self.zone, after)?.checked_add(self.put_off).ok()
    }
}

/// The zone of that name.
///
/// # Errors
/// When there is none, with what may be meant.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        match terrace_provider::names::closest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("`{name}` is no time zone: did you mean `{meant}`?"),
            None => format!("`{name}` is no time zone: expected a name of IANA, such as `Europe/Rome` or `UTC`"),
        }
    })
}

/// The same schedule is always put off by the same, so that its runs keep their distance; many do not start at once.
fn put_off(schedule: &Schedule) -> i64 {
    let range = schedule.jitter_seconds.saturating_add(1);
    let digest = crate::fingerprint::hash_of(&format!("{} {} {}", schedule.folder, schedule.pipeline, schedule.name));
    let number = digest.get(..15).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    i64::try_from(number.checked_rem(range).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A schedule that names its hours.
    pub(crate) fn schedule(cron: &str, zone: &str) -> Schedule {
        Schedule {
            name: "nightly".to_owned(),
            folder: ".".to_owned(),
            pipeline: "./noise".to_owned(),
            cron: cron.to_owned(),
            time_zone: zone.to_owned(),
            enabled: true,
            overlap: Overlap::Forbid,
            catch_up: CatchUp::Last,
            jitter_seconds: 0,
            since: Timestamp::UNIX_EPOCH,
            mark: String::new(),
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_was_meant() {
        let wrong = |cron, zone| Times::of(&schedule(cron, zone)).unwrap_err();
        assert_eq!(
            wrong("0 1 * * *", "Europe/Rom"),
            ("timeZone", "`Europe/Rom` is no time zone: did you mean `Europe/Rome`?".to_owned())
        );
        assert_eq!(wrong("0 25 * * *", "UTC").0, "cron");
    }

    #[test]
    fn a_schedule_is_always_put_off_by_the_same() {
        let mut late = schedule("0 1 * * *", "UTC");
        late.jitter_seconds = 600;
        let after: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let times = Times::of(&late).unwrap();
        let (first, second) = (times.next(after).unwrap(), times.next(times.next(after).unwrap()).unwrap());
        assert_eq!(second.duration_since(first).as_secs(), 24 * 3600);
        let by = first.duration_since("2026-01-01T01:00:00Z".parse().unwrap()).as_secs();
        assert!((1..=600).contains(&by), "{by}");
        late.name = "other".to_owned();
        assert_ne!(Times::of(&late).unwrap().next(after), Some(first));
    }
}
