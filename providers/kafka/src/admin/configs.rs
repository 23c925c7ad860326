//! The configuration of topics.

use super::topics::{missing_entry, refused};
use super::{Admin, TOPIC, text};
use crate::failure::{Code, Failure, Refusal};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use std::collections::{BTreeMap, HashMap};

/// The source of a value that is set on the topic itself (`ConfigSource.TOPIC_CONFIG`).
const OF_TOPIC: i8 = 1;
/// Operations on a key.
const SET: i8 = 0;
const DELETE: i8 = 1;
/// Topics per request: an answer has about 4 KB per topic.
const TOPICS_PER_REQUEST: usize = 500;

/// The value of a configuration key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The effective value; `None` if the caller may not see it.
    pub(crate) value: Option<String>,
    /// True if the value is set on the topic; false if it is the broker's default.
    pub(crate) is_own: bool,
}

/// The configuration of a topic, with all keys that its brokers support.
pub(crate) type Settings = BTreeMap<String, Setting>;

impl Admin {
    /// Returns the configuration of topics; `None` for a topic that does not exist.
    ///
    /// # Errors
    /// If no answer arrives. The error of a single topic is in its entry.
    pub(crate) async fn configs(
        &self,
        names: &[&str],
    ) -> Result<HashMap<String, Result<Option<Settings>, Failure>>, Failure> {
        let mut found = HashMap::new();
        for names in names.chunks(TOPICS_PER_REQUEST) {
            let resource = |name: &&str| {
                DescribeConfigsResource::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(text(name))
                    .with_configuration_keys(None)
            };
            let request = DescribeConfigsRequest::default().with_resources(names.iter().map(resource).collect());
            let answer = self.cluster.send(&request).await?;
            for result in &answer.results {
                let message = result.error_message.as_deref();
                let settings = match Refusal::of(result.error_code, message, answer.throttle_time_ms) {
                    Some(refusal) if refusal.code == Code::UNKNOWN_TOPIC => Ok(None),
                    Some(refusal) => Err(Failure::Refused(refusal)),
                    None => Ok(Some(
                        result
                            .configs
                            .iter()
                            .map(|config| {
                                let value = config.value.as_deref().map(str::to_owned);
                                let is_own = config.config_source == OF_TOPIC;
                                (config.name.to_string(), Setting { value, is_own })
                            })
                            .collect(),
                    )),
                };
                found.insert(result.resource_name.to_string(), settings);
            }
        }
        Ok(found)
    }

    /// Returns the configuration of a topic.
    ///
    /// # Errors
    /// If no answer arrives, or the caller may not see the configuration.
    pub(crate) async fn config(&self, name: &str) -> Result<Option<Settings>, Failure> {
        self.configs(&[name]).await?.remove(name).unwrap_or(Ok(None))
    }

    /// Sets keys of a topic, and resets keys without a value to the broker's default. Other keys stay unchanged.
    ///
    /// # Errors
    /// If no change is made.
    pub(crate) async fn alter_config(
        &self,
        name: &str,
        changes: &BTreeMap<String, Option<String>>,
        validate_only: bool,
    ) -> Result<(), Failure> {
        let change = |(key, value): (&String, &Option<String>)| {
            AlterableConfig::default()
                .with_name(text(key))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(text))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(name))
            .with_configs(changes.iter().map(change).collect());
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(validate_only);
        let is_not_controller = |code| Code(code) == Code::NOT_CONTROLLER;
        let answer = self
            .cluster
            .send_to_controller(&request, |answer| answer.responses.iter().any(|it| is_not_controller(it.error_code)))
            .await?;
        let result = answer.responses.first().ok_or_else(|| missing_entry("alter"))?;
        refused(result.error_code, result.error_message.as_deref(), answer.throttle_time_ms)
    }
}
