//! Validates a topic before the apply: brokers check a create or a change without performing it.

use super::change::{new_topic, sendable};
use super::config::{KeySupport, key_support, wanted};
use crate::admin::NewTopic;
use crate::attributes::optional_text;
use crate::failure::{Code, Failure, RequestContext};
use crate::resources::Instance;
use std::collections::{BTreeMap, BTreeSet};
use terrace_provider::names::closest;
use terrace_provider::{Attributes, ErrorKind, Finding, Path, Severity, Value};

impl Instance {
    /// Returns the configuration keys that topics of these brokers support; `None` if the caller may not list them.
    /// `name` is the name of an existing topic, or a name that the caller may use for a new topic.
    pub(super) async fn known_keys(&self, name: &str) -> Option<&BTreeSet<String>> {
        let fetch = || async {
            let nothing = BTreeMap::new();
            let probe = NewTopic { name, partitions: None, replicas: None, config: &nothing };
            let keys: Option<BTreeSet<String>> = match self.admin.create_topic(&probe, true).await {
                Ok(created) => created.known_keys.map(|keys| keys.into_iter().collect()),
                Err(failure) if failure.code() == Some(Code::TOPIC_EXISTS) => {
                    let settings = self.admin.config(name).await.ok().flatten();
                    settings.map(|settings| settings.into_keys().collect())
                }
                Err(_) => None,
            };
            keys.filter(|keys| !keys.is_empty()).ok_or(())
        };
        self.known_keys.get_or_try_init(fetch).await.ok()
    }
}

/// Returns all problems of a topic.
pub(crate) async fn validate(instance: &Instance, planned: &Attributes) -> Vec<Finding> {
    let Some(name) = optional_text(planned, "name") else { return Vec::new() };
    let known = instance.known_keys(name).await;
    let mut findings = keys(instance, planned, known);
    let Ok(mut config) = sendable(instance, name, planned).await else { return findings };
    let (sent, reported) = (config.len(), findings.iter().any(|finding| finding.severity == Severity::Error));
    // Keys that are reported above are not checked again.
    if let Some(known) = known.filter(|_| reported) {
        config.retain(|key, _| known.contains(key));
    }
    // The request only validates: no answer means a change.
    let context = RequestContext { changes: false, ..instance.create_context(name) };
    match instance.admin.create_topic(&new_topic(name, planned, &config), true).await {
        Ok(_) => {}
        Err(failure) if failure.code() == Some(Code::TOPIC_EXISTS) => {
            findings.extend(change(instance, name, planned, &config).await);
        }
        Err(failure) => findings.push(finding(&context, failure, &config)),
    }
    tracing::trace!(name, sent, "checked a topic");
    findings
}

/// Reports keys that brokers do not support.
fn keys(instance: &Instance, planned: &Attributes, known: Option<&BTreeSet<String>>) -> Vec<Finding> {
    let Ok(config) = wanted(planned) else { return Vec::new() };
    let knows = known.map(|known| move |key: &str| known.contains(key));
    let knows = knows.as_ref().map(|knows| knows as &dyn Fn(&str) -> bool);
    let (mut left_out, mut findings) = (Vec::new(), Vec::new());
    for (key, value) in &config {
        match key_support(key, value, knows, instance.flavor) {
            KeySupport::Sent => {}
            KeySupport::LeftOut => left_out.push(format!("`{key}`")),
            KeySupport::Unknown => {
                let closest = known.and_then(|known| closest(key, known.iter().map(String::as_str)));
                findings.push(Finding {
                    severity: Severity::Error,
                    path: Some(Path::attribute("config").key(key)),
                    message: format!("these brokers do not support the configuration key `{key}`"),
                    hint: Some(match closest {
                        Some(closest) => format!("did you mean `{closest}`?"),
                        None if key.starts_with("confluent.") => {
                            "leave it out: only Confluent's brokers support it".to_owned()
                        }
                        None => "leave it out: only brokers of other versions may support it".to_owned(),
                    }),
                });
            }
        }
    }
    if !left_out.is_empty() {
        findings.push(Finding {
            severity: Severity::Warning,
            path: Some(Path::attribute("config")),
            message: format!("these brokers do not support {}: left out", left_out.join(", ")),
            hint: Some("remove it from `config`: the value equals the default behavior".to_owned()),
        });
    }
    findings
}

/// Checks a change of an existing topic.
async fn change(
    instance: &Instance,
    name: &str,
    planned: &Attributes,
    config: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let context = RequestContext { changes: false, ..instance.change_context(name) };
    let topic = match instance.admin.topic(name).await {
        Ok(Some(topic)) => topic,
        Ok(None) => return Vec::new(),
        Err(failure) => return vec![finding(&instance.read_context(name), failure, config)],
    };
    let mut findings = Vec::new();
    let number = |name: &str| planned.get(name).and_then(Value::as_int);
    // The brokers' own check comes too late for a replacement: the old topic is already deleted.
    if let Some(replicas) = number("replicationFactor").filter(|replicas| *replicas > topic.brokers) {
        findings.push(Finding {
            severity: Severity::Error,
            path: Some(Path::attribute("replicationFactor")),
            message: format!("a partition cannot have {replicas} replicas: the number of brokers is {}", topic.brokers),
            hint: Some("use at most the number of brokers".to_owned()),
        });
    }
    if !config.is_empty() {
        let changes = config.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
        if let Err(failure) = instance.admin.alter_config(name, &changes, true).await {
            findings.push(finding(&context, failure, config));
        }
    }
    if let Some(partitions) = number("partitions").filter(|partitions| *partitions > topic.partitions)
        && let Err(failure) = instance.admin.create_partitions(name, partitions, true).await
    {
        findings.push(finding(&context, failure, config));
    }
    findings
}

/// Converts a failure into a finding. A temporary failure is a warning: it proves nothing about the topic.
fn finding(context: &RequestContext<'_>, failure: Failure, config: &BTreeMap<String, String>) -> Finding {
    let message = match &failure {
        Failure::Refused(refusal) => refusal.message.clone().unwrap_or_default(),
        Failure::NoAnswer(_) => String::new(),
    };
    let error = context.failed(failure);
    let severity = match &error.kind {
        kind if kind.is_temporary() => Severity::Warning,
        ErrorKind::Ambiguous => Severity::Warning,
        _ => Severity::Error,
    };
    let mut path = match &error.kind {
        ErrorKind::InvalidInput { path } => path.clone(),
        _ => None,
    };
    // Brokers name the key only in their message.
    if path.as_ref().is_some_and(|path| path.first_key() == Some("config")) {
        let named = config.keys().filter(|key| message.contains(key.as_str())).max_by_key(|key| key.len());
        path = path.map(|path| named.map_or(path.clone(), |key| path.key(key)));
    }
    Finding { severity, path, message: error.to_string(), hint: error.hint() }
}
