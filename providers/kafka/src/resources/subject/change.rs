//! Subjects that come, change and go.

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
        // What an earlier attempt registered is not complete, maybe.
        let is_ours = earlier.is_some() && found.attributes.get("schema") == attributes.get("schema");
        if !is_ours {
            if earlier.is_some() {
                instance.marks.refused(call).await;
            }
            let kind = ErrorKind::AlreadyExists { import_id: Some(object_id::join([subject])) };
            return Err(ProviderError::new(kind, format!("the schema registry has a subject `{subject}` already")));
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
                give_back(registry, subject, former.as_deref()).await;
            }
            instance.marks.refused(call).await;
        }
        return Err(failed(trouble));
    }
    let unseen = |trouble| unseen(failed(trouble));
    // Some registries give a level only to what is there.
    if level.is_some() && registry.compatibility(subject).await.map_err(unseen)?.as_deref() != level {
        registry.set_compatibility(subject, level).await.map_err(unseen)?;
    }
    made_now(instance, subject, attributes, former_level(former.as_deref())).await
}

/// A subject that a version was registered of: what the look says is nothing of that.
async fn made_now(
    instance: &Instance,
    subject: &str,
    like: &Attributes,
    private: Private,
) -> Result<Observed, ProviderError> {
    let seen = look(instance, subject, like).await.map_err(unseen)?.ok_or_else(|| {
        let message = format!("the subject `{subject}` was registered, and the schema registry does not know it");
        ProviderError::new(ErrorKind::Ambiguous, message)
    })?;
    Ok(Observed { private, ..seen })
}

/// Gives a subject the level that it had before a version was refused.
async fn give_back(registry: &Registry, subject: &str, level: Option<&str>) {
    if let Err(trouble) = registry.set_compatibility(subject, level).await {
        tracing::debug!(subject, ?trouble, "the compatibility level stays");
    }
}

/// Registers another version, or sets the level, which comes first: by it the version is judged.
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
    // Some registries take other white space for another version.
    if !registered.means_same(&schema)
        && let Err(trouble) = registry.register(subject, &schema).await
    {
        if before != after && trouble.excludes_effect() {
            give_back(registry, subject, before.or(former.as_deref())).await;
        }
        return Err(failed(trouble));
    }
    let private = former_level(former.as_deref().filter(|_| after.is_some()));
    made_now(instance, subject, attributes, private).await
}

/// Removes a subject with all versions, and gives it back the level that it had before.
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
