//! Lookups of existing topics.

use super::{Instance, topic};
use crate::attributes::{entries, text};
use terrace_provider::{Attribute, AttributeType, Attributes, ErrorKind, Lookup, Object, ProviderError, Value};

/// The lookup of all topics.
const TOPICS: &str = "kafka_topics";

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let topic = Object(vec![text("id", "The name."), text("name", "The name.")]);
    let topics = Lookup {
        name: TOPICS,
        doc: "The topics that the principal may describe, without the broker's own.",
        arguments: Object(vec![]),
        result: Object(vec![Attribute::new(
            "topics",
            AttributeType::list(AttributeType::Object(topic)),
            "The topics, by name.",
        )]),
        objects: &[],
    };
    let one = Lookup {
        name: topic::NAME,
        doc: "An existing topic.",
        arguments: Object(vec![text("name", "The topic's name.").required()]),
        result: Object(vec![
            text("name", "The requested name."),
            Attribute::new("partitions", AttributeType::Int, "Number of partitions."),
            Attribute::new("replicationFactor", AttributeType::Int, "Number of replicas of each partition."),
            Attribute::new("config", AttributeType::map(AttributeType::Any), "The topic's own configuration, as text.")
                .vendor_json(),
            text("topicId", "Kafka's id of the topic."),
            text("clusterId", "Kafka's id of the cluster."),
            text("id", "The name."),
        ]),
        objects: &[topic::NAME],
    };
    vec![one, topics]
}

/// Answers a lookup.
///
/// # Errors
/// If the topic does not exist, or the caller may not see it.
pub(crate) async fn answer(
    instance: &Instance,
    lookup: &str,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    match lookup {
        topic::NAME => {}
        TOPICS => return topics(instance).await,
        other => return Err(ProviderError::bug(format!("unknown lookup `{other}`"))),
    }
    let name = text(arguments, "name")?;
    let Some(found) = topic::import(instance, &crate::object_id::join([name])).await? else {
        let message = format!("topic `{name}` not found");
        return Err(ProviderError::new(ErrorKind::NotFound, message)
            .solution("check the name, and that the principal may describe the topic"));
    };
    let mut answer = entries([("config", Value::Map(Default::default()))]);
    answer.extend(found.attributes);
    Ok(answer)
}

async fn topics(instance: &Instance) -> Result<Attributes, ProviderError> {
    let mut names = instance.admin.topic_names().await.map_err(|failure| {
        let right = "--operation Describe --topic '*'".to_owned();
        instance.request_context(false, "list the topics".to_owned(), right).failed(failure)
    })?;
    names.sort_unstable();
    let topic = |name: String| Value::Map(entries([("id", name.as_str().into()), ("name", name.into())]));
    let topics: Vec<Value> = names.into_iter().map(topic).collect();
    Ok(entries([("topics", topics.into())]))
}
