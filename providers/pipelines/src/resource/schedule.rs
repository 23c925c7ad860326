//! `pipelines_schedule`: starts runs of a pipeline, by a CronJob of its cluster, or while a server of the project is up. The next
//! time and the last outcome change without a plan, so they are not attributes: `terrace pipelines schedules` prints them.

mod cron_job;

use super::attributes::io_error;
use super::planned_databases::PlannedDatabases;
use crate::cluster_settings::options_in;
use async_trait::async_trait;
use cron_job::{ABSENT, CronJobs};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use terrace_pipelines::database::ProjectDatabases;
use terrace_pipelines::execution_options::ExecutionOption;
use terrace_pipelines::run::{Overrides, Runner};
use terrace_pipelines::schedule::{CatchUp, Overlap, Schedule, Times};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DryRun, ErrorKind, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};
use tokio_util::sync::CancellationToken;

/// The type's name.
pub const NAME: &str = "pipelines_schedule";
/// Maximum jitter: one day.
const MOST_JITTER: i64 = 24 * 60 * 60;

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let attributes = vec![
        text("name", "Name in the project.").required().replaces(),
        text("folder", "Folder of the specs, relative to the project folder; `.` is the project folder.")
            .default_value("."),
        text("pipeline", "Id of the pipeline in this folder, as in `./committees/dump-to-db`.").required(),
        text("cron", "Minute, hour, day of the month, month, day of the week, in the order of cron: `30 2 * * *`.")
            .required(),
        text("timeZone", "Time zone of `cron`, by its IANA name: `Europe/Rome`.").default_value("UTC"),
        Attribute::new("enabled", AttributeType::Bool, "Start runs; times that pass while it is `false` are not caught up.")
            .default_value(true),
        text("overlap", "If the previous run is in progress: `forbid` skips, `replace` stops it, `allow` waits for its end.")
            .default_value("forbid"),
        text(
            "catchUp",
            "Times missed without a server: `none` skips them, `last` makes one run for all, `all` one for each, 100 at most.",
        )
        .default_value("last"),
        Attribute::new(
            "jitterSeconds",
            AttributeType::Int,
            "Maximum delay of a start. Each schedule has a constant delay, so that many schedules do not start at once.",
        )
        .default_value(0_i64),
        text(
            "database",
            "`name` of the `pipelines_database` in the cluster that the runs of its CronJob write into (`DPP_DB_ENGINE`).",
        ),
        Attribute::new(
            "params",
            AttributeType::map(AttributeType::String),
            "Values of `params` of the spec for its runs. Records show them.",
        ),
        text("image", "Image of the pods of its runs with the digest; without it, that of the spec, else that of the settings."),
        text("cpu", "CPU of these pods; without it, that of the spec, else that of the settings."),
        text("memory", "Memory of these pods; without it, that of the spec, else that of the settings.").example("512Mi"),
        text("disk", "Disk of these pods; without it, that of the spec, else that of the settings.").example("10Gi"),
        text("id", "The name, for `terrace import`.").stable(),
        text("cronJob", "Namespace and name of its CronJob, if the pipeline runs in a cluster.")
            .computed()
            .follows(&["folder", "pipeline"]),
        text("inputs", "Digest of the spec, the code, the files and the options that the CronJob runs.")
            .computed()
            .volatile("an update brings the present inputs to the cluster"),
    ];
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "Starts a pipeline by time: by a CronJob if it runs in a cluster, else while `terrace serve` runs.",
            &["name"],
            Object(attributes),
        )
    }
}

/// The schedules of a project.
pub(crate) struct ScheduleSession {
    runner: Runner,
    cron_jobs: CronJobs,
}

impl ScheduleSession {
    pub(crate) fn new(runner: Runner, databases: ProjectDatabases, planned: PlannedDatabases) -> Self {
        Self { cron_jobs: CronJobs::new(runner.clone(), databases, planned), runner }
    }

