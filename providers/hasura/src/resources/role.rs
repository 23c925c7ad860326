//! Roles of the role mapper.

use super::Target;
use crate::attributes::{in_order_of, list, text, texts};
use crate::mapper::{Mapper, Role, belongs_to_another};
use crate::names;
use terrace_provider::http::Within;
use terrace_provider::{Attributes, Call, ErrorKind, Path, ProviderError};

/// Hasura's own role, which has all permissions (<https://hasura.io/docs/2.0/auth/authorization/roles-variables/>).
const OF_HASURA: &str = "admin";

/// Refuses the role that would give its members all permissions.
pub(super) fn check_id(attributes: &Attributes) -> Result<(), ProviderError> {
    let role = text(attributes, "roleId");
    if !role.trim().eq_ignore_ascii_case(OF_HASURA) {
        return Ok(());
    }
    let message = format!("`{role}` is Hasura's own role: its members have all permissions");
    Err(ProviderError::invalid(Some(Path::attribute("roleId")), message).solution("name another role"))
}

/// Refuses that role, and root fields with invalid names.
pub(crate) fn check(attributes: &Attributes) -> Result<(), ProviderError> {
    check_id(attributes)?;
    let fields = texts(attributes, "rootFields");
    for (index, field) in fields.iter().enumerate() {
        let at = Path::attribute("rootFields").index(index);
        names::check(field, &at)?;
        if fields.iter().take(index).any(|other| other == field) {
            let error = ProviderError::invalid(Some(at), format!("the root field `{field}` is listed twice"));
            return Err(error.solution("remove one of them"));
        }
    }
    Ok(())
}

/// Its present attributes; root fields only if the role mapper returns them.
pub(crate) fn present(role: &Role, like: Option<&Attributes>) -> Attributes {
    let mut current = Attributes::default();
    current.insert("componentId".to_owned(), role.component.as_str().into());
    if let Some(fields) = &role.fields {
        current.insert("rootFields".to_owned(), list(&in_order_of(fields.clone(), like, "rootFields")));
    }
    current
}

/// True if a role matches the plan, as far as the role mapper returns it.
pub(crate) fn matches_plan(role: &Role, planned: &Attributes) -> bool {
    let current = present(role, Some(planned));
    ["componentId", "rootFields"].iter().all(|name| match (current.get(*name), planned.get(*name)) {
        (Some(current), Some(wanted)) => current.is_same_as(wanted),
        _ => true,
    })
}

pub(crate) async fn create(
    mapper: &Mapper,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let (id, component) = (target.part("roleId"), text(planned, "componentId"));
    match mapper.role(&id).await? {
        Some(role) if role.component != component => return Err(belongs_to_another(&id, &role.component)),
        // A role mapper that cannot remove roles still has the earlier role of this component, which it may use again.
        Some(role) if role.fields.is_some() => return Err(target.exists(&format!("a role `{id}`"))),
        Some(_) => {}
        None => {
            // Each component has one role: the existing service fails on a second one.
            if let Some(other) = mapper.role_of_component(&component).await? {
                let at = Some(Path::attribute("componentId"));
                return Err(ProviderError::invalid(at, format!("the component `{component}` has the role `{other}`"))
                    .solution("each component has one role: remove that one, or name it here"));
            }
        }
    }
    mapper.put_role(&id, &component, &texts(planned, "rootFields"), &Within::of_call(call)).await
}

pub(crate) async fn update(
    mapper: &Mapper,
    target: &Target,
    call: &Call,
    planned: &Attributes,
) -> Result<(), ProviderError> {
    let id = target.part("roleId");
    if mapper.role(&id).await?.is_none() {
        return Err(target.gone());
    }
    mapper.put_role(&id, &text(planned, "componentId"), &texts(planned, "rootFields"), &Within::of_call(call)).await
}

pub(crate) async fn delete(mapper: &Mapper, target: &Target, call: &Call) -> Result<(), ProviderError> {
    let (id, within) = (target.part("roleId"), Within::of_call(call));
    let Some(role) = mapper.role(&id).await? else { return Ok(()) };
    if mapper.remove_role(&id, &within).await? {
        return Ok(());
    }
    // The role mapper cannot remove it: it is emptied instead.
    let emptied = async {
        let within = within.without_cancellation();
        mapper.put_users(&id, &[], &within).await?;
        mapper.put_groups(&id, &[], &within).await?;
        mapper.put_role(&id, &role.component, &[], &within).await
    };
    emptied.await.map_err(|error| match error.kind {
        ErrorKind::NotFound => ProviderError { kind: ErrorKind::Failed, ..error },
        _ => error,
    })?;
    call.progress.message(&format!("the role mapper removes no roles: `{id}` stays, without root fields and members"));
    Ok(())
}
