//! `pipelines_schedule`: a pipeline runs by itself, as long as a server of the project runs. When it runs next, and what came
//! of the last time, changes by itself, and is no attribute: `terrace schedules list` tells it.

use super::attributes::{Name, blocking, io_error};
use super::folder::Folder;
use crate::run::Runner;
use crate::schedule::{CatchUp, Overlap, Schedule, Times};
use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Duration;
use terrace_provider::names::closest;
use terrace_provider::plan::from_schema;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, ErrorKind, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Session, Value,
};

/// The type's name.
pub const NAME: &str = "pipelines_schedule";
/// Nothing is put off by more than a day.
const MOST_JITTER: i64 = 24 * 60 * 60;

/// The type.
#[must_use]
pub fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let attributes = vec![
        text("name", "What it is called in the project.").required().replaces(),
        text("folder", "The folder whose specs are read, relative to the project folder; `.` is that itself.")
            .default_value("."),
        text("pipeline", "The id of the pipeline in it, as in `./committees/dump-to-db`.").required(),
        text("cron", "Minute, hour, day of the month, month, day of the week: the order of cron, as in `30 2 * * *`.")
            .required(),
        text("timeZone", "The zone whose clocks it goes by, by its name of IANA: `Europe/Rome`.").default_value("UTC"),
        Attribute::new("enabled", AttributeType::Bool, "It starts runs; what passes meanwhile is not made up for.")
            .default_value(true),
        text("overlap", "When the run before goes on: `forbid` skips, `replace` stops it, `allow` waits for its turn.")
            .default_value("forbid"),
        text(
            "catchUp",
            "For times that no server was there for: `none`, `last` makes one run for all, `all` one for each, 100 at most.",
        )
        .default_value("last"),
        Attribute::new(
            "jitterSeconds",
            AttributeType::Int,
            "Runs start up to so many seconds later, always by the same, so that many schedules do not start at once.",
        )
        .default_value(0_i64),
        text("id", "The name, for `terrace import`.").stable(),
    ];
    ResourceType {
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "A pipeline that runs by itself, while `terrace serve` runs.",
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

    fn known(&self, name: &str) -> Result<Option<Schedule>, ProviderError> {
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
    let error = ProviderError::invalid(at(name), message);
    Err(closest(text, known).into_iter().fold(error, |error, meant| error.solution(format!("did you mean `{meant}`?"))))
}

/// The schedule that attributes describe; what is not known yet is left at its default.
fn described(attributes: &Attributes, since: Timestamp, mark: String) -> Result<Schedule, ProviderError> {
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
        ProviderError::invalid(at(name), format!("`{name}`: {why}"))
            .solution("the order is that of cron; `30 2 * * *` is every night at half past two")
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
        Ok(self.known(name_of(&prior.identity)?)?.as_ref().map(observed))
    }

    async fn plan(&self, ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
        if let Some(name) = text(change.config, "name")
            && (name.is_empty() || name.contains(':') || name.contains(char::is_control))
        {
            let message = format!("`name` is `{}`: expected a name without colons", name.escape_debug());
            return Err(ProviderError::invalid(at("name"), message));
        }
        described(change.config, Timestamp::UNIX_EPOCH, String::new())?;
        if let Some(pipeline) = text(change.config, "pipeline") {
            let folder = text(change.config, "folder").unwrap_or(".").to_owned();
            let (name, project) = (Name { folder, name: pipeline.to_owned() }, self.runner.project.clone());
            blocking(move || Folder::read(&project, &name)?.pipeline(&name).map(drop)).await.map_err(|mut error| {
                // What names a pipeline elsewhere is called otherwise here.
                if let ErrorKind::InvalidInput { path } = &mut error.kind
                    && *path == at("name")
                {
                    *path = at("pipeline");
                }
                error
            })?;
        }
        let mut planned = from_schema(ty, change);
        // As it is given: of a name that is secret the id is one, too.
        if let Some(name) = change.config.get("name") {
            planned.planned.insert("id".to_owned(), name.clone());
        }
        Ok(planned)
    }

    async fn create(&self, _ty: &ResourceType, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
        let name = name_of(&planned.attributes)?;
        if self.known(name)?.is_some() {
            let kind = ErrorKind::AlreadyExists { import_id: Some(name.to_owned()) };
            return Err(ProviderError::new(kind, format!("there is a schedule `{name}` in this project already")));
        }
        let mark = super::run::mark(&call.operation, &call.step);
        self.put(&described(&planned.attributes, Timestamp::now(), mark)?)
    }

    async fn update(
        &self,
        _ty: &ResourceType,
        call: &Call,
        prior: &Recorded,
        planned: &Planned,
    ) -> Result<Observed, ProviderError> {
        let mark = super::run::mark(&call.operation, &call.step);
        let mut schedule = described(&planned.attributes, Timestamp::now(), mark)?;
        // Other times are not made up for; with the same ones nothing is lost by another way to deal with overlaps.
        let before = self.known(name_of(&prior.identity)?)?;
        let is_timed_alike = |before: &&Schedule| {
            (&before.cron, &before.time_zone, before.enabled) == (&schedule.cron, &schedule.time_zone, schedule.enabled)
        };
        if let Some(since) = before.as_ref().filter(is_timed_alike).map(|before| before.since) {
            schedule.since = since;
        }
        self.put(&schedule)
    }

    async fn delete(&self, _ty: &ResourceType, _call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
        let removed = self.runner.schedules().remove(name_of(&prior.identity)?);
        removed.map_err(|error| io_error("the schedule cannot be removed", &error))
    }

    async fn find(&self, _ty: &ResourceType, attempt: &Attempt) -> Result<Found, ProviderError> {
        let Some(schedule) = self.known(name_of(&attempt.identity)?)? else { return Ok(Found::Absent) };
        let is_ours = match &attempt.lost_call {
            _ if attempt.prior.is_some() => true,
            Some(lost) => schedule.mark == super::run::mark(&lost.operation, &lost.step),
            None => false,
        };
        let observed = observed(&schedule);
        Ok(if is_ours { Found::Ours(observed) } else { Found::Strangers(observed) })
    }

    async fn import(&self, _ty: &ResourceType, id: &str) -> Result<Option<Observed>, ProviderError> {
        Ok(self.known(id)?.as_ref().map(observed))
    }
}
