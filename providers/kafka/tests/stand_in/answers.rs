//! The broker's answers to requests.

use super::state::{BrokerState, Entry, TopicState, keys};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::create_acls_response::AclCreationResult;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_acls_response::{DeleteAclsFilterResult, DeleteAclsMatchingAcl};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_acls_response::{AclDescription, DescribeAclsResource};
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Number of brokers.
const BROKERS: i16 = 1;

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn number_of(value: &str) -> Option<f64> {
    value.trim().parse().ok()
}

impl BrokerState {
    /// Answers a request; `None` closes the connection.
    pub(super) fn answer(
        &mut self,
        user: &mut Option<String>,
        request: RequestKind,
        version: i16,
    ) -> Option<ResponseKind> {
        let is_anonymous = matches!(
            request,
            RequestKind::ApiVersions(_) | RequestKind::SaslHandshake(_) | RequestKind::SaslAuthenticate(_)
        );
        if user.is_none() && !is_anonymous {
            return None;
        }
        Some(match request {
            RequestKind::ApiVersions(_) => ResponseKind::ApiVersions(self.versions()),
            RequestKind::SaslHandshake(request) => {
                self.password?;
                let code = if *request.mechanism == *"PLAIN" { 0 } else { 33 };
                let answer = SaslHandshakeResponse::default().with_error_code(code);
                ResponseKind::SaslHandshake(answer.with_mechanisms(vec![text("PLAIN")]))
            }
            RequestKind::SaslAuthenticate(request) => {
                *user = self.user_of(&request.auth_bytes);
                let answer = SaslAuthenticateResponse::default().with_error_code(if user.is_some() { 0 } else { 58 });
                let message = user.is_none().then(|| text("Authentication failed: Invalid username or password"));
                ResponseKind::SaslAuthenticate(answer.with_error_message(message))
            }
            RequestKind::DescribeCluster(request) => {
                ResponseKind::DescribeCluster(self.describe_cluster(user.as_deref()?, &request))
            }
            RequestKind::Metadata(request) => ResponseKind::Metadata(self.metadata(&request)),
            RequestKind::CreateTopics(request) => ResponseKind::CreateTopics(self.create_topics(&request)),
            RequestKind::CreatePartitions(request) => ResponseKind::CreatePartitions(self.create_partitions(&request)),
            RequestKind::DeleteTopics(request) => ResponseKind::DeleteTopics(self.delete_topics(&request, version)),
            RequestKind::DescribeConfigs(request) => ResponseKind::DescribeConfigs(self.describe_configs(&request)),
            RequestKind::IncrementalAlterConfigs(request) => {
                ResponseKind::IncrementalAlterConfigs(self.alter_configs(&request))
            }
            RequestKind::ListOffsets(request) => ResponseKind::ListOffsets(self.list_offsets(&request)),
            RequestKind::DescribeAcls(request) => ResponseKind::DescribeAcls(self.describe_acls(&request)),
            RequestKind::CreateAcls(request) => ResponseKind::CreateAcls(self.create_acls(&request)),
            RequestKind::DeleteAcls(request) => ResponseKind::DeleteAcls(self.delete_acls(&request)),
            RequestKind::ListGroups(_) => ResponseKind::ListGroups(self.list_groups()),
            RequestKind::ListPartitionReassignments(request) => {
                ResponseKind::ListPartitionReassignments(self.list_reassignments(&request))
            }
            other => panic!("unexpected request {other:?}"),
        })
    }

