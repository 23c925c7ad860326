//! Connections in terms of the API.

use crate::airbyte::{Airbyte, text as of};
use crate::attributes::{given, optional_text, text};
use crate::kind::Kind;
use crate::streams;
use serde_json::{Map as JsonMap, Value as Json, json};
use terrace_provider::cron::quartz;
use terrace_provider::http::{Purpose, Request};
use terrace_provider::names::listed;
use terrace_provider::{Attributes, DataAmount, Path, ProviderError, Value};

/// Attributes with enumerated values, their names in the API, and the values.
const WORDS: [(&str, &str, &[&str]); 3] = [
    ("namespaceDefinition", "namespaceDefinition", &["source", "destination", "custom_format"]),
    ("status", "status", &["active", "inactive"]),
    (
        "nonBreakingChanges",
        "nonBreakingSchemaUpdatesBehavior",
        &["ignore", "disable_connection", "propagate_columns", "propagate_fully"],
    ),
];
/// Attributes with free text in the API.
const TEXTS: [&str; 2] = ["namespaceFormat", "prefix"];

/// Refuses an invalid connection, as far as its values are known.
pub(crate) fn check(planned: &Attributes) -> Result<(), ProviderError> {
    for (name, _, words) in WORDS {
        let Some(word) = optional_text(planned, name).filter(|word| !words.contains(&word.as_str())) else { continue };
        // These values come from a read, not from the user.
        if !matches!((name, word.as_str()), ("status", "deprecated" | "locked")) {
            let error =
                ProviderError::invalid(Some(Path::attribute(name)), format!("`{word}` is not a valid `{name}`"));
            return Err(error.solution(format!("write one of {}", listed(words))));
        }
    }
    let is_custom = optional_text(planned, "namespaceDefinition").as_deref() == Some("custom_format");
    if is_custom && planned.get("namespaceFormat").is_none_or(Value::is_null) {
        let path = Some(Path::attribute("namespaceFormat"));
        return Err(ProviderError::invalid(path, "`namespaceDefinition: custom_format` needs a `namespaceFormat`")
            .solution("write a format such as `${SOURCE_NAMESPACE}_raw`"));
    }
    if let Some(schedule) = planned.get("schedule").filter(|value| !value.has_unknown()) {
        check_schedule(schedule)?;
    }
    planned.get("streams").map_or(Ok(()), streams::check)
}

/// Checks a schedule: five cron fields preceded by the seconds, an optional year, at most one sync per hour.
/// <https://docs.airbyte.com/platform/using-airbyte/core-concepts/sync-schedules>
fn check_schedule(schedule: &Value) -> Result<(), ProviderError> {
    let at = Path::attribute("schedule");
    let part = |name: &str| schedule.get(name).and_then(Value::as_str);
    match (part("type"), part("cron")) {
        (Some("manual") | None, None) => Ok(()),
        (Some("manual") | None, Some(_)) => {
            Err(ProviderError::invalid(Some(at.key("cron")), "a `manual` schedule cannot have `cron`")
                .solution("write `type: cron`, or remove `cron`"))
        }
        (Some("cron"), None) => Err(ProviderError::invalid(Some(at), "a schedule of type `cron` needs `cron`")
            .solution("write an expression such as `0 0 3 * * ?`: second, minute, hour, day, month, weekday")),
        (Some("cron"), Some(cron)) => {
            let often = "second and minute must be single numbers: Airbyte syncs at most once an hour".to_owned();
            let mut fields = zoneless(cron).split_whitespace().take(2);
            let is_number = |field: &str| field.parse::<u8>().is_ok();
            let checked = quartz::check(zoneless(cron));
            checked.and_then(|()| if fields.all(is_number) { Ok(()) } else { Err(often) }).map_err(|why| {
                let message = format!("`{cron}` is not a valid schedule: {why}");
                ProviderError::invalid(Some(at.key("cron")), message)
                    .solution("write an expression such as `0 0 3 * * ?`: second, minute, hour, day, month, weekday")
            })
        }
        (Some(other), _) => {
            Err(ProviderError::invalid(Some(at.key("type")), format!("`{other}` is not a type of schedule"))
                .solution("write `manual` or `cron`"))
        }
    }
}

