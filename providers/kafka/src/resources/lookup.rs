//! Lookups of existing topics.

use super::{Instance, topic};
use crate::attributes::{entries, text};
use terrace_provider::{Attribute, AttributeType, Attributes, ErrorKind, Lookup, Object, ProviderError, Value};

/// The lookups of the provider.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    vec![Lookup {
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
    }]
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
    if lookup != topic::NAME {
        return Err(ProviderError::bug(format!("unknown lookup `{lookup}`")));
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