    fn existing(&self, name: &str) -> Result<Option<Schedule>, ProviderError> {
        self.runner.schedules().get(name).map_err(|error| io_error("the schedule cannot be read", &error))
    }

    /// The schedule with this name, or that of the CronJob in a row, if another machine created it.
    async fn find_schedule(
        &self,
        name: &str,
        row: &Attributes,
        private: &Private,
    ) -> Result<Option<Schedule>, ProviderError> {
        match self.existing(name)? {
            Some(schedule) if !cron_job::is_replaced(&schedule, private) => Ok(Some(schedule)),
            _ => self.cron_jobs.of_row(row, private).await,
        }
    }

    /// A schedule with its attributes; nothing if its CronJob does not exist.
    async fn observe(&self, schedule: Schedule) -> Result<Option<(Schedule, Observed)>, ProviderError> {
        if schedule.cron_job.is_some() {
            return self.cron_jobs.observe(schedule).await;
        }
        let observed = observed(&schedule);
        Ok(Some((schedule, observed)))
    }

    async fn observe_existing(&self, name: &str) -> Result<Option<(Schedule, Observed)>, ProviderError> {
        match self.existing(name)? {
            Some(schedule) => self.observe(schedule).await,
            None => Ok(None),
        }
    }

    /// Writes a schedule, which replaces `before`.
    async fn put(
        &self,
        schedule: Schedule,
        before: Option<Schedule>,
        planned: &Planned,
        cancel: &CancellationToken,
    ) -> Result<Observed, ProviderError> {
        let runner = self.cron_jobs.start_database(&schedule, cancel).await?;
        if let Some(found) = self.cron_jobs.target(&schedule, runner).await? {
            return self.cron_jobs.put(schedule, before, found, &planned.attributes).await;
        }
        // Only the former record leads to the CronJob, so that goes first.
        if let Some(before) = before {
            self.cron_jobs.remove(&before).await?;
        }
        let put = self.runner.schedules().put(&schedule);
        put.map_err(|error| io_error("the schedule cannot be written", &error))?;
        Ok(observed(&schedule))
    }
}

fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name)?.as_str()
}

fn name_of(attributes: &Attributes) -> Result<&str, ProviderError> {
    text(attributes, "name").ok_or_else(|| ProviderError::bug("a schedule without a name"))
}

fn at(name: &str) -> Option<Path> {
    Some(Path::attribute(name))
}