    fn metadata(&mut self, request: &MetadataRequest) -> MetadataResponse {
        assert!(!request.allow_auto_topic_creation, "a metadata request must not create a topic");
        let (host, port) = self.address.rsplit_once(':').unwrap();
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(1))
            .with_host(text(host))
            .with_port(port.parse().unwrap());
        let all = || self.topics.keys().cloned().collect();
        let wanted: Vec<String> = request
            .topics
            .as_ref()
            .map_or_else(all, |topics| topics.iter().map(|topic| topic.name.as_ref().unwrap().to_string()).collect());
        let denied = self.is_denied(ApiKey::Metadata);
        let mut topics = Vec::new();
        for name in wanted {
            let answer = MetadataResponseTopic::default().with_name(Some(TopicName(text(&name))));
            let state = self.topics.get_mut(&name);
            topics.push(match state {
                _ if denied => answer.with_error_code(29),
                Some(state) if state.hidden > 0 => {
                    state.hidden -= 1;
                    answer.with_error_code(3)
                }
                None => answer.with_error_code(3),
                Some(state) => {
                    let in_sync = vec![BrokerId(1); usize::try_from(state.replicas).unwrap()];
                    let replicas: Vec<_> =
                        in_sync.iter().copied().chain((0..state.adding).map(|at| BrokerId(2 + at))).collect();
                    let partition = |index| {
                        MetadataResponsePartition::default()
                            .with_partition_index(index)
                            .with_leader_id(BrokerId(1))
                            .with_replica_nodes(replicas.clone())
                            .with_isr_nodes(in_sync.clone())
                    };
                    answer.with_topic_id(state.id).with_partitions((0..state.partitions).map(partition).collect())
                }
            });
        }
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(text("stand-in")))
            .with_controller_id(BrokerId(1))
            .with_topics(topics)
    }

    /// Validates configuration, and returns it as the broker stores it.
    fn checked(
        config: &BTreeMap<String, String>,
        is_confluent: bool,
    ) -> Result<BTreeMap<String, String>, (i16, String)> {
        let stored = |(key, value): (&String, &String)| {
            let wrong = |reason: &str| (40, reason.to_owned());
            let (_, default) = keys(is_confluent)
                .find(|(known, _)| known == key)
                .ok_or_else(|| wrong(&format!("Unknown topic config name: {key}")))?;
            let invalid = || wrong(&format!("Invalid value {value} for configuration {key}"));
            let stored = match *default {
                "true" | "false" => value.to_lowercase().parse::<bool>().map_err(|_| invalid())?.to_string(),
                default if number_of(default).is_some() && default.contains('.') => {
                    number_of(value).ok_or_else(invalid)?.to_string()
                }
                default if number_of(default).is_some() => {
                    value.trim().parse::<i64>().map_err(|_| invalid())?.to_string()
                }
                _ => value.clone(),
            };
            Ok((key.clone(), stored))
        };
        config.iter().map(stored).collect()
    }

    fn create_topics(&mut self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let mut results = Vec::new();
        self.timeouts.push(request.timeout_ms);
        for topic in &request.topics {
            let answer = CreatableTopicResult::default().with_name(topic.name.clone());
            let error = if request.validate_only { None } else { self.take_error(ApiKey::CreateTopics) };
            let config = topic.configs.iter().map(|it| (it.name.to_string(), it.value.as_ref().unwrap().to_string()));
            let config = Self::checked(&config.collect(), self.is_confluent);
            let name = topic.name.to_string();
            let (partitions, replicas) = (topic.num_partitions, topic.replication_factor);
            let refused = if self.is_not_controller() {
                Some((41, "not here".to_owned()))
            } else if self.is_denied(ApiKey::CreateTopics) {
                Some((29, "Authorization failed.".to_owned()))
            } else if let Some(error) = error.filter(|error| !error.has_effect) {
                Some((error.code, String::new()))
            } else if self.topics.contains_key(&name) {
                Some((36, format!("Topic '{name}' already exists.")))
            } else if partitions == 0 || partitions < -1 {
                Some((37, "Number of partitions was set to an invalid non-positive value.".to_owned()))
            } else if !request.validate_only && self.is_throttled(&name) {
                Some((89, "The throttling quota has been exceeded.".to_owned()))
            } else if replicas > BROKERS {
                Some((38, format!("Unable to replicate the partition {replicas} time(s)")))
            } else {
                config.as_ref().err().cloned()
            };
            if let Some((code, message)) = refused {
                results.push(answer.with_error_code(code).with_error_message(Some(text(&message))));
                continue;
            }
            let state = TopicState {
                id: Uuid::from_u128(0x7000 + self.created_topics),
                partitions: if partitions == -1 { 1 } else { partitions },
                replicas: if replicas == -1 { 1 } else { replicas },
                config: config.unwrap(),
                records: 0,
                hidden: self.lag,
                adding: 0,
            };
            let configs: Vec<_> = described(&state.config, self.is_confluent)
                .map(|(name, value, is_own)| {
                    let source = if is_own { 1 } else { 5 };
                    CreatableTopicConfigs::default()
                        .with_name(text(name))
                        .with_value(Some(text(&value)))
                        .with_config_source(source)
                })
                .collect();
            let answer = match self.hides_keys {
                true => answer.with_configs(None).with_topic_config_error_code(29),
                false => answer.with_configs(Some(configs)),
            };
            if request.validate_only {
                results.push(answer);
                continue;
            }
            self.created_topics += 1;
            results.push(match error {
                Some(error) => {
                    CreatableTopicResult::default().with_name(topic.name.clone()).with_error_code(error.code)
                }
                None => answer.with_topic_id(state.id),
            });
            self.topics.insert(name, state);
        }
        let throttled = results.iter().any(|result| result.error_code == 89);
        let pause = self.pause.filter(|_| throttled).unwrap_or_default();
        CreateTopicsResponse::default()
            .with_topics(results)
            .with_throttle_time_ms(i32::try_from(pause.as_millis()).unwrap())
    }

    fn create_partitions(&mut self, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
        let mut results = Vec::new();
        for topic in &request.topics {
            let state = self.topics.get_mut(&topic.name.to_string());
            let code = match state {
                None => 3,
                Some(state) if topic.count <= state.partitions => 37,
                Some(state) => {
                    if !request.validate_only {
                        state.partitions = topic.count;
                    }
                    0
                }
            };
            results.push(CreatePartitionsTopicResult::default().with_name(topic.name.clone()).with_error_code(code));
        }
        CreatePartitionsResponse::default().with_results(results)
    }

    fn delete_topics(&mut self, request: &DeleteTopicsRequest, version: i16) -> DeleteTopicsResponse {
        assert!(version >= 6, "topics must be deleted by their ids if supported");
        let mut results = Vec::new();
        for topic in &request.topics {
            let by_name = topic.name.as_ref().map(|name| name.to_string());
            let by_id =
                || self.topics.iter().find(|(_, state)| state.id == topic.topic_id).map(|(name, _)| name.clone());
            let name = by_name.clone().filter(|name| self.topics.contains_key(name)).or_else(by_id);
            let code = match name {
                _ if self.is_denied(ApiKey::DeleteTopics) => 29,
                None => {
                    if by_name.is_some() {
                        3
                    } else {
                        100
                    }
                }
                Some(name) => {
                    self.topics.remove(&name);
                    0
                }
            };
            results.push(DeletableTopicResult::default().with_topic_id(topic.topic_id).with_error_code(code));
        }
        DeleteTopicsResponse::default().with_responses(results)
    }

    fn describe_configs(&self, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
        let one = |resource: &describe_configs_request::DescribeConfigsResource| {
            assert_eq!(resource.resource_type, 2);
            let answer = DescribeConfigsResult::default()
                .with_resource_type(2)
                .with_resource_name(resource.resource_name.clone());
            let Some(state) = self.topics.get(&resource.resource_name.to_string()) else {
                return answer.with_error_code(3);
            };
            let configs = described(&state.config, self.is_confluent).map(|(name, value, is_own)| {
                DescribeConfigsResourceResult::default()
                    .with_name(text(name))
                    .with_value(Some(text(&value)))
                    .with_config_source(if is_own { 1 } else { 5 })
            });
            answer.with_configs(configs.collect())
        };
        DescribeConfigsResponse::default().with_results(request.resources.iter().map(one).collect())
    }

    fn alter_configs(&mut self, request: &IncrementalAlterConfigsRequest) -> IncrementalAlterConfigsResponse {
        let mut results = Vec::new();
        for resource in &request.resources {
            let answer = AlterConfigsResourceResponse::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let Some(state) = self.topics.get_mut(&resource.resource_name.to_string()) else {
                results.push(answer.with_error_code(3));
                continue;
            };
            let mut config = state.config.clone();
            for change in &resource.configs {
                match (change.config_operation, &change.value) {
                    (0, Some(value)) => config.insert(change.name.to_string(), value.to_string()),
                    (1, None) => config.remove(&*change.name),
                    other => panic!("unexpected request {other:?}"),
                };
            }
            results.push(match Self::checked(&config, self.is_confluent) {
                Err((code, message)) => answer.with_error_code(code).with_error_message(Some(text(&message))),
                Ok(config) => {
                    if !request.validate_only {
                        state.config = config;
                    }
                    answer
                }
            });
        }
        IncrementalAlterConfigsResponse::default().with_responses(results)
    }

    fn list_offsets(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let topic = |topic: &list_offsets_request::ListOffsetsTopic| {
            let records = self.topics[&topic.name.to_string()].records;
            let partition = |partition: &list_offsets_request::ListOffsetsPartition| {
                let end = if partition.partition_index == 0 { records } else { 0 };
                ListOffsetsPartitionResponse::default()
                    .with_partition_index(partition.partition_index)
                    .with_offset(if partition.timestamp == -1 { end } else { 0 })
            };
            let partitions = topic.partitions.iter().map(partition).collect();
            ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
        };
        ListOffsetsResponse::default().with_topics(request.topics.iter().map(topic).collect())
    }

    fn describe_acls(&mut self, request: &DescribeAclsRequest) -> DescribeAclsResponse {
        let fits = |entry: &&Entry| {
            let number = |wanted: i8, is: i8| wanted == 1 || wanted == is;
            let name = |wanted: &Option<StrBytes>, is: &str| wanted.as_ref().is_none_or(|wanted| &**wanted == is);
            number(request.resource_type_filter, entry.0)
                && name(&request.resource_name_filter, &entry.1)
                && number(request.pattern_type_filter, entry.2)
                && name(&request.principal_filter, &entry.3)
                && name(&request.host_filter, &entry.4)
                && number(request.operation, entry.5)
                && number(request.permission_type, entry.6)
        };
        let resource = |entry: &Entry| {
            let acl = AclDescription::default()
                .with_principal(text(&entry.3))
                .with_host(text(&entry.4))
                .with_operation(entry.5)
                .with_permission_type(entry.6);
            DescribeAclsResource::default()
                .with_resource_type(entry.0)
                .with_resource_name(text(&entry.1))
                .with_pattern_type(entry.2)
                .with_acls(vec![acl])
        };
        if self.is_denied(ApiKey::DescribeAcls) {
            return DescribeAclsResponse::default().with_error_code(31);
        }
        let resources: Vec<_> = self.acls.iter().filter(fits).map(resource).collect();
        self.returned_entries += resources.len();
        DescribeAclsResponse::default().with_resources(resources)
    }

    fn list_groups(&self) -> ListGroupsResponse {
        let group = |group: &String| list_groups_response::ListedGroup::default().with_group_id(GroupId(text(group)));
        ListGroupsResponse::default().with_groups(self.groups.iter().map(group).collect())
    }

    fn list_reassignments(&self, request: &ListPartitionReassignmentsRequest) -> ListPartitionReassignmentsResponse {
        use list_partition_reassignments_response::{OngoingPartitionReassignment, OngoingTopicReassignment};
        if self.is_denied(ApiKey::ListPartitionReassignments) {
            return ListPartitionReassignmentsResponse::default().with_error_code(31);
        }
        let of = |requested: &list_partition_reassignments_request::ListPartitionReassignmentsTopics| {
            let state = self.topics.get(&requested.name.to_string()).filter(|state| state.adding > 0)?;
            let adding: Vec<_> = (0..state.adding).map(|at| BrokerId(2 + at)).collect();
            let partition = |index: &i32| {
                OngoingPartitionReassignment::default()
                    .with_partition_index(*index)
                    .with_adding_replicas(adding.clone())
                    .with_removing_replicas(vec![BrokerId(1)])
            };
            let partitions = requested.partition_indexes.iter().map(partition).collect();
            Some(OngoingTopicReassignment::default().with_name(requested.name.clone()).with_partitions(partitions))
        };
        let topics = request.topics.iter().flatten().filter_map(of).collect();
        ListPartitionReassignmentsResponse::default().with_topics(topics)
    }

    fn create_acls(&mut self, request: &CreateAclsRequest) -> CreateAclsResponse {
        let mut results = Vec::new();
        for it in &request.creations {
            let entry: Entry = (
                it.resource_type,
                it.resource_name.to_string(),
                it.resource_pattern_type,
                it.principal.to_string(),
                it.host.to_string(),
                it.operation,
                it.permission_type,
            );
            let error = self.take_error(ApiKey::CreateAcls);
            let code = if self.is_denied(ApiKey::CreateAcls) { 31 } else { error.map_or(0, |error| error.code) };
            let has_effect = code == 0 || error.is_some_and(|error| error.has_effect);
            if has_effect && !self.acls.contains(&entry) {
                self.acls.push(entry);
            }
            results.push(AclCreationResult::default().with_error_code(code));
        }
        CreateAclsResponse::default().with_results(results)
    }

    fn delete_acls(&mut self, request: &DeleteAclsRequest) -> DeleteAclsResponse {
        let mut results = Vec::new();
        for filter in &request.filters {
            let name = |name: &Option<StrBytes>| name.as_ref().unwrap().to_string();
            let entry: Entry = (
                filter.resource_type_filter,
                name(&filter.resource_name_filter),
                filter.pattern_type_filter,
                name(&filter.principal_filter),
                name(&filter.host_filter),
                filter.operation,
                filter.permission_type,
            );
            let before = self.acls.len();
            self.acls.retain(|other| *other != entry);
            let matching = (self.acls.len() < before).then(|| {
                DeleteAclsMatchingAcl::default()
                    .with_resource_type(entry.0)
                    .with_resource_name(text(&entry.1))
                    .with_pattern_type(entry.2)
                    .with_principal(text(&entry.3))
                    .with_host(text(&entry.4))
                    .with_operation(entry.5)
                    .with_permission_type(entry.6)
            });
            results.push(DeleteAclsFilterResult::default().with_matching_acls(matching.into_iter().collect()));
        }
        DeleteAclsResponse::default().with_filter_results(results)
    }
}

