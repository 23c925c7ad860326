//! `kafka_subject`: the schema of a topic's values or keys, with all its versions.

mod change;
mod language;

pub(crate) use change::{create, delete, update};

use super::Instance;
use crate::attributes::{optional_text, text};
use crate::object_id;
use crate::registry::{Reference, Registered, Registry, RegistryError, Schema, Version};
use language::{KINDS, check_text, is_equivalent};
use std::time::Duration;
use terrace_provider::plan::from_schema;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, DataAmount, ErrorKind, Finding, Found, Object, Observed, Path,
    PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Severity, Value,
};

/// Name of the resource type.
pub(crate) const NAME: &str = "kafka_subject";

/// The compatibility levels of registries.
const LEVELS: [&str; 7] =
    ["BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"];

/// The attributes that define a version.
const SCHEMA: &[&str] = &["schema", "schemaType", "references"];

/// The resource type.
pub(crate) fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let reference = Object(vec![
        text("name", "Name in the schema.").required(),
        text("subject", "Subject of the referenced schema.").required(),
        Attribute::new("version", AttributeType::Int, "Version of the referenced schema.").required(),
    ]);
    let attributes = Object(vec![
        text("subject", "The subject: `<topic>-value` or `<topic>-key`, unless clients name them otherwise.")
            .required()
            .replaces(),
        text("schema", "Schema. A new schema becomes a new version. White space and the order of keys are irrelevant.")
            .required(),
        text("schemaType", "`AVRO`, `JSON` or `PROTOBUF`.").default_value("AVRO"),
        Attribute::new(
            "references",
            AttributeType::list(AttributeType::Object(reference)),
            "Referenced schemas of other subjects.",
        ),
        text("compatibility", "Compatibility level, such as `BACKWARD`. Left out: the registry's default."),
        Attribute::new("schemaId", AttributeType::Int, "Id of the schema in records.").computed().follows(SCHEMA),
        Attribute::new("version", AttributeType::Int, "Version number of the schema.").computed().follows(SCHEMA),
        text("id", "The subject, for `terrace import`.").stable(),
    ]);
    let wait = Duration::from_secs(60);
    ResourceType {
        holds_data: true,
        timeouts: Timeouts { create: wait, update: wait, delete: wait, ..Timeouts::default() },
        ..ResourceType::new(NAME, "A subject of a schema registry, with its versions.", &["subject"], attributes)
    }
}

/// Plans from the schema.
///
/// # Errors
/// If the schema is invalid, or no registry is configured.
pub(crate) fn plan(
    instance: &Instance,
    ty: &ResourceType,
    change: &ProposedChange<'_>,
) -> Result<PlannedChange, ProviderError> {
    registry(instance)?;
    let mut planned = from_schema(ty, change);
    let given = |name: &str| planned.planned.get(name).and_then(Value::as_str);
    let invalid = |name: &str, message: String, hint: String| {
        Err(ProviderError::invalid(Some(Path::attribute(name)), message).solution(hint))
    };
    if given("subject").is_some_and(str::is_empty) {
        return invalid("subject", "the subject is empty".to_owned(), "write such as `orders-value`".to_owned());
    }
    for (name, known) in [("schemaType", &KINDS[..]), ("compatibility", &LEVELS[..])] {
        if let Some(word) = given(name).filter(|word| !known.contains(word)) {
            return invalid(
                name,
                format!("`{word}` is not a valid `{name}`"),
                format!("write one of {}", known.join(", ")),
            );
        }
    }
    if let Some((kind, text)) = given("schemaType").zip(given("schema"))
        && let Err(why) = check_text(kind, text)
    {
        let message = format!("invalid {kind} schema: {why}");
        return invalid("schema", message, "correct the schema's text".to_owned());
    }
    if let Some(subject) = given("subject") {
        let id = Value::from(object_id::join([subject])).derived_from(&planned.planned, &["subject"]);
        planned.planned.insert("id".to_owned(), id);
    }
    Ok(planned)
}

fn registry(instance: &Instance) -> Result<&Registry, ProviderError> {
    instance.registry.as_ref().ok_or_else(|| {
        ProviderError::unconfigured("a schema needs a schema registry, but none is configured")
            .solution("add `schemaRegistry: {url: …}` to the instance")
    })
}

