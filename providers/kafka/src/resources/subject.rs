//! `kafka_subject`: the schema that the values or keys of a topic have, with all its versions.

mod language;

use super::Instance;
use crate::attributes::{optional_text, text};
use crate::object_id;
use crate::registry::{Reference, Registry, Schema, Trouble, Version};
use language::{KINDS, check_text, means_same};
use std::time::Duration;
use terrace_provider::plan::from_schema;
use terrace_provider::schema::Timeouts;
use terrace_provider::{
    Attempt, Attribute, AttributeType, Attributes, Call, DataAmount, ErrorKind, Finding, Found, Object, Observed, Path,
    Planned, PlannedChange, Private, ProposedChange, ProviderError, Recorded, ResourceType, Severity, Value,
};

/// Its name.
pub(crate) const NAME: &str = "kafka_subject";

/// The levels that a registry knows.
const LEVELS: [&str; 7] =
    ["BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE", "NONE"];

/// The type.
pub(crate) fn resource_type() -> ResourceType {
    let text = |name, doc| Attribute::new(name, AttributeType::String, doc);
    let reference = Object(vec![
        text("name", "How the schema names it.").required(),
        text("subject", "The subject that it is registered under.").required(),
        Attribute::new("version", AttributeType::Int, "Its version there.").required(),
    ]);
    let attributes = Object(vec![
        text("subject", "The subject: `<topic>-value` or `<topic>-key`, unless clients name them otherwise.")
            .required()
            .replaces(),
        text("schema", "The schema. Another one is another version; white space and the order of keys say nothing.")
            .required(),
        text("schemaType", "`AVRO`, `JSON` or `PROTOBUF`.").default_value("AVRO"),
        Attribute::new(
            "references",
            AttributeType::list(AttributeType::Object(reference)),
            "Schemas of other subjects that this one names.",
        ),
        text(
            "compatibility",
            "What the next version has to be to the ones before, as `BACKWARD`; else the registry's own.",
        ),
        Attribute::new("schemaId", AttributeType::Int, "The number by which records name the schema.").computed(),
        Attribute::new("version", AttributeType::Int, "The latest version.").computed(),
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
/// When the schema is none, or there is no registry.
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
            return invalid(name, format!("`{word}` is no `{name}`"), format!("write one of {}", known.join(", ")));
        }
    }
    if let Some((kind, text)) = given("schemaType").zip(given("schema"))
        && let Err(why) = check_text(kind, text)
    {
        let message = format!("the schema is none of {kind}: {why}");
        return invalid("schema", message, "look at its text".to_owned());
    }
    if let Some(subject) = given("subject") {
        let id = Value::from(object_id::join([subject])).made_of(&planned.planned, &["subject"]);
        planned.planned.insert("id".to_owned(), id);
    }
    Ok(planned)
}

fn registry(instance: &Instance) -> Result<&Registry, ProviderError> {
    instance.registry.as_ref().ok_or_else(|| {
        ProviderError::invalid(None, "there is no schema registry to register a schema at")
            .solution("give the instance `schemaRegistry: {url: …}`")
    })
}

/// The schema of some attributes.
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

