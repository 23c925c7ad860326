//! Access lists of components.

use super::json_body::JsonBody;
use super::plans::{Begun, begun};
use super::problem::Problem;
use super::stacks::known;
use crate::access::{self, Expected};
use crate::answer::OTHER_ACCESS;
use crate::auth::{Action, Caller, Resource};
use crate::queue::check_request;
use crate::request::Request;
use crate::request_context::{Purpose, RequestContext, Requester};
use crate::shared::Shared;
use crate::witboost::ProvisioningRequest;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json_, json};
use std::sync::Arc;
use terrace_engine::access::{self as engine, Fields};
use terrace_engine::address::StackId;
use terrace_engine::digest::sha256;
use utoipa::ToSchema;

/// The access list of a component.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Access {
    /// All principals with access, sorted; null if access was never set.
    pub(crate) principals: Option<Vec<String>>,
    /// Fields beside the principals: `acl.fields` in blueprints.
    #[schema(value_type = Object)]
    pub(crate) fields: Fields,
}

/// The new access list of a component.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccess {
    /// All principals: `user:NAME`, `group:NAME`.
    pub(crate) principals: Vec<String>,
    /// Fields beside the principals, which replace the present ones; none if absent.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) fields: Option<Json_>,
    /// The descriptor of the component.
    pub(crate) descriptor: String,
}

/// Returns the access list of a component; `ETag` identifies the list.
#[utoipa::path(get, path = "/stacks/{stack}/components/{component}/acl", operation_id = "show_access", tag = "access",
    params(("stack" = String, Path), ("component" = String, Path)),
    responses((status = 200, body = Access), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((stack, component)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let stack = known(&shared, &caller, &stack).await?;
    let current = recorded_access(&shared, &stack, &component).await?;
    let tag = [(header::ETAG, tag(&current))];
    Ok((tag, Json(Access { principals: current.principals, fields: current.fields })).into_response())
}

/// Replaces the access list of a component.
///
/// With `If-Match`, only if the list is unchanged when the operation starts; otherwise the operation fails.
#[utoipa::path(put, path = "/stacks/{stack}/components/{component}/acl", operation_id = "set_access",
    tag = "access", request_body = NewAccess,
    params(("stack" = String, Path), ("component" = String, Path), ("If-Match" = Option<String>, Header),
        ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 202, body = Begun, headers(("Location" = String, description = "the path of the operation"))),
        (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 412, description = "the access list has changed", body = Problem),
        (status = 422, description = "another call used that idempotency key", body = Problem)))]
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((stack, component)): Path<(String, String)>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<NewAccess>,
) -> Result<Response, Problem> {
    let NewAccess { principals, fields, descriptor } = body;
    engine::Access::check(&principals)
        .map_err(|(at, problem)| Problem::bad_request(format!("`principals[{at}]`: {problem}")))?;
    let fields = access::fields(fields)
        .map_err(|problem| Problem::bad_request(format!("`fields` {problem}; {}", access::FIELDS)))?;
    let access = engine::Access::new(principals, fields);
    let stack = known(&shared, &caller, &stack).await?;
    caller.check(Action::UpdateAcl, false, &[Resource::Stack(&stack)])?;
    let current = recorded_access(&shared, &stack, &component).await?;
    let request =
        ProvisioningRequest { descriptor_kind: None, descriptor, remove_data: false, latest_enriched_descriptor: None };
    let named = headers.get(header::IF_MATCH).map(|named| named.to_str().unwrap_or_default().to_owned());
    if named.as_ref().is_some_and(|named| !matches_tag(named, &tag(&current))) {
        // Perhaps this very call changed the list earlier, and its answer was lost.
        let new_request = Request::Access { request, access, expected: None, named };
        let operation =
            shared.find_earlier_request(&caller, &new_request).await?.ok_or_else(|| Problem::changed(OTHER_ACCESS))?;
        return Ok(begun(operation));
    }
    let expected = named.is_some().then_some(current);
    let new_request = Request::Access { request, access, expected, named };
    let by = caller.clone();
    let checked = check_request(&shared, new_request, async move |shared, environments, request| {
        let (from, by) = ((environments, shared.calls.as_ref()), Requester::Caller(&by, Action::UpdateAcl));
        let context = RequestContext::read(from, request, Purpose::Provision, by).await?;
        context.check_grants_access()?;
        Ok(context.subject())
    });
    let checked = checked.await?;
    let subject = &checked.subject;
    if subject.stack != stack || subject.order.as_str() != component {
        return Err(Problem::bad_request(format!("the descriptor does not name only `{component}` of `{stack}`")));
    }
    let operation = shared.enqueue_checked(&caller, checked).await?;
    Ok(begun(operation))
}

async fn recorded_access(shared: &Shared, stack: &StackId, component: &str) -> Result<Expected, Problem> {
    let rows = shared.calls.components(stack).await?;
    let row = rows.into_iter().find(|row| row.key == component);
    let row =
        row.ok_or_else(|| Problem::not_found(format!("the state has no component `{component}` in `{stack}`")))?;
    Ok(Expected::of(row.access))
}

/// The `ETag` of an access list.
fn tag(current: &Expected) -> String {
    let Expected { principals, fields } = current;
    format!("\"{}\"", sha256(json!([principals, fields]).to_string()))
}

/// Whether `If-Match` matches that tag (RFC 9110 §13.1.1).
fn matches_tag(named: &str, tag: &str) -> bool {
    named.split(',').map(str::trim).any(|one| one == "*" || one == tag)
}