/// Converts attributes into a schema.
fn schema_of(attributes: &Attributes) -> Result<Schema, ProviderError> {
    let reference = |value: &Value| {
        let part = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        Some(Reference { name: part("name")?, subject: part("subject")?, version: value.get("version")?.as_int()? })
    };
    let references = attributes.get("references").and_then(Value::as_list).unwrap_or_default();
    let known: Option<Vec<Reference>> = references.iter().map(reference).collect();
    Ok(Schema {
        text: text(attributes, "schema")?.to_owned(),
        kind: optional_text(attributes, "schemaType").unwrap_or("AVRO").to_owned(),
        references: known.ok_or_else(|| ProviderError::bug("a call without known `references`"))?,
    })
}

impl Schema {
    /// Returns true if both texts are the same schema; ignores references.
    fn is_same_text(&self, other: &Self) -> bool {
        self.kind == other.kind && is_equivalent(&self.kind, &self.text, &other.text)
    }

    /// Returns true if both are the same schema. Registries treat even more schemas as equal.
    fn is_equivalent(&self, other: &Self) -> bool {
        self.references == other.references && self.is_same_text(other)
    }
}

/// Private bytes that hold the subject's own compatibility level from before terrace.
fn level_to_private(level: Option<&str>) -> Private {
    Private(level.map(|level| format!("level {level}").into_bytes()).unwrap_or_default())
}

/// The level from before terrace, read from the private bytes of a row.
fn former_level(private: &Private) -> Option<&str> {
    std::str::from_utf8(&private.0).ok()?.strip_prefix("level ")
}

