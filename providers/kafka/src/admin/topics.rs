//! Topics: lists, creates and deletes them, and counts their records.

use super::{Admin, text};
use crate::failure::{Code, Failure, Refusal};
use crate::wire::{NoAnswer, address_of};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, MetadataResponse, TopicName,
};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The offset of the first retained record, and of the next record to be written.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// Number of brokers that a partition is moving to, by topic and partition. Partitions that do not move are absent.
type Adding = HashMap<(String, i32), usize>;

/// A topic as brokers report it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Unique id of this topic, even among topics of the same name; `None` with brokers before 2.8.
    pub(crate) id: Option<String>,
    /// The id of its cluster.
    pub(crate) cluster: Option<String>,
    /// Number of partitions.
    pub(crate) partitions: i64,
    /// Lowest number of replicas of a partition. Replicas that are still being added do not count.
    pub(crate) replicas: i64,
    /// True if every partition has a leader, so that records can be written and read.
    pub(crate) is_ready: bool,
    /// Number of brokers in the cluster.
    pub(crate) brokers: i64,
}

/// A topic to create.
#[derive(Debug, Clone)]
pub(crate) struct NewTopic<'a> {
    pub(crate) name: &'a str,
    /// Defaults to the brokers' number.
    pub(crate) partitions: Option<i64>,
    /// Defaults to the brokers' number.
    pub(crate) replicas: Option<i64>,
    pub(crate) config: &'a BTreeMap<String, String>,
}

/// The controller's answer about a topic that it created or validated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) id: Option<String>,
    /// All configuration keys that brokers of this version support, if the caller may see them.
    pub(crate) known_keys: Option<Vec<String>>,
}

impl Admin {
    /// Returns topics by name; `None` for a topic that does not exist.
    ///
    /// # Errors
    /// If no answer arrives. The error of a single topic is in its entry.
    pub(crate) async fn topics(
        &self,
        names: &[&str],
    ) -> Result<HashMap<String, Result<Option<Topic>, Failure>>, Failure> {
        let metadata = self.metadata(names).await?;
        let adding = self.adding(&metadata).await;
        let from_metadata = |topic: &MetadataResponseTopic| {
            let name = topic.name.as_deref().map(ToString::to_string)?;
            Some((name, from_metadata(topic, &metadata, &adding)))
        };
        Ok(metadata.topics.iter().filter_map(from_metadata).collect())
    }

    /// Returns one topic.
    ///
    /// # Errors
    /// If no answer arrives, or the caller may not see the topic.
    pub(crate) async fn topic(&self, name: &str) -> Result<Option<Topic>, Failure> {
        self.topics(&[name]).await?.remove(name).unwrap_or(Ok(None))
    }

    /// Returns the names of all topics that the caller may see, without the broker's own (`__consumer_offsets`).
    ///
    /// # Errors
    /// If no answer arrives.
    pub(crate) async fn topic_names(&self) -> Result<Vec<String>, Failure> {
        let request = MetadataRequest::default().with_topics(None).with_allow_auto_topic_creation(false);
        let metadata = self.cluster.send(&request).await?;
        let topics = metadata.topics.iter().filter(|topic| !topic.is_internal);
        Ok(topics.filter_map(|topic| Some(topic.name.as_deref()?.to_string())).collect())
    }

