//! The routes by which roles and who has them are written and read: those of the service before this one, and what it lacks.

use crate::Shared;
use crate::answer::Refusal;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_state::roles::{Members, Put, Role};

/// A role as it is sent and shown.
#[derive(Debug, Deserialize, Serialize)]
struct RoleBody {
    role_id: String,
    component_id: String,
    graphql_root_field_names: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct UsersBody {
    role_id: String,
    users: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct GroupsBody {
    role_id: String,
    groups: BTreeSet<String>,
}

impl From<Role> for RoleBody {
    fn from(role: Role) -> Self {
        Self { role_id: role.id, component_id: role.component, graphql_root_field_names: role.fields }
    }
}

type Answer = Result<Json<Value>, Refusal>;
type OfRoles = State<Arc<Shared>>;

/// The routes, all of which need a token where there is one.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/v1/roles", get(roles).put(put_role))
        .route("/v1/roles/{role_id}", get(role).delete(remove_role))
        .route("/v1/roles/component_id/{component_id}", get(role_of_component))
        .route("/v1/user_roles", put(put_users))
        .route("/v1/user_roles/{role_id}", get(users))
        .route("/v1/group_roles", put(put_groups))
        .route("/v1/group_roles/{role_id}", get(groups))
}

/// A body, or what is wrong with it in the form of all errors.
fn body<T: DeserializeOwned>(sent: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    sent.map(|Json(body)| body).map_err(|rejection| Refusal::of_body(&rejection))
}

fn missing(id: &str) -> String {
    format!("Role not found for role_id {id}")
}

async fn roles(State(shared): OfRoles) -> Answer {
    let roles: Vec<RoleBody> = shared.store.roles().await?.into_iter().map(RoleBody::from).collect();
    Ok(Json(json!({"roles": roles})))
}

async fn role(State(shared): OfRoles, Path(id): Path<String>) -> Result<Json<RoleBody>, Refusal> {
    let role = shared.store.role(&id).await?.ok_or_else(|| Refusal::Missing(missing(&id)))?;
    Ok(Json(role.into()))
}

async fn role_of_component(State(shared): OfRoles, Path(id): Path<String>) -> Result<Json<RoleBody>, Refusal> {
    let role = shared.store.role_of_component(&id).await?;
    let role = role.ok_or_else(|| Refusal::Missing(format!("Role not found for component_id {id}")))?;
    Ok(Json(role.into()))
}

async fn put_role(
    State(shared): OfRoles,
    sent: Result<Json<RoleBody>, JsonRejection>,
) -> Result<Json<RoleBody>, Refusal> {
    let sent = body(sent)?;
    if sent.role_id.is_empty() || sent.component_id.is_empty() {
        return Err(Refusal::Bad("`role_id` and `component_id` must not be empty".to_owned()));
    }
    let role = Role { id: sent.role_id, component: sent.component_id, fields: sent.graphql_root_field_names };
    let refused = |why: &str| Err(Refusal::Bad(format!("Cannot upsert role with role_id {}{why}", role.id)));
    match shared.store.put_role(&role).await? {
        Put::Done => Ok(Json(role.into())),
        Put::OfAnotherComponent => refused(""),
        Put::ComponentTaken(other) => {
            refused(&format!(": component_id {} is that of the role {other}", role.component))
        }
    }
}

async fn remove_role(State(shared): OfRoles, Path(id): Path<String>) -> Result<StatusCode, Refusal> {
    match shared.store.remove_role(&id).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::Missing(missing(&id))),
    }
}

async fn put_users(State(shared): OfRoles, sent: Result<Json<UsersBody>, JsonRejection>) -> Answer {
    let UsersBody { role_id, users } = body(sent)?;
    put_members(&shared, &role_id, Members::Users, &users).await?;
    Ok(Json(json!({"role_id": role_id, "users": users})))
}

async fn put_groups(State(shared): OfRoles, sent: Result<Json<GroupsBody>, JsonRejection>) -> Answer {
    let GroupsBody { role_id, groups } = body(sent)?;
    put_members(&shared, &role_id, Members::Groups, &groups).await?;
    Ok(Json(json!({"role_id": role_id, "groups": groups})))
}

async fn put_members(shared: &Shared, id: &str, which: Members, names: &BTreeSet<String>) -> Result<(), Refusal> {
    let prefix = match which {
        Members::Users => "user:",
        Members::Groups => "group:",
    };
    // Others would never be anybody.
    if let Some(wrong) = names.iter().find(|name| name.strip_prefix(prefix).is_none_or(str::is_empty)) {
        return Err(Refusal::Bad(format!("`{wrong}` is no reference that begins with `{prefix}`")));
    }
    match shared.store.put_members(id, which, names).await? {
        true => Ok(()),
        false => Err(Refusal::Bad(missing(id))),
    }
}

async fn users(State(shared): OfRoles, Path(id): Path<String>) -> Answer {
    Ok(Json(json!({"role_id": id, "users": members(&shared, &id, Members::Users).await?})))
}

async fn groups(State(shared): OfRoles, Path(id): Path<String>) -> Answer {
    Ok(Json(json!({"role_id": id, "groups": members(&shared, &id, Members::Groups).await?})))
}

async fn members(shared: &Shared, id: &str, which: Members) -> Result<Vec<String>, Refusal> {
    shared.store.members(id, which).await?.ok_or_else(|| Refusal::Missing(missing(id)))
}
