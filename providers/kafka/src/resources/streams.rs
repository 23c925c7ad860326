//! `kafka_streams_application`: the internal topics of a Kafka Streams application. The running application creates
//! them;
//! terrace deletes them together with the application if its data may be deleted.

use super::Instance;
use crate::admin::Filter;
use crate::attributes::{text, without_nulls};
use crate::failure::{Code, RequestContext};
use crate::object_id;
use crate::polling::until_visible;
use std::collections::BTreeSet;
use std::time::Duration;
use terrace_provider::plan::from_schema;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DataAmount, Found, Object, Observed, Path, Planned,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Value,
};

/// Name of the resource type.
pub(crate) const NAME: &str = "kafka_streams_application";

/// Suffixes of internal topics
/// (<https://kafka.apache.org/documentation/streams/developer-guide/manage-topics#internal-topics>).
const SUFFIXES: [&str; 2] = ["-changelog", "-repartition"];

/// The resource type.
pub(crate) fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let attributes = Object(vec![
        text("applicationId", "Application id: the consumer group, and the prefix of the internal topics' names.")
            .required()
            .replaces(),
        Attribute::new(
            "properties",
            AttributeType::map(AttributeType::Any),
            "Application configuration, by Kafka's own keys.",
        )
        .vendor_json(),
        text("rendered", "The properties as a Java properties file.")
            .computed()
            .volatile("it is rendered from `properties`"),
        text("id", "The application's id.").stable(),
    ]);
    let wait = Duration::from_secs(300);
    ResourceType {
        keeps_data_on_delete: true,
        timeouts: Timeouts { create: wait, update: wait, delete: wait, ..Timeouts::default() },
        settle: Duration::ZERO,
        ..ResourceType::new(
            NAME,
            "The internal topics of a Kafka Streams application, which are deleted with its data.",
            &["applicationId"],
            attributes,
        )
    }
}

/// Plans from the schema. The properties are rendered as soon as they are known.
///
/// # Errors
/// If the application id is invalid.
pub(crate) fn plan(ty: &ResourceType, change: &ProposedChange<'_>) -> Result<PlannedChange, ProviderError> {
    if let Some(id) = change.config.get("applicationId").and_then(Value::as_str) {
        let is_legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        if id.is_empty() || !id.chars().all(is_legal) {
            let path = Some(Path::attribute("applicationId"));
            return Err(ProviderError::invalid(path, format!("`{id}` is not a valid application id"))
                .solution("use only `a-z`, `A-Z`, `0-9`, `.`, `_` and `-`: the id is part of topic names"));
        }
    }
    let config = without_nulls(change.config, "properties");
    let mut planned = from_schema(ty, &ProposedChange { config: &config, ..change.clone() });
    complete(&mut planned.planned);
    Ok(planned)
}

/// Adds the computed attributes.
fn complete(attributes: &mut Attributes) {
    if let Some(id) = attributes.get("applicationId").and_then(Value::as_str) {
        let id = Value::from(object_id::join([id])).derived_from(attributes, &["applicationId"]);
        attributes.insert("id".to_owned(), id);
    }
    if !attributes.get("properties").is_some_and(Value::has_unknown) {
        let rendered = Value::from(rendered(attributes)).derived_from(attributes, &["properties"]);
        attributes.insert("rendered".to_owned(), rendered);
    }
}

/// Renders the properties for `java.util.Properties`, with all special characters escaped.
fn rendered(attributes: &Attributes) -> String {
    let properties = attributes.get("properties").and_then(Value::as_map).into_iter().flatten();
    let line = |(key, value): (&String, &Value)| {
        let text = match value.exposed() {
            Value::String(text) => text.clone(),
            Value::Null => return None,
            other => other.revealed().to_json_text(),
        };
        Some(format!("{}={}\n", escaped(key, true), escaped(&text, false)))
    };
    properties.filter_map(line).collect()
}

fn escaped(text: &str, is_key: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, letter) in text.chars().enumerate() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            ' ' if is_key || at == 0 => escaped.push_str("\\ "),
            '=' | ':' if is_key => escaped.extend(['\\', letter]),
            '#' | '!' if at == 0 => escaped.extend(['\\', letter]),
            ' '..='~' => escaped.push(letter),
            // Java reads properties files as Latin-1; other characters are written as UTF-16 code units.
            letter => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    escaped
}