    /// Counts the replicas that partitions are moving to. Only partitions with replicas out of sync can be moving.
    async fn adding(&self, metadata: &MetadataResponse) -> Adding {
        let mut lagging = Vec::new();
        for topic in &metadata.topics {
            let is_lagging = |it: &&MetadataResponsePartition| it.isr_nodes.len() < it.replica_nodes.len();
            let partitions: Vec<i32> =
                topic.partitions.iter().filter(is_lagging).map(|it| it.partition_index).collect();
            if let Some(name) = topic.name.clone().filter(|_| !partitions.is_empty()) {
                let reassignments = ListPartitionReassignmentsTopics::default();
                lagging.push(reassignments.with_name(name).with_partition_indexes(partitions));
            }
        }
        if lagging.is_empty() {
            return Adding::default();
        }
        let request = ListPartitionReassignmentsRequest::default()
            .with_topics(Some(lagging))
            .with_timeout_ms(self.broker_timeout());
        let answered = self.cluster.send_to_controller(&request, |answer| is_not_controller(answer.error_code)).await;
        let answer = match answered.map_err(Failure::from).and_then(|answer| {
            refused(answer.error_code, answer.error_message.as_deref(), answer.throttle_time_ms).map(|()| answer)
        }) {
            Ok(answer) => answer,
            Err(failure) => {
                // A caller without this right counts the added replicas too.
                tracing::debug!(?failure, "cannot list partition reassignments");
                return Adding::default();
            }
        };
        let topics = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |it| (topic, it)));
        topics.map(|(topic, it)| ((topic.name.to_string(), it.partition_index), it.adding_replicas.len())).collect()
    }

    async fn metadata(&self, names: &[&str]) -> Result<MetadataResponse, NoAnswer> {
        let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let request = MetadataRequest::default()
            .with_topics(Some(names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        self.cluster.send(&request).await
    }

    /// Creates a topic, or only validates the request.
    ///
    /// # Errors
    /// If the topic is not created.
    pub(crate) async fn create_topic(&self, new: &NewTopic<'_>, validate_only: bool) -> Result<Created, Failure> {
        let config = |(name, value): (&String, &String)| {
            CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
        };
        let number = |given: Option<i64>| given.map_or(-1, |given| i32::try_from(given).unwrap_or(i32::MAX));
        let topic = CreatableTopic::default()
            .with_name(TopicName(text(new.name)))
            .with_num_partitions(number(new.partitions))
            .with_replication_factor(i16::try_from(number(new.replicas)).unwrap_or(i16::MAX))
            .with_configs(new.config.iter().map(config).collect());
        let request = CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.broker_timeout())
            .with_validate_only(validate_only);
        let answer = self
            .cluster
            .send_to_controller(&request, |answer| {
                answer.topics.iter().any(|topic| is_not_controller(topic.error_code))
            })
            .await?;
        let topic = answer.topics.first().ok_or_else(|| missing_entry("create"))?;
        refused(topic.error_code, topic.error_message.as_deref(), answer.throttle_time_ms)?;
        let keys = topic.configs.as_ref().filter(|_| topic.topic_config_error_code == 0);
        let keys = keys.map(|configs| configs.iter().map(|config| config.name.to_string()).collect::<Vec<_>>());
        Ok(Created { id: id_of(topic.topic_id), known_keys: keys.filter(|keys| !keys.is_empty()) })
    }

    /// Raises the number of partitions of a topic, or only validates the request.
    ///
    /// # Errors
    /// If the partitions are not added.
    pub(crate) async fn create_partitions(&self, name: &str, total: i64, validate_only: bool) -> Result<(), Failure> {
        let topic = CreatePartitionsTopic::default()
            .with_name(TopicName(text(name)))
            .with_count(i32::try_from(total).unwrap_or(i32::MAX))
            .with_assignments(None);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(self.broker_timeout())
            .with_validate_only(validate_only);
        let answer = self
            .cluster
            .send_to_controller(&request, |answer| {
                answer.results.iter().any(|result| is_not_controller(result.error_code))
            })
            .await?;
        let result = answer.results.first().ok_or_else(|| missing_entry("create partitions"))?;
        refused(result.error_code, result.error_message.as_deref(), answer.throttle_time_ms)
    }

    /// Deletes a topic with all its records: the topic with the id if given, else the topic with the name.
    ///
    /// # Errors
    /// If the topic is not deleted. A missing topic is `UNKNOWN_TOPIC` or `UNKNOWN_TOPIC_ID`.
    pub(crate) async fn delete_topic(&self, name: &str, id: Option<&str>) -> Result<(), Failure> {
        let by_id = id.and_then(uuid_of);
        let request = DeleteTopicsRequest::default().with_timeout_ms(self.broker_timeout());
        let request = match by_id {
            Some(id) => request.with_topics(vec![DeleteTopicState::default().with_name(None).with_topic_id(id)]),
            None => {
                let topic = TopicName(text(name));
                // Versions before topic ids have a separate list of names.
                request
                    .with_topics(vec![DeleteTopicState::default().with_name(Some(topic.clone()))])
                    .with_topic_names(vec![topic])
            }
        };
        let answer = self
            .cluster
            .send_to_controller(&request, |answer| {
                answer.responses.iter().any(|result| is_not_controller(result.error_code))
            })
            .await?;
        let result = answer.responses.first().ok_or_else(|| missing_entry("delete"))?;
        refused(result.error_code, result.error_message.as_deref(), answer.throttle_time_ms)
    }

    /// Returns the number of offsets between the first and the last record of a topic: at least its number of records.
    /// Returns `None` if the topic does not exist.
    ///
    /// # Errors
    /// If a partition's leader does not answer.
    pub(crate) async fn count_records(&self, name: &str) -> Result<Option<i64>, Failure> {
        let metadata = self.metadata(&[name]).await?;
        let Some(topic) = metadata.topics.first() else { return Ok(None) };
        if from_metadata(topic, &metadata, &Adding::default())?.is_none() {
            return Ok(None);
        }
        let mut by_leader: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for partition in &topic.partitions {
            by_leader.entry(*partition.leader_id).or_default().push(partition.partition_index);
        }
        let mut count = 0_i64;
        for (leader, partitions) in by_leader {
            let address = address_of(&metadata, leader)
                .ok_or_else(|| NoAnswer::Unreachable(format!("partitions of `{name}` have no leader")))?;
            let earliest = self.offsets(&address, name, &partitions, EARLIEST).await?;
            let latest = self.offsets(&address, name, &partitions, LATEST).await?;
            count = count.saturating_add(latest.saturating_sub(earliest).max(0));
        }
        Ok(Some(count))
    }

    /// Sums the offsets of partitions that one broker leads.
    async fn offsets(&self, address: &str, name: &str, partitions: &[i32], timestamp: i64) -> Result<i64, Failure> {
        let partition = |index: &i32| {
            ListOffsetsPartition::default()
                .with_partition_index(*index)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp)
        };
        let topic = ListOffsetsTopic::default()
            .with_name(TopicName(text(name)))
            .with_partitions(partitions.iter().map(partition).collect());
        let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        let answer = self.cluster.send_to(address, &request).await?;
        let mut sum = 0_i64;
        let mut answered = 0;
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            refused(partition.error_code, None, answer.throttle_time_ms)?;
            sum = sum.saturating_add(partition.offset);
            answered += 1;
        }
        if answered == partitions.len() { Ok(sum) } else { Err(missing_entry("count").into()) }
    }
}

