//! Lookups: how a topic looks that somebody else may have made.

use super::{Instance, topic};
use crate::attributes::{entries, text};
use terrace_provider::{Attribute, AttributeType, Attributes, ErrorKind, Lookup, Object, ProviderError, Value};

/// What can be looked up.
pub(crate) fn lookups() -> Vec<Lookup> {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    vec![Lookup {
        name: topic::NAME,
        doc: "A topic as it is.",
        arguments: Object(vec![text("name", "The topic's name.").required()]),
        result: Object(vec![
            text("name", "The name as asked for."),
            Attribute::new("partitions", AttributeType::Int, "How many partitions."),
            Attribute::new("replicationFactor", AttributeType::Int, "How many brokers hold each partition."),
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
/// When there is no such topic, or it may not be seen.
pub(crate) async fn answer(
    instance: &Instance,
    lookup: &str,
    arguments: &Attributes,
) -> Result<Attributes, ProviderError> {
    if lookup != topic::NAME {
        return Err(ProviderError::bug(format!("there is no lookup `{lookup}`")));
    }
    let name = text(arguments, "name")?;
    let Some(found) = topic::import(instance, &crate::object_id::join([name])).await? else {
        let message = format!("there is no topic `{name}`");
        return Err(ProviderError::new(ErrorKind::NotFound, message)
            .solution("look at the name, and whether who asks may describe the topic"));
    };
    let mut answer = entries([("config", Value::Map(Default::default()))]);
    answer.extend(found.attributes);
    Ok(answer)
}