/// The object as recorded. The cluster has no object to read.
pub(crate) fn observed(attributes: &Attributes) -> Observed {
    let mut all = attributes.clone();
    complete(&mut all);
    let identity = all.get("applicationId").map(|id| ("applicationId".to_owned(), id.clone()));
    Observed { identity: identity.into_iter().collect(), attributes: all, private: Private::default() }
}

/// Records the application without a request to the cluster.
pub(crate) fn create(planned: &Planned) -> Observed {
    observed(&planned.attributes)
}

/// Deletes the internal topics if the data may be deleted.
pub(crate) async fn delete(instance: &Instance, call: &Call, prior: &Recorded) -> Result<(), ProviderError> {
    let id = text(&prior.attributes, "applicationId")?;
    if !call.removes_data {
        return Ok(());
    }
    let context = deletion_context(instance, id);
    let Internal { own, of_other_applications } = internal(instance, id).await?;
    for (name, other) in of_other_applications {
        call.progress.message(&format!("`{name}` is kept: it belongs to the application `{other}`"));
    }
    for name in &own {
        call.progress.message(&format!("deleting `{name}`"));
        match instance.admin.delete_topic(name, None).await {
            Ok(()) => {}
            Err(failure) if failure.code() == Some(Code::UNKNOWN_TOPIC) => {}
            Err(failure) => return Err(context.failed(failure)),
        }
    }
    for name in &own {
        let timeout_message = format!("the brokers accepted the deletion of the topic `{name}`, but it still exists");
        let deletion = until_visible(call, &timeout_message, || async {
            let topic = instance.admin.topic(name).await.map_err(|failure| context.failed(failure))?;
            Ok(topic.is_none().then_some(()))
        });
        deletion
            .await
            .map_err(|error| error.solution("stop the application: it recreates its topics while it runs"))?;
    }
    Ok(())
}

/// Counts the internal topics that are deleted with an application's data.
pub(crate) async fn count(instance: &Instance, prior: &Recorded) -> Result<DataAmount, ProviderError> {
    let Internal { own, .. } = internal(instance, text(&prior.attributes, "applicationId")?).await?;
    let count = u64::try_from(own.len()).unwrap_or(u64::MAX);
    Ok(match DataAmount::of(count, "internal topic", "internal topics") {
        DataAmount::Some { count, text } => {
            let names: Vec<String> = own.iter().map(|name| format!("`{name}`")).collect();
            DataAmount::Some { count, text: format!("{text}: {}", names.join(", ")) }
        }
        amount => amount,
    })
}

/// Topics that look like internal topics of a application.
struct Internal {
    /// Topics of this application.
    own: Vec<String>,
    /// Topics of other applications whose ids begin with this id and `-`, with these ids.
    of_other_applications: Vec<(String, String)>,
}

async fn internal(instance: &Instance, id: &str) -> Result<Internal, ProviderError> {
    let context = RequestContext { changes: false, ..deletion_context(instance, id) };
    let mut names = instance.admin.topic_names().await.map_err(|failure| context.failed(failure))?;
    names.retain(|name| is_internal(name, id));
    names.sort_unstable();
    let other_ids = if names.is_empty() { BTreeSet::new() } else { longer_ids(instance, id).await? };
    let (mut own, mut of_other_applications) = (Vec::new(), Vec::new());
    for name in names {
        match other_ids.iter().find(|other| is_internal(&name, other)) {
            Some(other) => of_other_applications.push((name, other.clone())),
            None => own.push(name),
        }
    }
    Ok(Internal { own, of_other_applications })
}

