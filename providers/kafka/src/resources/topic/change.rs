//! Creates, updates and deletes topics.

use super::config::{KeySupport, key_support, wanted};
use super::read::{configured, observed, private_of, with_config};
use crate::admin::{NewTopic, Topic};
use crate::attributes::{optional_text, text};
use crate::failure::Code;
use crate::polling::{deadline, until, until_visible};
use crate::resources::Instance;
use std::collections::BTreeMap;
use terrace_provider::{
    Attempt, Attributes, Call, ErrorKind, Found, Observed, Planned, Private, ProviderError, Recorded, Value,
};

/// Creates a topic with its configuration, and waits until brokers show it.
pub(crate) async fn create(instance: &Instance, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let name = text(attributes, "name")?;
    let context = instance.create_context(name);
    let exists = || {
        let kind = ErrorKind::AlreadyExists { import_id: Some(crate::object_id::join([name])) };
        ProviderError::new(kind, format!("the topic `{name}` exists already"))
    };
    let is_retry = instance.marks.earlier_attempt(call).is_some();
    if instance.admin.topic(name).await.map_err(|failure| instance.read_context(name).failed(failure))?.is_some() {
        return match is_retry {
            true => find_requested(instance, call, name, attributes).await?.ok_or_else(exists),
            false => Err(exists()),
        };
    }
    let config = sendable(instance, name, attributes).await?;
    let new = new_topic(name, attributes, &config);
    instance.marks.record_sent(call, None).await?;
    let created = match instance.admin.create_topic(&new, false).await {
        Ok(created) => created,
        Err(failure) if failure.code() == Some(Code::TOPIC_EXISTS) => {
            return find_requested(instance, call, name, attributes).await?.ok_or_else(exists);
        }
        Err(failure) => {
            if failure.excludes_effect() && !is_retry {
                instance.marks.record_refused(call).await;
            }
            return Err(context.failed(failure));
        }
    };
    let is_ours = |topic: &Topic| created.id.is_none() || topic.id == created.id;
    let timeout_message = format!("the topic `{name}` was created, but the brokers do not show it yet");
    let visible = until_visible(call, &timeout_message, || async {
        let topic = instance.admin.topic(name).await.map_err(|failure| instance.read_context(name).failed(failure))?;
        Ok(topic.filter(|topic| topic.is_ready && is_ours(topic)))
    });
    let topic = visible.await.map_err(|error| error.solution("check that all brokers run"))?;
    Ok(with_config(name, attributes, &topic, configured(attributes).cloned()))
}

/// Reads a topic that appeared during its own create. A broker that lost the answer sends the request again, and a
/// resigning controller may have written the topic. A topic that equals the plan is ours; any other belongs to
/// another owner.
async fn find_requested(
    instance: &Instance,
    call: &Call,
    name: &str,
    attributes: &Attributes,
) -> Result<Option<Observed>, ProviderError> {
    let timeout_message = format!("the topic `{name}` exists, but the brokers do not show it yet");
    let visible = until_visible(call, &timeout_message, || async {
        let found = read_topic(instance, name, attributes).await?;
        Ok(found.filter(|(topic, _)| topic.is_ready))
    });
    let (topic, observed) = visible.await?;
    let config = configured(attributes).map(|config| Value::from(config.clone()));
    let is_as_planned = is_as_planned(attributes, &topic)
        && config.is_none_or(|config| contains_entries(observed.attributes.get("config"), &config));
    if !is_as_planned {
        instance.marks.record_refused(call).await;
        return Ok(None);
    }
    Ok(Some(observed))
}

/// Returns true if the topic has the planned partitions and replicas. Numbers that are not planned are ignored.
fn is_as_planned(planned: &Attributes, topic: &Topic) -> bool {
    let is = |name: &str, now: i64| planned.get(name).and_then(Value::as_int).is_none_or(|planned| planned == now);
    is("partitions", topic.partitions) && is("replicationFactor", topic.replicas)
}

pub(super) fn new_topic<'a>(
    name: &'a str,
    attributes: &Attributes,
    config: &'a BTreeMap<String, String>,
) -> NewTopic<'a> {
    let number = |name: &str| attributes.get(name).and_then(Value::as_int);
    NewTopic { name, partitions: number("partitions"), replicas: number("replicationFactor"), config }
}

/// The configuration without keys that these brokers do not support and that repeat their default behavior.
pub(super) async fn sendable(
    instance: &Instance,
    name: &str,
    attributes: &Attributes,
) -> Result<BTreeMap<String, String>, ProviderError> {
    let mut config = wanted(attributes)?;
    let known = instance.known_keys(name).await;
    let knows = known.map(|known| move |key: &str| known.contains(key));
    let knows = knows.as_ref().map(|knows| knows as &dyn Fn(&str) -> bool);
    // Unknown keys are sent: the brokers report them.
    config.retain(|key, value| key_support(key, value, knows, instance.flavor) != KeySupport::LeftOut);
    Ok(config)
}