/// Converts a version into attributes, spelled as in the configuration if the schema is the same.
fn observed(like: &Attributes, subject: &str, version: &Version, level: Option<String>) -> Observed {
    let Version { schema, id, version } = version;
    let expected = schema_of(like).ok();
    let is_same = expected.as_ref().is_some_and(|expected| expected.is_same_text(schema));
    let shown = match &expected {
        Some(expected) if is_same => expected.text.as_str(),
        _ => schema.text.as_str(),
    };
    let reference = |it: &Reference| -> Value {
        [
            ("name", Value::from(it.name.as_str())),
            ("subject", it.subject.as_str().into()),
            ("version", it.version.into()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    };
    let references: Vec<Value> = schema.references.iter().map(reference).collect();
    let mut attributes = Attributes::default();
    attributes.insert("subject".to_owned(), subject.into());
    attributes.insert("schema".to_owned(), shown.into());
    attributes.insert("schemaType".to_owned(), schema.kind.as_str().into());
    // An empty list and a missing list are equal; follow the configuration.
    let has_list = like.get("references").is_some_and(|value| !value.is_null());
    if has_list || !references.is_empty() {
        attributes.insert("references".to_owned(), references.into());
    }
    // A level inherited from the registry is not drift.
    if let Some(level) = level.filter(|_| like.get("compatibility").is_some_and(|value| !value.is_null())) {
        attributes.insert("compatibility".to_owned(), level.into());
    } else {
        attributes.insert("compatibility".to_owned(), Value::Null);
    }
    attributes.insert("schemaId".to_owned(), (*id).into());
    attributes.insert("version".to_owned(), (*version).into());
    let id = Value::from(object_id::join([subject])).derived_from(like, &["subject"]);
    attributes.insert("id".to_owned(), id);
    let identity = [("subject".to_owned(), Value::from(subject))].into_iter().collect();
    Observed { identity, attributes, private: Private::default() }
}

/// Reads a subject: the version with the configured schema if there is one, else the latest version. A registry creates
/// no
/// new version for a schema that it has already.
async fn read_subject(
    instance: &Instance,
    subject: &str,
    like: &Attributes,
) -> Result<Option<Observed>, ProviderError> {
    let registry = registry(instance)?;
    let failed = |error: RegistryError| error.failed(&format!("read the subject `{subject}`"), false);
    let Some(mut version) = registry.latest(subject).await.map_err(failed)? else { return Ok(None) };
    if let Ok(expected) = schema_of(like)
        && !expected.is_equivalent(&version.schema)
        && let Some(Registered { id, version: number }) =
            registry.registered(subject, &expected).await.map_err(failed)?
    {
        version = Version { schema: expected, id, version: number };
    }
    let level = match optional_text(like, "compatibility") {
        Some(_) => registry.compatibility(subject).await.map_err(failed)?,
        None => None,
    };
    Ok(Some(observed(like, subject, &version, level)))
}

/// Reads a subject.
pub(crate) async fn read(instance: &Instance, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
    let found = read_subject(instance, text(&prior.attributes, "subject")?, &prior.attributes).await?;
    Ok(found.map(|observed| Observed { private: prior.private.clone(), ..observed }))
}

/// Reads a subject by its import id, with its own compatibility level.
pub(crate) async fn import(instance: &Instance, id: &str) -> Result<Option<Observed>, ProviderError> {
    let Some([subject]) = object_id::split::<1>(id) else { return Ok(None) };
    let with_level = [("compatibility".to_owned(), Value::from(""))].into_iter().collect();
    read_subject(instance, &subject, &with_level).await
}

/// Finds the object of a lost call, or an object to adopt.
pub(crate) async fn find(instance: &Instance, attempt: &Attempt) -> Result<Found, ProviderError> {
    let like = match &attempt.prior {
        Some(prior) if attempt.planned.is_empty() => &prior.attributes,
        _ => &attempt.planned,
    };
    let Some(subject) = optional_text(like, "subject") else { return Ok(Found::Unknown) };
    let found = match read_subject(instance, subject, like).await {
        // An unreachable registry does not matter if no request was ever sent.
        Err(_) if instance.marks.created_nothing(attempt) => None,
        found => found?,
    };
    let Some(observed) = found else { return Ok(Found::Absent) };
    let level = observed.attributes.get("compatibility").and_then(Value::as_str);
    let remembered = instance.marks.memory(attempt).map(|former| level_to_private(Some(&former)));
    let is_ours = attempt.lost_call.as_ref().is_some_and(|lost| instance.marks.may_have_created(attempt, lost));
    Ok(match &attempt.prior {
        Some(prior) => {
            let private = remembered.unwrap_or_else(|| prior.private.clone());
            Found::Own(Observed { private, ..observed })
        }
        None if is_ours => Found::Own(Observed { private: remembered.unwrap_or_default(), ..observed }),
        // The subject's level existed before terrace too.
        None => Found::Foreign(Observed { private: level_to_private(level), ..observed }),
    })
}

/// Checks a planned schema with the registry.
pub(crate) async fn validate(instance: &Instance, planned: &Attributes) -> Vec<Finding> {
    let (Ok(registry), Some(subject), Ok(schema)) =
        (registry(instance), optional_text(planned, "subject"), schema_of(planned))
    else {
        return Vec::new();
    };
    let finding = |severity, message: String, hint: &str| Finding {
        severity,
        path: Some(Path::attribute("schema")),
        message,
        hint: Some(hint.to_owned()),
    };
    // An older version needs no compatibility check. If the lookup fails, the check below reports the error.
    if let Ok(Some(older)) = registry.registered(subject, &schema).await {
        return match registry.latest(subject).await {
            Ok(Some(latest)) if latest.version > older.version => {
                let (version, latest) = (older.version, latest.version);
                let message = format!(
                    "the schema is version {version} of `{subject}` already; version {latest} stays the latest"
                );
                let hint = "change the schema to get a new version: a registry reuses the version of a known schema";
                vec![finding(Severity::Warning, message, hint)]
            }
            _ => Vec::new(),
        };
    }
    match registry.check(subject, &schema).await {
        Ok(Some(answer)) if !answer.is_compatible => {
            let why: Vec<String> =
                answer.messages.iter().chain(&answer.reason).map(|text| text.chars().take(500).collect()).collect();
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
            let message = format!("the schema is not compatible with the latest version of `{subject}`{why}");
            let hint =
                "write a schema that is compatible with earlier versions, or apply another `compatibility` first";
            vec![finding(Severity::Error, message, hint)]
        }
        Ok(_) => Vec::new(),
        Err(error) => {
            let error = error.failed(&format!("accept the schema of `{subject}`"), false);
            let is_wrong = matches!(error.kind, ErrorKind::InvalidInput { .. } | ErrorKind::PermissionDenied);
            // The same run may register a referenced schema.
            let severity = match is_wrong && schema.references.is_empty() {
                true => Severity::Error,
                false => Severity::Warning,
            };
            let hint = error.hint().unwrap_or_else(|| "correct the schema's text".to_owned());
            vec![finding(severity, error.to_string(), &hint)]
        }
    }
}

/// Reports if a subject has versions that are lost when it is deleted.
pub(crate) async fn count(instance: &Instance, prior: &Recorded) -> Result<DataAmount, ProviderError> {
    let subject = text(&prior.attributes, "subject")?;
    let failed = |error: RegistryError| error.failed(&format!("read the subject `{subject}`"), false);
    Ok(match registry(instance)?.count_versions(subject).await.map_err(failed)? {
        Some(0) => DataAmount::Empty,
        // A new subject has one version already, and the configuration has its schema.
        Some(_) | None => DataAmount::Unknown,
    })
}