/// Every key with its value; true if the topic sets it itself.
fn described(own: &BTreeMap<String, String>, is_confluent: bool) -> impl Iterator<Item = (&'static str, String, bool)> {
    keys(is_confluent).map(move |(key, default)| match own.get(*key) {
        Some(value) => (*key, value.clone(), true),
        None => (*key, (*default).to_owned(), false),
    })
}

/// The versions of Apache Kafka 4.
pub(super) fn versions() -> Vec<ApiVersion> {
    let known = [
        (ApiKey::Metadata, 0, 13),
        (ApiKey::SaslHandshake, 0, 1),
        (ApiKey::ApiVersions, 0, 4),
        (ApiKey::CreateTopics, 2, 7),
        (ApiKey::DeleteTopics, 1, 6),
        (ApiKey::DescribeAcls, 1, 3),
        (ApiKey::CreateAcls, 1, 3),
        (ApiKey::DeleteAcls, 1, 3),
        (ApiKey::DescribeConfigs, 1, 4),
        (ApiKey::SaslAuthenticate, 0, 2),
        (ApiKey::CreatePartitions, 0, 3),
        (ApiKey::IncrementalAlterConfigs, 0, 1),
        (ApiKey::ListOffsets, 1, 10),
        (ApiKey::ListGroups, 0, 5),
        (ApiKey::ListPartitionReassignments, 0, 0),
        (ApiKey::DescribeCluster, 0, 2),
    ];
    let api = |(key, min, max): (ApiKey, i16, i16)| {
        ApiVersion::default().with_api_key(key as i16).with_min_version(min).with_max_version(max)
    };
    known.map(api).to_vec()
}