/// The cron expression without the trailing time zone, which is always UTC.
fn zoneless(cron: &str) -> &str {
    cron.trim().trim_end_matches("UTC").trim_end()
}

/// Converts a connection into attributes, spelled as in the configuration.
pub(crate) fn attributes_of(read: &Json, like: Option<&Attributes>) -> Attributes {
    let mut attributes = Attributes::default();
    attributes.insert("sourceId".to_owned(), of(read, "sourceId").into());
    attributes.insert("destinationId".to_owned(), of(read, "destinationId").into());
    attributes.insert(
        "streams".to_owned(),
        streams::observed(streams_of(read), like.and_then(|like| given(like, "streams"))),
    );
    let configured = like.and_then(|like| given(like, "schedule"));
    attributes.insert("schedule".to_owned(), schedule_of(read.get("schedule").unwrap_or(&Json::Null), configured));
    for (name, own, _) in WORDS {
        if let Some(word) = read.get(own).and_then(Json::as_str) {
            attributes.insert(name.to_owned(), word.into());
        }
    }
    for name in TEXTS {
        let configured = like.and_then(|like| given(like, name)).and_then(Value::as_str);
        match read
            .get(name)
            .and_then(Json::as_str)
            .filter(|text| !text.is_empty())
            .or_else(|| configured.filter(|it| it.is_empty()))
        {
            Some(text) => drop(attributes.insert(name.to_owned(), text.into())),
            None => drop(attributes.insert(name.to_owned(), Value::Null)),
        }
    }
    attributes
}

fn schedule_of(read: &Json, configured: Option<&Value>) -> Value {
    let kind = of(read, "scheduleType");
    let mut schedule = Attributes::default();
    schedule.insert("type".to_owned(), kind.as_str().into());
    if let Some(cron) = read.get("cronExpression").and_then(Json::as_str).filter(|_| kind == "cron") {
        let configured = configured.and_then(|configured| configured.get("cron")).and_then(Value::as_str);
        let same = configured.filter(|configured| zoneless(configured) == zoneless(cron));
        schedule.insert("cron".to_owned(), same.unwrap_or_else(|| zoneless(cron)).into());
    }
    schedule.into()
}