/// Applies the differences, and waits until brokers show them.
pub(crate) async fn update(
    instance: &Instance,
    call: &Call,
    prior: &Recorded,
    planned: &Planned,
) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let name = text(attributes, "name")?;
    let context = instance.change_context(name);
    let (before, after) = (wanted(&prior.attributes)?, sendable(instance, name, attributes).await?);
    let mut changes: BTreeMap<String, Option<String>> = BTreeMap::new();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        // A key that the brokers do not support was never set.
        if instance.known_keys(name).await.is_none_or(|known| known.contains(key)) {
            changes.insert(key.clone(), None);
        }
    }
    let differs = |(key, value): &(&String, &String)| before.get(*key) != Some(*value);
    changes.extend(after.iter().filter(differs).map(|(key, value)| (key.clone(), Some(value.clone()))));
    if !changes.is_empty() {
        instance.admin.alter_config(name, &changes, false).await.map_err(|failure| context.failed(failure))?;
    }
    let count = |attributes: &Attributes| attributes.get("partitions").and_then(Value::as_int);
    let partitions = count(attributes).filter(|wanted| count(&prior.attributes).is_none_or(|now| now < *wanted));
    if let Some(total) = partitions {
        let added = instance.admin.create_partitions(name, total, false).await;
        if let Err(failure) = added
            && !(failure.code() == Some(Code::INVALID_PARTITIONS) && has_partitions(instance, name, total).await)
        {
            return Err(context.failed(failure));
        }
    }
    let shown = until(call, deadline(call), || async {
        let Some((topic, observed)) = read_topic(instance, name, attributes).await? else {
            let message = format!("the topic `{name}` no longer exists");
            return Err(ProviderError::new(ErrorKind::NotFound, message).solution("plan again to recreate it"));
        };
        let exists = topic.is_ready && partitions.is_none_or(|wanted| topic.partitions >= wanted);
        let config = configured(attributes).map(|config| Value::from(config.clone()));
        let is_configured = config.is_none_or(|config| contains_entries(observed.attributes.get("config"), &config));
        Ok((exists && is_configured).then_some(observed))
    });
    shown.await?.ok_or_else(|| {
        let message = format!("the change of the topic `{name}` was accepted, but the brokers do not show it yet");
        ProviderError::new(ErrorKind::Ambiguous, message)
    })
}

/// Returns true if every wanted entry is present with the same value.
fn contains_entries(observed: Option<&Value>, wanted: &Value) -> bool {
    let wanted = wanted.as_map().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let mut wanted = wanted
        .map(|(key, value)| observed.and_then(|observed| observed.get(key)).is_some_and(|it| it.is_same_as(value)));
    wanted.all(|is_same| is_same)
}

async fn has_partitions(instance: &Instance, name: &str, total: i64) -> bool {
    instance.admin.topic(name).await.is_ok_and(|topic| topic.is_some_and(|topic| topic.partitions == total))
}

/// Reads a topic.
async fn read_topic(
    instance: &Instance,
    name: &str,
    like: &Attributes,
) -> Result<Option<(Topic, Observed)>, ProviderError> {
    let failed = |failure| instance.read_context(name).failed(failure);
    let Some(topic) = instance.admin.topic(name).await.map_err(failed)? else { return Ok(None) };
    let settings = match configured(like) {
        None => None,
        Some(_) => match instance.admin.config(name).await.map_err(failed)? {
            None => return Ok(None),
            settings => settings,
        },
    };
    let observed = observed(instance, name, like, &topic, settings.as_ref());
    Ok(Some((topic, observed)))
}

/// Deletes the recorded topic, but not another topic with its name. Waits until the name is free.
pub(crate) async fn delete(instance: &Instance, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
    let name = text(&prior.attributes, "name")?;
    let id = optional_text(&prior.attributes, "topicId");
    let context = instance.delete_context(name);
    match instance.admin.delete_topic(name, id).await {
        Ok(()) => {}
        Err(failure) if matches!(failure.code(), Some(Code::UNKNOWN_TOPIC | Code::UNKNOWN_TOPIC_ID)) => {}
        Err(failure) => return Err(context.failed(failure)),
    }
    let timeout_message = format!("the brokers accepted the deletion of the topic `{name}`, but it still exists");
    let deletion = until_visible(call, &timeout_message, || async {
        let topic = instance.admin.topic(name).await.map_err(|failure| instance.read_context(name).failed(failure))?;
        let is_gone = topic.is_none_or(|topic| id.is_some() && topic.id.as_deref() != id);
        Ok(is_gone.then_some(()))
    });
    deletion.await
}

/// Finds the object of a lost call, or an object to adopt.
pub(crate) async fn find(instance: &Instance, attempt: &Attempt) -> Result<Found, ProviderError> {
    let like = match &attempt.prior {
        Some(prior) if attempt.planned.is_empty() => &prior.attributes,
        _ => &attempt.planned,
    };
    let Some(name) = optional_text(like, "name").or_else(|| optional_text(&attempt.identity, "name")) else {
        return Ok(Found::Unknown);
    };
    let found = match read_topic(instance, name, like).await {
        // Unreachable brokers do not matter if no request was ever sent.
        Err(_) if instance.marks.created_nothing(attempt) => None,
        found => found?,
    };
    let Some((topic, observed)) = found else { return Ok(Found::Absent) };
    if let Some(prior) = &attempt.prior {
        let before = prior.text("topicId").filter(|_| attempt.planned.is_empty());
        let is_other = before.is_some() && topic.id.as_deref() != before;
        return Ok(if is_other { Found::Absent } else { Found::Own(observed) });
    }
    let is_ours = attempt.lost_call.as_ref().is_some_and(|lost| instance.marks.may_have_created(attempt, lost))
        && is_as_planned(&attempt.planned, &topic);
    let observed = Observed { private: Private::clone(&private_of(&topic)), ..observed };
    Ok(if is_ours { Found::Own(observed) } else { Found::Foreign(observed) })
}