/// A subject in the spelling of what was configured.
fn observed(like: &Attributes, subject: &str, version: &Version, level: Option<String>) -> Observed {
    let Version { schema, id, version } = version;
    let wanted = schema_of(like).ok();
    let is_same = wanted
        .as_ref()
        .is_some_and(|wanted| wanted.kind == schema.kind && means_same(&schema.kind, &wanted.text, &schema.text));
    let shown = match &wanted {
        Some(wanted) if is_same => wanted.text.as_str(),
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
    // Without any it makes no difference whether there is a list of none.
    let has_list = like.get("references").is_some_and(|value| !value.is_null());
    if has_list || !references.is_empty() {
        attributes.insert("references".to_owned(), references.into());
    }
    // The registry's own level is nobody's drift.
    if let Some(level) = level.filter(|_| like.get("compatibility").is_some_and(|value| !value.is_null())) {
        attributes.insert("compatibility".to_owned(), level.into());
    } else {
        attributes.insert("compatibility".to_owned(), Value::Null);
    }
    attributes.insert("schemaId".to_owned(), (*id).into());
    attributes.insert("version".to_owned(), (*version).into());
    let id = Value::from(object_id::join([subject])).made_of(like, &["subject"]);
    attributes.insert("id".to_owned(), id);
    let identity = [("subject".to_owned(), Value::from(subject))].into_iter().collect();
    Observed { identity, attributes, private: Private::default() }
}

async fn look(instance: &Instance, subject: &str, like: &Attributes) -> Result<Option<Observed>, ProviderError> {
    let registry = registry(instance)?;
    let failed = |trouble: Trouble| trouble.failed(&format!("tell of the subject `{subject}`"), false);
    let Some(version) = registry.latest(subject).await.map_err(failed)? else { return Ok(None) };
    let level = match optional_text(like, "compatibility") {
        Some(_) => registry.compatibility(subject).await.map_err(failed)?,
        None => None,
    };
    Ok(Some(observed(like, subject, &version, level)))
}

/// Reads a subject.
pub(crate) async fn read(instance: &Instance, prior: &Recorded) -> Result<Option<Observed>, ProviderError> {
    look(instance, text(&prior.attributes, "subject")?, &prior.attributes).await
}

/// A subject by its name, with the level that it has of its own.
pub(crate) async fn import(instance: &Instance, id: &str) -> Result<Option<Observed>, ProviderError> {
    let Some([subject]) = object_id::split::<1>(id) else { return Ok(None) };
    let with_level = [("compatibility".to_owned(), Value::from(""))].into_iter().collect();
    look(instance, &subject, &with_level).await
}

/// Registers the first version of a subject.
pub(crate) async fn create(instance: &Instance, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let (subject, schema) = (text(attributes, "subject")?, schema_of(attributes)?);
    let registry = registry(instance)?;
    if look(instance, subject, attributes).await?.is_some() {
        let kind = ErrorKind::AlreadyExists { import_id: Some(object_id::join([subject])) };
        return Err(ProviderError::new(kind, format!("the schema registry has a subject `{subject}` already")));
    }
    instance.marks.sent(call).await?;
    let made = async {
        let level = optional_text(attributes, "compatibility");
        if level.is_some() {
            registry.set_compatibility(subject, level).await?;
        }
        registry.register(subject, &schema).await?;
        // Some registries give a level only to what is there.
        if level.is_some() && registry.compatibility(subject).await?.as_deref() != level {
            registry.set_compatibility(subject, level).await?;
        }
        Ok::<(), Trouble>(())
    };
    if let Err(trouble) = made.await {
        let error = trouble.failed(&format!("register the subject `{subject}`"), true);
        if error.kind != ErrorKind::Ambiguous {
            // A level of a subject that is not there is nobody's.
            if optional_text(attributes, "compatibility").is_some()
                && let Err(trouble) = registry.set_compatibility(subject, None).await
            {
                tracing::debug!(subject, ?trouble, "the compatibility level stays");
            }
            instance.marks.refused(call).await;
        }
        return Err(error);
    }
    made_now(instance, subject, attributes).await
}

async fn made_now(instance: &Instance, subject: &str, like: &Attributes) -> Result<Observed, ProviderError> {
    look(instance, subject, like).await?.ok_or_else(|| {
        let message = format!("the subject `{subject}` was registered, and the schema registry does not know it");
        ProviderError::new(ErrorKind::Ambiguous, message)
    })
}

/// Registers another version, or sets the level, which comes first: by it the version is judged.
pub(crate) async fn update(
    instance: &Instance,
    prior: &Recorded,
    planned: &Planned,
) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let (subject, schema) = (text(attributes, "subject")?, schema_of(attributes)?);
    let registry = registry(instance)?;
    let failed = |trouble: Trouble| trouble.failed(&format!("change the subject `{subject}`"), true);
    let (before, after) =
        (optional_text(&prior.attributes, "compatibility"), optional_text(attributes, "compatibility"));
    if before != after {
        registry.set_compatibility(subject, after).await.map_err(failed)?;
    }
    let registered = schema_of(&prior.attributes)?;
    // Some registries take other white space for another version.
    let is_same = (&registered.kind, &registered.references) == (&schema.kind, &schema.references)
        && means_same(&schema.kind, &registered.text, &schema.text);
    if !is_same {
        registry.register(subject, &schema).await.map_err(failed)?;
    }
    made_now(instance, subject, attributes).await
}

