//! Who has access to a component.

use super::plans::{Begun, begun};
use super::problem::Problem;
use super::sent::Sent;
use super::stacks::known;
use crate::access::{self, Expected};
use crate::answer::OTHER_ACCESS;
use crate::auth::{Action, Caller, Resource};
use crate::queue::{Request, judged};
use crate::request_context::{By, Purpose, RequestContext};
use crate::serve::Shared;
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

/// Who has access.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Access {
    /// All who have, sorted; null where nobody ever said.
    pub(crate) principals: Option<Vec<String>>,
    /// What was said beside: `acl.fields` in blueprints.
    #[schema(value_type = Object)]
    pub(crate) fields: Fields,
}

/// Who is to have access.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccess {
    /// All of them: `user:NAME`, `group:NAME`.
    pub(crate) principals: Vec<String>,
    /// What is said beside, in the place of what was; nothing when left out.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub(crate) fields: Option<Json_>,
    /// The descriptor that the component was made by.
    pub(crate) descriptor: String,
}

/// Who has access to a component; `ETag` names the set.
#[utoipa::path(get, path = "/stacks/{stack}/components/{component}/acl", operation_id = "show_access", tag = "access",
    params(("stack" = String, Path), ("component" = String, Path)),
    responses((status = 200, body = Access), (status = 404, body = Problem)))]
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((stack, component)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let stack = known(&shared, &caller, &stack).await?;
    let there = recorded(&shared, &stack, &component).await?;
    let tag = [(header::ETAG, tag(&there))];
    Ok((tag, Json(Access { principals: there.principals, fields: there.fields })).into_response())
}

/// Lets in those who are to have access, and nobody else.
///
/// With `If-Match` only where the set is still that one, also when the operation's turn comes: it fails otherwise.
#[utoipa::path(put, path = "/stacks/{stack}/components/{component}/acl", operation_id = "set_access",
    tag = "access", request_body = NewAccess,
    params(("stack" = String, Path), ("component" = String, Path), ("If-Match" = Option<String>, Header),
        ("Idempotency-Key" = Option<String>, Header)),
    responses(
        (status = 202, body = Begun, headers(("Location" = String, description = "where the operation is"))),
        (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 412, description = "the set is another one by now", body = Problem),
        (status = 422, description = "the key was another call's", body = Problem)))]
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path((stack, component)): Path<(String, String)>,
    headers: HeaderMap,
    Sent(asked): Sent<NewAccess>,
) -> Result<Response, Problem> {
    let NewAccess { principals, fields, descriptor } = asked;
    engine::Access::check(&principals)
        .map_err(|(at, problem)| Problem::wrong(format!("`principals[{at}]`: {problem}")))?;
    let fields =
        access::fields(fields).map_err(|problem| Problem::wrong(format!("`fields` {problem}; {}", access::FIELDS)))?;
    let access = engine::Access::new(principals, fields);
    let stack = known(&shared, &caller, &stack).await?;
    caller.check(Action::UpdateAcl, false, &[Resource::Stack(&stack)])?;
    let there = recorded(&shared, &stack, &component).await?;
    let request =
        ProvisioningRequest { descriptor_kind: None, descriptor, remove_data: false, latest_enriched_descriptor: None };
    let named = headers.get(header::IF_MATCH).map(|named| named.to_str().unwrap_or_default().to_owned());
    if named.as_ref().is_some_and(|named| !names(named, &tag(&there))) {
        // It may be this very call that changed it, and its answer was lost.
        let asked = Request::Access { request, access, expected: None, named };
        let operation = shared.asked_before(&caller, &asked).await?.ok_or_else(|| Problem::changed(OTHER_ACCESS))?;
        return Ok(begun(operation));
    }
    let expected = named.is_some().then_some(there);
    let asked = Request::Access { request, access, expected, named };
    let by = caller.clone();
    let judged = judged(&shared, asked, async move |shared, worlds, request| {
        let (from, by) = ((worlds, shared.calls.as_ref()), By::Caller(&by, Action::UpdateAcl));
        let described = RequestContext::read(from, request, Purpose::Make, by).await?;
        described.takes_access()?;
        Ok(described.place_of())
    });
    let judged = judged.await?;
    let place = &judged.place;
    if place.stack != stack || place.component != component {
        return Err(Problem::wrong(format!("the descriptor is not about `{component}` of `{stack}` alone")));
    }
    let operation = shared.ask_judged(&caller, judged).await?;
    Ok(begun(operation))
}

async fn recorded(shared: &Shared, stack: &StackId, component: &str) -> Result<Expected, Problem> {
    let rows = shared.calls.components(stack).await?;
    let row = rows.into_iter().find(|row| row.key == component);
    let row = row.ok_or_else(|| Problem::not_found(format!("nothing is recorded of `{component}` in `{stack}`")))?;
    Ok(Expected::of(row.access))
}

/// Names a set.
fn tag(there: &Expected) -> String {
    let Expected { principals, fields } = there;
    format!("\"{}\"", sha256(json!([principals, fields]).to_string()))
}

/// Whether `If-Match` holds for what has that tag (RFC 9110 §13.1.1).
fn names(named: &str, tag: &str) -> bool {
    named.split(',').map(str::trim).any(|one| one == "*" || one == tag)
}
