//! Use of pipelines by the objects that a stack declares, for the usage log and the limits of `terrace serve`.

use jiff::Timestamp;
use std::time::Duration;
use terrace_engine::store::Usage;
use terrace_pipelines::database::time_to_live;
use terrace_pipelines::queue::Lifetime;
use terrace_provider::{Attributes, Value};
use terrace_provider_pipelines::resource::{database, run, static_site, volume_sync};
use terrace_server::pipelines::PlannedObject;

fn text(attributes: &Attributes, name: &str) -> Option<String> {
    attributes.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn number(value: Option<&Value>) -> Option<u64> {
    value.and_then(Value::as_int).and_then(|number| u64::try_from(number).ok())
}

/// The use by an object that was created or updated, with the facts in its attributes.
pub(super) fn usage(ty: &str, is_new: bool, attributes: Option<&Attributes>) -> Option<Usage> {
    let action = match ty {
        database::NAME if is_new => "db.create",
        static_site::NAME => "publish",
        volume_sync::NAME => "sync",
        run::NAME => "run",
        _ => return None,
    };
    let usage = Usage { action: action.to_owned(), ..Usage::default() };
    let Some(attributes) = attributes else { return Some(usage) };
    let bytes = number(attributes.get("bytes"));
    Some(match ty {
        database::NAME => Usage { db: text(attributes, "name"), image: text(attributes, "image"), ..usage },
        static_site::NAME => Usage { bytes, ..usage },
        volume_sync::NAME => Usage { pipeline_id: text(attributes, "pipeline"), bytes_synced: bytes, ..usage },
        _ => of_run(attributes, usage),
    })
}

fn of_run(attributes: &Attributes, usage: Usage) -> Usage {
    let time = |name: &str| text(attributes, name).and_then(|text| text.parse::<Timestamp>().ok());
    let (started_at, finished_at) = (time("startedAt"), time("finishedAt"));
    let stats = attributes.get("stats").and_then(Value::as_map);
    Usage {
        pipeline_id: text(attributes, "name"),
        run_id: text(attributes, "runId"),
        db: text(attributes, "database"),
        image: text(attributes, "image"),
        started_at,
        finished_at,
        duration_ms: started_at
            .zip(finished_at)
            .and_then(|(start, end)| u64::try_from(end.duration_since(start).as_millis()).ok()),
        rows: number(attributes.get("rows")),
        bytes: number(stats.and_then(|stats| stats.get("bytes"))),
        ..usage
    }
}

/// The lifetimes of the databases that a plan creates, or whose end it changes.
pub(super) fn lifetimes(objects: &[PlannedObject<'_>]) -> Vec<Lifetime> {
    objects.iter().filter(|object| object.ty == database::NAME).filter_map(lifetime).collect()
}

fn lifetime(object: &PlannedObject<'_>) -> Option<Lifetime> {
    let end = |attributes: &Attributes| attributes.get("expiresAt").cloned().unwrap_or(Value::Null);
    if object.before.is_some_and(|before| end(before).is_same_as(&end(object.after))) {
        return None;
    }
    // A lifetime that is only known after the apply counts as none.
    let span = text(object.after, "ttl").and_then(|ttl| time_to_live(&ttl).ok());
    Some(Lifetime {
        database: text(object.after, "name").unwrap_or_default(),
        seconds: span.as_ref().map(Duration::as_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(values: &[(&str, Value)]) -> Attributes {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    fn seconds(before: Option<&Attributes>, after: &Attributes) -> Vec<Option<u64>> {
        let object = PlannedObject { ty: database::NAME, before, after };
        lifetimes(&[object]).into_iter().map(|life| life.seconds).collect()
    }

    #[test]
    fn new_and_changed_lifetimes_count() {
        let of = |ttl: Value, end: Value| attributes(&[("name", "orders".into()), ("ttl", ttl), ("expiresAt", end)]);
        let hour = of("1h".into(), "2026-03-28T01:00:00Z".into());
        let planned = of("2h".into(), Value::Unknown);
        let endless = of(Value::Null, Value::Null);
        assert_eq!(seconds(None, &planned), [Some(7200)]);
        assert_eq!(seconds(None, &endless), [None]);
        assert_eq!(seconds(None, &of(Value::Unknown, Value::Unknown)), [None], "it is not known yet");
        assert_eq!(seconds(Some(&hour), &hour), []);
        assert_eq!(seconds(Some(&endless), &endless), []);
        assert_eq!(seconds(Some(&hour), &planned), [Some(7200)]);
        assert_eq!(seconds(Some(&hour), &endless), [None]);
    }

    #[test]
    fn objects_without_a_use_have_no_entry() {
        assert_eq!(usage("pipelines_worker_pool", true, None), None);
        assert_eq!(usage(database::NAME, false, None), None, "an update creates no database");
        assert_eq!(usage(static_site::NAME, false, None).map(|usage| usage.action), Some("publish".to_owned()));
    }
}