/// Removes a subject with all versions.
pub(crate) async fn delete(instance: &Instance, prior: &Recorded) -> Result<(), ProviderError> {
    let subject = text(&prior.attributes, "subject")?;
    let failed = |trouble: Trouble| trouble.failed(&format!("delete the subject `{subject}`"), true);
    let registry = registry(instance)?;
    registry.delete(subject).await.map_err(failed)?;
    if optional_text(&prior.attributes, "compatibility").is_some() {
        registry.set_compatibility(subject, None).await.map_err(failed)?;
    }
    Ok(())
}

/// What became of a call, or whether there is something to take over.
pub(crate) async fn find(instance: &Instance, attempt: &Attempt) -> Result<Found, ProviderError> {
    let like = match &attempt.prior {
        Some(prior) if attempt.planned.is_empty() => &prior.attributes,
        _ => &attempt.planned,
    };
    let Some(subject) = optional_text(like, "subject") else { return Ok(Found::Unknown) };
    let looked = match look(instance, subject, like).await {
        // Whoever cannot be asked was not told anything.
        Err(_) if instance.marks.made_nothing(attempt) => None,
        looked => looked?,
    };
    let Some(observed) = looked else { return Ok(Found::Absent) };
    let is_ours = attempt.lost_call.as_ref().is_some_and(|lost| instance.marks.may_be_ours(attempt, lost));
    Ok(match attempt.prior.is_some() || is_ours {
        true => Found::Ours(observed),
        false => Found::Strangers(observed),
    })
}

/// What the registry says of a schema before it is registered.
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
    match registry.check(subject, &schema).await {
        Ok(Some(answer)) if !answer.is_compatible => {
            let why: Vec<String> =
                answer.messages.iter().chain(&answer.reason).map(|text| text.chars().take(500).collect()).collect();
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
            let message = format!("the schema is not compatible with the latest of `{subject}`{why}");
            let hint = "write a schema that readers of the others can read, or apply another `compatibility` first";
            vec![finding(Severity::Error, message, hint)]
        }
        Ok(_) => Vec::new(),
        Err(trouble) => {
            let error = trouble.failed(&format!("take the schema of `{subject}`"), false);
            let is_wrong = matches!(error.kind, ErrorKind::InvalidInput { .. } | ErrorKind::PermissionDenied);
            // What it names may be registered by this very run.
            let severity = match is_wrong && schema.references.is_empty() {
                true => Severity::Error,
                false => Severity::Warning,
            };
            let hint = error.solutions.first().cloned().unwrap_or_else(|| "look at its text".to_owned());
            vec![finding(severity, error.to_string(), &hint)]
        }
    }
}

/// How many versions go with a subject.
pub(crate) async fn count(instance: &Instance, prior: &Recorded) -> Result<DataAmount, ProviderError> {
    let subject = text(&prior.attributes, "subject")?;
    let failed = |trouble: Trouble| trouble.failed(&format!("tell of the subject `{subject}`"), false);
    Ok(match registry(instance)?.count_versions(subject).await.map_err(failed)? {
        0 => DataAmount::Empty,
        // A new subject has its first version, which the configuration has, too.
        _ => DataAmount::Unknown,
    })
}
