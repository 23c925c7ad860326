//! Rows that an older terrace wrote: their provider brings them to the present form as they are loaded. They are
//! written so by the next apply that touches them.

use super::compute::Planner;
use crate::diagnostic::Diagnostic;
use crate::record::Opened;
use terrace_provider::{ResourceType, Value};

/// Brings a row to the schema version of this build; a row of a newer one is an error.
pub(super) async fn upgrade(planner: &Planner<'_>, opened: &mut Opened, diagnostics: &mut Vec<Diagnostic>) {
    let Some((_, ty)) = planner.registry.resource_type(&opened.address.ty) else { return };
    let (found, known) = (opened.schema_version, ty.schema_version);
    if found == known {
        return;
    }
    let address = format!("{}:{}", opened.stack, opened.address);
    if found > known {
        diagnostics.push(
            Diagnostic::error(
                "newer_row",
                format!(
                    "{address} was recorded with version {found} of `{}`, and this terrace knows version {known}",
                    ty.name
                ),
            )
            .about(&address)
            .hint("use the terrace that recorded it, or a newer one"),
        );
        return;
    }
    let upgraded = match planner.registry.session(&opened.provider).await {
        Ok(session) => session.upgrade(ty, found, opened.prior.attributes.clone()).await,
        Err(error) => Err(error),
    };
    match upgraded {
        Ok(attributes) => {
            let is_known = |name: &str| ty.attributes.get(name).is_some();
            let attributes = attributes.into_iter().filter(|(name, _)| is_known(name));
            opened.prior.attributes = attributes.map(|(name, value)| marked(ty, name, value)).collect();
            if let Some(identity) = ty.identity_of(&opened.prior.attributes) {
                opened.prior.identity = identity;
            }
            opened.schema_version = known;
        }
        Err(error) => diagnostics.push(
            Diagnostic::error(
                "cannot_upgrade",
                format!(
                    "{address} was recorded with version {found} of `{}`, which cannot be upgraded: {error}",
                    ty.name
                ),
            )
            .about(&address)
            .maybe_hint(error.solutions.first().cloned()),
        ),
    }
}

fn marked(ty: &ResourceType, name: String, value: Value) -> (String, Value) {
    let is_sensitive = ty.attributes.get(&name).is_some_and(|attribute| attribute.sensitive);
    let value = if is_sensitive { Value::sensitive(value) } else { value };
    (name, value)
}
