//! The calls: what is wrong is refused at once, what changes anything is queued and answered with its token.

use super::bodies::{
    self, ProvisioningRequest, ProvisioningStatus, ReverseProvisioningRequest, ReverseProvisioningStatus, Status,
    UpdateAclRequest, ValidationInfo, ValidationResult, ValidationStatus,
};
use super::misspelt::{Known, misspelt};
use crate::access;
use crate::answer::{Messages, Refusal};
use crate::auth::{Action, Caller, Resource};
use crate::body::{self, Unread};
use crate::environments::Environments;
use crate::judging::{aside, judge, on_body};
use crate::outcome::Outcome;
use crate::queue::{Request, ask};
use crate::request_context::{By, Purpose, RequestContext};
use crate::reverse_provisioning;
use crate::serve::Shared;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use terrace_engine::access::Access;
use terrace_engine::store::{OperationRow, RequestRow};
use uuid::Uuid;

/// What a body with a descriptor looks like.
const PROVISIONING: &str = "send JSON with `descriptor`, the descriptor as a string of YAML";
/// What a body that says who has access looks like.
const ACCESS: &str = "send JSON with `refs`, all who are to have access, and `provisionInfo.request`, the descriptor";
/// What a body that asks for values of a catalog looks like.
const REVERSE: &str = "send JSON with `useCaseTemplateId`, `environment`, `params` and `catalogInfo`";

/// A body as it came, if it did.
type Sent = Result<Bytes, BytesRejection>;

/// Reads a body as JSON, whatever its content type says.
fn read<T: DeserializeOwned + Known>(sent: Sent, solution: &str) -> Result<T, Refusal> {
    let bytes = sent.map_err(|error| Refusal::of_body(&error))?;
    on_body(bytes.len(), || read_bytes(&bytes, solution))
}

fn read_bytes<T: DeserializeOwned + Known>(bytes: &Bytes, solution: &str) -> Result<T, Refusal> {
    let read = body::read(bytes).map_err(|Unread { problem, field }| match field {
        Some(field) => Refusal::field(&field, problem, solution),
        None => Refusal::whole(problem, solution),
    })?;
    match misspelt::<T>(body::without_mark(bytes)) {
        None => Ok(read),
        Some((name, meant)) => {
            let name = body::shown(&name);
            let problem = format!("there is no field `{name}`; did you mean `{meant}`?");
            Err(Refusal::field(&name, problem, format!("write `{meant}`, or leave it out")))
        }
    }
}

/// Checks a descriptor without state and network; with both if its environment has `validate: {remote: true}`.
///
/// A plain stack needs the scope `apply`.
#[utoipa::path(post, path = "/v1/validate", tag = "specific provisioner", request_body = ProvisioningRequest,
    responses((status = 200, body = ValidationResult)))]
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    sent: Sent,
) -> Result<Response, Refusal> {
    let request: ProvisioningRequest = read(sent, PROVISIONING)?;
    let (bytes, request) = (request.bytes(), Arc::new(request));
    let judged = judge(&shared, bytes, {
        let request = Arc::clone(&request);
        move |shared, limits| {
            let (request, caller) = (Arc::clone(&request), caller.clone());
            async move { judgement(&shared, &caller, &shared.worlds.within(limits), &request).await }
        }
    });
    let (mut told, is_to_be_asked) = judged.await??;
    if is_to_be_asked && told.errors.is_empty() {
        told = aside(&shared, move |shared, limits| async move {
            let worlds = shared.worlds.within(limits);
            let from = (&worlds, shared.store.as_ref());
            let described = RequestContext::read(from, &request, Purpose::Make, By::Worker).await?;
            described.validate_remotely(shared.store.as_ref()).await
        })
        .await??;
    }
    Ok(Json(ValidationResult::of(told, None)).into_response())
}

/// Errors and warnings of a descriptor, and whether its environment has remote systems asked as well.
async fn judgement(
    shared: &Shared,
    caller: &Caller,
    worlds: &Environments,
    request: &ProvisioningRequest,
) -> Result<(Messages, bool), Refusal> {
    // A descriptor without a stack has errors, and those are the answer.
    caller.check(Action::Validate, false, &[Resource::Any])?;
    match RequestContext::read(
        (worlds, shared.calls.as_ref()),
        request,
        Purpose::Make,
        By::Caller(caller, Action::Validate),
    )
    .await
    {
        Ok(described) => {
            caller.check_scope(described.needed, Action::Validate, &described.stack)?;
            let told = Messages::of(&described.validate(shared.nothing.as_ref()).await?, &described.sources);
            Ok((told, described.world.is_validated_remotely))
        }
        Err(refusal @ Refusal::Invalid(_)) => Ok((refusal.told(), false)),
        Err(refusal) => Err(refusal),
    }
}

