//! REST routes for roles and their members: those of the previous service, and additional ones.

use crate::answer::{JsonBody, Refusal};
use crate::audited::Call;
use crate::query::is_name;
use crate::shared::Shared;
use crate::webhook::is_reserved;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use terrace_provider::names::scripts::{ONE_SCRIPT, check_principal_scripts, check_scripts};
use terrace_state::roles::{Members, Put, Role};

/// The longest name in bytes: entries of database indexes have a limited length.
const LONGEST: usize = 512;

/// A role in requests and answers.
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

/// The last part of a path, decoded.
struct Id(String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(Refusal::BadRequest("the path is not UTF-8: percent-encode the names as UTF-8".to_owned())),
        }
    }
}

type Answer = Result<Json<Value>, Refusal>;
type OfRoles = State<Arc<Shared>>;

/// The routes, which all need a token if one is configured.
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

/// Refuses an invalid name.
fn check(what: &str, name: &str) -> Result<(), Refusal> {
    let why = if name.is_empty() {
        "must not be empty".to_owned()
    } else if name.len() > LONGEST {
        format!("has {} bytes, and at most {LONGEST} are allowed", name.len())
    } else if name.chars().any(char::is_control) {
        "has control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(Refusal::BadRequest(format!("{what} {why}")))
}

fn mixed_scripts(name: &str, problem: &str) -> Refusal {
    Refusal::BadRequest(format!("the name `{name}` {problem}; {ONE_SCRIPT}"))
}

fn missing(id: &str) -> String {
    format!("Role not found for role_id {id}")
}

/// `GET /v1/ready`: whether the store is readable, for load balancers.
pub(crate) async fn is_ready(State(shared): OfRoles) -> Result<Json<&'static str>, Refusal> {
    match shared.store.role("").await {
        Ok(_) => Ok(Json("Ready")),
        Err(error) => {
            tracing::warn!(%error, "cannot read roles");
            Err(Refusal::Unavailable("cannot read roles now: try again later"))
        }
    }
}

async fn roles(State(shared): OfRoles) -> Answer {
    let roles: Vec<RoleBody> = shared.store.roles().await?.into_iter().map(RoleBody::from).collect();
    Ok(Json(json!({"roles": roles})))
}

async fn role(State(shared): OfRoles, Id(id): Id) -> Result<Json<RoleBody>, Refusal> {
    let role = shared.store.role(&id).await?.ok_or_else(|| Refusal::Missing(missing(&id)))?;
    Ok(Json(role.into()))
}

async fn role_of_component(State(shared): OfRoles, Id(id): Id) -> Result<Json<RoleBody>, Refusal> {
    let role = shared.store.role_of_component(&id).await?;
    let role = role.ok_or_else(|| Refusal::Missing(format!("Role not found for component_id {id}")))?;
    Ok(Json(role.into()))
}

async fn put_role(
    State(shared): OfRoles,
    Extension(call): Extension<Call>,
    JsonBody(body): JsonBody<RoleBody>,
) -> Result<Json<RoleBody>, Refusal> {
    check("`role_id`", &body.role_id)?;
    check_scripts(&body.role_id).map_err(|problem| mixed_scripts(&body.role_id, &problem))?;
    check("`component_id`", &body.component_id)?;
    if is_reserved(&body.role_id) {
        let why = "is reserved: Hasura lets its members do everything. Choose another `role_id`";
        return Err(Refusal::BadRequest(format!("the role `{}` {why}", body.role_id)));
    }
    if let Some(wrong) = body.graphql_root_field_names.iter().find(|name| !is_name(name) || name.len() > LONGEST) {
        let why = format!("expected ASCII letters, digits and `_`, no digit first, at most {LONGEST} characters");
        return Err(Refusal::BadRequest(format!("`{}` is not a GraphQL name: {why}", wrong.escape_debug())));
    }
    let role = Role { id: body.role_id, component: body.component_id, fields: body.graphql_root_field_names };
    let refused = |why: &str| Err(Refusal::BadRequest(format!("Cannot upsert role with role_id {}{why}", role.id)));
    let put = {
        let (shared, role) = (Arc::clone(&shared), role.clone());
        async move { shared.store.put_role(&role).await }
    };
    match call.change(&shared, &role.id, put, |put| *put == Put::Done).await? {
        Put::Done => Ok(Json(role.into())),
        Put::OfAnotherComponent => refused(": it belongs to another component_id"),
        Put::ComponentTaken(other) => {
            refused(&format!(": component_id {} belongs to the role {other}", role.component))
        }
    }
}

async fn remove_role(
    State(shared): OfRoles,
    Extension(call): Extension<Call>,
    Id(id): Id,
) -> Result<StatusCode, Refusal> {
    let remove = {
        let (shared, id) = (Arc::clone(&shared), id.clone());
        async move { shared.store.remove_role(&id).await }
    };
    match call.change(&shared, &id, remove, |is_removed| *is_removed).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::Missing(missing(&id))),
    }
}

async fn put_users(
    State(shared): OfRoles,
    Extension(call): Extension<Call>,
    JsonBody(UsersBody { role_id, users }): JsonBody<UsersBody>,
) -> Answer {
    put_members(&shared, call, &role_id, Members::Users, &users).await?;
    Ok(Json(json!({"role_id": role_id, "users": users})))
}

async fn put_groups(
    State(shared): OfRoles,
    Extension(call): Extension<Call>,
    JsonBody(GroupsBody { role_id, groups }): JsonBody<GroupsBody>,
) -> Answer {
    put_members(&shared, call, &role_id, Members::Groups, &groups).await?;
    Ok(Json(json!({"role_id": role_id, "groups": groups})))
}

async fn put_members(
    shared: &Arc<Shared>,
    call: Call,
    id: &str,
    kind: Members,
    names: &BTreeSet<String>,
) -> Result<(), Refusal> {
    let prefix = match kind {
        Members::Users => "user:",
        Members::Groups => "group:",
    };
    for name in names {
        // Other names never match a caller.
        if name.strip_prefix(prefix).is_none_or(str::is_empty) {
            let shown = name.escape_debug();
            return Err(Refusal::BadRequest(format!("`{shown}` is not a reference with the prefix `{prefix}`")));
        }
        check("a reference", name)?;
        check_principal_scripts(name).map_err(|problem| mixed_scripts(name, &problem))?;
    }
    let put = {
        let (shared, id, names) = (Arc::clone(shared), id.to_owned(), names.clone());
        async move { shared.store.put_members(&id, kind, &names).await }
    };
    match call.change(shared, id, put, |exists| *exists).await? {
        true => Ok(()),
        false => Err(Refusal::BadRequest(missing(id))),
    }
}

async fn users(State(shared): OfRoles, Id(id): Id) -> Answer {
    Ok(Json(json!({"role_id": id, "users": members(&shared, &id, Members::Users).await?})))
}

async fn groups(State(shared): OfRoles, Id(id): Id) -> Answer {
    Ok(Json(json!({"role_id": id, "groups": members(&shared, &id, Members::Groups).await?})))
}

async fn members(shared: &Shared, id: &str, kind: Members) -> Result<Vec<String>, Refusal> {
    shared.store.members(id, kind).await?.ok_or_else(|| Refusal::Missing(missing(id)))
}
