//! The role mapper: a service that stores the root fields and the members of roles. As Hasura's authentication webhook,
//! it decides the role of a request. Its REST API is that of the existing service: `PUT /v1/roles`, `GET
//! /v1/roles/{id}`, `PUT /v1/user_roles`, `PUT /v1/group_roles`.
//!
//! The existing service cannot return root fields and members, or remove a role. A newer one returns
//! `graphql_root_field_names` in `GET /v1/roles/{id}`, and supports `GET /v1/user_roles/{id}`, `GET
//! /v1/group_roles/{id}` and `DELETE /v1/roles/{id}`. Every write replaces the whole object and may be sent twice.

use crate::config::MapperConfig;
use secrecy::SecretString;
use serde_json::{Value as Json, json};
use terrace_provider::http::{Api, Auth, Client, Failure, ParsedError, Purpose, Reply, Request, Vendor, Within};
use terrace_provider::{ErrorKind, ProviderError};

/// Parser of its errors: `{"errors": […]}`, a text, or FastAPI's `{"detail": …}`.
const VENDOR: Vendor = Vendor {
    name: "the role mapper",
    parse_error,
    had_no_effect: |_| false,
    reach: "look at `roleMapper.url` of the instance (ROLE_MAPPER_URL)",
    sign_in: "look at `roleMapper.token` of the instance",
};

fn parse_error(reply: &Reply) -> ParsedError {
    let body = reply.json_or_null();
    let text = |json: &Json| json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    let mut all: Vec<String> = match (&body, body.get("errors"), body.get("detail")) {
        (_, Some(Json::Array(errors)), _) => errors.iter().map(text).collect(),
        (_, _, Some(detail)) => vec![text(detail)],
        (Json::String(text), _, _) => vec![text.clone()],
        _ => Vec::new(),
    };
    let message = (!all.is_empty()).then(|| all.remove(0));
    ParsedError { message, problems: all, ..ParsedError::default() }
}

/// A role of the role mapper.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) component: String,
    /// `None` if the role mapper cannot return them.
    pub(crate) fields: Option<Vec<String>>,
}

/// The members of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Members {
    pub(crate) users: Vec<String>,
    pub(crate) groups: Vec<String>,
}

impl Members {
    pub(crate) fn is_empty(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }
}

/// The role mapper's answer about members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MembersAnswer {
    /// The role does not exist.
    NoRole,
    /// The role exists, but the role mapper cannot return its members.
    Unreadable,
    /// The members of the role.
    Members(Members),
}

/// A role mapper.
#[derive(Debug)]
pub(crate) struct Mapper {
    api: Api,
}

impl Mapper {
    /// A role mapper without a connection. Texts redact `secrets`.
    pub(crate) fn new(client: &Client, config: &MapperConfig, secrets: Vec<SecretString>) -> Self {
        let auth = config.token.clone().map_or(Auth::None, Auth::Bearer);
        Self { api: client.api(config.base.clone(), auth, VENDOR, secrets) }
    }