/// Returns ids of other applications that begin with this id and `-`. An application is a consumer group of its id, and
/// its principal needs access to that group.
async fn longer_ids(instance: &Instance, id: &str) -> Result<BTreeSet<String>, ProviderError> {
    let failed = |failure| {
        let right = "--operation Describe --cluster".to_owned();
        let action = format!("separate the internal topics of `{id}` from those of other applications");
        instance.request_context(false, action, right).failed(failure)
    };
    let mut ids = instance.admin.group_ids().await.map_err(failed)?;
    match instance.admin.acls(&Filter::OfGroups(None)).await {
        Ok(entries) => ids.extend(entries.into_iter().map(|entry| entry.resource_name)),
        // Without an authorizer, brokers have no entries.
        Err(failure) if failure.code() == Some(Code::SECURITY_DISABLED) => {}
        Err(failure) => return Err(failed(failure)),
    }
    ids.retain(|other| other.strip_prefix(id).is_some_and(|rest| rest.starts_with('-')));
    Ok(ids)
}

fn deletion_context<'i>(instance: &'i Instance, id: &str) -> RequestContext<'i> {
    let right = format!("--operation Delete --operation Describe --topic '{id}-' --resource-pattern-type prefixed");
    instance.request_context(true, format!("delete the internal topics of `{id}`"), right)
}

/// Returns true for `<id>-<name>-changelog` and `<id>-<name>-repartition`.
fn is_internal(topic: &str, id: &str) -> bool {
    let rest = topic.strip_prefix(id).and_then(|rest| rest.strip_prefix('-'));
    let inner = rest.and_then(|rest| SUFFIXES.iter().find_map(|ending| rest.strip_suffix(ending)));
    inner.is_some_and(|inner| !inner.is_empty())
}

/// Finds the outcome of a lost call. A create makes nothing in the cluster; a lost delete is repeated. An adoption
/// finds an
/// application with traces in the cluster.
pub(crate) async fn find(instance: &Instance, attempt: &Attempt) -> Result<Found, ProviderError> {
    Ok(match &attempt.prior {
        Some(prior) if attempt.planned.is_empty() => Found::Own(observed(&prior.attributes)),
        Some(_) => Found::Own(observed(&attempt.planned)),
        None if attempt.lost_call.is_some() => Found::Absent,
        None => match has_traces(instance, text(&attempt.planned, "applicationId")?).await? {
            // An adoption has the configured attributes; nulls count as not set.
            true => Found::Foreign(observed(&without_nulls(&attempt.planned, "properties"))),
            false => Found::Absent,
        },
    })
}

/// Returns true if the application has internal topics, or a principal has access to its consumer group.
async fn has_traces(instance: &Instance, id: &str) -> Result<bool, ProviderError> {
    let failed = |failure| {
        let right = "--operation Describe --cluster".to_owned();
        instance.request_context(false, format!("find the application `{id}`"), right).failed(failure)
    };
    let topics = instance.admin.topic_names().await.map_err(failed)?;
    if topics.iter().any(|topic| is_internal(topic, id)) {
        return Ok(true);
    }
    match instance.admin.acls(&Filter::OfGroups(Some(id))).await {
        Ok(entries) => Ok(!entries.is_empty()),
        // Without an authorizer, brokers have no entries.
        Err(failure) if failure.code() == Some(Code::SECURITY_DISABLED) => Ok(false),
        Err(failure) => Err(failed(failure)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_topics_need_prefix_and_suffix() {
        for topic in ["app-store-changelog", "app-KSTREAM-AGGREGATE-STATE-STORE-0000000003-repartition"] {
            assert!(is_internal(topic, "app"), "{topic}");
        }
        for topic in
            ["app", "app-changelog", "app--changelog-x", "application-x-changelog", "my-app-x-changelog", "app-x"]
        {
            assert!(!is_internal(topic, "app"), "{topic}");
        }
    }

    #[test]
    fn rendered_properties_are_escaped_for_java() {
        let properties = [
            ("state.dir", Value::from("/${java.io.tmpdir}/kafka-streams")),
            ("num.stream.threads", Value::Int(2)),
            ("a key", Value::from(" leading\\and\nlines")),
            ("none", Value::Null),
            ("größe", Value::from("🦀\u{c}x ")),
        ];
        let properties: Value = properties.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let attributes: Attributes = [("properties".to_owned(), properties)].into_iter().collect();
        assert_eq!(
            rendered(&attributes),
            "state.dir=/${java.io.tmpdir}/kafka-streams\nnum.stream.threads=2\na\\ key=\\ leading\\\\and\\nlines\n\
             gr\\u00f6\\u00dfe=\\ud83e\\udd80\\u000cx \n"
        );
    }
}
