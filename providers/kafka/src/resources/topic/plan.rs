//! Plans changes of topics.

use super::config::wanted;
use crate::attributes::without_nulls;
use crate::object_id;
use terrace_provider::plan::from_schema;
use terrace_provider::{Path, PlannedChange, ProposedChange, ProviderError, ResourceType, Value};

/// Kafka's limit for topic names, which become folder names.
const MAX_NAME_LENGTH: usize = 249;

/// Plans from the schema. Fewer partitions need a replacement. If the topic was recreated outside terrace, the plan has
/// an update that shows the new id.
///
/// # Errors
/// If the configuration is not a valid topic.
pub(crate) fn plan(ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
    check(change)?;
    let config = without_nulls(change.config, "config");
    let change = &ProposedChange { config: &config, ..change.clone() };
    let mut planned = from_schema(ty, change);
    let count = |attributes: &terrace_provider::Attributes| attributes.get("partitions").and_then(Value::as_int);
    let before = change.prior.and_then(|prior| count(&prior.attributes));
    if let (Some(before), Some(after)) = (before, count(&planned.planned))
        && after < before
    {
        let mut replace_paths = planned.replace_paths;
        replace_paths.push(Path::attribute("partitions"));
        planned = from_schema(ty, &ProposedChange { must_replace: true, ..change.clone() });
        planned.replace_paths = replace_paths;
    }
    if let Some(name) = planned.planned.get("name").and_then(Value::as_str) {
        let id = Value::from(object_id::join([name])).derived_from(&planned.planned, &["name"]);
        planned.planned.insert("id".to_owned(), id);
    }
    let keeps_topic = planned.replace_paths.is_empty() && !change.must_replace;
    if let Some(prior) = change.prior.filter(|_| keeps_topic)
        && let Some(created) = created_id(&prior.private.0)
        && prior.text("topicId").is_some_and(|now| now != created)
    {
        planned.planned.insert("topicId".to_owned(), Value::Unknown);
    }
    Ok(planned)
}

/// The id of the topic that terrace created, from the private bytes of its row.
pub(super) fn created_id(private: &[u8]) -> Option<&str> {
    std::str::from_utf8(private).ok()?.strip_prefix("topic ")
}

/// The private bytes of a topic's row.
pub(super) fn created_private(id: Option<&str>) -> terrace_provider::Private {
    terrace_provider::Private(id.map(|id| format!("topic {id}").into_bytes()).unwrap_or_default())
}

fn check(change: &ProposedChange<'_>) -> Result<(), ProviderError> {
    let invalid = |name: &str, message: String, hint: &str| {
        Err(ProviderError::invalid(Some(Path::attribute(name)), message).solution(hint))
    };
    if let Some(name) = change.config.get("name").and_then(Value::as_str) {
        let is_legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if name.is_empty() || [".", ".."].contains(&name) || !name.chars().all(is_legal) {
            let hint = "use only `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`, but not `.` or `..` alone";
            return invalid("name", format!("`{name}` is not a valid topic name"), hint);
        }
        if name.len() > MAX_NAME_LENGTH {
            let message = format!("the name of the topic has {} characters", name.len());
            return invalid("name", message, "use at most 249 characters");
        }
    }
    for (name, max) in [("partitions", i64::from(i32::MAX)), ("replicationFactor", i64::from(i16::MAX))] {
        let Some(number) = change.config.get(name).and_then(Value::as_int) else { continue };
        if !(1..=max).contains(&number) {
            let hint = format!("write a number from 1 to {max}");
            return invalid(name, format!("{number} is out of range for `{name}`"), &hint);
        }
    }
    wanted(change.config).map(|_| ())
}