    /// Checks that the role mapper answers and accepts the credentials.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn check(&self) -> Result<(), ProviderError> {
        self.role("terrace-doctor").await.map(drop)
    }

    /// A role; `None` if it does not exist.
    pub(crate) async fn role(&self, id: &str) -> Result<Option<Role>, ProviderError> {
        let purpose = Purpose::read(format!("read the role `{id}`"));
        let Some(body) = self.get("/v1/roles/{id}", id, &purpose).await? else { return Ok(None) };
        let component = body.get("component_id").and_then(Json::as_str).unwrap_or_default().to_owned();
        let fields = body.get("graphql_root_field_names").filter(|fields| fields.is_array()).map(texts);
        Ok(Some(Role { component, fields }))
    }

    /// The role of a component, if it has one.
    pub(crate) async fn role_of_component(&self, component: &str) -> Result<Option<String>, ProviderError> {
        let purpose = Purpose::read(format!("read the role of the component `{component}`"));
        let body = self.get("/v1/roles/component_id/{id}", component, &purpose).await?;
        Ok(body.and_then(|body| Some(body.get("role_id")?.as_str()?.to_owned())))
    }

    /// The members of a role.
    pub(crate) async fn members(&self, id: &str) -> Result<MembersAnswer, ProviderError> {
        let Some(role) = self.role(id).await? else { return Ok(MembersAnswer::NoRole) };
        if role.fields.is_none() {
            return Ok(MembersAnswer::Unreadable);
        }
        let purpose = Purpose::read(format!("read the members of the role `{id}`"));
        let users = self.get("/v1/user_roles/{id}", id, &purpose).await?;
        let groups = self.get("/v1/group_roles/{id}", id, &purpose).await?;
        let (Some(users), Some(groups)) = (users, groups) else { return Ok(MembersAnswer::NoRole) };
        let list = |body: &Json, name: &str| body.get(name).map(texts).unwrap_or_default();
        Ok(MembersAnswer::Members(Members { users: list(&users, "users"), groups: list(&groups, "groups") }))
    }

    async fn get(&self, path: &'static str, id: &str, purpose: &Purpose) -> Result<Option<Json>, ProviderError> {
        match self.api.send(&Request::get(path, &[id]), &Within::reading()).await {
            Ok(reply) => reply.json().map(Some).map_err(|failure| self.api.error(&failure, purpose)),
            Err(failure) if failure.status() == Some(404) => Ok(None),
            Err(failure) => Err(self.api.error(&failure, purpose)),
        }
    }

    /// Writes a whole role.
    pub(crate) async fn put_role(
        &self,
        id: &str,
        component: &str,
        fields: &[String],
        within: &Within,
    ) -> Result<(), ProviderError> {
        let body = json!({"role_id": id, "component_id": component, "graphql_root_field_names": fields});
        let request = Request::put("/v1/roles", &[]).json(body).idempotent();
        self.put(&request, &Purpose::to(format!("write the role `{id}`")), within).await
    }

    /// Writes the complete list of users with a role.
    pub(crate) async fn put_users(&self, id: &str, users: &[String], within: &Within) -> Result<(), ProviderError> {
        let request = Request::put("/v1/user_roles", &[]).json(json!({"role_id": id, "users": users})).idempotent();
        self.put(&request, &Purpose::to(format!("write the users of the role `{id}`")), within).await
    }

    /// Writes the complete list of groups with a role.
    pub(crate) async fn put_groups(&self, id: &str, groups: &[String], within: &Within) -> Result<(), ProviderError> {
        let request = Request::put("/v1/group_roles", &[]).json(json!({"role_id": id, "groups": groups})).idempotent();
        self.put(&request, &Purpose::to(format!("write the groups of the role `{id}`")), within).await
    }

    async fn put(&self, request: &Request, purpose: &Purpose, within: &Within) -> Result<(), ProviderError> {
        match self.api.send(request, within).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.api.error(&failure, purpose)),
        }
    }

    /// Removes a role with its members; `false` if the role mapper cannot.
    pub(crate) async fn remove_role(&self, id: &str, within: &Within) -> Result<bool, ProviderError> {
        let request = Request::delete("/v1/roles/{id}", &[id]).idempotent();
        match self.api.send(&request, within).await {
            Ok(_) => Ok(true),
            Err(failure) if failure.status() == Some(405) => Ok(false),
            Err(failure) if failure.status() == Some(404) => Ok(!is_route_missing(&failure)),
            Err(failure) => Err(self.api.error(&failure, &Purpose::to(format!("remove the role `{id}`")))),
        }
    }
}

/// True if the answer means a missing call, not a missing role.
fn is_route_missing(failure: &Failure) -> bool {
    failure.answer().is_some_and(|reply| reply.json_or_null().get("detail").is_some())
}

/// The error of a role that belongs to another component.
pub(crate) fn belongs_to_another(id: &str, component: &str) -> ProviderError {
    let kind = ErrorKind::AlreadyExists { import_id: None };
    ProviderError::new(kind, format!("the role `{id}` belongs to the component `{component}`"))
        .solution("two components cannot share a role: rename one of them")
}

fn texts(json: &Json) -> Vec<String> {
    json.as_array().into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}
