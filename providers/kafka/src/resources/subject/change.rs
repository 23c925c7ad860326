//! Creates, updates and deletes subjects.

use super::{Instance, former_level, level_before, look, registry, schema_of};
use crate::attributes::{optional_text, text};
use crate::failure::unseen;
use crate::object_id;
use crate::registry::{Registry, Trouble};
use terrace_provider::{Attributes, Call, ErrorKind, Observed, Planned, Private, ProviderError, Recorded};

/// Registers the first version of a subject.
pub(crate) async fn create(instance: &Instance, call: &Call, planned: &Planned) -> Result<Observed, ProviderError> {
    let attributes = &planned.attributes;
    let (subject, schema) = (text(attributes, "subject")?, schema_of(attributes)?);
    let registry = registry(instance)?;
    let earlier = instance.marks.earlier(call);
    if let Some(found) = look(instance, subject, attributes).await? {
        // An earlier attempt may have registered only a part.
        let is_ours = earlier.is_some() && found.attributes.get("schema") == attributes.get("schema");
        if !is_ours {
            if earlier.is_some() {
                instance.marks.refused(call).await;
            }
            let kind = ErrorKind::AlreadyExists { import_id: Some(object_id::join([subject])) };
            return Err(ProviderError::new(kind, format!("the schema registry already has a subject `{subject}`")));
        }
    }
    let failed = |trouble: Trouble| trouble.failed(&format!("register the subject `{subject}`"), true);
    let level = optional_text(attributes, "compatibility");
    let former = match (&earlier, level) {
        (Some(memory), _) => memory.clone(),
        (None, Some(_)) => registry.compatibility(subject).await.map_err(failed)?,
        (None, None) => None,
    };
    instance.marks.sent(call, former.as_deref()).await?;
    let registered = async {
        if level.is_some() {
            registry.set_compatibility(subject, level).await?;
        }
        registry.register(subject, &schema).await
    };
    if let Err(trouble) = registered.await {
        if trouble.excludes_effect() && earlier.is_none() {
            if level.is_some() {
                restore_level(registry, subject, former.as_deref()).await;
            }
            instance.marks.refused(call).await;
        }
        return Err(failed(trouble));
    }
    let unseen = |trouble| unseen(failed(trouble));
    // Some registries accept a level only for an existing subject.
    if level.is_some() && registry.compatibility(subject).await.map_err(unseen)?.as_deref() != level {
        registry.set_compatibility(subject, level).await.map_err(unseen)?;
    }
    read_registered(instance, subject, attributes, former_level(former.as_deref())).await
}

/// Reads a subject after a version was registered. A failed read is ambiguous: it proves nothing about the
/// registration.
async fn read_registered(
    instance: &Instance,
    subject: &str,
    like: &Attributes,
    private: Private,
) -> Result<Observed, ProviderError> {
    let seen = look(instance, subject, like).await.map_err(unseen)?.ok_or_else(|| {
        let message = format!("the subject `{subject}` was registered, but the schema registry does not return it");
        ProviderError::new(ErrorKind::Ambiguous, message)
    })?;
    Ok(Observed { private, ..seen })
}

/// Restores a subject's level after a version was refused.
async fn restore_level(registry: &Registry, subject: &str, level: Option<&str>) {
    if let Err(trouble) = registry.set_compatibility(subject, level).await {
        tracing::debug!(subject, ?trouble, "cannot restore the compatibility level");
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
    let failed = |trouble: Trouble| trouble.failed(&format!("change the subject `{subject}`"), true);
    let (before, after) =
        (optional_text(&prior.attributes, "compatibility"), optional_text(attributes, "compatibility"));
    let mut former = level_before(&prior.private).map(str::to_owned);
    if before != after {
        if before.is_none() {
            former = match instance.marks.earlier(call) {
                Some(memory) => memory,
                None => registry.compatibility(subject).await.map_err(failed)?,
            };
            instance.marks.sent(call, former.as_deref()).await?;
        }
        registry.set_compatibility(subject, after.or(former.as_deref())).await.map_err(failed)?;
    }
    let registered = schema_of(&prior.attributes)?;
    // Some registries create a new version for different white space.
    if !registered.means_same(&schema)
        && let Err(trouble) = registry.register(subject, &schema).await
    {
        if before != after && trouble.excludes_effect() {
            restore_level(registry, subject, before.or(former.as_deref())).await;
        }
        return Err(failed(trouble));
    }
    let private = former_level(former.as_deref().filter(|_| after.is_some()));
    read_registered(instance, subject, attributes, private).await
}

/// Deletes a subject with all versions, and restores its level from before terrace.
pub(crate) async fn delete(instance: &Instance, prior: &Recorded) -> Result<(), ProviderError> {
    let subject = text(&prior.attributes, "subject")?;
    let failed = |trouble: Trouble| trouble.failed(&format!("delete the subject `{subject}`"), true);
    let registry = registry(instance)?;
    registry.delete(subject).await.map_err(failed)?;
    if optional_text(&prior.attributes, "compatibility").is_some() {
        registry.set_compatibility(subject, level_before(&prior.private)).await.map_err(failed)?;
    }
    Ok(())
}
