//! Creates, updates and deletes subjects.

use super::{Instance, former_level, level_to_private, read_subject, registry, schema_of};
use crate::attributes::{optional_text, text};
use crate::failure::as_ambiguous;
use crate::object_id;
use crate::registry::{Registry, RegistryError};
use terrace_provider::{Attributes, Call, ErrorKind, Observed, Planned, Private, ProviderError, Recorded};

/// Registers the first version of a subject.
pub(crate) async fn create(instance: &Instance, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let (subject, schema) = (text(attributes, "subject")?, schema_of(attributes)?);
    let registry = registry(instance)?;
    let earlier = instance.marks.earlier_attempt(call);
    if let Some(found) = read_subject(instance, subject, attributes).await? {
        // An earlier attempt may have registered only a part.
        let is_ours = earlier.is_some() && found.attributes.get("schema") == attributes.get("schema");
        if !is_ours {
            if earlier.is_some() {
                instance.marks.record_refused(call).await;
            }
            let kind = ErrorKind::AlreadyExists { import_id: Some(object_id::join([subject])) };
            return Err(ProviderError::new(kind, format!("the schema registry already has a subject `{subject}`")));
        }
    }
    let failed = |error: RegistryError| error.failed(&format!("register the subject `{subject}`"), true);
    let level = optional_text(attributes, "compatibility");
    let former = match (&earlier, level) {
        (Some(memory), _) => memory.clone(),
        (None, Some(_)) => registry.compatibility(subject).await.map_err(failed)?,
        (None, None) => None,
    };
    instance.marks.record_sent(call, former.as_deref()).await?;
    let registered = async {
        if level.is_some() {
            registry.set_compatibility(subject, level).await?;
        }
        registry.register(subject, &schema).await
    };
    if let Err(error) = registered.await {
        if error.excludes_effect() && earlier.is_none() {
            if level.is_some() {
                restore_level(registry, subject, former.as_deref()).await;
            }
            instance.marks.record_refused(call).await;
        }
        return Err(failed(error));
    }
    let as_ambiguous = |error| as_ambiguous(failed(error));
    // Some registries accept a level only for an existing subject.
    if level.is_some() && registry.compatibility(subject).await.map_err(as_ambiguous)?.as_deref() != level {
        registry.set_compatibility(subject, level).await.map_err(as_ambiguous)?;
    }
    read_registered(instance, subject, attributes, level_to_private(former.as_deref())).await
}

/// Reads a subject after a version was registered. A failed read is ambiguous: it proves nothing about the
/// registration.
async fn read_registered(
    instance: &Instance,
    subject: &str,
    like: &Attributes,
    private: Private,
) -> Result<Observed, ProviderError> {
    let observed = read_subject(instance, subject, like).await.map_err(as_ambiguous)?.ok_or_else(|| {
        let message = format!("the subject `{subject}` was registered, but the schema registry does not return it");
        ProviderError::new(ErrorKind::Ambiguous, message)
    })?;
    Ok(Observed { private, ..observed })
}

/// Restores a subject's level after a version was refused.
async fn restore_level(registry: &Registry, subject: &str, level: Option<&str>) {
    if let Err(error) = registry.set_compatibility(subject, level).await {
        tracing::debug!(subject, ?error, "cannot restore the compatibility level");
    }
}

/// Sets the level, then registers a new version: the registry checks the version by the new level.
pub(crate) async fn update(
    instance: &Instance,
    call: &Call,
    prior: &Recorded,
    planned: &Planned,
) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let (subject, schema) = (text(attributes, "subject")?, schema_of(attributes)?);
    let registry = registry(instance)?;
    let failed = |error: RegistryError| error.failed(&format!("change the subject `{subject}`"), true);
    let (before, after) =
        (optional_text(&prior.attributes, "compatibility"), optional_text(attributes, "compatibility"));
    let mut former = former_level(&prior.private).map(str::to_owned);
    if before != after {
        if before.is_none() {
            former = match instance.marks.earlier_attempt(call) {
                Some(memory) => memory,
                None => registry.compatibility(subject).await.map_err(failed)?,
            };
            instance.marks.record_sent(call, former.as_deref()).await?;
        }
        registry.set_compatibility(subject, after.or(former.as_deref())).await.map_err(failed)?;
    }
    let registered = schema_of(&prior.attributes)?;
    // Some registries create a new version for different white space.
    if !registered.is_equivalent(&schema)
        && let Err(error) = registry.register(subject, &schema).await
    {
        if before != after && error.excludes_effect() {
            restore_level(registry, subject, before.or(former.as_deref())).await;
        }
        return Err(failed(error));
    }
    let private = level_to_private(former.as_deref().filter(|_| after.is_some()));
    read_registered(instance, subject, attributes, private).await
}

/// Deletes a subject with all versions, and restores its level from before terrace.
pub(crate) async fn delete(instance: &Instance, prior: &Recorded) -> Result<(), ProviderError> {
    let subject = text(&prior.attributes, "subject")?;
    let failed = |error: RegistryError| error.failed(&format!("delete the subject `{subject}`"), true);
    let registry = registry(instance)?;
    registry.delete(subject).await.map_err(failed)?;
    if optional_text(&prior.attributes, "compatibility").is_some() {
        registry.set_compatibility(subject, former_level(&prior.private)).await.map_err(failed)?;
    }
    Ok(())
}
