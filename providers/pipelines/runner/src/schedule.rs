//! Schedules of pipelines: their definition, due times, and the start of runs.
//!
//! A schedule is a record of the project, either declared as a resource or part of a spec. [`due`] decides from times
//! only. [`store`] persists decisions, so that a start is neither lost nor repeated if a server is killed.
//! [`scheduler`] starts the runs; a lock of the operating system allows one server per project to do so. Runs of pipelines in
//! a cluster are started by a CronJob instead.

pub mod due;
pub mod scheduler;
pub mod store;

use crate::executor::ClusterPlace;
use crate::run::Overrides;
use crate::spec::cron::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Schedule of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Folder of the specs, relative to the project folder.
    pub folder: String,
    /// Id of the pipeline in this folder.
    pub pipeline: String,
    /// Crontab with five fields, in the order of cron.
    pub cron: String,
    /// IANA name of a time zone.
    pub time_zone: String,
    /// It starts runs.
    pub enabled: bool,
    /// Policy if the previous run is in progress.
    pub overlap: Overlap,
    /// Policy for missed times.
    pub catch_up: CatchUp,
    /// Maximum delay of a start, in seconds; constant for each schedule.
    pub jitter_seconds: u64,
    /// Database in the cluster that its runs write into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// Values of its runs in place of those of the spec.
    #[serde(default, skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
    /// Time from which it applies: earlier times are not caught up.
    pub since: Timestamp,
    /// Call that created it.
    #[serde(default)]
    pub mark: String,
    /// The CronJob that starts its runs; nothing if a server of the project does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_job: Option<CronJob>,
}

/// The CronJob of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CronJob {
    /// Its name.
    pub name: String,
    /// The cluster and the namespace.
    pub place: ClusterPlace,
    /// Id of its object; empty until the cluster has answered.
    #[serde(default)]
    pub uid: String,
    /// Digest of the fields without an attribute, as the cluster stored them; empty until it has answered.
    pub stored: String,
}

impl Schedule {
    /// Prefix of schedules from specs; names of declared ones have no colon.
    const OF_SPEC: &str = "spec:";

    /// Returns true for a schedule from a spec.
    #[must_use]
    pub fn is_of_spec(&self) -> bool {
        self.name.starts_with(Self::OF_SPEC)
    }
}

/// Policy if the previous run is in progress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Skip the time.
    #[default]
    Forbid,
    /// Stop the previous run.
    Replace,
    /// Wait for its end: a pipeline has one run at a time.
    Allow,
}

/// Policy for missed times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// Skip them.
    None,
    /// Start one run for all of them.
    #[default]
    Last,
    /// Start a run for each, up to [`due::MOST`].
    All,
}

impl Overlap {
    /// Words in attributes.
    pub const WORDS: [(&'static str, Self); 3] =
        [("forbid", Self::Forbid), ("replace", Self::Replace), ("allow", Self::Allow)];
}

impl CatchUp {
    /// Words in attributes.
    pub const WORDS: [(&'static str, Self); 3] = [("none", Self::None), ("last", Self::Last), ("all", Self::All)];
}

/// Parsed times of a schedule.
#[derive(Debug, Clone)]
pub struct Times {
    cron: Cron,
    zone: TimeZone,
    /// Delay of each start.
    delay: jiff::SignedDuration,
}

impl Times {
    /// Parses the times of a schedule.
    ///
    /// # Errors
    /// The attribute with an error, and the message.
    pub fn of(schedule: &Schedule) -> Result<Self, (&'static str, String)> {
        let read = if schedule.is_of_spec() { Cron::of_spec } else { Cron::parse };
        let cron = read(&schedule.cron).map_err(|why| ("cron", why))?;
        let zone = zone(&schedule.time_zone).map_err(|why| ("timeZone", why))?;
        Ok(Self { cron, zone, delay: jiff::SignedDuration::from_secs(delay(schedule)) })
    }

    /// Start of the first run after this moment.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.checked_sub(self.delay).ok()?;
        self.cron.next(&self.zone, after)?.checked_add(self.delay).ok()
    }
}

/// Returns a time zone by name.
///
/// # Errors
/// When it does not exist; the error may suggest a name.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
        match terrace_provider::names::closest(name, names.iter().map(String::as_str)) {
            Some(meant) => format!("unknown time zone `{name}`: did you mean `{meant}`?"),
            None => format!("unknown time zone `{name}`: expected an IANA name, such as `Europe/Rome` or `UTC`"),
        }
    })
}

/// Delay of a schedule. It is constant, so that intervals stay regular, and differs between schedules, so that they do
/// not start together.
fn delay(schedule: &Schedule) -> i64 {
    let range = schedule.jitter_seconds.saturating_add(1);
    let digest = crate::hash::hash_of(&format!("{} {} {}", schedule.folder, schedule.pipeline, schedule.name));
    let number = digest.get(..15).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default();
    i64::try_from(number.checked_rem(range).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A schedule with fixed hours.
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
            database: None,
            overrides: Overrides::default(),
            cron_job: None,
        }
    }

    #[test]
    fn unknown_time_zone_has_suggestion() {
        let wrong = |cron, zone| Times::of(&schedule(cron, zone)).unwrap_err();
        assert_eq!(
            wrong("0 1 * * *", "Europe/Rom"),
            ("timeZone", "unknown time zone `Europe/Rom`: did you mean `Europe/Rome`?".to_owned())
        );
        assert_eq!(wrong("0 25 * * *", "UTC").0, "cron");
    }

    #[test]
    fn delay_of_schedule_is_constant() {
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