fn streams_of(read: &Json) -> &[Json] {
    read.pointer("/configurations/streams").and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The body of a write. It always includes the streams: a write without them selects all streams of the source.
fn body(prior: &Attributes, planned: &Attributes, present: &Json) -> JsonMap<String, Json> {
    let mut body = JsonMap::new();
    body.insert("name".to_owned(), text(planned, "name").into());
    if let Some(schedule) = given(planned, "schedule") {
        let part = |name: &str| schedule.get(name).and_then(Value::as_str);
        let mut json = json!({"scheduleType": part("type")});
        if let (Some(cron), Json::Object(entries)) = (part("cron"), &mut json) {
            entries.insert("cronExpression".to_owned(), zoneless(cron).into());
        }
        body.insert("schedule".to_owned(), json);
    }
    let words = WORDS.iter().map(|(name, own, _)| (*name, *own)).chain(TEXTS.map(|name| (name, name)));
    for (name, own) in words {
        if let Some(value) = given(planned, name).and_then(Value::as_str) {
            body.insert(own.to_owned(), value.into());
        }
    }
    let streams = streams::sent(given(planned, "streams"), given(prior, "streams"), streams_of(present));
    if streams.as_array().is_some_and(|streams| !streams.is_empty()) {
        body.insert("configurations".to_owned(), json!({"streams": streams}));
    }
    body
}

/// Creates a connection.
///
/// # Errors
/// If Airbyte refuses the request, or the outcome is unknown.
pub(crate) async fn create(
    airbyte: &Airbyte<'_>,
    planned: &Attributes,
    purpose: &Purpose,
) -> Result<Json, ProviderError> {
    let mut body = body(&Attributes::default(), planned, &Json::Null);
    for name in ["sourceId", "destinationId"] {
        body.insert(name.to_owned(), text(planned, name).into());
    }
    airbyte.create(Kind::Connection, Json::Object(body), purpose).await
}

/// Updates a connection in place.
///
/// # Errors
/// If Airbyte refuses the request, or the outcome is unknown.
pub(crate) async fn update(
    airbyte: &Airbyte<'_>,
    present: Json,
    (prior, planned): (&Attributes, &Attributes),
    purpose: &Purpose,
) -> Result<Json, ProviderError> {
    let remote = attributes_of(&present, Some(planned));
    let names =
        ["streams", "schedule", "namespaceDefinition", "namespaceFormat", "prefix", "status", "nonBreakingChanges"];
    let is_same = |name: &&str| match (given(planned, name), remote.get(*name)) {
        (Some(wanted), Some(remote)) => wanted.is_same_as(remote),
        (wanted, _) => wanted.is_none(),
    };
    // Unreadable details of a stream seem to equal the plan: compare with the recorded streams, too.
    let was_sent = match (given(prior, "streams"), given(planned, "streams")) {
        (Some(before), Some(wanted)) => before.is_same_as(wanted),
        (_, wanted) => wanted.is_none(),
    };
    if of(&present, "name") == text(planned, "name") && was_sent && names.iter().all(is_same) {
        return Ok(present);
    }
    let body = body(prior, planned, &present);
    airbyte.patch(Kind::Connection, &of(&present, Kind::Connection.id()), Json::Object(body), purpose).await
}

/// Reports if a connection has sync state, which is lost with it.
///
/// # Errors
/// If Airbyte refuses the request.
pub(crate) async fn count(airbyte: &Airbyte<'_>, id: &str) -> Result<DataAmount, ProviderError> {
    let request = Request::get("/jobs", &[]).query("connectionId", id).query("limit", 1_u8);
    let purpose = Purpose::read(format!("list the jobs of the connection `{id}`"));
    let jobs = airbyte.read_optional(&request, &purpose).await?.unwrap_or_default();
    Ok(match jobs.get("data").and_then(Json::as_array).map(Vec::len) {
        None => DataAmount::Unknown,
        Some(0) => DataAmount::Empty,
        Some(_) => DataAmount::Some { count: 1, text: "the state of its syncs".to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_schedules_are_refused() {
        let check = |schedule: Json| check_schedule(&Value::from(schedule));
        for schedule in [
            json!({"type": "manual"}),
            json!({"type": "cron", "cron": "0 0 3 * * ?"}),
            json!({"type": "cron", "cron": "0 30 3 ? * MON 2027 UTC"}),
        ] {
            assert!(check(schedule.clone()).is_ok(), "{schedule}");
        }
        for schedule in [
            json!({"type": "cron"}),
            json!({"type": "cron", "cron": "0 3 * * *"}),
            json!({"type": "cron", "cron": "* 0 3 * * ?"}),
            json!({"type": "cron", "cron": "0 75 3 * * ?"}),
            json!({"type": "cron", "cron": "0 0 33 * * ?"}),
            json!({"type": "cron", "cron": "0 0 3 * * *"}),
            json!({"type": "manual", "cron": "0 0 3 * * ?"}),
            json!({"type": "hourly"}),
        ] {
            assert!(check(schedule.clone()).is_err(), "{schedule}");
        }
    }

    #[test]
    fn added_time_zone_is_not_drift() {
        let read = json!({"scheduleType": "cron", "cronExpression": "0 0 3 * * ? UTC"});
        let configured = Value::from(json!({"type": "cron", "cron": "0 0 3 * * ?"}));
        assert_eq!(schedule_of(&read, Some(&configured)), configured);
        let configured = Value::from(json!({"type": "cron", "cron": "0 0 3 * * ? UTC"}));
        assert_eq!(schedule_of(&read, Some(&configured)), configured);
        assert_eq!(schedule_of(&read, None).to_json()["cron"], "0 0 3 * * ?");
    }
}