fn word<T: Copy>(attributes: &Attributes, name: &str, words: &[(&'static str, T)]) -> Result<Option<T>, ProviderError> {
    let Some(text) = text(attributes, name) else { return Ok(None) };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Ok(Some(*value));
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let message = format!("`{name}` is `{text}`: expected {}", terrace_provider::names::listed(&known));
    Err(ProviderError::invalid(at(name), message).did_you_mean(text, &known))
}

/// Values of parameters; unknown ones are left out.
fn params(attributes: &Attributes) -> BTreeMap<String, String> {
    let Some(Value::Map(params)) = attributes.get("params") else { return BTreeMap::new() };
    params.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Schedule that attributes describe; unknown attributes count as their defaults.
fn parse(attributes: &Attributes, since: Timestamp, mark: String) -> Result<Schedule, ProviderError> {
    let jitter = match attributes.get("jitterSeconds") {
        Some(Value::Int(jitter)) => *jitter,
        _ => 0,
    };
    let jitter_seconds = u64::try_from(jitter).ok().filter(|_| jitter <= MOST_JITTER);
    let jitter_seconds = jitter_seconds.ok_or_else(|| {
        ProviderError::invalid(at("jitterSeconds"), format!("`jitterSeconds` is {jitter}: expected 0 to {MOST_JITTER}"))
    })?;
    let named = |name: &str, default: &str| text(attributes, name).unwrap_or(default).to_owned();
    let schedule = Schedule {
        name: named("name", ""),
        folder: named("folder", "."),
        pipeline: named("pipeline", ""),
        cron: named("cron", "* * * * *"),
        time_zone: named("timeZone", "UTC"),
        enabled: !matches!(attributes.get("enabled"), Some(Value::Bool(false))),
        overlap: word(attributes, "overlap", &Overlap::WORDS)?.unwrap_or_default(),
        catch_up: word(attributes, "catchUp", &CatchUp::WORDS)?.unwrap_or_default(),
        jitter_seconds,
        since,
        mark,
        database: text(attributes, "database").map(str::to_owned),
        overrides: Overrides { params: params(attributes), execution: options_in(attributes) },
        cron_job: None,
    };
    Times::of(&schedule).map_err(|(name, why)| {
        ProviderError::invalid(at(name), format!("`{name}`: {why}")).solution(match name {
            "timeZone" => "use a name of the time zone database, such as `Europe/Rome`",
            _ => "use the order of cron: `30 2 * * *` is every night at half past two",
        })
    })?;
    Ok(schedule)
}

fn observed(schedule: &Schedule) -> Observed {
    fn of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> Value {
        words.iter().find(|(_, known)| *known == value).map_or(Value::Null, |(word, _)| (*word).into())
    }
    let attributes: [(&str, Value); 10] = [
        ("name", schedule.name.as_str().into()),
        ("folder", schedule.folder.as_str().into()),
        ("pipeline", schedule.pipeline.as_str().into()),
        ("cron", schedule.cron.as_str().into()),
        ("timeZone", schedule.time_zone.as_str().into()),
        ("enabled", schedule.enabled.into()),
        ("overlap", of(&Overlap::WORDS, schedule.overlap)),
        ("catchUp", of(&CatchUp::WORDS, schedule.catch_up)),
        ("jitterSeconds", Value::Int(i64::try_from(schedule.jitter_seconds).unwrap_or(i64::MAX))),
        ("id", schedule.name.as_str().into()),
    ];
    let database = schedule.database.as_deref().map(|database| ("database", database.into()));
    let Overrides { params, execution } = &schedule.overrides;
    let params = (!params.is_empty()).then(|| {
        let values = params.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        ("params", Value::Map(values.collect()))
    });
    let options =
        ExecutionOption::ALL.into_iter().filter_map(|option| Some((option.name(), execution.get(option)?.into())));
    let attributes: Attributes = attributes
        .into_iter()
        .chain(database)
        .chain(params)
        .chain(options)
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let identity = [("name".to_owned(), schedule.name.as_str().into())].into_iter().collect();
    Observed { identity, attributes, private: Private::default() }
}

/// Stands for an image that an earlier step of the plan decides.
const UNKNOWN_IMAGE: &str = "unknown@sha256:0000000000000000000000000000000000000000000000000000000000000000";

#[async_trait]
impl Session for ScheduleSession {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        let found = self.find_schedule(name_of(&prior.identity)?, &prior.attributes, &prior.private).await?;
        let Some(schedule) = found else { return Ok(None) };
        Ok(self.observe(schedule).await?.map(|(_, observed)| observed))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        if let Some(name) = text(change.config, "name")
            && (name.is_empty() || name.contains(':') || name.contains(char::is_control))
        {
            let message = format!("`name` is `{}`: expected a name without colons", name.escape_debug());
            return Err(ProviderError::invalid(at("name"), message));
        }
        let mut schedule = parse(change.config, Timestamp::UNIX_EPOCH, String::new())?;
        let image = ExecutionOption::Image;
        if change.config.get(image.name()).is_some_and(Value::has_unknown) {
            // The inputs of the CronJob are unknown then.
            schedule.overrides.execution.set(image, UNKNOWN_IMAGE);
        }
        let mut planned = from_schema(ty, change);
        if text(change.config, "pipeline").is_some() {
            let runner = self.cron_jobs.plan_database(change.config.get("database")).await?;
            match self.cron_jobs.target(&schedule, runner).await? {
                Some(found) => self.cron_jobs.plan(&schedule, &found, change, &mut planned).await?,
                None if schedule.database.is_some() => {
                    let message = "`database` belongs to schedules of pipelines that run in a cluster";
                    return Err(ProviderError::invalid(at("database"), message)
                        .solution("remove it, or write `executor: kubernetes` in the spec or in the settings"));
                }
                None => ABSENT.iter().for_each(|name| drop(planned.planned.shift_remove(*name))),
            }
        }
        // Copied as a value: the id of a sensitive name is sensitive too.
        if let Some(name) = change.config.get("name") {
            planned.planned.insert("id".to_owned(), name.clone());
        }
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = name_of(&planned.attributes)?;
        if self.observe_existing(name).await?.is_some() {
            let kind = ErrorKind::AlreadyExists { import_id: Some(name.to_owned()) };
            return Err(ProviderError::new(kind, format!("the schedule `{name}` exists already in this project")));
        }
        let mark = super::run::mark(&call.operation, &call.step);
        self.put(parse(&planned.attributes, Timestamp::now(), mark)?, None, planned, &call.cancel).await
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let mark = super::run::mark(&call.operation, &call.step);
        let mut schedule = parse(&planned.attributes, Timestamp::now(), mark)?;
        // New times are not caught up. With unchanged times, a new policy must not lose missed ones.
        let before = self.find_schedule(name_of(&prior.identity)?, &prior.attributes, &prior.private).await?;
        let has_same_times = |before: &&Schedule| {
            (&before.cron, &before.time_zone, before.enabled) == (&schedule.cron, &schedule.time_zone, schedule.enabled)
        };
        if let Some(since) = before.as_ref().filter(has_same_times).map(|before| before.since) {
            schedule.since = since;
        }
        self.put(schedule, before, planned, &call.cancel).await
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let name = name_of(&prior.identity)?;
        if let Some(schedule) = self.find_schedule(name, &prior.attributes, &prior.private).await? {
            self.cron_jobs.remove(&schedule).await?;
        }
        let removed = self.runner.schedules().remove(name);
        removed.map_err(|error| io_error("the schedule cannot be removed", &error))
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let name = name_of(&attempt.identity)?;
        let mark = attempt.lost_call.as_ref().map(|lost| super::run::mark(&lost.operation, &lost.step));
        let record = self.existing(name)?;
        let is_by_call = record.as_ref().is_some_and(|record| mark.as_ref() == Some(&record.mark));
        let is_replaced =
            |record: &Schedule| attempt.prior.is_some() && cron_job::is_replaced(record, &attempt.private);
        let record = record.filter(|record| is_by_call || !is_replaced(record));
        let place = record.as_ref().and_then(|record| Some(record.cron_job.as_ref()?.place.clone()));
        let mut found = match record {
            Some(record) => self.observe(record).await?,
            None => None,
        };
        // The record of a call comes before its CronJob.
        if found.is_none() && !is_by_call {
            found = self.cron_jobs.of_attempt(attempt, place.as_ref()).await?;
        }
        let Some((schedule, observed)) = found else { return Ok(Found::Absent) };
        let is_own = attempt.prior.is_some() || mark == Some(schedule.mark);
        Ok(if is_own { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(self.observe_existing(id).await?.map(|(_, observed)| observed))
    }

    fn validate_remote<'a>(&'a self, _ty: &'a ResourceType, planned: &'a Attributes) -> Option<DryRun<'a>> {
        planned.get("cronJob").filter(|value| !value.is_null())?;
        Some(Box::pin(async {
            // The plan has reported an error of these attributes.
            match parse(planned, Timestamp::UNIX_EPOCH, String::new()) {
                Ok(schedule) => self.cron_jobs.findings(&schedule).await,
                Err(_) => Vec::new(),
            }
        }))
    }
}