fn from_metadata(
    topic: &MetadataResponseTopic,
    metadata: &MetadataResponse,
    adding: &Adding,
) -> Result<Option<Topic>, Failure> {
    // A new topic may have partitions without leaders for a moment; it exists all the same.
    if let Some(refusal) = Refusal::of(topic.error_code, None, 0).filter(|refusal| refusal.code != Code(5)) {
        let is_absent = [Code::UNKNOWN_TOPIC, Code::UNKNOWN_TOPIC_ID].contains(&refusal.code);
        return if is_absent { Ok(None) } else { Err(Failure::Refused(refusal)) };
    }
    let name = topic.name.as_deref().map(ToString::to_string).unwrap_or_default();
    let on = |partition: &MetadataResponsePartition| {
        let adding = adding.get(&(name.clone(), partition.partition_index)).copied().unwrap_or_default();
        partition.replica_nodes.len().saturating_sub(adding)
    };
    let replicas = topic.partitions.iter().map(on).min().unwrap_or_default();
    Ok(Some(Topic {
        id: id_of(topic.topic_id),
        cluster: metadata.cluster_id.as_deref().map(str::to_owned),
        partitions: count(topic.partitions.len()),
        replicas: count(replicas),
        brokers: count(metadata.brokers.len()),
        is_ready: topic.partitions.iter().all(|partition| *partition.leader_id >= 0),
    }))
}

fn count(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

fn is_not_controller(code: i16) -> bool {
    Code(code) == Code::NOT_CONTROLLER
}

pub(super) fn refused(code: i16, message: Option<&str>, throttle_ms: i32) -> Result<(), Failure> {
    Refusal::of(code, message, throttle_ms).map_or(Ok(()), |refusal| Err(Failure::Refused(refusal)))
}

/// The error for an answer without the requested entry.
pub(super) fn missing_entry(request: &str) -> NoAnswer {
    NoAnswer::Garbled(format!("the answer to `{request}` has no entry for the request"))
}

/// A topic id as Kafka's own tools print it: 22 characters of base64.
fn id_of(id: Uuid) -> Option<String> {
    use base64::Engine as _;
    (!id.is_nil()).then(|| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id.as_bytes()))
}

fn uuid_of(id: &str) -> Option<Uuid> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(id).ok()?;
    Uuid::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_format_of_kafka_tools() {
        let id = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
        assert_eq!(id_of(id).as_deref(), Some("EjRWeJq83vASNFZ4mrze8A"));
        assert_eq!(uuid_of("EjRWeJq83vASNFZ4mrze8A"), Some(id));
        assert_eq!(id_of(Uuid::nil()), None);
        assert_eq!(uuid_of("no id"), None);
    }
}