/// Begins a validation, whose status also has the plan.
///
/// A plain stack needs the scope `apply`: it names commands that planning runs.
#[utoipa::path(post, path = "/v2/validate", tag = "specific provisioner", request_body = ProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn validate_later(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refusal> {
    let request: ProvisioningRequest = read(sent, PROVISIONING)?;
    // What is wrong with the descriptor is the answer to this very question; without its stack there is nothing to ask.
    let by = caller.clone();
    let token = ask(&shared, &caller, Request::Validate(request), async move |shared, worlds, request| {
        RequestContext::place((worlds, shared.calls.as_ref()), request, By::Caller(&by, Action::Validate)).await
    });
    let token = token.await?;
    Ok(accepted(&headers, token))
}

/// Begins to make what a descriptor says.
#[utoipa::path(post, path = "/v1/provision", tag = "specific provisioner", request_body = ProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn provision(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refusal> {
    queue(&shared, &caller, &headers, sent, Purpose::Make).await
}

/// Begins to remove what a descriptor says; data stays unless `removeData` is true.
#[utoipa::path(post, path = "/v1/unprovision", tag = "specific provisioner", request_body = ProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn unprovision(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refusal> {
    queue(&shared, &caller, &headers, sent, Purpose::Remove).await
}

/// Begins to let those in who are to have access to a component, and nobody else.
#[utoipa::path(post, path = "/v1/updateacl", tag = "specific provisioner", request_body = UpdateAclRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn update_acl(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refusal> {
    let UpdateAclRequest { refs, provision_info, access_control_fields } = read(sent, ACCESS)?;
    Access::check(&refs)
        .map_err(|(at, problem)| Refusal::field(&format!("refs[{at}]"), problem, "send `user:NAME` or `group:NAME`"))?;
    let fields = access::fields(access_control_fields).map_err(|problem| {
        Refusal::field("accessControlFields", format!("`accessControlFields` {problem}"), access::FIELDS)
    })?;
    let access = Access::new(refs, fields);
    let request = ProvisioningRequest {
        descriptor_kind: Some("COMPONENT_DESCRIPTOR".to_owned()),
        descriptor: provision_info.request,
        remove_data: false,
        latest_enriched_descriptor: None,
    };
    let asked = Request::Access { request, access, expected: None, named: None };
    let by = caller.clone();
    let token = ask(&shared, &caller, asked, async move |shared, worlds, request| {
        let by = By::Caller(&by, Action::UpdateAcl);
        let described = RequestContext::read_provisioned((worlds, shared.calls.as_ref()), request, by).await?;
        described.takes_access()?;
        Ok(described.place_of())
    });
    let token = token.await?;
    Ok(accepted(&headers, token))
}

async fn queue(
    shared: &Arc<Shared>,
    caller: &Caller,
    headers: &HeaderMap,
    sent: Sent,
    purpose: Purpose,
) -> Result<Response, Refusal> {
    let request: ProvisioningRequest = read(sent, PROVISIONING)?;
    let action = match purpose {
        Purpose::Make => Action::Provision,
        Purpose::Remove => Action::Unprovision,
    };
    let asked = match purpose {
        Purpose::Make => Request::Provision(request),
        Purpose::Remove => Request::Unprovision(request),
    };
    let by = caller.clone();
    let token = ask(shared, caller, asked, async move |shared, worlds, request| {
        let from = (worlds, shared.calls.as_ref());
        let mut described = RequestContext::read(from, request, purpose, By::Caller(&by, action)).await?;
        described.check_known(shared.calls.as_ref()).await?;
        if purpose == Purpose::Make {
            described.check(shared.nothing.as_ref()).await?;
        }
        Ok(described.place_of())
    });
    Ok(accepted(headers, token.await?))
}

/// The token as coordinators expect it: bare, unless nothing but JSON is accepted.
fn accepted(headers: &HeaderMap, token: Uuid) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match accept.trim() == "application/json" {
        true => (StatusCode::ACCEPTED, Json(token.to_string())).into_response(),
        false => (StatusCode::ACCEPTED, token.to_string()).into_response(),
    }
}

/// The operations of which provisioning tells the status.
const PROVISIONING_KINDS: &[&str] = &["provision", "unprovision", "updateacl"];

