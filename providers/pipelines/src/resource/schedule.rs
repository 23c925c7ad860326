//! `pipelines_schedule`: starts runs of a pipeline while a server of the project is up. The next time and the last
//! outcome change without a plan, so they are not attributes: `terrace pipelines schedules` prints them.

use super::attributes::{Name, blocking, io_error};
use super::folder::Folder;
use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;
use terrace_pipelines::run::Runner;
use terrace_pipelines::schedule::{CatchUp, Overlap, Schedule, Times};
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};

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
        text("id", "The name, for `terrace import`.").stable(),
    ];
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "Starts a pipeline by time, while `terrace serve` runs.",
            &["name"],
            Object(attributes),
        )
    }
}

/// The schedules of a project.
pub(crate) struct ScheduleSession {
    runner: Runner,
}

impl ScheduleSession {
    pub(crate) const fn new(runner: Runner) -> Self {
        Self { runner }
    }

    fn existing(&self, name: &str) -> Result<Option<Schedule>, ProviderError> {
        self.runner.schedules().get(name).map_err(|error| io_error("the schedule cannot be read", &error))
    }

    fn put(&self, schedule: &Schedule) -> Result<Observed, ProviderError> {
        let put = self.runner.schedules().put(schedule);
        put.map_err(|error| io_error("the schedule cannot be written", &error))?;
        Ok(observed(schedule))
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
    let attributes: Attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let identity = [("name".to_owned(), schedule.name.as_str().into())].into_iter().collect();
    Observed { identity, attributes, private: Private::default() }
}

#[async_trait]
impl Session for ScheduleSession {
    async fn read(&self, _ty: &ResourceType, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
        Ok(self.existing(name_of(&prior.identity)?)?.as_ref().map(observed))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        if let Some(name) = text(change.config, "name")
            && (name.is_empty() || name.contains(':') || name.contains(char::is_control))
        {
            let message = format!("`name` is `{}`: expected a name without colons", name.escape_debug());
            return Err(ProviderError::invalid(at("name"), message));
        }
        parse(change.config, Timestamp::UNIX_EPOCH, String::new())?;
        if let Some(pipeline) = text(change.config, "pipeline") {
            let folder = text(change.config, "folder").unwrap_or(".").to_owned();
            let (name, project) = (Name { folder, name: pipeline.to_owned() }, self.runner.project.clone());
            blocking(move || Folder::read(&project, &name)?.pipeline(&name).map(drop)).await.map_err(|mut error| {
                // The path `name` of a pipeline corresponds to `pipeline` here.
                if let ErrorKind::InvalidInput { path } = &mut error.kind
                    && *path == at("name")
                {
                    *path = at("pipeline");
                }
                error
            })?;
        }
        let mut planned = from_schema(ty, change);
        // Copied as a value: the id of a sensitive name is sensitive too.
        if let Some(name) = change.config.get("name") {
            planned.planned.insert("id".to_owned(), name.clone());
        }
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = name_of(&planned.attributes)?;
        if self.existing(name)?.is_some() {
            let kind = ErrorKind::AlreadyExists { import_id: Some(name.to_owned()) };
            return Err(ProviderError::new(kind, format!("the schedule `{name}` exists already in this project")));
        }
        let mark = super::run::mark(&call.operation, &call.step);
        self.put(&parse(&planned.attributes, Timestamp::now(), mark)?)
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
        let before = self.existing(name_of(&prior.identity)?)?;
        let has_same_times = |before: &&Schedule| {
            (&before.cron, &before.time_zone, before.enabled) == (&schedule.cron, &schedule.time_zone, schedule.enabled)
        };
        if let Some(since) = before.as_ref().filter(has_same_times).map(|before| before.since) {
            schedule.since = since;
        }
        self.put(&schedule)
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let removed = self.runner.schedules().remove(name_of(&prior.identity)?);
        removed.map_err(|error| io_error("the schedule cannot be removed", &error))
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let Some(schedule) = self.existing(name_of(&attempt.identity)?)? else { return Ok(Found::Absent) };
        let is_own = match &attempt.lost_call {
            _ if attempt.prior.is_some() => true,
            Some(lost) => schedule.mark == super::run::mark(&lost.operation, &lost.step),
            None => false,
        };
        let observed = observed(&schedule);
        Ok(if is_own { Found::Own(observed) } else { Found::Foreign(observed) })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(self.existing(id)?.as_ref().map(observed))
    }
}
