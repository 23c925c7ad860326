//! `kafka_topic`.

mod change;
mod config;
mod dry_run;
mod plan;
mod read;

pub(crate) use change::{create, delete, find, update};
pub(crate) use dry_run::validate;
pub(crate) use plan::plan;
pub(crate) use read::{count, import, read, read_all};

use super::{Instance, MAX_READ_BATCH};
use crate::admin::MAX_BROKER_TIMEOUT;
use crate::failure::RequestContext;
use std::time::Duration;
use terrace_provider::names::NameRule;
use terrace_provider::schema::Timeouts;
use terrace_provider::{Attribute, AttributeType, Object, ResourceType};

/// Name of the resource type.
pub(crate) const NAME: &str = "kafka_topic";

/// The resource type.
pub(crate) fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let number = |name, doc| Attribute::new(name, AttributeType::Int, doc);
    let attributes = Object(vec![
        text("name", "The topic's name: 1 to 249 of `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`.")
            .required()
            .replaces()
            .compared(NameRule::DotsAsUnderscores),
        number("partitions", "Number of partitions. More are added in place; fewer replace the topic.").or_kept(),
        number("replicationFactor", "Replicas of each partition. Left out: the brokers' default.").or_kept().replaces(),
        Attribute::new(
            "config",
            AttributeType::map(AttributeType::Any),
            "Configuration by Kafka's own keys, such as `retention.ms`. Other keys stay unchanged.",
        )
        .vendor_json(),
        text("topicId", "Kafka's id of the topic. A recreated topic has another id.").stable(),
        text("clusterId", "Kafka's id of the cluster.").stable(),
        text("id", "The name, for `terrace import`.").stable(),
    ]);
    let wait = Duration::from_secs(120);
    ResourceType {
        holds_data: true,
        reads_at_once: MAX_READ_BATCH,
        timeouts: Timeouts { create: wait, update: wait, delete: wait, ..Timeouts::default() },
        settle: MAX_BROKER_TIMEOUT,
        ..ResourceType::new(NAME, "A topic.", &["name"], attributes)
    }
}

impl Instance {
    fn create_context(&self, name: &str) -> RequestContext<'_> {
        let right = format!("--operation Create --topic '{name}'");
        self.request_context(true, format!("create the topic `{name}`"), right)
    }

    fn change_context(&self, name: &str) -> RequestContext<'_> {
        let right = format!("--operation AlterConfigs --operation DescribeConfigs --operation Alter --topic '{name}'");
        self.request_context(true, format!("change the topic `{name}`"), right)
    }

    fn delete_context(&self, name: &str) -> RequestContext<'_> {
        let right = format!("--operation Delete --topic '{name}'");
        self.request_context(true, format!("delete the topic `{name}`"), right)
    }

    fn read_context(&self, name: &str) -> RequestContext<'_> {
        let right = format!("--operation Describe --operation DescribeConfigs --topic '{name}'");
        self.request_context(false, format!("describe the topic `{name}`"), right)
    }
}