/// The operation and the request of a token that a call of these kinds was answered with.
async fn found(
    shared: &Shared,
    caller: &Caller,
    token: &str,
    kinds: &[&str],
) -> Result<(Uuid, OperationRow, RequestRow), Refusal> {
    let unknown = || {
        let problem = format!("there is no operation of the token `{token}`");
        Refusal::field("token", problem, "ask with the token that the call was answered with")
    };
    let id: Uuid = token.parse().map_err(|_| unknown())?;
    let request = shared.store.request(id).await?.ok_or_else(unknown)?;
    let operation = shared.store.operation(id).await?.map(|(operation, _)| operation);
    let operation = operation.filter(|operation| kinds.contains(&operation.kind.as_str()));
    let operation = caller.hides(operation, |caller, found| caller.sees_all(found.about())).ok_or_else(unknown)?;
    Ok((id, operation, request))
}

/// Tells how provisioning, unprovisioning or granting stands.
#[utoipa::path(get, path = "/v1/provision/{token}/status", tag = "specific provisioner",
    params(("token" = String, Path)),
    responses((status = 200, body = ProvisioningStatus)))]
pub(crate) async fn status(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Json<ProvisioningStatus>, Refusal> {
    provisioning_status(&shared, &caller, &token).await.map(Json)
}

async fn provisioning_status(shared: &Shared, caller: &Caller, token: &str) -> Result<ProvisioningStatus, Refusal> {
    let (id, operation, request) = found(shared, caller, token, PROVISIONING_KINDS).await?;
    let outcome = Outcome::of(&request);
    let status = Status::of(operation.status, outcome.is_some(), operation.cancelled_by.is_some());
    let logs = shared.store.logs(id, 0).await?;
    let outcome = outcome.unwrap_or_default();
    let result = outcome.reason(&operation);
    Ok(ProvisioningStatus { status, result, info: outcome.info, logs: bodies::told_of(logs, id) })
}

/// Tells how a validation stands, and what it found.
#[utoipa::path(get, path = "/v2/validate/{token}/status", tag = "specific provisioner",
    params(("token" = String, Path)),
    responses((status = 200, body = ValidationStatus)))]
pub(crate) async fn validation_status(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Json<ValidationStatus>, Refusal> {
    let (_, operation, request) = found(&shared, &caller, &token, &["validate"]).await?;
    let outcome = Outcome::of(&request);
    let status = Status::of_question(operation.status, outcome.is_some());
    let validation = outcome.and_then(|outcome| outcome.validation);
    Ok(Json(ValidationStatus { status, info: validation.map(|public_info| ValidationInfo { public_info }) }))
}

/// Begins to look up what is there, for a component of a catalog.
#[utoipa::path(post, path = "/v1/reverse-provisioning",
    tag = "specific provisioner", request_body = ReverseProvisioningRequest,
    params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = 202, description = "the token of the operation", body = String, content_type = "text/plain")))]
pub(crate) async fn reverse(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Refusal> {
    let question: ReverseProvisioningRequest = read(sent, REVERSE)?;
    let place = reverse_provisioning::place(&shared.worlds, &question, By::Caller(&caller, Action::Reverse))?;
    let token = shared.ask(&caller, &Request::Reverse(question), place).await?;
    Ok(accepted(&headers, token))
}

/// Tells how reverse provisioning stands, and what it found.
#[utoipa::path(get, path = "/v1/reverse-provisioning/{token}/status", tag = "specific provisioner",
    params(("token" = String, Path)),
    responses((status = 200, body = ReverseProvisioningStatus)))]
pub(crate) async fn reverse_status(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Json<ReverseProvisioningStatus>, Refusal> {
    let (id, operation, request) = found(&shared, &caller, &token, &["reverse-provisioning"]).await?;
    let outcome = Outcome::of(&request);
    let status = Status::of_question(operation.status, outcome.is_some());
    let updates = outcome.map(|outcome| outcome.updates).unwrap_or_default();
    let logs = bodies::told_of(shared.store.logs(id, 0).await?, id);
    Ok(Json(ReverseProvisioningStatus { status, updates, logs }))
}

/// Stops an operation: nothing new is begun, what was begun comes to its end. One that waits for its turn ends at once.
#[utoipa::path(delete, path = "/v1/provision/{token}", tag = "specific provisioner", params(("token" = String, Path)),
    responses((status = 200, description = "it had ended", body = ProvisioningStatus),
        (status = 202, description = "it is being stopped")))]
pub(crate) async fn terminate(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Path(token): Path<String>,
) -> Result<Response, Refusal> {
    let (_, operation, request) = found(&shared, &caller, &token, PROVISIONING_KINDS).await?;
    let about: Vec<Resource<'_>> = operation.about().iter().map(Resource::Stack).collect();
    caller.check(Action::Cancel, false, &about)?;
    if request.result.is_none() && shared.cancel(&operation, &caller).await? {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    provisioning_status(&shared, &caller, &token).await.map(|status| Json(status).into_response())
}
