//! Reads topics.

use super::config;
use super::plan::{created_id, created_private};
use crate::admin::{Setting, Topic};
use crate::attributes::text;
use crate::failure::{Code, Failure};
use crate::object_id;
use crate::resources::Instance;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use terrace_provider::{Attributes, DataAmount, Map, Observed, Private, ProviderError, Recorded, Value};

/// How often and after which pause to repeat a request to brokers that do not know yet which partitions they lead.
const MAX_ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

type Read = Result<Option<Observed>, ProviderError>;

/// Reads one topic.
pub(crate) async fn read(instance: &Instance, prior: &Recorded) -> Read {
    read_all(instance, std::slice::from_ref(prior)).await.pop().unwrap_or(Ok(None))
}

/// Reads many topics: one request for all, and one for the configuration of each few hundred.
pub(crate) async fn read_all(instance: &Instance, priors: &[Recorded]) -> Vec<Read> {
    let mut names = Vec::with_capacity(priors.len());
    for prior in priors {
        match text(&prior.attributes, "name") {
            Ok(name) => names.push(name),
            Err(error) => return priors.iter().map(|_| Err(error.clone())).collect(),
        }
    }
    let all_failed = |failure: Failure| -> Vec<Read> {
        names.iter().map(|name| Err(instance.read_context(name).failed(failure.clone()))).collect()
    };
    let topics = match instance.admin.topics(&names).await {
        Ok(topics) => topics,
        Err(failure) => return all_failed(failure),
    };
    let exists = |name: &&str| topics.get(*name).is_some_and(|topic| matches!(topic, Ok(Some(_))));
    let configured = names.iter().zip(priors).filter(|(_, prior)| configured(&prior.attributes).is_some());
    let existing: Vec<&str> = configured.map(|(name, _)| *name).filter(exists).collect();
    let configs = match existing.is_empty() {
        true => Ok(HashMap::new()),
        false => instance.admin.configs(&existing).await,
    };
    let configs = match configs {
        Ok(configs) => configs,
        Err(failure) => return all_failed(failure),
    };
    let one = |(name, prior): (&&str, &Recorded)| {
        let failed = |failure: &Failure| instance.read_context(name).failed(failure.clone());
        let topic = match topics.get(*name) {
            None | Some(Ok(None)) => return Ok(None),
            Some(Ok(Some(topic))) => topic,
            Some(Err(failure)) => return Err(failed(failure)),
        };
        let settings = match configs.get(*name) {
            None => None,
            // The topic was deleted between the two requests.
            Some(Ok(None)) => return Ok(None),
            Some(Ok(Some(settings))) => Some(settings),
            Some(Err(failure)) => return Err(failed(failure)),
        };
        let mut observed = observed(instance, name, &prior.attributes, topic, settings);
        if created_id(&prior.private.0).is_some() {
            observed.private = prior.private.clone();
        }
        Ok(Some(observed))
    };
    names.iter().zip(priors).map(one).collect()
}

/// Converts a topic into attributes, spelled as in the configuration.
pub(super) fn observed(
    instance: &Instance,
    name: &str,
    like: &Attributes,
    topic: &Topic,
    settings: Option<&BTreeMap<String, Setting>>,
) -> Observed {
    let config = configured(like).zip(settings);
    with_config(name, like, topic, config.map(|(like, settings)| config::observed(like, settings, instance.flavor)))
}

/// Converts a topic with a known configuration into attributes.
pub(super) fn with_config(name: &str, like: &Attributes, topic: &Topic, config: Option<Map>) -> Observed {
    let id = Value::from(object_id::join([name])).derived_from(like, &["name"]);
    let optional = |text: &Option<String>| text.as_deref().map_or(Value::Null, Value::from);
    let mut attributes = Attributes::default();
    attributes.insert("name".to_owned(), name.into());
    attributes.insert("partitions".to_owned(), topic.partitions.into());
    attributes.insert("replicationFactor".to_owned(), topic.replicas.into());
    if let Some(config) = config {
        attributes.insert("config".to_owned(), config.into());
    }
    attributes.insert("topicId".to_owned(), optional(&topic.id));
    attributes.insert("clusterId".to_owned(), optional(&topic.cluster));
    attributes.insert("id".to_owned(), id);
    let identity = [("name".to_owned(), Value::from(name))].into_iter().collect();
    Observed { identity, attributes, private: created_private(topic.id.as_deref()) }
}

/// The managed configuration.
pub(super) fn configured(attributes: &Attributes) -> Option<&Map> {
    attributes.get("config").and_then(Value::as_map)
}

/// Reads a topic by its import id, with all settings of the topic itself.
pub(crate) async fn import(instance: &Instance, id: &str) -> Read {
    let Some([name]) = object_id::split::<1>(id) else { return Ok(None) };
    let failed = |failure| instance.read_context(&name).failed(failure);
    let Some(topic) = instance.admin.topic(&name).await.map_err(failed)? else { return Ok(None) };
    let settings = instance.admin.config(&name).await.map_err(failed)?;
    let config = settings.as_ref().map(config::own_settings).filter(|config| !config.is_empty());
    let identity: Attributes = [("name".to_owned(), Value::from(name.as_str()))].into_iter().collect();
    Ok(Some(Observed { identity, ..with_config(&name, &Attributes::default(), &topic, config) }))
}

/// Counts the records of a topic: an upper limit.
pub(crate) async fn count(instance: &Instance, prior: &Recorded) -> Result<DataAmount, ProviderError> {
    let name = text(&prior.attributes, "name")?;
    let failed = |failure| instance.read_context(name).failed(failure);
    let mut counted = instance.admin.count_records(name).await;
    // After a create or a move, a broker needs a moment to learn which partitions it leads.
    for _ in 0..MAX_ATTEMPTS {
        if !counted.as_ref().is_err_and(|failure| failure.code().is_some_and(Code::is_transient)) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        counted = instance.admin.count_records(name).await;
    }
    Ok(DataAmount::of(counted.map_err(failed)?.unwrap_or_default().unsigned_abs(), "record", "records"))
}

/// The private bytes for the row of this topic.
pub(super) fn private_of(topic: &Topic) -> Private {
    created_private(topic.id.as_deref())
}
